"""The part ``input`` of a description whose network sees pictures, and the part ``output`` of tasks on them."""

from __future__ import annotations

from dataclasses import dataclass

from gpukit.ai.model.volume_spec import INTENSITY, TransformSpec, read_code, read_transforms
from gpukit.documents.json_reader import Node

__all__ = [
    "Class",
    "ClassifySpec",
    "DetectSpec",
    "EnhanceSpec",
    "PictureSpec",
    "read_classify",
    "read_detect",
    "read_enhance",
    "read_picture",
]

_LARGEST_SIDE = 16384
_MOST_CLASSES = 10_000


@dataclass(frozen=True, kw_only=True)
class PictureSpec:
    """What a network of two dimensions wants to see.

    Parameters
    ----------
    channels : int
        1 (grey), 3 (colour, or grey three times), or with `neighbours` 2 n + 1.
    modality : tuple of str
        DICOM modalities it was made for; empty for any.
    plane : str
        ``stored`` takes frames as they are; ``axial``, ``coronal`` and ``sagittal`` turn a volume so that its slices
        are that plane in the radiological convention (the patient's right on the left, head or front up), without
        interpolation.
    spacing : (float, float) or None
        Width and height of a pixel in mm that pictures are brought to first; None keeps the source's.
    size : (int, int) or None
        Width and height that pictures are brought to; None keeps them.
    fit : str
        How `size` is reached: ``stretch`` (both sides on their own), ``pad`` (the longer side fits, the rest is
        `fill`), ``crop`` (the shorter side fits, the rest is cut away). The middle stays the middle.
    values : str
        ``rescaled``: modality values (HU, ...), colour 0 to 255. ``window``: 0 to 1 over `window`, else over the
        image's own window, else over its range; MONOCHROME1 inverted, so that 1 is bright on a screen; colour by 255.
    window : (float, float) or None
        Values that become 0 and 1.
    neighbours : int
        Slices on either side that are channels too (2.5D); at the ends of the volume the last slice is repeated.
    layout : str
        ``channels-first`` ``[n, c, y, x]`` or ``channels-last`` ``[n, y, x, c]``.
    fill : float
        Value beside the picture, after `values` and before `intensity`.
    intensity : tuple of TransformSpec
        Applied in this order at the end.
    """

    channels: int = 1
    modality: tuple[str, ...] = ()
    plane: str = "stored"
    spacing: tuple[float, float] | None = None
    size: tuple[int, int] | None = None
    fit: str = "stretch"
    values: str = "window"
    window: tuple[float, float] | None = None
    neighbours: int = 0
    layout: str = "channels-first"
    fill: float = 0.0
    intensity: tuple[TransformSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Class:
    """One class of a network's answer.

    Parameters
    ----------
    name : str
        For people.
    code : (str, str, str) or None
        Value, scheme and meaning of the finding.
    """

    name: str
    code: tuple[str, str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class ClassifySpec:
    """What the numbers of a classifier mean.

    Parameters
    ----------
    activation : str
        ``softmax`` (one class is right), ``sigmoid`` (each on its own: multi-label), or ``none`` (the network gives
        probabilities already).
    classes : tuple of Class
        In the order of the channels.
    threshold : float
        Least probability that counts as found, for multi-label answers.
    exclusive : bool
        Whether exactly one class is right.
    """

    activation: str
    classes: tuple[Class, ...]
    threshold: float = 0.5
    exclusive: bool = True


@dataclass(frozen=True, kw_only=True)
class DetectSpec:
    """What the tensors of a detector mean.

    Parameters
    ----------
    classes : tuple of Class
        Class 1, 2 ... of the network's labels (with `first_label` 0: class 0, 1 ...).
    boxes : str
        ``xyxy``, ``xywh`` or ``cxcywh`` (in space ``xyzxyz`` ...) in pixels of the network's picture.
    normalized : bool
        Boxes are shares of the picture's sides.
    first_label : int
        The label of the first class.
    activation : str
        Of scores: ``none`` or ``sigmoid``; for a single tensor ``[n, 4 + classes]`` also ``softmax``.
    confidence, iou : float
        Least score that is kept, and the overlap at which the weaker of two boxes of a class is dropped.
    """

    classes: tuple[Class, ...]
    boxes: str = "xyxy"
    normalized: bool = False
    first_label: int = 1
    activation: str = "none"
    confidence: float = 0.5
    iou: float = 0.5


@dataclass(frozen=True, kw_only=True)
class EnhanceSpec:
    """What the picture or volume that a network gives means.

    Parameters
    ----------
    scale : tuple of int
        How many times finer it is along the network's axes; 1 for denoising.
    residual : bool
        The network gives what is to be added to its input (for scale 1).
    restore : bool
        Undo the scaling of ``values: window`` and of the linear intensity transforms, so that the result is in the
        source's unit.
    """

    scale: tuple[int, ...] = (1,)
    residual: bool = False
    restore: bool = True


def read_picture(node: Node) -> PictureSpec:
    """Check the part ``input`` of a description with ``"dimensions": 2``."""
    node.object(
        ("channels", "dimensions"),
        (
            "modality",
            "plane",
            "spacing",
            "size",
            "fit",
            "values",
            "window",
            "neighbours",
            "layout",
            "fill",
            "intensity",
        ),
    )
    neighbours = node["neighbours"].integer(0, 16) if node.has("neighbours") else 0
    channels = node["channels"].integer(1, 64)
    wanted = (1, 3) if neighbours == 0 else (2 * neighbours + 1,)
    if channels not in wanted:
        raise node["channels"].error(
            f"is {channels}, and pictures have {' or '.join(map(str, wanted))} channels"
            + (f" with {neighbours} neighbours on either side" if neighbours else "")
        )
    values = node["values"].choice("rescaled", "window") if node.has("values") else "window"
    window = None
    if node.has("window"):
        if values != "window":
            raise node["window"].error("is for values 'window'", fix='remove it, or say "values": "window"')
        low, high = (n.number(-1e9, 1e9) for n in node["window"].list(length=2))
        if not low < high:
            raise node["window"].error("must have its lower value first")
        window = (low, high)
    if node.has("fit") and not node.has("size"):
        raise node["fit"].error("needs a size", fix="add 'size'")
    spacing = size = None
    if node.has("spacing"):
        x, y = (n.number(0.001, 100.0) for n in node["spacing"].list(length=2))
        spacing = (x, y)
    if node.has("size"):
        width, height = (n.integer(1, _LARGEST_SIDE) for n in node["size"].list(length=2))
        size = (width, height)
    return PictureSpec(
        channels=channels,
        modality=tuple(n.text().upper() for n in node["modality"].list(most=32)) if node.has("modality") else (),
        plane=node["plane"].choice("stored", "axial", "coronal", "sagittal") if node.has("plane") else "stored",
        spacing=spacing,
        size=size,
        fit=node["fit"].choice("stretch", "pad", "crop") if node.has("fit") else "stretch",
        values=values,
        window=window,
        neighbours=neighbours,
        layout=node["layout"].choice("channels-first", "channels-last") if node.has("layout") else "channels-first",
        fill=node["fill"].number(-1e9, 1e9) if node.has("fill") else 0.0,
        intensity=read_transforms(node["intensity"], INTENSITY) if node.has("intensity") else (),
    )


def read_classify(node: Node) -> ClassifySpec:
    """Check the part ``output`` of a classifier's description."""
    node.object(("activation", "classes"), ("threshold", "exclusive"))
    activation = node["activation"].choice("softmax", "sigmoid", "none")
    exclusive = node["exclusive"].flag() if node.has("exclusive") else activation != "sigmoid"
    if exclusive and activation == "sigmoid":
        raise node["exclusive"].error("is true, and with sigmoid each class is on its own", fix="use softmax")
    return ClassifySpec(
        activation=activation,
        classes=_classes(node["classes"]),
        threshold=node["threshold"].number(0.0, 1.0) if node.has("threshold") else 0.5,
        exclusive=exclusive,
    )


def read_detect(node: Node) -> DetectSpec:
    """Check the part ``output`` of a detector's description."""
    node.object(("classes",), ("boxes", "normalized", "first_label", "activation", "confidence", "iou"))
    return DetectSpec(
        classes=_classes(node["classes"]),
        boxes=node["boxes"].choice("xyxy", "xywh", "cxcywh") if node.has("boxes") else "xyxy",
        normalized=node["normalized"].flag() if node.has("normalized") else False,
        first_label=node["first_label"].integer(0, 1) if node.has("first_label") else 1,
        activation=node["activation"].choice("none", "sigmoid", "softmax") if node.has("activation") else "none",
        confidence=node["confidence"].number(0.0, 1.0) if node.has("confidence") else 0.5,
        iou=node["iou"].number(0.0, 1.0) if node.has("iou") else 0.5,
    )


def read_enhance(node: Node, dimensions: int) -> EnhanceSpec:
    """Check the part ``output`` of the description of a network that gives images."""
    node.object((), ("scale", "residual", "restore"))
    scale = (1,) * dimensions
    if node.has("scale"):
        value = node["scale"].value
        parts = [node["scale"]] * dimensions if isinstance(value, int) else node["scale"].list(length=dimensions)
        scale = tuple(n.integer(1, 16) for n in parts)
    residual = node["residual"].flag() if node.has("residual") else False
    if residual and max(scale) > 1:
        raise node["residual"].error("is true, and an input of another size cannot be added to", fix="remove it")
    return EnhanceSpec(scale=scale, residual=residual, restore=node["restore"].flag() if node.has("restore") else True)


def _classes(node: Node) -> tuple[Class, ...]:
    found = []
    for item in node.list(most=_MOST_CLASSES):
        if isinstance(item.value, str):
            found.append(Class(item.text()))
            continue
        item.object(("name",), ("code",))
        found.append(Class(item["name"].text(), read_code(item["code"]) if item.has("code") else None))
    if not found:
        raise node.error("names no class")
    names = [one.name for one in found]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise node.error(f"names {twice!r} twice")
    return tuple(found)
