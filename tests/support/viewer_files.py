"""Small images for tests of the viewer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from support.images import write_image


def write_frames(
    path: Path, values: list[int] | np.ndarray, *, rows: int = 32, columns: int = 32, **attributes: Any
) -> Path:
    """A multi-frame image of eight bits: each frame has one value, or is what the array holds."""
    frames = np.asarray(values, np.uint8)
    if frames.ndim == 1:
        frames = np.broadcast_to(frames[:, None, None], (len(frames), rows, columns))
    data = np.ascontiguousarray(frames).tobytes()
    return write_image(
        path, "US", rows=frames.shape[1], columns=frames.shape[2], frames=len(frames),
        PixelData=data + b"\0" * (len(data) % 2), **attributes,
    )  # fmt: skip


def write_grey(path: Path, values: np.ndarray, modality: str = "OT", **attributes: Any) -> Path:
    """A single-frame image of 8 or 16 bits."""
    bits = 8 * values.dtype.itemsize
    data = np.ascontiguousarray(values).tobytes()
    return write_image(
        path, modality, rows=values.shape[0], columns=values.shape[1], BitsAllocated=bits,
        **{"BitsStored": bits, "HighBit": bits - 1, "PixelRepresentation": int(values.dtype.kind == "i"),
           "PixelData": data + b"\0" * (len(data) % 2), **attributes},
    )  # fmt: skip
