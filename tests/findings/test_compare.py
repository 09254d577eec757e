"""What belongs together through time, how it changed, and RECIST 1.1 by its own rules and examples."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import gpukit as gk
from gpukit.errors import InputError, SelectionError, UnitError
from gpukit.findings.compare_text import comparison_csv, comparison_json, comparison_text
from gpukit.findings.measurement import Measurement, Quantity, Row
from gpukit.findings.write import FORMATS, write


def line(label: str, length: float, *, unit: str = "mm", **names: str) -> Measurement:
    return Measurement(kind="distance", quantities=(Quantity("length", length, unit),), label=label, **names)


def lesion(label: str, long: float, short: float, **names: str) -> Measurement:
    axes = (Quantity("long_axis", long, "mm"), Quantity("short_axis", short, "mm"))
    return Measurement(kind="bidirectional", quantities=axes, label=label, **names)


# ---- what belongs together


def test_uid_before_identifier_before_label() -> None:
    prior = [
        line("liver", 10, tracking_uid="1.2.1"),
        line("lung", 20, tracking_id="L2"),
        line("bone", 30),
    ]
    current = [
        line("Bone ", 33),
        line("moved to another name", 22, tracking_id="l2"),
        line("lung", 11, tracking_uid="1.2.1"),
    ]
    made = gk.compare(prior, current)
    assert [(f.name, f.matched_by, f.changes[0].values) for f in made.findings] == [
        ("lung", "tracking_uid", (10, 11)),
        ("moved to another name", "tracking_id", (20, 22)),
        ("Bone ", "label", (30, 33)),
    ]
    assert made.findings[0].changes[0].absolute == 1
    assert made.findings[0].changes[0].relative == pytest.approx(0.1)


def test_what_has_no_partner_is_new_or_missing() -> None:
    made = gk.compare([line("a", 10), line("b", 20)], [line("a", 10), line("c", 30)], recist=False)
    assert {f.name: f.status for f in made.findings} == {"a": "compared", "b": "missing", "c": "new"}
    assert made.findings[1].changes[0].absolute is None


def test_kinds_are_not_mixed() -> None:
    area = Measurement(kind="area", quantities=(Quantity("area", 5, "mm2"),), label="a")
    made = gk.compare([line("a", 10), area], [line("a", 12)], recist=False)
    assert [(f.kind, f.status) for f in made.findings] == [("distance", "compared"), ("area", "missing")]


def test_pixels_are_not_compared_with_millimetres() -> None:
    (finding,) = gk.compare([line("a", 10, unit="{pixels}")], [line("a", 12)], recist=False).findings
    assert [(change.unit, change.values, change.absolute) for change in finding.changes] == [
        ("{pixels}", (10, None), None),
        ("mm", (None, 12), None),
    ]


def test_the_only_one_of_its_kind_needs_no_name_but_says_so() -> None:
    made = gk.compare([line("", 10)], [line("", 12)], recist=False)
    assert made.findings[0].changes[0].absolute == 2
    assert "give it a label" in made.notes[0]
    two = gk.compare([line("", 10), line("", 10)], [line("", 12)], recist=False)
    assert {f.status for f in two.findings} == {"missing", "new"}
    named = gk.compare([line("left", 10)], [line("right", 12)], recist=False)
    assert {f.status for f in named.findings} == {"missing", "new"}


def test_a_name_that_is_given_twice_is_refused() -> None:
    with pytest.raises(SelectionError, match="several measurements"):
        gk.compare([line("a", 10), line("A", 11)], [line("a", 12)])


def test_a_comparison_needs_two_time_points() -> None:
    with pytest.raises(InputError, match="two time points"):
        gk.compare([line("a", 10)])
    with pytest.raises(InputError, match="holds no measurement"):
        gk.compare([line("a", 10)], [])


def test_relative_change_from_nothing_is_not_defined() -> None:
    (change,) = gk.compare([line("a", 0)], [line("a", 5)], recist=False).findings[0].changes
    assert (change.absolute, change.relative) == (5, None)


# ---- RECIST 1.1


def category(*sums: float, **options: Any) -> str:
    made = gk.compare(*[[line("t", value)] for value in sums], **options)
    assert made.response is not None
    return made.response.category


@pytest.mark.parametrize(
    ("sums", "expected"),
    [
        ((100, 70), "PR"),  # exactly 30 % less than at the baseline
        ((100, 70.1), "SD"),
        ((100, 120), "PD"),  # exactly 20 % and 5 mm more than at the nadir
        ((100, 119.9), "SD"),
        ((20, 24.9), "SD"),  # 24.5 % more, but not 5 mm
        ((20, 25), "PD"),
        ((100, 50, 60), "PD"),  # 20 % more than at the nadir, though 40 % less than at the baseline
        ((100, 50, 59), "PR"),
        ((100, 50, 70, 59), "PR"),  # the nadir is the smallest of all before
        ((100, 0), "CR"),
        ((100, 0, 6), "PD"),  # all were gone, and are back
        ((0.3, 0.21), "PR"),  # thresholds in binary: 0.3 x 0.7 is 0.21
    ],
)
def test_thresholds(sums: tuple[float, ...], expected: str) -> None:
    assert category(*sums) == expected


@given(st.floats(1, 500), st.floats(0, 500))
def test_categories_follow_from_the_sums_alone(first: float, last: float) -> None:
    found = category(first, last)
    if last == 0:
        assert found == "CR"
    elif last > 1.2001 * first and last > first + 5.001:
        assert found == "PD"
    elif last < 0.6999 * first:
        assert found == "PR"
    elif 0.7001 * first < last < max(1.1999 * first, first + 4.999):
        assert found == "SD"


def test_sums_are_those_of_all_targets_and_nodes_by_their_short_axis() -> None:
    prior = [lesion("liver", 40, 30), lesion("axilla", 30, 20), line("lung", 10)]
    current = [lesion("liver", 20, 15), lesion("axilla", 25, 9), line("lung", 4)]
    made = gk.compare(prior, current, nodes=["Axilla"])
    assert made.response is not None
    assert made.response.sums == (70, 33)
    assert made.response.category == "PR"
    assert made.response.from_baseline == pytest.approx(33 / 70 - 1)
    assert made.response.nodes == ("axilla",)


def test_complete_response_with_a_node_below_10_mm() -> None:
    prior = [lesion("liver", 40, 30), lesion("axilla", 30, 20)]
    current = [lesion("axilla", 25, 9.9)]
    made = gk.compare(prior, current, nodes=["axilla"], absent=["liver"])
    assert made.response is not None
    assert (made.response.category, made.response.sums) == ("CR", (60, 9.9))
    again = gk.compare(prior, [lesion("axilla", 25, 10)], nodes=["axilla"], absent=["liver"]).response
    assert again is not None and again.category == "PR"


def test_a_target_that_was_not_measured_is_not_evaluable() -> None:
    made = gk.compare([line("a", 50), line("b", 50)], [line("a", 20)]).response
    assert made is not None
    assert (made.category, made.sums) == ("NE", (100, None))
    assert "b" in made.reasons[0]
    # unless what was measured is progression already
    grown = gk.compare([line("a", 50), line("b", 50)], [line("a", 120)]).response
    assert grown is not None and grown.category == "PD"


def test_new_lesions_are_progression() -> None:
    prior, current = [line("a", 50)], [line("a", 20), line("brain", 7)]
    made = gk.compare(prior, current).response
    assert made is not None
    assert (made.category, made.new) == ("PD", ("brain",))
    told = gk.compare(prior, current, new_lesion=False).response
    assert told is not None and told.category == "PR"
    assert "not counted as new" in " ".join(told.reasons)
    unseen = gk.compare(prior, [line("a", 50)], new_lesion=True).response
    assert unseen is not None and unseen.category == "PD"


def test_a_lesion_that_came_after_the_baseline_stays_new() -> None:
    points = [[line("a", 50)], [line("a", 40), line("brain", 7)], [line("a", 20), line("brain", 9)]]
    made = gk.compare(*points).response
    assert made is not None and (made.category, made.new) == ("PD", ("brain",))
    gone = gk.compare(*points[:2], [line("a", 20)]).response
    assert gone is not None and gone.category == "PR"
    assert "new after the baseline" in " ".join(gone.reasons)


def test_a_lesion_under_another_name_is_not_progression() -> None:
    made = gk.compare([line("a", 50), line("b", 50)], [line("a", 50), line("B2", 50)]).response
    assert made is not None
    assert made.category == "NE"
    assert "under another name" in made.reasons[0]


def test_targets_can_be_chosen() -> None:
    prior, current = [line("a", 50), line("b", 50)], [line("a", 20), line("b", 500)]
    made = gk.compare(prior, current, targets=["a"]).response
    assert made is not None and made.category == "PR"
    with pytest.raises(SelectionError, match="no lesion 'c'"):
        gk.compare(prior, current, targets=["c"])


def test_a_lesion_measured_in_both_ways_counts_once() -> None:
    made = gk.compare([lesion("a", 40, 30), line("a", 39)], [lesion("a", 20, 10), line("a", 21)]).response
    assert made is not None and made.sums == (40, 20)


def test_lengths_along_a_curve_are_no_diameters() -> None:
    path = Measurement(kind="polyline", quantities=(Quantity("length", 90, "mm"),), label="vessel")
    assert gk.compare([path], [path]).response is None


def test_recist_needs_millimetres() -> None:
    with pytest.raises(UnitError, match="not measured in mm"):
        gk.compare([line("a", 50)], [line("a", 50, unit="{pixels}")])


def test_what_a_reader_must_know() -> None:
    prior = [line(f"t{n}", 20) for n in range(5)] + [line("lymph node", 12), line("small", 5)]
    made = gk.compare(prior, prior).response
    assert made is not None
    told = " ".join(made.reasons)
    assert "7 targets" in told
    assert "lymph node may be a lymph node" in told
    assert "small: 5.0 mm" in told


# ---- outputs


def test_text_json_and_csv(tmp_path: Path) -> None:
    files = []
    for n, size in enumerate((40, 20)):
        files.append(tmp_path / f"t{n}.json")
        rows = [Row(file="a.dcm", measurement=lesion("=a", size, 10)), Row(file="b.dcm", error="damaged")]
        write(rows, files[-1], FORMATS["json"])
    made = gk.compare(*files)
    document = json.loads(comparison_json(made))
    assert (document["schema_version"], document["kind"]) == (1, "comparison")
    assert document["time_points"] == [str(file) for file in files]
    (finding,) = document["findings"]
    assert finding["changes"][0] == {
        "name": "long_axis", "unit": "mm", "values": [40, 20], "absolute": -20, "relative": -0.5
    }  # fmt: skip
    assert document["recist"]["category"] == "PR"
    assert "1 measurements had failed" in document["notes"][0]
    first, second = csv.DictReader(comparison_csv(made).splitlines())
    assert (first["quantity"], float(first["relative"]), first["recist"]) == ("long_axis", -0.5, "PR")
    assert (first["finding"], second["absolute"]) == ("'=a", "0")
    text = comparison_text(made)
    assert "RECIST 1.1: PR (partial response)" in text
    assert "-50.0" in text
