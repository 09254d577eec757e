"""Labels between voxels: those of scores interpolated by SciPy class by class, on every backend, whole and in parts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates

from gpukit.errors import GeometryError, InputError
from gpukit.ops.interpolated_labels import interpolated_labels

#: Scores so near to each other that single precision may order them either way.
TIE = 2e-5
WAYS = ("none", "softmax", "sigmoid", "regions")


def scores(rng: np.random.Generator, classes: int, shape: tuple[int, ...], steep: float = 60.0) -> np.ndarray:
    """Smooth fields with a little noise: regions of one class, borders of two, corners of several."""
    smooth = np.stack([gaussian_filter(rng.normal(size=shape), 2.0) for _ in range(classes)])
    return (steep * smooth + 0.1 * rng.normal(size=smooth.shape)).astype(np.float32)


def apart(size: tuple[int, ...], shape: tuple[int, ...], flips: tuple[bool, ...] = (False,) * 3) -> np.ndarray:
    """The map of a grid onto another whose outer faces are the same, with axes flipped."""
    m = np.eye(4)
    for a, (n, new, flip) in enumerate(zip(size[::-1], shape[::-1], flips[::-1], strict=True)):
        step = n / new
        m[a, a], m[a, 3] = (-step, n - 0.5 - 0.5 * step) if flip else (step, 0.5 * step - 0.5)
    return m


def book(
    data: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], way: str, values: list[int], weights: Any = None
):
    """Labels, and by how much each is ahead of what it was before; in float64 by SciPy."""
    raw = data.astype(float)
    idle = np.zeros(data.shape[1:], bool) if weights is None else weights == 0
    if weights is not None:
        raw = np.where(idle, 0.0, raw / np.where(idle, 1.0, weights))
    if way == "softmax":
        raw = np.exp(raw - raw.max(axis=0))
        raw /= raw.sum(axis=0)
    elif way == "sigmoid":
        raw = 1 / (1 + np.exp(-raw))
    raw[:, idle] = 0.0
    if way in ("none", "softmax"):
        raw[0, idle] = 1.0
    k, j, i = np.indices(shape).reshape(3, -1)
    at = (matrix @ np.stack([i, j, k, np.ones_like(i)]))[2::-1]
    inside = np.all(
        [(y >= -0.5 - 1e-6) & (y <= n - 0.5 + 1e-6) for y, n in zip(at, data.shape[1:], strict=True)], axis=0
    )
    found = np.stack([map_coordinates(one, at, order=1, mode="nearest") for one in raw])
    table = np.array([*values, 0])
    if way == "regions":
        winner = np.full(found.shape[1], -1)
        for c, one in enumerate(found):
            winner[one > 0] = c
        clear = np.abs(found).min(axis=0)
    else:
        winner = found.argmax(axis=0)
        ordered = np.sort(found, axis=0)
        clear = ordered[-1] - ordered[-2] if len(found) > 1 else np.full(found.shape[1], np.inf)
        if way == "sigmoid":
            winner[ordered[-1] < 0.5] = -1
            clear = np.minimum(clear, np.abs(ordered[-1] - 0.5))
    return np.where(inside, table[winner], 0).reshape(shape), clear.reshape(shape)


def check(found: np.ndarray, wanted: np.ndarray, clear: np.ndarray) -> None:
    assert found.shape == wanted.shape
    wrong = found != wanted
    assert not (wrong & (clear > TIE)).any()
    assert np.count_nonzero(wrong) <= wrong.size // 200  # ties are rare
    assert len(np.unique(wanted)) > 1  # one label everywhere would prove nothing


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_labels_are_those_of_interpolated_scores(lib, rng, way: str, weighted: bool) -> None:
    size, shape = (9, 14, 13), (17, 15, 29)
    data = scores(rng, 6, size)
    weights = None
    if weighted:
        weights = rng.uniform(0.01, 3.0, size).astype(np.float32)
        weights[:, :4] = 0
        data = data * weights
    values = list(range(6)) if way in ("none", "softmax") else [3, 1, 7, 300, 2, 9]
    for matrix in (apart(size, shape, (False, True, False)), turned(size, shape)):
        found = lib(
            interpolated_labels,
            data,
            matrix,
            shape,
            labels=values,
            activation=way,
            weights=weights,
            arrays=("weights",),
        )
        assert found.dtype == ("uint8" if max(values) < 256 else "int32")
        check(found, *book(data, matrix, shape, way, values, weights))


def turned(size: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """An oblique map about the centres of both grids, that also turns axes into each other."""
    a, b = np.deg2rad(25), np.deg2rad(100)
    one = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1.0]])
    two = np.array([[1.0, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    m = np.eye(4)
    m[:3, :3] = 0.6 * one @ two
    m[:3, 3] = (np.array(size[::-1]) - 1) / 2 - m[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return m


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("oblique", [False, True])
def test_parts_that_share_a_plane_make_up_the_whole(lib, rng, axis: int, oblique: bool) -> None:
    """Each voxel belongs to one part, those exactly on a shared plane too (every second one lies on a plane here)."""
    size, shape = (9, 7, 8), (18, 13, 16)
    data = scores(rng, 5, size)
    matrix = turned(size, shape) if oblique else np.diag([0.5, 0.5, 0.5, 1.0])
    options = {"labels": [1, 2, 3, 4, 5]}
    whole = lib(interpolated_labels, data, matrix, shape, **options)
    total = np.zeros(shape, int)
    count = size[axis]
    for first, stop in ((0, 3), (2, 4), (3, 4), (3, count)):
        part = data.take(range(first, stop), axis=axis + 1)
        planes = (axis, first, count)
        total += lib(interpolated_labels, part, matrix, shape, planes=planes, **options)
    np.testing.assert_array_equal(total, whole)


@pytest.mark.parametrize("oblique", [False, True])
def test_parts_along_all_axes_make_up_the_whole(lib, rng, oblique: bool) -> None:
    size, shape = (9, 7, 8), (18, 13, 16)
    data = scores(rng, 5, size)
    matrix = turned(size, shape) if oblique else np.diag([0.5, 0.5, 0.5, 1.0])
    options = {"labels": [1, 2, 3, 4, 5]}
    whole = lib(interpolated_labels, data, matrix, shape, **options)
    total = np.zeros(shape, int)
    for parts in itertools.product(*([(0, 3), (2, n)] for n in size)):
        part = data[(slice(None), *(slice(*ends) for ends in parts))]
        planes = [(axis, first, size[axis]) for axis, (first, _) in enumerate(parts)]
        total += lib(interpolated_labels, part, matrix, shape, planes=planes, **options)
    np.testing.assert_array_equal(total, whole)


def test_a_piece_of_the_output_is_that_piece_of_the_whole(lib, rng) -> None:
    size, shape = (6, 9, 8), (13, 17, 19)
    data = scores(rng, 4, size)
    options = {"labels": range(4), "activation": "softmax"}
    whole = lib(interpolated_labels, data, turned(size, shape), shape, **options)
    found = lib(interpolated_labels, data, turned(size, shape), (4, 6, 5), start=(7, 3, 9), **options)
    np.testing.assert_array_equal(found, whole[7:11, 3:9, 9:14])


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_along_one_axis_the_nearest_plane_may_count(lib, rng, axis: int) -> None:
    """Half as many planes again, and halves belong to the later plane."""
    size, shape = (8, 9, 10), (16, 18, 20)
    data = scores(rng, 4, size)
    matrix = apart(size, shape)
    found = lib(interpolated_labels, data, matrix, shape, labels=range(4), nearest=axis)
    doubled = np.repeat(data, 2, axis=axis + 1)
    across = apart(doubled.shape[1:], shape)
    check(found, *book(doubled, across, shape, "none", [0, 1, 2, 3]))
    shifted = matrix.copy()
    shifted[2 - axis] = 0.0
    shifted[2 - axis, 2 - axis], shifted[2 - axis, 3] = 1.0, 0.5
    moved = lib(interpolated_labels, data, shifted, tuple(size[axis] if n == axis else s for n, s in enumerate(shape)),
                labels=range(4), nearest=axis)  # fmt: skip
    later = np.take(data, np.minimum(np.arange(size[axis]) + 1, size[axis] - 1), axis=axis + 1)
    straight = shifted.copy()
    straight[2 - axis, 3] = 0.0
    wanted = lib(interpolated_labels, later, straight, moved.shape, labels=range(4), nearest=axis)
    keep = [slice(None)] * 3
    keep[axis] = slice(0, size[axis])
    inside = np.arange(size[axis]) + 0.5 <= size[axis] - 0.5
    np.testing.assert_array_equal(np.compress(inside, moved, axis=axis), np.compress(inside, wanted, axis=axis))


def test_many_classes_in_any_order_of_memory(lib, rng) -> None:
    """A hundred classes whose noise makes others than the corners' own win now and then."""
    size, shape = (7, 12, 11), (12, 19, 18)
    data = scores(rng, 100, size, steep=3.0)
    matrix = apart(size, shape)
    wanted = book(data, matrix, shape, "none", list(range(100)))
    other = np.ascontiguousarray(data.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert other.strides != data.strides
    for given in (data, other):
        check(lib(interpolated_labels, given, matrix, shape, labels=range(100)), *wanted)


def test_a_class_that_is_no_corners_own_may_win(lib) -> None:
    """Two thirds of the way neither the first nor the second class, each far below at the other's corner."""
    data = np.array([[10.0, -30.0], [-30.0, 10.0], [9.0, 9.0]], np.float32).reshape(3, 1, 1, 2)
    found = lib(interpolated_labels, data, np.diag([0.25, 1, 1, 1.0]), (1, 1, 5), labels=[1, 2, 3])
    assert found.tolist() == [[[1, 3, 3, 3, 2]]]


def test_of_equal_scores_the_first_class_wins(lib) -> None:
    data = np.zeros((4, 2, 2, 2), np.float32)
    data[1:3] = 5.0
    found = lib(interpolated_labels, data, apart((2, 2, 2), (4, 4, 4)), (4, 4, 4), labels=[9, 8, 7, 6])
    assert np.unique(found).tolist() == [8]


def test_outside_the_scores_there_is_background(lib) -> None:
    data = np.full((1, 3, 3, 3), 2.0, np.float32)
    found = lib(interpolated_labels, data, np.diag([1, 1, 1, 1.0]) - np.eye(4, k=3), (3, 3, 5), labels=[4])
    assert found[1, 1].tolist() == [0, 4, 4, 4, 0]


def test_arguments_are_checked(lib, rng) -> None:
    data = scores(rng, 3, (4, 4, 4))
    for wrong in (
        {"labels": [1, 2]}, {"activation": "tanh"}, {"nearest": 3}, {"planes": (0, 1, 4)}, {"labels": [1, 2, -3]},
    ):  # fmt: skip
        with pytest.raises(InputError):
            lib(interpolated_labels, data, np.eye(4), (4, 4, 4), **{"labels": [0, 1, 2], **wrong})
    with pytest.raises(InputError):
        lib(interpolated_labels, data[0], np.eye(4), (4, 4, 4), labels=[0, 1, 2])
    with pytest.raises(GeometryError):
        lib(interpolated_labels, data, np.full((4, 4), np.nan), (4, 4, 4), labels=[0, 1, 2])


def test_the_compiled_kernel_runs_for_single_precision_only(rng) -> None:
    from gpukit_backends.cpu.library import library

    if library().handle is None:
        pytest.skip(library().why)
    data = scores(rng, 3, (4, 4, 4))
    runs = interpolated_labels.explain(data, np.eye(4), (4, 4, 4), labels=[0, 1, 2])
    assert runs.function.startswith("gpukit_backends.cpu")
    other = interpolated_labels.explain(data.astype(np.float64), np.eye(4), (4, 4, 4), labels=[0, 1, 2])
    assert "not float32" in other.why
