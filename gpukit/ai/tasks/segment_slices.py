"""Labels of a volume slice by slice, by a network over pictures (2D, or 2.5D with neighbouring slices as channels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.out_of_memory import not_finite
from gpukit.ai.model.description import Model
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.ai.transforms.image_input import Pictures
from gpukit.errors import ModelError
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["label_slices"]


def label_slices(
    volume: Volume, model: Model, network: Any, batch: int, progress: Callable[[int, int], None] | None = None
) -> torch.Tensor:
    """Label map ``[k, j, i]`` on the volume's grid.

    Probabilities of a picture are interpolated back to the slice that it shows, and each pixel takes the largest;
    pixels that a cropped picture does not show are background.

    Raises
    ------
    ModelError
        The network gives pictures of another size, or other channels than its labels, or values that are not finite.
    """
    import torch

    pictures = Pictures(volume, model)
    spec = model.segments
    count, rows, columns = pictures.volume.grid.shape
    values = [label.value for label in spec.labels]
    work = torch.uint8 if max(values) < 256 else torch.int32
    first = pictures[0]
    result = torch.zeros((count, rows, columns), dtype=work, device=first.device)
    codes = torch.tensor(values, dtype=work, device=first.device)
    step = network.batch or batch
    for start in range(0, count, step):
        numbers = list(range(start, min(count, start + step)))
        given = pictures.batch(numbers)
        if network.batch and len(numbers) < step:
            given = torch.cat([given, given[-1:].expand(step - len(numbers), *given.shape[1:])])
        logits = network(given)
        if pictures.spec.layout == "channels-last" and logits.ndim == 4:
            logits, given = logits.permute(0, 3, 1, 2), given.permute(0, 3, 1, 2)
        _check(logits, given, spec, model)
        chances = _activated(logits[: len(numbers)].to(torch.float32), spec.activation)
        result[start : start + len(numbers)] = _back(chances, pictures, spec, codes, work)
        if progress is not None:
            progress(numbers[-1] + 1, count)
    return _turned_back(result, pictures, volume).to(torch.uint8 if max(values) < 256 else torch.uint16)


def _check(logits: torch.Tensor, given: torch.Tensor, spec: OutputSpec, model: Model) -> None:
    import torch

    if logits.ndim != 4 or tuple(logits.shape[2:]) != tuple(given.shape[2:]):
        raise ModelError(
            f"the network turns pictures of {tuple(given.shape[2:])} into {tuple(logits.shape)}", file=model.file,
            attribute="$.input.size", fix="declare a size that the network keeps",
        )  # fmt: skip
    if logits.shape[1] != spec.channels:
        raise ModelError(
            f"the network has {logits.shape[1]} output channels, and its labels describe {spec.channels}",
            file=model.file, attribute="$.output.labels", fix="describe each channel of the network",
        )  # fmt: skip
    if not bool(torch.isfinite(logits).all()):
        raise not_finite(model)


def _activated(logits: torch.Tensor, activation: str) -> torch.Tensor:
    import torch

    if activation == "softmax":
        return torch.softmax(logits, dim=1)
    return torch.sigmoid(logits) if activation == "sigmoid" else logits


def _back(
    chances: torch.Tensor, pictures: Pictures, spec: OutputSpec, codes: torch.Tensor, work: torch.dtype
) -> torch.Tensor:
    """Labels ``[n, rows, columns]`` of the slices that the pictures show."""
    import torch

    _, rows, columns = pictures.volume.grid.shape
    place = pictures.placement
    height, width = int(chances.shape[2]), int(chances.shape[3])
    x = ((torch.arange(columns, device=chances.device) + 0.5) * place.scale[0] + place.offset[0] - 0.5).to(
        torch.float32
    )
    y = ((torch.arange(rows, device=chances.device) + 0.5) * place.scale[1] + place.offset[1] - 0.5).to(torch.float32)
    if (height, width) != (rows, columns) or place.scale != (1.0, 1.0) or place.offset != (0.0, 0.0):
        # grid_sample counts from -1 to 1 between the outer faces
        across = ((2 * x + 1) / width - 1)[None, :].expand(rows, columns)
        down = ((2 * y + 1) / height - 1)[:, None].expand(rows, columns)
        grid = torch.stack((across, down), dim=-1)
        grid = grid[None].expand(chances.shape[0], -1, -1, -1)
        chances = torch.nn.functional.grid_sample(chances, grid, padding_mode="border", align_corners=False)
    best, channel = chances.max(dim=1)
    labels = codes[channel].masked_fill(best < 0.5, 0) if spec.activation == "sigmoid" else channel.to(work)
    seen = ((y >= -0.5) & (y <= height - 0.5))[:, None] & ((x >= -0.5) & (x <= width - 0.5))[None, :]
    return labels.masked_fill(~seen[None], 0)


def _turned_back(labels: torch.Tensor, pictures: Pictures, volume: Volume) -> torch.Tensor:
    """The labels of turned slices on the volume's own axes."""
    import torch

    turned = pictures.volume.grid
    if turned is volume.grid or turned.same_as(volume.grid):
        return labels
    grid, axes, flips = turned.reoriented(volume.grid.codes)
    if not grid.same_as(volume.grid):
        raise ModelError("the slices cannot be turned back onto the volume's grid")
    result = labels.permute(axes)
    if any(flips):
        result = torch.flip(result, [n for n, flip in enumerate(flips) if flip])
    return result.contiguous()
