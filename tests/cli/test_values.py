"""Options that say how the values of files are read, and what the JSON says of them."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from support.dicom_files import write_series

STORED = np.arange(1000, 1060, dtype=np.uint16).reshape(3, 4, 5)
Run = Callable[..., subprocess.CompletedProcess[str]]


def philips(dataset: Dataset, k: int) -> None:
    dataset.Manufacturer = "Philips Medical Systems"
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "6"
    dataset.private_block(0x2005, "Philips MR Imaging DD 001", create=True).add_new(0x0E, "FL", 0.25)


def mean_of(text: str) -> tuple[float, dict[str, float], list[str]]:
    (measured,) = json.loads(text)["measurements"]
    (mean,) = [q["value"] for q in measured["quantities"] if q["name"] == "mean"]
    return mean, {d["name"]: d["value"] for d in measured["details"]}, measured["notes"]


def test_measurements_of_philips_images_say_their_scale_and_have_another_reading(run: Run, tmp_path: Path) -> None:
    """Slice 1 of the made series has a mean of 1029.5: measured (2 s + 6) / 0.5, displayed 2 s + 6."""
    write_series(tmp_path / "mr", STORED, np.diag([1.0, 1, 2, 1]), modality="MR", change=philips)
    words = ("measure", "roi", tmp_path / "mr", "--roi", "0,0,5,4", "--slice", "1", "--json")
    mean, details, notes = mean_of(run(*words).stdout)
    assert mean == 4 * 1029.5 + 12
    assert (details["value_slope"], details["value_intercept"]) == (4.0, 12.0)
    assert (details["displayed_slope"], details["displayed_intercept"]) == (2.0, 6.0)
    assert any("--raw-scale" in note for note in notes)
    mean, details, notes = mean_of(run(*words, "--raw-scale").stdout)
    assert mean == 2 * 1029.5 + 6
    assert "value_slope" not in details
    assert not any("Philips" in note for note in notes)


def test_an_export_says_its_scale(run: Run, tmp_path: Path) -> None:
    write_series(tmp_path / "mr", STORED, np.diag([1.0, 1, 2, 1]), modality="MR", change=philips)
    done = run("3d", "export", tmp_path / "mr", "--output", tmp_path / "o", "--formats", "nifti,raw", "--json")
    scale = json.loads(done.stdout)["value_scale"]
    assert (scale["source"], scale["slope"], scale["displayed_slope"]) == ("PhilipsScaleSlope", 4.0, 2.0)
    assert json.loads((tmp_path / "o.json").read_text())["value_scale"] == scale


def test_a_data_file_elsewhere_needs_the_option(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "v.raw").write_bytes(STORED.tobytes())
    header = tmp_path / "inside" / "v.mhd"
    header.write_text(
        "ObjectType = Image\nNDims = 3\nElementSpacing = 1 1 2\nDimSize = 5 4 3\nElementType = MET_USHORT\n"
        "ElementDataFile = ../v.raw\n"
    )
    words = ("3d", "export", header, "--output", tmp_path / "o.nii.gz")
    refused = run(*words)
    assert refused.returncode == 1
    assert "outside the folder of the header" in refused.stderr
    assert "--external-data" in refused.stderr
    assert not (tmp_path / "o.nii.gz").exists()
    assert run(*words, "--external-data").returncode == 0
    assert run(*words, "--force", GPUKIT_EXTERNAL_DATA="1").returncode == 0
