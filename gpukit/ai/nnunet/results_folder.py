"""Where the parts of a trained nnU-Net lie: its folder, the folds, their checkpoints."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from gpukit.errors import ModelError

__all__ = ["checkpoints", "is_trained", "located", "one_of"]

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")
_FOLD = re.compile(r"fold_(\d{1,3}|all)")
Located = tuple[Path, str | None, tuple[str, ...] | None, str | None]


def located(path: Path) -> Located | None:
    """The trained network's or data set's folder, and the configuration, fold and checkpoint that the path names."""
    if path.is_dir():
        if is_trained(path) or _trained_in(path):
            return path, None, None, None
        if (fold := _FOLD.fullmatch(path.name)) and is_trained(path.parent):
            return path.parent, None, (fold[1],), None
        return None
    if path.is_file():
        fold = _FOLD.fullmatch(path.parent.name)
        if fold and path.suffix == ".pth" and is_trained(path.parent.parent):
            return path.parent.parent, None, (fold[1],), path.name
        return (path.parent, None, None, None) if path.name == "plans.json" and is_trained(path.parent) else None
    if path.parent.is_dir() and any(p.name.endswith(f"__{path.name}") for p in _trained_in(path.parent)):
        return path.parent, path.name, None, None
    return None


def is_trained(folder: Path) -> bool:
    """Whether a folder is that of a trained network."""
    return (folder / "plans.json").is_file() and (folder / "dataset.json").is_file()


def _trained_in(folder: Path) -> list[Path]:
    try:
        return sorted(p for p in folder.glob("*__*__*") if p.is_dir() and is_trained(p))
    except OSError:
        return []


def one_of(folder: Path, configuration: str | None) -> Path:
    """The trained network's folder: the folder itself, or the one in a data set's folder that was asked for."""
    if is_trained(folder):
        if configuration is not None and not folder.name.endswith(f"__{configuration}"):
            raise ModelError(f"the folder is not of the configuration {configuration}", file=folder)
        return folder
    found = _trained_in(folder)
    fitting = [p for p in found if configuration is None or p.name.endswith(f"__{configuration}")]
    if len(fitting) == 1:
        return fitting[0]
    names = ", ".join(p.name for p in fitting or found)
    raise ModelError(
        f"the data set's folder has {'no' if not fitting else 'several'} trained networks"
        + (f" of the configuration {configuration}" if configuration else "") + f": {names}",
        file=folder, fix=f"name one of them, such as {folder / (fitting or found)[0].name}",
    )  # fmt: skip


def checkpoints(
    folder: Path, folds: Sequence[int | str] | None, name: str | None
) -> tuple[list[Path], tuple[str, ...]]:
    """The checkpoints of an ensemble in the order of their folds, and what has to be said about those left out."""
    there = {m[1]: p for p in folder.iterdir() if p.is_dir() and (m := _FOLD.fullmatch(p.name))}
    if folds is not None:
        wanted = [str(fold) for fold in folds]
        if missing := [fold for fold in wanted if fold not in there]:
            raise ModelError(f"there is no fold_{missing[0]}", file=folder, fix=f"use {', '.join(sorted(there))}")
    else:
        wanted = sorted((f for f in there if f != "all"), key=int) or list(there)
    for choice in (name,) if name is not None else CHECKPOINTS:
        files = [there[fold] / choice for fold in wanted if (there[fold] / choice).is_file()]
        if not files:
            continue
        left = [f"fold_{fold}" for fold in wanted if not (there[fold] / choice).is_file()]
        if left and folds is not None:
            raise ModelError(f"{left[0]} has no {choice}", file=folder)
        return files, (f"{', '.join(left)} left out of the ensemble: no {choice} there",) if left else ()
    raise ModelError(
        f"the folder has no fold with a {name or ' or '.join(CHECKPOINTS)}", file=folder, fix="copy the whole folder"
    )
