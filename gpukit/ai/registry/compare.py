"""Compare a converted network with its source on one example input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.ai.model.description import Model, read_description
from gpukit.ai.runtimes import choose
from gpukit.errors import InputError

if TYPE_CHECKING:
    import torch

__all__ = ["Conversion", "TOLERANCE", "difference"]


#: Greatest difference that is accepted, as a share of the range of the original's output: sums of float32 in another
#: order stay below 1e-5 of it, a wrong operation does not.
TOLERANCE = {"onnx": 1e-4, "coreml": 1e-4, "openvino": 1e-3}
_SEED = 20_250_101


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

    from gpukit.ai.model.coreml import runs_here

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
