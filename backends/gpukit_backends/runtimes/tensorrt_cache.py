"""Where TensorRT keeps its engines, which take minutes to build: a folder of the user for each set of weights."""

from __future__ import annotations

import mmap
import os
import stat
from pathlib import Path

from gpukit.ai.model.description import Model

__all__ = ["CACHE_VARIABLE", "engine_folder"]

#: Environment variable that names the folder for what can be made again; ``off`` keeps nothing.
CACHE_VARIABLE = "GPUKIT_CACHE"


def engine_folder(model: Model) -> tuple[Path | None, str]:
    """Return a folder for the engines of these weights, or None and why none are kept.

    It bears the digest of all files of the weights, because TensorRT's own names for engines do not depend on the
    numbers in the graph: with new weights of the same network it would take the old engine. What it holds is loaded as
    code, so it must be the user's, and nobody else may write to it.
    """
    named = os.environ.get(CACHE_VARIABLE, "")
    if named.lower() == "off":
        return None, f"{CACHE_VARIABLE} is off"
    if len(model.weight_files) == 1 and _names_files(model.weights):
        return None, "the graph may keep its numbers in files that its digest does not cover"
    cache = _user_cache()
    if not named and cache is None:
        return None, f"the user has no home folder; set {CACHE_VARIABLE} to a folder"
    base = Path(named) if named or cache is None else cache / "gpukit"
    folder = base / "tensorrt" / model.digest
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
    except OSError as error:
        return None, f"{folder} cannot be made: {error.strerror}"
    if hasattr(os, "geteuid") and (
        status.st_uid != os.geteuid() or status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or folder.is_symlink()
    ):
        return None, f"others can write to {folder}"
    return folder, ""


def _names_files(graph: Path) -> bool:
    """Return whether an ONNX graph may refer to numbers in other files: each such tensor has an entry ``location``."""
    with graph.open("rb") as stream:
        if not graph.stat().st_size:
            return False
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            return content.find(b"location") >= 0


def _user_cache() -> Path | None:
    data = os.environ.get("XDG_CACHE_HOME")
    if data:
        return Path(data)
    try:
        return Path.home() / ".cache"
    except RuntimeError:  # no HOME, and a user whom the system does not know
        return None
