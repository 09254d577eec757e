"""TensorFlow SavedModels, which become ONNX graphs through tf2onnx before gpukit runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.ai.checked import Node, read_json
from gpukit.ai.conversion import TOLERANCE, Conversion, difference
from gpukit.ai.description import Model, read_description
from gpukit.ai.runtimes import choose
from gpukit.errors import DependencyError, InputError, ModelError, OutputError, OutputExistsError

if TYPE_CHECKING:
    pass

__all__ = ["convert_saved_model", "is_saved_model"]

_GRAPH = "saved_model.pb"
_OPSET = 17
_LARGEST = 2 << 30  # of protocol buffers
#: Operations of TensorFlow that run Python, or read and write files besides the variables.
_REACHES_OUT = re.compile(
    rb"\b(EagerPyFunc|PyFunc|PyFuncStateless|ReadFile|WriteFile|MatchingFiles|LoadLibrary|PrintV2|DebugIdentity(?:V\d)?)\b"
)


def is_saved_model(path: Path) -> bool:
    """Whether a folder is a SavedModel."""
    return (path / _GRAPH).is_file()


def convert_saved_model(
    folder: Path, output: Path, *, description: Path | None = None, trust: bool = False, force: bool = False
) -> Conversion:
    """Write a SavedModel as an ONNX graph with its description, and run both on random input.

    Parameters
    ----------
    folder : Path
        With ``saved_model.pb``; its signature ``serving_default`` with one input and one output is taken. Networks over
        volumes have their channels last in TensorFlow, and first in the graph that is written.
    output : Path
        ``.onnx``.
    description : Path, optional
        What the network expects and gives (``format`` and ``weights`` are replaced); by default ``model.json`` in the
        folder, or the folder's name with ``.json`` beside it.
    trust : bool
        Load graphs that run Python or read and write files too.
    force : bool
        Overwrite.

    Raises
    ------
    DependencyError
        TensorFlow or tf2onnx is not installed.
    ModelError
        It cannot be converted, reaches out of itself, or the result differs from the original.
    """
    beside = output.with_suffix(".json")
    if output.suffix.lower() != ".onnx":
        raise InputError("the name must end in .onnx", file=output)
    for path in (output, beside):
        if path.exists() and not force:
            raise OutputExistsError("the output exists", file=path, fix="choose another name, or say --force")
    if not output.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=output, fix="create it first")
    if any(find_spec(name) is None for name in ("tensorflow", "tf2onnx")):
        raise DependencyError(
            "a TensorFlow SavedModel runs after conversion to ONNX, which needs tensorflow and tf2onnx", file=folder,
            fix="install them: pip install 'gpukit[tensorflow]'; or convert it where they are, with "
            "`python -m tf2onnx.convert --saved-model FOLDER --opset 17 --output NAME.onnx`",
        )  # fmt: skip
    graph = folder / _GRAPH
    if graph.stat().st_size > _LARGEST:
        raise ModelError("is too large for a graph", file=graph)
    if not trust and (found := _REACHES_OUT.search(graph.read_bytes())) is not None:
        raise ModelError(
            f"the SavedModel has the operation {found[1].decode()}, which reaches out of the network", file=folder,
            fix="say --trust if you know where it comes from",
        )  # fmt: skip
    given = description or next(
        (f for f in (folder / "model.json", folder.with_name(f"{folder.name}.json")) if f.is_file()), None
    )
    if given is None:
        raise ModelError(
            "the SavedModel comes without a description", file=folder,
            fix="say --description FILE.json, see docs/models.md",
        )  # fmt: skip
    content = {k: v for k, v in read_json(given).object((), None).value.items() if k not in ("sha256", "network")}
    content |= {"format": "onnx", "weights": output.name}
    with tempfile.TemporaryDirectory(prefix=".gpukit-", dir=output.parent) as temporary:
        made = Path(temporary) / output.name
        _run(folder, made)
        (made.with_suffix(".json")).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
        model = read_description(made.with_suffix(".json"), content=Node(content, given), weights=made)
        _check_graph(folder, made, turned=model.dimensions == 3)
        apart, count = _compared(folder, model)
        if apart > TOLERANCE["onnx"]:
            raise ModelError(
                f"the converted network differs from the original by {apart:.1e} of its range", file=folder,
                fix="use the original",
            )  # fmt: skip
        made.replace(output)
        made.with_suffix(".json").replace(beside)
    return Conversion(
        weights=output, description=beside, difference=apart, tolerance=TOLERANCE["onnx"],
        checked=f"onnxruntime with tensorflow, {count} input{'s' if count > 1 else ''}",
    )  # fmt: skip


def _run(folder: Path, target: Path) -> None:
    """tf2onnx in a process of its own, whose memory TensorFlow may keep to itself."""
    words = ["--saved-model", os.fspath(folder), "--output", os.fspath(target), "--opset", str(_OPSET)]
    done = subprocess.run(
        [sys.executable, "-m", "tf2onnx.convert", *words], capture_output=True, text=True, check=False,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )  # fmt: skip
    if done.returncode or not target.is_file():
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no reason was given"]
        raise ModelError(f"tf2onnx cannot convert it: {lines[-1][:200]}", file=folder)


def _check_graph(folder: Path, file: Path, *, turned: bool) -> None:
    """ModelError unless the graph has one input and one output; with `turned`, their channels become the first axis."""
    import onnx
    from onnx import helper

    graph = onnx.load(os.fspath(file))
    inputs, outputs = list(graph.graph.input), list(graph.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"the SavedModel has {len(inputs)} inputs and {len(outputs)} outputs, and one of each is needed",
            file=folder, fix="export it with a signature of one input and one output",
        )  # fmt: skip
    if not turned:
        return
    for value, perm, new in ((inputs[0], (0, 4, 1, 2, 3), "image"), (outputs[0], (0, 4, 1, 2, 3), "result")):
        shape = value.type.tensor_type.shape
        if len(shape.dim) != 5:
            if new == "image":
                raise ModelError("the SavedModel takes no volumes: its input has not five axes", file=folder)
            continue
        known, old = [shape.dim[n] for n in perm], value.name
        fresh = helper.make_empty_tensor_value_info(f"{new}_channels_first")
        fresh.type.tensor_type.elem_type = value.type.tensor_type.elem_type
        fresh.type.tensor_type.shape.dim.extend(known)
        if new == "image":
            graph.graph.node.insert(0, helper.make_node("Transpose", [fresh.name], [old], perm=(0, 2, 3, 4, 1)))
        else:
            graph.graph.node.append(helper.make_node("Transpose", [old], [fresh.name], perm=perm))
        value.CopyFrom(fresh)
    onnx.checker.check_model(graph)
    onnx.save(graph, os.fspath(file))


def _compared(folder: Path, model: Model) -> tuple[float, int]:
    """The greatest difference of the ONNX graph from TensorFlow's own results for random inputs, and their number."""
    import tensorflow as tf
    import torch

    from gpukit.ai.conversion import example_of, size_of

    network = choose(model, "onnx").load(model, "cpu", "float32")
    asked = size_of(model, "onnx", None)
    size = [fixed or n for fixed, n in zip(network.patch, asked, strict=False)]
    inputs = [example_of(model, size, network.batch or 1)]
    if network.batch is None:
        inputs.append(example_of(model, size, 2))
    if all(fixed is None for fixed in network.patch):
        # twice the size along one axis: a graph whose sizes became constants shows here
        inputs.append(example_of(model, [size[0] * 2, *size[1:]], network.batch or 1))
    loaded = tf.saved_model.load(os.fspath(folder))  # keeps the variables alive
    signature = loaded.signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    worst = 0.0
    for given in inputs:
        theirs = given.movedim(1, -1) if model.dimensions == 3 else given
        try:
            output: dict[str, Any] = signature(**{name: tf.constant(theirs.numpy())})
        except (tf.errors.InvalidArgumentError, ValueError, TypeError) as error:
            raise ModelError(
                f"TensorFlow's own network does not take what the description says, {list(theirs.shape)}", file=folder,
                fix="state channels, size and layout of its input",
            ) from error  # fmt: skip
        wanted = torch.from_numpy(next(iter(output.values())).numpy())
        if model.dimensions == 3 and wanted.ndim == 5:
            wanted = wanted.movedim(-1, 1)
        worst = max(worst, difference(network(given), wanted))
    return worst, len(inputs)
