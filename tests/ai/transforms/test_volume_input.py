"""Geometry of the way to the network and back, against independent arithmetic."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
ndimage = pytest.importorskip("scipy.ndimage", reason="scipy is not installed")

from gpukit.ai.inference.label_map import LabelMap
from gpukit.ai.inference.merger import Block
from gpukit.ai.model.volume_spec import InputSpec, OutputSpec, TransformSpec
from gpukit.ai.transforms.volume_input import model_grid, prepare, whole_voxel_start
from gpukit.geometry import Grid
from gpukit.segmentation import Label
from gpukit.volume import Volume

CODES = ["RAS", "LIA", "LPS", "PIR", "SAL", "IRP"]


def turned(degrees=(0.0, 0.0, 0.0)):
    """Rotation matrix about x, y and z in turn."""
    a, b, c = np.radians(degrees)
    x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    y = np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]])
    z = np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]])
    return z @ y @ x


def grid_of(shape=(12, 15, 18), spacing=(1.1, 0.9, 2.0), degrees=(0, 0, 0), codes="LPS"):
    return Grid.from_axes(shape, spacing=spacing, origin=(-11.0, 7.0, 30.0), direction=turned(degrees)).reoriented(
        codes
    )[0]


def world_volume(grid, function):
    """A volume whose value is a function of the world position (LPS mm)."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    world = grid.to_world(np.stack([i, j, k], axis=-1))
    return Volume(array=function(world).astype(np.float32), grid=grid)


def linear(world):
    return world @ np.array([1.0, -2.0, 0.5]) + 100.0


@settings(deadline=None, max_examples=25)
@given(
    st.sampled_from(CODES),
    st.sampled_from(CODES),
    st.tuples(*(st.floats(-20, 20) for _ in range(3))),
    st.sampled_from([None, (1.0, 1.0, 1.0), (0.7, 1.3, 2.2)]),
    st.sampled_from([None, (9, 14, 11)]),
)
def test_every_voxel_the_network_sees_is_where_it_should_be(codes, wanted, degrees, spacing, size):
    """A field that is linear in space stays so under linear interpolation, wherever the voxel is inside the source."""
    source = grid_of(degrees=degrees, codes=codes)
    spec = InputSpec(orientation=wanted, spacing=spacing or source.reoriented(wanted)[0].spacing, size=size)
    grid = model_grid(source, spec)
    assert grid.codes == wanted
    assert np.allclose(grid.spacing, spec.spacing)
    if size:
        assert grid.shape == size[::-1]
        middles = grid.corners().mean(axis=0), source.corners().mean(axis=0)
        # Voxels are kept, so the middle may be off by half a voxel; rounding their number adds another half.
        assert np.all(np.abs(np.linalg.solve(grid.direction, middles[0] - middles[1])) <= np.array(grid.spacing) + 1e-6)
    image = prepare(world_volume(source, linear), spec, grid).numpy()[0].transpose(2, 1, 0)
    index = source.to_index(np.stack(world_points(grid), axis=-1))
    within = ((index >= 0) & (index <= np.array(source.shape[::-1]) - 1)).all(axis=-1)
    expected = linear(np.stack(world_points(grid), axis=-1))
    assert within.any()
    # float32 values around 100 interpolated with float32 weights: 1e-3 of a value that changes by 2 a millimetre.
    assert np.abs(image - expected)[within].max() < 2e-3


def world_points(grid):
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    world = grid.to_world(np.stack([i, j, k], axis=-1))
    return world[..., 0], world[..., 1], world[..., 2]


def test_conform_is_parallel_to_the_patient_and_centred():
    source = grid_of(degrees=(12.5, 0, 3), codes="PIR")
    grid = model_grid(source, InputSpec(orientation="LIA", spacing=(1, 1, 1), size=(64, 64, 64), axes="patient"))
    # Columns of the affine to LPS for L, I, A: +x, -z, -y.
    assert np.array_equal(grid.affine[:3, :3], [[1, 0, 0], [0, 0, -1], [0, -1, 0]])
    assert np.allclose(grid.corners().mean(axis=0), source.corners().mean(axis=0))


def test_conform_of_the_real_brain_is_the_grid_of_the_reference(data):
    """The label map beside the series was made on a grid conformed by other software."""
    nib = pytest.importorskip("nibabel", reason="nibabel is not installed")
    reference = nib.load(data / "mr_t1_brain" / "expected_tissue_fast_minmax_conformed.nii.gz")
    # The geometry of the series, from its headers: 128 sagittal slices of 256 x 256, 1.33 x 1 x 1 mm, oblique.
    rows, columns = (0.0, 0.97629602097038, -0.21643954797459), (0.0, -0.21643954797459, -0.97629602097038)
    affine = np.eye(4)
    affine[:3, :3] = np.column_stack([rows, columns, np.cross(rows, columns) * 1.33])
    affine[:3, 3] = (85.69229, -123.869376, 159.934076)
    spec = InputSpec(orientation="LIA", spacing=(1, 1, 1), size=(256, 256, 256), axes="patient")
    grid = model_grid(Grid((128, 256, 256), affine), spec)
    assert np.abs(grid.ras_affine - reference.affine).max() < 2e-3  # mm


def test_a_grid_of_the_same_voxels_is_reached_without_arithmetic():
    source = grid_of(codes="PIR")
    values = np.random.default_rng(0).integers(-1000, 3000, source.shape).astype(np.int16)
    spec = InputSpec(orientation="RAS", size=(20, 10, 30), spacing=source.reoriented("RAS")[0].spacing, fill=-7.0)
    grid = model_grid(source, spec)
    image = prepare(Volume(array=values, grid=source), spec, grid).numpy()[0].transpose(2, 1, 0)
    where = np.rint(source.to_index(np.stack(world_points(grid), axis=-1))).astype(int)
    within = ((where >= 0) & (where < source.shape[::-1])).all(axis=-1)
    i, j, k = np.moveaxis(np.where(within[..., None], where, 0), -1, 0)
    assert np.array_equal(image, np.where(within, values[k, j, i], -7.0))
    assert 0 < within.sum() < within.size


def test_what_lies_outside_becomes_the_fill_and_the_border_is_not_blurred_by_it():
    source = Grid.from_axes((8, 8, 8), spacing=(2, 2, 2))
    volume = Volume(array=np.full(source.shape, 50, np.int16), grid=source)
    spec = InputSpec(spacing=(1, 1, 1), fill=-1000.0)
    # Weights of float32 sum to one within 1e-6.
    assert np.allclose(prepare(volume, spec, model_grid(source, spec)), 50.0, atol=1e-3)
    spec = InputSpec(spacing=(1.0, 1.0, 1.0), size=(40, 40, 40), orientation="LPS", axes="patient", fill=-1000.0)
    image = prepare(volume, spec, model_grid(source, spec))[0]
    assert image[0, 0, 0] == pytest.approx(-1000.0)
    assert image[20, 20, 20] == pytest.approx(50.0, abs=1e-3)


def test_padding_and_nan_neither_spread_nor_set_the_scale():
    values = np.full((6, 6, 6), 10.0, np.float32)
    values[3:] = 30.0
    values[0] = -3024.0
    values[1, 2, 3] = np.nan
    volume = Volume(array=values, grid=Grid.from_axes(values.shape), padding=(-3024.0, -3024.0))
    spec = InputSpec(intensity=(TransformSpec("ScaleIntensity", {"minv": 0.0, "maxv": 1.0}),))
    image = prepare(volume, spec, model_grid(volume.grid, spec))
    assert torch.isfinite(image).all()
    assert set(image.unique().tolist()) == {0.0, 1.0}
    assert image[0, :, :, 3:].eq(1.0).all()


# --- the way back ----------------------------------------------------------------------------------------------------


def labels_of(count):
    return tuple(Label(v, f"{v}", ("a", "b", "c"), ("a", "b", "c")) for v in range(1, count + 1))


def pour(target, sums, sides, weights=None):
    """Hand a whole array of logits over in blocks."""
    lines = [range(0, n, side) for n, side in zip(sums.shape[1:], sides, strict=True)]
    for start in itertools.product(*lines):
        box = tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True))
        target.add(Block(start, sums[(slice(None), *box)], None if weights is None else weights[box]))
    return target.finish().numpy()


#: Voxels of a block along each axis.
SIDES = [(3, 99, 99), (99, 3, 99), (99, 99, 3), (4, 5, 3), (1, 6, 1)]


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("sides", SIDES)
@pytest.mark.parametrize(
    ("degrees", "codes"), [((0, 0, 0), "LPS"), ((0, 0, 0), "SAL"), ((13, -8, 21), "PIR"), ((44, 3, 0), "RAS")]
)
def test_labels_return_by_interpolated_probabilities(activation, sides, degrees, codes):
    """Against SciPy, which interpolates the probabilities of every class over the whole volume."""
    source = grid_of(shape=(20, 17, 15), spacing=(1.0, 1.2, 0.8), degrees=degrees, codes=codes)
    grid = model_grid(source, InputSpec(orientation="RAS", spacing=(1.5, 1.4, 1.7), size=(12, 13, 9), axes="patient"))
    rng = np.random.default_rng(3)
    classes = 4
    logits = ndimage.gaussian_filter(rng.normal(size=(classes, *grid.shape[::-1])), (0, 1, 1, 1)).astype(np.float32) * 9
    if activation == "softmax":
        chances = np.exp(logits) / np.exp(logits).sum(axis=0)
        count = classes - 1
    else:
        chances, count = 1 / (1 + np.exp(-logits)), classes
    index = grid.to_index(np.stack(world_points(source), axis=-1))
    sizes = np.array(grid.shape[::-1])
    inside = ((index >= -0.5) & (index <= sizes - 0.5)).all(axis=-1)
    at = np.moveaxis(np.clip(index, 0, sizes - 1), -1, 0)
    every = np.stack([ndimage.map_coordinates(c, at, order=1) for c in chances.astype(np.float64)])
    best = every.argmax(axis=0)
    expected = best if activation == "softmax" else np.where(every.max(axis=0) >= 0.5, best + 1, 0)
    expected = np.where(inside, expected, 0)
    second = np.sort(every, axis=0)[-2]
    unclear = (every.max(axis=0) - second < 1e-5) | (np.abs(every.max(axis=0) - 0.5) < 1e-5)

    weights = torch.rand(grid.shape[::-1], generator=torch.Generator().manual_seed(4)) + 0.5
    target = LabelMap(source, grid, OutputSpec(activation=activation, labels=labels_of(count)), torch.device("cpu"))
    found = pour(target, torch.from_numpy(logits) * weights, sides, weights)
    assert found.shape == source.shape
    assert found.dtype == np.uint8
    if activation == "softmax":
        assert np.array_equal(found[~unclear], expected[~unclear])
    else:  # each label on its own, whichever others share its voxels
        planes = target.labelling().planes.numpy()
        for n, chance in enumerate(every):
            clear = np.abs(chance - 0.5) > 1e-5
            assert np.array_equal(((planes[0] >> n) & 1 == 1)[clear], ((chance >= 0.5) & inside)[clear])
    assert 0 < inside.mean() < 1
    assert len(np.unique(expected)) == count + 1


@pytest.mark.parametrize("codes", CODES)
@pytest.mark.parametrize("sides", [(4, 99, 99), (99, 99, 4), (5, 6, 7)])
def test_labels_of_the_same_voxels_return_without_interpolation(codes, sides):
    source = grid_of(codes=codes)
    spec = InputSpec(orientation="RAS", spacing=source.reoriented("RAS")[0].spacing, size=(20, 11, 13))
    grid = model_grid(source, spec)
    assert whole_voxel_start(source, grid) is not None
    logits = torch.randn((3, *grid.shape[::-1]), generator=torch.Generator().manual_seed(5))
    target = LabelMap(source, grid, OutputSpec(activation="softmax", labels=labels_of(2)), torch.device("cpu"))
    found = pour(target, logits, sides)
    where = np.rint(grid.to_index(np.stack(world_points(source), axis=-1))).astype(int)
    within = ((where >= 0) & (where < grid.shape[::-1])).all(axis=-1)
    i, j, k = np.moveaxis(np.where(within[..., None], where, 0), -1, 0)
    assert np.array_equal(found, np.where(within, logits.argmax(dim=0).numpy()[i, j, k], 0))
    assert found.shape == source.shape


def test_where_every_window_was_skipped_there_is_background():
    source = Grid.from_axes((8, 8, 8))
    logits, weights = torch.zeros(3, 8, 8, 8), torch.ones(8, 8, 8)
    logits[2] = 5.0
    logits[:, :4], weights[:4] = 0.0, 0.0
    target = LabelMap(source, source, OutputSpec(activation="sigmoid", labels=labels_of(3)), torch.device("cpu"))
    found = pour(target, logits, (3, 8, 8), weights)
    assert not found[:, :, :4].any()
    assert (found[:, :, 4:] == 3).all()


def test_labels_above_255_need_and_get_sixteen_bits():
    source = Grid.from_axes((4, 4, 4))
    labels = (Label(1, "a", ("a", "b", "c"), ("a", "b", "c")), Label(40000, "b", ("a", "b", "c"), ("a", "b", "c")))
    logits = torch.full((2, 4, 4, 4), -3.0)
    logits[1, 0] = 3.0
    target = LabelMap(source, source, OutputSpec(activation="sigmoid", labels=labels), torch.device("cpu"))
    found = pour(target, logits, (4, 4, 4))
    assert found.dtype == np.uint16
    assert (found[:, :, 0] == 40000).all()
