"""What a file says of its pixels, checked: nothing is decoded or allocated on the word of a header alone."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from gpukit.dicom.reader.elements import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from gpukit.dicom.reader.headers import Header
from gpukit.errors import FormatError, TooLargeError

__all__ = ["FrameDescription", "FrameRef", "NATIVE", "available_memory", "check_memory", "describe"]


#: Transfer syntaxes whose pixels are not encapsulated.
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, "1.2.840.113619.5.2"})
_MONOCHROME = {"MONOCHROME1", "MONOCHROME2", "PALETTE COLOR"}
_COLOUR = {"RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "YBR_ICT", "YBR_RCT", "XYB"}


@dataclass(frozen=True, slots=True)
class FrameDescription:
    """One frame as stored (PS3.3 C.7.6.3).

    Parameters
    ----------
    rows, columns : int
        Size.
    samples : int
        1 or 3 values a pixel.
    bits_allocated, bits_stored, high_bit : int
        1, 8, 16, 32 or 64 bits a value, of which so many count, the highest of them being `high_bit`.
    signed : bool
        Two's complement.
    photometric : str
        PhotometricInterpretation.
    planar : bool
        Native colour is stored a plane at a time.
    frames : int
        NumberOfFrames.
    floating : bool
        Values are IEEE floats.
    syntax : str
        Transfer syntax UID.
    """

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    signed: bool
    photometric: str
    planar: bool
    frames: int
    floating: bool
    syntax: str

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the stored values, native byte order; 1-bit values are uint8."""
        if self.floating:
            return np.dtype(f"f{self.bits_allocated // 8}")
        return np.dtype(f"{'i' if self.signed else 'u'}{max(1, self.bits_allocated // 8)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """``(rows, columns)`` or ``(rows, columns, 3)`` of the stored values."""
        return (self.rows, self.columns) if self.samples == 1 else (self.rows, self.columns, self.samples)

    @property
    def nbytes(self) -> int:
        """Bytes of one decoded frame, before colour tables are applied."""
        return self.rows * self.columns * self.samples * self.dtype.itemsize

    @property
    def value_range(self) -> tuple[int, int]:
        """Lowest and highest value that the stored bits can hold (integers only)."""
        if self.signed:
            return -(1 << (self.bits_stored - 1)), (1 << (self.bits_stored - 1)) - 1
        return 0, (1 << self.bits_stored) - 1


def describe(header: Header) -> FrameDescription:
    """Read and check the pixel description of a header; kept with the header.

    Raises
    ------
    FormatError
        There are no pixels, or an attribute is missing or impossible; it is named.
    """
    kept = header._cache.get("description")
    if kept is None:
        kept = header._cache["description"] = _describe_as_before(header)
    result: FrameDescription = kept
    return result


_ATTRIBUTES = (
    "Rows", "Columns", "PhotometricInterpretation", "SamplesPerPixel", "BitsAllocated", "BitsStored", "HighBit",
    "NumberOfFrames", "PixelRepresentation", "PlanarConfiguration",
)  # fmt: skip
_before: dict[tuple[Any, ...], FrameDescription] = {}


def _describe_as_before(header: Header) -> FrameDescription:
    """The files of a series are described alike: what was read and checked once need not be again."""
    span = header.pixels
    key = (*map(header.values.get, _ATTRIBUTES), header.transfer_syntax, None if span is None else span.keyword)
    known = _before.get(key)
    if known is None:
        known = _describe(header)
        if len(_before) > 64:
            _before.clear()
        _before[key] = known
    return known


def _describe(header: Header) -> FrameDescription:
    file = str(header.location)
    if header.pixels is None:
        raise FormatError("the file has no pixels", file=file, attribute="PixelData", fix="name a file with an image")

    def bad(keyword: str, value: object) -> FormatError:
        what = "is missing" if value is None else f"{value!r} is not possible"
        return FormatError(what, file=file, attribute=keyword, fix="get the file anew from its source")

    def number(keyword: str, low: int, high: int, default: int | None = None) -> int:
        value = header.get(keyword, default)
        if not isinstance(value, int) or not low <= value <= high:
            raise bad(keyword, value)
        return value

    rows, columns = number("Rows", 1, 65535), number("Columns", 1, 65535)
    photometric = str(header.get("PhotometricInterpretation", "")).upper()
    samples = number("SamplesPerPixel", 1, 4, 3 if photometric in _COLOUR else 1)
    if samples not in (1, 3):
        raise bad("SamplesPerPixel", samples)
    if not photometric:
        photometric = "MONOCHROME2" if samples == 1 else "RGB"
    if (photometric in _COLOUR and samples != 3) or (photometric in _MONOCHROME and samples != 1):
        raise FormatError(
            f"{photometric} does not go with SamplesPerPixel {samples}",
            file=file,
            attribute="PhotometricInterpretation",
        )
    floating = header.pixels.keyword != "PixelData"
    allocated = number("BitsAllocated", 1, 64, None)
    if allocated not in ((32, 64) if floating else (1, 8, 16, 32, 64)):
        raise bad("BitsAllocated", allocated)
    stored = allocated if floating else number("BitsStored", 1, allocated, allocated)
    high = stored - 1 if floating else number("HighBit", stored - 1, allocated - 1, stored - 1)
    frames = number("NumberOfFrames", 0, 2**31, 1) or 1  # some writers put 0 for a single frame
    return FrameDescription(
        rows=rows,
        columns=columns,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high,
        signed=not floating and number("PixelRepresentation", 0, 1, 0) == 1,
        photometric=photometric,
        planar=samples == 3 and number("PlanarConfiguration", 0, 1, 0) == 1,
        frames=frames,
        floating=floating,
        syntax=header.transfer_syntax,
    )


def check_memory(nbytes: int, *, file: str | None = None, what: str = "the pixels") -> None:
    """Refuse an allocation that this machine cannot hold.

    Raises
    ------
    TooLargeError
        More than the memory that is free now (nine tenths of it).
    """
    free = available_memory()
    if free is not None and nbytes > 0.9 * free:
        raise TooLargeError(
            f"{what} need {nbytes / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free",
            file=file,
            attribute="Rows, Columns, NumberOfFrames",
            fix="use a machine with more memory, or fewer files",
        )


def available_memory() -> int | None:
    """Bytes that can be allocated now without swapping, or None where the system does not tell."""
    limits = []
    try:
        with open("/proc/meminfo", "rb") as stream:  # noqa: PTH123
            for line in stream:
                if line.startswith(b"MemAvailable:"):
                    limits.append(int(line.split()[1]) * 1024)
                    break
    except OSError:
        with suppress(AttributeError, ValueError, OSError):
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    try:
        import resource

        soft, _ = resource.getrlimit(resource.RLIMIT_AS)
        if soft != resource.RLIM_INFINITY:
            with open("/proc/self/statm", "rb") as stream:  # noqa: PTH123
                used = int(stream.read().split()[0]) * resource.getpagesize()
            limits.append(max(0, soft - used))
    except (ImportError, OSError, ValueError):
        pass
    return min(limits) if limits else None


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One frame, or one tile of it, and how its stored values become output values.

    Parameters
    ----------
    header : Header
        Of the file.
    index : int
        0-based frame.
    slope, intercept : float
        Output value = slope * stored value + intercept.
    region : tuple of int or None
        (row0, row1, column0, column1), half open: a tile of a mosaic. None is the whole frame.
    """

    header: Header
    index: int
    slope: float = 1.0
    intercept: float = 0.0
    region: tuple[int, int, int, int] | None = None
