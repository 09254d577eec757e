"""Every key of a session, by what appears in the terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys on Windows")
pytest.importorskip("pyte", reason="pyte draws the tests' terminal")

from support.dicom_files import write_series
from support.terminals import Terminal, xterm_like
from support.viewer_files import write_frames, write_grey

from gpukit.viewer.session.keys import Event, parse

Shown = Callable[[str], bool]


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CT of 12 slices of 40 x 48 voxels: the value is 10 * slice + column, and 900 in one corner."""
    folder = tmp_path_factory.mktemp("series")
    k, _, i = np.mgrid[0:12, 0:40, 0:48]
    values = (10 * k + i).astype(np.int16)
    values[:, :4, :4] = 900
    affine = np.diag([2.0, 2.0, 5.0, 1.0])
    write_series(folder, values, affine, modality="CT")
    return folder


@pytest.fixture
def ct(series: Path) -> Iterator[Terminal]:
    """The series in a session, its first slice shown with a window of 0 to 100."""
    words = ("--window-center", "50.5", "--window-width", "101")
    with Terminal("viewer", series, "--interactive", *words, answers=xterm_like()) as terminal:
        terminal.wait("1/12")
        terminal.pump(0.3)
        yield terminal


def status(terminal: Terminal) -> str:
    return str(terminal.screen.display[-1])


def grey(terminal: Terminal, line: int, column: int) -> int:
    return int(terminal.color(line, column)[0][:2], 16)


def picture(terminal: Terminal) -> np.ndarray:
    """Grey of the upper half of each cell above the line of state."""
    lines, columns = terminal.screen.lines - 1, terminal.screen.columns
    shown = np.zeros((lines, columns), int)
    for line in range(lines):
        for column in range(columns):
            cell = terminal.screen.buffer[line][column]
            shown[line, column] = int(cell.fg[:2], 16) if cell.data == "▀" else -1
    return shown


def press(terminal: Terminal, keys: str, until: str, seconds: float = 10) -> None:
    terminal.send(keys)
    assert terminal.pump(seconds, until=lambda t: until in status(t)), f"{until!r} not in {status(terminal)!r}"
    terminal.pump(0.25)


def test_frames_in_the_order_of_the_patient(ct: Terminal) -> None:
    middle = [grey(ct, 12, 40)]
    for keys, expected in (
        ("]", "2/12"), ("]", "3/12"), ("[", "2/12"), ("\x1b[6~", "12/12"), ("\x1b[5~", "2/12"), ("\x1b[H", "1/12"),
        ("\x1b[F", "12/12"), ("\x1b[A", "11/12"), ("\x1b[B", "12/12"), ("\x1b[D", "11/12"), ("\x1b[C", "12/12"),
        ("[[[[", "8/12"),
    ):  # fmt: skip
        press(ct, keys, expected)
        middle.append(grey(ct, 12, 40))
    # ten values a slice of a window of 100, though the files are shuffled: 25.5 levels of 255
    assert middle[1] - middle[0] in (25, 26) and middle[2] - middle[1] in (25, 26)


def test_wheel_steps_frames(ct: Terminal) -> None:
    press(ct, "\x1b[<65;40;12M", "2/12")
    press(ct, "\x1b[<65;40;12M\x1b[<65;40;12M", "4/12")
    press(ct, "\x1b[<64;40;12M", "3/12")


def test_zoom_and_pan(ct: Terminal) -> None:
    before = picture(ct)
    press(ct, "++++", "zoom 2.44")
    zoomed = picture(ct)
    row = zoomed[12][zoomed[12] >= 0]
    whole = before[12][before[12] >= 0]
    assert np.ptp(row) < 0.6 * np.ptp(whole)  # a smaller part of the ramp
    assert abs(int(np.median(row)) - int(np.median(whole))) <= 6  # about the same middle
    press(ct, "\x1b[C", "zoom 2.44")
    assert np.median(picture(ct)[12][zoomed[12] >= 0]) > np.median(row)  # to the right, where values are higher
    assert "1/12" in status(ct)
    press(ct, "-", "zoom 1.95")
    ct.send("r")
    assert ct.pump(5, until=lambda t: "zoom" not in status(t))
    ct.pump(0.3)
    np.testing.assert_array_equal(picture(ct), before)


def test_window_and_level(ct: Terminal) -> None:
    press(ct, "W", "50.5/111.1")
    press(ct, "w", "50.5/101")
    press(ct, "L", "55.55/101")
    press(ct, "l", "50.5/101")
    press(ct, "2", "window 2: angio 300/600")  # the second one of the CT windows: the image has none of its own
    press(ct, "0", "50.5/101")


def test_dragging_changes_both(ct: Terminal) -> None:
    ct.send("\x1b[<0;40;12M\x1b[<32;44;12M")
    assert ct.pump(5, until=lambda t: "/113.68" in status(t)), status(ct)  # 1.03 for each of four cells
    ct.send("\x1b[<32;44;10M\x1b[<0;44;10m")
    assert ct.pump(5, until=lambda t: "window 43.679/113.68" in status(t)), status(ct)


def test_invert_and_reset(ct: Terminal) -> None:
    before = picture(ct)
    press(ct, "i", "inverted")
    after = picture(ct)
    seen = before >= 0
    assert np.abs(before[seen] + after[seen] - 255).max() <= 1
    ct.send("r")
    assert ct.pump(5, until=lambda t: "inverted" not in status(t))


def test_the_value_under_the_cursor(ct: Terminal) -> None:
    press(ct, "c", "column 24 row 20: 24 HU")
    ct.send("\x1b[C")
    assert ct.pump(5, until=lambda t: "column 25 row 20: 25 HU" in status(t)), status(ct)
    # a click into the upper left corner of the picture, which begins in column 12 and is 56 cells wide
    ct.send("\x1b[<0;14;1M")
    assert ct.pump(5, until=lambda t: "900 HU" in status(t)), status(ct)
    ct.send("c")
    assert ct.pump(5, until=lambda t: "HU" not in status(t))


def test_planes_through_the_volume(ct: Terminal) -> None:
    press(ct, "v", "axial  l 24 p 20 h 6", 20)
    assert "84 HU" in status(ct)  # 10 * 6 + 24
    assert "axial" in ct.text and "coronal" in ct.text and "sagittal" in ct.text
    press(ct, "]", "h 7")
    assert "94 HU" in status(ct)
    press(ct, "\t", "coronal  l 24")
    press(ct, "]", "p 21")
    press(ct, "v", "1/12")


def test_help_and_attributes(ct: Terminal) -> None:
    ct.send("?")
    ct.wait("axial, coronal, sagittal")
    ct.send("?")
    assert ct.pump(5, until=lambda t: "1/12" in status(t))
    ct.send("t")
    ct.wait("SOP Class UID")
    assert "Secret^Name" not in ct.text or "Patient" in ct.text
    ct.send("\x1b[6~\x1b[6~")
    assert ct.pump(5, until=lambda t: "SOP Class UID" not in t.text)
    ct.send("\x1b")
    assert ct.pump(5, until=lambda t: "1/12" in status(t))


def test_side_by_side_with_another_frame(ct: Terminal) -> None:
    press(ct, "s", "1/12")
    press(ct, "]]]", "4/12")
    shown = picture(ct)
    left, right = shown[10, :39], shown[10, 41:]
    assert right[right >= 0].mean() - left[left >= 0].mean() > 60  # three slices are 76 levels
    ct.send("s")
    ct.pump(0.4)
    assert (picture(ct)[10, 38:42] >= 0).all()


def test_information(ct: Terminal) -> None:
    ct.send("n")
    ct.wait("Secret Name  id secret-id")
    ct.send("n")
    assert ct.pump(5, until=lambda t: "Secret" not in t.text)


def test_overlays_on_and_off(tmp_path: Path) -> None:
    file = write_grey(tmp_path / "o.dcm", np.zeros((32, 32), np.uint8))
    dataset = pydicom.dcmread(file)
    bits = np.ones((32, 32), np.uint8)
    for element, vr, value in (
        (0x10, "US", 32), (0x11, "US", 32), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1),
        (0x102, "US", 0), (0x3000, "OW", np.packbits(bits, bitorder="little").tobytes()),
    ):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(file)
    with Terminal("viewer", file, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/1")
        assert terminal.pump(5, until=lambda t: grey(t, 10, 40) == 0)
        terminal.send("o")
        assert terminal.pump(5, until=lambda t: grey(t, 10, 40) == 255)
        terminal.send("o")
        assert terminal.pump(5, until=lambda t: grey(t, 10, 40) == 0)


def test_cine_at_its_own_rate(tmp_path: Path) -> None:
    file = write_frames(tmp_path / "film.dcm", [10 * n for n in range(25)], FrameTime="100")
    with Terminal("viewer", file, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/25")
        terminal.pump(0.3)
        press(terminal, "p", "cine 10/s")
        began = time.monotonic()
        seen = []
        while time.monotonic() - began < 1.5:
            terminal.pump(0.01)
            number = status(terminal).split("/")[0].strip()
            if number.isdecimal() and (not seen or seen[-1][0] != int(number)):
                seen.append((int(number), time.monotonic()))
        (first, at), (last, until) = seen[1], seen[-1]
        assert (last - first) / (until - at) == pytest.approx(10, rel=0.15)
        terminal.send("p")
        assert terminal.pump(3, until=lambda t: "cine" not in status(t))


def test_difference_of_two_images(tmp_path: Path) -> None:
    values = np.full((32, 32), 100, np.uint8)
    one = write_grey(tmp_path / "one.dcm", values)
    values[:, 16:] = 150
    two = write_grey(tmp_path / "two.dcm", values)
    with Terminal("viewer", "--compare", one, two, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/1")
        terminal.pump(0.3)
        assert (grey(terminal, 10, 30), grey(terminal, 10, 75)) == (100, 150)
        press(terminal, "d", "difference")
        assert (grey(terminal, 10, 22), grey(terminal, 10, 60)) == (128, 255)  # no difference is the middle
        terminal.send("d")
        assert terminal.pump(5, until=lambda t: "difference" not in status(t))
    three = write_grey(tmp_path / "three.dcm", np.zeros((32, 40), np.uint8))
    with Terminal("viewer", "--compare", one, three, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/1")
        press(terminal, "d", "do not meet")


def test_resize_draws_again(ct: Terminal) -> None:
    ct.resize(40, 12)
    assert ct.pump(5, until=lambda t: "1/12" in status(t) and "▀" in t.text)
    ct.pump(0.5)
    shown = picture(ct)
    assert (shown >= 0).any(axis=0).sum() >= 20
    ct.resize(10, 4)
    assert ct.pump(5, until=lambda t: "1/12" in status(t) and "▀" in t.text)


def test_what_cannot_be_shown_is_said_and_the_session_goes_on(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.dcm", np.full((32, 32), 100, np.uint8), InstanceNumber=1)
    broken = write_grey(tmp_path / "b.dcm", np.zeros((32, 32), np.uint8), InstanceNumber=2)
    dataset = pydicom.dcmread(broken)
    dataset.Rows = 4000
    dataset.save_as(broken)
    with Terminal("viewer", tmp_path, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/2")
        for _ in range(2):
            terminal.send("]")
            terminal.pump(0.6)
            if "truncated" in terminal.text:
                break
            terminal.send("[")
            terminal.pump(0.4)
        assert "truncated" in terminal.text
        terminal.send("q")
        assert terminal.ended() == 0


@pytest.mark.parametrize(
    ("data", "names", "rest"),
    [
        (b"q", ["q"], b""),
        (b"\x1b[A\x1bOB", ["up", "down"], b""),
        (b"\x1b[5", [], b"\x1b[5"),
        (b"\x1b", [], b"\x1b"),
        (b"\x1b[?62;4;22c", [], b""),
        (b"\x1b[6;20;10t", [], b""),
        (b"\x1bP>|XTerm(380)\x1b\\q", ["q"], b""),
        (b"\x1b_Gi=31;OK\x1b\\", [], b""),
        (b"\x1bP>|XTe", [], b"\x1bP>|XTe"),
        (b"\x1b]52;c;AAAA\x07p", ["p"], b""),
        ("ä".encode(), ["ä"], b""),
        ("ä".encode()[:1], [], "ä".encode()[:1]),
        (b"\x1b[<64;3;4M", ["wheel-up"], b""),
        (b"\x1b[<35;24;9M", [], b""),
        (b"\xff\xfe", [], b""),
    ],
)
def test_bytes_of_terminals_as_keys(data: bytes, names: list[str], rest: bytes) -> None:
    events, left = parse(data)
    assert ([event.name for event in events], left) == (names, rest)


def test_a_lone_escape_and_the_place_of_the_mouse() -> None:
    assert parse(b"\x1b", complete=True) == ([Event("escape")], b"")
    assert parse(b"\x1b[<0;40;12M")[0] == [Event("press", 39, 11)]
