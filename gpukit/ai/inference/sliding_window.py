"""Sliding-window inference that keeps the sums of those voxels only that a later window sees too.

The windows, their weights and their overlap are those of MONAI's ``sliding_window_inference``, so the result is the
same but for the order in which terms are added. What differs is what is kept. The sums of a voxel exist from the first
window that sees it to the last, and then are handed on and their memory is used again; a voxel of one window alone has
none to keep. `gpukit.ai.inference.window_order` puts the windows in the order that needs least. For 105 classes on a
512 x 512 x 600 grid with windows of 96 that overlap by a quarter, 3.5 GB are kept where the sums of the whole volume
are 67 GB.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.lazy_logits import Late
from gpukit.ai.inference.merger import LARGEST, Block, Sums
from gpukit.ai.inference.window_order import Cell, Schedule
from gpukit.ai.runtimes import Network
from gpukit.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["Layout", "central", "importance", "slide"]

#: Width of the Gaussian as a share of the window, and the least weight: MONAI's values.
SIGMA = 0.125
#: nnU-Net cuts its Gaussian off at so many widths.
_REACH = 4.0
LEAST_WEIGHT = 1e-3


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
    """

    size: tuple[int, int, int]
    patch: tuple[int, int, int]
    starts: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    before: tuple[int, int, int]

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
        return cls(n, p, (starts[0], starts[1], starts[2]), (before[0], before[1], before[2]))

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
        return cls(plain.size, plain.patch, (starts[0], starts[1], starts[2]), plain.before)

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
) -> Iterator[Block]:
    """Run a network over an image, window by window, and hand on blocks as they are finished.

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
        As in `gpukit.ai.model.description.InferenceSpec`.
    progress : callable, optional
        ``progress(windows done, windows in all)``.

    Yields
    ------
    Block
        Each voxel once. Blocks are the boxes between planes that cut the whole image, and those before one along any
        axis came before it.

    Raises
    ------
    ModelError
        The network gives another number of channels or another size than it must, or values that are not finite.
    """
    done = 0

    def advance(count: int) -> None:
        nonlocal done
        done += count
        if progress is not None:
            progress(done, layout.count)

    if layout.count == 1 and layout.padded == layout.size:
        if skip_below is not None and not bool((image >= skip_below).any()):
            yield _empty((0, 0, 0), layout.size, channels, image.device)
        else:
            sums = _run(network, image[None], channels, layout.patch)[0]
            _check(sums)
            yield Block((0, 0, 0), sums, None)
        advance(1)
        return

    padded = _pad(image, layout)
    plan = Schedule.plan(layout.starts, layout.patch, LARGEST // (channels + 1))
    late = getattr(network, "late", network)
    kept = Sums(plan, importance(layout.patch, blend, image.device), channels)
    # windows in hand: their numbers, and what is to be run of them (None over air)
    hand: list[tuple[int, torch.Tensor | None]] = []
    full = [True] * len(plan.corners) if skip_below is None else _full(padded, plan.corners, layout.patch, skip_below)
    for number, corner in enumerate(plan.corners):
        window = _cut(padded, corner, layout.patch)
        hand.append((number, window if full[number] else None))
        stack = [one for _, one in hand if one is not None]
        if stack and len(stack) < batch and number + 1 < len(plan.corners):
            continue
        outputs = iter(_run(late, _stacked(stack), channels, layout.patch) if stack else ())
        for done_one, one in hand:
            for cell, found in kept.add(done_one, None if one is None else next(outputs)):
                yield from _within(cell, found, channels, layout, image.device)
        # nothing of the network's may be held while it makes the next
        del outputs, stack
        advance(len(hand))
        hand = []


def _full(image: torch.Tensor, corners: Sequence[Sequence[int]], patch: Sequence[int], least: float) -> list[bool]:
    """Which windows hold a value from `least` on: one question for all, or the host would wait for a device at each."""
    import torch

    found: list[bool] = torch.stack([(_cut(image, c, patch) >= least).any() for c in corners]).tolist()
    return found


def _within(
    cell: Cell, sums: torch.Tensor | None, channels: int, layout: Layout, device: torch.device
) -> Iterator[Block]:
    """What of a finished cell lies in the image that was given; ModelError where its sums are not finite."""
    if sums is not None:
        _check(sums)
    sides = list(zip(cell.start, cell.stop, layout.before, layout.size, strict=True))
    low = [max(begin - before, 0) for begin, _, before, _ in sides]
    high = [min(end - before, size) for _, end, before, size in sides]
    if any(a >= b for a, b in zip(low, high, strict=True)):
        return
    start = (low[0], low[1], low[2])
    if sums is None:
        yield _empty(start, [b - a for a, b in zip(low, high, strict=True)], channels, device)
        return
    inner = (
        slice(a + before - begin, b + before - begin)
        for a, b, (begin, _, before, _) in zip(low, high, sides, strict=True)
    )
    found = sums[(slice(None), *inner)]
    yield Block(start, found[:-1], found[-1])


def _empty(start: tuple[int, int, int], size: Sequence[int], channels: int, device: torch.device) -> Block:
    """A block in which every window was skipped; it takes no memory."""
    import torch

    nothing = torch.zeros((), dtype=torch.float32, device=device)
    return Block(start, nothing.expand(channels, *size), nothing.expand(*size))


def _check(values: torch.Tensor) -> None:
    """ModelError where a value is not finite, or was not before it got its weight, which is never 0."""
    import torch

    # one NaN or infinity makes the sum one; a sum needs no memory, and a look at each value is taken only then
    if not bool(torch.isfinite(values.sum(dtype=torch.float32))) and not bool(torch.isfinite(values).all()):
        raise ModelError("the network gave values that are not finite (NaN or infinity)", fix="use precision float32")


def _stacked(windows: list[torch.Tensor]) -> torch.Tensor:
    import torch

    return windows[0][None] if len(windows) == 1 else torch.stack(windows)


def _run(
    network: Callable[[torch.Tensor], Any], batch: torch.Tensor, channels: int, patch: tuple[int, int, int]
) -> Any:
    """What the network makes of a batch; ModelError where it has not the shape that it must have."""
    import torch

    output = network(batch)
    if not isinstance(output, (torch.Tensor, Late)) or output.ndim != 5:
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
