"""When each frame of a moving image is shown (PS3.3 C.7.6.5)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from gpukit.dicom.image.frame import Frame
from gpukit.errors import GpukitError

__all__ = ["Schedule", "schedule_of"]

#: Frames a second where the file has no rate of its own.
_RATE = 10.0
_FASTEST, _SLOWEST = 1.0, 60_000.0  # milliseconds of a frame


@dataclass(frozen=True)
class Schedule:
    """Times of one run through the frames.

    Parameters
    ----------
    frames : tuple of int
        Frames from 0, in the order of playing; a sweep has them there and back.
    starts : tuple of float
        When each begins, in milliseconds from the start.
    length : float
        Of one run, in milliseconds.
    source : str
        The attribute that the rate comes from.
    """

    frames: tuple[int, ...]
    starts: tuple[float, ...]
    length: float
    source: str

    def at(self, milliseconds: float) -> tuple[int, float]:
        """The frame that is due, and when the next one is, both from the start of playing; late ones are dropped."""
        from bisect import bisect_right

        run, rest = divmod(milliseconds, self.length)
        n = max(0, bisect_right(self.starts, rest + 1e-6) - 1)
        following = self.starts[n + 1] if n + 1 < len(self.starts) else self.length
        return self.frames[n], run * self.length + following

    def time_of(self, frame: int) -> float:
        """When a frame begins in the first run; 0 for one that is not played."""
        return self.starts[self.frames.index(frame)] if frame in self.frames else 0.0


def schedule_of(frame: Frame, count: int) -> Schedule:
    """The schedule that a file states for `count` frames: FrameTimeVector or FrameTime, else a rate, else 10 a second.

    Parameters
    ----------
    frame : Frame
        The first one.
    count : int
        Frames that there are; of a series of single images, the images.
    """
    dataset: Any = {}
    if frame.plane.frames > 1:
        try:
            dataset = frame.header.dataset()
        except GpukitError:
            dataset = {}
    durations, source = _durations(dataset, frame, count)
    first = max(1, int(_number(dataset.get("StartTrim")) or 1)) - 1
    last = min(count, int(_number(dataset.get("StopTrim")) or count))
    if first >= last:
        first, last = 0, count
    order = list(range(first, last))
    if int(_number(dataset.get("PreferredPlaybackSequencing")) or 0) == 1 and len(order) > 2:
        order += order[-2:0:-1]
    starts, now = [], 0.0
    for n in order:
        starts.append(now)
        now += durations[n]
    return Schedule(tuple(order), tuple(starts), now, source)


def _durations(dataset: Any, frame: Frame, count: int) -> tuple[list[float], str]:
    """How long each frame stays, in milliseconds."""
    vector = dataset.get("FrameTimeVector")
    if vector is not None and frame.plane.frames > 1:
        # the n-th increment lies between frame n - 1 and frame n; the first one is 0
        steps = [_number(v) for v in (vector if hasattr(vector, "__iter__") else [vector])]
        between = [step for step in steps[1:count] if step is not None]
        if len(between) == count - 1 and all(step >= 0 for step in between):
            mean = sum(between) / len(between) if between else 1000 / _RATE
            return [_bounded(step) for step in (*between, mean)], "FrameTimeVector"
    for keyword, is_rate in (
        ("FrameTime", False), ("RecommendedDisplayFrameRate", True), ("CineRate", True),
    ):  # fmt: skip
        value = _number(dataset.get(keyword))
        if value is not None and value > 0:
            return [_bounded(1000 / value if is_rate else value)] * count, keyword
    return [1000 / _RATE] * count, ""


def _bounded(milliseconds: float) -> float:
    return min(max(milliseconds, _FASTEST), _SLOWEST)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
