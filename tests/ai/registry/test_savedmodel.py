"""TensorFlow SavedModels: converted where TensorFlow is, and compared with its own results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="gpukit's networks need torch: pip install 'gpukit[ai]'")

import gpukit as gk
from gpukit.ai.registry.find import find_model
from gpukit.ai.registry.savedmodel import _check_graph
from gpukit.errors import ModelError

Run = Callable[..., subprocess.CompletedProcess[str]]
#: Where `make test` puts TensorFlow: beside what is imported, because coremltools imports it wherever it finds it.
ASIDE = Path(sys.prefix) / "tensorflow"


def with_tensorflow() -> dict[str, str]:
    """The environment of a process that finds TensorFlow."""
    if find_spec("tensorflow") is not None and find_spec("tf2onnx") is not None:
        return {}
    if (ASIDE / "tf2onnx").is_dir():
        return {"PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(ASIDE))))}
    pytest.skip(
        "tensorflow and tf2onnx are not installed: make test installs them, or pip install 'gpukit[tensorflow]'"
    )


LABELS = [
    {
        "value": n, "name": f"Part {n}",
        "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
        "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
    }
    for n in (1, 2)
]  # fmt: skip


XRAY = "cr_dx_mg/dx_image.dcm"
PICTURE = {"dimensions": 2, "channels": 1, "layout": "channels-last", "values": "rescaled"}
CLASSES = {"activation": "softmax", "classes": ["no", "maybe", "yes"]}


def describe(folder: Path, task: str, given: dict[str, Any], output: dict[str, Any]) -> None:
    content = {"schema_version": 1, "name": folder.name, "version": "1", "task": task, "format": "onnx"}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps({**content, "input": given, "output": output}))


@pytest.mark.skipif(find_spec("tensorflow") is not None, reason="tensorflow is installed, so nothing is missing")
def test_a_saved_model_says_what_is_needed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"without a description.*Write saved_model.json beside it"):
        find_model(folder)
    describe(folder, "classify", PICTURE, CLASSES)
    for words in (("classify", "x.dcm", "--model", folder), ("convert", folder, "--to", "onnx"),
                  ("models", "add", folder / "saved_model.pb")):  # fmt: skip
        done = run("ai", *words, cwd=tmp_path, GPUKIT_MODELS=str(tmp_path / "store"))
        assert done.returncode == 1
        assert "runs after conversion to ONNX, which needs tensorflow and tf2onnx" in done.stderr
        assert f"run `gpukit ai convert {folder} --to onnx` where they are" in done.stderr
    (tmp_path / "network.keras").write_bytes(b"PK")
    with pytest.raises(ModelError, match=r"rebuild their network by Python.*network\.export"):
        find_model(tmp_path / "network.keras")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["network.keras", "saved_model", "saved_model.json"]


@pytest.fixture(scope="module")
def tensorflow() -> dict[str, str]:
    return with_tensorflow()


@pytest.fixture(scope="module")
def made(tensorflow: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Networks of Keras as SavedModels, and what they themselves say of inputs, by a process of its own."""
    folder = tmp_path_factory.mktemp("keras")
    script = """
import sys, numpy as np, pydicom, tensorflow as tf
tf.keras.utils.set_random_seed(3)
L = tf.keras.layers
def conv(d, n, x, **k): return getattr(L, f"Conv{d}D")(n, 3, padding="same", activation="relu", **k)(x)
i = L.Input((None, None, 1))
x = conv(2, 8, conv(2, 4, L.Rescaling(1 / 64)(i), strides=2), strides=2)
classes = tf.keras.Model(i, L.Rescaling(9)(L.Dense(3)(L.GlobalAveragePooling2D()(L.BatchNormalization()(x)))))
i = L.Input((None, None, None, 1))
x = conv(3, 4, i)
up = L.Conv3DTranspose(4, 2, strides=2)(conv(3, 8, L.MaxPool3D(2)(x)))
volumes = tf.keras.Model(i, L.Conv3D(3, 1)(L.Concatenate()([x, up])))
classes.export("classes", verbose=False)
volumes.export("volumes", verbose=False)
class Reads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 20, 24, 3))])
    def serve(self, x): return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)
reads = Reads()
tf.saved_model.save(reads, "reads", signatures=reads.serve)
volume = np.random.default_rng(2).normal(size=(12, 16, 8)).astype(np.float32)
own = {"volume": volume, "volumes": tf.nn.softmax(volumes(volume[None, ..., None])).numpy()[0]}
if sys.argv[1]:
    picture = pydicom.dcmread(sys.argv[1]).pixel_array.astype(np.float32)
    own["classes"] = tf.nn.softmax(classes(picture[None, ..., None])).numpy()[0]
np.savez("own.npz", **own)
"""
    data = os.environ.get("GPUKIT_TEST_DATA")
    quiet = {**os.environ, **tensorflow, "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, "-c", script, f"{data}/{XRAY}" if data else ""]
    done = subprocess.run(words, cwd=folder, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for name in ("classes", "reads"):
        describe(folder / name, "classify", PICTURE, CLASSES)
    describe(folder / "volumes", "segment", {"channels": 1}, {"activation": "softmax", "labels": LABELS})
    return folder


def probabilities(text: str) -> list[float]:
    (result,) = json.loads(text)["results"]
    found = {one["class"]: one["probability"] for one in result["predictions"]}
    return [found[name] for name in CLASSES["classes"]]


def test_a_radiograph_is_classified_as_by_tensorflow(
    run: Run, data: Path, made: Path, tensorflow: dict[str, str], tmp_path: Path
) -> None:
    """By the folder itself, which is converted once; and from the store, where TensorFlow is not needed any more."""
    own = np.load(made / "own.npz")["classes"]
    assert own.max() > 0.5 and own.min() < 0.2  # three equal classes would prove nothing
    store = {"GPUKIT_MODELS": str(tmp_path / "store")}
    words = ("ai", "classify", data / XRAY, "--json", "--model")
    first = run(*words, made / "classes", **store, **tensorflow)
    assert first.returncode == 0, first.stderr
    assert (
        "the SavedModel classes runs as an ONNX graph, which differs from TensorFlow's own results by" in first.stderr
    )
    # float32 sums in another order, of a softmax between 0 and 1
    np.testing.assert_allclose(probabilities(first.stdout), own, atol=1e-5)
    again = run(*words, made / "classes" / "saved_model.pb", **store)  # without TensorFlow
    assert again.returncode == 0, again.stderr
    assert again.stdout == first.stdout and "TensorFlow" not in again.stderr
    assert run("ai", "models", "add", made / "classes", "--alias", "chest", **store).stdout == "classes@1\n"
    stored = run(*words, "chest", **store)
    assert json.loads(stored.stdout)["results"] == json.loads(first.stdout)["results"]
    if not tensorflow:
        return  # every process here finds TensorFlow
    # a damaged one is not used, but would be made anew
    (kept,) = (tmp_path / "store" / "converted").glob("*/model.onnx")
    kept.write_bytes(kept.read_bytes()[:-9] + b"Z" * 9)
    assert "needs tensorflow and tf2onnx" in run(*words, made / "classes", **store).stderr


def test_a_volume_is_segmented_as_by_tensorflow(
    run: Run, made: Path, tensorflow: dict[str, str], tmp_path: Path
) -> None:
    own = np.load(made / "own.npz")
    target = tmp_path / "volumes.onnx"
    done = run("ai", "convert", made / "volumes", "--to", "onnx", "--output", target, "--json", "--add", "--size",
               "16,8,8", **tensorflow, GPUKIT_MODELS=str(tmp_path / "store"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["difference"] < 1e-5 and "tensorflow" in told["compared"] and told["stored"] == "volumes@1"
    # i, j, k of the file are x, y, z of the network here, because the affine is that of RAS.
    nibabel.save(nibabel.Nifti1Image(own["volume"], np.eye(4)), tmp_path / "volume.nii")
    done = run("ai", "segment", tmp_path / "volume.nii", "--model", "volumes@1", "--output",
               tmp_path / "labels.nii", "--device", "cpu", GPUKIT_MODELS=str(tmp_path / "store"))  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = np.asarray(nibabel.load(tmp_path / "labels.nii").dataobj)
    assert np.mean(found == own["volumes"].argmax(-1)) > 0.999  # two scores may tie to the last bit
    # and the probabilities that a FRACTIONAL segmentation holds, on the file's own grid
    result = gk.segment(gk.open(tmp_path / "volume.nii"), target, probabilities=True)
    assert result.probabilities is not None
    maps = np.asarray(result.probabilities)
    wanted = own["volumes"][..., 1:].transpose(3, 2, 1, 0) * 255
    assert np.abs(maps.astype(float) - wanted).max() <= 0.5 + 1e-2


def test_what_cannot_become_onnx_is_named(run: Run, made: Path, tensorflow: dict[str, str], tmp_path: Path) -> None:
    done = run("ai", "convert", made / "reads", "--to", "onnx", "--output", tmp_path / "reads.onnx", **tensorflow)
    assert done.returncode == 1 and "has the operation ReadFile" in done.stderr, done.stderr
    wrong = json.loads((made / "classes.json").read_text())
    wrong["input"]["channels"] = 3
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    done = run("ai", "convert", made / "classes", "--to", "onnx", "--output", tmp_path / "x.onnx", "--description",
               tmp_path / "wrong.json", **tensorflow)  # fmt: skip
    assert done.returncode == 1 and "channels" in done.stderr and "unexpected" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.json"]


def test_one_input_and_one_output_are_needed(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    values = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "abc"]
    add = onnx.helper.make_node("Add", ["a", "b"], ["c"])
    onnx.save(onnx.helper.make_model(onnx.helper.make_graph([add], "g", values[:2], values[2:])), tmp_path / "g.onnx")
    with pytest.raises(ModelError, match="2 inputs and 1 outputs"):
        _check_graph(tmp_path, tmp_path / "g.onnx", turned=False)
