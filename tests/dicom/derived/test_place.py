"""Derived images state the place and the pixel size that their source states, and nothing made up."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalMammographyXRayImageStorageForPresentation,
    UltrasoundImageStorage,
)
from support.ramps import derived_of, write_ramps

import gpukit as gk

NO_PLACE = (
    "ImagePositionPatient", "ImageOrientationPatient", "FrameOfReferenceUID", "SliceThickness", "SpacingBetweenSlices",
    "PositionReferenceIndicator",
)  # fmt: skip


def test_mammograms_keep_their_sides_and_the_spacing_at_the_detector(tmp_path: Path) -> None:
    """A viewer draws its letters from PatientOrientation; 1\\0\\0\\0\\1\\0 would put L where R is."""

    def mammogram(image: Dataset, k: int) -> None:
        image.PatientOrientation, image.ImageLaterality = ["P", "L"], "R"
        image.ImagerPixelSpacing, image.EstimatedRadiographicMagnificationFactor = [0.1, 0.07], 1.06

    source = write_ramps(
        tmp_path / "s", mammogram, sop=DigitalMammographyXRayImageStorageForPresentation, modality="MG"
    )  # fmt: skip
    (image,) = derived_of(source, tmp_path / "d")
    assert list(image.PatientOrientation) == ["P", "L"]
    assert [float(v) for v in image.ImagerPixelSpacing] == [0.1, 0.07]
    assert float(image.EstimatedRadiographicMagnificationFactor) == 1.06
    assert "PixelSpacing" not in image
    assert [keyword for keyword in NO_PLACE if keyword in image] == []
    assert image.ImageLaterality == "R"


def test_a_calibrated_radiograph_keeps_its_calibration(tmp_path: Path) -> None:
    def calibrated(image: Dataset, k: int) -> None:
        image.PixelSpacing, image.PixelSpacingCalibrationType = [0.15, 0.15], "FIDUCIAL"
        image.PixelSpacingCalibrationDescription = "a sphere of 25 mm"

    source = write_ramps(tmp_path / "s", calibrated, sop=ComputedRadiographyImageStorage, modality="CR")
    (image,) = derived_of(source, tmp_path / "d")
    assert [float(v) for v in image.PixelSpacing] == [0.15, 0.15]
    assert (image.PixelSpacingCalibrationType, image.PixelSpacingCalibrationDescription) == (
        "FIDUCIAL", "a sphere of 25 mm",
    )  # fmt: skip


def test_no_spacing_stays_no_spacing(tmp_path: Path) -> None:
    source = write_ramps(tmp_path / "s", sop=ComputedRadiographyImageStorage, modality="CR")
    (image,) = derived_of(source, tmp_path / "d")
    spacings = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", *NO_PLACE)
    assert [keyword for keyword in spacings if keyword in image] == []
    assert image.PatientOrientation is None or list(image.PatientOrientation) == []
    again = gk.open(tmp_path / "d")
    assert any("no pixel spacing" in note for note in again.notes)


def test_pixels_that_are_not_square_keep_their_shape(tmp_path: Path) -> None:
    def tall(image: Dataset, k: int) -> None:
        image.PixelAspectRatio = [2, 1]

    source = write_ramps(tmp_path / "s", tall, sop=ComputedRadiographyImageStorage, modality="CR")
    (image,) = derived_of(source, tmp_path / "d")
    assert "PixelSpacing" not in image
    assert [int(v) for v in image.PixelAspectRatio] == [2, 1]


def test_regions_of_ultrasound_are_kept(tmp_path: Path) -> None:
    def ultrasound(image: Dataset, k: int) -> None:
        region = Dataset()
        region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = 1, 1, 0
        region.RegionLocationMinX0, region.RegionLocationMinY0 = 0, 0
        region.RegionLocationMaxX1, region.RegionLocationMaxY1 = 47, 63
        region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = 3  # cm
        region.PhysicalDeltaX = region.PhysicalDeltaY = 0.04
        image.SequenceOfUltrasoundRegions = [region]

    source = write_ramps(tmp_path / "s", ultrasound, sop=UltrasoundImageStorage, modality="US")
    (image,) = derived_of(source, tmp_path / "d")
    (region,) = image.SequenceOfUltrasoundRegions
    assert (region.PhysicalDeltaX, region.RegionLocationMaxX1) == (0.04, 47)
    assert "PixelSpacing" not in image
    length = gk.distance(tmp_path / "d" / "0001.dcm", p1=(10, 10), p2=(20, 10))
    assert length.quantity("length").value == pytest.approx(4.0)  # 10 pixels of 0.04 cm, in mm


def test_images_with_a_place_keep_it(tmp_path: Path) -> None:
    images = derived_of(write_ramps(tmp_path / "s", count=4, placed=True), tmp_path / "d", planes=("coronal",))
    assert [float(v) for v in images[0].PixelSpacing] == [2, 1]
    assert [float(v) for v in images[0].ImageOrientationPatient] == [1, 0, 0, 0, 0, -1]
