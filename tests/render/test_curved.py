"""Curved planes: lengths along and across are true, frames don't twist, and files of points mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpukit.errors import FormatError, GeometryError, InputError, InputNotFoundError
from gpukit.geometry import Grid
from gpukit.render.curve import frames_along, read_centerline, walk
from gpukit.render.curved import straighten
from gpukit.volume import Volume


def helix(turns: float, radius: float, pitch: float, count: int) -> np.ndarray:
    a = np.linspace(0, 2 * np.pi * turns, count)
    return np.stack([radius * np.cos(a), radius * np.sin(a), pitch * a / (2 * np.pi)], axis=1)


def test_helix_is_walked_at_its_own_length() -> None:
    curve = walk(helix(2, 20, 30, 60), 0.5)
    length = 2 * np.hypot(2 * np.pi * 20, 30)
    steps = np.linalg.norm(np.diff(curve, axis=0), axis=1)
    # the natural ends of the spline bend less than the helix: some tenths of a millimetre of 258
    assert steps.sum() == pytest.approx(length, abs=0.3)
    assert steps == pytest.approx(steps.mean(), rel=1e-3)
    inner = curve[40:-40]
    assert np.hypot(inner[:, 0], inner[:, 1]) == pytest.approx(20, abs=0.01)
    assert curve[0] == pytest.approx([20, 0, 0])
    assert curve[-1] == pytest.approx([20, 0, 60])


def test_frames_turn_against_the_torsion_of_a_helix() -> None:
    """Against the helix's Frenet normal a frame that does not twist turns by minus torsion times length."""
    radius, pitch = 20.0, 30.0
    curve = helix(2, radius, pitch, 4000)
    across, depth = frames_along(curve)
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    assert np.abs((across * tangent).sum(axis=1))[5:-5].max() < 1e-3
    assert np.linalg.norm(depth, axis=1) == pytest.approx(1, abs=1e-3)
    normal = -curve * [1, 1, 0] / radius
    angle = np.unwrap(np.arctan2((across * np.cross(tangent, normal)).sum(axis=1), (across * normal).sum(axis=1)))
    c = pitch / (2 * np.pi)
    torsion, length = c / (radius**2 + c**2), 2 * np.hypot(2 * np.pi * radius, pitch)
    # differences of 4000 steps, one-sided at the ends
    assert angle[-1] - angle[0] == pytest.approx(-torsion * length, abs=0.01)


def linear(at: np.ndarray) -> np.ndarray:
    return at[..., 0] + 2 * at[..., 1] - 4 * at[..., 2]


def test_straight_line_to_the_feet_is_a_coronal_plane() -> None:
    grid = Grid.from_axes((30, 20, 24), spacing=(1, 1, 2), origin=(-12, 5, 40))
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    volume = Volume(array=linear(grid.to_world(np.stack([i, j, k], axis=-1))), grid=grid)
    made = straighten(volume, [(12, 8, 28), (12, 8, 2)], width=9)
    assert made.shape == (1, 53, 9)  # 52 mm in steps of 1 mm, and its end
    right, down = np.meshgrid(np.arange(9) - 4.0, np.arange(53.0))
    start = grid.to_world((12, 8, 28))
    wanted = linear(np.stack([start[0] + right, start[1] + 0 * right, start[2] - down], axis=-1))
    assert np.allclose(made.array[0], wanted)  # the patient's left is on the right, the head on top
    assert any("straightened" in note for note in made.notes)
    turned = straighten(volume, [(12, 8, 28), (12, 8, 2)], width=9, angle=90)
    # turned by 90 degrees around the way down, left (x) becomes -y x ... : tangent -z cross x = -y, the front
    wanted = linear(np.stack([start[0] + 0 * right, start[1] - right, start[2] - down], axis=-1))
    assert np.allclose(turned.array[0], wanted)
    slab = straighten(volume, [(12, 8, 28), (12, 8, 2)], width=9, thickness=4, slab="mean")
    assert np.allclose(slab.array, made.array)
    high = straighten(volume, [(12, 8, 28), (12, 8, 2)], width=9, thickness=4)
    assert np.allclose(high.array, made.array + 2 * 1.5)  # layers at -1.5, -0.5, 0.5, 1.5 mm from front to back


def test_tube_around_a_curve_is_a_straight_band() -> None:
    grid = Grid.from_axes((40, 60, 60), spacing=(1, 1, 1.5), origin=(-30, -30, -10))
    centre = helix(1, 15, 35, 800) + np.array([0, 0, 2])
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    at = grid.to_world(np.stack([i, j, k], axis=-1)).reshape(-1, 3)
    nearest = np.min([((at - c) ** 2).sum(axis=1) for c in centre[::8]], axis=0) ** 0.5
    volume = Volume(array=(4 - nearest).reshape(grid.shape), grid=grid)
    picture = straighten(volume, centre[::40], frame="patient", width=20).array[0]
    inside = (picture > 0)[8:-8]
    # a tube of 8 mm: pixels of 1 mm and centres 1 mm apart
    assert inside.sum(axis=1) == pytest.approx(8, abs=1.01)
    middles = np.array([np.flatnonzero(row).mean() for row in inside])
    assert np.abs(middles - 9.5).max() <= 0.6


def test_outside_and_padding_take_no_part() -> None:
    array = np.full((20, 20, 20), 100, np.int16)
    array[:, :, :5] = -2000
    volume = Volume(array=array, grid=Grid.from_axes((20, 20, 20)), padding=(-2000, -2000))
    for slab in ("mip", "minip", "mean"):
        made = straighten(volume, [(10, 10, 18), (10, 10, 2)], width=40, thickness=30, slab=slab).array[0]
        assert np.isnan(made[:, 0]).all()
        assert set(made[~np.isnan(made)]) == {100}


@pytest.mark.parametrize(
    ("name", "text", "frame"),
    [
        ("a.txt", "# a vessel\n1 2 3\n\n4 5 6.5\n", None),
        ("a.csv", "x,y,z\n1,2,3\n4,5,6.5\n", None),
        ("b.csv", "1; 2; 3\r\n4; 5; 6.5\r\n", None),
        ("a.json", "[[1, 2, 3], [4, 5, 6.5]]", None),
        ("b.json", '{"frame": "patient", "points": [[1, 2, 3], [4, 5, 6.5]]}', "patient"),
        (
            "c.mrk.json",
            json.dumps({"markups": [{"coordinateSystem": "RAS", "controlPoints": [
                {"position": [-1, -2, 3]}, {"position": [-4, -5, 6.5]}]}]}),
            "patient",
        ),
    ],
)  # fmt: skip
def test_files_of_points(name: str, text: str, frame: str | None, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    points, said = read_centerline(tmp_path / name)
    assert points.tolist() == [[1, 2, 3], [4, 5, 6.5]]
    assert said == frame


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.txt", ""), ("a.txt", "1 2 3\n"), ("a.txt", "1 2\n3 4\n"), ("a.txt", "1 2 nan\n3 4 5\n"),
        ("a.txt", "1 2 3\nx y z\n4 5 6\n"), ("a.json", "{"), ("a.json", "{}"), ("a.json", "3"),
        ("a.json", "[[1,2],[3]]"), ("a.json", "{\"markups\": []}"),
        ("a.json", "{\"markups\": [{\"controlPoints\": []}]}"),
        ("a.json", "[" * 99999),
    ],
)  # fmt: skip
def test_what_is_no_centerline(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=name):
        read_centerline(tmp_path / name)
    with pytest.raises(InputNotFoundError):
        read_centerline(tmp_path / "missing.txt")


def test_bad_arguments() -> None:
    volume = Volume(array=np.zeros((10, 10, 10)), grid=Grid.from_axes((10, 10, 10)))
    good = [(1, 1, 1), (8, 8, 8)]
    for points, arguments, error, word in (
        ([(1, 1, 1), (1, 1, 30)], {}, GeometryError, "point 2"),
        ([(1, 1, 1)], {}, InputError, "two points"),
        ([(1, 1, 1), (1, 1, 1)], {}, InputError, "different"),
        (good, {"frame": "table"}, InputError, "table"),
        (good, {"slab": "median"}, InputError, "median"),
        (good, {"width": 0}, InputError, "positive"),
    ):
        with pytest.raises(error, match=word):
            straighten(volume, points, **arguments)  # type: ignore[arg-type]


def test_another_device_gives_the_same() -> None:
    pytest.importorskip("torch", reason="this device is torch's")
    noise = np.random.default_rng(0).normal(size=(12, 14, 16)).astype(np.float32)
    volume = Volume(array=noise, grid=Grid.from_axes(noise.shape))
    line = [(3, 3, 2), (8, 7, 6), (12, 6, 10)]
    here = straighten(volume, line, width=8, thickness=3)
    there = straighten(volume.to("torch-cpu"), line, width=8, thickness=3)
    assert there.device == "torch-cpu"
    assert np.allclose(there.to("cpu").array, here.array, atol=1e-5, equal_nan=True)
