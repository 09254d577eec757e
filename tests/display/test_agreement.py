"""Every way in which gpukit shows an image gives the same gray levels, and those are DCMTK's."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    CTImageStorage,
    ExplicitVRLittleEndian,
    MRImageStorage,
    generate_uid,
)

import gpukit as gk
from gpukit.display.grayscale import shown_plane

ROWS, COLUMNS, SLICES = 64, 48, 3
CLASSES = {"CT": CTImageStorage, "MR": MRImageStorage, "CR": ComputedRadiographyImageStorage}


def write(folder: Path, modality: str, **attributes: Any) -> Path:
    """Three slices of ramps of 0 to 1575 above one another; an attribute may be a function of the slice."""
    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for k in range(SLICES):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = CLASSES[modality], generate_uid()
        image.Modality, image.PatientID, image.PatientName = modality, "1", "Ramp^One"
        image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = study, series, frame
        image.SeriesNumber, image.InstanceNumber = 1, k + 1
        if modality != "CR":
            image.ImagePositionPatient, image.ImageOrientationPatient = [-24, -32, 2.0 * k], [1, 0, 0, 0, 1, 0]
            image.PixelSpacing, image.SliceThickness = [1, 1], 2
        image.Rows, image.Columns, image.SamplesPerPixel = ROWS, COLUMNS, 1
        image.PhotometricInterpretation = "MONOCHROME2"
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        y, x = np.mgrid[:ROWS, :COLUMNS]
        image.PixelData = (20 * x + 10 * y + k).astype("<u2").tobytes()
        for keyword, value in attributes.items():
            value = value(k) if callable(value) else value
            if keyword == "philips":
                block = image.private_block(0x2005, "Philips MR Imaging DD 001", create=True)
                block.add_new(0x0E, "FL", value)
            else:
                setattr(image, keyword, value)
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
        if modality == "CR":
            break
    return folder


def falling_table(first: int = 0) -> list[Dataset]:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [1024, first, 12])
    item.add_new("LUTData", "US", [4095 - 4 * n for n in range(1024)])
    return [item]


HU = {"RescaleSlope": 1, "RescaleIntercept": 0}
WINDOWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "linear": ("CT", {"WindowCenter": 300, "WindowWidth": 700, "RescaleSlope": 1, "RescaleIntercept": -500}, "+Wi"),
    "narrow": ("CT", {"WindowCenter": [400, 7], "WindowWidth": [9, 7], **HU}, "+Wi"),
    "step": ("CT", {"WindowCenter": 500, "WindowWidth": 1, **HU}, "+Wi"),
    "sigmoid": ("CR", {"WindowCenter": 800, "WindowWidth": 500, "VOILUTFunction": "SIGMOID"}, "+Wi"),
    "each its own": ("MR", {"WindowCenter": lambda k: 300 * k + 200, "WindowWidth": lambda k: 300 * k + 300}, "+Wi"),
    "inverse": ("CR", {"WindowCenter": 800, "WindowWidth": 900, "PhotometricInterpretation": "MONOCHROME1"}, "+Wi"),
    "table": ("CR", {"VOILUTSequence": falling_table(200)}, "+Wl"),
    "table of CT": ("CT", {"VOILUTSequence": falling_table(), **HU}, "+Wl"),
    "philips": (
        "MR",
        {"WindowCenter": 326, "WindowWidth": 567, "RescaleSlope": 0.4258852, "RescaleIntercept": 0,
         "philips": 0.0002765719254966825},
        "+Wi",
    ),
    "philips table": (
        "MR", {"VOILUTSequence": falling_table(), "RescaleSlope": 1, "RescaleIntercept": 0, "philips": 0.0025}, "+Wl",
    ),
}  # fmt: skip


def dcmtk(file: Path, option: str) -> np.ndarray:
    """The picture of DCMTK through the first window (+Wi) or table (+Wl) of the header."""
    target = file.with_suffix(".ppm")
    subprocess.run(["dcmj2pnm", option, "1", str(file), str(target)], check=True, capture_output=True)
    return np.asarray(Image.open(target).convert("L")).astype(int)


@pytest.fixture(params=list(WINDOWS))
def case(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, list[np.ndarray]]:
    """A series, and DCMTK's picture of each of its images."""
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("DCMTK's dcmj2pnm is not installed, and is the judge of these pictures")
    modality, attributes, option = WINDOWS[request.param]
    folder = write(tmp_path / "series", modality, **attributes)
    return folder, [dcmtk(file, option) for file in sorted(folder.glob("*.dcm"))]


def test_pictures_are_those_of_dcmtk(case: tuple[Path, list[np.ndarray]]) -> None:
    folder, right = case
    volume = gk.open(folder)
    for k, picture in enumerate(right):
        assert np.ptp(picture) > 200  # the picture shows something
        assert np.abs(shown_plane(volume, slice=k).astype(int) - picture).max() <= 1  # DCMTK cuts, we round


def test_planes_and_their_dicom_images_are_those_of_dcmtk(case: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    folder, right = case
    (stack,) = gk.mpr(gk.open(folder), planes=("axial",), stack=True)
    gk.save(stack, tmp_path / "derived", format="dicom")
    again = gk.open(tmp_path / "derived")
    files = sorted((tmp_path / "derived").glob("*.dcm"))
    for k, picture in enumerate(right):
        assert np.abs(shown_plane(stack, slice=k).astype(int) - picture).max() <= 1
        image = pydicom.dcmread(files[k])
        if "VOILUTSequence" not in image and "WindowCenter" not in image:
            assert "the VOI LUT of the source does not suit" in image.DerivationDescription
            assert float(image.RescaleSlope) != 1  # a table needs whole numbers
            continue
        assert np.abs(shown_plane(again, slice=k).astype(int) - picture).max() <= 1
        assert np.abs(dcmtk(files[k], "+Wl" if "VOILUTSequence" in image else "+Wi") - picture).max() <= 1


def test_networks_see_what_people_see(case: tuple[Path, list[np.ndarray]], tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="networks need torch")
    pytest.importorskip("monai", reason="networks need monai")
    import json

    from gpukit.ai.model.description import read_description
    from gpukit.ai.transforms.image_input import Pictures

    torch.jit.script(torch.nn.Identity()).save(str(tmp_path / "n.ts"))
    described = {
        "schema_version": 1, "name": "n", "version": "1", "task": "enhance", "format": "torchscript", "weights": "n.ts",
        "input": {"dimensions": 2, "channels": 1}, "output": {},
    }  # fmt: skip
    (tmp_path / "n.json").write_text(json.dumps(described))
    folder, right = case
    volume = gk.open(folder)
    pictures = Pictures(volume, read_description(tmp_path / "n.json"))
    for k in range(len(right)):
        levels = np.rint(pictures[k][0].numpy() * 255.0).astype(int)
        np.testing.assert_array_equal(levels, shown_plane(volume, slice=k))


def test_a_montage_is_of_the_same_gray(case: tuple[Path, list[np.ndarray]]) -> None:
    from gpukit.ai.results.montage import montage
    from gpukit.segmentation import Segmentation

    folder, right = case
    volume = gk.open(folder)
    empty = Segmentation(
        array=np.zeros(volume.grid.shape, np.uint8), grid=volume.grid, labels=(), sources=volume.sources
    )
    columns = len(right)
    picture = np.asarray(montage(volume, empty, columns=columns, tile=max(ROWS, COLUMNS)).convert("L")).astype(int)
    for n, expected in enumerate(right):
        left, top = (picture.shape[1] - columns * (COLUMNS + 6) + 6) // 2 + n * (COLUMNS + 6), 6
        tile = picture[top : top + ROWS, left : left + COLUMNS]
        inner = np.s_[14:-14, 14:-14]  # beside the letters
        assert np.abs(tile[inner] - expected[inner]).max() <= 1


def test_presentation_states_show_the_same_gray(
    case: tuple[Path, list[np.ndarray]], tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """A state of a measurement, applied by DCMTK."""
    if shutil.which("dcmp2pgm") is None:
        pytest.skip("DCMTK's dcmp2pgm is not installed")
    folder, right = case
    file = sorted(folder.glob("*.dcm"))[0]
    state = tmp_path / "state.dcm"
    written = run("measure", "distance", file, "--p1", "5,5", "--p2", "6,5", "--output", state, "--format", "gsps")
    assert written.returncode == 0, written.stderr
    items = pydicom.dcmread(state).get("SoftcopyVOILUTSequence") or ()
    if any(item.get("VOILUTFunction") == "SIGMOID" for item in items):
        # DCMTK reads a state's window as linear whatever its function is: what the state says is compared instead
        image = pydicom.dcmread(file)
        assert (items[0].WindowCenter, items[0].WindowWidth) == (image.WindowCenter, image.WindowWidth)
        return
    command = ["dcmp2pgm", "-p", str(state), str(file), str(tmp_path / "shown.pgm")]
    subprocess.run(command, check=True, capture_output=True)
    shown = np.asarray(Image.open(tmp_path / "shown.pgm")).astype(int)
    assert shown.shape == (ROWS, COLUMNS)
    different = np.abs(shown - right[0]) > 1
    different[:16, :] = False  # the line and its caption
    assert not different.any()
