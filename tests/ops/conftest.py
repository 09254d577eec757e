"""One conformance suite for all backends: every test that takes `lib` runs once per array library.

``lib(operation, data, ...)`` puts the arrays on the library's device, calls the operation and brings the result back to
NumPy. Arrays are given and returned as NumPy; matrices and scalars pass through as they are.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest

from gpukit.device import move
from gpukit.dispatch import Operation

LIBRARIES = ("reference", "array-api-strict", "cpu", "torch-cpu", "cuda")


@dataclass(frozen=True)
class Library:
    """A way to run an operation."""

    name: str

    def array(self, value: np.ndarray) -> Any:
        """The array on this library's device."""
        if self.name == "array-api-strict":
            import array_api_strict

            return array_api_strict.asarray(value)
        return value if self.name in ("reference", "cpu") else move(value, self.name)

    def numpy(self, value: Any) -> Any:
        """The result as NumPy; tuples and dataclasses field by field."""
        if isinstance(value, tuple):
            return tuple(self.numpy(v) for v in value)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(value, **{f.name: self.numpy(getattr(value, f.name)) for f in fields(value) if f.init})
        if self.name == "array-api-strict" and type(value).__module__.startswith("array_api_strict"):
            return np.asarray(value)
        return move(value, "cpu") if hasattr(value, "__dlpack__") else value

    def __call__(self, operation: Operation, data: np.ndarray, *args: Any, arrays: tuple[str, ...] = (), **kwargs: Any):
        """Run an operation; `arrays` names the keyword arguments that are arrays on the device too."""
        kwargs = {k: self.array(v) if k in arrays and v is not None else v for k, v in kwargs.items()}
        function = operation.reference if self.name == "reference" else operation
        return self.numpy(function(self.array(data), *args, **kwargs))


def _usable(device: str) -> str:
    """Why a device cannot be used, empty when it can."""
    from gpukit.device import devices

    infos = [info for info in devices() if info.name.partition(":")[0] == device]
    if any(info.usable for info in infos):
        return ""
    return infos[0].reason if infos else f"no backend offers the device {device}"


@pytest.fixture(params=LIBRARIES)
def lib(request: pytest.FixtureRequest) -> Library:
    """Each array library in turn; skipped, with the backend's own reason, where its device does not answer."""
    name = request.param
    if name in ("torch-cpu", "cuda") and (reason := _usable(name)):
        pytest.skip(reason)
    return Library(name)


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers that are the same in every run."""
    return np.random.default_rng(20240607)
