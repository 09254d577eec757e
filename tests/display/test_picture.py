"""Pictures: the window, padding and colour that a reader of images would expect."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpukit
from gpukit.display.picture import write_picture
from gpukit.display.window import header_voi
from gpukit.errors import InputError, OutputError, SelectionError
from gpukit.geometry import Grid
from gpukit.volume import GeometryStatus, Volume


def plane(values: object, **facts: object) -> Volume:
    array = np.atleast_2d(np.asarray(values))[None]
    shape = (1, array.shape[1], array.shape[2])
    return Volume(array=array, grid=Grid.from_axes(shape, spacing=(0.5, 0.8, 3)), **facts)  # type: ignore[arg-type]


def grey(path: Path) -> list[list[int]]:
    image = Image.open(path)
    assert image.mode == "L"
    return np.asarray(image).tolist()


def test_window_is_linear_between_black_and_white(tmp_path: Path) -> None:
    volume = plane(np.array([-500, -100, 0, 100, 900], np.int16))
    gpukit.save(volume, tmp_path / "p.png", window=(-100, 100))
    assert grey(tmp_path / "p.png") == [[0, 0, 128, 255, 255]]  # 127.5 is rounded to even


def test_padding_and_nan_are_black_and_do_not_stretch_the_range(tmp_path: Path) -> None:
    volume = plane(np.array([-2000, np.nan, 0, 50, 100], np.float32), padding=(-2000.0, -2000.0))
    gpukit.save(volume, tmp_path / "p.png")
    assert grey(tmp_path / "p.png") == [[0, 0, 0, 128, 255]]


def test_padding_inside_the_window_is_black_too(tmp_path: Path) -> None:
    volume = plane(np.array([50, 0, 100], np.int16), padding=(50.0, 50.0))
    gpukit.save(volume, tmp_path / "p.png", window=(0, 100))
    assert grey(tmp_path / "p.png") == [[0, 0, 255]]


@pytest.mark.parametrize(
    ("centre", "width", "low", "high"),
    [(40, 400, -160, 239), ([50.0, 40.0], [101.0, 400.0], -0.5, 99.5), ("10", "1", 9.5, 9.5)],
)
def test_header_window_follows_the_standard(centre: object, width: object, low: float, high: float) -> None:
    # PS3.3 C.11.2.1.2.1: black at and below c - 0.5 - (w - 1) / 2, white above c - 0.5 + (w - 1) / 2
    voi = header_voi({"WindowCenter": centre, "WindowWidth": width})
    assert voi is not None and voi.limits == (low, high)


@pytest.mark.parametrize(
    "facts", [{}, {"WindowCenter": 40}, {"WindowCenter": "x", "WindowWidth": 1}, {"WindowCenter": 0, "WindowWidth": 0}]
)
def test_header_without_a_usable_window_has_none(facts: dict[str, object]) -> None:
    assert header_voi(facts) is None


def test_colour_stays_as_it_is(tmp_path: Path) -> None:
    rgb = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(1, 2, 3, 3)
    volume = Volume(array=rgb, grid=Grid((1, 2, 3), np.eye(4)), axes="kjic")
    gpukit.save(volume, tmp_path / "c.png")
    assert np.array_equal(np.asarray(Image.open(tmp_path / "c.png")), rgb[0])


def test_first_row_is_on_top_and_one_slice_is_chosen(tmp_path: Path) -> None:
    values = np.zeros((3, 2, 2), np.uint8)
    values[1, 0, 1] = 255
    volume = Volume(array=values, grid=Grid((3, 2, 2), np.eye(4)))
    write_picture(volume, tmp_path / "p.png", slice=1, window=(0, 255))
    assert grey(tmp_path / "p.png") == [[0, 255], [0, 0]]


def test_several_slices_or_none_such_are_refused(tmp_path: Path) -> None:
    volume = Volume(array=np.zeros((3, 2, 2)), grid=Grid((3, 2, 2), np.eye(4)))
    with pytest.raises(SelectionError, match="3 slices"):
        gpukit.save(volume, tmp_path / "p.png")
    with pytest.raises(SelectionError, match="no slice 3"):
        write_picture(volume, tmp_path / "p.png", slice=3)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("window", [(1.0, 0.0), (float("nan"), 1.0), (0.0, float("inf"))])
def test_windows_that_mean_nothing_are_refused(window: tuple[float, float], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="window"):
        gpukit.save(plane([0, 1]), tmp_path / "p.png", window=window)


def test_window_is_for_pictures_only(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="pictures"):
        gpukit.save(plane([0, 1]), tmp_path / "p.nii", window=(0, 1))


def test_the_size_of_pixels_is_stated_only_where_the_image_states_it(tmp_path: Path) -> None:
    known = plane([0, 1])
    unknown = plane([0, 1], geometry=GeometryStatus(position=False, spacing=False, depth=False))
    gpukit.save(known, tmp_path / "known.png")
    gpukit.save(unknown, tmp_path / "unknown.png")
    assert Image.open(tmp_path / "known.png").info["dpi"][0] == pytest.approx(25.4 / 0.5, rel=1e-3)
    assert "dpi" not in Image.open(tmp_path / "unknown.png").info
