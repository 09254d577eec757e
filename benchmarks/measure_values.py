"""Masks of polygons and contours, and values in regions, beside scikit-image, SimpleITK and NumPy, in one process.

``python benchmarks/measure_values.py [--quick]``. A polygon of 200 corners on a frame of 512 x 512; a structure set's
region on its series; all numbers of `gpukit.roi` in a box of one frame; SUV factors of a volume.
"""

from __future__ import annotations

import sys

import numpy as np
from ops import compare, thorax

import gpukit as gk
from gpukit.dicom.segmentation.contour_raster import rasterise
from gpukit.geometry import Grid
from gpukit.ops.polygon import polygon_mask


def star(corners: int, centre: float, radius: float) -> np.ndarray:
    """A star around a centre, (column, row)."""
    turn = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    far = radius * (1 + 0.2 * np.sin(9 * turn))
    return np.stack([centre + far * np.cos(turn), centre + far * np.sin(turn)], axis=1)


def main() -> None:
    """Run all comparisons."""
    from skimage.draw import polygon2mask

    rounds = 3 if "--quick" in sys.argv[1:] else 9
    frame, ring = np.zeros((512, 512), np.int16), star(200, 256, 180)
    ours, theirs = polygon_mask(frame, [ring]), polygon2mask((512, 512), ring[:, ::-1])
    assert (ours != theirs).sum() < 4 * 200  # centres on an edge count differently
    compare(
        "polygon mask 512 x 512, 200 corners", lambda: polygon_mask(frame, [ring]),
        {"scikit-image": lambda: polygon2mask((512, 512), ring[:, ::-1])}, rounds,
    )  # fmt: skip

    grid = Grid.from_axes((200, 512, 512), spacing=(0.8, 0.8, 1.5))
    from PIL import Image, ImageDraw

    contours = [
        grid.to_world(np.column_stack([star(120, 256, 150 - abs(k - 100)), np.full(120, k)])) for k in range(20, 181)
    ]

    def by_pillow() -> np.ndarray:
        """Its rule for centres on an edge is another one, and it rounds corners to whole pixels."""
        mask = np.zeros(grid.shape, bool)
        for k, contour in enumerate(contours, 20):
            picture = Image.new("1", (512, 512))
            ImageDraw.Draw(picture).polygon([tuple(p) for p in grid.to_index(contour)[:, :2].tolist()], fill=1)
            mask[k] = picture
        return mask

    assert (by_pillow() != rasterise(contours, grid)[0]).mean() < 0.01
    compare("structure set, 161 contours", lambda: rasterise(contours, grid), {"Pillow": by_pillow}, rounds)

    data = thorax(40, 512)[20:21]  # one slice: NumPy knows no peak
    volume = gk.Volume(array=data, grid=Grid.from_axes(data.shape, spacing=(0.8, 0.8, 1.5)))
    box = gk.Box(100, 100, 300, 300)
    cut = data[0, 100:400, 100:400]
    assert gk.roi(volume, box).mean == np.mean(cut)

    def by_numpy() -> tuple[object, ...]:
        values = cut.astype(np.float64)
        counts = np.histogram(values, 32)[0] / values.size
        return (
            values.mean(), values.std(), values.min(), values.max(), np.percentile(values, (5, 10, 25, 50, 75, 90, 95)),
            (values**2).sum(), counts,
        )  # fmt: skip

    compare("all numbers of a box of 300 x 300", lambda: gk.roi(volume, box), {"NumPy": by_numpy}, rounds)


if __name__ == "__main__":
    main()
