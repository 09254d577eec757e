"""Start-up is quick because nothing heavy is imported on the way."""

from __future__ import annotations

import os
import re
import resource
import statistics
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

GPUKIT = str(Path(sysconfig.get_path("scripts")) / "gpukit")
HEAVY = "torch|monai|scipy|numpy|pydicom|highdicom|cupy|nibabel|SimpleITK|typer"
#: Measuring coverage of child processes would be measured itself.
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTEST"))}


def cpu_milliseconds(*command: str) -> float:
    """Median of seven runs, user and system time of the process."""
    times = []
    for _ in range(7):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, env=CLEAN, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append((after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1000)
    return statistics.median(times)


@pytest.mark.parametrize(("option", "budget"), [("--version", 150), ("--help", 300)])
def test_cpu_time_stays_in_budget(option: str, budget: float) -> None:
    assert cpu_milliseconds(GPUKIT, option) < budget


@pytest.mark.parametrize(
    "command", [["-m", "gpukit", "--help"], ["-m", "gpukit", "--version"], ["-c", "import gpukit"]]
)
def test_nothing_heavy_is_imported(command: list[str]) -> None:
    done = subprocess.run([sys.executable, "-X", "importtime", *command], env=CLEAN, capture_output=True, text=True)
    assert done.returncode == 0
    assert re.findall(rf"\| +((?:{HEAVY})(?:\..*)?)$", done.stderr, re.MULTILINE) == []


def test_help_of_a_tool_imports_no_library_of_images() -> None:
    for tool in ("3d", "series", "devices", "ai"):
        command = [sys.executable, "-X", "importtime", "-m", "gpukit", tool, "--help"]
        done = subprocess.run(command, env=CLEAN, capture_output=True, text=True)
        assert done.returncode == 0
        heavy = HEAVY.removesuffix("|typer")
        assert re.findall(rf"\| +((?:{heavy})(?:\..*)?)$", done.stderr, re.MULTILINE) == [], tool
