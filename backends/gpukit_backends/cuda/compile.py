"""CUDA text to kernels: which files, which options; compiled by NVRTC when first called."""

from __future__ import annotations

import functools
import hashlib
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = [
    "KERNELS",
    "OPTIONS",
    "TYPES",
    "launch",
    "map_arguments",
    "source",
    "type_number",
    "volume_arguments",
    "why_not",
]

#: The folder of kernel sources, shared with the CPU build.
KERNELS = Path(__file__).resolve().parent.parent / "kernels"
#: No fused multiply-add: coordinates and values are then those of the CPU kernels and of the reference.
OPTIONS = ("--std=c++17", "--fmad=false", f"-I{KERNELS}")
#: Voxel types: NumPy name, suffix of the kernels, and number in gk_common.h by position.
TYPES = {"uint8": "_u8", "int16": "_i16", "uint16": "_u16", "int32": "_i32", "float32": "_f32", "float64": "_f64"}
THREADS = 256


@functools.cache
def source(name: str) -> str:
    """Return the text of ``NAME.cu``, with a digest of all headers.

    CuPy keeps compiled kernels on disk by the text alone, so a text that names its headers' contents is what keeps it
    from running kernels of an older gpukit.
    """
    digest = hashlib.sha256(b"".join(p.read_bytes() for p in sorted(KERNELS.glob("*.h")))).hexdigest()
    return f"/* headers {digest} */\n" + (KERNELS / f"{name}.cu").read_text(encoding="ascii")


@functools.cache
def _module(name: str) -> Any:
    return import_module("cupy").RawModule(code=source(name), options=OPTIONS)


def launch(file: str, kernel: str, data: Any, arguments: tuple[Any, ...], count: int) -> None:
    """Run a kernel of ``FILE.cu`` for the type of `data`, one thread for each of `count` elements, on its device."""
    cupy = import_module("cupy")
    with cupy.cuda.Device(int(data.device.id)):
        function = _module(file).get_function(kernel + TYPES[data.dtype.name])
        blocks = -(-count // THREADS)
        if blocks:
            function((blocks,), (THREADS,), (*arguments, cupy.int64(count)))


def why_not(data: Any, order: int) -> str | None:
    """Why the kernels cannot take a volume, None where they can."""
    if data.ndim != 3 or data.size == 0:
        return "not three axes, or an empty one"
    if not data.flags.c_contiguous:
        return "the array is not contiguous"
    if data.dtype.name not in TYPES or not data.dtype.isnative:
        return f"voxel type {data.dtype} is not compiled"
    return None if order in (0, 1) else f"order {order} is not compiled"


def type_number(dtype: Any) -> int:
    """Return the number of a voxel type in gk_common.h."""
    return list(TYPES).index(dtype.name)


def volume_arguments(data: Any, padding: tuple[float, float] | None) -> tuple[Any, ...]:
    """``GK_VOLUME_ARGS`` of gk_cuda.h."""
    cupy = import_module("cupy")
    low, high = padding if padding is not None else (0.0, 0.0)
    sizes = (cupy.int64(n) for n in reversed(data.shape))
    return (data, *sizes, cupy.int32(padding is not None), cupy.float64(low), cupy.float64(high))


def map_arguments(values: tuple[float, ...], shape: tuple[int, ...]) -> tuple[Any, ...]:
    """``GK_MAP_ARGS`` of gk_cuda.h from three rows of four and the output shape."""
    cupy = import_module("cupy")
    return (*(cupy.float64(v) for v in values), *(cupy.int64(n) for n in reversed(shape)))
