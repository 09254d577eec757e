"""RLE Lossless, written (PS3.5 annex G)."""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import Any

from numpy.typing import NDArray

from gpukit.ops.run_length import run_length

__all__ = ["encode_frames"]

_HEADER = 64


def encode_frames(values: NDArray[Any]) -> list[bytes]:
    """Frames of grey values as RLE fragments: header, and a segment a byte, the most significant byte first.

    Parameters
    ----------
    values : array of uint8 or uint16, ``[frame, row, column]``
        Not empty.

    Returns
    -------
    list of bytes
        One a frame, an even number of them.
    """
    width = values.dtype.itemsize
    packed, starts = run_length(values)
    body, bounds = packed.tobytes(), starts[::width].tolist()
    inner = starts.tolist()
    frames = []
    for frame, (start, stop) in enumerate(pairwise(bounds)):
        offsets = [_HEADER + at - start for at in inner[frame * width : (frame + 1) * width]]
        frames.append(struct.pack("<16I", width, *offsets, *([0] * (15 - width))) + body[start:stop])
    return frames
