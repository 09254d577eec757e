"""Time by stage: each moment counted once, and the stages of a segmentation are all there."""

from __future__ import annotations

import time

import pytest

from gpukit.profiling import in_stage, profile, stage, staged


def spin(seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass


def test_an_inner_stage_is_not_counted_in_the_outer_one() -> None:
    begun = time.perf_counter()
    with profile() as seconds:
        with stage("decoding"):
            spin(0.02)
            with stage("upload"):
                spin(0.05)
        spin(0.01)  # belongs to none
    passed = time.perf_counter() - begun
    # at least what was spun; a busy machine may add to any of them, and never counts a moment twice
    assert seconds["decoding"] >= 0.02 and seconds["upload"] >= 0.05
    assert sum(seconds.values()) <= passed - 0.01


def test_of_a_stream_only_the_making_counts() -> None:
    def made() -> object:
        for n in range(3):
            spin(0.01)
            yield n

    begun = time.perf_counter()
    with profile() as seconds:
        for _ in staged(made(), "inference"):
            spin(0.02)
    assert 0.03 <= seconds["inference"] <= time.perf_counter() - begun - 0.06


def test_a_stage_ends_with_an_error() -> None:
    @in_stage("writing")
    def fails() -> None:
        raise OSError

    with profile() as seconds, stage("reading"), pytest.raises(OSError):
        fails()
    assert set(seconds) == {"reading", "writing"}
    with stage("reading"):
        pass  # nobody profiles: nothing happens
