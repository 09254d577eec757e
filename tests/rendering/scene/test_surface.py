"""Surfaces against closed forms."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import trimesh
from scipy import ndimage

from gpukit.errors import InputError
from gpukit.files.mesh import is_watertight
from gpukit.geometry import Grid
from gpukit.ops.isosurface import parts
from gpukit.rendering.scene.surface import label_surfaces, surface, usual_threshold
from gpukit.volume import Volume

RADIUS = 12.0
CENTRE = np.array([3.0, -40.0, 100.0])


def placed(shape, matrix):
    """A grid whose middle is CENTRE."""
    affine = np.eye(4)
    affine[:3, :3] = matrix
    affine[:3, 3] = CENTRE - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, affine)


def positions(grid):
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return grid.to_world(np.stack((i, j, k), axis=-1)) - CENTRE


def ball(grid, radius=RADIUS):
    """Distance inside the sphere, so that the linear interpolant is near exact and the surface is at 0."""
    return Volume(array=(radius - np.linalg.norm(positions(grid), axis=-1)).astype(np.float32), grid=grid)


FLIPS = [np.diag(signs) @ np.diag((0.8, 0.9, 1.1)) for signs in product((1, -1), repeat=3)]
TURNED = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [-0.1, 1.0, 0.5], [0.3, -0.2, 1.0]]))[0]
SHEARED = np.array([[0.8, 0.0, 0.0], [0.0, 0.9, 0.35], [0.0, 0.0, 1.1]])


@pytest.mark.parametrize("matrix", [*FLIPS, TURNED, -TURNED, SHEARED, np.diag((-1, 1, 1)) @ SHEARED])
def test_ball_in_every_frame(matrix):
    mesh = surface(ball(placed((48, 48, 48), matrix)), 0.0)
    # Chords of a sphere of radius r with voxels h lie h²/8r inside: 0.013 of 12 mm, 0.3 % of the volume.
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.005)
    assert mesh.area == pytest.approx(4 * np.pi * RADIUS**2, rel=0.005)
    assert np.linalg.norm(mesh.points - CENTRE, axis=1) == pytest.approx(RADIUS, abs=0.05)
    corners = mesh.points[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (np.einsum("ij,ij->i", normals, corners.mean(axis=1) - CENTRE) > -1e-9).all()  # every face looks outward
    assert is_watertight(mesh)


def test_torus():
    grid = placed((26, 60, 60), np.eye(3))
    x, y, z = np.moveaxis(positions(grid), -1, 0)
    values = 7 - np.hypot(np.hypot(x, y) - 18, z)
    mesh = surface(Volume(array=values, grid=grid), 0.0)
    assert mesh.volume == pytest.approx(2 * np.pi**2 * 18 * 49, rel=0.01)
    assert mesh.area == pytest.approx(4 * np.pi**2 * 18 * 7, rel=0.01)
    made = trimesh.Trimesh(mesh.points, mesh.faces, process=False)
    assert made.is_watertight and made.euler_number == 0  # one handle


def test_object_that_fills_a_corner_is_closed_half_a_voxel_outside():
    values = np.zeros((6, 7, 8), np.int16)
    values[:3, :, :] = 100  # a slab that reaches five borders
    mesh = surface(Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(2.0, 3.0, 4.0))), 50)
    assert is_watertight(mesh)
    low, high = mesh.points.min(axis=0), mesh.points.max(axis=0)
    assert low == pytest.approx((-1, -1.5, -2)) and high == pytest.approx((15, 19.5, 10))
    # 8 x 7 x 3 voxels of 24 mm³; the twelve edges are bevelled.
    assert 0.8 * 8 * 7 * 3 * 24 < mesh.volume < 8 * 7 * 3 * 24


def test_values_equal_to_the_threshold_leave_no_degenerate_faces():
    values = np.random.default_rng(3).integers(0, 4, (12, 12, 12)).astype(np.int16)
    mesh = surface(Volume(array=values, grid=Grid.from_axes(values.shape)), 2)
    assert is_watertight(mesh)
    assert trimesh.Trimesh(mesh.points, mesh.faces, process=False).area_faces.min() > 0


@pytest.mark.parametrize("value", [5000, -5000])
def test_padding_makes_no_surface(value):
    grid = placed((40, 40, 40), np.eye(3))
    plain = ball(grid)
    whole = surface(plain, 0.0)
    spoilt = plain.array.copy()
    spoilt[:, :3, :] = value
    mesh = surface(Volume(array=spoilt, grid=grid, padding=(value, value)), 0.0)
    assert mesh.volume == pytest.approx(whole.volume, rel=1e-6)
    with pytest.raises(InputError, match="go from"):
        surface(Volume(array=np.where(spoilt == value, value, 1.0), grid=grid, padding=(value, value)), 0.0)


@pytest.mark.parametrize("threshold", [-21.0, 13.0])
def test_threshold_without_a_surface_names_the_range(threshold):
    grid = Grid.from_axes((3, 3, 3))
    values = np.linspace(-20, 12, 27).reshape(grid.shape)
    with pytest.raises(InputError, match="from -20 to 12"):
        surface(Volume(array=values, grid=grid), threshold)


def test_smoothing_does_not_shrink_and_does_smooth():
    grid = placed((40, 40, 40), np.diag((1.0, 1.0, -1.0)))
    steps = Volume(array=(ball(grid).array > 0).astype(np.uint8), grid=grid)
    rough, even = surface(steps, 0.5), surface(steps, 0.5, smooth=30)
    assert even.volume == pytest.approx(rough.volume, rel=0.001)  # as documented
    spread = [np.linalg.norm(m.points - CENTRE, axis=1).std() for m in (rough, even)]
    assert spread[1] < 0.7 * spread[0]
    assert is_watertight(even)


def cloud() -> Volume:
    """What bone looks like in a noisy scan: one large body with holes, thin bridges and specks."""
    grid = placed((36, 40, 44), np.diag((0.8, 0.9, 2.0)))
    rng = np.random.default_rng(11)
    noise = ndimage.gaussian_filter(rng.normal(size=grid.shape), 1.2)
    return Volume(array=(noise / noise.std() + (ball(grid, 14).array > 0)).astype(np.float32), grid=grid)


def test_smoothing_keeps_the_volume_of_thin_parts_and_specks():
    rough, even = surface(cloud(), 1.0), surface(cloud(), 1.0, smooth=20)
    assert parts(rough).max() > 10
    assert even.volume == pytest.approx(rough.volume, rel=0.001)
    assert is_watertight(even)


@pytest.mark.parametrize("target", [0.4, 4000])
def test_decimation_reaches_its_target_and_tears_nothing(target):
    whole = surface(cloud(), 1.0, largest=True)
    mesh = surface(cloud(), 1.0, largest=True, target=target)
    wanted = target if target > 1 else target * len(whole.faces)
    assert len(mesh.faces) == pytest.approx(wanted, rel=0.01)
    assert is_watertight(mesh)
    # Collapsed edges cut the corners of a rough body: the more, the fewer are left.
    assert mesh.volume == pytest.approx(whole.volume, rel=0.02 if target == 0.4 else 0.1)
    made, before = (trimesh.Trimesh(m.points, m.faces, process=False) for m in (mesh, whole))
    assert made.euler_number == before.euler_number  # as many handles as before


def test_decimation_of_a_ball_stays_on_the_ball():
    mesh = surface(ball(placed((40, 40, 40), np.eye(3))), 0.0, target=2000)
    assert np.linalg.norm(mesh.points - CENTRE, axis=1) == pytest.approx(RADIUS, abs=0.15)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * RADIUS**3, rel=0.01)
    with pytest.raises(InputError, match="not a target"):
        surface(ball(placed((40, 40, 40), np.eye(3))), 0.0, target=3)


def test_beside_flying_edges():
    """VTK's surface of the same image encloses the same, and each of our points lies on it."""
    from vtkmodules.util.numpy_support import numpy_to_vtk, vtk_to_numpy
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    volume = ball(Grid.from_axes((30, 32, 34), spacing=(0.8, 0.9, 1.1), origin=CENTRE - (13.2, 14, 16)), 9.0)
    image = vtkImageData()
    image.SetDimensions(34, 32, 30)
    image.SetSpacing(volume.grid.spacing)
    image.SetOrigin(volume.grid.origin)
    image.GetPointData().SetScalars(numpy_to_vtk(volume.array.ravel()))
    edges = vtkFlyingEdges3D()
    edges.SetInputData(image)
    edges.SetValue(0, 0.0)
    edges.Update()
    theirs = vtk_to_numpy(edges.GetOutput().GetPoints().GetData())
    ours = surface(volume, 0.0)
    order = [np.lexsort(np.round(points, 2).T) for points in (theirs, ours.points)]
    # theirs are float32 at 100 mm; ours keep 1e-3 of a voxel off the voxels' centres
    assert ours.points[order[1]] == pytest.approx(theirs[order[0]], abs=2e-3)
    assert len(ours.faces) == pytest.approx(edges.GetOutput().GetNumberOfPolys(), rel=0.01)


def test_largest_is_by_volume():
    grid = placed((30, 30, 60), np.eye(3))
    x = positions(grid)
    big = 9 - np.linalg.norm(x - np.array((-16, 0, 0)), axis=-1)
    small = 6 - np.linalg.norm(x - (16, 0, 0), axis=-1)
    mesh = surface(Volume(array=np.maximum(big, small), grid=grid), 0.0, largest=True)
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 9**3, rel=0.01)
    assert mesh.points[:, 0].max() < CENTRE[0]
    assert is_watertight(mesh)


def test_labels():
    values = np.zeros((8, 8, 8), np.uint8)
    values[1:4, 1:4, 1:4], values[4:7, 4:7, 4:7] = 3, 7
    volume = Volume(array=values, grid=Grid.from_axes(values.shape))
    made = label_surfaces(volume)
    assert list(made) == [3, 7]
    assert made[3].points.max() == pytest.approx(3.5) and made[7].points.min() == pytest.approx(3.5)
    with pytest.raises(InputError, match="no label 5"):
        label_surfaces(volume, [5])
    image = Volume(array=values - 0.5, grid=volume.grid)
    with pytest.raises(InputError, match="not labels"):
        label_surfaces(image)


def test_a_label_that_fills_the_volume_is_its_box():
    mesh = label_surfaces(Volume(array=np.full((3, 4, 5), 2, np.int16), grid=Grid.from_axes((3, 4, 5))))[2]
    assert is_watertight(mesh)
    assert mesh.points.min(axis=0) == pytest.approx(-0.5) and mesh.points.max(axis=0) == pytest.approx((4.5, 3.5, 2.5))


def test_otsu_separates_two_groups():
    rng = np.random.default_rng(1)
    values = np.where(rng.random((10, 10, 10)) < 0.3, rng.normal(100, 5, (10, 10, 10)), rng.normal(10, 5, (10, 10, 10)))
    assert 25 < usual_threshold(Volume(array=values, grid=Grid.from_axes(values.shape))) < 85
