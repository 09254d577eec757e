"""Measurements as DICOM objects: sent out, taken in again, measured again, and drawn."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file
from support.oracles.dciodvfy import errors_of

from gpukit.errors import GpukitError, InputError
from gpukit.findings.measurement import Measurement, Options, Quantity, Row
from gpukit.findings.read import read_measurements
from gpukit.findings.write import FORMATS, write
from gpukit.measure.overlay import draw_overlay
from gpukit.measure.region.shapes import Box, Circle, Ellipse, Polygon
from gpukit.measure.spatial.angles import angle, cobb_angle
from gpukit.measure.spatial.areas import area
from gpukit.measure.spatial.lengths import distance, polyline
from gpukit.measure.spatial.remeasure import measure_again

CT = get_testdata_file("CT_small.dcm")
MEASUREMENTS = {
    "distance": lambda: distance(CT, (10, 10), (60, 50)),
    "polyline": lambda: polyline(CT, [(10, 10), (60, 50), (80, 20.5)]),
    "angle": lambda: angle(CT, [(10, 10), (60, 50), (80, 20.5)]),
    "two lines": lambda: angle(CT, [(10, 10), (60, 50), (80, 20.5), (90, 100)]),
    "cobb": lambda: cobb_angle(CT, [(10, 10), (60, 20), (12, 90), (70, 75)]),
    "box": lambda: area(CT, Box(20, 30, 40, 25)),
    "polygon": lambda: area(CT, Polygon([(20, 20), (60, 20), (65, 45), (30, 50)])),
    "ellipse": lambda: area(CT, Ellipse(64, 64, 30, 12.5, 25)),
    "circle": lambda: area(CT, Circle(64, 64, 20)),
}


@pytest.fixture(params=MEASUREMENTS)
def measured(request: pytest.FixtureRequest) -> Measurement:
    made: Measurement = MEASUREMENTS[request.param]()
    return made.with_names(label="Läsion 1", tracking_uid="1.2.840.99.7")


def sent(measured: Measurement, form: str, folder: Path) -> Path:
    path = folder / f"{form}.dcm"
    write([Row(file=CT, measurement=measured)], path, FORMATS[form], options=Options())
    return path


def test_every_measurement_makes_valid_objects(measured: Measurement, tmp_path: Path) -> None:
    assert not errors_of(sent(measured, "sr", tmp_path))
    assert not errors_of(sent(measured, "gsps", tmp_path))


def test_a_report_gives_back_what_was_measured(measured: Measurement, tmp_path: Path) -> None:
    (row,) = read_measurements(sent(measured, "sr", tmp_path))
    back = row.measurement
    assert back is not None
    assert (back.label, back.tracking_uid) == ("Läsion 1", "1.2.840.99.7")
    assert back.kind == (
        "distance" if measured.kind == "polyline" and len(measured.graphics[0].points) == 2 else measured.kind
    )
    assert [(q.value, q.unit) for q in back.quantities] == [(q.value, q.unit) for q in measured.quantities]
    assert back.quantities[0].name == measured.quantities[0].name
    assert [g.type for g in back.graphics] == [g.type for g in measured.graphics]
    for mine, theirs in zip(measured.graphics, back.graphics, strict=True):
        # coordinates are float32: 24 bits for up to 128 pixels leave 2**-17 of a pixel
        np.testing.assert_allclose(mine.points, theirs.points, rtol=0, atol=2**-16)
    assert back.sources[0].sop_instance_uid == measured.sources[0].sop_instance_uid


def test_a_presentation_state_gives_back_what_was_drawn(measured: Measurement, tmp_path: Path) -> None:
    rows = read_measurements(sent(measured, "gsps", tmp_path))
    assert len(rows) == len(measured.graphics)
    for row, graphic in zip(rows, measured.graphics, strict=True):
        assert row.measurement is not None
        assert row.measurement.label.startswith("Läsion 1")
        assert row.measurement.tracking_uid == "1.2.840.99.7"
        np.testing.assert_allclose(row.measurement.graphics[0].points, graphic.points, rtol=0, atol=2**-16)


def test_measuring_again_gives_the_stated_value(measured: Measurement, tmp_path: Path) -> None:
    (row,) = measure_again(read_measurements(sent(measured, "sr", tmp_path)), CT)
    assert row.error == "" and row.measurement is not None
    # float32 coordinates, 2**-17 of a pixel each, move a length by less than 1e-4 mm and an angle by less than 1e-4°
    assert row.measurement.value == pytest.approx(measured.value, rel=1e-5)
    differences = {d.name: d.value for d in row.measurement.details if d.name.startswith("difference_")}
    assert f"difference_{measured.quantities[0].name}" in differences
    assert all(abs(v) < 1e-2 for v in differences.values())


def test_a_caption_states_a_length_that_can_be_compared(tmp_path: Path) -> None:
    (row,) = read_measurements(sent(MEASUREMENTS["distance"](), "gsps", tmp_path))
    assert row.measurement is not None
    # five digits are written beside a figure: pydicom's CT_small has pixels of 0.661468 mm
    assert row.measurement["length"] == pytest.approx(math.hypot(50, 40) * 0.661468, abs=0.0005)


def test_highdicom_finds_every_group_of_a_batch(tmp_path: Path) -> None:
    rows = [Row(file=CT, measurement=make()) for make in MEASUREMENTS.values()]
    path = tmp_path / "all.dcm"
    write(rows, path, FORMATS["sr"], options=Options(title="All of them"))
    content = highdicom.sr.srread(path).content
    groups = [*content.get_image_measurement_groups(), *content.get_planar_roi_measurement_groups()]
    values = sorted([m.value for m in group.get_measurements()] for group in groups)
    assert values == sorted([q.value for q in row.measurement.quantities] for row in rows if row.measurement)
    uids = {str(group.tracking_uid) for group in groups}
    assert len(uids) == len(rows)  # each finding has an identity of its own where the user gave none
    assert pydicom.dcmread(path).SeriesDescription == "All of them"


def test_a_frame_of_a_multi_frame_file_is_named(tmp_path: Path) -> None:
    path = get_testdata_file("examples_ybr_color.dcm")
    measured = distance(path, (10, 10), (60, 50), frame=3)
    (row,) = read_measurements(sent(measured, "sr", tmp_path))
    assert row.measurement is not None and row.measurement.sources[0].frame == 3
    (row,) = read_measurements(sent(measured, "gsps", tmp_path))
    assert row.frame == 3
    assert not errors_of(tmp_path / "sr.dcm") and not errors_of(tmp_path / "gsps.dcm")


def test_what_cannot_be_drawn_or_found_is_told(tmp_path: Path) -> None:
    volume = Measurement(
        kind="volume", quantities=(Quantity("volume", 1.0, "ml"),), sources=distance(CT, (1, 1), (2, 2)).sources
    )
    with pytest.raises(InputError, match="nothing that can be drawn"):
        sent(volume, "gsps", tmp_path)
    assert not (tmp_path / "gsps.dcm").exists()
    away = MEASUREMENTS["distance"]()
    away = replace(away, sources=(replace(away.sources[0], path=""),))
    with pytest.raises(InputError, match="not at hand"):
        sent(away, "sr", tmp_path)
    rows = read_measurements(sent(MEASUREMENTS["distance"](), "sr", tmp_path))
    (row,) = measure_again(rows, get_testdata_file("MR_small.dcm"))
    assert row.measurement is None and "not among the given ones" in row.error


def test_other_dicom_objects_hold_no_measurements() -> None:
    with pytest.raises(GpukitError, match="no measurements"):
        read_measurements(CT)


def test_reports_by_others_are_listed(data: Path) -> None:
    (row,) = read_measurements(data / "sr" / "tid1500" / "sample-sr.dcm")
    assert row.measurement is not None and row.measurement.kind == "bidirectional"
    # the file's own decimal strings, as dsrdump of DCMTK prints them
    assert [round(q.value, 6) for q in row.measurement.quantities] == [64.450544, 42.967029]
    (pet,) = read_measurements(data / "sr" / "tid1500_dcmqi_pet" / "sr.dcm")
    assert pet.measurement is not None and pet.measurement.kind == "volume"
    assert pet.measurement["suvbw_maximum"] == 10.3814 and pet.measurement["volume"] == 33.5824


def test_an_overlay_shows_the_line_where_it_is(tmp_path: Path) -> None:
    draw_overlay(MEASUREMENTS["distance"](), tmp_path / "overlay.png")
    picture = np.asarray(Image.open(tmp_path / "overlay.png")).astype(int)
    assert picture.shape == (512, 512, 3)  # 128 square pixels, four times as large
    yellow = (picture[..., 0] > 200) & (picture[..., 1] > 160) & (picture[..., 2] < 60)
    for t in (0.1, 0.5, 0.9):  # centres of pixels of the line, 4 pixels a pixel
        x, y = (10 + 50 * t + 0.5) * 4 - 0.5, (10 + 40 * t + 0.5) * 4 - 0.5
        assert yellow[round(y) - 1 : round(y) + 2, round(x) - 1 : round(x) + 2].any(), t
    assert not yellow[:36].any() and not yellow[:, :36].any()  # nothing before the line begins


def test_pixels_that_are_no_squares_are_drawn_in_their_shape(tmp_path: Path) -> None:
    image = pydicom.dcmread(CT)
    image.PixelSpacing = [1.0, 0.5]  # rows 1 mm apart, columns half a millimetre: twice as high as wide
    image.save_as(tmp_path / "tall.dcm")
    draw_overlay(distance(tmp_path / "tall.dcm", (10, 10), (60, 50)), tmp_path / "overlay.png")
    width, height = Image.open(tmp_path / "overlay.png").size
    assert height == 2 * width


@pytest.mark.parametrize("declared", [None, "ISO_IR 100", "ISO_IR 144", "ISO_IR 192"])
@pytest.mark.parametrize("form", ["sr", "gsps"])
def test_words_and_names_survive_every_character_set(declared: str | None, form: str, tmp_path: Path) -> None:
    image = pydicom.dcmread(CT)
    image.PatientName = {"ISO_IR 144": "Люкceмбypг", "ISO_IR 192": "Wang^小東", "ISO_IR 100": "Äneas^Rüdiger"}.get(
        declared or "", "Buc^Jerome"
    )
    name = str(image.PatientName)
    if declared:
        image.SpecificCharacterSet = declared
    elif "SpecificCharacterSet" in image:
        del image.SpecificCharacterSet
    image.save_as(tmp_path / "ct.dcm")
    label = "Läsion in mm², 小"
    measured = distance(tmp_path / "ct.dcm", (10, 10), (60, 50)).with_names(label=label)
    path = sent(measured, form, tmp_path)
    (row,) = read_measurements(path)
    assert row.measurement is not None and row.measurement.label == label
    assert str(pydicom.dcmread(path).PatientName) == name
    assert not errors_of(path)
