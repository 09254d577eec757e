"""Classifying: probabilities of classes for each picture, or for a whole volume."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

from gpukit.ai.inference.ensemble import combine_probabilities
from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import Class, ClassifySpec
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import formats_of
from gpukit.ai.tasks.classify_batches import Answer, Lane, inference, load, run_lanes
from gpukit.ai.transforms.tensors import require
from gpukit.errors import InputError, ModelError
from gpukit.volume import SourceInstance, Volume

__all__ = ["Classification", "Prediction", "check_input", "classify", "classify_each"]

_TOGETHER = 16  # pictures, where neither the user nor the description says it


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
    notes : tuple of str
        What is to be known of how it was made, such as that memory was short.
    """

    predictions: tuple[Prediction, ...]
    index: int | None = None
    phase: int | None = None
    source: SourceInstance | None = None
    models: tuple[dict[str, str], ...] = ()
    notes: tuple[str, ...] = ()

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
    per: str | None = None,
    batch: int | None = None,
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
    per : {"frame", "series"}, optional
        One answer a slice (the default), or the mean of the probabilities of all slices. A model of three dimensions
        gives one answer a volume, so that it takes ``series`` only.
    batch : int, optional
        Pictures run together; by default what the model's description says, else 16.
    ensemble : {"average", "weighted", "vote", "max"}
        How several models become one answer: the mean of the probabilities; the mean with `weights`; each model's most
        probable class (or, for classes on their own, those that reach its threshold) is one vote, shares of votes are
        given; the greatest probability of each class, for exclusive classes scaled to the sum one.
    weights : sequence of float, optional
        One a model, for ``weighted``, which needs them, and ``vote``.
    flips : bool
        Also run each picture mirrored left to right, and average: test-time augmentation.
    threshold : float, optional
        In place of the models' own, for classes on their own; of exclusive ones the most probable is found.
    progress : callable, optional
        Called as ``progress(done, total)``, pictures times models.

    Returns
    -------
    tuple of Classification
        In the order of the slices, then of the phases.

    Raises
    ------
    ModelError
        A model cannot be used, is for another task or modality, cannot run on such pictures, gives another number of
        classes than it names, or NaN; the models of an ensemble have different classes.
    InputError
        An argument is out of its domain.
    """
    job = _job(model, runtime, per, batch, ensemble, weights, threshold)
    volume = volume if device is None else volume.to(device)
    found: list[Answer] = []
    told: dict[str, None] = {}
    for number, (one, spec) in enumerate(zip(job.models, job.specs, strict=True)):  # one network at a time in memory

        def tell(done: int, total: int, number: int = number) -> None:
            if progress is not None:
                progress(number * total + done, total * len(job.models))

        with inference():
            lane = Lane(one, spec, load(one, volume, runtime, precision), _together(one, batch), flips)
            found += [answers[0] for answers in run_lanes([volume], [lane], tell)]
            told |= dict.fromkeys(lane.notes)
    return job.classify(found, tuple(told))


def classify_each(
    volumes: Iterable[Volume],
    model: str | PathLike[str] | Model | Sequence[str | PathLike[str] | Model],
    *,
    runtime: str | None = None,
    precision: str = "auto",
    per: str | None = None,
    batch: int | None = None,
    ensemble: str = "average",
    weights: Sequence[float] | None = None,
    flips: bool = False,
    threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Classification, ...]]:
    """Probabilities of classes of many volumes: the pictures of several make one batch, and networks are loaded once.

    Parameters
    ----------
    volumes : iterable of Volume
        Taken when they are needed, so one that opens the next ones in a thread (`gpukit.prefetch.Ahead`) keeps the
        network busy. At most as many are held as it takes to fill a batch.
    model, runtime, precision, per, batch, ensemble, weights, flips, threshold
        As for `classify`. All networks of an ensemble are in memory together.
    progress : callable, optional
        Called as ``progress(done, total)``, pictures times models of the volumes that were taken so far.

    Yields
    ------
    tuple of Classification
        As `classify` gives it, of each volume, in their order. Networks round a little differently in batches of
        another size: the last digits of float32.

    Raises
    ------
    ModelError, InputError
        As `classify`.
    """
    job = _job(model, runtime, per, batch, ensemble, weights, threshold)
    lanes: list[Lane] = []
    source = iter(volumes)
    first = next(source, None)
    if first is None:
        return
    with inference():
        for one, spec in zip(job.models, job.specs, strict=True):
            lanes.append(Lane(one, spec, load(one, first, runtime, precision), _together(one, batch), flips))
    told = progress or (lambda done, total: None)
    rest = itertools.chain(_handed(first), source)
    del first
    for answers in run_lanes(rest, lanes, told):
        yield job.classify(answers, tuple(dict.fromkeys(note for lane in lanes for note in lane.notes)))


def check_input(volume: Volume, models: Sequence[Model]) -> None:
    """GpukitError where one of the models cannot see such a volume: of another modality, of several phases ..."""
    from gpukit.ai.tasks.segment import one_image
    from gpukit.ai.transforms.image_input import Pictures, check_modality

    for model in models:
        if model.dimensions == 2:
            Pictures(volume, model)
        else:
            check_modality(volume, model)
            one_image(volume, model, None)


def _together(model: Model, batch: int | None) -> int:
    return batch or model.inference.pictures or _TOGETHER


def _handed(volume: Volume) -> Iterator[Volume]:
    yield volume
    del volume


@dataclass(frozen=True)
class _Job:
    """Models and how their answers become one."""

    models: list[Model]
    specs: list[ClassifySpec]
    identity: tuple[dict[str, str], ...]
    per: str | None
    ensemble: str
    weights: Sequence[float] | None
    threshold: float | None

    def classify(self, answers: Sequence[Answer], notes: tuple[str, ...]) -> tuple[Classification, ...]:
        """The answers of all models on one volume, as one."""
        import torch

        specs, threshold = self.specs, self.threshold
        frames = answers[0].where
        collected = []
        for one, spec, answer in zip(self.models, specs, answers, strict=True):
            if len(answer.where) != len(frames):
                raise ModelError("the models of the ensemble see different numbers of pictures", file=one.file)
            order = [[c.name for c in spec.classes].index(c.name) for c in specs[0].classes]
            collected.append(answer.probabilities()[:, order].to("cpu", torch.float64))
        limits = [spec.threshold if threshold is None else threshold for spec in specs]
        together = combine_probabilities(
            torch.stack(collected).numpy(), self.ensemble, self.weights, exclusive=specs[0].exclusive, thresholds=limits
        )
        if self.per == "series" and together.shape[0] > 1:
            together, frames = together.mean(axis=0, keepdims=True), [(None, None, None)]
        limit = threshold if threshold is not None else specs[0].threshold
        return tuple(
            Classification(
                predictions=_predictions(specs[0], row, limit),
                index=k,
                phase=phase,
                source=source,
                models=self.identity,
                notes=notes,
            )
            for row, (k, phase, source) in zip(together, frames, strict=True)
        )


def _job(
    model: str | PathLike[str] | Model | Sequence[str | PathLike[str] | Model],
    runtime: str | None,
    per: str | None,
    batch: int | None,
    ensemble: str,
    weights: Sequence[float] | None,
    threshold: float | None,
) -> _Job:
    named = [model] if isinstance(model, (str, PathLike, Model)) else list(model)
    formats = formats_of(runtime)
    models = [(m if isinstance(m, Model) else find_model(m, formats=formats)).for_task("classify") for m in named]
    specs = [_spec(m) for m in models]
    _check(models, specs, per, batch, weights, ensemble)
    if threshold is not None and specs[0].exclusive:
        raise InputError(
            f"a threshold is for classes on their own, and those of {models[0].name} exclude each other: the most "
            "probable one is found", attribute="threshold",
        )  # fmt: skip
    if any(m.dimensions == 3 for m in models) and (per == "frame" or batch is not None):
        what, word = ("answers per frame", "per") if per == "frame" else ("pictures run together", "batch")
        raise InputError(f"{models[0].name} classifies whole volumes, so that there are no {what}", attribute=word)
    # digests are known before any weights are opened
    identity = tuple({"name": m.name, "version": m.version, "digest": m.digest} for m in models)
    require("torch", "monai")
    return _Job(models, specs, identity, per, ensemble, weights, threshold)


def _spec(model: Model) -> ClassifySpec:
    assert isinstance(model.output, ClassifySpec)
    return model.output


def _check(
    models: Sequence[Model],
    specs: Sequence[ClassifySpec],
    per: str | None,
    batch: int | None,
    weights: Any,
    ensemble: str,
) -> None:
    if not models:
        raise InputError("no model was given", attribute="model")
    if per not in (None, "frame", "series"):
        raise InputError(f"there is no answer per {per!r}", attribute="per", fix="use frame or series")
    if batch is not None and batch < 1:
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
    if weights is None and ensemble == "weighted":
        raise InputError("the ensemble 'weighted' needs weights", attribute="weights", fix="give one a model")
    if weights is not None and (ensemble not in ("weighted", "vote") or len(models) == 1):
        raise InputError("weights are for several models and the ensembles 'weighted' and 'vote'", attribute="weights")


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
