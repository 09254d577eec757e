"""Compressed frames: every codec of the real files, held against the uncompressed original and independent readers."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate, encapsulate_extended

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.byte_source import Content
from gpukit.dicom.pixels.decoders import FrameDecoder, decode_frame, decoders, decoders_for
from gpukit.dicom.pixels.encapsulated import frame_table
from gpukit.dicom.pixels.frames import FrameRef, decode_into, read_frame
from gpukit.dicom.pixels.image_pixel import NATIVE, FrameDescription, describe
from gpukit.dicom.reader.discovery import Location, discover
from gpukit.dicom.reader.headers import Header, read_header, scan
from gpukit.errors import DecodeError, FormatError

NEMA = "compressed/nema_wg04"


def header_of(path: Path) -> Header:
    return read_header(Location(str(path)))


def frames_of(path: Path) -> np.ndarray[Any, Any]:
    header = header_of(path)
    return np.stack([read_frame(header, n) for n in range(header.get("NumberOfFrames", 1))])


def codestream(header: Header, index: int = 0) -> tuple[bytes, FrameDescription]:
    description = describe(header)
    with Content(header) as content:
        spans = frame_table(header, description, content)[index]
        return b"".join(content.read(*span) for span in spans), description


def test_every_compressed_file_decodes(data: Path) -> None:
    seen = set()
    for header in scan(discover(data / "compressed")).headers:
        if header.pixels is None:
            continue  # a report and a presentation state
        for index in range(header.get("NumberOfFrames", 1)):
            frame = read_frame(header, index)
            assert frame.shape[:2] == (header.get("Rows"), header.get("Columns"))
        seen.add(header.transfer_syntax)
    assert {cs.RLE, cs.JPEG_BASELINE, cs.JPEG_EXTENDED, cs.JPEG_LOSSLESS_SV1, cs.JPEG_LS, cs.JPEG_LS_NEAR} <= seen
    assert {cs.J2K, cs.J2K_LOSSLESS, cs.HTJ2K, cs.HTJ2K_LOSSLESS, cs.JXL_JPEG, cs.DEFLATED_FRAME} <= seen


@pytest.mark.parametrize("image", ["CT1", "MR3", "NM1", "US1"])
def test_lossless_codecs_of_one_image_agree_to_the_bit(data: Path, image: str) -> None:
    folder = data / NEMA / image
    original = pydicom.dcmread(folder / f"{image}_UNC").pixel_array
    compared = []
    for kind in ("UNC", "RLE", "JPLL", "JLSL", "J2KR"):
        path = folder / f"{image}_{kind}"
        if path.exists():
            ours = frames_of(path)[0]
            assert ours.dtype == original.dtype
            assert np.array_equal(ours, original), path.name
            compared.append(kind)
    assert len(compared) >= 3


@pytest.mark.parametrize(
    ("name", "tolerance"),
    # JPEG-LS near-lossless keeps each value within its NEAR; the others are lossy, so the bound is on the mean
    [("JLSN", 10.0), ("J2KI", 40.0), ("JPLY", 40.0)],
)
@pytest.mark.parametrize("image", ["CT1", "MR3", "NM1"])
def test_lossy_codecs_stay_near_the_original(data: Path, image: str, name: str, tolerance: float) -> None:
    path = data / NEMA / image / f"{image}_{name}"
    if not path.exists():
        pytest.skip(f"the collection has no {path.name}")
    original = pydicom.dcmread(path.with_name(f"{image}_UNC")).pixel_array.astype(float)
    error = np.abs(frames_of(path)[0] - original)
    assert error.mean() < tolerance
    # the scintigram has few counts: its noise is what compression removes
    assert np.corrcoef(frames_of(path)[0].ravel(), original.ravel())[0, 1] > (0.9 if image == "NM1" else 0.99)


def test_enhanced_mr_in_every_syntax_is_one_image(data: Path) -> None:
    folder = data / "compressed" / "emri"
    expected = pydicom.dcmread(folder / "emri_small.dcm").pixel_array
    for path in sorted(folder.iterdir()):
        assert np.array_equal(frames_of(path), expected), path.name


def test_one_bit_segmentations_in_every_syntax_are_one_mask(data: Path) -> None:
    folder = data / "compressed" / "seg_frames"
    expected = pydicom.dcmread(folder / "liver_nonbyte_aligned.dcm").pixel_array
    assert expected.sum() > 0
    for path in sorted(folder.iterdir()):
        assert np.array_equal(frames_of(path), expected), path.name


def test_colour_equals_pydicom_and_simpleitk(data: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    compared = by_pydicom = 0
    folders = [data / "compressed" / "jpeg_colour", data / "compressed" / "htj2k", data / NEMA / "US1", data / "us"]
    for path in sorted(p for folder in folders for p in folder.iterdir()):
        header = header_of(path)
        if header.get("PhotometricInterpretation") == "PALETTE COLOR":
            continue
        ours = frames_of(path).astype(int)
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(str(path))).astype(int)
        # one grey level for another inverse DCT
        assert np.abs(ours - theirs.reshape(ours.shape)).max() <= 1, path.name
        # RLE differs by the colour space that pydicom makes of it
        if header.transfer_syntax != cs.RLE:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    judged = pydicom.pixels.pixel_array(path, index=0).astype(int)
                except RuntimeError:  # HTJ2K and 12-bit JPEG need further packages: SimpleITK judged them
                    assert header.transfer_syntax in (*cs._J2K, "1.2.840.10008.1.2.4.51"), path.name
                else:
                    assert np.abs(ours[0] - judged).max() <= 1, path.name
                    by_pydicom += 1
        compared += 1
    assert compared > 15 and by_pydicom > 10


def test_grey_equals_simpleitk(data: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed")
    compared = 0
    for header in scan(discover([data / NEMA, data / "ct_totalseg" / "dicom_j2k", data / "xa_nm_ecg"])).headers:
        if header.pixels is None or header.transfer_syntax in NATIVE or header.get("SamplesPerPixel") != 1:
            continue
        theirs = sitk.GetArrayFromImage(sitk.ReadImage(header.location.path))
        for index in {0, len(theirs) // 2, len(theirs) - 1}:
            out = np.empty((1, *theirs.shape[1:]), np.float64)
            slope, intercept = header.get("RescaleSlope", 1.0), header.get("RescaleIntercept", 0.0)
            decode_into([FrameRef(header, index, slope, intercept)], out)
            assert np.array_equal(out[0], theirs[index]), header.location
        compared += 1
    assert compared > 30


def test_every_decoder_gives_what_the_first_gives(data: Path) -> None:
    """Each installed decoder alone; a refusal is allowed (the next is then tried), another result is not."""
    pairs = 0
    for header in scan(discover(data / "compressed")).headers:
        if header.pixels is None or header.transfer_syntax in NATIVE:
            continue
        frame, description = codestream(header)
        expected = decode_frame(frame, description).astype(int)
        for decoder in decoders_for(header.transfer_syntax):
            try:
                ours = decode_frame(frame, description, only=decoder).astype(int)
            except DecodeError:
                continue
            # one level for another rounding of the inverse DCT, which the way to RGB multiplies by up to 1.8
            allowed = 1 if description.samples == 1 else 2
            assert np.abs(ours - expected).max() <= allowed, (decoder.name, header.location)
            pairs += 1
    assert pairs > 80


def test_signedness_of_jpeg2000_that_contradicts_the_header(data: Path) -> None:
    """The codestream is unsigned, the header signed: the values are two's complement of the codestream's 13 bits."""
    path = data / "malformed" / "J2K_pixelrep_mismatch.dcm"
    ours = frames_of(path)[0]
    assert ours.dtype == np.int16
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert np.array_equal(ours, pydicom.dcmread(path).pixel_array)
    assert ours.min() == -2000


def encapsulated_copy(source: Path, target: Path, value: bytes, **more: Any) -> Header:
    dataset = pydicom.dcmread(source)
    dataset.PixelData = value
    dataset["PixelData"].is_undefined_length = True
    for keyword, content in more.items():
        setattr(dataset, keyword, content)
    dataset.save_as(target)
    return header_of(target)


def test_frames_are_found_by_table_fragment_or_marker(data: Path, tmp_path: Path) -> None:
    source = data / "compressed" / "emri" / "emri_small_jpeg_2k_lossless.dcm"
    header = header_of(source)
    expected = frames_of(source)
    streams = [codestream(header, n)[0] for n in range(10)]
    extended, offsets, lengths = encapsulate_extended(streams)
    variants = {
        "one": encapsulate(streams, has_bot=False),
        "table": encapsulate(streams, fragments_per_frame=3, has_bot=True),
        "markers": encapsulate(streams, fragments_per_frame=3, has_bot=False),
    }
    for name, value in variants.items():
        copy = encapsulated_copy(source, tmp_path / name, value)
        assert np.array_equal([read_frame(copy, n) for n in range(10)], expected), name
    copy = encapsulated_copy(
        source, tmp_path / "x", extended, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths
    )
    assert np.array_equal([read_frame(copy, n) for n in range(10)], expected)
    copy = encapsulated_copy(source, tmp_path / "few", encapsulate(streams[:4]))
    with pytest.raises(FormatError, match="4 compressed fragments for 10 frames"):
        read_frame(copy, 0)


def test_many_fragments_of_a_real_angiogram(data: Path) -> None:
    path = data / "xa_nm_ecg" / "HasFragmentSequence.dcm"
    header = header_of(path)
    out = np.empty((96, header.get("Rows"), header.get("Columns")), np.uint8)
    decode_into([FrameRef(header, n) for n in range(96)], out)
    for index in (0, 50, 95):
        assert np.array_equal(out[index], pydicom.pixels.pixel_array(path, index=index))


def test_a_codestream_of_another_size_never_reaches_a_codec(data: Path, tmp_path: Path) -> None:
    """The codec would allocate what the codestream says."""
    for name in ("CT1_J2KR", "CT1_JPLL", "CT1_JLSL"):
        source = data / NEMA / "CT1" / name
        dataset = pydicom.dcmread(source)
        frame = bytearray(codestream(header_of(source))[0])
        marker = {"CT1_J2KR": b"\xff\x51", "CT1_JPLL": b"\xff\xc3", "CT1_JLSL": b"\xff\xf7"}[name]
        at = frame.index(marker)
        if name == "CT1_J2KR":
            frame[at + 6 : at + 14] = b"\x00\x00\xea\x60" * 2
        else:
            frame[at + 5 : at + 9] = b"\xea\x60" * 2
        dataset.PixelData = encapsulate([bytes(frame)])
        dataset.save_as(tmp_path / name)
        with pytest.raises(DecodeError, match="60000 x 60000"):
            read_frame(header_of(tmp_path / name), 0)


@pytest.mark.parametrize("share", [0.5, 0.98])
@pytest.mark.parametrize(
    "name",
    [
        "nema_wg04/CT1/CT1_J2KR", "nema_wg04/CT1/CT1_JLSL", "nema_wg04/CT1/CT1_JPLL", "nema_wg04/CT1/CT1_RLE",
        "nema_wg04/NM1/NM1_JPLY", "htj2k/HTJ2KLossless_08_RGB.dcm", "htj2k/HTJ2K_08_RGB.dcm", "jpegxl/will-jxl.dcm",
        "jpeg_colour/SC_jpeg_no_color_transform.dcm", "seg_frames/liver_nonbyte_aligned_deflate.dcm",
    ],
)  # fmt: skip
def test_half_an_image_is_never_taken_for_one(data: Path, name: str, share: float) -> None:
    """libjpeg, CharLS and OpenJPH fill what is missing with grey, or with what memory held, and say nothing."""
    frame, description = codestream(header_of(data / "compressed" / name))
    cut = frame[: int(len(frame) * share)]
    with pytest.raises(DecodeError):
        decode_frame(cut, description)
    padded = frame + bytes(6)  # what follows the end marker does no harm
    assert np.array_equal(decode_frame(padded, description), decode_frame(frame, description))


@pytest.mark.parametrize("entry", [0, 1, 2])
@pytest.mark.parametrize("value", [0, 1, 63, 0x7FFFFFFF, 0xFFFFFFFF])
def test_rle_offsets_that_lead_outside_never_reach_a_codec(data: Path, entry: int, value: int) -> None:
    """One codec crashes the interpreter over them, another panics."""
    frame, description = codestream(header_of(data / NEMA / "CT1" / "CT1_RLE"))
    damaged = frame[: 4 * entry] + value.to_bytes(4, "little") + frame[4 * entry + 4 :]
    with pytest.raises(DecodeError, match="2 segments"):
        decode_frame(damaged, description)


class Broken:
    """A decoder that always fails."""

    name = "broken"
    device = "cpu"
    syntaxes = {cs.RLE: -1}  # noqa: RUF012 - as a third party would write it

    def available(self) -> Any:
        from gpukit.dicom.pixels.decoders import Availability

        return Availability(usable=True)

    def decode(self, data: bytes, frame: FrameDescription, stream: cs.Codestream) -> Any:
        raise type("PanicException", (BaseException,), {})("always")  # as codecs in Rust raise


def test_the_next_decoder_is_tried_and_all_reasons_are_told(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpukit.dicom.pixels.decoders as module

    frame, description = codestream(header_of(data / NEMA / "CT1" / "CT1_RLE"))
    expected = decode_frame(frame, description)
    real = decoders()
    broken = Broken()
    assert isinstance(broken, FrameDecoder)
    try:
        monkeypatch.setattr(module, "decoders", lambda: (broken, *real))
        module.decoders_for.cache_clear()
        assert decoders_for(cs.RLE)[0] is broken
        assert np.array_equal(decode_frame(frame, description), expected)
        monkeypatch.setattr(module, "decoders", lambda: (broken,))
        module.decoders_for.cache_clear()
        with pytest.raises(DecodeError, match="broken: always"):
            decode_frame(frame, description)
    finally:
        module.decoders_for.cache_clear()


def test_an_unknown_transfer_syntax_is_named(data: Path, tmp_path: Path) -> None:
    body = (data / NEMA / "CT1" / "CT1_RLE").read_bytes()
    (tmp_path / "x").write_bytes(body.replace(b"1.2.840.10008.1.2.5\0", b"1.2.840.10008.1.2.9\0", 1))
    with pytest.raises(DecodeError, match=r"1\.2\.840\.10008\.1\.2\.9"):
        read_frame(header_of(tmp_path / "x"), 0)


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (24, b"\0\0\0\0"),  # no tile width: NVIDIA's parser divides by it
        (28, b"\0\0\0\0"),  # no tile height
        (24, b"\0\0\0\1"),  # a tile for every column, more tiles than there can be
        (32, b"\0\1\0\0"),  # tiles that begin behind the image
        (43, b"\0"),  # samples nought columns apart
        (4, b"\0\x2f"),  # a marker that is too long for its components
    ],
)
def test_a_jpeg2000_size_that_cannot_be_is_refused(data: Path, offset: int, value: bytes) -> None:
    """Before any codec sees it: codecs have crashed, and taken the interpreter with them, over such numbers."""
    body, description = codestream(header_of(data / NEMA / "CT1" / "CT1_J2KR"))
    start = body.find(b"\xff\x4f\xff\x51")
    changed = body[: start + offset] + value + body[start + offset + len(value) :]
    if value == b"\0\0\0\1":  # of height too
        changed = changed[: start + 28] + value + changed[start + 32 :]
    with pytest.raises(DecodeError, match="impossible"):
        decode_frame(changed, description)


@pytest.mark.parametrize(("offset", "value"), [(5, 5), (6, 0), (7, 2), (8, 0), (9, 33), (10, 9), (13, 2)])
def test_a_jpeg2000_coding_style_that_cannot_be_is_refused(data: Path, offset: int, value: int) -> None:
    body, description = codestream(header_of(data / NEMA / "CT1" / "CT1_J2KR"))
    start = body.find(b"\xff\x52")
    changed = bytearray(body)
    changed[start + offset] = value
    if offset == 6:
        changed[start + 7] = 0  # no layer: two bytes
    if offset in (7, 8):
        changed[start + 8] = 2  # a component transform that there is not
    with pytest.raises(DecodeError, match="impossible"):
        decode_frame(bytes(changed), description)


@pytest.mark.parametrize("sampling", [0x00, 0x10, 0x01, 0x55])
def test_a_jpeg_sampling_that_cannot_be_is_refused(data: Path, sampling: int) -> None:
    body, description = codestream(header_of(data / "compressed/jpeg_colour/SC_rgb_dcmtk_+eb+cy+n1.dcm"))
    start = body.find(b"\xff\xc0")
    changed = bytearray(body)
    changed[start + 11] = sampling
    with pytest.raises(DecodeError, match="sampling"):
        decode_frame(bytes(changed), description)


def test_built_in_decoders_state_what_they_need() -> None:
    found = {decoder.name: decoder for decoder in decoders()}
    assert set(found) >= {"imagecodecs", "gdcm", "pylibjpeg", "python-rle", "zlib", "dali"}
    for decoder in found.values():
        state = decoder.available()
        assert state.usable or (state.reason and state.install), decoder.name
    assert found["dali"].device == "cuda"
    # what is read into main memory never asks for the GPU's decoder
    assert all(d.device == "cpu" for d in decoders_for(cs.J2K))


def test_no_codec_is_imported_before_a_frame_needs_it() -> None:
    names = "('imagecodecs', 'gdcm', 'openjpeg', 'pydicom')"
    code = f"import sys, gpukit.dicom.pixels.frames; print([m for m in {names} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
