"""A picture of a segmentation over the anatomy: rows of axial, coronal and sagittal slices, and a legend."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from array_api_compat import device as place_of
from numpy.typing import NDArray

from gpukit.ai.tasks.label_summary import amount, summary
from gpukit.device import array_namespace, move
from gpukit.dicom.modules.cielab import label_color
from gpukit.display.graphics import draw_sides
from gpukit.display.grayscale import gray_plane
from gpukit.display.labels import tinted
from gpukit.display.window import as_voi, choose, own_voi, robust_range
from gpukit.errors import GeometryError
from gpukit.files.pillow import font, pillow
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["montage", "write_montage"]

#: Array axis (of an array in LPS order, [k, j, i]) that each row of the picture cuts, and the letters of the patient's
#: sides left, right, top and bottom in it: the radiological convention, as if seen from the feet and from the front.
_VIEWS = ((0, "axial", "RLAP"), (1, "coronal", "RLHF"), (2, "sagittal", "APHF"))
_TILE = 240
_GAP = 6
_LINE = 22
_OPACITY = 0.35
_BACKGROUND = (12, 14, 18)
_TEXT = (225, 228, 232)


def montage(volume: Volume, segmentation: Segmentation, *, columns: int = 6, tile: int = _TILE) -> Image:
    """Draw the segmentation over slices of the volume.

    Slices are spread over the extent of the labels (of the volume, where there are none) along the patient's axes; on
    an oblique grid along the grid's axes that come nearest. Proportions are true: every slice has the same scale.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device.
    segmentation : Segmentation
        On the volume's grid.
    columns : int
        Slices in each of the three rows.
    tile : int
        Pixels of the longest side of the volume.

    Returns
    -------
    PIL.Image.Image
        RGB. Holds no text from the patient's data, only letters of direction, label names and millilitres.

    Raises
    ------
    GeometryError
        The two are not on one grid, or the volume is not 3D.
    DependencyError
        Pillow is missing.
    """
    image_module, draw_module = pillow("drawing a montage needs", "ai")
    if volume.axes != "kji" or not volume.grid.same_as(segmentation.grid):
        raise GeometryError("volume and segmentation are not on one grid", fix="give the volume that was segmented")
    grid, axes, flips = volume.grid.reoriented("LPS")
    labels = _turned(np.asarray(segmentation.to("cpu").array), axes, flips)
    shared = choose(volume) or as_voi(robust_range(volume))
    palette = {label.value: label_color(label) for label in segmentation.labels}
    scale = tile / max(n * s for n, s in zip(grid.shape[::-1], grid.spacing, strict=True))
    rows = []
    for axis, _, sides in _VIEWS:
        letters = sides if volume.geometry.position else ""  # of an image without a place nobody knows its sides
        width, height = _size(grid, axis, scale)
        row = []
        positions = _positions(labels, axis, columns)
        anatomy = _slices(volume.array, axis, positions, axes, flips)
        for n, position in enumerate(positions):
            gray, marks = _slice(anatomy, axis, n), _slice(labels, axis, position)
            k = _slice_of(volume, axis, position, axes, flips)
            voi = shared if k is None else own_voi(volume, k) or shared
            row.append(_tile(gray_plane(volume, gray, voi), marks, palette, (width, height)))
        rows.append((row, letters, width, height))
    numbers = summary(segmentation)["labels"]
    wide = max(columns * (width + _GAP) for _, _, width, _ in rows) + _GAP
    legend, legend_height = _legend_layout(numbers, wide)
    high_total = sum(height + _GAP for _, _, _, height in rows) + _GAP + legend_height
    picture: Image = image_module.new("RGB", (wide, high_total), _BACKGROUND)
    draw = draw_module.Draw(picture)
    top = _GAP
    for row, letters, width, height in rows:
        left = (wide - columns * (width + _GAP) + _GAP) // 2
        for image in row:
            picture.paste(image, (left, top))
            draw_sides(draw, letters, left, top, width, height)
            left += width + _GAP
        top += height + _GAP
    for (x, y), entry in zip(legend, numbers, strict=True):
        draw.rectangle((x, top + y + 5, x + 11, top + y + 16), fill=palette[entry["value"]])
        draw.text((x + 18, top + y + 3), _entry_text(entry), fill=_TEXT, font=font(14))
    return picture


def write_montage(
    volume: Volume, segmentation: Segmentation, path: str | PathLike[str], *, columns: int = 6, force: bool = False
) -> None:
    """Write `montage` as a PNG, whole or not at all.

    Raises
    ------
    OutputError
        The file exists and `force` is false, or it cannot be written.
    """
    from gpukit.documents.atomic import atomic_path
    from gpukit.files.provenance import png_texts

    picture = montage(volume, segmentation, columns=columns)
    with atomic_path(path, force=force) as temporary:
        picture.save(
            temporary, format="PNG", pnginfo=png_texts("Labels over slices of the image", segmentation.algorithm)
        )


def _turned(array: NDArray[Any], axes: tuple[int, int, int], flips: tuple[bool, bool, bool]) -> NDArray[Any]:
    """A view with i, j, k growing to the left, back and head."""
    turned: NDArray[Any] = array.transpose(axes)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]
    return turned


def _slices(
    array: Any, axis: int, positions: list[int], axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> NDArray[Any]:
    """As `_turned`, of the given positions along one axis only: no others leave the device."""
    xp = array_namespace(array)
    last = int(array.shape[axes[axis]]) - 1
    there = xp.asarray([last - p if flips[axis] else p for p in positions], device=place_of(array))
    few = np.asarray(move(xp.take(array, there, axis=axes[axis]), "cpu"))
    a, b, c = (flip and n != axis for n, flip in enumerate(flips))
    return _turned(few, axes, (a, b, c))


def _slice_of(
    volume: Volume, axis: int, position: int, axes: tuple[int, int, int], flips: tuple[bool, bool, bool]
) -> int | None:
    """The volume's own slice that a slice of the picture is; None where it cuts across them."""
    if axes[axis] != 0:
        return None
    return volume.grid.shape[0] - 1 - position if flips[axis] else position


def _slice(array: NDArray[Any], axis: int, position: int) -> NDArray[Any]:
    """One slice as it is shown: coronal and sagittal ones with the head up."""
    plane: NDArray[Any] = np.take(array, position, axis=axis)
    return plane if axis == 0 else plane[::-1]


def _size(grid: Grid, axis: int, scale: float) -> tuple[int, int]:
    """Pixels (width, height) of a slice across an axis, in true proportion."""
    sides = [n * s * scale for n, s in zip(grid.shape, grid.spacing[::-1], strict=True)]
    height, width = (side for n, side in enumerate(sides) if n != axis)
    return max(1, round(width)), max(1, round(height))


def _positions(labels: NDArray[Any], axis: int, count: int) -> list[int]:
    """Slices spread evenly over the extent of the labels, inside it rather than at its ends."""
    others = tuple(n for n in range(3) if n != axis)
    filled = np.flatnonzero(labels.any(axis=others))
    first, last = (int(filled[0]), int(filled[-1])) if filled.size else (0, labels.shape[axis] - 1)
    return [first + int((n + 0.5) * (last - first + 1) / count) for n in range(count)]


def _tile(
    gray: NDArray[np.uint8], marks: NDArray[Any], palette: dict[int, tuple[int, int, int]], size: tuple[int, int]
) -> Image:
    """One slice at its size on the picture: anatomy smooth, labels tinted and outlined."""
    from PIL import Image

    base = np.asarray(Image.fromarray(gray).resize(size, Image.Resampling.BILINEAR))
    return Image.fromarray(tinted(base, marks, palette, _OPACITY))


def _entry_text(entry: dict[str, Any]) -> str:
    return f"{entry['name']}  {amount(entry)}"


def _legend_layout(entries: list[dict[str, Any]], width: int) -> tuple[list[tuple[int, int]], int]:
    """Where each entry of the legend goes, below the slices, and the height of all."""
    spots, x, y = [], _GAP, 0
    for entry in entries:
        needed = 18 + int(font(14).getlength(_entry_text(entry))) + 24
        if x > _GAP and x + needed > width:
            x, y = _GAP, y + _LINE
        spots.append((x, y))
        x += needed
    return spots, y + _LINE + _GAP
