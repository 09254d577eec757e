"""The compiled kernels: found, chosen for this processor, loaded; and how NumPy arrays are handed to them."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "TYPES",
    "Flavour",
    "Volume",
    "doubles",
    "lacks",
    "library",
    "longs",
    "pointer",
    "type_number",
    "volume",
    "why_not",
]

#: Number of the entry points that this module knows: GK_ABI in gk_export.h.
ABI = 7
#: Names one flavour for tests and comparisons, or ``none`` for the reference.
VARIABLE = "GPUKIT_CPU_KERNELS"
#: Names a folder with other builds of the libraries, such as those of ``make sanitize``.
FOLDER_VARIABLE = "GPUKIT_CPU_KERNELS_FOLDER"
KERNELS = Path(__file__).resolve().parent.parent / "kernels"

#: Voxel types that kernels take; the position is the number they go by in gk_common.h.
TYPES = tuple(np.dtype(t) for t in (np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64))


class Volume(ctypes.Structure):
    """``gk_volume``: sizes and strides in elements, counted i, j, k."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int64 * 3),
        ("stride", ctypes.c_int64 * 3),
        ("has_padding", ctypes.c_int32),
        ("type", ctypes.c_int32),
        ("low", ctypes.c_double),
        ("high", ctypes.c_double),
    )


@dataclass(frozen=True)
class Flavour:
    """The kernels that run here: the loaded library, or why there is none."""

    name: str
    handle: ctypes.CDLL | None
    why: str = ""

    def __str__(self) -> str:
        """What ``gpukit devices`` shows."""
        return f"c ({self.name})" if self.handle else f"reference (NumPy), no compiled kernels: {self.why}"


def _open(name: str) -> ctypes.CDLL:
    suffix = {"Windows": ".dll", "Darwin": ".dylib"}.get(platform.system(), ".so")
    path = Path(os.environ.get(FOLDER_VARIABLE) or KERNELS) / f"libgpukit_{name}{suffix}"
    if not path.is_file():
        raise OSError("no library was built (there was no C compiler when gpukit was installed)")
    handle = ctypes.CDLL(str(path))
    abi = int(handle.gpukit_abi())
    if abi != ABI:
        why = f"the {name} library is of another version ({abi}, not {ABI}): install gpukit again"
        # an old build beside newer sources: everything would go on, many times slower, without a word
        warnings.warn(f"gpukit runs without its compiled kernels: {why}", RuntimeWarning, stacklevel=2)
        raise OSError(why)
    return handle


@functools.cache
def library() -> Flavour:
    """Return the best flavour that this processor runs, chosen once per process."""
    choice = os.environ.get(VARIABLE, "").strip().lower()
    if choice == "none":
        return Flavour("none", None, f"switched off by {VARIABLE}")
    first = "neon" if platform.machine().lower() in ("arm64", "aarch64") else "baseline"
    try:
        base = _open(first)
    except (OSError, AttributeError) as error:
        return Flavour("none", None, str(error))
    if choice == first or (choice != "avx2" and not base.gpukit_has_avx2()):
        return Flavour(first, base)
    if base.gpukit_has_avx2():
        try:
            return Flavour("avx2", _open("avx2"))
        except (OSError, AttributeError):
            return Flavour(first, base)
    return Flavour(first, base)


def type_number(dtype: Any) -> int | None:
    """Return the number of a voxel type, None where kernels do not take it (also for foreign byte order)."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        return None
    return TYPES.index(kind) if kind in TYPES and kind.isnative else None


def volume(data: NDArray[Any], padding: tuple[float, float] | None, axes: tuple[int, int, int] = (0, 1, 2)) -> Volume:
    """Return the array as a kernel sees it, with its array axes taken in the order `axes`."""
    item = data.itemsize
    size = [data.shape[a] for a in reversed(axes)]
    stride = [data.strides[a] // item for a in reversed(axes)]
    kind = type_number(data.dtype)
    assert kind is not None
    low, high = padding if padding is not None else (0.0, 0.0)
    return Volume(
        data.ctypes.data,
        (ctypes.c_int64 * 3)(*size),
        (ctypes.c_int64 * 3)(*stride),
        padding is not None,
        kind,
        low,
        high,
    )


def lacks(entry: str) -> str | None:
    """Why a younger kernel cannot run: the library was built from an older source; None where it can."""
    return None if hasattr(library().handle, entry) else "the library was built before it was written"


def why_not(data: NDArray[Any]) -> str | None:
    """Why the kernels cannot take a volume, None where they can."""
    if data.ndim != 3:
        return "not three axes"
    if not data.flags.c_contiguous or not data.flags.aligned:
        return "the array is not contiguous"
    if data.size == 0 or max(data.shape) >= 2**31:
        return "an axis is empty or longer than 2^31"
    if type_number(data.dtype) is None:
        return f"voxel type {data.dtype} is not compiled"
    return None


def doubles(*values: float) -> Any:
    """Return a C array of doubles."""
    return (ctypes.c_double * len(values))(*values)


def longs(*values: int) -> Any:
    """Return a C array of 64-bit integers."""
    return (ctypes.c_int64 * len(values))(*values)


def pointer(array: NDArray[Any]) -> Any:
    """Address of an array's first element."""
    return ctypes.c_void_p(array.ctypes.data)
