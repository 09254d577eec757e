"""Numbers of a whole CT and of a region beside NumPy and SimpleITK: same voxels, same threads, one process.

``python benchmarks/roi_statistics.py [--quick]``. Mean, standard deviation, extremes, skewness, kurtosis, energy,
median and six percentiles: from gpukit in one call, from NumPy in one call each (without the higher moments, which it
does not have), from SimpleITK's filter (which has no percentiles).
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from ops import compare, thorax

from gpukit.ops.distribution import distribution
from gpukit_backends.cpu.library import library
from gpukit_backends.cpu.threads import thread_count

Q = (5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0)


def by_numpy(values: Callable[[], np.ndarray]) -> dict[str, float | list[float]]:
    """One call a number, as people write it."""
    v = values()
    return {
        "mean": float(np.mean(v)),
        "sd": float(np.std(v)),
        "min": float(np.min(v)),
        "max": float(np.max(v)),
        "median": float(np.median(v)),
        "percentiles": np.percentile(v, Q).tolist(),
    }


def by_itk(data: np.ndarray, mask: np.ndarray | None) -> Callable[[], Any]:
    """SimpleITK's filter for a whole image or for labels."""
    import SimpleITK as sitk  # noqa: N813

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(thread_count())
    image = sitk.GetImageFromArray(data)
    if mask is None:
        whole = sitk.StatisticsImageFilter()
        return lambda: whole.Execute(image)
    labels, regions = sitk.GetImageFromArray(mask.astype(np.uint8)), sitk.LabelStatisticsImageFilter()
    return lambda: regions.Execute(image, labels)


def main() -> None:
    """Run all comparisons."""
    quick = "--quick" in sys.argv[1:]
    slices, pixels, rounds = (75, 256, 3) if quick else (300, 512, 5)
    data = thorax(slices, pixels)
    print(f"{data.shape} int16, {thread_count()} threads, kernels {library()}")
    k, j, i = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : pixels * 1j, -1 : 1 : pixels * 1j]
    lung = ((i - 0.42) / 0.3) ** 2 + (j / 0.4) ** 2 + (k / 0.9) ** 2 < 1
    for title, mask, values in (
        ("statistics of the volume", None, lambda: data),
        ("statistics inside a mask", lung, lambda: data[lung]),
    ):
        ours, theirs = distribution(data, Q, mask), by_numpy(values)
        same = np.allclose([ours.statistics.mean, ours.statistics.sd], [theirs["mean"], theirs["sd"]], rtol=1e-9)
        assert same and np.allclose(ours.percentiles, theirs["percentiles"])
        peers = {"NumPy": lambda values=values: by_numpy(values), "SimpleITK": by_itk(data, mask)}
        compare(title, lambda mask=mask: distribution(data, Q, mask), peers, rounds)


if __name__ == "__main__":
    main()
