"""Blocks with the voxels before them, so that what lies between two blocks can be interpolated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gpukit.ai.inference.merger import Block

if TYPE_CHECKING:
    import torch

__all__ = ["Seams"]

Face = tuple["torch.Tensor", "torch.Tensor | None"]


class Seams:
    """Keeps the last voxels of each block along each axis, until the block behind has come.

    Blocks are boxes between planes that cut the whole image, and those before one along any axis come before it.
    """

    def __init__(self) -> None:
        #: By the axis and the first voxel of the block to come: the voxels in front of it, with those in front of them.
        self._faces: dict[tuple[int, tuple[int, int, int]], Face] = {}

    def join(self, block: Block, size: tuple[int, int, int]) -> Block:
        """The block with one voxel more in front along each axis, where the image (of `size`) has one.

        It has memory of its own where there is such a voxel.
        """
        start, stop = block.start, block.stop
        more = [min(at, 1) for at in start]
        sums, weights = block.sums, block.weights
        if any(more):
            shape = [int(n) + m for n, m in zip(sums.shape[1:], more, strict=True)]
            sums = block.sums.new_empty((sums.shape[0], *shape))
            weights = None if block.weights is None else block.weights.new_empty(shape)
            inner = [slice(m, None) for m in more]
            self._put(sums, weights, inner, (block.sums, block.weights))
            for axis in range(3):
                if more[axis]:
                    where = [slice(None)] * 3
                    where[axis] = slice(0, 1)
                    self._put(sums, weights, where, self._faces.pop((axis, start)))
        for axis in range(3):
            if stop[axis] < size[axis]:
                behind = [*start]
                behind[axis] = stop[axis]
                last = sums.narrow(axis + 1, sums.shape[axis + 1] - 1, 1).clone()
                weight = None if weights is None else weights.narrow(axis, weights.shape[axis] - 1, 1).clone()
                self._faces[axis, (behind[0], behind[1], behind[2])] = (last, weight)
        a, b, c = (at - m for at, m in zip(start, more, strict=True))
        return Block((a, b, c), sums, weights)

    @staticmethod
    def _put(sums: torch.Tensor, weights: torch.Tensor | None, where: list[slice], what: Face) -> None:
        sums[(slice(None), *where)] = what[0]
        if weights is not None and what[1] is not None:
            weights[tuple(where)] = what[1]
