"""Surfaces of labels that overlap: each label whole."""

import numpy as np
import pytest

from gpukit.geometry import Grid
from gpukit.rendering.scene.surface import label_surfaces
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation, one_map


def test_the_whole_has_no_cavity_where_its_core_is() -> None:
    """A block of 6 x 6 x 6 mm, of whose 12 edges an eighth of a square voxel is cut: some 216 - 12 x 6 / 8 mm³."""
    whole, core = np.zeros((10, 10, 10), bool), np.zeros((10, 10, 10), bool)
    whole[2:8, 2:8, 2:8], core[4:6, 4:6, 4:6] = True, True
    array, planes = one_map([whole, core], [1, 2], np.zeros((10, 10, 10), np.uint8))
    labels = tuple(Label(value=n, name=str(n), category=ANATOMY, type=TISSUE) for n in (1, 2))
    segmentation = Segmentation(array=array, grid=Grid((10, 10, 10), np.eye(4)), labels=labels, planes=planes)
    found = label_surfaces(segmentation)
    assert sorted(found) == [1, 2]
    points, faces = np.asarray(found[1].points), np.asarray(found[1].faces)
    corners = points[faces]
    volume = np.einsum("ni,ni->n", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6
    assert abs(volume) == pytest.approx(216 - 9, abs=1.5), "a cavity of 2 x 2 x 2 would take some 8 more"
    assert np.abs(points - 4.5).max(axis=1).min() == pytest.approx(3.0, abs=0.51), "no point lies within"
