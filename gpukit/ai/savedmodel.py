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
    import torch

__all__ = ["convert_saved_model", "is_saved_model"]

_GRAPH = "saved_model.pb"
_OPSET = 17
_LARGEST = 2 << 30  # of protocol buffers
#: Operations of TensorFlow that run Python, or read and write files besides the variables.
_REACHES_OUT = re.compile(rb"\b(EagerPyFunc|PyFunc|PyFuncStateless|ReadFile|WriteFile|MatchingFiles|LoadLibrary)\b")


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
        With ``saved_model.pb``; its signature ``serving_default`` with one input and one output is taken.
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
        apart = _compared(folder, model)
        if apart > TOLERANCE["onnx"]:
            raise ModelError(
                f"the converted network differs from the original by {apart:.1e} of its range", file=folder,
                fix="use the original",
            )  # fmt: skip
        made.replace(output)
        made.with_suffix(".json").replace(beside)
    return Conversion(
        weights=output, description=beside, difference=apart, tolerance=TOLERANCE["onnx"],
        checked="onnxruntime with tensorflow, 1 input",
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


def _compared(folder: Path, model: Model) -> float:
    """The difference of the ONNX graph from TensorFlow's own result for one random input."""
    import tensorflow as tf
    import torch

    from gpukit.ai.conversion import example_of, size_of

    given = example_of(model, size_of(model, "onnx", None), 1)
    network = choose(model, "onnx").load(model, "cpu", "float32")
    signature = tf.saved_model.load(os.fspath(folder)).signatures["serving_default"]
    (name,) = signature.structured_input_signature[1]
    output: dict[str, Any] = signature(**{name: tf.constant(given.numpy())})
    wanted: torch.Tensor = torch.from_numpy(next(iter(output.values())).numpy())
    return difference(network(given), wanted)
