"""The sample model is as good as its card says, on heads that it never saw."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

import gpukit as gk
from gpukit.ai.samples.brain_tissue.evaluate import compare, evaluate
from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

CARD = Path(gk.__file__).parent / "ai" / "samples" / "brain_tissue" / "MODEL_CARD.md"
ROW = re.compile(
    r"^\| (?P<head>[^|]+?) \| (?P<white>0\.\d+) \| (?P<grey>0\.\d+) \| (?P<brain>0\.\d+) \|$", re.MULTILINE
)
STATED = {row["head"]: row for row in ROW.finditer(CARD.read_text("utf-8"))}


def test_the_card_states_what_is_measured() -> None:
    assert set(STATED) == {"3D T1 of a scanner"}


@pytest.mark.slow
@pytest.mark.parametrize("head", ["3D T1 of a scanner"])
def test_the_accuracy_is_what_the_card_states(head: str, data: Path, request: pytest.FixtureRequest) -> None:
    image = request.getfixturevalue("unpacked")("mr_t1_brain/mr_t1_brain.tar.xz")
    labels = data / "mr_t1_brain" / "expected_tissue_fast_minmax_conformed.nii.gz"
    found = evaluate(image, labels)
    for tissue, name in (("white matter", "white"), ("grey matter", "grey"), ("brain", "brain")):
        # The card has two digits; runtimes differ in a few hundred voxels of a million, which is a fourth digit.
        assert found[tissue]["dice"] == pytest.approx(float(STATED[head][name]), abs=0.006), tissue


def test_dice_and_volumes_by_hand() -> None:
    """Two boxes of 4 x 4 x 4 that overlap in half, the reference on a grid of another order and origin."""
    grid = Grid.from_axes((10, 10, 10), spacing=(1, 1, 2))
    ours = np.zeros(grid.shape, np.uint8)
    ours[3:7, 3:7, 3:7] = 1
    code = ("1", "99TEST", "x")
    found = Segmentation(array=ours, grid=grid, labels=(Label(1, "a", code, code), Label(2, "b", code, code)))
    theirs = np.zeros(grid.shape, np.uint8)
    theirs[3:7, 3:7, 5:9] = 1
    theirs[0, 0, 0] = 2
    turned, axes, flips = grid.reoriented("RIA")
    array = theirs.transpose(axes)[tuple(slice(None, None, -1 if flip else None) for flip in flips)]
    result = compare(found, Volume(array=np.ascontiguousarray(array), grid=turned))
    assert result["white matter"] == {"dice": 0.5, "found_ml": 0.128, "reference_ml": 0.128}
    assert result["grey matter"]["dice"] == 0.0
    assert result["brain"]["dice"] == pytest.approx(64 / (64 + 65))
