"""Logits that a network's last layer makes only for the voxels that are asked for, and only then."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Late", "LateWindow"]


class LateWindow:
    """One window's logits ``[classes, x, y, z]``, made of its features ``[features, x, y, z]`` piece by piece.

    Parameters
    ----------
    features : tensor, ``[features, x, y, z]``
        What the last layer is given.
    layer : callable
        The last layer, ``[n, features, x, y, z]`` to ``[n, classes, x, y, z]``, in which no voxel sees another.
    """

    def __init__(self, features: torch.Tensor, layer: Callable[[torch.Tensor], torch.Tensor]) -> None:
        self._features, self._layer = features, layer

    def __getitem__(self, where: Sequence[slice]) -> torch.Tensor:
        """Logits of all classes, where the first slice is of these, in a box."""
        return self._layer(self._features[(slice(None), *where[1:])][None])[0]


class Late:
    """A batch of windows' logits.

    Parameters
    ----------
    features : tensor, ``[n, features, x, y, z]``
        What the last layer is given.
    layer : callable
        As for `LateWindow`.
    classes : int
        That it makes.
    """

    def __init__(self, features: torch.Tensor, layer: Callable[[torch.Tensor], torch.Tensor], classes: int) -> None:
        self._features, self._layer = features, layer
        self.shape = (int(features.shape[0]), classes, *(int(n) for n in features.shape[2:]))
        self.ndim = len(self.shape)

    def __iter__(self) -> Iterator[LateWindow]:
        """Window by window."""
        for one in self._features:
            yield LateWindow(one, self._layer)
