"""An nnU-Net v2 folder as a model: what plans.json, dataset.json and the checkpoints say, checked.

The folder is what nnU-Net trains into and TotalSegmentator downloads: ``Dataset.../TRAINER__PLANS__CONFIGURATION`` with
``plans.json``, ``dataset.json`` and ``fold_N/checkpoint_final.pth``. Nothing of it is run as code. What the files
cannot say, or say wrongly for the images at hand, ``gpukit.json`` beside them says (see docs/models.md).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.model.label_codes import coded
from gpukit.ai.model.volume_spec import InferenceSpec, OutputSpec
from gpukit.ai.nnunet.network import plan_network, read_checkpoint
from gpukit.ai.nnunet.preprocess import NORMALISATIONS, NnUNetInput
from gpukit.ai.nnunet.resample import Resampling
from gpukit.ai.nnunet.results_folder import checkpoints, is_trained, located, one_of
from gpukit.ai.transforms.channels import MODALITY
from gpukit.ai.transforms.tensors import require
from gpukit.documents.json_reader import Node, read_json
from gpukit.errors import GeometryError, InputNotFoundError, ModelError
from gpukit.geometry import reorientation
from gpukit.segmentation import Label

__all__ = ["files_of_nnunet", "is_nnunet", "read_nnunet"]

EXTRA = "gpukit.json"
_DEFAULT_RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}


def is_nnunet(path: Path) -> bool:
    """Whether a path leads to a trained nnU-Net, a data set's folder with some, or one of its folds or checkpoints."""
    return located(path) is not None


def read_nnunet(
    path: str | PathLike[str],
    *,
    configuration: str | None = None,
    folds: Sequence[int | str] | None = None,
    checkpoint: str | None = None,
) -> Model:
    """The description of a trained nnU-Net.

    Parameters
    ----------
    path : str or PathLike
        ``TRAINER__PLANS__CONFIGURATION``; or one of its ``fold_N`` or checkpoints, for that fold alone; or the data
        set's folder with such folders in it, also with a configuration's name behind it (``Dataset001_X/3d_fullres``).
    configuration : str, optional
        ``2d``, ``3d_fullres``, ``3d_lowres`` ... where a data set's folder has several.
    folds : sequence of int or "all", optional
        Which folds are the ensemble; by default all that are numbered, and ``fold_all`` where none is.
    checkpoint : str, optional
        File name in the folds; by default ``checkpoint_final.pth``, else ``checkpoint_best.pth``.

    Returns
    -------
    Model
        For `gpukit.segment`.

    Raises
    ------
    InputNotFoundError, ModelError
        A file is missing or damaged; the folder has several configurations and none was chosen; or the network is of a
        kind that gpukit does not run, such as the second stage of a cascade. Names the file and the place in it.
    DependencyError
        torch is not installed.
    """
    place = located(Path(path))
    if place is None:
        raise InputNotFoundError("no nnU-Net folder: there is no plans.json with a dataset.json beside it", file=path)
    where, named_configuration, named_fold, named_checkpoint = place
    folder = one_of(where, configuration or named_configuration)
    require("torch")
    plans = read_json(folder / "plans.json").object(("configurations",), None)
    dataset = read_json(folder / "dataset.json").object(("labels",), None)
    extra = _read_extra(folder / EXTRA)
    files, notes = checkpoints(folder, folds or named_fold, checkpoint or named_checkpoint)
    trained = [read_checkpoint(file) for file in files]
    wanted = _trained_configuration(trained[0], files[0], folder)
    chosen = _configuration(plans, wanted)
    previous = _previous(folder, chosen, folds, checkpoint) if chosen.has("previous_stage") else None
    patch = [n.integer(1, 4096) for n in chosen.object(("patch_size", "spacing"), None)["patch_size"].list(most=3)]
    if len(patch) not in (2, 3):
        raise chosen["patch_size"].error("must have two or three members")
    channels = _channels(dataset)
    output = _output(dataset)
    version = folder.name if "__" in folder.name else wanted
    name = plans["dataset_name"].text() if plans.has("dataset_name") else folder.parent.name
    licence = next((dataset[k].value for k in ("licence", "license") if dataset.has(k)), "")
    return Model(
        name=f"{name} {wanted}",
        version=version,
        task="segment",
        description=str(dataset["description"].value) if dataset.has("description") else f"nnU-Net of {name}",
        license=licence if isinstance(licence, str) else "",
        format="nnunet",
        weights=files[0],
        folds=tuple(files[1:]),
        network=MappingProxyType({**plan_network(chosen, len(patch)), "dimension": len(patch)}),
        input=_input(plans, dataset, chosen, channels, extra, name, cascade=previous is not None),
        inference=InferenceSpec(
            patch=(1, patch[0], patch[1]) if len(patch) == 2 else (patch[0], patch[1], patch[2]),
            overlap=0.5,
            blend="nnunet",
            batch=8 if len(patch) == 2 else 1,
            mirror=_mirror(trained, files, len(patch)),
        ),
        output=output,
        file=folder / "plans.json",
        notes=(*(() if previous is None else previous.notes), *notes),
        previous=previous,
    )


def files_of_nnunet(model: Model) -> list[Path]:
    """Every file that a model of this kind consists of."""
    folder = model.file.parent
    extra = [folder / EXTRA] if (folder / EXTRA).is_file() else []
    first = [] if model.previous is None else files_of_nnunet(model.previous)
    return [model.file, folder / "dataset.json", *extra, model.weights, *model.folds, *first]


def _trained_configuration(trained: Mapping[str, Any], file: Path, folder: Path) -> str:
    args = trained.get("init_args")
    found = args.get("configuration") if isinstance(args, dict) else None
    if found is None and folder.name.count("__") >= 2:
        found = folder.name.rpartition("__")[2]
    if not isinstance(found, str):
        raise ModelError("the checkpoint does not say of which configuration it is", file=file)
    return found


def _configuration(plans: Node, name: str) -> Node:
    """A configuration with what it inherits."""
    every = plans["configurations"].object((), None)
    merged: dict[str, Any] = {}
    seen: list[str] = []
    while True:
        if not every.has(name):
            raise every.error(f"there is no configuration {name!r}", fix=f"the plan has {', '.join(every.value)}")
        seen.append(name)
        merged = {**every[name].object((), None).value, **merged}
        parent = every.value[name].get("inherits_from")
        if parent is None:
            return Node(merged, plans.file, f"$.configurations.{seen[0]}")
        if not isinstance(parent, str) or parent in seen:
            raise every[name]["inherits_from"].error("leads back to itself")
        name = parent


def _previous(folder: Path, chosen: Node, folds: Sequence[int | str] | None, checkpoint: str | None) -> Model:
    """The first stage of a cascade, which lies beside the second."""
    node = chosen["previous_stage"]
    name = node.text()
    if not re.fullmatch(r"\w+", name):
        raise node.error("is no configuration's name")
    trained = folder.name.rpartition("__")[0]
    place = folder.parent / f"{trained}__{name}"
    if not is_trained(place):
        raise node.error(
            f"the network is the second stage of a cascade, and its first, {name}, is not beside it",
            fix=f"put the folder {place.name} into {folder.parent}",
        )
    first = read_nnunet(place, folds=folds, checkpoint=checkpoint)
    if first.previous is not None:
        raise node.error(f"{name} is a second stage itself")
    return first


def _channels(dataset: Node) -> list[str]:
    for key in ("channel_names", "modality"):
        if dataset.has(key):
            items = dataset[key].object((), None).items()
            # by their numbers, which are those in the files' names: "10" comes after "2"
            return [str(v.value) for k, v in sorted(items, key=lambda item: (len(item[0]), item[0]))]
    raise dataset.error("does not name its channels ('channel_names')")


def _input(
    plans: Node,
    dataset: Node,
    chosen: Node,
    channels: list[str],
    extra: Mapping[str, Any],
    name: str,
    *,
    cascade: bool,
) -> NnUNetInput:
    order = (
        [n.integer(0, 2) for n in plans["transpose_forward"].list(length=3)]
        if plans.has("transpose_forward")
        else [0, 1, 2]
    )
    if sorted(order) != [0, 1, 2]:
        raise plans["transpose_forward"].error("must hold 0, 1 and 2 in some order")
    schemes = [n.text() for n in chosen.object(("normalization_schemes",), None)["normalization_schemes"].list()]
    if len(schemes) < len(channels):
        raise chosen["normalization_schemes"].error(f"names {len(schemes)} of {len(channels)} channels")
    for scheme in schemes:
        if scheme not in NORMALISATIONS:
            known = ", ".join(NORMALISATIONS)
            raise chosen["normalization_schemes"].error(f"{scheme} is not known", fix=f"use {known}")
    masks = [n.flag() for n in chosen["use_mask_for_norm"].list()] if chosen.has("use_mask_for_norm") else []
    masks += [False] * (len(channels) - len(masks))
    target = tuple(n.number(1e-3, 1e3) for n in chosen["spacing"].list(most=3))
    if len(target) != len(chosen["patch_size"].value):
        raise chosen["spacing"].error("must have as many members as patch_size")
    if chosen.has("preprocessor_name") and chosen["preprocessor_name"].value != "DefaultPreprocessor":
        raise chosen["preprocessor_name"].error("is not nnU-Net's DefaultPreprocessor, so its steps are not known")
    modality = MODALITY.get(channels[0].casefold(), ()) if len(channels) == 1 else ()
    return NnUNetInput(
        channels=len(channels),
        channel_names=tuple(channels),
        modality=tuple(extra.get("modality", modality)),
        orientation=extra["orientation"] if "orientation" in extra else _orientation(plans, dataset, name),
        order=(order[0], order[1], order[2]),
        target=target,
        normalisation=tuple(schemes[: len(channels)]),
        within_mask=tuple(masks[: len(channels)]),
        statistics=tuple(
            _statistics(plans, n) if schemes[n] == "CTNormalization" else MappingProxyType({})
            for n in range(len(channels))
        ),
        data=_resampling(chosen, "resampling_fn_data", 3),
        logits=_resampling(chosen, "resampling_fn_probabilities", 1),
        stage=_foreground(dataset) if cascade else (),
        labels=_resampling(chosen, "resampling_fn_seg", 1),
    )


def _foreground(dataset: Node) -> tuple[int, ...]:
    """Every value but the background's that a label or a region of the data set is made of."""
    found: set[int] = set()
    for name, node in dataset["labels"].object((), None).items():
        if name != "ignore":
            items = node.list(most=256) if isinstance(node.value, list) else [node]
            found |= {n.integer(0, 65535) for n in items}
    return tuple(sorted(found - {0}))


def _orientation(plans: Node, dataset: Node, name: str) -> str | None:
    """RAS where the images were turned to it for training; None where they are seen as they are stored."""
    reader = dataset.value.get("overwrite_image_reader_writer") or plans.value.get("image_reader_writer") or ""
    # TotalSegmentator turns every image to RAS by itself before nnU-Net reads it.
    return "RAS" if "Reorient" in str(reader) or "totalsegmentator" in name.lower() else None


def _statistics(plans: Node, channel: int) -> Mapping[str, float]:
    keys = ("foreground_intensity_properties_per_channel", "foreground_intensity_properties_by_modality")
    key = next((k for k in keys if plans.has(k)), None)
    if key is None:
        raise plans.error(f"CTNormalization needs {keys[0]}")
    facts = plans[key].object((str(channel),), None)[str(channel)]
    names = ("mean", "std", "percentile_00_5", "percentile_99_5")
    facts.object(names, None)
    return MappingProxyType({n: facts[n].number() for n in names})


def _resampling(chosen: Node, key: str, order: int) -> Resampling:
    function = chosen[key].text() if chosen.has(key) else "resample_data_or_seg_to_shape"
    given = chosen[f"{key}_kwargs"].object((), None) if chosen.has(f"{key}_kwargs") else chosen
    facts = {**_DEFAULT_RESAMPLING, "order": order, **(given.value if given is not chosen else {})}
    node = Node(facts, chosen.file, f"{chosen.path}.{key}_kwargs")
    separate = node["force_separate_z"].flag() if node.has("force_separate_z") else None
    limit = "separate_z_anisotropy_threshold"
    threshold = node[limit].number(1, 1e6) if node.has(limit) else 3.0
    if function == "resample_torch_fornnunet":
        for name, known in (("mode", "linear"), ("aniso_axis_mode", "nearest-exact")):
            if facts.get(name, known) != known:
                raise node[name].error(f"is {facts[name]!r}, and only {known!r} is known")
        return Resampling(order=1, order_z=0, separate_z=separate, threshold=threshold, clip=False)
    if function != "resample_data_or_seg_to_shape":
        raise chosen[key].error(f"{function} is not known", fix="plan with nnU-Net's default resampling")
    return Resampling(
        order=node["order"].integer(0, 5), order_z=node["order_z"].integer(0, 5), separate_z=separate,
        threshold=threshold,
    )  # fmt: skip


def _output(dataset: Node) -> OutputSpec:
    """Labels with their names; regions, which overlap, in the order in which later ones are drawn over earlier ones."""
    labels = dataset["labels"].object(("background",), None)
    values: dict[str, tuple[int, ...]] = {}
    for name, node in labels.items():
        items = node.list(most=256) if isinstance(node.value, list) else [node]
        values[name] = tuple(sorted({n.integer(0, 65535) for n in items}))
    if values["background"] != (0,):
        raise labels["background"].error("must be 0")
    values.pop("ignore", None)
    inner = {name: found for name, found in values.items() if found != (0,)}
    if not inner:
        raise labels.error("names no label but the background")
    if not any(len(found) > 1 for found in inner.values()):
        plain = {name: found[0] for name, found in inner.items()}
        if sorted(plain.values()) != list(range(1, len(plain) + 1)):
            raise labels.error("must number the labels from 1 without a gap, as nnU-Net does")
        made = [_label(value, name) for name, value in sorted(plain.items(), key=lambda item: item[1])]
        return OutputSpec(activation="none", labels=tuple(made))
    order = dataset.object(("regions_class_order",), None)["regions_class_order"].list(length=len(inner))
    drawn = [node.integer(1, 65535) for node in order]
    if len(set(drawn)) != len(drawn):
        raise dataset["regions_class_order"].error("names a value twice, so its voxels would have two meanings")
    names = list(inner)
    made = []
    for n, (name, value) in enumerate(zip(names, drawn, strict=True)):
        # What stays visible of a region is what no later one covers, and its name must say so.
        over = [other for other in names[n + 1 :] if set(inner[other]) & set(inner[name])]
        made.append(_label(value, f"{name} without {' and '.join(over)}" if over else name))
    return OutputSpec(activation="regions", labels=tuple(made))


def _label(value: int, name: str) -> Label:
    category, kind = coded(name)
    return Label(value=value, name=name, category=category, type=kind)


def _mirror(trained: Sequence[Mapping[str, Any]], files: Sequence[Path], dimension: int) -> tuple[int, ...]:
    """Axes of the window that nnU-Net may mirror, as the first fold's checkpoint says."""
    axes = trained[0].get("inference_allowed_mirroring_axes")
    if axes is None:
        return ()
    if not isinstance(axes, (list, tuple)) or not all(isinstance(a, int) and 0 <= a < dimension for a in axes):
        raise ModelError(f"inference_allowed_mirroring_axes is {axes!r}", file=files[0])
    return tuple(sorted({a + 3 - dimension for a in axes}))


def _read_extra(file: Path) -> Mapping[str, Any]:
    """What the user says about the images that the network was trained on."""
    if not file.is_file():
        return {}
    node = read_json(file).object((), ("orientation", "modality"))
    found: dict[str, Any] = {}
    if "orientation" in node.value:
        found["orientation"] = None
        if node["orientation"].value not in (None, "stored"):
            codes = node["orientation"].text().upper()
            try:
                reorientation([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], codes)
            except GeometryError as error:
                raise node["orientation"].error(error.what, fix=error.fix) from error
            found["orientation"] = codes
    if node.has("modality"):
        found["modality"] = tuple(n.text().upper() for n in node["modality"].list(most=32))
    return found
