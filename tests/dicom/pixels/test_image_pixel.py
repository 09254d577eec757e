"""Damaged and hostile files: a clear error of ours or a read, in bounded time and memory, never anything else."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpukit.dicom.pixels.frames import FrameRef, allocate, decode_into, read_frame, verify
from gpukit.dicom.reader.discovery import Location, discover
from gpukit.dicom.reader.headers import read_header, scan
from gpukit.errors import FormatError, GpukitError, TooLargeError

META = b"\0" * 128 + b"DICM" + b"\2\0\0\0UL\4\0"
EXPLICIT = b"1.2.840.10008.1.2.1\0"
J2K = b"1.2.840.10008.1.2.4.90"
DEFLATED = b"1.2.840.10008.1.2.1.99"


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + vr
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return head + struct.pack("<HI", 0, size) + value
    return head + struct.pack("<H", size) + value


def file_with(body: bytes, syntax: bytes = EXPLICIT) -> bytes:
    meta = element(0x00020010, b"UI", syntax)
    return META + struct.pack("<I", len(meta)) + meta + body


def image(rows: int, columns: int, pixels: bytes, frames: int = 1) -> bytes:
    """An uncompressed image data set around a pixel element."""
    return (
        element(0x00280002, b"US", struct.pack("<H", 1))
        + element(0x00280004, b"CS", b"MONOCHROME2 ")
        + element(0x00280008, b"IS", str(frames).encode().ljust(10))
        + element(0x00280010, b"US", struct.pack("<H", rows))
        + element(0x00280011, b"US", struct.pack("<H", columns))
        + element(0x00280100, b"US", struct.pack("<H", 16))
        + element(0x00280101, b"US", struct.pack("<H", 16))
        + element(0x00280103, b"US", struct.pack("<H", 0))
        + pixels
    )


def attempt(path: Path) -> GpukitError | None:
    """Header and all frames; any error that is not ours escapes and fails the test."""
    try:
        header = read_header(Location(str(path)))
        if header.pixels is not None:
            for index in range(min(3, header.get("NumberOfFrames", 1))):
                read_frame(header, index)
            header.dataset()
    except GpukitError as error:
        assert str(path) in str(error), "the message does not name the file"
        assert "\n" not in str(error)
        return error
    return None


def test_every_malformed_file_is_read_or_refused_with_its_name(data: Path) -> None:
    outcomes = {}
    import pydicom  # noqa: F401 - its import is not part of what is measured

    for path in sorted((data / "malformed").iterdir()):
        began = time.process_time()
        tracemalloc.start()
        outcomes[path.name] = attempt(path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        # tens of milliseconds on an idle machine; the files are small, whatever they claim
        assert time.process_time() - began < 10, path.name
        assert peak < 200 << 20, path.name
    attributes = {name: error.attribute for name, error in outcomes.items() if error is not None}
    assert attributes.get("3gb-bulk-data-truncated") == "SamplesPerPixel"
    assert attributes.get("badVR.dcm") == "NumberOfFrames"
    assert attributes.get("MR_truncated.dcm") == "Rows, Columns, PixelData"
    assert "rtplan_truncated.dcm" in attributes
    assert "no_meta.dcm" in attributes
    # and these can be read for what they are
    for name in ("J2K_pixelrep_mismatch.dcm", "ExplVR_LitEndNoMeta.dcm", "UN_sequence.dcm", "no_meta_group_length.dcm"):
        assert outcomes[name] is None, outcomes[name]


def sources(data: Path) -> list[Path]:
    names = (
        "compressed/nema_wg04/CT1/CT1_J2KR compressed/nema_wg04/CT1/CT1_JPLL compressed/nema_wg04/MR3/MR3_JLSL "
        "compressed/nema_wg04/CT1/CT1_RLE compressed/emri/emri_small_big_endian.dcm compressed/emri/emri_small.dcm "
        "compressed/jpeg_colour/SC_rgb_dcmtk_+eb+cr.dcm compressed/deflated/image_dfl.dcm "
        "compressed/seg_frames/liver_nonbyte_aligned_rle.dcm compressed/seg_frames/liver_nonbyte_aligned_deflate.dcm "
        "malformed/UN_sequence.dcm malformed/no_preamble_dicm_in_data sr/dcmtk_reference us/color-pl.dcm"
    )
    return [data / name for name in names.split() if (data / name).is_file()]


@given(st.integers(0, 10**9))
@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_damage_never_escapes(data: Path, tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    body = bytearray(rng.choice(sources(data)).read_bytes())
    kind = rng.randrange(4)
    if kind == 0:
        del body[rng.randrange(len(body)) :]
    else:
        # most of the structure is in the first bytes
        for _ in range(rng.randrange(1, 12)):
            at = rng.randrange(min(len(body), rng.choice([400, 3000, len(body)])))
            body[at] = rng.choice([0, 0xFF, rng.randrange(256), body[at] ^ (1 << rng.randrange(8))])
    if kind == 3:
        at = rng.randrange(len(body))
        body[at:at] = body[rng.randrange(len(body)) :][: rng.randrange(200)]
    path = tmp_path / "damaged.dcm"
    path.write_bytes(body)
    began = time.process_time()
    attempt(path)
    # a second is ample; the bound is for a hang
    assert time.process_time() - began < 10


@given(st.binary(max_size=400))
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_arbitrary_bytes_never_escape(tmp_path: Path, junk: bytes) -> None:
    for body in (junk, file_with(junk), file_with(junk, DEFLATED), file_with(zlib.compress(junk)[2:-4], DEFLATED)):
        (tmp_path / "junk").write_bytes(body)
        attempt(tmp_path / "junk")


def test_pixels_that_are_not_there_are_refused_before_allocation(tmp_path: Path) -> None:
    """60,000 x 60,000 pixels over a body of one kilobyte, native and compressed."""
    fragment = struct.pack("<HHIHHI", 0xFFFE, 0xE000, 0, 0xFFFE, 0xE000, 1000)
    fragment += b"\xff\x4f\xff\x51" + b"\0" * 996
    fragment += struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    cases = {
        "native": file_with(image(60000, 60000, element(0x7FE00010, b"OW", b"\0" * 1000))),
        "claimed": file_with(image(60000, 60000, element(0x7FE00010, b"OW", b"\0" * 1000, length=0xFFFFFFF0))),
        "compressed": file_with(image(60000, 60000, element(0x7FE00010, b"OB", fragment, 0xFFFFFFFF)), J2K),
        "frames": file_with(image(512, 512, element(0x7FE00010, b"OW", b"\0" * 1000), frames=2_000_000)),
    }
    for name, body in cases.items():
        path = tmp_path / name
        path.write_bytes(body)
        tracemalloc.start()
        header = read_header(Location(str(path)))
        for refuse in (
            lambda header=header: read_frame(header, 0),
            lambda header=header: verify(header),
            lambda header=header: allocate([FrameRef(header, 0)], (1, 60000, 60000), np.uint16),
        ):
            with pytest.raises((FormatError, TooLargeError)) as caught:
                refuse()
            assert "Rows, Columns" in str(caught.value)
            assert str(path) in str(caught.value)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 10 << 20, name


def test_numbers_that_are_none_in_functional_groups_are_refused(data: Path, tmp_path: Path) -> None:
    import gpukit as gk

    body = (data / "mr_enhanced/siemens_xa10/6_3.dcm").read_bytes()
    at = body.index(b"\x20\0\x32\0DS") + 8  # ImagePositionPatient of the first frame
    (tmp_path / "x.dcm").write_bytes(body[:at] + b"nan?" + body[at + 4 :])
    with pytest.raises(FormatError, match="ImagePositionPatient") as caught:
        gk.open(tmp_path / "x.dcm", device="cpu")
    assert "x.dcm" in str(caught.value)


def test_a_zip_whose_directory_points_nowhere(data: Path, tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.write(data / "compressed/emri/emri_small.dcm", "a.dcm")
    body = bytearray((tmp_path / "x.zip").read_bytes())
    entry = body.rindex(b"PK\1\2")
    body[entry + 42 : entry + 46] = b"\xfe\xff\xff\xff"
    (tmp_path / "x.zip").write_bytes(body)
    with pytest.raises(GpukitError, match=r"x\.zip"):
        for location in discover(tmp_path / "x.zip"):
            read_header(location)


def test_a_dicomdir_with_impossible_names(data: Path, tmp_path: Path) -> None:
    body = (data / "dicomdir/DICOMDIR").read_bytes()
    (tmp_path / "DICOMDIR").write_bytes(body.replace(b"77654033\\CR1", b"7765\x004033\\C", 1))
    with pytest.raises(GpukitError):
        discover(tmp_path / "DICOMDIR")


@pytest.mark.parametrize("length", [0xFFFFFFF0, 0x7FFFFFFF, 1 << 20])
def test_a_length_beyond_the_file_names_attribute_and_file(tmp_path: Path, length: int) -> None:
    path = tmp_path / "x"
    path.write_bytes(file_with(element(0x00081030, b"UT", b"abc", length=length)))
    with pytest.raises(FormatError) as caught:
        read_header(Location(str(path)))
    assert caught.value.attribute == "StudyDescription"
    assert "truncated" in str(caught.value)


@pytest.mark.parametrize("implicit", [False, True])
def test_bottomless_nesting_ends(tmp_path: Path, implicit: bool) -> None:
    if implicit:
        level = struct.pack("<HHI", 0x0008, 0x1140, 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        body = file_with(struct.pack("<HHI", 8, 5, 0) + level * 50_000, b"1.2.840.10008.1.2\0")
    else:
        level = element(0x00081140, b"SQ", b"", length=0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
        body = file_with(level * 50_000)
    (tmp_path / "x").write_bytes(body)
    with pytest.raises(FormatError, match="nested too deeply"):
        read_header(Location(str(tmp_path / "x")))


def test_a_deflated_header_cannot_expand_without_bound(tmp_path: Path) -> None:
    """A private value of 60 MiB of zeros that deflates to 60 KB: stepped over piece by piece, never held."""
    big = element(0x00090010, b"LO", b"MAKER ") + element(0x00091001, b"OB", b"", length=60 << 20)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(big)
    for _ in range(60):
        packed += packer.compress(bytes(1 << 20))
    packed += packer.compress(image(2, 2, element(0x7FE00010, b"OW", b"\1\0\2\0\3\0\4\0"))) + packer.flush()
    (tmp_path / "x").write_bytes(file_with(packed, DEFLATED))
    tracemalloc.start()
    header = read_header(Location(str(tmp_path / "x")))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert header.get("Rows") == 2
    assert peak < 30 << 20
    assert read_frame(header, 0).tolist() == [[1, 2], [3, 4]]
    # and one that claims to go on beyond the stream's end
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = packer.compress(element(0x00081030, b"LO", b"ab") + element(0x00091001, b"OB", b"abcd", length=1 << 20))
    (tmp_path / "y").write_bytes(file_with(packed + packer.flush(), DEFLATED))
    with pytest.raises(FormatError, match="ends within"):
        read_header(Location(str(tmp_path / "y")))


def test_a_deflated_file_that_breaks_off_is_an_error(data: Path, tmp_path: Path) -> None:
    body = (data / "compressed" / "deflated" / "image_dfl.dcm").read_bytes()
    for keep in (400, len(body) // 2, len(body) - 20):
        (tmp_path / "x").write_bytes(body[:keep])
        assert attempt(tmp_path / "x") is not None, keep


def test_a_truncated_series_tells_each_file(data: Path, tmp_path: Path) -> None:
    whole = [Path(location.path) for location in discover(data / "ct_tilt_ge")]
    for n, path in enumerate(whole[:12]):
        body = path.read_bytes()
        (tmp_path / f"{n:02d}").write_bytes(body if n % 3 else body[: len(body) // 2])
    outcome = scan(discover(tmp_path))
    assert not outcome.problems  # the headers are whole
    frames = [FrameRef(header, 0) for header in outcome.headers]
    shape = (len(frames), outcome.headers[0].get("Rows"), outcome.headers[0].get("Columns"))
    with pytest.raises(FormatError, match="truncated") as caught:
        decode_into(frames, np.empty(shape, np.int16))
    assert Path(caught.value.file or "").name in {"00", "03", "06", "09"}


def test_no_patient_data_in_messages(tmp_path: Path) -> None:
    body = element(0x00100010, b"PN", b"Secret^Name ") + element(0x00100020, b"LO", b"4711")
    (tmp_path / "x").write_bytes(file_with(body + element(0x00280010, b"US", b"", length=2)[:-1]))
    error = attempt(tmp_path / "x")
    assert error is not None
    assert "Secret" not in str(error)
    assert "4711" not in str(error)
