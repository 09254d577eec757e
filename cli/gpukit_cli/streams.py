"""Standard streams on machines that lack some: closed, full, or of an encoding that cannot hold every character."""

from __future__ import annotations

import codecs
import errno
import os
import sys
from typing import TextIO

from gpukit.errors import OutputError

__all__ = ["close_stdout", "prepare_streams", "write_stderr", "write_stdout"]

#: Error handler for characters that an encoding lacks: they become \\uXXXX, which JSON reads back.
ESCAPED = "gpukit-escaped"
_missing: set[int] = set()


def prepare_streams() -> None:
    """Give every standard stream a file descriptor, and let none fail over a character.

    Where a descriptor is closed, the next file that is opened would get its number: messages of libraries would then be
    written into it.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError as error:
            if error.errno == errno.EBADF:
                os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
                _missing.add(number)
    codecs.register_error(ESCAPED, _escape)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ESCAPED)
    if sys.stderr is None:
        sys.stderr = _nowhere(2)
    if sys.stdout is None:
        sys.stdout = _nowhere(1)


def write_stdout(text: str, *, always: bool = True) -> None:
    """Write to standard output, and all that waits to be written there; unless `always`, only if it is open.

    Raises
    ------
    OutputError
        It is closed, or its disk is full.
    BrokenPipeError
        Its reader went away.
    """
    if 1 in _missing:
        if not always:
            return
        raise OutputError("standard output is closed", fix="name a file with --output, or open standard output")
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        close_stdout()
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def write_stderr(text: str) -> None:
    """Write to standard error; where that cannot be written there is nobody to tell."""
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except (OSError, ValueError, AttributeError):
        return


def close_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush can't fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _nowhere(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", errors=ESCAPED, closefd=False)


def _escape(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[n : n + 2].hex()}" for n in range(0, len(units), 2)), error.end
