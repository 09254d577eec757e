"""Labels between voxels by compiled kernels: who is ahead in each voxel, which cells agree, then the result's rows."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops.interpolated_labels import ACTIVATIONS, TIE, check_contest
from gpukit_backends.cpu.library import doubles, library, longs, pointer
from gpukit_backends.cpu.threads import over_rows

#: More channels than this have no number in 15 bits.
MOST_CLASSES = 1 << 15


class Contest(ctypes.Structure):
    """``gk_contest``: sizes and strides in elements, counted i, j, k."""

    _fields_ = (
        ("scores", ctypes.c_void_p),
        ("weights", ctypes.c_void_p),
        ("classes", ctypes.c_int64),
        ("class_stride", ctypes.c_int64),
        ("size", ctypes.c_int64 * 3),
        ("stride", ctypes.c_int64 * 3),
        ("weight_stride", ctypes.c_int64 * 3),
        ("order", ctypes.c_int32 * 3),
        ("nearest", ctypes.c_int32),
        ("way", ctypes.c_int32),
        ("unused", ctypes.c_int32),
        ("first", ctypes.c_void_p),
        ("second", ctypes.c_void_p),
        ("bound", ctypes.c_void_p),
        ("rest", ctypes.c_void_p),
        ("share", ctypes.c_void_p),
        ("cell", ctypes.c_void_p),
    )


def _declines(scores: Any, *, weights: Any | None, **_: Any) -> str | None:
    for array in (scores,) if weights is None else (scores, weights):
        if array.dtype != np.float32 or not array.dtype.isnative or any(stride % 4 for stride in array.strides):
            return f"the scores are {array.dtype}, not float32"
    if scores.ndim == 4 and max(scores.shape[1:]) >= 2**31:
        return "an axis is longer than 2^31"
    return "there are too many classes" if scores.shape[0] >= MOST_CLASSES else None


@kernel(declines=_declines)
def interpolated_labels(
    scores: Any,
    matrix: Any,
    shape: Sequence[int],
    *,
    labels: Sequence[int],
    activation: str = "none",
    weights: Any | None = None,
    start: Sequence[int] = (0, 0, 0),
    planes: tuple[int, int, int] | None = None,
    nearest: int | None = None,
    reach: Sequence[Sequence[float]] | None = None,
) -> Any:
    """The label that wins at each voxel of another grid; see `gpukit.ops.interpolated_labels.interpolated_labels`."""
    job = check_contest(scores, matrix, shape, labels, activation, weights, start, planes, nearest, reach)
    handle = library().handle
    assert handle is not None
    classes, nk, nj, ni = scores.shape
    count = nk * nj * ni
    first, cell = (np.empty(count, np.uint16) for _ in range(2))
    regions, softmax = activation == "regions", activation == "softmax"
    second = None if regions else np.empty(count, np.uint16)
    bound, rest = (None if regions else np.empty(count, np.float32) for _ in range(2))
    share = np.empty(count, np.float32) if softmax else None
    strides = [s // 4 for s in scores.strides]
    contest = Contest(
        scores.ctypes.data,
        None if weights is None else weights.ctypes.data,
        classes,
        strides[0],
        (ctypes.c_int64 * 3)(ni, nj, nk),
        (ctypes.c_int64 * 3)(*strides[:0:-1]),
        (ctypes.c_int64 * 3)(*(s // 4 for s in (weights if weights is not None else scores[0]).strides[::-1])),
        (ctypes.c_int32 * 3)(*sorted(range(3), key=lambda a: abs(strides[3 - a]))),
        -1 if nearest is None else 2 - nearest,
        ACTIVATIONS.index(activation),
        0,
        *(None if a is None else a.ctypes.data for a in (first, second, bound, rest, share, cell)),
    )
    size = (ni, nj, nk)

    def run(name: str, rows: int, *more: Any) -> None:
        entry = getattr(handle, name)

        def work(begin: int, end: int) -> int:
            failed: int = entry(ctypes.byref(contest), *more, ctypes.c_int64(begin), ctypes.c_int64(end))
            return failed

        over_rows(work, rows, least=8)

    rows = count // max(1, size[contest.order[0]])
    run("gpukit_contest_rows", rows)
    run("gpukit_contest_cells", nk * nj)
    if softmax:
        run("gpukit_contest_shares", rows)
    table = np.array([*labels, 0], np.int32)
    out = np.empty(job.shape, np.int32 if job.wide else np.uint8)
    run(
        "gpukit_contest_labels", job.shape[0] * job.shape[1], doubles(*job.matrix[:3].ravel()),
        longs(*job.start[::-1]), longs(*job.shape[::-1]), doubles(*job.low[::-1]), doubles(*job.high[::-1]),
        (ctypes.c_int32 * 3)(*job.open[::-1]), longs(*job.first[::-1]), ctypes.c_double(TIE), pointer(table),
        pointer(out), int(job.wide),
    )  # fmt: skip
    return out
