"""Classifying: probabilities of classes for each picture, or for a whole volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from gpukit.ai.description import Model
from gpukit.ai.ensemble import combine_probabilities
from gpukit.ai.memory import Frugal
from gpukit.ai.model import find_model
from gpukit.ai.picture_spec import Class, ClassifySpec
from gpukit.ai.pictures import Pictures, check_modality
from gpukit.ai.runtimes import Network, choose
from gpukit.ai.tensors import as_tensor, require
from gpukit.errors import InputError, ModelError
from gpukit.volume import SourceInstance, Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Classification", "Prediction", "classify"]

#: Probabilities of exclusive classes may miss one by this much: float16 networks round, and so do printed softmaxes.
_SUM_TOLERANCE = 0.02


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class with its probability.

    Parameters
    ----------
    name : str
        Of the class.
    probability : float
        0 to 1.
    code : (str, str, str) or None
        Value, scheme and meaning of the finding.
    found : bool
        Exclusive classes: whether it is the most probable one. Others: whether it reaches the model's threshold.
    """

    name: str
    probability: float
    code: tuple[str, str, str] | None
    found: bool


@dataclass(frozen=True, kw_only=True)
class Classification:
    """What a model says of one picture, or of one volume.

    Parameters
    ----------
    predictions : tuple of Prediction
        Of every class, the most probable first.
    index, phase : int or None
        Slice and phase of the volume; None where the answer is for all of it.
    source : SourceInstance or None
        The instance or frame that the picture is.
    models : tuple of mapping
        ``name``, ``version`` and ``digest`` of each model that took part.
    """

    predictions: tuple[Prediction, ...]
    index: int | None = None
    phase: int | None = None
    source: SourceInstance | None = None
    models: tuple[dict[str, str], ...] = ()

    @property
    def top(self) -> Prediction:
        """The most probable class."""
        return self.predictions[0]


def classify(
    volume: Volume,
    model: str | PathLike[str] | Model | Sequence[str | PathLike[str] | Model],
    *,
    device: str | None = None,
    runtime: str | None = None,
    precision: str = "auto",
    per: str = "frame",
    batch: int = 16,
    ensemble: str = "average",
    weights: Sequence[float] | None = None,
    flips: bool = False,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Classification, ...]:
    """Probabilities of classes.

    Parameters
    ----------
    volume : Volume
        A picture, a series or a volume, on the device where the network is to run.
    model : str, PathLike, Model, or several of them
        As for `gpukit.segment`; several are an ensemble and must have the same classes.
    device, runtime, precision
        As for `gpukit.segment`.
    per : {"frame", "series"}
        One answer a slice, or the mean of the probabilities of all slices. A model of three dimensions always gives one
        answer a volume.
    batch : int
        Pictures run together.
    ensemble : {"average", "weighted", "vote", "max"}
        How several models become one answer: the mean of the probabilities; the mean with `weights`; each model's most
        probable class (or, for classes on their own, those that reach its threshold) is one vote, shares of votes are
        given; the greatest probability of each class, for exclusive classes scaled to the sum one.
    weights : sequence of float, optional
        One a model, for ``weighted``.
    flips : bool
        Also run each picture mirrored left to right, and average: test-time augmentation.
    threshold : float, optional
        In place of the models' own.
    progress : callable, optional
        Called as ``progress(done, total)``, pictures times models.

    Returns
    -------
    tuple of Classification
        In the order of the slices, then of the phases.

    Raises
    ------
    ModelError
        A model cannot be used, is for another task or modality, gives another number of classes than it names, or NaN;
        the models of an ensemble have different classes.
    InputError
        An argument is out of its domain.
    """
    named = [model] if isinstance(model, (str, PathLike, Model)) else list(model)
    models = [(m if isinstance(m, Model) else find_model(m)).for_task("classify") for m in named]
    specs = [_spec(m) for m in models]
    _check(models, specs, per, batch, weights, ensemble)
    identity = tuple(
        {"name": m.name, "version": m.version, "digest": m.digest} for m in models
    )  # before they are loaded
    require("torch", "monai")
    volume = volume if device is None else volume.to(device)
    import torch

    collected: list[torch.Tensor] = []
    frames: list[tuple[int | None, int | None, SourceInstance | None]] | None = None
    with torch.inference_mode():
        for number, (one, spec) in enumerate(zip(models, specs, strict=True)):
            place = as_tensor(volume.array).device
            network = Frugal(choose(one, runtime).load(one, str(place), precision))

            def tell(done: int, total: int, number: int = number) -> None:
                if progress is not None:
                    progress(number * total + done, total * len(models))

            where, found = _run(volume, one, spec, network, batch, flips, tell)
            if frames is not None and len(where) != len(frames):
                raise ModelError("the models of the ensemble see different numbers of pictures", file=one.file)
            frames = frames or where
            order = [[c.name for c in spec.classes].index(c.name) for c in specs[0].classes]
            collected.append(found[:, order].to("cpu", torch.float64))
    limits = [spec.threshold if threshold is None else threshold for spec in specs]
    together = combine_probabilities(
        torch.stack(collected).numpy(), ensemble, weights, exclusive=specs[0].exclusive, thresholds=limits
    )
    if per == "series" and together.shape[0] > 1:
        together, frames = together.mean(axis=0, keepdims=True), [(None, None, None)]
    limit = threshold if threshold is not None else specs[0].threshold
    return tuple(
        Classification(
            predictions=_predictions(specs[0], row, limit), index=k, phase=phase, source=source, models=identity
        )
        for row, (k, phase, source) in zip(together, frames or (), strict=True)
    )


def _spec(model: Model) -> ClassifySpec:
    assert isinstance(model.output, ClassifySpec)
    return model.output


def _check(
    models: Sequence[Model], specs: Sequence[ClassifySpec], per: str, batch: int, weights: Any, ensemble: str
) -> None:
    if not models:
        raise InputError("no model was given", attribute="model")
    if per not in ("frame", "series"):
        raise InputError(f"there is no answer per {per!r}", attribute="per", fix="use frame or series")
    if batch < 1:
        raise InputError(f"the batch must be at least 1, not {batch}", attribute="batch")
    first = {one.name for one in specs[0].classes}
    for model, spec in zip(models[1:], specs[1:], strict=True):
        names = {one.name for one in spec.classes}
        if names != first or spec.exclusive != specs[0].exclusive:
            odd = ", ".join(sorted(names ^ first)) or "whether one class excludes the others"
            raise ModelError(
                f"the models {models[0].name} and {model.name} have different classes: {odd}", file=model.file,
                attribute="$.output.classes", fix="an ensemble needs models of the same classes",
            )  # fmt: skip
    if (weights is not None) != (ensemble == "weighted"):
        raise InputError("weights belong to the ensemble 'weighted', and it needs them", attribute="weights")


def _run(
    volume: Volume,
    model: Model,
    spec: ClassifySpec,
    network: Network,
    batch: int,
    flips: bool,
    progress: Callable[[int, int], None],
) -> tuple[list[tuple[int | None, int | None, SourceInstance | None]], torch.Tensor]:
    """Where each answer belongs, and probabilities ``[answers, classes]``."""
    import torch

    if model.dimensions == 3:
        return [(None, None, None)], _volume_probabilities(volume, model, spec, network, flips)
    pictures = Pictures(volume, model)
    step = batch if network.batch is None else network.batch
    made, total = [], len(pictures)
    progress(0, total)
    for start in range(0, total, step):
        numbers = list(range(start, min(total, start + step)))
        given = pictures.batch(numbers)
        wide = given if len(numbers) == step or network.batch is None else _filled(given, step)
        found = probabilities(network(wide), spec, model)[: len(numbers)]
        if flips:
            across = -2 if pictures.spec.layout == "channels-last" else -1
            mirrored = probabilities(network(torch.flip(wide, dims=(across,))), spec, model)[: len(numbers)]
            found = (found + mirrored) / 2
        made.append(found)
        progress(start + len(numbers), total)
    many = total > 1
    where = [(*(pictures.slice_of(n) if many else (None, None)), pictures.source(n)) for n in range(total)]
    return [(k, phase, source) for k, phase, source in where], torch.cat(made)


def _filled(given: torch.Tensor, size: int) -> torch.Tensor:
    """A last, smaller batch filled with its last picture, for graphs of one batch size."""
    import torch

    return torch.cat([given, given[-1:].expand(size - given.shape[0], *given.shape[1:])])


def _volume_probabilities(
    volume: Volume, model: Model, spec: ClassifySpec, network: Network, flips: bool
) -> torch.Tensor:
    import torch

    from gpukit.ai.preprocess import model_grid, prepare
    from gpukit.ai.segmentation import one_image

    check_modality(volume, model)
    volume = one_image(volume, model, None)
    image = prepare(volume, model.volume_input, model_grid(volume.grid, model.volume_input))[None]
    found = probabilities(network(image), spec, model)
    if flips:
        axes = model.volume_input.orientation or volume.grid.codes
        across = 2 + next(n for n, code in enumerate(axes) if code in "LR")
        found = (found + probabilities(network(torch.flip(image, dims=(across,))), spec, model)) / 2
    return found


def probabilities(logits: torch.Tensor, spec: ClassifySpec, model: Model) -> torch.Tensor:
    """Probabilities ``[n, classes]`` from what the network gave; ModelError where that cannot be."""
    import torch

    values = logits.reshape(logits.shape[0], -1).to(torch.float32)
    if values.shape[1] != len(spec.classes):
        raise ModelError(
            f"the network gives {values.shape[1]} numbers, and the description names {len(spec.classes)} classes",
            file=model.file, attribute="$.output.classes", fix="name every class, in the order of the channels",
        )  # fmt: skip
    if not bool(torch.isfinite(values).all()):
        raise ModelError("the network gave numbers that are not finite", file=model.file, fix="use precision float32")
    if spec.activation == "softmax":
        return torch.softmax(values, dim=1)
    if spec.activation == "sigmoid":
        return torch.sigmoid(values)
    if float(values.min()) < -_SUM_TOLERANCE or float(values.max()) > 1 + _SUM_TOLERANCE:
        raise ModelError(
            "the network's numbers are no probabilities", file=model.file, attribute="$.output.activation",
            fix="say softmax or sigmoid",
        )  # fmt: skip
    return values.clamp(0.0, 1.0)


def _predictions(spec: ClassifySpec, row: Any, limit: float) -> tuple[Prediction, ...]:
    best = max(range(len(row)), key=lambda n: (float(row[n]), -n))
    made = [
        Prediction(one.name, float(row[n]), one.code, found=n == best if spec.exclusive else float(row[n]) >= limit)
        for n, one in enumerate(spec.classes)
    ]
    if not all(math.isfinite(p.probability) for p in made):
        raise ModelError("an ensemble gave numbers that are not finite")
    return tuple(sorted(made, key=lambda p: -p.probability))


def class_named(spec: ClassifySpec, name: str) -> Class:
    """The class of that name."""
    return next(one for one in spec.classes if one.name == name)


def keep_top(results: Sequence[Classification], count: int) -> tuple[Classification, ...]:
    """Only the `count` most probable classes of each."""
    return tuple(replace(one, predictions=one.predictions[:count]) for one in results)
