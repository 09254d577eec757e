"""The files that weights are made of, and the one digest that stands for them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from gpukit.ai.model.onnx_external_data import external_files
from gpukit.errors import ModelError

__all__ = ["first_sentence", "digest_of_list", "digest_of_weights", "root_of", "weight_files"]

#: A Core ML package holds a handful of files; anything near this is not one.
_MOST_FILES = 1000


def weight_files(weights: Path) -> tuple[Path, ...]:
    """Every file of the weights, the named one first; of a folder (``.mlpackage``) all of its files by name.

    OpenVINO keeps the numbers of ``NAME.xml`` in ``NAME.bin``, and large ONNX graphs keep theirs in files that the
    graph names.

    Raises
    ------
    ModelError
        The folder holds links, or too many files; a graph's numbers lie outside of its folder.
    """
    if weights.is_dir():
        inside = sorted(weights.rglob("*"))
        if len(inside) > _MOST_FILES or any(path.is_symlink() for path in inside):
            raise ModelError("the package holds links, or too many files", file=weights, fix="get it again")
        return tuple(path for path in inside if path.is_file())
    beside: tuple[Path, ...] = ()
    if weights.suffix.lower() == ".xml":
        beside = (weights.with_suffix(".bin"),)
    elif weights.suffix.lower() == ".onnx":
        beside = external_files(weights)
    return (weights, *(path for path in beside if path.is_file()))


def root_of(weights: Path, folds: Sequence[Path] = ()) -> Path:
    """The folder that the names of the weights' files are relative to.

    Folds lie in folders beside one another, and the stages of a cascade in folders beside one another again.
    """
    if weights.is_dir():
        return weights
    if not folds:
        return weights.parent
    near = weights.parent.parent
    return near if all(fold.is_relative_to(near) for fold in folds) else near.parent


def digest_of_weights(weights: Path, folds: Sequence[Path] = ()) -> str:
    """sha256 of the file; of several files that of their list. OSError where one cannot be read."""
    root = root_of(weights, folds)
    found = {}
    for file in (*weight_files(weights), *folds):
        with file.open("rb") as stream:
            found[file.relative_to(root).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return digest_of_list(found)


def digest_of_list(files: Mapping[str, str]) -> str:
    """The digest of weights whose files have these: the file's own, or the sha256 of ``name NUL digest LF`` by name."""
    if len(files) == 1:
        return next(iter(files.values()))
    text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(files.items()))
    return hashlib.sha256(text.encode()).hexdigest()


def first_sentence(error: BaseException) -> str:
    """What a library says first of a damaged file, without its advice: torch's is to load it with all it may run."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].partition(". ")[0].rstrip(".")[:200]
