"""A process that dies costs one case, Ctrl-C ends soon, and odd names and file systems end nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.batch_cases import bright_model, rows_of, write_volume

pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("nibabel", reason="NIfTI needs nibabel")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals and names are those of Linux")

PROGRAM = str(Path(sys.executable).with_name("gpukit"))
#: Python imports this in every process: one that reads a case of the name ``deadly`` dies as by a fault of a library.
DEADLY = """
import os, signal, sys, threading
def hook(event, arguments):
    reads = threading.current_thread().name == "batch-reading"
    if event == "open" and reads and "deadly" in str(arguments[0]):
        os.kill(os.getpid(), signal.SIGSEGV)
if os.environ.get("DEADLY"):
    sys.addaudithook(hook)
"""


def words(source: Path, model: Path, output: Path, *more: str) -> list[str]:
    return [PROGRAM, "ai", "batch", str(source), "--model", str(model), "--output", str(output), "--format", "nifti",
            "--device", "cpu", *more]  # fmt: skip


@pytest.fixture
def deadly(tmp_path: Path) -> dict[str, str]:
    plugin = tmp_path / "plugin"
    plugin.mkdir()
    (plugin / "usercustomize.py").write_text(DEADLY)
    (plugin / "sitecustomize.py").write_text(DEADLY)
    path = os.pathsep.join(filter(None, (str(plugin), os.environ.get("PYTHONPATH", ""))))
    return {**os.environ, "PYTHONPATH": path, "DEADLY": "1"}


@pytest.mark.slow
def test_a_process_that_dies_costs_one_case(deadly: dict[str, str], tmp_path: Path) -> None:
    for name in ("a", "b-deadly", "c", "d", "e"):
        write_volume(tmp_path / "in" / f"{name}.nii", seed=len(name))
    model, output = bright_model(tmp_path / "model"), tmp_path / "out"
    first = subprocess.run(words(tmp_path / "in", model, output), env=deadly, capture_output=True, check=False)
    assert first.returncode == -signal.SIGSEGV
    assert (output / ".running.jsonl").exists()
    second = subprocess.run(words(tmp_path / "in", model, output), env=deadly, capture_output=True, text=True,
                            check=False)  # fmt: skip
    assert second.returncode == 1, second.stderr
    rows = {row["case"]: row for row in rows_of(output)}
    assert len(rows) == 5
    assert [row["status"] for row in rows.values()].count("done") == 4
    (bad,) = (row for row in rows.values() if row["status"] == "failed")
    assert "deadly" in bad["source"] and "workers died" in bad["error"]
    assert not (output / ".running.jsonl").exists() and not list(output.glob(".gpukit-*"))


def test_an_end_by_itself_leaves_no_suspects(tmp_path: Path) -> None:
    write_volume(tmp_path / "in" / "a.nii")
    subprocess.run(words(tmp_path / "in", bright_model(tmp_path / "model"), tmp_path / "out"), check=True)
    assert not (tmp_path / "out" / ".running.jsonl").exists()


def test_a_case_that_ended_the_process_three_times_is_given_up(tmp_path: Path) -> None:
    """Where it cannot be tried in a process of its own, as in a script that does not guard its main part."""
    from gpukit.ai.batch.find import find_cases
    from gpukit.ai.batch.run import batch

    for name in "ab":
        write_volume(tmp_path / "in" / f"{name}.nii", seed=ord(name))
    key = next(case.key for case in find_cases(tmp_path / "in") if "a.nii" in case.source)
    output = tmp_path / "out"
    output.mkdir()
    line = json.dumps({"case": key, "moment": "begins", "ends": 2})
    (output / ".running.jsonl").write_text(f'{line}\n{{"case": "torn')
    made = batch(tmp_path / "in", bright_model(tmp_path / "model"), output, format="nifti", device="cpu")
    assert made.done == 1
    (bad,) = made.failed
    assert bad["case"] == key and "ended 3 times" in bad["error"]


def test_ctrl_c_ends_within_two_seconds(tmp_path: Path) -> None:
    """In the midst of a window that takes far longer: a library is at work, which looks at no signal."""
    write_volume(tmp_path / "in" / "a.nii", size=64)
    model, output = bright_model(tmp_path / "model", rounds=200_000), tmp_path / "out"
    process = subprocess.Popen(words(tmp_path / "in", model, output), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    until = time.monotonic() + 120
    while not (output / ".running.jsonl").exists() and time.monotonic() < until:
        time.sleep(0.05)
    time.sleep(4.0)  # it is read and being run by now
    assert process.poll() is None, "the case was to take longer"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert time.monotonic() - began < 2.0
    assert process.returncode == 130 and b"Interrupted" in errors
    assert not list(output.glob(".gpukit-*"))


def test_a_name_that_is_not_utf8_is_a_case_as_any_other(tmp_path: Path) -> None:
    write_volume(tmp_path / "in" / "b.nii")
    odd = os.fsdecode(os.fsencode(tmp_path / "in") + b"/a\xff.nii")
    try:
        write_volume(Path(odd), seed=1)
    except OSError:
        pytest.skip("this file system has UTF-8 names only")
    model, output = bright_model(tmp_path / "model"), tmp_path / "out"
    for _ in range(2):  # and again, from the record
        done = subprocess.run([*words(tmp_path / "in", model, output), "--json"], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        rows = json.loads(done.stdout.decode("utf-8"))["rows"]
        assert [row["status"] for row in rows] == ["done", "done"]
        assert odd in {row["source"] for row in rows} or any("\udcff" in row["source"] for row in rows)
    for name in ("manifest.jsonl", "summary.json", "summary.csv"):
        (output / name).read_bytes().decode("utf-8")
    assert {row["source"].endswith(("a\udcff.nii", "b.nii")) for row in rows_of(output)} == {True}
    assert all((output / name).exists() for row in rows_of(output) for name in row["outputs"])
