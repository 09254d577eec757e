"""Parts of a model's description: what a network over volumes wants to see, how it is moved, what its labels mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gpukit.documents.json_reader import Node
from gpukit.errors import GeometryError
from gpukit.geometry import reorientation
from gpukit.segmentation import Label

__all__ = [
    "INTENSITY",
    "POSTPROCESS",
    "InferenceSpec",
    "InputSpec",
    "OutputSpec",
    "TransformSpec",
    "literal",
    "read_code",
    "read_inference",
    "read_input",
    "read_names",
    "read_output",
    "read_transforms",
]

#: Intensity transforms of MONAI that a description may name (deterministic ones, on one image).
INTENSITY = (
    "AdjustContrast",
    "ClipIntensityPercentiles",
    "GaussianSmooth",
    "HistogramNormalize",
    "MedianSmooth",
    "NormalizeIntensity",
    "ScaleIntensity",
    "ScaleIntensityRange",
    "ScaleIntensityRangePercentiles",
    "ShiftIntensity",
    "ThresholdIntensity",
)
#: Transforms on a label map that a description may name: MONAI's, and gpukit's own `KeepMainBody`.
POSTPROCESS = ("FillHoles", "KeepLargestConnectedComponent", "KeepMainBody", "LabelFilter", "RemoveSmallObjects")

_LARGEST_SIDE = 4096
#: What ``inference`` may say, by task and dimensions.
_EFFECTIVE: Mapping[tuple[str, int], tuple[str, ...]] = MappingProxyType(
    {
        **{(task, 2): ("batch",) for task in ("segment", "classify", "detect", "enhance")},
        ("segment", 3): ("patch", "overlap", "blend", "batch", "skip_background"),
        ("classify", 3): (),
        ("detect", 3): ("patch", "overlap", "batch"),
        ("enhance", 3): ("patch", "overlap", "blend", "batch"),
    }
)


@dataclass(frozen=True)
class TransformSpec:
    """A MONAI transform by name, with literal arguments."""

    name: str
    arguments: Mapping[str, Any]
    path: str = ""


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the network wants to see.

    Parameters
    ----------
    channels : int
        Images that the network sees side by side.
    channel_names : tuple of str
        What they are, such as ``T1`` and ``FLAIR``; empty where nothing says it.
    modality : tuple of str
        DICOM modalities it was made for; empty for any.
    orientation : str or None
        Patient directions in which the three axes of the network's input grow, such as ``RAS``; None to keep the
        source's.
    spacing : tuple of float or None
        Voxel size in mm along these axes; None to keep the source's.
    size : tuple of int or None
        Voxels along these axes: the image is centred in a box of that size, cut and filled. None to keep its extent.
    axes : str
        ``source`` keeps the (perhaps oblique) directions of the source's axes; ``patient`` makes the axes parallel to
        the patient's, as FreeSurfer's conform does.
    fill : float
        Value, in the source's unit, where the box reaches beyond the source.
    spacing_first : bool
        Whether `spacing` is along the axes as they are stored, before they are turned, as where a MONAI bundle has
        ``Spacingd`` before ``Orientationd``.
    intensity : tuple of TransformSpec
        Applied in this order after resampling.
    """

    channels: int = 1
    channel_names: tuple[str, ...] = ()
    modality: tuple[str, ...] = ()
    orientation: str | None = None
    spacing: tuple[float, float, float] | None = None
    size: tuple[int, int, int] | None = None
    axes: str = "source"
    fill: float = 0.0
    intensity: tuple[TransformSpec, ...] = ()
    spacing_first: bool = False


@dataclass(frozen=True, kw_only=True)
class InferenceSpec:
    """How the network is moved over the image.

    Parameters
    ----------
    patch : tuple of int or None
        Window in voxels along the axes of `InputSpec.orientation`; None to run the whole image at once.
    overlap : float
        Share of a window that the next one overlaps, from 0 to below 1.
    blend : str
        ``gaussian`` or ``constant``: weight of a window's voxels where windows overlap. ``nnunet``: nnU-Net's Gaussian,
        on windows that are spread evenly.
    batch : int
        Windows run together.
    pictures : int or None
        Pictures run together, of a network of two dimensions; None where the description does not say.
    skip_below : float or None
        Windows whose preprocessed values are all below this are background and are not run; None to run all.
    mirror : tuple of int
        Axes of the window along which the model is also run mirrored, unless the user says otherwise.
    """

    patch: tuple[int, int, int] | None = None
    overlap: float = 0.25
    blend: str = "gaussian"
    batch: int = 1
    skip_below: float | None = None
    mirror: tuple[int, ...] = ()
    pictures: int | None = None


@dataclass(frozen=True, kw_only=True)
class OutputSpec:
    """What the network's output means.

    Parameters
    ----------
    activation : str
        ``softmax`` or ``none``: one class a voxel, channel 0 is background and channel n is the label of value n.
        ``sigmoid``: channel n is the n-th label, on its own, wherever it reaches `threshold`: labels may overlap.
        ``regions``: the same channels as one map: of those whose logits are above 0 the last label wins, as in nnU-Net.
    labels : tuple of Label
        Values and coded meanings; for ``softmax`` all channels but the first, for ``sigmoid`` and ``regions`` all.
    postprocess : tuple of TransformSpec
        Applied in this order to the label map on the source's grid.
    threshold : float
        With ``sigmoid``, the least probability of a label's voxels.
    """

    activation: str
    labels: tuple[Label, ...]
    postprocess: tuple[TransformSpec, ...] = ()
    threshold: float = 0.5

    @property
    def overlapping(self) -> bool:
        """Whether two labels may share a voxel."""
        return self.activation == "sigmoid" and len(self.labels) > 1

    @property
    def channels(self) -> int:
        """Output channels that the network must have."""
        if self.activation in ("sigmoid", "regions"):
            return len(self.labels)
        return max(label.value for label in self.labels) + 1


def read_input(node: Node) -> InputSpec:
    """Check the part ``input`` of a description."""
    node.object(
        ("channels",),
        ("channel_names", "dimensions", "modality", "orientation", "spacing", "size", "axes", "fill", "intensity"),
    )
    orientation = None
    if node.has("orientation"):
        orientation = node["orientation"].text().upper()
        try:
            reorientation([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]], orientation)
        except GeometryError as error:
            raise node["orientation"].error(error.what, fix=error.fix) from error
    axes = node["axes"].choice("source", "patient") if node.has("axes") else "source"
    if axes == "patient" and orientation is None:
        raise node["axes"].error("is 'patient', which needs an orientation", fix="add 'orientation'")
    if node.has("size") and not node.has("spacing"):
        raise node["size"].error("needs a spacing", fix="add 'spacing'")
    channels = node["channels"].integer(1, 64)
    return InputSpec(
        channels=channels,
        channel_names=read_names(node["channel_names"], channels) if node.has("channel_names") else (),
        modality=tuple(n.text().upper() for n in node["modality"].list(most=32)) if node.has("modality") else (),
        orientation=orientation,
        spacing=_three_numbers(node["spacing"]) if node.has("spacing") else None,
        size=_three_sizes(node["size"]) if node.has("size") else None,
        axes=axes,
        fill=node["fill"].number(-1e9, 1e9) if node.has("fill") else 0.0,
        intensity=read_transforms(node["intensity"], INTENSITY) if node.has("intensity") else (),
    )


def read_names(node: Node, channels: int) -> tuple[str, ...]:
    """Check the names of channels: one for each, and no two alike."""
    names = tuple(one.text() for one in node.list(length=channels))
    if len({name.casefold() for name in names}) != len(names):
        raise node.error("names two channels alike")
    return names


def read_inference(node: Node, task: str, dimensions: int) -> InferenceSpec:
    """Check the part ``inference`` of a description: what has no effect for the kind of network is refused."""
    node.object((), ("patch", "overlap", "blend", "batch", "skip_background"))
    kind = "pictures" if dimensions == 2 else "whole volumes" if task == "classify" else "volumes"
    known = _EFFECTIVE[task, dimensions]
    for key in node.value:
        if node.has(key) and key not in known:
            raise node[key].error(f"has no effect on a network that is to {task} {kind}", fix="remove it")
    if dimensions == 2:
        return InferenceSpec(pictures=node["batch"].integer(1, 1024) if node.has("batch") else None)
    below = None
    if node.has("skip_background"):
        below = node["skip_background"].object(("below",))["below"].number()
    return InferenceSpec(
        patch=_three_sizes(node["patch"]) if node.has("patch") else None,
        overlap=node["overlap"].number(0.0, 0.95) if node.has("overlap") else 0.25,
        blend=node["blend"].choice("gaussian", "constant") if node.has("blend") else "gaussian",
        batch=node["batch"].integer(1, 1024) if node.has("batch") else 1,
        skip_below=below,
    )


def read_output(node: Node) -> OutputSpec:
    """Check the part ``output`` of a description."""
    node.object(("activation", "labels"), ("postprocess", "threshold"))
    activation = node["activation"].choice("softmax", "sigmoid", "regions", "none")
    if node.has("threshold") and activation != "sigmoid":
        raise node["threshold"].error("is for the activation sigmoid", fix="remove it")
    labels = tuple(_label(n) for n in node["labels"].list())
    if not labels:
        raise node["labels"].error("names no label", fix="name each class but the background")
    values = [label.value for label in labels]
    if double := next((v for v in values if values.count(v) > 1), None):
        raise node["labels"].error(f"names the value {double} twice")
    if activation not in ("sigmoid", "regions") and sorted(values) != list(range(1, len(values) + 1)):
        gap = next(v for v in range(1, len(values) + 2) if v not in values)
        raise node["labels"].error(
            f"does not name the value {gap}: with {activation}, label n is channel n and 0 is background",
            fix="name every channel but the first",
        )
    postprocess = read_transforms(node["postprocess"], POSTPROCESS) if node.has("postprocess") else ()
    return OutputSpec(
        activation=activation,
        labels=labels,
        postprocess=postprocess,
        threshold=node["threshold"].number(0.001, 0.999) if node.has("threshold") else 0.5,
    )


def read_transforms(node: Node, allowed: tuple[str, ...]) -> tuple[TransformSpec, ...]:
    """Check a list of MONAI transforms: only names of the list, only literal arguments."""
    found = []
    for item in node.list(most=64):
        target = item.object(("_target_",), None)["_target_"].text()
        name = target.removeprefix("monai.transforms.")
        if name not in allowed:
            raise item["_target_"].error(
                f"{target!r} is not among the transforms allowed here", fix=f"use one of: {', '.join(allowed)}"
            )
        arguments = {key: literal(value) for key, value in item.items() if key != "_target_"}
        found.append(TransformSpec(name, MappingProxyType(arguments), item.path))
    return tuple(found)


def literal(node: Node) -> Any:
    """The plain value of a node; a reference (``@``) or an expression (``$``) is refused, since it would be code."""
    if isinstance(node.value, str) and node.value[:1] in ("$", "@", "%"):
        raise node.error(f"{node.value[:40]!r} is an expression, and nothing here is evaluated", fix="write the value")
    if isinstance(node.value, dict):
        if "_target_" in node.value:
            raise node.error("an object to be built is not allowed here", fix="write plain values")
        return {key: literal(value) for key, value in node.items()}
    if isinstance(node.value, list):
        return [literal(value) for value in node.list()]
    return node.value


def _label(node: Node) -> Label:
    node.object(("value", "name", "category", "type"), ("color",))
    color = None
    if node.has("color"):
        red, green, blue = (n.integer(0, 255) for n in node["color"].list(length=3))
        color = (red, green, blue)
    return Label(
        value=node["value"].integer(1, 65535),
        name=node["name"].text(),
        category=read_code(node["category"]),
        type=read_code(node["type"]),
        color=color,
    )


def read_code(node: Node) -> tuple[str, str, str]:
    """Check a coded concept within the lengths of DICOM's value representations (PS3.5 table 6.2-1: SH 16, LO 64)."""
    node.object(("value", "scheme", "meaning"))
    found = []
    for key, longest in (("value", 16), ("scheme", 16), ("meaning", 64)):
        text = node[key].text().strip()
        if len(text) > longest or "\\" in text or not text.isprintable():
            raise node[key].error(f"must be at most {longest} printable characters without a backslash")
        found.append(text)
    return found[0], found[1], found[2]


def _three_numbers(node: Node) -> tuple[float, float, float]:
    a, b, c = (n.number(0.01, 100.0) for n in node.list(length=3))
    return a, b, c


def _three_sizes(node: Node) -> tuple[int, int, int]:
    a, b, c = (n.integer(1, _LARGEST_SIDE) for n in node.list(length=3))
    return a, b, c
