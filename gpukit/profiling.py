"""Where the time goes: seconds by stage of the work, each moment counted once.

Work that is asynchronous on a CUDA device is waited for at the edges of a stage while somebody profiles, and only then.
What a thread does beside the work is kept apart (`beside`), so that the seconds still add up to the time that passed.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, ParamSpec, TypeVar

__all__ = ["STAGES", "beside", "in_stage", "profile", "stage", "staged"]

P = ParamSpec("P")
T = TypeVar("T")

#: In the order of the work.
STAGES = (
    "reading", "decoding", "upload", "loading the network", "preprocessing", "inference", "back-resampling",
    "postprocessing", "download", "writing",
)  # fmt: skip


class _Clock:
    def __init__(self, aside: dict[str, float] | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self.aside: dict[str, float] = {} if aside is None else aside
        self.open: list[str] = []
        self.since = time.perf_counter()

    def turn(self) -> None:
        """Give the time since the last turn to the innermost stage."""
        _wait()
        now = time.perf_counter()
        if self.open:
            self.seconds[self.open[-1]] = self.seconds.get(self.open[-1], 0.0) + now - self.since
        self.since = now


def _wait() -> None:
    """Wait for what this thread has given to CUDA devices: its own streams only, or it would wait for other threads."""
    cupy = sys.modules.get("cupy")
    cuda: Any = getattr(sys.modules.get("torch"), "cuda", None)  # another thread may be importing torch just now
    if getattr(cuda, "is_initialized", bool)():
        for device in range(cuda.device_count()):
            if cuda.memory_reserved(device):  # to wait for a device that is not in use would wake it
                cuda.current_stream(device).synchronize()
    if cupy is not None:
        with suppress(Exception):  # CuPy without a device that answers; an error of earlier work shows where it's used
            for number in range(cupy.cuda.runtime.getDeviceCount()):
                with cupy.cuda.Device(number):
                    if cupy.get_default_memory_pool().total_bytes():
                        cupy.cuda.get_current_stream().synchronize()


_clock: ContextVar[_Clock | None] = ContextVar("gpukit_stages", default=None)


@contextmanager
def profile(aside: dict[str, float] | None = None) -> Iterator[dict[str, float]]:
    """Collect seconds by stage while the context is open, in this thread or task.

    A stage inside another is not counted in the outer one, so the seconds add up to at most the time that passed.

    Parameters
    ----------
    aside : dict, optional
        Filled with the seconds of stages that ran in threads beside, at the same time.
    """
    clock = _Clock(aside)
    token = _clock.set(clock)
    try:
        yield clock.seconds
    finally:
        clock.turn()
        _clock.reset(token)


@contextmanager
def beside() -> Iterator[None]:
    """What is done inside, by a thread that has the context of one that profiles, is collected apart."""
    outer = _clock.get()
    if outer is None:
        yield
        return
    clock = _Clock()
    token = _clock.set(clock)
    try:
        yield
    finally:
        clock.turn()
        _clock.reset(token)
        for name, seconds in clock.seconds.items():
            outer.aside[name] = outer.aside.get(name, 0.0) + seconds


@contextmanager
def stage(name: str) -> Iterator[None]:
    """What is done inside belongs to this stage; costs nothing where nobody profiles."""
    clock = _clock.get()
    if clock is None:
        yield
        return
    clock.turn()
    clock.open.append(name)
    try:
        yield
    finally:
        clock.turn()
        clock.open.pop()


def in_stage(name: str) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Make all that a function does belong to a stage."""

    def wrap(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            with stage(name):
                return function(*args, **kwargs)

        return timed

    return wrap


def staged(items: Iterable[T], name: str) -> Iterator[T]:
    """The items; the time that it takes to make each belongs to the stage, what is done with it does not."""
    source = iter(items)
    while True:
        with stage(name):
            try:
                item = next(source)
            except StopIteration:
                return
        yield item
