"""The IBSI's digital phantom."""

from __future__ import annotations

import numpy as np

from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

GRID = Grid.from_axes((6, 9, 11), spacing=(0.8, 1.2, 3.0), origin=(5, -7, 20))


def labelled(array: np.ndarray, grid: Grid = GRID) -> Segmentation:
    values = [int(v) for v in np.unique(array) if v]
    labels = tuple(Label(value=v, name=f"part {v}", category=("", "", ""), type=("", "", "")) for v in values)
    return Segmentation(array=array.astype(np.uint8), grid=grid, labels=labels)


_ = np.nan


PHANTOM = np.array(
    [
        [[1, 4, 4, 1, 1], [1, 4, 6, 1, 1], [4, 1, 6, 4, 1], [4, 4, 6, 4, 1]],
        [[1, 4, 4, 1, 1], [1, 1, 6, 1, 1], [_, 1, 3, 1, 1], [4, 4, 6, 1, 1]],
        [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, _, 1, 1], [1, 1, 6, 1, 1]],
        [[1, 4, 4, _, _], [1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [1, 1, 6, 1, 1]],
    ]
)


def digital_phantom() -> tuple[Volume, Segmentation]:
    grid = Grid.from_axes(PHANTOM.shape, spacing=(2, 2, 2))
    return Volume(array=np.nan_to_num(PHANTOM, nan=9).astype(np.int16), grid=grid), labelled(~np.isnan(PHANTOM), grid)
