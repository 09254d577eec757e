"""A terminal that is left as it was found, however the session ends: quit, error, Ctrl-C, SIGTERM, SIGHUP, Ctrl-Z."""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from gpukit.errors import InputError

__all__ = ["TerminalGuard"]

_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?1002h\x1b[?1006h\x1b[2J\x1b[H"
#: The first two bytes end whatever sequence was being written.
_LEAVE = "\x1b\\\x1b[?2026l\x1b[0m\x1b[?1003l\x1b[?1002l\x1b[?1000l\x1b[?1006l\x1b[?25h\x1b[?1049l"
_ASK, _ANSWERED = "\x1b[c", re.compile(rb"\x1b\[\?[\d;]*c")
#: Seconds that the terminal has to answer at the end, so that reports of the mouse that are on their way are read.
_LAST = 0.3


class TerminalGuard:
    """A context manager: raw keys, alternate screen, no cursor, mouse reports; and all of that undone.

    Parameters
    ----------
    fd_in, fd_out : int
        The terminal.
    line_modes : list, optional
        Modes of the line to go back to; those that it has now by default.
    before_leaving : callable
        Gives bytes to send first, such as those that delete pictures.
    resumed : callable
        Called when the process continues after Ctrl-Z.
    """

    def __init__(
        self,
        fd_in: int,
        fd_out: int,
        *,
        line_modes: Any = None,
        before_leaving: Callable[[], bytes] = lambda: b"",
        resumed: Callable[[], None] = lambda: None,
    ) -> None:
        self._in, self._out = fd_in, fd_out
        self._before_leaving, self._resumed = before_leaving, resumed
        self._modes = line_modes
        self._signals: dict[int, Any] = {}
        self._wake: tuple[int, int] | None = None
        self._old_wake = -1

    @property
    def wake(self) -> int:
        """A descriptor that can be read as soon as a signal arrived."""
        assert self._wake is not None
        return self._wake[0]

    def __enter__(self) -> TerminalGuard:
        try:
            import termios
        except ImportError:
            raise InputError("--interactive is not there on Windows", fix="leave it out, or use WSL") from None
        self._modes = self._modes or termios.tcgetattr(self._in)
        read, write = os.pipe()
        os.set_blocking(read, False)
        os.set_blocking(write, False)
        self._wake = (read, write)
        self._old_wake = signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        for number, handler in (
            (signal.SIGTERM, self._end), (signal.SIGHUP, self._end), (signal.SIGTSTP, self._stop),
            (signal.SIGWINCH, self._ignore),
        ):  # fmt: skip
            self._signals[number] = signal.signal(number, handler)
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):  # one more must not break what is being undone
            if number in self._signals or number == signal.SIGINT:
                self._signals.setdefault(number, signal.getsignal(number))
                signal.signal(number, signal.SIG_IGN)
        self._leave()
        signal.set_wakeup_fd(self._old_wake)
        for kept, handler in self._signals.items():
            signal.signal(kept, handler)
        assert self._wake is not None
        for descriptor in self._wake:
            os.close(descriptor)

    def _begin(self) -> None:
        import termios
        import tty

        tty.setcbreak(self._in, termios.TCSANOW)
        self._send(_ENTER.encode())

    def _leave(self) -> None:
        import termios

        with contextlib.suppress(OSError, termios.error):
            os.set_blocking(self._out, True)
            self._send(b"\x1b\\" + self._before_leaving() + _LEAVE.encode() + _ASK.encode())
            self._drain()
        with contextlib.suppress(OSError, termios.error):
            termios.tcsetattr(self._in, termios.TCSAFLUSH, self._modes)

    def _drain(self) -> None:
        """Read what the terminal still sends, up to its answer: nothing of it may reach the shell."""
        data, deadline = b"", time.monotonic() + _LAST
        while (remaining := deadline - time.monotonic()) > 0:
            if not select.select([self._in], [], [], remaining)[0]:
                return
            piece = os.read(self._in, 4096)
            data = (data + piece)[-256:]
            if not piece or _ANSWERED.search(data):
                return

    def _send(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._out, data) :]

    def _end(self, number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    def _ignore(self, number: int, frame: FrameType | None) -> None:
        """The wake-up descriptor tells of it."""

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-Z: give the terminal back, stop as asked, and take it again when continued."""
        self._leave()
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, self._stop)
        self._begin()
        self._resumed()
