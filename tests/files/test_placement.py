"""Where the voxels of a volume file lie, and what its header says of their values."""

from __future__ import annotations

import struct
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
from support.voxel_files import VOXELS, metaimage, nifti, nrrd

import gpukit
from gpukit.errors import FormatError

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
