"""NumPy arrays in main memory: the backend that is always there."""

from __future__ import annotations

import platform
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

from gpukit.device import DeviceInfo, Kernel


class NumpyBackend:
    """Serves the device ``cpu``."""

    name = "numpy"
    array_module = "numpy"
    device_names = ("cpu",)
    priority: int | None = 0

    def devices(self) -> tuple[DeviceInfo, ...]:
        """The one CPU device, always usable."""
        return (
            DeviceInfo(
                name="cpu",
                backend=self.name,
                usable=True,
                description=platform.processor() or platform.machine(),
                library=f"numpy {np.__version__}",
                kernels="reference (NumPy)",
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
        """Kernel from the module of the operation's name beside this one, if there is one."""
        module = f"{__package__}.{operation}"
        if find_spec(module) is None:
            return None
        found = getattr(import_module(module), operation, None)
        return found if isinstance(found, Kernel) else None
