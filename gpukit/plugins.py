"""Plug-ins by entry point: load those of a group, check them, and leave out the broken ones with a warning."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

__all__ = ["Availability", "load_plugins"]


@dataclass(frozen=True, kw_only=True)
class Availability:
    """Whether a plug-in can run here.

    Parameters
    ----------
    usable : bool
        Whether it can.
    reason, install : str
        Why not, and what to install; empty when usable.
    library : str
        Library and version, where known.
    """

    usable: bool
    reason: str = ""
    install: str = ""
    library: str = ""


def load_plugins(group: str, *protocols: type, kind: str) -> tuple[Any, ...]:
    """Load every plug-in of an entry-point group. A plug-in that fails to load is a warning, not an error.

    Parameters
    ----------
    group : str
        Entry-point group, such as ``gpukit.runtimes``.
    *protocols : type
        Runtime-checkable protocols; a plug-in fulfils at least one.
    kind : str
        Noun for the warning, such as ``runtime``.

    Returns
    -------
    tuple
        Plug-ins by name, an instance of each class; of two with the same ``name`` the first.
    """
    from importlib.metadata import entry_points

    plugins: dict[str, Any] = {}
    for entry in sorted(entry_points(group=group), key=lambda e: e.name):
        try:
            target = entry.load()
            plugin: Any = target() if isinstance(target, type) else target
            if not isinstance(plugin, protocols):
                names = " and of the ".join(protocol.__name__ for protocol in protocols)
                raise TypeError(f"{entry.value} lacks part of the {names} protocol")
        except Exception as error:  # a broken plug-in must not take the others down
            message = f"gpukit {kind} {entry.name!r} failed to load: {error}"
            warnings.warn(message, RuntimeWarning, stacklevel=3)
            continue
        named: Any = plugin
        plugins.setdefault(named.name, named)
    return tuple(plugins.values())
