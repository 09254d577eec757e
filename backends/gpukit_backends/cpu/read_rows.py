"""Files read by compiled code, which holds no Python lock between one file and the next."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops.read_rows import check_rows
from gpukit_backends.cpu.library import library, longs, pointer


def _declines(out: Any, **_: Any) -> str | None:
    flavour = library()
    if flavour.handle is None:
        return flavour.why
    return None if flavour.handle.gpukit_reads_files() else "this system's files are read by Python"


@kernel(declines=_declines)
def read_rows(out: Any, rows: Sequence[int], paths: Sequence[str], offsets: Sequence[int]) -> list[int]:
    """Fill rows of an array with bytes of files; see `gpukit.ops.read_rows.read_rows`."""
    size = check_rows(out, rows, paths, offsets)
    handle = library().handle
    assert handle is not None
    count = len(rows)
    names = (ctypes.c_char_p * count)(*map(os.fsencode, paths))
    failed = np.empty(count, np.uint8)
    errors = handle.gpukit_read_rows(
        names,
        longs(*offsets),
        longs(*rows),
        ctypes.c_int64(count),
        pointer(out),
        ctypes.c_int64(size),
        pointer(failed),
    )
    return [row for row, bad in zip(rows, failed, strict=True) if bad] if errors else []
