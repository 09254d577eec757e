"""Measured regions as SEG, their slice as a picture, and reports that refer to the segment that was measured."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.dicom.sr.tid1500_read import read_measurement_report
from gpukit.io.masks import open_mask

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def chest(data: Path) -> Path:
    return data / "ct_chest_ibsi" / "dicom" / "image"


def yellow(path: Path) -> np.ndarray:
    picture = np.asarray(Image.open(path)).astype(int)
    return np.asarray((picture[..., 0] > 200) & (picture[..., 1] > 160) & (picture[..., 2] < 80))


def test_a_thresholded_region_becomes_a_segmentation(run: Run, chest: Path, tmp_path: Path) -> None:
    line = ["measure", "volume", chest, "--threshold", "300,3000", "--output", tmp_path / "bone.dcm", "--format", "seg"]
    done = run(*line, "--annotation", "Bone")
    assert done.returncode == 0, done.stderr
    assert not errors_of(tmp_path / "bone.dcm")
    volume = gk.open(chest, device="cpu")
    wanted = (np.asarray(volume.array) >= 300) & (np.asarray(volume.array) <= 3000)
    back = open_mask(tmp_path / "bone.dcm", volume)
    np.testing.assert_array_equal(np.asarray(back.array) != 0, wanted)
    seg = highdicom.seg.segread(tmp_path / "bone.dcm")
    assert seg.SegmentSequence[0].SegmentLabel == "Bone"
    assert len(seg.SourceImageSequence) == 60


def test_a_metabolic_volume_becomes_a_segmentation(run: Run, data: Path, tmp_path: Path) -> None:
    pet = data / "pet" / "sts_001_cropped" / "PET"
    folder = pet / "dicom" / "image"
    mask = next((pet / "nifti" / "mask").glob("*.nii*"))
    out = tmp_path / "mtv.dcm"
    done = run("measure", "suv", folder, "--roi", mask, "--threshold", "41%", "--output", out, "--format", "seg")
    assert done.returncode == 0, done.stderr
    assert not errors_of(out)
    volume = gk.open(folder, device="cpu")
    values, inside = np.asarray(volume.array), np.asarray(open_mask(mask, volume).array) != 0
    wanted = inside & (values >= np.float32(0.41 * values[inside].max()))
    found = np.asarray(open_mask(out, volume).array) != 0
    assert 0 < wanted.sum() < inside.sum()
    assert (found != wanted).sum() <= 2  # voxels within float32 rounding of the threshold


def test_the_slice_with_most_of_a_region_is_drawn(run: Run, chest: Path, data: Path, tmp_path: Path) -> None:
    mask = next((data / "ct_chest_ibsi" / "nifti" / "mask").glob("*.nii*"))
    done = run("measure", "hu", chest, "--roi", mask, "--overlay", tmp_path / "gtv.png")
    assert done.returncode == 0, done.stderr
    volume = gk.open(chest, device="cpu")
    inside = np.asarray(open_mask(mask, volume).array) != 0
    plane = inside[inside.sum(axis=(1, 2)).argmax()]
    border = yellow(tmp_path / "gtv.png")
    zoom = border.shape[0] // plane.shape[0]
    rows, columns = np.nonzero(border[20 * zoom :])  # the caption is in the first lines
    assert zoom >= 1 and len(rows) > 100
    low, high = np.argwhere(plane).min(axis=0), np.argwhere(plane).max(axis=0)
    found = (
        (rows.min() + 20 * zoom) // zoom,
        columns.min() // zoom,
        (rows.max() + 20 * zoom) // zoom,
        columns.max() // zoom,
    )
    assert found == (*low, *high)


def test_a_report_refers_to_the_segment_that_was_measured(run: Run, data: Path, tmp_path: Path) -> None:
    folder = data / "seg"
    seg = next(p for p in sorted(folder.glob("dcmqi_*/**/*.dcm")) if _is_seg(p) and _sources(p, folder))
    images = _sources(seg, folder)
    out = tmp_path / "sr.dcm"
    done = run("measure", "volume", *images, "--roi", seg, "--output", out, "--format", "sr")
    assert done.returncode == 0, done.stderr
    assert not errors_of(out)
    groups = read_measurement_report(out)
    written = pydicom.dcmread(seg, stop_before_pixels=True)
    assert {g.segment.image.sop_instance_uid for g in groups if g.segment} == {written.SOPInstanceUID}
    assert [g.segment.number for g in groups if g.segment] == [s.SegmentNumber for s in written.SegmentSequence]


def _is_seg(path: Path) -> bool:
    header = pydicom.dcmread(path, stop_before_pixels=True, force=True)
    return bool(
        header.get("SOPClassUID") == "1.2.840.10008.5.1.4.1.1.66.4" and header.get("SegmentationType") == "BINARY"
    )


def _sources(seg: Path, folder: Path) -> list[Path]:
    """Images in the folder that share the segmentation's frame of reference."""
    frame = pydicom.dcmread(seg, stop_before_pixels=True).get("FrameOfReferenceUID")
    found: list[Path] = []
    for path in sorted(seg.parent.glob("*.dcm")):
        header: Any = pydicom.dcmread(path, stop_before_pixels=True, force=True)
        if header.get("Modality") == "CT" and header.get("FrameOfReferenceUID") == frame:
            found.append(path)
    return found


def test_a_line_is_drawn_from_the_command_line(run: Run, chest: Path, tmp_path: Path) -> None:
    image = next(chest.glob("*.dcm"))
    line = ["measure", "distance", image, "--p1", "20,20", "--p2", "120,90", "--overlay", tmp_path / "line.png"]
    done = run(*line)
    assert done.returncode == 0, done.stderr
    assert yellow(tmp_path / "line.png").sum() > 200
    assert run(*line).returncode == 1  # it exists
    several = run("measure", "distance", chest, "--p1", "20,20", "--p2", "120,90", "--overlay", tmp_path / "all.png")
    assert several.returncode == 1 and "shows one measurement" in several.stderr
