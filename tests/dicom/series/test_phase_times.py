"""The fourth axis: seconds between the volumes of a series where it is time, and nothing where it is not."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from support.dicom_files import write_series

import gpukit as gk

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def exported(folder: Path, phases: list[dict], *, modality: str = "MR", per_slice=None, **shared) -> tuple:
    """Times of the volume, and pixdim[4] and its unit in the NIfTI that is written of it."""
    for t, values in enumerate(phases):

        def change(dataset, k, t=t, values=values) -> None:
            for keyword, value in (shared | values).items():
                setattr(dataset, keyword, value)
            if per_slice is not None:
                per_slice(dataset, t, k)

        array = np.full((4, 3, 5), 100 * t, np.int16)
        write_series(folder / "s", array, AFFINE, modality=modality, seed=t, first=10 * t, change=change)
    volume = gk.open(folder / "s", device="cpu")
    header = nib.load(gk.save(volume, folder / "v.nii")).header
    return volume.phase_times, float(header["pixdim"][4]), header.get_xyzt_units()[1]


def test_the_repetition_time_is_between_temporal_positions(tmp_path: Path) -> None:
    phases = [{"TemporalPositionIdentifier": str(t + 1)} for t in range(3)]
    assert exported(tmp_path, phases, RepetitionTime="2000") == ((0, 2, 4), 2.0, "sec")


def test_times_rounded_by_the_scanner_are_repetitions(tmp_path: Path) -> None:
    """Siemens writes acquisition times in steps of 2.5 ms."""
    phases = [{"AcquisitionTime": time} for time in ("101010.0025", "101011.355", "101012.7025")]
    assert exported(tmp_path, phases, RepetitionTime="1350") == ((0, 1.35, 2.7), pytest.approx(1.35), "sec")


def test_times_of_the_frames_come_before_the_repetition_time(tmp_path: Path) -> None:
    """Dynamic contrast: a volume takes thousands of repetitions."""
    phases = [{"TemporalPositionIdentifier": str(t + 1), "AcquisitionTime": f"1010{10 * t:02d}"} for t in range(3)]
    assert exported(tmp_path, phases, RepetitionTime="4.2") == ((0, 10, 20), 10.0, "sec")


def test_slices_in_turn_count_from_the_first_of_each_volume(tmp_path: Path) -> None:
    def moment(dataset, t, k) -> None:
        dataset.AcquisitionTime = f"10{t:02d}{10 * (k % 2) + k:02d}.25"

    assert exported(tmp_path, [{}, {}, {}], per_slice=moment) == ((0, 60, 120), 60.0, "sec")


def test_frames_of_a_dynamic_pet_are_not_evenly_spaced(tmp_path: Path) -> None:
    phases = [{"FrameReferenceTime": time} for time in ("5000", "15000", "45000")]
    times, _, unit = exported(tmp_path, phases, modality="PT", Units="BQML")
    assert times == (0, 10, 40) and unit == "unknown"


@pytest.mark.parametrize(
    "phases",
    [
        [{"EchoTime": "4.6"}, {"EchoTime": "9.2"}],
        [{"DiffusionBValue": 0.0}, {"DiffusionBValue": 1000.0}],
        [{"FlipAngle": "5"}, {"FlipAngle": "15"}],
        [{"EchoTime": e, "TemporalPositionIdentifier": t} for t in ("1", "2") for e in ("5", "10")],
        [{"DiffusionBValue": 1000.0}, {"DiffusionBValue": 1000.0}, {}],
    ],
)
def test_an_axis_that_is_no_time_has_no_unit_of_time(tmp_path: Path, phases: list[dict]) -> None:
    times, _, unit = exported(tmp_path, phases, RepetitionTime="2000")
    assert times == () and unit == "unknown"


def test_one_phase_and_other_grids_have_no_times(tmp_path: Path) -> None:
    exported(tmp_path, [{"TemporalPositionIdentifier": str(t + 1)} for t in range(2)], RepetitionTime="2000")
    assert gk.open(tmp_path / "s", device="cpu", phase=1).phase_times == ()


@pytest.mark.parametrize(
    ("folder", "reference"),
    [
        ("mr_mosaic/mr_0003", "mr_mosaic/ref/EPI_PE=AP_3.nii"),
        ("mr_enhanced/siemens_xa10", "mr_enhanced/siemens_xa10/Siemens_REST1_w_SMS_PF7-8_6.nii"),
    ],
)
def test_the_step_in_time_is_that_of_dcm2niix(data: Path, folder: str, reference: str) -> None:
    volume = gk.open(data / folder, device="cpu")
    step = nib.load(data / reference).header.get_zooms()[3]
    assert np.diff(volume.phase_times) == pytest.approx(step, rel=1e-5)  # single precision there


def test_a_cine_counts_frame_times(data: Path) -> None:
    import pydicom

    path = next(p for p in sorted((data / "us").iterdir()) if int(pydicom.dcmread(p).get("NumberOfFrames", 1)) > 1)
    step = float(pydicom.dcmread(path).FrameTime) / 1000
    assert np.diff(gk.open(path, device="cpu").phase_times) == pytest.approx(step)


@pytest.mark.parametrize(
    ("unit", "factor"), [("sec", 1.0), ("msec", 1e-3), ("usec", 1e-6), ("unknown", None), ("hz", None)]
)
def test_nifti_gives_the_times_of_its_unit(tmp_path: Path, unit: str, factor: float | None) -> None:
    image = nib.Nifti1Image(np.zeros((3, 4, 5, 3), np.int16), np.eye(4))
    image.header["pixdim"][4] = 1500
    image.header.set_xyzt_units("mm", unit)
    nib.save(image, tmp_path / "a.nii.gz")
    times = gk.open(tmp_path / "a.nii.gz", device="cpu").phase_times
    assert times == (() if factor is None else pytest.approx(1500 * factor * np.arange(3)))
    step = float(
        nib.load(gk.save(gk.open(tmp_path / "a.nii.gz", device="cpu"), tmp_path / "b.nii")).header["pixdim"][4]
    )
    assert factor is None or step == pytest.approx(1500 * factor)
