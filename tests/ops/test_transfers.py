"""Nothing crosses between devices but through `move`, and what crosses is counted."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import gpukit as gk
from gpukit.device import backend_of, move
from gpukit.ops.components import components, largest_component
from gpukit.ops.histogram import histogram
from gpukit.ops.morphology import close, dilate, distance, fill_holes
from gpukit.ops.resample import resample
from gpukit.ops.statistics import Statistics, percentiles, statistics

torch = pytest.importorskip("torch", reason="torch is not installed")


def volume(array: np.ndarray) -> gk.Volume:
    return gk.Volume(array=array, grid=gk.Grid(array.shape, np.diag([0.8, 0.8, 2.0, 1.0])))


def readonly(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


@pytest.fixture
def ct(rng) -> gk.Volume:
    return volume(rng.integers(-1000, 1000, (6, 20, 18)).astype("int16"))


def test_a_move_is_counted_once_with_its_bytes(ct):
    fixed = volume(readonly(ct.array.copy()))  # read-only memory is copied, because torch would write through
    with gk.count_transfers() as seen:
        there = fixed.to("torch-cpu")
        same = there.to("torch-cpu")
    assert same is there
    assert [(t.source, t.target, t.nbytes) for t in seen] == [("cpu", "torch-cpu", ct.array.nbytes)]
    np.testing.assert_array_equal(there.array.numpy(), ct.array)
    there.array[0, 0, 0] = 77
    assert fixed.array[0, 0, 0] == ct.array[0, 0, 0]


def test_memory_that_can_be_shared_is_shared_both_ways(ct):
    with gk.count_transfers() as seen:
        there = ct.to("torch-cpu")
        back = there.to("cpu")
    assert seen == []
    assert there.array.data_ptr() == ct.array.ctypes.data
    assert np.shares_memory(back.array, ct.array)


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a[::-1, :, ::-1],
        lambda a: a.astype(">i2"),
        lambda a: a.astype("u2"),
        lambda a: a.astype("f4"),
        lambda a: a > 0,
        lambda a: a[:, ::2],
        lambda a: np.float32(3.5) + a.sum(dtype="f4") * np.zeros((), "f4"),
    ],
    ids=["flipped", "big-endian", "uint16", "float32", "bool", "strided", "no-axes"],
)
def test_any_memory_layout_arrives_with_its_values_and_type(ct, make):
    array = make(ct.array)
    back = move(move(np.asarray(array), "torch-cpu"), "cpu")
    np.testing.assert_array_equal(back, array)
    assert back.dtype == np.asarray(array).dtype.newbyteorder("=")


def test_tensors_that_numpy_cannot_hold_still_leave(rng):
    values = torch.tensor([1.5, -2.0], dtype=torch.bfloat16)
    np.testing.assert_array_equal(move(values, "cpu"), np.array([1.5, -2.0], "f4"))
    learned = torch.nn.Parameter(torch.ones(3))
    np.testing.assert_array_equal(move(learned, "cpu"), np.ones(3))


def numbers(result: Any) -> list[float]:
    """The numbers in statistics or percentiles, one after the other."""
    if isinstance(result, tuple):
        return [n for one in result for n in numbers(one)]
    return [result.n, result.mean, result.sd, result.min, result.max] if isinstance(result, Statistics) else [result]


OBLIQUE = np.array([[1, 0.1, 0, 0], [0, 1, 0.1, 0], [0, 0, 1, 0.2], [0, 0, 0, 1.0]])
PIPELINES = {
    "resample, statistics": lambda a: statistics(resample(a, np.diag([1.3, 1.1, 0.7, 1]), (5, 12, 11))),
    "resample oblique, histogram": lambda a: histogram(resample(a, OBLIQUE, (5, 12, 11)), [-500, 0, 500]),
    "segment": lambda a: fill_holes(largest_component(close(a > 300, radius_mm=1.0, spacing=(0.8, 0.8, 2.0)))),
    "label, measure": lambda a: statistics(a, components(a > 300)[0], labels=(1, 2, 3)),
    "grow, measure": lambda a: percentiles(a, (5, 50), dilate(a > 900, radius_mm=2, spacing=(0.8, 0.8, 2.0))),
    "distance": lambda a: distance(a > -900, spacing=(0.8, 0.8, 2.0)),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_crosses_once_on_the_way_in_and_once_on_the_way_out(ct, name, monkeypatch):
    """Load, operate twice, take the result: two crossings, on the boundary, and no way round `move` is used."""
    ran = PIPELINES[name]
    wanted = ran(ct.array)
    with gk.count_transfers() as seen:
        there = move(readonly(ct.array.copy()), "torch-cpu")
        arrived = len(seen)
        with monkeypatch.context() as only:  # what would carry voxels off a tensor's device, or bring some there
            for way in ("numpy", "__array__"):
                only.setattr(torch.Tensor, way, _forbidden(way))
            only.setattr(torch, "from_numpy", _forbidden("from_numpy"))
            result = ran(there)
        assert len(seen) == arrived == 1
        if isinstance(result, torch.Tensor):
            assert backend_of(result).name == "torch"
            host = move(result, "cpu")
            np.testing.assert_allclose(host, wanted, atol=1e-6)
        else:
            assert numbers(result) == pytest.approx(numbers(wanted), abs=1e-6)
    assert [(t.source, t.target) for t in seen] == [("cpu", "torch-cpu")]


def _forbidden(name: str):
    def raises(*args, **kwargs):
        raise AssertionError(f"an operation used {name}: data left its device")

    return raises


@pytest.mark.parametrize("name", PIPELINES)
def test_operations_stay_on_a_second_device(ct, name):
    """array-api-strict has several devices and refuses to mix them or to hand their data to NumPy."""
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    far = strict.Device("device1")
    array = strict.asarray(ct.array, device=far)
    with pytest.raises((RuntimeError, ValueError)):
        array + strict.asarray(ct.array)  # devices do not mix: the judge works
    result = PIPELINES[name](array)
    wanted = PIPELINES[name](ct.array)
    if isinstance(wanted, np.ndarray):
        assert result.device == far
        near = np.asarray(result.to_device(strict.Device("CPU_DEVICE")))
        np.testing.assert_allclose(near, wanted, atol=1e-6)
    else:
        assert numbers(result) == pytest.approx(numbers(wanted), abs=1e-6)


def test_counters_nest_and_see_only_their_own_thread():
    with gk.count_transfers() as outer:
        move(readonly(np.zeros(4)), "torch-cpu")
        with gk.count_transfers() as inner:
            move(readonly(np.zeros(8)), "torch-cpu")
        other = threading.Thread(target=lambda: move(readonly(np.zeros(16)), "torch-cpu"))
        other.start()
        other.join()
    assert [t.nbytes for t in outer] == [32, 64]
    assert [t.nbytes for t in inner] == [64]
