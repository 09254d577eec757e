"""From one format of a network to another, checked by running both on the same random input."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gpukit.ai.model.description import Model
from gpukit.ai.model.description_writer import described
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import runtimes
from gpukit.ai.transforms.tensors import require
from gpukit.documents.atomic import working_folder
from gpukit.errors import DependencyError, InputError, ModelError, OutputError, OutputExistsError

if TYPE_CHECKING:
    import torch
from gpukit.ai.registry.compare import TOLERANCE, Conversion, _checked, example_of, size_of

__all__ = ["Converter", "TARGETS", "convert", "formats_before"]


#: Format -> suffixes of the files that are written.
TARGETS = {"onnx": (".onnx",), "coreml": (".mlpackage", ".mlmodel"), "openvino": (".xml",)}


@runtime_checkable
class Converter(Protocol):
    """A runtime that also writes other formats of what it loads."""

    #: Formats that it writes.
    converts: tuple[str, ...]
    formats: tuple[str, ...]

    def convert(self, model: Model, to: str, example: torch.Tensor, target: Path, description: str) -> Any:
        """Write the network; the notes on what was changed, and the difference that this made (0 where nothing was)."""
        ...


def convert(
    model: str | os.PathLike[str] | Model,
    to: str,
    output: str | os.PathLike[str],
    *,
    size: Sequence[int] | None = None,
    force: bool = False,
) -> Conversion:
    """Write a model in another format, with its description beside it.

    Parameters
    ----------
    model : str, PathLike or Model
        As for `gpukit.segment`, of a torch format for ``onnx`` and ``coreml``, of any for ``openvino``.
    to : {"onnx", "coreml", "openvino"}
        The format. Graphs of ONNX take any batch and size where the network does; those of Core ML one of `size`.
    output : path-like
        ``.onnx``, ``.mlpackage`` or ``.mlmodel``, ``.xml``; the description becomes the same name with ``.json``.
    size : sequence of int, optional
        Of the input that both are compared on, along the network's axes (x, y and z, or width and height); by default
        the window or size that the description declares.
    force : bool
        Overwrite.

    Raises
    ------
    ModelError
        The network has no such form, or the result differs by more than the tolerance; nothing is written then.
    InputError
        There is no such format, or the name or size does not fit.
    DependencyError
        A package is missing.
    """
    target = Path(output)
    if to not in TARGETS:
        raise InputError(f"there is no conversion to {to!r}", attribute="to", fix=f"use one of {', '.join(TARGETS)}")
    if target.suffix.lower() not in TARGETS[to]:
        raise InputError(f"the name must end in {' or '.join(TARGETS[to])}", file=target)
    beside = target.with_suffix(".json")
    finals = [target, beside, *((target.with_suffix(".bin"),) if to == "openvino" else ())]
    source = model if isinstance(model, Model) else find_model(model, formats=formats_before(to))
    if beside.exists() and beside.samefile(source.file):
        raise OutputExistsError(
            f"{beside.name} describes the original, and the result needs a description of its own", file=target,
            fix=f"choose another name, such as {target.stem}-{to}{target.suffix}",
        )  # fmt: skip
    for path in finals:
        if path.exists() and not force:
            raise OutputExistsError("the output exists", file=path, fix="choose another name, or say --force")
    if not target.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=target, fix="create it first")
    require("torch")
    writer = next((r for r in runtimes() if isinstance(r, Converter) and to in r.converts and _reads(r, source)), None)
    if writer is None:
        raise ModelError(
            f"models of the format {source.format} are not converted to {to}", file=source.file, attribute="$.format",
            fix="convert the torch network, or a graph to openvino",
        )  # fmt: skip
    state = writer.available()
    if not state.usable:
        raise DependencyError(f"the conversion to {to} is not possible: {state.reason}", fix=state.install)
    _ = source.digest
    shape = size_of(source, to, size)
    with working_folder(target) as folder:
        made = folder / target.name
        fixed = shape if to == "coreml" else None
        example = example_of(source, shape, 1)
        text = described(source, form=to, weights=made.name, size=fixed)
        notes, changed = writer.convert(source, to, example, made, json.dumps(text))
        (folder / beside.name).write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n", "utf-8")
        found, checked = _checked(source, made, beside.name, to, shape, changed)
        if found > TOLERANCE[to]:
            raise ModelError(
                f"the converted network differs from the original by {found:.1e} of its range, and {TOLERANCE[to]:.0e} "
                "is the most that is accepted", file=source.file, fix="use the original",
            )  # fmt: skip
        for path in finals:
            if path.is_dir():
                shutil.rmtree(path)
            (folder / path.name).replace(path)
    if fixed is not None:
        notes = (*notes, f"it takes windows of {' x '.join(map(str, shape))} only")
    return Conversion(
        weights=target, description=beside, difference=found, tolerance=TOLERANCE[to], checked=checked,
        notes=tuple(notes),
    )  # fmt: skip


def formats_before(to: str) -> tuple[str, ...]:
    """The formats that are converted to another."""
    writers = [r for r in runtimes() if isinstance(r, Converter) and to in r.converts]
    return tuple(form for writer in writers for form in writer.formats if form != "nnunet")


def _reads(runtime: Converter, model: Model) -> bool:
    # an nnU-Net is several networks with steps around them that no description beside one graph would state
    return model.format in runtime.formats and model.format != "nnunet"
