"""Bounds that a header must keep before memory is allocated for it."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

from gpukit.errors import FormatError, TooLargeError

__all__ = ["check_claim", "packing_of"]

#: How far stored bytes can expand: deflate no better than about 1032 to 1 (zlib's technical notes); bzip2 and zstd have
#: no such bound that would refuse anything, so there the machine's memory is the limit.
_EXPANSION = {"none": 1, "deflate": 1040, "other": None}


def packing_of(name: object) -> str:
    """How a file is compressed, by its name: ``none``, ``deflate`` or ``other``."""
    text = str(name).lower()
    return "deflate" if text.endswith(".gz") else "other" if text.endswith((".bz2", ".zst")) else "none"


def check_claim(
    path: str | os.PathLike[str], shape: Sequence[int], itemsize: int, *, stored: int, packing: str
) -> None:
    """Refuse a header that claims more voxels than the file can hold or the machine can take.

    Parameters
    ----------
    path : path-like
        The file, for the message.
    shape : sequence of int
        Sizes that the header claims.
    itemsize : int
        Bytes a voxel.
    stored : int
        Bytes of the file that can be voxels.
    packing : {"none", "deflate", "other"}
        How they are compressed.

    Raises
    ------
    FormatError
        A size is not positive, or the file is too short for the claim.
    TooLargeError
        The claim exceeds the memory of this machine.
    """
    if not shape or min(shape) < 1:
        raise FormatError(f"the sizes {tuple(shape)} are not all positive", file=path)
    claimed = math.prod(int(n) for n in shape) * itemsize
    expansion = _EXPANSION[packing]
    if expansion is not None and claimed > stored * expansion:
        raise FormatError(
            f"the header claims {claimed:,} bytes of voxels {tuple(shape)}, the file has {stored:,}",
            file=path,
            fix="the file is cut off or its header is damaged: copy it again",
        )
    total = _physical_memory()
    if total is not None and claimed > total:
        raise TooLargeError(
            f"the voxels {tuple(shape)} need {claimed / 2**30:.1f} GiB, this machine has {total / 2**30:.1f}", file=path
        )


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
