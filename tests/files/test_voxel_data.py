"""Volume files that are cut off, damaged or hostile: refused with a reason, never read as memory that nobody filled."""

from __future__ import annotations

import gzip
import os
import random
import struct
import time
import tracemalloc
import warnings
import zlib
from pathlib import Path

import nibabel
import numpy as np
import pytest
from support.voxel_files import FIELDS, NRRD, VOXELS, compressed, metaimage, nifti, nrrd, pack

import gpukit
from gpukit.errors import FormatError, GpukitError, TooLargeError

# --- compressed data ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_compressed_voxels_without_a_stated_length_are_read(suffix: str, tmp_path: Path) -> None:
    path = compressed(tmp_path / f"v{suffix}", pack(suffix, VOXELS.tobytes()))
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("left", [0.3, 0.6, 0.98])
def test_a_compressed_stream_that_is_cut_gives_no_voxels(suffix: str, left: float, tmp_path: Path) -> None:
    """Another patient's volume is opened and let go of first: its memory must not come back as voxels."""
    other = nrrd(tmp_path / "other.nrrd", np.full(120, 7777, "<i2").tobytes())
    assert int(gpukit.open(other, device="cpu").array.max()) == 7777
    packed = pack(suffix, VOXELS.tobytes())
    path = compressed(tmp_path / f"v{suffix}", packed[: int(len(packed) * left)])
    with pytest.raises(FormatError, match=r"v\.(mha|nrrd)"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_a_checksum_that_is_wrong_is_an_error(suffix: str, tmp_path: Path) -> None:
    """Voxels in stored blocks of deflate: a flipped byte is found by the checksum and by nothing else."""
    if suffix == ".nii.gz":
        raw = nifti(tmp_path / "v.nii").read_bytes()
        packed = bytearray(gzip.compress(raw, 0))
        packed[len(packed) - 60] ^= 0x40
        path = tmp_path / "v.nii.gz"
        path.write_bytes(packed)
    else:
        packed = bytearray(
            zlib.compress(VOXELS.tobytes(), 0) if suffix == ".mha" else gzip.compress(VOXELS.tobytes(), 0)
        )
        packed[len(packed) // 2] ^= 0x40
        path = compressed(tmp_path / f"v{suffix}", bytes(packed))
    with pytest.raises(FormatError, match=r"v\.(mha|nrrd|nii\.gz)"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".mha", ".nrrd", ".nii.gz"])
def test_no_more_is_expanded_than_the_header_claims(suffix: str, tmp_path: Path) -> None:
    """A file of 120 voxels whose compressed data goes on for 100 MB."""
    bomb = bytes(100 << 20)
    if suffix == ".nii.gz":
        path = tmp_path / "v.nii.gz"
        path.write_bytes(gzip.compress(nifti(tmp_path / "v.nii").read_bytes() + bomb, 1))
    else:
        path = compressed(tmp_path / f"v{suffix}", pack(suffix, VOXELS.tobytes() + bomb))
    del bomb
    tracemalloc.start()
    try:
        try:
            volume = gpukit.open(path, device="cpu")
        except FormatError as error:
            assert "more voxels than the header declares" in str(error)
        else:
            assert np.array_equal(volume.array, VOXELS)
            assert "more than its header declares" in volume.notes[-1]
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_a_nifti_is_read_whether_or_not_it_is_deflated_as_its_name_says(name: str, tmp_path: Path) -> None:
    raw = nifti(tmp_path / "source.nii").read_bytes()
    path = tmp_path / name
    path.write_bytes(gzip.compress(raw) if name == "v.nii" else raw)
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)


def test_gzip_members_one_after_the_other_are_one_stream(tmp_path: Path) -> None:
    raw = VOXELS.tobytes()
    packed = b"".join(gzip.compress(raw[n : n + 50]) for n in range(0, len(raw), 50)) + gzip.compress(b"")
    path = compressed(tmp_path / "v.nrrd", packed)
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)


# --- headers that libraries choke on -----------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["-1", "0", "1000000", "1e308", "nan", "inf", "3.5", "three", ""])
def test_an_impossible_number_of_dimensions_is_refused(number: str, tmp_path: Path) -> None:
    path = tmp_path / "v.mha"
    path.write_bytes(
        f"{FIELDS}ElementDataFile = LOCAL\n".replace("NDims = 3", f"NDims = {number}").encode() + bytes(240)
    )
    with pytest.raises(FormatError, match=r"v\.mha.*NDims"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("field", ["line skip: 999999999", "byte skip: 99999999999", "line skip: -1", "byte skip: -7"])
def test_what_an_nrrd_header_skips_is_bounded_by_the_file(field: str, tmp_path: Path) -> None:
    path = nrrd(tmp_path / "v.nrrd", VOXELS.tobytes(), f"encoding: raw\n{field}\n")
    start = time.monotonic()
    with pytest.raises(FormatError, match=r"v\.nrrd"):
        gpukit.open(path, device="cpu")
    assert time.monotonic() - start < 2  # it took minutes


def test_lines_and_bytes_before_the_voxels_are_skipped(tmp_path: Path) -> None:
    data = b"a line\nanother\nxyz" + VOXELS.tobytes()
    path = nrrd(tmp_path / "v.nrrd", data, "encoding: raw\nline skip: 2\nbyte skip: 3\n")
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)
    path = nrrd(tmp_path / "w.nrrd", data, "encoding: raw\nbyte skip: -1\n")
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)


@pytest.mark.parametrize("offset", [0.0, 100.0, 348.0, -352.0, 352.5, float("inf"), float("nan"), 3e38])
def test_a_nifti_whose_voxels_would_begin_in_its_header_is_refused(offset: float, tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<f", raw, 108, offset)  # vox_offset, nifti1.h
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"v\.nii.*vox_offset"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize(("offset", "form", "value", "field"), [(123, "B", 5, "xyzt_units"), (40, "h", 9, "dim"),
                                                                (40, "h", -3, "dim"), (70, "h", 1536, "datatype"),
                                                                (116, "f", float("nan"), "scl_inter"),
                                                                (112, "f", float("inf"), "scl_slope")])  # fmt: skip
def test_a_nifti_field_that_means_nothing_is_named(
    offset: int, form: str, value: float, field: str, tmp_path: Path
) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<ff", raw, 112, 2.0, 0.0)
    struct.pack_into("<" + form, raw, offset, value)
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=rf"v\.nii.*{field}"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd", ".hdr"])
def test_damaged_headers_raise_one_kind_of_error_that_names_the_file(suffix: str, tmp_path: Path) -> None:
    """Bytes of the header are changed at random: read, or refused by an error of gpukit's, short and with the file."""
    if suffix in (".nii", ".nii.gz"):
        raw = nifti(tmp_path / "source.nii").read_bytes()
    elif suffix == ".hdr":
        nibabel.save(nibabel.Nifti1Pair(VOXELS.T, np.eye(4)), tmp_path / "v.img")
        raw = (tmp_path / "v.hdr").read_bytes()
    else:
        raw = (nrrd if suffix == ".nrrd" else metaimage)(tmp_path / f"source{suffix}", VOXELS.tobytes()).read_bytes()
    rng = random.Random(11)
    refused = 0
    path = tmp_path / f"v{suffix}"
    for _ in range(300):
        damaged = bytearray(raw)
        for _ in range(rng.choice((1, 2, 8))):
            damaged[rng.randrange(min(len(raw), 352))] = rng.randrange(256)
        path.write_bytes(gzip.compress(bytes(damaged), 1) if suffix.endswith("gz") else bytes(damaged))
        try:
            gpukit.open(path, device="cpu")
        except GpukitError as error:
            refused += 1
            assert error.file is not None
            assert Path(error.file).name.startswith("v.")
            assert len(str(error)) < 600 + len(str(path))
    assert refused > 30


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
def test_absurd_sizes_are_refused_without_a_warning(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    (nrrd if suffix == ".nrrd" else metaimage)(path, VOXELS.tobytes())
    raw = path.read_bytes()
    if suffix == ".mha":
        raw = raw.replace(b"ElementSpacing = 1 2 3\n", b"ElementSpacing = 1e308 2 3\nDistanceUnits = cm\n")
    else:
        raw = raw.replace(b"(2,0,0)", b"(1e308,1e308,0)").replace(b"encoding", b'space units: "m" "m" "m"\nencoding')
    path.write_bytes(raw)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(GpukitError, match=path.name):
            gpukit.open(path, device="cpu")


def test_errors_are_short_however_long_the_header_is(tmp_path: Path) -> None:
    path = tmp_path / "v.mha"
    path.write_bytes(FIELDS.replace("MET_SHORT", "X" * 100_000).encode() + b"ElementDataFile = LOCAL\n" + bytes(240))
    with pytest.raises(FormatError) as caught:
        gpukit.open(path, device="cpu")
    assert len(str(caught.value)) < 400


def test_claims_beyond_the_machine_are_refused_where_the_packing_has_no_bound(tmp_path: Path) -> None:
    path = tmp_path / "v.nrrd"
    path.write_bytes(
        (NRRD.replace("4 5 6", "100000 100000 100000") + "encoding: bzip2\n\n").encode() + b"BZh9" + bytes(99)
    )
    with pytest.raises(TooLargeError, match=r"v\.nrrd"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("field", ["HeaderSize = 20", "HeaderSize = -1"])
def test_a_header_is_never_read_as_voxels(field: str, tmp_path: Path) -> None:
    """As `vox_offset` of NIfTI: voxels that would begin within the text of the header."""
    data = VOXELS.tobytes()[: 200 if "-1" in field else None]
    with pytest.raises(FormatError, match="within the header"):
        gpukit.open(metaimage(tmp_path / "v.mha", data, f"{field}\n"), device="cpu")
    if "-1" in field:
        with pytest.raises(FormatError, match="within the header"):
            gpukit.open(nrrd(tmp_path / "v.nrrd", data, "encoding: raw\nbyte skip: -1\n"), device="cpu")


# --- the file afterwards -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".nii", ".mha", ".nrrd", ".hdr"])
def test_a_volume_does_not_change_when_its_file_does(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    if suffix == ".nii":
        nifti(path)
    elif suffix == ".hdr":
        nibabel.save(nibabel.Nifti1Pair(VOXELS.T, np.eye(4)), tmp_path / "v.img")
    else:
        (nrrd if suffix == ".nrrd" else metaimage)(path, VOXELS.tobytes())
    volume = gpukit.open(path, device="cpu")
    for one in tmp_path.iterdir():
        size = one.stat().st_size
        with one.open("r+b") as stream:
            stream.write(b"\x07" * size)
        os.truncate(one, 10)  # a map of the file would end the process here
    assert np.array_equal(volume.array, VOXELS)
    assert not volume.array.flags.writeable
