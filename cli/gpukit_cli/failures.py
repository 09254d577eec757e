"""What a user sees when something fails: a few lines on standard error, and an exit code."""

from __future__ import annotations

import errno
import traceback

from typer import BadParameter, Exit
from typer.exceptions import Abort, TyperException

from gpukit.errors import GpukitError
from gpukit_cli.streams import close_stdout, write_stderr

__all__ = ["report", "warn"]

FAILED, USAGE, INTERRUPTED = 1, 2, 130

#: Usage errors are the parent class of `typer.BadParameter`, which typer does not export by name.
UsageError: type[TyperException] = next(
    kind for kind in BadParameter.__mro__ if kind.__name__ == "UsageError" and issubclass(kind, TyperException)
)


def report(error: BaseException, *, debug: bool) -> int:
    """Print what went wrong and return the exit code.

    Parameters
    ----------
    error : BaseException
        Whatever a command raised.
    debug : bool
        Print the traceback too.

    Returns
    -------
    int
        0 to 255.
    """
    if isinstance(error, Exit):
        return error.exit_code
    if isinstance(error, SystemExit):
        return _code_of(error)
    if isinstance(error, BrokenPipeError) or (isinstance(error, OSError) and error.errno == errno.EPIPE):
        close_stdout()
        return FAILED
    if debug:
        traceback.print_exception(error)
    if isinstance(error, (KeyboardInterrupt, Abort)):
        _say("Interrupted.")
        return INTERRUPTED
    if isinstance(error, TyperException):
        _say_usage(error)
        return USAGE if isinstance(error, UsageError) else FAILED
    if isinstance(error, GpukitError):
        _say(f"Error: {error}")
    elif isinstance(error, MemoryError):
        _say("Error: out of memory. Use a smaller input, or a machine with more memory")
    elif isinstance(error, OSError) and error.filename is not None:
        _say(f"Error: {error.filename}: {error.strerror or type(error).__name__}")
    elif isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF):
        close_stdout()  # may be what is full: the last flush must not fail again
        _say(f"Error: {error.strerror}")
    else:
        where = "" if debug else " Repeat with --debug to see where"
        _say(f"Error: unexpected {type(error).__name__}: {_one_line(error)}.{where}")
    return FAILED


def warn(text: str) -> None:
    """One line on standard error."""
    _say(f"Note: {text}")


def _say_usage(error: TyperException) -> None:
    context = getattr(error, "ctx", None)
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        _say(message)
        return
    if context is not None:
        _say(f"{context.get_usage()}\nTry '{context.command_path} --help' for help.")
    _say(f"Error: {message}")


def _say(text: str) -> None:
    write_stderr(text + "\n")


def _one_line(error: BaseException, limit: int = 300) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= limit else text[: limit - 3] + "..."


def _code_of(error: SystemExit) -> int:
    if error.code is None:
        return 0
    if isinstance(error.code, int):
        return error.code
    _say(str(error.code))
    return FAILED
