"""What a presentation state says of one frame (PS3.3 A.33, PS3.4 N.2), as plain facts for those who show it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.lut import Table, table_of
from gpukit.dicom.modules.cielab import from_cielab
from gpukit.dicom.modules.graphics import ImageReference, graphic_points
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_dataset
from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.volume import Voi

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["FrameState", "PresentationState", "StateGraphic", "read_state"]

_CLASSES = {
    "1.2.840.10008.5.1.4.1.1.11.1": "grayscale",
    "1.2.840.10008.5.1.4.1.1.11.2": "color",
    "1.2.840.10008.5.1.4.1.1.11.3": "pseudo-color",
    "1.2.840.10008.5.1.4.1.1.11.5": "grayscale",
}
_POINTS = {"POINT": 1, "POLYLINE": 2, "INTERPOLATED": 2, "CIRCLE": 2, "ELLIPSE": 4}
_MOST_GRAPHICS = 100_000
_FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")


@dataclass(frozen=True, eq=False)
class StateGraphic:
    """A figure or words.

    Parameters
    ----------
    type : str
        POINT, POLYLINE, INTERPOLATED, CIRCLE, ELLIPSE, or TEXT.
    points : array ``[n, 2]``
        (column, row): of pixels from the corner of the first one as DICOM counts, or shares of the displayed area.
        Of TEXT: where the words begin.
    on_display : bool
        Whether the points are shares of the displayed area.
    color : tuple of int
        Of its layer: red, green, blue.
    filled : bool
        Whether the figure is filled.
    text : str
        Words.
    layer : str
        Name of its layer.
    """

    type: str
    points: NDArray[np.float64]
    on_display: bool = False
    color: tuple[int, int, int] = (255, 255, 255)
    filled: bool = False
    text: str = ""
    layer: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class FrameState:
    """All that a state says of one frame.

    Parameters
    ----------
    kind : str
        ``grayscale``, ``color`` or ``pseudo-color``.
    modality : (slope, intercept) or Table
        Instead of the image's own.
    windows : tuple of (str, Voi)
        Name and window; empty: all values from the lowest to the highest possible one.
    lut : tuple of float or None
        Presentation LUT: shades 0 to 1 of shades 0 to 1.
    inverse : bool
        PresentationLUTShape INVERSE.
    palette : array of uint8 ``[n, 3]`` or None
        Pseudo-colour of the shades.
    rotation : int
        0, 90, 180 or 270 degrees clockwise, before `flip`.
    flip : bool
        Left and right change places.
    area : (left, top, right, bottom) or None
        Displayed area in pixels of the unturned image, from the corner of the first one.
    aspect : float or None
        Height of a pixel by its width.
    graphics : tuple of StateGraphic
        In the order in which they are drawn.
    shutter : Dataset or None
        Attributes of a shutter.
    state : Dataset
        The whole state, for its overlays.
    """

    kind: str
    modality: tuple[float, float] | Table
    windows: tuple[tuple[str, Voi], ...]
    lut: tuple[float, ...] | None
    inverse: bool
    palette: NDArray[np.uint8] | None
    rotation: int
    flip: bool
    area: tuple[float, float, float, float] | None
    aspect: float | None
    graphics: tuple[StateGraphic, ...]
    shutter: Any
    state: Any


class PresentationState:
    """A presentation state; `of` says what it means for a frame."""

    def __init__(self, dataset: Dataset, file: str) -> None:
        kind = _CLASSES.get(str(dataset.get("SOPClassUID") or ""))
        if kind is None:
            raise FormatError(
                "is not a grayscale, color or pseudo-color presentation state", file=file, attribute="SOPClassUID"
            )
        self.dataset, self.file, self.kind = dataset, file, kind

    def references(self) -> list[ImageReference]:
        """The images and frames that it is for."""
        results = []
        for series in self.dataset.get("ReferencedSeriesSequence") or ():
            for item in series.get("ReferencedImageSequence") or ():
                frames = _several(item.get("ReferencedFrameNumber"))
                uid, instance = (str(item.get(f"ReferencedSOP{part}UID") or "") for part in ("Class", "Instance"))
                results += [ImageReference(uid, instance, int(n)) for n in frames] or [ImageReference(uid, instance)]
        return results

    def of(self, frame: Frame) -> FrameState:
        """What it says of a frame.

        Raises
        ------
        InputError
            The state is not for that image.
        FormatError
            An attribute of the state makes no sense.
        """
        if not _refers(self.references(), frame):
            raise InputError(
                "the presentation state does not refer to this image", file=self.file,
                attribute="ReferencedSOPInstanceUID", fix=f"choose a state of {frame.file}",
            )  # fmt: skip
        try:
            return self._of(frame)
        except GpukitError:
            raise
        except Exception as error:  # pydicom converts values when they are asked for, and raises many kinds on damage
            raise FormatError(f"an attribute makes no sense: {error}", file=self.file) from error

    def _of(self, frame: Frame) -> FrameState:
        dataset = self.dataset
        signed = int(frame.get("PixelRepresentation", 0)) == 1
        modality = self._modality(signed)
        area, aspect = self._area(frame)
        rotation = int(dataset.get("ImageRotation") or 0) % 360
        if rotation % 90:
            raise FormatError(f"a rotation by {rotation} degrees", file=self.file, attribute="ImageRotation")
        lut = None
        for item in dataset.get("PresentationLUTSequence") or ():
            table = table_of(item, signed=False)
            if table is None:
                raise FormatError("the table is damaged", file=self.file, attribute="PresentationLUTSequence")
            lut = tuple(entry / float((1 << table.bits) - 1) for entry in table.entries)
        return FrameState(
            kind=self.kind, modality=modality, windows=self._windows(frame, signed or _is_negative(modality)), lut=lut,
            inverse=str(dataset.get("PresentationLUTShape") or "").upper() == "INVERSE", palette=self._palette(),
            rotation=rotation, flip=str(dataset.get("ImageHorizontalFlip") or "N").upper() == "Y", area=area,
            aspect=aspect, graphics=self._graphics(frame),
            shutter=dataset if dataset.get("ShutterShape") else None, state=dataset,
        )  # fmt: skip

    def _modality(self, signed: bool) -> tuple[float, float] | Table:
        dataset = self.dataset
        for item in dataset.get("ModalityLUTSequence") or ():
            table = table_of(item, signed=signed)
            if table is None:
                raise FormatError("the table is damaged", file=self.file, attribute="ModalityLUTSequence")
            return table
        slope, intercept = float(dataset.get("RescaleSlope") or 1), float(dataset.get("RescaleIntercept") or 0)
        if not math.isfinite(slope + intercept):
            raise FormatError("the rescale slope or intercept is not finite", file=self.file, attribute="RescaleSlope")
        return slope, intercept

    def _windows(self, frame: Frame, signed: bool) -> tuple[tuple[str, Voi], ...]:
        results: list[tuple[str, Voi]] = []
        for item in self.dataset.get("SoftcopyVOILUTSequence") or ():
            if not _item_refers(item, frame):
                continue
            function = str(item.get("VOILUTFunction") or "LINEAR").upper()
            names = item.get("WindowCenterWidthExplanation")
            words = [names] if isinstance(names, str) else list(names or ())
            pairs = zip(_several(item.get("WindowCenter")), _several(item.get("WindowWidth")), strict=False)
            for n, (center, width) in enumerate(pairs):
                least = 1 if function == "LINEAR" else 0
                if function in _FUNCTIONS and math.isfinite(center + width) and width >= least and width > 0:
                    results.append((str(words[n]) if n < len(words) else "", Voi(center, width, function)))
            for entry in item.get("VOILUTSequence") or ():
                table = table_of(entry, signed=signed)
                if table is None:
                    raise FormatError("the table is damaged", file=self.file, attribute="VOILUTSequence")
                most = float((1 << table.bits) - 1)
                shades = tuple(min(1.0, value / most) for value in table.entries)
                results.append(
                    (str(entry.get("LUTExplanation") or ""), Voi(0.0, 0.0, "LUT", shades, float(table.first)))
                )
        return tuple(results)

    def _area(self, frame: Frame) -> tuple[tuple[float, float, float, float] | None, float | None]:
        for item in self.dataset.get("DisplayedAreaSelectionSequence") or ():
            if not _item_refers(item, frame):
                continue
            first, last = item.get("DisplayedAreaTopLeftHandCorner"), item.get("DisplayedAreaBottomRightHandCorner")
            aspect = None
            for keyword in ("PresentationPixelSpacing", "PresentationPixelAspectRatio"):
                pair = _several(item.get(keyword))
                if len(pair) == 2 and min(pair) > 0:
                    aspect = pair[0] / pair[1]
                    break
            if first is None or last is None:
                return None, aspect
            columns, rows = sorted((int(first[0]), int(last[0]))), sorted((int(first[1]), int(last[1])))
            return (columns[0] - 1.0, rows[0] - 1.0, float(columns[1]), float(rows[1])), aspect
        return None, None

    def _palette(self) -> NDArray[np.uint8] | None:
        if self.kind != "pseudo-color":
            return None
        columns = []
        for color in ("Red", "Green", "Blue"):
            described = self.dataset.get(f"{color}PaletteColorLookupTableDescriptor")
            data = self.dataset.get(f"{color}PaletteColorLookupTableData")
            if described is None or data is None or len(described) != 3:
                raise FormatError("the palette is missing", file=self.file, attribute=f"{color}PaletteColor")
            count, bits = int(described[0]) or 65536, int(described[2])
            raw = np.frombuffer(bytes(data), "<u2" if bits == 16 or len(data) >= 2 * count else np.uint8)
            if len(raw) < count or bits not in (8, 16):
                raise FormatError("the palette is too short", file=self.file, attribute=f"{color}PaletteColor")
            columns.append((raw[:count] >> 8 if bits == 16 else raw[:count]).astype(np.uint8))
        if len({len(column) for column in columns}) != 1:
            raise FormatError("the palette's tables differ in length", file=self.file)
        return np.stack(columns, axis=-1)

    def _graphics(self, frame: Frame) -> tuple[StateGraphic, ...]:
        layers = {}
        for item in self.dataset.get("GraphicLayerSequence") or ():
            layers[str(item.get("GraphicLayer") or "")] = (int(item.get("GraphicLayerOrder") or 0), layer_color(item))
        results: list[tuple[int, StateGraphic]] = []
        for item in self.dataset.get("GraphicAnnotationSequence") or ():
            if not _item_refers(item, frame):
                continue
            layer = str(item.get("GraphicLayer") or "")
            order, color = layers.get(layer, (0, (255, 255, 255)))
            for thing in item.get("GraphicObjectSequence") or ():
                graphic = self._figure(thing, color, layer)
                if graphic is not None:
                    results.append((order, graphic))
            for thing in item.get("TextObjectSequence") or ():
                text = self._text(thing, color, layer)
                if text is not None:
                    results.append((order, text))
            if len(results) > _MOST_GRAPHICS:
                raise FormatError(f"more than {_MOST_GRAPHICS} graphics", file=self.file)
        results.sort(key=lambda pair: pair[0])
        return tuple(graphic for _, graphic in results)

    def _figure(self, item: Any, color: tuple[int, int, int], layer: str) -> StateGraphic | None:
        kind = str(item.get("GraphicType") or "")
        if kind not in _POINTS:
            return None
        points = graphic_points(item.get("GraphicData"), self.file)
        if len(points) < _POINTS[kind]:
            raise FormatError(f"a {kind} of {len(points)} points", file=self.file, attribute="GraphicData")
        return StateGraphic(
            kind, np.array(points), str(item.get("GraphicAnnotationUnits") or "PIXEL") == "DISPLAY", color,
            str(item.get("GraphicFilled") or "N").upper() == "Y", "", layer,
        )  # fmt: skip

    def _text(self, item: Any, color: tuple[int, int, int], layer: str) -> StateGraphic | None:
        words = " ".join(str(item.get("UnformattedTextValue") or "").split())
        corner, units = item.get("BoundingBoxTopLeftHandCorner"), item.get("BoundingBoxAnnotationUnits")
        if corner is None:
            corner, units = item.get("AnchorPoint"), item.get("AnchorPointAnnotationUnits")
        if not words or corner is None:
            return None
        points = np.array(graphic_points(list(corner), self.file))
        return StateGraphic("TEXT", points, str(units or "PIXEL") == "DISPLAY", color, False, words, layer)


def read_state(path: str | PathLike[str] | Location) -> PresentationState:
    """Read a presentation state.

    Raises
    ------
    FormatError
        The file is not one, or is damaged.
    InputNotFoundError
        It is not there.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    return PresentationState(read_dataset(location), str(location))


def layer_color(item: Any) -> tuple[int, int, int]:
    """The colour that a graphic layer recommends, else its grey, else white."""
    lab = _several(item.get("GraphicLayerRecommendedDisplayCIELabValue"))
    if len(lab) == 3:  # scaled to 16 bits (PS3.3 C.10.7.1.1)
        return from_cielab(lab[0] * 100 / 65535, lab[1] * 255 / 65535 - 128, lab[2] * 255 / 65535 - 128)
    grey = item.get("GraphicLayerRecommendedDisplayGrayscaleValue")
    if grey is None:
        return 255, 255, 255
    level = round(int(grey) * 255 / 65535)
    return level, level, level


def _is_negative(modality: tuple[float, float] | Table) -> bool:
    return isinstance(modality, tuple) and modality[1] < 0


def _several(value: Any) -> list[float]:
    if value is None or value == "":
        return []
    parts = list(value) if hasattr(value, "__iter__") and not isinstance(value, str) else [value]
    return [float(part) for part in parts]


def _refers(references: list[ImageReference], frame: Frame) -> bool:
    uid = str(frame.get("SOPInstanceUID", ""))
    return any(r.sop_instance_uid == uid and r.frame in (None, frame.index + 1) for r in references)


def _item_refers(item: Any, frame: Frame) -> bool:
    """Whether an item is for a frame; one without references is for all."""
    references = item.get("ReferencedImageSequence")
    if not references:
        return True
    uid = str(frame.get("SOPInstanceUID", ""))
    for reference in references:
        if str(reference.get("ReferencedSOPInstanceUID") or "") == uid:
            frames = _several(reference.get("ReferencedFrameNumber"))
            if not frames or frame.index + 1 in (int(n) for n in frames):
                return True
    return False
