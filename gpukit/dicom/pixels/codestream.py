"""What a compressed frame says of itself, read from its first bytes.

A codec allocates what the codestream says, not what DICOM says, so this is compared before a codec sees a byte. The
layouts are those of ITU-T T.81 (JPEG) B.2, T.87 (JPEG-LS) C.2, T.800 (JPEG 2000) A.5 and ISO/IEC 18181-1 (JPEG XL).
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass

from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.errors import DecodeError

__all__ = ["Codestream", "inspect_codestream", "verify_segment_lengths"]

RLE = "1.2.840.10008.1.2.5"
JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
JPEG_EXTENDED = "1.2.840.10008.1.2.4.51"
JPEG_LOSSLESS = "1.2.840.10008.1.2.4.57"
JPEG_LOSSLESS_SV1 = "1.2.840.10008.1.2.4.70"
JPEG_LS = "1.2.840.10008.1.2.4.80"
JPEG_LS_NEAR = "1.2.840.10008.1.2.4.81"
J2K_LOSSLESS = "1.2.840.10008.1.2.4.90"
J2K = "1.2.840.10008.1.2.4.91"
J2K_MC_LOSSLESS = "1.2.840.10008.1.2.4.92"
J2K_MC = "1.2.840.10008.1.2.4.93"
JXL_LOSSLESS = "1.2.840.10008.1.2.4.110"
JXL_JPEG = "1.2.840.10008.1.2.4.111"
JXL = "1.2.840.10008.1.2.4.112"
HTJ2K_LOSSLESS = "1.2.840.10008.1.2.4.201"
HTJ2K_LOSSLESS_RPCL = "1.2.840.10008.1.2.4.202"
HTJ2K = "1.2.840.10008.1.2.4.203"
DEFLATED_FRAME = "1.2.840.10008.1.2.8.1"

_JPEG = {JPEG_BASELINE, JPEG_EXTENDED, JPEG_LOSSLESS, JPEG_LOSSLESS_SV1, JPEG_LS, JPEG_LS_NEAR}
_J2K = {J2K_LOSSLESS, J2K, J2K_MC_LOSSLESS, J2K_MC, HTJ2K_LOSSLESS, HTJ2K_LOSSLESS_RPCL, HTJ2K}


@dataclass(frozen=True, slots=True)
class Codestream:
    """Facts of one codestream.

    Parameters
    ----------
    rows, columns, components, precision : int
        0 where the format does not tell (RLE, deflate).
    signed : bool
        JPEG 2000 only.
    lossless : bool
        Whether the process is one without loss, where the codestream tells.
    colour_transform : bool
        The codestream's colours are transformed, and a decoder gives RGB.
    component_ids : bytes
        Of JPEG.
    adobe : int or None
        Transform of the Adobe marker, None without one.
    high_aligned : bool
        Values sit at HighBit as in native pixels (RLE, deflate), not at bit 0.
    """

    rows: int = 0
    columns: int = 0
    components: int = 0
    precision: int = 0
    signed: bool = False
    lossless: bool = False
    colour_transform: bool = False
    component_ids: bytes = b""
    adobe: int | None = None
    high_aligned: bool = False


def inspect_codestream(data: bytes, frame: FrameDescription) -> Codestream:
    """Read a codestream's header and compare it with what the file says.

    Raises
    ------
    DecodeError
        The codestream is not of its kind, or of another size.
    """
    if frame.syntax in _JPEG:
        stream = _jpeg(data, frame)
    elif frame.syntax in _J2K:
        stream = _jpeg2000(data, frame)
    elif frame.syntax in (JXL, JXL_JPEG, JXL_LOSSLESS):
        rows, columns = _jpeg_xl_size(data)
        stream = Codestream(rows, columns, frame.samples, colour_transform=frame.samples == 3)
    else:
        if frame.syntax == RLE:
            _verify_segments(data, frame)
        return Codestream(high_aligned=True)
    if (stream.rows, stream.columns, stream.components) != (frame.rows, frame.columns, frame.samples):
        raise DecodeError(
            f"the compressed image has {stream.rows} x {stream.columns} pixels of {stream.components} samples, "
            f"the header says {frame.rows} x {frame.columns} of {frame.samples}",
            attribute="Rows, Columns, SamplesPerPixel",
            fix="get the file anew from its source",
        )
    if frame.syntax in _JPEG or frame.syntax in _J2K:
        _verify_end(data)
    return stream


def _verify_segments(data: bytes, frame: FrameDescription) -> None:
    """The RLE header: a segment for each byte of each sample, one after the other within the data (PS3.5 G.5).

    imagecodecs crashes the interpreter where an offset leads outside.
    """
    count = 1 if frame.bits_allocated == 1 else frame.samples * frame.dtype.itemsize
    sound = len(data) >= 64 and count <= 15
    if sound:
        found, *offsets = struct.unpack_from(f"<{count + 1}I", data)
        sound = found == count and all(a < b for a, b in itertools.pairwise([63, *offsets, len(data)]))
    if not sound:
        raise DecodeError(
            f"the RLE header does not tell of {count} segments one after the other",
            attribute="PixelData",
            fix="the compressed data is damaged",
        )


def verify_segment_lengths(data: bytes, frame: FrameDescription) -> None:
    """That every RLE segment expands to a plane of bytes (PS3.5 G.3): looked at where a decoder refuses a frame.

    Raises
    ------
    DecodeError
        One is too short.
    """
    pixels = frame.rows * frame.columns
    packed = frame.bits_allocated == 1  # all samples of all pixels in one segment
    count = 1 if packed else frame.samples * frame.dtype.itemsize
    needed = (pixels * frame.samples + 7) // 8 if packed else pixels
    offsets = [*struct.unpack_from(f"<{count}I", data, 4), len(data)]
    for start, end in itertools.pairwise(offsets):
        position, length = start, 0
        while length < needed and position < end:
            code = data[position]
            if code < 128:
                length += min(code + 1, max(0, end - position - 1))
                position += code + 2
            else:
                length += 257 - code if code > 128 and position + 1 < end else 0
                position += 2 if code > 128 else 1
        if length < needed:
            raise DecodeError(
                f"an RLE segment holds {length} of {needed} bytes", attribute="PixelData", fix="copy the file again"
            )


def _verify_end(data: bytes) -> None:
    """A codestream that was cut off lacks its end marker; many codecs then fill the rest with grey and say nothing.

    The marker is FFD9 in JPEG, JPEG-LS and JPEG 2000 alike, and none of them has these bytes within compressed data.
    """
    if b"\xff\xd9" not in data[-_PADDING:]:
        raise DecodeError(
            "the compressed frame is cut off: its end marker is missing",
            attribute="PixelData",
            fix="copy the file again",
        )


_PADDING = 4096  # some writers let more than the one byte follow that makes the length even


def _jpeg(data: bytes, frame: FrameDescription) -> Codestream:
    position = data.find(b"\xff\xd8")
    if position != 0:
        raise DecodeError("the compressed frame is not a JPEG codestream", attribute="PixelData")
    position = 2
    adobe: int | None = None
    jfif = False
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            break
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
            continue
        if 0xD0 <= marker <= 0xD8 or marker == 0x01:
            position += 2
            continue
        length = struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : position + 2 + length]
        if marker == 0xEE and body[:5] == b"Adobe" and len(body) >= 12:
            adobe = body[11]
        elif marker == 0xE0 and body[:4] == b"JFIF":
            jfif = True
        elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if len(body) < 6:
                break
            precision, rows, columns, components = struct.unpack_from(">BHHB", body)
            if marker != 0xF7 and not all(
                1 <= half <= 4 for f in body[7 : 6 + 3 * components : 3] for half in divmod(f, 16)
            ):
                raise DecodeError("the sampling of the JPEG codestream is impossible", attribute="PixelData")
            ids = body[6 : 6 + 3 * components : 3]
            lossless = marker in (0xC3, 0xC7, 0xCB, 0xCF, 0xF7)
            transform = components == 3 and not lossless and _is_transformed(adobe, jfif, ids, frame)
            return Codestream(rows, columns, components, precision, False, lossless, transform, ids, adobe)
        position += 2 + length
    raise DecodeError("the JPEG codestream has no frame header", attribute="PixelData")


def _is_transformed(adobe: int | None, jfif: bool, ids: bytes, frame: FrameDescription) -> bool:
    """Whether lossy JPEG components are YCbCr.

    The codestream's own statements weigh more than DICOM's: the Adobe marker, then component names R, G, B. Without
    these DICOM's PhotometricInterpretation decides (PS3.5 8.2.1 asks that the two agree).
    """
    if adobe is not None:
        return adobe != 0
    if ids == b"RGB":
        return False
    if jfif:
        return True
    return frame.photometric != "RGB"


def _jpeg2000(data: bytes, frame: FrameDescription) -> Codestream:
    start = data.find(b"\xff\x4f\xff\x51", 0, 4096)  # some writers keep the JP2 boxes, which DICOM forbids
    if start < 0 or len(data) < start + 46:
        raise DecodeError("the compressed frame is not a JPEG 2000 codestream", attribute="PixelData")
    xsize, ysize, xorigin, yorigin = struct.unpack_from(">4I", data, start + 8)
    components = struct.unpack_from(">H", data, start + 40)[0]
    depth = data[start + 42]
    _verify_tiles(data, start, components)
    transform = False
    position = start + 4 + struct.unpack_from(">H", data, start + 4)[0]
    lossless = False
    while position + 4 <= len(data) and data[position] == 0xFF and data[position + 1] != 0x90:
        marker, length = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        if marker == 0x52 and length >= 12 and position + 14 <= len(data):  # COD
            _verify_coding(data[position + 4 : position + 14])
            transform = data[position + 8] == 1
            lossless = data[position + 13] == 1  # reversible 5/3
            break
        position += 2 + length
    return Codestream(
        ysize - yorigin,
        xsize - xorigin,
        components,
        (depth & 0x7F) + 1,
        bool(depth & 0x80),
        lossless,
        components == 3 and (transform or not frame.photometric.startswith("YBR_FULL")),
    )


def _verify_tiles(data: bytes, start: int, components: int) -> None:
    """Tiles and samplings that T.800 A.5.1 allows; a parser that divides by one of these without a look crashes."""
    x, y, x0, y0, width, height, left, top = struct.unpack_from(">8I", data, start + 8)
    sampling = data[start + 42 : start + 42 + 3 * components]
    possible = (
        x0 < x < 1 << 31 and y0 < y < 1 << 31
        and left <= x0 < left + width and top <= y0 < top + height
        and struct.unpack_from(">H", data, start + 4)[0] == 38 + 3 * components == 38 + len(sampling)
        and all(sampling[1::3]) and all(sampling[2::3])
        and -(-(x - left) // width) * -(-(y - top) // height) <= 65535
    )  # fmt: skip
    if not possible:
        raise DecodeError("the size marker of the JPEG 2000 codestream is impossible", attribute="PixelData")


def _verify_coding(body: bytes) -> None:
    """Style of T.800 A.6.1: Scod, progression, layers (2 bytes), component transform, levels, code-block exponents."""
    layers = body[2] << 8 | body[3]
    levels, width, height, transform = body[5], body[6] & 15, body[7] & 15, body[9]
    if not layers or body[1] > 4 or body[4] > 1 or levels > 32 or width + height > 8 or transform > 1:
        raise DecodeError("the coding style of the JPEG 2000 codestream is impossible", attribute="PixelData")


def _jpeg_xl_size(data: bytes) -> tuple[int, int]:
    """Rows and columns (ISO/IEC 18181-1 annex D): a bit stream, lowest bit first, after the two-byte signature."""
    start = 0
    if data[:12] == b"\x00\x00\x00\x0cJXL \x0d\x0a\x87\x0a":
        start = data.find(b"\xff\x0a", 12, 4096)
    if start < 0 or data[start : start + 2] != b"\xff\x0a" or len(data) < start + 12:
        raise DecodeError("the compressed frame is not a JPEG XL codestream", attribute="PixelData")
    bits = int.from_bytes(data[start + 2 : start + 14], "little")

    def take(n: int) -> int:
        nonlocal bits
        value = bits & ((1 << n) - 1)
        bits >>= n
        return value

    def size() -> int:
        return 1 + take((9, 13, 18, 30)[take(2)])

    small = take(1)
    rows = (take(5) + 1) * 8 if small else size()
    ratio = take(3)
    if ratio:
        numerator, denominator = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
        columns = rows * numerator // denominator
    else:
        columns = (take(5) + 1) * 8 if small else size()
    return rows, columns
