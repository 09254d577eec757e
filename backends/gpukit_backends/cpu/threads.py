"""One thread pool for all kernels: each call works on a range of rows and holds no Python lock meanwhile."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait

from gpukit.errors import InputError

__all__ = ["over_rows", "thread_count"]

#: Environment variable that bounds the number of threads.
VARIABLE = "GPUKIT_THREADS"
#: Threads that the variable may ask for.
MOST = 4096
#: Ranges per thread: enough that a slow one does not keep the others waiting.
SPLIT = 4


def thread_count() -> int:
    """Threads to use: ``GPUKIT_THREADS``, else the processors that this process may run on."""
    text = os.environ.get(VARIABLE, "").strip()
    if text:
        if not (text.isascii() and text.isdecimal()) or not 1 <= int(text[:10]) <= MOST:
            raise InputError(
                f"the number of threads must be a whole number from 1 to {MOST}, not {text[:40]!r}", attribute=VARIABLE
            )
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@functools.lru_cache(maxsize=4)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Return the pool of this process: a forked child must not wait for its parent's threads."""
    return ThreadPoolExecutor(threads, thread_name_prefix="gpukit")


def over_rows(work: Callable[[int, int], int], rows: int, *, least: int = 1, split: int = SPLIT) -> None:
    """Run ``work(begin, end)`` over all rows, in parallel ranges of at least `least` rows, `split` of them a thread.

    Raises
    ------
    MemoryError
        A range reported that it could not get memory.
    """
    threads = thread_count()
    step = max(least, -(-rows // (threads * split)))
    ranges = [(begin, min(begin + step, rows)) for begin in range(0, rows, step)]
    if threads == 1 or len(ranges) == 1:
        failed = work(0, rows)
    elif len(ranges) == 2:  # little work: waking one thread is quicker than waking two
        other = _pool(threads, os.getpid()).submit(work, *ranges[1])
        try:
            failed = work(*ranges[0])
        finally:
            wait((other,))
        failed += other.result()
    else:
        failed = sum(_pool(threads, os.getpid()).map(lambda r: work(*r), ranges))
    if failed:
        raise MemoryError("no memory for a kernel's scratch rows")
