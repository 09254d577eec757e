"""From finished blocks of logits to a label map on the source's grid.

Two ways back:

- Where the model's grid is the source's, permuted, flipped and shifted by whole voxels, each voxel's label is the
  largest channel and nothing is interpolated.
- Otherwise each source voxel takes the class whose *probability*, interpolated linearly between the eight model voxels
  around it, is the largest. This follows the surface between the model's voxels, where the nearest label would leave
  steps of the model's voxel size. `gpukit.ops.interpolated_labels` does it, and interpolates only where the eight
  differ.

Neither way holds all classes for the whole volume. Where classes are independent of one another (sigmoid) each of them
is asked for on its own, and what is held is one bit a label and voxel.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.ai.inference.block_halo import Seams
from gpukit.ai.inference.merger import Block
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.ai.transforms.tensors import as_tensor
from gpukit.ai.transforms.volume_input import copy_box, whole_voxel_start
from gpukit.geometry import Grid
from gpukit.ops._mapping import check_affine
from gpukit.ops.interpolated_labels import interpolated_labels
from gpukit.segmentation import map_of_planes

if TYPE_CHECKING:
    import torch

__all__ = ["BUDGET", "LabelMap", "Labelling", "spans"]

#: Numbers (float32) that one step may hold beside the block: 64 MB.
BUDGET = 16 << 20


@dataclass(frozen=True)
class Labelling:
    """Labels on the source's grid, all on one device.

    Parameters
    ----------
    array : tensor, ``[k, j, i]``
        The label map.
    planes : tensor of uint8 or None, ``[p, k, j, i]``
        Where labels overlap: bits as in `gpukit.segmentation.Segmentation`.
    probabilities : tensor of uint8 or None, ``[label, k, j, i]``
        As 255ths, where they are kept.
    """

    array: torch.Tensor
    planes: torch.Tensor | None = None
    probabilities: torch.Tensor | None = None


class LabelMap:
    """Collects blocks and becomes the label map on the source's grid.

    Parameters
    ----------
    source : Grid
        Where the labels return to.
    model : Grid
        What the network saw.
    output : OutputSpec
        What the channels mean.
    device : torch.device
        Where the blocks come from and the map is kept.
    nearest : int, optional
        An axis of the model's along which nothing is interpolated: the nearest plane counts, and of two the later.
    reach : sequence of (float, float), optional
        How far the outermost voxels count beyond their centres along the model's axes (i, j, k), see
        `gpukit.ai.transforms.volume_input.reach`; half a voxel by default.
    """

    def __init__(
        self,
        source: Grid,
        model: Grid,
        output: OutputSpec,
        device: torch.device,
        *,
        nearest: int | None = None,
        reach: Sequence[Sequence[float]] | None = None,
    ) -> None:
        import torch

        self.source, self.model, self.output = source, model, output
        values = [label.value for label in output.labels]
        self.dtype = torch.uint8 if max(values) < 256 else torch.uint16
        # Gathering and comparing uint16 is not offered by every torch device, so work is done in a plain type.
        self.work = torch.uint8 if max(values) < 256 else torch.int32
        self._values = torch.tensor(values, dtype=self.work, device=device)
        self._start = whole_voxel_start(source, model)
        self._nearest = nearest
        # Of whole voxels the map is the model's [i, j, k]; else it is the source's [k, j, i].
        shape = source.shape if self._start is None else model.shape[::-1]
        self._device = device
        if output.overlapping:
            self._planes = torch.zeros(((len(values) + 7) // 8, *shape), dtype=torch.uint8, device=device)
        else:
            self._map = torch.zeros(shape, dtype=self.work, device=device)
        self._reach = [(0.5, 0.5)] * 3 if reach is None else [(float(a), float(b)) for a, b in reach]
        self._matrix = check_affine(model.matrix_from(source), source.shape)
        i, j, k = model.shape[::-1]
        self._size = (i, j, k)
        self._seams = Seams()

    def add(self, block: Block) -> None:
        """Take in a block; those before it along any axis must have come. Nothing of it is referred to afterwards."""
        if self._start is not None:
            if self.output.overlapping:
                self._decide_each(block)
            else:
                self._map[block.box] = self._decide(block)
        else:
            self._between(self._seams.join(block, self._size))

    def place(self, labels: torch.Tensor) -> torch.Tensor:
        """The finished map from labels ``[i, j, k]`` of the model's voxels, where these are the source's."""
        self._map.copy_(labels)
        return self.finish()

    def finish(self) -> torch.Tensor:
        """The label map ``[k, j, i]`` on the source's grid, contiguous; the map cannot be used any further."""
        return self.labelling().array

    def labelling(self) -> Labelling:
        """As `finish`, with the bits of labels that overlap."""
        import torch

        if not self.output.overlapping:
            return Labelling(self._on_source(self._map).to(self.dtype))
        planes = torch.stack([self._on_source(plane) for plane in self._planes])
        like = torch.empty(planes.shape[1:], dtype=self.work, device=planes.device)
        array, overlap = map_of_planes(planes, [label.value for label in self.output.labels], like)
        return Labelling(array.to(self.dtype), planes if overlap else None)

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
        return result.contiguous()

    def _decide(self, block: Block) -> torch.Tensor:
        """Labels of a block's voxels, some planes at a time."""
        import torch

        sums, weights = block.sums, block.weights
        labels = torch.empty(sums.shape[1:], dtype=self.work, device=sums.device)
        for part in spans(0, sums.shape[1], BUDGET // max(1, sums[0, 0].numel())):
            # divided, which changes no order, because rounding can make two classes equal, as in MONAI's
            values = sums[:, part] if weights is None else sums[:, part] / weights[part]
            labels[part] = self._chosen(values, _logit(self.output.threshold))
            if weights is not None:
                labels[part].masked_fill_(weights[part] == 0, 0)
        return labels

    def _decide_each(self, block: Block) -> None:
        """Set the bits of labels in a block's voxels."""
        sums, weights = block.sums, block.weights
        least = _logit(self.output.threshold)
        for n, logits in enumerate(sums):
            inside = logits >= least if weights is None else (logits / weights >= least) & (weights != 0)
            self._planes[n // 8][block.box].bitwise_or_(inside.to(self._planes.dtype) << n % 8)

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

    def _between(self, block: Block) -> None:
        """Label the source voxels that lie between a block's voxels, or outside of the outermost."""
        sums, weights = block.sums, block.weights
        box = self._box(block)
        if box is None:
            return
        values = [label.value for label in self.output.labels]
        output = self.output
        if output.activation == "sigmoid" and (output.overlapping or output.threshold != 0.5):
            for n in range(sums.shape[0]):
                bit, room = (1 << n % 8, self._planes[n // 8]) if output.overlapping else (values[0], self._map)
                found = self._one_class(block, n, bit, box)
                if found is not None:
                    room[box].bitwise_or_(found.to(room.dtype))
            return
        labels = range(sums.shape[0]) if output.activation in ("none", "softmax") else values
        # each voxel is labelled once and 0 in all other parts
        self._map[box].bitwise_or_(self._interpolated(block, box, sums, labels, output.activation, weights))

    def _one_class(self, block: Block, n: int, value: int, box: tuple[slice, slice, slice]) -> torch.Tensor | None:
        """`value` where the probability of channel n, interpolated, reaches the threshold; None where it never does."""
        import torch

        logits, weights, threshold = block.sums[n], block.weights, self.output.threshold
        if weights is not None:
            logits = torch.where(weights == 0, -math.inf, logits / weights.clamp(min=torch.finfo(torch.float32).tiny))
        if not bool((logits >= _logit(threshold)).any()):  # what lies between is not larger either
            return None
        values = torch.sigmoid(logits)
        # the first of equal ones wins, so that the threshold itself is inside
        pair = torch.stack((values, torch.full_like(values, threshold)))
        return self._interpolated(block, box, pair, (value, 0), "none", None)

    def _interpolated(
        self,
        block: Block,
        box: tuple[slice, slice, slice],
        sums: torch.Tensor,
        labels: Sequence[int],
        activation: str,
        weights: torch.Tensor | None,
    ) -> torch.Tensor:
        # the model's (i, j, k) as arrays [k, j, i]
        scores: Any = sums.permute(0, 3, 2, 1)
        weight: Any = None if weights is None else weights.permute(2, 1, 0)
        if sums.device.type == "cpu":  # there are compiled kernels for NumPy's arrays; the memory is the same
            scores, weight = scores.numpy(), None if weight is None else weight.numpy()
        found = interpolated_labels(
            scores,
            self._matrix,
            [s.stop - s.start for s in box],
            labels=labels,
            activation=activation,
            weights=weight,
            start=[s.start for s in box],
            planes=[(2 - axis, block.start[axis], self._size[axis]) for axis in range(3)],
            nearest=None if self._nearest is None else 2 - self._nearest,
            reach=self._reach[::-1],
        )
        result: torch.Tensor = as_tensor(found)
        return result

    def _box(self, block: Block) -> tuple[slice, slice, slice] | None:
        """A box ``[k, j, i]`` of source voxels that holds all between a block's voxels, None where there are none."""
        sides = [
            (-before if begin == 0 else begin, end - 1.0 + after if end == size else end - 1.0)
            for begin, end, size, (before, after) in zip(block.start, block.stop, self._size, self._reach, strict=True)
        ]
        corners = np.array([(*corner, 1.0) for corner in itertools.product(*sides)])
        there = corners @ np.linalg.inv(self._matrix).T
        found = []
        for axis, size in enumerate(self.source.shape[::-1]):
            begin, end = int(np.floor(there[:, axis].min())) - 1, int(np.ceil(there[:, axis].max())) + 2
            found.append(slice(max(0, min(size, begin)), max(0, min(size, end))))
        return None if any(s.start >= s.stop for s in found) else (found[2], found[1], found[0])


def _logit(probability: float) -> float:
    return math.log(probability / (1.0 - probability))


def spans(start: int, stop: int, step: int) -> list[slice]:
    """Slices of at most `step` (at least one) that make up [start, stop)."""
    step = max(1, step)
    return [slice(n, min(n + step, stop)) for n in range(start, stop, step)]
