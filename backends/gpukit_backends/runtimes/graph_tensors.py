"""Read the description of a graph's input: layout, channels, and the sizes that it is fixed to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.errors import ModelError

Patch = tuple[int | None, int | None, int | None]


def layout_of(model: Model) -> list[str]:
    """Return names of the axes of the network's input, in order."""
    if model.dimensions == 3:
        return ["n", "c", "x", "y", "z"]
    return ["n", "y", "x", "c"] if model.picture_input.layout == "channels-last" else ["n", "c", "y", "x"]


def fixed_sizes(shape: Sequence[object], model: Model) -> tuple[int | None, Patch]:
    """Return the batch and the window (x, y, z) that a graph is fixed to, None where it takes any.

    Parameters
    ----------
    shape : sequence
        A whole number where the axis is fixed, anything else where it is not.
    model : Model
        Whose weights the graph is.

    Raises
    ------
    ModelError
        The graph has another number of axes, or other channels than described.
    """
    layout = layout_of(model)
    if len(shape) != len(layout):
        shown = ", ".join(map(str, shape))
        raise ModelError(f"the graph's input must be [{', '.join(layout)}], not [{shown}]", file=model.weights)
    sizes = {name: n if isinstance(n, int) and n > 0 else None for name, n in zip(layout, shape, strict=True)}
    if sizes["c"] is not None and sizes["c"] != model.input.channels:
        raise ModelError(
            f"the graph takes {sizes['c']} channels, and the description says {model.input.channels}",
            file=model.file,
            attribute="$.input.channels",
        )
    return sizes["n"], (sizes["x"], sizes["y"], sizes.get("z"))


def check_outputs(inputs: int, outputs: int, model: Model) -> None:
    """ModelError unless there is one input and one output; a detector may have several outputs."""
    if inputs != 1 or not outputs or (outputs != 1 and model.task != "detect"):
        raise ModelError(
            f"the graph has {inputs} inputs and {outputs} outputs, and one of each is needed", file=model.weights
        )


def wanted_outputs(output: Any, *, every: bool) -> tuple[Any, ...]:
    """The tensors that are used: of deep supervision the first, which has the full resolution; of detectors all."""
    if not every:
        return (output[0] if isinstance(output, (list, tuple)) and output else output,)
    if isinstance(output, (list, tuple)) and len(output) == 1:
        output = output[0]
    if isinstance(output, dict):
        output = [output[key] for key in ("boxes", "scores", "labels")]
    return tuple(output) if isinstance(output, (list, tuple)) else (output,)
