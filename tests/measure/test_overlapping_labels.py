"""Labels that overlap, such as a tumour's core within the whole tumour: each is measured, and written, on its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pytest
from support.dicom_files import write_series

import gpukit as gk
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.findings.measurement import Row
from gpukit.findings.segment import segmentation_of
from gpukit.findings.write import FORMATS, write
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation, one_map
from gpukit.volume import Volume

Run = Callable[..., subprocess.CompletedProcess[str]]
#: Voxels of 0.5 x 0.5 x 2 mm.
VOXEL = 0.5 / 1000
LABELS = (Label(1, "whole", ANATOMY, TISSUE), Label(2, "core", ANATOMY, TISSUE), Label(3, "edema", ANATOMY, TISSUE))


@pytest.fixture
def ct(tmp_path: Path) -> Volume:
    array = np.arange(4 * 24 * 24, dtype=np.int16).reshape(4, 24, 24)
    write_series(tmp_path / "ct", array, np.diag([0.5, 0.5, 2.0, 1.0]))
    return gk.open(tmp_path / "ct", device="cpu")


def tumour(ct: Volume) -> tuple[Segmentation, dict[str, np.ndarray]]:
    """Whole 3 x 10 x 10, the core in the middle of it, and edema that shares some voxels with both."""
    masks = {label.name: np.zeros(ct.grid.shape, np.bool_) for label in LABELS}
    masks["whole"][0:3, 5:15, 5:15] = True
    masks["core"][1, 8:12, 8:12] = True
    masks["edema"][1:4, 10:20, 10:20] = True
    array, planes = one_map(masks.values(), (1, 2, 3), np.zeros(ct.grid.shape, np.uint8))
    assert planes is not None
    made = Segmentation(array=array, planes=planes, grid=ct.grid, labels=LABELS, sources=ct.sources,
                        metadata=ct.metadata)  # fmt: skip
    return made, masks


def test_each_label_is_measured_whole(ct: Volume) -> None:
    made, masks = tumour(ct)
    values = np.asarray(ct.array).astype(float)
    for name, mask in masks.items():
        found = gk.measure.roi(ct, made, labels=name)
        assert (found.n, found.mean, found.max) == (mask.sum(), values[mask].mean(), values[mask].max())
        assert found.volume == pytest.approx(mask.sum() * VOXEL)
        assert gk.measure.volume(made, labels=name).volume_voxels == pytest.approx(mask.sum() * VOXEL)


def test_a_file_of_overlapping_segments_is_measured_whole(run: Run, ct: Volume, tmp_path: Path) -> None:
    made, masks = tumour(ct)
    write_seg(made, tmp_path / "seg.dcm")
    done = run("measure", "volume", tmp_path / "ct", "--roi", tmp_path / "seg.dcm", "--json")
    assert done.returncode == 0, done.stderr
    found = {m["label"]: m["statistics"]["n"] for m in json.loads(done.stdout)["measurements"]}
    assert found == {name: int(mask.sum()) for name, mask in masks.items()}


def test_measured_regions_that_overlap_become_one_binary_segmentation(ct: Volume, tmp_path: Path) -> None:
    made, masks = tumour(ct)
    measured = [gk.measure.volume(made, labels=name) for name in masks]
    whole = segmentation_of(measured)
    for label, mask in zip(whole.labels, masks.values(), strict=True):
        np.testing.assert_array_equal(np.asarray(whole.mask(label)), mask)
    write([Row(file="x", measurement=one) for one in measured], tmp_path / "out.dcm", FORMATS["seg"])
    read = highdicom.seg.segread(tmp_path / "out.dcm").get_pixels_by_source_instance(
        [source.sop_instance_uid for source in ct.sources], assert_missing_frames_are_empty=True
    )  # [slice, row, column, segment]
    for n, mask in enumerate(masks.values()):
        np.testing.assert_array_equal(read[..., n] != 0, mask)


def test_regions_that_do_not_overlap_stay_one_map(ct: Volume) -> None:
    measured = [gk.measure.volume(ct, gk.Sphere((i, 6, 1), 1.5)) for i in (5, 15)]
    assert segmentation_of(measured).planes is None
