"""Several models, one answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpukit.ai.inference.label_map import Labelling
from gpukit.ai.inference.merger import Block
from gpukit.ai.model.description import Model
from gpukit.errors import InputError, ModelError
from gpukit.extras import missing_package
from gpukit.segmentation import map_of_planes

if TYPE_CHECKING:
    import torch

__all__ = [
    "ENSEMBLES",
    "MASK_ENSEMBLES",
    "check_labels",
    "check_weights",
    "combine_probabilities",
    "combined",
    "fuse",
    "fuse_labels",
    "same_windows",
]


#: How probabilities of several models become one.
ENSEMBLES = ("average", "weighted", "vote", "max")


def check_weights(weights: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    """Weights of `count` models with the sum one; equal ones where none are given."""
    if weights is None:
        return np.full(count, 1.0 / count)
    given = np.asarray(list(weights), dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise InputError(f"the weights must be {count} numbers of at least 0 that are not all 0", attribute="weights")
    return np.asarray(given / given.sum())


def combine_probabilities(
    values: NDArray[np.float64],
    how: str,
    weights: Sequence[float] | None = None,
    *,
    exclusive: bool = True,
    thresholds: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """One set of probabilities from those of several models.

    Parameters
    ----------
    values : array, ``[models, answers, classes]``
        Probabilities.
    how : str
        One of `ENSEMBLES`; ``vote`` gives the shares of the models that hold for a class.
    weights : sequence of float, optional
        For ``weighted``; for ``vote`` the weight of each model's vote.
    exclusive : bool
        Whether exactly one class is right: then a model votes for its most probable class (the first of equal ones),
        and the result of ``max`` is scaled to the sum one.
    thresholds : sequence of float, optional
        One a model: what a class on its own must reach for the model's vote; 0.5 by default.

    Returns
    -------
    array, ``[answers, classes]``

    Raises
    ------
    InputError
        There is no such way, or the weights do not fit.
    """
    if how not in ENSEMBLES:
        raise InputError(f"there is no ensemble {how!r}", attribute="ensemble", fix=f"use {', '.join(ENSEMBLES)}")
    shares = check_weights(weights, values.shape[0])
    if how in ("average", "weighted"):
        return np.asarray(np.tensordot(shares, values, axes=1))
    if how == "vote":
        if exclusive:
            votes = np.zeros_like(values)
            np.put_along_axis(votes, values.argmax(axis=2)[..., None], 1.0, axis=2)
        else:
            limits = np.asarray(thresholds if thresholds is not None else [0.5] * len(values))
            votes = (values >= limits[:, None, None]).astype(np.float64)
        return np.asarray(np.tensordot(shares, votes, axes=1))
    greatest = values.max(axis=0)
    return np.asarray(greatest / greatest.sum(axis=1, keepdims=True) if exclusive else greatest)


#: How several label maps, or the probabilities behind them, become one.
MASK_ENSEMBLES = ("average", "weighted", "max", "vote", "staple")


def check_labels(models: Sequence[Model]) -> None:
    """ModelError where models of an ensemble have different labels."""
    first = [(label.value, label.name, label.type) for label in models[0].segments.labels]
    for model in models[1:]:
        theirs = [(label.value, label.name, label.type) for label in model.segments.labels]
        if theirs != first or model.segments.activation != models[0].segments.activation:
            odd = ", ".join(sorted({str(x[1]) for x in set(theirs) ^ set(first)})) or "the activation"
            raise ModelError(
                f"the models {models[0].name} and {model.name} have different labels: {odd}", file=model.file,
                attribute="$.output.labels", fix="an ensemble needs models of the same labels",
            )  # fmt: skip


def same_windows(models: Sequence[Model]) -> bool:
    """Whether models see the same grid through the same windows, so that their probabilities can be put together."""
    first = models[0]
    if len(models) > 1 and any(model.format == "nnunet" for model in models):
        return False  # each crops and spaces the image by its own plan
    return all(
        model.volume_input.orientation == first.volume_input.orientation
        and model.volume_input.spacing == first.volume_input.spacing
        and model.volume_input.size == first.volume_input.size
        and model.volume_input.axes == first.volume_input.axes
        and model.inference.patch == first.inference.patch
        and model.inference.overlap == first.inference.overlap
        for model in models[1:]
    )


def combined(
    streams: Sequence[Iterator[Block]], how: str, weights: Sequence[float] | None, activation: str
) -> Iterator[Block]:
    """Blocks of several networks as one stream whose values, activated, are the combined probabilities.

    Parameters
    ----------
    streams : sequence of iterators
        Of the same windows; they advance together, so only one block of each is ever there.
    how : str
        ``average``, ``weighted`` or ``max``.
    weights : sequence of float, optional
        One a stream.
    activation : str
        ``softmax``, ``sigmoid`` or ``none`` (probabilities already).
    """
    import torch

    shares = check_weights(weights, len(streams))
    tiny = torch.finfo(torch.float32).tiny
    for blocks in zip(*streams, strict=True):
        total: torch.Tensor | None = None
        for block, share in zip(blocks, shares, strict=True):
            values = _activated(block, activation)
            if how == "max":
                total = values if total is None else torch.maximum(total, values)
            else:
                total = values.mul_(float(share)) if total is None else total.add_(values, alpha=float(share))
        assert total is not None
        if activation == "softmax":  # whose inverse, up to a constant that it ignores, is the logarithm
            total = total.clamp_(min=tiny).log_()
        elif activation == "sigmoid":
            total = torch.logit(total, eps=1e-7)
        yield Block(blocks[0].start, total, None)


def _activated(block: Block, activation: str) -> torch.Tensor:
    """Probabilities of a block, in memory of their own; certain background where every window was skipped."""
    import torch

    logits = block.sums
    if block.weights is not None:
        logits = logits / block.weights.clamp(min=torch.finfo(torch.float32).tiny)
    if activation == "softmax":
        values = torch.softmax(logits, dim=0)
    else:
        values = torch.sigmoid(logits) if activation == "sigmoid" else logits.clone()
    if block.weights is not None:
        skipped = block.weights == 0
        if bool(skipped.any()):
            values[:, skipped] = 0.0
            if activation != "sigmoid":
                values[0][skipped] = 1.0
    return values


def fuse_labels(
    several: Sequence[Labelling], how: str, weights: Sequence[float] | None, labels: Sequence[int]
) -> Labelling:
    """As `fuse`; where labels of a model overlap, each label is put together on its own."""
    import torch

    if all(one.planes is None for one in several):
        return Labelling(fuse([one.array for one in several], how, weights, labels))
    first = several[0].array
    planes = torch.zeros(((len(labels) + 7) // 8, *first.shape), dtype=torch.uint8, device=first.device)
    for n, value in enumerate(labels):
        masks = [
            (one.array == value if one.planes is None else (one.planes[n // 8] & (1 << n % 8)) != 0).to(torch.uint8)
            for one in several
        ]
        planes[n // 8].bitwise_or_(fuse(masks, how, weights, [1]).to(torch.uint8) << n % 8)
    array, overlap = map_of_planes(planes, labels, first.to(torch.int32))
    return Labelling(array.to(first.dtype), planes if overlap else None)


def fuse(
    maps: Sequence[torch.Tensor], how: str, weights: Sequence[float] | None, labels: Sequence[int]
) -> torch.Tensor:
    """One label map of several on the same grid.

    ``vote``: each voxel's label with the most (weighted) votes; of equal ones the lowest value, so that background wins
    a tie with a label. ``staple``: the expectation-maximisation of Warfield, Zou and Wells (IEEE TMI 23 (2004) 903-921)
    for several labels, by SimpleITK; voxels that it leaves undecided are background.
    """
    import torch

    if how == "staple":
        return _staple(maps)
    shares = check_weights(weights, len(maps))
    best = torch.full(maps[0].shape, -1.0, dtype=torch.float32, device=maps[0].device)
    result = torch.zeros_like(maps[0])
    for value in (0, *sorted(labels)):
        votes = torch.zeros_like(best)
        for one, share in zip(maps, shares, strict=True):
            votes.add_((one == value).to(torch.float32), alpha=float(share))
        # shares such as 0.1 + 0.2 and 0.3 are meant to tie
        better = votes > best + 1e-6
        best = torch.where(better, votes, best)
        result = torch.where(better, torch.full_like(result, value), result)
    return result


def _staple(maps: Sequence[torch.Tensor]) -> torch.Tensor:
    import torch

    try:
        import SimpleITK as sitk  # noqa: N813
    except ImportError as error:
        raise missing_package("STAPLE needs SimpleITK", "metaimage") from error
    images = [sitk.GetImageFromArray(one.cpu().numpy().astype(np.uint16)) for one in maps]
    undecided = 65535
    found = sitk.GetArrayFromImage(sitk.MultiLabelSTAPLE(images, undecided))
    found[found == undecided] = 0
    return torch.from_numpy(found.astype(np.int64)).to(maps[0].device).to(maps[0].dtype)


def check_way(how: str, models: Sequence[Model], weights: Sequence[float] | None) -> None:
    """InputError or ModelError where models cannot be put together that way."""
    if how not in MASK_ENSEMBLES:
        raise InputError(f"there is no ensemble {how!r}", attribute="ensemble", fix=f"use {', '.join(MASK_ENSEMBLES)}")
    if weights is not None and how not in ("weighted", "vote"):
        raise InputError("weights are for the ensembles weighted and vote", attribute="weights")
    if weights is None and how == "weighted":
        raise InputError("the ensemble weighted needs weights", attribute="weights")
    check_weights(weights, len(models))
    check_labels(models)
    if how in ("average", "weighted", "max") and not same_windows(models):
        raise ModelError(
            "probabilities can be put together only where the models see the same grid through the same windows",
            attribute="ensemble", fix="use the ensemble vote or staple",
        )  # fmt: skip


Progress = Callable[[int, int], None]
