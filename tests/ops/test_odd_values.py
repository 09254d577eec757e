"""Values and types at the edge of what operations take: each gives a number that follows, or an error of gpukit."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from gpukit.errors import InputError
from gpukit.ops.interpolated_labels import interpolated_labels
from gpukit.ops.morphology import dilate, distance
from gpukit.ops.polygon import polygon_mask
from gpukit.ops.project import project, project_slab
from gpukit.ops.raycast import raycast
from gpukit.ops.resample import resample
from gpukit.ops.sample import sample
from gpukit.ops.statistics import percentiles, statistics

WAYS = pytest.mark.parametrize("way", ["kernel", "reference"])
INSIDE = np.array([[[True, False, True], [True, True, False]]])


def of(operation: Any, way: str) -> Any:
    """The operation as users call it, or its NumPy reference."""
    return operation if way == "kernel" else operation.reference


@WAYS
def test_booleans_with_padding_count_as_0_and_1(way: str) -> None:
    """A padding of 0 leaves the True voxels; of False and True together it leaves none."""
    assert of(project, way)(INSIDE, 1, method="mean", padding=(0, 0)).tolist() == pytest.approx(
        np.array([[1.0, 1.0, 1.0]])
    )
    assert of(project, way)(INSIDE, 1, method="max", padding=(1, 1)).tolist() == [[True, False, False]]
    identity = np.eye(4)
    slab = of(project_slab, way)(INSIDE, identity, (1, 2, 3), method="max", order=0, fill=0.0, padding=(0.5, 1.0))
    assert not slab.any()
    at = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])  # i, j, k: True, False
    values = of(sample, way)(INSIDE, at, order=0, fill=-1.0, padding=(0.0, 0.0))
    assert values.tolist() == [1.0, -1.0]
    moved = of(resample, way)(INSIDE, identity, (1, 2, 3), order=0, fill=0.0, padding=(1.0, 1.0))
    assert not moved.any()
    colors, opacities = np.ones((2, 3)), np.array([1.0, 1.0])
    picture = of(raycast, way)(
        INSIDE, identity, (1, 2, 3), affine=identity, colors=colors, opacities=opacities, window=(0, 1), padding=(0, 1)
    )
    assert not picture.any()


@WAYS
def test_no_percentages_give_no_values(way: str) -> None:
    for kind in (np.uint8, np.float32, bool):
        assert of(percentiles, way)(np.ones((2, 2, 2), kind), []) == ()


@WAYS
def test_padding_of_64_bit_values_above_2_63(way: str) -> None:
    values = np.array([[[0, 5, 2**63, 2**64 - 1]]], np.uint64)
    assert math.isnan(of(percentiles, way)(values, [50], padding=(0, 2.0**64))[0])
    assert of(percentiles, way)(values, [0, 100], padding=(1, 2.0**64)) == (0.0, 0.0)


@WAYS
@pytest.mark.parametrize("label", [2**63, -(2**63) - 1, float("nan"), "x"])
def test_labels_that_no_label_map_holds_are_refused(way: str, label: Any) -> None:
    with pytest.raises(InputError, match="label"):
        of(statistics, way)(np.ones((2, 2, 2)), np.ones((2, 2, 2), np.uint8), labels=[label])


@WAYS
@pytest.mark.parametrize("size", [1e300, 1e-300, math.inf])
def test_spacing_whose_square_is_not_a_number_is_refused(way: str, size: float) -> None:
    mask = np.ones((3, 3, 3), bool)
    with pytest.raises(InputError, match="spacing"):
        of(distance, way)(mask, spacing=(size, 1, 1))
    with pytest.raises(InputError, match="spacing"):
        of(dilate, way)(mask, radius_mm=3, spacing=(size, 1, 1))


@WAYS
def test_a_polygon_in_an_image_without_rows_is_empty(way: str) -> None:
    for shape in ((0, 5), (5, 0), (0, 0)):
        assert of(polygon_mask, way)(np.empty(shape), []).shape == shape


@WAYS
def test_a_window_without_width_in_numbers_is_refused(way: str) -> None:
    for window in ((-math.inf, 0.0), (-1.7e308, 1.7e308)):
        with pytest.raises(InputError, match="window"):
            of(raycast, way)(
                np.ones((2, 2, 2)), np.eye(4), (2, 2, 2), affine=np.eye(4), colors=np.ones((2, 3)),
                opacities=np.ones(2), window=window,
            )  # fmt: skip


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32, np.float64])
def test_values_that_lie_at_an_odd_address_are_counted_like_others(kind: type) -> None:
    expected = np.arange(60, dtype=kind).reshape(3, 4, 5)
    memory = np.empty(expected.nbytes + 1, np.uint8)
    odd = memory[1:].view(kind).reshape(expected.shape)
    odd[...] = expected
    assert not odd.flags.aligned
    assert statistics(odd).sum == 59 * 60 / 2
    assert percentiles(odd, [50]) == (29.5,)


def test_scores_whose_difference_is_not_a_number_do_no_harm() -> None:
    """Two infinite scores differ by NaN, for which there is no integer; the larger class of the others stays right."""
    scores = np.zeros((3, 1, 2, 2), np.float32)
    scores[1] = 1.0
    scores[:, 0, 0, 0] = math.inf
    labels = interpolated_labels(
        scores, np.diag([0.5, 0.5, 1.0, 1.0]), (1, 3, 3), labels=[0, 1, 2], activation="softmax"
    )
    assert int(labels[0, 2, 2]) == 1
