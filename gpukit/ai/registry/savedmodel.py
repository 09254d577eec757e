"""TensorFlow SavedModels, which become ONNX graphs through tf2onnx before gpukit runs them."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpukit.ai.model.description import Model, read_description
from gpukit.ai.registry.compare import TOLERANCE, Conversion, difference, example_of, size_of
from gpukit.ai.registry.manifest import digest_of
from gpukit.ai.registry.store import store_path
from gpukit.ai.runtimes import choose
from gpukit.documents.atomic import working_folder
from gpukit.documents.json_reader import Node, read_json
from gpukit.errors import InputError, ModelError, OutputError, OutputExistsError
from gpukit.extras import missing_package

__all__ = ["convert_saved_model", "is_saved_model", "kept_conversion"]

_GRAPH = "saved_model.pb"
_OPSET = 17
_LARGEST = 2 << 30  # of protocol buffers
_MOST_FILES = 1000
#: Operations of TensorFlow that run Python, or read and write files besides the variables.
_REACHES_OUT = re.compile(
    rb"\b(EagerPyFunc|PyFunc|PyFuncStateless|ReadFile|WriteFile|MatchingFiles|LoadLibrary|PrintV2|ImmutableConst"
    rb"|DebugIdentity(?:V\d)?|Create\w*SummaryFileWriter|(?:WholeFile|TextLine|TFRecord|FixedLengthRecord)Reader(?:V2)?"
    rb"|(?:TextLine|TFRecord|FixedLengthRecord|Generator|Snapshot|Save|Load)Dataset(?:V\d)?)\b"
)


def is_saved_model(path: Path) -> bool:
    """Whether a folder is a SavedModel."""
    return (path / _GRAPH).is_file()


def kept_conversion(folder: Path, *, trust: bool = False) -> Model:
    """The ONNX form of a SavedModel: the one of an earlier call, else one that is made, compared and kept now.

    It lies in ``converted/DIGEST`` of the store's folder (`gpukit.ai.registry.store.store_path`), by the sha256 of the
    SavedModel's files and of its description, so that a changed SavedModel is converted anew.

    Raises
    ------
    DependencyError
        It was not converted before, and TensorFlow or tf2onnx is not installed.
    ModelError
        As for `convert_saved_model`.
    OutputError
        The store cannot be written.
    """
    given = _description(folder, None)
    place = store_path() / "converted" / _digest(folder, given)
    file, notes = place / "model.json", list[str]()
    if file.is_file() and read_json(file).object((), None).value.get("sha256") != digest_of(place / "model.onnx"):
        shutil.rmtree(place, ignore_errors=True)  # damaged, so it is made anew
    if not file.is_file():
        _needs_tensorflow(folder)
        fresh = place.with_name(f".{secrets.token_hex(8)}")
        try:
            fresh.mkdir(parents=True)
            done = convert_saved_model(folder, fresh / "model.onnx", description=given, trust=trust)
            written = json.loads(done.description.read_text("utf-8"))
            done.description.write_text(json.dumps({**written, "sha256": digest_of(done.weights)}), "utf-8")
            with (
                contextlib.suppress(OSError) if file.is_file() else contextlib.nullcontext()
            ):  # another process was first
                fresh.replace(place)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(
                f"the converted SavedModel cannot be kept: {error.strerror}", file=place.parent,
                fix="let GPUKIT_MODELS name a folder that can be written, or use `gpukit ai convert`",
            ) from error  # fmt: skip
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        notes.append(
            f"the SavedModel {folder.absolute().name} runs as an ONNX graph, which differs from TensorFlow's own "
            f"results by {done.difference:.1e} of their range; it is kept for the next time"
        )
    model = read_description(file)
    return replace(model, notes=(*model.notes, *notes))


def convert_saved_model(
    folder: Path,
    output: Path,
    *,
    description: Path | None = None,
    size: Sequence[int] | None = None,
    trust: bool = False,
    force: bool = False,
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
    size : sequence of int, optional
        As for `gpukit.ai.registry.convert.convert`.
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
    _needs_tensorflow(folder)
    graph = folder / _GRAPH
    if graph.stat().st_size > _LARGEST:
        raise ModelError("is too large for a graph", file=graph)
    if not trust and (found := _REACHES_OUT.search(graph.read_bytes())) is not None:
        raise ModelError(
            f"the SavedModel has the operation {found[1].decode()}, which reaches out of the network", file=folder,
            fix=f"say `gpukit ai convert {folder} --to onnx --trust` if you know where it comes from",
        )  # fmt: skip
    given = _description(folder, description)
    content = {k: v for k, v in read_json(given).object((), None).value.items() if k not in ("sha256", "network")}
    content |= {"format": "onnx", "weights": output.name}
    with working_folder(output) as temporary:
        made = temporary / output.name
        # what is wrong with the description is said before the work
        made.touch()
        unnamed = {key: value for key, value in content.items() if key != "weights"}
        model = read_description(made.with_suffix(".json"), content=Node(unnamed, given), weights=made)
        with _tensorflow(folder, made) as theirs:
            (made.with_suffix(".json")).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")
            _check_graph(folder, made, turned=model.dimensions == 3)
            apart, count = _compared(theirs, model, size)
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


def _needs_tensorflow(folder: Path) -> None:
    """DependencyError unless both packages are there."""
    if any(find_spec(name) is None for name in ("tensorflow", "tf2onnx")):
        raise missing_package(
            "a TensorFlow SavedModel runs after conversion to ONNX, which needs tensorflow and tf2onnx", "tensorflow",
            instead=f"run `gpukit ai convert {folder} --to onnx` where they are, and use what it writes", file=folder,
        )  # fmt: skip


def _description(folder: Path, named: Path | None) -> Path:
    """The file that describes a SavedModel."""
    near = (folder / "model.json", folder.absolute().with_name(f"{folder.absolute().name}.json"))
    found = named or next((file for file in near if file.is_file()), None)
    if found is None:
        raise ModelError(
            "the SavedModel comes without a description", file=folder,
            fix=f"write {near[1].name} beside it, or say --description FILE.json to `gpukit ai convert` or "
            "`gpukit ai models add`, see docs/models.md",
        )  # fmt: skip
    return found


def _digest(folder: Path, description: Path) -> str:
    """sha256 of what a conversion is made of."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if len(files) > _MOST_FILES:
        raise ModelError(f"holds {len(files)} files, which is no SavedModel", file=folder)
    total = hashlib.sha256(f"opset {_OPSET}\n".encode())
    for file in (*files, description):
        name = file.relative_to(folder).as_posix() if file != description else "description"
        total.update(f"{name}\0{digest_of(file)}\n".encode())
    return total.hexdigest()


class _TensorFlow:
    """The worker, see `gpukit.ai.registry.tensorflow_worker`."""

    def __init__(self, process: subprocess.Popen[str], folder: Path, scratch: Path, said: Path) -> None:
        self.process, self.folder, self.scratch, self.said = process, folder, scratch, said

    def answer(self) -> tuple[str, str]:
        """The first word that it says, and the rest."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            last = [line for line in self.said.read_text("utf-8", "replace").splitlines() if line.strip()][-1:]
            return "failed", f"TensorFlow ended with exit code {self.process.wait()}: {''.join(last)}"
        word, _, rest = line.partition(" ")
        return word, rest

    def __call__(self, given: Any) -> Any:
        """TensorFlow's own output for an array."""
        import numpy as np

        assert self.process.stdin is not None
        file = self.scratch / "example.npy"
        np.save(file, given)
        self.process.stdin.write(f"{file}\n")
        self.process.stdin.flush()
        word, why = self.answer()
        if word != "ran":
            raise ModelError(
                f"TensorFlow's own network does not take what the description says, {list(given.shape)}: {why[:200]}",
                file=self.folder, fix="state channels, size and layout of its input",
            )  # fmt: skip
        return np.load(file)


@contextlib.contextmanager
def _tensorflow(folder: Path, target: Path) -> Iterator[_TensorFlow]:
    """Convert to `target`, and hold TensorFlow ready to run the original. It uses the CPU."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}
    words = [sys.executable, "-m", "gpukit.ai.registry.tensorflow_worker", *map(os.fspath, (folder.absolute(), target))]
    with tempfile.TemporaryDirectory(prefix="gpukit-") as scratch, (Path(scratch) / "said").open("w") as said:
        process = subprocess.Popen(
            [*words, str(_OPSET)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=said, text=True,
            encoding="utf-8", env=environment,
        )  # fmt: skip
        try:
            worker = _TensorFlow(process, folder, Path(scratch), Path(said.name))
            word, why = worker.answer()
            if word != "converted" or not target.stat().st_size:
                raise ModelError(f"tf2onnx cannot convert it: {why[:300] or 'it wrote no graph'}", file=folder)
            yield worker
        finally:
            process.kill()
            process.communicate()


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


def _compared(theirs: _TensorFlow, model: Model, wanted_size: Sequence[int] | None) -> tuple[float, int]:
    """The greatest difference of the ONNX graph from TensorFlow's own results for random inputs, and their number."""
    import torch

    network = choose(model, "onnx").load(model, "cpu", "float32")
    asked = size_of(model, "onnx", wanted_size)
    size = [fixed or n for fixed, n in zip(network.patch, asked, strict=False)]
    inputs = [example_of(model, size, network.batch or 1)]
    if network.batch is None:
        inputs.append(example_of(model, size, 2))
    if all(fixed is None for fixed in network.patch):
        # twice the size along one axis: a graph whose sizes became constants shows here
        inputs.append(example_of(model, [size[0] * 2, *size[1:]], network.batch or 1))
    worst = 0.0
    for given in inputs:
        wanted = torch.from_numpy(theirs((given.movedim(1, -1) if model.dimensions == 3 else given).numpy()))
        if model.dimensions == 3 and wanted.ndim == 5:
            wanted = wanted.movedim(-1, 1)
        worst = max(worst, difference(network(given), wanted))
    return worst, len(inputs)
