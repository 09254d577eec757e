"""Names within zips and DICOMDIRs: none, very long ones, and some that would command a terminal."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MediaStorageDirectoryStorage

import gpukit as gk
from gpukit.errors import FormatError, GpukitError, InputNotFoundError


def test_a_member_without_a_name_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x", b"1")
    content = bytearray(file.read_bytes())
    start = content.index(b"PK\x01\x02")
    content[start + 28 : start + 30] = b"\0\0"  # length of the name in the central directory
    content[start + 30 : start + 32] = b"\1\0"  # its one byte becomes an extra field
    file.write_bytes(content)
    with pytest.raises(FormatError, match=r"a\.zip"):
        gk.open(file)


@pytest.mark.parametrize("name", ["n" * 60000 + ".dcm", "\x1b[2Jx\nError: fine.dcm"])
def test_names_of_members_do_not_rule_the_message(tmp_path: Path, name: str) -> None:
    file = tmp_path / "a.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, b"no DICOM")
    with pytest.raises(GpukitError) as caught:
        gk.open(file)
    text = str(caught.value)
    assert len(text) < 3000
    assert text.isprintable()
    assert "a.zip" in text


def test_a_dicomdir_with_a_name_that_no_file_system_takes(tmp_path: Path) -> None:
    record = Dataset()
    directory = Dataset()
    directory.file_meta = FileMetaDataset()
    directory.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    directory.file_meta.MediaStorageSOPClassUID = MediaStorageDirectoryStorage
    directory.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    directory.DirectoryRecordSequence = [record]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says that the name is too long
        record.ReferencedFileID = ["A" * 3000, "B"]
        directory.save_as(tmp_path / "DICOMDIR", enforce_file_format=True)
    with pytest.raises(InputNotFoundError, match="none of the referenced files is there") as caught:
        gk.find_series(tmp_path / "DICOMDIR")
    assert len(str(caught.value)) < 1000
