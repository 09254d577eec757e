"""Draw detected boxes on the image."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from gpukit.ai.results.detection_report import _COLORS, _LEAST_SIDE, _MOST_TILES
from gpukit.ai.tasks.detect import Detections
from gpukit.ai.transforms.image_input import in_plane
from gpukit.display.graphics import contact_sheet, draw_words
from gpukit.display.grayscale import shown_plane
from gpukit.documents.atomic import atomic_path
from gpukit.files.pillow import pillow
from gpukit.files.provenance import png_texts
from gpukit.volume import Volume

__all__ = ["draw_boxes"]


def draw_boxes(
    volume: Volume, found: Detections, path: str | os.PathLike[str], *, plane: str = "stored", force: bool = False
) -> None:
    """PNG of the slices with boxes (nine at most, those of the highest scores), or of the image where it is one.

    Parameters
    ----------
    volume : Volume
        What was looked at.
    found : Detections
        From `gpukit.ai.tasks.detect.detect`.
    path : path-like
        ``.png``.
    plane : str
        The plane that the model saw.
    force : bool
        Overwrite an existing file.
    """
    pillow()  # before the work
    shown = in_plane(volume, plane)
    phase = next((one.phase for one in found.boxes if one.phase is not None), 0) or 0
    if shown.axes.startswith("t"):
        shown = Volume(
            array=shown.array[phase], grid=shown.grid, axes=shown.axes[1:], unit=shown.unit, padding=shown.padding,
            metadata=shown.metadata, geometry=shown.geometry,
            sources=tuple(s for s in shown.sources if s.phase == phase),
        )  # fmt: skip
    best: dict[int, float] = {}
    for one in found.boxes:
        at = one.index if len(one.box) == 4 else round((one.box[2] + one.box[5]) / 2)
        best[int(at or 0)] = max(best.get(int(at or 0), 0.0), one.score)
    chosen = sorted(sorted(best, key=lambda k: -best[k])[:_MOST_TILES]) or [shown.grid.shape[0] // 2]
    tiles = [_tile(shown, found, k) for k in chosen]
    sheet = contact_sheet(tiles, 3)
    with atomic_path(path, force=force) as temporary:
        sheet.save(os.fspath(temporary), format="PNG", pnginfo=png_texts("Boxes around findings", found.model))


def _tile(volume: Volume, found: Detections, k: int) -> Any:
    image_module, draw_module = pillow()
    plane = shown_plane(volume, slice=k)
    plane = plane if plane.dtype == np.uint8 else np.clip(plane, 0, 255).astype(np.uint8)
    rows, columns = plane.shape[:2]
    sx, sy, _ = volume.grid.spacing
    zoom = max(1.0, _LEAST_SIDE / max(columns * sx, rows * sy) * min(sx, sy)) / min(sx, sy)
    x_scale, y_scale = sx * zoom, sy * zoom
    tile = image_module.fromarray(plane).convert("RGB").resize((round(columns * x_scale), round(rows * y_scale)))
    draw = draw_module.Draw(tile)
    names = sorted({one.name for one in found.boxes})
    for one in found.boxes:
        flat = len(one.box) == 4
        if (one.index != k and flat and volume.grid.shape[0] > 1) or (
            not flat and not one.box[2] - 0.5 <= k <= one.box[5] + 0.5
        ):
            continue
        x0, y0, x1, y1 = (one.box[0], one.box[1], one.box[2], one.box[3]) if flat else (
            one.box[0], one.box[1], one.box[3], one.box[4]
        )  # fmt: skip
        color = _COLORS[names.index(one.name) % len(_COLORS)]
        corners = [(x0 + 0.5) * x_scale, (y0 + 0.5) * y_scale, (x1 + 0.5) * x_scale, (y1 + 0.5) * y_scale]
        draw.rectangle(corners, outline=color, width=2)
        words = f"{one.name} {one.score:.2f}"
        draw_words(draw, words, (corners[0], corners[1] - 18), tile.size, color, 14)
    return tile
