"""MONAI bundles: what ``configs/`` says, translated into a description.

A bundle's configuration is a program: its texts may hold Python (``$...``). Nothing of it is run, unless the user
trusts the bundle: then the expressions that a description needs are evaluated by MONAI, and no others. References
(``@name``) are followed, known transforms and inferers are translated, and whatever is neither is refused by name, so
that a bundle is never half understood. A ``model.json`` in the bundle's folder takes the place of all this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.model.label_codes import coded
from gpukit.ai.model.volume_spec import (
    INTENSITY,
    POSTPROCESS,
    InferenceSpec,
    InputSpec,
    OutputSpec,
    TransformSpec,
    literal,
)
from gpukit.documents.json_reader import Node, read_json
from gpukit.errors import GpukitError, ModelError
from gpukit.geometry import reorientation
from gpukit.segmentation import Label

__all__ = ["Bundle", "is_bundle", "open_bundle", "read_bundle"]

_REFERENCE = re.compile(r"\$?@([A-Za-z_]\w*(?:(?:::|#)\w+)*)")
#: Transforms of a bundle that gpukit does by itself: reading, channel order, types, the way back, saving.
_DONE_HERE = ("AsDiscrete", "EnsureChannelFirst", "EnsureType", "Invert", "LoadImage", "SaveImage", "ToTensor")
_MODALITIES = {"CT": ("CT",), "MR": ("MR",), "MRI": ("MR",), "PT": ("PT",), "PET": ("PT",)}


@dataclass(frozen=True)
class Bundle:
    """A bundle's files, read but not yet judged fit for a task."""

    folder: Path
    metadata: Node
    inference: Node
    weights: Path

    @property
    def network(self) -> Mapping[str, Any]:
        """The network's class and arguments, references replaced by their values.

        Raises
        ------
        ModelError
            It is not defined, or needs an expression to be evaluated.
        """
        for name in ("network_def", "network", "net"):
            if self.inference.has(name) and isinstance(self.inference[name].value, dict):
                value: Mapping[str, Any] = resolve(self.inference[name], self.inference)
                return value
        raise self.inference.error("defines no network ('network_def')")


def is_bundle(folder: Path) -> bool:
    """Whether a folder looks like a MONAI bundle."""
    return (folder / "configs" / "metadata.json").is_file()


class TrustedNode(Node):
    """A bundle's configuration whose expressions may be evaluated."""

    def evaluate(self, text: str, place: Node) -> Any:
        """The value of an expression, which must be numbers, texts, lists and objects of them."""
        from copy import deepcopy

        from monai.bundle import ConfigParser

        try:
            parser = ConfigParser(deepcopy(self.value))
            parser["gpukit_value"] = text
            found = parser.get_parsed_content("gpukit_value")
        except Exception as error:  # whatever the bundle's code raises
            raise place.error(f"the expression {text[:60]!r} fails: {type(error).__name__} {error}") from error
        if not _plain(found):
            raise place.error(
                f"the expression {text[:60]!r} gives a {type(found).__name__}, which no description holds"
            )
        return list(found) if isinstance(found, tuple) else found


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _plain(item) for key, item in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def open_bundle(folder: Path, *, trust: bool = False) -> Bundle:
    """Read the configuration of a bundle and find its weights.

    Raises
    ------
    ModelError
        A part is missing or damaged.
    """
    configs = folder / "configs"
    metadata = read_json(configs / "metadata.json").object((), None)
    if not (configs / "inference.json").is_file():
        raise ModelError(
            "the bundle has no configs/inference.json", file=folder, fix="convert its configuration to JSON"
        )
    inference = read_json(configs / "inference.json").object((), None)
    if trust:
        inference = TrustedNode(inference.value, inference.file, inference.path)
    for name in ("models/model.pt", "model.pt", "models/model.ts", "model.ts"):
        if (folder / name).is_file():
            return Bundle(folder, metadata, inference, folder / name)
    raise ModelError(
        "the bundle has no weights", file=folder, attribute="models/model.pt", fix="download the whole bundle"
    )


def read_bundle(folder: Path, *, trust: bool = False) -> Model:
    """The description of a bundle for segmentation; with `trust` its expressions are evaluated where they are needed.

    Raises
    ------
    ModelError
        It is for another task, or a part of its configuration is beyond what gpukit translates; names the part.
    """
    bundle = open_bundle(folder, trust=trust)
    meta, config = bundle.metadata, bundle.inference
    network_format = meta.object(("version", "network_data_format"), None)["network_data_format"]
    outputs = network_format.object(("inputs", "outputs"), None)["outputs"].object((), None)
    if not outputs.value:
        raise outputs.error("names no output")
    output = outputs[next(iter(outputs.value))].object((), None)
    form = output.value.get("format")
    if form != "segmentation":
        task = str(meta.value.get("task", "another task"))
        raise ModelError(
            f"the bundle is for {task[:120]!r}: its output has the format {str(form)[:40]!r}, and gpukit translates "
            "the configuration of bundles with the format 'segmentation' only",
            file=output.file,
            attribute=f"{output.path}.format",
            fix="describe the model in a file model.json in the bundle's folder",
        )
    inputs = network_format["inputs"].object((), None)
    if len(inputs.value) != 1:
        raise inputs.error(f"names {len(inputs.value)} inputs, and one is needed")
    image = inputs[next(iter(inputs.value))].object(("num_channels",), None)
    activation, postprocess, threshold = _postprocessing(config)
    return Model(
        name=str(meta.value.get("name") or folder.name),
        version=str(meta.value["version"]),
        task="segment",
        description=str(meta.value.get("description") or ""),
        license=str(meta.value.get("license") or ""),
        format="monai-bundle",
        weights=bundle.weights,
        network=MappingProxyType(dict(bundle.network)) if bundle.weights.suffix != ".ts" else MappingProxyType({}),
        input=_input(config, image),
        inference=_inferer(config, image),
        output=OutputSpec(
            activation=activation, labels=_labels(output, activation), postprocess=postprocess, threshold=threshold
        ),
        file=config.file,
    )


def resolve(node: Node, root: Node, depth: int = 0) -> Any:
    """The value of a node with references replaced by what they refer to; an expression is refused."""
    value = node.value
    if depth > 50:
        raise node.error("refers to itself, or is nested too deeply")
    if isinstance(value, str) and value[:1] in ("$", "@", "%"):
        found = _REFERENCE.fullmatch(value)
        if found is None and isinstance(root, TrustedNode) and value.startswith("$"):
            return root.evaluate(value, node)
        if found is None:
            raise node.error(
                f"{value[:60]!r} is an expression, and gpukit runs no code of a bundle without --trust",
                fix="write the value in its place, describe the model in model.json, or run the bundle from its folder "
                "with --trust if you know where it comes from",
            )
        target = root
        for part in re.split("::|#", found[1]):
            if isinstance(target.value, dict) and part in target.value:
                target = target[part]
            elif isinstance(target.value, list) and part.isdecimal() and int(part) < len(target.value):
                target = target.list()[int(part)]
            else:
                raise node.error(f"refers to {found[1]!r}, which is not there")
        return resolve(target, root, depth + 1)
    if isinstance(value, dict):
        return {key: resolve(item, root, depth + 1) for key, item in node.items()}
    if isinstance(value, list):
        return [resolve(item, root, depth + 1) for item in node.list()]
    return value


def _transforms(config: Node, name: str) -> list[tuple[str, Node, Node]]:
    """(MONAI name without the dictionary suffix, arguments, place) of the transforms under a key that are enabled."""
    if not config.has(name):
        return []
    part = config[name]
    if isinstance(part.value, dict):
        part = part.object(("transforms",), None)["transforms"]
    if isinstance(part.value, str):
        part = Node(resolve(part, config), part.file, part.path)
    found = []
    for item in part.list(most=64):
        target = item.object(("_target_",), None)["_target_"].text().rpartition(".")[2]
        if "_disabled_" in item.value and resolve(item["_disabled_"], config) is True:
            continue
        bare = target.removesuffix("Dict").removesuffix("d").removesuffix("D")
        dropped = ("_target_", "_disabled_", "keys", "allow_missing_keys")
        arguments = {key: value for key, value in item.items() if key not in dropped}
        # Expressions in a transform that is not translated do not matter, so they are judged only when used.
        found.append((bare, Node({key: value.value for key, value in arguments.items()}, item.file, item.path), item))
    return found


def _input(config: Node, image: Node) -> InputSpec:
    orientation: str | None = None
    spacing: tuple[float, float, float] | None = None
    spacing_first = False
    intensity: list[TransformSpec] = []
    for name, arguments, place in _transforms(config, "preprocessing"):
        if name in _DONE_HERE:
            continue
        if name == "Orientation":
            if orientation is not None:
                raise place.error("turns the image a second time", fix="leave one Orientationd in the configuration")
            spacing_first = spacing is not None
            orientation = str(resolve(arguments.object(("axcodes",), None)["axcodes"], config)).upper()
            try:
                reorientation([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], orientation)
            except GpukitError as error:
                raise place.error(error.what) from error
        elif name == "Spacing":
            if intensity:
                raise place.error("resamples after values were changed; gpukit resamples first")
            if spacing is not None:
                raise place.error("resamples a second time", fix="leave one Spacingd in the configuration")
            found = resolve(arguments.object(("pixdim",), None)["pixdim"], config)
            numbers = [n.number(0.01, 100.0) for n in Node(found, place.file, f"{place.path}.pixdim").list(length=3)]
            spacing = (numbers[0], numbers[1], numbers[2])
        elif name in INTENSITY:
            values = Node(resolve(arguments, config), place.file, place.path)
            intensity.append(TransformSpec(name, MappingProxyType(literal(values)), place.path))
        else:
            raise place.error(
                f"the transform {name!r} is not one that gpukit translates", fix="describe the model in model.json"
            )
    modality = str(image.value.get("modality", "")).upper()
    channels = image["num_channels"].integer(1, 64)
    return InputSpec(
        channels=channels,
        channel_names=_channel_names(image, channels),
        modality=_MODALITIES.get(modality, ()),
        orientation=orientation,
        spacing=spacing,
        spacing_first=spacing_first,
        intensity=tuple(intensity),
    )


def _channel_names(image: Node, channels: int) -> tuple[str, ...]:
    """What the bundle calls its input channels, where it has several and names each."""
    if channels == 1 or not image.has("channel_def") or not isinstance(image["channel_def"].value, dict):
        return ()
    names = [str(image["channel_def"].value.get(str(n), "")).strip() for n in range(channels)]
    return tuple(names) if all(names) and len({name.casefold() for name in names}) == channels else ()


def _inferer(config: Node, image: Node) -> InferenceSpec:
    if not config.has("inferer"):
        return InferenceSpec()
    node = config["inferer"].object(("_target_",), None)
    target = node["_target_"].text().rpartition(".")[2]
    if target == "SimpleInferer":
        return InferenceSpec()
    if target != "SlidingWindowInferer":
        raise node["_target_"].error(f"the inferer {target!r} is not one that gpukit translates")
    # keys without an effect on the labels are not evaluated: they may hold expressions, such as a device
    ignored = ("sw_device", "device", "progress", "cache_roi_weight_map", "cpu_thresh", "buffer_steps", "buffer_dim")
    used = {key: item.value for key, item in node.items() if key not in ignored}
    found = Node(resolve(Node(used, node.file, node.path), config), node.file, node.path)
    found.object(("_target_", "roi_size"), ("sw_batch_size", "overlap", "mode", "padding_mode", "cval"))
    if found.value.get("padding_mode", "constant") != "constant" or found.value.get("cval", 0) != 0:
        raise found.error("pads with something other than zero, which gpukit does not")
    roi = [n.integer(1, 4096) for n in found["roi_size"].list(length=3)]
    return InferenceSpec(
        patch=(roi[0], roi[1], roi[2]),
        overlap=found["overlap"].number(0.0, 0.95) if found.has("overlap") else 0.25,
        blend=found["mode"].choice("gaussian", "constant") if found.has("mode") else "constant",
        batch=found["sw_batch_size"].integer(1, 1024) if found.has("sw_batch_size") else 1,
    )


def _postprocessing(config: Node) -> tuple[str, tuple[TransformSpec, ...], float]:
    """Activation, steps on the labels, and the least probability of a label of its own."""
    activation, found, threshold, discrete = "softmax", [], 0.5, False
    for name, arguments, place in _transforms(config, "postprocessing"):
        if name == "Activations":
            if _for_prediction(arguments, "sigmoid", place, config) is True:
                activation = "sigmoid"
            elif _for_prediction(arguments, "softmax", place, config) is not True:
                raise place.error("is neither softmax nor sigmoid")
        elif name == "AsDiscrete" and _is_prediction(place):
            if discrete:
                continue  # what has become labels stays labels
            threshold, discrete = _discrete(arguments, place, config, activation), True
        elif name in POSTPROCESS:
            values = Node(resolve(arguments, config), place.file, place.path)
            found.append(TransformSpec(name, MappingProxyType(literal(values)), place.path))
        elif name not in _DONE_HERE:
            raise place.error(
                f"the transform {name!r} is not one that gpukit translates", fix="describe the model in model.json"
            )
    return activation, tuple(found), threshold


def _discrete(arguments: Node, place: Node, config: Node, activation: str) -> float:
    """The threshold of an AsDiscrete, which must do to the probabilities what gpukit does by itself."""
    largest = _for_prediction(arguments, "argmax", place, config) is True
    least = _for_prediction(arguments, "threshold", place, config)
    rounded = _for_prediction(arguments, "rounding", place, config) is not None
    if activation == "sigmoid":
        if largest:
            raise place.error("takes the largest of probabilities that a sigmoid made, which gpukit does not")
        if least is None or isinstance(least, bool):  # MONAI's older form: a flag, and the value beside it
            given = _for_prediction(arguments, "logit_thresh", place, config)
            least = 0.5 if given is None else given
        if not isinstance(least, (int, float)) or not 0.0 < least < 1.0:
            raise place.error(f"has the threshold {str(least)[:40]!r}, and a probability needs one between 0 and 1")
        return float(least)
    if least not in (None, False) or rounded:
        if largest:
            return 0.5  # of labels, which are whole numbers already
        raise place.error("cuts each class at a threshold after a softmax, which gpukit does not")
    return 0.5


def _keys(place: Node) -> list[str]:
    keys = place.value.get("keys", ())
    return [keys] if isinstance(keys, str) else [str(key) for key in keys] if isinstance(keys, list) else []


def _is_prediction(place: Node) -> bool:
    """Whether a transform is for the network's output, and not for a label or the image alone."""
    keys = _keys(place)
    return not keys or "pred" in keys or not set(keys) & {"label", "image"}


def _for_prediction(arguments: Node, name: str, place: Node, config: Node) -> Any:
    """An argument as it is for the prediction, where there may be one for each key; None where it is not there."""
    if not arguments.has(name):
        return None
    value = resolve(arguments[name], config)
    if isinstance(value, list):
        keys = _keys(place)
        number = keys.index("pred") if "pred" in keys else 0
        return value[number] if number < len(value) else None
    return value


def _labels(output: Node, activation: str) -> tuple[Label, ...]:
    names = output.object(("num_channels", "channel_def"), None)["channel_def"].object((), None)
    count = output["num_channels"].integer(1, 65535)
    found: dict[int, str] = {}
    for key, value in names.items():
        if not key.isdecimal() or int(key) >= count:
            raise names.error(f"names the channel {key!r}, and there are {count}")
        found[int(key)] = value.text()
    first = 0 if activation == "sigmoid" else 1
    labels = []
    for channel in range(first, count):
        if channel not in found:
            raise names.error(f"does not name the channel {channel}")
        category, kind = coded(found[channel])
        labels.append(Label(value=channel - first + 1, name=found[channel], category=category, type=kind))
    if not labels:
        raise names.error("names no channel but the background")
    return tuple(labels)
