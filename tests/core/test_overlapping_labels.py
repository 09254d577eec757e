"""A segmentation whose labels overlap keeps each label whole."""

import numpy as np
import pytest

from gpukit.errors import GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation, one_map

WHOLE = Label(value=1, name="whole", category=ANATOMY, type=TISSUE)
CORE = Label(value=300, name="core", category=ANATOMY, type=TISSUE)


def nested() -> tuple[Segmentation, np.ndarray, np.ndarray]:
    """A core of 8 voxels within a whole of 64."""
    whole, core = np.zeros((4, 6, 6), bool), np.zeros((4, 6, 6), bool)
    whole[:, 1:5, 1:5], core[1:3, 2:4, 2:4] = True, True
    array, planes = one_map([whole, core], [1, 300], np.zeros((4, 6, 6), np.uint16))
    grid = Grid((4, 6, 6), np.eye(4))
    return Segmentation(array=array, grid=grid, labels=(WHOLE, CORE), planes=planes), whole, core


def test_each_label_of_two_that_overlap_is_whole() -> None:
    segmentation, whole, core = nested()
    assert (segmentation.mask(WHOLE) == whole).all() and (segmentation.mask(300) == core).all()
    assert int((segmentation.array == 300).sum()) == 8, "the core can be seen in the one map"


def test_a_label_kept_alone_needs_no_planes() -> None:
    segmentation, whole, _ = nested()
    alone = segmentation.keep([WHOLE])
    assert alone.planes is None and (alone.array == whole).all()


def test_the_order_of_kept_labels_is_that_of_their_planes() -> None:
    segmentation, whole, core = nested()
    turned = segmentation.keep([CORE, WHOLE])
    assert (turned.mask(CORE) == core).all() and (turned.mask(WHOLE) == whole).all()


def test_labels_apart_have_no_planes() -> None:
    left, right = np.zeros((1, 2, 2), bool), np.zeros((1, 2, 2), bool)
    left[..., 0], right[..., 1] = True, True
    array, planes = one_map([left, right], [1, 2], np.zeros((1, 2, 2), np.uint8))
    assert planes is None and array.tolist() == [[[1, 2], [1, 2]]]


def test_more_than_eight_labels_take_more_than_one_plane() -> None:
    masks = [np.zeros((1, 1, 10), bool) for _ in range(10)]
    for n, mask in enumerate(masks):
        mask[..., : n + 1] = True
    array, planes = one_map(masks, list(range(1, 11)), np.zeros((1, 1, 10), np.uint8))
    labels = tuple(Label(value=n, name=str(n), category=ANATOMY, type=TISSUE) for n in range(1, 11))
    segmentation = Segmentation(array=array, grid=Grid((1, 1, 10), np.eye(4)), labels=labels, planes=planes)
    assert [int(segmentation.mask(label).sum()) for label in labels] == list(range(1, 11))
    assert planes.shape == (2, 1, 1, 10)


def test_planes_of_another_shape_are_refused() -> None:
    with pytest.raises(GeometryError, match="bit planes"):
        Segmentation(
            array=np.zeros((1, 2, 2), np.uint8), grid=Grid((1, 2, 2), np.eye(4)), labels=(WHOLE,),
            planes=np.zeros((2, 1, 2, 2), np.uint8),
        )  # fmt: skip


def test_a_label_that_does_not_exist_is_refused() -> None:
    with pytest.raises(SelectionError, match=r"there is no label 7.*1 \(whole\)"):
        nested()[0].mask(7)
