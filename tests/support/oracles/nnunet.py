"""nnU-Net v2's inference as its paper and documentation describe it, in plain NumPy: the tests' second opinion.

Everything is held in full and nothing is clever: crop, normalise, resample with scikit-image, slide with half-patch
steps and a Gaussian, mean over mirrored windows and folds, resample all logits back, take the largest.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from skimage.transform import resize


def coarse_axis(kwargs: dict[str, Any], first: Sequence[float], second: Sequence[float]) -> int | None:
    """Which axis is resampled on its own."""
    force = kwargs.get("force_separate_z")
    if force is False:
        return None
    for spacing in (first,) if force else (first, second):
        if force or max(spacing) / min(spacing) > 3:
            axes = [n for n in range(3) if spacing[n] == max(spacing)]
            return axes[0] if len(axes) == 1 else None
    return None


def resampled(
    image: np.ndarray, shape: Sequence[int], first: Sequence[float], second: Sequence[float], kwargs: dict[str, Any]
) -> np.ndarray:
    """One channel on another number of voxels."""
    if image.shape == tuple(shape):
        return image
    image = image.astype(float)
    axis = coarse_axis(kwargs, first, second)
    if axis is None:
        return resize(image, shape, kwargs["order"], mode="edge", anti_aliasing=False)
    flat = [n for i, n in enumerate(shape) if i != axis]
    planes = [
        resize(plane, flat, kwargs["order"], mode="edge", anti_aliasing=False) for plane in np.moveaxis(image, axis, 0)
    ]
    stack = np.stack(planes, axis)
    if stack.shape == tuple(shape):
        return stack
    steps = [old / new for old, new in zip(stack.shape, shape, strict=True)]
    at = [step * (index + 0.5) - 0.5 for step, index in zip(steps, np.mgrid[tuple(map(slice, shape))], strict=True)]
    return ndimage.map_coordinates(stack, at, order=kwargs["order_z"], mode="nearest")


def elected(
    labels: np.ndarray, shape: Sequence[int], first: Sequence[float], second: Sequence[float], kwargs: dict[str, Any]
) -> np.ndarray:
    """Labels on other voxels: the one whose resampled indicator is the largest, of equal ones the nearest."""
    axis = coarse_axis(kwargs, first, second)
    if axis is not None:
        flat = [n for i, n in enumerate(shape) if i != axis]
        alone = {"order": kwargs["order"], "force_separate_z": False}
        stack = np.stack([elected(one, flat, (1, 1), (1, 1), alone) for one in np.moveaxis(labels, axis, 0)], axis)
        steps = [old / new for old, new in zip(stack.shape, shape, strict=True)]
        at = [step * (index + 0.5) - 0.5 for step, index in zip(steps, np.mgrid[tuple(map(slice, shape))], strict=True)]
        return ndimage.map_coordinates(stack, at, order=kwargs["order_z"], mode="nearest")
    values = np.unique(labels)
    shares = np.stack(
        [resize((labels == v).astype(float), shape, kwargs["order"], mode="edge", anti_aliasing=False) for v in values]
    ).round(9)
    nearest = resize(labels.astype(float), shape, 0, mode="edge", anti_aliasing=False)
    near = np.take_along_axis(shares, np.searchsorted(values, nearest)[None], axis=0)[0]
    return np.where(near == shares.max(axis=0), nearest, values[shares.argmax(axis=0)])


def normalised(
    image: np.ndarray, scheme: str, masked: bool, facts: dict[str, float], body: np.ndarray | None = None
) -> np.ndarray:
    """One channel; `body` is where any channel is not zero, holes filled."""
    if scheme == "CTNormalization":
        cut = np.clip(image, facts["percentile_00_5"], facts["percentile_99_5"])
        return (cut - facts["mean"]) / facts["std"]
    if scheme == "ZScoreNormalization":
        own = ndimage.binary_fill_holes(image != 0) if body is None else body
        mask = own if masked else np.ones(image.shape, bool)
        return np.where(mask, (image - image[mask].mean()) / image[mask].std(), image)
    if scheme == "RescaleTo01Normalization":
        return (image - image.min()) / (image.max() - image.min())
    return image / 255 if scheme == "RGBTo01Normalization" else image


def gaussian(patch: Sequence[int]) -> np.ndarray:
    """Weights of a window."""
    point = np.zeros(patch)
    point[tuple(n // 2 for n in patch)] = 1
    weight = ndimage.gaussian_filter(point, [n / 8 for n in patch], mode="constant")
    half = (weight / weight.max() * 10).astype(np.float16)
    half[half == 0] = half[half > 0].min()
    return half.astype(np.float32)


def logits(image: np.ndarray, networks: Sequence[Any], patch: Sequence[int], mirror: Sequence[int]) -> np.ndarray:
    """All classes of preprocessed channels ``[c, z, y, x]``."""
    import torch

    flat = len(patch) == 2
    window = (1, *patch) if flat else tuple(patch)
    sides = [
        ((w - n) // 2, w - n - (w - n) // 2) if w > n else (0, 0) for n, w in zip(image.shape[1:], window, strict=True)
    ]
    padded = np.pad(image, [(0, 0), *sides]).astype(np.float32)
    places = []
    for n, w in zip(padded.shape[1:], window, strict=True):
        count = n if w == 1 else math.ceil((n - w) / (w / 2)) + 1
        places.append([0] if count == 1 else [int(np.round((n - w) / (count - 1) * m)) for m in range(count)])
    weight = gaussian(patch).reshape(window)
    turns = [turn for n in range(len(mirror) + 1) for turn in itertools.combinations([m + 2 for m in mirror], n)]
    total: Any = 0
    for net in networks:
        sums, weights = None, np.zeros(padded.shape[1:], np.float32)
        for corner in itertools.product(*places):
            box = tuple(slice(c, c + w) for c, w in zip(corner, window, strict=True))
            part = padded[(slice(None), *box)]
            given = torch.from_numpy(part[:, 0][None] if flat else part[None])
            with torch.inference_mode():
                seen = sum(torch.flip(net(torch.flip(given, turn)), turn) for turn in turns) / len(turns)
            found = seen.numpy()[0].reshape(seen.shape[1], *window)
            sums = np.zeros((found.shape[0], *padded.shape[1:]), np.float32) if sums is None else sums
            sums[(slice(None), *box)] += found * weight
            weights[box] += weight
        total = total + sums / weights
    kept = tuple(slice(a, a + n) for (a, _), n in zip(sides, image.shape[1:], strict=True))
    return (total / len(networks))[(slice(None), *kept)]


def segmented(
    array: np.ndarray,
    spacing: Sequence[float],
    plan: dict[str, Any],
    content: dict[str, Any],
    networks: Sequence[Any],
    mirror: Sequence[int] = (),
    regions: Sequence[int] = (),
    before: np.ndarray | None = None,
    stage: Sequence[int] = (),
) -> np.ndarray:
    """Labels of an array ``[z, y, x]`` with its spacing in that order; of several channels ``[c, z, y, x]``.

    `before` are the labels of a cascade's first stage, of which those of `stage` become channels.
    """
    order = plan["transpose_forward"]
    channels = [one.transpose(order) for one in (array if array.ndim == 4 else array[None])]
    turned = np.any([one != 0 for one in channels], axis=0)
    original = [spacing[n] for n in order]
    box = tuple(slice(n.min(), n.max() + 1) for n in np.nonzero(turned))
    cut = turned[box]
    target = list(content["spacing"]) if len(content["spacing"]) == 3 else [original[0], *content["spacing"]]
    shape = [round(n * a / b) for n, a, b in zip(cut.shape, original, target, strict=True)]
    body = ndimage.binary_fill_holes(cut)
    first = None
    if before is not None:
        first = before.transpose(order)[box].astype(int)
        first[(first == 0) & ~body] = -1
        body = first >= 0
    statistics = plan["foreground_intensity_properties_per_channel"]
    seen = []
    for n, one in enumerate(channels):
        scheme, masked = content["normalization_schemes"][n], content["use_mask_for_norm"][n]
        image = normalised(one[box].astype(np.float32), scheme, masked, statistics.get(str(n), {}), body)
        seen.append(resampled(image, shape, original, target, content["resampling_fn_data_kwargs"]))
    if first is not None:
        there = elected(first, shape, original, target, content["resampling_fn_seg_kwargs"])
        seen += [(there == value).astype(np.float32) for value in stage]
    found = logits(np.stack(seen), networks, content["patch_size"], mirror)
    back = content["resampling_fn_probabilities_kwargs"]
    large = np.stack([resampled(channel, cut.shape, target, original, back) for channel in found])
    labels = np.zeros(turned.shape, np.uint8)
    if regions:
        for channel, value in zip(large, regions, strict=True):
            labels[box][channel > 0] = value
    else:
        labels[box] = large.argmax(0)
    return labels.transpose(np.argsort(order))
