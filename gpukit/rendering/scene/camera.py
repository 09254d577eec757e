"""Pictures of a volume as a body, from a camera that goes around it: `render`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace, resolve
from gpukit.errors import InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.ops.raycast import Labels, Second
from gpukit.rendering.mpr.view import View
from gpukit.rendering.scene.out_of_core import cast, room
from gpukit.rendering.scene.overlays import labels_for, second_for
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer, transfer_for
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["MARGIN", "camera_view", "check_size", "draw_rays", "extent", "picture", "ray_grid", "render"]

_MOST_PIXELS = 8192  # along a side
_WIDEST = 120.0  # degrees
#: What lies behind this opacity is less than half a step of 8 bit.
_OPAQUE = 1 - 0.5 / 255
#: A picture is this much larger than what it shows.
MARGIN = 1.02


def camera_view(azimuth: float, elevation: float) -> View:
    """Return the view of a camera that looks at the middle of the volume.

    At 0, 0 it stands before the patient's face, the head up. Azimuth takes it around the patient towards the left side
    (90 is the view from the left), elevation over the head (90) or under the feet (-90). Degrees.
    """
    if not (math.isfinite(azimuth) and math.isfinite(elevation)) or abs(elevation) > 90:
        raise InputError(
            f"no camera stands at {azimuth:g}, {elevation:g}", attribute="camera",
            fix="use degrees, the elevation from -90 to 90",
        )  # fmt: skip
    a, e = math.radians(azimuth), math.radians(elevation)
    away = -np.array([math.sin(a) * math.cos(e), -math.cos(a) * math.cos(e), math.sin(e)])
    right = np.array([math.cos(a), math.sin(a), 0.0])
    return View(right, np.cross(away, right), away)


def extent(grid: Grid, view: View) -> tuple[float, float, float]:
    """Width, height and depth in mm that the volume takes in a view."""
    corners = grid.to_world(list(product(*((-0.5, n - 0.5) for n in reversed(grid.shape)))))
    width, height, depth = np.ptp(corners @ np.stack([view.right, view.down, view.away]).T, axis=0)
    return float(width), float(height), float(depth)


def render(
    volume: Volume,
    *,
    transfer: str | Transfer | None = None,
    azimuth: float = 0.0,
    elevation: float = 0.0,
    size: tuple[int, int] = (512, 512),
    background: Sequence[float] = (0.0, 0.0, 0.0),
    perspective: float = 0.0,
    oversampling: float = 1.0,
    field_of_view: tuple[float, float] | None = None,
    clip: ArrayLike | None = None,
    mask: Segmentation | None = None,
    mask_mode: str = "overlay",
    label_colors: Mapping[int, Sequence[float]] | None = None,
    label_opacity: float = 0.3,
    overlay: Volume | None = None,
    overlay_transfer: str | Transfer | None = None,
    device: str | None = None,
) -> Volume:
    """Return the picture of a volume as a coloured, partly transparent body, front to back.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device. Padding is not drawn.
    transfer : str, Transfer or None
        What values look like: the name of one that comes with gpukit, or one from
        `gpukit.rendering.scene.transfer_function.read_transfer`; None takes the one for the modality.
    azimuth, elevation : float
        Degrees. At 0, 0 the camera stands before the patient's face; azimuth 90 sees the patient's left side, elevation
        90 looks down from above the head.
    size : (int, int)
        Width and height in pixels.
    background : (float, float, float)
        Red, green and blue from 0 to 1.
    perspective : float
        Degrees between the left and right (or top and bottom) edges of the view; 0 is a parallel view.
    oversampling : float
        Samples along a ray for each of the volume's smallest spacings.
    field_of_view : (float, float) or None
        mm across and down that must be in the picture, around the volume's middle; None is all of the volume.
    clip : array_like, (n, 4), optional
        Rows a, b, c, d: only voxels with ``a i + b j + c k + d >= 0`` are drawn. `gpukit.rendering.scene.clipping`
        makes them of planes and boxes.
    mask : Segmentation, optional
        On the volume's grid, as from `gpukit.io.masks.open_mask`.
    mask_mode : {"overlay", "inside", "alone"}
        Its labels in colour in the body; the body inside the labels only; the labels without the body.
    label_colors : mapping of label value to (red, green, blue), optional
        0 to 1; instead of the labels' own.
    label_opacity : float
        Of labels in colour, as extinction per mm.
    overlay : Volume, optional
        A second volume in the same frame of reference, such as a PET over this CT; sampled in its own grid and drawn
        where the first one is. The `transfer` of a CT is then ``ct-fusion`` unless given.
    overlay_transfer : str, Transfer or None
        Of the overlay; None is ``pet-fusion``.
    device : str, optional
        Where to draw; None is where the volume is. What the device cannot hold at a time goes there in slabs.

    Returns
    -------
    Volume
        One slice in colour, ``[1, row, column, c]`` uint8, on the device that drew it. Its pixels are square, and lie
        in the patient on the plane through the volume's middle (in perspective: on the volume's near side).

    Raises
    ------
    InputError
        An argument is out of its domain.
    UnitError
        The transfer function is for values of another unit.
    SelectionError
        The volume has phases or colours, or the mask or overlay does not suit.
    GeometryError
        The mask lies on another grid, or the overlay elsewhere in space.
    TooLargeError
        The device has no room even for a slab.
    """
    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", attribute="phase", fix="choose one with phase=")
    if volume.axes != "kji":
        raise SelectionError("the volume is in colour, and this draws one value a voxel")
    if transfer is None:
        fused = overlay is not None and volume.unit == ValueUnit.HU
        look = find_transfer("ct-fusion") if fused else transfer_for(volume)
    else:
        look = find_transfer(transfer) if isinstance(transfer, str) else transfer
    labels = second = None
    if mask is not None:
        labels = labels_for(volume, mask.to(volume.device), mask_mode, colors=label_colors, opacity=label_opacity)
    if overlay is not None:
        second = second_for(volume, overlay, overlay_transfer)
    return picture(
        volume, look, azimuth=azimuth, elevation=elevation, size=size, background=background, perspective=perspective,
        oversampling=oversampling, field_of_view=field_of_view, clip=clip, labels=labels, second=second, device=device,
    )  # fmt: skip


def picture(
    volume: Volume,
    look: Transfer,
    *,
    azimuth: float,
    elevation: float,
    size: tuple[int, int],
    background: Sequence[float],
    perspective: float,
    oversampling: float,
    field_of_view: tuple[float, float] | None = None,
    clip: ArrayLike | None = None,
    labels: Labels | None = None,
    second: Second | None = None,
    device: str | None = None,
) -> Volume:
    """What `render` draws, of labels and a second volume made for the ray caster, which many pictures may share."""
    width, height = check_size(size)
    shade = np.asarray(background, dtype=np.float64)
    if shade.shape != (3,) or not ((shade >= 0) & (shade <= 1)).all():
        raise InputError("a background is red, green and blue from 0 to 1", attribute="background")
    if not 0.0 <= perspective <= _WIDEST:
        raise InputError(f"a perspective has 0 to {_WIDEST:g} degrees, not {perspective:g}", attribute="perspective")
    if not 0.1 <= oversampling <= 16:
        raise InputError(f"oversampling must be 0.1 to 16, not {oversampling:g}", attribute="oversampling")
    look, note = look.fitted(volume)
    view = camera_view(azimuth, elevation)
    across, down, depth = extent(volume.grid, view)
    if field_of_view is not None:
        across, down = field_of_view
        if not (0 < across < math.inf and 0 < down < math.inf):
            raise InputError("a field of view has a positive width and height", attribute="field_of_view")
    pixel = MARGIN * max(across / width, down / height)
    samples = max(1, math.ceil(depth / min(volume.grid.spacing) * oversampling))
    rays = ray_grid(volume.grid, view, (samples, height, width), pixel, depth / samples)
    eye = None
    if perspective > 0.0:
        # The near face of the volume fills the picture, so that everything behind it is in it too.
        distance = max(width, height) * pixel / 2 / math.tan(math.radians(perspective) / 2)
        eye = volume.grid.to_index(rays.to_world(((width - 1) / 2, (height - 1) / 2, 0)) - distance * view.away)
    array = draw_rays(volume, look, rays, eye, shade, clip=clip, labels=labels, second=second, device=device)
    affine = rays.affine.copy()
    if eye is None:
        affine[:3, 3] = rays.to_world((0, 0, (samples - 1) / 2))
    return replace(
        volume, array=array, grid=Grid((1, height, width), affine), axes="kjic", unit=ValueUnit.RGB, padding=None,
        notes=(*volume.notes, note) if note else volume.notes,
    )  # fmt: skip


def draw_rays(
    volume: Volume,
    look: Transfer,
    rays: Grid,
    eye: Any | None,
    background: Any,
    *,
    clip: ArrayLike | None = None,
    labels: Labels | None = None,
    second: Second | None = None,
    device: str | None = None,
) -> Any:
    """Render a volume along the rays of a grid, over a background: [1, row, column, c], uint8.

    `eye` is the index position (i, j, k) that perspective rays leave, None for parallel ones. The rest is as in
    `render` and `gpukit.ops.raycast.raycast`.
    """
    colors, opacities = look.table()
    window = look.window(volume)
    where = volume.device if device is None else resolve(device)[1]
    picture = cast(
        volume.array, volume.grid.matrix_from(rays), rays.shape, where, None if where == volume.device else room(where),
        affine=volume.grid.affine, colors=colors, opacities=opacities, window=window, shading=look.shading, eye=eye,
        padding=volume.padding, gradient=look.factors(window), planes=clip, labels=labels, second=second,
        opaque=_OPAQUE,
    )  # fmt: skip
    return _over(picture, background)


def check_size(size: tuple[int, int]) -> tuple[int, int]:
    """Width and height of a picture, if it can have them."""
    width, height = int(size[0]), int(size[1])
    if not (1 <= width <= _MOST_PIXELS and 1 <= height <= _MOST_PIXELS):
        raise InputError(f"a picture has 1 to {_MOST_PIXELS} pixels a side, not {width} x {height}", attribute="size")
    return width, height


def ray_grid(grid: Grid, view: View, shape: tuple[int, int, int], pixel: float, step: float) -> Grid:
    """Return the samples of all rays, around the middle of the volume."""
    affine = np.eye(4)
    affine[:3, :3] = np.stack([view.right * pixel, view.down * pixel, view.away * step], axis=1)
    middle = grid.to_world([(n - 1) / 2 for n in reversed(grid.shape)])
    affine[:3, 3] = middle - affine[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return Grid(shape, affine)


def _over(picture: Any, background: Any) -> Any:
    """Premultiplied colour and opacity over a background, as 8 bit with a slice axis."""
    xp = array_namespace(picture)
    shown = picture[..., :3]
    if any(background):
        shade = xp.stack([xp.full_like(picture[..., 3], float(c)) for c in background], axis=-1)
        shown = shown + shade * (1.0 - picture[..., 3:])
    shown = xp.clip(xp.round(shown * 255.0), 0.0, 255.0)
    return xp.expand_dims(xp.astype(shown, xp.uint8), axis=0)
