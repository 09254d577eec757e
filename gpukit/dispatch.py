"""Operations and their kernels: which function runs for the array in hand, and why."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gpukit.device import Backend, Kernel, backend_of, device_of

__all__ = ["Choice", "Operation", "explain", "kernel", "operation"]


# --- operations ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """Which function an operation would run, and why."""

    operation: str
    function: str
    device: str
    why: str

    def __str__(self) -> str:
        """One line for people."""
        return f"{self.operation} on {self.device}: {self.function} ({self.why})"


@dataclass
class Operation:
    """A function over arrays with kernels per backend; calls like the function it wraps.

    Attributes
    ----------
    reference : callable
        The function as written over the Array API: the definition of right.
    tolerance : float
        Largest absolute difference, relative to the data's range, that a kernel may show against the reference in
        float64.
    """

    reference: Callable[..., Any]
    tolerance: float
    _signature: inspect.Signature = field(init=False, repr=False)
    _kernels: dict[str, Kernel | None] = field(init=False, repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._signature = inspect.signature(self.reference)
        self._first = next(iter(self._signature.parameters))
        functools.update_wrapper(self, self.reference)

    @property
    def name(self) -> str:
        """Name of the operation, the same in ``ops/`` and in the backends."""
        return self.reference.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the backend's kernel where it accepts, else the reference on the same device."""
        function, _ = self._choose(args, kwargs)
        return function(*args, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Choice:
        """Which function would run for these arguments, and why."""
        function, why = self._choose(args, kwargs)
        array = self._signature.bind(*args, **kwargs).arguments[self._first]
        return Choice(self.name, f"{function.__module__}.{function.__qualname__}", device_of(array), why)

    def _choose(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Callable[..., Any], str]:
        bound = self._signature.bind(*args, **kwargs)
        backend = backend_of(bound.arguments[self._first])
        if backend is None:
            return self.reference, "the array belongs to no backend: reference"
        kernel = self._kernel(backend)
        if kernel is None:
            return self.reference, f"{backend.name} has no kernel for it: reference"
        if kernel.declines is not None:
            bound.apply_defaults()
            if (reason := kernel.declines(**bound.arguments)) is not None:
                return self.reference, f"{backend.name}'s kernel declined, {reason}: reference"
        return kernel.function, f"kernel of {backend.name}"

    def _kernel(self, backend: Backend) -> Kernel | None:
        if backend.name not in self._kernels:
            kernel = backend.kernel(self.name)
            if kernel is not None:
                theirs = list(inspect.signature(kernel.function).parameters)
                if theirs != list(self._signature.parameters):
                    raise TypeError(
                        f"kernel {self.name} of {backend.name} has parameters {theirs}, "
                        f"not {list(self._signature.parameters)}"
                    )
            self._kernels[backend.name] = kernel
        return self._kernels[backend.name]


def operation(*, tolerance: float) -> Callable[[Callable[..., Any]], Operation]:
    """Make a function over arrays an operation; its first parameter is the array that decides the backend."""

    def wrap(reference: Callable[..., Any]) -> Operation:
        return Operation(reference, tolerance)

    return wrap


def kernel(*, declines: Callable[..., str | None] | None = None) -> Callable[[Callable[..., Any]], Kernel]:
    """Mark a backend's function as a kernel; `declines` says why a call is not for it, or returns None."""

    def wrap(function: Callable[..., Any]) -> Kernel:
        return Kernel(function, declines)

    return wrap


def explain(operation: Operation, *args: Any, **kwargs: Any) -> Choice:
    """Which function would run an operation on these arguments (a `Volume` counts as its array), and why."""
    return operation.explain(*(getattr(a, "array", a) for a in args), **kwargs)
