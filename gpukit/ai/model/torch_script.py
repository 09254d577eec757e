"""TorchScript programs, read before torch compiles them: whether one could reach files, the network or the system.

TorchScript is a language of its own in the notation of Python. Its programs are read here as trees, not as text: a tree
has no spelling that hides a name. What torch writes has no comments and no continued lines, so a program with either is
refused, and so is a program that is not the notation of Python.

The runtime walks the compiled program too, before it runs it (`reaches_out` is for both).
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
import zipfile
from collections.abc import Iterator
from pathlib import Path

from gpukit.ai.model.torch_archive import members_of
from gpukit.errors import ModelError

__all__ = ["check_script", "reaches_out"]

#: Operators of torch that networks are made of, by their namespace. Others reach processes, machines or libraries.
_NAMESPACES = frozenset(
    ("aten", "prim", "prims", "quantized", "_quantized", "mkldnn", "onednn", "mkldnn_prepacked", "prepacked", "sparse",
     "torchvision", "static_runtime", "_native", "xnnpack")
)  # fmt: skip
#: Names within these that write or map a file, or run something on another machine or in Python.
_NAMES = frozenset(("save", "from_file", "rpc_async", "rpc_sync", "rpc_remote", "PythonOp"))
#: Classes in C++ that programs may use; others open connections or run engines of other libraries.
_CLASSES = frozenset(("quantized", "rnn", "xnnpack", "mkldnn", "sparse"))
_FIX = "export the network as ONNX or as a state dict, if you know where it comes from"
_LONGEST = 64 << 20


def reaches_out(operator: str) -> bool:
    """Whether an operator of a compiled graph, such as ``aten::save``, could reach more than its tensors."""
    namespace, _, name = operator.partition("::")
    return namespace not in _NAMESPACES or name.partition(".")[0] in _NAMES


def check_script(file: Path) -> None:
    """Check the programs of a TorchScript archive; nothing of torch is needed.

    Raises
    ------
    ModelError
        It is not an archive of torch's, has two meanings, or a program could read or write files.
    """
    try:
        with file.open("rb") as stream:
            names = [member.name for member in members_of(stream, file)]
            stream.seek(0)
            with zipfile.ZipFile(stream) as archive:
                root = names[0].partition("/")[0] if names else ""
                if f"{root}/data.pkl" not in names or f"{root}/constants.pkl" not in names:
                    raise ModelError("the TorchScript file is of an old or foreign layout", file=file, fix=_FIX)
                for name in names:
                    if "/code/" in name and name.endswith(".py"):
                        _check_program(archive.read(name), file)
                    elif "/code/" in name and not name.endswith((".debug_pkl", "/")):
                        raise ModelError(f"the TorchScript file holds {name[:80]!r} among its programs", file=file,
                                         fix=_FIX)  # fmt: skip
    except ModelError:
        raise
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError, RuntimeError, EOFError) as error:
        raise ModelError(f"the TorchScript file cannot be read: {str(error)[:200]}", file=file, fix=_FIX) from error
    except Exception as error:  # zlib has an error of its own
        raise ModelError(f"the TorchScript file is damaged: {str(error)[:200]}", file=file, fix=_FIX) from error


def _check_program(content: bytes, file: Path) -> None:
    """ModelError where a program could reach files, or is not as torch writes it."""
    if len(content) > _LONGEST:
        raise ModelError(f"the TorchScript program has {len(content)} bytes", file=file, fix=_FIX)
    if re.search(rb"[^\n\x20-\x7e]", content):
        raise ModelError("the TorchScript program has letters that torch does not write", file=file, fix=_FIX)
    text = content.decode("ascii")
    try:
        if re.search(r"\\\n", text) or any(
            token.type == tokenize.COMMENT for token in tokenize.generate_tokens(io.StringIO(text).readline)
        ):
            raise ModelError("the TorchScript program has comments or continued lines, which torch does not write",
                             file=file, fix=_FIX)  # fmt: skip
        tree = ast.parse(text)
        for name in _reached(tree):
            raise ModelError(
                f"the TorchScript program has {name[:80]!r}, which could reach files or the system", file=file, fix=_FIX
            )
    except (SyntaxError, tokenize.TokenError, RecursionError, MemoryError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError("the TorchScript program is not as torch writes it", file=file, fix=_FIX) from error


def _reached(tree: ast.AST) -> Iterator[str]:
    """What a program names that it must not."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            path = _path(node)
            words = path.removeprefix("__torch__.").split(".")
            foreign = words[:1] == ["ops"] and len(words) > 2 and words[1] not in _NAMESPACES
            reaching = words[:2] == ["torch", "classes"] and len(words) > 2 and words[2] not in _CLASSES
            if node.attr in _NAMES or foreign or reaching:
                yield path or node.attr
        elif isinstance(node, ast.Name) and node.id in _NAMES:
            yield node.id
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("getattr", "hasattr"):
            name = node.args[1] if len(node.args) > 1 else None
            value = name.value if isinstance(name, ast.Constant) else None
            if not isinstance(value, str) or not re.fullmatch(r"[\w.-]+", value) or value in _NAMES:
                yield f"{node.func.id}({str(value)[:40]!r})"


def _path(node: ast.AST) -> str:
    """The dotted name that an expression is, or an empty text."""
    words: list[str] = []
    while isinstance(node, ast.Attribute):
        words.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(words)]) if isinstance(node, ast.Name) else ""
