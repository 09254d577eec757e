"""Times of a session: cine on its beat, slow lines, thumbnails; bounds are wide, for machines under load."""

from __future__ import annotations

import os
import re
import select
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys on Windows")
pytest.importorskip("pyte", reason="pyte draws the tests' terminal")

from support.terminals import Terminal, xterm_like
from support.viewer_files import write_frames


class SlowLine:
    """Reads a pty no faster than a line of so many bits a second, and notes when what came."""

    def __init__(self, terminal: Terminal, bits: float) -> None:
        self.terminal, self.rate = terminal, bits / 8
        self.raw = b""
        self.times: list[tuple[float, int]] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        piece = max(64, int(self.rate / 500))
        due = time.monotonic()
        while not self._end.is_set():
            if not select.select([self.terminal.master], [], [], 0.02)[0]:
                due = time.monotonic()
                continue
            try:
                data = os.read(self.terminal.master, piece)
            except OSError:
                return
            self.raw += data
            self.times.append((time.monotonic(), len(self.raw)))
            answer = self.terminal._answers(data)
            if answer:
                self.terminal.send(answer)
            due = max(due, time.monotonic() - 0.05) + len(data) / self.rate
            time.sleep(max(0.0, due - time.monotonic()))

    def when(self, pattern: bytes, seconds: float) -> float | None:
        """When a pattern had arrived."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            match = re.search(pattern, self.raw)
            if match is not None:
                return next(at for at, size in list(self.times) if size >= match.end())
            time.sleep(0.005)
        return None

    def close(self) -> None:
        self._end.set()
        self._thread.join(5)


def test_a_key_acts_at_once_on_a_slow_line(tmp_path: Path) -> None:
    """1 Mbit/s carries 12 kB in 100 ms; a frame of noise has 250 kB, so that it must be left for the key."""
    noise = np.random.default_rng(0).integers(0, 256, (30, 120, 120)).astype(np.uint8)
    file = write_frames(tmp_path / "noise.dcm", noise, FrameTime="40")
    terminal = Terminal("viewer", file, "--interactive", columns=120, lines=61, answers=xterm_like())
    with terminal:
        line = SlowLine(terminal, 1e6)
        assert line.when(rb"1/30", 30) is not None
        time.sleep(0.3)  # in the middle of the first frame
        line.raw, line.times = b"", []
        pressed = time.monotonic()
        terminal.send("]")
        arrived = line.when(rb"\x1b\[61;1H[^\x1b]*(?:\x1b\[[0-9;]*m)*2", 10)
        line.close()
        assert arrived is not None
        # 4 kB that the pty already holds are 33 ms of this line
        assert arrived - pressed < 0.25


def test_cine_on_a_line_of_10_megabits(tmp_path: Path) -> None:
    """A film in which a part of the picture moves keeps 25 frames a second at 120 x 60 cells."""
    film = np.zeros((50, 120, 120), np.uint8)
    film[:] = (np.arange(120) * 2)[None, None, :]
    for n in range(50):
        film[n, 20:60, 2 * n : 2 * n + 20] = 255
    file = write_frames(tmp_path / "film.dcm", film, FrameTime="40")
    with Terminal("viewer", file, "--interactive", columns=120, lines=61, answers=xterm_like()) as terminal:
        line = SlowLine(terminal, 1e7)
        assert line.when(rb"1/50", 30) is not None
        time.sleep(1.0)
        line.raw, line.times = b"", []
        terminal.send("p")
        time.sleep(2.5)
        line.close()
        updates = len(re.findall(rb"\x1b\[61;[12]H", line.raw))
        assert updates >= 0.8 * 25 * 2.5
        assert len(line.raw) * 8 < 2.5 * 1e7
