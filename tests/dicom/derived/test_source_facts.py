"""Derived images state what all their sources say together."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.uid import PositronEmissionTomographyImageStorage
from support.ramps import derived_of, write_ramps


def test_the_worst_of_all_sources_is_stated(tmp_path: Path) -> None:
    """Only the third slice was compressed with loss, and only the fourth has burnt-in text."""

    def mixed(image: Dataset, k: int) -> None:
        image.BurnedInAnnotation = "YES" if k == 3 else "NO"
        image.LossyImageCompression = "00"
        if k == 2:
            image.LossyImageCompression, image.LossyImageCompressionRatio = "01", [12.5, 2]
            image.LossyImageCompressionMethod = ["ISO_10918_1", "ISO_15444_1"]

    for image in derived_of(write_ramps(tmp_path / "s", mixed, count=5, placed=True), tmp_path / "d"):
        assert (image.LossyImageCompression, image.BurnedInAnnotation) == ("01", "YES")
        assert [float(v) for v in image.LossyImageCompressionRatio] == [12.5, 2]
        assert list(image.LossyImageCompressionMethod) == ["ISO_10918_1", "ISO_15444_1"]


def test_nothing_is_said_where_not_all_sources_say_it(tmp_path: Path) -> None:
    def mixed(image: Dataset, k: int) -> None:
        if k == 0:
            image.BurnedInAnnotation = "NO"

    (first, *_) = derived_of(write_ramps(tmp_path / "s", mixed, count=3, placed=True), tmp_path / "d")
    assert "BurnedInAnnotation" not in first


def test_what_archives_file_by_is_kept_whole(tmp_path: Path) -> None:
    def long(image: Dataset, k: int) -> None:
        image.AccessionNumber = "ACC-2026-11-30-000123"  # 21 letters, of 16
        image.BodyPartExamined, image.Laterality = "CHEST", "R"

    with pytest.warns(UserWarning, match="exceeds the maximum length"):
        source = write_ramps(tmp_path / "s", long, count=3, placed=True)
    (first, *_) = derived_of(source, tmp_path / "d")
    assert first.AccessionNumber == "ACC-2026-11-30-000123"
    assert "Laterality" not in first  # forbidden for what there is one of (PS3.3 C.7.3.1)


def test_each_pet_image_has_the_decay_of_its_own_time(tmp_path: Path) -> None:
    half_life = 6586.2  # s, of fluorine 18

    def pet(image: Dataset, k: int) -> None:
        seconds = 120.0 * (k // 2)  # two slices a bed
        image.Units, image.DecayCorrection, image.SeriesType = "BQML", "START", ["WHOLE BODY", "IMAGE"]
        image.SeriesDate = image.AcquisitionDate = "20260102"
        image.SeriesTime, image.AcquisitionTime = "100000", f"10{int(seconds // 60):02d}00"
        image.FrameReferenceTime = seconds * 1000
        image.DecayFactor = f"{2 ** (seconds / half_life):.6f}"
        image.RescaleSlope, image.RescaleIntercept = 2, 0
        isotope = Dataset()
        isotope.RadionuclideHalfLife, isotope.RadionuclideTotalDose = half_life, 3e8
        image.RadiopharmaceuticalInformationSequence = [isotope]

    source = write_ramps(
        tmp_path / "s", pet, sop=PositronEmissionTomographyImageStorage, modality="PT", count=6, placed=True
    )  # fmt: skip
    for k, image in enumerate(derived_of(source, tmp_path / "d")):
        seconds = 120.0 * (round(float(image.ImagePositionPatient[2]) / 2) // 2)
        assert float(image.FrameReferenceTime) == 1000 * seconds, k
        assert image.AcquisitionTime == f"10{int(seconds // 60):02d}00"
        assert float(image.DecayFactor) == pytest.approx(2 ** (seconds / half_life), abs=1e-6)
