"""A label map with the probability of each label beside it, as 255ths on the source's grid.

Probabilities return the way the labels do (`gpukit.ai.inference.label_map`): by whole voxels, or interpolated linearly
between the eight model voxels around a source voxel, here for every voxel, because those inside an organ differ too.
What is kept is one byte a label and voxel, turned to the source's axes in its place, label by label: 262 MB for one
label on 512 x 512 x 1000, 27 GB for 104. Choose labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gpukit.ai.inference.label_map import BUDGET, Labelling, LabelMap, spans
from gpukit.ai.inference.merger import Block
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.geometry import Grid
from gpukit.ops._mapping import EDGE

if TYPE_CHECKING:
    import torch

__all__ = ["ProbabilityMap"]


class ProbabilityMap(LabelMap):
    """Collects blocks and becomes the label map and the probabilities of some labels.

    Parameters
    ----------
    source, model, output, device, reach
        As in `LabelMap`.
    wanted : sequence of int
        Values of the labels whose probabilities are kept, in the order in which they are to stand.
    """

    def __init__(
        self,
        source: Grid,
        model: Grid,
        output: OutputSpec,
        device: torch.device,
        wanted: Sequence[int],
        *,
        reach: Sequence[Sequence[float]] | None = None,
    ) -> None:
        import torch

        super().__init__(source, model, output, device, reach=reach)
        # Without sigmoid channel n is label n; with it, channels are the labels in their order.
        values = [label.value for label in output.labels]
        channels = [values.index(v) if output.activation == "sigmoid" else v for v in wanted]
        self._channels = torch.tensor(channels, dtype=torch.int64, device=device)
        # Of whole voxels in the model's [i, j, k], else in the source's [k, j, i]. There is room for both, because the
        # former become the latter where they are.
        shape = source.shape if self._start is None else model.shape[::-1]
        room = max(math.prod(source.shape), math.prod(shape))
        self._store = torch.zeros((len(channels), room), dtype=torch.uint8, device=device)
        kept = self._store[:, : math.prod(shape)].view(-1, *shape)
        self._kept = kept.permute(0, 3, 2, 1) if self._start is None else kept

    def add(self, block: Block) -> None:
        """Take in a block; those before it along any axis must have come. Nothing of it is referred to afterwards."""
        if self._start is not None:
            room = self._kept[(slice(None), *block.box)]
            for part in spans(0, room.shape[1], BUDGET // max(1, block.sums[:, 0].numel())):
                some = None if block.weights is None else block.weights[part]
                room[:, part] = _bytes(self._activated(block.sums[:, part], some)[self._channels])
        super().add(block)

    def labelling(self) -> Labelling:
        """The label map, the bits of labels that overlap, and the probabilities; call it once, when all is in."""
        return replace(super().labelling(), probabilities=self.probabilities())

    def probabilities(self) -> torch.Tensor:
        """``[label, k, j, i]`` uint8 on the source's grid; call it once, when all blocks are in."""
        found = self._store[:, : math.prod(self.source.shape)].view(-1, *self.source.shape)
        if self._start is not None:
            for kept, place in zip(self._kept, found, strict=True):
                place.copy_(self._on_source(kept).clone())
        return found

    def _between(self, block: Block) -> None:
        """Label the source voxels between a block's voxels, and keep their probabilities.

        A source voxel belongs to the cell [p, p + 1) of model voxels along each axis; what lies beyond the outermost
        centres, as far as the model reaches, belongs to the outermost voxels.
        """
        import torch

        super()._between(block)
        box = self._box(block)
        if box is None:
            return
        device = block.sums.device
        k, j, i = (torch.arange(s.start, s.stop, device=device) for s in box)
        for part in spans(0, len(k), BUDGET // (8 * len(j) * len(i))):
            grid = (i[None, None, :], j[None, :, None], k[part, None, None])
            inside = None
            for axis, (first, last) in enumerate(zip(block.start, block.stop, strict=True)):
                at = self._position(axis, grid)
                before, after = self._reach[axis]
                within = at >= (first or -before - EDGE)
                within &= at <= last - 1 + after + EDGE if last == self._size[axis] else at < last - 1
                inside = within if inside is None else inside & within
            assert inside is not None
            found = inside.nonzero(as_tuple=True)
            if found[0].numel():
                self._interpolate([i[found[2]], j[found[1]], k[part][found[0]]], block)

    def _position(self, axis: int, index: Sequence[torch.Tensor]) -> torch.Tensor:
        """Where source voxels (i, j, k) lie along an axis of the model."""
        import torch

        real = torch.float32 if index[0].device.type == "mps" else torch.float64  # which Apple's devices do not have
        i, j, k = (one.to(real) for one in index)
        a, b, c, d = (float(n) for n in self._matrix[axis])
        return a * i + (b * j + (c * k + d))

    def _interpolate(self, index: list[torch.Tensor], block: Block) -> None:
        """Write the probabilities of the source voxels `index` (i, j, k)."""
        import torch

        low, high, share = [], [], []
        for axis, (first, last) in enumerate(zip(block.start, block.stop, strict=True)):
            at = (self._position(axis, index) - first).clamp(0, last - first - 1)
            floor = torch.floor(at)
            low.append(floor.to(torch.int64))
            high.append(torch.clamp(low[-1] + 1, max=last - first - 1))
            share.append((at - floor).to(torch.float32))
        ends = (low, high)
        for part in spans(0, index[0].numel(), BUDGET // (4 * block.sums.shape[0])):
            total = torch.zeros((len(self._channels), part.stop - part.start), device=block.sums.device)
            for corner in range(8):
                sides = (corner & 1, corner >> 1 & 1, corner >> 2)
                spot = tuple(ends[side][n][part] for n, side in enumerate(sides))
                factor = torch.ones_like(total[0])
                for side, s in zip(sides, share, strict=True):
                    factor = factor * (s[part] if side else 1.0 - s[part])
                total += self._probabilities(block.sums, block.weights, spot)[self._channels] * factor
            self._kept[:, index[0][part], index[1][part], index[2][part]] = _bytes(total)

    def _probabilities(
        self, sums: torch.Tensor, weights: torch.Tensor | None, spot: tuple[torch.Tensor, ...]
    ) -> torch.Tensor:
        """``[classes, n]`` at some model voxels; where every window was skipped, background is certain."""
        import torch

        logits = sums[:, spot[0], spot[1], spot[2]]
        weight = None if weights is None else weights[spot]
        if weight is not None:
            logits = logits / weight.clamp(min=torch.finfo(torch.float32).tiny)
        if self.output.activation in ("none", "regions"):
            values = logits.clone()
        else:
            values = torch.sigmoid(logits) if self.output.activation == "sigmoid" else torch.softmax(logits, dim=0)
        if weight is not None and bool((weight == 0).any()):
            values[:, weight == 0] = 0.0
            if self.output.activation != "sigmoid":
                values[0, weight == 0] = 1.0
        return values

    def _activated(self, sums: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Probabilities of whole planes ``[classes, n, u, v]``."""
        flat = sums.reshape(sums.shape[0], -1, 1, 1)
        alone = None if weights is None else weights.reshape(-1, 1, 1)
        import torch

        every = torch.arange(flat.shape[1], device=flat.device)
        zero = torch.zeros_like(every)
        return self._probabilities(flat, alone, (every, zero, zero)).reshape(sums.shape)


def _bytes(probabilities: torch.Tensor) -> torch.Tensor:
    """Probabilities as 255ths, rounded to the nearest."""
    import torch

    return (probabilities.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8)
