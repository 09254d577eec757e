"""Objects about images of old archives: retired storage classes, loops, dates and times as ACR-NEMA wrote them."""

from __future__ import annotations

from pathlib import Path

import pydicom
import pytest

import gpukit as gk
from gpukit.findings.measurement import Row
from gpukit.findings.read import read_measurements
from gpukit.findings.write import FORMATS, write


@pytest.mark.parametrize("kind", ["gsps", "sr"])
@pytest.mark.parametrize(
    ("name", "frame"), [("US-PAL-8-10x-echo", 3), ("color-pl.dcm", None), ("US-RGB-8-esopecho", None)]
)
def test_old_ultrasound(data: Path, tmp_path: Path, kind: str, name: str, frame: int | None) -> None:
    file = data / "us" / name
    image = pydicom.dcmread(file, stop_before_pixels=True)
    measured = gk.distance(file, (10, 20), (40, 60), frame=frame)
    write([Row(file=str(file), measurement=measured)], tmp_path / "made.dcm", FORMATS[kind])
    made = pydicom.dcmread(tmp_path / "made.dcm")
    assert made.StudyInstanceUID == image.StudyInstanceUID
    assert ":" not in str(made.StudyTime or "") and "." not in str(made.StudyDate or "")
    references = [
        (item.get("ReferencedSOPInstanceUID"), item.get("ReferencedSOPClassUID"), item.get("ReferencedFrameNumber"))
        for item in (element for element in walk(made))
        if "ReferencedSOPInstanceUID" in item
    ]
    assert {(uid, kind) for uid, kind, _ in references} == {(image.SOPInstanceUID, image.SOPClassUID)}
    assert {number for _, _, number in references if number is not None} == ({frame} if frame else set())
    (back,) = read_measurements(tmp_path / "made.dcm")
    assert back.measurement is not None
    assert back.measurement.graphics[0].points == ((10, 20), (40, 60))


def walk(dataset: pydicom.Dataset) -> list[pydicom.Dataset]:
    """The items of all sequences, at any depth."""
    found = []
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                found += [item, *walk(item)]
    return found
