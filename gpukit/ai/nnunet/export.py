"""Labels on the source's grid where an nnU-Net's logits come back by splines that `LabelMap` has no quick way for.

Plans of nnU-Net resample logits linearly, and `gpukit.ai.inference.label_map.LabelMap` does that block by block. A plan
that asks for cubic splines needs all of an axis at once. Then the logits of all classes are held at the network's
spacing, as nnU-Net holds them, but at the source's spacing only one class at a time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpukit.ai.inference.label_map import Labelling, LabelMap
from gpukit.ai.inference.merger import Block
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.ai.nnunet.preprocess import Seen
from gpukit.ai.nnunet.resample import Resampling, new_shape, resample
from gpukit.geometry import Grid

if TYPE_CHECKING:
    import torch

__all__ = ["SplineLabelMap", "is_quick"]


def is_quick(how: Resampling, alone: int | None) -> bool:
    """Whether `LabelMap` does this resampling: linear, and nearest or linear along an axis on its own."""
    return how.order == 1 and (alone is None or how.order_z in (0, 1))


class SplineLabelMap:
    """Collects blocks of logits and becomes the label map on the source's grid.

    Parameters
    ----------
    source : Grid
        Where the labels return to.
    seen : Seen
        What the network saw.
    output : OutputSpec
        What the channels mean; activation ``none`` or ``regions``.
    how : Resampling
        Of the logits.
    """

    def __init__(self, source: Grid, seen: Seen, output: OutputSpec, how: Resampling) -> None:
        self.source, self.seen, self.output, self.how = source, seen, output, how
        self.model = seen.grid
        self._logits = seen.image.new_empty((output.channels, *self.model.shape[::-1]))

    def add(self, block: Block) -> None:
        """Take in a block."""
        room = self._logits[(slice(None), *block.box)]
        room.copy_(block.sums)
        if block.weights is not None:
            room.div_(block.weights)

    def labelling(self) -> Labelling:
        """The label map ``[k, j, i]`` on the source's grid."""
        return Labelling(self.finish())

    def finish(self) -> torch.Tensor:
        """The label map ``[k, j, i]`` on the source's grid."""
        import torch

        turned = self.source.reoriented(self.model.codes)[0]
        steps = [new / old for new, old in zip(self.model.spacing, turned.spacing, strict=True)]
        size = new_shape(self.model.shape[::-1], steps, (1.0, 1.0, 1.0))
        values = [0, *(label.value for label in self.output.labels)]
        work = torch.uint8 if max(values) < 256 else torch.int32
        labels = torch.zeros(size, dtype=work, device=self._logits.device)
        best: torch.Tensor | None = None
        for n, logits in enumerate(self._logits):
            found = resample(logits, size, self.seen.nominal, self.seen.source, self.how)
            if self.output.activation == "regions":
                labels[found > 0] = values[n + 1]
            elif best is None:
                best = found.clone()
            else:
                better = found > best
                labels[better] = n
                best = torch.maximum(best, found)
        return placed(labels, self.source, self.model, self.output)


def placed(labels: torch.Tensor, source: Grid, model: Grid, output: OutputSpec) -> torch.Tensor:
    """Labels ``[i, j, k]`` that fill the model's box in the source's voxels, on the source's grid."""
    turned = source.reoriented(model.codes)[0]
    # The box's first voxel: its outer faces are the model's.
    origin = model.to_world([(-0.5, -0.5, -0.5)])[0]
    start = [round(float(v) + 0.5) for v in turned.to_index([origin])[0]]
    affine = turned.affine.copy()
    affine[:3, 3] = turned.to_world([start])[0]
    i, j, k = (int(n) for n in labels.shape)
    whole = LabelMap(source, Grid((k, j, i), affine), output, labels.device)
    return whole.place(labels)
