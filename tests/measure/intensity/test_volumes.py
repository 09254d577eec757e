"""Where an image has no place in the patient its volume has a stand-in grid: no size in mm may ever come of that."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.images import write_image

import gpukit as gk
from gpukit.dicom.image.frame import open_frame
from gpukit.errors import GeometryError, GpukitError
from gpukit.measure.intensity.statistics import roi
from gpukit.measure.intensity.volumes import volume as volume_of
from gpukit.segmentation import Label, Segmentation

DETECTOR = {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25}
PLACE = {"ImagePositionPatient": [0, 0, 0], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [0.5, 0.5]}


def mask_on(volume: gk.Volume) -> Segmentation:
    array = np.zeros(volume.grid.shape, np.uint8)
    array[0, 10:16, 10:20] = 1
    label = Label(
        1, "lesion", ("49755003", "SCT", "Morphologically abnormal structure"), ("108369006", "SCT", "Neoplasm")
    )
    return Segmentation(array=array, grid=volume.grid, labels=(label,), sources=volume.sources, notes=volume.notes)


@pytest.mark.parametrize(("modality", "attributes"), [("OT", {}), ("DX", DETECTOR), ("CT", PLACE)])
def test_no_volume_without_a_known_depth(tmp_path: Path, modality: str, attributes: dict[str, object]) -> None:
    file = write_image(tmp_path / "a.dcm", modality, **attributes)
    for image in (gk.open(file, device="cpu"), open_frame(file).read("cpu")):
        mask = mask_on(image)
        with pytest.raises(GeometryError, match="no volume"):
            volume_of(image, mask)
        assert not [q.name for q in roi(image, mask) if q.unit in ("ml", "mm3", "mm2", "mm")]
        with pytest.raises(GpukitError, match="ball"):
            roi(image, gk.Sphere((20, 20, 0), 5))


def test_with_a_thickness_there_is_a_volume(tmp_path: Path) -> None:
    image = gk.open(write_image(tmp_path / "a.dcm", **PLACE, SliceThickness=2), device="cpu")
    assert volume_of(image, mask_on(image)).value == pytest.approx(60 * 0.5 * 0.5 * 2 / 1000)  # ml


def test_areas_of_pictures_have_the_scale_of_the_picture(tmp_path: Path) -> None:
    box = gk.Box(10, 10, 10, 10)
    bare, detector = write_image(tmp_path / "a.dcm", "OT"), write_image(tmp_path / "b.dcm", "DX", **DETECTOR)
    for image in (bare, open_frame(bare), gk.open(bare, device="cpu")):
        found = roi(image, box).quantity("area")
        assert (found.value, found.unit) == (100, "{square_pixels}")
    for image in (detector, open_frame(detector)):
        found = roi(image, box).quantity("area")
        assert (found.value, found.unit) == (pytest.approx(100 * 0.16**2), "mm2")
