"""The same network in every format gives the same labels; what is unsafe or does not fit is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from made_models import description, label, unet, write_model  # noqa: E402

from gpukit import Grid, Volume  # noqa: E402
from gpukit.ai import find_model, segment  # noqa: E402
from gpukit.ai.bundle import open_bundle  # noqa: E402
from gpukit.ai.networks import build_network, load_weights  # noqa: E402
from gpukit.ai.runtimes import choose, runtimes  # noqa: E402
from gpukit.errors import DependencyError, DeviceError, InputError, ModelError, SelectionError  # noqa: E402


@pytest.fixture(scope="module")
def volume():
    values = np.random.default_rng(0).normal(100, 20, (21, 30, 26)).astype(np.float32)
    grid = Grid.from_axes(values.shape, spacing=(1, 1, 1), origin=(3, 4, 5))
    return Volume(array=values, grid=grid, metadata={"Modality": "MR"})


@pytest.fixture(scope="module")
def truth(volume):
    """Labels by MONAI alone: orientation RAS is a flip of the first two axes of an LPS grid."""
    from monai.inferers import sliding_window_inference

    image = torch.from_numpy(volume.array.transpose(2, 1, 0)[::-1, ::-1].copy())[None, None]
    with torch.inference_mode():
        logits = sliding_window_inference(image, (16, 16, 16), 1, unet(), overlap=0.25, mode="gaussian")
    return logits.argmax(dim=1)[0].numpy()[::-1, ::-1].transpose(2, 1, 0)


def save(folder: Path, form: str) -> Path:
    """The tiny network in a format, with its description."""
    folder.mkdir()
    network, window = unet(), torch.zeros(2, 1, 16, 16, 16)
    changes: dict = {"format": form, "network": None}
    if form == "state-dict":
        torch.save(network.state_dict(), folder / "weights.pt")
        changes = {"weights": "weights.pt"}
    elif form == "torchscript":
        torch.jit.save(torch.jit.trace(network, window), folder / "weights.ts")
        changes["weights"] = "weights.ts"
    elif form == "torch-export":
        shapes = {0: torch.export.Dim("n", min=1, max=64)}
        torch.export.save(torch.export.export(network, (window,), dynamic_shapes=(shapes,)), folder / "weights.pt2")
        changes["weights"] = "weights.pt2"
    else:
        pytest.importorskip("onnxscript", reason="torch's ONNX exporter needs onnxscript")
        torch.onnx.export(
            network, (window[:1],), folder / "weights.onnx", input_names=["x"], output_names=["y"], verbose=False
        )
        changes["weights"] = "weights.onnx"
    (folder / "model.json").write_text(json.dumps(description(**changes)))
    return folder


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
    from gpukit.ai.tensors import as_array, as_tensor

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


# --- MONAI bundles ---------------------------------------------------------------------------------------------------


def bundle(folder: Path, **changes) -> Path:
    """A segmentation bundle as MONAI's model zoo has them."""
    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    torch.save(unet().state_dict(), folder / "models" / "model.pt")
    metadata = {
        "version": "0.1.0",
        "name": "Tiny",
        "task": "Segment nothing in particular",
        "network_data_format": {
            "inputs": {"image": {"type": "image", "num_channels": 1, "modality": "MR", "spatial_shape": [16, 16, 16]}},
            "outputs": {
                "pred": {
                    "type": "image",
                    "format": "segmentation",
                    "num_channels": 3,
                    "channel_def": {"0": "background", "1": "spleen", "2": "something new"},
                }
            },
        },
    }
    inference = {
        "imports": ["$import os"],
        "device": "$torch.device('cpu')",
        "width": [4, 8],
        "network_def": {
            "_target_": "UNet",
            "spatial_dims": 3,
            "in_channels": 1,
            "out_channels": 3,
            "channels": "@width",
            "strides": [2],
        },
        "network": "$@network_def.to(@device)",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image"},
                {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"},
                {"_target_": "EnsureTyped", "keys": "image"},
            ],
        },
        "inferer": {
            "_target_": "SlidingWindowInferer",
            "roi_size": [16, 16, 16],
            "sw_batch_size": 2,
            "overlap": 0.25,
            "mode": "gaussian",
        },
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "Invertd", "keys": "pred", "transform": "@preprocessing"},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
                {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
            ],
        },
    }
    inference.update(changes)
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
    return folder


def test_a_bundle_is_segmented_with(tmp_path, volume, truth):
    found = segment(volume, bundle(tmp_path / "tiny"))
    assert np.array_equal(found.array, truth)
    one = found.labels[0]
    assert (one.value, one.name, one.type[:2]) == (1, "spleen", ("78961009", "SCT"))
    assert found.labels[1].type[1:] == ("99GPUKIT", "something new")
    assert dict(found.algorithm) | {"digest": ""} == {"name": "Tiny", "version": "0.1.0", "digest": ""}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": "$[4, 8]"}, "expression"),
        ({"width": "@width"}, "refers to itself"),
        ({"width": "@nowhere"}, "not there"),
        ({"network_def": None}, "defines no network"),
        ({"preprocessing": [{"_target_": "RandFlipd"}]}, "'RandFlip' is not one that gpukit translates"),
        ({"postprocessing": [{"_target_": "my.own.Thing"}]}, "'Thing' is not one"),
        ({"inferer": {"_target_": "scripts.inferer.Mine"}}, "'Mine' is not one"),
    ],
)
def test_a_bundle_that_needs_code_is_refused_by_name(tmp_path, changes, message):
    with pytest.raises(ModelError, match=message):
        find_model(bundle(tmp_path / "b", **changes))


def test_expressions_run_only_where_the_bundle_is_trusted(tmp_path, volume, truth):
    mark = tmp_path / "ran"
    unused = f"$__import__('pathlib').Path({str(mark)!r}).touch()"
    folder = bundle(tmp_path / "b", width="$[2 * 2, 8]", unused=unused)
    with pytest.raises(ModelError, match="runs no code of a bundle without --trust"):
        find_model(folder)
    model = find_model(folder, trust=True)
    assert model.network["channels"] == [4, 8]
    assert np.array_equal(segment(volume, model).array, truth)
    assert not mark.exists()  # what no description needs is not run even then
    with pytest.raises(ModelError, match="fails"):
        find_model(bundle(tmp_path / "c", width="$1 / 0"), trust=True)


def test_a_description_in_a_bundle_goes_before_its_configuration(tmp_path, volume, truth):
    folder = bundle(tmp_path / "b", preprocessing=[{"_target_": "my.own.Thing"}])
    (folder / "model.json").write_text(
        json.dumps(description(format="monai-bundle", weights="models/model.pt", network=None))
    )
    found = segment(volume, folder)
    assert np.array_equal(found.array, truth)
    assert found.labels[0].name == "Liver 1"


def test_a_real_bundle_for_another_task(data):
    """MONAI's MedNIST GAN: its network loads with every weight in place, and it is refused for segmentation."""
    folder = data / "models" / "mednist_gan"
    found = open_bundle(folder)
    network = load_weights(build_network(found.network, found.inference.file), found.weights)
    with torch.inference_mode():
        hands = network(torch.randn(3, 64, generator=torch.Generator().manual_seed(0)))
    assert hands.shape == (3, 1, 64, 64)
    # An X-ray on black: most of the picture dark, a hand in the middle clearly brighter than the corners.
    pictures = hands.sigmoid()[:, 0]
    assert pictures[:, 24:40, 24:40].mean() > pictures[:, :8, :8].mean() + 0.1
    with pytest.raises(ModelError, match=r"output is 'magnitude', and segmenting needs 'segmentation'"):
        find_model(folder)
