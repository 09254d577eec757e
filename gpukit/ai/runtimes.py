"""What runs a network: the contract, and how those who fulfil it are found (entry points ``gpukit.runtimes``)."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, cast, runtime_checkable

from gpukit.ai.model.coreml import elsewhere, runs_here
from gpukit.ai.model.description import Model
from gpukit.errors import DependencyError, ModelError
from gpukit.plugins import Availability, load_plugins

__all__ = [
    "Availability",
    "Checking",
    "Faster",
    "Network",
    "Runtime",
    "choose",
    "faster",
    "formats_of",
    "keep_networks",
    "kept",
    "runtimes",
]


ENTRY_POINT_GROUP = "gpukit.runtimes"
#: Other names by which users know a runtime.
ALIASES = {
    "core-ml": "coreml",
    "onnx-trt": "onnx-tensorrt",
    "onnxruntime": "onnx",
    "ort": "onnx",
    "ov": "openvino",
    "pytorch": "torch",
    "tensorrt": "onnx-tensorrt",
    "trt": "onnx-tensorrt",
}


class Network(Protocol):
    """A loaded network, ready to be called."""

    #: Largest batch that one call takes (a graph may have its batch fixed), or None for any.
    batch: int | None
    #: Spatial size that the network is fixed to along its three axes, None where it takes any.
    patch: tuple[int | None, int | None, int | None]
    #: What was chosen, in words, such as ``torch on cpu, float32``.
    summary: str

    def __call__(self, batch: Any) -> Any:
        """Run a tensor ``[n, c, x, y, z]`` float32; returns the logits ``[n, classes, x, y, z]`` on the same device."""
        ...


@runtime_checkable
class Runtime(Protocol):
    """A library that runs networks."""

    #: Name, such as ``torch``.
    name: str
    #: Formats it loads, of `gpukit.ai.model.description.FORMATS`.
    formats: tuple[str, ...]

    def available(self) -> Availability:
        """Whether it can run here. Must not raise and must be quick (nothing heavy is imported)."""
        ...

    def load(self, model: Model, device: str, precision: str) -> Network:
        """Load a network.

        Parameters
        ----------
        model : Model
            The description; its digest has been verified.
        device : str
            Device in torch's words: ``cpu``, ``cuda:0``, ``mps``.
        precision : str
            ``auto``, ``float32``, ``float16`` or ``bfloat16``.

        Raises
        ------
        ModelError
            The weights are damaged, or do not fit the network.
        DeviceError
            This runtime cannot use the device.
        """
        ...


@runtime_checkable
class Checking(Runtime, Protocol):
    """A runtime of a format that may hold programs, which it can check without running them."""

    def check(self, model: Model) -> None:
        """ModelError where the weights could run code or reach files."""
        ...


@runtime_checkable
class Faster(Runtime, Protocol):
    """A runtime that beats the usual one on some jobs, and is then used without being named."""

    def gains(self, model: Model, device: str, precision: str, windows: int, voxels: int) -> bool:
        """Whether it is faster, loading and conversion included, on so many windows of so many voxels each.

        Must not depend on anything but the arguments and the machine, so that a job gives the same labels every time.
        """
        ...


@functools.cache
def runtimes() -> tuple[Runtime, ...]:
    """Every runtime that an entry point offers.

    A runtime may offer others in an attribute ``variants``: itself, held to one way of running. They are used where
    they are named only.
    """
    every: dict[str, Runtime] = {}
    for runtime in load_plugins(ENTRY_POINT_GROUP, Runtime, kind="runtime"):
        for variant in itertools.chain((runtime,), getattr(runtime, "variants", ())):
            every.setdefault(variant.name, variant)
    order = {"torch": 0, "onnx": 1, "openvino": 2, "coreml": 3}
    return tuple(sorted(every.values(), key=lambda r: (order.get(r.name, 9), r.name)))


def formats_of(name: str | None) -> tuple[str, ...] | None:
    """The formats that the runtime of a name loads; None where none is named, or there is none of that name."""
    if name is None:
        return None
    wanted = ALIASES.get(name.lower(), name.lower())
    return next((runtime.formats for runtime in runtimes() if runtime.name == wanted), None)


def choose(model: Model, name: str | None = None) -> Runtime:
    """The runtime for a model: the one named, else the first usable one that loads its format.

    Raises
    ------
    ModelError
        No runtime of that name, or it does not load this format.
    DependencyError
        The runtimes for this format are not installed; says what to install.
    """
    if model.format == "coreml" and not runs_here():
        raise elsewhere(model.weights, model)
    fitting = [runtime for runtime in runtimes() if model.format in runtime.formats]
    if name is not None:
        wanted = ALIASES.get(name.lower(), name.lower())
        named = next((runtime for runtime in runtimes() if runtime.name == wanted), None)
        if named is None:
            known = ", ".join(runtime.name for runtime in runtimes()) or "none"
            raise ModelError(f"unknown runtime {name!r}", attribute="runtime", fix=f"use one of: {known}")
        if named not in fitting:
            raise ModelError(
                f"the runtime {wanted} does not run models of the format {model.format}",
                file=model.file,
                attribute="runtime",
                fix=f"use one of: {', '.join(runtime.name for runtime in fitting) or 'none'}",
            )
        fitting = [named]
    states = [(runtime, runtime.available()) for runtime in fitting]
    for runtime, state in states:
        if state.usable:
            return cast(Runtime, kept(runtime))
    if not states:
        raise ModelError(f"no runtime here runs the format {model.format}", file=model.file, attribute="$.format")
    runtime, state = states[0]
    raise DependencyError(
        f"the model needs the runtime {runtime.name}: {state.reason}", file=model.file, fix=state.install or None
    )


def faster(model: Model, device: str, precision: str, windows: int, voxels: int) -> Runtime | None:
    """A runtime that is installed and beats the usual one on this job, if there is one."""
    for runtime in runtimes():
        if (
            isinstance(runtime, Faster)
            and model.format in runtime.formats
            and runtime.gains(model, device, precision, windows, voxels)
            and runtime.available().usable
        ):
            return cast(Runtime, kept(runtime))
    return None


_loaded: ContextVar[dict[tuple[Any, ...], Any] | None] = ContextVar("gpukit_networks", default=None)


@contextmanager
def keep_networks() -> Iterator[None]:
    """While the context is open (in this thread or task), a network that was loaded once is not loaded again.

    What differs in the weights' digest, the runtime, the device or the precision is another network.
    """
    token = _loaded.set({})
    try:
        yield
    finally:
        _loaded.reset(token)


def kept(runtime: Any) -> Any:
    """The runtime itself, or inside `keep_networks` one that remembers what it loads."""
    networks = _loaded.get()
    return runtime if networks is None else _Remembering(runtime, networks)


class _Remembering:
    """A runtime whose `load` gives the network of the call before."""

    def __init__(self, runtime: Any, networks: dict[tuple[Any, ...], Any]) -> None:
        self._runtime, self._networks = runtime, networks

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runtime, name)

    def load(self, model: Model, device: str, precision: str) -> Any:
        """The network, loaded at most once."""
        key = (self._runtime.name, model.file, model.digest, device, precision)
        if key not in self._networks:
            self._networks[key] = self._runtime.load(model, device, precision)
        return self._networks[key]
