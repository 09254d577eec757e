"""UIDs of source images that break a rule: every object that refers to the images treats them alike."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.dicom_files import write_series

import gpukit as gk
from gpukit.errors import InputError
from gpukit.findings.measurement import Row
from gpukit.findings.write import FORMATS, write

pytest.importorskip("highdicom")
pytestmark = pytest.mark.filterwarnings("ignore:Invalid value for VR UI")  # of pydicom, which reads the results here

AFFINE = np.diag([1.0, 1.0, 2.0, 1.0])
KEYWORDS = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPClassUID")


def series_with(folder: Path, keyword: str, uid: str) -> list[Path]:
    """Three slices of 32 x 32 in which an attribute holds `uid` (of instances: with the slice's number)."""
    paths = write_series(folder, np.full((3, 32, 32), 100, np.int16), AFFINE)
    for n, path in enumerate(paths):
        dataset = pydicom.dcmread(path)
        own = f"{uid}{n}" if keyword == "SOPInstanceUID" else uid
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom says that they are not valid
            dataset[keyword].value = own
            if keyword in ("SOPInstanceUID", "SOPClassUID"):
                setattr(dataset.file_meta, f"MediaStorage{keyword}", own)
            dataset.save_as(path)
    return paths


def written(form: str, paths: list[Path], folder: Path) -> pydicom.Dataset:
    if form == "seg":
        measured = gk.measure.volume(folder, gk.Sphere((10, 10, 1), 5.0))
    else:
        measured = gk.distance(paths[1], (1, 1), (9, 9))
    out = folder.with_name(f"{form}.dcm")
    write([Row(file="x", measurement=measured)], out, FORMATS[form])
    return pydicom.dcmread(out)


@pytest.mark.parametrize("form", ["sr", "gsps", "seg"])
@pytest.mark.parametrize("keyword", KEYWORDS)
@pytest.mark.parametrize("uid", ["1.2.3.04.5", "1.2.3..4", "anonymous-17"])
def test_an_invalid_uid_is_repeated_as_it_is(tmp_path: Path, form: str, keyword: str, uid: str) -> None:
    """Another one would refer to nothing, and put the object into another study."""
    folder = tmp_path / "series"
    paths = series_with(folder, keyword, uid)
    dataset = written(form, paths, folder)
    values = [str(element.value) for element in dataset.iterall() if element.VR == "UI"]
    if keyword == "SOPInstanceUID":
        assert f"{uid}1" in values
    elif (
        keyword != "FrameOfReferenceUID" or form == "seg"
    ):  # pictures with pixel coordinates name no frame of reference
        assert uid in values
    if keyword == "StudyInstanceUID":
        assert dataset.StudyInstanceUID == uid


@pytest.mark.parametrize("form", ["sr", "gsps", "seg"])
@pytest.mark.parametrize("keyword", KEYWORDS[:3])
@pytest.mark.parametrize("uid", ["1." + "2" * 70, "Doe John"])
def test_what_no_object_can_hold_is_one_clear_line(tmp_path: Path, form: str, keyword: str, uid: str) -> None:
    folder = tmp_path / "series"
    paths = series_with(folder, keyword, uid)
    with pytest.raises(InputError) as caught:
        written(form, paths, folder)
    assert caught.value.attribute == keyword and str(folder) in str(caught.value)
    assert uid not in str(caught.value)  # it may be a name
    assert not list(tmp_path.glob("*.dcm"))


@pytest.mark.parametrize("form", ["sr", "gsps", "seg"])
def test_images_of_a_private_class_can_be_referred_to(tmp_path: Path, form: str) -> None:
    """Philips private MR storage, which no table of the standard has."""
    folder = tmp_path / "series"
    paths = series_with(folder, "SOPClassUID", "1.3.46.670589.11.0.0.12.1")
    values = [str(e.value) for e in written(form, paths, folder).iterall() if e.keyword == "ReferencedSOPClassUID"]
    assert "1.3.46.670589.11.0.0.12.1" in values
