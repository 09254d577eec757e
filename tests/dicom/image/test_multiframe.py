"""Multi-frame objects with functional groups: place, values and phase of every frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian
from support.dicom_files import ROOT, ds, rotation
from support.dicom_items import item

import gpukit as gk
from gpukit.errors import FormatError, GeometryError

SHAPE = (4, 3, 5)


def affine_of(angles=(10.0, -20.0, 30.0)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3] = rotation(angles) * (1.5, 0.8, 3.0)
    affine[:3, 3] = (-40, 20, 7)
    return affine


def write_enhanced(path: Path, affine: np.ndarray, phases: int, order: list[int], *, share: bool) -> None:
    """Frames in `order` of (phase, slice); the stored value says which: 100 phase + slice. Slope is phase + 1."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = EnhancedMRImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = f"{ROOT}.77"
    dataset.Modality = "MR"
    dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"{ROOT}.5", f"{ROOT}.9"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = SHAPE[1:]
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 12, 11, 0
    dataset.NumberOfFrames = len(order)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    plane = item(ImageOrientationPatient=ds((affine[:3, :2] / spacing[:2]).T))
    measures = item(PixelSpacing=ds([spacing[1], spacing[0]]), SliceThickness="42")
    shared = Dataset()
    if share:
        shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [plane], [measures]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    pixels = []
    for frame in order:
        t, k = divmod(frame, SHAPE[0])
        group = Dataset()
        if not share:
            group.PlaneOrientationSequence, group.PixelMeasuresSequence = [plane], [measures]
        corner = affine[:3, 3] + k * affine[:3, 2]
        group.PlanePositionSequence = [item(ImagePositionPatient=ds(corner))]
        group.PixelValueTransformationSequence = [item(RescaleSlope=str(t + 1), RescaleIntercept="0", RescaleType="US")]
        group.MREchoSequence = [item(EffectiveEchoTime=5.0 * (phases - t))]
        group.FrameContentSequence = [item(StackID="1", InStackPositionNumber=1)]
        frames.append(group)
        pixels.append(np.full(SHAPE[1:], 100 * t + k, np.uint16))
    dataset.PerFrameFunctionalGroupsSequence = frames
    dataset.PixelData = np.stack(pixels).astype("<u2").tobytes()
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("share", [True, False])
@pytest.mark.parametrize("phases", [1, 3])
def test_frames_in_any_order(tmp_path: Path, phases: int, share: bool) -> None:
    order = np.random.default_rng(phases).permutation(phases * SHAPE[0]).tolist()
    affine = affine_of()
    write_enhanced(tmp_path / "x.dcm", affine, phases, order, share=share)
    volume = gk.open(tmp_path, device="cpu")
    assert np.allclose(volume.grid.affine, affine, atol=1e-6)
    array = np.asarray(volume.array).reshape(phases, *SHAPE)
    for t in range(phases):
        written = phases - 1 - t  # phases are ordered by echo time, which falls here
        for k in range(SHAPE[0]):
            assert (array[t, k] == (written + 1) * (100 * written + k)).all()
    assert volume.phases == (tuple(f"EchoTime {5 * (t + 1)}" for t in range(phases)) if phases > 1 else ())
    for source in volume.sources:  # frame numbers count from 1, in the file's order
        assert order[source.frame - 1] == (phases - 1 - source.phase) * SHAPE[0] + source.index


def test_fewer_groups_than_frames_is_refused(tmp_path: Path) -> None:
    from pydicom import dcmread

    path = tmp_path / "x.dcm"
    write_enhanced(path, affine_of(), 1, [0, 1, 2, 3], share=True)
    dataset = dcmread(path)
    del dataset.PerFrameFunctionalGroupsSequence[-1]
    dataset.save_as(path)
    with pytest.raises(FormatError, match="3 functional groups for 4 frames"):
        gk.open(path, device="cpu")


def test_frames_without_position_are_refused(data: Path) -> None:
    with pytest.raises(GeometryError, match="ImagePositionPatient"):
        gk.open(data / "mr_enhanced/small/emri_small.dcm", device="cpu")


def test_tiles_of_a_slide_are_no_volume(data: Path) -> None:
    with pytest.raises(GeometryError, match="tiles"):
        gk.open(data / "seg/highdicom/sm_image_control.dcm", device="cpu")


def test_four_files_of_six_frames_are_four_volumes(data: Path) -> None:
    volume = gk.open(data / "mr_enhanced/siemens_xa10", device="cpu")
    assert volume.shape == (4, 6, 64, 64)
    assert [Path(s.path).name for s in volume.sources[::6]] == [f"6_{n}.dcm" for n in (1, 2, 3, 4)]
