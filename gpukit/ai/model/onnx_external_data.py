"""The files beside an ONNX graph that hold its numbers.

Graphs of more than two gigabytes, and whatever torch's exporter chooses, keep their numbers in files of any name beside
the graph. They belong to the weights: to their digest, and to what is copied into the store.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from gpukit.ai.model.protobuf import fields
from gpukit.errors import ModelError

__all__ = ["external_files"]

# Fields of onnx.proto that hold messages with tensors in them, and what they hold: message -> field -> message.
_INSIDE = {
    "model": {7: "graph", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
}
_MOST_NESTED = 50
_LONGEST_NAME = 4096


def external_files(file: Path) -> tuple[Path, ...]:
    """Files that the graph's numbers lie in, by name; those that are not there are left out.

    Raises
    ------
    ModelError
        A name leads out of the graph's folder, or is a link out of it. The graph cannot be read to its end: a runtime
        could then find numbers in files that nothing here knows of.
    """
    names: set[str] = set()
    try:
        with file.open("rb") as stream:
            stream.seek(0, 2)
            end = stream.tell()
            stream.seek(0)
            names.update(_locations(stream, end, "model", 0))
    except OSError as error:
        raise ModelError(f"the graph cannot be read: {error.strerror or error}", file=file) from error
    except ValueError as error:
        raise ModelError(
            f"the graph cannot be read to its end: {error}", file=file, fix="get it again, or export it anew"
        ) from error
    found = set()
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        place = file.parent / parts
        if parts.is_absolute() or ".." in parts.parts or ":" in name or _leads_out(place, file.parent):
            raise ModelError(
                f"the graph keeps numbers in {name[:80]!r}, outside of its folder", file=file,
                fix="get it again from a source that you trust",
            )  # fmt: skip
        if place.is_file():
            found.add(place)
    return tuple(sorted(found))


def _leads_out(place: Path, folder: Path) -> bool:
    return place.exists() and not place.resolve().is_relative_to(folder.resolve())


def _locations(stream: BinaryIO, end: int, message: str, depth: int) -> Iterator[str]:
    """Every ``location`` of tensors below a message that ends at `end`."""
    if depth > _MOST_NESTED:
        raise ValueError("is nested too deeply")
    for number, size in fields(stream, end):
        after = stream.tell() + size
        inner = _INSIDE[message].get(number)
        if inner == "entry":
            key, value = _entry(stream, after)
            if key == "location":
                yield value
        elif inner is not None:
            yield from _locations(stream, after, inner, depth + 1)
        stream.seek(after)


def _entry(stream: BinaryIO, end: int) -> tuple[str, str]:
    found = {1: "", 2: ""}
    for number, size in fields(stream, end):
        if size > _LONGEST_NAME:
            raise ValueError("a name without end")
        text = stream.read(size).decode("utf-8")
        if number in found:
            found[number] = text
    return found[1], found[2]
