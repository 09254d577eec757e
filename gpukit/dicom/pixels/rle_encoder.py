"""RLE Lossless, written (PS3.5 annex G)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from gpukit.ops.run_length import run_length

__all__ = ["encode_frames"]

_HEADER = 64


def encode_frames(values: NDArray[Any], labels: Sequence[int] | None = None) -> tuple[list[bytes], Any]:
    """Frames of grey values as RLE fragments: header, and a segment a byte, the most significant byte first.

    Parameters
    ----------
    values : array of uint8 or uint16, ``[frame, row, column]``
        Not empty.
    labels : sequence of int, optional
        As for `gpukit.ops.run_length.run_length`.

    Returns
    -------
    frames : list of bytes
        One a frame, an even number of them.
    rows : array or None
        Of the labels, as of `gpukit.ops.run_length.run_length`.
    """
    width = values.dtype.itemsize
    packed, starts, rows = run_length(values, labels)
    body, bounds = packed.tobytes(), starts[::width].tolist()
    inner = starts.tolist()
    frames = []
    for frame, (start, stop) in enumerate(pairwise(bounds)):
        offsets = [_HEADER + at - start for at in inner[frame * width : (frame + 1) * width]]
        frames.append(struct.pack("<16I", width, *offsets, *([0] * (15 - width))) + body[start:stop])
    return frames, rows
