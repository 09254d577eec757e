"""The README's examples run as they stand.

A fenced block is run if the comment ``<!-- run: NAME -->`` stands before it. Each runs in an empty folder that has one
series, ``study/``: a real T1 head (the MNI152 template inside nilearn's wheel), its middle part only, to be quick.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from support.paths import ROOT

README = ROOT / "README.md"
BLOCK = re.compile(r"^<!-- run: (\S+) -->\n```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
BLOCKS = {name: (language, code) for name, language, code in BLOCK.findall(README.read_text(encoding="utf-8"))}


@pytest.fixture
def study(tmp_path: Path) -> Path:
    pytest.importorskip("nilearn", reason="the head is inside nilearn's wheel: pip install nilearn")
    from dataclasses import replace

    from gpukit.dicom.derived.mr_series import write_mr_series
    from gpukit_cli.commands.demo import template

    head = template()
    start = [n // 2 - 32 for n in head.grid.shape]
    middle = tuple(slice(first, first + 64) for first in start)
    part = replace(head, array=head.array[middle], grid=head.grid.crop(start, (64, 64, 64)))
    write_mr_series(
        part,
        tmp_path / "study",
        patient_name="MNI152^Template",
        patient_id="MNI152",
        description="T1",
        body_part="BRAIN",
    )
    return tmp_path


def execute(name: str, folder: Path) -> str:
    language, code = BLOCKS[name]
    command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
    path = sysconfig.get_path("scripts") + os.pathsep + os.environ["PATH"]
    environment = {**os.environ, "PATH": path, "GPUKIT_DEVICE": "cpu"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_there_are_examples_for_both_surfaces() -> None:
    assert {"cli", "python"} <= set(BLOCKS)
    for name in ("cli", "python"):
        assert len(BLOCKS[name][1].splitlines()) <= 10


def test_command_line_examples_run(study: Path) -> None:
    shown = execute("cli", study)
    assert "cpu" in shown
    made = {path.name for path in study.iterdir()}
    assert {"volume.nii.gz", "volume.mha", "volume.nrrd", "seg.dcm", "overlay.png", "summary.json"} <= made
    assert {"mip.png", "volumes.csv"} <= made
    assert json.loads((study / "summary.json").read_text())["schema_version"] == 1


def test_python_example_runs(study: Path) -> None:
    shown = execute("python", study)
    assert "(64, 64, 64)" in shown
    assert {"brain.dcm", "t1.nii.gz"} <= {path.name for path in study.iterdir()}


def test_pictures_and_pages_that_it_links_are_there() -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", README.read_text(encoding="utf-8")):
        assert (README.parent / target).exists(), target
