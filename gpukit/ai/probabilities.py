"""A label map with the probability of each label beside it, as 255ths on the source's grid.

Probabilities return the way the labels do (`gpukit.ai.labelmap`): by whole voxels, or interpolated linearly between
the eight model voxels around a source voxel, here for every voxel, because those inside an organ differ too. What is
kept is one byte a label and voxel, and as much again while it is turned to the source's axes: 262 MB for one label on
512 x 512 x 1000, 27 GB for 104. Choose labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
        self._kept = torch.zeros((len(channels), *self._map.shape), dtype=torch.uint8, device=device)

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
        """``[label, k, j, i]`` uint8 on the source's grid; call it once all slabs are in."""
        import torch

        return torch.stack([self._on_source(one) for one in self._kept])

    def _interpolate(
        self,
        index: list[torch.Tensor],
        sums: torch.Tensor,
        weights: torch.Tensor | None,
        labels: torch.Tensor,
        first: int,
    ) -> None:
        """Write labels and probabilities of the source voxels `index` (i, j, k)."""
        import torch

        super()._interpolate(index, sums, weights, labels, first)
        index, low, high, share = self._corners(index, labels.shape[0], first)
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
