"""``gpukit measure`` lines that write DICOM objects, as real processes."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import highdicom
import pydicom
import pytest
from pydicom.data import get_testdata_file

LINE = ("measure", "distance", "ct.dcm", "--p1", "10,10", "--p2", "60,50", "--output")
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    shutil.copy(get_testdata_file("CT_small.dcm"), tmp_path / "ct.dcm")
    return tmp_path


def test_save_measurements_as_gsps(run: Run, ct: Path) -> None:
    line = (*LINE, "gsps.dcm", "--format", "gsps")
    done = run(*line, "--annotation", "Tumor diameter", cwd=ct)
    assert done.returncode == 0, done.stderr
    state, image = pydicom.dcmread(ct / "gsps.dcm"), pydicom.dcmread(ct / "ct.dcm")
    assert state.SOPClassUID.name == "Grayscale Softcopy Presentation State Storage"
    item = state.GraphicAnnotationSequence[0]
    assert item.ReferencedImageSequence[0].ReferencedSOPInstanceUID == image.SOPInstanceUID
    assert list(item.GraphicObjectSequence[0].GraphicData) == [10.5, 10.5, 60.5, 50.5]
    # hypot(50, 40) pixels of 0.661468 mm, written with five digits
    assert item.TextObjectSequence[0].UnformattedTextValue == "Tumor diameter: 42.355 mm"
    again = run(*line, cwd=ct)
    assert again.returncode == 1 and "--force" in again.stderr


def test_a_report_goes_round(run: Run, ct: Path) -> None:
    assert run(*LINE, "sr.dcm", "--format", "sr", "--annotation", "Tumor diameter", cwd=ct).returncode == 0
    (group,) = highdicom.sr.srread(ct / "sr.dcm").content.get_image_measurement_groups()
    assert group.get_measurements()[0].value == pytest.approx(42.354618, abs=5e-7)
    listed = json.loads(run("measure", "list", "sr.dcm", "--json", cwd=ct).stdout)
    (found,) = listed["measurements"]
    assert (found["label"], found["type"], found["quantities"][0]["unit"]) == ("Tumor diameter", "distance", "mm")
    again = json.loads(run("measure", "again", "sr.dcm", "ct.dcm", "--json", cwd=ct).stdout)
    details = {detail["name"]: detail["value"] for detail in again["measurements"][0]["details"]}
    assert details["difference_length"] == 0


def test_a_suffix_that_fits_two_formats_must_be_told(run: Run, ct: Path) -> None:
    done = run(*LINE, "x.dcm", cwd=ct)
    assert done.returncode == 2 and "--format gsps or sr" in done.stderr
    assert not (ct / "x.dcm").exists()


def test_a_report_that_is_none_is_told_and_others_are_listed(run: Run, ct: Path) -> None:
    done = run("measure", "list", "ct.dcm", cwd=ct)
    assert done.returncode == 1 and "no measurements" in done.stderr and "Traceback" not in done.stderr
