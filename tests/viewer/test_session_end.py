"""However a session ends, the terminal is as before: on a pty, by what was written and by the modes of the line."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no ptys on Windows")
pytest.importorskip("pyte", reason="pyte draws the tests' terminal")

from support.terminals import Terminal, left_clean, silent, xterm_like
from support.viewer_files import write_frames


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve frames of constant value."""
    return write_frames(tmp_path_factory.mktemp("end") / "film.dcm", [20 * n for n in range(12)], FrameTime="40")


@pytest.mark.parametrize(
    ("how", "code"),
    [("q", 0), ("ctrl-c", 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
)
def test_the_terminal_is_as_before(film: Path, how: str | signal.Signals, code: int) -> None:
    with Terminal("viewer", film, "--interactive", answers=xterm_like()) as terminal:
        terminal.wait("1/12")
        terminal.send("p")
        terminal.pump(0.3)
        terminal.send(b"\x1b[<35;24;9M")  # the mouse moves while it ends
        if how == "q":
            terminal.send("q")
        elif how == "ctrl-c":
            terminal.send(b"\x03")
        else:
            os.kill(terminal.process.pid, how)
        assert terminal.ended() == code
        assert left_clean(terminal) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="a shell with job control is needed")
def test_ctrl_z_gives_the_terminal_back_and_fg_takes_it_again(film: Path, tmp_path: Path) -> None:
    modes = tmp_path / "modes"
    command = (
        f"exec bash -c 'set -m; stty -a >{modes}.before; gpukit viewer {film} --interactive; echo STOP''PED; "
        f"stty -a >{modes}.stopped; sleep 1; fg; echo EN''DED'"
    )
    with Terminal(command, answers=xterm_like(), shell=True) as terminal:
        terminal.wait("1/12")
        terminal.send(b"\x1a")
        terminal.wait("STOPPED")
        assert terminal.raw.rfind(b"\x1b[?1049l") > terminal.raw.rfind(b"\x1b[?1049h")
        assert terminal.raw.rfind(b"\x1b[?25h") > terminal.raw.rfind(b"\x1b[?25l")
        terminal.pump(0.5)
        assert Path(f"{modes}.stopped").read_text() == Path(f"{modes}.before").read_text()
        terminal.wait("1/12")  # fg draws it again
        terminal.send("]")
        terminal.wait("2/12")
        terminal.send("q")
        assert terminal.ended() == 0
        assert left_clean(terminal) == []
        assert "ENDED" in terminal.text


def test_an_error_in_the_middle_of_a_frame(film: Path, tmp_path: Path) -> None:
    script = tmp_path / "broken.py"
    script.write_text(
        "import sys\n"
        "from gpukit.viewer.session import drawing\n"
        "def broken(self, columns, lines, grid):\n"
        "    import os\n"
        "    os.write(1, b'\\x1b_Gi=1;AAAA')  # a sequence that is not ended\n"
        "    raise RuntimeError('broken on purpose')\n"
        "drawing.Drawing._panes = broken\n"
        "from gpukit_cli.main import main\n"
        "sys.exit(main(sys.argv[1:], program='gpukit'))\n"
    )
    command = f"exec {sys.executable} {script} viewer {film} --interactive"
    with Terminal(command, answers=xterm_like(), shell=True) as terminal:
        assert terminal.ended(20) == 1
        assert left_clean(terminal) == []
        assert b"unexpected RuntimeError: broken on purpose" in terminal.raw.rsplit(b"\x1b[?1049l", 1)[1]


def test_a_terminal_that_never_answers_gets_its_picture_in_cells(film: Path) -> None:
    with Terminal("viewer", film, answers=silent) as terminal:
        began = time.monotonic()
        assert terminal.pump(15, until=lambda t: "▀" in t.text), terminal.text
        shown = time.monotonic() - began
        code = terminal.ended()
        # the process itself starts in about half a second; the terminal is waited for half a second
        with Terminal("viewer", film, "--mode", "ansi", answers=silent) as told:
            began = time.monotonic()
            assert told.pump(15, until=lambda t: "▀" in t.text)
            without = time.monotonic() - began
        assert shown - without < 1.0
        assert code == 0
        assert left_clean(terminal) == []


def test_late_replies_reach_neither_the_keys_nor_the_shell(film: Path) -> None:
    answers = xterm_like(sixel=True)
    with Terminal("viewer", film, answers=answers, delay=0.7) as terminal:
        assert terminal.ended() == 0
        assert left_clean(terminal) == []
        assert "62;" not in terminal.text
    with Terminal("viewer", film, "--interactive", answers=answers, delay=0.7) as terminal:
        terminal.wait("1/12")
        terminal.pump(1.0)
        assert terminal.process.poll() is None  # a c, q or digit of a reply is not a key
        assert "1/12" in terminal.text and "column" not in terminal.text
        terminal.send("q")
        assert terminal.ended() == 0
        assert left_clean(terminal) == []


def test_keys_typed_before_the_first_picture_are_not_lost(film: Path) -> None:
    with Terminal("viewer", film, "--interactive", answers=xterm_like(), delay=0.2) as terminal:
        assert terminal.pump(10, until=lambda t: b"\x1b[c" in t.raw)
        terminal.send("]]")
        terminal.wait("3/12")


def test_a_pipe_that_is_closed_is_not_a_traceback(film: Path) -> None:
    with Terminal(f"gpukit viewer {film} --mode ansi --size 300x100 | head -c 100 >/dev/null", shell=True) as terminal:
        assert terminal.ended() == 0
        assert "Traceback" not in terminal.text
