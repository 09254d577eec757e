"""Pictures as sixel: colours chosen, data by `gpukit.ops.sixel_bands`, framed with the raster's size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gpukit.ops.sixel_bands import sixel_bands

__all__ = ["sixel"]

#: Sixel counts parts of colours in per cent.
_PARTS = 100


def sixel(picture: NDArray[np.uint8], *, registers: int = 256) -> bytes:
    """A picture as one sixel sequence.

    Parameters
    ----------
    picture : array of uint8, ``[row, column]`` or ``[row, column, 3]``
        Grey is exact to half a per cent, as far as there are registers; so is colour where it has no more colours than
        registers, else the nearest ones are chosen by median cut.
    registers : int
        Colours that the terminal has at a time.
    """
    index, palette = _indexed(picture, max(2, min(registers, 256)))
    rows, columns = index.shape
    colors = "".join(f"#{n};2;{r};{g};{b}" for n, (r, g, b) in enumerate(palette.tolist()))
    data = sixel_bands(np.ascontiguousarray(index))
    return b"\x1bP0;1q" + f'"1;1;{columns};{rows}{colors}'.encode() + np.asarray(data).tobytes() + b"\x1b\\"


def _indexed(picture: NDArray[np.uint8], registers: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Numbers of colours ``[row, column]``, and the colours ``[n, 3]`` in per cent."""
    if picture.ndim == 2:
        levels = min(registers, _PARTS + 1)
        table = np.rint(np.arange(256) * ((levels - 1) / 255)).astype(np.uint8)
        shades = np.rint(np.arange(levels) * (_PARTS / (levels - 1))).astype(np.int64)
        return table[picture], np.repeat(shades[:, None], 3, axis=1)
    parts = np.rint(np.arange(256) * (_PARTS / 255)).astype(np.int64)[picture]
    code = (parts[..., 0] * 101 + parts[..., 1]) * 101 + parts[..., 2]
    used, index = np.unique(code, return_inverse=True)
    if len(used) <= registers:
        palette = np.stack([used // (101 * 101), used // 101 % 101, used % 101], axis=1)
        return index.reshape(code.shape).astype(np.uint8), palette
    return _reduced(picture, registers)


def _reduced(picture: NDArray[np.uint8], registers: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    from PIL import Image

    shown = Image.fromarray(picture).quantize(registers, Image.Quantize.MEDIANCUT, dither=Image.Dither.FLOYDSTEINBERG)
    palette = np.array(shown.getpalette(), np.int64).reshape(-1, 3)[:registers]
    return np.asarray(shown), np.rint(palette * (_PARTS / 255)).astype(np.int64)
