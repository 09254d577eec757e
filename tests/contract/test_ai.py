"""The lines of the command contract for ``gpukit ai segment``, each as a real process on a real image."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.bright_model import above, bright_network, describe

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ct_slice(data: Path) -> Path:
    return data / "ct_chest_ibsi/dicom/image/DCM_IMG_00030.dcm"


def check(seg: Path, image: Path, threshold: float) -> None:
    written, source = pydicom.dcmread(seg), pydicom.dcmread(image)
    assert written.SOPClassUID == "1.2.840.10008.5.1.4.1.1.66.4"
    assert written.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    group = written.PerFrameFunctionalGroupsSequence[0]
    assert group.PlanePositionSequence[0].ImagePositionPatient == source.ImagePositionPatient
    expected = above(image, threshold)
    assert 0 < expected.mean() < 1
    np.testing.assert_array_equal(written.pixel_array.reshape(expected.shape) > 0, expected)


def test_segment_organs_from_ct_core_ml(run: Run, ct_slice: Path, tmp_path: Path) -> None:
    """``gpukit ai segment abdomen-ct.dcm --model organ-segmentation.mlmodel --output segmentation.dcm ...``."""
    (tmp_path / "organ-segmentation.mlmodel").write_bytes(b"")
    out = tmp_path / "segmentation.dcm"
    done = run(
        "ai", "segment", ct_slice, "--model", "organ-segmentation.mlmodel", "--output", out, "--format", "dicom-seg",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.startswith("Error: organ-segmentation.mlmodel: Core ML models run on macOS only")
    assert not out.exists()


def test_segment_organs_from_ct(run: Run, ct_slice: Path, tmp_path: Path) -> None:
    """The same line with the network as ONNX."""
    import torch

    weights = tmp_path / "organ-segmentation.onnx"
    torch.onnx.export(
        bright_network(-200.0), (torch.zeros(1, 1, 4, 4, 4),), str(weights), input_names=["image"],
        output_names=["logits"], dynamo=False,
        dynamic_axes={"image": {0: "n", 2: "x", 3: "y", 4: "z"}, "logits": {0: "n", 2: "x", 3: "y", 4: "z"}},
    )  # fmt: skip
    describe(weights, format="onnx")
    out = tmp_path / "segmentation.dcm"
    done = run("ai", "segment", ct_slice, "--model", weights, "--output", out, "--format", "dicom-seg")
    assert done.returncode == 0, done.stderr
    check(out, ct_slice, -200.0)


def test_segment_with_pytorch(run: Run, ct_slice: Path, tmp_path: Path) -> None:
    """``gpukit ai segment scan.dcm --model segmentation.pth --runtime pytorch --output seg.dcm``."""
    import torch

    weights = tmp_path / "segmentation.pth"
    torch.save({f"net.0.{key}": value for key, value in bright_network(40.0).state_dict().items()}, weights)
    network = {"layers": [{"in_channels": 1, "out_channels": 2, "kernel_size": 1}], "activation": "relu"}
    describe(weights, format="state-dict", network=network)
    out = tmp_path / "seg.dcm"
    words = ["segment", ct_slice, "--model", weights, "--runtime", "pytorch", "--output", out]
    done = run("ai", *words)
    assert done.returncode == 0, done.stderr
    check(out, ct_slice, 40.0)
    again = run(*words, "--force", program="dicom-ai")
    assert (again.returncode, again.stdout) == (0, done.stdout)
