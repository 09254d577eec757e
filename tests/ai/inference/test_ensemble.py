"""Ensembles of label maps, mirrored windows, and slices labelled by networks over pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.models import description, label

import gpukit as gk
from gpukit.ai.inference.ensemble import fuse
from gpukit.ai.inference.test_time_augmentation import Mirrored
from gpukit.ai.model.description import Model, read_description
from gpukit.errors import InputError, ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

RNG = np.random.default_rng(11)


class Linear(torch.nn.Module):
    """Logits that are lines of the voxel's value: a 1x1x1 convolution."""

    def __init__(self, slopes: list[float], offsets: list[float]) -> None:
        super().__init__()
        self.slopes = torch.nn.Parameter(torch.tensor(slopes))
        self.offsets = torch.nn.Parameter(torch.tensor(offsets))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = [1, -1] + [1] * (x.ndim - 2)
        return x[:, :1] * self.slopes.reshape(shape) + self.offsets.reshape(shape)


def made(folder: Path, name: str, slopes: list[float], offsets: list[float], **changes: Any) -> Model:
    folder.mkdir(exist_ok=True)
    torch.jit.script(Linear(slopes, offsets)).save(str(folder / f"{name}.ts"))
    content = description(format="torchscript", weights=f"{name}.ts", network=None, name=name, **changes)
    (folder / f"{name}.json").write_text(json.dumps(content))
    return read_description(folder / f"{name}.json")


SPEC = {"input": {"channels": 1}, "inference": {"patch": [8, 8, 8], "overlap": 0.5}}
SETS = [([0.0, 1.0, 2.0], [0.0, 0.1, -1.0]), ([0.0, -0.5, 1.0], [0.2, 0.4, -0.3]), ([0.0, 2.0, 0.1], [1.0, 0.0, 0.5])]
VALUES = RNG.normal(size=(10, 9, 11)).astype(np.float32)
VOLUME = Volume(array=VALUES, grid=Grid((10, 9, 11), np.eye(4)))


def chances(slopes: list[float], offsets: list[float]) -> np.ndarray:
    logits = VALUES[None] * np.array(slopes)[:, None, None, None] + np.array(offsets)[:, None, None, None]
    powers = np.exp(logits - logits.max(axis=0))
    return np.asarray(powers / powers.sum(axis=0))


@pytest.fixture
def models(tmp_path: Path) -> list[Model]:
    return [made(tmp_path, f"m{n}", *numbers, **SPEC) for n, numbers in enumerate(SETS)]


def test_probabilities_are_put_together_as_numpy_would(models: list[Model]) -> None:
    each = np.stack([chances(*numbers) for numbers in SETS])
    weights = [0.5, 0.2, 0.3]
    wanted = {
        "average": each.mean(axis=0), "weighted": np.average(each, axis=0, weights=weights), "max": each.max(axis=0)
    }  # fmt: skip
    for how, values in wanted.items():
        found = gk.segment(VOLUME, models, ensemble=how, weights=weights if how == "weighted" else None)
        np.testing.assert_array_equal(found.array, values.argmax(axis=0), err_msg=how)
    assert gk.segment(VOLUME, models).algorithm["name"] == "m0 + m1 + m2"


def test_labels_are_voted_on(models: list[Model]) -> None:
    labels = np.stack([chances(*numbers).argmax(axis=0) for numbers in SETS])
    votes = np.stack([(labels == value).sum(axis=0) for value in range(3)])
    np.testing.assert_array_equal(gk.segment(VOLUME, models, ensemble="vote").array, votes.argmax(axis=0))
    heavy = gk.segment(VOLUME, models, ensemble="vote", weights=[1, 1, 5]).array
    np.testing.assert_array_equal(heavy, labels[2])


def test_staple_trusts_the_raters_that_agree() -> None:
    truth = np.zeros((12, 30, 30), np.uint8)
    truth[3:9, 8:22, 8:22] = 1
    maps = []
    for errors in (0.05, 0.05, 0.05, 0.4, 0.4):
        wrong = RNG.random(truth.shape) < errors
        maps.append(torch.from_numpy(np.where(wrong, 1 - truth, truth)))
    staple, vote = (fuse(maps, how, None, [1]).numpy() for how in ("staple", "vote"))
    import SimpleITK

    # the binary filter of Warfield's paper, another one than the filter of several labels
    chance = SimpleITK.GetArrayFromImage(
        SimpleITK.STAPLE([SimpleITK.GetImageFromArray(one.numpy()) for one in maps], 1.0)
    )
    assert (staple != (chance > 0.5)).mean() < 1e-3
    # The three good raters together are wrong in 0.7 of a hundred voxels; a vote in which all count alike in three.
    assert (staple != truth).mean() < 0.5 * (vote != truth).mean()
    assert (staple != truth).mean() < 0.02


def test_mirrored_windows_are_averaged_and_turned_back() -> None:
    class Shift:
        batch, patch, summary = None, (None, None, None), "shift"

        def __call__(self, x: torch.Tensor) -> torch.Tensor:
            return torch.roll(x, 1, dims=2)  # what lies before along x

    x = torch.arange(5.0).reshape(1, 1, 5, 1, 1)
    found = Mirrored(Shift(), [0])(x).ravel()
    np.testing.assert_allclose(found, [(4 + 1) / 2, (0 + 2) / 2, (1 + 3) / 2, (2 + 4) / 2, (3 + 0) / 2])


def test_mirroring_a_network_without_neighbourhood_changes_nothing(models: list[Model]) -> None:
    one = gk.segment(VOLUME, models[0])
    np.testing.assert_array_equal(gk.segment(VOLUME, models[0], flips="xyz").array, one.array)


def test_what_does_not_go_together_is_told(models: list[Model], tmp_path: Path) -> None:
    other = made(
        tmp_path,
        "other",
        [0.0, 1.0],
        [0.0, 0.0],
        **{**SPEC, "output": {"activation": "softmax", "labels": [label(1, "Spleen", "78961009")]}},
    )
    with pytest.raises(ModelError, match="different labels"):
        gk.segment(VOLUME, [models[0], other], ensemble="vote")
    windows = made(tmp_path, "windows", *SETS[0], **{**SPEC, "inference": {"patch": [4, 4, 4]}})
    with pytest.raises(ModelError, match="same grid through the same windows"):
        gk.segment(VOLUME, [models[0], windows])
    assert gk.segment(VOLUME, [models[0], windows], ensemble="vote").array.shape == VALUES.shape
    with pytest.raises(InputError, match="weights"):
        gk.segment(VOLUME, models, ensemble="weighted")
    with pytest.raises(InputError, match="flips"):
        gk.segment(VOLUME, models[0], flips="w")


# ---- slices


def flat(folder: Path, name: str, **given: Any) -> Model:
    seen = {"dimensions": 2, "channels": 1, "values": "rescaled", **given}
    return made(folder, name, *SETS[0], input=seen, inference={})


def test_slices_are_labelled_pixel_by_pixel(tmp_path: Path) -> None:
    found = gk.segment(VOLUME, flat(tmp_path, "flat"), batch=3)
    np.testing.assert_array_equal(found.array, chances(*SETS[0]).argmax(axis=0))


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIL", "SAR", "IRP"])
def test_slices_of_another_plane_come_back_onto_the_volume(codes: str, tmp_path: Path) -> None:
    grid, axes, flips = VOLUME.grid.reoriented(codes)
    array = np.ascontiguousarray(np.flip(VALUES.transpose(axes), [n for n, f in enumerate(flips) if f]))
    found = gk.segment(Volume(array=array, grid=grid), flat(tmp_path, "axial", plane="axial"))
    logits = array[None] * np.array(SETS[0][0])[:, None, None, None] + np.array(SETS[0][1])[:, None, None, None]
    np.testing.assert_array_equal(found.array, logits.argmax(axis=0))


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_labels_of_scaled_pictures_lie_where_the_body_is(fit: str, tmp_path: Path) -> None:
    image = np.zeros((2, 60, 80), np.float32)
    image[:, 20:40, 30:50] = 10.0
    model = made(
        tmp_path, "box", [0.0, 1.0, 0.0], [0.0, -5.0, -99.0],
        input={"dimensions": 2, "channels": 1, "values": "rescaled", "size": [120, 120], "fit": fit},
        inference={},
    )  # fmt: skip
    found = gk.segment(Volume(array=image, grid=Grid((2, 60, 80), np.eye(4))), model).array
    # doubling the size moves an edge by less than half a source pixel
    inside = np.zeros_like(image, bool)
    inside[:, 21:39, 31:49] = True
    outside = np.ones_like(image, bool)
    outside[:, 19:41, 29:51] = False
    assert found[inside].all() and not found[outside].any()
