"""Steps on a label map on a device: the same as MONAI's in main memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from gpukit.ai.transforms.postprocess import keep_largest


@given(
    seed=st.integers(0, 2**32 - 1),
    density=st.sampled_from([0.05, 0.3, 0.6]),
    connectivity=st.sampled_from([None, 1, 2, 3]),
    independent=st.booleans(),
    count=st.integers(1, 3),
    applied=st.sampled_from([None, [1], [1, 3], [2]]),
)
@settings(max_examples=60)
def test_the_largest_parts_are_those_of_monai(
    seed: int, density: float, connectivity: int | None, independent: bool, count: int, applied: Any
) -> None:
    from monai.transforms import KeepLargestConnectedComponent

    rng = np.random.default_rng(seed)
    array = (rng.integers(1, 4, (9, 11, 10)) * (rng.random((9, 11, 10)) < density)).astype(np.uint8)
    transform = KeepLargestConnectedComponent(
        applied_labels=applied, is_onehot=False, independent=independent, connectivity=connectivity,
        num_components=count,
    )  # fmt: skip
    labels = torch.from_numpy(array)
    found = keep_largest(labels, transform, labels).numpy()
    wanted = torch.as_tensor(transform(labels[None].clone()))[0].numpy()
    # Of parts of one size any may stay, MONAI's sort does not say which: there as many voxels go, though not the same.
    removed, expected = (found != array), (wanted != array)
    for value in np.unique(array) if independent else [None]:
        of_it = array == value if independent else array > 0
        assert removed[of_it].sum() == expected[of_it].sum()
    if not _has_ties(array, transform):
        np.testing.assert_array_equal(found, wanted)
    assert ((found == array) | (found == 0)).all()


def _has_ties(array: np.ndarray, transform: Any) -> bool:
    """Whether some parts that are looked at together are of one size."""
    from scipy.ndimage import generate_binary_structure, label

    structure = generate_binary_structure(3, transform.connectivity or 3)
    chosen = transform.applied_labels or [v for v in np.unique(array) if v]
    for group in [[v] for v in chosen] if transform.independent else [chosen]:
        sizes = np.bincount(label(np.isin(array, group), structure)[0].ravel())[1:]
        if len(set(sizes)) < len(sizes):
            return True
    return False


def test_a_body_with_two_parts() -> None:
    from monai.transforms import KeepLargestConnectedComponent

    array = np.zeros((4, 12, 12), np.uint8)
    array[1:3, 1:5, 1:5], array[1:3, 8:10, 8:10], array[0, 0, 8:11] = 1, 1, 2
    transform = KeepLargestConnectedComponent()
    labels = torch.from_numpy(array)
    found = keep_largest(labels, transform, labels).numpy()
    assert (found == 1).sum() == 32 and (found == 2).sum() == 3
    np.testing.assert_array_equal(found, torch.as_tensor(transform(labels[None].clone()))[0].numpy())
