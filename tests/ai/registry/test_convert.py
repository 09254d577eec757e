"""Converted networks are the same networks: their outputs, their labels on a volume, and their descriptions."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from support.models import description, unet, write_model

from gpukit import Grid, Volume
from gpukit.ai import find_model, segment
from gpukit.ai.model.coreml import METADATA_KEY, user_metadata
from gpukit.ai.registry.convert import convert
from gpukit.errors import InputError, ModelError, OutputExistsError

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def volume() -> Volume:
    values = np.random.default_rng(0).normal(100, 20, (21, 30, 26)).astype(np.float32)
    return Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 1)), metadata={"Modality": "MR"})


def exported(folder: Path, form: str) -> Path:
    folder.mkdir()
    window = torch.rand(1, 1, 16, 16, 16)
    name = {"torchscript": "m.ts", "torch-export": "m.pt2"}[form]
    if form == "torchscript":
        torch.jit.save(torch.jit.trace(unet(), window, check_trace=False), str(folder / name))
    else:
        torch.export.save(torch.export.export(unet(), (window,)), folder / name)
    moved = {"patch": [16, 16, 16], "batch": 1}
    (folder / "m.json").write_text(json.dumps(description(format=form, weights=name, network=None, inference=moved)))
    return folder / name


@pytest.mark.parametrize("form", ["state-dict", "torchscript", "torch-export"])
def test_torch_becomes_onnx_with_the_same_labels(form: str, volume: Volume, tmp_path: Path) -> None:
    source = write_model(tmp_path / "m") if form == "state-dict" else exported(tmp_path / "m", form)
    done = convert(source, "onnx", tmp_path / "net.onnx")
    assert done.difference < 1e-5 < done.tolerance
    import onnx

    graph = onnx.load(tmp_path / "net.onnx")
    assert graph.opset_import[0].version == 17
    free = [d.dim_param for d in graph.graph.input[0].type.tensor_type.shape.dim]
    if form == "torch-export":  # exported for one size, and it stays so
        assert free == [""] * 5
        assert "1 x 1 x 16 x 16 x 16 only" in done.notes[0]
    else:
        assert free == ["n", "", "x", "y", "z"]
        assert done.checked.endswith("3 inputs")
    truth = segment(volume, source, runtime="torch").array
    found = segment(volume, tmp_path / "net.onnx", runtime="onnx").array
    assert len(np.unique(truth)) == 3
    assert (found != truth).sum() <= 2  # nearly equal logits may tip
    before, after = find_model(source), find_model(tmp_path / "net.onnx")
    assert (after.name, after.input, after.output, after.inference) == (
        before.name, before.input, before.output, before.inference,
    )  # fmt: skip


def test_onnx_becomes_openvino_and_goes_into_the_store(
    run: Run, volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if find_spec("openvino") is None:
        pytest.skip("openvino is not installed")
    monkeypatch.setenv("GPUKIT_MODELS", str(tmp_path / "store"))
    folder = write_model(tmp_path / "m")
    convert(folder, "onnx", tmp_path / "net.onnx")
    done = run(
        "ai", "convert", tmp_path / "net.onnx", "--to", "openvino", "--output", tmp_path / "net2.xml", "--add", "--json"
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["difference"] < 1e-4
    assert told["stored"] == "tiny@0.1"
    truth = segment(volume, folder, runtime="torch").array
    for model in (tmp_path / "net2.xml", "tiny"):
        found = segment(volume, model, runtime="openvino").array
        assert (found != truth).sum() <= 2
    stored = find_model("tiny")
    assert {path.suffix for path in stored.weight_files} == {".xml", ".bin"}
    numbers = next(path for path in stored.weight_files if path.suffix == ".bin")
    numbers.unlink()  # a link: the blob stays as it is
    numbers.write_bytes(b"0" * 100)
    with pytest.raises(ModelError, match="are not those described"):
        segment(volume, find_model("tiny"))


@pytest.mark.parametrize("suffix", [".mlmodel", ".mlpackage"])
def test_a_network_is_rewritten_for_core_ml(suffix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    coremltools = pytest.importorskip("coremltools", reason="coremltools is not installed")
    folder = write_model(tmp_path / "m")
    layers = [m for m in unet().modules() if isinstance(m, torch.nn.ConvTranspose3d)]
    assert any(any(layer.output_padding) for layer in layers)  # what Core ML refuses
    done = convert(folder, "coreml", tmp_path / f"net{suffix}")
    assert "MIL" not in "".join(capfd.readouterr())  # coremltools' progress is not for people
    assert done.difference < 1e-5  # the rewritten network is the original
    assert any("output padding" in note for note in done.notes)
    spec = coremltools.utils.load_spec(str(tmp_path / f"net{suffix}"))
    (given,), (out,) = spec.description.input, spec.description.output
    assert list(given.type.multiArrayType.shape) == [1, 1, 16, 16, 16]
    assert given.type.multiArrayType.dataType == 65568  # float32
    assert spec.WhichOneof("Type") == ("neuralNetwork" if suffix == ".mlmodel" else "mlProgram")
    assert out.type.WhichOneof("Type") == "multiArrayType"
    content = json.loads(user_metadata(tmp_path / f"net{suffix}")[METADATA_KEY])
    assert (content["format"], content["inference"]["patch"]) == ("coreml", [16, 16, 16])
    assert find_model(tmp_path / f"net{suffix}").format == "coreml"


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "more", "groups"),
    [(3, 2, 1, 1, 1), (2, 2, 0, 1, 1), ((3, 5, 2), (2, 3, 2), (1, 2, 0), (1, 2, 1), 2), (4, 3, 0, 2, 1)],
)
def test_a_transposed_convolution_without_output_padding_is_the_same(
    kernel: Any, stride: Any, padding: Any, more: Any, groups: int
) -> None:
    from gpukit_backends.runtimes.torch_export import _rewrite

    torch.manual_seed(0)
    layer = torch.nn.ConvTranspose3d(4, 6, kernel, stride, padding, more, groups=groups)
    network = torch.nn.Sequential(layer)
    given = torch.rand(2, 4, 5, 6, 7)
    with torch.no_grad():
        wanted = layer(given)
        assert _rewrite(network)
        found = network(given)
    assert found.shape == wanted.shape
    assert float((found - wanted).abs().max()) < 1e-6  # of sums below 10, in float32


def test_what_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import gpukit_backends.runtimes.torch_runtime as module

    folder = write_model(tmp_path / "m")
    load = module.load_module
    from gpukit_backends.runtimes import torch_export

    def broken(*given: Any) -> Any:
        network = load(*given)
        with torch.no_grad():
            list(network.parameters())[-1].add_(0.5)
        return network

    monkeypatch.setattr(torch_export, "load_module", broken)
    with pytest.raises(ModelError, match="differs from the original by"):
        convert(folder, "onnx", tmp_path / "net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"]


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "m", inference=None)
    with pytest.raises(InputError, match=r"must end in \.onnx"):
        convert(folder, "onnx", tmp_path / "net.xml")
    with pytest.raises(InputError, match="declares none"):
        convert(folder, "coreml", tmp_path / "net.mlpackage")
    (tmp_path / "net.json").write_text("{}")
    with pytest.raises(OutputExistsError):
        convert(folder, "onnx", tmp_path / "net.onnx")
