"""Overlays of a volume: segmentations in colour, or as the only part to draw, and a second volume."""

from __future__ import annotations

import colorsys
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from gpukit.device import array_namespace
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.ops._arrays import device
from gpukit.ops.raycast import Labels, Second
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

__all__ = ["MASK_MODES", "label_color", "labels_for", "second_for"]

#: Labels in colour in the volume; the volume inside the labels only; the labels without the volume.
MASK_MODES = ("overlay", "inside", "alone")
_MOST = 255


def label_color(label: Label, place: int) -> tuple[float, float, float]:
    """Return a label's own colour, else one by its place among the labels: neighbours in the list differ most."""
    if label.color is not None:
        red, green, blue = (c / 255 for c in label.color)
        return red, green, blue
    return colorsys.hsv_to_rgb(place * 0.618034 % 1.0, 0.75 - 0.25 * (place % 3 == 2), 0.95)


def labels_for(
    volume: Volume,
    mask: Segmentation,
    mode: str = "overlay",
    *,
    colors: Mapping[int, Sequence[float]] | None = None,
    opacity: float = 0.3,
) -> Labels:
    """Return a segmentation as the ray caster takes it.

    Parameters
    ----------
    volume : Volume
        What is drawn.
    mask : Segmentation
        On its grid and device.
    mode : {"overlay", "inside", "alone"}
        See `MASK_MODES`.
    colors : mapping of label value to (red, green, blue), optional
        0 to 1, instead of the labels' own.
    opacity : float
        Of labels in colour, as extinction per mm.

    Raises
    ------
    GeometryError
        The mask lies on another grid.
    SelectionError
        The mask has no label, or more than 255, or colours name one that it has not.
    InputError
        There is no such mode, or a colour or opacity is out of range.
    """
    if mode not in MASK_MODES:
        raise InputError(f"unknown mask mode {mode!r}", attribute="mask_mode", fix=f"use {', '.join(MASK_MODES)}")
    if not mask.grid.same_as(volume.grid):
        raise GeometryError("the mask lies on another grid", attribute="mask", fix="bring it there with open_mask")
    if not 0 < opacity <= 1e6:
        raise InputError(f"the opacity of labels must be above 0, not {opacity:g}", attribute="label_opacity")
    if not 1 <= len(mask.labels) <= _MOST:
        raise SelectionError(
            f"the mask has {len(mask.labels)} labels, and 1 to {_MOST} can be drawn", attribute="labels",
            fix="choose some of them",
        )  # fmt: skip
    shades = dict(colors or {})
    unknown = sorted(set(shades) - {label.value for label in mask.labels})
    if unknown:
        choices = ", ".join(f"{label.value} ({label.name})" for label in mask.labels[:20])
        raise SelectionError(
            f"there is no label {unknown[0]} to colour", attribute="label_color", fix=f"there are {choices}"
        )
    media = np.zeros((len(mask.labels) + 1, 5))
    media[0, 4] = mode == "overlay"
    places = np.zeros(max(label.value for label in mask.labels) + 1, np.uint8)
    for n, label in enumerate(mask.labels):
        shade = np.asarray(shades.get(label.value, label_color(label, n)), dtype=np.float64)
        if shade.shape != (3,) or not ((shade >= 0) & (shade <= 1)).all():
            raise InputError("a colour is red, green and blue from 0 to 1", attribute="label_color")
        places[label.value] = n + 1
        media[n + 1] = [*shade, 0.0 if mode == "inside" else opacity, mode != "alone"]
    return Labels(_looked_up(mask.array, places), media)


def _looked_up(array: Any, places: Any) -> Any:
    """Each voxel's place among the labels, uint8; values beyond the table have none. By slices: indices are wide."""
    xp = array_namespace(array)
    last = len(places) - 1
    table = xp.asarray([*places.tolist(), 0], dtype=xp.uint8, device=device(array))
    slices = []
    for k in range(int(array.shape[0])):
        flat = xp.reshape(xp.astype(array[k, ...], xp.int64), (-1,))
        flat = xp.where(flat <= last, flat, xp.full_like(flat, last + 1))
        slices.append(xp.reshape(xp.take(table, flat, axis=0), array.shape[1:]))
    return xp.stack(slices, axis=0)


def second_for(volume: Volume, overlay: Volume, transfer: str | Transfer | None = None) -> Second:
    """Return a second volume, such as PET over CT, as the ray caster takes it: sampled in its own grid.

    Parameters
    ----------
    volume : Volume
        The first one.
    overlay : Volume
        In the same frame of reference and on the same device.
    transfer : str, Transfer or None
        Of the overlay; None is ``pet-fusion``.

    Raises
    ------
    GeometryError
        The two do not meet, or belong to different frames of reference.
    SelectionError
        The overlay has phases or colours, or lies on another device.
    InputError
        The transfer function has gradient opacity, which only the first volume can have.
    """
    if overlay.axes != "kji":
        raise SelectionError("the overlay has phases or colours, and one value a voxel is needed", attribute="overlay")
    if overlay.device != volume.device:
        raise SelectionError(
            f"the overlay is on {overlay.device} and the volume on {volume.device}", attribute="overlay",
            fix="move it with .to()",
        )  # fmt: skip
    frames = [v.metadata.get("FrameOfReferenceUID") for v in (volume, overlay)]
    if all(frames) and frames[0] != frames[1]:
        raise GeometryError(
            "the overlay belongs to another frame of reference than the volume", attribute="FrameOfReferenceUID",
            fix="register the two first",
        )  # fmt: skip
    if not _meet(volume.grid, overlay.grid):
        raise GeometryError("the overlay does not meet the volume", attribute="overlay")
    look = find_transfer(transfer or "pet-fusion") if not isinstance(transfer, Transfer) else transfer
    if look.gradient_opacity:
        raise InputError("an overlay cannot have gradient opacity", attribute="overlay_transfer", fix="choose another")
    colors, opacities = look.table()
    return Second(
        overlay.array, overlay.grid.matrix_from(volume.grid), colors, opacities, look.window(overlay), look.shading,
        overlay.padding,
    )  # fmt: skip


def _meet(grid: Grid, other: Grid) -> bool:
    """Return whether the boxes around two grids in the patient overlap."""
    boxes = []
    for one in (grid, other):
        corners = one.to_world(list(product(*((-0.5, n - 0.5) for n in reversed(one.shape)))))
        boxes.append((corners.min(axis=0), corners.max(axis=0)))
    (a, b), (c, d) = boxes
    return bool((a < d).all() and (c < b).all())
