"""Frames decoded in batches into a device's memory, by DALI's CPU codecs, which take the same calls as those on a GPU.

The device is ``torch-cpu``: its arrays are no NumPy arrays, and what crosses is counted as for any device.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.encaps import encapsulate
from support.dicom_files import write_series

import gpukit as gk
from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels import decoders as module
from gpukit.dicom.pixels.codestream import Codestream
from gpukit.dicom.pixels.decoders import Encoded, _stored, decode_frame
from gpukit.dicom.pixels.device_decode import decode_batches, decoder_on, scaled, stored
from gpukit.dicom.pixels.frames import FrameRef, read_encoded, read_frame
from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.dicom.pixels.modality_rescale import scale_into
from gpukit.dicom.reader.discovery import Location, discover
from gpukit.dicom.reader.headers import Header, read_header, scan
from gpukit.errors import DecodeError, GpukitError
from gpukit_backends.decoders import dali as plugin
from gpukit_backends.decoders.dali import DaliDecoder, known

torch = pytest.importorskip("torch", reason="torch is not installed")
imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

AFFINE = np.array([[0.8, 0, 0, -20], [0, 0.8, 0, -30], [0, 0, 2.5, 5], [0, 0, 0, 1]], float)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Iterator[DaliDecoder]:
    """DALI on the host's codecs, in the place of the one for CUDA."""
    pytest.importorskip("nvidia.dali", reason="nvidia-dali-cuda130 is not installed: it is there for Linux on x86-64")
    made = DaliDecoder("torch-cpu")
    others = tuple(d for d in module.decoders() if d.name != "dali")
    monkeypatch.setattr(module, "decoders", lambda: (*others, made))
    return made


def header_of(path: Path) -> Header:
    return read_header(Location(str(path)))


def compress(path: Path, *, data: bytes | None = None, syntax: str = cs.J2K_LOSSLESS, bits: int = 16) -> bytes:
    """Replace the pixels of a file by one codestream, made of them or given."""
    image = pydicom.dcmread(path)
    if data is None:
        pixels = image.pixel_array
        if syntax == cs.JPEG_BASELINE:
            data = bytes(imagecodecs.jpeg8_encode(pixels, level=92))
        elif syntax == cs.HTJ2K_LOSSLESS:
            data = bytes(imagecodecs.htj2k_encode(pixels))
        else:
            data = bytes(imagecodecs.jpeg2k_encode(pixels, codecformat="j2k", reversible=True, bitspersample=bits))
    image.PixelData = encapsulate([data])
    image["PixelData"].is_undefined_length = True
    image.file_meta.TransferSyntaxUID = pydicom.uid.UID(syntax)
    image.BitsStored, image.HighBit = bits, bits - 1
    image.save_as(path)
    return data


def write_compressed(folder: Path, rng: Any, *, slices: int = 5, bits: int = 12) -> np.ndarray[Any, Any]:
    smooth = np.add.outer(np.arange(40), np.arange(36)) * ((1 << bits) // 80)
    array = (smooth + rng.integers(0, 1 << (bits - 3), (slices, 40, 36))).clip(0, (1 << bits) - 1).astype(np.uint16)

    def rescale(dataset: Any, k: int) -> None:
        dataset.RescaleIntercept = -1024

    for path in write_series(folder, array, AFFINE, change=rescale):
        compress(path, bits=bits)
    return array.astype(np.int32) - 1024


# ---- what DALI decodes


def test_the_known_images_hold_what_is_known_of_them() -> None:
    """By the CPU's codecs, which have nothing to do with DALI's on a GPU."""
    files = sorted(plugin._PROOFS.iterdir())
    assert {f.name for f in files} >= {"jpeg-1x8", "jpeg-3x8", "j2k-1x12", "j2k-1x16", "j2k-3x8", "htj2k-1x16"}
    for file in files:
        codec, _, kind = file.name.partition("-")
        samples, precision = map(int, kind.split("x"))
        decode = {"jpeg": "jpeg8_decode", "j2k": "jpeg2k_decode", "htj2k": "htj2k_decode"}[codec]
        found = getattr(imagecodecs, decode)(file.read_bytes()).astype(int)
        assert found.max() > known(samples, precision).max() - 3  # the whole range is in it
        assert np.abs(found - known(samples, precision)).max() <= (4 if codec == "jpeg" else 0), file.name


def test_real_files_decode_as_the_cpu_decodes_them(data: Path, decoder: DaliDecoder) -> None:
    """Without loss to the bit; JPEG within 2 of 255, because each codec rounds its cosine transform by itself."""
    compared = set()
    folders = [data / "compressed", data / "ct_totalseg", data / "cr_dx_mg", data / "xa_nm_ecg"]
    for header in scan(discover(folders)).headers:
        if header.pixels is None or header.transfer_syntax not in decoder.syntaxes:
            continue
        frames = [FrameRef(header, n) for n in range(min(4, header.get("NumberOfFrames", 1)))]
        if decoder_on(frames, "torch-cpu") is None:
            continue
        first = read_frame(header, 0)
        for numbers, values in decode_batches(frames, "torch-cpu", decoder, first.dtype):
            for n, one in zip(numbers, values, strict=True):
                assert isinstance(one, torch.Tensor)
                wanted = read_frame(header, n).astype(int)
                off = np.abs(one.numpy().astype(int) - wanted).max()
                lossy = header.transfer_syntax in (cs.JPEG_BASELINE, cs.J2K, cs.HTJ2K)
                assert off <= (2 if lossy else 0), (header.location, n, off)
                compared.add((header.transfer_syntax, first.shape[-1] == 3, header.get("BitsStored")))
    kinds = {(syntax, colour) for syntax, colour, _ in compared}
    assert kinds >= {
        (cs.JPEG_BASELINE, True),
        (cs.JPEG_BASELINE, False),
        (cs.J2K_LOSSLESS, False),
        (cs.J2K_LOSSLESS, True),
    }
    assert {12, 10} <= {bits for syntax, _, bits in compared if syntax == cs.J2K_LOSSLESS}


def test_an_image_is_never_turned(tmp_path: Path, rng: Any, decoder: DaliDecoder) -> None:
    """EXIF may say that a JPEG was taken upside down; in DICOM that would mirror a patient."""
    smooth = (np.add.outer(np.arange(32), np.arange(32)) * 4).astype(np.uint8)
    (path,) = write_series(tmp_path, smooth[None], AFFINE)
    plain = bytes(imagecodecs.jpeg8_encode(smooth, level=95))
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x03\0\0\0\0\0\0"  # orientation 3: turned by 180 degrees
    exif = b"Exif\0\0" + tiff
    compress(
        path,
        data=plain[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif + plain[2:],
        syntax=cs.JPEG_BASELINE,
        bits=8,
    )
    opened = gk.open(tmp_path, device="torch-cpu")
    assert np.abs(opened.array[0].numpy().astype(int) - smooth).max() <= 2


# ---- a series on the device


def test_a_series_crosses_once_and_compressed(tmp_path: Path, rng: Any, decoder: DaliDecoder) -> None:
    values = write_compressed(tmp_path, rng)
    size = sum(len(read_encoded(header_of(path), [0])[0].data) for path in tmp_path.iterdir())
    plain = gk.open(tmp_path, device="cpu")
    with gk.count_transfers() as seen:
        opened = gk.open(tmp_path, device="torch-cpu")
    assert [(t.source, t.target, t.nbytes) for t in seen] == [("cpu", "torch-cpu", size)]
    assert isinstance(opened.array, torch.Tensor)
    assert opened.array.numpy().dtype == plain.array.dtype == np.int16
    np.testing.assert_array_equal(opened.array.numpy(), values)
    np.testing.assert_array_equal(plain.array, values)
    np.testing.assert_array_equal(opened.grid.affine, plain.grid.affine)
    assert (opened.unit, opened.padding, opened.notes) == (plain.unit, plain.padding, plain.notes)


def test_real_ct_in_jpeg2000(data: Path, decoder: DaliDecoder) -> None:
    folder = data / "ct_totalseg/dicom_j2k"
    plain = gk.open(folder, device="cpu")
    with gk.count_transfers() as seen:
        opened = gk.open(folder, device="torch-cpu")
    assert len(seen) == 1 and seen[0].nbytes < plain.array.nbytes / 2
    np.testing.assert_array_equal(opened.array.numpy(), plain.array)
    assert opened.notes == plain.notes and opened.padding == plain.padding


@pytest.mark.parametrize("harm", ["cut off", "another size", "no codestream"])
def test_a_damaged_frame_is_told_as_the_cpu_tells_it(tmp_path: Path, rng: Any, decoder: DaliDecoder, harm: str) -> None:
    write_compressed(tmp_path, rng)
    victim = sorted(tmp_path.iterdir())[2]
    (one,) = read_encoded(header_of(victim), [0])
    if harm == "cut off":
        body = one.data[: len(one.data) // 2]
    elif harm == "another size":
        body = one.data[:8] + (1 << 30).to_bytes(4) + one.data[12:]
    else:
        body = b"no codestream at all"
    compress(victim, data=body, bits=12)
    told = []
    for device in ("cpu", "torch-cpu"):
        with pytest.raises(GpukitError, match=victim.name) as caught:
            gk.open(tmp_path, device=device)
        told.append(str(caught.value))
    assert told[0] == told[1]


def test_a_frame_that_only_the_cpu_decodes_is_decoded_there(tmp_path: Path, rng: Any, decoder: DaliDecoder) -> None:
    """Here one that was made with signed values, which DALI refuses; the others still go to DALI."""
    values = write_compressed(tmp_path, rng)
    victim = sorted(tmp_path.iterdir())[1]
    image = pydicom.dcmread(victim)
    signed = (image.pixel_array.astype(np.int32) - 2048).astype(np.int16)
    image.PixelRepresentation, image.RescaleIntercept = 1, 1024
    image.save_as(victim)
    data = bytes(imagecodecs.jpeg2k_encode(signed, codecformat="j2k", reversible=True, bitspersample=12))
    compress(victim, data=data, bits=12)
    with gk.count_transfers() as seen:
        opened = gk.open(tmp_path, device="torch-cpu")
    np.testing.assert_array_equal(opened.array.numpy(), values)
    assert len(seen) == 1  # NumPy and torch share memory here, so the frame of the CPU is not counted


def test_uneven_slices_are_interpolated_as_on_the_cpu(tmp_path: Path, rng: Any, decoder: DaliDecoder) -> None:
    write_compressed(tmp_path, rng)
    next(p for p in tmp_path.iterdir() if pydicom.dcmread(p).ImagePositionPatient[2] == 10).unlink()
    plain = gk.open(tmp_path, device="cpu", fill_gaps=True)
    opened = gk.open(tmp_path, device="torch-cpu", fill_gaps=True)
    assert opened.grid.shape[0] == 5 and "interpolated" in opened.notes[0]
    np.testing.assert_array_equal(opened.array.numpy(), plain.array)


class Stretching(DaliDecoder):
    """A DALI that spreads 12 bits over 16, as its documentation lets one expect of a type that is wider."""

    asked = 0

    def _decode(self, data: Sequence[bytes], samples: int, wide: bool, device: str) -> list[Any]:
        self.asked += 1
        made = [imagecodecs.jpeg2k_decode(one).astype(np.int64) * 65535 // 4095 for one in data]
        return [torch.from_numpy(one.astype(np.int32)) for one in made]


def test_a_decoder_that_changes_values_is_found_out(tmp_path: Path, rng: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    values = write_compressed(tmp_path, rng)
    liar = Stretching("torch-cpu")
    monkeypatch.setattr(liar, "available", lambda: module.Availability(usable=True))
    others = tuple(d for d in module.decoders() if d.name != "dali")
    monkeypatch.setattr(module, "decoders", lambda: (*others, liar))
    opened = gk.open(tmp_path, device="torch-cpu")
    np.testing.assert_array_equal(opened.array.numpy(), values)
    assert liar.asked == 1
    (one,) = read_encoded(header_of(next(tmp_path.iterdir())), [0])
    assert "changes the values of j2k of 1 x 12 bits" in str(liar.declines(one, "torch-cpu"))


def test_many_batches_and_sizes(tmp_path: Path, rng: Any, decoder: DaliDecoder, monkeypatch: Any) -> None:
    monkeypatch.setattr("gpukit.dicom.pixels.device_decode._FRAMES", 3)
    wanted, frames = [], []
    for n in range(8):
        array = rng.integers(0, 4096, (1, 20 + n, 30 - n)).astype(np.uint16)
        (path,) = write_series(tmp_path / str(n), array, AFFINE)
        compress(path, bits=12, syntax=cs.J2K_LOSSLESS)
        wanted.append(array[0])
        frames.append(FrameRef(header_of(path), 0))
    seen: list[int] = []
    for numbers, values in decode_batches(frames, "torch-cpu", decoder, np.dtype(np.int16)):
        assert len(numbers) <= 3
        for n, one in zip(numbers, values, strict=True):
            np.testing.assert_array_equal(one.numpy(), wanted[n])
        seen += numbers
    assert seen == list(range(8))


# ---- the rules, over the Array API


FRAMES = st.builds(
    lambda allocated, stored_bits, signed: FrameDescription(
        rows=3, columns=4, samples=1, bits_allocated=allocated, bits_stored=min(stored_bits, allocated),
        high_bit=min(stored_bits, allocated) - 1, signed=signed, photometric="MONOCHROME2", planar=False, frames=1,
        floating=False, syntax=cs.J2K_LOSSLESS,
    ),
    st.sampled_from([8, 16]), st.integers(8, 16), st.booleans(),
)  # fmt: skip


@given(frame=FRAMES, precision=st.integers(8, 16), seed=st.integers(0, 2**32 - 1))
def test_sign_and_stored_bits_are_those_of_the_cpu(frame: FrameDescription, precision: int, seed: int) -> None:
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    precision = min(precision, frame.bits_allocated)
    kind = np.uint8 if precision == 8 else np.uint16
    values = np.random.default_rng(seed).integers(0, 1 << precision, frame.shape).astype(kind)
    stream = Codestream(frame.rows, frame.columns, 1, precision)
    wanted = _stored(values, frame, stream)
    far = strict.Device("device1")
    found = stored(strict.asarray(values[..., None], device=far), Encoded(b"", frame, stream))
    assert found.device == far
    np.testing.assert_array_equal(np.asarray(found.to_device(strict.Device("CPU_DEVICE"))), wanted)


@given(
    slope=st.sampled_from([1.0, 2.0, 0.5, -1.0, 1.25e-3]),
    intercept=st.sampled_from([0.0, -1024.0, 0.25, 40000.0]),
    kind=st.sampled_from(["int16", "uint16", "int32", "float32", "float64"]),
    frame=FRAMES,
    seed=st.integers(0, 2**32 - 1),
)
def test_scaling_is_that_of_the_cpu(
    slope: float, intercept: float, kind: str, frame: FrameDescription, seed: int
) -> None:
    strict = pytest.importorskip("array_api_strict", reason="array-api-strict is not installed")
    low, high = frame.value_range
    values = np.random.default_rng(seed).integers(low, high + 1, frame.shape).astype(frame.dtype)
    wanted: Any = np.empty(frame.shape, kind)
    failed = False
    try:
        scale_into(values, slope, intercept, wanted, frame)
    except DecodeError:
        failed = True
    wide = strict.asarray(values.astype(np.int32), device=strict.Device("device1"))
    if failed:
        with pytest.raises(DecodeError):
            scaled(wide, slope, intercept, np.dtype(kind), frame)
    else:
        found = scaled(wide, slope, intercept, np.dtype(kind), frame)
        np.testing.assert_array_equal(np.asarray(found.to_device(strict.Device("CPU_DEVICE"))), wanted)


def test_without_a_batch_decoder_nothing_changes(tmp_path: Path, rng: Any) -> None:
    values = write_compressed(tmp_path, rng)
    frames = [FrameRef(header_of(path), 0) for path in tmp_path.iterdir()]
    assert decoder_on(frames, "torch-cpu") is None and decoder_on(frames, "cpu") is None
    np.testing.assert_array_equal(gk.open(tmp_path, device="torch-cpu").array.numpy(), values)
    assert decode_frame(*_codestream(frames[0])).dtype == np.uint16


def _codestream(ref: FrameRef) -> tuple[bytes, FrameDescription]:
    (one,) = read_encoded(ref.header, [ref.index])
    return one.data, one.frame
