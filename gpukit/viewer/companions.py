"""What other objects say of an image: contours of segmentations and structure sets, measurements, state graphics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.plane import Plane
from gpukit.display.outlines import outline
from gpukit.display.presentation import DisplayFrame
from gpukit.errors import FormatError, GpukitError
from gpukit.viewer.picture import Line
from gpukit.viewer.text import clean

__all__ = ["ColoredMask", "Contours", "Measurements", "SegmentMasks", "companions_of", "state_lines"]

#: Directions are the same, and a plane is the same, within so much (of 1, in mm).
_PARALLEL, _SAME = 0.999, 0.1
_MARK = (0, 255, 255)
_FILES = 400


@dataclass(frozen=True, eq=False)
class ColoredMask:
    """Pixels of one segment on a frame.

    Parameters
    ----------
    mask : array of bool ``[row, column]``
        On the frame as stored.
    color : tuple of int
        Red, green, blue.
    name : str
        Clean.
    """

    mask: NDArray[np.bool_]
    color: tuple[int, int, int]
    name: str


def _normal(plane: Plane) -> NDArray[np.float64] | None:
    if plane.orientation is None or plane.position is None or plane.spacing is None:
        return None
    return np.cross(plane.orientation[:3], plane.orientation[3:])


def _to_pixels(points: NDArray[np.float64], plane: Plane) -> NDArray[np.float64]:
    """(column, row) of points in LPS mm, projected onto a plane."""
    assert plane.orientation is not None and plane.spacing is not None
    offset = points - np.asarray(plane.position)
    across, down = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
    return np.stack([offset @ across / plane.spacing[1], offset @ down / plane.spacing[0]], axis=-1)


class SegmentMasks:
    """A segmentation object whose frames are laid on images.

    Raises
    ------
    FormatError
        The file is not a segmentation.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from gpukit.dicom.reader.discovery import Location
        from gpukit.dicom.reader.headers import read_header
        from gpukit.display.frames import shown_frames

        self.header = read_header(Location(os.fspath(path)))
        if self.header.get("Modality") != "SEG":
            raise FormatError("is not a segmentation", file=os.fspath(path), attribute="Modality")
        self.dataset = self.header.dataset()
        self.frames = shown_frames(self.header)
        self.is_label_map = self.dataset.get("SegmentationType") == "LABELMAP"
        self.most = float(self.dataset.get("MaximumFractionalValue") or 1)
        self.segments = self._segments()
        self._pixels: dict[int, NDArray[Any]] = {}

    def _segments(self) -> dict[int, tuple[str, tuple[int, int, int]]]:
        from gpukit.dicom.modules.cielab import from_cielab, label_color
        from gpukit.segmentation import ANATOMY, TISSUE, Label

        results = {}
        for item in self.dataset.get("SegmentSequence") or ():
            number, name = int(item.get("SegmentNumber") or 0), clean(item.get("SegmentLabel") or "")
            lab = item.get("RecommendedDisplayCIELabValue")
            if lab is not None and len(lab) == 3:
                color = from_cielab(
                    int(lab[0]) * 100 / 65535, int(lab[1]) * 255 / 65535 - 128, int(lab[2]) * 255 / 65535 - 128
                )
            else:
                color = label_color(Label(max(1, number), name or str(number), ANATOMY, TISSUE))
            results[number] = (name or f"segment {number}", color)
        return results

    def on(self, frame: Frame) -> list[ColoredMask]:
        """The segments on a frame, by the place in the patient, else by the image that a frame of the object names."""
        masks: dict[int, NDArray[np.bool_]] = {}
        for seg in self.frames:
            if not self._is_at(seg, frame):
                continue
            values = self._read(seg)
            placed = self._placed(values, seg, frame)
            if self.is_label_map:
                for number in np.unique(placed):
                    if number in self.segments and number:
                        masks[int(number)] = masks.get(int(number), False) | (placed == number)
            else:
                number = self._number(seg)
                masks[number] = masks.get(number, False) | (placed >= max(0.5 * self.most, 0.5))
        return [
            ColoredMask(mask, *self.segments.get(number, (f"segment {number}", _MARK))[::-1])
            for number, mask in sorted(masks.items()) if mask.any()
        ]  # fmt: skip

    def _read(self, seg: Frame) -> NDArray[Any]:
        from gpukit.dicom.pixels.frames import read_frame

        if seg.index not in self._pixels:
            if len(self._pixels) > 64:
                self._pixels.clear()
            self._pixels[seg.index] = read_frame(self.header, seg.index)
        values = self._pixels[seg.index]
        if values.ndim == 3:  # a label map with a palette: the numbers themselves are wanted
            raise FormatError("a label map in colour cannot be laid on an image", file=seg.file)
        return values

    def _number(self, seg: Frame) -> int:
        return int(seg.functional("SegmentIdentificationSequence", "ReferencedSegmentNumber") or 1)

    def _is_at(self, seg: Frame, frame: Frame) -> bool:
        one, two = _normal(seg.plane), _normal(frame.plane)
        same = not seg.get("FrameOfReferenceUID") or not frame.get("FrameOfReferenceUID") or (
            seg.get("FrameOfReferenceUID") == frame.get("FrameOfReferenceUID")
        )  # fmt: skip
        if one is not None and two is not None:
            apart = abs(float((np.asarray(seg.plane.position) - np.asarray(frame.plane.position)) @ two))
            return same and abs(float(one @ two)) > _PARALLEL and apart < _SAME
        return self._names(seg, frame)

    def _names(self, seg: Frame, frame: Frame) -> bool:
        items = seg.functional("DerivationImageSequence", "SourceImageSequence")
        uid = str(frame.get("SOPInstanceUID", ""))
        return any(
            str(item.get("ReferencedSOPInstanceUID") or "") == uid
            and (item.get("ReferencedFrameNumber") in (None, frame.index + 1))
            for item in items or ()
        ) and (seg.rows, seg.columns) == (frame.rows, frame.columns)

    def _placed(self, values: NDArray[Any], seg: Frame, frame: Frame) -> NDArray[Any]:
        """The object's frame on the pixels of the image, by the nearest pixel."""
        plane = frame.plane
        if _normal(seg.plane) is None or plane.position is None or plane.orientation is None or plane.spacing is None:
            return values
        corners = np.array([(0, 0), (frame.columns - 1, 0), (0, frame.rows - 1)], float)
        across, down = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
        space = (
            np.asarray(plane.position) + corners[:, :1] * plane.spacing[1] * across
            + corners[:, 1:] * plane.spacing[0] * down
        )  # fmt: skip
        origin, right, lower = _to_pixels(space, seg.plane)
        x = np.linspace(0, 1, frame.columns)[None, :] if frame.columns > 1 else np.zeros((1, 1))
        y = np.linspace(0, 1, frame.rows)[:, None] if frame.rows > 1 else np.zeros((1, 1))
        i = np.rint(origin[0] + x * (right - origin)[0] + y * (lower - origin)[0]).astype(np.intp)
        j = np.rint(origin[1] + x * (right - origin)[1] + y * (lower - origin)[1]).astype(np.intp)
        inside = (i >= 0) & (i < seg.columns) & (j >= 0) & (j < seg.rows)
        nearest = values[np.clip(j, 0, seg.rows - 1), np.clip(i, 0, seg.columns - 1)]
        return np.asarray(np.where(inside, nearest, values.dtype.type(0)))


class Contours:
    """Regions of a structure set, drawn on images."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from gpukit.dicom.segmentation.rtstruct_read import read_regions

        self.regions = read_regions(path)

    def on(self, frame: Frame, *, within: float | None = None) -> list[Line]:
        """Contours that lie on a frame; `within` is half the distance of slices in mm."""
        normal = _normal(frame.plane)
        if normal is None:
            return []
        half = within
        if half is None:
            step = frame.get("SpacingBetweenSlices") or frame.get("SliceThickness")
            half = float(step) / 2 if step and float(step) > 0 else 0.5
        origin = np.asarray(frame.plane.position)
        lines = []
        for region in self.regions:
            named = False
            for contour in region.contours:
                apart = (contour - origin) @ normal
                if abs(float(apart.mean())) >= half or float(np.ptp(apart)) > half:
                    continue
                points = _to_pixels(contour, frame.plane)
                name = "" if named else clean(region.name)
                lines.append(Line(np.concatenate([points, points[:1]]), region.color or _MARK, name))
                named = True
        return lines


class Measurements:
    """Measurements of a report, a presentation state or JSON, drawn on the images that they were made on."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        from gpukit.findings.read import read_measurements

        self.rows = read_measurements(path)

    def on(self, frame: Frame) -> list[Line]:
        """What was measured on a frame, each with its value."""
        from gpukit.findings.dicom_objects import caption

        uid = str(frame.get("SOPInstanceUID", ""))
        lines = []
        for row in self.rows:
            measured = row.measurement
            if measured is None:
                continue
            on_frame = any(s.sop_instance_uid == uid and s.frame in (None, frame.index + 1) for s in measured.sources)
            for n, graphic in enumerate(measured.graphics):
                points = np.asarray(graphic.points, np.float64)
                if points.shape[1] == 3:
                    normal = _normal(frame.plane)
                    if normal is None:
                        continue
                    apart = (points - np.asarray(frame.plane.position)) @ normal
                    step = float(frame.get("SliceThickness") or 1.0)
                    if abs(apart).max() > step / 2:
                        continue
                    points = _to_pixels(points, frame.plane)
                elif not on_frame:
                    continue
                lines.append(
                    Line(outline(graphic.type, points), (255, 210, 0), clean(caption(measured)) if n == 0 else "")
                )
        return lines


def state_lines(shown: DisplayFrame) -> list[Line]:
    """Graphics and words of the presentation state that is applied, on the picture as it is turned."""
    if shown.state is None:
        return []
    rows, columns = shown.frame.rows, shown.frame.columns
    area = shown.state.area or (0.0, 0.0, float(columns), float(rows))
    corners = shown.turn.points(np.array([(area[0], area[1]), (area[2] - 1, area[3] - 1)]), rows, columns)
    low, high = corners.min(axis=0), corners.max(axis=0)
    lines = []
    for graphic in shown.state.graphics:
        points = outline(graphic.type, graphic.points)
        if graphic.on_display:
            points = low - 0.5 + points * (high - low + 1)
        else:
            points = shown.turn.points(points - 0.5, rows, columns)
        text = clean(graphic.text)
        lines.append(Line(points, graphic.color, text, graphic.filled, is_words=graphic.type == "TEXT"))
    return lines


def companions_of(frame: Frame) -> list[tuple[str, str]]:
    """Option and file of what lies in the same folder and refers to an image, such as ``--presentation``."""
    location = frame.header.location
    if location.member is not None:
        return []
    folder = Path(location.path).parent
    uids = [str(frame.get(keyword, "")).encode() for keyword in ("SOPInstanceUID", "SeriesInstanceUID")]
    options = {"PR": "--presentation", "SEG": "--seg", "RTSTRUCT": "--rtstruct", "SR": "--measurements"}
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_header

    results = []
    try:
        names = sorted(entry.path for entry in os.scandir(folder) if entry.is_file())[:_FILES]
    except OSError:
        return []
    for name in names:
        if name == location.path:
            continue
        try:
            header = read_header(Location(name, walked=True))
        except GpukitError:
            continue
        option = options.get(str(header.get("Modality", "")))
        if option is None:
            continue
        data = Location(name).read_range(0, 4 << 20)
        if any(uid and uid in data for uid in uids):
            results.append((option, name))
    return results


def lines_of(frame: Frame, sources: Sequence[Contours | Measurements]) -> list[Line]:
    """Lines of several sources on a frame."""
    return [line for source in sources for line in source.on(frame)]
