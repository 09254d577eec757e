"""Frames without a place in the patient keep the scale of their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support.viewer_files import write_frames, write_grey

from gpukit.dicom.image.frame import frames_of
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_header
from gpukit.display.frame_values import frame_values
from gpukit.display.frames import frame_at
from gpukit.errors import GpukitError


def test_values_are_rescaled_where_the_functional_groups_make_no_sense(tmp_path: Path) -> None:
    # Groups of one frame where the file has two: no place, but output units = 2 * SV - 1000 (PS3.3 C.11.1).
    groups, transformation = Dataset(), Dataset()
    transformation.RescaleSlope, transformation.RescaleIntercept, transformation.RescaleType = 2, -1000, "HU"
    groups.PixelValueTransformationSequence = [transformation]
    file = write_frames(
        tmp_path / "a.dcm", [3, 200], SharedFunctionalGroupsSequence=[groups],
        PerFrameFunctionalGroupsSequence=[Dataset()],
    )  # fmt: skip
    with pytest.raises(GpukitError):
        frames_of(read_header(Location(str(file))))
    values = [np.unique(np.asarray(frame_at(file, number).read().array)).tolist() for number in (1, 2)]
    assert values == [[2 * 3 - 1000], [2 * 200 - 1000]]


@pytest.mark.parametrize(("slope", "says"), [("x", "stored values are shown"), ("0", "is 0")])
def test_a_rescale_that_makes_no_sense_is_noted(slope: str, says: str, tmp_path: Path) -> None:
    groups, transformation = Dataset(), Dataset()
    transformation.add_new("RescaleSlope", "LO", slope)
    transformation.RescaleIntercept = 0
    groups.PixelValueTransformationSequence = [transformation]
    file = write_frames(
        tmp_path / "a.dcm", [3, 200], SharedFunctionalGroupsSequence=[groups],
        PerFrameFunctionalGroupsSequence=[Dataset()],
    )  # fmt: skip
    notes = frame_values(frame_at(file)).notes
    assert any(says in note for note in notes), notes


@pytest.mark.parametrize("orientation", [[0] * 6, [1, 0, 0, 0, 0, 0], [1, 0, 0, 1, 0, 0]])
def test_axes_that_span_no_plane_give_no_place(orientation: list[float], tmp_path: Path) -> None:
    stored = np.array([[0, 500], [1000, 1500]], np.int16)
    file = write_grey(
        tmp_path / "a.dcm", stored, "CT", RescaleSlope=2, RescaleIntercept=-1000, PixelSpacing=[1, 1],
        ImagePositionPatient=[0, 0, 0], ImageOrientationPatient=orientation,
    )  # fmt: skip
    frame = frame_at(file)
    assert frame.to_patient(1, 1) is None
    volume = frame.read()
    assert not volume.geometry.position
    np.testing.assert_array_equal(np.asarray(volume.array)[0], 2 * stored - 1000)
