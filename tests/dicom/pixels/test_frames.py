"""Uncompressed frames: the stored values that pydicom reads, exact rescaling, every bit layout, bounded memory."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.pixels import pixel_array
from pydicom.uid import UID

from gpukit.dicom.pixels.frames import FrameRef, allocate, decode_into, frame_format, read_frame, verify
from gpukit.dicom.pixels.image_pixel import NATIVE
from gpukit.dicom.reader.discovery import Location, discover
from gpukit.dicom.reader.elements import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from gpukit.dicom.reader.headers import Header, read_header, scan
from gpukit.errors import DecodeError, FormatError, TooLargeError


def write(
    path: Path,
    pixels: bytes,
    *,
    rows: int,
    columns: int,
    allocated: int = 16,
    stored: int | None = None,
    high: int | None = None,
    signed: bool = False,
    samples: int = 1,
    photometric: str = "MONOCHROME2",
    planar: int = 0,
    frames: int | None = None,
    syntax: str = EXPLICIT,
    keyword: str = "PixelData",
    vr: str | None = None,
    **more: Any,
) -> Header:
    """A small file with these pixel bytes, and its header as we read it."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID = "1.2.840.10008.5.1.4.1.1.7", "1.2.3"
    data.Rows, data.Columns, data.SamplesPerPixel, data.PhotometricInterpretation = rows, columns, samples, photometric
    data.BitsAllocated = allocated
    if keyword == "PixelData":
        data.BitsStored = stored or allocated
        data.HighBit = (stored or allocated) - 1 if high is None else high
        data.PixelRepresentation = int(signed)
    if samples > 1:
        data.PlanarConfiguration = planar
    if frames is not None:
        data.NumberOfFrames = frames
    for key, value in more.items():
        setattr(data, key, value)
    setattr(data, keyword, pixels + b"\0" * (len(pixels) % 2))
    if keyword == "PixelData":
        data["PixelData"].VR = vr or ("OW" if allocated > 8 or syntax == IMPLICIT else "OB")
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = UID(syntax)
    pydicom.dcmwrite(
        path, data, enforce_file_format=True, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN
    )
    return read_header(Location(str(path)))


def test_every_uncompressed_real_file_has_pydicoms_pixels(data: Path) -> None:
    compared = 0
    for header in scan(discover(data)).headers:
        if header.pixels is None or header.transfer_syntax not in NATIVE or "malformed" in header.location.path:
            continue
        if header.get("PhotometricInterpretation") == "PALETTE COLOR" or header.transfer_syntax == DEFLATED:
            continue  # below and in test_decoders.py
        path = Path(header.location.path)
        if "sts_001_raw" in path.parts and compared % 10:  # 268 alike: a tenth will do
            compared += 1
            continue
        frames = header.get("NumberOfFrames", 1)
        for index in {0, frames // 2, frames - 1}:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = pixel_array(path, index=index)
            ours = read_frame(header, index)
            assert ours.dtype == theirs.dtype.newbyteorder("="), path
            assert np.array_equal(ours, theirs), path
            assert frame_format(header)[:2] == (ours.shape, ours.dtype), path
        compared += 1
    assert compared > 300


WHOLE = st.tuples(
    st.sampled_from([8, 16, 32]), st.booleans(), st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN, DEFLATED])
)


@given(WHOLE, st.integers(1, 32), st.integers(0, 2), st.integers(1, 7), st.integers(1, 5), st.integers(1, 3), st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bit_layout_comes_back(
    tmp_path: Path,
    kind: tuple[int, bool, str],
    stored: int,
    shift: int,
    rows: int,
    columns: int,
    frames: int,
    draw: st.DataObject,
) -> None:
    """Values placed at HighBit with rubbish (overlays) in the other bits, as old scanners write them."""
    allocated, signed, syntax = kind
    stored = min(stored, allocated)
    high = min(stored - 1 + shift, allocated - 1)
    low, top = (-(1 << (stored - 1)), (1 << (stored - 1)) - 1) if signed else (0, (1 << stored) - 1)
    count = rows * columns * frames
    values = draw.draw(st.lists(st.integers(low, top), min_size=count, max_size=count))
    rubbish = draw.draw(st.integers(0, (1 << allocated) - 1))
    below = high + 1 - stored
    mask = ((1 << stored) - 1) << below
    raw = np.array([((v << below) & mask) | (rubbish & ~mask) for v in values], dtype=np.uint64)
    order = ">" if syntax == BIG_ENDIAN else "<"
    body = raw.astype(f"{order}u{allocated // 8}").tobytes()
    header = write(
        tmp_path / "x.dcm",
        body,
        rows=rows,
        columns=columns,
        allocated=allocated,
        stored=stored,
        high=high,
        signed=signed,
        frames=frames,
        syntax=syntax,
        vr="OB" if allocated == 8 and syntax != IMPLICIT else "OW",
    )
    expected = np.array(values).reshape(frames, rows, columns)
    assert np.array_equal([read_frame(header, n) for n in range(frames)], expected)
    # into the array of its own type, and into a wider one, rescaled
    out = np.empty(expected.shape, frame_format(header)[1])
    decode_into([FrameRef(header, n) for n in range(frames)], out)
    assert np.array_equal(out, expected)
    wide = np.empty(expected.shape, np.int64)
    decode_into([FrameRef(header, n, 3.0, -7.0) for n in range(frames)], wide)
    assert np.array_equal(wide, expected * 3 - 7)


@given(
    st.sampled_from([np.uint8, np.int8, np.uint16, np.int16]),
    st.sampled_from([np.uint8, np.int16, np.uint16, np.int32]),
    st.sampled_from([1, 1, 1, 2, -1]),
    st.integers(-40000, 40000),
    st.data(),
)
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_integer_rescaling_is_exact_or_an_error(
    tmp_path: Path, source: Any, target: Any, slope: int, intercept: int, draw: st.DataObject
) -> None:
    info, limits = np.iinfo(source), np.iinfo(target)
    values = draw.draw(st.lists(st.integers(int(info.min), int(info.max)), min_size=4, max_size=4))
    header = write(
        tmp_path / "x.dcm",
        np.array(values, np.dtype(source).newbyteorder("<")).tobytes(),
        rows=2,
        columns=2,
        allocated=info.bits,
        signed=info.min < 0,
    )
    expected = [v * slope + intercept for v in values]
    out = np.empty((1, 2, 2), target)
    if all(limits.min <= v <= limits.max for v in expected):
        decode_into([FrameRef(header, 0, float(slope), float(intercept))], out)
        assert out.reshape(-1).tolist() == expected
    else:
        with pytest.raises(DecodeError, match="do not fit"):
            decode_into([FrameRef(header, 0, float(slope), float(intercept))], out)


def test_float_rescaling_is_float64_rounded_once(tmp_path: Path) -> None:
    values = np.arange(0, 65536, 7, dtype="<u2")[: 96 * 96].reshape(96, 96)
    header = write(tmp_path / "x.dcm", values.tobytes(), rows=96, columns=96)
    slope, intercept = 4.1791893, -1021.3337
    out = np.empty((1, 96, 96), np.float32)
    decode_into([FrameRef(header, 0, slope, intercept)], out)
    exact = (values.astype(np.float64) * slope + intercept).astype(np.float32)
    assert np.array_equal(out[0], exact)
    with pytest.raises(DecodeError, match="whole"):
        decode_into([FrameRef(header, 0, slope, intercept)], np.empty((1, 96, 96), np.int32))


def test_regions_cut_tiles_of_a_mosaic(tmp_path: Path) -> None:
    values = np.arange(48, dtype="<u2").reshape(6, 8)
    header = write(tmp_path / "x.dcm", values.tobytes(), rows=6, columns=8)
    tiles = [(r, r + 3, c, c + 4) for r in (0, 3) for c in (0, 4)]
    out = np.empty((4, 3, 4), np.uint16)
    decode_into([FrameRef(header, 0, region=tile) for tile in tiles], out)
    assert np.array_equal(out, [values[a:b, c:d] for a, b, c, d in tiles])


def test_one_bit_frames_need_not_begin_at_a_byte(tmp_path: Path) -> None:
    bits = np.random.default_rng(3).integers(0, 2, (5, 3, 7), np.uint8)  # 21 bits a frame
    header = write(
        tmp_path / "x.dcm", np.packbits(bits, bitorder="little").tobytes(), rows=3, columns=7, allocated=1, frames=5
    )
    assert np.array_equal([read_frame(header, n) for n in range(5)], bits)


def test_eight_bits_of_odd_length_and_big_endian_words(tmp_path: Path) -> None:
    values = np.arange(15, dtype=np.uint8)
    header = write(tmp_path / "odd.dcm", values.tobytes(), rows=3, columns=5, allocated=8)
    assert np.array_equal(read_frame(header, 0).reshape(-1), values)
    swapped = np.append(values, 0).astype(np.uint8).reshape(-1, 2)[:, ::-1].tobytes()
    header = write(tmp_path / "ow.dcm", swapped, rows=3, columns=5, allocated=8, syntax=BIG_ENDIAN, vr="OW")
    assert np.array_equal(read_frame(header, 0).reshape(-1), values)


@pytest.mark.parametrize(("keyword", "dtype"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")])
def test_floating_pixels(tmp_path: Path, keyword: str, dtype: str) -> None:
    values = np.linspace(-1e5, 1e5, 12).astype(dtype).reshape(3, 4)
    header = write(
        tmp_path / "f.dcm", values.tobytes(), rows=3, columns=4, allocated=8 * values.itemsize, keyword=keyword
    )
    assert np.array_equal(read_frame(header, 0), values)
    out = np.empty((1, 3, 4), np.dtype(dtype).newbyteorder("="))
    decode_into([FrameRef(header, 0)], out)
    assert np.array_equal(out[0], values)


@pytest.mark.parametrize("planar", [0, 1])
def test_colour_by_pixel_and_by_plane(tmp_path: Path, planar: int) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (2, 4, 6, 3), np.uint8)
    body = rgb.transpose(0, 3, 1, 2).tobytes() if planar else rgb.tobytes()
    header = write(
        tmp_path / "c.dcm",
        body,
        rows=4,
        columns=6,
        allocated=8,
        samples=3,
        photometric="RGB",
        planar=planar,
        frames=2,
    )
    out = np.empty(rgb.shape, np.uint8)
    decode_into([FrameRef(header, n) for n in (0, 1)], out)
    assert np.array_equal(out, rgb)


def test_ycbcr_becomes_rgb(tmp_path: Path) -> None:
    """Primaries whose YCbCr is in the standard's matrix: red is (76, 85, 255), grey keeps Y."""
    ycc = np.array([[[76, 85, 255], [128, 128, 128], [29, 255, 107], [255, 128, 128]]], np.uint8)
    header = write(tmp_path / "y.dcm", ycc.tobytes(), rows=1, columns=4, allocated=8, samples=3, photometric="YBR_FULL")
    # one grey level: the standard's matrix is given to four digits, and Y, Cb, Cr above are rounded
    expected = np.array([[[255, 0, 0], [128, 128, 128], [0, 0, 255], [255, 255, 255]]])
    assert np.abs(read_frame(header, 0).astype(int) - expected).max() <= 1
    halved = np.array([76, 76, 85, 255, 128, 255, 128, 128], np.uint8)  # Y Y Cb Cr
    header = write(
        tmp_path / "h.dcm", halved.tobytes(), rows=1, columns=4, allocated=8, samples=3, photometric="YBR_FULL_422"
    )
    expected = np.array([[[255, 0, 0], [255, 0, 0], [128, 128, 128], [255, 255, 255]]])
    assert np.abs(read_frame(header, 0).astype(int) - expected).max() <= 1


def test_palettes_become_rgb(tmp_path: Path) -> None:
    indices = np.array([[0, 9, 10, 11, 12, 40]], np.uint8)
    tables = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour, entries in (("Red", [1, 2, 3]), ("Green", [40, 50, 60]), ("Blue", [255, 0, 128]))
        for part, value in (("Descriptor", [3, 10, 16]), ("Data", (np.array(entries, "<u2") * 257).tobytes()))
    }
    header = write(
        tmp_path / "p.dcm", indices.tobytes(), rows=1, columns=6, allocated=8, photometric="PALETTE COLOR", **tables
    )
    low, mid, high = [1, 40, 255], [2, 50, 0], [3, 60, 128]
    assert read_frame(header, 0).tolist() == [[low, low, low, mid, high, high]]
    assert frame_format(header)[:2] == ((1, 6, 3), np.dtype(np.uint8))


def test_real_palettes_equal_pydicoms(data: Path) -> None:
    from pydicom.pixels import apply_color_lut

    for name in ("us/US-PAL-8-10x-echo", "us/gdcm-US-ALOKA-16.dcm"):
        dataset = pydicom.dcmread(data / name)
        stored = dataset.pixel_array if dataset.get("NumberOfFrames", 1) == 1 else dataset.pixel_array[0]
        theirs = apply_color_lut(stored, dataset)
        theirs = (theirs >> 8).astype(np.uint8) if theirs.dtype == np.uint16 else theirs
        assert np.array_equal(read_frame(read_header(Location(str(data / name))), 0), theirs)


def test_monochrome1_is_left_as_stored(data: Path) -> None:
    path = data / "cr_dx_mg" / "dx_image.dcm"
    assert np.array_equal(read_frame(read_header(Location(str(path))), 0), pixel_array(path))


def test_zip_members_and_deflated_files_decode(data: Path, tmp_path: Path) -> None:
    import zipfile

    sources = [
        data / "mr_enhanced" / "small" / "emri_small.dcm",
        data / "compressed" / "nema_wg04" / "CT1" / "CT1_JLSL",
    ]
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sources:
            archive.write(path, path.name)
    for header in scan(discover(tmp_path / "z.zip")).headers:
        alone = read_header(Location(str(next(p for p in sources if p.name == header.location.member))))
        for index in range(header.get("NumberOfFrames", 1)):
            assert np.array_equal(read_frame(header, index), read_frame(alone, index))
    deflated = read_header(Location(str(data / "compressed" / "deflated" / "image_dfl.dcm")))
    assert np.array_equal(read_frame(deflated, 0), pydicom.dcmread(deflated.location.path).pixel_array)


def test_progress_and_workers_do_not_change_the_result(tmp_path: Path) -> None:
    values = np.arange(40 * 12, dtype="<i2").reshape(40, 3, 4)
    headers = [write(tmp_path / f"{n}.dcm", v.tobytes(), rows=3, columns=4, signed=True) for n, v in enumerate(values)]
    frames = [FrameRef(h, 0, 1.0, -1024.0) for h in headers]
    seen: list[int] = []
    for workers in (1, 2, 8):
        out = allocate(frames, values.shape, np.int16)
        decode_into(frames, out, workers=workers, progress=lambda done, total: seen.append(done))
        assert np.array_equal(out, values - 1024)
        assert seen[-1] == 40
    # a strided target: the last axis reversed
    out = np.empty(values.shape, np.int16)
    decode_into(frames, out[..., ::-1])
    assert np.array_equal(out[..., ::-1], values - 1024)


def test_truncated_pixels_name_what_is_wrong(tmp_path: Path) -> None:
    header = write(tmp_path / "t.dcm", bytes(7 * 8 * 2 - 2), rows=7, columns=8)
    with pytest.raises(FormatError) as caught:
        read_frame(header, 0)
    assert "Rows, Columns, PixelData" in str(caught.value)
    assert str(tmp_path / "t.dcm") in str(caught.value)
    with pytest.raises(FormatError):
        verify(header)
    with pytest.raises(FormatError):
        decode_into([FrameRef(header, 0)], np.empty((1, 7, 8), np.uint16))


def test_a_failing_file_among_many_is_named(tmp_path: Path) -> None:
    headers = [write(tmp_path / f"{n:02d}.dcm", bytes(24), rows=3, columns=4) for n in range(60)]
    path = Path(headers[37].location.path)
    path.write_bytes(path.read_bytes()[:-6])
    with pytest.raises(FormatError, match=r"37\.dcm"):
        decode_into([FrameRef(h, 0) for h in headers], np.empty((60, 3, 4), np.uint16))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [("Rows", 0), ("SamplesPerPixel", 2), ("BitsAllocated", 12), ("BitsStored", 17), ("HighBit", 3)],
)
def test_impossible_descriptions_name_the_attribute(tmp_path: Path, keyword: str, value: int) -> None:
    header = write(tmp_path / "x.dcm", bytes(24), rows=3, columns=4, **{keyword: value})
    with pytest.raises(FormatError) as caught:
        read_frame(header, 0)
    assert caught.value.attribute == keyword


def test_more_memory_than_there_is_is_refused_before_it_is_touched(tmp_path: Path) -> None:
    header = write(tmp_path / "x.dcm", bytes(24), rows=3, columns=4)
    with pytest.raises(TooLargeError):
        allocate([FrameRef(header, 0)], (1 << 20, 1 << 14, 1 << 14), np.int16)
