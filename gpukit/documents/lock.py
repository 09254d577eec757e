"""One process at a time: a lock of the file system, or a file that stands for one where there are no locks."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from gpukit.errors import OutputError

__all__ = ["FileLock"]

#: What file systems answer that have no locks, such as some network and FUSE ones.
_WITHOUT = tuple(
    number
    for name in ("ENOLCK", "ENOSYS", "EOPNOTSUPP", "ENOTSUP", "EINVAL")
    if (number := getattr(errno, name, None)) is not None
)
_PAUSE = 0.1


class FileLock:
    """A lock for as long as the context is open.

    Where the file system has no locks, a file ``NAME.holder`` beside the lock's file stands for it: it is made only if
    it does not exist, names the machine and the process, and is removed at the end. One of a process of this machine
    that does not exist any more does not count.

    Parameters
    ----------
    file : Path
        Any file; is made where it does not exist.
    wait : float
        Seconds to wait for another process.
    busy : str
        What to say where it does not end.

    Raises
    ------
    OutputError
        Another process holds it.
    OSError
        The file cannot be made.
    """

    def __init__(self, file: Path, *, wait: float = 0.0, busy: str = "another process is at work here") -> None:
        self.file, self._wait, self._busy = file, wait, busy
        self._handle: int | None = None
        self._holder: Path | None = None
        #: What the user must know of the way in which it is locked; empty for a lock of the file system.
        self.note = ""

    def __enter__(self) -> FileLock:
        self._handle = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            self._take()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._holder is not None:
            self._holder.unlink(missing_ok=True)
            self._holder = None
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _take(self) -> None:
        end = time.monotonic() + self._wait
        while not self._try():
            if time.monotonic() >= end:
                fix = None
                if self.note:
                    fix = f"if no process is at work there, remove {self.file.name}.holder"
                raise OutputError(self._busy, file=self.file.parent, fix=fix)
            time.sleep(_PAUSE)

    def _try(self) -> bool:
        try:
            import fcntl
        except ImportError:  # Windows
            return self._hold()
        assert self._handle is not None
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in _WITHOUT:
                raise
            return self._hold()
        return True

    def _hold(self) -> bool:
        """Make the file that stands for the lock; whether it was made."""
        holder = self.file.with_name(f"{self.file.name}.holder")
        self.note = f"the file system has no locks: {holder.name} says that a process is at work"
        content = json.dumps({"host": socket.gethostname(), "process": os.getpid()}).encode()
        for _ in range(2):
            try:
                handle = os.open(holder, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
            except FileExistsError:
                if not _is_dead(holder):
                    return False
                holder.unlink(missing_ok=True)
                continue
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
            self._holder = holder
            return True
        return False


def _is_dead(holder: Path) -> bool:
    """Whether the file names a process of this machine that does not exist any more."""
    try:
        named = json.loads(holder.read_bytes())
        if named["host"] != socket.gethostname() or os.name != "posix":
            return False
        process = int(named["process"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    with contextlib.suppress(PermissionError, OverflowError):
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
    return False
