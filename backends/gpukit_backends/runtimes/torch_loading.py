"""Loading weights of each of torch's formats without running anything that a file brings along."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpukit.ai.model.architectures import build_network, load_weights
from gpukit.ai.model.description import Model
from gpukit.ai.model.torch_archive import members_of
from gpukit.ai.model.torch_script import check_script, reaches_out
from gpukit.ai.model.weight_files import first_sentence
from gpukit.ai.nnunet.network import load_folds
from gpukit.errors import ModelError

#: Functions and names that a symbolic size in an exported program may use; torch evaluates such texts.
_SYMBOLIC = re.compile(
    r"[a-z]{1,2}\d*|Symbol|Integer|Rational|Float|Add|Mul|Pow|Max|Min|Mod|PythonMod|FloorDiv|CleanDiv|CeilDiv|IntTrueDiv"
    r"|Eq|Ne|Lt|Le|Gt|Ge|Equality|Unequality|LessThan|GreaterThan|StrictLessThan|StrictGreaterThan|And|Or|Not|oo|int_oo"
    r"|True|False|positive|negative|nonnegative|nonpositive|integer|real|evaluate"
)
_TARGETS = ("torch.ops.aten.", "torch.ops.higher_order.", "_operator.", "torch.sym_", "math.")


def load_module(model: Model, device: Any) -> Any:
    """Return the network of a description as a callable on the device, in evaluation mode."""
    suffix = model.weights.suffix.lower()
    if model.format == "torchscript" or (model.format == "monai-bundle" and suffix == ".ts"):
        return _torchscript(model.weights, device)
    if model.format == "torch-export":
        return _exported(model.weights, device)
    if model.format == "nnunet":
        return load_folds(model).to(device)
    return load_weights(build_network(model.network, model.file), model.weights).to(device)


def check_weights(model: Model) -> None:
    """Refuse weights that could run code or reach files, without running any of them.

    Raises
    ------
    ModelError
        They are of a format that holds programs, and one of these could.
    """
    suffix = model.weights.suffix.lower()
    if model.format == "torchscript" or (model.format == "monai-bundle" and suffix == ".ts"):
        _compiled(model.weights, "cpu")
    elif model.format == "torch-export":
        _read_exported(model.weights)


def _torchscript(file: Path, device: Any) -> Any:
    """A TorchScript network, whose programs were read and whose compiled graphs were walked before anything runs."""
    import torch

    recursive: Any = torch.jit._recursive
    return recursive.wrap_cpp_module(_compiled(file, device)).eval()


def _compiled(file: Path, device: Any) -> Any:
    """Return the compiled module; its programs have been checked before, since loading runs what restores its state."""
    import torch

    check_script(file)
    compiler: Any = torch._C  # what torch.jit.load itself uses
    try:
        unit = compiler.CompilationUnit()
        module = compiler.import_ir_module(unit, str(file), torch.device(device), {}, False)
        for function in unit.get_functions():
            for operator in _operators(function.graph):
                if reaches_out(operator):
                    raise ModelError(
                        f"the TorchScript program calls {operator}, which could reach files or the system", file=file,
                        fix="export the network as ONNX or as a state dict, if you know where it comes from",
                    )  # fmt: skip
    except ModelError:
        raise
    except Exception as error:  # torch raises many kinds on damaged programs
        raise ModelError(
            f"the TorchScript file cannot be loaded: {first_sentence(error)}",
            file=file,
            fix="save it with torch.jit.save; a state dict needs the format state-dict",
        ) from error
    return module


def _operators(graph: Any) -> Iterator[str]:
    """Operators of a compiled graph, and of all graphs within it."""
    waiting = list(graph.nodes())
    while waiting:
        node = waiting.pop()
        yield str(node.kind())
        for block in node.blocks():
            waiting.extend(block.nodes())
        for name in node.attributeNames():
            if node.kindOf(name) == "g":
                waiting.extend(node.g(name).nodes())
            elif node.kindOf(name) == "gs":
                for inner in node.gs(name):
                    waiting.extend(inner.nodes())


def _exported(file: Path, device: Any) -> Any:
    """Return an exported program, loaded from the very bytes that were checked."""
    import torch
    from torch.export.passes import move_to_device_pass

    content = _read_exported(file)
    try:
        program = torch.export.load(io.BytesIO(content))
        if device.type != "cpu":
            program = move_to_device_pass(program, device)
        return program.module()
    except Exception as error:  # torch raises many kinds on damaged archives
        raise ModelError(f"the exported program cannot be loaded: {first_sentence(error)}", file=file) from error


def _read_exported(file: Path) -> bytes:
    try:
        content = file.read_bytes()
    except OSError as error:
        raise ModelError(f"the exported program cannot be read: {error.strerror or error}", file=file) from error
    check_exported(content, file)
    return content


def check_exported(content: bytes, file: Path) -> None:
    """Refuse an exported program that would run code while it is loaded.

    ``torch.export.load`` unpickles some members of the archive without limits and evaluates the texts of symbolic
    sizes. What ``torch.export.save`` writes for a network of plain tensors needs neither, so both are refused here:
    pickled tensors, custom and opaque objects, compiled libraries, operators that are not torch's own, and symbolic
    sizes that are more than arithmetic. An archive that torch could read in another way than this check is refused.

    Parameters
    ----------
    content : bytes
        The whole archive.
    file : Path
        Named in errors.
    """
    import torch

    members_of(io.BytesIO(content), file)

    def refuse(why: str) -> ModelError:
        return ModelError(
            f"the exported program {why}, and that is not loaded, since it could run code",
            file=file,
            fix="save it again with this torch's torch.export.save, or as TorchScript or ONNX",
        )

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = archive.namelist()
            root = names[0].partition("/")[0] if names else ""
            inner = {name.removeprefix(f"{root}/"): name for name in names}
            if "archive_format" not in inner or not any(n.startswith("models/") for n in inner):
                raise refuse("is of an old or foreign layout")
            for short, name in inner.items():
                if short.startswith("data/aotinductor/") or short.endswith((".so", ".py", ".pkl")):
                    raise refuse("holds compiled or foreign code")
                if short.endswith(".json"):
                    _check_json(json.loads(archive.read(name)), short, refuse)
                elif short.startswith("data/sample_inputs/") and archive.getinfo(name).file_size:
                    try:
                        torch.load(io.BytesIO(archive.read(name)), weights_only=True)
                    except Exception as error:
                        raise refuse("has sample inputs that are more than tensors") from error
                elif short.startswith(("data/weights/", "data/constants/")) and short.endswith(".pt"):
                    raise refuse("has its tensors in the old pickled form")
    except ModelError:
        raise
    except Exception as error:  # zipfile, zlib and json raise many kinds
        raise ModelError(f"is not an exported program: {str(error)[:200]}", file=file) from error


def _check_json(content: Any, name: str, refuse: Any) -> None:
    payload = name.startswith(("data/weights/", "data/constants/"))
    for key, value in _members(content):
        if payload and key == "use_pickle" and value:
            raise refuse("holds pickled tensors")
        if payload and key == "path_name" and not str(value).startswith(("weight_", "tensor_")):
            raise refuse(f"holds the object {str(value)[:40]!r}")
        if name.startswith("models/"):
            if key == "expr_str" and not _is_arithmetic(value):
                raise refuse(f"has the symbolic size {str(value)[:40]!r}")
            if key == "target" and isinstance(value, str) and "." in value and not value.startswith(_TARGETS):
                raise refuse(f"calls {value[:40]!r}")
            if key == "target" and "from_file" in str(value):
                raise refuse(f"calls {str(value)[:40]!r}")


def _is_arithmetic(text: Any) -> bool:
    """Return whether a text holds only numbers, symbols such as ``s0``, known functions and arithmetic signs."""
    if not isinstance(text, str) or len(text) > 1000:
        return False
    text = re.sub(r"'([a-z]{1,2}\d*)'", r"\1", text)  # the names of symbols are the only texts within the text
    if re.search(r"[^\w\s+\-*/%(),<>=.]|__|\.\D|\.$", text):
        return False
    return all(_SYMBOLIC.fullmatch(word) for word in re.findall(r"[A-Za-z_]\w*", text))


def _members(content: Any) -> Iterator[tuple[str, Any]]:
    stack = [content]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            for key, value in item.items():
                yield key, value
                stack.append(value)
        elif isinstance(item, list):
            stack.extend(item)
