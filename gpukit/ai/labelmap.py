"""From finished planes of logits to a label map on the source's grid.

Two ways back:

- Where the model's grid is the source's, permuted, flipped and shifted by whole voxels, each voxel's label is the
  largest channel and nothing is interpolated.
- Otherwise each source voxel takes the class whose *probability*, interpolated linearly between the eight model voxels
  around it, is the largest. This follows the surface between the model's voxels, where the nearest label would leave
  steps of the model's voxel size. It costs little, because of a fact about convex sums: where the eight agree on a
  class, that class also wins between them. So probabilities are interpolated only for voxels on a boundary.

Neither way holds all classes for the whole volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gpukit.ai.parts import OutputSpec
from gpukit.ai.preprocess import copy_box, whole_voxel_start
from gpukit.ai.window import Slab
from gpukit.geometry import Grid

if TYPE_CHECKING:
    import torch

__all__ = ["BUDGET", "LabelMap", "spans"]

#: Numbers (float32) that one step may hold beside the ring: 64 MB.
BUDGET = 16 << 20
#: Voxels by which a half may fall short of a half.
TIE = 1e-4


class LabelMap:
    """Collects slabs and becomes the label map on the source's grid.

    Parameters
    ----------
    source : Grid
        Where the labels return to.
    model : Grid
        What the network saw.
    output : OutputSpec
        What the channels mean.
    axis : int
        Slab axis among the model's (i, j, k).
    device : torch.device
        Where the slabs come from and the map is kept.
    nearest : int, optional
        An axis of the model's along which nothing is interpolated: the nearest plane counts, and of two the later.
    """

    def __init__(
        self,
        source: Grid,
        model: Grid,
        output: OutputSpec,
        axis: int,
        device: torch.device,
        *,
        nearest: int | None = None,
    ) -> None:
        import torch

        self.source, self.model, self.output, self.axis = source, model, output, axis
        values = [label.value for label in output.labels]
        self.dtype = torch.uint8 if max(values) < 256 else torch.uint16
        # Gathering and comparing uint16 is not offered by every torch device, so work is done in a plain type.
        self.work = torch.uint8 if max(values) < 256 else torch.int32
        self._values = torch.tensor(values, dtype=self.work, device=device)
        self._start = whole_voxel_start(source, model)
        if self._start is not None:
            self._map = torch.zeros(model.shape[::-1], dtype=self.work, device=device)
        else:
            self._map = torch.zeros(source.shape[::-1], dtype=self.work, device=device)
            to_model = model.matrix_from(source)
            others = [a for a in range(3) if a != axis]
            self._nearest = None if nearest is None else [axis, *others].index(nearest)
            # Rows: slab axis first, then the other two, as the slabs' planes, rows and columns.
            self._matrix = to_model[[axis, *others]]
            self._size = tuple(model.shape[::-1][a] for a in (axis, *others))
            self._carry: tuple[torch.Tensor, torch.Tensor | None, torch.Tensor] | None = None

    def add(self, slab: Slab) -> None:
        """Take in the next planes; nothing of the slab is referred to afterwards."""
        sums = slab.sums.movedim(self.axis + 1, 1)
        weights = None if slab.weights is None else slab.weights.movedim(self.axis, 0)
        labels = self._decide(sums, weights)
        if self._start is not None:
            self._map.narrow(self.axis, slab.start, slab.stop - slab.start).copy_(labels.movedim(0, self.axis))
            return
        import torch

        if self._carry is not None:
            before, weight, label = self._carry
            both = torch.stack((before, sums[:, 0]), dim=1)
            pair = None if weight is None or weights is None else torch.stack((weight, weights[0]))
            self._place(both, pair, torch.stack((label, labels[0])), slab.start - 1)
        self._place(sums, weights, labels, slab.start)
        last = None if weights is None else weights[-1].clone()
        self._carry = (sums[:, -1].clone(), last, labels[-1].clone())

    def place(self, labels: torch.Tensor) -> torch.Tensor:
        """The finished map from labels ``[i, j, k]`` of the model's voxels, where these are the source's."""
        self._map.copy_(labels)
        return self.finish()

    def finish(self) -> torch.Tensor:
        """The label map ``[k, j, i]`` on the source's grid, contiguous; the map cannot be used any further."""
        return self._on_source(self._map).to(self.dtype)

    def _on_source(self, kept: torch.Tensor) -> torch.Tensor:
        """What was kept, on the source's grid as ``[k, j, i]``, contiguous."""
        import torch

        result = kept
        if self._start is not None:
            turned = self.source.reoriented(self.model.codes)[0]
            i, j, k = self._start
            result = copy_box(result, (-i, -j, -k), turned.shape[::-1], 0)
            _, axes, flips = turned.reoriented(self.source.codes)
            # `axes` and `flips` speak of [k, j, i]; the map is still [i, j, k].
            result = result.permute(2, 1, 0).permute(axes)
            if any(flips):
                result = torch.flip(result, [n for n, flip in enumerate(flips) if flip])
        else:
            result = result.permute(2, 1, 0)
        return result.contiguous()

    def _decide(self, sums: torch.Tensor, weights: torch.Tensor | None) -> torch.Tensor:
        """Labels of planes ``[classes, n, u, v]``, a few planes at a time."""
        import torch

        labels = torch.empty(sums.shape[1:], dtype=self.work, device=sums.device)
        for part in spans(0, sums.shape[1], BUDGET // max(1, sums[0, 0].numel())):
            labels[part] = self._chosen(sums[:, part], 0.0)
            if weights is not None:
                labels[part].masked_fill_(weights[part] == 0, 0)
        return labels

    def _chosen(self, values: torch.Tensor, threshold: float) -> torch.Tensor:
        """Label values of ``[classes, ...]``; with sigmoid, background where the best is below the threshold."""
        if self.output.activation == "regions":
            result = values.new_zeros(values.shape[1:], dtype=self.work)
            for value, label in zip(values, self.output.labels, strict=True):
                result.masked_fill_(value > 0, label.value)
            return result
        best, channel = values.max(dim=0)
        if self.output.activation != "sigmoid":
            return channel.to(self.work)
        return self._values[channel].masked_fill(best < threshold, 0)

    def _place(self, sums: torch.Tensor, weights: torch.Tensor | None, labels: torch.Tensor, first: int) -> None:
        """Label the source voxels that lie between the given planes, of which `first` is the first one's number.

        Along the slab axis a source voxel belongs to the cell [p, p + 1) of model planes; the outermost half voxel
        belongs to the outermost planes. In each column of source voxels along the axis that runs most with the slab
        axis, those of the given cells are neighbours, so their numbers are found by division, and no other is visited.
        """
        import torch

        planes = labels.shape[0]
        low = first - 0.5 if first == 0 else float(first)
        last = first + planes - 1
        high = last + 0.5 if last == self._size[0] - 1 else float(last)
        if low >= high:
            return
        row = self._matrix[0]
        main = int(np.argmax(np.abs(row[:3])))
        u, v = (a for a in range(3) if a != main)
        nu, nv, nm = self._map.shape[u], self._map.shape[v], self._map.shape[main]
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
            self._interpolate(index, sums, weights, labels, first)

    def _corners(
        self, index: list[torch.Tensor], planes: int, first: int
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
        """The source voxels that lie within the model's grid, their lower and upper neighbours there, and shares."""
        import torch

        low, share = [], []
        inside = None
        for n, row in enumerate(self._matrix):
            y = row[0] * index[0] + row[1] * index[1] + row[2] * index[2] + row[3]
            within = (y >= -0.5) & (y <= self._size[n] - 0.5)
            inside = within if inside is None else inside & within
            y = y.clamp(0, self._size[n] - 1)
            if n == 0:
                y = (y - first).clamp(0, planes - 1)
            # Halves are exact only in theory, and they belong to the later plane.
            floor = torch.floor(y + (0.5 + TIE)) if n == self._nearest else torch.floor(y)
            y = floor if n == self._nearest else y
            low.append(floor.to(torch.int64))
            share.append((y - floor).to(torch.float32))
        if inside is not None and not bool(inside.all()):
            index = [i[inside] for i in index]
            low = [i[inside] for i in low]
            share = [s[inside] for s in share]
        steps = [0 if n == self._nearest else 1 for n in range(3)]
        last = [n - 1 for n in (planes, *self._size[1:])]
        high = [torch.clamp(i + s, max=end) for i, s, end in zip(low, steps, last, strict=True)]
        low = [torch.clamp(i, max=end) for i, end in zip(low, last, strict=True)]
        return index, low, high, share

    def _interpolate(
        self,
        index: list[torch.Tensor],
        sums: torch.Tensor,
        weights: torch.Tensor | None,
        labels: torch.Tensor,
        first: int,
    ) -> None:
        """Write the labels of the source voxels `index` (i, j, k)."""
        import torch

        index, low, high, share = self._corners(index, labels.shape[0], first)
        corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]
        ends = (low, high)
        result = labels[low[0], low[1], low[2]]
        mixed = torch.zeros(result.shape, dtype=torch.bool, device=result.device)
        for a, b, c in corners[1:]:
            mixed |= labels[ends[a][0], ends[b][1], ends[c][2]] != result
        where = mixed.nonzero()[:, 0]
        for part in spans(0, where.numel(), BUDGET // (4 * sums.shape[0])):
            some = where[part]
            total = torch.zeros((sums.shape[0], some.numel()), dtype=torch.float32, device=sums.device)
            for a, b, c in corners:
                spot = (ends[a][0][some], ends[b][1][some], ends[c][2][some])
                factor = torch.ones(some.numel(), dtype=torch.float32, device=sums.device)
                for side, s in zip((a, b, c), share, strict=True):
                    factor = factor * (s[some] if side else 1.0 - s[some])
                total += self._probabilities(sums, weights, spot) * factor
            result[some] = self._chosen(total, 0.5)
        self._map[index[0], index[1], index[2]] = result

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


def spans(start: int, stop: int, step: int) -> list[slice]:
    """Slices of at most `step` (at least one) that make up [start, stop)."""
    step = max(1, step)
    return [slice(n, min(n + step, stop)) for n in range(start, stop, step)]
