"""The contract lines of `report`, each as a real process on real reports; each looks at what came out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from pydicom import dcmread

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def makers(data: Path) -> Path:
    """Folder of reports of many makers."""
    return data.parent / "data_more" / "sr_makers"


@pytest.fixture
def here(data: Path, makers: Path, tmp_path: Path) -> Path:
    """A folder with the files that the lines name."""
    shutil.copy(data / "sr" / "dose" / "siemens_axiom_example_procedure.dcm", tmp_path / "sr.dcm")
    (tmp_path / "images").mkdir()
    shutil.copy(makers / "dwv" / "squares.dcm", tmp_path / "images")
    return tmp_path


def words(pdf: Path) -> str:
    """Text of a PDF."""
    if shutil.which("pdftotext") is None:
        pytest.skip("pdftotext of poppler is not installed")
    return subprocess.run(["pdftotext", "-raw", pdf, "-"], capture_output=True, text=True, check=True).stdout


def test_pdf_by_a_template(run: Run, here: Path) -> None:
    done = run(
        "report", "sr.dcm", "--output", "report.pdf", "--format", "pdf", "--template", "cardiology", cwd=here
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = words(here / "report.pdf")
    assert "0.00027902" in text
    assert "Dose Area Product Total" in text
    again = run("report", "sr.dcm", "--output", "report.pdf", cwd=here)
    assert again.returncode == 1
    assert "--force" in again.stderr


def test_html_with_embedded_images(run: Run, here: Path, makers: Path) -> None:
    shutil.copy(makers / "dwv" / "tid1500_ellipse.dcm", here / "sr.dcm")
    done = run(
        "report", "sr.dcm", "--output", "report.html", "--format", "html", "--embed-images", "--image-dir", "images/",
        cwd=here,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (here / "report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "3.189873417722" in page
    missing = run("report", "sr.dcm", "--embed-images", "--image-dir", "nowhere", "-o", "b.html", cwd=here)
    assert missing.returncode == 1
    assert "nowhere" in missing.stderr


def test_comparison(run: Run, here: Path, makers: Path) -> None:
    for name, value, day in (("prior", "12.5", "20250409"), ("current", "10.0", "20250709")):
        report = dcmread(makers / "dwv" / "tid1500_ellipse.dcm")
        report.SOPInstanceUID += f".{len(name)}"
        report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
        report.ContentDate = day
        group = report.ContentSequence[0].ContentSequence[0]
        number = next(item for item in group.ContentSequence if item.ValueType == "NUM")
        number.MeasuredValueSequence[0].NumericValue = value
        report.save_as(here / f"{name}.dcm")
    done = run(
        "report", "current.dcm", "--compare", "prior.dcm", "--output", "comparison.pdf", "--format", "pdf", cwd=here
    )
    assert done.returncode == 0, done.stderr
    text = words(here / "comparison.pdf")
    assert re.search(r"12\.5.mm\s+10.mm|12\.5.mm 10\.0.mm", text)
    assert "-20.0" in text
    assert "2025-04-09" in text
    assert "2025-07-09" in text


def test_json_for_integration(run: Run, here: Path) -> None:
    done = run("report", "sr.dcm", "--output", "data.json", "--format", "json", "--include-measurements", cwd=here)
    assert done.returncode == 0, done.stderr
    document = json.loads((here / "data.json").read_text())
    assert (document["schema_version"], document["kind"]) == (1, "report")
    assert len(document["measurements"]) == 490  # NUM items of an independent dump
    assert run("report", "sr.dcm", "-o", "b.json", cwd=here).returncode == 0
    assert "measurements" not in json.loads((here / "b.json").read_text())


def test_a_branded_report(run: Run, here: Path) -> None:
    Image.new("RGB", (80, 40), "navy").save(here / "hospital-logo.png")
    folder = here / "config" / "gpukit" / "report" / "hospital"
    folder.mkdir(parents=True)
    (folder / "template.toml").write_text('[look]\ninstitution = "St. Example Hospital"\ncolor = "#004d40"\n')
    done = run(
        "report", "sr.dcm", "--output", "report.pdf", "--format", "pdf", "--template", "hospital", "--logo",
        "hospital-logo.png", "--footer", "Confidential Medical Report", cwd=here, XDG_CONFIG_HOME=str(here / "config"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = words(here / "report.pdf")
    assert "St. Example Hospital" in text
    pages = int(re.findall(r"Page \d+ of (\d+)", text)[0])
    assert text.count("Confidential Medical Report") == pages > 1
    if shutil.which("pdfimages"):
        listed = subprocess.run(["pdfimages", "-list", here / "report.pdf"], capture_output=True, text=True).stdout
        assert re.search(r"\b80\s+40\b", listed)


def test_a_report_of_a_whole_study(run: Run, here: Path, makers: Path) -> None:
    for n in (1, 2, 3):
        report = dcmread(makers / "dwv" / "tid1500_ellipse.dcm")
        report.SOPInstanceUID += f".{n}"
        report.file_meta.MediaStorageSOPInstanceUID = report.SOPInstanceUID
        report.ContentDate = f"2025040{n}"
        report.save_as(here / f"sr{n}.dcm")
    done = run(
        "report", "sr1.dcm", "sr2.dcm", "sr3.dcm", "--output", "study-report.pdf", "--format", "pdf", "--merge",
        "--title", "Complete Study Report", cwd=here,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = words(here / "study-report.pdf")
    assert text.count("Complete Study Report") >= 1
    places = [text.index(f"Measurement Report: 2025-04-0{n}") for n in (1, 2, 3)]
    assert places == sorted(places)
    alone = run("report", "sr1.dcm", "sr2.dcm", "-o", "x.pdf", cwd=here)
    assert alone.returncode == 1
    assert "--merge" in alone.stderr


def test_dicom_report_is_the_same_tool(run: Run, here: Path) -> None:
    one = run("report", "sr.dcm", cwd=here)
    other = run("sr.dcm", program="dicom-report", cwd=here)
    assert one.returncode == other.returncode == 0
    assert one.stdout == other.stdout
    assert "Dose (RP) Total" in one.stdout
    assert max(map(len, one.stdout.splitlines())) <= 80


def test_deviations_are_listed_and_end_with_code_1(run: Run, makers: Path) -> None:
    done = run("report", makers / "CT-RDSR-SpectrumDynamics.dcm", "--strict")
    assert done.returncode == 1
    assert "'mGycm' is not a UCUM unit" in done.stdout
    assert "ValueType 'PERSON NAME' is not a value type" in done.stdout
    assert run("report", makers / "made_text_gb18030.dcm", "--strict").returncode == 0


def test_a_folder_gives_a_document_for_each_report(run: Run, makers: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    done = run("report", makers, "--output", tmp_path / "out", "--format", "text")
    assert done.returncode == 0, done.stderr
    reports = [file for file in makers.rglob("*.dcm") if file.name != "squares.dcm"]
    assert len(list((tmp_path / "out").glob("*.txt"))) == len(reports)


def test_a_report_is_created_from_measurements(run: Run, makers: Path, tmp_path: Path) -> None:
    image = makers / "dwv" / "squares.dcm"
    assert (
        run(
            "measure", "distance", image, "--p1", "2,3", "--p2", "10,3", "-o", tmp_path / "m.json", "--format", "json"
        ).returncode
        == 0
    )
    done = run("report", "create", tmp_path / "m.json", "--image", image.parent, "--output", tmp_path / "sr.dcm")
    assert done.returncode == 0, done.stderr
    back = run("report", tmp_path / "sr.dcm")
    assert re.search(r"Length\s+8 mm", back.stdout)


@pytest.mark.parametrize(
    ("words_", "code", "what"),
    [
        (["images"], 1, "none of the 1 files is a structured report"),
        (["images/squares.dcm"], 1, "MR Image Storage"),
        (["nothing.dcm"], 1, "no such file"),
        (["sr.dcm", "-o", "a.xyz"], 1, "does not tell the format"),
        (["sr.dcm", "--template", "nowhere"], 1, "there is no template"),
        (["sr.dcm", "--lang", "xx"], 1, "choose one of"),
        (["sr.dcm", "--include-measurements"], 2, "--format json"),
        (["sr.dcm", "--logo", "sr.dcm", "-o", "a.html"], 1, "not a PNG, JPEG or SVG"),
        (["sr.dcm", "--color", "blue"], 1, "not a colour"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(run: Run, here: Path, words_: list[str], code: int, what: str) -> None:
    done = run("report", *words_, cwd=here)
    assert done.returncode == code
    assert what in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "a.html").exists()
