"""The accuracy page tells what is measured now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from support.accuracy_page import page
from support.ibsi_phantom import digital_phantom
from support.paths import ROOT

PAGE = ROOT / "docs/measure-accuracy.md"


def test_the_page_is_what_is_measured(data: Path, unpacked: Callable[[str], Path], tmp_path: Path) -> None:
    for archive in (data / "pet/suv_reference_objects").glob("*.tar.xz"):
        name = archive.name.removesuffix(".tar.xz")
        (tmp_path / name).symlink_to(unpacked(f"pet/suv_reference_objects/{archive.name}") / name)
    made = page(data, tmp_path, digital_phantom)
    assert made == PAGE.read_text(), (
        "write it anew: python tests/measure/accuracy_page.py DATA > docs/measure-accuracy.md"
    )


def test_what_was_found_is_what_was_expected() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ") and "---" not in line]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    checked = 0
    for row in rows:
        if row[-1] in ("found", "voxels that differ"):
            continue
        if len(row) == 4 and row[2].startswith("±"):
            # The consensus is given to three digits.
            want = float(row[1])
            assert float(row[3]) == pytest.approx(want, abs=max(float(row[2].strip("± ")), 5e-3 * abs(want))), row
        elif row[-1] != "0":  # voxels that differ
            expected = next(cell for cell in row[-2::-1] if cell)
            assert row[-1] == expected, row
        checked += 1
    assert checked > 55
