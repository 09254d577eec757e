"""ONNX Runtime's providers: which is asked for, in which order, with which options, and what is said without a device.

The names of the options are those of ONNX Runtime's pages on its CUDA, TensorRT and Core ML execution providers. The
providers themselves cannot run here; the way of tensors through a session without a copy can, on the CPU.
"""

from __future__ import annotations

import subprocess
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.picture_models import Boxes, Small, write

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from gpukit.ai import find_model
from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import choose
from gpukit.errors import DeviceError, ModelError
from gpukit_backends.runtimes.onnx_runtime import OnnxRuntime, provider_options
from gpukit_backends.runtimes.tensorrt_cache import engine_folder


def names(providers: list[Any]) -> list[str]:
    return [name for name, _ in providers]


def test_providers_come_in_the_order_in_which_they_take_operations() -> None:
    assert names(provider_options("cpu", "cpu", 0)) == ["CPUExecutionProvider"]
    assert names(provider_options("cuda", "cuda", 1)) == ["CUDAExecutionProvider", "CPUExecutionProvider"]
    assert names(provider_options("tensorrt", "cuda", 1)) == [
        "TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider",
    ]  # fmt: skip
    assert names(provider_options("coreml", "mps", 0)) == ["CoreMLExecutionProvider", "CPUExecutionProvider"]


def test_options_name_the_device_and_keep_float32(tmp_path: Path) -> None:
    assert dict(provider_options("cuda", "cuda", 2))["CUDAExecutionProvider"] == {"device_id": 2}
    exact = dict(provider_options("cuda", "cuda", 2, "float32"))["CUDAExecutionProvider"]
    assert exact == {"device_id": 2, "use_tf32": 0}
    both = dict(provider_options("tensorrt", "cuda", 3, "auto", tmp_path))
    assert both["CUDAExecutionProvider"]["device_id"] == 3
    assert both["TensorrtExecutionProvider"] == {
        "device_id": 3, "trt_fp16_enable": False,
        "trt_engine_cache_enable": True, "trt_engine_cache_path": str(tmp_path),
        "trt_timing_cache_enable": True, "trt_timing_cache_path": str(tmp_path),
    }  # fmt: skip
    assert "trt_engine_cache_enable" not in dict(provider_options("tensorrt", "cuda", 0))["TensorrtExecutionProvider"]
    for kind, units in (("mps", "ALL"), ("cpu", "CPUOnly")):
        core = dict(provider_options("coreml", kind, 0))["CoreMLExecutionProvider"]
        assert core == {"ModelFormat": "MLProgram", "MLComputeUnits": units}


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return find_model(write(tmp_path / "model", "onnx", "classify", Small("classify")))


def test_engines_are_kept_by_the_digest_of_the_weights(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GPUKIT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder, why = engine_folder(model)
    assert folder == tmp_path / "cache" / "gpukit" / "tensorrt" / model.digest and why == ""
    assert folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700
    monkeypatch.setenv("GPUKIT_CACHE", str(tmp_path / "own"))
    assert engine_folder(model)[0] == tmp_path / "own" / "tensorrt" / model.digest
    # the same network with other numbers: TensorRT would name its engine as before
    with torch.no_grad():
        other = Small("classify")
        other.second.weight.add_(1.0)
    again = find_model(write(tmp_path / "other", "onnx", "classify", other))
    assert engine_folder(again)[0] != engine_folder(model)[0]
    monkeypatch.setenv("GPUKIT_CACHE", "off")
    assert engine_folder(model) == (None, "GPUKIT_CACHE is off")


def test_engines_are_not_taken_from_where_others_can_write(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine is code."""
    monkeypatch.setenv("GPUKIT_CACHE", str(tmp_path))
    folder, _ = engine_folder(model)
    assert folder is not None
    folder.chmod(0o777)
    found, why = engine_folder(model)
    assert found is None and why.startswith("others can write to")
    folder.rmdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)
    assert engine_folder(model)[0] is None
    folder.unlink()
    folder.parent.rmdir()
    (tmp_path / "tensorrt").write_text("a file in the way")
    found, why = engine_folder(model)
    assert found is None and "cannot be made" in why


def test_other_numbers_beside_the_graph_have_engines_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TensorRT would take the engine of the old numbers: the graph, by which it knows a network, is the same."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    monkeypatch.setenv("GPUKIT_CACHE", str(tmp_path / "cache"))
    weights = write(tmp_path, "onnx", "classify", Small("classify"))
    graph = onnx.load(weights)
    onnx.save(graph, weights, save_as_external_data=True, location="numbers.bin", size_threshold=0)
    first, why = engine_folder(find_model(weights))
    assert first is not None, why
    numbers = tmp_path / "numbers.bin"
    numbers.write_bytes(bytes(numbers.stat().st_size))
    second, why = engine_folder(find_model(weights))
    assert second is not None, why
    assert second != first


class Session:
    """Stands for a session on a device that is not here: what was asked of ONNX Runtime, and what it started on."""

    asked: dict[str, Any]

    def __init__(self, path: str, options: Any, **given: Any) -> None:
        Session.asked = given
        self._plain = onnxruntime_session(path, options, providers=["CPUExecutionProvider"])
        self._started = names(given["providers"])

    def get_providers(self) -> list[str]:
        return self._started

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)


onnxruntime_session = onnxruntime.InferenceSession


@pytest.fixture
def nvidia(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"]
    stand_in = types.SimpleNamespace(
        InferenceSession=Session, SessionOptions=onnxruntime.SessionOptions, get_available_providers=lambda: everything
    )
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", stand_in)


@pytest.mark.usefixtures("nvidia")
def test_tensorrt_is_asked_for_by_name_only(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUKIT_CACHE", str(tmp_path / "cache"))
    network = OnnxRuntime("tensorrt").load(model, "cuda:1", "auto")
    assert names(Session.asked["providers"])[0] == "TensorrtExecutionProvider"
    assert Session.asked["enable_fallback"] == 0
    assert f"engines kept in {tmp_path / 'cache' / 'tensorrt' / model.digest}" in network.summary
    OnnxRuntime().load(model, "cuda:1", "auto")
    assert names(Session.asked["providers"])[0] == "CUDAExecutionProvider"
    assert not any("engines" in part for part in OnnxRuntime("cuda").load(model, "cuda", "auto").summary.split(","))


@pytest.mark.usefixtures("nvidia")
def test_a_provider_that_does_not_start_is_an_error(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where TensorRT's libraries are missing, ONNX Runtime goes on without it and says so in a log only."""
    monkeypatch.setenv("GPUKIT_CACHE", "off")
    monkeypatch.setattr(Session, "get_providers", lambda self: ["CUDAExecutionProvider", "CPUExecutionProvider"])
    with pytest.raises(DeviceError, match=r"did not start on TensorRT.*use the runtime onnx-cuda"):
        OnnxRuntime("tensorrt").load(model, "cuda:0", "auto")


def test_a_damaged_graph_prints_nothing_to_standard_output(model: Model, capfd: pytest.CaptureFixture[str]) -> None:
    model.weights.write_bytes(model.weights.read_bytes()[:200])
    with pytest.raises(ModelError, match="ONNX Runtime cannot load the graph"):
        OnnxRuntime().load(model, "cpu", "auto")
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("task", ["classify", "detect"])
def test_a_session_runs_on_the_tensors_own_memory(task: str, tmp_path: Path) -> None:
    """The way of CUDA's tensors: bound by address, answers taken over through DLPack."""
    network = Boxes() if task == "detect" else Small("classify")
    model = find_model(write(tmp_path, "onnx", task, network))
    loaded = choose(model, "onnx-cpu").load(model, "cpu", "auto")
    given = torch.rand(1, 1, 20, 24, generator=torch.Generator().manual_seed(0))
    wanted, bound = loaded(given), loaded._bound(given)
    for one, other in zip(*((a if isinstance(a, tuple) else (a,)) for a in (wanted, bound)), strict=True):
        torch.testing.assert_close(other, one, atol=0, rtol=0)
    del loaded
    kept = bound[0] if isinstance(bound, tuple) else bound
    assert bool(torch.isfinite(kept).all())  # memory of its own, not the session's


def test_the_command_says_it_in_one_sentence(
    model: Model, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    if OnnxRuntime("tensorrt").available().usable:
        pytest.skip("onnxruntime-gpu is installed here")
    image = tmp_path / "image.nii.gz"
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    nibabel.save(nibabel.Nifti1Image(np.zeros((24, 20, 2), np.float32), np.eye(4)), image)
    done = run("ai", "classify", image, "--model", model.file, "--runtime", "onnx-tensorrt", "--device", "cpu")
    assert done.returncode != 0 and done.stdout == ""
    assert done.stderr.splitlines() == [
        f"Error: {model.file}: the model needs the runtime onnx-tensorrt: this ONNX Runtime cannot use TensorRT. "
        "Replace onnxruntime by onnxruntime-gpu and install TensorRT, or use the runtime onnx-cuda"
    ]
