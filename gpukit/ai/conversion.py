"""From one format of a network to another, checked by running both on the same random input."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gpukit.ai.describe import described
from gpukit.ai.description import Model, read_description
from gpukit.ai.model import find_model
from gpukit.ai.runtimes import choose, runtimes
from gpukit.ai.tensors import require
from gpukit.errors import DependencyError, InputError, ModelError, OutputError, OutputExistsError

if TYPE_CHECKING:
    import torch

__all__ = ["TARGETS", "TOLERANCE", "Conversion", "Converter", "convert", "difference", "formats_before"]

#: Format -> suffixes of the files that are written.
TARGETS = {"onnx": (".onnx",), "coreml": (".mlpackage", ".mlmodel"), "openvino": (".xml",)}
#: Greatest difference that is accepted, as a share of the range of the original's output: sums of float32 in another
#: order stay below 1e-5 of it, a wrong operation does not.
TOLERANCE = {"onnx": 1e-4, "coreml": 1e-4, "openvino": 1e-3}
_SEED = 20_250_101


@runtime_checkable
class Converter(Protocol):
    """A runtime that also writes other formats of what it loads."""

    #: Formats that it writes.
    converts: tuple[str, ...]
    formats: tuple[str, ...]

    def convert(self, model: Model, to: str, example: torch.Tensor, target: Path, description: str) -> Any:
        """Write the network; the notes on what was changed, and the difference that this made (0 where nothing was)."""
        ...


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A network in another format.

    Parameters
    ----------
    weights, description : Path
        The files that were written (an OpenVINO model has a ``.bin`` beside its ``.xml``).
    difference : float
        Greatest difference between the outputs of both on random input, as a share of the range of the original's.
    tolerance : float
        What would have been accepted.
    checked : str
        What was compared with what.
    notes : tuple of str
        What was rewritten, and what the result is fixed to.
    """

    weights: Path
    description: Path
    difference: float
    tolerance: float
    checked: str
    notes: tuple[str, ...] = ()


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
    with tempfile.TemporaryDirectory(prefix=".gpukit-", dir=target.parent) as folder:
        made = Path(folder) / target.name
        fixed = shape if to == "coreml" else None
        example = example_of(source, shape, 1)
        text = described(source, form=to, weights=made.name, size=fixed)
        notes, changed = writer.convert(source, to, example, made, json.dumps(text))
        (Path(folder) / beside.name).write_text(json.dumps(text, indent=2, ensure_ascii=False) + "\n", "utf-8")
        found, checked = _checked(source, made, beside.name, to, shape, changed)
        if found > TOLERANCE[to]:
            raise ModelError(
                f"the converted network differs from the original by {found:.1e} of its range, and {TOLERANCE[to]:.0e} "
                "is the most that is accepted", file=source.file, fix="use the original",
            )  # fmt: skip
        for path in finals:
            if path.is_dir():
                shutil.rmtree(path)
            (Path(folder) / path.name).replace(path)
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


def size_of(model: Model, to: str, wanted: Sequence[int] | None) -> tuple[int, ...]:
    """Sizes along x, y (and z) of the input that is compared."""
    if wanted is not None:
        if len(wanted) != model.dimensions or min(wanted) < 1 or max(wanted) > 4096:
            raise InputError(f"the size must be {model.dimensions} whole numbers above 0", attribute="size")
        return tuple(wanted)
    declared = model.picture_input.size if model.dimensions == 2 else model.inference.patch or model.volume_input.size
    if declared is not None:
        return tuple(declared)
    if to == "coreml":
        raise InputError(
            "a Core ML model takes windows of one size, and the description declares none", attribute="size",
            fix="say --size X,Y,Z" if model.dimensions == 3 else "say --size WIDTH,HEIGHT",
        )  # fmt: skip
    return (64, 64, 64) if model.dimensions == 3 else (128, 96)


def example_of(model: Model, size: Sequence[int], batch: int) -> torch.Tensor:
    """Random input in the network's layout; values of a window and of a normalised image alike lie in its range."""
    import torch

    axes = list(size) if model.dimensions == 3 else [size[1], size[0]]
    channels = model.input.channels
    last = model.dimensions == 2 and model.picture_input.layout == "channels-last"
    shape = (batch, *axes, channels) if last else (batch, channels, *axes)
    return torch.rand(shape, generator=torch.Generator().manual_seed(_SEED + batch))


def _checked(source: Model, made: Path, beside: str, to: str, size: Sequence[int], changed: float) -> tuple[float, str]:
    """The difference, and what was compared."""
    import torch

    from gpukit.ai.coreml import runs_here

    if to == "coreml" and not runs_here():
        return changed, "the rewritten network with the original, since Core ML runs on macOS only"
    result = choose(read_description(made.with_name(beside), weights=made), to)
    one = choose(source).load(source, "cpu", "float32")
    two = result.load(read_description(made.with_name(beside), weights=made), "cpu", "float32")
    worst = changed
    inputs = [example_of(source, size, 1)]
    if source.task != "detect" and two.batch is None and one.batch is None:
        inputs.append(example_of(source, size, 2))
    if all(fixed is None for fixed in two.patch) and source.task != "detect":
        # twice the size along one axis: a graph whose sizes became constants shows here
        inputs.append(example_of(source, [size[0] * 2, *size[1:]], 1))
    with torch.inference_mode():
        for given in inputs:
            worst = max(worst, difference(two(given), one(given)))
    return worst, f"{two.summary} with {one.summary}, {len(inputs)} inputs"


def difference(found: Any, wanted: Any) -> float:
    """Greatest difference as a share of the range of what is wanted; infinite where shapes differ or NaN appears."""
    import torch

    ours, theirs = ([*x] if isinstance(x, (list, tuple)) else [x] for x in (found, wanted))
    if len(ours) != len(theirs):
        return float("inf")
    worst = 0.0
    for one, two in zip(ours, theirs, strict=True):
        if one.shape != two.shape or not bool(torch.isfinite(one.float()).all()):
            return float("inf")
        if two.numel():
            span = float(two.float().max() - two.float().min()) or max(float(two.float().abs().max()), 1.0)
            worst = max(worst, float((one.double() - two.double()).abs().max()) / span)
    return worst
