"""NRRD (.nrrd, .nhdr): read by gpukit itself, written through pynrrd.

NRRD stores the affine's columns as they are, in decimal with 17 digits, so nothing is lost. Axes come fastest first:
(c, i, j, k, t).
"""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_folder, atomic_path
from gpukit.errors import FormatError, GeometryError, InputNotFoundError
from gpukit.extras import missing_package
from gpukit.files.data_files import data_file, file_names, listed_names
from gpukit.files.provenance import KEY, stated_json, stored_array
from gpukit.files.voxel_data import StoredVoxels, read_voxels
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit, finite_number, finite_numbers
from gpukit.volume import Volume

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
_ENCODINGS = {
    "raw": "raw", "gzip": "deflate", "gz": "deflate", "bzip2": "bzip2", "bz2": "bzip2", "ascii": "ascii",
    "text": "ascii", "txt": "ascii", "hex": "hex",
}  # fmt: skip
#: Fields that the format lets be written in two ways.
_SPELLINGS = {
    "datafile": "data file", "lineskip": "line skip", "byteskip": "byte skip", "axismins": "axis mins",
    "axismaxs": "axis maxs",
}  # fmt: skip
_LONGEST_HEADER = 1 << 20
_MOST_AXES = 16
_COLOURS = ("rgb-color", "3-color", "rgba-color")
_NO_SPACE = "the file names no patient space: its axes are taken as left, posterior, superior"
_NO_SIZE = "the file does not say how large its voxels are"


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # of absurd sizes, which `Grid` refuses
def read_nrrd(path: str | os.PathLike[str], *, unit: str = ValueUnit.NONE, external: bool = False) -> Volume:
    """Read an NRRD file.

    Parameters
    ----------
    path : path-like
        ``.nrrd``, or ``.nhdr`` with its data files beside it: one, a ``LIST``, or numbered ones (``slice%03d.raw``).
    unit : str
        Unit of the values; NRRD's own field for it is not used by imaging software.
    external : bool
        Allow data files outside the folder of the header.

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
        The file is not an NRRD file, or it is damaged or cut off.
    GeometryError
        The affine is singular, or the file does not say how large its voxels are.
    """
    if not Path(path).is_file():
        raise InputNotFoundError("no such file", file=path)
    header = _read_header(path)
    voxels, more = read_voxels(
        _pieces(header, path, external), _kind(header, path), header["sizes"][::-1], encoding=_encoding(header, path),
        file=path,
    )  # fmt: skip
    array, axes, places = _to_array(voxels.T, header, path)
    affine, notes = _affine(header, places, path)
    spatial = tuple(array.shape[axes.index(axis)] for axis in "kji")
    try:
        grid = Grid((spatial[0], spatial[1], spatial[2]), affine)
    except GeometryError as error:
        raise GeometryError(error.what, file=path, attribute="space directions", fix="repair the header") from error
    phases = tuple(f"volume {n}" for n in range(array.shape[0])) if axes.startswith("t") else ()
    colour = axes.endswith("c")
    return Volume(
        array=array, grid=grid, unit=ValueUnit.RGB if colour else unit, axes=axes, phases=phases,
        notes=(*notes, *more),
    )  # fmt: skip


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
    if provenance := stated_json(thing):
        header[KEY] = provenance  # no field of the format's, so it is written as a key and value
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
        places = [n for n, row in enumerate(directions) if row is not None]
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
    directions, origin = header.get("space directions"), (header.get("space origin") or [None])[0]
    notes: tuple[str, ...] = ()
    if directions is not None:
        rows = [directions[n] for n in places]
        if {len(row) for row in rows} not in ({3}, {len(places)}):
            raise GeometryError(
                "the space has neither two nor three dimensions", file=path, attribute="space dimension"
            )
        columns = np.array(rows, float)
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
        if len(origin) > 3:
            raise FormatError(f"an origin of {len(origin)} numbers", file=path, attribute="space origin")
        affine[: len(origin), 3] = origin
    elif directions is None and "axis mins" in header:
        mins = [header["axis mins"][n] for n in places]
        if all(math.isfinite(value) for value in mins):
            # where the first cell begins, or the first sample lies; a file that states neither means cells, as in Teem
            nodes = [header.get("centerings", [])[n : n + 1] == ["node"] for n in places]
            halves = [0.0 if node else 0.5 * affine[axis, axis] for axis, node in enumerate(nodes)]
            affine[: len(mins), 3] = np.add(mins, halves)
            notes = ("the origin was taken from the field axis mins",)
    units = [str(u).lower() for u in header.get("space units", [])]
    factor = _MILLIMETRES.get(units[0], 1.0) if units else 1.0
    if factor != 1.0:
        affine[:3] *= factor
    signs = _SPACES.get(str(header.get("space", "")).lower().removesuffix("-time"))
    if signs is None:
        return affine, (_NO_SPACE, *notes)
    affine[:3] *= np.array(signs, float)[:, None]
    return affine, notes


def _read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Fields by name (of two spellings, that with a space), and the first byte after them as ``end``."""
    header: dict[str, Any] = {}
    try:
        with Path(path).open("rb") as file:
            magic = file.readline(64)
            if not magic.startswith(b"NRRD00"):
                raise FormatError("not an NRRD file: its first line is another", file=path)
            while (line := file.readline(_LONGEST_HEADER)) and file.tell() <= _LONGEST_HEADER:
                text = line.decode("utf-8", "surrogateescape").rstrip()
                if not text:
                    break
                name, colon, value = text.partition(":")
                if text.startswith("#") or value.startswith("="):  # a comment, or a key of the user's own
                    continue
                if not colon:
                    raise FormatError(f"not an NRRD header: {text[:40]!r} is not a field", file=path)
                name = _SPELLINGS.get(name.strip().lower(), name.strip().lower())
                if name in header:
                    raise FormatError("the field is there twice", file=path, attribute=name[:40])
                header[name] = _parsed(name, value.strip(), path)
                if name == "data file" and str(header[name]).upper().startswith("LIST"):
                    break  # the names follow at once
            header["end"] = file.tell()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", file=path) from error
    for name in ("dimension", "type", "sizes", "encoding"):
        if name not in header:
            raise FormatError("not an NRRD header: the field is missing", file=path, attribute=name)
    if not 1 <= header["dimension"] == len(header["sizes"]) <= _MOST_AXES:
        raise FormatError(
            f"{len(header['sizes'])} sizes for {header['dimension']} axes", file=path, attribute="dimension, sizes"
        )
    for name in ("kinds", "space directions", "spacings", "axis mins"):
        if name in header and len(header[name]) != header["dimension"]:
            raise FormatError(f"{len(header[name])} values for {header['dimension']} axes", file=path, attribute=name)
    return header


def _parsed(name: str, text: str, path: str | os.PathLike[str]) -> Any:
    """The value of a field in the type that the format gives it; numbers finite, but NaN where the format allows it."""
    if name in ("dimension", "sizes", "line skip", "byte skip"):
        whole = finite_numbers(text.split(), None if name == "sizes" else 1, file=path, attribute=name)
        if any(number != int(number) or abs(number) > 2**53 for number in whole):
            raise FormatError(f"{text[:32]!r} is not a whole number", file=path, attribute=name)
        return [int(number) for number in whole] if name == "sizes" else int(whole[0])
    if name in ("spacings", "axis mins"):  # NaN is the word for "does not apply"
        return [
            math.nan if word.lower() == "nan" else finite_number(word, file=path, attribute=name)
            for word in text.split()
        ]
    if name in ("space directions", "space origin"):
        rows: list[tuple[float, ...] | None] = []
        for row in re.findall(r"\(([^()]*)\)|(none)", text, re.IGNORECASE):
            words = [word.strip() for word in row[0].split(",")]
            missing = bool(row[1]) or all(word.lower() == "nan" for word in words)
            rows.append(None if missing else finite_numbers(words, file=path, attribute=name))
        return rows
    if name in ("kinds", "centerings"):
        return text.lower().split()
    return re.findall(r'"([^"]*)"', text) or text.split() if name == "space units" else text


def _pieces(header: dict[str, Any], path: str | os.PathLike[str], external: bool) -> list[StoredVoxels]:
    """Return where the voxels are stored."""
    lines, skip = header.get("line skip", 0), header.get("byte skip", 0)
    packed = _encoding(header, path) in ("deflate", "bzip2")
    if lines < 0 or skip < -1 or (skip == -1 and _encoding(header, path) != "raw"):
        raise FormatError(f"{min(lines, skip)} is not possible here", file=path, attribute="line skip, byte skip")
    name = header.get("data file")
    if name is None:
        paths, start = [Path(path)], int(header["end"])
    else:
        start, paths = 0, []
        words = name.split()
        if name.upper().startswith("LIST"):
            count = _file_count(header, words[1:], path)
            names = listed_names(path, int(header["end"]), count, "data file")
        elif "%" in name:
            # "format first last step [dimension]"
            own = words[-4:] if len(words) > 4 and all(re.fullmatch(r"-?\d+", word) for word in words[-4:]) else []
            count = _file_count(header, own[3:], path)
            names = file_names(" ".join(words[:-1]) if own else name, count, path, "data file")
        else:
            names = [name]
        paths = [data_file(path, one, external=external, attribute="data file") for one in names]
    largest = max((one.stat().st_size for one in paths), default=0)
    if lines > largest:  # a line has one byte at least
        raise FormatError(f"the file has fewer than {lines:,} lines to skip", file=path, attribute="line skip")
    if skip == -1:
        return [StoredVoxels(one, -1, least=header["end"] if name is None else 0) for one in paths]
    # bytes are skipped after the lines: of raw data those stored, of compressed data those expanded
    if skip > (largest if not packed else 1040 * largest + _LONGEST_HEADER):
        raise FormatError(f"the file has fewer than {skip:,} bytes to skip", file=path, attribute="byte skip")
    return [StoredVoxels(one, start, lines=lines, skip=skip) for one in paths]


def _file_count(header: dict[str, Any], dimension: list[str], path: str | os.PathLike[str]) -> int | None:
    """How many files the sizes need, each of which holds `dimension` axes (one less than all, unless it is stated).

    None where each holds all axes, that is a slab of the slowest one: their number is that of the names.
    """
    sizes = header["sizes"]
    axes = int(finite_number(dimension[0], file=path, attribute="data file")) if dimension else len(sizes) - 1
    if not 0 < axes <= len(sizes):
        raise FormatError(f"files of {axes} dimensions for {len(sizes)} axes", file=path, attribute="data file")
    return math.prod(max(1, size) for size in sizes[axes:]) if axes < len(sizes) else None


def _encoding(header: dict[str, Any], path: str | os.PathLike[str]) -> str:
    encoding = _ENCODINGS.get(str(header["encoding"]).lower())
    if encoding is None:
        raise FormatError(f"the encoding {header['encoding'][:32]!r} is not supported", file=path, attribute="encoding")
    return encoding


def _kind(header: dict[str, Any], path: str | os.PathLike[str]) -> np.dtype[Any]:
    name = _TYPES.get(str(header["type"]).lower())
    if name is None:
        raise FormatError(f"voxels of type {header['type'][:32]!r} are not supported", file=path, attribute="type")
    kind = np.dtype(name)
    endian = str(header.get("endian", "")).lower()
    if kind.itemsize == 1 or _encoding(header, path) == "ascii":
        return kind
    if endian not in ("little", "big"):
        raise FormatError("neither little nor big", file=path, attribute="endian")
    return kind.newbyteorder("<" if endian == "little" else ">")


def _pynrrd() -> Any:
    try:
        import nrrd
    except ImportError as error:
        raise missing_package("NRRD needs pynrrd", "files") from error
    return nrrd
