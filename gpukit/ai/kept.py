"""Networks that stay loaded from one case to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from gpukit.ai.description import Model

__all__ = ["keep_networks", "kept"]

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
