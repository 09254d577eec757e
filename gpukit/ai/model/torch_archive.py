"""Torch's zip archives, looked at before torch opens them: what they would unpack, and what their programs reach."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

from gpukit.errors import ModelError

__all__ = ["check_archive", "check_script"]

#: Torch compresses the text of programs and nothing else; the largest networks have a few megabytes of it.
_MOST_COMPRESSED = 64 << 20
_MOST_MEMBERS = 200_000
#: TorchScript has two ways to files: ``torch.from_file`` maps one, also for writing, and ``torch.save`` writes one. Any
#: other name for them needs the name itself, or ``getattr``, which torch writes for submodules such as ``"0"``.
_REACHES_OUT = re.compile(rb"""\bfrom_file\b|\.\s*save\b|["']save["']|\bgetattr\b[^\\]{0,300}\\""")


def check_archive(file: Path) -> None:
    """ModelError where an archive would unpack to far more than it is; files that are no archives pass.

    Numbers are stored as they are, so that a member which is compressed to a thousandth, or members that lie upon one
    another, are there to exhaust the memory.
    """
    try:
        if not zipfile.is_zipfile(file):
            return
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
        size = file.stat().st_size
    except (OSError, zipfile.BadZipFile, ValueError):
        return  # torch says what is wrong with it
    packed = sum(m.file_size for m in members if m.compress_type != zipfile.ZIP_STORED)
    plain = sum(m.file_size for m in members if m.compress_type == zipfile.ZIP_STORED)
    if len(members) > _MOST_MEMBERS or packed > _MOST_COMPRESSED or plain > size:
        raise ModelError(
            f"the archive of {size} bytes would unpack to {packed + plain} bytes in {len(members)} files", file=file,
            fix="get it again from a source that you trust; torch.save does not compress numbers",
        )  # fmt: skip


def check_script(file: Path) -> None:
    """ModelError where a TorchScript program could read or write files, or would unpack to far more than it is."""
    check_archive(file)
    try:
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                if member.filename.endswith(".py") and (found := _REACHES_OUT.search(archive.read(member))):
                    raise ModelError(
                        f"the TorchScript program has {found[0].decode().strip('. ')!r}, which could reach files",
                        file=file, fix="export the network as ONNX or as a state dict, if you know where it comes from",
                    )  # fmt: skip
    except ModelError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError):
        return  # torch says what is wrong with it
