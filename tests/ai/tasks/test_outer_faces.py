"""Voxels up to the source's outer faces get what the nearest voxels of the network get.

A network of coarser voxels whose spacing does not divide the image's extent ends within the image: 61 slices of 1 mm
are 20 slices of 3 mm. What is beyond its last voxel belongs to that voxel.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.models import label

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai")

import gpukit as gk
from gpukit.geometry import Grid
from gpukit.volume import Volume


class Above(torch.nn.Module):
    """Label 1 above 50."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([torch.zeros_like(x), (x - 50.0) * 0.1], 1)


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


def model(folder: Path, task: str = "segment", **inputs: Any) -> Path:
    folder.mkdir()
    torch.jit.script(Above() if task == "segment" else Same()).save(str(folder / "w.ts"))
    output: dict[str, Any] = {"activation": "softmax", "labels": [label(1)]}
    content = {
        "schema_version": 1, "name": "m", "version": "1", "task": task, "format": "torchscript", "weights": "w.ts",
        "input": {"channels": 1, **inputs}, "output": output if task == "segment" else {},
    }  # fmt: skip
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def uniform(shape: tuple[int, int, int], spacing: tuple[float, float, float] = (1, 1, 1), codes: str = "LPS") -> Volume:
    grid = Grid.from_axes(shape, spacing=spacing, origin=(7, -3, 5)).reoriented(codes)[0]
    return Volume(array=np.full(grid.shape, 60.0, np.float32), grid=grid)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR"])
@pytest.mark.parametrize("slices", [61, 100, 400])
def test_the_last_slices_and_columns_are_labelled(slices: int, codes: str, tmp_path: Path) -> None:
    volume = uniform((slices, 7, 10), codes=codes)
    found = gk.segment(volume, model(tmp_path / "m", orientation="RAS", spacing=[3, 3, 3]))
    assert (np.asarray(found.array) == 1).all()


def test_millilitres_are_those_of_all_voxels(tmp_path: Path) -> None:
    """61 x 16 x 16 voxels of 1 mm³ are 15.616 ml."""
    from gpukit.ai.tasks.label_summary import summary

    found = gk.segment(uniform((61, 16, 16)), model(tmp_path / "m", orientation="RAS", spacing=[1, 1, 3]))
    assert summary(found)["labels"][0]["volume_ml"] == pytest.approx(15.616)


@pytest.mark.parametrize("blocks", [{}, {"patch": [4, 4, 4], "overlap": 0.5}])
def test_probabilities_reach_the_faces(blocks: dict[str, Any], tmp_path: Path) -> None:
    """sigmoid(1) of 255 is 186 in every voxel."""
    folder = model(tmp_path / "m", orientation="RAS", spacing=[3, 3, 3])
    if blocks:
        content = json.loads((folder / "model.json").read_text())
        (folder / "model.json").write_text(json.dumps({**content, "inference": blocks}))
    found = gk.segment(uniform((61, 10, 11)), folder, probabilities=True)
    assert set(np.unique(found.probabilities)) == {186}


@pytest.mark.parametrize("how", ["average", "max", "vote", "staple"])
def test_ensembles_reach_the_faces(how: str, tmp_path: Path) -> None:
    models = [model(tmp_path / name, orientation="RAS", spacing=[3, 3, 3]) for name in "ab"]
    found = gk.segment(uniform((61, 10, 11)), models, ensemble=how)
    assert (np.asarray(found.array) == 1).all()


def test_an_enhanced_image_reaches_the_faces(tmp_path: Path) -> None:
    from gpukit.ai.tasks.enhance import enhance

    volume = uniform((61, 10, 11))
    found = enhance(volume, model(tmp_path / "m", "enhance", orientation="RAS", spacing=[3, 3, 3]))
    assert found.grid.same_as(volume.grid)
    assert np.asarray(found.array) == pytest.approx(60.0, abs=1e-3)


def test_what_a_declared_size_cuts_off_stays_background(tmp_path: Path) -> None:
    """A box of 10 slices of 3 mm in the middle of 61 mm shows 30 of 61 slices, none of them at the ends."""
    found = gk.segment(
        uniform((61, 9, 9)), model(tmp_path / "m", orientation="RAS", spacing=[3, 3, 3], size=[3, 3, 10])
    )
    labelled = (np.asarray(found.array) == 1).all(axis=(1, 2))
    assert labelled.sum() == 30 and not labelled[[0, -1]].any()


def test_a_spacing_along_stored_axes_is_that_of_the_bundle(tmp_path: Path) -> None:
    """MONAI's Spacingd before Orientationd: the numbers are along the axes as they are stored."""
    from gpukit.ai.model.volume_spec import InputSpec
    from gpukit.ai.transforms.volume_input import model_grid

    grid = uniform((12, 20, 30), codes="PIR").grid
    seen = model_grid(grid, InputSpec(orientation="RAS", spacing=(1.0, 2.0, 3.0), spacing_first=True))
    # stored P, I, R get 1, 2 and 3 mm; turned to R, A, S these are 3, 1 and 2
    assert seen.codes == "RAS" and seen.spacing == pytest.approx((3.0, 1.0, 2.0))
