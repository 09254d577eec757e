"""Batches that are killed: nothing lost, nothing done twice, whatever moment it is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest
from support.batch_cases import bright_model, check_outputs, rows_of, write_series

from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.job import Job
from gpukit.ai.batch.manifest import Manifest
from gpukit.ai.batch.run import batch, drive

pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")


SCRIPT = """
import sys
from gpukit.ai.batch.run import batch
if __name__ == "__main__":
    batch(sys.argv[1], sys.argv[2], sys.argv[3], device="cpu", workers=int(sys.argv[4]) or None)
"""


def wait_for_rows(output: Path, count: int, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        if (output / "manifest.jsonl").exists() and (output / "manifest.jsonl").read_bytes().count(b"\n") > count:
            return
        time.sleep(0.01)
    raise AssertionError(f"no {count} rows came: {process.poll()}")


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2], ids=["threads", "processes"])
def test_a_killed_run_goes_on_with_nothing_lost_and_nothing_done_twice(workers: int, tmp_path: Path) -> None:
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(8)]
    model = bright_model(tmp_path / "model", rounds=300)
    (tmp_path / "run.py").write_text(SCRIPT)
    output = tmp_path / "out"
    command = [sys.executable, tmp_path / "run.py", tmp_path / "in", model, output, str(workers)]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait_for_rows(output, 2, process)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = rows_of_whole_lines(output)
    assert 2 <= len(before) < 8, "the run was to be killed while it works"
    times = {row["outputs"][0]: (output / row["outputs"][0]).stat().st_mtime_ns for row in before}
    made = batch(tmp_path / "in", model, output, device="cpu")
    assert (made.done, made.failed) == (8, ())
    check_outputs(output, folders)
    assert made.before >= len(before)
    for name, moment in times.items():
        assert (output / name).stat().st_mtime_ns == moment, "a case with a row was done again"
    assert not list(output.glob(".gpukit-*"))


@pytest.mark.slow
def test_control_c_ends_the_command_at_once_and_quietly(tmp_path: Path) -> None:
    """Also within a case: threads that were left in the network's library would bring the process down with SIGABRT."""
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(4)]
    model, output = bright_model(tmp_path / "model", rounds=1500), tmp_path / "out"
    program = Path(sysconfig.get_path("scripts")) / "gpukit"
    command = [program, "ai", "batch", tmp_path / "in", "--model", model, "--output", output, "--device", "cpu"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        wait_for_rows(output, 1, process)
    finally:
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[1]
    assert (process.returncode, said) == (130, b"")
    before = len(rows_of_whole_lines(output))
    assert 1 <= before < 4, "the run was to be interrupted while it works"
    made = batch(tmp_path / "in", model, output, device="cpu")
    assert (made.done, made.before) == (4, before)
    check_outputs(output, folders)


def rows_of_whole_lines(output: Path) -> list[dict[str, Any]]:
    lines = (output / "manifest.jsonl").read_bytes().split(b"\n")[1:-1]
    return [json.loads(line) for line in lines]


CRASHES = """
import json, os, random, signal, sys, threading, time
from pathlib import Path
import torch  # once, for all the processes that are forked off below
import gpukit.ai.batch.run as whole
from gpukit.ai.batch.manifest import Manifest
from gpukit.documents import atomic

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def at_third(real, before):
    count = [0]
    def call(*given, **named):
        count[0] += 1
        if count[0] == 3 and before:
            die()
        result = real(*given, **named)
        if count[0] == 3:
            die()
        return result
    return call

def torn(self, row):
    line = json.dumps(row).encode()
    if b'"done"' in line and len(self.rows) == 2:
        os.write(self._handle, line[: len(line) // 2])
        die()
    real_append(self, row)

real_append = Manifest._append
MOMENTS = {
    "before an output is moved into place": lambda: setattr(atomic, "_move", at_third(atomic._move, True)),
    "between an output and its row": lambda: setattr(atomic, "_move", at_third(atomic._move, False)),
    "within a row": lambda: setattr(Manifest, "_append", torn),
    "after a row": lambda: setattr(Manifest, "add", at_third(Manifest.add, False)),
    "before the summaries": lambda: setattr(whole, "_summarize", die),
}

def child(source, model, output, prepare):
    pid = os.fork()
    if pid == 0:
        prepare()
        whole.batch(source, model, output, device="cpu")
        os._exit(0)
    return os.waitpid(pid, 0)[1]

if __name__ == "__main__":  # a case that was at work is repeated in a process that imports this file
    source, model, folder = sys.argv[1:]
    torch.set_num_threads(1)
    whole.batch(Path(source, "s0"), model, Path(folder, "warm"), device="cpu")  # what is imported on the way, too
    for name, prepare in MOMENTS.items():
        print(name, child(source, model, Path(folder, name), prepare), sep=": ", flush=True)
    # and at random moments, one after the other in one folder: the first early in what a whole run takes here
    began = time.monotonic()
    assert child(source, model, Path(folder, "whole"), lambda: None) == 0
    whole_run = time.monotonic() - began
    draw = random.Random()
    for n in range(30):
        wait = draw.uniform(0.02, 0.3) * whole_run * 1.2**n
        def prepare():
            timer = threading.Timer(wait, die)
            timer.daemon = True
            timer.start()
        status = child(source, model, Path(folder, "any moment"), prepare)
        print("any moment", status, sep=": ", flush=True)
        if status == 0:
            break
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the killed runs are forked off one process")
def test_runs_killed_at_the_worst_moments_go_on(tmp_path: Path) -> None:
    """SIGKILL before, between and within what is written, and at random moments again and again."""
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(6)]
    model = bright_model(tmp_path / "model", rounds=100)
    (tmp_path / "crashes.py").write_text(CRASHES)
    (tmp_path / "out").mkdir()
    command = [sys.executable, tmp_path / "crashes.py", tmp_path / "in", model, tmp_path / "out"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-2000:]
    told = [line.rsplit(": ", 1) for line in done.stdout.splitlines()]
    ends = [int(status) for name, status in told if name != "any moment"]
    assert ends == [signal.SIGKILL] * 5, done.stdout
    assert told[0][0] != "any moment" and ["any moment", str(int(signal.SIGKILL))] in told, done.stdout
    assert told[-1] == ["any moment", "0"], "the last run was to end by itself"
    rows_before = {"before an output is moved into place": 2, "between an output and its row": 2, "within a row": 2,
                   "after a row": 3, "before the summaries": 6}  # fmt: skip
    for name, count in rows_before.items():
        output = tmp_path / "out" / name
        rows = rows_of_whole_lines(output)
        # outputs and rows are written by two threads: a row may be one behind
        assert count - 1 <= len(rows) <= count, name
        moments = {row["outputs"][0]: (output / row["outputs"][0]).stat().st_mtime_ns for row in rows}
        made = batch(tmp_path / "in", model, output, device="cpu")
        assert (made.done, made.before) == (6, len(rows)), name
        for file, moment in moments.items():
            assert (output / file).stat().st_mtime_ns == moment, f"{name}: a case with a row was done again"
    # a case at which three runs died is held to be the cause and is a failed row, which the next run repeats
    assert batch(tmp_path / "in", model, tmp_path / "out" / "any moment", device="cpu").done == 6
    for name in (*rows_before, "any moment"):
        check_outputs(tmp_path / "out" / name, folders)  # each case has one row, and its own labels
        assert sum(row["status"] == "done" for row in rows_of(tmp_path / "out" / name)) == 6, name
        assert not list((tmp_path / "out" / name).glob(".gpukit-*")), name


@pytest.mark.slow
def test_a_worker_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    from gpukit.ai.batch.workers import ProcessPool

    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(5)]
    model = bright_model(tmp_path / "model")
    output = tmp_path / "out"
    output.mkdir()
    job = Job(task="segment", models=(str(model),), format="dicom-seg", output=str(output))
    rows: list[dict[str, Any]] = []
    with Manifest(output, job.identity()) as manifest:
        pool = ProcessPool(job, 1, ["cpu"])

        def record(row: dict[str, Any]) -> None:
            manifest.add(row)
            rows.append(row)
            if len(rows) == 1:
                os.kill(pool._processes["worker-1"].pid, signal.SIGKILL)

        drive(find_cases(tmp_path / "in"), pool, record)
        pool.close()
    assert {row["worker"] for row in rows} == {"worker-1", "worker-2"}
    check_outputs(output, folders)
