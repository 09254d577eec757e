"""MetaImage (.mha, .mhd): read by gpukit itself, written through SimpleITK, with the affine kept to the last bit.

MetaImage speaks LPS as gpukit does, but stores the affine as unit vectors and spacings apart, whose product need not
round back to what it was. The writer therefore looks for the spacing, among those that differ in the last few bits,
for which unit vectors exist whose products are the affine's columns exactly.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_folder, atomic_path
from gpukit.errors import GeometryError, InputNotFoundError, OutputError
from gpukit.extras import missing_package
from gpukit.files.metaimage_header import read_header
from gpukit.files.provenance import KEY, stated_json, stored_array
from gpukit.files.voxel_data import read_voxels
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["read_metaimage", "write_metaimage"]

_SUFFIXES = (".mha", ".mhd")
#: How many floating-point neighbours of the spacing are tried on each side. A try fails for a column with probability
#: of at most 7/8, so all of them do with (7/8)**800, which is never.
_TRIES = 400


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # of absurd sizes, which `Grid` refuses
def read_metaimage(path: str | os.PathLike[str], *, unit: str = ValueUnit.NONE, external: bool = False) -> Volume:
    """Read a MetaImage file.

    Parameters
    ----------
    path : path-like
        ``.mha``, or ``.mhd`` with its data files beside it.
    unit : str
        Unit of the values; MetaImage does not record one.
    external : bool
        Allow data files outside the folder of the header.

    Returns
    -------
    Volume
        NumPy array ``[k, j, i]``, ``[t, k, j, i]`` or colour ``[k, j, i, c]``; float32 or float64 where the header
        states how elements become intensities (`notes` says so).

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        The file is not a MetaImage file, or it is damaged or cut off.
    GeometryError
        The affine is singular, or the file does not say how large its voxels are.
    """
    if not Path(path).is_file():
        raise InputNotFoundError("no such file", file=path)
    header = read_header(path)
    affine, notes = header.affine()
    array, more = read_voxels(
        header.pieces(external), header.kind, header.shape, encoding=header.encoding, file=path,
    )  # fmt: skip
    array, scaled = header.intensities(array)
    colour = header.channels == 3
    if header.dimensions == 2:
        array = array[None]
    axes = ("t" if header.dimensions == 4 else "") + "kji" + ("c" if colour else "")
    spatial = tuple(array.shape[axes.index(axis)] for axis in "kji")
    try:
        grid = Grid((spatial[0], spatial[1], spatial[2]), affine)
    except GeometryError as error:
        raise GeometryError(error.what, file=path, attribute="TransformMatrix", fix="repair the header") from error
    phases = tuple(f"volume {n}" for n in range(array.shape[0])) if header.dimensions == 4 else ()
    return Volume(
        array=array, grid=grid, unit=ValueUnit.RGB if colour else unit, axes=axes, phases=phases,
        notes=(*notes, *scaled, *more),
    )  # fmt: skip


def write_metaimage(thing: Volume | Segmentation, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a volume or a label map as MetaImage; label maps are compressed.

    Labels that overlap are written as a fourth axis: one volume of 0 and 1 for each label, in their order.

    Parameters
    ----------
    thing : Volume or Segmentation
        On any device.
    path : path-like
        ``.mha`` (one file) or ``.mhd`` (the data goes into a file beside it).
    force : bool
        Overwrite existing files.

    Raises
    ------
    OutputExistsError
        A file exists and `force` is false.
    OutputError
        It cannot be written.
    """
    itk = _simpleitk()
    array, axes = stored_array(thing)
    if array.dtype in (np.bool_, np.float16):
        array = array.astype(np.uint8 if array.dtype == np.bool_ else np.float32)
    image = itk.GetImageFromArray(np.ascontiguousarray(array), isVector=axes.endswith("c"))
    direction, spacing = split_affine(thing.grid.affine)
    dimension = image.GetDimension()
    matrix, steps, origin = np.eye(dimension), np.ones(dimension), np.zeros(dimension)
    matrix[:3, :3], steps[:3], origin[:3] = direction, spacing, thing.grid.affine[:3, 3]
    image.SetDirection(matrix.ravel().tolist())
    image.SetSpacing(steps.tolist())
    image.SetOrigin(origin.tolist())
    if provenance := stated_json(thing, labels=False):
        image.SetMetaData(KEY, provenance)
    pair = str(path).lower().endswith(".mhd")
    with (atomic_folder if pair else atomic_path)(path, force=force) as temporary:
        try:
            itk.WriteImage(
                image, os.fspath(temporary), useCompression=isinstance(thing, Segmentation), imageIO="MetaImageIO"
            )
        except RuntimeError as error:
            raise OutputError("the MetaImage file cannot be written", file=path) from error


def split_affine(affine: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return unit vectors (columns) and spacings whose products in float64 are the affine's columns, bit for bit.

    The spacing differs from the column's length by a few units in the last place at most.
    """
    direction, spacing = np.empty((3, 3)), np.empty(3)
    for axis in range(3):
        column = affine[:3, axis]
        spacing[axis], direction[:, axis] = _split_column(column)
    return direction, spacing


def _split_column(column: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    length = math.hypot(*column.tolist())
    up = down = length
    for _ in range(_TRIES):
        for step in (up, down):
            vector = _quotient(column, step)
            if np.array_equal(vector * step, column):
                return step, vector
        up, down = math.nextafter(up, math.inf), math.nextafter(down, 0.0)
    return length, column / length


def _quotient(column: NDArray[np.float64], step: float) -> NDArray[np.float64]:
    """Column / step, moved by one bit where that makes the product exact."""
    vector = column / step
    for towards in (np.inf, -np.inf):
        moved = np.nextafter(vector, towards)
        vector = np.where((vector * step != column) & (moved * step == column), moved, vector)
    return vector


def _simpleitk() -> Any:
    try:
        import SimpleITK
    except ImportError as error:
        raise missing_package("MetaImage needs SimpleITK", "metaimage") from error
    return SimpleITK
