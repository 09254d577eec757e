"""Volumes with random voxels."""

from __future__ import annotations

import numpy as np

from gpukit.geometry import Grid
from gpukit.volume import Volume


def random_volume(dtype: str = "int16", axes: str = "kji", affine: np.ndarray | None = None) -> Volume:
    sizes = {"t": 5, "k": 2, "j": 3, "i": 4, "c": 3}
    rng = np.random.default_rng(7)
    shape = tuple(sizes[axis] for axis in axes)
    if dtype.startswith("float"):
        array = rng.normal(size=shape).astype(dtype)
    else:
        info = np.iinfo(dtype)
        array = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    return Volume(array=array, grid=Grid((2, 3, 4), np.eye(4) if affine is None else affine), axes=axes)
