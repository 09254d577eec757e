"""Colours as parameters of SGR: 24 bit, the 256 of xterm, the 16 of the first colour terminals."""

from __future__ import annotations

import functools

import numpy as np
from numpy.typing import NDArray

__all__ = ["COLORS", "nearest_256", "nearest_16", "sgr", "shown_colors"]

#: How many colours a terminal may have.
COLORS = ("24bit", "256", "16")

#: xterm's own levels of the 6 x 6 x 6 cube and of its 24 greys.
_CUBE = np.array([0, 95, 135, 175, 215, 255])
_GREYS = 8 + 10 * np.arange(24)
#: xterm's 16 colours.
_SIXTEEN = np.array([
    (0, 0, 0), (205, 0, 0), (0, 205, 0), (205, 205, 0), (0, 0, 238), (205, 0, 205), (0, 205, 205), (229, 229, 229),
    (127, 127, 127), (255, 0, 0), (0, 255, 0), (255, 255, 0), (92, 92, 255), (255, 0, 255), (0, 255, 255),
    (255, 255, 255),
])  # fmt: skip


def sgr(values: NDArray[np.uint8], colors: str, *, back: bool) -> NDArray[np.uint8]:
    """Parameters of SGR as bytes of one length, with leading zeros.

    Parameters
    ----------
    values : array of uint8, ``[line, column]`` or ``[line, column, 3]``
        Grey, or red, green and blue.
    colors : str
        One of `COLORS`.
    back : bool
        For what is behind the character.

    Returns
    -------
    array of uint8, ``[line, column, n]``
    """
    if values.ndim == 2:
        return _grey_table(colors, back)[values]
    if colors == "24bit":
        digits = _digits()
        lead = np.frombuffer(b"48;2" if back else b"38;2", np.uint8)
        parts = [np.broadcast_to(lead, (*values.shape[:2], 4))]
        parts += [digits[values[..., c]] for c in range(3)]
        return np.concatenate(parts, axis=2)
    index = nearest_256(values) if colors == "256" else nearest_16(values)
    return _index_table(colors, back)[index]


def shown_colors(values: NDArray[np.uint8], colors: str) -> NDArray[np.uint8]:
    """The colours ``[..., 3]`` that a terminal with so many shows for these."""
    rgb = values if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    if colors == "24bit":
        return rgb
    if colors == "16":
        return _SIXTEEN[nearest_16(rgb)].astype(np.uint8)
    return _palette_256()[nearest_256(rgb)].astype(np.uint8)


def nearest_256(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Numbers of the nearest colours of xterm's cube and greys (16 to 255)."""
    wide = rgb.astype(np.int64)
    cube = np.abs(wide[..., None] - _CUBE).argmin(axis=-1)
    cube_error = ((wide - _CUBE[cube]) ** 2).sum(axis=-1)
    grey = np.clip((wide.mean(axis=-1) - 8 + 5) // 10, 0, 23).astype(np.int64)
    grey_error = ((wide - _GREYS[grey][..., None]) ** 2).sum(axis=-1)
    return np.asarray(np.where(grey_error < cube_error, 232 + grey, 16 + cube @ np.array([36, 6, 1])), np.int64)


def nearest_16(rgb: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Numbers of the nearest of xterm's 16 colours."""
    wide = rgb.astype(np.int64)[..., None, :]
    return np.asarray(((wide - _SIXTEEN) ** 2).sum(axis=-1).argmin(axis=-1), np.int64)


@functools.cache
def _palette_256() -> NDArray[np.int64]:
    cube = np.array([(r, g, b) for r in _CUBE for g in _CUBE for b in _CUBE])
    return np.concatenate([_SIXTEEN, cube, np.repeat(_GREYS[:, None], 3, axis=1)])


@functools.cache
def _digits() -> NDArray[np.uint8]:
    """``;NNN`` for each number."""
    return np.array([list(f";{n:03d}".encode()) for n in range(256)], np.uint8)


@functools.cache
def _index_table(colors: str, back: bool) -> NDArray[np.uint8]:
    if colors == "256":
        lead = "48;5;" if back else "38;5;"
        texts = [f"{lead}{n:03d}" for n in range(256)]
    else:
        texts = [f"{(n if n < 8 else n + 52) + (40 if back else 30):03d}" for n in range(16)]
    return np.array([list(text.encode()) for text in texts], np.uint8)


@functools.cache
def _grey_table(colors: str, back: bool) -> NDArray[np.uint8]:
    if colors == "24bit":
        lead = "48;2" if back else "38;2"
        return np.array([list(f"{lead};{n:03d};{n:03d};{n:03d}".encode()) for n in range(256)], np.uint8)
    grey = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    index = nearest_256(grey) if colors == "256" else nearest_16(grey)
    return np.asarray(_index_table(colors, back)[index[0]], np.uint8)
