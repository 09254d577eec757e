"""What a network over volumes sees of a volume, through which windows, and how its labels return: by kind of model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.label_map import LabelMap
from gpukit.ai.inference.probability_map import ProbabilityMap
from gpukit.ai.inference.sliding_window import Layout
from gpukit.ai.model.description import Model
from gpukit.ai.nnunet.export import SplineLabelMap, is_quick
from gpukit.ai.nnunet.preprocess import NnUNetInput, Seen, look
from gpukit.ai.transforms.volume_input import model_grid, prepare, reach, uncut_axes
from gpukit.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["label_map", "lay_windows", "see"]


def see(volumes: Sequence[Volume], model: Model, before: Any = None) -> Seen:
    """The preprocessed image of all channels on their device, and its grid; `before` is what a first stage labelled."""
    spec = model.volume_input
    if isinstance(spec, NnUNetInput):
        return look(volumes, spec, before)
    grid = model_grid(volumes[0].grid, spec)
    return Seen(prepare(volumes, spec, grid), grid)


def lay_windows(
    size: Sequence[int], model: Model, overlap: float | None, patch: tuple[int, int, int] | None = None
) -> Layout:
    """Windows over an image; `overlap` and `patch` in place of the model's where given."""
    spec = model.inference
    share = spec.overlap if overlap is None else overlap
    wanted = patch or spec.patch
    if spec.blend == "nnunet" and wanted is not None:
        return Layout.even(size, wanted, share)
    return Layout.plan(size, wanted, share)


def label_map(
    volume: Volume, model: Model, seen: Seen, wanted: Sequence[int] | None = None
) -> LabelMap | SplineLabelMap:
    """What takes in the blocks and becomes labels on the volume's grid.

    `wanted` are the values of the labels whose probabilities are kept, None for no probabilities.
    """
    spec, device = model.volume_input, seen.image.device
    if not isinstance(spec, NnUNetInput):
        far = reach(volume.grid, seen.grid, uncut_axes(volume.grid, spec))
        if wanted is not None:
            return ProbabilityMap(volume.grid, seen.grid, model.segments, device, wanted, reach=far)
        return LabelMap(volume.grid, seen.grid, model.segments, device, reach=far)
    how = spec.logits
    alone = seen.alone(how)
    if is_quick(how, alone):
        nearest = alone if how.order_z == 0 else None
        return LabelMap(volume.grid, seen.grid, model.segments, device, nearest=nearest)
    return SplineLabelMap(volume.grid, seen, model.segments, how)
