"""NRRD (.nrrd, .nhdr) through pynrrd.

NRRD stores the affine's columns as they are, in decimal with 17 digits, so nothing is lost. Axes come fastest first:
(c, i, j, k, t).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_folder, atomic_path
from gpukit.errors import DependencyError, FormatError, GeometryError, InputNotFoundError
from gpukit.files.limits import check_claim
from gpukit.files.provenance import KEY, stated_json, stored_array
from gpukit.geometry import Grid
from gpukit.units import ValueUnit
from gpukit.volume import Segmentation, Volume

__all__ = ["read_nrrd", "write_nrrd"]

#: Signs that bring a named space to LPS.
_SPACES = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "m": 1000.0, "um": 1e-3, "µm": 1e-3}
#: NumPy type of each of the format's names for a type (nrrd/format.html, "type").
_TYPES = {
    name: kind
    for kind, names in {
        "i1": ("signed char", "int8", "int8_t"),
        "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
        "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
        "i4": ("int", "signed int", "int32", "int32_t"),
        "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
        "i8": (
            "longlong",
            "long long",
            "long long int",
            "signed long long",
            "signed long long int",
            "int64",
            "int64_t",
        ),
        "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
        "f4": ("float",),
        "f8": ("double",),
    }.items()
    for name in names
}
_COLOURS = ("rgb-color", "3-color", "rgba-color")
_NO_SPACE = "the file names no patient space: its axes are taken as left, posterior, superior"
_NO_SIZE = "the file does not say how large its voxels are"


def read_nrrd(path: str | os.PathLike[str], *, unit: str = ValueUnit.NONE) -> Volume:
    """Read an NRRD file.

    Parameters
    ----------
    path : path-like
        ``.nrrd``, or ``.nhdr`` with its data file beside it.
    unit : str
        Unit of the values; NRRD's own field for it is not used by imaging software.

    Returns
    -------
    Volume
        NumPy array ``[k, j, i]``, ``[t, k, j, i]`` or colour ``[k, j, i, c]``. `notes` says so where the file names no
        patient space.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        The file is no NRRD, or it is damaged or cut off.
    GeometryError
        The affine is singular or not finite.
    """
    nrrd = _pynrrd()
    if not Path(path).is_file():
        raise InputNotFoundError("no such file", file=path)
    try:
        with Path(path).open("rb") as file:
            header = nrrd.read_header(file)
            sizes = [int(n) for n in header["sizes"]]
            itemsize = _itemsize(header, path)
            encoding = str(header["encoding"]).lower()
            packing = {"raw": "none", "gzip": "deflate", "gz": "deflate"}.get(encoding, "other")
            check_claim(path, sizes, itemsize, stored=_stored_bytes(path, header), packing=packing)
            voxels = nrrd.read_data(header, file, os.fspath(path), index_order="F")
    except (FormatError, InputNotFoundError, MemoryError):
        raise
    except Exception as error:  # pynrrd raises whatever its parsing meets
        raise FormatError(f"not a readable NRRD file ({_short(error)})", file=path) from error
    array, axes, places = _to_array(voxels, header, path)
    affine, notes = _affine(header, places, path)
    spatial = tuple(array.shape[axes.index(axis)] for axis in "kji")
    try:
        grid = Grid((spatial[0], spatial[1], spatial[2]), affine)
    except GeometryError as error:
        raise GeometryError(error.what, file=path, attribute="space directions", fix="repair the header") from error
    phases = tuple(f"volume {n}" for n in range(array.shape[0])) if axes.startswith("t") else ()
    colour = axes.endswith("c")
    return Volume(array=array, grid=grid, unit=ValueUnit.RGB if colour else unit, axes=axes, phases=phases, notes=notes)


def write_nrrd(thing: Volume | Segmentation, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a volume or a label map as NRRD in the space left-posterior-superior, deflated.

    Labels that overlap are written as a list axis: one volume of 0 and 1 for each label, in their order.

    Parameters
    ----------
    thing : Volume or Segmentation
        On any device.
    path : path-like
        ``.nrrd`` (one file) or ``.nhdr`` (the data goes into a file beside it).
    force : bool
        Overwrite existing files.

    Raises
    ------
    OutputExistsError
        A file exists and `force` is false.
    OutputError
        It cannot be written.
    """
    nrrd = _pynrrd()
    array, axes = stored_array(thing)
    if array.dtype in (np.bool_, np.float16):
        array = array.astype(np.uint8 if array.dtype == np.bool_ else np.float32)
    affine = thing.grid.affine
    directions = np.full((len(axes), 3), np.nan)
    kinds = []
    for n, axis in enumerate(reversed(axes)):
        if axis in "ijk":
            directions[n] = affine[:3, "ijk".index(axis)]
        kinds.append("domain" if axis in "ijk" else "RGB-color" if axis == "c" else "list")
    header = {
        "space": "left-posterior-superior",
        "space directions": directions,
        "space origin": affine[:3, 3],
        "space units": ["mm", "mm", "mm"],
        "kinds": kinds,
        "encoding": "gzip",
    }
    if made := stated_json(thing):
        header[KEY] = made  # no field of the format's, so it is written as a key and value
    pair = str(path).lower().endswith(".nhdr")
    with (atomic_folder if pair else atomic_path)(path, force=force) as temporary:
        nrrd.write(os.fspath(temporary), array.T, header, index_order="F", detached_header=pair, compression_level=1)


def _to_array(
    voxels: NDArray[Any], header: dict[str, Any], path: str | os.PathLike[str]
) -> tuple[NDArray[Any], str, list[int]]:
    """Array in gpukit's order, its axes, and which of the file's axes are i, j and k."""
    kinds = [str(kind).lower() for kind in header.get("kinds", ["domain"] * voxels.ndim)]
    directions = header.get("space directions")
    if directions is not None:
        places = [n for n, row in enumerate(directions) if row is not None and np.isfinite(row).all()]
    else:
        places = [n for n, kind in enumerate(kinds) if kind in ("domain", "space", "none", "???")][:3]
    others = [n for n in range(voxels.ndim) if n not in places]
    colour = [n for n in others if kinds[n] in _COLOURS or (kinds[n] == "vector" and voxels.dtype == np.uint8)]
    rest = [n for n in others if n not in colour]
    if len(places) not in (2, 3) or len(rest) > 1 or len(colour) > 1:
        raise FormatError(f"axes of the kinds {kinds} make no volume", file=path, attribute="kinds")
    if colour and voxels.shape[colour[0]] not in (3, 4):
        raise FormatError(f"{voxels.shape[colour[0]]} colour components", file=path, attribute="sizes")
    array = voxels.transpose([*rest, *reversed(places), *colour])
    if colour:
        array = array[..., :3]
    if len(places) == 2:
        array = np.expand_dims(array, len(rest))
    axes = ("t" if rest else "") + "kji" + ("c" if colour else "")
    native = array.dtype.newbyteorder("=")
    return np.ascontiguousarray(array, dtype=native), axes, places


def _affine(
    header: dict[str, Any], places: list[int], path: str | os.PathLike[str]
) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    affine = np.eye(4)
    directions, origin = header.get("space directions"), header.get("space origin")
    if directions is not None:
        columns = np.array([directions[n] for n in places], float)
        if columns.shape[1] != len(places) and columns.shape[1] != 3:
            raise GeometryError(
                "the space has neither two nor three dimensions", file=path, attribute="space dimension"
            )
        affine[: columns.shape[1], : len(places)] = columns.T
        if len(places) == 2 and columns.shape[1] == 3:
            normal = np.cross(columns[0], columns[1])
            affine[:3, 2] = normal / (np.linalg.norm(normal) or 1.0)
    elif header.get("spacings") is not None:
        spacings = np.asarray(header["spacings"], float)
        if not np.isfinite(spacings[places]).all():
            raise GeometryError(_NO_SIZE, file=path, attribute="spacings", fix="write the sizes into the header")
        for axis, n in enumerate(places):
            affine[axis, axis] = spacings[n]
    else:
        raise GeometryError(_NO_SIZE, file=path, attribute="space directions", fix="write them into the header")
    if origin is not None:
        affine[: len(origin), 3] = np.asarray(origin, float)
    units = [str(u).lower() for u in header.get("space units", [])]
    factor = _MILLIMETRES.get(units[0], 1.0) if units else 1.0
    if factor != 1.0:
        affine[:3] *= factor
    signs = _SPACES.get(str(header.get("space", "")).lower().removesuffix("-time"))
    if signs is None:
        return affine, (_NO_SPACE,)
    affine[:3] *= np.array(signs, float)[:, None]
    return affine, ()


def _stored_bytes(path: str | os.PathLike[str], header: dict[str, Any]) -> int:
    name = header.get("data file", header.get("datafile"))
    if name is None:
        return Path(path).stat().st_size
    if not isinstance(name, str) or name.upper().startswith("LIST") or "%" in name:
        return 1 << 62
    data = Path(path).parent / name
    if not data.is_file():
        raise InputNotFoundError(f"the data file {name!r} is not there", file=path, attribute="data file")
    return data.stat().st_size


def _itemsize(header: dict[str, Any], path: str | os.PathLike[str]) -> int:
    kind = _TYPES.get(str(header["type"]))
    if kind is None:
        raise FormatError(f"voxels of type {header['type']!r} are not supported", file=path, attribute="type")
    return np.dtype(kind).itemsize


def _pynrrd() -> Any:
    try:
        import nrrd
    except ImportError as error:
        raise DependencyError("NRRD needs pynrrd", fix='pip install "gpukit[files]"') from error
    return nrrd


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
