"""Bytes of many files into the rows of one array."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import operation
from gpukit.errors import InputError

__all__ = ["check_rows", "read_rows"]


def check_rows(out: Any, rows: Sequence[int], paths: Sequence[str], offsets: Sequence[int]) -> int:
    """Return bytes of one row; everything that a kernel relies on is checked.

    Raises
    ------
    InputError
        The array is not contiguous host memory that may be written to, a row is not there, the lengths differ, or a
        path cannot be one.
    """
    if not isinstance(out, np.ndarray) or out.ndim < 1 or not out.flags.c_contiguous or not out.flags.writeable:
        raise InputError("files are read into a contiguous, writable NumPy array", attribute="out")
    if not len(rows) == len(paths) == len(offsets):
        raise InputError(
            f"{len(rows)} rows, {len(paths)} paths and {len(offsets)} offsets do not go together", attribute="rows"
        )
    if rows and not (min(rows) >= 0 and max(rows) < len(out) and min(offsets) >= 0):
        raise InputError(f"a row is not one of {len(out)}, or an offset is negative", attribute="rows")
    if any("\0" in path for path in paths):
        raise InputError("no file has a name with a NUL character in it", attribute="paths")
    return out.nbytes // max(1, len(out))


@operation(tolerance=0.0)
def read_rows(out: Any, rows: Sequence[int], paths: Sequence[str], offsets: Sequence[int]) -> list[int]:
    """Fill rows of an array with bytes of files, as they are.

    Parameters
    ----------
    out : ndarray, (n, ...), C-contiguous, of any type
        Host memory; its type decides the backend. ``out[rows[m]]`` gets as many bytes as it holds.
    rows : sequence of int
        Which rows; each once.
    paths : sequence of str
        The file of each.
    offsets : sequence of int
        The byte of the file at which each begins.

    Returns
    -------
    list of int
        The rows that could not be filled, for whatever reason (no such file, too short, a read error); what they hold
        then is undefined. No error is raised for these: the caller, who knows what the file is, reads it once more in
        its own way and says what is wrong.

    Raises
    ------
    InputError
        As `check_rows`.
    """
    size = check_rows(out, rows, paths, offsets)
    raw = out.reshape(-1).view(np.uint8)
    failed = []
    for row, path, offset in zip(rows, paths, offsets, strict=True):
        target = memoryview(raw[row * size : (row + 1) * size])
        try:
            with open(path, "rb", buffering=0) as stream:  # noqa: PTH123 - Path.open is slower
                stream.seek(offset, os.SEEK_SET)
                length = 0
                while length < size and (got := stream.readinto(target[length:])):  # one call hands over at most 2 GiB
                    length += got
        except OSError:
            length = -1
        if length != size:
            failed.append(row)
    return failed
