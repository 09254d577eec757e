"""Every number, text, code, person and date of an independent dump is found again in every format."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.report_words import dcsrdump, expected, numbers_in, squeezed, words_of

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.sr.content_tree import read_content_tree
from gpukit.report.run import options_of, render

_NOT_REPORTS = {"rwvm.dcm", "seg.dcm", "squares.dcm"}


@pytest.fixture(scope="module")
def reports(data: Path) -> list[Path]:
    """Every real and synthetic report."""
    files = [*data.glob("sr/*/*.dcm"), *(data.parent / "data_more" / "sr_makers").rglob("*.dcm")]
    files = [file for file in files if file.name not in _NOT_REPORTS]
    assert len(files) >= 25
    return sorted(files)


@pytest.mark.slow
@pytest.mark.parametrize("format", ["text", "markdown", "html", "pdf"])
def test_nothing_of_a_report_is_lost(reports: list[Path], format: str, tmp_path: Path) -> None:
    if format == "pdf" and shutil.which("pdftotext") is None:
        pytest.skip("pdftotext of poppler is not installed")
    checked = 0
    lost = []
    for file in reports:
        words = words_of(render([Location(str(file))], options_of(format, lang="en")), format, tmp_path)
        there = squeezed(words)
        for kind, word in expected(dcsrdump(file)):
            checked += 1
            # in columns of plain text the words of a cell stand below each other
            apart = format == "text" and all(part in words for part in word.split())
            if squeezed(word) not in there and not apart and "\\r" not in word:
                lost.append((file.name, kind, word))
    assert not lost, f"{len(lost)} of {checked}: {lost[:5]}"
    assert checked > 6000


def test_json_has_as_many_measurements_as_the_dump_has_numbers(reports: list[Path]) -> None:
    total = 0
    for file in reports:
        document = json.loads(render([Location(str(file))], options_of("json", include_measurements=True)))
        dump = dcsrdump(file)
        assert len(document["measurements"]) == numbers_in(dump), file.name
        digits = [number["text"] for number in document["measurements"] if number["text"]]
        stated = [item.number.text for item in read_content_tree(file).items() if item.number and item.number.text]
        assert digits == stated, file.name
        for kind, word in expected(dump):
            if kind == "number" and word != "0":
                assert word in digits, (file.name, word)
        total += len(digits)
    assert total > 2000


def test_a_document_keeps_to_its_schema(reports: list[Path]) -> None:
    import jsonschema

    from gpukit.report.formats import json as writer

    schema = json.loads((Path(writer.__file__).parent / "report.schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)
    for file in reports:
        for measurements in (True, False):
            content = render([Location(str(file))], options_of("json", include_measurements=measurements))
            document = json.loads(content)
            validator.validate(document)
            assert ("measurements" in document) is measurements


def test_numbers_without_value_say_so(data: Path) -> None:
    file = data.parent / "data_more" / "sr_makers" / "DX-RDSR-Canon_CXDI_noDAP.dcm"
    text = render([Location(str(file))], options_of("text", lang="en")).decode()
    document = json.loads(render([Location(str(file))], options_of("json", include_measurements=True)))
    assert sum(1 for number in document["measurements"] if number["text"] == "") == 8
    assert text.count("no value") >= 8
    for name in ("Dose Area Product Total", "Dose (RP) Total"):
        line = next(line for line in text.splitlines() if line.startswith(name + " "))
        assert "no value" in line
        assert not any(sign.isdigit() for sign in line.replace("(RP)", "").replace(name, ""))
