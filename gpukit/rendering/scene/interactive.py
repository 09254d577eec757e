"""A window to turn a volume and its surfaces in, through pyvista."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.device import move
from gpukit.documents.atomic import atomic_path, check_output
from gpukit.errors import DeviceError, InputError, SelectionError
from gpukit.extras import missing_package
from gpukit.ops.isosurface import Mesh
from gpukit.ops.windowing import Window, as_voi
from gpukit.rendering.scene.camera import camera_view, check_size, extent
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer, transfer_for
from gpukit.volume import Volume

if TYPE_CHECKING:
    from gpukit.files.mesh import Part

__all__ = ["METHODS", "check_display", "has_display", "show"]

METHODS = ("volume", "surface", "planes")
_BONE = (237, 222, 196)


def has_display() -> bool:
    """Return whether a window can be opened here: Linux needs an X server or Wayland, others have a desktop."""
    if sys.platform.startswith(("win", "darwin", "cygwin")):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def check_display() -> None:
    """DeviceError where no window can be opened."""
    if not has_display():
        raise DeviceError(
            "there is no display to open a window on (DISPLAY is not set)",
            fix="log in with one (ssh -X, a desktop), or draw into a file with --screenshot FILE",
        )


def show(
    volume: Volume | None,
    *,
    method: str = "volume",
    transfer: str | Transfer | None = None,
    threshold: float | None = None,
    parts: Sequence[Part] = (),
    window: Window | None = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    size: tuple[int, int] = (900, 700),
    background: Sequence[float] = (0.0, 0.0, 0.0),
    screenshot: str | os.PathLike[str] | None = None,
    force: bool = False,
) -> None:
    """Open a window with a volume or surfaces, in LPS mm, and wait until it is closed.

    The mouse turns, its wheel zooms, ``q`` closes. The corner shows where left (L), back (P) and head (S) are.

    Parameters
    ----------
    volume : Volume or None
        3D and grey, on any device; None shows `parts` alone.
    method : {"volume", "surface", "planes"}
        Volume rendering, the surface of `threshold`, or three planes through the middle that can be moved.
    transfer : str, Transfer or None
        For ``volume``, as in `gpukit.rendering.scene.camera.render`.
    threshold : float or None
        For ``surface``, as in `gpukit.rendering.scene.surface.surface`.
    parts : sequence of Part
        More surfaces, with names and colours, such as those of labels.
    window : Voi, (float, float) or None
        For ``planes``: the values shown black and white; None takes the range.
    azimuth, elevation : float
        Where the camera starts, as in `gpukit.rendering.scene.camera.render`.
    size : (int, int)
        Width and height in pixels.
    background : (float, float, float)
        Red, green and blue from 0 to 1.
    screenshot : path-like, optional
        Draw without a window into this PNG instead.
    force : bool
        Overwrite an existing screenshot.

    Raises
    ------
    DeviceError
        There is no display.
    DependencyError
        pyvista is missing.
    InputError, SelectionError
        There is nothing to show, or the volume has phases or colours.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}", attribute="method", fix=f"use one of {', '.join(METHODS)}")
    if volume is None and not parts:
        raise InputError("there is nothing to show")
    if volume is not None and volume.axes != "kji":
        raise SelectionError(
            "the volume has phases or colours, and a window shows one value a voxel", attribute="phase"
        )
    width, height = check_size(size)
    view = camera_view(azimuth, elevation)
    if screenshot is None:
        check_display()
    else:
        check_output(screenshot, force=force)
    try:
        import pyvista
    except ImportError as error:
        raise missing_package("a window needs pyvista", "show") from error
    plotter = pyvista.Plotter(off_screen=screenshot is not None, window_size=[width, height], title="gpukit")
    try:
        plotter.set_background(list(background))
        for part in _surfaces(volume, method, threshold, parts):
            plotter.add_mesh(
                _poly(pyvista, part.mesh), color=[c / 255 for c in part.color], name=part.name, specular=0.3
            )
        if volume is not None and method == "volume":
            _add_body(pyvista, plotter, volume, _look(volume, transfer))
        elif volume is not None and method == "planes":
            _add_planes(pyvista, plotter, volume, window, movable=screenshot is None)
        plotter.add_axes(xlabel="L", ylabel="P", zlabel="S")
        _aim(plotter, volume, parts, view, width, height)
        if screenshot is None:
            plotter.show()
            return
        picture = np.asarray(plotter.screenshot(return_img=True))
    finally:
        plotter.close()
    _write(picture, screenshot, force)


def _surfaces(volume: Volume | None, method: str, threshold: float | None, parts: Sequence[Part]) -> Sequence[Part]:
    if volume is None or method != "surface":
        return parts
    from gpukit.files.mesh import Part as Named
    from gpukit.rendering.scene.surface import surface

    return [Named("surface", surface(volume, threshold), _BONE), *parts]


def _look(volume: Volume, transfer: str | Transfer | None) -> Transfer:
    if transfer is None:
        return transfer_for(volume)
    return find_transfer(transfer) if isinstance(transfer, str) else transfer


def _poly(pyvista: Any, mesh: Mesh) -> Any:
    faces = np.column_stack((np.full(len(mesh.faces), 3), mesh.faces)).ravel()
    return pyvista.PolyData(mesh.points, faces)


def _image(pyvista: Any, volume: Volume) -> tuple[Any, Any]:
    """The voxels in index coordinates and the matrix that brings them to LPS mm, right-handed for VTK's mappers."""
    array, affine = np.asarray(move(volume.array, "cpu")), volume.grid.affine.copy()
    if array.dtype.itemsize > 4 or array.dtype.kind == "f":
        array = array.astype(np.float32)
    if volume.padding is not None or array.dtype.kind == "f":
        missing = ~np.isfinite(array)
        if volume.padding is not None:
            missing |= (array >= volume.padding[0]) & (array <= volume.padding[1])
        if missing.any():
            array = np.where(missing, array[~missing].min() if not missing.all() else 0, array)
    if np.linalg.det(affine[:3, :3]) < 0:
        array = array[::-1]
        affine[:3, 3] += affine[:3, 2] * (array.shape[0] - 1)
        affine[:3, 2] *= -1
    image = pyvista.ImageData(dimensions=array.shape[::-1])
    image.point_data["values"] = np.ascontiguousarray(array).reshape(-1)
    return image, affine


def _add_body(pyvista: Any, plotter: Any, volume: Volume, look: Transfer) -> None:
    from vtkmodules.vtkCommonDataModel import vtkPiecewiseFunction
    from vtkmodules.vtkRenderingCore import vtkColorTransferFunction

    low, high = look.window(volume)
    image, affine = _image(pyvista, volume)
    # Index coordinates are not mm: VTK takes opacity for a length in the image's own coordinates.
    scale = min(volume.grid.spacing)
    image.spacing = tuple(step / scale for step in volume.grid.spacing)
    affine[:3, :3] = affine[:3, :3] / np.asarray(volume.grid.spacing) * scale
    body = plotter.add_volume(image, scalars="values", cmap="gray", show_scalar_bar=False, opacity="linear")
    colors, opacities = vtkColorTransferFunction(), vtkPiecewiseFunction()
    first, last = look.points[0][0], look.points[-1][0]
    for value, (red, green, blue), extinction in look.points:
        at = low + (value - first) / (last - first) * (high - low)
        colors.AddRGBPoint(at, red, green, blue)
        opacities.AddPoint(at, 1 - np.exp(-extinction * scale))
    prop = body.prop
    prop.SetColor(colors)
    prop.SetScalarOpacity(opacities)
    prop.SetScalarOpacityUnitDistance(1.0)
    prop.SetInterpolationTypeToLinear()
    if look.shading is not None:
        prop.ShadeOn()
        prop.SetAmbient(look.shading[0])
        prop.SetDiffuse(look.shading[1])
        prop.SetSpecular(look.shading[2])
        prop.SetSpecularPower(look.shading[3])
    body.user_matrix = affine


def _add_planes(pyvista: Any, plotter: Any, volume: Volume, window: Window | None, *, movable: bool) -> None:
    image, affine = _image(pyvista, volume)
    placed = image.cast_to_structured_grid().transform(affine, inplace=False)
    placed.set_active_scalars("values")
    how = {"cmap": "gray", "clim": list(as_voi(window).limits) if window else None, "show_scalar_bar": False}
    for normal in ("x", "y", "z"):
        if movable:
            plotter.add_mesh_slice(placed, normal=normal, **how)
        else:
            plotter.add_mesh(placed.slice(normal=normal), lighting=False, **how)


def _aim(plotter: Any, volume: Volume | None, parts: Sequence[Part], view: Any, width: int, height: int) -> None:
    """A parallel camera at the same place and scale as `gpukit.rendering.scene.camera.render`."""
    if volume is not None:
        middle = volume.grid.to_world([(n - 1) / 2 for n in reversed(volume.grid.shape)])
        across, down, deep = extent(volume.grid, view)
    else:
        points = np.concatenate([part.mesh.points for part in parts])
        middle = (points.min(axis=0) + points.max(axis=0)) / 2
        across, down, deep = (float(v) for v in np.ptp(points @ np.stack([view.right, view.down, view.away]).T, axis=0))
    camera = plotter.camera
    camera.focal_point = tuple(middle)
    camera.position = tuple(middle - view.away * 2 * max(across, down, deep))
    camera.up = tuple(-view.down)
    camera.parallel_projection = True
    camera.parallel_scale = 1.02 * max(down, across * height / width) / 2
    plotter.reset_camera_clipping_range()


def _write(picture: Any, path: str | os.PathLike[str], force: bool) -> None:
    from PIL import Image

    with atomic_path(Path(path), force=force) as temporary:
        Image.fromarray(picture[..., :3]).save(os.fspath(temporary), format="PNG")
