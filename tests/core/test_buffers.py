"""Memory that is used again: never while somebody still holds it."""

from __future__ import annotations

import gc
import mmap
import time

import numpy as np
import pytest

from gpukit import buffers

pytestmark = pytest.mark.skipif(not hasattr(mmap, "MADV_FREE"), reason="this system lends no memory back")
SHAPE = (5, 2048, 1024)  # 20 MiB of int16


def address(array: np.ndarray) -> int:
    return int(array.__array_interface__["data"][0])


@pytest.fixture(autouse=True)
def clean() -> None:
    gc.collect()
    buffers.forget()


def test_memory_that_nobody_holds_is_used_again() -> None:
    first = buffers.empty(SHAPE, np.int16)
    where = address(first)
    first[...] = 7
    del first
    again = buffers.empty((SHAPE[0] * 2 - 1, *SHAPE[1:]), np.uint8)
    assert address(again) == where
    assert again.flags.c_contiguous and again.flags.writeable and again.flags.aligned


@pytest.mark.parametrize(
    "hold",
    [
        lambda a: a[1:, ::2],
        lambda a: a.view(np.uint16)[0],
        lambda a: a.reshape(-1)[::-1].reshape(SHAPE),
        lambda a: memoryview(a),
        lambda a: np.from_dlpack(a),
        lambda a: np.asarray(a.data),
    ],
)
def test_a_view_keeps_it(hold: object) -> None:
    first = buffers.empty(SHAPE, np.int16)
    first[...] = 7
    view = hold(first)  # type: ignore[operator]
    del first
    gc.collect()
    other = buffers.empty(SHAPE, np.int16)
    other[...] = 9
    assert (np.asarray(view).view(np.int16) == 7).all()


def test_a_tensor_keeps_it() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    first = buffers.empty(SHAPE, np.int16)
    first[...] = 7
    tensor = torch.from_numpy(first)[2]
    del first
    gc.collect()
    other = buffers.empty(SHAPE, np.int16)
    other[...] = 9
    assert bool((tensor == 7).all())


def test_two_arrays_never_share() -> None:
    held = [buffers.empty(SHAPE, np.int16) for _ in range(3)]
    for n, array in enumerate(held):
        array[...] = n
    assert [int(a.min()) == int(a.max()) == n for n, a in enumerate(held)] == [True] * 3
    del held
    many = [buffers.empty(SHAPE, np.int16) for _ in range(5)]  # more than the blocks that were kept
    for n, array in enumerate(many):
        array[...] = n
    assert [int(a.min()) == int(a.max()) == n for n, a in enumerate(many)] == [True] * 5


def test_arrays_of_different_sizes_each_find_their_memory_again() -> None:
    """A series, its coefficients and the result take turns and must not drive each other out."""
    sizes = [(n * SHAPE[0], *SHAPE[1:]) for n in (1, 3, 9)]
    first = [buffers.empty(size, np.int16) for size in sizes]
    where = {address(a) for a in first}
    del first
    for _ in range(2):
        again = [buffers.empty(size, np.int16) for size in reversed(sizes)]
        assert {address(a) for a in again} == where
        del again


def test_a_small_series_does_not_sit_on_a_large_block() -> None:
    large = buffers.empty((4 * SHAPE[0], *SHAPE[1:]), np.int16)
    where = address(large)
    del large
    assert address(buffers.empty(SHAPE, np.int16)) != where


def test_small_arrays_are_numpys_own() -> None:
    assert buffers.empty((3, 4), np.float32).base is None
    assert buffers.empty((0, 4), np.float32).shape == (0, 4)


def test_memory_made_ready_is_what_the_array_gets() -> None:
    nbytes = int(np.prod(SHAPE)) * 2
    with buffers.prepared() as prepare:
        prepare(nbytes)
        array = buffers.empty(SHAPE, np.int16)
        other = buffers.empty(SHAPE, np.int16)  # it is there once
        array[...], other[...] = 3, 4
    assert (array == 3).all() and (other == 4).all()


def test_memory_made_ready_for_nothing_goes_back() -> None:
    import psutil

    process = psutil.Process()
    before = process.memory_info().rss
    with buffers.prepared() as prepare:
        prepare(256 << 20)
        small = buffers.empty(SHAPE, np.int16)  # less than half of it: the guess was wrong
        small[...] = 1
    del small
    buffers.forget()
    deadline = time.monotonic() + 20
    while process.memory_info().rss - before > 64 << 20:  # the thread that asks for pages ends, and they go
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_array_may_be_written_and_dropped_while_it_is_made_ready() -> None:
    for value in range(20):
        with buffers.prepared() as prepare:
            prepare(64 << 20)
            array = buffers.empty((64 << 20,), np.uint8)
            array[::4096] = value
            assert (array[::4096] == value).all()
        del array
        buffers.forget()
