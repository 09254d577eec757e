"""Items made in a thread: in order, a bounded number in advance, with the errors and the counters of the caller."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import gpukit as gk
from gpukit.prefetch import Ahead
from gpukit.profiling import profile, stage
from gpukit.transfers import count_crossing

LONG = 30.0  # seconds; only ever waited for where the code is wrong


def test_the_next_item_is_made_while_the_present_one_is_used() -> None:
    """No clock: the user of item 0 waits until item 1 is begun, which without a thread would never be."""
    begun = [threading.Event() for _ in range(3)]

    def source() -> Iterator[int]:
        for n in range(3):
            begun[n].set()
            yield n

    with Ahead(source()) as items:
        seen = []
        for n in items:
            if n + 1 < 3:
                assert begun[n + 1].wait(LONG)
            seen.append(n)
    assert seen == [0, 1, 2]


def test_no_more_are_made_than_may_wait() -> None:
    made: list[int] = []
    third = threading.Event()

    def source() -> Iterator[int]:
        for n in range(100):
            made.append(n)
            if n == 2:
                third.set()
            yield n

    with Ahead(source(), depth=1) as items:
        first = next(iter(items))
        assert third.wait(LONG)  # one waits in the queue, one is in the thread's hands
        assert first == 0 and made == [0, 1, 2]
    assert len(made) <= 4  # left: the thread ends


def test_items_wait_as_long_as_they_weigh_little() -> None:
    made: list[int] = []
    full = threading.Event()

    def source() -> Iterator[int]:
        for n in [3, 3, 3, 9, 1]:
            made.append(n)
            if n == 9:
                full.set()
            yield n

    with Ahead(source(), depth=10, cost=lambda n: n, most=10) as items:
        assert full.wait(LONG)  # three of weight 3 wait, and 9 more would be too much
        assert made == [3, 3, 3, 9]
        assert list(items) == [3, 3, 3, 9, 1]  # one that is heavy waits alone


def test_an_error_comes_in_its_place_and_the_source_is_closed() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield 1
            yield 2
            raise ValueError("the third")
        finally:
            closed.set()

    seen = []
    with pytest.raises(ValueError, match="the third"), Ahead(source()) as items:
        seen.extend(items)
    assert seen == [1, 2] and closed.wait(LONG)


def test_leaving_early_ends_the_thread() -> None:
    def source() -> Iterator[np.ndarray]:
        while True:
            yield np.zeros(3)

    before = threading.active_count()
    with Ahead(source(), depth=2, most=10) as items:
        next(iter(items))
    assert threading.active_count() == before


def test_crossings_in_the_thread_are_counted_and_its_stages_kept_apart() -> None:
    inside: list[str] = []

    @contextmanager
    def around() -> Iterator[None]:
        inside.append("in")
        yield
        inside.append("out")

    def source() -> Iterator[int]:
        for n in range(2):
            with stage("decoding"):
                count_crossing("cpu", "cuda:0", n + 1)
            assert inside[-1] == "in"
            yield n

    beside: dict[str, float] = {}
    with gk.count_transfers() as moved, profile(beside) as seconds, Ahead(source(), around=around) as items:
        assert list(items) == [0, 1]
    assert [t.nbytes for t in moved] == [1, 2]
    assert set(beside) == {"decoding"} and set(seconds) == {"reading"}  # waiting for items is reading
    assert inside.count("in") == inside.count("out") == 3  # the third found the end
