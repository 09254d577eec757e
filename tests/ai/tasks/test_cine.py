"""Cine loops: every frame is labelled by a network over pictures, and all labels go into one multi-frame SEG."""

from __future__ import annotations

import json
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import torch
from support.dicom_files import new_slice
from support.oracles.seg import errors_of
from support.picture_models import write

import gpukit as gk
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.errors import SelectionError
from gpukit_cli.main import main

US_MULTIFRAME, XA = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.12.1"


class Bright(torch.nn.Module):
    """The label where the picture is brighter than the middle of its window."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.5 - x, x - 0.5], dim=1)


def squares(count: int) -> np.ndarray:
    """A bright square that moves by two pixels a frame."""
    frames = np.zeros((count, 20, 24), np.uint8)
    for n in range(count):
        frames[n, 4:9, n : n + 6] = 200
    return frames


def write_cine(path: Path, frames: np.ndarray, sop_class: str = US_MULTIFRAME, modality: str = "US") -> Path:
    dataset = new_slice(frames[0], modality="CT", series="6", number=0)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.Modality, dataset.NumberOfFrames = modality, len(frames)
    dataset.FrameIncrementPointer, dataset.FrameTime = 0x00181063, "40"
    del dataset.RescaleSlope, dataset.RescaleIntercept
    if modality == "US":
        del dataset.FrameOfReferenceUID
    dataset.PixelData = frames.tobytes()
    dataset.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    window = {"values": "window", "window": [100, 200]}
    return write(tmp_path / "model", "torchscript", "segment", Bright(), **window)


@pytest.mark.parametrize(("sop_class", "modality", "count"), [(US_MULTIFRAME, "US", 10), (XA, "XA", 17)])
def test_all_frames_are_segmented_into_one_object(
    tmp_path: Path, model: Path, sop_class: str, modality: str, count: int
) -> None:
    frames = squares(count)
    source = write_cine(tmp_path / "cine.dcm", frames, sop_class, modality)
    volume = gk.open(source, device="cpu")
    assert volume.shape == (count, 1, 20, 24) and volume.phase_times == pytest.approx(0.04 * np.arange(count))
    result = gk.segment(volume, model)
    assert np.array_equal(np.asarray(result.array) == 1, frames > 100)
    path = gk.save(result, tmp_path / "seg.dcm")
    assert errors_of(path) == []
    seg = highdicom.seg.segread(path)
    uid = pydicom.dcmread(source).SOPInstanceUID
    assert seg.NumberOfFrames == count
    for n, group in enumerate(seg.PerFrameFunctionalGroupsSequence):
        (reference,) = group.DerivationImageSequence[0].SourceImageSequence
        assert (reference.ReferencedSOPInstanceUID, reference.ReferencedFrameNumber) == (uid, n + 1)
    read = seg.get_pixels_by_source_frame(uid, list(range(1, count + 1)))
    assert np.array_equal(read[..., 0] != 0, frames > 100)
    assert "PixelMeasuresSequence" not in seg.SharedFunctionalGroupsSequence[0]


def test_the_object_is_read_back_onto_the_loop_and_onto_one_frame(tmp_path: Path, model: Path) -> None:
    frames = squares(10)
    frames[3] = 0  # no label here: the object has no frame for it
    source = write_cine(tmp_path / "cine.dcm", frames)
    volume = gk.open(source, device="cpu")
    path = gk.save(gk.segment(volume, model), tmp_path / "seg.dcm")
    back = read_seg(path, volume)
    assert back.grid.shape == (10, 20, 24) and np.array_equal(np.asarray(back.array) == 1, frames > 100)
    for n in (0, 3, 7):
        one = read_seg(path, gk.open(source, device="cpu", phase=n))
        assert np.array_equal(np.asarray(one.array)[0] == 1, frames[n] > 100)


def test_one_frame_is_segmented_where_it_is_chosen(tmp_path: Path, model: Path) -> None:
    volume = gk.open(write_cine(tmp_path / "cine.dcm", squares(10)), device="cpu")
    result = gk.segment(volume, model, phase=4)
    assert result.array.shape == (1, 20, 24) and np.array_equal(np.asarray(result.array)[0] == 1, squares(10)[4] > 100)
    path = gk.save(result, tmp_path / "seg.dcm")
    (group,) = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    assert group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber == 5


def test_phases_of_a_volume_are_still_to_be_chosen(tmp_path: Path, model: Path) -> None:
    from dataclasses import replace

    from gpukit.volume import GeometryStatus

    volume = gk.open(write_cine(tmp_path / "cine.dcm", squares(3)), device="cpu")
    with pytest.raises(SelectionError, match="3 phases"):
        gk.segment(replace(volume, geometry=GeometryStatus()), model)


def test_the_command_writes_object_report_and_picture(tmp_path: Path, model: Path, capsys) -> None:
    source = write_cine(tmp_path / "cine.dcm", squares(10))
    out = tmp_path / "seg.dcm"
    arguments = ["ai", "segment", str(source), "--model", str(model), "--output", str(out), "--device", "cpu", "--json"]
    assert main([*arguments, "--overlay", str(tmp_path / "o.png"), "--create-sr", str(tmp_path / "sr.dcm")]) == 0
    content = json.loads(capsys.readouterr().out)
    (label,) = content["labels"]
    assert label["voxels"] == 10 * 30 and label["volume_ml"] is None  # frames are no depth
    assert pydicom.dcmread(out).NumberOfFrames == 10
    assert pydicom.dcmread(tmp_path / "sr.dcm").Modality == "SR"


@pytest.mark.parametrize(("name", "count"), [("us/US-PAL-8-10x-echo", 10), ("xa_nm_ecg/HasFragmentSequence.dcm", 96)])
def test_real_loops(data: Path, tmp_path: Path, name: str, count: int) -> None:
    volume = gk.open(data / name, device="cpu")
    window = {"values": "window", "window": [0, 255]}
    if volume.axes.endswith("c"):
        window["channels"] = 1
    model = write(tmp_path / "model", "torchscript", "segment", Bright(), **window)
    result = gk.segment(volume, model)
    assert result.array.shape[0] == count
    path = gk.save(result, tmp_path / "seg.dcm")
    # the sources' own UIDs are of a root that does not exist
    assert [error for error in errors_of(path) if "Illegal root for UID" not in error] == []
    numbers = {
        int(group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedFrameNumber)
        for group in pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
    }
    assert numbers == {n + 1 for n in range(count) if np.asarray(result.array)[n].any()} and len(numbers) > 5
    assert np.array_equal(read_seg(path, volume).array, result.array)
