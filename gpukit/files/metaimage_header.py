"""The header of a MetaImage file: lines ``name = value``, the last of them ElementDataFile.

Every field is checked here, before memory is taken for it: MetaIO, the library that others read the format with, leaves
voxels that a file lacks as they were in memory, and crashes on some numbers of dimensions.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import FormatError, GeometryError
from gpukit.files.data_files import data_file, file_names, listed_names
from gpukit.files.voxel_data import StoredVoxels
from gpukit.units import finite_number, finite_numbers

__all__ = ["MetaImageHeader", "read_header"]

#: NumPy type of each ElementType (metaTypes.h: a long has four bytes in files). ``_ARRAY`` after it means the same.
_TYPES = {
    "MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4",
    "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4",
    "MET_DOUBLE": "f8",
}  # fmt: skip
#: Names that other versions of the format use for a field, the one that counts first.
_ALIASES = {
    "origin": ("imageposition", "offset", "position", "origin"),
    "directions": ("transformmatrix", "rotation", "orientation"),
    "spacing": ("elementspacing", "elementsize"),
}
_MILLIMETRES = {"mm": 1.0, "cm": 10.0, "um": 1e-3, "?": 1.0, "": 1.0}
_LONGEST_HEADER = 1 << 20


@dataclass(frozen=True)
class MetaImageHeader:
    """The fields of a header, checked.

    Parameters
    ----------
    path : path-like
        The header file.
    fields : mapping
        Values by name, in small letters.
    end : int
        First byte after the header.
    dimensions, channels : int
        2 to 4; 1 or 3.
    sizes : tuple of int
        DimSize: the fastest axis first.
    kind : dtype
        Of an element as stored.
    """

    path: str | os.PathLike[str]
    fields: Mapping[str, str]
    end: int
    dimensions: int
    channels: int
    sizes: tuple[int, ...]
    kind: np.dtype[Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes as an array has them: the slowest axis first, colour last."""
        return (*reversed(self.sizes), *((self.channels,) if self.channels > 1 else ()))

    @property
    def encoding(self) -> str:
        """A key of `gpukit.files.voxel_data.ENCODINGS`."""
        if not _is_true(self.fields.get("binarydata", "True")):
            return "ascii"
        return "deflate" if _is_true(self.fields.get("compresseddata", "False")) else "raw"

    def affine(self) -> tuple[NDArray[np.float64], tuple[str, ...]]:
        """Return the index (i, j, k) to LPS mm, and what a user must know of it."""
        n = self.dimensions
        name, text = self._first("spacing")
        if text is None:
            raise GeometryError(
                "the file does not say how large its voxels are", file=self.path, attribute="ElementSpacing",
                fix="write the sizes into the header",
            )  # fmt: skip
        spacing = np.array(self._numbers(name, text, n))
        name, text = self._first("origin")
        origin = np.zeros(n) if text is None else np.array(self._numbers(name, text, n))
        name, text = self._first("directions")
        # a row of the matrix is the direction of an axis
        matrix = np.eye(n) if text is None else np.array(self._numbers(name, text, n * n)).reshape(n, n).T
        m = min(n, 3)
        affine = np.eye(4)
        affine[:m, :m] = matrix[:m, :m] * spacing[:m]
        affine[:m, 3] = origin[:m]
        unit = self.fields.get("distanceunits", "").strip()
        factor = _MILLIMETRES.get(unit.lower())
        if factor is None:
            raise FormatError(f"{unit[:32]!r} is not a unit of length", file=self.path, attribute="DistanceUnits")
        notes: tuple[str, ...] = ()
        orientation = self.fields.get("anatomicalorientation", "").strip().upper()
        if text is None and orientation not in ("", "RAI", "???"):
            words = "was not used: without a TransformMatrix the axes are left, posterior, superior, as in ITK"
            notes = (f"AnatomicalOrientation {orientation[:8]} {words}",)
        if factor == 1.0:
            return affine, notes
        affine[:3] *= factor
        note = f"the header gives lengths in {unit}: they were converted to mm (programs that rest on ITK do not)"
        return affine, (*notes, note)

    def intensities(self, elements: NDArray[Any]) -> tuple[NDArray[Any], tuple[str, ...]]:
        """Elements as intensities, by ElementToIntensityFunctionSlope and -Offset, and a note where they change."""
        slope, offset = (
            finite_number(self.fields.get(name.lower(), default), file=self.path, attribute=name)
            for name, default in (("ElementToIntensityFunctionSlope", "1"), ("ElementToIntensityFunctionOffset", "0"))
        )
        if (slope, offset) == (1.0, 0.0) or slope == 0:
            return elements, ()
        wide = elements.dtype.itemsize > (2 if elements.dtype.kind in "iu" else 4)
        scaled = (elements * np.float64(slope) + np.float64(offset)).astype(np.float64 if wide else np.float32)
        note = f"intensity = {slope:g} * element + {offset:g} was applied (ElementToIntensityFunction; ITK ignores it)"
        return scaled, (note,)

    def pieces(self, external: bool) -> list[StoredVoxels]:
        """Return where the voxels are stored."""
        skip = int(finite_number(self.fields.get("headersize", "0"), file=self.path, attribute="HeaderSize"))
        if skip < -1 or (skip == -1 and self.encoding != "raw"):
            raise FormatError(f"{skip} is not possible here", file=self.path, attribute="HeaderSize")
        name = self.fields["elementdatafile"]
        if name.upper() == "LOCAL":
            length = self._packed_bytes()
            return [StoredVoxels(Path(self.path), skip or self.end, length, least=self.end)]
        if name.upper().startswith("LIST"):
            names = self._listed(name)
        elif "%" in name:
            names = file_names(name, self.sizes[-1], self.path, "ElementDataFile")
        else:
            target = data_file(self.path, name, external=external, attribute="ElementDataFile")
            return [StoredVoxels(target, skip, self._packed_bytes())]
        return [
            StoredVoxels(data_file(self.path, one, external=external, attribute="ElementDataFile"), skip)
            for one in names
        ]

    def _packed_bytes(self) -> int | None:
        """CompressedDataSize; None, that is up to the end of the file, where it is not stated."""
        if self.encoding != "deflate":
            return None
        size = self.fields.get("compresseddatasize", "0")
        return int(finite_number(size, file=self.path, attribute="CompressedDataSize")) or None

    def _listed(self, value: str) -> list[str]:
        words = value.split()[1:]
        dimensions = (
            int(finite_number(words[0].rstrip("Dd"), file=self.path, attribute="ElementDataFile")) if words else 0
        )
        if not 0 < dimensions < self.dimensions:
            dimensions = self.dimensions - 1
        count = int(np.prod([int(n) for n in self.sizes[dimensions:]], dtype=object))
        return listed_names(self.path, self.end, count, "ElementDataFile")

    def _first(self, what: str) -> tuple[str, str | None]:
        for name in _ALIASES[what]:
            if name in self.fields:
                return name, self.fields[name]
        return what, None

    def _numbers(self, name: str, text: str, count: int) -> tuple[float, ...]:
        return finite_numbers(text.replace(",", " ").split(), count, file=self.path, attribute=name)


def read_header(path: str | os.PathLike[str]) -> MetaImageHeader:
    """Read and check the header of a MetaImage file.

    Raises
    ------
    FormatError
        It is not one, or a field is missing or impossible.
    """
    fields: dict[str, str] = {}
    try:
        with Path(path).open("rb") as file:
            while "elementdatafile" not in fields and file.tell() < _LONGEST_HEADER:
                line = file.readline(_LONGEST_HEADER)
                name, equals, value = line.decode("utf-8", "surrogateescape").partition("=")
                if not line or (not equals and line.strip()):
                    break
                if equals:
                    fields[name.strip().lower()] = value.strip()
            end = file.tell()
    except OSError as error:
        raise FormatError(f"cannot be read: {error.strerror}", file=path) from error

    def required(name: str) -> str:
        if name.lower() not in fields:
            raise FormatError("not a MetaImage header: the field is missing", file=path, attribute=name)
        return fields[name.lower()]

    required("ElementDataFile")
    dimensions = _whole(required("NDims"), path, "NDims")
    channels = _whole(fields.get("elementnumberofchannels", "1"), path, "ElementNumberOfChannels")
    if dimensions not in (2, 3, 4) or channels not in (1, 3):
        raise FormatError(
            f"{dimensions} dimensions with {channels} channels a voxel are not supported", file=path,
            attribute="NDims, ElementNumberOfChannels",
        )  # fmt: skip
    sizes = tuple(_whole(word, path, "DimSize") for word in required("DimSize").replace(",", " ").split())
    if len(sizes) != dimensions:
        raise FormatError(f"{len(sizes)} sizes for {dimensions} dimensions", file=path, attribute="DimSize")
    element = required("ElementType").upper().removesuffix("_ARRAY")
    if element not in _TYPES:
        raise FormatError(f"voxels of type {element[:40]!r} are not supported", file=path, attribute="ElementType")
    big = _is_true(fields.get("elementbyteordermsb", fields.get("binarydatabyteordermsb", "False")))
    kind = np.dtype(_TYPES[element]).newbyteorder(">" if big else "<")
    return MetaImageHeader(path, fields, end, dimensions, channels, sizes, kind)


def _whole(text: str, path: str | os.PathLike[str], attribute: str) -> int:
    number = finite_number(text, file=path, attribute=attribute)
    if number != int(number) or not 1 <= number <= 2**40:
        raise FormatError(f"{text.strip()[:32]!r} is not a possible number here", file=path, attribute=attribute)
    return int(number)


def _is_true(text: str) -> bool:
    return text.strip()[:1].upper() in ("T", "Y", "1")
