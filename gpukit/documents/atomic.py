"""Outputs appear whole or not at all: written under a temporary name in the same folder, then moved into place."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gpukit.errors import OutputError, OutputExistsError

__all__ = ["atomic_folder", "atomic_path", "check_output"]


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
    # The suffix stays at the end, because writers choose their format by it.
    temporary = target.with_name(f".gpukit-{secrets.token_hex(6)}-{target.name[-150:]}")
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
    folder = target.with_name(f".gpukit-{secrets.token_hex(6)}")
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
