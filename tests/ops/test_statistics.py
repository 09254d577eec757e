"""Statistics and percentiles on every backend, against float64 NumPy, SciPy, SimpleITK and the IBSI's own numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import SimpleITK

from gpukit.errors import InputError
from gpukit.ops.statistics import Statistics, percentiles, statistics

SHAPES = [(1, 1, 1), (1, 7, 5), (3, 1, 9), (5, 17, 13), (33, 40, 21)]

#: The digital phantom of the Image Biomarker Standardisation Initiative (reference manual, section 5.1): 4 slices, 4
#: rows, 5 columns. The region of interest is what is not -1 here.
PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [-1, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, -1, -1], [1, 1, 1, 1, 1], [1, 1, -1, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, -1, -1], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ],
    dtype=np.int16,
)


def expected(values: np.ndarray) -> dict[str, float]:
    """The same numbers from NumPy and SciPy in float64."""
    v = values.astype(np.float64)
    return {
        "n": v.size,
        "mean": np.mean(v),
        "sd": np.std(v),
        "sd_sample": np.std(v, ddof=1) if v.size > 1 else math.nan,
        "min": v.min(),
        "max": v.max(),
        "sum": math.fsum(v),
        "skewness": float(scipy.stats.skew(v)) if v.std() > 0 else 0.0,
        "kurtosis": float(scipy.stats.kurtosis(v)) if v.std() > 0 else 0.0,
        "energy": math.fsum(v * v),
        "rms": math.sqrt(np.mean(v * v)),
    }


def assert_same(found: Statistics, values: np.ndarray, rel: float = 1e-9) -> None:
    # 1e-9: float64 sums of up to 30,000 values in another order differ by about 1e-13; skewness and kurtosis divide by
    # powers of the deviation and lose a few digits more.
    scale = max(1.0, float(np.max(np.abs(values.astype(np.float64)))) if values.size else 1.0)
    for name, wanted in expected(values).items():
        got = getattr(found, name)
        size = {"sum": scale * values.size, "energy": scale**2 * values.size}.get(name, scale)
        assert got == pytest.approx(wanted, rel=rel, abs=rel * size, nan_ok=True), name


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES)
def test_all_voxels(lib, rng, shape, dtype):
    data = (rng.normal(60, 20, shape)).astype(dtype)
    assert_same(lib(statistics, data), data.ravel())


def test_mask_nan_and_padding_take_no_part(lib, rng):
    data = rng.normal(40, 25, (7, 31, 29)).astype("float32")
    data[rng.random(data.shape) < 0.1] = np.nan
    data[rng.random(data.shape) < 0.2] = -3024
    data[rng.random(data.shape) < 0.1] = -2000
    mask = rng.random(data.shape) < 0.6
    kept = data[mask & ~np.isnan(data) & (data > -2000)]
    found = lib(statistics, data, mask=mask, padding=(-3024, -2000), arrays=("mask",))
    assert_same(found, kept)
    assert found.min > -1000


def test_integer_padding_between_whole_numbers(lib):
    data = np.array([[-3, -2, -1, 0, 1, 2]], dtype=np.int16)
    found = lib(statistics, data, padding=(-2.5, -0.5))
    assert (found.n, found.min, found.sum) == (4, -3.0, 0.0)


def test_strided_and_flipped_views(lib, rng):
    data = rng.integers(-1000, 2000, (9, 20, 22)).astype("int16")[::2, ::-1, 3:17].transpose(2, 0, 1)
    assert_same(lib(statistics, data), data.ravel())


def test_labels_in_the_order_asked_for(lib, rng):
    data = rng.integers(-1000, 2000, (9, 20, 22)).astype("int16")
    labels = rng.integers(0, 5, data.shape).astype("uint16")
    labels[labels == 3] = 300
    found = lib(statistics, data, mask=labels, labels=(300, 1, 7, 0), arrays=("mask",))
    assert [s.label for s in found] == [300, 1, 7, 0]
    for one in (found[0], found[1], found[3]):
        assert_same(one, data[labels == one.label])
    assert found[2].n == 0 and math.isnan(found[2].mean)


def test_labels_agree_with_simpleitk(lib, rng):
    data = rng.normal(0, 100, (8, 25, 30)).astype("float32")
    labels = rng.integers(0, 4, data.shape).astype("uint8")
    judge = SimpleITK.LabelStatisticsImageFilter()
    judge.Execute(SimpleITK.GetImageFromArray(data), SimpleITK.GetImageFromArray(labels))
    for one in lib(statistics, data, mask=labels, labels=(1, 2, 3), arrays=("mask",)):
        assert one.n == judge.GetCount(one.label)
        assert one.mean == pytest.approx(judge.GetMean(one.label), abs=1e-9 * 100)
        assert one.sd_sample == pytest.approx(judge.GetSigma(one.label), rel=1e-9)
        assert (one.min, one.max) == (judge.GetMinimum(one.label), judge.GetMaximum(one.label))


def test_a_large_offset_does_not_drown_the_deviation(lib, rng):
    # One pass over squares loses all of this deviation: 1e8 squared has 16 digits before the deviation begins.
    data = 1e8 + rng.normal(0, 1, (20, 30, 40))
    exact = (data - 1e8).ravel()
    found = lib(statistics, data)
    assert found.sd == pytest.approx(exact.std(), rel=1e-7)
    assert found.skewness == pytest.approx(float(scipy.stats.skew(exact)), abs=1e-6)
    assert found.kurtosis == pytest.approx(float(scipy.stats.kurtosis(exact)), abs=1e-6)


def test_empty_and_constant(lib):
    data = np.full((2, 3, 4), 7, dtype=np.int16)
    none = lib(statistics, data, mask=np.zeros(data.shape, bool), arrays=("mask",))
    assert (none.n, none.sum, none.energy) == (0, 0.0, 0.0)
    names = ("mean", "sd", "sd_sample", "min", "max", "skewness", "kurtosis", "rms")
    assert all(math.isnan(getattr(none, n)) for n in names)
    flat = lib(statistics, data)
    assert (flat.mean, flat.sd, flat.skewness, flat.kurtosis, flat.rms) == (7.0, 0.0, 0.0, 0.0, 7.0)
    one = lib(statistics, data[:1, :1, :1])
    assert one.n == 1 and math.isnan(one.sd_sample)


def test_ibsi_digital_phantom(lib):
    # Consensus values of the IBSI reference manual, 3.3, digital phantom; three digits and more are published.
    found = lib(statistics, PHANTOM, mask=PHANTOM > 0, arrays=("mask",))
    assert found.n == 74
    assert found.mean == pytest.approx(2.14865, abs=5e-6)
    assert found.sd**2 == pytest.approx(3.04547, abs=5e-6)
    assert found.skewness == pytest.approx(1.08382, abs=5e-6)
    assert found.kurtosis == pytest.approx(-0.354620, abs=5e-7)
    assert found.energy == 567.0
    assert found.rms == pytest.approx(2.76806, abs=5e-6)
    assert (found.min, found.max) == (1.0, 6.0)


def test_ibsi_chest_ct(lib, data):
    import nibabel

    folder = data / "ct_chest_ibsi" / "nifti"
    image = np.asarray(nibabel.load(next(folder.glob("image/*.nii*"))).dataobj)
    mask = np.asarray(nibabel.load(next(folder.glob("mask/*.nii*"))).dataobj)
    found = lib(statistics, np.ascontiguousarray(image), mask=np.ascontiguousarray(mask), arrays=("mask",))
    assert_same(found, image[mask != 0])
    # stated with the data, from other software: 125256 voxels, mean -46.883 HU, SD 231.069
    assert found.n == 125256
    assert found.mean == pytest.approx(-46.883, abs=5e-4)
    assert found.sd == pytest.approx(231.069, abs=2e-3)  # whether n or n - 1 divides makes 9e-4


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_percentiles(lib, rng, dtype):
    data = rng.normal(100, 40, (6, 19, 23)).clip(0, 250).astype(dtype)
    mask = rng.random(data.shape) < 0.7
    q = (0, 0.5, 5, 25, 50, 75, 99.5, 100)
    found = lib(percentiles, data, q, mask=mask, arrays=("mask",))
    # 1e-9: one interpolation in float64
    assert found == pytest.approx(np.percentile(data[mask].astype("f8"), q), rel=1e-9)


def test_percentiles_leave_out_nan_and_padding(lib, rng):
    data = rng.normal(0, 100, (6, 19, 23)).astype("float32")
    data[0] = np.nan
    data[1] = -2000
    found = lib(percentiles, data, (50,), padding=(-2000, -2000))
    assert found[0] == pytest.approx(np.median(data[2:].astype("f8")), rel=1e-9)
    assert all(map(math.isnan, lib(percentiles, data[:1], (5, 50))))


def test_wrong_arguments(lib):
    data = np.zeros((2, 3, 4), np.int16)
    with pytest.raises(InputError, match="shape"):
        lib(statistics, data, mask=np.ones((2, 3, 3), bool), arrays=("mask",))
    with pytest.raises(InputError, match="label map"):
        lib(statistics, data, labels=(1,))
    with pytest.raises(InputError, match="padding"):
        lib(statistics, data, padding=(2, 1))
    with pytest.raises(InputError, match="percentages"):
        lib(percentiles, data, (101,))


def test_a_mask_on_another_device_is_refused_not_moved(rng):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    with pytest.raises(InputError, match="torch-cpu"):
        statistics(np.zeros((2, 3, 4)), torch.ones((2, 3, 4)))
    with pytest.raises(InputError, match=r"\.to\(device\)"):
        statistics(torch.zeros((2, 3, 4)), np.ones((2, 3, 4)))
