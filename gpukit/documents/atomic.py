"""Outputs appear whole or not at all: written under a temporary name in the same folder, then moved into place.

A temporary name says which process of which machine is writing, and what. So the next one that writes the same output
removes what a process left behind that was killed, and nothing of one that is still at work.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpukit.errors import OutputError, OutputExistsError

__all__ = ["PREFIX", "atomic_folder", "atomic_path", "check_output", "new_folder", "remove_leftovers", "working_folder"]

PREFIX = ".gpukit-"
#: Letters of the output's name in a temporary name: file systems have names of up to 255 bytes.
_LONGEST = 150


def check_output(path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """The path, if a result may be written there; ask before long work, not after it.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    OutputError
        The folder does not exist, or the path is a folder.
    """
    target = Path(path)
    if target.is_dir():
        raise OutputError("the output is a folder", file=target, fix="name a file")
    if target.exists() and not force:
        raise OutputExistsError(
            "the output exists", file=target, fix="choose another name, or say --force (force=True) to overwrite it"
        )
    if not target.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=target, fix="create it first")
    return target


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """A temporary name with the same suffixes in the same folder, moved to `path` if the block ends well.

    On any error, Ctrl-C included, the temporary file is removed and `path` is as it was.

    Parameters
    ----------
    path : path-like
        Where the result belongs.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    OutputExistsError
        The file exists, or came into being meanwhile, and `force` is false.
    OutputError
        The folder does not exist or cannot be written to.
    """
    target = check_output(path, force=force)
    temporary = _temporary(target)
    try:
        yield temporary
        if not temporary.exists():
            raise OutputError("the writer made no file", file=target)
        _move(temporary, target, force=force)
    except OSError as error:
        if isinstance(error, OutputError) or not _concerns(error, temporary):
            raise
        raise OutputError(f"cannot be written: {error.strerror or error}", file=target) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: str | os.PathLike[str], *, force: bool = False) -> Iterator[Path]:
    """As `atomic_path`, for formats of two files: a header that names its data file.

    Yields the path of the header inside a temporary folder beside `path`, so that the names which the writer puts into
    the header are the final ones. Data files are moved before the header, so that no header is without its data.
    """
    target = check_output(path, force=force)
    folder = _temporary(target)
    try:
        folder.mkdir()
        yield folder / target.name
        made = sorted(folder.iterdir(), key=lambda p: p.name == target.name)
        for file in made:
            check_output(target.with_name(file.name), force=force)
        for file in made:
            _move(file, target.with_name(file.name), force=force)
    except OSError as error:
        if isinstance(error, OutputError) or error.filename not in (None, str(folder)):
            raise
        raise OutputError(f"cannot be written: {error.strerror or error}", file=target) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def working_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, with the rights that the user's umask gives; removed at the end.

    Raises
    ------
    OutputError
        It cannot be made.
    """
    folder = _temporary(target)
    try:
        folder.mkdir()
    except OSError as error:
        raise OutputError(f"cannot be written: {error.strerror or error}", file=target) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """A temporary folder that takes the place of the folder `target`, with all that it holds, if the block ends well.

    Whether `target` may be replaced is the caller's to check.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    try:
        with working_folder(target) as folder:
            yield folder
            if target.exists():
                shutil.rmtree(target)
            folder.rename(target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(f"cannot be written: {error.strerror or error}", file=target) from error


def remove_leftovers(folder: Path, name: str | None = None) -> None:
    """Remove what processes of this machine were writing into a folder when they ended without their own clean-up.

    Parameters
    ----------
    folder : Path
        Of the outputs.
    name : str, optional
        Of the output; all outputs unless given.
    """
    with contextlib.suppress(OSError):
        for left in folder.iterdir():
            if left.name.startswith(PREFIX) and _is_left(left.name, name):
                if left.is_dir() and not left.is_symlink():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)


def _temporary(target: Path) -> Path:
    """A new name beside the target, in which its end is kept, because writers choose their format by it."""
    remove_leftovers(target.parent, target.name)
    return target.with_name(f"{PREFIX}{_machine()}-{os.getpid()}-{secrets.token_hex(4)}-{_short(target.name)}")


def _is_left(temporary: str, name: str | None) -> bool:
    """Whether a temporary name is one of a process that is no more."""
    machine, pid, *rest = [*temporary.removeprefix(PREFIX).split("-", 3), "", "", ""][:4]
    if machine != _machine() or not pid.isdecimal() or (name is not None and rest[1] != _short(name)):
        return False
    if os.name != "posix":
        return False  # where asking for a process would end it
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _short(name: str) -> str:
    """The end of a name, of a bounded number of bytes."""
    while len(os.fsencode(name)) > _LONGEST:
        name = name[1:]
    return name


@functools.cache
def _machine() -> str:
    """What tells this machine, and this container on it, from others that see the same files."""
    space = ""
    with contextlib.suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]


def _move(temporary: Path, target: Path, *, force: bool) -> None:
    """Put the file in place; without `force` it must not replace one that came into being since the check."""
    if not force:
        try:
            os.link(temporary, target)
        except FileExistsError:
            raise OutputExistsError("the output came into being meanwhile", file=target) from None
        except OSError:
            pass  # a file system without hard links: the check has been made, replacing is all there is
        else:
            return
    temporary.replace(target)


def _concerns(error: OSError, temporary: Path) -> bool:
    return error.filename is None or str(error.filename) in (str(temporary), temporary.name)
