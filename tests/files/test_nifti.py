"""Files that other software writes, and files that nobody should: read right, or refused with a reason."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

import gpukit
from gpukit.errors import FormatError, GeometryError, InputNotFoundError
from gpukit.geometry import LPS_RAS

AFFINE = np.array([[-1.5, 0, 0, 10], [0, 2.0, 0, 20], [0, 0, 2.5, 30], [0, 0, 0, 1.0]])
DATA = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def nifti(path: Path, *, sform: int = 1, qform: int = 1, data: np.ndarray = DATA, **fields: object) -> Path:
    image = nibabel.Nifti1Image(data, AFFINE)
    image.set_sform(AFFINE, code=sform)
    image.set_qform(AFFINE, code=qform)
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def test_qform_alone_is_enough(tmp_path: Path) -> None:
    volume = gpukit.open(nifti(tmp_path / "v.nii", sform=0), device="cpu")
    assert volume.grid.affine == pytest.approx(LPS_RAS @ AFFINE, abs=1e-5)  # float32 quaternion


def test_sform_wins_over_qform(tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii", qoffset_x=999.0)
    assert gpukit.open(path, device="cpu").grid.affine[0, 3] == -10


def test_no_orientation_at_all_is_said(tmp_path: Path) -> None:
    volume = gpukit.open(nifti(tmp_path / "v.nii", sform=0, qform=0), device="cpu")
    assert "no orientation" in volume.notes[0]
    assert volume.grid.spacing == pytest.approx((1.5, 2.0, 2.5))


@pytest.mark.parametrize(("code", "factor"), [(1, 1000.0), (2, 1.0), (3, 1e-3)])
def test_metres_and_microns_become_millimetres(code: int, factor: float, tmp_path: Path) -> None:
    volume = gpukit.open(nifti(tmp_path / "v.nii", xyzt_units=code), device="cpu")
    assert volume.grid.spacing == pytest.approx(tuple(factor * s for s in (1.5, 2.0, 2.5)))


def test_slope_and_intercept_scale_the_values(tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<ff", raw, 112, 0.5, -3.0)  # scl_slope and scl_inter, nifti1.h
    path.write_bytes(raw)
    volume = gpukit.open(path, device="cpu")
    assert volume.array[2, 1, 1] == DATA[1, 1, 2] * 0.5 - 3.0
    assert volume.array.dtype == np.float32


def test_big_endian_reads_like_little_endian(tmp_path: Path) -> None:
    header = nibabel.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    image = nibabel.Nifti1Image(DATA.astype(">i2"), AFFINE, header)
    nibabel.save(image, tmp_path / "v.nii")
    assert (tmp_path / "v.nii").read_bytes()[:4] == struct.pack(">i", 348)
    volume = gpukit.open(tmp_path / "v.nii", device="cpu")
    assert np.array_equal(volume.array, DATA.T)
    assert volume.array.dtype.isnative


def test_nan_affine_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<f", raw, 280, float("nan"))  # srow_x[0]
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match=r"v\.nii.*not finite"):
        gpukit.open(path, device="cpu")


def test_singular_affine_is_refused(tmp_path: Path) -> None:
    path = nifti(tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    struct.pack_into("<4f", raw, 296, 0, 0, 0, 0)  # srow_y
    path.write_bytes(raw)
    with pytest.raises(GeometryError, match=r"v\.nii.*singular"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_sizes_beyond_the_file_are_refused_before_memory_is_taken(suffix: str, tmp_path: Path) -> None:
    raw = bytearray(nifti(tmp_path / "small.nii").read_bytes())
    struct.pack_into("<8h", raw, 40, 3, 32767, 32767, 32767, 1, 1, 1, 1)
    path = tmp_path / f"huge{suffix}"
    path.write_bytes(gzip.compress(bytes(raw)) if suffix.endswith("gz") else bytes(raw))
    with pytest.raises(FormatError, match="claims 70,"):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".nrrd"])
@pytest.mark.parametrize("part", [0.0, 0.3, 0.9])
def test_files_cut_off_are_refused(suffix: str, part: float, tmp_path: Path) -> None:
    from support.volumes import random_volume

    whole = gpukit.save(random_volume("float64"), tmp_path / f"whole{suffix}").read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole[: int(len(whole) * part)])
    with pytest.raises(FormatError, match="cut"):
        gpukit.open(cut, device="cpu")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr"])
def test_rubbish_and_nothing_are_told_apart(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"v{suffix}"
    with pytest.raises(InputNotFoundError):
        gpukit.open(path, device="cpu")
    path.write_bytes(b"<html>404 not found</html>" * 40)
    with pytest.raises(FormatError, match=str(path.name)):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize(
    ("suffix", "field", "damage"),
    [
        (".mha", b"DimSize = 4 3 2", b"DimSize = 60000 60000 60000"),
        (".nrrd", b"sizes: 4 3 2", b"sizes: 60000 60000 60000"),
        (".nrrd", b"sizes: 4 3 2", b"sizes: -4 3 2"),
    ],
)
def test_headers_that_claim_too_much_are_refused(suffix: str, field: bytes, damage: bytes, tmp_path: Path) -> None:
    from support.volumes import random_volume

    path = gpukit.save(random_volume(), tmp_path / f"v{suffix}")
    raw = path.read_bytes()
    assert field in raw
    path.write_bytes(raw.replace(field, damage))
    with pytest.raises(FormatError):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize(("suffix", "key"), [(".mhd", "ElementDataFile"), (".nhdr", "data file")])
def test_header_whose_data_file_is_gone_says_so(suffix: str, key: str, tmp_path: Path) -> None:
    from support.volumes import random_volume

    path = gpukit.save(random_volume(), tmp_path / f"v{suffix}")
    for other in tmp_path.iterdir():
        if other != path:
            other.unlink()
    with pytest.raises(InputNotFoundError, match=key):
        gpukit.open(path, device="cpu")


@pytest.mark.parametrize(
    ("space", "signs"), [("right-anterior-superior", (-1, -1)), ("left-anterior-superior", (1, -1))]
)
def test_other_nrrd_spaces_become_lps(space: str, signs: tuple[int, int], tmp_path: Path) -> None:
    header = (
        f"NRRD0004\ntype: uchar\ndimension: 3\nspace: {space}\nsizes: 1 1 2\n"
        "space directions: (2,0,0) (0,3,0) (0,0,4)\nkinds: domain domain domain\nencoding: raw\n"
        "space origin: (5,6,7)\n\n"
    )
    path = tmp_path / "v.nrrd"
    path.write_bytes(header.encode() + b"\x01\x02")
    affine = gpukit.open(path, device="cpu").grid.affine
    assert affine[:3, 3] == pytest.approx((5 * signs[0], 6 * signs[1], 7))
    assert np.diag(affine)[:3] == pytest.approx((2 * signs[0], 3 * signs[1], 4))


def test_compressed_metaimage_of_another_writer_is_read(tmp_path: Path) -> None:
    image = SimpleITK.GetImageFromArray(DATA)
    image.SetSpacing((0.5, 0.6, 0.7))
    SimpleITK.WriteImage(image, tmp_path / "v.mha", useCompression=True)
    volume = gpukit.open(tmp_path / "v.mha", device="cpu")
    assert np.array_equal(volume.array, DATA)
    assert volume.grid.spacing == (0.5, 0.6, 0.7)


def test_real_nifti_lies_where_nibabel_says(data: Path) -> None:
    for path in sorted((data / "nifti").glob("*.nii*")):
        image, volume = nibabel.load(path), gpukit.open(path, device="cpu")
        assert np.array_equal(volume.grid.affine, LPS_RAS @ image.affine)
        # nibabel scales to float64; 16-bit integers scaled are kept as float32, rounded once
        assert np.array_equal(volume.array, np.asarray(image.dataobj).T.astype(volume.array.dtype))


def _write_without_sizes(path: Path) -> None:
    """A file whose header leaves out how large its voxels are, which nibabel and ITK read as 1 mm."""
    if path.suffix == ".mha":
        fields = "ObjectType = Image\nNDims = 3\nDimSize = 4 3 2\nElementType = MET_UCHAR\nElementDataFile = LOCAL\n"
        path.write_bytes(fields.encode() + bytes(24))
    elif path.suffix == ".nrrd":
        fields = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 3 2\nencoding: raw\n\n"
        path.write_bytes(fields.encode() + bytes(24))
    else:
        image = nibabel.Nifti1Image(np.zeros((4, 3, 2), np.uint8), None)
        image.header["sform_code"] = image.header["qform_code"] = 0
        nibabel.save(image, path)
        content = bytearray(path.read_bytes())
        content[80:92] = bytes(12)  # pixdim[1] to pixdim[3]
        path.write_bytes(content)


@pytest.mark.parametrize("name", ["a.nii", "a.mha", "a.nrrd"])
def test_voxels_of_no_stated_size_are_refused(name: str, tmp_path: Path) -> None:
    """A millimetre that nobody measured must not become millilitres."""
    _write_without_sizes(tmp_path / name)
    with pytest.raises(GeometryError, match=r"does not say how large its voxels are \["):
        gpukit.open(tmp_path / name, device="cpu")
