"""Batches and what is written of them: order, errors, formats, and the way back from JSON."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import pytest
from support.images import write_image

import gpukit as gk
from gpukit.dicom.modules.codes import Code
from gpukit.errors import FormatError, InputError, InputNotFoundError, OutputExistsError
from gpukit.findings import measurement
from gpukit.findings.compare_text import comparison_csv
from gpukit.findings.measurement import Calibration, Detail, Graphic, Measurement, Options, Quantity, Row
from gpukit.findings.read import read_measurements
from gpukit.findings.write import FORMATS, format_of, render, write
from gpukit.measure.batch import each_frame
from gpukit.volume import SourceInstance


def across(frame: object) -> Measurement:
    return gk.distance(frame, (0, 0), (10, 0))  # type: ignore[arg-type]


def test_rows_keep_the_order_of_files_and_frames(tmp_path: Path) -> None:
    for n in range(40):
        write_image(tmp_path / f"{n:02}.dcm", PixelSpacing=[1, 1 + n])
    write_image(tmp_path / "99.dcm", "US", frames=3)
    told: list[tuple[str, int, int]] = []
    rows = each_frame(tmp_path, across, progress=lambda *what: told.append(what), workers=4)
    assert [Path(row.file).name for row in rows] == [f"{n:02}.dcm" for n in range(40)] + 3 * ["99.dcm"]
    assert [row.measurement.value for row in rows[:40] if row.measurement] == [10.0 * (1 + n) for n in range(40)]
    assert [row.frame for row in rows[38:]] == [None, None, 1, 2, 3]
    assert told[-1] == ("measuring", 41, 41)


def test_what_fails_is_a_row_and_costs_the_others_nothing(tmp_path: Path) -> None:
    write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    write_image(tmp_path / "b.dcm", columns=5)
    (tmp_path / "c.txt").write_text("no image")  # met in a folder: passed over
    rows = each_frame(tmp_path, across)
    assert [bool(row.error) for row in rows] == [False, True]
    assert "outside the image" in rows[1].error
    assert str(tmp_path) not in rows[1].error  # the file has its own column
    report = write_image(tmp_path / "d.dcm", "OT", Modality="SR")  # passed over too, unless it is named
    assert len(each_frame(tmp_path, across)) == 2
    assert "no image" in each_frame(report, across)[0].error
    named = each_frame([tmp_path / "a.dcm", tmp_path / "c.txt"], across)
    assert "not a DICOM file" in named[1].error


def test_nothing_to_measure_on(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("no image")
    with pytest.raises(InputNotFoundError):
        each_frame(tmp_path, across)


def test_what_is_not_expected_is_not_swallowed(tmp_path: Path) -> None:
    for n in range(40):
        write_image(tmp_path / f"{n:02}.dcm")
    with pytest.raises(ZeroDivisionError):
        each_frame(tmp_path, lambda frame: 1 / 0, workers=4)  # type: ignore[arg-type, return-value]


ROWS = [
    Row(
        file="a.dcm",
        measurement=Measurement(
            kind="distance",
            quantities=(
                Quantity("length", 0.1 + 0.2, "mm", Code("410668003", "SCT", "Length")),
                Quantity("count", 7, "1"),
                Quantity("skewness", math.nan, "1"),
            ),
            graphics=(Graphic("POLYLINE", ((1.5, 2.0), (3.0, 4.0))),),
            sources=(SourceInstance("1.2", "1.2.3", "a.dcm", None, 4),),
            calibration=Calibration("PixelSpacing", (0.5, 2.0), ("mm", "mm"), "PixelSpacing of the image"),
            label="=HYPERLINK(1), Größe",
            tracking_id="lesion 1",
            tracking_uid="2.25.1",
            frame_of_reference_uid="1.9",
            details=(Detail("weight", 70.0, "kg", "PatientWeight"),),
            notes=("one", "two"),
            method="mesh",
            extra={"response": {"counts": [1, 2]}},
        ),
    ),
    Row(file="b.dcm", frame=3, error="is truncated"),
]


def test_json_comes_back_as_it_went(tmp_path: Path) -> None:
    write(ROWS, tmp_path / "a.json", FORMATS["json"])
    back = read_measurements(tmp_path / "a.json")
    assert back[1] == ROWS[1]
    first, came = ROWS[0].measurement, back[0].measurement
    assert first is not None and came is not None
    for name in Measurement.__dataclass_fields__:
        if name != "quantities":
            assert getattr(came, name) == getattr(first, name), name
    assert came.quantities[:2] == first.quantities[:2]
    assert isinstance(came["count"], int)
    assert math.isnan(came["skewness"])  # null in JSON, which has no word for it


def test_csv_has_a_unit_for_each_number_and_runs_no_formula() -> None:
    first, second = csv.DictReader(render(ROWS, FORMATS["csv"]).splitlines())
    assert (float(first["length"]), first["length_unit"], first["scale"]) == (0.1 + 0.2, "mm", "PixelSpacing")
    assert (first["count"], first["skewness"]) == ("7", "")
    assert first["label"] == "'=HYPERLINK(1), Größe"
    assert (second["frame"], second["length"], second["error"]) == ("3", "", "is truncated")


@pytest.mark.parametrize("label", ["-1+1|calc", "+1+1|calc", "=1+1", "@SUM(1)", "\t=1+1", " =1+1", "\n=1+1", "＝1+1"])
def test_no_label_is_a_formula_in_any_table(label: str, tmp_path: Path) -> None:
    """Spreadsheets run what begins so; the same guard holds for measurements and for comparisons."""
    rows = [Row(file="a.dcm", measurement=Measurement(kind="distance", quantities=(), label=label))]
    (measured,) = csv.DictReader(render(rows, FORMATS["csv"]).splitlines(keepends=True))
    assert measured["label"] == f"'{label}"
    for n in (0, 1):
        named = Measurement(kind="distance", quantities=(Quantity("length", 1.0, "mm"),), label=label)
        write([Row(file="a.dcm", measurement=named)], tmp_path / f"{n}.json", FORMATS["json"])
    (compared,) = csv.DictReader(comparison_csv(gk.compare(tmp_path / "0.json", tmp_path / "1.json")).splitlines(True))
    assert compared["finding"] == f"'{label}"


def test_numbers_in_a_table_stay_numbers() -> None:
    rows = [
        Row(file="a.dcm", measurement=Measurement(kind="roi", quantities=(Quantity("mean", -5.5, "1"),), label="-2"))
    ]
    (measured,) = csv.DictReader(render(rows, FORMATS["csv"]).splitlines())
    assert (measured["mean"], measured["label"]) == ("-5.5", "-2")


def test_text_for_people() -> None:
    text = render(ROWS, FORMATS["text"], Options(title="Both"))
    assert text.startswith("Both\n\na.dcm\n")
    for part in ("length: 0.3 mm", "skewness: not defined", "scale: PixelSpacing", "weight: 70.0 kg (PatientWeight)"):
        assert f"  {part}" in text
    assert "b.dcm frame 3\n  error: is truncated" in text


def test_many_rows_become_a_table_that_says_once_what_they_share(tmp_path: Path) -> None:
    for n in range(4):
        write_image(tmp_path / f"{n}.dcm", PixelSpacing=[1, 1])
    write_image(tmp_path / "4.dcm", "OT")
    write_image(tmp_path / "5.dcm", columns=5)
    lines = render(each_frame(tmp_path, across), FORMATS["text"]).splitlines()
    assert lines[0].split() == ["file", "frame", "length", "scale"]
    assert [line.split()[1:] for line in lines[1:6]] == 4 * [["10", "mm", "PixelSpacing"]] + [["10", "pixels", "none"]]
    assert "5.dcm" in lines[6] and "error: the point 10,0 lies outside" in lines[6]
    assert lines[8:] == [
        "scale: PixelSpacing 1 mm (4 of 6)",
        "scale: the image is not calibrated: lengths are in pixels (1 of 6)",
    ]


def test_the_suffix_chooses_the_format() -> None:
    assert format_of("a.JSON").name == "json"
    assert format_of("a.csv").name == "csv"
    assert format_of("a.csv", "json").name == "json"
    assert format_of(None).name == format_of("-").name == format_of("a.txt").name == "text"
    with pytest.raises(InputError, match="does not say"):
        format_of("a.xyz")


def test_no_overwriting_without_force(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("mine")
    with pytest.raises(OutputExistsError):
        write(ROWS, tmp_path / "a.csv", FORMATS["csv"])
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]
    assert (tmp_path / "a.csv").read_text() == "mine"
    write(ROWS, tmp_path / "a.csv", FORMATS["csv"], force=True)
    assert (tmp_path / "a.csv").read_text().startswith("file,")


@pytest.mark.parametrize(
    "text",
    [
        "{", "{}", '{"kind": "series"}', '{"kind": "measurements", "schema_version": 99, "measurements": []}',
        '{"kind": "measurements", "schema_version": 1}',
        '{"kind": "measurements", "schema_version": 1, "measurements": [3]}',
        '{"kind": "measurements", "schema_version": 1, "measurements": [{"file": "a", "type": "x", "quantities": 0}]}',
        "[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_list_of_measurements_says_so(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(FormatError):
        read_measurements(tmp_path / "a.json")


def test_names_of_patients_are_nowhere(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    rows = each_frame(file, across)
    for name in ("text", "json", "csv"):
        text = render(rows, FORMATS[name])
        assert "Secret" not in text and "secret" not in text
    assert json.loads(render(rows, FORMATS["json"]))["measurements"][0]["type"] == "distance"


def test_json_keeps_to_its_schema(tmp_path: Path) -> None:
    """The schema that is shipped, checked by an independent validator; and that it forbids what it should."""
    import jsonschema

    schema = json.loads((Path(measurement.__file__).parent / "measurements.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    made = [
        gk.distance(file, (0, 0), (3, 4)),
        gk.polyline(file, [(0, 0), (3, 4), (5, 5)]),
        gk.angle(file, [(0, 0), (3, 4), (5, 5)]),
        gk.area(file, gk.Ellipse(20, 20, 5, 6)),
        gk.bidirectional(file, gk.Polygon([(0, 0), (9, 4), (5, 8)])),
    ]
    rows = [*ROWS, *(Row(file=str(file), measurement=one) for one in made)]
    document = json.loads(render(rows, FORMATS["json"], Options(title="All")))
    assert [error.message for error in check.iter_errors(document)] == []
    document["measurements"][0]["quantities"][0]["unit"] = 3
    assert len(list(check.iter_errors(document))) == 1
