"""The lines of the command contract for ``gpukit ai segment``, each as a real process on a real image."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

LIVER = {
    "value": 1,
    "name": "Liver",
    "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
    "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
}


def describe(weights: Path, **changes: object) -> None:
    """A description beside the weights: label 1 where channel 1 wins."""
    content = {
        "schema_version": 1,
        "name": "bright",
        "version": "1",
        "task": "segment",
        "weights": weights.name,
        "input": {"channels": 1},
        "output": {"activation": "softmax", "labels": [LIVER]},
        **changes,
    }
    weights.with_suffix(".json").write_text(json.dumps(content))


def bright_network(threshold: float) -> Any:
    """A 1x1x1 convolution whose channel 1 beats channel 0 above the threshold."""
    import torch

    network = torch.nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        network.weight[:] = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
        network.bias[:] = torch.tensor([0.0, -threshold])
    return network


def above(image: Path, threshold: float) -> np.ndarray:
    """Where the image's rescaled values exceed the threshold, by pydicom alone."""
    dataset = pydicom.dcmread(image)
    values = dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    return np.asarray(values > threshold)


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
