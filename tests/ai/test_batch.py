"""Many cases: nothing lost, nothing done twice, whatever ends a run; and the three stages really overlap."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from batch_cases_made import above, bright_model, rows_of, uid_of, write_series  # noqa: E402

from gpukit.ai import batch_tasks  # noqa: E402
from gpukit.ai.batch import MOST_LOSSES, batch, drive  # noqa: E402
from gpukit.ai.batch_cases import Case, find_cases  # noqa: E402
from gpukit.ai.batch_manifest import Manifest  # noqa: E402
from gpukit.ai.batch_pipeline import DEPTH, Pipeline  # noqa: E402
from gpukit.ai.batch_tasks import Job  # noqa: E402
from gpukit.ai.kept import keep_networks  # noqa: E402
from gpukit.ai.model import find_model  # noqa: E402
from gpukit.ai.runtimes import choose  # noqa: E402
from gpukit.errors import FormatError, InputError, InputNotFoundError, OutputError, OutputExistsError  # noqa: E402


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def study(tmp_path: Path) -> list[Path]:
    """Four series below one folder."""
    return [write_series(tmp_path / "in" / f"s{n}", seed=n) for n in range(4)]


def check_outputs(output: Path, series: list[Path]) -> None:
    """Each series has its own labels, and one row that says so."""
    done = [row for row in rows_of(output) if row["status"] == "done"]
    assert sorted(row["case"] for row in done) == sorted(uid_of(folder) for folder in series)
    for folder in series:
        written = pydicom.dcmread(output / f"{uid_of(folder)}.dcm")
        assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == uid_of(folder)
        expected = above(folder, 0.0)
        places = [
            float(group.PlanePositionSequence[0].ImagePositionPatient[2])
            for group in written.PerFrameFunctionalGroupsSequence
        ]
        np.testing.assert_array_equal(written.pixel_array[np.argsort(places)] > 0, expected)


# ---- what is done


def test_every_series_and_volume_of_a_folder(study: list[Path], model: Path, tmp_path: Path) -> None:
    values = np.zeros((5, 6, 7), np.int16)
    values[1:3, 2:4, 3:5] = 100
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0])), tmp_path / "in" / "volume.nii.gz")
    (tmp_path / "in" / "notes.pdf").write_text("no image")
    output = tmp_path / "out"
    made = batch(tmp_path / "in", model, output, format="nifti", device="cpu")
    assert (made.done, made.failed, made.before) == (5, (), 0)
    by_case = {row["case"]: row for row in made.rows}
    for folder in study:
        row = by_case.pop(uid_of(folder))
        labels = np.asarray(nibabel.load(output / row["outputs"][0]).dataobj)
        # NIfTI is RAS and [i, j, k]: x and y run the other way than the rows and columns of an axial DICOM slice
        assert int(labels.sum()) == int(above(folder, 0.0).sum()) == row["result"]["labels"][0]["voxels"]
    (row,) = by_case.values()
    assert row["case"].startswith("volume-")
    np.testing.assert_array_equal(np.asarray(nibabel.load(output / row["outputs"][0]).dataobj), values > 0)
    summary = json.loads((output / "summary.json").read_text())
    assert (summary["schema_version"], summary["cases"], summary["done"], summary["failed"]) == (1, 5, 5, 0)
    with (output / "summary.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [line["case"] for line in table] == [row["case"] for row in made.rows]
    assert all("ml" in line["result"] for line in table)


def test_no_patient_is_named_in_the_record(study: list[Path], model: Path, tmp_path: Path) -> None:
    batch(study[0], model, tmp_path / "out", format="json", device="cpu")
    for file in (tmp_path / "out").iterdir():
        text = file.read_text()
        assert "Nobody" not in text and "X-42" not in text, file


def test_lists_name_what_they_hold_and_a_line_that_leads_nowhere_is_a_row(
    study: list[Path], model: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "cases.txt"
    listed.write_text("# two\n\nin/s0\nin/s2\nin/s0\nin/nothing\n")
    made = batch(listed, model, tmp_path / "out", device="cpu")
    assert [row["status"] for row in made.rows] == ["done", "done", "failed"]
    assert "no such file" in made.failed[0]["error"].lower() and "nothing" in made.failed[0]["error"]
    check_outputs(tmp_path / "out", [study[0], study[2]])


def test_copies_with_one_uid_are_cases_each(study: list[Path], tmp_path: Path) -> None:
    shutil.copytree(study[0], tmp_path / "copy")
    cases = find_cases([study[0], tmp_path / "copy", study[0]])
    assert len(cases) == len({case.key for case in cases}) == 2
    assert {case.source for case in cases} == {str(study[0]), str(tmp_path / "copy")}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=80))
def test_a_uid_from_a_hostile_file_never_leads_out_of_the_folder(text: str) -> None:
    from gpukit.ai.batch_cases import file_key

    key = file_key(text)
    assert key == Path(key).name and key not in ("", ".", "..") and not key.startswith(".")


def test_other_tasks_write_what_their_commands_write(tmp_path: Path) -> None:
    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            half = x.shape[3] // 2
            return torch.stack([x[..., :half].mean(dim=(1, 2, 3)), x[..., half:].mean(dim=(1, 2, 3))], dim=1)

    torch.jit.script(Means()).save(str(tmp_path / "means.ts"))
    content = {
        "schema_version": 1, "name": "means", "version": "1", "task": "classify", "format": "torchscript",
        "weights": "means.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"},
        "output": {"activation": "softmax", "classes": ["left", "right"]},
    }  # fmt: skip
    (tmp_path / "means.json").write_text(json.dumps(content))
    folder = write_series(tmp_path / "in")
    brighter = []
    for file in sorted(folder.glob("*.dcm")):
        pixels = pydicom.dcmread(file).pixel_array
        brighter.append("left" if pixels[:, :8].mean() > pixels[:, 8:].mean() else "right")
    options = {"top": 1}
    made = batch(folder, tmp_path / "means.ts", tmp_path / "out", options=options, format="csv", device="cpu")
    (row,) = made.rows
    with (tmp_path / "out" / row["outputs"][0]).open() as stream:
        assert [line["class"] for line in csv.DictReader(stream)] == brighter
    reported = batch(folder, tmp_path / "means.ts", tmp_path / "report", task="report", format="markdown", device="cpu")
    assert "probability" in (tmp_path / "report" / reported.rows[0]["outputs"][0]).read_text()


# ---- failures


def test_failures_are_rows_and_are_tried_again(study: list[Path], model: Path, tmp_path: Path) -> None:
    missing = study[1] / "001.dcm"
    kept = missing.read_bytes()
    missing.unlink()  # a gap: 0 and 4 mm are two evenly spaced slices, so damage one too
    (study[2] / "002.dcm").write_bytes((study[2] / "002.dcm").read_bytes()[:600])
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert [row["status"] for row in made.rows].count("failed") == 1
    (failed,) = made.failed
    assert failed["case"] == uid_of(study[2]) and "002.dcm" in failed["error"] and failed["stage"] == "reading"
    again = batch(tmp_path / "in", model, tmp_path / "out", device="cpu", keep_failures=True)
    assert len(rows_of(tmp_path / "out")) == 4 and len(again.failed) == 1
    shutil.rmtree(study[2])
    write_series(study[2], seed=2)
    mended = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert (mended.done, mended.before) == (4, 3)
    missing.write_bytes(kept)


def test_an_output_that_was_taken_away_is_made_again(study: list[Path], model: Path, tmp_path: Path) -> None:
    batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    (tmp_path / "out" / f"{uid_of(study[3])}.dcm").unlink()
    made = batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert (made.done, made.before) == (4, 3)
    assert len(rows_of(tmp_path / "out")) == 5


def test_a_folder_of_another_job_or_run_is_not_touched(study: list[Path], model: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    batch(study[0], model, output, device="cpu")
    other = bright_model(tmp_path / "other", 50.0)
    before = (output / "manifest.jsonl").read_bytes()
    with pytest.raises(OutputExistsError, match="another models"):
        batch(study[0], other, output, device="cpu")
    with pytest.raises(OutputExistsError, match="another format"):
        batch(study[0], model, output, format="nifti", device="cpu")
    assert (output / "manifest.jsonl").read_bytes() == before
    assert batch(study[0], other, output, device="cpu", force=True).before == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    with pytest.raises(OutputExistsError, match="thesis"):
        batch(study[0], model, tmp_path / "mine", device="cpu")
    job = Job(task="segment", models=(str(other),), format="dicom-seg", output=str(output))
    with Manifest(output, job.identity()), pytest.raises(OutputError, match="another batch is at work"):
        batch(study[0], other, output, device="cpu")


def test_what_cannot_be_done_at_all_is_told_before_the_first_case(
    study: list[Path], model: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="not written as sr"):
        batch(study[0], model, tmp_path / "out", format="sr")
    with pytest.raises(InputError, match="no such option"):
        batch(study[0], model, tmp_path / "out", options={"top": 3})
    with pytest.raises(InputNotFoundError):
        batch(tmp_path / "nothing", model, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ---- the record


def test_a_torn_last_line_is_cut_off_and_no_other(tmp_path: Path) -> None:
    with Manifest(tmp_path, {"task": "x"}) as manifest:
        manifest.add({"case": "1", "status": "done"})
        manifest.add({"case": "2", "status": "failed"})
    file = tmp_path / "manifest.jsonl"
    whole = file.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(start + 1, len(whole)):
        file.write_bytes(whole[:cut])
        with Manifest(tmp_path, {"task": "x"}) as manifest:
            assert list(manifest.rows) == ["1"] and manifest.done("1")
            manifest.add({"case": "2", "status": "done"})
        with Manifest(tmp_path, {"task": "x"}) as manifest:
            assert list(manifest.rows) == ["1", "2"] and manifest.done("2")
    file.write_bytes(whole.replace(b'{"case": "1"', b'{"ca\x00e": "1"'))
    with pytest.raises(FormatError, match="line 2"):
        Manifest(tmp_path, {"task": "x"})


# ---- overlap


def test_one_case_is_read_while_one_is_run_and_one_written(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A barrier of three stages opens only when all three are inside their work for different cases at one time."""
    folders = [write_series(tmp_path / f"s{n}", seed=n) for n in range(4)]
    cases = [find_cases(folder)[0] for folder in folders]
    meet = threading.Barrier(3, timeout=60)
    met: list[tuple[str, str]] = []
    spans: dict[tuple[str, str], dict[str, float]] = {}
    third = {"reading": cases[2].key, "inference": cases[1].key, "writing": cases[0].key}

    def observe(stage: str, key: str, moment: str) -> None:
        spans.setdefault((stage, key), {})[moment] = time.perf_counter()
        if moment == "begins" and third[stage] == key:
            meet.wait()  # without overlap nobody else comes, and the barrier breaks
            met.append((stage, key))

    (tmp_path / "out").mkdir()
    job = Job(task="segment", models=(str(model),), format="nifti", output=str(tmp_path / "out"))
    pipeline = Pipeline(job, "cpu", "w", observe)
    rows = [pipeline.submit(case) for case in cases]
    done = [row.result(timeout=120) for row in rows]
    pipeline.close()
    assert [row["status"] for row in done] == ["done"] * 4, done
    assert sorted(met) == sorted(third.items())
    at_once = [spans[place] for place in third.items()]
    # reading of case n + 1, inference of n and writing of n - 1: the last to begin does so before the first one ends
    assert max(span["begins"] for span in at_once) < min(span["ends"] for span in at_once)


def test_a_network_is_loaded_once_for_all_cases(model: Path) -> None:
    described = find_model(model)
    with keep_networks():
        first = choose(described).load(described, "cpu", "float32")
        assert choose(described).load(described, "cpu", "float32") is first
        assert choose(described).load(described, "cpu", "auto") is not first
    assert choose(described).load(described, "cpu", "float32") is not first


# ---- workers that die


class Mortal:
    """Workers that answer or die by a list; no processes."""

    def __init__(self, fates: list[bool], deadly: str = "", count: int = 2) -> None:
        self._fates, self._deadly = iter(fates), deadly
        self._held: dict[str, list[Case]] = {f"w{n}": [] for n in range(count)}
        self._number = count
        self.most = 0

    def workers(self) -> list[str]:
        return list(self._held)

    def send(self, worker: str, case: Case) -> None:
        self._held[worker].append(case)
        self.most = max(self.most, len(self._held[worker]))

    def wait(self) -> list[tuple[str, dict[str, Any] | None]]:
        worker = next(w for w, held in self._held.items() if held)
        if any(c.key == self._deadly for c in self._held[worker]) or next(self._fates, False):
            del self._held[worker]
            return [(worker, None)]
        return [(worker, {"case": self._held[worker].pop(0).key, "status": "done"})]

    def renew(self, worker: str) -> str | None:
        self._number += 1
        self._held[f"w{self._number}"] = []
        return f"w{self._number}"

    def close(self, *, at_once: bool = False) -> None:
        pass


@given(fates=st.lists(st.booleans(), max_size=30), count=st.integers(1, 4), cases=st.integers(1, 20))
def test_each_case_gets_one_row_whatever_workers_do(fates: list[bool], count: int, cases: int) -> None:
    pool, rows = Mortal(fates, count=count), []
    drive([Case(str(n), str(n)) for n in range(cases)], pool, rows.append)
    assert sorted(row["case"] for row in rows) == sorted(map(str, range(cases)))
    assert pool.most <= DEPTH


def test_the_case_that_kills_its_worker_is_the_one_that_fails() -> None:
    rows: list[dict[str, Any]] = []
    drive([Case(str(n), str(n)) for n in range(9)], Mortal([], deadly="4"), rows.append)
    assert {row["case"] for row in rows if row["status"] == "failed"} == {"4"} and len(rows) == 9
    assert str(MOST_LOSSES) in next(row["error"] for row in rows if row["status"] == "failed")


# ---- processes


SCRIPT = """
import sys
from gpukit.ai.batch import batch
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


def rows_of_whole_lines(output: Path) -> list[dict[str, Any]]:
    lines = (output / "manifest.jsonl").read_bytes().split(b"\n")[1:-1]
    return [json.loads(line) for line in lines]


CRASHES = """
import json, os, random, signal, sys, threading, time
from pathlib import Path
import torch  # once, for all the processes that are forked off below
from gpukit.ai import batch as whole
from gpukit.ai.batch_manifest import Manifest
from gpukit.files import atomic

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

source, model, folder = sys.argv[1:]
torch.set_num_threads(1)
whole.batch(Path(source, "s0"), model, Path(folder, "warm"), device="cpu")  # what is imported on the way, too
for name, prepare in MOMENTS.items():
    print(name, child(source, model, Path(folder, name), prepare), sep=": ", flush=True)
# and at moments that nobody chose, one after the other in one folder: the first early in what a whole run takes here
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
        assert len(rows) == count, name
        moments = {row["outputs"][0]: (output / row["outputs"][0]).stat().st_mtime_ns for row in rows}
        made = batch(tmp_path / "in", model, output, device="cpu")
        assert (made.done, made.before) == (6, count), name
        for file, moment in moments.items():
            assert (output / file).stat().st_mtime_ns == moment, f"{name}: a case with a row was done again"
    for name in (*rows_before, "any moment"):
        check_outputs(tmp_path / "out" / name, folders)  # each case has one row, and its own labels
        assert len(rows_of(tmp_path / "out" / name)) == 6, name
        assert not list((tmp_path / "out" / name).glob(".gpukit-*")), name


@pytest.mark.slow
def test_a_worker_process_that_is_killed_is_replaced(tmp_path: Path) -> None:
    from gpukit.ai.batch_workers import ProcessPool

    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(5)]
    model = bright_model(tmp_path / "model")
    output = tmp_path / "out"
    output.mkdir()
    job = Job(task="segment", models=(str(model),), format="dicom-seg", output=str(output))
    rows: list[dict[str, Any]] = []
    with Manifest(output, job.identity()) as manifest:
        pool = ProcessPool(job, 1, "cpu")

        def record(row: dict[str, Any]) -> None:
            manifest.add(row)
            rows.append(row)
            if len(rows) == 1:
                os.kill(pool._processes["worker-1"].pid, signal.SIGKILL)

        drive(find_cases(tmp_path / "in"), pool, record)
        pool.close()
    assert {row["worker"] for row in rows} == {"worker-1", "worker-2"}
    check_outputs(output, folders)


def test_results_go_to_disk_before_their_row(
    study: list[Path], model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When a row is appended, its outputs are there and whole."""
    real = Manifest.add
    seen = []

    def add(self: Manifest, row: dict[str, Any]) -> None:
        for name in row["outputs"]:
            assert pydicom.dcmread(tmp_path / "out" / name).pixel_array.size
            seen.append(name)
        real(self, row)

    monkeypatch.setattr(Manifest, "add", add)
    batch(tmp_path / "in", model, tmp_path / "out", device="cpu")
    assert len(seen) == 4


def test_formats_and_options_name_real_arguments() -> None:
    import inspect

    from gpukit.ai.classification import classify
    from gpukit.ai.detection import detect
    from gpukit.ai.enhancement import enhance
    from gpukit.ai.reporting import report
    from gpukit.ai.segmentation import segment

    for function in (segment, classify, detect, enhance, report):
        known = set(inspect.signature(function).parameters) | {"labels", "top"}
        assert set(batch_tasks.OPTIONS[function.__name__]) <= known
