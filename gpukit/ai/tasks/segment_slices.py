"""Labels of a volume slice by slice, by a network over pictures (2D, or 2.5D with neighbouring slices as channels)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.label_map import Labelling
from gpukit.ai.inference.out_of_memory import not_finite
from gpukit.ai.model.description import Model
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.ai.transforms.image_input import Pictures
from gpukit.errors import ModelError
from gpukit.segmentation import map_of_planes
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["label_slices"]


def label_slices(
    volume: Volume, model: Model, network: Any, batch: int, progress: Callable[[int, int], None] | None = None
) -> Labelling:
    """Labels ``[k, j, i]`` on the volume's grid.

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
    planes = None
    if spec.overlapping:
        planes = torch.zeros(((len(values) + 7) // 8, count, rows, columns), dtype=torch.uint8, device=first.device)
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
        chances, seen = _back(chances, pictures)
        here = slice(start, start + len(numbers))
        if planes is None:
            result[here] = _decided(chances, spec, codes, work).masked_fill(~seen, 0)
        else:
            for n in range(len(values)):
                inside = (chances[:, n] >= spec.threshold) & seen
                planes[n // 8][here].bitwise_or_(inside.to(torch.uint8) << n % 8)
        if progress is not None:
            progress(numbers[-1] + 1, count)
    kind = torch.uint8 if max(values) < 256 else torch.uint16
    if planes is None:
        return Labelling(_turned_back(result, pictures, volume).to(kind))
    planes = torch.stack([_turned_back(plane, pictures, volume) for plane in planes])
    like = torch.empty(planes.shape[1:], dtype=work, device=planes.device)
    array, overlap = map_of_planes(planes, values, like)
    return Labelling(array.to(kind), planes if overlap else None)


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


def _back(chances: torch.Tensor, pictures: Pictures) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities ``[n, classes, rows, columns]`` of the slices that pictures show, and which pixels they show."""
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
    seen = ((y >= -0.5) & (y <= height - 0.5))[:, None] & ((x >= -0.5) & (x <= width - 0.5))[None, :]
    return chances, seen[None]


def _decided(chances: torch.Tensor, spec: OutputSpec, codes: torch.Tensor, work: torch.dtype) -> torch.Tensor:
    """One label a pixel ``[n, rows, columns]``."""
    if spec.activation == "regions":
        labels = chances.new_zeros((chances.shape[0], *chances.shape[2:]), dtype=work)
        for n, code in enumerate(codes):
            labels = codes.new_full((), int(code)).where(chances[:, n] > 0, labels)
        return labels
    best, channel = chances.max(dim=1)
    if spec.activation == "sigmoid":
        return codes[channel].masked_fill(best < spec.threshold, 0)
    return channel.to(work)


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
