"""From what a user names to the files that will be read: paths, globs, directories, DICOMDIR, zip."""

from __future__ import annotations

import glob as globbing
import io
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from gpukit.dicom.reader import zip_members
from gpukit.errors import FormatError, InputNotFoundError

__all__ = ["Location", "Source", "discover"]

#: What `discover` takes.
Source = str | PathLike[str] | Iterable[str | PathLike[str]]


@dataclass(frozen=True, slots=True)
class Location:
    """Where the bytes of one file lie: on disk, or as a member of a zip.

    Parameters
    ----------
    path : str
        The file, or the zip.
    member : str or None
        Name inside the zip.
    walked : bool
        Found by looking through a folder, an archive or a glob, not named by the user: a file that is not DICOM is then
        skipped, not an error. Takes no part in comparisons.
    """

    path: str
    member: str | None = None
    walked: bool = field(default=False, compare=False, repr=False)

    def __str__(self) -> str:
        """For messages: the path, and after an exclamation mark the member."""
        return self.path if self.member is None else f"{self.path}!{self.member}"

    def open(self) -> BinaryIO:
        """Open for reading, seekable. A compressed member is expanded in memory (its size was checked before).

        Raises
        ------
        InputNotFoundError
            The file cannot be opened, or the zip has no such member.
        FormatError
            The member is damaged, encrypted or larger than it claims.
        """
        if self.member is not None:
            return io.BytesIO(zip_members.read_member(self.path, self.member))
        try:
            return open(self.path, "rb")  # noqa: PTH123 - the caller closes it; Path.open is slower
        except OSError as error:
            raise InputNotFoundError(f"cannot be read: {error.strerror}", file=self.path) from error

    def read_range(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from byte `offset`; fewer where the file ends before.

        Both are cut to what the file holds before anything is allocated.
        """
        if self.member is not None:
            return zip_members.read_member(self.path, self.member)[offset : offset + length]
        with self.open() as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(offset)
            return stream.read(max(0, min(length, size - offset)))


def discover(source: Source) -> list[Location]:
    """Every file that `source` names, sorted, each once.

    Parameters
    ----------
    source : path, or iterable of paths
        A file, a directory (searched with all below it), a glob pattern (``**`` crosses directories), a DICOMDIR (its
        references are followed), a zip (its members), or several of these.

    Returns
    -------
    list of Location
        In natural order of path and member, unique by real path. Hidden files, and what is not a regular file, are left
        out of a directory. Order has no meaning for geometry.

    Raises
    ------
    InputNotFoundError
        Nothing is there, or a directory, glob or archive holds no file at all.
    FormatError
        A zip or DICOMDIR is damaged, or a zip expands beyond reason.

    Warns
    -----
    UserWarning
        A DICOMDIR references files that are missing; the first few are named.
    """
    names = [source] if isinstance(source, (str, PathLike)) else list(source)
    if not names:
        raise InputNotFoundError("no input was given", fix="name a file, a directory, a glob, a DICOMDIR or a zip")
    found: dict[tuple[str, str], Location] = {}
    real_folders: dict[str, str] = {}
    for name in names:
        for location in _expand(os.fspath(name)):
            folder, _, base = location.path.rpartition(os.sep)
            real = os.path.join(_real_folder(folder, real_folders), base)  # noqa: PTH118 - hot for thousands of files
            if os.path.islink(real):  # noqa: PTH114
                real = os.path.realpath(real)
            key = (real, location.member or "")
            if key not in found or found[key].walked:  # named by the user weighs more than found
                found[key] = location
    return sorted(found.values(), key=lambda item: (item.path, item.member or ""))


def _real_folder(folder: str, known: dict[str, str]) -> str:
    """The real path of a folder from that of its parent: of many folders within one another each is looked at once."""
    waiting = []
    while folder not in known:
        parent, _, base = folder.rpartition(os.sep)
        if not parent or base in ("", os.curdir, os.pardir):
            known[folder] = os.path.realpath(folder or os.curdir)
            break
        waiting.append((folder, base))
        folder = parent
    real = known[folder]
    for name, base in reversed(waiting):
        real = os.path.join(real, base)  # noqa: PTH118 - hot for thousands of files
        if os.path.islink(real):  # noqa: PTH114
            real = os.path.realpath(real)
        known[name] = real
    return real


def _expand(name: str) -> Iterator[Location]:
    path = Path(os.path.expanduser(name))  # noqa: PTH111 - unlike Path.expanduser it leaves an unknown user's name
    if path.is_dir():
        files = list(_walk(str(path)))
        if not files:
            raise InputNotFoundError("the directory holds no file", file=name)
        yield from files
    elif path.is_file():
        if path.name.upper() == "DICOMDIR":
            yield from _references(path)
        elif zip_members.is_zip(str(path)):
            members = [m for m in zip_members.members(str(path)) if _visible(m)]
            if not members:
                raise InputNotFoundError("the zip holds no file", file=name)
            yield from (Location(str(path), member, walked=True) for member in members)
        else:
            yield Location(str(path))
    elif path.exists():
        raise InputNotFoundError("is neither a file nor a directory", file=name)
    elif globbing.has_magic(name):
        matches = sorted(globbing.glob(str(path), recursive=True))  # noqa: PTH207 - user's pattern may be absolute
        files = [Location(m, walked=True) for m in matches if Path(m).is_file()]
        files += [item for m in matches if "**" not in name and Path(m).is_dir() for item in _walk(m)]
        if not files:
            raise InputNotFoundError("no file matches the pattern", file=name)
        yield from files
    else:
        raise InputNotFoundError("there is no such file or directory", file=name)


def _visible(member: str) -> bool:
    """Whether an archive's member is one that a directory walk would take."""
    parts = member.split("/")
    return not any(p.startswith(".") or p == "__MACOSX" for p in parts) and parts[-1].upper() != "DICOMDIR"


def _walk(folder: str) -> Iterator[Location]:
    """Regular, visible files below a folder; a link to a folder is followed once (loops end)."""
    pending, seen = [folder], set()
    while pending:
        here = pending.pop()
        try:
            state = os.stat(here)  # noqa: PTH116 - hot for thousands of folders
            if (state.st_dev, state.st_ino) in seen:
                continue
            seen.add((state.st_dev, state.st_ino))
            entries = list(os.scandir(here))
        except OSError as error:
            raise InputNotFoundError(f"the directory cannot be read: {error.strerror}", file=here) from error
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                pending.append(entry.path)
            elif entry.is_file() and entry.name.upper() != "DICOMDIR":
                yield Location(entry.path, walked=True)


def _references(dicomdir: Path) -> Iterator[Location]:
    """Files that a DICOMDIR references; missing ones are named in a warning, all missing is an error."""
    from pydicom import dcmread

    try:
        records = dcmread(dicomdir, force=False).get("DirectoryRecordSequence") or []
        references = [record.get("ReferencedFileID") for record in records]
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise FormatError(f"the DICOMDIR cannot be read: {error}", file=dicomdir) from error
    missing: list[str] = []
    count = 0
    for reference in references:
        if not reference:
            continue
        parts = [str(p) for p in ([reference] if isinstance(reference, str) else reference)]
        target = _inside(dicomdir.parent, parts)
        if target is None:
            missing.append("/".join(parts)[:200])
        else:
            count += 1
            yield Location(str(target))
    if missing:
        named = ", ".join(missing[:5]) + (f" and {len(missing) - 5} more" if len(missing) > 5 else "")
        if not count:
            raise InputNotFoundError(f"none of the referenced files is there: {named}", file=dicomdir)
        warnings.warn(f"{dicomdir}: {len(missing)} referenced files are missing: {named}", UserWarning, stacklevel=4)
    elif not count:
        raise InputNotFoundError("the DICOMDIR references no file", file=dicomdir)


def _inside(folder: Path, parts: list[str]) -> Path | None:
    """The file below `folder`, matched in another case where media were copied so; None if absent or outside."""
    here = folder
    for part in parts:
        if part in ("", ".", "..") or any(sign in part for sign in "/\\\0"):
            return None
        step = here / part
        if not os.path.exists(step):  # noqa: PTH110 - unlike Path.exists it takes a name that is too long for absent
            try:
                step = next((p for p in here.iterdir() if p.name.partition(";")[0].lower() == part.lower()), step)
            except OSError:
                return None
        here = step
    return here if os.path.isfile(here) else None  # noqa: PTH113 - as above
