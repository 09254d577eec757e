"""Damaged attributes of every kind of DICOM object: each is refused with the name of the file, none escapes."""

from __future__ import annotations

import copy
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.dicom_files import write_series
from support.rtstruct_files import write_rtstruct

import gpukit as gk
from gpukit.dicom.pr.gsps_read import read_gsps
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_dataset
from gpukit.errors import FormatError, GpukitError
from gpukit.findings.read import read_measurements
from gpukit.io.masks import mask_labels
from gpukit.segmentation import Label, Segmentation
from gpukit_cli.main import main

pytest.importorskip("highdicom", reason="the objects of these tests are written with highdicom: extra dicom")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SEG, an SR, a GSPS and an RTSTRUCT of one series, which is beside them."""
    folder = tmp_path_factory.mktemp("objects")
    images = write_series(
        folder / "images", np.zeros((4, 8, 10), np.int16), np.diag([0.7, 0.8, 2.0, 1.0]), modality="CT"
    )
    volume = gk.open(folder / "images")
    label = Label(
        value=1, name="one", category=("123037004", "SCT", "Anatomical Structure"), type=("10200004", "SCT", "Liver")
    )
    array = np.zeros((4, 8, 10), np.uint8)
    array[1:3, 2:5, 2:6] = 1
    gk.save(Segmentation(array=array, grid=volume.grid, labels=(label,), sources=volume.sources), folder / "seg.dcm")
    for form in ("sr", "gsps"):
        words = ["--p1", "1,1", "--p2", "5,5", "--format", form, "--output", str(folder / f"{form}.dcm")]
        assert main(["measure", "distance", str(images[0]), *words], program="gpukit") == 0
    ring = np.array([[1.0, 1, 0], [5, 1, 0], [5, 5, 0], [1, 5, 0]])
    write_rtstruct(folder / "rtstruct.dcm", {"one": [ring]})
    return folder


def steps(file: Path, volume: gk.Volume) -> list[Callable[[], Any]]:
    return [
        lambda: gk.find_series(file),
        lambda: gk.open(file),
        lambda: gk.open_mask(file, volume),
        lambda: mask_labels(file),
        lambda: read_measurements(file),
        lambda: read_gsps(file),
    ]


@pytest.mark.parametrize("name", ["seg", "sr", "gsps", "rtstruct", "image"])
def test_a_value_representation_that_no_standard_knows(objects: Path, tmp_path: Path, name: str) -> None:
    """Each element with a short explicit VR in turn, at any depth, gets the VR ``IC``."""
    source = next((objects / "images").iterdir()) if name == "image" else objects / f"{name}.dcm"
    content, volume = source.read_bytes(), gk.open(objects / "images")
    places = [
        n
        for n in range(132, len(content) - 8)
        if content[n + 4 : n + 6] in (b"US", b"DS", b"IS", b"UI", b"CS", b"LO", b"SQ", b"PN")
        and struct.unpack_from("<H", content, n)[0] in range(0x0008, 0x3007)
    ]
    assert len(places) > 10
    refused = 0
    for place in places[:: max(1, len(places) // 60)]:
        file = tmp_path / f"{place}.dcm"  # a name of its own: what a reader keeps, it keeps by the file's name
        file.write_bytes(content[: place + 4] + b"IC" + content[place + 6 :])
        for step in steps(file, volume):
            try:
                step()
            except GpukitError as error:
                refused += 1
                assert str(file) in str(error)
                assert "Secret" not in str(error)
        file.unlink()
    assert refused


def test_the_error_names_the_attribute_within_a_sequence(objects: Path, tmp_path: Path) -> None:
    content = (objects / "seg.dcm").read_bytes()
    tag = struct.pack("<HH", 0x0062, 0x0004) + b"US"  # SegmentNumber
    assert content.count(tag) == 1
    (tmp_path / "seg.dcm").write_bytes(content.replace(tag, tag[:4] + b"IC"))
    dataset = read_dataset(Location(str(tmp_path / "seg.dcm")))
    with pytest.raises(FormatError, match=r"value representation is unknown.*\[SegmentNumber\]"):
        dataset.SegmentSequence[0].get("SegmentNumber")


def test_a_checked_header_is_else_as_pydicom_has_it(objects: Path, tmp_path: Path) -> None:
    import pydicom

    ours = read_dataset(Location(str(objects / "seg.dcm")))
    theirs = pydicom.dcmread(objects / "seg.dcm", stop_before_pixels=True)
    assert theirs == ours
    assert isinstance(ours, pydicom.FileDataset)
    assert ours.get("NoSuchKeyword", 7) == 7
    assert copy.deepcopy(ours).SegmentSequence[0].SegmentNumber == 1
    assert pickle.loads(pickle.dumps(ours)).SegmentSequence[0].SegmentNumber == 1
    with pytest.raises(AttributeError):
        _ = ours.PixelData
    with pytest.raises(KeyError):
        _ = ours[0x0011, 0x1001]


@pytest.mark.parametrize("keyword", ["NumberOfFrames", "Rows", "SamplesPerPixel"])
def test_a_count_that_is_text_is_refused(tmp_path: Path, keyword: str) -> None:
    """Text under another VR takes the place of a count, as in a file whose bytes were moved."""
    from pydicom.datadict import tag_for_keyword

    file = write_series(tmp_path, np.zeros((1, 8, 10), np.int16), np.eye(4))[0]
    tag = tag_for_keyword(keyword)
    assert tag is not None
    content = file.read_bytes()
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    if head in content:
        start = content.index(head)
        length = 8 + struct.unpack_from("<H", content, start + 6)[0]
        content = content[:start] + head + b"LO" + struct.pack("<H", 4) + b"A\\\\B" + content[start + length :]
    else:
        start = content.index(struct.pack("<HH", 0x0028, 0x0010))  # Rows comes after NumberOfFrames
        content = content[:start] + head + b"LO" + struct.pack("<H", 4) + b"A\\\\B" + content[start:]
    file.write_bytes(content)
    for step in (lambda: gk.find_series(file), lambda: gk.open(file)):
        with pytest.raises(FormatError) as caught:
            step()
        assert file.name in str(caught.value)
