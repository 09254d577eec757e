"""Labels of a network that decides on each of them alone: a tumour's core within the whole tumour stays whole."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.models import label

import gpukit
from gpukit.errors import GpukitError
from gpukit.geometry import Grid
from gpukit.volume import Volume

torch = pytest.importorskip("torch")
pytest.importorskip("monai")

#: HU of the background, of the tumour outside of its core, and of the core.
OUTSIDE, TUMOUR, CORE = 0.0, 60.0, 100.0


class Nested(torch.nn.Module):
    """Core above 80, whole tumour above 40: within the core the tumour is the more probable of the two."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x - 80.0, x - 40.0], 1)


class Pictures(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x - 80.0, x - 40.0], 1)


def nested_model(folder: Path, activation: str = "sigmoid", dimensions: int = 3, **changes: object) -> Path:
    folder.mkdir()
    torch.jit.script(Nested() if dimensions == 3 else Pictures()).save(str(folder / "w.ts"))
    inputs: dict = {"channels": 1, "dimensions": dimensions}
    inputs |= {"values": "rescaled"} if dimensions == 2 else {}
    output = {"activation": activation, "labels": [label(1, "Core"), label(2, "Whole")]}
    content = {
        "schema_version": 1, "name": "nested", "version": "1", "task": "segment", "format": "torchscript",
        "weights": "w.ts", "input": inputs, "output": output,
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(content.get(key), dict) else value
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def nested_volume(spacing: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> tuple[Volume, np.ndarray, np.ndarray]:
    """512 voxels of a tumour, 64 of them its core."""
    values = np.full((12, 14, 16), OUTSIDE, np.float32)
    values[2:10, 3:11, 4:12] = TUMOUR
    values[4:8, 5:9, 6:10] = CORE
    grid = Grid.from_axes(values.shape, spacing=spacing, origin=(0, 0, 0))
    return Volume(array=values, grid=grid), values == CORE, values >= TUMOUR


@pytest.mark.parametrize("blocks", [None, {"patch": [8, 8, 8], "overlap": 0.25}])
def test_the_core_is_not_lost_in_the_whole(tmp_path: Path, blocks: dict | None) -> None:
    volume, core, whole = nested_volume()
    changes = {} if blocks is None else {"inference": blocks}
    found = gpukit.segment(volume, nested_model(tmp_path / "m", **changes))
    assert (np.asarray(found.mask(1)) == core).all() and (np.asarray(found.mask(2)) == whole).all()
    assert any("labels overlap" in note for note in found.notes)


def test_each_label_of_a_coarser_network_is_whole(tmp_path: Path) -> None:
    """Against the interpolated probabilities of each label by SciPy, at the same places."""
    from scipy import ndimage

    volume, *_ = nested_volume()
    model = nested_model(tmp_path / "m", input={"orientation": "RAS", "spacing": [2.0, 2.0, 2.0]})
    found = gpukit.segment(volume, model)
    # every voxel of the network is the mean of eight, as linear sampling in their middle is
    coarse = volume.array.reshape(6, 2, 7, 2, 8, 2).mean(axis=(1, 3, 5))
    at = [np.clip((np.arange(n) - 0.5) / 2, 0, n / 2 - 1) for n in volume.array.shape]
    places = np.meshgrid(*at, indexing="ij")
    for value, limit in ((1, 80.0), (2, 40.0)):
        chance = ndimage.map_coordinates(1 / (1 + np.exp(limit - coarse.astype(float))), places, order=1)
        clear = np.abs(chance - 0.5) > 1e-4
        assert (np.asarray(found.mask(value)) == (chance >= 0.5))[clear].all()


def test_slices_keep_overlapping_labels_too(tmp_path: Path) -> None:
    volume, core, whole = nested_volume()
    found = gpukit.segment(volume, nested_model(tmp_path / "m", dimensions=2))
    assert (np.asarray(found.mask(1)) == core).all() and (np.asarray(found.mask(2)) == whole).all()


@pytest.mark.parametrize("how", ["average", "vote"])
def test_ensembles_keep_overlapping_labels_too(tmp_path: Path, how: str) -> None:
    volume, core, whole = nested_volume()
    models = [nested_model(tmp_path / "a"), nested_model(tmp_path / "b")]
    found = gpukit.segment(volume, models, ensemble=how)
    assert (np.asarray(found.mask(1)) == core).all() and (np.asarray(found.mask(2)) == whole).all()


def test_the_declared_order_gives_one_map(tmp_path: Path) -> None:
    """`regions`: of two labels in a voxel the later one is drawn, here the whole over its core."""
    volume, core, whole = nested_volume()
    labels = [label(1, "Whole"), label(2, "Core")]
    found = gpukit.segment(volume, nested_model(tmp_path / "m", "regions", output={"labels": labels[::-1]}))
    assert found.planes is None
    assert (np.asarray(found.array) == np.where(whole, 1, 0)).all()
    assert core.any()


def test_numbers_are_those_of_each_label(tmp_path: Path) -> None:
    from gpukit.ai.tasks.label_summary import summary

    volume, *_ = nested_volume()
    found = summary(gpukit.segment(volume, nested_model(tmp_path / "m")), volume)["labels"]
    assert [entry["voxels"] for entry in found] == [64, 512]
    assert found[1]["mean"] == pytest.approx((64 * CORE + 448 * TUMOUR) / 512)
    assert found[1]["volume_ml"] == pytest.approx(0.512)


def test_postprocessing_looks_at_each_label_alone(tmp_path: Path) -> None:
    volume, core, whole = nested_volume()
    stray = volume.array.copy()
    stray[0, 0, 0] = CORE
    step = {"_target_": "KeepLargestConnectedComponent", "applied_labels": [1]}
    model = nested_model(tmp_path / "m", output={"postprocess": [step]})
    found = gpukit.segment(volume.with_array(stray), model)
    whole = whole.copy()
    whole[0, 0, 0] = True
    assert (np.asarray(found.mask(1)) == core).all() and (np.asarray(found.mask(2)) == whole).all()


def test_the_threshold_of_a_description_counts(tmp_path: Path) -> None:
    volume, *_ = nested_volume()
    high = nested_model(tmp_path / "m", output={"threshold": 0.9})
    soft = volume.with_array(np.where(volume.array == CORE, 81.0, volume.array).astype(np.float32))
    # sigmoid(81 - 80) is 0.73: above one half and below 0.9
    assert not np.asarray(gpukit.segment(soft, high).mask(1)).any()


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha"])
def test_files_have_one_volume_for_each_label(tmp_path: Path, suffix: str) -> None:
    volume, core, whole = nested_volume()
    found = gpukit.segment(volume, nested_model(tmp_path / "m"))
    gpukit.save(found, tmp_path / f"labels.{suffix}")
    stored = gpukit.open(tmp_path / f"labels.{suffix}")
    assert stored.axes == "tkji"
    assert (np.asarray(stored.array[0]) == core).all() and (np.asarray(stored.array[1]) == whole).all()
    one = gpukit.open_mask(tmp_path / f"labels.{suffix}", volume, labels=1)
    assert (np.asarray(one.array) == core).all()


def test_a_stack_of_masks_that_overlap_is_not_one_map(tmp_path: Path) -> None:
    volume, *_ = nested_volume()
    gpukit.save(gpukit.segment(volume, nested_model(tmp_path / "m")), tmp_path / "labels.nii")
    with pytest.raises(GpukitError, match="labels overlap"):
        gpukit.open_mask(tmp_path / "labels.nii", volume)
