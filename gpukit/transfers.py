"""What crosses between devices, counted for those who want to know."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

__all__ = ["Transfer", "count_crossing", "count_transfers"]


@dataclass(frozen=True)
class Transfer:
    """One crossing between devices."""

    source: str
    target: str
    nbytes: int


_counters: ContextVar[tuple[list[Transfer], ...]] = ContextVar("gpukit_transfers", default=())


@contextmanager
def count_transfers() -> Iterator[list[Transfer]]:
    """Collect every crossing that happens while the context is open (in this thread or task)."""
    seen: list[Transfer] = []
    token = _counters.set((*_counters.get(), seen))
    try:
        yield seen
    finally:
        _counters.reset(token)


def count_crossing(source: str, target: str, nbytes: int) -> None:
    """Tell who counts that something crossed: an array that was moved, frames that a device will decode."""
    for seen in _counters.get():
        seen.append(Transfer(source, target, nbytes))
