"""A terminal of the tests' own: a process on a pty, what it wrote drawn by pyte, and replies to its questions."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyte

#: Strings that pyte would print (APC of kitty, DCS of sixel, OSC of iTerm2) and modes that it does not know.
_STRINGS = re.compile(rb"\x1b[P_\]][^\x1b\x07]*(?:\x1b\\|\x07)")


def xterm_like(name: str = "XTerm(380)", *, sixel: bool = False, kitty: bool = False) -> Callable[[bytes], bytes]:
    """Replies of a terminal: to DA1 always, to the others as it is."""

    def reply(data: bytes) -> bytes:
        out = b""
        if b"\x1b_Gi=31" in data and kitty:
            out += b"\x1b_Gi=31;OK\x1b\\"
        if b"\x1b[>q" in data:
            out += b"\x1bP>|" + name.encode() + b"\x1b\\"
        if b"\x1b[16t" in data:
            out += b"\x1b[6;20;10t"
        if b"\x1b[c" in data:
            out += b"\x1b[?62;4;22c" if sixel else b"\x1b[?62;22c"
        return out

    return reply


def silent(data: bytes) -> bytes:
    """A terminal that never answers."""
    return b""


class Terminal:
    """``gpukit viewer WORDS...`` on a pty; a context manager."""

    def __init__(
        self,
        *words: object,
        columns: int = 80,
        lines: int = 24,
        answers: Callable[[bytes], bytes] = silent,
        delay: float = 0.0,
        pixels: tuple[int, int] = (0, 0),
        shell: bool = False,
        **environment: str,
    ) -> None:
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._answers, self._delay = answers, delay
        self._due: list[tuple[float, bytes]] = []
        self.raw = b""
        self.times: list[tuple[float, int]] = []
        self.master, self.slave = pty.openpty()
        self.resize(columns, lines, pixels)
        self.before = termios.tcgetattr(self.slave)
        script = Path(sysconfig.get_path("scripts")) / "gpukit"
        command: list[str] = [str(script), *map(str, words)]
        if shell:
            command = ["/bin/sh", "-c", *map(str, words)]
        env = {k: v for k, v in os.environ.items() if k not in ("TMUX", "NO_COLOR", "COLORTERM", "TERM_PROGRAM")}
        env["PATH"] = f"{script.parent}{os.pathsep}{env.get('PATH', '')}"
        env |= {
            "TERM": "xterm-256color",
            "COLORTERM": "truecolor",
            "LANG": "C.UTF-8",
            "LC_ALL": "C.UTF-8",
            **environment,
        }
        self.process = subprocess.Popen(
            command, stdin=self.slave, stdout=self.slave, stderr=self.slave, env=env, preexec_fn=_own_terminal,
            close_fds=True,
        )  # fmt: skip

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: Any) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)
        os.close(self.master)
        os.close(self.slave)

    def resize(self, columns: int, lines: int, pixels: tuple[int, int] = (0, 0)) -> None:
        """Another size, which the process is told of."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, *pixels))
        self.screen.resize(lines, columns)

    def send(self, text: str | bytes) -> None:
        """Keys."""
        os.write(self.master, text.encode() if isinstance(text, str) else text)

    def pump(self, seconds: float, *, until: Callable[[Terminal], bool] | None = None) -> bool:
        """Take what is written for so long, or until something is seen; whether it was."""
        deadline = time.monotonic() + seconds
        while True:
            if until is not None and until(self):
                return True
            now = time.monotonic()
            for due in [d for d in self._due if d[0] <= now]:
                self._due.remove(due)
                self.send(due[1])
            left = min([deadline - now, *(due[0] - now for due in self._due)])
            if deadline <= now:
                return until is None
            if not select.select([self.master], [], [], max(0.0, min(left, 0.02)))[0]:
                continue
            try:
                data = os.read(self.master, 65536)
            except OSError:
                return until is not None and until(self)
            self.raw += data
            self.times.append((time.monotonic(), len(self.raw)))
            self._stream.feed(_STRINGS.sub(b"", data))
            answer = self._answers(data)
            if answer:
                self._due.append((time.monotonic() + self._delay, answer))

    def wait(self, text: str, seconds: float = 20.0) -> None:
        """Until a text is on the screen."""
        assert self.pump(seconds, until=lambda t: text in t.text), f"{text!r} did not appear:\n{self.text}"

    def ended(self, seconds: float = 10.0) -> int:
        """Exit code of the process, which must end."""
        assert self.pump(seconds, until=lambda t: t.process.poll() is not None), "the process goes on"
        self.pump(0.1)
        return int(self.process.returncode)

    @property
    def text(self) -> str:
        """The screen's lines."""
        return "\n".join(self.screen.display)

    def color(self, line: int, column: int) -> tuple[str, str]:
        """Colours of a cell and behind it, as six hexadecimal digits."""
        cell = self.screen.buffer[line][column]
        return cell.fg, cell.bg

    def modes(self) -> list[Any]:
        """The modes of the terminal's line."""
        return termios.tcgetattr(self.slave)


def _own_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def left_clean(terminal: Terminal) -> list[str]:
    """What a process left behind that it should not have."""
    faults = []
    if terminal.modes() != terminal.before:
        faults.append("the modes of the line are others")
    raw = terminal.raw
    for name, on, off in (
        ("alternate screen", b"\x1b[?1049h", b"\x1b[?1049l"), ("hidden cursor", b"\x1b[?25l", b"\x1b[?25h"),
        ("mouse", b"\x1b[?1002h", b"\x1b[?1002l"), ("mouse format", b"\x1b[?1006h", b"\x1b[?1006l"),
        ("synchronized output", b"\x1b[?2026h", b"\x1b[?2026l"),
    ):  # fmt: skip
        if raw.rfind(on) > raw.rfind(off):
            faults.append(name)
    if select.select([terminal.slave], [], [], 0)[0]:
        faults.append("bytes wait for the shell")
    return faults


if __name__ == "__main__":
    sys.exit("this module is for tests")
