"""CuPy arrays on NVIDIA devices.

Listing devices asks the driver first and imports CuPy only where it is installed and a device answers.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import distributions
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpukit.device import DeviceInfo, Kernel
from gpukit.extras import install_command
from gpukit_backends.cuda.driver import Driver, driver


class CupyBackend:
    """Serves ``cuda`` and ``cuda:N``: what ``auto`` takes wherever a device answers."""

    name = "cupy"
    array_module = "cupy"
    device_names = ("cuda",)
    priority: int | None = 100

    def __init__(self) -> None:
        self._streams: dict[int, Any] = {}

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Return every device that the driver shows, or the one reason why there is none."""
        nvidia = driver()
        install = install_command(_extra(nvidia))
        if not nvidia.hardware:
            fix = f"install the NVIDIA driver, then {install}" if not nvidia.cuda else "check CUDA_VISIBLE_DEVICES"
            return (DeviceInfo(name="cuda", backend=self.name, usable=False, reason=nvidia.why, install=fix),)
        reason = _trouble()
        return tuple(
            DeviceInfo(
                name=f"cuda:{index}",
                backend=self.name,
                usable=not reason,
                reason=reason,
                install=install if reason else "",
                description=hardware.name,
                memory_total=hardware.memory,
                memory_free=None if reason else _free(index),
                library=_library(),
                kernels="" if reason else "cuda (NVRTC, from the CPU kernels' source)",
            )
            for index, hardware in enumerate(nvidia.hardware)
        )

    def from_host(self, array: Any, device: str) -> Any:
        """Copy a NumPy array to a device; the type stays, the byte order becomes the machine's own."""
        cupy = import_module("cupy")
        host = np.asarray(array)
        with cupy.cuda.Device(_index(device)):
            return cupy.asarray(np.ascontiguousarray(host, dtype=host.dtype.newbyteorder("=")).reshape(host.shape))

    def to_host(self, array: Any) -> Any:
        """Copy a CuPy array to NumPy."""
        return import_module("cupy").asnumpy(array)

    def device_of(self, array: Any) -> str:
        """``cuda:N``."""
        return f"cuda:{int(array.device.id)}"

    def share(self, array: Any, device: str) -> Any | None:
        """Return a torch CUDA tensor's memory as a CuPy array (through DLPack); None where it must be copied."""
        if type(array).__module__.partition(".")[0] != "torch" or array.device.type != "cuda":
            return None
        if (array.device.index or 0) != _index(device):
            return None
        try:
            return import_module("cupy").from_dlpack(array.detach())
        except (TypeError, ValueError, RuntimeError, BufferError):
            return None  # bfloat16, conjugated views: not to be shared

    @contextmanager
    def side_stream(self, device: str) -> Iterator[None]:
        """A stream of its own, which the null stream does not wait for; see `gpukit.device.side_stream`."""
        cupy = import_module("cupy")
        with cupy.cuda.Device(_index(device)):
            # one for all threads that work beside: CuPy keeps a pool of memory for each stream
            stream = self._streams.get(_index(device))
            if stream is None:
                stream = self._streams.setdefault(_index(device), cupy.cuda.Stream(non_blocking=True))
            with stream:
                try:
                    yield
                finally:
                    stream.synchronize()

    def kernel(self, operation: str) -> Kernel | None:
        """Return the kernel from the module of the operation's name beside this one, if there is one."""
        module = f"{__package__}.{operation}"
        if find_spec(module) is None:
            return None
        kernel = getattr(import_module(module), operation, None)
        return kernel if isinstance(kernel, Kernel) else None


def _index(device: str) -> int:
    return int(device.partition(":")[2] or 0)


def _extra(nvidia: Driver) -> str:
    """Return the extra with the CuPy that this driver runs; without a driver the newest."""
    return "cuda12" if nvidia.cuda == 12 else "cuda13"


@functools.cache
def _trouble() -> str:
    """Why CuPy does not work here, empty when it does. A device is known to answer."""
    if find_spec("cupy") is None:
        return "CuPy is not installed"
    try:
        cupy = import_module("cupy")
        cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # a CuPy of another CUDA version fails in many ways, none of them may escape
        return f"CuPy does not work: {(str(error).strip() or type(error).__name__).splitlines()[0]}"
    return ""


def _free(index: int) -> int | None:
    cupy = sys.modules.get("cupy")
    if cupy is None:
        return None
    try:
        with cupy.cuda.Device(index):
            return int(cupy.cuda.runtime.memGetInfo()[0])
    except Exception:  # busy or broken: its memory is then not known
        return None


@functools.cache
def _library() -> str:
    """CuPy's name and version as installed, empty where it is not."""
    for package in distributions():
        name = (package.metadata["Name"] or "").lower()
        if name == "cupy" or name.startswith("cupy-cuda"):
            return f"{name} {package.version}"
    return ""
