"""What a network sees of an image's own window, table, colour depth and slices, against pydicom and the headers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing
from pydicom.sequence import Sequence

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")

import gpukit as gk
from gpukit.ai.model.description import read_description
from gpukit.ai.tasks.classify import classify
from gpukit.ai.tasks.detect import detect
from gpukit.ai.tasks.enhance import enhance
from gpukit.ai.transforms.image_input import Pictures
from gpukit.display.grayscale import shown_plane


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Means(torch.nn.Module):
    """The mean of each channel."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Everything(torch.nn.Module):
    """One box around the whole picture."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        box = torch.tensor([[0.0, 0.0, float(x.shape[3]), float(x.shape[2])]])
        return box, torch.tensor([0.9]), torch.ones(1, dtype=torch.int64)


def model(folder: Path, network: torch.nn.Module, task: str, output: dict[str, Any], **seen: Any) -> Any:
    torch.jit.script(network).save(str(folder / "n.ts"))
    content = {
        "schema_version": 1, "name": "n", "version": "1", "task": task, "format": "torchscript", "weights": "n.ts",
        "input": {"dimensions": 2, "channels": 1, **seen}, "output": output,
    }  # fmt: skip
    (folder / "n.json").write_text(json.dumps(content))
    return read_description(folder / "n.json")


def sees(folder: Path, volume: gk.Volume) -> np.ndarray:
    """The first picture of a network that wants an image as it is shown."""
    described = model(folder, Same(), "enhance", {})
    return Pictures(volume, described)[0][0].numpy()


def radiograph(**changes: Any) -> pydicom.Dataset:
    image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    image.Modality, image.SOPClassUID = "DX", pydicom.uid.DigitalXRayImageStorageForPresentation
    image.file_meta.MediaStorageSOPClassUID = image.SOPClassUID
    for keyword, value in changes.items():
        setattr(image, keyword, value)
    return image


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_a_window_is_applied_by_its_function(function: str, tmp_path: Path) -> None:
    image = radiograph(WindowCenter=[100, 7], WindowWidth=[900, 7], VOILUTFunction=function)
    image.save_as(tmp_path / "i.dcm")
    values = apply_modality_lut(image.pixel_array, image)
    shown = apply_windowing(values.astype(np.float64), image).astype(np.float64)
    # pydicom gives them in the range of the stored numbers after rescaling
    bits = image.BitsStored - 1
    low, high = (-(2.0**bits) + float(image.RescaleIntercept), 2.0**bits - 1 + float(image.RescaleIntercept))
    wanted = (shown - low) / (high - low)
    assert 0.1 < wanted.mean() < 0.9
    np.testing.assert_allclose(sees(tmp_path, gk.open(tmp_path / "i.dcm")), wanted, atol=1e-5)


def test_a_table_is_applied_where_there_is_no_window(tmp_path: Path) -> None:
    table = (np.linspace(0, 1, 700) ** 2 * 4095).astype(int)
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS", [len(table), -300, 12])
    item.add_new("LUTData", "US", [int(value) for value in table])
    image = radiograph(VOILUTSequence=Sequence([item]))
    assert "WindowCenter" not in image
    image.save_as(tmp_path / "i.dcm")
    wanted = apply_voi(apply_modality_lut(image.pixel_array, image).astype(np.int16), image) / 4095.0
    np.testing.assert_allclose(sees(tmp_path, gk.open(tmp_path / "i.dcm")), wanted, atol=1e-6)


def test_each_image_of_a_series_has_its_own_window(tmp_path: Path) -> None:
    described = model(tmp_path, Means(), "classify", {"activation": "none", "classes": ["bright"]})
    for n, width in enumerate((400, 2000, 900)):
        image = pydicom.dcmread(get_testdata_file("MR_small.dcm"))
        x, y, z = (float(part) for part in image.ImagePositionPatient)
        image.ImagePositionPatient, image.SOPInstanceUID = [x, y, z + n], f"1.2.{n + 1}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.WindowCenter, image.WindowWidth, image.InstanceNumber = 600, width, n + 1
        (tmp_path / "s").mkdir(exist_ok=True)
        image.save_as(tmp_path / "s" / f"{n}.dcm")
    together = {one.source.path: one.top.probability for one in classify(gk.open(tmp_path / "s"), described)}
    assert len(set(together.values())) == 3
    for path, probability in together.items():
        (alone,) = classify(gk.open(path), described)
        assert probability == alone.top.probability


@pytest.mark.parametrize("name", ["SC_rgb_rle_16bit.dcm", "SC_rgb_rle_32bit.dcm", "SC_rgb_rle.dcm"])
def test_full_colour_is_one_at_any_depth(name: str, tmp_path: Path) -> None:
    described = model(tmp_path, Means(), "classify", {"activation": "none", "classes": ["r", "g", "b"]}, channels=3)
    (found,) = classify(gk.open(get_testdata_file(name)), described)
    image = pydicom.dcmread(get_testdata_file(name))
    wanted = image.pixel_array.mean(axis=(0, 1)) / float(2**image.BitsStored - 1)
    stated = {one.name: one.probability for one in found.predictions}
    np.testing.assert_allclose([stated[c] for c in "rgb"], wanted, atol=1e-6)
    scaled = Pictures(gk.open(get_testdata_file(name)), model(tmp_path, Same(), "enhance", {}, values="rescaled"))
    assert scaled[0].max() <= 255


def test_inverse_images_are_drawn_as_they_are_shown(tmp_path: Path) -> None:
    image = radiograph(WindowCenter=500, WindowWidth=1000)
    image.save_as(tmp_path / "2.dcm")
    image.PhotometricInterpretation = "MONOCHROME1"
    image.save_as(tmp_path / "1.dcm")
    usual, inverse = (shown_plane(gk.open(tmp_path / f"{n}.dcm")).astype(int) for n in (2, 1))
    assert usual.std() > 20
    assert np.abs(usual + inverse - 255).max() <= 1  # each rounded


def test_an_interpolated_slice_is_no_instance(tmp_path: Path) -> None:
    places = (0.0, 5.0, 15.0, 20.0)
    for n, z in enumerate(places):
        image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        image.ImagePositionPatient, image.SOPInstanceUID, image.InstanceNumber = [-50, -60, z], f"1.2.{n + 1}", n + 1
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        (tmp_path / "s").mkdir(exist_ok=True)
        image.save_as(tmp_path / "s" / f"{n}.dcm")
    described = model(tmp_path, Everything(), "detect", {"classes": ["all"]})
    found = detect(gk.open(tmp_path / "s", fill_gaps=True), described)
    assert len(found.boxes) == 5
    for one in found.boxes:
        assert one.patient is not None
        z = one.patient[2]
        instance = None if one.source is None else places[int(one.source.sop_instance_uid.split(".")[-1]) - 1]
        assert instance == (None if z == pytest.approx(10) else pytest.approx(z))


def test_a_straightened_slice_is_no_instance(data: Path, tmp_path: Path) -> None:
    """Removing a gantry tilt moves rows, so a box's pixels are those of no stored image."""
    described = model(tmp_path, Everything(), "detect", {"classes": ["all"]})
    volume = gk.open(data / "ct_tilt_ge", fill_gaps=True)
    found = detect(volume, described)
    assert len(found.boxes) == volume.grid.shape[0]
    origin = volume.grid.affine[:3, 3]
    for one in found.boxes:
        if one.source is not None:
            place = volume.grid.to_world([(0, 0, one.index)])[0]
            apart = np.abs(np.asarray(one.source.position) - place)
            assert apart.max() < 0.2, (one.index, origin)  # a fraction of a pixel of 0.4 mm


def test_what_a_window_cuts_off_an_enhanced_image_is_said(tmp_path: Path) -> None:
    """Denoising within a window of 400 HU cannot give back what lies outside."""
    described = model(tmp_path, Same(), "enhance", {}, window=[-160, 240])
    made = enhance(gk.open(get_testdata_file("CT_small.dcm")), described)
    (note,) = (note for note in made.notes if "cut off" in note)
    assert "on 1 of 1 images values outside the model's window, of the first -160 to 240, were cut off" in note
    assert float(made.array.min()) == pytest.approx(-160, abs=1e-3)
    whole = model(tmp_path, Same(), "enhance", {}, window=[-2000, 3000])
    assert not any("cut off" in note for note in enhance(gk.open(get_testdata_file("CT_small.dcm")), whole).notes)


def test_an_image_in_colour_is_not_enhanced(tmp_path: Path) -> None:
    described = model(tmp_path, Same(), "enhance", {})
    with pytest.raises(gk.errors.InputError, match="a colour image cannot be enhanced"):
        enhance(gk.open(get_testdata_file("examples_rgb_color.dcm")), described)


@pytest.mark.parametrize("signed", [False, True])
def test_a_modality_table_gives_the_values(signed: bool, tmp_path: Path) -> None:
    """Of digitized film, say: stored numbers mean optical density by a table in the header (PS3.3 C.11.1)."""
    table = (np.linspace(0, 1, 900) ** 0.5 * 4000).astype(int)
    first = -100 if signed else 50
    item = pydicom.Dataset()
    item.add_new("LUTDescriptor", "SS" if signed else "US", [len(table), first, 16])
    item.add_new("LUTData", "US", [int(value) for value in table])
    item.ModalityLUTType = "OD"
    image = radiograph(ModalityLUTSequence=Sequence([item]))
    del image.RescaleSlope, image.RescaleIntercept
    image.PixelRepresentation = int(signed)
    image.save_as(tmp_path / "i.dcm")
    wanted = apply_modality_lut(image.pixel_array, image)
    volume = gk.open(tmp_path / "i.dcm")
    np.testing.assert_array_equal(volume.array[0], wanted)
    assert wanted.std() > 100
    np.testing.assert_allclose(
        sees(tmp_path, volume), (wanted - wanted.min()) / np.ptp(wanted.astype(float)), atol=1e-6
    )
