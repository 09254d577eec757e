"""The structure of a zip: whether every reader finds the same files in it.

A zip says where its files are in a directory at its end, and before each file again. Readers differ in which of the two
they trust, in where they look for the directory, and in whether ``A`` and ``a`` are one name. Where two programs read
one zip, such as a check and the library that loads it, a zip with two meanings passes the check of one of them.

Sources: PKWARE's APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from gpukit.errors import FormatError

__all__ = ["ZipMember", "check_zip", "name_key"]

_END, _END64, _LOCATOR64, _ENTRY, _LOCAL = b"PK\x05\x06", b"PK\x06\x06", b"PK\x06\x07", b"PK\x01\x02", b"PK\x03\x04"
_MOST_DIRECTORY = 256 << 20
_MOST_MEMBERS = 500_000
_MAX16, _MAX32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _DESCRIPTOR, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
_ZIP64, _UNICODE_NAME = 0x0001, 0x7075
_Wrong = Callable[[str], FormatError]


@dataclass(frozen=True, slots=True)
class ZipMember:
    """One entry of the directory.

    Parameters
    ----------
    name : str
        As the directory has it.
    size, packed : int
        Bytes of the file, and of what is stored of it.
    method, flags : int
        Compression and general purpose bits.
    offset : int
        Of its local header.
    """

    name: str
    size: int
    packed: int
    method: int
    flags: int
    offset: int


def check_zip(stream: BinaryIO, file: str | os.PathLike[str], *, strict: bool = True) -> tuple[ZipMember, ...]:
    """The entries of a zip that has one meaning only.

    Parameters
    ----------
    stream : binary stream
        That can be sought.
    file : path-like
        Named in errors.
    strict : bool
        Also look at every local header, and take what programs that store numbers write: no comment, no encryption, no
        compression but deflate. Otherwise only the directory is checked, and bytes behind the end are not looked at.

    Raises
    ------
    FormatError
        It is not a zip, is damaged, or could be read in two ways.
    """
    try:
        return _checked(stream, file, strict)
    except FormatError:
        raise
    except (OSError, OverflowError, ValueError, struct.error) as error:
        raise FormatError(f"the zip cannot be read: {error}", file=file) from error


def name_key(name: str) -> str:
    """What two names have in common that are one file to some reader or some file system."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).casefold().rstrip("/. ")


def _checked(stream: BinaryIO, file: str | os.PathLike[str], strict: bool) -> tuple[ZipMember, ...]:
    def wrong(what: str) -> FormatError:
        return FormatError(f"the zip {what}", file=file, fix="get it again, or pack its files anew")

    start, size, count, comment = _directory_place(stream, wrong, strict)
    if strict and comment:
        raise wrong("has a comment, in which a second directory may be")
    if size > _MOST_DIRECTORY or count > _MOST_MEMBERS:
        raise wrong(f"claims {count} files")
    stream.seek(start)
    directory = stream.read(size)
    if len(directory) != size:
        raise wrong("ends within its directory")
    members: list[ZipMember] = []
    at = 0
    while at < size:
        member, at = _entry(directory, at, wrong, strict)
        members.append(member)
    if len(members) != count:
        raise wrong(f"has {len(members)} entries, and its end says {count}")
    names: dict[str, ZipMember] = {}
    for member in members:
        other = names.setdefault(name_key(member.name), member)
        if other is not member and (strict or other.name == member.name):
            raise wrong(f"has two files of one name: {other.name[:80]!r} and {member.name[:80]!r}")
    if strict:
        _check_locals(stream, members, start, wrong)
    return tuple(members)


def _directory_place(stream: BinaryIO, wrong: _Wrong, strict: bool) -> tuple[int, int, int, int]:
    """First byte, size and entries of the directory, and the length of the comment."""
    length = stream.seek(0, os.SEEK_END)
    tail_at = max(0, length - 22 - _MAX16)
    stream.seek(tail_at)
    tail = stream.read(length - tail_at)
    place = len(tail) - 22
    if place < 0:
        raise wrong("is empty or cut off")
    if tail[place : place + 4] != _END or tail[-2:] != b"\0\0":
        place = tail.rfind(_END)
        if place < 0 or place + 22 > len(tail):
            raise wrong("has no end record: it is damaged or not a zip")
    disk, first_disk, here, count, size, start, comment = struct.unpack_from("<4H2IH", tail, place + 4)
    if strict and place + 22 + comment != len(tail):  # servers and mail programs add line ends
        raise wrong("has bytes behind its end record")
    end = tail_at + place
    limit = end
    if end >= 20:
        stream.seek(end - 20)
        locator = stream.read(20)
        if locator[:4] == _LOCATOR64:
            limit, plain = _end64(stream, locator, end, wrong), (here, count, size, start)
            stream.seek(limit + 24)
            here, count, size, start = struct.unpack("<4Q", stream.read(32))
            for small, large, most in zip(plain, (here, count, size, start), (_MAX16, _MAX16, _MAX32, _MAX32),
                                          strict=True):  # fmt: skip
                if small not in (large, most):
                    raise wrong("has two end records that differ")
    if disk or first_disk or here != count:
        raise wrong("is one part of several")
    if start + size != limit:
        raise wrong("has a directory that is not where its end record says")
    return start, size, count, comment


def _end64(stream: BinaryIO, locator: bytes, end: int, wrong: _Wrong) -> int:
    """First byte of the zip64 end record, which must stand right before its locator."""
    disk, at, disks = struct.unpack_from("<IQI", locator, 4)
    stream.seek(at)
    record = stream.read(56)
    if disk or disks > 1 or at + 56 != end - 20 or record[:4] != _END64:
        raise wrong("has a zip64 end record that is not where its locator says")
    if struct.unpack_from("<Q", record, 4)[0] != 44 or any(struct.unpack_from("<2I", record, 16)):
        raise wrong("has a zip64 end record of an unknown kind")
    return int(at)


def _entry(directory: bytes, at: int, wrong: _Wrong, strict: bool) -> tuple[ZipMember, int]:
    if directory[at : at + 4] != _ENTRY or at + 46 > len(directory):
        raise wrong("has a damaged directory")
    flags, method = struct.unpack_from("<2H", directory, at + 8)
    packed, size, name_length, extra_length, comment_length, disk = struct.unpack_from("<2I4H", directory, at + 20)
    offset = struct.unpack_from("<I", directory, at + 42)[0]
    stop = at + 46 + name_length + extra_length + comment_length
    if stop > len(directory):
        raise wrong("has a damaged directory")
    raw = directory[at + 46 : at + 46 + name_length]
    name = raw.decode("utf-8" if flags & _UTF8 else "cp437")
    if not name or re.search(r"[\x00-\x1f\x7f]", name):
        raise wrong(f"has a file of the name {name[:80]!r}")
    extra = directory[at + 46 + name_length : at + 46 + name_length + extra_length]
    size, packed, offset = _large(extra, size, packed, offset, disk, wrong, strict)
    if strict:
        if flags & (_ENCRYPTED | _STRONG | _MASKED):
            raise wrong(f"has an encrypted file, {name[:80]!r}")
        if method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise wrong(f"has a file in compression {method}, {name[:80]!r}")
        if method == zipfile.ZIP_STORED and size != packed:
            raise wrong(f"has a file of two sizes, {name[:80]!r}")
    return ZipMember(name, size, packed, method, flags, offset), stop


def _large(
    extra: bytes, size: int, packed: int, offset: int, disk: int, wrong: _Wrong, strict: bool
) -> tuple[int, int, int]:
    """Sizes and offset, from the zip64 field where the entry's own have no room for them."""
    fields: dict[int, bytes] = {}
    at = 0
    while at + 4 <= len(extra):
        number, length = struct.unpack_from("<2H", extra, at)
        if number in (_ZIP64, _UNICODE_NAME) and (number in fields or at + 4 + length > len(extra)):
            raise wrong("has a damaged directory")
        fields[number] = extra[at + 4 : at + 4 + length]
        at += 4 + length
    if strict and _UNICODE_NAME in fields:
        raise wrong("has a file of two names")
    if disk not in (0, _MAX16):
        raise wrong("is one part of several")
    if _MAX32 not in (size, packed, offset):
        return size, packed, offset
    wide, values = fields.get(_ZIP64, b""), []
    place = 0
    for value in (size, packed, offset):
        if value == _MAX32:
            if place + 8 > len(wide):
                raise wrong("has a damaged directory")
            value = struct.unpack_from("<Q", wide, place)[0]
            place += 8
        values.append(int(value))
    return values[0], values[1], values[2]


def _check_locals(stream: BinaryIO, members: list[ZipMember], end: int, wrong: _Wrong) -> None:
    """Every file says of itself what the directory says, and no two share bytes."""
    reached = 0
    for member in sorted(members, key=lambda one: one.offset):
        if member.offset < reached:
            raise wrong(f"has files that overlap, such as {member.name[:80]!r}")
        stream.seek(member.offset)
        local = stream.read(30)
        if len(local) != 30 or local[:4] != _LOCAL:
            raise wrong(f"has no file where its directory says, {member.name[:80]!r}")
        flags, method = struct.unpack_from("<2H", local, 6)
        packed, size, name_length, extra_length = struct.unpack_from("<2I2H", local, 18)
        name = stream.read(name_length).decode("utf-8" if flags & _UTF8 else "cp437")
        alike = name == member.name and method == member.method and flags == member.flags
        if not flags & _DESCRIPTOR:
            alike = alike and size in (member.size, _MAX32) and packed in (member.packed, _MAX32)
        if not alike:
            raise wrong(f"has a file that differs from its directory, {member.name[:80]!r}")
        reached = member.offset + 30 + name_length + extra_length + member.packed
        if reached > end:
            raise wrong(f"has a file that reaches into its directory, {member.name[:80]!r}")
