"""The root command: names, exit codes, and what a user sees when something fails."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import gpukit
from gpukit.errors import FormatError, OutputExistsError
from gpukit_cli import failures
from gpukit_cli.main import TOOLS, main, root_help

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_every_tool_in_the_table_is_there() -> None:
    for tool in TOOLS:
        assert import_module(tool.module).app is not None
        assert f"  {tool.name} " in root_help()


def test_standalone_scripts_are_those_of_the_table() -> None:
    scripts = {e.name for e in entry_points(group="console_scripts") if e.value == "gpukit_cli.main:main"}
    assert scripts == {"gpukit", *(f"dicom-{tool.name}" for tool in TOOLS if tool.standalone)}


@pytest.mark.parametrize("words", [["--version"], ["-V"]])
def test_version_is_the_packages(words: list[str], run: Run) -> None:
    done = run(*words)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"gpukit {gpukit.__version__}\n", "")


def test_python_m_gpukit_is_the_same_command(run: Run) -> None:
    done = subprocess.run([sys.executable, "-m", "gpukit", "--help"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, run("--help").stdout)


def test_dicom_tool_is_gpukit_tool(run: Run) -> None:
    one, other = run("3d", "export", "--help"), run("export", "--help", program="dicom-3d")
    assert one.returncode == other.returncode == 0
    assert one.stdout.startswith("Usage: gpukit 3d export ")
    assert other.stdout == one.stdout.replace("gpukit 3d export", "dicom-3d export")


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["devcies"], "Did you mean 'devices'?"),
        (["--nonsense"], "no such option"),
        (["devices", "--nonsense"], "--nonsense"),
        (["3d", "nonsense"], "nonsense"),
        (["3d", "export", "x"], "--output"),
        (["3d", "export", "--output", "x"], "INPUT"),
        (["3d", "export", "x", "--output", "v", "--formats", "nifti,vtk"], "nifti, metaimage, nrrd"),
    ],
)
def test_wrong_usage_exits_2_and_says_what(words: list[str], say: str, run: Run) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert say in done.stderr
    assert "Traceback" not in done.stderr


def test_failed_input_exits_1_with_one_line(run: Run, tmp_path: Path) -> None:
    done = run("3d", "export", tmp_path / "none", "--output", tmp_path / "v")
    assert done.returncode == 1
    assert done.stdout == ""
    assert str(tmp_path / "none") in done.stderr
    assert len(done.stderr.splitlines()) <= 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["before", "between", "after"])
def test_traceback_comes_only_with_debug(place: str, run: Run, tmp_path: Path) -> None:
    words = ["3d", "export", str(tmp_path / "none"), "--output", str(tmp_path / "v")]
    assert "Traceback" not in run(*words).stderr
    words.insert({"before": 0, "between": 2, "after": len(words)}[place], "--debug")
    done = run(*words)
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "InputNotFoundError" in done.stderr


def test_debug_behind_two_dashes_is_a_file_name(run: Run, tmp_path: Path) -> None:
    done = run("3d", "export", "--output", tmp_path / "v", "--", "--debug", cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "--debug" in done.stderr


def test_help_of_every_command_tells_of_debug(run: Run) -> None:
    for words in (["devices"], ["3d", "export"], ["ai", "segment"], ["series"]):
        assert "--debug" in run(*words, "--help").stdout


@pytest.mark.parametrize(
    ("command", "terms"),
    [
        ("3d", ("maximum intensity projection", "volume rendering", "curved planar reformation")),
        ("3d mip", ("maximum intensity projection",)),
        ("3d volume", ("volume rendering",)),
        ("3d curved-mpr", ("curved planar reformation",)),
        ("ai detect", ("minimum score",)),
    ],
)
def test_help_has_the_terms_that_people_search_for(run: Run, command: str, terms: tuple[str, ...]) -> None:
    text = " ".join(run(*command.split(), "--help").stdout.lower().split())
    assert [term for term in terms if term not in text] == []


def test_unknown_device_says_which_there_are(run: Run, tmp_path: Path) -> None:
    done = run("3d", "export", tmp_path, "--output", tmp_path / "v", "--device", "abacus")
    assert done.returncode == 1
    assert "abacus" in done.stderr
    assert "cpu" in done.stderr


@pytest.mark.parametrize(
    ("error", "code", "say"),
    [
        (FormatError("not DICOM", file="a.dcm", fix="copy it again"), 1, "Error: a.dcm: not DICOM. Copy it again"),
        (OutputExistsError("the output exists", file="b"), 1, "Error: b: the output exists"),
        (KeyboardInterrupt(), 130, "Interrupted."),
        (MemoryError(), 1, "out of memory"),
        (PermissionError(13, "Permission denied", "c"), 1, "Error: c: Permission denied"),
        (
            ZeroDivisionError("division\nby zero"),
            1,
            "unexpected ZeroDivisionError: division by zero. Repeat with --debug",
        ),
        (SystemExit(143), 143, ""),
        (SystemExit(None), 0, ""),
        (SystemExit("words"), 1, "words"),
    ],
)
def test_whatever_is_raised_becomes_few_words_and_a_code(
    error: BaseException, code: int, say: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert failures.report(error, debug=False) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert say in err
    assert len(err.splitlines()) <= 1


def test_main_returns_its_code_in_process(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([], program="gpukit") == 0
    assert capsys.readouterr().out == root_help()
    assert main(["devices", "--json"], program="gpukit") == 0
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1


def test_reader_that_goes_away_is_no_error() -> None:
    script = Path(sysconfig.get_path("scripts")) / "gpukit"
    for words in ("--help", "devices"):
        done = subprocess.run(["bash", "-c", f"'{script}' {words} | true"], capture_output=True, text=True)
        assert "Broken" not in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_command_leaves_nothing(number: signal.Signals, code: int, tmp_path: Path) -> None:
    program = (
        "import sys, time\n"
        "from gpukit_cli import main\n"
        "from pathlib import Path\n"
        "from gpukit.documents.atomic import atomic_path\n"
        "import types, typer\n"
        "app = typer.Typer(rich_markup_mode=None)\n"
        "@app.command()\n"
        "def wait():\n"
        "    with atomic_path(Path(sys.argv[1]) / 'out.bin') as temporary:\n"
        "        temporary.write_bytes(b'half')\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(60)\n"
        "sys.modules['waiting'] = types.SimpleNamespace(app=app)\n"
        "sys.exit(main.run_tool(main.Tool('wait', 'waiting', ''), [], shown_as='wait', debug=False))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell's background jobs ignore it
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(tmp_path.iterdir()) == []
