"""Curved planes: lengths along and across are true, frames don't twist, and files of points mean what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpukit.errors import FormatError, GeometryError, InputError, InputNotFoundError
from gpukit.files.markups import read_centerline
from gpukit.geometry import Grid
from gpukit.rendering.mpr.centerline import frames_along, smoothed, unrolled, walk
from gpukit.rendering.mpr.curved import straighten
from gpukit.rendering.scene.animation import fly
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


def places_of(curve: np.ndarray, **arguments: object) -> tuple[np.ndarray, tuple[float, float]]:
    """LPS of every pixel of a curved plane, read out of pictures of x, y and z, and mm across and along a pixel."""
    grid = Grid.from_axes((46, 46, 46), spacing=(2, 2, 2), origin=(-45, -45, -15))
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    at = grid.to_world(np.stack([i, j, k], axis=-1))
    pictures = [
        straighten(Volume(array=at[..., axis], grid=grid), curve, frame="patient", **arguments)  # type: ignore[arg-type]
        for axis in range(3)
    ]
    across, along, _ = pictures[0].grid.spacing
    return np.stack([picture.array[0] for picture in pictures], axis=-1), (across, along)


@pytest.mark.parametrize("angle", [0.0, 50.0])
def test_straightened_helix_has_its_length_and_its_distances(angle: float) -> None:
    radius, pitch, turns = 20.0, 30.0, 2
    at, (across, along) = places_of(helix(turns, radius, pitch, 80), width=16, angle=angle)
    rows, columns, _ = at.shape
    # cubic spline through 80 points, natural at its ends: some tenths of a millimetre of 258
    assert along * (rows - 1) == pytest.approx(turns * np.hypot(2 * np.pi * radius, pitch), abs=0.3)
    # linear values are interpolated exactly, so these are the sampled places; columns lie at +-1, +-3, +-5, +-7 mm
    middle = (at[:, columns // 2 - 1] + at[:, columns // 2]) / 2
    assert np.hypot(middle[:, 0], middle[:, 1])[4:-4] == pytest.approx(radius, abs=0.02)
    assert np.linalg.norm(np.diff(at, axis=1), axis=-1) == pytest.approx(across)
    # a chord of 2 mm on a bend of radius 21 mm is shorter than its arc by 2**3 / (24 * 21**2)
    assert np.linalg.norm(np.diff(middle, axis=0), axis=1) == pytest.approx(along, abs=1e-3)
    # what is beside the curve is at right angles to it: its distance from the curve is its column's
    edge = np.linalg.norm(at[20, -1] - middle, axis=1)
    assert edge.min() == pytest.approx(7, abs=0.01)
    assert int(edge.argmin()) == 20


def test_stretched_helix_keeps_its_length_and_its_bends() -> None:
    from scipy.special import ellipe

    radius, pitch, turns = 20.0, 30.0, 2
    c = pitch / (2 * np.pi)
    at, (across, along) = places_of(helix(turns, radius, pitch, 80), width=16, mode="stretched")
    rows, columns, _ = at.shape
    # the shadow of a helix across one direction: a sine curve, whose length is an elliptic integral
    shadow = 4 * turns * np.hypot(radius, c) * ellipe(radius**2 / (radius**2 + c**2))
    assert along * (rows - 1) == pytest.approx(shadow, abs=0.3)
    assert across * columns == pytest.approx(2 * radius + 16, abs=across)
    # columns run to the patient's left, all rows alike
    assert np.allclose(at[..., 0], at[:1, :, 0]) and np.all(np.diff(at[0, :, 0]) > 0)
    assert np.ptp(at[..., 1:], axis=1).max() < 1e-9
    chords = np.linalg.norm(np.diff(at[:, 0], axis=0), axis=1)
    assert chords.max() <= along + 1e-6
    assert np.median(chords) == pytest.approx(along, rel=1e-3)  # shorter only where the shadow bends with 1 mm radius
    # the helix drawn over the picture: it passes each row where the surface has it, and has its own length
    a = np.linspace(0, 2 * np.pi * turns, 40_000)
    points = np.stack([radius * np.cos(a), radius * np.sin(a), c * a], axis=1)
    down = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(points[:, 1:], axis=0), axis=1))])
    row, column = down / along, (points[:, 0] - at[0, 0, 0]) / across
    drawn = np.hypot(np.diff(row * along), np.diff(column * across)).sum()
    assert drawn == pytest.approx(turns * np.hypot(2 * np.pi * radius, pitch), rel=1e-4)
    near = np.rint(row).astype(int).clip(0, rows - 1)
    # the nearest row is half a row away at most, and the spline some hundredths
    assert np.linalg.norm(at[near, 0, 1:] - points[:, 1:], axis=1).max() < along / 2 + 0.15


def test_smoothing_shrinks_waves_as_said_and_keeps_ends_and_lines() -> None:
    line = walk([(0, 0, 0), (30, 40, 0), (60, 80, 0)], 0.5)
    assert np.allclose(smoothed(line, 5), line)
    z = np.arange(0, 240, 0.5)
    wave = np.stack([3 * np.sin(2 * np.pi * z / 24), 0 * z, z], axis=1)
    flat = smoothed(wave, 4)
    inner = np.abs(z - 120) < 60
    # step of 0.5 mm is taken along the wave, which is longer than z by 15 %
    assert np.abs(flat[inner, 0]).max() == pytest.approx(3 * np.exp(-2 * (np.pi * 4 / 24) ** 2), rel=0.2)
    assert np.array_equal(flat[[0, -1]], wave[[0, -1]])
    arc = np.linspace(0, np.pi, 400)
    bow = smoothed(20 * np.stack([np.cos(arc), np.sin(arc), 0 * arc], axis=1), 4)
    assert np.linalg.norm(bow[150:250], axis=1) == pytest.approx(20 * np.exp(-(4**2) / (2 * 20**2)), rel=1e-3)


def test_modes_are_refused_where_they_make_no_sense() -> None:
    volume = Volume(array=np.zeros((10, 10, 10)), grid=Grid.from_axes((10, 10, 10)))
    with pytest.raises(InputError, match="projected"):
        straighten(volume, [(1, 1, 1), (8, 8, 8)], mode="projected")
    with pytest.raises(InputError, match="runs along"):
        unrolled(walk([(0, 0, 0), (9, 0, 0)], 0.5), np.array([1.0, 0, 0]), 1.0)


def test_phases_and_colours_along_a_curve() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (12, 14, 16)).astype(np.uint8)
    volume = Volume(array=noise, grid=Grid.from_axes(noise.shape))
    line = [(3, 3, 2), (8, 7, 6), (12, 6, 10)]
    alone = straighten(volume, line, width=8).array
    phases = straighten(Volume(array=np.stack([noise, noise // 2]), grid=volume.grid, axes="tkji"), line, width=8)
    assert phases.axes == "tkji" and np.allclose(phases.array[0], alone, equal_nan=True)
    colour = straighten(Volume(array=np.stack([noise] * 3, axis=-1), grid=volume.grid, axes="kjic"), line, width=8)
    assert colour.array.dtype == np.uint8
    assert np.array_equal(colour.array[..., 1], np.round(np.nan_to_num(alone)))


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
        ("d.csv", "name,x,y,z,radius\na,1,2,3,9\nb,4,5,6.5,9\n", None),
        ("e.csv", "R,A,S\n-1,-2,3\n-4,-5,6.5\n", "patient"),
        ("f.tsv", "L\tP\tS\n1\t2\t3\n4\t5\t6.5\n", "patient"),
        ("g.csv", "k,j,i\n3,2,1\n6.5,5,4\n", "voxel"),
        (
            "h.fcsv",
            "# Markups fiducial file version = 4.6\n# CoordinateSystem = 0\n# columns = id,x,y,z,ow,label\n"
            "v1,-1,-2,3,0,F-1\nv2,-4,-5,6.5,0,F-2\n",
            "patient",
        ),
        ("c.json", '{"coordinateSystem": "RAS", "points": [{"x": -1, "y": -2, "z": 3}, [-4, -5, 6.5]]}', "patient"),
        (
            "d.mrk.json",
            json.dumps({"markups": [{"coordinateSystem": "LPS", "controlPoints": [
                {"position": [1, 2, 3]}, {"positionStatus": "undefined", "position": [0, 0, 0]},
                {"position": [4, 5, 6.5], "positionStatus": "defined"}]}]}),
            "patient",
        ),
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
        ("a.json", '{"frame": "voxel", "coordinateSystem": "RAS", "points": [[1, 2, 3], [4, 5, 6]]}'),
        ("a.json", '{"coordinateSystem": "table", "points": [[1, 2, 3], [4, 5, 6]]}'),
        ("a.csv", "# CoordinateSystem = table\n1,2,3\n4,5,6\n"),
    ],
)  # fmt: skip
def test_what_is_no_centerline(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=name):
        read_centerline(tmp_path / name)
    with pytest.raises(InputNotFoundError):
        read_centerline(tmp_path / "missing.txt")


SLICER = {"type": "Curve", "coordinateSystem": "LPS", "controlPoints": [
    {"position": [1, 2, 3]}, {"position": [4, 5, 6]}, {"position": [7, 8, 10]}]}  # fmt: skip
MICRO = {**SLICER, "coordinateUnits": ["um", "UCUM", "micrometer"]}


@pytest.mark.parametrize(
    ("name", "text", "points", "frame"),
    [
        ("a.mrk.json", json.dumps({"markups": [MICRO]}), [[1e-3, 2e-3, 3e-3], [4e-3, 5e-3, 6e-3], [7e-3, 8e-3, 1e-2]],
         "patient"),
        ("a.mrk.json", json.dumps({"markups": [{**SLICER, "coordinateUnits": "cm"}]}),
         [[10, 20, 30], [40, 50, 60], [70, 80, 100]], "patient"),
        ("a.mrk.json", json.dumps({"markups": [{**SLICER, "type": "ClosedCurve"}]}),
         [[1, 2, 3], [4, 5, 6], [7, 8, 10], [1, 2, 3]], "patient"),
        ("a.mrk.json", json.dumps({"markups": [{**SLICER, "controlPoints": []}, SLICER]}),
         [[1, 2, 3], [4, 5, 6], [7, 8, 10]], "patient"),
        ("a.fcsv", "vtkMRMLMarkupsFiducialNode_0,-1,-2,3,0,0,0,1,1,1,0,F-1,,\n_1,-4,-5,6,0,0,0,1,1,1,0,F-2,,\n",
         [[1, 2, 3], [4, 5, 6]], "patient"),
        ("a.csv", '"1.0","2.0","3.0"\n"4","5","6"\n', [[1, 2, 3], [4, 5, 6]], None),
        ("a.csv", '"x";"y";"z"\n1,5;2;3,25\n4;5,0;6\n', [[1.5, 2, 3.25], [4, 5, 6]], None),
        ("a.txt", "1,5 2,25 3\n4 5 6\n", [[1.5, 2.25, 3], [4, 5, 6]], None),
        ("a.csv", "1, 2, 3\n4, 5, 6\n", [[1, 2, 3], [4, 5, 6]], None),
    ],
)  # fmt: skip
def test_points_are_read_as_slicer_and_spreadsheets_mean_them(
    name: str, text: str, points: list[list[float]], frame: str | None, tmp_path: Path
) -> None:
    (tmp_path / name).write_text(text)
    read, said = read_centerline(tmp_path / name)
    np.testing.assert_allclose(read, points, rtol=1e-12)
    assert said == frame


@pytest.mark.parametrize(
    ("markups", "what"),
    [
        ([SLICER, SLICER], "holds 2 lists"),
        ([{**SLICER, "type": "Plane"}], "type Plane is not a line"),
        ([{**SLICER, "coordinateUnits": "furlong"}], "'furlong' is not a known unit"),
    ],
)
def test_what_slicer_means_otherwise_is_refused(markups: list[object], what: str, tmp_path: Path) -> None:
    (tmp_path / "a.mrk.json").write_text(json.dumps({"markups": markups}))
    with pytest.raises(FormatError, match=what):
        read_centerline(tmp_path / "a.mrk.json")


@pytest.mark.parametrize("apart", [0.01, 0.1, 0.3])
def test_points_clicked_twice_make_no_loops(apart: float) -> None:
    """A spline over the lengths of the chords gave 60 mm for a straight line of 50."""
    rng = np.random.default_rng(3)
    points = np.repeat(np.array([[30, 30, k] for k in range(5, 56, 10)], float), 2, axis=0)
    points[1::2] += apart * rng.normal(size=(6, 3)) / 2
    curve = walk(points, 1.0)
    length = np.linalg.norm(np.diff(curve, axis=0), axis=1).sum()
    polyline = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    assert 49.5 < length < polyline + 1


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("mode", ["straightened", "stretched"])
def test_a_centerline_that_doubles_back_is_refused_before_anything_is_drawn(mode: str) -> None:
    volume = Volume(array=np.ones((40, 20, 20), np.float32), grid=Grid.from_axes((40, 20, 20)))
    back = [[10, 10, 5], [10, 10, 15], [10, 10, 25], [10, 10, 15.0], [10, 10, 6]]
    with pytest.raises(InputError, match=r"doubles back after .* mm, at 10,10,"):
        straighten(volume, back, mode=mode, width=5)
    with pytest.raises(InputError, match="doubles back"):
        next(fly(volume, back, frames=3, size=(8, 8), method="mip"))


@pytest.mark.filterwarnings("error")
def test_a_shadow_that_turns_back_is_drawn() -> None:
    """An S in one plane, seen along that plane: its shadow goes to and fro on one line, and the picture has no gaps."""
    volume = Volume(array=np.ones((60, 60, 60), np.float32), grid=Grid.from_axes((60, 60, 60)))
    turns = np.linspace(0, np.pi, 12)
    curve = [[30, 20 + 12 * np.sin(t), 10 + 12 * (1 - np.cos(t))] for t in turns]
    made = straighten(volume, curve, mode="stretched", width=6, angle=90, thickness=2, slab="mean")
    assert np.isfinite(np.asarray(made.array)).all()


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
