"""Multi-frame files without functional groups: their frames are slices where the file says so."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support.dicom_files import new_slice
from support.oracles.dcm2niix import converted, same_voxels_in_place

import gpukit as gk
from gpukit.errors import GeometryError

COUNT = 6
CT = "1.2.840.10008.5.1.4.1.1.2"
NM = "1.2.840.10008.5.1.4.1.1.20"
SC_WORD = "1.2.840.10008.5.1.4.1.1.7.3"
SLICES, FRAMES, LOCATIONS = 0x00540080, 0x00181063, 0x00182005


def frames(count: int = COUNT) -> np.ndarray:
    """Every frame and every voxel differs."""
    return np.arange(count * 12, dtype=np.uint16).reshape(count, 3, 4)


def write(path: Path, sop_class: str, modality: str, *, at_top: bool = True, count: int = COUNT, **attributes) -> Path:
    """Frames at (5, 6, 7) with pixels of 2 mm; `at_top`, or in the first detector as NM has it."""
    dataset = new_slice(frames()[0], modality="CT", series="4", number=0)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = sop_class
    dataset.Modality, dataset.NumberOfFrames = modality, count
    dataset.PixelData = frames(count).tobytes()
    dataset.PixelSpacing = ["2", "2"]
    place = dataset if at_top else Dataset()
    place.ImagePositionPatient, place.ImageOrientationPatient = ["5", "6", "7"], ["1", "0", "0", "0", "1", "0"]
    if not at_top:
        dataset.DetectorInformationSequence = [place]
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "RECON TOMO", "EMISSION"]
    for keyword, value in attributes.items():
        setattr(dataset, keyword, value)
    dataset.save_as(path, enforce_file_format=True)
    return path


CASES = {
    "CT spacing": ((CT, "CT"), {"SpacingBetweenSlices": "0.3", "SliceThickness": "0.5"}, 0.3),
    "CT thickness": ((CT, "CT"), {"SliceThickness": "0.4"}, 0.4),
    "NM spacing": ((NM, "NM", False), {"SpacingBetweenSlices": "3.5", "SliceThickness": "4"}, 3.5),
    "NM thickness": ((NM, "NM", False), {"SliceThickness": "4"}, 4.0),
    "NM vector": (
        (NM, "NM", False),
        {"SliceThickness": "4", "FrameIncrementPointer": SLICES, "SliceVector": [1, 2, 3, 4, 5, 6]},
        4.0,
    ),
    "SC word": ((SC_WORD, "OT"), {"SpacingBetweenSlices": "1.5"}, 1.5),
    "SC word with a frame time": (
        (SC_WORD, "OT"),
        {"SpacingBetweenSlices": "1.5", "FrameIncrementPointer": FRAMES, "FrameTime": "40"},
        1.5,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_frames_lie_one_behind_the_other_as_in_dcm2niix(tmp_path: Path, name: str) -> None:
    (sop_class, modality, *top), attributes, step = CASES[name]
    path = write(tmp_path / "a.dcm", sop_class, modality, at_top=not top, **attributes)
    volume = gk.open(path, device="cpu")
    assert volume.axes == "kji" and np.array_equal(np.asarray(volume.array), frames())
    assert volume.grid.origin == (5, 6, 7) and volume.grid.spacing == pytest.approx((2, 2, step))
    assert any("thickness" in note for note in volume.notes) == ("SpacingBetweenSlices" not in attributes)
    assert not any("no patient geometry" in note for note in volume.notes)
    same_voxels_in_place(volume, converted(path, tmp_path))


def test_locations_of_the_frames_are_followed(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", SC_WORD, "OT", FrameIncrementPointer=LOCATIONS, SliceLocationVector=[10, 13, 16, 19, 22, 25]
    )
    volume = gk.open(path, device="cpu")
    assert volume.grid.spacing[2] == pytest.approx(3) and volume.grid.origin == (5, 6, 7)


def test_a_negative_distance_runs_against_the_normal(tmp_path: Path) -> None:
    """As SimpleITK reads it: the last frame lies 17.5 mm below the first."""
    volume = gk.open(write(tmp_path / "a.dcm", NM, "NM", at_top=False, SpacingBetweenSlices="-3.5"), device="cpu")
    assert volume.grid.origin == (5, 6, -10.5)
    assert np.array_equal(np.asarray(volume.array), frames()[::-1])


def test_energy_windows_of_a_tomogram_are_volumes(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", NM, "NM", at_top=False, SpacingBetweenSlices="4", SliceVector=[1, 2, 3, 1, 2, 3],
        EnergyWindowVector=[1, 1, 1, 2, 2, 2],
    )  # fmt: skip
    volume = gk.open(path, device="cpu")
    assert volume.shape == (2, 3, 3, 4) and volume.phases == ("EnergyWindow 1", "EnergyWindow 2")
    assert np.array_equal(np.asarray(volume.array).reshape(6, 3, 4), frames())


def test_slices_without_a_distance_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GeometryError, match=r"6 slices and does not say how far apart .*SpacingBetweenSlices"):
        gk.open(write(tmp_path / "a.dcm", CT, "CT"), device="cpu")


def test_frames_in_time_stay_at_their_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.dcm", SC_WORD, "OT", SliceThickness="3", FrameIncrementPointer=FRAMES, FrameTime="40")
    volume = gk.open(path, device="cpu")
    assert volume.shape == (COUNT, 1, 3, 4) and volume.grid.origin == (5, 6, 7)
    assert np.array_equal(np.asarray(volume.array)[:, 0], frames())


def test_projections_of_a_tomogram_are_no_slices(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.dcm", NM, "NM", at_top=False, SpacingBetweenSlices="4", ImageType=["ORIGINAL", "PRIMARY", "TOMO"]
    )
    assert gk.open(path, device="cpu").axes == "tkji"
