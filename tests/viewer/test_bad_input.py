"""Bad files and options: one line each, the exit codes of everywhere, nothing that a terminal obeys."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.images import write_image
from support.viewer_files import write_frames, write_grey

Run = Callable[..., subprocess.CompletedProcess[str]]


def failed(done: subprocess.CompletedProcess[str], code: int = 1) -> str:
    """The last line of the errors, of a run that failed as it should."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr and "unexpected" not in done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 or code == 2
    return lines[-1]


def test_claims_are_refused_within_a_second_of_work(run: Run, more: Path) -> None:
    began = time.monotonic()
    line = failed(run("viewer", more / "images_odd/hostile_claims_46341x46341.dcm"))
    assert "46341" in line and time.monotonic() - began < 30


def test_objects_without_pixels_name_the_command_that_reads_them(run: Run, data: Path) -> None:
    assert "gpukit report" in failed(run("viewer", data / "sr/offis_samples/reportki.dcm"))
    dicomdir = next((data / "dicomdir").rglob("DICOMDIR"))
    done = run("viewer", dicomdir, "--mode", "ascii", "--size", "20x10")
    assert done.returncode == 0, done.stderr  # its references are followed
    assert "is not" in failed(run("viewer", __file__))


def test_an_encapsulated_document_is_named_and_written(run: Run, tmp_path: Path) -> None:
    file = write_image(tmp_path / "doc.dcm")
    dataset = pydicom.dcmread(file)
    for keyword in ("PixelData", "Rows", "Columns"):
        del dataset[keyword]
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    dataset.Modality, dataset.MIMETypeOfEncapsulatedDocument = "DOC", "application/pdf"
    dataset.EncapsulatedDocument, dataset.EncapsulatedDocumentLength = b"%PDF-1.4 x\0", 10
    dataset.save_as(file)
    line = failed(run("viewer", file))
    assert "PDF" in line and "--output" in line
    done = run("viewer", file, "--output", tmp_path / "doc.pdf")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "doc.pdf").read_bytes() == b"%PDF-1.4 x"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--mode", "vt100"), "use auto, ascii"),
        (("--size", "80"), "80x40"),
        (("--cell-size", "0x0"), "above 0"),
        (("--width", "0"), "1 to 10000"),
        (("--percentile", "5"), "2 are needed"),
        (("--thumbnail", "--interactive"), "neither"),
        (("--own-window",), "--compare"),
    ],
)
def test_options_that_are_not_possible(run: Run, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    file = write_frames(tmp_path / "a.dcm", [0, 100])
    assert says in failed(run("viewer", file, *words), 2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--frame", "3"), "there is no frame 3"),
        (("--frame", "0"), "there is no frame 0"),
        (("--quality", "best"), "is not a quality"),
        (("--color", "8", "--mode", "ansi"), "is not a color"),
        (("--window-center", "1"), "Give both"),
        (("--window-center", "nan", "--window-width", "1"), "finite"),
        (("--window-center", "1", "--window-width", "0"), "positive"),
        (("--percentile", "90,10"), "not percentiles"),
        (("--preset", "lung"), "Hounsfield"),
        (("--preset", "lung", "--percentile", "1,99"), "exclude"),
        (("--zoom", "0"), "not possible"),
        (("--interactive",), "needs a terminal"),
    ],
)
def test_values_that_are_not_possible(run: Run, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    file = write_frames(tmp_path / "a.dcm", [0, 100])
    assert says in failed(run("viewer", file, *words))


def test_names_cannot_send_commands_to_the_terminal(run: Run, tmp_path: Path) -> None:
    file = write_grey(tmp_path / "evil.dcm", np.zeros((16, 16), np.uint8))
    dataset = pydicom.dcmread(file)
    dataset.PatientName = "Evil\x1b]52;c;ZXZpbA==\x07^\x1b[2J"
    dataset.SeriesDescription = "left\u202eright\x9b31m"
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.save_as(file)
    for words in (("--mode", "ascii", "--show-info"), ("--thumbnail", "--mode", "ascii")):
        done = run("viewer", file, *words)
        assert done.returncode == 0, done.stderr
        assert not any((ord(c) < 32 and c != "\n") or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in done.stdout)
    assert "Evil" in run("viewer", file, "--mode", "ascii", "--show-info").stdout


def test_broken_files_are_cells_of_a_sheet(run: Run, data: Path) -> None:
    files = sorted((data / "malformed").glob("*.dcm"))
    done = run("viewer", *files, "--thumbnail", "--mode", "ascii", "--size", "100x40")
    assert done.returncode == 0, done.stderr
    assert "the pixels are" in done.stdout and "is not a DICOM" in done.stdout


def test_other_locales_and_no_terminal(run: Run, tmp_path: Path) -> None:
    file = write_grey(tmp_path / "n.dcm", np.zeros((16, 16), np.uint8))
    dataset = pydicom.dcmread(file)
    dataset.SpecificCharacterSet, dataset.PatientName = "ISO_IR 192", "山田^太郎"
    dataset.save_as(file)
    done = run("viewer", file, "--show-info", LC_ALL="C", PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stdout.isascii()
    for environment in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        done = run("viewer", file, **environment)
        assert done.returncode == 0 and "\x1b" not in done.stdout


def test_output_is_not_overwritten(run: Run, tmp_path: Path) -> None:
    file = write_grey(tmp_path / "a.dcm", np.zeros((16, 16), np.uint8))
    out = tmp_path / "a.png"
    assert run("viewer", file, "-o", out).returncode == 0
    assert "--force" in failed(run("viewer", file, "-o", out))
    assert run("viewer", file, "-o", out, "--force").returncode == 0
    assert run("viewer", file, "-o", tmp_path / "a.txt", "--mode", "ascii").returncode == 0
    assert (tmp_path / "a.txt").read_text().count("\n") == 23


def test_standard_input(run: Run, tmp_path: Path) -> None:
    file = write_grey(tmp_path / "a.dcm", np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    import sysconfig

    script = str(Path(sysconfig.get_path("scripts")) / "gpukit")
    with file.open("rb") as stream:
        done = subprocess.run([script, "viewer", "-"], stdin=stream, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == run("viewer", file).stdout
    empty = subprocess.run(
        [script, "viewer", "-"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120
    )
    assert empty.returncode == 1 and "empty" in empty.stderr


def test_the_first_picture_imports_nothing_heavy(tmp_path: Path, run: Run) -> None:
    file = write_grey(tmp_path / "a.dcm", np.arange(64 * 64, dtype=np.uint16).reshape(64, 64))
    done = run("viewer", file, "--mode", "ansi", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "numpy" in imported
    assert not imported & {"pydicom", "torch", "scipy", "PIL", "highdicom", "array_api_compat.numpy", "numpy.ma"}
