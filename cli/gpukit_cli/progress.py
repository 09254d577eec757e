"""Progress bars on standard error, only where that is a terminal.

gpukit's own functions take a plain ``progress(stage, done, total)`` and know nothing of bars; `Progress` is such a
function.
"""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import TextIO

__all__ = ["Progress"]

_WIDTH = 30
_INTERVAL = 0.1


class Progress:
    """A callable ``(stage, done, total)`` that draws one bar for each stage.

    Use it as a context manager, so that the line is ended whatever happens. Calls may come from any thread. Where
    standard error is no terminal nothing is written.

    Parameters
    ----------
    stream : text stream or None
        Where to draw; None is standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._shown = self._stream is not None and self._stream.isatty()
        self._lock = threading.Lock()
        self._stage = ""
        self._begun = self._drawn = 0.0
        self._furthest = 0

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Show that `done` of `total` steps of `stage` are finished; a `total` of 0 is not known yet."""
        if not self._shown:
            return
        with self._lock:
            now = time.monotonic()
            if stage != self._stage:
                self._end_line()
                self._stage, self._begun, self._drawn, self._furthest = stage, now, 0.0, 0
            self._furthest = max(self._furthest, done)  # threads may report out of order
            if self._furthest < total and now - self._drawn < _INTERVAL:
                return
            self._drawn = now
            self._stream.write(f"\r\x1b[K{bar(stage, self._furthest, total, now - self._begun)}")
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the line that is being drawn."""
        with self._lock:
            self._end_line()
            self._stage = ""

    def _end_line(self) -> None:
        if self._shown and self._stage:
            self._stream.write("\n")
            self._stream.flush()


def bar(stage: str, done: int, total: int, seconds: float) -> str:
    """One line: the stage, a bar, the count, the time, and how much of it is left at this pace."""
    if total <= 0:
        return f"{stage:<10} {done} {seconds:.0f}s"
    filled = min(_WIDTH, _WIDTH * done // total)
    left = f", {seconds * (total - done) / done:.0f}s left" if 0 < done < total and seconds >= 1 else ""
    return f"{stage:<10} [{'#' * filled}{'.' * (_WIDTH - filled)}] {done}/{total} {seconds:.0f}s{left}"
