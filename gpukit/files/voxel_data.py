"""The stored voxels of a file: exactly as many bytes as its header claims, or an error.

Every element of the array that comes back was filled from the file. Compressed data is expanded up to the claim, and at
most one byte further, to see that it ends there; checksums are verified. Nothing is mapped: what happens to the file
afterwards cannot change the array.
"""

from __future__ import annotations

import bz2
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.buffers import empty
from gpukit.errors import FormatError, TooLargeError

__all__ = ["ENCODINGS", "StoredVoxels", "read_voxels"]

#: How stored bytes become voxels, and how far they can expand: deflate no better than about 1032 to 1 (zlib's technical
#: notes); bzip2 has no bound that would refuse anything, so there the machine's memory is the limit.
ENCODINGS = {"raw": 1, "ascii": 1, "hex": 1, "deflate": 1040, "bzip2": None}
#: Compressed bytes read, and bytes expanded, at a time: what stays in the processor's caches is fastest.
_PACKED, _EXPANDED = 1 << 16, 1 << 18
_TEXT = 1 << 20
_GZIP = b"\x1f\x8b"
#: A text line that is longer is not a header line; what is skipped as a line may not be longer either.
_LONGEST_LINE = 1 << 20


@dataclass(frozen=True, slots=True)
class StoredVoxels:
    """Where one piece of the voxels is stored.

    Parameters
    ----------
    path : Path
        The file.
    offset : int
        First byte of the stored data; -1 says that raw voxels are the last bytes of the file.
    length : int or None
        Bytes of the stored data; None is the rest of the file.
    lines : int
        Lines of text to skip from `offset` on, before anything is expanded.
    skip : int
        Bytes to skip after that; of compressed data, expanded bytes.
    least : int
        Bytes of a header at the begin of the file, in which the voxels cannot lie.
    """

    path: Path
    offset: int = 0
    length: int | None = None
    lines: int = 0
    skip: int = 0
    least: int = 0


def read_voxels(
    pieces: Sequence[StoredVoxels],
    kind: np.dtype[Any],
    shape: Sequence[int],
    *,
    encoding: str,
    file: str | os.PathLike[str],
    longer: bool = False,
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return voxels from their files, each of which holds an equal share.

    Parameters
    ----------
    pieces : sequence of StoredVoxels
        In the order of the voxels.
    kind : dtype
        Of a stored voxel, with its byte order.
    shape : sequence of int
        Sizes that the header claims, the slowest axis first; their product must be a multiple of the pieces.
    encoding : str
        A key of `ENCODINGS`.
    file : path-like
        The header, for messages.
    longer : bool
        Whether compressed data may hold more than is claimed (a note says so). Raw data may.

    Returns
    -------
    ndarray
        Of `shape`, C order, native byte order, owned by the caller.
    tuple of str
        What a user must know.

    Raises
    ------
    FormatError
        The data is too short, damaged, or longer than claimed.
    TooLargeError
        The claim exceeds the memory of this machine.
    """
    sizes = [_stored_bytes(piece, kind, file) for piece in pieces]
    # A number in text takes a digit and a separator at least, in hexadecimal two digits a byte.
    packed = {"ascii": 2 / kind.itemsize, "hex": 2.0}.get(encoding, 1.0)
    there = int(sum(sizes) / packed) + (1 if encoding == "ascii" else 0)
    _check_claim(file, shape, kind.itemsize, stored=there, expansion=ENCODINGS[encoding])
    flat = empty((int(np.prod([int(n) for n in shape], dtype=object)),), kind)
    share, remainder = divmod(len(flat), len(pieces))
    if remainder:
        raise FormatError(f"{len(pieces)} data files do not divide the sizes {tuple(shape)}", file=file)
    notes: dict[str, None] = {}
    for n, piece in enumerate(pieces):
        target = flat[n * share : (n + 1) * share]
        with _errors_of(piece, file), piece.path.open("rb") as stream:
            more = _fill(stream, piece, target, encoding, longer=longer)
        if more:
            notes[f"{piece.path.name} holds {more} than its header declares: the rest was not read"] = None
    if not kind.isnative:
        flat = flat.byteswap(inplace=True).view(kind.newbyteorder("="))
    return flat.reshape(tuple(int(n) for n in shape)), tuple(notes)


@contextmanager
def _errors_of(piece: StoredVoxels, file: str | os.PathLike[str]) -> Iterator[None]:
    """Errors of the operating system and of the decompressors, as one that names the file."""
    try:
        yield
    except FormatError as error:
        error.file = os.fspath(file)
        raise
    except (OSError, EOFError, ValueError, OverflowError, zlib.error) as error:
        words = " ".join(str(error).split())[:200] or type(error).__name__
        where = "" if piece.path.name == Path(file).name else f" of {piece.path.name}"
        raise FormatError(
            f"the voxels{where} cannot be read ({words})", file=file, fix="copy the file again"
        ) from error


def _stored_bytes(piece: StoredVoxels, kind: np.dtype[Any], file: str | os.PathLike[str]) -> int:
    try:
        size = piece.path.stat().st_size
    except OSError as error:
        raise FormatError(f"{piece.path.name} cannot be read: {error.strerror}", file=file) from error
    there = size if piece.offset < 0 else max(0, size - piece.offset)
    return there if piece.length is None else min(there, max(0, piece.length))


def _cut(count: int, needed: int) -> FormatError:
    return FormatError(
        f"the voxels end after {count:,} of {needed:,} bytes",
        fix="the file is cut off or its header is damaged: copy it again",
    )


def _fill(stream: BinaryIO, piece: StoredVoxels, target: NDArray[Any], encoding: str, *, longer: bool) -> str:
    """Fill the array from an open file; returns how much more is there, in words, else nothing."""
    end = stream.seek(0, os.SEEK_END)
    if piece.offset < 0:
        if encoding != "raw" or end < target.nbytes:
            raise FormatError("the voxels cannot be the last bytes of the file")
        start = end - target.nbytes
    else:
        start = piece.offset
    if start < piece.least:
        raise FormatError(
            f"the voxels would begin at byte {start:,}, within the header of {piece.least:,} bytes",
            fix="the file is cut off or its header is damaged: copy it again",
        )
    if piece.length is not None:
        if start + piece.length > end:
            raise _cut(max(0, end - start), piece.length)
        end = start + piece.length
    stream.seek(start)
    for _ in range(piece.lines):
        if not stream.readline(_LONGEST_LINE) or stream.tell() > end:
            raise FormatError(f"the file ends before the {piece.lines:,} lines that its header skips")
    if encoding in ("ascii", "hex"):
        return _fill_from_text(stream, piece, target, end, hexadecimal=encoding == "hex")
    view = memoryview(target.view(np.uint8).data) if target.size else memoryview(b"")
    if encoding == "raw":
        stream.seek(piece.skip, os.SEEK_CUR)
        return _fill_raw(stream, view, end)
    return _Expanding(stream, end, encoding).fill(view, piece.skip, longer=longer)


def _fill_raw(stream: BinaryIO, view: memoryview, end: int) -> str:
    there = max(0, end - stream.tell())
    if there < len(view):
        raise _cut(there, len(view))
    offset = 0
    while offset < len(view) and (got := stream.readinto(view[offset : offset + (1 << 30)])):  # type: ignore[attr-defined]
        offset += got
    if offset < len(view):
        raise _cut(offset, len(view))
    more = there - len(view)
    return f"{more:,} bytes more" if more else ""


class _Expanding:
    """Compressed bytes of a file, expanded piece by piece; several gzip members one after the other are one stream."""

    def __init__(self, stream: BinaryIO, end: int, encoding: str) -> None:
        self._stream, self._end, self._encoding = stream, end, encoding
        self._packed = b""
        self._decoder: Any = None

    def _start(self) -> None:
        # 47: zlib or gzip, by what is there
        self._decoder = bz2.BZ2Decompressor() if self._encoding == "bzip2" else zlib.decompressobj(47)

    def _read_packed(self) -> bytes:
        return self._stream.read(max(0, min(_PACKED, self._end - self._stream.tell())))

    def expand(self, most: int) -> bytes:
        """Up to `most` bytes, at least one; none at the end of the data.

        Raises
        ------
        EOFError
            The compressed data is cut off.
        """
        while True:
            if self._decoder is None or self._decoder.eof:
                if not self._next_member():
                    return b""
                self._start()
            needs = self._encoding != "bzip2" or self._decoder.needs_input
            if needs and not self._packed:
                self._packed = self._read_packed()
                if not self._packed:
                    raise EOFError("the compressed data is cut off")
            block = self._decoder.decompress(self._packed, most)
            if self._decoder.eof:
                self._packed = self._decoder.unused_data
            else:
                self._packed = b"" if self._encoding == "bzip2" else self._decoder.unconsumed_tail
            if block:
                return bytes(block)

    def _next_member(self) -> bool:
        first = self._decoder is None
        if len(self._packed) < 2:
            self._packed += self._read_packed()
        if first:
            return True
        return self._packed[:2] == (b"BZ" if self._encoding == "bzip2" else _GZIP)

    def fill(self, view: memoryview, skip: int, *, longer: bool) -> str:
        """Fill `view` after `skip` expanded bytes; returns ``"more"`` where the data goes on and `longer` allows it."""
        passed = 0
        while passed < skip:
            block = self.expand(min(_EXPANDED, skip - passed))
            if not block:
                raise _cut(0, len(view))
            passed += len(block)
        offset = 0
        while offset < len(view):
            try:
                block = self.expand(min(_EXPANDED, len(view) - offset))
            except EOFError:
                block = b""
            if not block:
                raise _cut(offset, len(view))
            view[offset : offset + len(block)] = block
            offset += len(block)
        if not self.expand(1):
            return ""
        if longer:
            return "more"
        raise FormatError(
            "the compressed data holds more voxels than the header declares", fix="correct the sizes in the header"
        )


def _fill_from_text(stream: BinaryIO, piece: StoredVoxels, target: NDArray[Any], end: int, *, hexadecimal: bool) -> str:
    """Numbers separated by white space (or commas), or bytes as pairs of hexadecimal digits."""
    if piece.skip:
        stream.seek(piece.skip, os.SEEK_CUR)
    offset, rest = 0, b""
    view = memoryview(target.view(np.uint8).data) if target.size else memoryview(b"")
    while True:
        block = stream.read(max(0, min(_TEXT, end - stream.tell())))
        text = rest + block
        if hexadecimal:
            digits = b"".join(text.split())
            whole = len(digits) // 2 * 2
            values, rest = bytes.fromhex(digits[:whole].decode("ascii", "strict")), digits[whole:]
            values = values[: len(view) - offset]
            view[offset : offset + len(values)] = values
            offset += len(values)
            full = offset == len(view)
        else:
            words = text.replace(b",", b" ").split()
            rest = b""
            if block and words and not text[-1:].isspace() and text[-1:] != b",":
                rest = words.pop()
            if len(rest) > 64:
                raise ValueError("a number has more than 64 characters")
            words = words[: len(target) - offset]
            target[offset : offset + len(words)] = _numbers(words, target.dtype)
            offset += len(words)
            full = offset == len(target)
        if full:
            return ""
        if not block:
            raise _cut(offset if hexadecimal else offset * target.itemsize, target.nbytes)


def _numbers(words: list[bytes], kind: np.dtype[Any]) -> NDArray[Any]:
    if kind.kind == "f":
        return np.array([float(word) for word in words], np.float64)
    native = kind.newbyteorder("=")
    info = np.iinfo(native)
    whole = [int(word) for word in words]
    if whole and not (info.min <= min(whole) and max(whole) <= info.max):
        raise ValueError(f"a number does not fit the type {native.name}")
    return np.array(whole, native)


def _check_claim(
    path: str | os.PathLike[str], shape: Sequence[int], itemsize: int, *, stored: int, expansion: int | None
) -> None:
    """Refuse a header that claims more voxels than the file can hold or the machine can take."""
    if not shape or min(shape) < 1:
        raise FormatError(f"the sizes {tuple(shape)} are not all positive", file=path)
    claimed = math.prod(int(n) for n in shape) * itemsize
    if expansion is not None and claimed > stored * expansion:
        raise FormatError(
            f"the header claims {claimed:,} bytes of voxels {tuple(shape)}, the file has {stored:,}",
            file=path,
            fix="the file is cut off or its header is damaged: copy it again",
        )
    total = _physical_memory()
    if total is not None and claimed > total:
        raise TooLargeError(
            f"the voxels {tuple(shape)} need {claimed / 2**30:.1f} GiB, this machine has {total / 2**30:.1f}", file=path
        )


def _physical_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
