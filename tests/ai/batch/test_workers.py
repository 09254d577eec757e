"""One process for each device: real processes on a backend of several devices, in whose place stands main memory."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.batch_cases import bright_model, check_outputs, write_series
from support.paths import ROOT

from gpukit import device
from gpukit.ai.batch.case import Case
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.job import Job
from gpukit.ai.batch.manifest import Manifest
from gpukit.ai.batch.run import batch, drive
from gpukit.ai.batch.workers import ProcessPool, places
from gpukit.errors import DeviceError


def installed(folder: Path) -> Path:
    """A folder for the path of modules, with the backend and its entry point."""
    about = folder / "several_devices-1.0.dist-info"
    about.mkdir(parents=True)
    shutil.copy(ROOT / "tests" / "support" / "several_devices.py", folder)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: several-devices\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[gpukit.backends]\nseveral = several_devices:SeveralBackend\n")
    return folder


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The backend in this process and in those that it starts; the log of what arrived where."""
    for name, value in (("SEVERAL_KIND", "several"), ("SEVERAL_DEVICES", "2"), ("SEVERAL_LOG", str(tmp_path / "log"))):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("GPUKIT_DEVICE", raising=False)
    monkeypatch.syspath_prepend(installed(tmp_path / "plugin"))
    device.backends.cache_clear()
    device._backend_by_type.cache_clear()
    yield tmp_path / "log"
    device.backends.cache_clear()
    device._backend_by_type.cache_clear()


def used(log: Path) -> dict[str, set[tuple[str, str]]]:
    """For each process the devices that its arrays went to, with what it saw of CUDA."""
    found: dict[str, set[tuple[str, str]]] = {}
    for line in log.read_text().splitlines():
        process, name, shown = line.split()
        found.setdefault(process, set()).add((name, shown))
    return found


def test_which_devices_are_meant(plugged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places(None) == places("auto") == places("several") == ["several:0", "several:1"]
    assert places("several:1") == places(" SEVERAL:1 ") == ["several:1"]
    assert places("cpu") == ["cpu"]
    with pytest.raises(DeviceError, match="out of order"):
        places("several:2")
    monkeypatch.setenv("GPUKIT_DEVICE", "several:1")
    assert places(None) == ["several:1"] and places("several") == ["several:0", "several:1"]


@pytest.mark.slow
def test_by_default_each_device_has_a_process_that_sees_no_other(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """The command on devices that are called as NVIDIA's are, of which the user shows two: those numbered 5 and 7."""
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(2)]
    output, log = tmp_path / "out", tmp_path / "log"
    settings = {
        "PYTHONPATH": os.pathsep.join((str(installed(tmp_path / "plugin")), os.environ.get("PYTHONPATH", ""))),
        "SEVERAL_KIND": "cuda", "SEVERAL_DEVICES": "8", "SEVERAL_LOG": str(log), "CUDA_VISIBLE_DEVICES": "5, 7",
        "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    words = ["ai", "batch", tmp_path / "in", "--model", bright_model(tmp_path / "model"), "--output", output, "--json"]
    done = run(*words, **settings)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    # as many cases as devices, and none is left without one
    assert {(row["worker"], row["device"]) for row in rows} == {("worker-1", "cuda:0"), ("worker-2", "cuda:1")}
    assert sorted(used(log).values(), key=str) == [{("cuda:0", "5")}, {("cuda:0", "7")}]
    check_outputs(output, folders)


@pytest.mark.slow
def test_a_successor_takes_the_device_of_the_one_that_died(plugged: Path, tmp_path: Path) -> None:
    """Three processes on two devices, so the third shares the first's; the first is killed."""
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(9)]
    output = tmp_path / "out"
    output.mkdir()
    model = bright_model(tmp_path / "model")
    job = Job(task="segment", models=(str(model),), format="dicom-seg", output=str(output))
    rows: list[dict[str, Any]] = []
    with Manifest(output, job.identity()) as manifest:
        pool = ProcessPool(job, 3, places(None))
        first = pool._processes["worker-1"].pid

        def record(row: dict[str, Any]) -> None:
            manifest.add(row)
            rows.append(row)
            if len(rows) == 1:
                os.kill(first, signal.SIGKILL)

        drive(find_cases(tmp_path / "in"), pool, record)
        pool.close()
    check_outputs(output, folders)
    on = {row["worker"]: row["device"] for row in rows}
    expected = {"worker-1": "several:0", "worker-2": "several:1", "worker-3": "several:0", "worker-4": "several:0"}
    assert "worker-4" in on and on.items() <= expected.items(), on
    assert all(len(devices) == 1 for devices in used(plugged).values())


def test_one_named_device_is_used_alone(plugged: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "in", slices=2, size=8)
    made = batch(tmp_path / "in", bright_model(tmp_path / "model"), tmp_path / "out", device="several:1")
    assert [(row["worker"], row["device"]) for row in made.rows] == [("worker-1", "several:1")]
    assert used(plugged) == {str(os.getpid()): {("several:1", os.environ.get("CUDA_VISIBLE_DEVICES", "-"))}}


def test_a_device_that_cannot_be_used_is_told_before_the_first_case(plugged: Path, tmp_path: Path) -> None:
    write_series(tmp_path / "in", slices=2, size=8)
    model = bright_model(tmp_path / "model")
    with pytest.raises(DeviceError, match="out of order"):
        batch(tmp_path / "in", model, tmp_path / "out", device="several:2")
    assert not (tmp_path / "out").exists()


def test_cases_are_dealt_to_all_workers_first() -> None:
    """With as many cases as devices, none has two while another has none."""

    class Full:
        """Workers that answer when all cases are out."""

        def __init__(self) -> None:
            self.held: dict[str, list[str]] = {f"w{n}": [] for n in range(4)}
            self.most = 0

        def workers(self) -> list[str]:
            return list(self.held)

        def send(self, worker: str, case: Case) -> None:
            self.held[worker].append(case.key)

        def wait(self) -> list[tuple[str, dict[str, Any] | None]]:
            self.most = max(self.most, *map(len, self.held.values()))
            worker = next(w for w, cases in self.held.items() if cases)
            return [(worker, {"case": self.held[worker].pop(), "status": "done"})]

        def renew(self, worker: str) -> str | None:
            return None

        def close(self, *, at_once: bool = False) -> None:
            pass

    pool, rows = Full(), []
    drive([Case(str(n), str(n)) for n in range(4)], pool, rows.append)
    assert pool.most == 1 and len(rows) == 4
