"""A label map with the probability of each label beside it, as 255ths on the source's grid.

Probabilities return the way the labels do (`gpukit.ai.labelmap`): by whole voxels, or interpolated linearly between
the eight model voxels around a source voxel, here for every voxel, because those inside an organ differ too. What is
kept is one byte a label and voxel, turned to the source's axes in its place, label by label: 262 MB for one label on
512 x 512 x 1000, 27 GB for 104. Choose labels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from gpukit.ai.labelmap import BUDGET, LabelMap, spans
from gpukit.ai.parts import OutputSpec
from gpukit.ai.window import Slab
from gpukit.geometry import Grid

if TYPE_CHECKING:
    import torch

__all__ = ["ProbabilityMap"]


class ProbabilityMap(LabelMap):
    """Collects slabs and becomes the label map and the probabilities of some labels.

    Parameters
    ----------
    source, model, output, axis, device
        As in `LabelMap`.
    wanted : sequence of int
        Values of the labels whose probabilities are kept, in the order in which they are to stand.
    """

    def __init__(
        self, source: Grid, model: Grid, output: OutputSpec, axis: int, device: torch.device, wanted: Sequence[int]
    ) -> None:
        import torch

        super().__init__(source, model, output, axis, device)
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
        others = [a for a in range(3) if a != axis]
        # Rows: slab axis first, then the other two, as the slabs' planes, rows and columns.
        self._rows = self._matrix[[axis, *others]]
        self._size = tuple(model.shape[::-1][a] for a in (axis, *others))

    def add(self, slab: Slab) -> None:
        """Take in the next planes; nothing of the slab is referred to afterwards."""
        if self._start is not None:
            sums = slab.sums.movedim(self.axis + 1, 1)
            weights = None if slab.weights is None else slab.weights.movedim(self.axis, 0)
            room = self._kept.movedim(self.axis + 1, 1)[:, slab.start : slab.stop]
            for part in spans(0, sums.shape[1], BUDGET // max(1, sums[:, 0].numel())):
                some = None if weights is None else weights[part]
                room[:, part] = _bytes(self._activated(sums[:, part], some)[self._channels])
        super().add(slab)

    def probabilities(self) -> torch.Tensor:
        """``[label, k, j, i]`` uint8 on the source's grid; call it once, when all slabs are in."""
        found = self._store[:, : math.prod(self.source.shape)].view(-1, *self.source.shape)
        if self._start is not None:
            for kept, place in zip(self._kept, found, strict=True):
                place.copy_(self._on_source(kept).clone())
        return found

    def _between(self, sums: torch.Tensor, weights: torch.Tensor | None, first: int) -> None:
        """Label the source voxels between the given planes, and keep their probabilities.

        Along the slab axis a source voxel belongs to the cell [p, p + 1) of model planes; the outermost half voxel
        belongs to the outermost planes. In each column of source voxels along the axis that runs most with the slab
        axis, those of the given cells are neighbours, so their numbers are found by division, and no other is visited.
        """
        import torch

        super()._between(sums, weights, first)
        sums = sums.movedim(self.axis + 1, 1)
        weights = None if weights is None else weights.movedim(self.axis, 0)
        planes = sums.shape[1]
        low = first - 0.5 if first == 0 else float(first)
        last = first + planes - 1
        high = last + 0.5 if last == self._size[0] - 1 else float(last)
        if low >= high:
            return
        row = self._rows[0]
        main = int(np.argmax(np.abs(row[:3])))
        u, v = (a for a in range(3) if a != main)
        nu, nv, nm = (self._kept.shape[1 + a] for a in (u, v, main))
        depth = int(np.ceil((high - low) / abs(row[main]))) + 2
        device = sums.device
        for part in spans(0, nu, BUDGET // (8 * max(1, nv * depth))):
            iu = torch.arange(part.start, part.stop, device=device)[:, None, None]
            iv = torch.arange(nv, device=device)[None, :, None]
            rest = row[u] * iu + row[v] * iv + row[3]
            ends = ((low - rest) / row[main], (high - rest) / row[main])
            begin = torch.floor(torch.minimum(*ends)).to(torch.int64)
            im = begin + torch.arange(depth, device=device)[None, None, :]
            at = row[main] * im + rest
            inside = (im >= 0) & (im < nm) & (at >= low) & ((at < high) | (last == self._size[0] - 1) & (at <= high))
            found = inside.nonzero(as_tuple=True)
            if found[0].numel() == 0:
                continue
            index: list[torch.Tensor] = [iu, iu, iu]
            index[u], index[v], index[main] = found[0] + part.start, found[1], im[found]
            self._interpolate(index, sums, weights, first)

    def _corners(
        self, index: list[torch.Tensor], planes: int, first: int
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """The source voxels that lie within the model's grid, their lower and upper neighbours there, and shares."""
        import torch

        low, share = [], []
        inside = None
        for n, row in enumerate(self._rows):
            y = row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]
            within = (y >= -0.5) & (y <= self._size[n] - 0.5)
            inside = within if inside is None else inside & within
            y = y.clamp(0, self._size[n] - 1)
            if n == 0:
                y = (y - first).clamp(0, planes - 1)
            floor = torch.floor(y)
            low.append(floor.to(torch.int64))
            share.append((y - floor).to(torch.float32))
        if inside is not None and not bool(inside.all()):
            index = [i[inside] for i in index]
            low = [i[inside] for i in low]
            share = [s[inside] for s in share]
        last = [n - 1 for n in (planes, *self._size[1:])]
        high = [torch.clamp(i + 1, max=end) for i, end in zip(low, last, strict=True)]
        low = [torch.clamp(i, max=end) for i, end in zip(low, last, strict=True)]
        return index, low, high, share

    def _interpolate(
        self, index: list[torch.Tensor], sums: torch.Tensor, weights: torch.Tensor | None, first: int
    ) -> None:
        """Write the probabilities of the source voxels `index` (i, j, k)."""
        import torch

        index, low, high, share = self._corners(index, int(sums.shape[1]), first)
        ends = (low, high)
        for part in spans(0, index[0].numel(), BUDGET // (4 * sums.shape[0])):
            total = torch.zeros((len(self._channels), part.stop - part.start), device=sums.device)
            for corner in range(8):
                sides = (corner & 1, corner >> 1 & 1, corner >> 2)
                spot = tuple(ends[side][n][part] for n, side in enumerate(sides))
                factor = torch.ones_like(total[0])
                for side, s in zip(sides, share, strict=True):
                    factor = factor * (s[part] if side else 1.0 - s[part])
                total += self._probabilities(sums, weights, spot)[self._channels] * factor
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
