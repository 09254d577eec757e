"""Frames without a place in the patient keep the scale of their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from support.viewer_files import write_frames

from gpukit.dicom.image.frame import frames_of
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_header
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
