"""Closed surfaces around the voxels that reach a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace, move
from gpukit.errors import InputError
from gpukit.extras import missing_package
from gpukit.geometry import Grid
from gpukit.ops.contour import contour

__all__ = ["Mesh", "decimate", "isosurface", "largest_part", "parts", "smooth"]

Points = NDArray[np.float64]
Faces = NDArray[np.int64]
#: Triangles of a part that is scaled to its volume, not moved along its normals.
_SMALL = 400
#: Steps in which a smoothed part comes back to its volume; the error is squared by each.
_STEPS = 4


@dataclass(frozen=True, eq=False)
class Mesh:
    """Triangles in the patient.

    Parameters
    ----------
    points : array of float64, (n, 3)
        LPS mm.
    faces : array of int64, (m, 3)
        Indices of points, counter-clockwise as seen from outside.
    """

    points: Points
    faces: Faces

    @property
    def volume(self) -> float:
        """Enclosed volume in mm³, by the divergence theorem; positive where the faces look outward."""
        return float(_shares(self.points, self.faces).sum())

    @property
    def area(self) -> float:
        """Area of the triangles in mm²."""
        a, b, c = (self.points[self.faces[:, n]] for n in range(3))
        return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


def isosurface(data: Any, threshold: float, grid: Grid, *, padding: Sequence[float] | None = None) -> Mesh:
    """Return the surface around all voxels of at least `threshold`, by `gpukit.ops.contour.contour`.

    Where the object reaches the border of the volume it is closed half a voxel beyond the outermost voxel centres, so a
    voxel at the border counts in full. Where voxels equal the threshold, the surface is laid half way to the next lower
    value that occurs, because surfaces through voxel centres collapse.

    The volume is passed over slice by slice: beside it, one bit a voxel and the surface itself are held.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        On any device, where the surface is made; the mesh comes to the CPU.
    threshold : float
        In the unit of `data`.
    grid : Grid
        Where the voxels lie; may be sheared or left-handed.
    padding : (float, float), optional
        Voxels with values in this closed interval, and such as are not finite, are not measurements: outside.

    Returns
    -------
    Mesh
        Closed, its faces looking outward, in LPS mm.

    Raises
    ------
    InputError
        No surface: the threshold is not between the lowest and the highest value.
    """
    if len(data.shape) != 3 or tuple(int(n) for n in data.shape) != grid.shape:
        raise InputError(f"a volume of the shape {grid.shape} is needed, not {tuple(data.shape)}")
    values = _countable(data)
    points, faces = contour(values, float(threshold), grid.affine, padding=padding)
    placed = np.asarray(move(points, "cpu"), dtype=np.float64)
    return Mesh(placed, np.asarray(move(faces, "cpu"), dtype=np.int64))


def _countable(data: Any) -> Any:
    """Return the same values in a type that kernels take, most often as they are."""
    xp = array_namespace(data)
    for kind, wider in (("bool", "uint8"), ("int8", "int16"), ("float16", "float32"), ("uint32", "float64"),
                         ("int64", "float64"), ("uint64", "float64")):  # fmt: skip
        if data.dtype == getattr(xp, kind, None):
            return xp.astype(data, getattr(xp, wider))
    if isinstance(data, np.ndarray) and not data.dtype.isnative:
        return data.astype(data.dtype.newbyteorder("="))
    return data


def smooth(mesh: Mesh, iterations: int) -> Mesh:
    """Windowed-sinc smoothing (Taubin, Zhang and Golub 1996), after which each part gets its volume back.

    The filter takes off what is thin. Each connected part is therefore moved along its normals (a small one: scaled)
    until it encloses what it did before, to within 0.1 % of the whole.

    Parameters
    ----------
    mesh : Mesh
        Closed.
    iterations : int
        Degree of the filter, one or more; 20 is customary.

    Raises
    ------
    InputError
        `iterations` is less than one.
    """
    if iterations < 1:
        raise InputError(f"smoothing takes one or more iterations, not {iterations}", attribute="smooth")
    core = _vtk("vtkFiltersCore")
    action = core.vtkWindowedSincPolyDataFilter()
    action.SetNumberOfIterations(int(iterations))
    action.SetPassBand(0.1)
    action.NormalizeCoordinatesOn()
    action.FeatureEdgeSmoothingOff()
    action.NonManifoldSmoothingOn()
    return _filled_again(_through(action, mesh), mesh)


def decimate(mesh: Mesh, target: float) -> Mesh:
    """Fewer triangles by quadric edge collapse (Garland and Heckbert 1997), through libigl.

    An edge is collapsed only where that neither tears nor joins anything, so a closed surface stays closed, and more
    triangles than wanted remain where the target cannot be reached so. What is smaller than the triangles that remain
    is lost: look at the volume.

    Parameters
    ----------
    mesh : Mesh
        Closed.
    target : float
        Below 1, the share of the triangles to keep; from 4, their number.

    Raises
    ------
    InputError
        `target` is out of range.
    DependencyError
        libigl is missing.
    """
    count = target * len(mesh.faces) if 0 < target < 1 else target
    if not (0 < target < 1 or (4 <= target < np.inf and target == int(target))):
        raise InputError(
            f"{target:g} is not a target for the triangles to keep", attribute="decimate",
            fix="give a share between 0 and 1, or a number from 4",
        )  # fmt: skip
    if count >= len(mesh.faces):
        return mesh
    try:
        import igl
    except ImportError as error:
        raise missing_package("decimating surfaces needs libigl", "gpl-libigl") from error
    middle = mesh.points.mean(axis=0)
    output = igl.qslim(np.ascontiguousarray(mesh.points - middle), np.ascontiguousarray(mesh.faces), int(count))
    points, faces = (np.asarray(part) for part in (part for part in output if getattr(part, "ndim", 0) == 2))
    if not len(faces):
        raise InputError("nothing is left of the surface", attribute="decimate")
    return Mesh(points.astype(np.float64) + middle, faces.astype(np.int64))


def parts(mesh: Mesh) -> NDArray[np.int64]:
    """Return the number of the connected part that each face belongs to, (m,).

    Raises
    ------
    DependencyError
        SciPy is missing.
    """
    try:
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components
    except ImportError as error:
        raise missing_package("the parts of a surface need SciPy", "viz") from error
    start, end = mesh.faces[:, :2].reshape(-1), mesh.faces[:, 1:].reshape(-1)
    edges = coo_array((np.ones(start.size, np.int8), (start, end)), shape=(len(mesh.points),) * 2)
    return np.asarray(connected_components(edges, directed=False)[1][mesh.faces[:, 0]], dtype=np.int64)


def largest_part(mesh: Mesh) -> Mesh:
    """Only the connected surface that encloses most volume; cavities within it are surfaces of their own and go."""
    region = parts(mesh)
    volumes = np.bincount(region, weights=_shares(mesh.points, mesh.faces))
    faces = mesh.faces[region == int(volumes.argmax())]
    used, renumbered = np.unique(faces, return_inverse=True)
    return Mesh(mesh.points[used], renumbered.reshape(faces.shape).astype(np.int64))


def _shares(points: Points, faces: Faces) -> Points:
    """Signed volume of the tetrahedron of each face and a point in the middle (not the origin: rounding)."""
    centred = points - points.mean(axis=0)
    a, b, c = (centred[faces[:, n]] for n in range(3))
    return np.asarray(np.einsum("ij,ij->i", a, np.cross(b, c)) / 6)


def _filled_again(mesh: Mesh, before: Mesh) -> Mesh:
    """The mesh with each part of the volume that it had: large ones moved along their normals, small ones scaled."""
    region = parts(before)
    count = int(region.max()) + 1
    corners, of_corner = mesh.faces.ravel(), np.repeat(region, 3)
    of_point = np.zeros(len(mesh.points), np.int64)
    of_point[corners] = of_corner
    volumes = np.bincount(region, _shares(before.points, before.faces), count)
    points = mesh.points.copy()
    middles: Points = np.stack([np.bincount(of_point, points[:, n], count) for n in range(3)], 1)
    middles = middles / np.maximum(np.bincount(of_point, minlength=count), 1)[:, None]
    small = np.bincount(region, minlength=count) <= _SMALL
    ratio = volumes / np.where((there := np.bincount(region, _shares(points, mesh.faces), count)) == 0, np.nan, there)
    fixed = small & ~((ratio > 0.1) & (ratio < 10))  # nothing is left to scale: it stays as it was
    factor = np.where(small & ~fixed, np.cbrt(np.where(np.isfinite(ratio), ratio, 1.0)), 1.0)[of_point, None]
    points = middles[of_point] + factor * (points - middles[of_point])
    points = np.where(fixed[of_point, None], before.points, points)
    for _ in range(_STEPS):
        a, b, c = (points[mesh.faces[:, n]] for n in range(3))
        across = np.cross(b - a, c - a)
        normals = np.stack([np.bincount(corners, np.repeat(across[:, n], 3), len(points)) for n in range(3)], 1)
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
        area = np.bincount(region, np.linalg.norm(across, axis=1) / 2, count)
        lacks = volumes - np.bincount(region, _shares(points, mesh.faces), count)
        step = np.divide(lacks, area, out=np.zeros(count), where=(area > 0) & ~small)
        most = 0.25 * np.sqrt(2 * area / np.maximum(np.bincount(region, minlength=count), 1))  # of a triangle's side
        points += normals * np.clip(step, -most, most)[of_point, None]
    return Mesh(points, mesh.faces)


def _through(action: Any, mesh: Mesh) -> Mesh:
    """Return a filter's result; it works in single precision, so around the middle of the mesh."""
    middle = mesh.points.mean(axis=0)
    action.SetInputData(_to_vtk(Mesh(mesh.points - middle, mesh.faces)))
    action.Update()
    result = _from_vtk(action.GetOutput())
    return Mesh(result.points + middle, result.faces)


def _to_vtk(mesh: Mesh) -> Any:
    support, model = _numpy(), _vtk("vtkCommonDataModel")
    points = _vtk("vtkCommonCore").vtkPoints()
    points.SetData(support.numpy_to_vtk(np.ascontiguousarray(mesh.points), deep=True))
    cells = model.vtkCellArray()
    offsets = np.arange(0, 3 * len(mesh.faces) + 1, 3, dtype=np.int64)
    cells.SetData(
        support.numpy_to_vtkIdTypeArray(offsets, deep=True),
        support.numpy_to_vtkIdTypeArray(np.ascontiguousarray(mesh.faces).reshape(-1), deep=True),
    )
    out = model.vtkPolyData()
    out.SetPoints(points)
    out.SetPolys(cells)
    return out


def _from_vtk(polydata: Any) -> Mesh:
    support = _numpy()
    if polydata.GetNumberOfPolys() == 0:
        raise InputError("nothing is left of the surface")
    points = support.vtk_to_numpy(polydata.GetPoints().GetData()).astype(np.float64)
    faces = support.vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).astype(np.int64).reshape(-1, 3)
    return Mesh(points, faces)


def _vtk(module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"vtkmodules.{module}")
    except ImportError as error:
        raise missing_package("surfaces need VTK", "viz") from error


def _numpy() -> Any:
    return _vtk("util.numpy_support")
