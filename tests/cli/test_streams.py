"""Standard streams that are closed, full or of ASCII; a hangup; a user whom the system does not know."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import write_series

import gpukit as gk

GPUKIT = str(Path(sysconfig.get_path("scripts")) / "gpukit")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="descriptors are closed by a POSIX shell")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("images")
    write_series(place, np.arange(4 * 8 * 10, dtype=np.int16).reshape(4, 8, 10), np.diag([0.7, 0.8, 2.0, 1.0]))
    return place


def shell(line: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", "-c", line], capture_output=True, text=True, timeout=120, env={**os.environ, **more}
    )


def test_closed_standard_error_takes_nothing_from_the_result(folder: Path) -> None:
    done = shell(f"{GPUKIT} series {folder} --json 2>&-")
    assert done.returncode == 0
    assert json.loads(done.stdout)["series"][0]["images"] == 4
    assert shell(f"{GPUKIT} series {folder}/none 2>&-").returncode == 1


@pytest.mark.parametrize("where", [">&-", ">/dev/full"])
def test_a_result_that_standard_output_does_not_take_is_an_error(folder: Path, where: str) -> None:
    if "full" in where and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    for words in (f"series {folder}", "--version", "--help", "series --help"):
        done = shell(f"{GPUKIT} {words} {where}")
        if "help" in words and where == ">&-":
            continue  # nobody can read it, and nothing is lost
        assert done.returncode == 1, words
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1, done.stderr
        assert "unexpected" not in done.stderr


@pytest.mark.parametrize("where", [">&-", ">/dev/full", "<&- >&- 2>&-"])
def test_a_file_that_is_whole_is_a_success_whatever_standard_output_is(
    folder: Path, tmp_path: Path, where: str
) -> None:
    if "full" in where and not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    target = tmp_path / "volume.nii.gz"
    done = shell(f"{GPUKIT} 3d export {folder} --output {target} {where}")
    assert done.returncode == 0, done.stderr
    assert gk.open(target).array.shape == (4, 8, 10)
    assert "2>&-" in where or done.stderr.startswith("Note: standard output ")


def test_names_that_ascii_lacks_are_escaped_and_json_reads_them_back(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "größe \N{SKULL}.nii.gz"
    done = shell(f"{GPUKIT} 3d export {folder} --output '{target}' --json", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert json.loads(done.stdout)["files"][0]["path"] == str(target)
    assert target.is_file()


def test_a_hangup_ends_the_run_and_leaves_nothing_behind(folder: Path, tmp_path: Path) -> None:
    """The command waits for a FIFO; SIGHUP ends it with 129, and nohup keeps it from that."""
    pipe = tmp_path / "input.nii"
    os.mkfifo(pipe)
    code = (
        "import sys, time; from gpukit_cli import main as m; import gpukit_cli.commands.devices as d\n"
        "import gpukit.device\n"
        "gpukit.device.devices = lambda: time.sleep(60) or ()\n"
        "import gpukit; gpukit.devices = gpukit.device.devices\n"
        "sys.exit(m.main(['devices'], program='gpukit'))"
    )
    for ignored, expected in ((False, 129), (True, -signal.SIGKILL)):
        setup = None if not ignored else (lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
        with subprocess.Popen([sys.executable, "-c", code], preexec_fn=setup) as running:
            time.sleep(3)
            running.send_signal(signal.SIGHUP)
            try:
                code_seen = running.wait(5 if not ignored else 1)
            except subprocess.TimeoutExpired:
                running.kill()
                code_seen = running.wait()
        assert code_seen == expected


@pytest.mark.skipif(shutil.which("setpriv") is None or os.geteuid() != 0, reason="needs root and setpriv")
def test_a_user_whom_the_system_does_not_know_reads_images_and_is_told_about_the_store(folder: Path) -> None:
    readable = subprocess.run(
        ["setpriv", "--reuid=54321", "--clear-groups", sys.executable, "-c", "import gpukit"], capture_output=True
    )
    if readable.returncode:
        pytest.skip("another user may not read this Python")
    place = Path("/tmp") / f"gpukit-streams-{os.getpid()}"
    shutil.copytree(folder, place)
    place.chmod(0o755)
    try:
        command = f"env -u HOME -u XDG_DATA_HOME setpriv --reuid=54321 --clear-groups {GPUKIT}"
        assert shell(f"{command} series {place}").returncode == 0
        done = shell(f"{command} ai models list")
        assert done.returncode == 1
        assert "home folder" in done.stderr and "GPUKIT_MODELS" in done.stderr and "unexpected" not in done.stderr
    finally:
        shutil.rmtree(place)


def test_a_home_that_does_not_exist_is_a_name_like_others() -> None:
    done = shell(f"{GPUKIT} series '~nobody-of-that-name/images'")
    assert done.returncode == 1
    assert "there is no such file or directory" in done.stderr


@pytest.mark.parametrize("text", ["²", "٣x", "0", "-1", "9" * 5000, "1e3", "99999"])
def test_a_number_of_threads_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from gpukit.errors import InputError
    from gpukit_backends.cpu.threads import thread_count

    monkeypatch.setenv("GPUKIT_THREADS", text)
    with pytest.raises(InputError, match="whole number from 1 to") as caught:
        thread_count()
    assert len(str(caught.value)) < 300
