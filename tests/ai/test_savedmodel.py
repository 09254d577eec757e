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

from gpukit.ai.model import find_model  # noqa: E402
from gpukit.errors import ModelError  # noqa: E402

Run = Callable[..., subprocess.CompletedProcess[str]]
HERE = find_spec("tensorflow") is not None and find_spec("tf2onnx") is not None
needs_tensorflow = pytest.mark.skipif(
    not HERE, reason="tensorflow and tf2onnx are not installed: pip install 'gpukit[tensorflow]'"
)
LABELS = [
    {
        "value": n, "name": f"Part {n}",
        "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
        "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
    }
    for n in (1, 2)
]  # fmt: skip


def describe(folder: Path, task: str, given: dict[str, Any], output: dict[str, Any]) -> None:
    content = {"schema_version": 1, "name": folder.name, "version": "1", "task": task, "format": "onnx"}
    folder.with_name(f"{folder.name}.json").write_text(json.dumps({**content, "input": given, "output": output}))


def test_a_saved_model_says_what_is_needed(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "saved_model"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match=r"TensorFlow SavedModel.*gpukit ai convert .*--to onnx"):
        find_model(folder)
    if HERE:
        pytest.skip("tensorflow and tf2onnx are installed, so nothing is missing")
    done = run("ai", "convert", folder, "--to", "onnx", cwd=tmp_path)
    assert done.returncode == 1
    assert "runs after conversion to ONNX, which needs tensorflow and tf2onnx" in done.stderr
    assert not (tmp_path / "saved_model.onnx").exists()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier, segmenters of slices and of volumes, and one with two inputs, by Keras in a process of its own."""
    folder = tmp_path_factory.mktemp("keras")
    script = """
import numpy as np, tensorflow as tf
tf.keras.utils.set_random_seed(3)
L = tf.keras.layers
def conv(d, n, x, **k): return getattr(L, f"Conv{d}D")(n, 3, padding="same", activation="relu", **k)(x)
i = L.Input((20, 24, 3))
classes = tf.keras.Model(i, L.Dense(2)(L.GlobalAveragePooling2D()(conv(2, 4, i, strides=2))))
i = L.Input((None, None, 1))
slices = tf.keras.Model(i, L.Conv2D(3, 1)(L.BatchNormalization()(conv(2, 4, i))))
i = L.Input((None, None, None, 1))
x = conv(3, 4, i)
up = L.Conv3DTranspose(4, 2, strides=2)(conv(3, 8, L.MaxPool3D(2)(x)))
volumes = tf.keras.Model(i, L.Conv3D(3, 1)(L.Concatenate()([x, up])))
a, b = L.Input((4,)), L.Input((4,))
two = tf.keras.Model([a, b], a + b)
for name, network in (("classes", classes), ("slices", slices), ("volumes", volumes), ("two", two)):
    network.export(name, verbose=False)
class Reads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec((None, 20, 24, 3))])
    def serve(self, x): return x + tf.cast(tf.strings.length(tf.io.read_file("/etc/hostname")), tf.float32)
reads = Reads()
tf.saved_model.save(reads, "reads", signatures=reads.serve)
picture = np.random.default_rng(1).random((1, 20, 24, 3), np.float32)
volume = np.random.default_rng(2).normal(size=(12, 16, 8)).astype(np.float32)
np.savez("own.npz", picture=picture, volume=volume, classes=classes(picture).numpy(),
         volumes=volumes(volume[None, ..., None]).numpy())
"""
    quiet = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", script], cwd=folder, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    picture = {"dimensions": 2, "channels": 3, "size": [24, 20], "layout": "channels-last"}
    for name in ("classes", "two", "reads"):
        describe(folder / name, "classify", picture, {"activation": "softmax", "classes": ["no", "yes"]})
    labels = {"activation": "softmax", "labels": LABELS}
    slices = {"dimensions": 2, "channels": 1, "layout": "channels-last", "values": "rescaled"}
    describe(folder / "slices", "segment", slices, labels)
    describe(folder / "volumes", "segment", {"channels": 1}, labels)
    return folder


@needs_tensorflow
@pytest.mark.slow
def test_networks_of_keras_give_what_tensorflow_gives(run: Run, made: Path, tmp_path: Path) -> None:
    import onnxruntime

    own = np.load(made / "own.npz")
    for name in ("classes", "slices", "volumes"):
        done = run("ai", "convert", made / name, "--to", "onnx", "--output", tmp_path / f"{name}.onnx", "--json")
        assert done.returncode == 0, done.stderr
        told = json.loads(done.stdout)
        assert told["difference"] < 1e-5 and "tensorflow" in told["compared"]
    scores = onnxruntime.InferenceSession(tmp_path / "classes.onnx").run(
        None, {_input(tmp_path / "classes.onnx"): own["picture"]}
    )[0]
    np.testing.assert_allclose(scores, own["classes"], rtol=1e-4, atol=1e-5)
    # The whole path: a volume in, labels out, against the argmax of what TensorFlow itself says. i, j, k of the file
    # are x, y, z of the network here, because the affine is that of RAS.
    volume = own["volume"]
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), tmp_path / "volume.nii")
    done = run("ai", "segment", tmp_path / "volume.nii", "--model", tmp_path / "volumes.onnx", "--output",
               tmp_path / "volumes.nii", "--device", "cpu")  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = np.asarray(nibabel.load(tmp_path / "volumes.nii").dataobj)
    assert np.mean(found == own["volumes"][0].argmax(-1)) > 0.999  # two scores may tie to the last bit


@needs_tensorflow
def test_what_cannot_become_onnx_is_named(run: Run, made: Path, tmp_path: Path) -> None:
    for name, says in (("two", "2 inputs and 1 outputs"), ("reads", "has the operation ReadFile")):
        done = run("ai", "convert", made / name, "--to", "onnx", "--output", tmp_path / f"{name}.onnx")
        assert done.returncode == 1 and says in done.stderr and "Traceback" not in done.stderr, done.stderr
    wrong = json.loads((made / "slices.json").read_text())
    wrong["input"]["channels"] = 3
    (tmp_path / "wrong.json").write_text(json.dumps(wrong))
    done = run("ai", "convert", made / "slices", "--to", "onnx", "--output", tmp_path / "x.onnx", "--description",
               tmp_path / "wrong.json")  # fmt: skip
    assert done.returncode == 1 and "channels" in done.stderr and "unexpected" not in done.stderr, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["wrong.json"]


def _input(file: Path) -> str:
    import onnxruntime

    return str(onnxruntime.InferenceSession(file).get_inputs()[0].name)
