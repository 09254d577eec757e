"""How a presentation state turns stored values into grey: by what its images say of themselves.

A presentation state has one modality transformation for all images and frames it refers to, and a window for each
(PS3.3 A.33.2, C.11.1, C.11.8). Where images or frames have different slopes, as PET and enhanced MR do, it has none,
and its windows are in stored values instead: the same grey, pixel for pixel. Of an image with several windows, or
tables, it has the first: an item of a presentation state holds one (C.11.8), and two items for one image contradict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.image.plane import numbers

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["VALUES", "show_values"]

#: What an image says of its values, and of its frames'.
VALUES = frozenset({
    "RescaleSlope", "RescaleIntercept", "RescaleType", "ModalityLUTSequence", "WindowCenter", "WindowWidth",
    "WindowCenterWidthExplanation", "VOILUTFunction", "VOILUTSequence", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
})  # fmt: skip


class _Scale(NamedTuple):
    slope: float
    intercept: float
    type: str


class _Window(NamedTuple):
    center: float
    width: float
    function: str
    words: str


def show_values(state: Dataset, images: Sequence[Dataset]) -> None:
    """Put the modality transformation and the windows of images into a grayscale state that refers to them.

    Parameters
    ----------
    state : Dataset
        Changed.
    images : sequence of Dataset
        Headers of the images, with their functional groups.
    """
    frames = [(image, frame) for image in images for frame in _frames(image)]
    scales = [_scale(image, frame) for image, frame in frames]
    common = scales[0] if len(set(scales)) == 1 else None
    if common is not None:
        state.RescaleSlope, state.RescaleIntercept = _decimal(common.slope), _decimal(common.intercept)
        state.RescaleType = common.type
    elif len(frames) == 1 and images[0].get("ModalityLUTSequence"):
        state.ModalityLUTSequence = images[0].ModalityLUTSequence[:1]
    groups: dict[_Window, list[tuple[Dataset, int | None]]] = {}
    for (image, frame), scale in zip(frames, scales, strict=True):
        window = _window(image, frame)
        if window is None:
            continue
        stored = window if common is not None or scale is None else _in_stored_values(window, scale)
        groups.setdefault(stored, []).append((image, frame))
    items = []
    for window, shown in groups.items():
        item = _item(window)
        if len(shown) < len(frames):
            item.ReferencedImageSequence = _references(shown)
        items.append(item)
    if not items and len(frames) == 1 and images[0].get("VOILUTSequence"):
        from pydicom import Dataset

        lut = Dataset()
        lut.VOILUTSequence = images[0].VOILUTSequence[:1]
        items.append(lut)
    if items:
        state.SoftcopyVOILUTSequence = items


def _frames(image: Dataset) -> list[int | None]:
    """Every frame where frames may differ, else None for the whole image."""
    if not image.get("PerFrameFunctionalGroupsSequence"):
        return [None]
    return list(range(1, int(image.get("NumberOfFrames") or 1) + 1))


def _scale(image: Dataset, frame: int | None) -> _Scale | None:
    group = functional_group(image, "PixelValueTransformationSequence", frame)
    if group is None or group.get("RescaleSlope") is None:
        group = image  # some enhanced images state it at their top only, where it is applied too
    slope, intercept = (_number(group, keyword) for keyword in ("RescaleSlope", "RescaleIntercept"))
    if slope is None or intercept is None:
        return None
    slope = slope or 1.0  # as the values of the image have it
    return _Scale(slope, intercept, str(group.get("RescaleType") or "US"))


def _window(image: Dataset, frame: int | None) -> _Window | None:
    group = functional_group(image, "FrameVOILUTSequence", frame)
    if group is None:
        return None
    centers, widths = (_several(group.get(keyword)) for keyword in ("WindowCenter", "WindowWidth"))
    words = group.get("WindowCenterWidthExplanation") or ()
    told = (str(words),) if isinstance(words, str) else tuple(map(str, words))
    function = str(group.get("VOILUTFunction") or "LINEAR")
    least = 1.0 if function == "LINEAR" else 0.0
    for n, (center, width) in enumerate(zip(centers, widths, strict=False)):
        if width > 0 and width >= least:
            return _Window(center, width, function, told[n] if len(told) == len(centers) else "")
    return None


def _in_stored_values(window: _Window, scale: _Scale) -> _Window:
    """The window that shows stored values as the given one shows rescaled ones."""
    # PS3.3 C.11.2.1.2.1: LINEAR goes from c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2, the others from c - w / 2
    half, less = (0.5, 1.0) if window.function == "LINEAR" else (0.0, 0.0)
    center = (window.center - half - scale.intercept) / scale.slope + half
    return window._replace(center=center, width=(window.width - less) / abs(scale.slope) + less)


def _item(window: _Window) -> Dataset:
    from pydicom import Dataset

    item = Dataset()
    item.WindowCenter, item.WindowWidth = _decimal(window.center), _decimal(window.width)
    if window.words:
        item.WindowCenterWidthExplanation = window.words
    if window.function != "LINEAR":
        item.VOILUTFunction = window.function
    return item


def _references(shown: Sequence[tuple[Dataset, int | None]]) -> list[Dataset]:
    from pydicom import Dataset

    frames: dict[tuple[str, str], list[int]] = {}
    for image, frame in shown:
        listed = frames.setdefault((str(image.SOPClassUID), str(image.SOPInstanceUID)), [])
        if frame is not None:
            listed.append(frame)
    items = []
    for (class_uid, instance_uid), listed in frames.items():
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
        if listed:
            item.ReferencedFrameNumber = listed
        items.append(item)
    return items


def _several(value: Any) -> tuple[float, ...]:
    if value is None:
        return ()
    listed = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    found = numbers(listed, len(listed))
    return () if found is None else tuple(float(one) for one in found)


def _number(group: Dataset | None, keyword: str) -> float | None:
    found = _several(None if group is None else group.get(keyword))
    return found[0] if len(found) == 1 else None


def _decimal(value: float) -> Any:
    from pydicom.valuerep import DSfloat

    return DSfloat(value, auto_format=True)
