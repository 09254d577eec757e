"""The main body of a label map: a thin bridge is cut, the body itself keeps every voxel."""

from __future__ import annotations

import numpy as np
import pytest

from gpukit.errors import ModelError
from gpukit.ops.main_body import keep_main_body

SPACING = (1.0, 1.5, 2.0)  # i, j, k


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A big ball (labels 1 and 2), a small ball (2), and a bridge of 3 mm between them; and the big ball alone."""
    k, j, i = np.ogrid[0:40, 0:50, 0:90]
    x, y, z = i * SPACING[0], j * SPACING[1], k * SPACING[2]
    big = (x - 28) ** 2 + (y - 37) ** 2 + (z - 40) ** 2 <= 22**2
    small = (x - 72) ** 2 + (y - 37) ** 2 + (z - 40) ** 2 <= 10**2
    bridge = (abs(y - 37) <= 1.5) & (abs(z - 40) <= 1.5) & (x > 40) & (x < 70)
    labels = np.where(big, np.where(x < 28, 1, 2), np.where(small | bridge, 2, 0)).astype(np.uint8)
    return labels, big


@pytest.mark.parametrize("library", ["numpy", "torch"])
def test_bridges_are_cut_and_the_body_is_whole(library: str) -> None:
    labels, big = scene()
    given = labels
    if library == "torch":
        torch = pytest.importorskip("torch", reason="torch is not installed")
        given = torch.from_numpy(labels)
    kept = np.asarray(keep_main_body(given, SPACING, 3.0))
    assert kept.dtype == np.uint8
    assert np.array_equal(kept[big], labels[big])
    # What stays outside the body is the bridge's root: within the ball and one voxel diagonal (2.7 mm) of its surface.
    k, j, i = np.nonzero((kept > 0) & ~big)
    away = np.sqrt((i - 28.0) ** 2 + (j * 1.5 - 37) ** 2 + (k * 2.0 - 40) ** 2) - 22
    assert away.max(initial=0) < 3.0 + 2.7
    assert not kept[:, :, 60:].any()


def test_small_things_alone_stay() -> None:
    labels = np.zeros((5, 5, 5), np.uint8)
    labels[2, 2, 2] = 1
    assert np.array_equal(keep_main_body(labels, SPACING, 3.0), labels)


def test_a_radius_must_make_sense() -> None:
    with pytest.raises(ModelError, match="radius_mm"):
        keep_main_body(scene()[0], SPACING, 0.0)
