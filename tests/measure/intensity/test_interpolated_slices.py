"""Volumes of masks on series with interpolated slices: SEG and RTSTRUCT are drawn on the acquired ones."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.sr.codedict import codes
from support.dicom_files import write_series
from support.rtstruct_files import write_rtstruct

import gpukit as gk
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation

ROWS, COLUMNS, DY, DX = 40, 50, 0.8, 1.2
AREA = 20 * 20 * DY * DX  # mm2, of 20 x 20 pixel centres
#: Where slices are, in mm: their distance doubles; one is missing; all distances differ.
SERIES = {
    "wider": [0, 2.5, 5, 7.5, 10, 15, 20, 25, 30, 35, 40, 45],
    "missing": [0, 3, 6, 9, 15, 18, 21, 24, 27, 30, 33, 36],
    "varying": [0, 3, 6, 9, 13, 16, 19.4, 22, 25, 28, 31.5, 34],
}


def planimetric(places: list[float], chosen: range) -> float:
    """Area times half the distances of the neighbours, ml."""
    steps = [b - a for a, b in pairwise(places)]
    return sum(AREA * (steps[k - 1] + steps[k]) / 2 for k in chosen) / 1000


def write_uneven(folder: Path, places: list[float]) -> list[Path]:
    array = np.random.default_rng(0).integers(-100, 200, (len(places), ROWS, COLUMNS)).astype(np.int16)
    positions = [np.array([0, 0, z]) for z in places]
    return write_series(folder, array, np.diag([DX, DY, 1, 1]), positions=positions)


def contours(places: list[float], chosen: range) -> list[np.ndarray]:
    square = [(10.3, 8.2), (30.4, 8.2), (30.4, 28.7), (10.3, 28.7)]
    return [np.array([(x * DX, y * DY, places[k]) for x, y in square]) for k in chosen]


def write_seg_on_images(files: list[Path], chosen: range, target: Path) -> Path:
    """By highdicom, on the images themselves."""
    images = [pydicom.dcmread(file) for file in files]
    for image in images:
        image.AccessionNumber, image.StudyID, image.StudyDate, image.StudyTime = "", "1", "20240101", "120000"
        image.PatientBirthDate, image.PatientSex, image.ReferringPhysicianName = "", "", ""
    mask = np.zeros((len(images), ROWS, COLUMNS), np.uint8)
    mask[chosen.start : chosen.stop, 9:29, 11:31] = 1
    description = highdicom.seg.SegmentDescription(
        1, "GTV", codes.SCT.Tissue, codes.SCT.Tissue, "MANUAL"
    )  # fmt: skip
    highdicom.seg.Segmentation(
        images, mask, "BINARY", [description], highdicom.UID(), 1, highdicom.UID(), 1, "m", "n", "1", "2"
    ).save_as(target)
    return target


@pytest.mark.parametrize("name", SERIES)
@pytest.mark.parametrize("form", ["rtstruct", "seg"])
@pytest.mark.parametrize("chosen", [range(4, 7), range(2, 9)])
def test_planimetric_goes_by_the_acquired_slices(tmp_path: Path, name: str, form: str, chosen: range) -> None:
    places = SERIES[name]
    files = write_uneven(tmp_path / "ct", places)
    if form == "seg":
        mask = write_seg_on_images(files, chosen, tmp_path / "mask.dcm")
    else:
        mask = write_rtstruct(tmp_path / "mask.dcm", {"GTV": contours(places, chosen)})
    ct = gk.open(tmp_path / "ct", device="cpu", fill_gaps=True)
    assert ct.grid.shape[0] > len(places) or name == "varying"
    found = gk.measure.volume(ct, mask)
    right = planimetric(places, chosen)
    assert found.volume_planimetric == pytest.approx(right, rel=1e-9)
    # Voxels are whole slices: at each end at most half a slice is more or less than the slices stand for.
    step = ct.grid.spacing[2]
    assert abs(found.volume_voxels - right) <= 1.01 * AREA * step / 1000
    inside = [note for note in found.notes if "interpolated by distance maps" in note]
    assert len(inside) == 1
    # no gap within: each slice between the first and the last one has the area of its neighbours
    block = np.asarray(found.mask.array)
    assert (block.sum(axis=(1, 2)) == 400).all()


def test_the_values_of_the_report(tmp_path: Path) -> None:
    """10, 15 and 20 mm where steps of 2.5 mm become 5 mm: 384 mm2 x (3.75 + 5 + 5) mm = 5.28 ml; 5 slices of voxels."""
    places = SERIES["wider"]
    write_uneven(tmp_path / "ct", places)
    mask = write_rtstruct(tmp_path / "mask.dcm", {"GTV": contours(places, range(4, 7))})
    found = gk.measure.volume(gk.open(tmp_path / "ct", device="cpu", fill_gaps=True), mask)
    assert found.volume_planimetric == pytest.approx(5.28, rel=1e-9)
    assert found.volume_voxels == pytest.approx(4.8, rel=1e-9)  # 10 to 20 mm in steps of 2.5 mm


def test_a_cone_across_a_gap_keeps_its_volume(tmp_path: Path) -> None:
    """Circles of 18, 16, 14 ... mm on slices of 3 mm of which one is missing: its circle comes from its neighbours."""
    places = SERIES["missing"]
    write_uneven(tmp_path / "ct", places)
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    radii = {z: 15 - z / 3 for z in places}
    rings = [np.column_stack([28 + r * np.cos(turn), 16 + r * np.sin(turn), np.full(200, z)]) for z, r in radii.items()]
    mask = write_rtstruct(tmp_path / "mask.dcm", {"cone": rings})
    ct = gk.open(tmp_path / "ct", device="cpu", fill_gaps=True)
    found = gk.measure.volume(ct, mask)
    filled = np.asarray(found.mask.array).sum(axis=(1, 2)) * DX * DY
    assert filled[4] == pytest.approx(np.pi * (15 - 12 / 3) ** 2, rel=0.03)  # at 12 mm, where no slice was acquired
    assert filled[3] == pytest.approx(np.pi * (15 - 9 / 3) ** 2, rel=0.03)


def test_a_segmentation_of_the_interpolated_volume_is_left_as_it_is(tmp_path: Path) -> None:
    write_uneven(tmp_path / "ct", SERIES["missing"])
    ct = gk.open(tmp_path / "ct", device="cpu", fill_gaps=True)
    array = np.zeros(ct.grid.shape, np.uint8)
    array[3, 9:29, 11:31] = array[5, 9:29, 11:31] = 1  # a network saw nothing between them
    array[4, 9:19, 11:21] = 1
    made = Segmentation(array=array, grid=ct.grid, labels=(Label(1, "x", ANATOMY, TISSUE),), sources=ct.sources,
                        metadata=ct.metadata)  # fmt: skip
    write_seg(made, tmp_path / "seg.dcm")
    found = gk.measure.volume(ct, tmp_path / "seg.dcm")
    assert found.n == 900 and not [note for note in found.notes if "distance maps" in note]
    assert found.volume_planimetric == pytest.approx(900 * DX * DY * 3 / 1000)


def test_values_between_thresholds_count_on_every_slice(tmp_path: Path) -> None:
    places = SERIES["wider"]
    write_uneven(tmp_path / "ct", places)
    mask = write_rtstruct(tmp_path / "mask.dcm", {"GTV": contours(places, range(4, 7))})
    ct = gk.open(tmp_path / "ct", device="cpu", fill_gaps=True)
    found = gk.measure.volume(ct, mask, values=(0, None))
    assert found.volume_planimetric == pytest.approx(found.volume_voxels)


def test_two_neighbouring_regions_are_no_overlap(tmp_path: Path) -> None:
    places = SERIES["wider"]
    write_uneven(tmp_path / "ct", places)
    left = contours(places, range(4, 8))
    right = [
        ring + np.array([20 * DX, 0, 0]) for ring in contours(places, range(5, 9))
    ]  # ends where the other one goes on
    mask = write_rtstruct(tmp_path / "mask.dcm", {"left": left, "right": right})
    ct = gk.open(tmp_path / "ct", device="cpu", fill_gaps=True)
    found = gk.measure.volume(ct, mask, labels="left")
    assert found.volume_planimetric == pytest.approx(planimetric(places, range(4, 8)))
    assert gk.measure.volume(ct, mask, labels="right").volume_planimetric > 0
