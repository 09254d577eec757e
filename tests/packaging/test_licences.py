"""What the extras bring: no code under the GPL unless an extra's name says so, and nothing that no tool uses."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
GPL = {"pylibjpeg-libjpeg", "imageio-ffmpeg", "libigl", "pyqt5", "pyqt6", "pymeshlab", "ghostscript", "pymupdf"}


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_licences", ROOT / "docs" / "make_licences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_packages_under_the_gpl_are_only_in_extras_that_say_so(script: ModuleType) -> None:
    for extra, lines in EXTRAS.items():
        if extra not in ("test", "lint", "docs") and not extra.startswith("gpl-"):
            assert not script.closure(lines) & GPL, extra
            assert "[all]" not in "".join(lines), extra  # what an extra of another package brings may change
    assert not any("gpl-" in line for extra in ("all", "all-cuda13") for line in EXTRAS[extra])


def test_the_page_and_the_rules_agree_with_what_is_installed(script: ModuleType) -> None:
    assert script.faults() == []
    assert script.missing_rows((ROOT / "docs" / "licences.md").read_text("utf-8")) == []


def test_a_licence_that_is_not_allowed_is_a_fault(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(script.RULES["packages"], "pydicom", {"licence": "AGPL-3.0"})
    script.licence_of.cache_clear()
    try:
        assert any(re.match(r"pydicom .*: AGPL-3.0 is not allowed", line) for line in script.faults())
        wrong = script.missing_rows(script.page().replace("AGPL-3.0", "MIT"))
        assert any(line.startswith("pydicom: ") for line in wrong)
    finally:
        script.licence_of.cache_clear()


def test_a_light_job_stays_light(script: ModuleType) -> None:
    """SEG, SR and presentation states need neither torch nor SimpleITK; files need no SimpleITK; planes no pyvista."""
    assert {"highdicom", "pillow"} <= script.closure(EXTRAS["dicom"])
    assert not script.closure(EXTRAS["dicom"]) & {"torch", "simpleitk", "vtk", "scipy"}
    assert "simpleitk" not in script.closure(EXTRAS["files"])
    assert "simpleitk" in script.closure(EXTRAS["metaimage"])
    assert "pyvista" not in script.closure(EXTRAS["viz"])
    assert "pyvista" in script.closure(EXTRAS["show"])
