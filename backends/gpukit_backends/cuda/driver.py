"""Ask the NVIDIA driver about its devices through ctypes, without any CUDA library or CuPy."""

from __future__ import annotations

import ctypes
import functools
import platform
from dataclasses import dataclass

__all__ = ["Driver", "Hardware", "driver"]


@dataclass(frozen=True)
class Hardware:
    """One device as the driver describes it."""

    name: str
    memory: int


@dataclass(frozen=True)
class Driver:
    """The driver's answer: the newest CUDA version it runs (0 where there is none), its devices, or why none."""

    cuda: int
    hardware: tuple[Hardware, ...]
    why: str = ""


@functools.cache
def driver() -> Driver:
    """Ask the driver once per process. Never raises."""
    try:
        handle = ctypes.CDLL("nvcuda.dll" if platform.system() == "Windows" else "libcuda.so.1")
    except OSError:
        return Driver(0, (), "there is no NVIDIA driver on this machine")
    try:
        if code := handle.cuInit(0):
            return Driver(0, (), f"the NVIDIA driver does not start (error {code})")
        version, count = ctypes.c_int(0), ctypes.c_int(0)
        handle.cuDriverGetVersion(ctypes.byref(version))
        if handle.cuDeviceGetCount(ctypes.byref(count)) or not count.value:
            return Driver(version.value // 1000, (), "the NVIDIA driver shows no GPU to this process")
        gpus = []
        for index in range(count.value):
            device, size = ctypes.c_int(0), ctypes.c_size_t(0)
            name = ctypes.create_string_buffer(128)
            handle.cuDeviceGet(ctypes.byref(device), index)
            handle.cuDeviceGetName(name, len(name), device)
            handle.cuDeviceTotalMem_v2(ctypes.byref(size), device)
            gpus.append(Hardware(name.value.decode("ascii", "replace"), size.value))
    except AttributeError as error:
        return Driver(0, (), f"the NVIDIA driver is too old ({error})")
    return Driver(version.value // 1000, tuple(gpus))
