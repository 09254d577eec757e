"""The array contract: which devices there are, and which function runs for the array in hand.

Three ideas, and nothing else:

1. A **backend** serves one array library (NumPy, CuPy, torch) and the devices that it can put arrays on. Backends are
   found through the entry-point group ``gpukit.backends``; the built-in ones register in the same way.
2. An **operation** is a function over the Array API (`operation`): the definition of right. A backend may offer a
   kernel of the same name and parameters; the *array in hand* decides, by its type. There is no process-wide mode.
3. Nothing moves between devices by itself. `move` is the one place where arrays cross, and `count_transfers` sees
   every crossing.
"""

from __future__ import annotations

import functools
import os
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

from gpukit.errors import DeviceError
from gpukit.plugins import load_plugins
from gpukit.profiling import stage
from gpukit.transfers import count_crossing

__all__ = [
    "Backend",
    "DeviceInfo",
    "Kernel",
    "array_namespace",
    "backend_of",
    "backends",
    "device_of",
    "devices",
    "free_memory",
    "move",
    "resolve",
    "side_stream",
]


#: Environment variable that names the device where the caller named none.
DEVICE_VARIABLE = "GPUKIT_DEVICE"
ENTRY_POINT_GROUP = "gpukit.backends"


@dataclass(frozen=True, kw_only=True)
class DeviceInfo:
    """Facts about a device: data for dispatch, ``gpukit devices``, tests and the docs alike.

    Parameters
    ----------
    name : str
        What a user writes: ``cpu``, ``cuda:0``, ``mps``, ``torch-cpu``.
    backend : str
        The backend's name.
    usable : bool
        Whether it can run here and now.
    reason : str
        Why not, empty when usable.
    install : str
        What to install or do to make it usable, empty when usable.
    description : str
        The hardware, in words.
    memory_total, memory_free : int or None
        Bytes, where known.
    library : str
        Array library and version, such as ``numpy 2.3.1``.
    kernels : str
        The compiled-kernel flavour, such as ``c (avx2)``, or ``reference (NumPy)`` where there is none.
    automatic : bool
        Whether ``auto`` may choose it; a device that is there for tests or for exchange is only taken by name.
    """

    name: str
    backend: str
    usable: bool
    reason: str = ""
    install: str = ""
    description: str = ""
    memory_total: int | None = None
    memory_free: int | None = None
    library: str = ""
    kernels: str = ""
    automatic: bool = True


@dataclass(frozen=True)
class Kernel:
    """A backend's own implementation of an operation.

    Parameters
    ----------
    function : callable
        Same parameter names as the operation.
    declines : callable or None
        Called with the operation's arguments by name; returns why this call is not for the kernel, or None to accept.
    """

    function: Callable[..., Any]
    declines: Callable[..., str | None] | None = None


@runtime_checkable
class Backend(Protocol):
    """Methods that an array library must offer to be a gpukit backend.

    One that can hand memory to another library on the same hardware also has ``share(array, device)``: the array seen
    through the library of `device`, without a copy, or None where that is not possible. `move` asks both sides.
    One whose devices have streams also has ``side_stream(device)``, the context of the function of that name.
    """

    #: Name, such as ``numpy``.
    name: str
    #: Top-level module of its array type, such as ``numpy``; how an array in hand is recognised without importing.
    array_module: str
    #: Bare device names it serves, such as ``("cuda",)``; an index may follow after a colon.
    device_names: tuple[str, ...]
    #: Rank under ``auto``: the highest usable wins; None is never chosen automatically.
    priority: int | None

    def devices(self) -> tuple[DeviceInfo, ...]:
        """Return all devices it could serve, with the reason for each that is not usable. Must not raise."""
        ...

    def from_host(self, array: Any, device: str) -> Any:
        """Copy a NumPy array to `device` (called by `move` only)."""
        ...

    def to_host(self, array: Any) -> Any:
        """Copy one of its arrays to NumPy (called by `move` only)."""
        ...

    def device_of(self, array: Any) -> str:
        """Full name of the device that one of its arrays lives on."""
        ...

    def kernel(self, operation: str) -> Kernel | None:
        """Its kernel for an operation, or None. Loaded on first use."""
        ...


@functools.cache
def backends() -> tuple[Backend, ...]:
    """Return every backend that an entry point offers, best first."""
    every = load_plugins(ENTRY_POINT_GROUP, Backend, kind="backend")
    return tuple(sorted(every, key=lambda b: -(b.priority if b.priority is not None else -1)))


def devices() -> tuple[DeviceInfo, ...]:
    """Return all devices of all backends, usable or not, best first."""
    return tuple(info for backend in backends() for info in _devices_of(backend))


def _devices_of(backend: Backend) -> tuple[DeviceInfo, ...]:
    """Return the backend's devices; none, and a warning, where it breaks its word not to raise."""
    try:
        return tuple(backend.devices())
    except Exception as error:  # a broken plug-in must not take the others down
        warnings.warn(f"gpukit backend {backend.name!r} cannot list its devices: {error}", RuntimeWarning, stacklevel=3)
        return ()


def resolve(name: str | None = None) -> tuple[Backend, str]:
    """Backend and full device name for what a user wrote.

    Parameters
    ----------
    name : str or None
        ``auto``, ``cuda``, ``cuda:1``, ``mps``, ``cpu``, ``torch-cpu`` or a third party's; None means the environment
        variable ``GPUKIT_DEVICE``, or ``auto`` where that is unset.

    Raises
    ------
    DeviceError
        The device is unknown, or cannot be used here: says why and what to install. Never falls back silently.
    """
    spelling = (name or os.environ.get(DEVICE_VARIABLE) or "auto").strip().lower()
    source = f"{DEVICE_VARIABLE}" if not name and os.environ.get(DEVICE_VARIABLE) else "device"
    if spelling == "auto":
        for backend in backends():
            if backend.priority is not None:
                for info in _devices_of(backend):
                    if info.usable and info.automatic:
                        return backend, info.name
        raise DeviceError("no usable device", fix="reinstall gpukit: not even the NumPy backend is registered")
    bare, _, index = spelling.partition(":")
    for backend in backends():
        if bare not in backend.device_names:
            continue
        family = [i for i in _devices_of(backend) if i.name.partition(":")[0] == bare]
        infos = [i for i in family if i.name == spelling] if index else family
        for info in infos:
            if info.usable:
                return backend, info.name
        if not infos and not any(i.usable for i in family):
            infos = family  # cuda:1 is asked for and there is no CUDA at all: say why, not "no such number"
        if infos:
            fix = f"to use it: {infos[0].install}" if infos[0].install else None
            raise DeviceError(f"device {spelling!r} cannot be used: {infos[0].reason}", attribute=source, fix=fix)
        there = ", ".join(i.name for i in family) or "none"
        raise DeviceError(f"there is no device {spelling!r} (there are: {there})", attribute=source)
    choices = ", ".join(["auto", *(n for b in backends() for n in b.device_names)])
    raise DeviceError(f"unknown device {spelling!r}", attribute=source, fix=f"use one of: {choices}")


@functools.cache
def _backend_by_type(kind: type) -> Backend | None:
    # Base classes too: a subclass of another package (MONAI's MetaTensor, a memory map) is still its library's array.
    for base in kind.__mro__:
        module = base.__module__.partition(".")[0]
        for backend in backends():
            if backend.array_module == module:
                return backend
    return None


def backend_of(array: Any) -> Backend | None:
    """Return the backend whose array type this is, told by the type alone; None for a foreign array."""
    kind: type = type(array)
    return _backend_by_type(kind)


def device_of(array: Any) -> str:
    """Full name of the device that an array lives on; ``unknown`` for an array of no backend."""
    backend = backend_of(array)
    return "unknown" if backend is None else backend.device_of(array)


def array_namespace(*arrays: Any) -> Any:
    """Return the Array API namespace of the arrays (through array-api-compat)."""
    from array_api_compat import array_namespace as namespace

    return namespace(*arrays)


# --- transfers -------------------------------------------------------------------------------------------------------


def move(array: Any, device: str | None) -> Any:
    """Bring an array to a device: the one place where data crosses between devices.

    An array that is there already is returned as it is, not copied. Arrays of two libraries on the same hardware
    (CuPy and torch on one CUDA device; NumPy and torch on the CPU) are exchanged without a copy of the data where the
    libraries can share memory; nothing crosses then, and nothing is counted.
    """
    backend, target = resolve(device)
    origin = backend_of(array)
    source = "host" if origin is None else origin.device_of(array)
    if source == target:
        return array
    for side in (backend, origin):
        share = getattr(side, "share", None)
        if share is not None and (same := share(array, target)) is not None:
            return same
    with stage("download" if target == "cpu" else "upload"):
        host = array if origin is None else origin.to_host(array)
        result = backend.from_host(host, target)
    count_crossing(source, target, int(getattr(host, "nbytes", 0)))
    return result


def free_memory(device: str) -> int | None:
    """Return bytes that are free on a device, by its full name; None where that is not known."""
    backend, target = resolve(device)
    return next((info.memory_free for info in _devices_of(backend) if info.name == target), None)


def side_stream(device: str | None) -> AbstractContextManager[object]:
    """Return a context whose work on a device does not wait for that of other threads, and is complete when it is left.

    Nothing special where the device has no streams. Memory that was given out inside may be used again inside as soon
    as its last array is gone: who reads it outside keeps the array until that reading is complete.
    """
    backend, target = resolve(device)
    stream = getattr(backend, "side_stream", None)
    return nullcontext() if stream is None else cast(AbstractContextManager[object], stream(target))
