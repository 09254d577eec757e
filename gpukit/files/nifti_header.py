"""Headers of NIfTI-1, NIfTI-2 and Analyze 7.5, by the layouts of nifti1.h, nifti2.h and dbh.h.

Every field that is used is checked here, before memory is taken for what it claims.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import FormatError, GeometryError, InputNotFoundError
from gpukit.files.voxel_data import StoredVoxels
from gpukit.units import finite_number

__all__ = ["NiftiHeader", "RGB", "RGBA", "both_of_a_pair", "is_of_a_pair", "pair_of", "read_header"]

RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
RGBA = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1"), ("A", "u1")])
#: Codes of the field datatype.
_TYPES: dict[int, np.dtype[Any]] = {
    2: np.dtype("u1"), 4: np.dtype("i2"), 8: np.dtype("i4"), 16: np.dtype("f4"), 32: np.dtype("c8"),
    64: np.dtype("f8"), 128: RGB, 256: np.dtype("i1"), 512: np.dtype("u2"), 768: np.dtype("u4"),
    1024: np.dtype("i8"), 1280: np.dtype("u8"), 1792: np.dtype("c16"), 2304: RGBA,
}  # fmt: skip
#: Seconds of the codes of a unit of time in xyzt_units; the others are none, or of something else than time.
_SECONDS = {8: 1.0, 16: 1e-3, 24: 1e-6}
#: Millimetres of the codes of a length in xyzt_units; 0 states none, and everybody means mm.
_MILLIMETRES = {0: 1.0, 1: 1000.0, 2: 1.0, 3: 1e-3}
_FURTHEST = 256 << 20  # bytes before the voxels, extensions included
_LONGEST_EXTENSION = 1 << 20  # of those that are looked into


class _Layout(NamedTuple):
    """Bytes of the header, and where its fields lie: format and offset."""

    size: int
    dim: tuple[str, int]
    datatype: int
    pixdim: tuple[str, int]
    vox_offset: tuple[str, int]
    scale: tuple[str, int]
    codes: tuple[str, int]
    quaternion: tuple[str, int]
    rows: tuple[str, int]
    units: tuple[str, int]


_ONE = _Layout(348, ("8h", 40), 70, ("8f", 76), ("f", 108), ("2f", 112), ("2h", 252), ("6f", 256), ("12f", 280),
               ("B", 123))  # fmt: skip
_TWO = _Layout(540, ("8q", 16), 12, ("8d", 104), ("q", 168), ("2d", 176), ("2i", 344), ("6d", 352), ("12d", 400),
               ("i", 500))  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class NiftiHeader:
    """The fields of a header, checked.

    Parameters
    ----------
    version : int
        1 or 2; 0 for Analyze 7.5.
    shape : tuple of int
        dim[1] to dim[dim[0]]: the fastest axis first.
    kind : dtype
        Of a voxel as stored.
    slope, intercept : float
        scl_slope and scl_inter; 1 and 0 where the file does not scale.
    pixdim : tuple of float
        All eight, as they are.
    qform_code, sform_code : int
        0 says that there is none.
    quaternion : tuple of float
        b, c, d and the offsets in x, y, z.
    sform : ndarray, (3, 4)
        The rows.
    millimetres : float
        Of the unit of length.
    time_step : float
        Seconds between the volumes of a fourth axis; 0 where the header does not say so.
    comments : tuple of bytes
        Contents of the extensions of code 6.
    voxels : StoredVoxels
        Where the voxels are.
    compressed : bool
        Whether they are deflated.
    """

    version: int
    shape: tuple[int, ...]
    kind: np.dtype[Any]
    slope: float
    intercept: float
    pixdim: tuple[float, ...]
    qform_code: int
    sform_code: int
    quaternion: tuple[float, ...]
    sform: NDArray[np.float64]
    millimetres: float
    time_step: float
    comments: tuple[bytes, ...]
    voxels: StoredVoxels
    compressed: bool

    def qform(self, path: str | os.PathLike[str]) -> NDArray[np.float64]:
        """RAS affine of the quaternion (nifti1.h, method 2).

        Raises
        ------
        GeometryError
            It is not a rotation.
        """
        b, c, d, *offset = self.quaternion
        rest = 1.0 - (b * b + c * c + d * d)
        # the numbers are float32 in NIfTI-1, so that a half turn may come out a little longer than 1
        if not math.isfinite(rest) or rest < -1e-5:
            raise GeometryError("the qform is not a rotation", file=path, attribute="quatern_b, quatern_c, quatern_d")
        a = math.sqrt(max(rest, 0.0))
        length = math.sqrt(a * a + b * b + c * c + d * d)
        a, b, c, d = a / length, b / length, c / length, d / length
        rotation = np.array([
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ])  # fmt: skip
        affine = np.eye(4)
        affine[:3, :3] = rotation * np.array(self.sizes)
        if self.pixdim[0] == -1:
            affine[:3, 2] *= -1
        affine[:3, 3] = offset
        return affine

    @property
    def sizes(self) -> tuple[float, float, float]:
        """Voxel sizes along i, j and k in the file's unit; 1 along an axis that the file does not have."""
        steps = [abs(size) for size in self.pixdim[1:4]]
        there = [n < len(self.shape) for n in range(3)]
        return tuple(size if has or size > 0 else 1.0 for size, has in zip(steps, there, strict=True))  # type: ignore[return-value]


def is_of_a_pair(path: str | os.PathLike[str]) -> bool:
    """Whether a ``.hdr`` or ``.img`` belongs to a NIfTI or Analyze pair: its header begins with the header's size."""
    try:
        name = os.fspath(path)
        if not name.lower().removesuffix(".gz").endswith(".hdr"):
            pair = pair_of(path)
            name = "" if pair is None else os.fspath(pair[0])
        with _opened(Path(name)) as stream:
            first = stream.read(4)
    except (OSError, EOFError, zlib.error, InputNotFoundError):
        return False
    return first in {struct.pack(order + "i", size) for order in "<>" for size in (348, 540)}


def both_of_a_pair(first: str | os.PathLike[str], second: str | os.PathLike[str]) -> str | None:
    """Return the name of the header where two names are the ``.hdr`` and the ``.img`` of one pair, else None."""
    names = sorted((os.fspath(first), os.fspath(second)), key=str.lower)
    if not all(name.lower().removesuffix(".gz").endswith((".hdr", ".img")) for name in names):
        return None
    return names[0] if is_of_a_pair(names[0]) and pair_of(names[0]) == (Path(names[0]), Path(names[1])) else None


def pair_of(path: str | os.PathLike[str]) -> tuple[Path, Path] | None:
    """Return the ``.hdr`` and the ``.img`` that a name of either means; None for a file that is both.

    Raises
    ------
    InputNotFoundError
        One of them is not there.
    """
    name = os.fspath(path)
    packed = ".gz" if name.lower().endswith(".gz") else ""
    plain = Path(name[: len(name) - len(packed)])
    suffix, stem = plain.suffix, os.fspath(plain.with_suffix(""))
    if suffix.lower() not in (".hdr", ".img"):
        return None
    upper = suffix.isupper()
    files = []
    for other in (".hdr", ".img"):
        word = other.upper() if upper else other
        there = [Path(stem + word + end) for end in (name[len(name) - len(packed) :] if packed else "", "", ".gz")]
        partner = next((one for one in there if one.is_file()), None)
        if partner is None:
            raise InputNotFoundError(f"the {other} of the pair is not there", file=path, fix="put both into one folder")
        files.append(partner)
    return files[0], files[1]


def read_header(path: str | os.PathLike[str]) -> NiftiHeader:
    """Read and check the header of a NIfTI file, or of the pair that a name means.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        It is not NIfTI or Analyze, or a field is missing or impossible.
    """
    pair = pair_of(path)
    first = Path(path) if pair is None else pair[0]
    try:
        with _opened(first) as stream:
            return _read(stream, path, pair)
    except (OSError, EOFError, zlib.error) as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        raise FormatError(
            f"not a readable NIfTI file ({words})", file=path, fix="it may be cut off: copy it again"
        ) from error


def _read(stream: BinaryIO, path: str | os.PathLike[str], pair: tuple[Path, Path] | None) -> NiftiHeader:
    raw = stream.read(_ONE.size)
    order = next((o for o in "<>" if len(raw) == _ONE.size and struct.unpack(o + "i", raw[:4])[0] in (348, 540)), "")
    if not order:
        cut = ": it is cut off" if len(raw) < _ONE.size else ""
        raise FormatError(f"not a NIfTI file{cut}", file=path, attribute="sizeof_hdr")
    two = struct.unpack(order + "i", raw[:4])[0] == 540
    layout = _TWO if two else _ONE
    raw += stream.read(layout.size - len(raw))
    if len(raw) < layout.size:
        raise FormatError("the header is cut off", file=path, fix="copy the file again")
    magic = raw[4:8] if two else raw[344:348]
    alone, halves = (b"n+2\0", b"ni2\0") if two else (b"n+1\0", b"ni1\0")
    analyze = magic not in (alone, halves)
    if analyze and (two or pair is None):
        raise FormatError(f"not a NIfTI file: its mark is {magic!r}", file=path, attribute="magic")

    def fields(where: tuple[str, int]) -> tuple[float, ...]:
        return struct.unpack_from(order + where[0], raw, where[1])

    dim = [int(n) for n in fields(layout.dim)]
    if not 1 <= dim[0] <= 7 or min(dim[1 : dim[0] + 1]) < 1:
        raise FormatError(f"the sizes {dim} are not possible", file=path, attribute="dim")
    code = int(fields(("h", layout.datatype))[0])
    kind = _TYPES.get(code)
    if kind is None:
        raise FormatError(f"voxels of type {code} are not supported", file=path, attribute="datatype")
    units = 0 if analyze else int(fields(layout.units)[0])
    if units & 7 not in _MILLIMETRES:
        raise FormatError(
            f"{units & 7} is not the code of a unit of length", file=path, attribute="xyzt_units",
            fix="correct the header",
        )  # fmt: skip
    offset = finite_number(fields(layout.vox_offset)[0], file=path, attribute="vox_offset")
    both = pair is None
    least = layout.size + 4 if both else 0
    if offset != int(offset) or not least <= offset <= _FURTHEST:
        raise FormatError(
            f"the voxels cannot begin at byte {offset:g}: the header needs {least}", file=path, attribute="vox_offset",
            fix="correct the header, or copy the file again",
        )  # fmt: skip
    slope, intercept = _scale(fields(layout.scale), analyze, path)
    codes = (0, 0) if analyze else tuple(int(n) for n in fields(layout.codes))
    if analyze and raw[252] not in (0, 0x20, 0x30):
        raise GeometryError(
            f"an Analyze file whose slices are not transverse (orient {raw[252]}) is not supported", file=path,
            attribute="orient", fix="convert it to NIfTI",
        )  # fmt: skip
    extensions = () if analyze else _comments(stream, order, int(offset) - layout.size if both else _FURTHEST)
    data = Path(path) if pair is None else pair[1]
    packed = _is_deflated(data)
    voxels = StoredVoxels(data, 0, skip=int(offset)) if packed else StoredVoxels(data, int(offset))
    pixdim = tuple(float(n) for n in fields(layout.pixdim))
    step = pixdim[4] * _SECONDS.get(units & 0x38, 0.0)
    return NiftiHeader(
        version=0 if analyze else 2 if two else 1, shape=tuple(dim[1 : dim[0] + 1]),
        kind=kind if kind.names else kind.newbyteorder("<" if order == "<" else ">"), slope=slope, intercept=intercept,
        pixdim=pixdim, time_step=step if 0 < step < math.inf else 0.0, qform_code=codes[0], sform_code=codes[1],
        quaternion=tuple(float(n) for n in fields(layout.quaternion)),
        sform=np.array(fields(layout.rows), np.float64).reshape(3, 4), millimetres=_MILLIMETRES[units & 7],
        comments=extensions, voxels=voxels, compressed=packed,
    )  # fmt: skip


def _scale(pair: tuple[float, ...], analyze: bool, path: str | os.PathLike[str]) -> tuple[float, float]:
    """Slope and intercept; a slope of 0 or NaN says that values are as stored (nifti1.h; NaN is written by nibabel)."""
    slope, intercept = pair
    if slope == 0 or math.isnan(slope):
        return 1.0, 0.0
    finite_number(slope, file=path, attribute="scl_slope")
    return float(slope), 0.0 if analyze else finite_number(intercept, file=path, attribute="scl_inter")


def _comments(stream: BinaryIO, order: str, room: int) -> tuple[bytes, ...]:
    """Return contents of the extensions that are comments; skip others, and damaged ones."""
    comments: list[bytes] = []
    flag = stream.read(4)
    room -= 4
    if len(flag) < 4 or not flag[0]:
        return ()
    while room >= 8 and len(head := stream.read(8)) == 8:
        size, code = struct.unpack(order + "2i", head)
        if size < 8 or size > room:
            break
        room -= size
        rest = size - 8
        if code == 6 and rest <= _LONGEST_EXTENSION:
            comments.append(stream.read(rest))
            continue
        while rest > 0 and (block := stream.read(min(rest, 1 << 20))):
            rest -= len(block)
    return tuple(comments)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, expanded where it is deflated; reading expands no further than is asked for."""
    if not _is_deflated(path):
        with path.open("rb") as stream:
            yield stream
        return
    import gzip

    with gzip.open(path, "rb") as packed:
        yield packed  # type: ignore[misc]


def _is_deflated(path: Path) -> bool:
    """Return whether a file is a gzip file, whatever its name says: either is met under the name of the other."""
    with path.open("rb") as stream:
        return stream.read(2) == b"\x1f\x8b"
