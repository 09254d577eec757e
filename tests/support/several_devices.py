"""A backend of several devices for tests: main memory under several names, found by its entry point as any other.

Its arrays are NumPy's with the name of their device, so gpukit runs on them unchanged. Devices called ``cuda`` are, as
CUDA's, those of ``CUDA_VISIBLE_DEVICES``, numbered from 0. Each arrival of an array is a line of the file
``SEVERAL_LOG``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.device import DeviceInfo, Kernel


class Array(np.ndarray):
    """An array with a device."""

    place = ""

    def __array_finalize__(self, obj: Any) -> None:
        self.place = getattr(obj, "place", "")


class SeveralBackend:
    """As many devices of one kind as the environment says; the last one is out of order."""

    name = "several"
    array_module = "several_devices"
    priority: int | None = 500

    @property
    def device_names(self) -> tuple[str, ...]:
        return (os.environ["SEVERAL_KIND"],)

    def devices(self) -> tuple[DeviceInfo, ...]:
        (kind,) = self.device_names
        count = int(os.environ["SEVERAL_DEVICES"])
        if kind == "cuda" and (shown := os.environ.get("CUDA_VISIBLE_DEVICES")):
            count = len(shown.split(","))
        found = [DeviceInfo(name=f"{kind}:{n}", backend=self.name, usable=True) for n in range(count)]
        return (*found, DeviceInfo(name=f"{kind}:{count}", backend=self.name, usable=False, reason="out of order"))

    def from_host(self, array: Any, device: str) -> Any:
        made = np.array(array).view(Array)
        made.place = device
        with Path(os.environ["SEVERAL_LOG"]).open("a") as log:
            log.write(f"{os.getpid()} {device} {os.environ.get('CUDA_VISIBLE_DEVICES', '-')}\n")
        return made

    def to_host(self, array: Any) -> Any:
        return np.asarray(array).view(np.ndarray)

    def device_of(self, array: Any) -> str:
        return str(array.place)

    def kernel(self, operation: str) -> Kernel | None:
        return None
