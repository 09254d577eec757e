"""The runtimes over pictures and for detectors give what torch gives; what is absent is said in one sentence."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
pytest.importorskip("openvino_telemetry", reason="openvino is not installed")

from support.picture_models import TASKS, Boxes, Small, write

from gpukit import Grid, Volume
from gpukit.ai import find_model, segment
from gpukit.ai.model.coreml import METADATA_KEY, user_metadata
from gpukit.ai.runtimes import choose, runtimes
from gpukit.ai.tasks.classify import classify
from gpukit.ai.tasks.detect import detect
from gpukit.ai.tasks.enhance import enhance
from gpukit.errors import DependencyError, DeviceError, ModelError


@pytest.fixture(scope="module")
def volume() -> Volume:
    values = np.random.default_rng(0).normal(100, 20, (5, 20, 24)).astype(np.float32)
    return Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 2)))


def answer(volume: Volume, weights: Path, task: str, runtime: str) -> np.ndarray:
    """What the task gives, in numbers."""
    if task == "segment":
        return np.asarray(segment(volume, weights, runtime=runtime).array)
    if task == "enhance":
        return np.asarray(enhance(volume, weights, runtime=runtime).array)
    if task == "classify":
        found = classify(volume, weights, runtime=runtime, batch=2)
        return np.array([[p.probability for p in sorted(one.predictions, key=lambda p: p.name)] for one in found])
    boxes = detect(volume, weights, runtime=runtime, confidence=0.0, iou=1.0).boxes
    return np.array([[*one.box, one.score, one.index] for one in boxes])


@pytest.mark.parametrize(("runtime", "form"), [("openvino", "torchscript"), ("openvino", "onnx"), ("onnx", "onnx")])
@pytest.mark.parametrize(
    ("task", "layout"),
    [
        ("segment", "channels-first"), ("segment", "channels-last"), ("classify", "channels-first"),
        ("enhance", "channels-last"), ("detect", "channels-first"),
    ],
)  # fmt: skip
def test_pictures_and_boxes_are_those_of_torch(
    runtime: str, form: str, task: str, layout: str, volume: Volume, tmp_path: Path
) -> None:
    network = Boxes() if task == "detect" else Small(task, layout == "channels-last")
    truth = answer(volume, write(tmp_path / "torch", "torchscript", task, network, layout=layout), task, "torch")
    found = answer(volume, write(tmp_path / "other", form, task, network, layout=layout), task, runtime)
    assert found.shape == truth.shape
    assert len(truth) == (10 if task == "detect" else 5)
    if task == "segment":
        assert len(np.unique(truth)) == 2
        assert (found != truth).sum() <= 2  # nearly equal logits may tip
    else:
        np.testing.assert_allclose(found, truth, atol=1e-3 if task == "enhance" else 1e-5)  # values of 100: float32


def test_a_graph_of_other_channels_is_refused(volume: Volume, tmp_path: Path) -> None:
    weights = write(tmp_path, "onnx", "segment", Small("segment"))
    content = json.loads(weights.with_suffix(".json").read_text())
    weights.with_suffix(".json").write_text(
        json.dumps({**content, "input": {"dimensions": 2, "channels": 3}, "output": content["output"]})
    )
    for runtime in ("onnx", "openvino"):
        with pytest.raises(ModelError, match="takes 1 channels, and the description says 3"):
            segment(volume, weights, runtime=runtime)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("onnx-cuda", "this ONNX Runtime cannot use CUDA. Replace onnxruntime by onnxruntime-gpu"),
        ("onnx-tensorrt", "this ONNX Runtime cannot use TensorRT. Replace onnxruntime by onnxruntime-gpu and install"),
        ("onnx-coreml", "this ONNX Runtime cannot use Core ML. Use it on a Mac"),
    ],
)
def test_an_absent_provider_is_named(name: str, says: str, volume: Volume, tmp_path: Path) -> None:
    weights = write(tmp_path, "onnx", "classify", Small("classify"))
    model = find_model(weights)
    runtime = next(one for one in runtimes() if one.name == name)
    if runtime.available().usable:
        pytest.skip(f"{name} runs here")
    with pytest.raises(DependencyError) as caught:
        classify(volume, model, runtime=name)
    assert says in str(caught.value)


def test_a_provider_may_be_named(volume: Volume, tmp_path: Path) -> None:
    weights = write(tmp_path, "onnx", "classify", Small("classify"))
    np.testing.assert_array_equal(
        answer(volume, weights, "classify", "onnx-cpu"), answer(volume, weights, "classify", "onnx")
    )
    assert choose(find_model(weights)).name == "onnx"
    with pytest.raises(DeviceError, match="needs the device cpu, and the volume is on cuda:0"):
        choose(find_model(weights), "onnx-cpu").load(find_model(weights), "cuda:0", "auto")


# ---- Core ML


@pytest.fixture
def core(tmp_path: Path) -> Path:
    """A Core ML network with its description in its metadata, as `gpukit ai convert` leaves it."""
    ct = pytest.importorskip("coremltools", reason="coremltools is not installed")
    network = torch.jit.trace(Small("classify").eval(), torch.rand(1, 1, 20, 24))
    made = ct.convert(
        network, inputs=[ct.TensorType(name="image", shape=(1, 1, 20, 24))], convert_to="neuralnetwork"
    )  # fmt: skip
    content = {
        "schema_version": 1, "name": "small", "version": "7", "task": "classify", "format": "coreml",
        "input": {"dimensions": 2, "channels": 1, "size": [24, 20]}, "output": TASKS["classify"],
    }  # fmt: skip
    made.user_defined_metadata[METADATA_KEY] = json.dumps(content)
    made.save(str(tmp_path / "net.mlmodel"))
    return tmp_path / "net.mlmodel"


mac = pytest.mark.skipif(sys.platform == "darwin", reason="on macOS the model runs")


@mac
def test_core_ml_is_described_and_says_what_to_do(core: Path, volume: Volume) -> None:
    model = find_model(core)
    assert (model.name, model.version, model.task, model.format) == ("small", "7", "classify", "coreml")
    assert model.picture_input.size == (24, 20)
    with pytest.raises(DependencyError) as caught:
        classify(volume, core)
    assert str(caught.value).endswith(
        "net.mlmodel: the Core ML model small 7 runs on macOS only. Put the same network beside it as net.onnx, .ts, "
        ".pt2 or .safetensors with its description net.json, or run this on a Mac"
    )


@mac
def test_the_twin_of_a_core_ml_model_is_used_with_a_note(core: Path, volume: Volume) -> None:
    twin = write(core.parent, "onnx", "classify", Small("classify"), size=[24, 20])
    truth = answer(volume, twin, "classify", "onnx")
    twin.rename(core.with_suffix(".onnx"))
    content = json.loads(twin.with_suffix(".json").read_text())
    for described in ("onnx", "coreml"):  # the description may be that of either
        weights = core.with_suffix(f".{described}" if described == "onnx" else ".mlmodel").name
        core.with_suffix(".json").write_text(json.dumps({**content, "format": described, "weights": weights}))
        model = find_model(core)
        assert (model.format, model.weights.name) == ("onnx", "net.onnx")
        assert model.notes == ("net.onnx was used in place of net.mlmodel, since Core ML runs on macOS only",)
        np.testing.assert_array_equal(answer(volume, core, "classify", "onnx"), truth)


def test_metadata_of_damaged_core_ml_models_is_none(core: Path, tmp_path: Path) -> None:
    content = core.read_bytes()
    assert json.loads(user_metadata(core)[METADATA_KEY])["name"] == "small"
    other = tmp_path / "other.mlmodel"
    for cut in range(0, min(len(content), 1200), 7):
        other.write_bytes(content[:cut])
        user_metadata(other)  # whatever it finds, it does not fail
    other.write_bytes(b"\xff" * 100)
    assert user_metadata(other) == {}


def test_a_core_ml_package_is_kept_whole(tmp_path: Path) -> None:
    ct = pytest.importorskip("coremltools", reason="coremltools is not installed")
    from gpukit.ai.registry.packages import add, export, import_package
    from gpukit.ai.registry.store import Store

    network = torch.jit.trace(Small("classify").eval(), torch.rand(1, 1, 20, 24))
    made = ct.convert(network, inputs=[ct.TensorType(name="image", shape=(1, 1, 20, 24))], convert_to="mlprogram")
    made.save(str(tmp_path / "net.mlpackage"))
    content = {
        "schema_version": 1, "name": "small", "version": "7", "task": "classify", "format": "coreml",
        "weights": "net.mlpackage", "input": {"dimensions": 2, "channels": 1}, "output": TASKS["classify"],
    }  # fmt: skip
    (tmp_path / "net.json").write_text(json.dumps(content))
    store = Store(tmp_path / "store")
    entry = add(store, str(tmp_path / "net.mlpackage"))
    twin = write(tmp_path / "twin", "onnx", "classify", Small("classify"))
    described = json.loads(twin.with_suffix(".json").read_text())
    twin.with_suffix(".json").write_text(json.dumps({**described, "version": "7"}))
    entry = add(store, str(twin))
    assert {variant.format for variant in entry.variants} == {"coreml", "onnx"}
    assert store.verify(entry) == []
    (variant,) = (one for one in entry.variants if one.format == "coreml")
    assert {Path(name).name for name in variant.files} >= {"net.json", "Manifest.json", "model.mlmodel", "weight.bin"}
    package = export(store, entry, tmp_path / "small.zip")
    other = Store(tmp_path / "other")
    assert import_package(other, package).variants == entry.variants
    weights = next(path for path in (tmp_path / "net.mlpackage").rglob("weight.bin"))
    before = find_model(tmp_path / "net.mlpackage").digest
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert find_model(tmp_path / "net.mlpackage").digest != before
