"""One frame of one image to measure on: its header, its place, and its pixels when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.dicom.image.plane import Plane, frame_count, is_image, pixel_spacing, spacing_note
from gpukit.dicom.image.planes_of import planes_of
from gpukit.dicom.reader.discovery import Location, Source, discover
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import FormatError, GpukitError, InputError, SelectionError
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["Frame", "frames_of", "open_frame", "parse_frames"]

#: More tiles than this in one file are taken for a damaged header.
_MOST_TILES = 1_000_000
#: Of the parallelogram of two axes of length 1, whatever rounding made of them.
_LEAST_AREA = 1e-3


@dataclass(frozen=True, eq=False)
class Frame:
    """One frame of an image: classic, multi-frame, enhanced, ultrasound, projection or screen capture.

    Parameters
    ----------
    header : Header
        Of the file; ``header.dataset()`` has all attributes.
    index : int
        0-based frame.
    plane : Plane
        Its size, place in the patient (where it has one) and rescale.
    """

    header: Header
    index: int
    plane: Plane

    @property
    def file(self) -> str:
        """The file as the user named it."""
        return str(self.header.location)

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return self.plane.rows

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return self.plane.columns

    @property
    def number(self) -> int | None:
        """1-based frame number in a multi-frame file, None in a file of one frame."""
        return self.index + 1 if self.plane.frames > 1 else None

    @property
    def modality(self) -> str:
        """Modality, in capitals."""
        return str(self.header.get("Modality", "")).upper()

    @property
    def source(self) -> SourceInstance:
        """Identity of the frame, for references."""
        return SourceInstance(
            sop_class_uid=str(self.header.get("SOPClassUID", "")),
            sop_instance_uid=str(self.header.get("SOPInstanceUID", "")),
            path=self.header.location.path,
            member=self.header.location.member,
            frame=self.number,
            position=self.plane.position or (0.0, 0.0, 0.0),
        )

    def get(self, keyword: str, default: Any = None) -> Any:
        """Attribute of the frame, else of the file (of those that the header scan keeps)."""
        return self.plane.get(keyword, default)

    def holds(self, point: tuple[float, float]) -> bool:
        """Whether a point (column, row) lies on one of its pixels."""
        return -0.5 <= point[0] <= self.columns - 0.5 and -0.5 <= point[1] <= self.rows - 0.5

    def to_patient(self, x: float, y: float) -> tuple[float, float, float] | None:
        """LPS mm of the point (column, row); None where the frame has no place in the patient (PS3.3 C.7.6.2.1-1)."""
        plane = self.plane
        if plane.position is None or plane.orientation is None or plane.spacing is None or _is_flat(plane.orientation):
            return None
        along, down = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
        place = np.asarray(plane.position) + x * plane.spacing[1] * along + y * plane.spacing[0] * down
        return float(place[0]), float(place[1]), float(place[2])

    def functional(self, sequence: str, keyword: str) -> Any:
        """Attribute of the frame's own functional groups, else of those that all frames share; None where absent."""
        dataset = self.header.dataset()
        own, shared = dataset.get("PerFrameFunctionalGroupsSequence"), dataset.get("SharedFunctionalGroupsSequence")
        for groups in (own[self.index : self.index + 1] if own else (), shared[:1] if shared else ()):
            items = groups[0].get(sequence) if groups else None
            if items and (value := items[0].get(keyword)) is not None:
                return value
        return None

    def read(self, device: str | None = None) -> Volume:
        """The frame as a volume of one slice, ``[1, rows, columns]`` (colour: with a last axis), rescaled, with unit.

        A frame without a place in the patient gets a grid in pixels, and a note that says so: its calibration is what
        `gpukit.measure.spatial.calibration` says, not that grid.

        Raises
        ------
        InputError
            The file has no pixels.
        DecodeError, FormatError, TooLargeError, DeviceError
            They cannot be decoded or brought to the device.
        """
        from gpukit.device import move, resolve
        from gpukit.dicom.image import pixel_value
        from gpukit.dicom.image.lut import apply_modality_tables, has_modality_table, table_notes
        from gpukit.dicom.pixels.device_decode import decode
        from gpukit.units import ValueUnit
        from gpukit.volume import Volume

        _, target = resolve(device)
        if self.header.pixels is None:
            raise InputError("has no pixels", file=self.file, attribute="PixelData")
        plane = self.plane
        references = [plane.reference()]
        shape: tuple[int, ...] = (1, self.rows, self.columns, *((3,) if pixel_value.is_colour(plane) else ()))
        by_table = has_modality_table(plane)
        place = "cpu" if by_table else target
        array = decode(references, shape, pixel_value.output_types([plane]), place, workers=1)
        if by_table:
            array = apply_modality_tables(np.asarray(array), [plane])
        unit, remark = pixel_value.value_unit(plane)
        padding = None if by_table else pixel_value.declared_padding([plane])
        if padding is None and unit == ValueUnit.HU:
            padding = pixel_value.corner_padding(array)
        notes = [*plane.notes, *table_notes(plane), *([remark] if remark else [])]
        grid, geometry, note = self._grid()
        if note:
            notes.append(note)
        from gpukit.dicom.image.metadata import metadata_of, volume_scale
        from gpukit.dicom.image.voi_lut import may_have_table, voi_of

        return Volume(
            array=move(array, target),
            grid=grid,
            unit=unit,
            axes="kji" + ("c" if pixel_value.is_colour(plane) else ""),
            padding=padding,
            sources=(replace(self.source, voi=voi_of(plane, tables=may_have_table(plane))),),
            metadata=metadata_of(plane),
            notes=tuple(notes),
            geometry=geometry,
            value_scale=volume_scale([plane], table=by_table),
        )

    def _grid(self) -> tuple[Any, Any, str]:
        from gpukit.geometry import Grid
        from gpukit.volume import GeometryStatus

        plane = self.plane
        shape = (1, self.rows, self.columns)
        if plane.position is None or plane.orientation is None or plane.spacing is None or _is_flat(plane.orientation):
            geometry = GeometryStatus(position=False, spacing=False, depth=False)
            return Grid(shape, np.eye(4)), geometry, "the frame has no place in the patient: its grid is in pixels"
        along, down = np.asarray(plane.orientation[:3]), np.asarray(plane.orientation[3:])
        thickness = plane.get("SpacingBetweenSlices") or plane.get("SliceThickness")
        step = float(thickness) if thickness else 0.0
        affine = np.eye(4)
        affine[:3, 0], affine[:3, 1] = along * plane.spacing[1], down * plane.spacing[0]
        affine[:3, 2] = np.cross(along, down) * (step if step > 0 else 1.0)
        affine[:3, 3] = plane.position
        note = "" if step > 0 else "no slice thickness: one frame has an area, no volume"
        return Grid(shape, affine), GeometryStatus(depth=step > 0), note


def _is_flat(orientation: Sequence[float]) -> bool:
    """Whether the two axes span no plane: one has no length, or both have one direction."""
    return bool(np.linalg.norm(np.cross(orientation[:3], orientation[3:])) < _LEAST_AREA)


def frames_of(header: Header) -> list[Frame]:
    """Every frame of a file, in order.

    Raises
    ------
    FormatError, GeometryError
        It is no image, or its header contradicts itself.
    """
    what = is_image(header)
    if what:
        raise FormatError(f"is no image to measure on, but {what}", file=str(header.location), attribute="SOPClassUID")
    if str(header.get("DimensionOrganizationType", "")).upper().startswith("TILED"):
        return _tiles(header)
    planes = planes_of(header)
    if planes[0].region is not None:  # a mosaic: what is stored, shown and referred to is the whole picture
        whole = replace(planes[0], rows=int(header.get("Rows")), columns=int(header.get("Columns")), region=None)
        planes = [replace(whole, position=None)]
    return [Frame(header, plane.index, plane) for plane in planes]


def _tiles(header: Header) -> list[Frame]:
    """Frames of a whole slide image: no slices of a volume, but each of them is a picture with a pixel spacing."""
    count, rows, columns = frame_count(header), int(header.get("Rows", 0)), int(header.get("Columns", 0))
    if not 0 < count <= _MOST_TILES or min(rows, columns) < 1:
        raise FormatError(f"claims {count} frames of {columns} x {rows} pixels", file=str(header.location))
    bare = Plane(header, 0, rows, columns, None, None, None)
    frames = []
    for n in range(count):
        spacing = Frame(header, n, bare).functional("PixelMeasuresSequence", "PixelSpacing")
        plane = replace(
            bare, index=n, spacing=pixel_spacing(spacing, str(header.location)), facts={"Frame": n + 1},
            notes=spacing_note(spacing),
        )  # fmt: skip
        frames.append(Frame(header, n, plane))
    return frames


def open_frame(source: Source | Header | Frame, *, frame: int | None = None) -> Frame:
    """One frame of one file.

    Parameters
    ----------
    source : path, Header or Frame
        A DICOM file with pixels.
    frame : int, optional
        1-based, as ReferencedFrameNumber; the only one by default.

    Raises
    ------
    SelectionError
        The file has several frames and none was chosen, or there is no such frame.
    InputNotFoundError, FormatError
        There is no such file, several of them, or it is no DICOM image.
    """
    if isinstance(source, Frame):
        return source
    header = source if isinstance(source, Header) else read_header(_one_file(source))
    frames = frames_of(header)
    chosen = parse_frames(None if frame is None else str(frame), len(frames), str(header.location))
    if len(chosen) != 1:
        raise SelectionError(
            f"has {len(frames)} frames and one is needed", file=str(header.location), attribute="frame",
            fix=f"choose one from 1 to {len(frames)} with --frame",
        )  # fmt: skip
    return frames[chosen[0]]


def _one_file(source: Source) -> Location:
    found = discover(source)
    if len(found) != 1:
        raise SelectionError(f"{len(found)} files where one is needed", file=found[0].path, fix="name one file")
    return found[0]


def parse_frames(text: str | None, count: int, file: str) -> list[int]:
    """0-based frames that ``--frame`` names: ``3``, ``1-4,7``, ``all``; None names all of them.

    Raises
    ------
    SelectionError
        It names a frame that is not there.
    InputError
        It is no list of frames.
    """
    if text is None or text.strip().lower() == "all":
        return list(range(count))
    chosen: list[int] = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        if not low.isdecimal() or (dash and not high.isdecimal()):
            raise InputError(f"{text!r} names no frames", attribute="frame", fix="write 3, 1-4,7 or all")
        first, last = int(low), int(high or low)
        if first < 1 or last > count or last < first:
            raise SelectionError(
                f"there is no frame {part.strip()}: the file has {count}", file=file, attribute="NumberOfFrames"
            )
        chosen += range(first - 1, last)
    return list(dict.fromkeys(chosen))


def headers_of(source: Source) -> tuple[list[Header], list[tuple[str, GpukitError]]]:
    """Headers of everything a source names, in order, and the files that cannot be read with the reason."""
    from gpukit.dicom.reader.headers import scan

    scanned = scan(discover(source))
    return scanned.headers, [(str(location), error) for location, error in scanned.problems]
