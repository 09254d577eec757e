"""Weights that would run code, or are damaged, are refused, whatever their format."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import description, external, made_volume, save, unet, write_model

from gpukit.ai import find_model, segment
from gpukit.ai.registry.packages import add
from gpukit.ai.registry.store import Store
from gpukit.ai.runtimes import choose
from gpukit.errors import ModelError


@pytest.fixture(scope="module")
def volume():
    return made_volume()


class Harmful:
    """A pickle that would write a file when it is loaded."""

    def __init__(self, file):
        self.file = file

    def __reduce__(self):
        return Path.touch, (self.file,)


@pytest.mark.parametrize("suffix", [".pt", ".pth"])
def test_no_pickle_runs(tmp_path, volume, suffix):
    trap = tmp_path / "trap"
    folder = write_model(tmp_path / "m", weights=f"weights{suffix}")
    with (folder / f"weights{suffix}").open("wb") as stream:
        pickle.dump({"w": Harmful(trap)}, stream)
    with pytest.raises(ModelError, match="weights cannot be read"):
        segment(volume, folder)
    torch.save({"w": Harmful(trap)}, folder / f"weights{suffix}")
    with pytest.raises(ModelError, match="weights cannot be read"):
        segment(volume, folder)
    assert not trap.exists()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A good exported program; that it runs is tested with the other formats."""
    return save(tmp_path_factory.mktemp("exported") / "m", "torch-export")


def rewrite(file: Path, change) -> None:
    """Replace members of a zip: `change(name, content)` gives the new content."""
    with zipfile.ZipFile(file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    changed = {name: change(name, content) for name, content in members.items()}
    assert changed != members
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, content in changed.items():
            archive.writestr(name, content)


def sample_inputs(trap):
    def change(name, content):
        return pickle.dumps(Harmful(trap)) if "sample_inputs" in name else content

    return change


def pickled_weights(trap):
    def change(name, content):
        return content.replace(b'"use_pickle": false', b'"use_pickle": true') if "weights_config" in name else content

    return change


def symbolic(trap):
    def change(name, content):
        if "/models/" not in name:
            return content
        return content.replace(b'"expr_str": "', b'"expr_str": "__import__(chr(111)+chr(115)).getpid()+')

    return change


def operator(trap):
    def change(name, content):
        return (
            content.replace(b"torch.ops.aten.conv3d.default", b"torch.hub.load.default")
            if "/models/" in name
            else content
        )

    return change


@pytest.mark.parametrize("attack", [sample_inputs, pickled_weights, symbolic, operator])
def test_an_exported_program_that_could_run_code_is_refused(tmp_path, volume, exported, attack):
    trap = tmp_path / "trap"
    folder = tmp_path / "m"
    shutil.copytree(exported, folder)
    rewrite(folder / "weights.pt2", attack(trap))
    with pytest.raises(ModelError, match="could run code"):
        segment(volume, folder)
    assert not trap.exists()


@pytest.mark.parametrize("form", ["state-dict", "torchscript", "torch-export", "onnx"])
@pytest.mark.parametrize("size", [0, 100])
def test_damaged_weights_are_refused(tmp_path, volume, form, size):
    suffix = {"state-dict": ".safetensors", "torchscript": ".ts", "torch-export": ".pt2", "onnx": ".onnx"}[form]
    network = description()["network"] if form == "state-dict" else None
    folder = write_model(tmp_path / "m", format=form, weights=f"w{suffix}", network=network)
    (folder / f"w{suffix}").write_bytes(b"\x80" * size)
    with pytest.raises(ModelError) as caught:
        segment(volume, folder)
    assert f"w{suffix}" in str(caught.value)


class Writes(torch.nn.Module):
    def __init__(self, file: str):
        super().__init__()
        self.file = file

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, self.file)
        return x.expand(-1, 3, -1, -1, -1) + 0


class Maps(torch.nn.Module):
    def __init__(self, file: str):
        super().__init__()
        self.file = file

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mapped = torch.from_file(self.file, True, 3, dtype=torch.uint8)
        return x.expand(-1, 3, -1, -1, -1) + mapped.float().sum()


@pytest.mark.parametrize("network", [Writes, Maps])
def test_torchscript_that_reaches_files_is_refused(tmp_path, volume, network):
    trap = tmp_path / "trap"
    folder = write_model(tmp_path / "m", format="torchscript", weights="w.ts", network=None)
    script = torch.jit.script(network(str(trap)))
    torch.jit.save(script, folder / "w.ts")
    script(torch.zeros(1, 1, 2, 2, 2))
    assert trap.exists()  # torch would
    trap.unlink()
    for runtime in ("torch", "openvino"):
        with pytest.raises(ModelError, match="which could reach files"):
            segment(volume, folder, runtime=runtime)
    assert not trap.exists()


@pytest.mark.parametrize("form", ["state-dict", "torchscript", "torch-export"])
def test_archives_that_unpack_to_far_more_are_refused(tmp_path, volume, form):
    folder = save(tmp_path / "m", form)
    (weights,) = (f for f in folder.iterdir() if f.name.startswith("weights"))
    with zipfile.ZipFile(weights, "a", zipfile.ZIP_DEFLATED) as archive:
        root = archive.namelist()[0].partition("/")[0]
        with archive.open(f"{root}/data/9", "w", force_zip64=True) as member:
            for _ in range(100):
                member.write(bytes(1 << 20))
    assert weights.stat().st_size < 1 << 20
    with pytest.raises(ModelError, match=r"would unpack to 10\d{7} bytes"):
        segment(volume, folder)


def test_a_pickle_is_not_recommended_to_be_run(tmp_path, volume):
    folder = write_model(tmp_path / "m", weights="weights.ckpt")
    torch.save({"state_dict": {"w": Harmful(tmp_path / "trap")}}, folder / "weights.ckpt")
    with pytest.raises(ModelError, match="pickle of more than tensors, which could run code") as caught:
        segment(volume, folder)
    assert "Re-running" not in str(caught.value)


def test_a_checkpoint_of_a_training_loop_is_read(tmp_path, volume):
    folder = write_model(tmp_path / "m", weights="weights.ckpt")
    state = {f"net.{key}": value for key, value in unet().state_dict().items()}
    torch.save({"state_dict": state, "epoch": 3}, folder / "weights.ckpt")
    assert (segment(volume, folder).array == segment(volume, write_model(tmp_path / "plain")).array).all()


def test_a_graphs_numbers_in_another_file_belong_to_it(tmp_path, volume, monkeypatch):
    """Whatever the file is called: to its digest, and to what the store copies."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    monkeypatch.setenv("GPUKIT_MODELS", str(tmp_path / "store"))
    one = external(tmp_path / "one", "numbers", np.array([1, 2, 3], "<f4").tobytes())
    two = external(tmp_path / "two", "numbers", np.array([3, 2, 1], "<f4").tobytes())
    assert find_model(one).digest != find_model(two).digest
    assert sorted(f.name for f in find_model(one).weight_files) == ["numbers", "w.onnx"]
    add(Store(), str(one))
    wanted = segment(volume, one).array
    shutil.rmtree(one)
    assert (segment(volume, "tiny").array == wanted).all()


@pytest.mark.parametrize("place", ["../secret", "{}/secret", "link", "a/../../secret"])
def test_a_graphs_numbers_outside_of_its_folder_are_refused(tmp_path, volume, place):
    (tmp_path / "secret").write_bytes(bytes(12))
    folder = external(tmp_path / "m", place.format(tmp_path))
    if place == "link":
        (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ModelError, match="outside of its folder"):
        segment(volume, folder)


def test_what_onnx_runtime_cannot_do_is_a_clear_error(tmp_path):
    """Its errors are of no class that Python knows; those of memory lead to smaller windows, others are named."""
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    runtime = choose(find_model(external(tmp_path / "m", "numbers", bytes(12))), "onnx")
    for shape, error, says in (([1, 3, 1 << 17, 1 << 17, 1 << 10], MemoryError, ""),
                               ([1, 3, 5, 5, 5], ModelError, "cannot run the graph")):  # fmt: skip
        make, real = onnx.helper, onnx.TensorProto.FLOAT
        sides = [make.make_tensor_value_info(name, real, ["n", n, "x", "y", "z"]) for name, n in (("x", 1), ("y", 3))]
        size = make.make_tensor("s", onnx.TensorProto.INT64, [5], shape)
        nodes = [make.make_node("ConstantOfShape", ["s"], ["c"]), make.make_node("Add", ["x", "c"], ["y"])]
        graph = make.make_graph(nodes, "g", sides[:1], sides[1:], [size])
        made = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
        (tmp_path / "m" / "w.onnx").write_bytes(made.SerializeToString())
        network = runtime.load(find_model(tmp_path / "m"), "cpu", "float32")
        with pytest.raises(error, match=says):
            network(torch.zeros(1, 1, 4, 4, 4))
