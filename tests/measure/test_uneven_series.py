"""Series whose slices are not evenly spaced: what needs no even stack is measured, and slices are never mixed up."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from support.dicom_files import write_series
from support.pet_files import expected, write_pet

import gpukit as gk
from gpukit.errors import MissingSlicesError, SelectionError
from gpukit.measure.overlay import draw_overlay

Run = Callable[..., subprocess.CompletedProcess[str]]
#: The slice at 12 mm is missing.
PLACES = [0, 3, 6, 9, 15, 18, 21, 24, 27, 30]


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    """The value of a pixel is 100 times its slice, and its column."""
    array = np.broadcast_to(np.arange(30), (len(PLACES), 24, 30)) + 100 * np.arange(len(PLACES))[:, None, None]
    positions = [np.array([0, 0, z]) for z in PLACES]
    write_series(tmp_path / "ct", array.astype(np.int16), np.diag([0.5, 0.5, 1, 1]), positions=positions)
    return tmp_path / "ct"


@pytest.mark.parametrize("command", ["roi", "hu"])
def test_a_shape_in_one_slice_needs_no_even_stack(run: Run, ct: Path, command: str) -> None:
    if command == "hu":
        for path in ct.iterdir():
            dataset = pydicom.dcmread(path)
            dataset.RescaleType = "HU"
            dataset.save_as(path)
    done = run("measure", command, ct, "--roi", "4,4,10,6", "--slice", 5, "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["statistics"]["mean"] == pytest.approx(500 + 8.5)  # the sixth slice; columns 4 to 13
    assert found["statistics"]["area"] == pytest.approx(60 * 0.25)
    assert any("unevenly spaced: slice 5 was measured on its own" in note for note in found["notes"])
    refused = run("measure", command, ct, "--roi", "4,4,10,6", "--slice", "4-5")
    assert refused.returncode == 1 and "--fill-gaps" in refused.stderr
    assert "go from 0 to 9" in run("measure", command, ct, "--roi", "4,4,10,6", "--slice", 10).stderr


def test_the_same_from_python(ct: Path) -> None:
    assert gk.roi(ct, gk.Box(4, 4, 10, 6), slice=5).mean == pytest.approx(508.5)
    with pytest.raises(SelectionError):
        gk.roi(ct, gk.Box(4, 4, 10, 6), slice=10)
    with pytest.raises(MissingSlicesError):
        gk.roi(ct, gk.Sphere((5, 5, 5), 2.0))


def test_suv_of_an_uneven_series(run: Run, tmp_path: Path) -> None:
    def place(dataset: pydicom.Dataset, drug: pydicom.Dataset, k: int) -> None:
        dataset.ImagePositionPatient = [0, 0, [0, 3, 6, 9, 15, 18, 21, 24, 27, 30, 33][k]]

    write_pet(tmp_path / "pet", change=place, slices=11)
    words = ("measure", "suv", tmp_path / "pet", "--roi", "1,1,3,3", "--json")
    done = run(*words)  # a shape is measured in every slice
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["measurements"]
    assert len(found) == 11
    assert [m["statistics"]["mean"] for m in found] == pytest.approx([expected()] * 11)
    filled = run(*words, "--fill-gaps")
    assert filled.returncode == 0, filled.stderr
    assert len(json.loads(filled.stdout)["measurements"]) == 12
    ball = ("measure", "suv", tmp_path / "pet", "--sphere", "2,2,5,4mm", "--json")
    assert "--fill-gaps" in run(*ball).stderr
    (whole,) = json.loads(run(*ball, "--fill-gaps").stdout)["measurements"]
    assert whole["statistics"]["mean"] == pytest.approx(expected())


def test_a_pixel_of_an_uneven_series(run: Run, ct: Path) -> None:
    done = run("measure", "pixel", ct, "--point", "7,3,5", "--json")
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["values"] == {"value": 507, "stored_value": 507}
    assert any("slice 5 was measured on its own" in note for note in found["notes"])
    assert gk.pixel(ct, (7, 3, 5)).value == 507


def test_a_pixel_of_an_interpolated_slice_has_no_stored_value(ct: Path) -> None:
    """Slice 4 of the filled series lies at 12 mm, between the fourth (300 + i) and the fifth (400 + i) acquired one."""
    filled = gk.open(ct, device="cpu", fill_gaps=True)
    assert gk.pixel(filled, (7, 3, 4)).value == 357 and "stored_value" not in gk.pixel(filled, (7, 3, 4))
    later = gk.pixel(filled, (7, 3, 5))
    assert (later.value, later["stored_value"]) == (407, 407)
    assert later.sources[0].position[2] == 15


def test_a_picture_shows_the_slice_that_was_measured(ct: Path, tmp_path: Path) -> None:
    filled = gk.open(ct, device="cpu", fill_gaps=True)
    found = gk.roi(filled, gk.Sphere((15, 12, 7), 1.0))  # at 21 mm: the seventh acquired slice, 600 + column
    draw_overlay(found, tmp_path / "ball.png", window=(599, 631))
    grey = np.asarray(Image.open(tmp_path / "ball.png").convert("L")).astype(int)
    assert grey[-40:, :40].max() < 30 and grey[-40:, -40:].min() > 200  # the window fits that slice alone


def test_bidirectional_of_a_mask_draws_its_lines(run: Run, tmp_path: Path) -> None:
    array = np.zeros((3, 40, 40), np.int16)
    write_series(tmp_path / "ct", array, np.diag([0.5, 0.5, 2, 1]))
    mask = array.astype(np.uint8)
    mask[1, 10:20, 8:30] = 1
    ct = gk.open(tmp_path / "ct", device="cpu")
    gk.save(ct.with_array(mask), tmp_path / "mask.nii.gz")
    done = run("measure", "bidirectional", tmp_path / "ct", "--mask", tmp_path / "mask.nii.gz", "--overlay",
               tmp_path / "lines.png", "--json")  # fmt: skip
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(tmp_path / "lines.png").convert("RGB")).astype(int)
    yellow = (picture[..., 0] > 200) & (picture[..., 1] > 160) & (picture[..., 2] < 80)
    assert yellow.sum() > 300
