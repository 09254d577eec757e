"""MONAI bundles, run as they are where that needs no code of theirs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import description, labels_by_monai, made_volume, unet

from gpukit import save
from gpukit.ai import find_model, segment
from gpukit.ai.model.architectures import build_network, load_weights
from gpukit.ai.model.monai_bundle import open_bundle
from gpukit.errors import ModelError


@pytest.fixture(scope="module")
def volume():
    return made_volume()


@pytest.fixture(scope="module")
def truth(volume):
    return labels_by_monai(volume)


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


def test_a_report_takes_a_trusted_bundle(tmp_path, volume, run):
    folder = bundle(tmp_path / "b", width="$[2 * 2, 8]")
    save(volume, tmp_path / "mr.nii.gz")
    words = ["ai", "report", tmp_path / "mr.nii.gz", "--model", folder, "--json"]
    refused = run(*words)
    assert refused.returncode == 1 and "without --trust" in refused.stderr
    found = run(*words, "--trust")
    assert found.returncode == 0, found.stderr
    assert {one["name"] for one in json.loads(found.stdout)["findings"]} == {"spleen", "something new"}


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
    with pytest.raises(ModelError, match=r"output has the format 'magnitude'"):
        find_model(folder)


SIGMOID = {"_target_": "Activationsd", "keys": "pred", "sigmoid": True}
SOFTMAX = {"_target_": "Activationsd", "keys": "pred", "softmax": True}


def discrete(**arguments):
    return {"_target_": "AsDiscreted", "keys": "pred", **arguments}


@pytest.mark.parametrize(
    ("steps", "threshold"),
    [
        ([SIGMOID, discrete(threshold=0.3)], 0.3),
        ([SIGMOID, discrete(threshold=True, logit_thresh=0.7)], 0.7),
        ([SIGMOID, {"_target_": "AsDiscreted", "keys": ["label", "pred"], "threshold": [0.5, 0.2]}], 0.2),
        ([SIGMOID, {"_target_": "AsDiscreted", "keys": "label", "threshold": 0.9}], 0.5),
        ([SIGMOID], 0.5),
        ([SOFTMAX, discrete(argmax=True)], 0.5),
    ],
)
def test_the_threshold_is_the_bundles(tmp_path, steps, threshold):
    assert find_model(bundle(tmp_path / "b", postprocessing=steps)).segments.threshold == threshold


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([SIGMOID, discrete(threshold=1.5)], "needs one between 0 and 1"),
        ([SIGMOID, discrete(argmax=True)], "largest of probabilities that a sigmoid made"),
        ([SOFTMAX, discrete(threshold=0.3)], "threshold after a softmax"),
    ],
)
def test_steps_that_would_give_other_labels_are_refused(tmp_path, steps, message):
    with pytest.raises(ModelError, match=message):
        find_model(bundle(tmp_path / "b", postprocessing=steps))


def test_spacing_before_orientation_is_along_the_stored_axes(tmp_path):
    steps = [
        {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 2.0, 3.0]},
        {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
    ]
    assert find_model(bundle(tmp_path / "a", preprocessing=steps)).volume_input.spacing_first
    assert not find_model(bundle(tmp_path / "b", preprocessing=steps[::-1])).volume_input.spacing_first
    for name, more in (("c", steps[0]), ("d", steps[1])):
        with pytest.raises(ModelError, match="a second time"):
            find_model(bundle(tmp_path / name, preprocessing=[*steps, more]))


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize("key", ["device", "sw_device"])
def test_expressions_of_keys_without_an_effect_are_not_evaluated(tmp_path, key, trust):
    inferer = {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], key: "$torch.device('cpu')"}
    assert find_model(bundle(tmp_path / "b", inferer=inferer), trust=trust).inference.patch == (16, 16, 16)


@pytest.mark.parametrize(("task", "output"), [("classify", "o.json"), ("detect", "o.json"), ("enhance", "o.nii.gz")])
def test_a_bundle_for_another_task_is_not_advised_to_segment(tmp_path, run, volume, task, output):
    folder = bundle(tmp_path / "b")
    meta = json.loads((folder / "configs" / "metadata.json").read_text())
    meta["network_data_format"]["outputs"]["pred"]["format"] = "labels"
    (folder / "configs" / "metadata.json").write_text(json.dumps(meta))
    save(volume, tmp_path / "mr.nii.gz")
    refused = run("ai", task, tmp_path / "mr.nii.gz", "--model", folder, "--output", tmp_path / output)
    assert refused.returncode == 1 and "model.json" in refused.stderr
    assert "segmenting needs" not in refused.stderr and "bundle for segmentation" not in refused.stderr
