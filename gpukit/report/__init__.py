"""Tool ``report``: structured reports as documents that a doctor can read, in one command.

`gpukit.report` holds the verbs of the tool; they load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Verb -> module that defines it.
_VERBS = {"create": "gpukit.report.measurement_sr", "read": "gpukit.report.run", "write": "gpukit.report.run"}

__all__ = [*sorted(_VERBS)]

if TYPE_CHECKING:
    from gpukit.report.measurement_sr import create as create
    from gpukit.report.run import read as read
    from gpukit.report.run import write as write


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'gpukit.report' has no attribute {name!r}")
    value = getattr(import_module(_VERBS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
