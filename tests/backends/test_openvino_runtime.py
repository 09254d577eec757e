"""OpenVINO gives torch's labels, is chosen where it gains, and leaves nothing behind and tells nobody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("onnxscript", reason="torch's ONNX exporter needs onnxscript")
if not __import__("importlib.util").util.find_spec("openvino"):
    pytest.skip("openvino is not installed", allow_module_level=True)

from support.models import (
    description,
    save,
    unet,
    write_model,
)

import gpukit_backends.runtimes.openvino_runtime as module
from gpukit import Grid, Volume
from gpukit.ai import find_model, segment
from gpukit.ai.runtimes import choose, faster
from gpukit.errors import DependencyError, DeviceError, InputError, ModelError


@pytest.fixture(scope="module")
def volume():
    values = np.random.default_rng(0).normal(100, 20, (21, 30, 26)).astype(np.float32)
    return Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 1)), metadata={"Modality": "MR"})


@pytest.fixture
def for_all(monkeypatch):
    """Small jobs count as large enough."""
    monkeypatch.setattr(module, "LEAST_VOXELS", 1)
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")


@pytest.mark.parametrize("form", ["state-dict", "torchscript", "torch-export", "onnx"])
def test_the_labels_are_those_of_torch(tmp_path, volume, form):
    truth = segment(volume, write_model(tmp_path / "torch"), runtime="torch").array
    assert len(np.unique(truth)) == 3
    found = segment(volume, save(tmp_path / form, form), runtime="openvino").array
    # Where two classes are nearly equal, the sums of float32 in another order may tip the balance.
    assert (found != truth).sum() <= 2
    # A batch that does not divide the windows of a row.
    again = segment(volume, tmp_path / form, runtime="openvino", batch=1 if form == "onnx" else 5).array
    assert np.array_equal(again, found)


def test_logits_are_as_exact_as_float32(tmp_path, volume):
    network = choose(model := find_model(write_model(tmp_path / "m")), "openvino").load(model, "cpu", "auto")
    window = torch.rand(3, 1, 16, 24, 16, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = unet().double()(window.double())
        found = network(window)
    # 2e-5 of logits up to 5: bfloat16, which has 8 bits, would be off by a hundredth.
    assert float((found - wanted).abs().max()) < 1e-4
    kept = found.clone()
    network(torch.zeros_like(window))
    assert torch.equal(found, kept)  # a result is not overwritten by the next call


def test_it_is_chosen_for_large_jobs_on_the_cpu_only(tmp_path, monkeypatch):
    monkeypatch.setattr(module.platform, "machine", lambda: "x86_64")
    model = find_model(write_model(tmp_path / "m"))
    assert faster(model, "cpu", "auto", 27, 96**3).name == "openvino"
    assert faster(model, "cpu", "auto", 1, 256**3) is None
    assert faster(model, "cpu", "auto", 27, 16**3) is None
    assert faster(model, "cuda:0", "auto", 27, 96**3) is None
    assert faster(model, "cpu", "bfloat16", 27, 96**3) is None
    monkeypatch.setattr(module.platform, "machine", lambda: "arm64")
    assert faster(model, "cpu", "auto", 27, 96**3) is None


def test_a_large_job_runs_on_it_and_a_named_runtime_stays(tmp_path, volume, for_all, monkeypatch):
    folder = write_model(tmp_path / "m")
    calls = []
    infer = module._infer
    monkeypatch.setattr(module, "_infer", lambda *given: (calls.append(1), infer(*given)))
    wanted = segment(volume, folder, runtime="pytorch")
    assert not calls
    found = segment(volume, folder)
    assert len(calls) == 2 * 3 * 2 + 2  # the windows, and the middle one twice: compared, then asked for
    assert (found.array != wanted.array).sum() <= 2
    assert not found.notes


@pytest.mark.parametrize("fault", ["conversion", "numbers"])
def test_torch_takes_over_with_a_note(tmp_path, volume, for_all, monkeypatch, fault):
    def fail(*_):
        raise RuntimeError("no such operation")

    if fault == "conversion":
        monkeypatch.setattr(module, "_convert", fail)
    else:
        infer = module._infer
        monkeypatch.setattr(module, "_infer", lambda r, w, out: (infer(r, w, out), out.mul_(1.01)))
    folder = write_model(tmp_path / "m")
    found = segment(volume, folder)
    assert np.array_equal(found.array, segment(volume, folder, runtime="torch").array)
    (note,) = found.notes
    assert "torch was used in place of openvino" in note
    assert ("no such operation" if fault == "conversion" else "differs") in note
    with pytest.raises(ModelError, match="OpenVINO"):
        segment(volume, folder, runtime="openvino")


def test_agreement_is_refused_for_nan_and_for_differences():
    one = torch.linspace(-5, 5, 100)
    assert module.agrees(one + 0.009, one)
    assert not module.agrees(one + 0.011, one)
    assert not module.agrees(one[:-1], one)
    bad = one.clone()
    bad[3] = float("nan")
    assert not module.agrees(bad, one)
    assert not module.agrees(bad, bad)
    assert module.agrees(torch.full((4,), 2.0), torch.full((4,), 2.0))
    assert not module.agrees(torch.full((4,), 2.1), torch.full((4,), 2.0))


def test_what_it_cannot_do_is_refused(tmp_path, volume, monkeypatch):
    folder = write_model(tmp_path / "m")
    model = find_model(folder)
    with pytest.raises(InputError, match="float32"):
        segment(volume, folder, runtime="openvino", precision="bfloat16")
    with pytest.raises(DeviceError, match="on the CPU only"):
        choose(model, "openvino").load(model, "cuda:0", "auto")
    broken = write_model(tmp_path / "o", format="onnx", weights="w.onnx", network=None)
    (broken / "w.onnx").write_bytes(b"\x80" * 100)
    with pytest.raises(ModelError, match=r"w\.onnx"):
        segment(volume, broken, runtime="openvino")
    four = save(tmp_path / "four", "onnx")
    (four / "model.json").write_text(
        json.dumps(description(format="onnx", weights="weights.onnx", network=None, input={"channels": 4}))
    )
    model = find_model(four)
    with pytest.raises(ModelError, match="takes 1 channels, and the description says 4"):
        choose(model, "openvino").load(model, "cpu", "auto")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(DependencyError, match=r'pip install .*\[openvino\]"'):
        segment(volume, folder, runtime="openvino")
    assert faster(find_model(folder), "cpu", "auto", 27, 96**3) is None


SILENT = """
import os, sys
import numpy as np
from gpukit import Grid, Volume
from gpukit.ai import segment
told = []

def listen(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto", "subprocess.Popen", "os.system", "os.mkdir"):
        told.append((event, str(arguments)))
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
        if str(arguments[0]) != "/dev/null":
            told.append((event, str(arguments)))

import torch, monai.networks.nets, monai.transforms  # what they do while being imported is not ours
sys.addaudithook(listen)
values = np.random.default_rng(0).normal(100, 20, (21, 30, 26)).astype(np.float32)
volume = Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 1)), metadata={"Modality": "MR"})
for model in sys.argv[1:]:
    segment(volume, model, runtime="openvino")
assert "openvino" in sys.modules
print(told)
"""


def test_nothing_is_written_and_nobody_is_told(tmp_path):
    models = [write_model(tmp_path / "torch"), save(tmp_path / "onnx", "onnx")]
    home = tmp_path / "home"
    home.mkdir()
    # Telemetry is off under CI by itself, so the test must not look like that.
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "SYSTEMROOT", "LD_LIBRARY_PATH")}
    places = {name: str(home) for name in ("HOME", "USERPROFILE", "LOCALAPPDATA", "TMPDIR", "TEMP", "TMP")}
    places["MPLCONFIGDIR"] = str(tmp_path / "matplotlib")  # MONAI imports matplotlib, which keeps a list of fonts
    before = {file: file.stat().st_mtime_ns for folder in models for file in folder.iterdir()}
    done = subprocess.run(
        [sys.executable, "-B", "-W", "error::UserWarning:openvino", "-c", SILENT, *map(str, models)],
        env=kept | places,
        cwd=home,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "[]\n"
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert not (home / "intel").exists()
    assert {file: file.stat().st_mtime_ns for folder in models for file in Path(folder).iterdir()} == before
