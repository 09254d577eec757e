"""The contract lines of `viewer`, each as a real process on a real image, on a pty where it needs a terminal."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from gpukit.display.frame_values import frame_values
from gpukit.display.frames import frame_at
from gpukit.display.presentation import present, window_of_range
from gpukit.volume import Voi

pytest.importorskip("pyte", reason="pyte draws the tests' terminal")
from support.terminals import Terminal, left_clean, xterm_like

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def folder(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``scan.dcm``, ``ct.dcm``, ``multiframe.dcm``, ``scan1.dcm``, ``scan2.dcm`` and a folder ``series``."""
    folder = tmp_path_factory.mktemp("viewer")
    slices = sorted((data / "ct_chest_ibsi/dicom/image").glob("*"))
    for name, source in (
        ("scan.dcm", slices[30]), ("ct.dcm", slices[30]), ("scan1.dcm", slices[30]), ("scan2.dcm", slices[31]),
        ("multiframe.dcm", data / "us/US-PAL-8-10x-echo"),
    ):  # fmt: skip
        shutil.copy(source, folder / name)
    (folder / "series").mkdir()
    for source in slices:
        shutil.copy(source, folder / "series" / f"{source.stem}.dcm")
    return folder


def test_view_an_image_in_the_terminal(folder: Path) -> None:
    for answers, begins in (
        (xterm_like(), b"\x1b[38;2;"), (xterm_like(sixel=True), b"\x1bP0;1q"),
        (xterm_like("kitty(0.32.2)", kitty=True), b"\x1b_Ga=T"),
    ):  # fmt: skip
        with Terminal("viewer", folder / "scan.dcm", answers=answers, SSH_CONNECTION="1") as terminal:
            assert terminal.ended() == 0
            after = terminal.raw.split(b"\x1b[c", 1)[1]
            assert after.startswith(begins)
            assert left_clean(terminal) == []


def test_ascii_art_of_high_quality(run: Run, folder: Path) -> None:
    done = run("viewer", "scan.dcm", "--mode", "ascii", "--quality", "high", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 23 and max(map(len, lines)) <= 80
    assert done.stdout.isascii() and "\x1b" not in done.stdout
    assert len(set(done.stdout)) > 20
    low = run("viewer", "scan.dcm", "--mode", "ascii", "--quality", "low", cwd=folder)
    assert len(set(low.stdout)) <= 11


def test_ansi_true_color(run: Run, folder: Path) -> None:
    done = run("viewer", "scan.dcm", "--mode", "ansi", "--color", "24bit", cwd=folder)
    assert done.returncode == 0, done.stderr
    cells = re.findall(r"\x1b\[38;2;(\d+);(\d+);(\d+);48;2;(\d+);(\d+);(\d+)m▀", done.stdout)
    shown = np.array(cells, int)
    lines = done.stdout.count("\n")
    picture = present(frame_at(folder / "scan.dcm"), size=(2 * lines, len(cells) // lines))
    np.testing.assert_array_equal(shown[:, 0].reshape(lines, -1), picture[0::2])
    np.testing.assert_array_equal(shown[:, 3].reshape(lines, -1), picture[1::2])


def test_iterm2_inline_images(run: Run, folder: Path) -> None:
    from PIL import Image

    done = run("viewer", "scan.dcm", "--mode", "iterm2", cwd=folder)
    assert done.returncode == 0, done.stderr
    match = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07\n", done.stdout)
    assert match is not None
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(match[2]))))
    np.testing.assert_array_equal(shown, present(frame_at(folder / "scan.dcm"), size=shown.shape))


def test_a_window_of_the_users_own(run: Run, folder: Path) -> None:
    done = run("viewer", "ct.dcm", "--window-center", "-600", "--window-width", "1500", "--mode", "ansi", cwd=folder)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.count("\n")
    shown = np.array(re.findall(r"38;2;(\d+);", done.stdout), int).reshape(lines, -1)
    voi = Voi(-600.0, 1500.0, "LINEAR")
    picture = present(frame_at(folder / "ct.dcm"), voi=voi, size=(2 * lines, shown.shape[1]))
    np.testing.assert_array_equal(shown, picture[0::2])


@pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys on Windows")
def test_multi_frame_navigation(folder: Path) -> None:
    with Terminal("viewer", folder / "multiframe.dcm", "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/10")
        first = [terminal.color(10, n) for n in range(80)]
        terminal.send("]]]")
        terminal.wait("4/10")
        terminal.pump(0.3)
        assert [terminal.color(10, n) for n in range(80)] != first
        terminal.send("\x1b[F")
        terminal.wait("10/10")
        terminal.send("q")
        assert terminal.ended() == 0
        assert left_clean(terminal) == []


def test_patient_information_and_overlays(run: Run, folder: Path) -> None:
    done = run("viewer", "scan.dcm", "--show-info", "--show-overlay", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "PAT1" in done.stdout and "id 1" in done.stdout
    assert "204 x 201, 12 bits" in done.stdout and "zoom 1" in done.stdout
    assert "50 mm" in done.stdout
    private = run("viewer", "scan.dcm", "--show-info", "--no-patient", cwd=folder)
    assert "PAT1" not in private.stdout and "204 x 201" in private.stdout


def test_a_sheet_of_thumbnails(run: Run, folder: Path) -> None:
    files = sorted((folder / "series").glob("*.dcm"))[:12]
    done = run("viewer", *files, "--thumbnail", "--size", "80x40", cwd=folder)
    assert done.returncode == 0, done.stderr
    for file in files:
        assert file.name[:10] in done.stdout
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 40


def test_two_images_side_by_side(run: Run, folder: Path) -> None:
    done = run("viewer", "--compare", "scan1.dcm", "scan2.dcm", "--mode", "ansi", "--size", "81x20", cwd=folder)
    assert done.returncode == 0, done.stderr
    shown = np.array([re.findall(r"38;2;(\d+);", line) for line in done.stdout.splitlines()], int)
    # both with the window of the first one, each as large as fits into 40 x 20 cells of 10 x 20 pixels
    voi = window_of_range(frame_values(frame_at(folder / "scan1.dcm")).range)
    for name, at in (("scan1.dcm", 0), ("scan2.dcm", 41)):
        frame = frame_at(folder / name)
        scale = min(400 / frame.columns, 400 / frame.rows)
        picture = present(frame, voi=voi, size=(round(frame.rows * scale / 10), round(frame.columns * scale / 10)))
        np.testing.assert_array_equal(shown[:, at : at + picture.shape[1]], picture[0::2])
    wrong = run("viewer", "--compare", "scan1.dcm", cwd=folder)
    assert wrong.returncode == 2 and "two inputs" in wrong.stderr


def test_the_program_of_its_own(run: Run, folder: Path) -> None:
    one = run("viewer", "scan.dcm", cwd=folder)
    two = run("scan.dcm", program="dicom-viewer", cwd=folder)
    assert (two.returncode, two.stdout) == (0, one.stdout)
