"""Sliding-window inference that never holds more than the windows in hand touch.

The windows, their weights and their overlap are those of MONAI's ``sliding_window_inference``, so the result is the
same. What differs is what is kept: windows are visited plane by plane along one axis, and sums are kept in a ring as
thick as one window. As soon as no later window reaches a plane, it is handed on and its room is used again. For 105
classes on a 400 x 400 x 600 grid with windows of 96, that is 6 GB where the sums of the whole volume are 40 GB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpukit.ai.runtimes import Network
from gpukit.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["Layout", "Slab", "central", "importance", "slide"]

#: Width of the Gaussian as a share of the window, and the least weight: MONAI's values.
SIGMA = 0.125
#: nnU-Net cuts its Gaussian off at so many widths.
_REACH = 4.0
LEAST_WEIGHT = 1e-3


@dataclass(frozen=True)
class Slab:
    """Finished planes, ``[start, stop)`` along the slab axis.

    Parameters
    ----------
    start, stop : int
        Plane numbers in the image that was given.
    sums : tensor, ``[classes, x, y, z]``
        Weighted sums of logits, of `stop` - `start` planes along the slab axis. Valid until the next slab is asked for.
    weights : tensor or None, ``[x, y, z]``
        Sums of weights; 0 where every window was skipped. None where the sums are plain logits of one window.
    """

    start: int
    stop: int
    sums: torch.Tensor
    weights: torch.Tensor | None


@dataclass(frozen=True)
class Layout:
    """Where the windows lie.

    Parameters
    ----------
    size : tuple of int
        The image's size.
    patch : tuple of int
        The window; a side of the image that is smaller is padded to it.
    starts : tuple of tuple of int
        First voxel of the windows along each axis of the padded image.
    before : tuple of int
        Padding in front along each axis.
    axis : int
        The slab axis: the one along which one window is the smallest share of the image, so that the ring is smallest.
    """

    size: tuple[int, int, int]
    patch: tuple[int, int, int]
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    before: tuple[int, int, int]
    axis: int

    @classmethod
    def plan(cls, size: Sequence[int], patch: Sequence[int] | None, overlap: float) -> Layout:
        """Windows of `patch` (None: one window, the image) that overlap by the share `overlap`, as MONAI lays them."""
        n = (int(size[0]), int(size[1]), int(size[2]))
        p = n if patch is None else (int(patch[0]), int(patch[1]), int(patch[2]))
        if not 0.0 <= overlap < 1.0:
            raise ModelError(f"the overlap must be at least 0 and below 1, not {overlap:g}", attribute="overlap")
        starts, before = [], []
        for side, width in zip(n, p, strict=True):
            padded = max(side, width)
            step = max(1, int(width * (1.0 - overlap)))
            count = max(0, math.ceil((padded - width) / step)) + 1
            starts.append(tuple(min(m * step, padded - width) for m in range(count)))
            before.append((padded - side) // 2)
        axis = max(range(3), key=lambda a: (max(n[a], p[a]) / p[a], n[a]))
        return cls(n, p, (starts[0], starts[1], starts[2]), (before[0], before[1], before[2]), axis)

    @classmethod
    def even(cls, size: Sequence[int], patch: Sequence[int], overlap: float) -> Layout:
        """Windows that overlap by the share `overlap` or more and are spread evenly, as nnU-Net lays them.

        Along an axis of which a window is one voxel thick, as of a network over slices, there is one for each voxel.
        """
        plain = cls.plan(size, patch, overlap)
        starts = []
        for padded, width in zip(plain.padded, plain.patch, strict=True):
            last = padded - width
            count = last + 1 if width == 1 else math.ceil(last / (width * (1.0 - overlap))) + 1
            starts.append(tuple(round(last / (count - 1) * n) if count > 1 else 0 for n in range(count)))
        return cls(plain.size, plain.patch, (starts[0], starts[1], starts[2]), plain.before, plain.axis)

    @property
    def padded(self) -> tuple[int, int, int]:
        """The image's size once padded to at least one window."""
        a, b, c = (max(side, width) for side, width in zip(self.size, self.patch, strict=True))
        return a, b, c

    @property
    def count(self) -> int:
        """Number of windows."""
        return math.prod(len(s) for s in self.starts)


def importance(patch: Sequence[int], blend: str, device: str | torch.device) -> torch.Tensor:
    """Weight of each voxel of a window, float32: a Gaussian of an eighth of the window, or 1 everywhere.

    With ``nnunet`` it is nnU-Net's Gaussian, whose centre is the voxel ``side // 2``, and whose numbers are those that
    its half precision holds.

    The values are those of MONAI's importance map: the outer product of ``exp(-x² / 2 sigma²)`` with x from the centre
    of the window, not less than its own smallest value or 0.001, whichever is greater.
    """
    import torch

    if blend == "constant":
        return torch.ones(tuple(patch), device=device)
    if blend == "nnunet":
        return _nnunet_importance(patch).to(device)
    weight = torch.ones((), device=device)
    for side in patch:
        x = torch.arange(side, dtype=torch.float32, device=device) - (side - 1) / 2.0
        weight = weight[..., None] * torch.exp(x**2 / (-2 * (SIGMA * side) ** 2))
    return weight.clamp_(min=max(float(weight.min()), LEAST_WEIGHT))


def _nnunet_importance(patch: Sequence[int]) -> torch.Tensor:
    """A point in the middle, filtered by a Gaussian, times ten, in half precision, where zero becomes the least."""
    import torch

    weight = torch.ones((), dtype=torch.float64)
    for side in patch:
        x = torch.arange(side, dtype=torch.float64) - side // 2
        sigma = side * SIGMA
        line = torch.exp(-0.5 / sigma**2 * x**2)
        weight = weight[..., None] * torch.where(x.abs() <= int(_REACH * sigma + 0.5), line, 0.0)
    half = (weight / weight.max() * 10.0).to(torch.float16)
    return half.masked_fill(half == 0, float(half[half > 0].min())).to(torch.float32)


def central(image: torch.Tensor, layout: Layout) -> torch.Tensor:
    """The window in the middle of an image ``[c, x, y, z]``, as a batch of one: the one that shows most of the body."""
    corner = [starts[len(starts) // 2] for starts in layout.starts]
    return _cut(_pad(image, layout), corner, layout.patch)[None]


def slide(
    image: torch.Tensor,
    network: Network,
    layout: Layout,
    *,
    channels: int,
    blend: str = "gaussian",
    batch: int = 1,
    skip_below: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Slab]:
    """Run a network over an image, window by window, and hand on planes as they are finished.

    Parameters
    ----------
    image : tensor, ``[c, x, y, z]``
        Preprocessed, on the network's device.
    network : Network
        From a runtime.
    layout : Layout
        Of this image's size.
    channels : int
        Output channels that the network must have.
    blend, batch, skip_below
        As in `gpukit.ai.description.InferenceSpec`.
    progress : callable, optional
        ``progress(windows done, windows in all)``.

    Yields
    ------
    Slab
        From the first plane of the slab axis to the last, each plane once.

    Raises
    ------
    ModelError
        The network gives another number of channels or another size than it must.
    """
    import torch

    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, layout.count)

    axis, width = layout.axis, layout.patch[layout.axis]
    if layout.count == 1 and layout.padded == layout.size:
        if skip_below is not None and not bool((image >= skip_below).any()):
            empty = torch.zeros((channels, *layout.size), dtype=torch.float32, device=image.device)
            logits, weights = empty, empty[0]
        else:
            logits, weights = _run(network, [image], channels, layout.patch)[0], None
        advance(1)
        yield Slab(0, layout.size[axis], logits, weights)
        return

    padded = _pad(image, layout)
    weight = importance(layout.patch, blend, image.device)
    others = [a for a in range(3) if a != axis]
    room = list(layout.padded)
    room[axis] = width
    # One more channel than there are classes: the sum of the weights.
    ring = torch.zeros((channels + 1, *room), dtype=torch.float32, device=image.device)
    along = layout.starts[axis]
    first, last = layout.before[axis], layout.before[axis] + layout.size[axis]
    for turn, start in enumerate(along):
        row = []
        for u in layout.starts[others[0]]:
            for v in layout.starts[others[1]]:
                corner = [0, 0, 0]
                corner[axis], corner[others[0]], corner[others[1]] = start, u, v
                row.append(corner)
        if skip_below is not None:
            kept = [c for c in row if bool((_cut(padded, c, layout.patch) >= skip_below).any())]
            advance(len(row) - len(kept))
            row = kept
        for n in range(0, len(row), batch):
            corners = row[n : n + batch]
            outputs = _run(network, [_cut(padded, c, layout.patch) for c in corners], channels, layout.patch)
            for corner, output in zip(corners, outputs, strict=True):
                _add(ring, output, weight, corner, axis)
            del outputs
            advance(len(corners))
        # Planes before the next window's start are finished; the rest stays in the ring.
        stop = along[turn + 1] if turn + 1 < len(along) else start + width
        yield from _finished(ring, axis, start, stop, first, last, layout)


def _finished(
    ring: torch.Tensor, axis: int, start: int, stop: int, first: int, last: int, layout: Layout
) -> Iterator[Slab]:
    """Hand on the ring's planes [start, stop) in pieces that do not wrap around, then make them zero."""
    width = ring.shape[axis + 1]
    keep = tuple(slice(b, b + n) for b, n in zip(layout.before, layout.size, strict=True))
    at = start
    while at < stop:
        end = min(stop, at + width - at % width)
        piece = ring.narrow(axis + 1, at % width, end - at)
        low, high = max(at, first), min(end, last)
        if low < high:
            inner = list(keep)
            inner[axis] = slice(low - at, high - at)
            view = piece[(slice(None), *inner)]
            yield Slab(low - first, high - first, view[:-1], view[-1])
        piece.zero_()
        at = end


def _add(ring: torch.Tensor, output: torch.Tensor, weight: torch.Tensor, corner: Sequence[int], axis: int) -> None:
    """Add a window's weighted output to the ring, in two pieces where the ring wraps around."""
    width = weight.shape[axis]
    where = [slice(c, c + n) for c, n in zip(corner, weight.shape, strict=True)]
    split = width - corner[axis] % width  # planes up to the ring's end
    for begin, count, target in ((0, split, corner[axis] % width), (split, width - split, 0)):
        if count == 0:
            continue
        where[axis] = slice(target, target + count)
        part = weight.narrow(axis, begin, count)
        room = ring[(slice(None), *where)]
        room[:-1].addcmul_(output.narrow(axis + 1, begin, count), part)
        room[-1].add_(part)


def _run(network: Network, windows: list[torch.Tensor], channels: int, patch: tuple[int, int, int]) -> torch.Tensor:
    import torch

    stack = windows[0][None] if len(windows) == 1 else torch.stack(windows)
    output = network(stack)
    if not isinstance(output, torch.Tensor) or output.ndim != 5:
        shape = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise ModelError(f"the network's output must be one tensor [n, classes, x, y, z], not {shape}")
    if output.shape[1] != channels:
        raise ModelError(
            f"the network has {output.shape[1]} output channels, and its labels describe {channels}",
            attribute="$.output.labels",
            fix="describe each channel of the network",
        )
    if tuple(output.shape[2:]) != patch:
        raise ModelError(
            f"the network turns a window of {patch} into {tuple(output.shape[2:])}, so its labels have no place",
            attribute="$.inference.patch",
            fix="use a patch that the network keeps (often a multiple of 16 or 32)",
        )
    # one NaN or infinity makes the sum one; a sum needs no memory, and a look at each value is taken only then
    if not bool(torch.isfinite(output.sum(dtype=torch.float32))) and not bool(torch.isfinite(output).all()):
        raise ModelError("the network gave values that are not finite (NaN or infinity)", fix="use precision float32")
    return output


def _pad(image: torch.Tensor, layout: Layout) -> torch.Tensor:
    import torch

    if layout.padded == layout.size:
        return image
    sides: list[int] = []
    for a in (2, 1, 0):
        sides += [layout.before[a], layout.padded[a] - layout.size[a] - layout.before[a]]
    return torch.nn.functional.pad(image, sides)


def _cut(image: torch.Tensor, corner: Sequence[int], patch: Sequence[int]) -> torch.Tensor:
    return image[(slice(None), *(slice(c, c + n) for c, n in zip(corner, patch, strict=True)))]
