"""Reading a JSON document that cannot be trusted: every value is asked for by type, and every error names its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from gpukit.errors import InputNotFoundError, ModelError

__all__ = ["Node", "read_json"]

#: A description is a page of text; anything near this is not one.
LARGEST = 4 << 20


class Node:
    """A value in a JSON document, with the file and the path (``$.input.spacing[0]``) it was found at.

    Parameters
    ----------
    value : object
        What ``json.loads`` made of it.
    file : Path
        The document.
    path : str
        Where in the document.
    """

    def __init__(self, value: Any, file: Path, path: str = "$") -> None:
        self.value = value
        self.file = file
        self.path = path

    def error(self, what: str, *, fix: str | None = None) -> ModelError:
        """A `ModelError` at this place; to be raised by the caller."""
        return ModelError(what, file=self.file, attribute=self.path, fix=fix)

    def has(self, key: str) -> bool:
        """Whether the object has the key, with a value other than null."""
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def object(self, required: Sequence[str] = (), optional: Sequence[str] | None = ()) -> Node:
        """Check that it is an object with these keys and no others (any others where `optional` is None)."""
        if not isinstance(self.value, dict):
            raise self.error(f"must be an object, not {_kind(self.value)}")
        for key in required:
            if self.value.get(key) is None:
                raise ModelError(f"{key!r} is missing", file=self.file, attribute=f"{self.path}.{key}", fix="add it")
        if optional is not None and (unknown := [k for k in self.value if k not in {*required, *optional}]):
            known = ", ".join([*required, *optional])
            raise ModelError(
                f"{unknown[0]!r} is not known here",
                file=self.file,
                attribute=f"{self.path}.{unknown[0]}",
                fix=f"use only: {known}",
            )
        return self

    def __getitem__(self, key: str) -> Node:
        """The value of a key that is there."""
        return Node(self.value[key], self.file, f"{self.path}.{key}")

    def items(self) -> Iterator[tuple[str, Node]]:
        """All members of an object."""
        return ((key, self[key]) for key in self.value)

    def list(self, *, length: int | None = None, most: int = 65536) -> list[Node]:
        """The members of an array, of exactly `length` where given."""
        if not isinstance(self.value, list):
            raise self.error(f"must be an array, not {_kind(self.value)}")
        if length is not None and len(self.value) != length:
            raise self.error(f"must have {length} members, not {len(self.value)}")
        if len(self.value) > most:
            raise self.error(f"must have at most {most} members, not {len(self.value)}")
        return [Node(v, self.file, f"{self.path}[{n}]") for n, v in enumerate(self.value)]

    def text(self) -> str:
        """A string that is not blank."""
        if not isinstance(self.value, str) or not self.value.strip():
            raise self.error(f"must be a text, not {_kind(self.value)}")
        return self.value

    def choice(self, *allowed: str) -> str:
        """One of the given strings."""
        if self.value not in allowed:
            raise self.error(f"must be one of {', '.join(allowed)}, not {self.value!r}")
        return str(self.value)

    def integer(self, least: int, most: int) -> int:
        """A whole number within bounds."""
        if isinstance(self.value, bool) or not isinstance(self.value, int) or not least <= self.value <= most:
            raise self.error(f"must be a whole number from {least} to {most}, not {_short(self.value)}")
        return self.value

    def number(self, least: float = -math.inf, most: float = math.inf) -> float:
        """A finite number within bounds."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.error(f"must be a number, not {_short(value)}")
        if not least <= value <= most:
            raise self.error(f"must be a number from {least:g} to {most:g}, not {value:g}")
        return float(value)

    def flag(self) -> bool:
        """A boolean."""
        if not isinstance(self.value, bool):
            raise self.error(f"must be true or false, not {_short(self.value)}")
        return self.value


def read_json(file: Path) -> Node:
    """The root of a JSON document.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    ModelError
        It is too large, or no JSON.
    """
    try:
        with file.open("rb") as stream:
            content = stream.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise InputNotFoundError("no such file", file=file) from error
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", file=file) from error
    if len(content) > LARGEST:
        raise ModelError(f"is larger than {LARGEST >> 20} MiB, so it is no model description", file=file)
    try:
        return Node(json.loads(content.decode("utf-8-sig")), file)
    except RecursionError as error:
        raise ModelError("is nested too deeply to be a model description", file=file) from error
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise ModelError(f"is not valid JSON: {error}", file=file) from error


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return "a blank text" if value == "" else names.get(type(value), "a number")


def _short(value: Any) -> str:
    return repr(value) if isinstance(value, (int, float, str, bool)) and len(repr(value)) < 40 else _kind(value)
