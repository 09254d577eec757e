"""Connected components on every backend, against SciPy and SimpleITK."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import SimpleITK
from skimage.measure import label as skimage_label

from gpukit.errors import InputError
from gpukit.ops.components import components, largest_component

SHAPES = [(1, 1, 1), (1, 9, 11), (13, 1, 7), (9, 12, 1), (8, 17, 33), (50,), (21, 30)]


@pytest.mark.parametrize("connectivity", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [0.05, 0.35, 0.6])
def test_random_masks(lib, rng, shape, connectivity, share):
    mask = rng.random(shape) < share
    rank = min(connectivity, len(shape))
    # SciPy and scikit-image number in the order of the first voxel too, so labels are compared as they are
    wanted, count = scipy.ndimage.label(mask, scipy.ndimage.generate_binary_structure(len(shape), rank))
    labels, found = lib(components, mask, connectivity=connectivity)
    assert found == count
    assert labels.dtype == np.int32
    np.testing.assert_array_equal(labels, wanted)
    np.testing.assert_array_equal(labels, skimage_label(mask, connectivity=rank))


def serpent(n: int) -> np.ndarray:
    """One long winding path: the worst case for label propagation."""
    mask = np.zeros((n, n), bool)
    mask[::2] = True
    mask[1::4, -1] = True
    mask[3::4, 0] = True
    return mask


def spiral(n: int) -> np.ndarray:
    """Two arms that meet only in the middle; provisional labels must be merged late."""
    mask = np.ones((n, n), bool)
    for ring in range(1, n // 2, 2):
        mask[ring, ring : n - ring] = mask[n - 1 - ring, ring : n - ring] = False
        mask[ring : n - ring, ring] = mask[ring : n - ring, n - 1 - ring] = False
        mask[ring, ring] = True
    return mask


@pytest.mark.parametrize("make", [serpent, spiral, np.ones, lambda n: np.zeros((n, n), bool)])
def test_winding_shapes(lib, make):
    flat = make(25) if make is not np.ones else np.ones((25, 25))
    for mask in (flat, np.stack([flat, np.zeros_like(flat), flat[::-1]]), np.stack([flat, flat.T])):
        wanted, count = scipy.ndimage.label(mask)
        labels, found = lib(components, mask)
        assert found == count
        np.testing.assert_array_equal(labels, wanted)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "float32"])
def test_anything_but_zero_is_inside(lib, rng, dtype):
    values = rng.integers(-1, 2, (6, 9, 8)) * 0.5 if dtype == "float32" else rng.integers(0, 2, (6, 9, 8)) * 200
    mask = values.astype(dtype)
    labels, _ = lib(components, mask[:, ::-1])
    np.testing.assert_array_equal(labels, scipy.ndimage.label(mask[:, ::-1])[0])


def test_simpleitk_agrees(lib, rng):
    mask = (rng.random((12, 20, 18)) < 0.3).astype("uint8")
    for full, connectivity in ((False, 1), (True, 3)):
        image = SimpleITK.ConnectedComponent(SimpleITK.GetImageFromArray(mask), full)
        wanted = SimpleITK.GetArrayFromImage(image)
        labels, count = lib(components, mask, connectivity=connectivity)
        assert count == wanted.max()
        # ITK may number otherwise: the partition must be the same, one to one
        pairs = set(zip(labels.ravel().tolist(), wanted.ravel().tolist(), strict=True))
        assert len(pairs) == count + 1


def test_largest(lib):
    mask = np.zeros((4, 10, 10), bool)
    mask[0, :2, :2] = True
    mask[2, 5:8, 5:8] = True
    mask[0, 9, :5] = True
    wanted = np.zeros_like(mask)
    wanted[2, 5:8, 5:8] = True
    np.testing.assert_array_equal(lib(largest_component, mask), wanted)
    assert not lib(largest_component, np.zeros_like(mask)).any()
    tie = np.array([[1, 1, 0, 1, 1]], dtype="uint8")
    np.testing.assert_array_equal(lib(largest_component, tie), [[True, True, False, False, False]])


@pytest.mark.parametrize("connectivity", [0, 4])
def test_wrong_connectivity(lib, connectivity):
    with pytest.raises(InputError, match="connectivity"):
        lib(components, np.ones((3, 3, 3), bool), connectivity=connectivity)
    with pytest.raises(InputError, match="axes"):
        lib(components, np.ones((3, 3, 3, 3), bool))
