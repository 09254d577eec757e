"""The closed surface of a mask with the triangles that consensus values are computed with."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import InputError
from gpukit.extras import missing_package
from gpukit.geometry import Grid
from gpukit.ops.isosurface import Mesh

__all__ = ["mask_surface"]


def mask_surface(mask: NDArray[Any], grid: Grid) -> Mesh:
    """Return the surface half way between the voxels of a mask and the others, by VTK's flying edges.

    Marching cubes leave open how a bent polygon within a cell is cut into triangles, and the volume enclosed depends on
    it by some tenths of a per cent. The consensus values of the Image Biomarker Standardisation Initiative belong to
    the customary table (Lorensen and Cline 1987, as in VTK, ITK and scikit-image), which flying edges use (Schroeder,
    Maynard, Geveci 2015). For pictures and prints `gpukit.ops.isosurface.isosurface` does as well, on any device.

    Parameters
    ----------
    mask : ndarray, (nk, nj, ni)
        Everything that is not zero is inside; at the border of the array it is closed half a voxel outside.
    grid : Grid
        Where the voxels lie; may be sheared or left-handed.

    Returns
    -------
    Mesh
        Closed, its faces looking outward, in LPS mm.

    Raises
    ------
    InputError
        The mask is empty.
    DependencyError
        VTK is missing.
    """
    inside = np.asarray(mask) != 0
    if not inside.any():
        raise InputError("an empty mask has no surface", attribute="mask")
    values = np.ascontiguousarray(np.pad(inside, 1), dtype=np.uint8)
    support = _vtk("util.numpy_support")
    image = _vtk("vtkCommonDataModel").vtkImageData()
    image.SetDimensions(*values.shape[::-1])
    flat = values.reshape(-1)
    image.GetPointData().SetScalars(support.numpy_to_vtk(flat))
    action = _vtk("vtkFiltersCore").vtkFlyingEdges3D()
    action.SetInputData(image)
    action.ComputeNormalsOff()
    action.ComputeGradientsOff()
    action.ComputeScalarsOff()
    action.SetValue(0, 0.5)
    action.Update()
    polydata = action.GetOutput()
    points = support.vtk_to_numpy(polydata.GetPoints().GetData()).astype(np.float64)
    faces = support.vtk_to_numpy(polydata.GetPolys().GetConnectivityArray()).astype(np.int64).reshape(-1, 3)
    mesh = Mesh(grid.to_world(points - 1), faces)
    return Mesh(mesh.points, np.ascontiguousarray(faces[:, ::-1])) if mesh.volume < 0 else mesh


def _vtk(module: str) -> Any:
    try:
        return import_module(f"vtkmodules.{module}")
    except ImportError as error:
        raise missing_package("the surface of a mask needs VTK", "viz") from error
