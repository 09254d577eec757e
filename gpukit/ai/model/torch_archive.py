"""Torch's zip archives, checked before torch opens them: their structure, and what they would unpack to.

Torch reads archives with a reader of its own. An archive that the check and torch could read in two ways is refused
(`gpukit.documents.zip_structure`).
"""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import BinaryIO

from gpukit.documents.zip_structure import ZipMember, check_zip
from gpukit.errors import FormatError, ModelError

__all__ = ["check_archive", "is_archive", "members_of"]

#: Torch compresses the text of programs and nothing else; the largest networks have a few megabytes of it.
_MOST_COMPRESSED = 64 << 20
_MOST_MEMBERS = 200_000
_FIX = "get it again from a source that you trust, or save it anew with torch"


def is_archive(file: Path) -> bool:
    """Whether torch takes the file for an archive, or Python does."""
    with file.open("rb") as stream:
        return stream.read(4) in (b"PK\x03\x04", b"PK\x05\x06") or zipfile.is_zipfile(stream)


def check_archive(file: Path) -> None:
    """ModelError where an archive has two meanings or would unpack to far more than it is; other files pass.

    Numbers are stored as they are. A member that is compressed to a thousandth, or members that lie upon one another,
    are there to exhaust the memory.
    """
    try:
        if not is_archive(file):
            return
        with file.open("rb") as stream:
            members_of(stream, file)
    except OSError as error:
        raise ModelError(f"the weights cannot be read: {error.strerror or error}", file=file) from error


def members_of(stream: BinaryIO, file: Path) -> tuple[ZipMember, ...]:
    """The members of an archive of torch's.

    Raises
    ------
    ModelError
        It is not a zip, has two meanings, or would unpack to far more than it is.
    """
    try:
        members = check_zip(stream, file)
    except FormatError as error:
        raise ModelError(error.what, file=file, fix=_FIX) from error
    size = stream.seek(0, 2)
    packed = sum(m.size for m in members if m.method != zipfile.ZIP_STORED)
    plain = sum(m.size for m in members if m.method == zipfile.ZIP_STORED)
    if len(members) > _MOST_MEMBERS or packed > _MOST_COMPRESSED or plain > size:
        raise ModelError(
            f"the archive of {size} bytes would unpack to {packed + plain} bytes in {len(members)} files", file=file,
            fix="get it again from a source that you trust; torch.save does not compress numbers",
        )  # fmt: skip
    if odd := next((m.name for m in members if not m.name.isascii()), None):
        raise ModelError(f"the archive has a file of the name {odd[:80]!r}, which torch does not write", file=file,
                         fix=_FIX)  # fmt: skip
    return members
