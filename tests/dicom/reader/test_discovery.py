"""From what a user names to files: directories, globs, DICOMDIR, zip; and what is refused."""

from __future__ import annotations

import os
import shutil
import struct
import zipfile
import zlib
from pathlib import Path

import pytest

from gpukit.dicom.reader import zip_members
from gpukit.dicom.reader.discovery import Location, discover
from gpukit.dicom.reader.headers import scan
from gpukit.errors import FormatError, InputNotFoundError, TooLargeError


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def names(found: list[Location], root: Path) -> list[str]:
    return [os.path.relpath(item.path, root) for item in found]


def test_a_directory_is_searched_below_and_hidden_files_are_not_taken(tmp_path: Path) -> None:
    for name in ("b/2.dcm", "a/1.dcm", "a/c/3", ".hidden", "a/.DS_Store", ".git/x", "DICOMDIR"):
        touch(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")  # opening it would hang
    assert names(discover(tmp_path), tmp_path) == ["a/1.dcm", "a/c/3", "b/2.dcm"]


def test_a_file_reached_twice_is_taken_once(tmp_path: Path) -> None:
    one = touch(tmp_path / "s" / "1.dcm")
    (tmp_path / "s" / "again.dcm").symlink_to(one)
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop" / "back").symlink_to(tmp_path, target_is_directory=True)
    assert len(discover([tmp_path, one, str(tmp_path / "s" / "*.dcm"), tmp_path / "loop" / ".." / "s"])) == 1


def test_a_named_file_counts_as_named_even_where_a_walk_finds_it_too(tmp_path: Path) -> None:
    one = touch(tmp_path / "notes.txt", b"no image " * 50)
    touch(tmp_path / "other.txt", b"no image " * 50)
    outcome = scan(discover([tmp_path, one]))
    assert [str(item) for item, _ in outcome.problems] == [str(one)]
    assert "not a DICOM" in str(outcome.problems[0][1])
    assert str(one) in str(outcome.problems[0][1])
    assert [Path(item.path).name for item in outcome.skipped] == ["other.txt"]


def test_globs(tmp_path: Path) -> None:
    for name in ("s/1.dcm", "s/2.dcm", "s/x.txt", "t/deep/3.dcm"):
        touch(tmp_path / name)
    assert names(discover(str(tmp_path / "s" / "*.dcm")), tmp_path) == ["s/1.dcm", "s/2.dcm"]
    assert names(discover(str(tmp_path / "**" / "*.dcm")), tmp_path) == ["s/1.dcm", "s/2.dcm", "t/deep/3.dcm"]
    # a directory that a pattern matches is searched
    assert names(discover(str(tmp_path / "t*")), tmp_path) == ["t/deep/3.dcm"]


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    one = touch(tmp_path / "slice[1].dcm")
    assert names(discover(str(one)), tmp_path) == ["slice[1].dcm"]


@pytest.mark.parametrize("source", ["absent.dcm", "none*.dcm", "empty", []])
def test_nothing_there_is_an_error_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: object
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputNotFoundError) as caught:
        discover(source)  # type: ignore[arg-type]
    assert isinstance(caught.value, FileNotFoundError)
    if isinstance(source, str):
        assert source in str(caught.value)


def test_dicomdir_references_are_followed(data: Path) -> None:
    folder = data / "dicomdir"
    dicomdir = next(p for p in folder.rglob("DICOMDIR") if p.is_file())
    found = discover(dicomdir)
    # every file beside it is referenced by it, and none else
    expected = {str(p.resolve()) for p in dicomdir.parent.rglob("*") if p.is_file() and p.name != "DICOMDIR"}
    reached = {str(Path(item.path).resolve()) for item in found}
    assert reached
    assert reached <= expected
    headers = scan(found)
    assert len({h.get("PatientID") for h in headers.headers}) >= 2
    assert not headers.problems


def test_dicomdir_with_missing_files_warns_and_with_all_missing_fails(data: Path, tmp_path: Path) -> None:
    source = next(p for p in (data / "dicomdir").rglob("DICOMDIR") if p.is_file())
    copy = tmp_path / "copy"
    shutil.copytree(source.parent, copy)
    found = discover(copy / "DICOMDIR")
    Path(found[0].path).unlink()
    with pytest.warns(UserWarning, match="1 referenced files are missing"):
        assert len(discover(copy / "DICOMDIR")) == len(found) - 1
    alone = tmp_path / "alone"
    alone.mkdir()
    shutil.copy(source, alone / "DICOMDIR")
    with pytest.raises(InputNotFoundError, match="none of the referenced files"):
        discover(alone / "DICOMDIR")


def test_a_damaged_dicomdir_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="DICOMDIR"):
        discover(touch(tmp_path / "DICOMDIR", b"nothing of the kind"))


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_members_give_the_same_headers_as_the_files(data: Path, tmp_path: Path, method: int) -> None:
    folder = data / "compressed" / "nema_wg04" / "CT1"
    target = tmp_path / "study.zip"
    with zipfile.ZipFile(target, "w", method) as archive:
        for path in folder.iterdir():
            archive.write(path, f"deep/{path.name}")
        archive.writestr("__MACOSX/._x", b"no")
        archive.writestr("deep/.hidden", b"no")
        archive.writestr("DICOMDIR", b"no")
    from_zip, from_disk = scan(discover(target)).headers, scan(discover(folder)).headers
    assert [h.location.member for h in from_zip] == [f"deep/{Path(h.location.path).name}" for h in from_disk]
    assert [dict(h.values) for h in from_zip] == [dict(h.values) for h in from_disk]
    assert [h.pixels for h in from_zip] == [h.pixels for h in from_disk]
    header = from_zip[0]
    assert header.location.read_range(128, 4) == b"DICM"
    assert f"{target}!deep/" in str(header.location)
    assert header.dataset().Modality == "CT"


def test_a_zip_bomb_is_refused_before_it_expands(tmp_path: Path) -> None:
    """Its directory claims 8 GiB for a member of a few bytes."""
    target = tmp_path / "bomb.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * 1000)
    body = bytearray(target.read_bytes())
    at = body.rindex(b"PK\x01\x02")
    struct.pack_into("<I", body, at + 24, 0xFFFFFF00)
    target.write_bytes(body)
    with pytest.raises(TooLargeError, match=r"a\.dcm"):
        discover(target)


def test_a_member_that_is_longer_or_shorter_than_it_claims_is_damaged(tmp_path: Path) -> None:
    target = tmp_path / "liar.zip"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.dcm", b"\0" * (1 << 20))
    for claim in (1000, (1 << 20) + 1):
        body = bytearray(target.read_bytes())
        struct.pack_into("<I", body, body.rindex(b"PK\x01\x02") + 24, claim)
        (tmp_path / f"{claim}.zip").write_bytes(body)
        with pytest.raises(FormatError, match="size or checksum"):
            discover(tmp_path / f"{claim}.zip")[0].open()


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    """Many entries that share one body: the bomb that stays below every ratio."""
    packed = zlib.compress(b"\0" * 100_000, 9)[2:-4]
    crc = zlib.crc32(b"\0" * 100_000)
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, 0, 8, 0, 0, crc, len(packed), 100_000, 1, 0) + b"a" + packed
    central = b""
    for n in range(500):
        name = b"%d" % n
        central += (
            struct.pack(
                "<4sHHHHHHIIIHHHHHII",
                b"PK\1\2",
                20,
                20,
                0,
                8,
                0,
                0,
                crc,
                len(packed),
                100_000,
                len(name),
                0,
                0,
                0,
                0,
                0,
                0,
            )
            + name
        )
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 500, 500, len(central), len(local), 0)
    (tmp_path / "o.zip").write_bytes(local + central + end)
    with pytest.raises(FormatError, match="overlap"):
        discover(tmp_path / "o.zip")


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zip_members, "MAX_MEMBERS", 3)
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        for n in range(4):
            archive.writestr(str(n), b"")
    with pytest.raises(TooLargeError, match="4 entries"):
        discover(tmp_path / "m.zip")


def test_a_damaged_zip_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="zip"):
        discover(touch(tmp_path / "x.zip", b"PK\x03\x04" + b"\0" * 100))
    assert zip_members.is_zip(str(tmp_path / "absent")) is False


def test_encrypted_members_say_so(tmp_path: Path) -> None:
    target = tmp_path / "e.zip"
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("a", b"abc")
    body = bytearray(target.read_bytes())
    body[body.rindex(b"PK\x01\x02") + 8] |= 1
    target.write_bytes(body)
    with pytest.raises(FormatError, match="encrypted"):
        discover(target)[0].open()
