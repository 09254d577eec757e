"""Members of a zip, read with bounds: no member can expand beyond what its directory entry claims.

The central directory is read once per archive, through `zipfile`. The bytes of stored and deflated members, which is
what real archives hold, are read without it, so that threads share nothing.
"""

from __future__ import annotations

import functools
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass

from gpukit.documents.zip_structure import check_zip
from gpukit.errors import FormatError, InputNotFoundError, TooLargeError

__all__ = ["is_zip", "members", "read_member"]

#: An archive with more entries, a bigger member or a bigger sum than this is not a study.
MAX_MEMBERS = 500_000
MAX_MEMBER_BYTES = 16 << 30
MAX_TOTAL_BYTES = 256 << 30
#: Deflate cannot exceed about 1032:1. A blank image comes near that; a big member that does is a bomb.
MAX_RATIO = 200
RATIO_FREE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class _Entry:
    offset: int  # of the local header
    compressed: int
    size: int
    method: int
    crc: int
    encrypted: bool


def is_zip(path: str) -> bool:
    """Whether the file begins as a zip does (an empty or self-extracting one does not count)."""
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            return stream.read(4) == b"PK\x03\x04"
    except OSError:
        return False


def members(path: str) -> list[str]:
    """Names of the files in a zip, directories left out.

    Raises
    ------
    FormatError
        The archive is damaged.
    TooLargeError
        It claims more entries or bytes than is reasonable.
    """
    return list(_directory(path))


def _directory(path: str) -> dict[str, _Entry]:
    try:
        status = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=path) from error
    return _read_directory(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _read_directory(path: str, _modified: int, size: int) -> dict[str, _Entry]:
    try:
        with open(path, "rb") as stream:  # noqa: PTH123
            check_zip(stream, path, strict=False)  # one file for each name, where every reader finds it
        with zipfile.ZipFile(path) as archive:
            infos = archive.infolist()
    except FormatError:
        raise
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, struct.error, UnicodeDecodeError) as error:
        raise FormatError(f"the zip cannot be read: {error}", file=path) from error
    if not all(info.filename for info in infos):
        raise FormatError("the zip has a member without a name", file=path)
    if len(infos) > MAX_MEMBERS:
        raise TooLargeError(f"the zip has {len(infos)} entries", file=path)
    entries = {
        i.filename: _Entry(i.header_offset, i.compress_size, i.file_size, i.compress_type, i.CRC, bool(i.flag_bits & 1))
        for i in infos
        if not i.is_dir()
    }
    if sum(e.size for e in entries.values()) > MAX_TOTAL_BYTES:
        raise TooLargeError("the zip claims to expand beyond reason", file=path, fix="unpack it and pass the directory")
    if sum(e.compressed for e in entries.values()) > size:
        raise FormatError("the zip's members overlap, as in a zip bomb", file=path)
    for name, entry in entries.items():
        if entry.size > MAX_MEMBER_BYTES or (
            entry.size > RATIO_FREE_BYTES and entry.size > MAX_RATIO * max(1, entry.compressed)
        ):
            raise TooLargeError(f"the member {name!r} claims to expand beyond reason", file=path)
    return entries


def read_member(path: str, name: str) -> bytes:
    """All bytes of a member, its checksum verified.

    Raises
    ------
    InputNotFoundError
        There is no such member.
    FormatError
        It is damaged, encrypted, in an unknown compression, or longer than it claims.
    """
    entry = _directory(path).get(name)
    where = f"{path}!{name}"
    if entry is None:
        raise InputNotFoundError("the zip has no such member", file=where)
    if entry.encrypted:
        raise FormatError("the zip's member is encrypted", file=where, fix="unpack it first")
    if entry.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return _read_slowly(path, name, entry, where)
    with open(path, "rb") as stream:  # noqa: PTH123
        try:
            stream.seek(entry.offset)
            local = stream.read(30)
        except (OSError, OverflowError, ValueError):  # an offset that no file has
            local = b""
        if len(local) < 30 or local[:4] != b"PK\x03\x04":
            raise FormatError("the zip's member has no local header", file=where)
        name_length, extra_length = struct.unpack_from("<HH", local, 26)
        stream.seek(name_length + extra_length, os.SEEK_CUR)
        body = stream.read(entry.compressed)
    if entry.method == zipfile.ZIP_DEFLATED:
        try:
            body = zlib.decompressobj(-15).decompress(body, entry.size + 1)
        except zlib.error as error:
            raise FormatError(f"the zip's member is damaged: {error}", file=where) from error
    if len(body) != entry.size or zlib.crc32(body) != entry.crc:
        raise FormatError("the zip's member is damaged: wrong size or checksum", file=where)
    return body


def _read_slowly(path: str, name: str, entry: _Entry, where: str) -> bytes:
    """Members in a compression other than deflate, through `zipfile`."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name) as stream:
            body = stream.read(entry.size + 1)
    except Exception as error:  # each compression raises its own kind
        raise FormatError(f"the zip's member cannot be read: {error}", file=where) from error
    if len(body) != entry.size:
        raise FormatError("the zip's member is damaged: wrong size", file=where)
    return body
