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
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

import gpukit
from gpukit.errors import FormatError, GpukitError, InputError, InputNotFoundError, TooLargeError

VOXELS = np.arange(1000, 1120, dtype="<i2").reshape(6, 5, 4)
_FIELDS = "ObjectType = Image\nNDims = 3\nElementSpacing = 1 2 3\nDimSize = 4 5 6\nElementType = MET_SHORT\n"
_NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nsizes: 4 5 6\nendian: little\nspace: LPS\n"
    "space directions: (2,0,0) (0,3,0) (0,0,1.5)\nspace origin: (1,2,3)\n"
)


def metaimage(path: Path, data: bytes, fields: str = "") -> Path:
    path.write_bytes(f"{_FIELDS}{fields}ElementDataFile = LOCAL\n".encode() + data)
    return path


def nrrd(path: Path, data: bytes, fields: str = "encoding: raw\n") -> Path:
    path.write_bytes(f"{_NRRD}{fields}\n".encode() + data)
    return path


def nifti(path: Path, **fields: object) -> Path:
    image = nibabel.Nifti1Image(VOXELS.T, np.diag([1.0, 2.0, 3.0, 1.0]))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def compressed(path: Path, packed: bytes) -> Path:
    """A file of the format of the suffix around compressed voxels."""
    if path.suffix == ".mha":
        return metaimage(path, packed, "CompressedData = True\n")
    return nrrd(path, packed, "encoding: gzip\n")


def pack(suffix: str, raw: bytes) -> bytes:
    return zlib.compress(raw) if suffix == ".mha" else gzip.compress(raw)


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
        f"{_FIELDS}ElementDataFile = LOCAL\n".replace("NDims = 3", f"NDims = {number}").encode() + bytes(240)
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
    path.write_bytes(_FIELDS.replace("MET_SHORT", "X" * 100_000).encode() + b"ElementDataFile = LOCAL\n" + bytes(240))
    with pytest.raises(FormatError) as caught:
        gpukit.open(path, device="cpu")
    assert len(str(caught.value)) < 400


def test_claims_beyond_the_machine_are_refused_where_the_packing_has_no_bound(tmp_path: Path) -> None:
    path = tmp_path / "v.nrrd"
    path.write_bytes(
        (_NRRD.replace("4 5 6", "100000 100000 100000") + "encoding: bzip2\n\n").encode() + b"BZh9" + bytes(99)
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


# --- data files --------------------------------------------------------------------------------------------------


def _slices(folder: Path) -> list[str]:
    names = [f"s{n:03d}.raw" for n in range(1, 7)]
    for name, plane in zip(names, VOXELS, strict=True):
        (folder / name).write_bytes(plane.tobytes())
    return names


def _listed(path: Path, names: list[str], pattern: str = "LIST") -> Path:
    lines = "\n".join([pattern, *names]) + "\n"
    if path.suffix == ".mhd":
        path.write_text(f"{_FIELDS}ElementDataFile = {lines}")
    else:
        path.write_text(f"{_NRRD}encoding: raw\ndata file: {lines}")
    return path


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
def test_slices_in_files_of_their_own_are_read_as_itk_reads_them(suffix: str, tmp_path: Path) -> None:
    names = _slices(tmp_path)
    for path in (
        _listed(tmp_path / f"list{suffix}", names),
        _listed(tmp_path / f"dim{suffix}", names, "LIST 2"),
        _listed(tmp_path / f"pattern{suffix}", [], "s%03d.raw 1 6 1"),
        _listed(tmp_path / f"backwards{suffix}", [], "s%03d.raw 6 1 -1"),
    ):
        volume = gpukit.open(path, device="cpu")
        if "backwards" in path.name:
            assert np.array_equal(volume.array, VOXELS[::-1])
            continue
        image = SimpleITK.ReadImage(path)
        assert np.array_equal(volume.array, SimpleITK.GetArrayFromImage(image))
        assert np.array_equal(volume.array, VOXELS)
        assert volume.grid.affine[:3, 3] == pytest.approx(image.GetOrigin())
        assert volume.grid.spacing == pytest.approx(image.GetSpacing())


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize(
    "pattern", ["LIST", "s%03d.raw 1 5 1", "s%s.raw 1 6 1", "s%n%n.raw 1 6 1", "s%99999999d 1 6 1"]
)
def test_lists_of_too_few_or_impossible_files_are_refused(suffix: str, pattern: str, tmp_path: Path) -> None:
    names = _slices(tmp_path)
    path = _listed(tmp_path / f"v{suffix}", names[:5] if pattern == "LIST" else [], pattern)
    with pytest.raises(FormatError, match=f"v{suffix}"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".mhd", ".nhdr"])
@pytest.mark.parametrize("way", ["absolute", "parent", "link", "listed"])
def test_a_data_file_outside_the_folder_of_the_header_needs_leave(suffix: str, way: str, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "elsewhere").mkdir()
    secret = tmp_path / "elsewhere" / "secret.raw"
    secret.write_bytes(VOXELS.tobytes())
    name = {"absolute": str(secret), "parent": "../elsewhere/secret.raw", "link": "link.raw"}.get(way, "LIST")
    if way == "link":
        (tmp_path / "inside" / "link.raw").symlink_to(secret)
    if way == "listed":
        for k, plane in enumerate(VOXELS):
            (tmp_path / "elsewhere" / f"{k}.raw").write_bytes(plane.tobytes())
    path = _listed(
        tmp_path / "inside" / f"v{suffix}", [f"../elsewhere/{k}.raw" for k in range(6)] if way == "listed" else [], name
    )
    with pytest.raises(InputError, match=r"outside the folder of the header.*--external-data"):
        gpukit.open(path, device="cpu")
    assert np.array_equal(gpukit.open(path, device="cpu", external_data=True).array, VOXELS)


def test_a_data_file_in_a_folder_below_is_beside_the_header(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "v.raw").write_bytes(VOXELS.tobytes())
    path = _listed(tmp_path / "v.mhd", [], "sub/v.raw")
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)


# --- pairs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [nibabel.Nifti1Pair, nibabel.Nifti2Pair, nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage]
)
@pytest.mark.parametrize("end", ["", ".gz"])
def test_pairs_lie_where_nibabel_says(make: Callable[..., object], end: str, tmp_path: Path) -> None:
    """By the name of either file, or of both."""
    affine = np.array([[-2.0, 0, 0, 30], [0, 3, 0, -20], [0, 0, 1.5, 10], [0, 0, 0, 1]])
    image = make(VOXELS.T, affine if make in (nibabel.Nifti1Pair, nibabel.Nifti2Pair) else None)
    if make in (nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage):
        image.header.set_zooms((2.0, 3.0, 1.5))
    image.to_filename(tmp_path / f"v.img{end}")
    expected = nibabel.load(tmp_path / f"v.img{end}")
    header, voxels = tmp_path / f"v.hdr{end}", tmp_path / f"v.img{end}"
    for source in (header, voxels, [voxels, header]):
        volume = gpukit.open(source, device="cpu")
        assert np.array_equal(volume.array, VOXELS)
        assert volume.grid.ras_affine == pytest.approx(expected.affine, abs=1e-5)
    if make in (nibabel.Spm99AnalyzeImage, nibabel.AnalyzeImage):
        assert "left and right cannot be checked" in volume.notes[0]
    else:
        assert not volume.notes


def test_a_pair_with_a_half_missing_says_which(tmp_path: Path) -> None:
    nibabel.save(nibabel.Nifti1Pair(VOXELS.T, np.eye(4)), tmp_path / "v.img")
    (tmp_path / "v.img").unlink()
    with pytest.raises(InputNotFoundError, match=r"\.img of the pair is not there"):
        gpukit.open(tmp_path / "v.hdr", device="cpu")


# --- places ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("centerings", ["", "centerings: cell cell cell\n", "centerings: node node node\n"])
def test_axis_mins_are_the_origin_as_itk_takes_them(centerings: str, tmp_path: Path) -> None:
    path = tmp_path / "v.nrrd"
    fields = "type: uchar\ndimension: 3\nsizes: 4 3 2\nspacings: 2 3 4\naxis mins: 10 20 30\nencoding: raw\n"
    path.write_bytes(f"NRRD0004\n{fields}{centerings}\n".encode() + bytes(24))
    volume = gpukit.open(path, device="cpu")
    assert volume.grid.affine[:3, 3] == pytest.approx(SimpleITK.ReadImage(path).GetOrigin())
    assert any("axis mins" in note for note in volume.notes)


def test_sform_and_qform_that_disagree_are_noted(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(VOXELS.T, np.diag([1.0, 2.0, 3.0, 1.0]))
    image.set_qform(np.diag([1.0, 2.0, 3.0, 1.0]), code=1)
    shifted = np.diag([1.0, 2.0, 3.0, 1.0])
    shifted[0, 3] = 12.5
    image.set_sform(shifted, code=1)
    nibabel.save(image, tmp_path / "v.nii")
    assert gpukit.open(tmp_path / "v.nii", device="cpu").notes == (
        "sform and qform lie up to 12.5 mm apart: the sform was used",
    )


def test_voxel_sizes_that_disagree_with_the_sform_are_noted(tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<h", raw, 252, 0)  # qform_code
    struct.pack_into("<3f", raw, 80, 1.0, 1.0, 1.0)
    path.write_bytes(raw)
    volume = gpukit.open(path, device="cpu")
    assert volume.grid.spacing == pytest.approx((1, 2, 3))
    assert "1 x 1 x 1 by pixdim and 1 x 2 x 3 by the sform" in volume.notes[0]


def test_an_orientation_that_is_only_a_word_is_noted(tmp_path: Path) -> None:
    """ITK does not use it either; a reader must know that the file says more than is believed."""
    path = metaimage(tmp_path / "v.mha", VOXELS.tobytes(), "AnatomicalOrientation = LPS\n")
    volume = gpukit.open(path, device="cpu")
    assert np.diag(volume.grid.affine)[:3] == pytest.approx(SimpleITK.ReadImage(path).GetSpacing())
    assert any("AnatomicalOrientation LPS" in note for note in volume.notes)


def test_a_metaimage_in_centimetres_becomes_millimetres(tmp_path: Path) -> None:
    path = metaimage(tmp_path / "v.mha", VOXELS.tobytes(), "DistanceUnits = cm\nOffset = 1 2 3\n")
    volume = gpukit.open(path, device="cpu")
    assert volume.grid.spacing == pytest.approx((10, 20, 30))
    assert volume.grid.affine[:3, 3] == pytest.approx((10, 20, 30))
    assert "in cm" in volume.notes[0]


def test_a_metaimage_that_states_intensities_gives_them(tmp_path: Path) -> None:
    fields = "ElementToIntensityFunctionSlope = 0.5\nElementToIntensityFunctionOffset = -100\n"
    volume = gpukit.open(metaimage(tmp_path / "v.mha", VOXELS.tobytes(), fields), device="cpu")
    assert volume.array.min() == 400  # 1000 / 2 - 100
    assert volume.array.max() == 459.5
    assert "0.5 * element + -100" in volume.notes[0]


@pytest.mark.parametrize("form", ["ascii", "hex"])
def test_voxels_as_text_are_read(form: str, tmp_path: Path) -> None:
    text = " ".join(str(value) for value in VOXELS.ravel()) if form == "ascii" else VOXELS.tobytes().hex("\n", 30)
    path = nrrd(tmp_path / "v.nrrd", text.encode(), f"encoding: {form}\n")
    assert np.array_equal(gpukit.open(path, device="cpu").array, VOXELS)
    path = nrrd(tmp_path / "cut.nrrd", text[: len(text) // 2].encode(), f"encoding: {form}\n")
    with pytest.raises(FormatError, match="cut"):
        gpukit.open(path, device="cpu")
