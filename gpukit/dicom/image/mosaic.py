"""Mosaics of Siemens and United Imaging (UIH): many slices of one volume tiled into a single image.

The tiles are in slice order, row by row. Siemens: as many rows of tiles as columns. ImagePositionPatient describes the
first pixel of the tiled image as if it were one big slice with the same centre, so the first slice's corner lies half
the difference in size further in. The direction in which slices follow each other stands only in Siemens' private CSA
header (SliceNormalVector): it may be opposite to the cross product of row and column direction: a guess would mirror
the volume.

UIH ("grid", VFRAME in ImageType): only as many rows of tiles as needed. ImagePositionPatient is that of the first tile,
and the private MRVFrameSequence (0065,1051) has that of each. Both makers' rules are those of dcm2niix.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dicom.image.plane import Plane, component, numbers, pixel_spacing
from gpukit.dicom.image.stack import plane_axes
from gpukit.dicom.image.value_scale import rescale
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, GeometryError

__all__ = ["csa_values", "grid_planes", "mosaic_planes"]

_CSA_IMAGE = (0x0029, 0x10, "SIEMENS CSA HEADER")
_MAX_TAGS = 512
_MAX_ITEMS = 4096


def csa_values(data: bytes, *wanted: str) -> dict[str, list[str]]:
    """Values of some tags of a Siemens CSA header, as text.

    Parameters
    ----------
    data : bytes
        Value of (0029,1010) or (0029,1020); version 2 begins with ``SV10``, version 1 with the number of tags.
    wanted : str
        Tag names, such as ``SliceNormalVector``.

    Returns
    -------
    dict
        Name to its non-empty values; tags that are absent are absent. Damaged data ends the reading where it is.
    """
    offset = 8 if data[:4] == b"SV10" else 0
    found: dict[str, list[str]] = {}
    try:
        count, _ = struct.unpack_from("<II", data, offset)
        offset += 8
        first_items = 0
        for tag in range(min(count, _MAX_TAGS)):
            name, _vm, _vr, _type, items, _mark = struct.unpack_from("<64si4siii", data, offset)
            offset += 84
            first_items = items if tag == 0 else first_items
            title = name.partition(b"\0")[0].decode("latin-1")
            values = []
            for _item in range(min(items, _MAX_ITEMS)):
                # Each item begins with four integers; in version 2 the second is its length, in version 1 the first
                # is its length plus the number of items of the very first tag.
                head = struct.unpack_from("<4i", data, offset)
                length = head[1] if data[:4] == b"SV10" else head[0] - first_items
                if length < 0 or offset + 16 + length > len(data):
                    length = 0
                text = data[offset + 16 : offset + 16 + length].partition(b"\0")[0].decode("latin-1").strip()
                if text:
                    values.append(text)
                offset += 16 + -(-length // 4) * 4
            if title in wanted:
                found[title] = values
    except struct.error:
        pass
    return found


def _csa(header: Header) -> dict[str, list[str]]:
    dataset = header.dataset()
    group, _, creator = _CSA_IMAGE
    try:
        raw = dataset.private_block(group, creator)[0x10].value
    except KeyError:
        return {}
    return csa_values(bytes(raw), "NumberOfImagesInMosaic", "SliceNormalVector") if isinstance(raw, bytes) else {}


def mosaic_planes(header: Header, rows: int, columns: int) -> list[Plane]:
    """One plane for each tile of a mosaic.

    Raises
    ------
    FormatError, GeometryError
        The number of slices or the direction of the stack is unknown.
    """
    file = str(header.location)
    csa = _csa(header)
    stated = header.get("SiemensNumberOfImagesInMosaic") or next(iter(csa.get("NumberOfImagesInMosaic", [])), None)
    try:
        count = int(str(stated))
    except ValueError:
        raise FormatError("a mosaic whose number of slices is not stated", file=file, attribute="(0019,100A)") from None
    across = math.ceil(math.sqrt(count)) if count > 0 else 0
    if not 0 < count <= rows * columns or rows % across or columns % across:
        raise FormatError(f"{count} slices do not tile {rows} x {columns} pixels", file=file, attribute="(0019,100A)")
    position = numbers(header.get("ImagePositionPatient"), 3)
    orientation = numbers(header.get("ImageOrientationPatient"), 6)
    spacing = pixel_spacing(header.get("PixelSpacing"), file)
    if position is None or orientation is None or spacing is None:
        raise GeometryError("a mosaic without position, orientation or pixel spacing", file=file)
    row, column, normal = plane_axes(orientation)
    tile_rows, tile_columns = rows // across, columns // across
    step = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    if count > 1 and not (step and float(step) > 0):
        raise GeometryError("a mosaic without a distance between slices", file=file, attribute="SpacingBetweenSlices")
    along = numbers(csa.get("SliceNormalVector"), 3)
    if along is None:
        if count > 1:
            raise GeometryError(
                "a mosaic whose private header does not say in which direction its slices follow",
                file=file,
                attribute="SliceNormalVector",
                fix="use the files as the scanner wrote them: anonymising removed a private attribute",
            )
        along = (float(normal[0]), float(normal[1]), float(normal[2]))
    sense = float(np.dot(along, normal))
    if abs(sense) < 0.99:
        raise GeometryError(
            "the slice normal is not perpendicular to the slices", file=file, attribute="SliceNormalVector"
        )
    origin = (
        np.asarray(position)
        + row * spacing[1] * (columns - tile_columns) / 2
        + column * spacing[0] * (rows - tile_rows) / 2
    )
    advance = normal * math.copysign(float(step or 1.0), sense)
    tiles = [(n // across * tile_rows, n % across * tile_columns) for n in range(count)]
    return _tile_planes(header, (tile_rows, tile_columns), tiles, [origin + n * advance for n in range(count)])


def grid_planes(header: Header, rows: int, columns: int) -> list[Plane]:
    """One plane for each tile of a UIH grid.

    Raises
    ------
    FormatError, GeometryError
        The number of slices, their places or the direction of the stack is unknown.
    """
    file = str(header.location)
    items = _private(header, 0x0065, 0x51) or []
    stated = header.get("UIHSlicesInGrid")
    count = len(items) if stated is None else int(stated)
    across = math.ceil(math.sqrt(count)) if count > 0 else 0
    down = math.ceil(count / across) if across else 0
    if items and len(items) != count:
        what = f"{count} slices and the places of {len(items)} do not tile one image"
        raise FormatError(what, file=file, attribute="(0065,1050)")
    if not 0 < count <= rows * columns or rows % down or columns % across:
        raise FormatError(f"{count} slices do not tile {rows} x {columns} pixels", file=file, attribute="(0065,1050)")
    tile_rows, tile_columns = rows // down, columns // across
    tiles = [(n // across * tile_rows, n % across * tile_columns) for n in range(count)]
    return _tile_planes(header, (tile_rows, tile_columns), tiles, _grid_places(header, items, count))


def _grid_places(header: Header, items: Sequence[Any], count: int) -> list[Any]:
    """Position of each tile of a UIH grid, LPS mm."""
    file = str(header.location)
    if len(items) == count:
        places = [numbers(item.get("ImagePositionPatient"), 3) for item in items]
        if all(place is not None for place in places):
            return places
    first = numbers(header.get("ImagePositionPatient"), 3)
    orientation = numbers(header.get("ImageOrientationPatient"), 6)
    step = header.get("SpacingBetweenSlices") or header.get("SliceThickness")
    if first is None or orientation is None or (count > 1 and not (step and float(step) > 0)):
        raise GeometryError(
            "a UIH grid without position, orientation or distance between slices",
            file=file,
            attribute="SpacingBetweenSlices" if first is not None else "ImagePositionPatient",
        )
    if count == 1:
        return [first]
    _, _, normal = plane_axes(orientation)
    along = numbers(_private(header, 0x0065, 0x14), 3)
    sense = 0.0 if along is None else float(np.dot(along, normal))
    if abs(sense) < 0.99:
        raise GeometryError(
            "a UIH grid whose private header does not say in which direction its slices follow",
            file=file,
            attribute="(0065,1051)",
            fix="use the files as the scanner wrote them: anonymising removed a private attribute",
        )
    advance = normal * math.copysign(float(step), sense)
    return [np.asarray(first) + n * advance for n in range(count)]


def _private(header: Header, group: int, element: int) -> Any:
    """Value of a private attribute in the first block of its group, whoever created it; None where it is absent."""
    attribute = header.dataset().get((group, 0x1000 | element))
    return None if attribute is None else attribute.value


def _tile_planes(
    header: Header, size: tuple[int, int], tiles: Sequence[tuple[int, int]], places: Sequence[Any]
) -> list[Plane]:
    """A plane for each tile, by the tiles' first rows and columns and their places."""
    file = str(header.location)
    orientation = numbers(header.get("ImageOrientationPatient"), 6)
    spacing = pixel_spacing(header.get("PixelSpacing"), file)
    if orientation is None or spacing is None:
        raise GeometryError("a mosaic without orientation or pixel spacing", file=file)
    scale = rescale(header.get("RescaleSlope"), header.get("RescaleIntercept"), file)
    kind = component([str(part).upper() for part in header.get("ImageType", ())])
    planes = []
    for (top, left), place in zip(tiles, places, strict=True):
        x, y, z = (float(v) for v in place)
        planes.append(
            Plane(
                header,
                0,
                *size,
                (x, y, z),
                orientation,
                spacing,
                scale.slope,
                scale.intercept,
                (top, top + size[0], left, left + size[1]),
                kind,
                scale.facts,
                scale.source,
                scale.notes,
            )
        )
    return planes
