"""Options that belong together, written once: a command takes a dataclass, the command line its fields."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints

__all__ = ["with_groups"]


def with_groups(command: Callable[..., None]) -> Callable[..., None]:
    """A command in which each parameter of a dataclass stands for the options that are its fields.

    Parameters
    ----------
    command : callable
        As typer takes it, but for parameters whose type is a dataclass. Each field of that is an option, with the
        annotation and the default that it has there; its name must be that of no other parameter.

    Returns
    -------
    callable
        With the fields in place of the dataclass in its signature, in their order, which ``--help`` keeps.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {}
    outer: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        kind = hints[parameter.name]
        if not is_dataclass(kind):
            outer.append(parameter.replace(kind=parameter.KEYWORD_ONLY, annotation=kind))
            continue
        assert isinstance(kind, type)
        groups[parameter.name] = kind
        inner = get_type_hints(kind, include_extras=True)
        outer += [
            inspect.Parameter(
                field.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if field.default is MISSING else field.default,
                annotation=inner[field.name],
            )
            for field in fields(kind)
        ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        made = {
            name: kind(**{field.name: given.pop(field.name) for field in fields(kind)}) for name, kind in groups.items()
        }
        command(**given, **made)

    # typer reads both, and would otherwise follow `__wrapped__` to the command's own
    own = vars(call)
    own.pop("__wrapped__")
    own["__signature__"] = inspect.Signature(outer)
    call.__annotations__ = {one.name: one.annotation for one in outer}
    return call
