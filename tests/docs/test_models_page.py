"""The example of ``docs/models.md`` runs as it stands, on a small series."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pydicom
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.paths import ROOT

from gpukit import Grid, Volume
from gpukit.dicom.derived.mr_series import write_mr_series

PAGE = ROOT / "docs" / "models.md"


def test_bringing_ones_own_model_works_as_described(tmp_path: Path) -> None:
    (code,) = re.findall(r"<!-- run: own-model -->\n```python\n(.*?)^```", PAGE.read_text("utf-8"), re.M | re.S)
    values = np.random.default_rng(0).integers(0, 400, (12, 40, 36)).astype(np.uint16)
    volume = Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1.2, 1.2, 3.0)))
    words = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "ABDOMEN"}
    write_mr_series(volume, tmp_path / "study", **words)
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [segment.SegmentLabel for segment in seg.SegmentSequence] == ["Liver"]
    assert len(seg.SourceImageSequence) == 12
