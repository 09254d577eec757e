"""Core ML models away from a Mac: their description, the same network in another format, and what to say.

Core ML runs on macOS only. Everywhere else gpukit reads what the model is, from the description beside it or from the
description that `gpukit ai convert` leaves in the model's own metadata, and uses the same network in another format
where one lies beside it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from gpukit.ai.model.description import FORMATS, Model, read_description
from gpukit.ai.model.protobuf import fields
from gpukit.documents.json_reader import LARGEST, Node
from gpukit.errors import DependencyError, ModelError

__all__ = ["METADATA_KEY", "SUFFIXES", "elsewhere", "find_coreml", "runs_here", "twin", "user_metadata"]

SUFFIXES = FORMATS["coreml"]
#: Where a description lies in the metadata of a Core ML model.
METADATA_KEY = "gpukit"
#: Suffix -> format of what may lie beside a Core ML model in its place, the quickest on processors first.
_TWINS = {
    ".onnx": "onnx",
    ".xml": "openvino",
    ".ts": "torchscript",
    ".pt2": "torch-export",
    ".safetensors": "state-dict",
}
# Numbers of fields in Apple's Model.proto: Model.description, ModelDescription.metadata, Metadata.userDefined.
_DESCRIPTION, _METADATA, _USER_DEFINED = 2, 100, 100


def runs_here() -> bool:
    """Whether this is macOS."""
    return sys.platform == "darwin"


def elsewhere(path: Path, model: Model | None = None) -> DependencyError:
    """What to say of a Core ML model on another system."""
    who = "Core ML models run" if model is None else f"the Core ML model {model.name} {model.version} runs"
    stem = path.stem
    return DependencyError(
        f"{who} on macOS only", file=path,
        fix=f"put the same network beside it as {stem}.onnx, .ts, .pt2 or .safetensors with its description "
        f"{stem}.json, or run this on a Mac",
    )  # fmt: skip


def find_coreml(path: Path, *, twins: bool = True) -> Model:
    """The description of a Core ML model; away from macOS that of its twin where one lies beside it.

    Raises
    ------
    ModelError
        There is no description, or it is wrong.
    DependencyError
        It cannot run here and says nothing about itself.
    """
    if twins and not runs_here() and (found := twin(path)) is not None:
        return found
    beside = _beside(path)
    if beside is not None:
        return read_description(beside, weights=path, form="coreml")
    text = user_metadata(path).get(METADATA_KEY)
    if text is not None:
        try:
            content = Node(json.loads(text), path, "$")
        except (ValueError, RecursionError) as error:
            raise ModelError("the description in the model's metadata is no JSON", file=path) from error
        return read_description(path, weights=path, form="coreml", content=content)
    if not runs_here():
        raise elsewhere(path)
    raise ModelError(
        f"the model comes without a description: there is neither {path.stem}.json beside it nor one in its metadata",
        file=path, fix="describe what the model expects and gives, see docs/models.md",
    )  # fmt: skip


def _beside(path: Path) -> Path | None:
    return next((f for f in (path.with_suffix(".json"), path.with_name("model.json")) if f.is_file()), None)


def twin(path: Path) -> Model | None:
    """The same network in another format, of the same name, with a description."""
    beside = _beside(path)
    if beside is None:
        return None
    for suffix, form in _TWINS.items():
        weights = path.with_suffix(suffix)
        if weights.is_file():
            model = read_description(beside, weights=weights, form=form)
            note = f"{weights.name} was used in place of {path.name}, since Core ML runs on macOS only"
            return replace(model, notes=(*model.notes, note))
    return None


# ---- the metadata of a model, by the wire format of protocol buffers


def user_metadata(path: Path) -> dict[str, str]:
    """The free metadata of a ``.mlmodel`` or ``.mlpackage``; empty where there is none, or the file is damaged.

    Only the description is read, not the weights, and without coremltools, which few have away from a Mac.
    """
    file = path
    if path.is_dir():
        file = next(iter(sorted(path.glob("Data/*/*.mlmodel"))), path)
    try:
        with file.open("rb") as stream:
            stream.seek(0, 2)
            end = stream.tell()
            stream.seek(0)
            for number, size in fields(stream, end):
                if number == _DESCRIPTION and size <= LARGEST:
                    return _pairs(stream.read(size))
                stream.seek(size, 1)
    except (OSError, ValueError):
        pass
    return {}


def _pairs(description: bytes) -> dict[str, str]:
    from io import BytesIO

    found: dict[str, str] = {}
    for metadata in _values(BytesIO(description), _METADATA):
        for entry in _values(BytesIO(metadata), _USER_DEFINED):
            key, value = ([*_values(BytesIO(entry), n), b""][0] for n in (1, 2))
            found[key.decode()] = value.decode()
    return found


def _values(stream: BinaryIO, wanted: int) -> Iterator[bytes]:
    end = len(stream.getbuffer())  # type: ignore[attr-defined]
    for number, size in fields(stream, end):
        value = stream.read(size)
        if number == wanted:
            yield value
