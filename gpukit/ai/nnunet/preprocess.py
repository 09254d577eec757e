"""From a volume to what an nnU-Net sees: turned, cropped to what is not zero, normalised, resampled, in that order.

An nnU-Net knows no patient directions. It sees the array ``[z, y, x]`` that its reader makes of a file, and with the
readers that nnU-Net uses for medical files that is the order in which the voxels are stored, which is gpukit's
``[k, j, i]``. A reader that reorients (``NibabelIOWithReorient``, which TotalSegmentator's data sets name) sees RAS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.ai.model.volume_spec import InputSpec
from gpukit.ai.nnunet.resample import Resampling, new_shape, resample, resample_labels, separate_axis
from gpukit.ai.transforms.tensors import as_array, as_tensor
from gpukit.errors import ModelError
from gpukit.geometry import Grid
from gpukit.ops.morphology import fill_holes
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["NORMALISATIONS", "NnUNetInput", "Seen", "look"]

#: Normalisations of nnU-Net that gpukit does.
NORMALISATIONS = (
    "CTNormalization",
    "NoNormalization",
    "RGBTo01Normalization",
    "RescaleTo01Normalization",
    "ZScoreNormalization",
)
#: Voxels of an image of the network: more than this is a wrong spacing, not an image.
MOST_VOXELS = 1 << 32
#: Among a first stage's labels: outside of what nnU-Net takes for the body.
OUTSIDE = -1
_LEAST = 1e-8


@dataclass(frozen=True, kw_only=True)
class NnUNetInput(InputSpec):
    """What an nnU-Net wants to see.

    Parameters
    ----------
    order : tuple of int
        ``transpose_forward``: which axis of ``[z, y, x]`` each axis of the network's input is.
    target : tuple of float
        Spacing in mm along the network's axes: three, or two where slices are kept as they are.
    normalisation : tuple of str
        Of `NORMALISATIONS`, one a channel.
    within_mask : tuple of bool
        Whether mean and deviation are those of the voxels that are not zero, for each channel.
    statistics : tuple of mapping
        For each channel ``mean``, ``std``, ``percentile_00_5`` and ``percentile_99_5`` of the training data, where its
        normalisation needs them.
    data, logits : Resampling
        Of the image, and of the network's answer.
    stage : tuple of int
        In the second stage of a cascade the labels that the first may have given: each is one more channel, 1 where
        the label is.
    labels : Resampling
        Of the first stage's labels.
    """

    order: tuple[int, int, int]
    target: tuple[float, ...]
    normalisation: tuple[str, ...]
    within_mask: tuple[bool, ...]
    statistics: tuple[Mapping[str, float], ...]
    data: Resampling = field(default_factory=Resampling)
    logits: Resampling = field(default_factory=lambda: Resampling(order=1))
    stage: tuple[int, ...] = ()
    labels: Resampling = field(default_factory=lambda: Resampling(order=1))


@dataclass(frozen=True)
class Seen:
    """What the network is given of a volume.

    Parameters
    ----------
    image : tensor, ``[channels, x, y, z]``
        float32; x, y, z are the axes of the network's input.
    grid : Grid
        Where these voxels lie, its (i, j, k) being the image's (x, y, z).
    nominal, source : tuple of float
        For an nnU-Net: the spacing that its plan asks for, which the grid's only comes close to, and the source's, in
        mm along the grid's axes.
    """

    image: torch.Tensor
    grid: Grid
    nominal: tuple[float, ...] = ()
    source: tuple[float, ...] = ()

    def alone(self, how: Resampling) -> int | None:
        """The axis along which logits are resampled on their own, if there is one."""
        return separate_axis(how, self.nominal, self.source)


def look(volumes: Sequence[Volume], spec: NnUNetInput, before: Any = None) -> Seen:
    """Preprocess 3D volumes, one a channel, as nnU-Net's DefaultPreprocessor does, on their device.

    Voxels that are not finite become the lowest finite value; all others, those of a padding value too, stay as they
    are stored, since that is what nnU-Net sees.

    Parameters
    ----------
    volumes : sequence of Volume
        All on one grid.
    spec : NnUNetInput
        What the network wants to see.
    before : array, optional
        For the second stage of a cascade: the labels ``[k, j, i]`` that the first gave, on the volumes' grid.

    Raises
    ------
    ModelError
        The spacing would make an image beyond all bounds, or the values are not those of the normalisation.
    """
    import torch

    grid = volumes[0].grid
    turn = None if spec.orientation is None else grid.reoriented(spec.orientation)
    if turn is not None:
        grid = turn[0]

    def seen(array: Any) -> torch.Tensor:
        """An array with the axes that the network sees."""
        values = as_tensor(array)
        return (values if turn is None else _turned(values, *turn[1:])).permute(spec.order)

    images = [_finite(seen(volume.array).to(torch.float32)) for volume in volumes]
    inside = images[0] != 0
    for image in images[1:]:
        inside = inside | (image != 0)
    box = _box(inside)
    cropped = [image[box].clone() for image in images]
    size = cropped[0].shape
    spacing = [grid.spacing[2 - n] for n in spec.order]
    target = spec.target if len(spec.target) == 3 else (spacing[0], *spec.target)
    shape = new_shape(size, spacing, target)
    if np.prod(np.asarray(shape, float)) > MOST_VOXELS:
        raise ModelError(f"at its spacing the network would see {shape} voxels", attribute="configurations.spacing")
    masked = [m and name == "ZScoreNormalization" for m, name in zip(spec.within_mask, spec.normalisation, strict=True)]
    mask = labels = None
    if any(masked) or spec.stage:
        mask = as_tensor(fill_holes(as_array(inside[box].contiguous(), volumes[0].array)))
    if spec.stage:
        assert mask is not None
        labels = seen(as_tensor(before).to(torch.int32))[box]
        labels = labels.masked_fill((labels == 0) & ~mask, OUTSIDE)
        mask = labels != OUTSIDE
    for n, image in enumerate(cropped):
        _normalise(image, spec.normalisation[n], spec.statistics[n], mask if masked[n] else None)
    parts = [resample(image, shape, spacing, target, spec.data) for image in cropped]
    if labels is not None:
        there = resample_labels(labels, shape, spacing, target, spec.labels)
        parts += [(there == value).to(torch.float32) for value in spec.stage]
    return Seen(torch.stack(parts), _grid(grid, spec.order, [s.start for s in box], size, shape),
                tuple(target), tuple(spacing))  # fmt: skip


def _finite(values: torch.Tensor) -> torch.Tensor:
    import torch

    good = torch.isfinite(values)
    if bool(good.all()):
        return values
    lowest = values[good].min() if bool(good.any()) else values.new_zeros(())
    return torch.where(good, values, lowest)


def _turned(values: torch.Tensor, axes: tuple[int, ...], flips: tuple[bool, ...]) -> torch.Tensor:
    import torch

    turned = values.permute(axes)
    return torch.flip(turned, [n for n, flip in enumerate(flips) if flip]) if any(flips) else turned


def _box(inside: torch.Tensor) -> tuple[slice, slice, slice]:
    """The smallest box around what is true; all of it where nothing is."""
    spans = []
    for axis in range(3):
        others = tuple(n for n in range(3) if n != axis)
        found = inside.any(dim=others[1]).any(dim=others[0]).nonzero()[:, 0]
        if found.numel() == 0:
            return slice(0, inside.shape[0]), slice(0, inside.shape[1]), slice(0, inside.shape[2])
        spans.append(slice(int(found[0]), int(found[-1]) + 1))
    return spans[0], spans[1], spans[2]


def _normalise(image: torch.Tensor, how: str, facts: Mapping[str, float], mask: torch.Tensor | None) -> None:
    """Normalise in place."""
    if how == "CTNormalization":
        image.clamp_(facts["percentile_00_5"], facts["percentile_99_5"])
        image.sub_(facts["mean"]).div_(max(facts["std"], _LEAST))
    elif how == "ZScoreNormalization":
        part = image if mask is None else image[mask]
        if part.numel() == 0:
            return
        mean, deviation = _moments(part)
        if mask is None:
            image.sub_(mean).div_(max(deviation, _LEAST))
        else:
            image[mask] = (part - mean) / max(deviation, _LEAST)
    elif how == "RescaleTo01Normalization":
        image.sub_(image.min())
        image.div_(max(float(image.max()), _LEAST))
    elif how == "RGBTo01Normalization":
        if float(image.min()) < 0 or float(image.max()) > 255:
            raise ModelError("the network is for pictures of values from 0 to 255, and the volume has others")
        image.div_(255.0)


def _moments(part: torch.Tensor) -> tuple[float, float]:
    """Mean and population standard deviation, summed in float64 where the device has it."""
    import torch

    wide = part if part.device.type == "mps" else part.to(torch.float64)
    return float(wide.mean()), float(wide.std(correction=0))


def _grid(
    grid: Grid, order: tuple[int, int, int], start: list[int], old: tuple[int, ...], new: tuple[int, ...]
) -> Grid:
    """The network's grid: axis n runs along the array's axis ``order[n]``, and outer faces are those of the crop."""
    affine = np.eye(4)
    origin = np.zeros(3)
    for n, axis in enumerate(order):
        step = old[n] / new[n]
        affine[:3, n] = grid.affine[:3, 2 - axis] * step
        origin[2 - axis] = start[n] + 0.5 * step - 0.5
    affine[:3, 3] = grid.affine[:3, :3] @ origin + grid.affine[:3, 3]
    return Grid((new[2], new[1], new[0]), affine)
