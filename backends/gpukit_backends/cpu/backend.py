"""NumPy arrays in main memory: the backend that is always there."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.device import DeviceInfo, Kernel
from gpukit_backends.cpu.library import library


class NumpyBackend:
    """Serves the device ``cpu``."""

    name = "numpy"
    array_module = "numpy"
    device_names = ("cpu",)
    priority: int | None = 0

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Return the one CPU device, always usable."""
        return (
            DeviceInfo(
                name="cpu",
                backend=self.name,
                usable=True,
                description=_description(),
                memory_total=_memory("SC_PHYS_PAGES"),
                memory_free=_memory("SC_AVPHYS_PAGES"),
                library=f"numpy {np.__version__}",
                kernels=str(library()),
            ),
        )

    def from_host(self, array: Any, device: str) -> Any:
        """Host memory is where NumPy arrays live."""
        return np.asarray(array)

    def to_host(self, array: Any) -> Any:
        """Host memory is where NumPy arrays live."""
        return array

    def device_of(self, array: Any) -> str:
        """Always ``cpu``."""
        return "cpu"

    def kernel(self, operation: str) -> Kernel | None:
        """Kernel from the module of the operation's name beside this one, if there is one and it was compiled."""
        if library().handle is None:
            return None
        module = f"{__package__}.{operation}"
        if find_spec(module) is None:
            return None
        kernel = getattr(import_module(module), operation, None)
        return kernel if isinstance(kernel, Kernel) else None


def _description() -> str:
    """Return the processor in words, as its maker calls it where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    named = next((line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()


def _memory(pages: str) -> int | None:
    """Return bytes of main memory, by a name of ``os.sysconf``; None where the system does not tell."""
    try:
        return os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, OSError, ValueError):
        return None
