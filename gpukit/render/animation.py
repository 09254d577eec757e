"""A camera that goes around a volume, one picture at a time."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from gpukit.device import array_namespace
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.ops.project import project_slab
from gpukit.render.camera import MARGIN, camera_view, check_size, extent, ray_grid, render
from gpukit.render.transfer import Transfer
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["METHODS", "azimuths", "rotate"]

METHODS = ("volume", "mip")
_MOST_FRAMES = 10_000


def azimuths(rotation: float, frames: int, *, start: float = 0.0) -> tuple[float, ...]:
    """Degrees of each frame; whole turns end one step before they begin again, others at their end."""
    if not 1 <= frames <= _MOST_FRAMES:
        raise InputError(f"an animation has 1 to {_MOST_FRAMES} frames, not {frames}", attribute="frames")
    if not (math.isfinite(rotation) and math.isfinite(start)):
        raise InputError("a rotation must be finite", attribute="rotation")
    steps = frames if rotation % 360 == 0 else max(frames - 1, 1)
    return tuple(start + rotation * n / steps for n in range(frames))


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
    background: Sequence[float] = (0.0, 0.0, 0.0),
    perspective: float = 0.0,
    oversampling: float = 1.0,
    window: tuple[float, float] | None = None,
) -> Iterator[Volume]:
    """Pictures from a camera that goes around the patient, each made when it is asked for.

    All pictures have one scale, at which the volume stays in the picture all the way round.

    Parameters
    ----------
    volume : Volume
        3D, one value a voxel, on any device.
    method : {"volume", "mip"}
        Volume rendering, or maximum intensity projection.
    rotation : float
        Degrees to go, towards the patient's left from the face; negative the other way.
    frames : int
        How many pictures. A whole turn ends one step before it begins again, so that it can be repeated.
    azimuth, elevation : float
        Where the camera starts, and how high it stays, as in `render`.
    size, transfer, background, perspective, oversampling
        As in `render`; all but the size are for ``volume``.
    window : (float, float), optional
        For ``mip`` only: the values shown black and white; the range of the volume by default.

    Yields
    ------
    Volume
        One slice in colour, uint8, as from `render`.

    Raises
    ------
    InputError
        An argument is out of its domain; at the first picture at the latest.
    """
    if method not in METHODS:
        raise InputError(f"there is no method {method!r}", attribute="method", fix=f"use one of {', '.join(METHODS)}")
    angles = azimuths(rotation, frames, start=azimuth)
    sizes = [extent(volume.grid, camera_view(angle, elevation)) for angle in angles]
    field = max(s[0] for s in sizes), max(s[1] for s in sizes)
    if method == "mip" and window is None:
        window = _range(volume)
    for angle in angles:
        if window is not None and method == "mip":
            yield _projected(volume, angle, elevation, size, field, window)
        else:
            yield render(
                volume, transfer=transfer, azimuth=angle, elevation=elevation, size=size, background=background,
                perspective=perspective, oversampling=oversampling, field_of_view=field,
            )  # fmt: skip


def _range(volume: Volume) -> tuple[float, float]:
    from gpukit.ops.statistics import statistics

    found = statistics(volume.array, padding=volume.padding)
    return (found.min, found.max) if found.n and found.max > found.min else (0.0, 1.0)


def _black(volume: Volume, low: float) -> float:
    """A value of the volume's type that the window shows black."""
    xp = array_namespace(volume.array)
    if xp.isdtype(volume.array.dtype, "real floating"):
        return low
    info = xp.iinfo(volume.array.dtype)
    return float(min(max(math.floor(low), info.min), info.max))


def _projected(
    volume: Volume,
    azimuth: float,
    elevation: float,
    size: tuple[int, int],
    field: tuple[float, float],
    window: tuple[float, float],
) -> Volume:
    """A maximum intensity projection from the camera, as 8 bit; black where nothing is."""
    low, high = window
    view = camera_view(azimuth, elevation)
    width, height = check_size(size)
    pixel = MARGIN * max(field[0] / width, field[1] / height)
    depth = extent(volume.grid, view)[2]
    samples = max(1, math.ceil(depth / min(volume.grid.spacing)))
    rays = ray_grid(volume.grid, view, (samples, height, width), pixel, depth / samples)
    picture = project_slab(
        volume.array, volume.grid.matrix_from(rays), rays.shape, method="max", fill=_black(volume, low),
        padding=volume.padding,
    )  # fmt: skip
    xp = array_namespace(picture)
    grey = xp.clip((xp.astype(picture, xp.float32) - low) / (high - low), 0.0, 1.0)
    grey = xp.astype(xp.round(xp.where(xp.isnan(grey), xp.zeros_like(grey), grey) * 255.0), xp.uint8)
    affine = rays.affine.copy()
    affine[:3, 3] = rays.to_world((0, 0, (samples - 1) / 2))
    return replace(
        volume, array=xp.expand_dims(xp.stack([grey, grey, grey], axis=-1), axis=0),
        grid=Grid((1, height, width), affine), axes="kjic", unit=ValueUnit.RGB, padding=None,
    )  # fmt: skip
