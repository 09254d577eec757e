"""Inputs of ``gpukit measure`` as a shell gives them: absolute paths beside relative ones."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from support.slices import write_slices

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.mark.parametrize("command", ["volume", "roi"])
def test_absolute_and_relative_inputs_make_one_row(run: Run, tmp_path: Path, command: str) -> None:
    folder = write_slices(tmp_path / "series", np.full((4, 8, 8), 7, np.uint16), np.diag([1.0, 1.0, 2.0, 1.0]))
    first, *others = sorted(folder.iterdir())
    inputs = [first, *(os.path.relpath(path, tmp_path) for path in others)]
    words = ["--sphere", "4,4,2,3mm"] if command == "roi" else ["--threshold", "0,3000"]
    done = run("measure", command, *inputs, *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["measurements"]
    assert Path(row["file"]) == folder  # the folder that holds them all


def test_relative_inputs_are_named_as_the_user_did(run: Run, tmp_path: Path) -> None:
    folder = write_slices(tmp_path / "series", np.full((4, 8, 8), 7, np.uint16), np.diag([1.0, 1.0, 2.0, 1.0]))
    inputs = [os.path.relpath(path, tmp_path) for path in sorted(folder.iterdir())]
    done = run("measure", "volume", *inputs, "--threshold", "0,3000", "--json", cwd=tmp_path)
    (row,) = json.loads(done.stdout)["measurements"]
    assert row["file"] == "series"
