"""Weights that would run code, or are damaged, are refused, whatever their format."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from made_models import description, made_volume, save, write_model  # noqa: E402

from gpukit.ai import segment  # noqa: E402
from gpukit.errors import ModelError  # noqa: E402


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
