"""Finding a model: from what a user names to its checked description."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from os import PathLike
from pathlib import Path

from gpukit.ai.model.coreml import SUFFIXES as COREML
from gpukit.ai.model.coreml import find_coreml, runs_here, twin
from gpukit.ai.model.description import FORMATS, Model, read_description
from gpukit.ai.model.monai_bundle import is_bundle, open_bundle, read_bundle
from gpukit.ai.model.weight_files import digest_of_list, root_of
from gpukit.ai.nnunet.plans import is_nnunet, read_nnunet
from gpukit.ai.samples import DESCRIPTION, SAMPLES, sample_names
from gpukit.errors import InputNotFoundError, ModelError

__all__ = ["find_model"]


_SUFFIXES = tuple(dict.fromkeys(suffix for suffixes in FORMATS.values() for suffix in suffixes))


def find_model(model: str | PathLike[str], *, trust: bool = False, formats: Collection[str] | None = None) -> Model:
    """The checked description of what the user named.

    Parameters
    ----------
    model : str or PathLike
        A folder with ``model.json``; a ``model.json``; a weights file with ``NAME.json`` or ``model.json`` beside it;
        a MONAI bundle's folder; a trained nnU-Net's folder (see `gpukit.ai.nnunet.plans.read_nnunet`); a TensorFlow
        SavedModel (see `gpukit.ai.registry.savedmodel.kept_conversion`); the name of a model that comes with gpukit; or
        ``name``, ``name@version`` or an alias of a model in the local store. A file or folder goes before a name.
    trust : bool
        Evaluate the ``$expressions`` of a MONAI bundle that the description needs. They are Python code; without it
        none is run, and a bundle that needs one is refused. Load SavedModels that run Python or read files.
    formats : collection of str, optional
        Of a stored model that has several formats, one of these is taken where it has one (see
        `gpukit.ai.runtimes.formats_of`).

    Raises
    ------
    InputNotFoundError
        There is nothing of that name.
    ModelError
        There is no description, or it is wrong.
    """
    path = Path(model)
    if path.suffix.lower() in COREML and path.exists():
        return find_coreml(path)
    if is_nnunet(path) and not (path / DESCRIPTION).is_file():
        return read_nnunet(path)
    if path.is_dir():
        return _from_folder(path, trust)
    if path.name == "saved_model.pb" and path.is_file():
        return _converted(path.absolute().parent, trust)
    if path.is_file():
        return _described(path) if path.suffix.lower() == ".json" else _from_weights(path)
    name = os.fspath(model)
    if name.replace("_", "-") in sample_names():
        return _described(SAMPLES / name.replace("-", "_") / DESCRIPTION)
    stored = _from_store(name, formats)
    if stored is not None:
        return stored
    raise InputNotFoundError(
        "no such model: neither a file or folder, nor a model that comes with gpukit, nor one in the store",
        file=name,
        fix=f"the models that come with gpukit are: {', '.join(sample_names()) or 'none'}; "
        "`gpukit ai models list` shows those in the store",
    )


def _from_store(name: str, formats: Collection[str] | None) -> Model | None:
    """The variant of a stored model that this machine runs best, of those of some formats where it has one."""
    from gpukit.ai.registry.store import Store
    from gpukit.ai.registry.variants import best_variant

    store = Store()
    entry = store.find(name)
    if entry is None:
        return None
    variant = best_variant(entry, among=formats)
    model = find_model(store.path(variant))
    # a file that was damaged in the store is refused when its digest is asked for
    tree = store.tree(variant)
    root, files = root_of(model.weights, model.more_weights), model.weight_files
    stored = {f.relative_to(root).as_posix(): variant.files.get(f.relative_to(tree).as_posix()) for f in files}
    known = {name: digest for name, digest in stored.items() if digest is not None}
    sha256 = digest_of_list(known) if known and len(known) == len(stored) else model.sha256
    return replace(model, name=entry.name, version=entry.version, sha256=sha256)


def _described(file: Path, weights: Path | None = None, *, trust: bool = False) -> Model:
    """A description; one of a bundle takes the network from the bundle's configuration."""
    model = read_description(file, weights=weights)
    if model.format == "coreml" and not runs_here():
        return twin(model.weights) or model
    if model.format != "monai-bundle" or model.weights.suffix.lower() == ".ts":
        return model
    return replace(model, network=open_bundle(file.parent, trust=trust).network)


def _from_folder(folder: Path, trust: bool) -> Model:
    from gpukit.ai.registry.savedmodel import is_saved_model

    if is_saved_model(folder):
        return _converted(folder, trust)
    if (folder / DESCRIPTION).is_file():
        return _described(folder / DESCRIPTION, trust=trust)
    if is_bundle(folder):
        return read_bundle(folder, trust=trust)
    raise ModelError(
        f"the folder holds neither {DESCRIPTION} nor a MONAI bundle (configs/metadata.json) nor an nnU-Net",
        file=folder,
        fix=f"describe the model in {DESCRIPTION}, see docs/models.md",
    )


def _converted(folder: Path, trust: bool) -> Model:
    from gpukit.ai.registry.savedmodel import kept_conversion

    return kept_conversion(folder, trust=trust)


def _from_weights(weights: Path) -> Model:
    if weights.suffix.lower() in (".keras", ".h5"):
        raise ModelError(
            "Keras files rebuild their network by Python, and gpukit runs no code of a model", file=weights,
            fix="export the network in Keras by network.export('folder'), and use that folder, a SavedModel",
        )  # fmt: skip
    if weights.suffix.lower() not in _SUFFIXES:
        raise ModelError(
            f"files of the kind {weights.suffix or 'without suffix'} are no weights that gpukit reads",
            file=weights,
            fix=f"use one of: {', '.join(_SUFFIXES)}",
        )
    for beside in (weights.with_suffix(".json"), weights.with_name(DESCRIPTION)):
        if beside.is_file():
            return _described(beside, weights)
    raise ModelError(
        f"the weights come without a description: neither {weights.stem}.json nor {DESCRIPTION} is beside them",
        file=weights,
        fix="describe what the model expects and gives, see docs/models.md",
    )
