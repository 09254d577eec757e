"""Measurement reports: what dciodvfy, highdicom, DCMTK and a web viewer's own library make of them."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.data import get_testdata_file
from support.oracles.dciodvfy import errors_of
from support.oracles.web_viewer import read_by_a_web_viewer

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import Figure, ImageReference, SegmentReference
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.dicom.sr.tid1500_read import read_measurement_report
from gpukit.dicom.sr.tid1500_write import build_measurement_report, write_measurement_report
from gpukit.errors import FormatError, GpukitError, InputError, TooLargeError
from gpukit.volume import SourceInstance

CT = get_testdata_file("CT_small.dcm")
TOOL = "Cornerstone3DTools@^0.1.0:"
LENGTH, AREA = Code("410668003", "SCT", "Length"), Code("42798000", "SCT", "Area")
LONG, SHORT = Code("103339001", "SCT", "Long Axis"), Code("103340004", "SCT", "Short Axis")
ANGLE = Code("1483009", "SCT", "Angle")


def image_header() -> pydicom.Dataset:
    return source_header(SourceInstance("", "", CT))


IMAGE = image_header()
REFERENCE = ImageReference(str(IMAGE.SOPClassUID), str(IMAGE.SOPInstanceUID))
HEADERS = {str(IMAGE.SOPInstanceUID): IMAGE}


def line(*points: tuple[float, float]) -> Figure:
    return Figure("POLYLINE", points)


DIAMETER = line((10.0, 10.0), (60.0, 50.0))


def length_of(value: float = 42.354618, figure: Figure = DIAMETER, **facts: Any) -> ReportedGroup:
    number = ReportedNumber(code=LENGTH, value=value, unit="mm")
    facts = {"tracking_uid": "1.2.3", "tracking_id": TOOL + "Length", "label": "Tumor diameter", **facts}
    return ReportedGroup(numbers=(number,), images=(REFERENCE,), figures=(figure,), **facts)


def written(path: Path, *groups: ReportedGroup, headers: dict[str, pydicom.Dataset] | None = None) -> Path:
    write_measurement_report(groups, headers or HEADERS, path)
    return path


BIDIRECTIONAL = ReportedGroup(
    numbers=(
        ReportedNumber(code=LONG, value=42.354618, unit="mm", figures=(line((10.0, 10.0), (60.0, 50.0)),)),
        ReportedNumber(code=SHORT, value=12.3, unit="mm", figures=(line((20.0, 40.0), (35.0, 21.25)),)),
    ),
    tracking_uid="1.2.4",
    tracking_id=TOOL + "Bidirectional",
    images=(REFERENCE,),
)
POLYGON = ReportedGroup(
    numbers=(ReportedNumber(code=AREA, value=218.77, unit="mm2"),),
    tracking_uid="1.2.5",
    tracking_id=TOOL + "PlanarFreehandROI",
    images=(REFERENCE,),
    figures=(line((20.0, 20.0), (60.0, 20.0), (60.0, 45.0), (20.0, 20.0)),),
)
COBB = ReportedGroup(
    numbers=(ReportedNumber(code=ANGLE, value=33.5, unit="deg"),),
    tracking_uid="1.2.6",
    tracking_id=TOOL + "CobbAngle",
    images=(REFERENCE,),
    figures=(line((10.0, 10.0), (50.0, 12.0)), line((12.0, 80.0), (50.0, 60.0))),
)
SPATIAL = ReportedGroup(
    numbers=(ReportedNumber(code=LENGTH, value=7.0, unit="mm"),),
    tracking_uid="1.2.7",
    images=(REFERENCE,),
    figures=(Figure("POLYLINE", ((-100.0, -20.5, 3.25), (-93.0, -20.5, 3.25))),),
    frame_of_reference_uid=str(IMAGE.FrameOfReferenceUID),
)


def test_reports_are_valid(tmp_path: Path) -> None:
    assert not errors_of(written(tmp_path / "plane.dcm", length_of(), BIDIRECTIONAL, POLYGON, COBB))
    assert not errors_of(written(tmp_path / "space.dcm", SPATIAL))
    assert pydicom.dcmread(tmp_path / "plane.dcm").SOPClassUID.name == "Comprehensive SR Storage"
    assert pydicom.dcmread(tmp_path / "space.dcm").SOPClassUID.name == "Comprehensive 3D SR Storage"


def test_a_value_that_is_invalid_in_the_source_is_not_passed_on(tmp_path: Path) -> None:
    image = image_header()
    image.StudyID = "eighteen characters"  # SH holds 16
    path = written(tmp_path / "sr.dcm", length_of(), headers={str(image.SOPInstanceUID): image})
    assert not errors_of(path)
    assert str(image.StudyID) == "eighteen characters"  # the source's own header is as it was


def test_a_length_is_inferred_from_coordinates_selected_from_the_image(tmp_path: Path) -> None:
    report = pydicom.dcmread(written(tmp_path / "sr.dcm", length_of()))
    assert report.ContentTemplateSequence[0].TemplateIdentifier == "1500"
    (group,) = [
        g
        for c in report.ContentSequence
        if c.ConceptNameCodeSequence[0].CodeValue == "126010"
        for g in c.ContentSequence
    ]
    (number,) = [item for item in group.ContentSequence if item.ValueType == "NUM"]
    assert number.MeasuredValueSequence[0].NumericValue == pytest.approx(42.354618, abs=0)
    (scoord,) = number.ContentSequence
    assert (scoord.ValueType, scoord.RelationshipType) == ("SCOORD", "INFERRED FROM")
    # PS3.3 C.18.6.1.1: the first pixel's centre is 0.5\0.5.
    assert list(scoord.GraphicData) == [10.5, 10.5, 60.5, 50.5]
    (image,) = scoord.ContentSequence
    assert (image.ValueType, image.RelationshipType) == ("IMAGE", "SELECTED FROM")
    assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == IMAGE.SOPInstanceUID


def test_highdicom_reads_the_same_numbers(tmp_path: Path) -> None:
    report = highdicom.sr.srread(written(tmp_path / "sr.dcm", length_of(), POLYGON))
    # a length is a measurement of an image (TID 1501), an outline a planar region (TID 1410)
    groups = [*report.content.get_image_measurement_groups(), *report.content.get_planar_roi_measurement_groups()]
    assert [str(group.tracking_uid) for group in groups] == ["1.2.3", "1.2.5"]
    (number,) = groups[0].get_measurements()
    assert (number.value, number.unit.value) == (42.354618, "mm")
    np.testing.assert_array_equal(number.referenced_coordinates[0].value, [[10.5, 10.5], [60.5, 50.5]])


OUTLINES = {
    "polygon": POLYGON,
    "ellipse": replace(
        POLYGON, figures=(Figure("ELLIPSE", ((70.0, 70.0), (110.0, 70.0), (90.0, 60.0), (90.0, 80.0))),)
    ),
    "circle": replace(POLYGON, figures=(Figure("CIRCLE", ((90.0, 30.0), (100.0, 30.0))),)),
    "in space": replace(
        SPATIAL, figures=(Figure("POLYLINE", ((0.0, 0.0, 3.0), (9.0, 0.0, 3.0), (9.0, 5.0, 3.0), (0.0, 0.0, 3.0))),)
    ),
}


@pytest.mark.parametrize("name", OUTLINES)
def test_readers_of_planar_regions_find_an_outline(tmp_path: Path, name: str) -> None:
    """TID 1410 has the region in the group, (111030, DCM, Image Region); web viewers look below the number."""
    group = OUTLINES[name]
    path = written(tmp_path / "sr.dcm", group)
    assert not errors_of(path)
    (planar,) = highdicom.sr.srread(path).content.get_planar_roi_measurement_groups()
    points = np.asarray(group.figures[0].points)
    np.testing.assert_allclose(planar.roi.value, points + 0.5 if points.shape[1] == 2 else points)
    (back,) = read_measurement_report(path)
    assert back.figures == group.figures and not any(number.figures for number in back.numbers)
    # without the form of web viewers too, as other programs write it
    report = pydicom.dcmread(path)
    (found,) = [item for item in report.ContentSequence if item.ValueType == "CONTAINER" and "ContentSequence" in item
                and any("ContentSequence" in child for child in item.ContentSequence)]  # fmt: skip
    for item in found.ContentSequence[0].ContentSequence:
        if item.ValueType == "NUM":
            del item.ContentSequence
    report.save_as(tmp_path / "other.dcm")
    (other,) = read_measurement_report(tmp_path / "other.dcm")
    assert other.figures == group.figures


def test_lines_and_points_are_no_region(tmp_path: Path) -> None:
    path = written(tmp_path / "sr.dcm", length_of(), BIDIRECTIONAL, COBB)
    assert "111030" not in [e.value for e in pydicom.dcmread(path).iterall() if e.keyword == "CodeValue"]


def drawn_by_a_web_viewer(path: Path, folder: Path) -> list[dict[str, Any]]:
    orientation = [float(v) for v in IMAGE.ImageOrientationPatient]
    plane = {
        "frame": str(IMAGE.FrameOfReferenceUID),
        "origin": [float(v) for v in IMAGE.ImagePositionPatient],
        "row": orientation[:3],
        "column": orientation[3:],
        "spacing": [float(v) for v in IMAGE.PixelSpacing],
    }
    planes = {f"{IMAGE.SOPInstanceUID}:1": plane}
    found: list[dict[str, Any]] = read_by_a_web_viewer("read_with_cornerstone.mjs", path, planes, folder)
    return found


def test_a_web_viewer_draws_the_same_figures_with_the_same_values(tmp_path: Path) -> None:
    path = written(tmp_path / "sr.dcm", length_of(), BIDIRECTIONAL, POLYGON)
    found = {item["tool"]: item for item in drawn_by_a_web_viewer(path, tmp_path)}
    assert set(found) == {"Length", "Bidirectional", "PlanarFreehandROI"}
    assert found["Length"]["stats"] == {"length": 42.354618, "unit": "mm"}
    assert found["Length"]["label"] == "Tumor diameter" and found["Length"]["tracking"] == "1.2.3"
    assert (found["Bidirectional"]["stats"]["length"], found["Bidirectional"]["stats"]["width"]) == (42.354618, 12.3)
    assert found["PlanarFreehandROI"]["stats"]["area"] == 218.77
    # Where pixels lie in the patient is DICOM's own formula (PS3.3 C.7.6.2.1-1), on centres counted from 0.
    origin, spacing = np.array(IMAGE.ImagePositionPatient, float), float(IMAGE.PixelSpacing[0])
    wanted = origin + spacing * np.array([(10.0, 10.0, 0.0), (60.0, 50.0, 0.0)])
    # the library keeps world points in float32: 1e-4 mm at 200 mm
    np.testing.assert_allclose(found["Length"]["points"], wanted, atol=1e-4)


measured = st.floats(-1e12, 1e12, allow_nan=False)
pixels = st.tuples(st.floats(-0.5, 127.5, width=32), st.floats(-0.5, 127.5, width=32))


@settings(max_examples=40)
@given(value=measured, points=st.lists(pixels, min_size=2, max_size=6), label=st.text("abcäµ² ", max_size=20))
def test_numbers_and_points_come_back(
    value: float, points: list[tuple[float, float]], label: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("sr") / "sr.dcm"
    label = label.strip()
    sent = length_of(value, line(*points), label=label)
    image = image_header()
    image.SpecificCharacterSet = "ISO_IR 192"
    (back,) = read_measurement_report(written(path, sent, headers={str(image.SOPInstanceUID): image}))
    assert back.numbers[0].value == value  # the decimal string of 16 characters stands beside a double
    assert (back.numbers[0].code, back.numbers[0].unit) == (LENGTH, "mm")
    # GraphicData is float32: 24 bits for up to 128 pixels leave 2**-17 of a pixel
    np.testing.assert_allclose(back.figures[0].points, points, rtol=0, atol=2**-16)
    assert (back.label, back.tracking_uid, back.images) == (label, "1.2.3", (REFERENCE,))


def test_figures_of_single_numbers_and_points_in_space_come_back(tmp_path: Path) -> None:
    (two,) = read_measurement_report(written(tmp_path / "two.dcm", BIDIRECTIONAL))
    assert [number.figures for number in two.numbers] == [number.figures for number in BIDIRECTIONAL.numbers]
    (space,) = read_measurement_report(written(tmp_path / "space.dcm", SPATIAL))
    assert space.figures == SPATIAL.figures
    assert space.frame_of_reference_uid == IMAGE.FrameOfReferenceUID
    (cobb,) = read_measurement_report(written(tmp_path / "cobb.dcm", COBB))
    assert cobb.figures == COBB.figures


def test_a_segment_is_referred_to(data: Path, tmp_path: Path) -> None:
    path = next((data / "seg" / "highdicom").glob("*ct_binary.dcm"), None)
    path = path or next(iter(sorted((data / "seg" / "highdicom").glob("*.dcm"))))
    seg = source_header(SourceInstance("", "", str(path)))
    reference = ImageReference(str(seg.SOPClassUID), str(seg.SOPInstanceUID))
    group = ReportedGroup(
        numbers=(
            ReportedNumber(code=Code("118565006", "SCT", "Volume"), value=12.5, unit="ml"),
            ReportedNumber(
                code=Code("112031", "DCM", "Attenuation Coefficient"), value=-46.9, unit="[hnsf'U]",
                derivation=Code("373098007", "SCT", "Mean"),
            ),
        ),
        tracking_uid="1.2.8",
        images=(REFERENCE,),
        segment=SegmentReference(reference, 1),
        finding=Code("108369006", "SCT", "Neoplasm"),
        sites=(Code("39607008", "SCT", "Lung"),),
    )  # fmt: skip
    headers = {**HEADERS, str(seg.SOPInstanceUID): seg}
    seg.StudyInstanceUID = IMAGE.StudyInstanceUID
    report = written(tmp_path / "sr.dcm", group, headers=headers)
    assert not errors_of(report)
    (back,) = read_measurement_report(report)
    assert back.segment == group.segment and back.finding == group.finding and back.sites == group.sites
    assert back.numbers == group.numbers
    (theirs,) = highdicom.sr.srread(report).content.get_volumetric_roi_measurement_groups()
    assert [m.value for m in theirs.get_measurements()] == [12.5, -46.9]


@pytest.mark.parametrize(
    ("name", "dump"),
    [
        ("tid1500/sample-sr.dcm", "tid1500__sample-sr.txt"),
        ("tid1500/sr_document.dcm", "tid1500__sr_document.txt"),
        ("tid1500/sr_document_with_multiple_groups.dcm", "tid1500__sr_document_with_multiple_groups.txt"),
        ("tid1500_dcmqi_pet/sr.dcm", "tid1500_dcmqi_pet__sr.txt"),
    ],
)
def test_reports_by_others_give_the_numbers_that_dcmtk_prints(data: Path, name: str, dump: str) -> None:
    text = (data / "sr" / "dcmtk_reference" / dump).read_text(encoding="utf-8", errors="replace")
    groups = read_measurement_report(data / "sr" / name)
    mine = [number.value for group in groups for number in group.numbers]
    theirs = [float(v) for v in re.findall(r"<contains NUM:\([^=]*\)=\"([^\"]+)\"", text)]
    assert mine == pytest.approx(theirs, rel=1e-12)  # a DS holds 16 characters, a double beside it all


@pytest.mark.parametrize("name", ["offis_samples/reportlp.dcm", "dose/CT-RDSR-Siemens_Flash-TAP-SS.dcm"])
def test_reports_of_other_things_are_refused_in_one_line(data: Path, name: str) -> None:
    with pytest.raises(FormatError, match="no measurement group"):
        read_measurement_report(data / "sr" / name)


def test_numbers_that_are_none_and_points_outside_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="finite"):
        build_measurement_report([length_of(float("nan"))], HEADERS)
    with pytest.raises(InputError, match="outside the image"):
        build_measurement_report([length_of(figure=line((10.0, 10.0), (128.0, 50.0)))], HEADERS)
    with pytest.raises(InputError, match="no measurement"):
        build_measurement_report([], HEADERS)


def test_a_tree_nested_too_deep_is_refused(tmp_path: Path) -> None:
    report = pydicom.dcmread(written(tmp_path / "sr.dcm", length_of()))
    item = report.ContentSequence[-1].ContentSequence[0]
    for _ in range(100):
        child = pydicom.Dataset()
        child.ValueType, child.RelationshipType = "CONTAINER", "CONTAINS"
        item.ContentSequence = [child]
        item = child
    report.save_as(tmp_path / "deep.dcm")
    with pytest.raises(TooLargeError, match="nested deeper"):
        read_measurement_report(tmp_path / "deep.dcm")


@settings(max_examples=150)
@given(place=st.floats(0.3, 1.0), byte=st.integers(0, 255), count=st.integers(1, 8))
def test_damage_never_gives_anything_but_a_clear_error(
    place: float, byte: int, count: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damage")
    bytes_ = bytearray(written(folder / "sr.dcm", length_of()).read_bytes())
    start = int(place * (len(bytes_) - count))
    bytes_[start : start + count] = bytes([byte]) * count
    (folder / "damaged.dcm").write_bytes(bytes_)
    try:
        read_measurement_report(folder / "damaged.dcm")
    except GpukitError as error:
        assert "\n" not in str(error)
