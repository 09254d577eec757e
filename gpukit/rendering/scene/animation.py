"""A camera that goes around a volume or through it, one picture at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.display.grayscale import gray_plane
from gpukit.display.window import Window, as_voi, value_range
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.ops.project import project_slab
from gpukit.ops.raycast import Labels
from gpukit.rendering.mpr.centerline import check_course, frames_along, walk
from gpukit.rendering.mpr.components import finite, phase_of
from gpukit.rendering.mpr.masked import masked
from gpukit.rendering.mpr.view import View
from gpukit.rendering.scene.camera import MARGIN, camera_view, check_size, draw_rays, extent, picture, ray_grid
from gpukit.rendering.scene.overlays import labels_for
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer, transfer_for
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import Voi, Volume

__all__ = ["METHODS", "azimuths", "fly", "rotate", "surface_look"]

#: Method of an animation -> how a projection is made, None where the volume is drawn as a body.
METHODS = {"volume": None, "surface": None, "mip": "max", "minip": "min", "average": "mean"}
_MOST_FRAMES = 10_000
#: Extinction per mm of what a surface encloses: a tenth of a millimetre lets less than one per cent of the light pass.
_OPAQUE = 50.0
_BONE = (0.93, 0.87, 0.77)
#: mm behind a camera in flight where its picture begins: nearer than any voxel's half.
_NEAR = 0.2
_WIDEST = 160.0  # degrees


def azimuths(rotation: float, frames: int, *, start: float = 0.0) -> tuple[float, ...]:
    """Degrees of each frame; whole turns end one step before they begin again, others at their end."""
    _check_frames(frames)
    if not (math.isfinite(rotation) and math.isfinite(start)):
        raise InputError("a rotation must be finite", attribute="rotation")
    steps = frames if rotation % 360 == 0 else max(frames - 1, 1)
    return tuple(start + rotation * n / steps for n in range(frames))


def surface_look(threshold: float) -> Transfer:
    """Return a transfer function that shows the surface of a threshold, lit and opaque."""
    width = max(1e-6 * abs(threshold), 1e-6)
    return Transfer(
        "surface", ((threshold - width, _BONE, 0.0), (threshold, _BONE, _OPAQUE)), shading=(0.2, 0.8, 0.3, 24.0),
        is_relative=True,
    )  # fmt: skip


def rotate(
    volume: Volume,
    *,
    method: str = "volume",
    rotation: float = 360.0,
    frames: int = 60,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    size: tuple[int, int] = (512, 512),
    transfer: str | Transfer | None = None,
    threshold: float | None = None,
    background: Sequence[float] = (0.0, 0.0, 0.0),
    perspective: float = 0.0,
    oversampling: float = 1.0,
    window: Window | None = None,
    clip: ArrayLike | None = None,
    mask: Segmentation | None = None,
    mask_mode: str | None = None,
    label_colors: Mapping[int, Sequence[float]] | None = None,
    label_opacity: float | None = None,
) -> Iterator[Volume]:
    """Pictures from a camera that goes around the patient, each made when it is asked for.

    All pictures have one scale, at which the volume stays in the picture all the way round.

    Parameters
    ----------
    volume : Volume
        One value a voxel, on any device. Of a volume with phases each picture shows the next one, over and over.
    method : {"volume", "surface", "mip", "minip", "average"}
        Volume rendering, the lit surface of a threshold, or a projection.
    rotation : float
        Degrees to go, towards the patient's left from the face; negative the other way.
    frames : int
        How many pictures. A whole turn ends one step before it begins again, so that it can be repeated.
    azimuth, elevation : float
        Where the camera starts, and how high it stays, as in `render`.
    size, transfer, background, perspective, oversampling
        As in `render`; all but the size are for ``volume`` and (but for the transfer function) ``surface``.
    threshold : float or None
        For ``surface``: as in `gpukit.rendering.scene.surface.surface`.
    window : Voi or (float, float), optional
        For projections only: a VOI function, or the values shown black and white; the range of the volume by default.
    clip : array_like, (n, 4), optional
        As in `render`; for ``volume`` and ``surface``.
    mask : Segmentation, optional
        On the volume's grid. As in `render`; a projection shows its inside only, as
        `gpukit.rendering.mpr.masked.masked` does.
    mask_mode, label_colors, label_opacity
        As in `render`, None for what it takes by default; for ``volume`` and ``surface`` with a mask.

    Yields
    ------
    Volume
        One slice in colour, uint8, as from `render`.

    Raises
    ------
    InputError
        An argument is out of its domain, or the method has no use for it; at the first picture at the latest.
    SelectionError
        The volume is in colour, or the mask does not suit.
    GeometryError
        The mask lies on another grid.
    """
    kind = _check_method(volume, method)
    _check_scene(kind, clip, mask, mask_mode, label_colors, label_opacity)
    angles = azimuths(rotation, frames, start=azimuth)
    sizes = [extent(volume.grid, camera_view(angle, elevation)) for angle in angles]
    field = max(s[0] for s in sizes), max(s[1] for s in sizes)
    if kind is not None and window is None:
        window = _range(volume)
    volume, labels = _scene(volume, kind, mask, mask_mode, label_colors, label_opacity)
    shown = _phases(volume)
    look = _looks(shown, method, transfer, threshold)
    for n, angle in enumerate(angles):
        if kind is not None and window is not None:
            rays = _parallel(volume.grid, angle, elevation, size, field)
            yield _projected(shown(n), rays, kind, window)
        else:
            yield picture(
                shown(n), look(n), azimuth=angle, elevation=elevation, size=size, background=background,
                perspective=perspective, oversampling=oversampling, field_of_view=field, clip=clip, labels=labels,
            )  # fmt: skip


def fly(
    volume: Volume,
    path: ArrayLike,
    *,
    frame: str = "voxel",
    method: str = "volume",
    frames: int = 60,
    size: tuple[int, int] = (512, 512),
    transfer: str | Transfer | None = None,
    threshold: float | None = None,
    background: Sequence[float] = (0.0, 0.0, 0.0),
    perspective: float = 90.0,
    oversampling: float = 1.0,
    window: Window | None = None,
    field: float = 100.0,
    depth: float = 100.0,
    clip: ArrayLike | None = None,
    mask: Segmentation | None = None,
    mask_mode: str | None = None,
    label_colors: Mapping[int, Sequence[float]] | None = None,
    label_opacity: float | None = None,
) -> Iterator[Volume]:
    """Pictures from a camera that flies along a path and looks where it goes, each made when it is asked for.

    The frames are at equal distances along a smooth curve through the points; the camera rolls as little as it can. At
    the start its right is as close to the patient's left as it can be (to the back where the path runs left).

    Parameters
    ----------
    volume : Volume
        As in `rotate`.
    path : array_like, (n, 3)
        Two points or more, inside the volume.
    frame : {"voxel", "patient"}
        Whether they are voxel indices (i, j, k) or LPS mm.
    method, frames, size, transfer, threshold, background, oversampling, window
        As in `rotate`.
    clip, mask, mask_mode, label_colors, label_opacity
        As in `rotate`.
    perspective : float
        Degrees between the edges of the view, more than 0; for ``volume`` and ``surface``.
    field, depth : float
        mm: how wide a projection is, and how far ahead of the camera it looks. Projections are parallel.

    Yields
    ------
    Volume
        One slice in colour, uint8; in the patient where its camera is.

    Raises
    ------
    InputError
        An argument is out of its domain, or the method has no use for it.
    GeometryError
        A point of the path lies outside the volume, or the mask lies on another grid.
    SelectionError
        The volume is in colour, or the mask does not suit.
    """
    kind = _check_method(volume, method)
    _check_scene(kind, clip, mask, mask_mode, label_colors, label_opacity)
    _check_frames(frames)
    width, height = check_size(size)
    if not (0 < field < math.inf and 0 < depth < math.inf):
        raise InputError("the field and the depth of a flight must be positive", attribute="field")
    if not 1.0 <= perspective <= _WIDEST:
        raise InputError(
            f"a camera in flight has 1 to {_WIDEST:g} degrees, not {perspective:g}", attribute="perspective"
        )
    if not 0.1 <= oversampling <= 16:
        raise InputError(f"oversampling must be 0.1 to 16, not {oversampling:g}", attribute="oversampling")
    places, views = _cameras(volume.grid, path, frame, frames)
    if kind is not None and window is None:
        window = _range(volume)
    volume, labels = _scene(volume, kind, mask, mask_mode, label_colors, label_opacity)
    shown = _phases(volume)
    look = _looks(shown, method, transfer, threshold)
    step = min(volume.grid.spacing) / (1.0 if kind else oversampling)
    shade = np.asarray(background, dtype=np.float64)
    for n, (place, view) in enumerate(zip(places, views, strict=True)):
        if kind is not None and window is not None:
            samples = max(1, math.ceil(depth / step))
            rays = _ahead(place, view, (samples, height, width), field / max(width, height), depth / samples, 0.0)
            yield _projected(shown(n), rays, kind, window)
            continue
        near = min(_NEAR, min(volume.grid.spacing))
        pixel = 2 * near * math.tan(math.radians(perspective) / 2) / max(width, height)
        far = float((volume.grid.to_world(_corners(volume.grid)) - place).dot(view.away).max())
        samples = max(1, math.ceil(max(far, step) / step))
        rays = _ahead(place, view, (samples, height, width), pixel, step, near)
        fitted, note = look(n).fitted(volume)
        array = draw_rays(shown(n), fitted, rays, volume.grid.to_index(place), shade, clip=clip, labels=labels)
        plane = Grid((1, height, width), rays.affine)
        yield replace(
            volume, array=array, grid=plane, axes="kjic", unit=ValueUnit.RGB, padding=None, phases=(),
            notes=(*volume.notes, note) if note else volume.notes,
        )  # fmt: skip


# --- cameras ----------------------------------------------------------------------------------------------------------


def _corners(grid: Grid) -> Any:
    nk, nj, ni = grid.shape
    return [(i, j, k) for i in (-0.5, ni - 0.5) for j in (-0.5, nj - 0.5) for k in (-0.5, nk - 0.5)]


def _cameras(grid: Grid, path: ArrayLike, frame: str, frames: int) -> tuple[Any, list[View]]:
    """Places in LPS mm at equal distances, and where each looks."""
    if frame not in ("voxel", "patient"):
        raise InputError(f"unknown frame {frame!r}", attribute="frame", fix="use voxel or patient")
    points = np.asarray(path, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise InputError("a path is a list of points with three finite numbers each", attribute="path")
    index = points if frame == "voxel" else grid.to_index(points)
    outside = ((index < -0.5) | (index > np.array(grid.shape[::-1]) - 0.5)).any(axis=1)
    if outside.any():
        n = int(outside.argmax())
        raise GeometryError(
            f"point {n + 1} of the path lies outside the volume, at voxel {', '.join(f'{v:.4g}' for v in index[n])}",
            attribute="path", fix="check whether the points are voxels or LPS mm",
        )  # fmt: skip
    curve = check_course(walk(grid.to_world(index), min(grid.spacing) / 2))
    across, _ = frames_along(curve)
    tangents = np.gradient(curve, axis=0)
    at = np.linspace(0, len(curve) - 1, frames)

    def between(values: Any) -> Any:
        return np.stack([np.interp(at, np.arange(len(curve)), values[:, axis]) for axis in range(3)], axis=1)

    views = []
    for right, away in zip(between(across), between(tangents), strict=True):
        away = away / np.linalg.norm(away)
        right = right - (right @ away) * away
        right = right / np.linalg.norm(right)
        views.append(View(right, np.cross(away, right), away))
    return between(curve), views


def _ahead(place: Any, view: View, shape: tuple[int, int, int], pixel: float, step: float, near: float) -> Grid:
    """Samples of all rays before a camera, from `near` mm on."""
    affine = np.eye(4)
    affine[:3, :3] = np.stack([view.right * pixel, view.down * pixel, view.away * step], axis=1)
    middle = np.array([(shape[2] - 1) / 2, (shape[1] - 1) / 2, 0.0])
    affine[:3, 3] = place + near * view.away - affine[:3, :3] @ middle
    return Grid(shape, affine)


def _parallel(grid: Grid, azimuth: float, elevation: float, size: tuple[int, int], field: tuple[float, float]) -> Grid:
    """Samples of all rays through the whole volume from a camera around it."""
    view = camera_view(azimuth, elevation)
    width, height = check_size(size)
    pixel = MARGIN * max(field[0] / width, field[1] / height)
    depth = extent(grid, view)[2]
    samples = max(1, math.ceil(depth / min(grid.spacing)))
    return ray_grid(grid, view, (samples, height, width), pixel, depth / samples)


# --- pictures ---------------------------------------------------------------------------------------------------------


def _check_frames(frames: int) -> None:
    if not 1 <= frames <= _MOST_FRAMES:
        raise InputError(f"an animation has 1 to {_MOST_FRAMES} frames, not {frames}", attribute="frames")


def _check_method(volume: Volume, method: str) -> str | None:
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}", attribute="method", fix=f"use one of {', '.join(METHODS)}")
    if volume.axes.endswith("c"):
        raise SelectionError("the volume is in colour, and an animation shows one value a voxel")
    return METHODS[method]


def _check_scene(kind: str | None, clip: Any, mask: Any, mode: Any, colors: Any, opacity: Any) -> None:
    """What would not be seen is a mistake."""
    options = {"mask_mode": mode, "label_colors": colors, "label_opacity": opacity}
    mask_options = [name for name, value in options.items() if value is not None]
    if kind is not None and clip is not None:
        raise InputError("a projection is not clipped", attribute="clip", fix="use the method volume or surface")
    if kind is not None and mask_options:
        raise InputError("a projection shows the inside of a mask, without colours", attribute=mask_options[0])
    if mask is None and mask_options:
        raise InputError(f"{mask_options[0]} needs a mask", attribute=mask_options[0])


def _scene(
    volume: Volume,
    kind: str | None,
    mask: Segmentation | None,
    mode: str | None,
    colors: Mapping[int, Sequence[float]] | None,
    opacity: float | None,
) -> tuple[Volume, Labels | None]:
    """Return the volume to draw, and labels to draw with it, both made once for all pictures."""
    volume = finite(volume)
    if mask is None:
        return volume, None
    if kind is not None:
        return masked(volume, mask), None
    opaque = 0.3 if opacity is None else opacity  # as in `render`
    return volume, labels_for(volume, mask.to(volume.device), mode or "overlay", colors=colors, opacity=opaque)


def _phases(volume: Volume) -> Callable[[int], Volume]:
    """Return the volume that picture n shows: of several phases the next one, over and over."""
    if not volume.axes.startswith("t"):
        return lambda n: volume
    count = int(volume.array.shape[0])
    phase = cache(lambda t: phase_of(volume, t))  # one object a phase: what is kept beside its voxels serves every turn
    return lambda n: phase(n % count)


def _looks(
    shown: Callable[[int], Volume], method: str, transfer: str | Transfer | None, threshold: float | None
) -> Callable[[int], Transfer]:
    """Return the look of picture n; percentiles are taken once of each volume shown, not of each picture."""
    look = _look(shown(0), method, transfer, threshold)
    settled: dict[int, Transfer] = {}

    def of(n: int) -> Transfer:
        volume = shown(n)  # kept by `shown`, so that its identity stays its own
        if id(volume) not in settled:
            settled[id(volume)] = look.settled(volume)
        return settled[id(volume)]

    return of


def _look(volume: Volume, method: str, transfer: str | Transfer | None, threshold: float | None) -> Transfer:
    if method == "surface":
        from gpukit.rendering.scene.surface import usual_threshold

        return surface_look(usual_threshold(volume) if threshold is None else float(threshold))
    if transfer is None:
        return transfer_for(volume)
    return find_transfer(transfer) if isinstance(transfer, str) else transfer


def _range(volume: Volume) -> tuple[float, float]:
    return value_range(volume.array, volume.padding) or (0.0, 1.0)


def _black(volume: Volume, voi: Voi) -> float:
    """Return a value of the volume's type that is shown black: no measurement, else far below the window."""
    xp = array_namespace(volume.array)
    if xp.isdtype(volume.array.dtype, "real floating"):
        return math.nan
    if volume.padding is not None:
        return volume.padding[0]
    info = xp.iinfo(volume.array.dtype)
    low, high = voi.limits
    return float(min(max(math.floor(low - 4 * abs(high - low)), info.min), info.max))


def _projected(volume: Volume, rays: Grid, method: str, window: Window) -> Volume:
    """Return a projection along the rays, as 8 bit; black where nothing is."""
    voi = as_voi(window)
    picture = project_slab(
        volume.array, volume.grid.matrix_from(rays), rays.shape, method=method, fill=_black(volume, voi),
        padding=volume.padding,
    )  # fmt: skip
    xp = array_namespace(picture)
    grey = gray_plane(volume, picture, voi)
    affine = rays.affine.copy()
    affine[:3, 3] = rays.to_world((0, 0, (rays.shape[0] - 1) / 2))
    return replace(
        volume, array=xp.expand_dims(xp.stack([grey, grey, grey], axis=-1), axis=0),
        grid=Grid((1, *rays.shape[1:]), affine), axes="kjic", unit=ValueUnit.RGB, padding=None,
    )  # fmt: skip
