"""Pictures of numbered colours as sixel data: bands of six rows, a colour after another, runs counted (DEC STD 070)."""

from __future__ import annotations

from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import device

__all__ = ["check_picture", "sixel_bands"]

#: From this length on a run is written as a number.
_COUNTED = 4


def check_picture(data: Any) -> None:
    """InputError where it is not ``[row, column]`` of uint8 with something in it."""
    xp = array_namespace(data)
    if data.ndim != 2 or data.dtype != xp.uint8 or 0 in data.shape:
        raise InputError("a picture of numbered colors has two axes of uint8, none of them empty", attribute="data")


@operation(tolerance=0.0)
def sixel_bands(data: Any) -> Any:
    """Encode a picture of numbered colours.

    Parameters
    ----------
    data : array of uint8, ``[row, column]``
        Numbers of colours. Its type decides the backend.

    Returns
    -------
    array of uint8, (n,)
        Sixel data without introducer, colours and terminator: for each band and each of its colours in turn ``#n``
        and the colour's sixels up to its last one, ``$`` between colours and ``-`` after each band but the last.

    Raises
    ------
    InputError
        The array is not such.
    """
    xp = array_namespace(data)
    check_picture(data)
    out: list[str] = []
    rows = int(data.shape[0])
    for first in range(0, rows, 6):
        band = xp.astype(data[first : min(first + 6, rows), :], xp.int64)
        weights = xp.reshape(xp.asarray([1 << n for n in range(band.shape[0])], device=device(data)), (-1, 1))
        colors = sorted({int(value) for value in xp.unique_values(band)})
        parts = []
        for color in colors:
            sixels = xp.sum(xp.where(band == color, weights, xp.zeros_like(weights)), axis=0)
            parts.append(f"#{color}" + _runs([int(value) for value in sixels]))
        out.append("$".join(parts))
    return xp.asarray(list("-".join(out).encode("ascii")), dtype=xp.uint8, device=device(data))


def _runs(sixels: list[int]) -> str:
    """Sixels as characters, long runs counted, without the empty ones at the end."""
    while sixels and sixels[-1] == 0:
        sixels.pop()
    text, at = [], 0
    while at < len(sixels):
        end = at
        while end < len(sixels) and sixels[end] == sixels[at]:
            end += 1
        char = chr(63 + sixels[at])
        text.append(f"!{end - at}{char}" if end - at >= _COUNTED else char * (end - at))
        at = end
    return "".join(text)
