"""Headers whose voxels are in other files: lists, folders, pairs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from support.voxel_files import FIELDS, NRRD, VOXELS

import gpukit
from gpukit.errors import FormatError, InputError, InputNotFoundError

# --- data files --------------------------------------------------------------------------------------------------


def _slices(folder: Path) -> list[str]:
    names = [f"s{n:03d}.raw" for n in range(1, 7)]
    for name, plane in zip(names, VOXELS, strict=True):
        (folder / name).write_bytes(plane.tobytes())
    return names


def _listed(path: Path, names: list[str], pattern: str = "LIST") -> Path:
    lines = "\n".join([pattern, *names]) + "\n"
    if path.suffix == ".mhd":
        path.write_text(f"{FIELDS}ElementDataFile = {lines}")
    else:
        path.write_text(f"{NRRD}encoding: raw\ndata file: {lines}")
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
