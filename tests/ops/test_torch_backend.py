"""What only the torch backend can get wrong: the float32 code that MPS runs, chunks, and torch's missing types.

MPS itself is not needed: the kernels ask `_tensors.real_dtype` for the precision, and here the CPU is declared to have
no float64 either. A dispatch hook then fails the test on any float64 tensor, which MPS would refuse to make.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gpukit.device import backends, move
from gpukit.dispatch import Operation, explain
from gpukit.ops.components import components, largest_component
from gpukit.ops.histogram import histogram
from gpukit.ops.morphology import close, dilate, distance, fill_holes, open_
from gpukit.ops.project import project, project_slab
from gpukit.ops.resample import resample
from gpukit.ops.sample import sample
from gpukit.ops.statistics import statistics

torch = pytest.importorskip("torch", reason="torch is not installed")
dispatch = importlib.import_module("torch.utils._python_dispatch")

SHAPE = (9, 21, 18)
SPACING = (0.7, 0.8, 2.5)
# no round numbers: then no sample lies half-way between two voxels, where float32 may choose the other one
OBLIQUE = np.array(
    [
        [0.91373, 0.12191, -0.05311, 0.41731],
        [-0.10217, 0.85139, 0.10379, 1.30713],
        [0.03119, -0.02137, 0.60931, 0.21713],
        [0, 0, 0, 1.0],
    ]
)
TURNED = np.array([[0, 1, 0, 0], [-1, 0, 0, 20], [0, 0, 1, 0], [0, 0, 0, 1.0]])
SCALED = np.diag([0.81373, 1.31271, 0.51931, 1.0])


class NoFloat64(dispatch.TorchDispatchMode):
    """Refuses what MPS refuses: a tensor of float64."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for one in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(one, torch.Tensor) and one.dtype == torch.float64 and one.ndim > 0:
                raise AssertionError(f"{func} made a float64 tensor, which MPS has not")
        return result


@pytest.fixture
def like_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The CPU without float64, for kernels and for the references that kernels call."""
    tensors = importlib.import_module("gpukit_backends.mps._tensors")
    monkeypatch.setattr(tensors, "WITHOUT_FLOAT64", {"mps", "cpu"})
    for name in ("resample", "_spline", "sample", "project"):
        module = importlib.import_module(f"gpukit.ops.{name}")
        if hasattr(module, "real_dtype"):
            monkeypatch.setattr(module, "real_dtype", lambda xp, array: xp.float32)


def slab(data: Any, **how: Any) -> Any:
    return project_slab(data, OBLIQUE, (12, 15, 16), fill=-5.0, **how)


CALLS: dict[str, Callable[[Any], Any]] = {
    "oblique": lambda a: resample(a, OBLIQUE, (10, 15, 16), fill=-1000.0),
    "oblique, to float": lambda a: resample(a, OBLIQUE, (10, 15, 16), fill=-1000.0, dtype="float32"),
    "oblique nearest": lambda a: resample(a, OBLIQUE, (10, 15, 16), order=0, fill=-1000.0),
    "oblique, padding": lambda a: resample(a, OBLIQUE, (10, 15, 16), fill=-9.0, padding=(-2000, -500)),
    "turned": lambda a: resample(a, TURNED, (9, 18, 21)),
    "scaled": lambda a: resample(a, SCALED, (12, 14, 20), fill=3.0),
    "scaled nearest": lambda a: resample(a, SCALED, (12, 14, 20), order=0, fill=3.0),
    "slab max": lambda a: slab(a),
    "slab min": lambda a: slab(a, method="min", padding=(-2000, -900)),
    "slab mean": lambda a: slab(a, method="mean"),
    "max": lambda a: project(a, 0),
    "min, padding": lambda a: project(a, 1, method="min", padding=(-2000, -900)),
    "mean": lambda a: project(a, 2, method="mean", start=2, stop=11),
    "histogram": lambda a: histogram(a, np.linspace(-800.3, 900.7, 41)),
    "components": lambda a: components(a > 500, connectivity=2)[0],
    "largest": lambda a: largest_component(a > 500),
    "dilate": lambda a: dilate(a > 900, radius_mm=2.1, spacing=SPACING),
    "open": lambda a: open_(a > -500, radius_mm=0.8, spacing=SPACING),
    "close": lambda a: close(a > 700, radius_mm=0.8, spacing=SPACING),
    "fill": lambda a: fill_holes(a > -300),
    "distance": lambda a: distance(a > -900, spacing=SPACING),
}
#: Results that are interpolated in working precision; the others must not differ at all, in float32 either.
REAL = {
    "oblique",
    "oblique, to float",
    "oblique, padding",
    "scaled",
    "slab max",
    "slab min",
    "slab mean",
    "mean",
    "distance",
}


@pytest.mark.parametrize("kind", ["int16", "float32"])
@pytest.mark.parametrize("name", CALLS)
def test_the_code_that_mps_runs(rng, like_mps, name, kind):
    data = rng.integers(-1000, 1000, SHAPE).astype(kind)
    wanted = CALLS[name](data)  # NumPy, float64
    tensor = move(data.copy(), "torch-cpu")
    with NoFloat64():
        found = CALLS[name](tensor)
    assert found.dtype != torch.float64
    found = found.numpy()
    if name not in REAL:
        np.testing.assert_array_equal(found, wanted)
        return
    # float32 places a sample within 1e-6 voxel on these grids; between neighbours 2000 apart that is 2e-3, and an
    # integer result may round to the other side of a half
    exact = wanted.dtype.kind == "f"
    np.testing.assert_allclose(found.astype("f8"), wanted.astype("f8"), atol=4e-3 if exact else 1.0)
    if not exact:
        assert (found != wanted).sum() <= 3


def test_statistics_in_float32_keep_five_digits(rng, like_mps):
    data = rng.normal(1000, 30, (40, 70, 60)).astype("float32")
    labels = rng.integers(0, 3, data.shape).astype("uint8")
    with NoFloat64():
        found = statistics(move(data.copy(), "torch-cpu"), move(labels.copy(), "torch-cpu"), labels=(1, 2))
    for one, wanted in zip(found, statistics.reference(data, labels, labels=(1, 2)), strict=True):
        assert one.n == wanted.n and (one.min, one.max) == (wanted.min, wanted.max)
        assert one.mean == pytest.approx(wanted.mean, rel=1e-7)  # merged in float64, row sums in float32
        assert one.sd == pytest.approx(wanted.sd, rel=1e-5)
        assert one.skewness == pytest.approx(wanted.skewness, abs=1e-4)
        assert one.kurtosis == pytest.approx(wanted.kurtosis, abs=1e-4)
        assert one.energy == pytest.approx(wanted.energy, rel=1e-6)


@pytest.mark.parametrize("name", ["oblique", "oblique, padding", "oblique nearest", "slab max", "slab mean"])
def test_without_fused_sampling_the_result_is_the_same(rng, monkeypatch, name):
    """MPS had no trilinear sampling before torch 2.9: then the eight neighbours are gathered."""
    field = importlib.import_module("gpukit_backends.mps._interpolated")
    tensor = torch.from_numpy(rng.normal(0, 500, SHAPE))
    fused = CALLS[name](tensor)
    monkeypatch.setattr(field, "_interpolates", lambda kind: False)
    # float64 sums of eight products of values near 1000, in another order
    torch.testing.assert_close(CALLS[name](tensor), fused, atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", CALLS)
def test_pieces_do_not_show(rng, monkeypatch, name):
    """Every kernel works on a part at a time; with parts of a few voxels the result is the same."""
    tensor = torch.from_numpy(rng.integers(-1000, 1000, SHAPE).astype("float32"))
    whole = CALLS[name](tensor)
    monkeypatch.setattr("gpukit_backends.mps.histogram.CHUNK", 1000)
    monkeypatch.setattr("gpukit_backends.mps.project.CHUNK", 500)
    for module in ("resample", "sample", "project_slab"):
        monkeypatch.setattr(f"gpukit_backends.mps.{module}.CHUNK", 500)
    # a mean is added up in another order
    torch.testing.assert_close(CALLS[name](tensor), whole, atol=1e-4 if "mean" in name else 0, rtol=0)


def test_sample_in_pieces_and_float32(rng, monkeypatch, like_mps):
    data = rng.normal(0, 100, SHAPE).astype("float32")
    points = rng.uniform(-1, 20, (500, 3))
    points[7] = np.nan
    wanted = sample.reference(data, points, fill=-7.0)
    monkeypatch.setattr("gpukit_backends.mps.sample.CHUNK", 64)
    with NoFloat64():
        found = sample(torch.from_numpy(data), torch.from_numpy(points.astype("float32")), fill=-7.0)
    assert found.dtype == torch.float32
    # 1e-6 voxel between values 500 apart; a point within that of the edge may fall on its other side
    assert (np.abs(found.numpy() - wanted) > 2e-3).sum() <= 1


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64", "bool", "int8"])
@pytest.mark.parametrize("matrix", [OBLIQUE, SCALED, TURNED], ids=["oblique", "scaled", "turned"])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_types_that_torch_only_stores(rng, kind, matrix, order):
    """MR is uint16: torch has the type but cannot compare or index it."""
    data = rng.integers(0, 2 if kind == "bool" else 120, SHAPE).astype(kind)
    wanted = resample.reference(data, matrix, (7, 12, 13), order=order, fill=1)
    found = move(resample(move(data, "torch-cpu"), matrix, (7, 12, 13), order=order, fill=1), "cpu")
    assert found.dtype == data.dtype
    np.testing.assert_array_equal(found, wanted)


def test_kernels_of_each_operation_are_torchs_own():
    torch_backend = next(b for b in backends() if b.name == "torch")
    names = (
        "resample",
        "sample",
        "project",
        "project_slab",
        "statistics",
        "histogram",
        "components",
        "dilate",
        "distance",
    )
    assert all(torch_backend.kernel(name) is not None for name in names)
    assert torch_backend.kernel("no_such_operation") is None
    tensor = torch.zeros(SHAPE)
    for operation, arguments in (
        (resample, (OBLIQUE, (3, 4, 5))),
        (project, (0,)),
        (project_slab, (OBLIQUE, (3, 4, 5))),
        (statistics, ()),
        (histogram, ([0, 1],)),
        (components, ()),
    ):
        assert isinstance(operation, Operation)
        assert explain(operation, tensor, *arguments).function.startswith("gpukit_backends.mps.")


def test_types_that_mps_lacks_become_wider_ones_of_the_same_value():
    backend = importlib.import_module("gpukit_backends.mps.backend")
    assert backend._ON_MPS == {"float64": "float32", "uint16": "int32", "uint32": "int64", "uint64": "int64"}


def test_cuda_memory_is_shared_with_cupy():
    cupy = pytest.importorskip("cupy", reason="CuPy is not installed")
    if not torch.cuda.is_available() or cupy.cuda.runtime.getDeviceCount() == 0:
        pytest.skip("no CUDA device answers")
    from gpukit.transfers import count_transfers

    array = cupy.arange(24, dtype=cupy.float32).reshape(2, 3, 4)
    with count_transfers() as seen:
        tensor = move(array, "torch-cuda:0")
        back = move(tensor, "cuda:0")
    assert seen == []
    assert tensor.data_ptr() == array.data.ptr == back.data.ptr
