"""The scale of an image: which attribute it comes from, and that every result says so."""

from __future__ import annotations

import math
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    BreastProjectionXRayImageStorageForPresentation,
    EnhancedXRFImageStorage,
    OphthalmicTomographyImageStorage,
)
from support.images import region, regions, write_image

import gpukit as gk
from gpukit.errors import GeometryError, InputError
from gpukit.measure.spatial.calibration import manual

CM, SECONDS, VELOCITY, NONE = 3, 4, 7, 0


def test_pixel_spacing_is_rows_first(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])  # 2 mm between rows, 0.5 mm between columns
    along_a_row = gk.distance(file, (10, 10), (20, 10))
    down_a_column = gk.distance(file, (10, 10), (10, 20))
    assert (along_a_row.length, along_a_row.unit) == (5.0, "mm")
    assert down_a_column.length == 20.0
    assert along_a_row.calibration is not None and along_a_row.calibration.source == "PixelSpacing"


def test_without_calibration_the_result_is_in_pixels_and_says_so(tmp_path: Path) -> None:
    found = gk.distance(write_image(tmp_path / "a.dcm", "OT"), (0, 0), (3, 4))
    assert (found.length, found.unit) == (5.0, "{pixels}")
    assert found.calibration is not None and "not calibrated" in found.calibration.text
    square = gk.area(tmp_path / "a.dcm", gk.Box(0, 0, 4, 5))
    assert [(q.value, q.unit) for q in square] == [(20.0, "{square_pixels}"), (18.0, "{pixels}")]


def test_a_size_given_by_hand_goes_before_what_the_file_says(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])
    found = gk.distance(file, (0, 0), (3, 4), calibration=manual(0.1))
    assert found.length == pytest.approx(0.5)
    assert found.calibration is not None and found.calibration.source == "--calibration"
    for wrong in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(GeometryError, match="no size"):
            manual(wrong)


def test_spacing_that_is_negative_is_refused(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", "DX", ImagerPixelSpacing=[-0.1, 0.1])
    with pytest.raises(GeometryError, match="ImagerPixelSpacing"):
        gk.distance(file, (0, 0), (3, 4))


@pytest.mark.parametrize("spacing", [[0, 0], [0, 0.1]])
def test_a_spacing_of_zero_is_unknown(spacing: list[float], tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", "DX", ImagerPixelSpacing=spacing)
    length = gk.distance(file, (0, 0), (3, 4)).quantities[0]
    assert (length.value, length.unit) == (5.0, "{pixels}")


@pytest.mark.parametrize(
    ("attributes", "pixel", "source", "says"),
    [
        ({"ImagerPixelSpacing": [0.2, 0.2]}, 0.2, "ImagerPixelSpacing", "at the detector"),
        # Equal values: PixelSpacing repeats that of the detector (PS3.3 10.7.1.3)
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2]}, 0.2, "ImagerPixelSpacing", "at the detector"),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25},
            0.16,
            "ImagerPixelSpacing/EstimatedRadiographicMagnificationFactor",
            "1.25",
        ),
        # An absurd factor is told, never applied
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 0.1},
            0.2,
            "ImagerPixelSpacing",
            "0.1 cannot be",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "DistanceSourceToDetector": 1800, "DistanceSourceToPatient": 1500},
            0.2,
            "ImagerPixelSpacing",
            "about 1.2 ",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15], "PixelSpacingCalibrationType": "FIDUCIAL"},
            0.15,
            "PixelSpacing",
            "FIDUCIAL",
        ),
        (
            {"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.2, 0.2], "PixelSpacingCalibrationType": "GEOMETRY"},
            0.2,
            "PixelSpacing",
            "GEOMETRY",
        ),
        # Different values without a type: calibrated somehow, and that is said
        ({"ImagerPixelSpacing": [0.2, 0.2], "PixelSpacing": [0.15, 0.15]}, 0.15, "PixelSpacing", "how is not said"),
        ({"PixelSpacing": [0.15, 0.15]}, 0.15, "PixelSpacing", "does not say whether"),
        ({"NominalScannedPixelSpacing": [0.1, 0.1]}, 0.1, "NominalScannedPixelSpacing", "film"),
    ],
)
def test_projections(tmp_path: Path, attributes: dict[str, object], pixel: float, source: str, says: str) -> None:
    found = gk.distance(write_image(tmp_path / "a.dcm", "DX", **attributes), (0, 0), (30, 40))
    assert found.length == pytest.approx(50 * pixel, rel=1e-12)
    assert found.unit == "mm"
    assert found.calibration is not None
    assert found.calibration.source == source
    assert says in found.calibration.text


def test_pixels_that_are_not_square_are_counted_in_widths(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", "OT", PixelAspectRatio=[2, 1])  # twice as high as wide
    assert gk.distance(file, (0, 0), (0, 10)).length == 20
    assert gk.distance(file, (0, 0), (10, 0)).unit == "{pixels}"
    assert gk.angle(file, [(10, 0), (0, 0), (10, 5)]).value == pytest.approx(45, abs=1e-12)


def group(sequence: str, **attributes: object) -> Dataset:
    """Functional groups that hold one group."""
    outer, inner = Dataset(), Dataset()
    for keyword, value in attributes.items():
        setattr(inner, keyword, value)
    setattr(outer, sequence, Items([inner]))
    return outer


def test_enhanced_angiography_keeps_its_spacing_in_functional_groups(tmp_path: Path) -> None:
    shared = group("FramePixelDataPropertiesSequence", ImagerPixelSpacing=[0.3, 0.2])
    calibrated = group("ProjectionPixelCalibrationSequence", ObjectPixelSpacingInCenterOfBeam=[0.15, 0.1])
    file = write_image(
        tmp_path / "a.dcm", "XA", frames=2, SharedFunctionalGroupsSequence=Items([shared]),
        PerFrameFunctionalGroupsSequence=Items([Dataset(), calibrated]),
    )  # fmt: skip
    plain, better = (gk.distance(file, (0, 0), (10, 0), frame=n) for n in (1, 2))
    assert (plain.length, better.length) == (pytest.approx(2.0), pytest.approx(1.0))
    assert plain.calibration is not None and plain.calibration.source == "ImagerPixelSpacing"
    assert better.calibration is not None and better.calibration.source == "ObjectPixelSpacingInCenterOfBeam"


@pytest.mark.parametrize("place", ["SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"])
@pytest.mark.parametrize("frames", [0, 1])  # 0: without NumberOfFrames
def test_one_frame_of_enhanced_angiography_has_the_spacing_of_its_groups(
    tmp_path: Path, place: str, frames: int
) -> None:
    calibrated = group("ProjectionPixelCalibrationSequence", ObjectPixelSpacingInCenterOfBeam=[0.07, 0.07])
    detector = group("FramePixelDataPropertiesSequence", ImagerPixelSpacing=[0.1, 0.1])
    calibrated.FramePixelDataPropertiesSequence = detector.FramePixelDataPropertiesSequence
    groups = {"SharedFunctionalGroupsSequence": Dataset(), "PerFrameFunctionalGroupsSequence": Dataset()}
    groups[place] = calibrated
    file = write_image(
        tmp_path / "a.dcm", "XA", rows=200, columns=300, frames=frames, **{k: Items([v]) for k, v in groups.items()}
    )
    found = gk.distance(file, (50, 50), (150, 120))
    # the attribute is of VR FL: 24 bits, 6e-8
    assert (found.length, found.unit) == (pytest.approx(math.hypot(100, 70) * 0.07, rel=1e-7), "mm")
    assert found.calibration is not None and found.calibration.source == "ObjectPixelSpacingInCenterOfBeam"


@pytest.mark.parametrize("kind", [BreastProjectionXRayImageStorageForPresentation, EnhancedXRFImageStorage])
def test_siblings_of_one_frame_have_the_spacing_of_their_groups(tmp_path: Path, kind: str) -> None:
    shared = group("FramePixelDataPropertiesSequence", ImagerPixelSpacing=[0.1, 0.1])
    modality = "RF" if kind == EnhancedXRFImageStorage else "MG"
    file = write_image(
        tmp_path / "a.dcm", "XA", frames=1, SOPClassUID=kind, Modality=modality,
        SharedFunctionalGroupsSequence=Items([shared]), PerFrameFunctionalGroupsSequence=Items([Dataset()]),
    )  # fmt: skip
    found = gk.distance(file, (0, 0), (10, 0))
    assert (found.length, found.unit) == (pytest.approx(1.0), "mm")


def test_one_frame_of_ophthalmic_tomography_has_the_spacing_of_its_groups(tmp_path: Path) -> None:
    shared = group("PixelMeasuresSequence", PixelSpacing=[0.004, 0.011], SliceThickness=0.03)
    file = write_image(
        tmp_path / "a.dcm", "OT", frames=1, SOPClassUID=OphthalmicTomographyImageStorage, Modality="OPT",
        SharedFunctionalGroupsSequence=Items([shared]), PerFrameFunctionalGroupsSequence=Items([Dataset()]),
    )  # fmt: skip
    found = gk.distance(file, (0, 0), (10, 0))
    assert (found.length, found.unit) == (pytest.approx(0.11), "mm")


def test_tiles_of_a_slide_have_a_scale(data: Path) -> None:
    """Whole slide image in tiles; its shared functional groups say how large a pixel is."""
    file = data / "seg" / "highdicom" / "sm_image_control.dcm"
    header = pydicom.dcmread(file, stop_before_pixels=True)
    spacing = header.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0].PixelSpacing
    found = gk.distance(file, (0, 0), (3, 0), frame=2)
    assert found.length == pytest.approx(3 * float(spacing[1]), rel=1e-12)
    assert found.sources[0].frame == 2


def test_a_mosaic_is_measured_as_the_picture_that_it_is(data: Path) -> None:
    """Siemens mosaic of 72 x 72 tiles of 3 mm: what is stored and shown is one large picture."""
    file = next((data / "mr_mosaic").rglob("*.dcm"))
    header = pydicom.dcmread(file, stop_before_pixels=True)
    far = header.Columns - 1
    assert far > 72
    assert gk.distance(file, (0, 0), (far, 0)).length == pytest.approx(far * float(header.PixelSpacing[1]))


# ---- ultrasound

LEFT = region((0, 39, 0, 63), (CM, CM), (0.02, 0.03))
RIGHT = region((40, 79, 0, 31), (CM, CM), (0.05, 0.05))
M_MODE = region((40, 79, 32, 63), (SECONDS, CM), (0.01, 0.04), format=2)


@pytest.fixture
def ultrasound(tmp_path: Path) -> Path:
    return write_image(tmp_path / "us.dcm", "US", SequenceOfUltrasoundRegions=regions(LEFT, RIGHT, M_MODE))


def test_each_region_has_its_own_scale(ultrasound: Path) -> None:
    left, right = gk.distance(ultrasound, (0, 0), (10, 0)), gk.distance(ultrasound, (45, 5), (55, 5))
    assert left.length == pytest.approx(2.0)  # 10 x 0.02 cm
    assert right.length == pytest.approx(5.0)
    assert gk.distance(ultrasound, (0, 0), (0, 10)).length == pytest.approx(3.0)
    assert left.calibration is not None and "region 1" in left.calibration.text
    assert right.calibration is not None and "region 2" in right.calibration.text


def test_a_line_across_regions_is_refused(ultrasound: Path) -> None:
    with pytest.raises(GeometryError, match="different scale"):
        gk.distance(ultrasound, (10, 10), (50, 10))
    twins = write_image(
        ultrasound.with_name("twins.dcm"),
        "US",
        SequenceOfUltrasoundRegions=regions(LEFT, region((40, 79, 0, 63), (CM, CM), (0.02, 0.03))),
    )
    with pytest.raises(GeometryError, match="no meaning"):  # one scale, but two views side by side
        gk.distance(twins, (10, 10), (50, 10))


def test_a_point_in_no_region_makes_it_pixels(ultrasound: Path) -> None:
    for line in (((85, 5), (90, 5)), ((10, 10), (90, 10))):
        found = gk.distance(ultrasound, *line)
        assert found.unit == "{pixels}"
        assert found.calibration is not None and "no calibrated ultrasound region" in found.calibration.text


def test_axes_of_different_units_give_time_depth_and_slope(ultrasound: Path) -> None:
    found = gk.distance(ultrasound, (40, 60), (60, 50))
    assert {q.name: (pytest.approx(q.value), q.unit) for q in found} == {
        "horizontal": (0.2, "s"),  # 20 x 0.01 s
        "vertical": (4.0, "mm"),  # 10 x 0.04 cm
        "slope": (20.0, "mm/s"),  # 4 mm towards the transducer in 0.2 s
    }
    with pytest.raises(InputError, match="no meaning"):
        gk.area(ultrasound, gk.Box(42, 34, 10, 10))
    with pytest.raises(InputError, match="no meaning"):
        gk.angle(ultrasound, [(42, 34), (50, 34), (50, 40)])


def test_velocity_of_a_spectrum(tmp_path: Path) -> None:
    spectrum = region((0, 95, 0, 63), (SECONDS, VELOCITY), (0.005, -2.0), format=3)  # upwards is positive
    found = gk.distance(
        write_image(tmp_path / "a.dcm", "US", SequenceOfUltrasoundRegions=regions(spectrum)), (20, 60), (20, 10)
    )
    assert (found.vertical, found.quantity("vertical").unit) == (100.0, "cm/s")
    assert "slope" not in found  # no time goes by


def test_overlapping_regions_the_one_of_high_priority_holds(tmp_path: Path) -> None:
    below = region((0, 95, 0, 63), (CM, CM), (0.01, 0.01), flags=1)
    above = region((10, 30, 10, 30), (CM, CM), (0.05, 0.05), flags=0)
    file = write_image(tmp_path / "a.dcm", "US", SequenceOfUltrasoundRegions=regions(below, above))
    assert gk.distance(file, (12, 12), (22, 12)).length == pytest.approx(5.0)
    assert gk.distance(file, (12, 12), (42, 12)).length == pytest.approx(3.0)
    equal = region((10, 30, 10, 30), (CM, CM), (0.05, 0.05), flags=1)
    write_image(file, "US", SequenceOfUltrasoundRegions=regions(below, equal))
    assert gk.distance(file, (12, 12), (22, 12)).length == pytest.approx(5.0)  # of equal priority: the inner one
    across = region((25, 95, 0, 63), (CM, CM), (0.02, 0.02), flags=1)  # neither lies within the other
    write_image(file, "US", SequenceOfUltrasoundRegions=regions(equal, across))
    with pytest.raises(GeometryError, match="overlapping"):
        gk.distance(file, (26, 12), (29, 12))


def test_a_region_without_units_around_a_calibrated_one_changes_nothing(tmp_path: Path) -> None:
    """Some machines describe the whole picture first, without units (PS3.3 C.8.5.5.1.1, 1.7: format and units 0)."""
    whole = region((0, 95, 0, 63), (NONE, NONE), (1.0, 1.0), format=0)
    left, right = region((4, 40, 4, 60), (CM, CM), (0.02, 0.02)), region((50, 90, 4, 60), (CM, CM), (0.05, 0.05))
    for n, order in enumerate(((whole, left, right), (right, left, whole))):
        file = write_image(tmp_path / f"{n}.dcm", "US", SequenceOfUltrasoundRegions=regions(*order))
        found = gk.distance(file, (5, 5), (35, 45))
        assert (found.length, found.unit) == (pytest.approx(50 * 0.2), "mm")
        assert gk.area(file, gk.Box(52, 10, 10, 10)).area == pytest.approx(100 * 0.5 * 0.5)
        with pytest.raises(GeometryError, match="different scale"):  # not pixels of the whole picture
            gk.distance(file, (5, 5), (60, 5))
        outside = gk.distance(file, (5, 5), (45, 5))  # one end lies in no calibrated region
        assert outside.unit == "{pixels}"
        assert outside.calibration is not None and "no calibrated ultrasound region" in outside.calibration.text
    nested = write_image(tmp_path / "n.dcm", "US", SequenceOfUltrasoundRegions=regions(
        whole, region((0, 95, 0, 63), (CM, CM), (0.1, 0.1)), left))  # fmt: skip
    assert gk.distance(nested, (5, 5), (15, 5)).length == pytest.approx(2.0)
    assert gk.distance(nested, (5, 5), (65, 5)).length == pytest.approx(60.0)


def test_a_region_without_units_is_no_calibration(tmp_path: Path) -> None:
    bare = region((0, 95, 0, 63), (NONE, NONE), (0.1, 0.1), format=5)
    file = write_image(tmp_path / "a.dcm", "US", SequenceOfUltrasoundRegions=regions(bare))
    found = gk.distance(file, (0, 0), (3, 4))
    assert (found.length, found.unit) == (5.0, "{pixels}")


def test_a_box_may_be_a_whole_region(ultrasound: Path) -> None:
    found = gk.area(ultrasound, gk.Box(0, 0, 40, 64))
    assert found.area == pytest.approx(40 * 0.2 * 64 * 0.3)
    with pytest.raises(GeometryError):
        gk.area(ultrasound, gk.Box(0, 0, 41, 64))


def test_a_region_that_is_damaged_is_left_out(tmp_path: Path) -> None:
    broken = region((0, 95, 0, 63), (CM, CM), (math.nan, 0.1))
    del broken.RegionLocationMaxX1
    file = write_image(tmp_path / "a.dcm", "US", SequenceOfUltrasoundRegions=regions(broken))
    assert gk.distance(file, (0, 0), (3, 4)).unit == "{pixels}"


def test_a_real_image_of_two_panes(data: Path) -> None:
    """Aloka: two 2D regions side by side, 0.03826530650258064 cm a pixel, and a grey scale without units."""
    file = data / "us" / "gdcm-US-ALOKA-16.dcm"
    found = gk.distance(file, (100, 100), (160, 180))
    assert found.length == pytest.approx(100 * 0.3826530650258064, rel=1e-12)
    with pytest.raises(GeometryError, match="no meaning"):
        gk.distance(file, (100, 100), (400, 100))
    assert gk.distance(file, (5, 5), (15, 5)).unit == "{pixels}"


def test_a_real_mammogram(data: Path) -> None:
    """ImagerPixelSpacing 0.085 mm, magnified 1.0433386837881 times."""
    found = gk.distance(data / "cr_dx_mg" / "OutOfBoundsOverlay.dcm", (100, 100), (160, 180))
    assert found.length == pytest.approx(100 * 0.085 / 1.0433386837881, rel=1e-12)
