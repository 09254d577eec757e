"""Windows of an image one by one, for answers that are not sums: boxes, and images of another size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import TYPE_CHECKING

from gpukit.ai.inference.sliding_window import Layout
from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import Network
from gpukit.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["cut_windows", "window_of"]


def window_of(network: Network, model: Model, size: Sequence[int]) -> tuple[int, int, int] | None:
    """The window that a network is given of an image of `size`: the declared one, or that which its graph is fixed to.

    None for the whole image.

    Raises
    ------
    ModelError
        The graph is fixed to another window than the one declared, or than the whole image where none is.
    """
    patch = model.inference.patch
    if all(fixed is None for fixed in network.patch):
        return patch
    wanted = patch or (size[0], size[1], size[2])
    fixed = tuple(f or w for f, w in zip(network.patch, wanted, strict=True))
    if fixed != wanted and (patch is not None or any(f < s for f, s in zip(fixed, size, strict=True))):
        raise ModelError(
            f"the network's graph is fixed to windows of {fixed}, and it would be given {wanted}",
            file=model.file, attribute="$.inference.patch", fix="declare the patch of the graph",
        )  # fmt: skip
    return fixed[0], fixed[1], fixed[2]


def cut_windows(image: torch.Tensor, layout: Layout) -> Iterator[tuple[tuple[int, int, int], torch.Tensor]]:
    """First voxel of each window in the image ``[c, x, y, z]``, and the window; beside the image are zeros.

    The first voxel lies outside, where a side of the image is smaller than the window.
    """
    import torch

    if layout.padded != layout.size:
        sides: list[int] = []
        for a in (2, 1, 0):
            sides += [layout.before[a], layout.padded[a] - layout.size[a] - layout.before[a]]
        image = torch.nn.functional.pad(image, sides)
    for x, y, z in product(*layout.starts):
        window = image[:, x : x + layout.patch[0], y : y + layout.patch[1], z : z + layout.patch[2]]
        yield (x - layout.before[0], y - layout.before[1], z - layout.before[2]), window
