"""The same network in every format gives the same labels; what does not fit is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import description, label, labels_by_monai, made_volume, save, write_model

from gpukit import Volume
from gpukit.ai import find_model, segment
from gpukit.ai.model.architectures import build_network
from gpukit.ai.runtimes import choose, runtimes
from gpukit.errors import DependencyError, DeviceError, InputError, ModelError, SelectionError


@pytest.fixture(scope="module")
def volume():
    return made_volume()


@pytest.fixture(scope="module")
def truth(volume):
    return labels_by_monai(volume)


@pytest.mark.parametrize("form", ["state-dict", "torchscript", "torch-export", "onnx"])
def test_every_format_gives_the_labels_of_the_network(tmp_path, volume, truth, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    steps = []
    found = segment(volume, save(tmp_path / form, form), device="cpu", progress=lambda *step: steps.append(step))
    assert np.array_equal(found.array, truth)
    assert found.array.dtype == np.uint8
    assert found.grid is volume.grid
    assert [one.value for one in found.labels] == [1, 2]
    assert found.algorithm["name"] == "tiny"
    assert len(found.algorithm["digest"]) == 64
    assert steps[-1][0] == steps[-1][1] == 2 * 3 * 2  # windows of 16 each 12 over 26 x 30 x 21
    assert len(np.unique(truth)) == 3


def test_a_torch_volume_is_segmented_where_it_is_and_stays_there(tmp_path, volume, truth):
    from gpukit import count_transfers

    theirs = volume.to("torch-cpu")
    with count_transfers() as crossings:
        found = segment(theirs, write_model(tmp_path / "m"))
    assert isinstance(found.array, torch.Tensor)
    assert np.array_equal(found.array.numpy(), truth)
    assert crossings == []


def test_numpy_and_torch_share_the_voxels(volume):
    from gpukit.ai.transforms.tensors import as_array, as_tensor

    tensor = as_tensor(volume.array)
    assert tensor.data_ptr() == volume.array.ctypes.data
    assert as_array(tensor, volume.array).ctypes.data == volume.array.ctypes.data
    frozen = volume.array.astype(">i2")
    frozen.setflags(write=False)
    assert as_tensor(frozen).numpy().tolist() == frozen.tolist()


@pytest.mark.parametrize("batch", [1, 5])
def test_neither_batch_nor_bfloat16_moves_more_than_boundaries(tmp_path, volume, truth, batch):
    folder = write_model(tmp_path / "m")
    assert np.array_equal(segment(volume, folder, batch=batch).array, truth)
    half = segment(volume, folder, batch=batch, precision="bfloat16").array
    # bfloat16 has 8 bits of mantissa. Random weights on noise give logits that are all near one another, so labels move
    # far more than with a trained network; a broken mixed precision would agree on about a third.
    assert (half == truth).mean() > 0.9


def test_postprocessing_is_monais(tmp_path, volume, truth):
    from monai.transforms import KeepLargestConnectedComponent

    output = {
        "activation": "softmax",
        "labels": [label(1), label(2)],
        "postprocess": [{"_target_": "monai.transforms.KeepLargestConnectedComponent", "applied_labels": [1, 2]}],
    }
    found = segment(volume, write_model(tmp_path / "m", output=output))
    wanted = KeepLargestConnectedComponent(applied_labels=[1, 2])(torch.from_numpy(truth.copy())[None])[0]
    assert np.array_equal(found.array, wanted)
    assert not np.array_equal(found.array, truth)


def test_a_4d_volume_needs_a_phase(tmp_path, volume, truth):
    both = Volume(
        array=np.stack([volume.array * 0, volume.array]),
        grid=volume.grid,
        axes="tkji",
        phases=("EchoTime 4", "EchoTime 9"),
    )
    folder = write_model(tmp_path / "m")
    with pytest.raises(SelectionError, match="0: EchoTime 4; 1: EchoTime 9"):
        segment(both, folder)
    with pytest.raises(SelectionError, match="0 to 1"):
        segment(both, folder, phase=2)
    assert np.array_equal(segment(both, folder, phase=1).array, truth)


def test_what_does_not_fit_is_refused(tmp_path, volume):
    folder = write_model(tmp_path / "ct", input={"channels": 1, "modality": ["CT"]})
    with pytest.raises(ModelError, match="is for CT, and the volume is MR"):
        segment(volume, folder)
    with pytest.raises(ModelError, match="wants 4 channels"):
        segment(volume, write_model(tmp_path / "four", input={"channels": 4}))
    output = {"activation": "softmax", "labels": [label(1)]}
    with pytest.raises(ModelError, match="3 output channels, and its labels describe 2"):
        segment(volume, write_model(tmp_path / "two", output=output))
    wide = description()["network"] | {"channels": [5, 8]}
    with pytest.raises(ModelError, match=r"do not fit the network UNet: .*is \(4, 1, 3, 3, 3\), not \(5, 1, 3, 3, 3\)"):
        segment(volume, write_model(tmp_path / "wide", network=wide))
    deep = description()["network"] | {"channels": [4, 8, 8], "strides": [2, 2]}
    with pytest.raises(ModelError, match=r"lacks model\."):
        segment(volume, write_model(tmp_path / "deep", network=deep))
    odd = description()["network"] | {"surprise": 1}
    with pytest.raises(ModelError, match="UNet does not take these arguments"):
        segment(volume, write_model(tmp_path / "odd", network=odd))
    bad = description()["input"] | {"intensity": [{"_target_": "ScaleIntensity", "surprise": 1}]}
    with pytest.raises(ModelError, match="ScaleIntensity does not take"):
        segment(volume, write_model(tmp_path / "bad", input=bad))


def test_wrong_options_are_refused(tmp_path, volume):
    folder = write_model(tmp_path / "m")
    with pytest.raises(ModelError, match=r"unknown runtime 'tensorflow'.*torch"):
        segment(volume, folder, runtime="tensorflow")
    with pytest.raises(ModelError, match="does not run models of the format state-dict"):
        segment(volume, folder, runtime="onnx")
    with pytest.raises(InputError, match="precision"):
        segment(volume, folder, precision="int8")
    with pytest.raises(InputError, match="float16 is not for the CPU"):
        segment(volume, folder, precision="float16")
    with pytest.raises(InputError, match="overlap"):
        segment(volume, folder, overlap=1.0)
    with pytest.raises(DeviceError):
        segment(volume, folder, device="cuda:99")
    assert segment(volume, folder, runtime="pytorch").grid is volume.grid


@pytest.mark.parametrize(
    "network",
    [
        {"_target_": "os.system", "command": "true"},
        {"_target_": "monai.networks.nets.DenseNet121", "pretrained": True},
        {"_target_": "monai.networks.nets.UNet", "spatial_dims": "$__import__('os').getpid()"},
        {"_target_": "monai.networks.nets.UNet", "act": {"_target_": "os.system"}},
        {"layers": [], "activation": "relu"},
        {"layers": [{"in_channels": 1, "out_channels": 2, "kernel_size": 3}], "activation": "os.system"},
    ],
)
def test_only_networks_of_the_list_are_built(network):
    with pytest.raises(ModelError):
        build_network(network, Path("model.json"))


def test_the_runtimes_say_what_they_need(tmp_path, monkeypatch):
    assert {"torch", "onnx"} <= {runtime.name for runtime in runtimes()}
    onnx = next(runtime for runtime in runtimes() if runtime.name == "onnx")
    import gpukit_backends.runtimes.onnx_runtime as module

    # Both packages own one folder; installing them both here would break the environment, so only the question of what
    # is installed is answered otherwise.
    monkeypatch.setattr(module, "_version", lambda package: "1.0")
    state = onnx.available()
    assert not state.usable
    assert "both" in state.reason
    assert "pip uninstall" in state.install
    folder = tmp_path / "m"
    write_model(folder, format="onnx", weights="w.onnx", network=None)
    with pytest.raises(ModelError, match="not there"):
        find_model(folder)
    (folder / "w.onnx").write_bytes(b"")
    with pytest.raises(DependencyError, match="pip uninstall"):
        choose(find_model(folder), "onnx")
