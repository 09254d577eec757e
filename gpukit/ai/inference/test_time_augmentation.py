"""Test-time augmentation: mirrored copies of a window, averaged."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

__all__ = ["Mirrored"]


class Mirrored:
    """A network that also looks at mirrored windows and averages the logits, as nnU-Net does: test-time augmentation.

    Parameters
    ----------
    network : Network
        Any.
    axes : sequence of int
        Spatial axes to mirror, 0 to 2 (0 and 1 for pictures ``[n, c, y, x]``); every combination of them is run.
    """

    def __init__(self, network: Any, axes: Sequence[int]) -> None:
        self._network = network
        chosen = sorted(set(axes))
        self._turns = [turn for count in range(len(chosen) + 1) for turn in combinations(chosen, count)]
        self.batch, self.patch = network.batch, network.patch
        self.summary = f"{network.summary}, {len(self._turns)} mirrored ways"

    def __call__(self, batch: Any) -> Any:
        """Mean of the logits of every way, each turned back."""
        import torch

        total = None
        for turn in self._turns:
            dims = [axis + 2 for axis in turn]
            found = self._network(torch.flip(batch, dims) if dims else batch)
            found = torch.flip(found, dims) if dims else found
            total = found.clone() if total is None else total.add_(found)
        assert total is not None
        return total.div_(len(self._turns))
