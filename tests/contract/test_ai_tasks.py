"""The lines of the command contract that name ``.mlmodel``: converted to Core ML, and as the same network in ONNX."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
coremltools = pytest.importorskip("coremltools", reason="coremltools is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

Run = Callable[..., subprocess.CompletedProcess[str]]

WINDOW = [-1024.0, 3072.0]
NODULE = {"name": "Nodule", "code": {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}}
PNEUMONIA = {"name": "Pneumonia", "code": {"value": "233604007", "scheme": "SCT", "meaning": "Pneumonia"}}


class Mean(torch.nn.Module):
    """Two logits from the mean of the picture."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = shift

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3))
        return torch.cat([4.0 * mean + self.shift, 1.0 - mean], dim=1)


class TwoBoxes(torch.nn.Module):
    """Two boxes of known place and score."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zero = x.mean() * 0.0
        boxes = torch.tensor([[20.0, 30.0, 60.0, 70.0], [1.0, 1.0, 6.0, 5.0]]) + zero
        return boxes, torch.tensor([0.9, 0.6]) + zero, torch.ones(2, dtype=torch.int64)


class Twice(torch.nn.Module):
    """Every pixel four times."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")


def chances(values: np.ndarray, shift: float = 0.0) -> float:
    """What `Mean` gives for the first class, by NumPy alone."""
    low, high = WINDOW
    mean = float(np.clip((values - low) / (high - low), 0, 1).mean())
    first, second = 4 * mean + shift, 1 - mean
    return float(np.exp(first) / (np.exp(first) + np.exp(second)))


def core_ml(folder: Path, name: str, network: torch.nn.Module, task: str, output: dict[str, Any], **seen: Any) -> None:
    """The network as NAME.mlmodel, with its description in its metadata."""
    window = torch.rand(1, 1, 128, 128)
    made = coremltools.convert(
        torch.jit.trace(network.eval(), window), convert_to="neuralnetwork",
        inputs=[coremltools.TensorType(name="image", shape=tuple(window.shape))],
    )  # fmt: skip
    content = {
        "schema_version": 1, "name": name, "version": "1", "task": task, "format": "coreml",
        "input": {"dimensions": 2, "channels": 1, **seen}, "output": output,
    }  # fmt: skip
    made.user_defined_metadata["gpukit"] = json.dumps(content)
    made.save(str(folder / f"{name}.mlmodel"))


def twin(folder: Path, name: str, network: torch.nn.Module) -> None:
    """The same network as NAME.onnx, with the description that was in the metadata."""
    from gpukit.ai.model.coreml import user_metadata

    torch.onnx.export(
        network.eval(), (torch.rand(1, 1, 128, 128),), str(folder / f"{name}.onnx"), input_names=["image"],
        dynamo=False, dynamic_axes={"image": {0: "n", 2: "y", 3: "x"}},
    )  # fmt: skip
    content = json.loads(user_metadata(folder / f"{name}.mlmodel")["gpukit"])
    (folder / f"{name}.json").write_text(json.dumps({**content, "format": "onnx", "weights": f"{name}.onnx"}))


def runs(run: Run, folder: Path, networks: dict[str, torch.nn.Module], *line: object) -> str:
    """The line: off macOS first the one sentence and no result, then with the twin beside the model; its output."""
    if sys.platform != "darwin":
        first = next(iter(networks))
        before = sorted(folder.iterdir())
        done = run("ai", *line, cwd=folder)
        assert done.returncode == 1
        assert done.stderr == (
            f"Error: {first}.mlmodel: the Core ML model {first} 1 runs on macOS only. Put the same network beside it "
            f"as {first}.onnx, .ts, .pt2 or .safetensors with its description {first}.json, or run this on a Mac\n"
        )
        assert (done.stdout, sorted(folder.iterdir())) == ("", before)
        for name, network in networks.items():
            twin(folder, name, network)
    done = run("ai", *line, cwd=folder)
    assert done.returncode == 0, done.stderr
    if sys.platform != "darwin":
        for name in networks:
            assert f"{name}.onnx was used in place of {name}.mlmodel, since Core ML runs on macOS only" in done.stderr
    return done.stdout


@pytest.fixture
def ct(tmp_path: Path) -> Callable[[str], np.ndarray]:
    """Puts a real CT slice of 128 by 128 pixels under a name, and gives its Hounsfield units."""

    def place(name: str) -> np.ndarray:
        dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        dataset.save_as(tmp_path / name)
        return np.asarray(dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept))

    return place


def test_classify(run: Run, ct: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    """``gpukit ai classify chest-xray.dcm --model pneumonia-detection.mlmodel --output results.json``."""
    values = ct("chest-xray.dcm")
    name = "pneumonia-detection"
    output = {"activation": "softmax", "classes": [PNEUMONIA, "None"]}
    core_ml(tmp_path, name, Mean(), "classify", output, window=WINDOW)
    line = ("classify", "chest-xray.dcm", "--model", f"{name}.mlmodel", "--output", "results.json")
    runs(run, tmp_path, {name: Mean()}, *line)
    (result,) = json.loads((tmp_path / "results.json").read_text())["results"]
    stated = {one["class"]: one["probability"] for one in result["predictions"]}
    assert stated["Pneumonia"] == pytest.approx(chances(values), abs=1e-5)  # float32
    assert sum(stated.values()) == pytest.approx(1, abs=1e-6)


def test_detect(run: Run, ct: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    """``gpukit ai detect brain-mri.dcm --model ... --confidence 0.7 --render-overlay detections.png``."""
    ct("brain-mri.dcm")
    name = "lesion-detection"
    core_ml(tmp_path, name, TwoBoxes(), "detect", {"classes": [NODULE], "confidence": 0.1})
    line = ("detect", "brain-mri.dcm", "--model", f"{name}.mlmodel", "--output", "detections.json")
    more = ("--confidence", "0.7", "--render-overlay", "detections.png")
    runs(run, tmp_path, {name: TwoBoxes()}, *line, *more)
    (found,) = json.loads((tmp_path / "detections.json").read_text())["detections"]
    assert found["box"] == {"low": [19.5, 29.5], "high": [59.5, 69.5]}
    assert found["score"] == pytest.approx(0.9, abs=1e-6)
    picture = np.asarray(Image.open(tmp_path / "detections.png").convert("RGB")).astype(int)
    assert ((picture[..., 0] - picture[..., 2]) > 100).sum() > 50  # a coloured frame over grey


def test_enhance(run: Run, ct: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    """``gpukit ai enhance noisy-image.dcm --model super-resolution.mlmodel --output enhanced.dcm``."""
    values = ct("noisy-image.dcm")
    name = "super-resolution"
    core_ml(tmp_path, name, Twice(), "enhance", {"scale": [2, 2]}, values="rescaled")
    line = ("enhance", "noisy-image.dcm", "--model", f"{name}.mlmodel", "--output", "enhanced.dcm")
    runs(run, tmp_path, {name: Twice()}, *line)
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    found = image.pixel_array * float(image.RescaleSlope) + float(image.RescaleIntercept)
    np.testing.assert_allclose(found, values.repeat(2, 0).repeat(2, 1), atol=0.5)  # whole units are stored
    assert list(image.PixelSpacing) == [
        float(x) / 2 for x in pydicom.dcmread(tmp_path / "noisy-image.dcm").PixelSpacing
    ]


def test_report(run: Run, ct: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    """``gpukit ai report chest-xray.dcm --model ... --output report.json --create-sr report-sr.dcm``."""
    values = ct("chest-xray.dcm")
    name = "report-generation"
    output = {"activation": "softmax", "classes": [PNEUMONIA, "None"]}
    core_ml(tmp_path, name, Mean(), "classify", output, window=WINDOW)
    line = ("report", "chest-xray.dcm", "--model", f"{name}.mlmodel", "--output", "report.json")
    runs(run, tmp_path, {name: Mean()}, *line, "--create-sr", "report-sr.dcm")
    stated = {f["name"]: f["value"] for f in json.loads((tmp_path / "report.json").read_text())["findings"]}
    assert stated["Pneumonia"] == pytest.approx(chances(values), abs=1e-5)
    written = pydicom.dcmread(tmp_path / "report-sr.dcm")
    assert written.Modality == "SR"
    assert "233604007" in written.to_json()


def test_classify_a_series(run: Run, data: Path, tmp_path: Path) -> None:
    """``gpukit ai classify series/*.dcm --model classifier.mlmodel ... --format csv --batch-size 16``."""
    slices = sorted((data / "ct_chest_ibsi/dicom/image").glob("*.dcm"))[:5]
    core_ml(tmp_path, "classifier", Mean(), "classify", {"activation": "softmax", "classes": ["a", "b"]}, window=WINDOW)
    line = ("classify", *slices, "--model", "classifier.mlmodel", "--output", "results.csv", "--format", "csv")
    runs(run, tmp_path, {"classifier": Mean()}, *line, "--batch-size", "16")
    with (tmp_path / "results.csv").open() as stream:
        rows = [row for row in csv.DictReader(stream) if row["class"] == "a"]
    wanted = {}
    for file in slices:
        dataset = pydicom.dcmread(file)
        values = dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)
        wanted[file.name] = chances(values)
    assert len(rows) == 5 and len(set(wanted.values())) == 5
    for row in rows:
        assert float(row["probability"]) == pytest.approx(wanted[Path(row["file"]).name], abs=1e-5)


def test_an_ensemble(run: Run, ct: Callable[[str], np.ndarray], tmp_path: Path) -> None:
    """``gpukit ai classify image.dcm --models model1.mlmodel,... --ensemble average --output results.json``."""
    values = ct("image.dcm")
    output = {"activation": "softmax", "classes": ["a", "b"]}
    shifts = {"model1": 0.0, "model2": -1.0, "model3": 2.0}
    for name, shift in shifts.items():
        core_ml(tmp_path, name, Mean(shift), "classify", output, window=WINDOW)
    names = ",".join(f"{name}.mlmodel" for name in shifts)
    line = ("classify", "image.dcm", "--models", names, "--ensemble", "average", "--output", "results.json")
    runs(run, tmp_path, {name: Mean(shift) for name, shift in shifts.items()}, *line)
    content = json.loads((tmp_path / "results.json").read_text())
    stated = {one["class"]: one["probability"] for one in content["results"][0]["predictions"]}
    assert stated["a"] == pytest.approx(np.mean([chances(values, shift) for shift in shifts.values()]), abs=1e-5)
    assert [one["name"] for one in content["models"]] == list(shifts)
