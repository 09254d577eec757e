"""How the networks of one call run: loaded, mirrored, in step with others, in smaller windows where memory is short."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gpukit.ai.inference.ensemble import combined
from gpukit.ai.inference.label_map import Labelling, LabelMap
from gpukit.ai.inference.out_of_memory import Frugal, in_smaller_windows
from gpukit.ai.inference.patches import window_of
from gpukit.ai.inference.sliding_window import central, slide
from gpukit.ai.inference.test_time_augmentation import Mirrored
from gpukit.ai.model.description import Model
from gpukit.ai.nnunet.export import SplineLabelMap
from gpukit.ai.nnunet.preprocess import Seen
from gpukit.ai.runtimes import Network, Runtime, choose, faster
from gpukit.ai.tasks.segment_plan import label_map, lay_windows, see
from gpukit.ai.tasks.segment_slices import label_slices
from gpukit.ai.transforms.postprocess import postprocess, takes_all_as_one
from gpukit.ai.transforms.tensors import torch_device
from gpukit.ai.transforms.volume_input import model_grid
from gpukit.errors import GpukitError, ModelError
from gpukit.profiling import stage, staged
from gpukit.segmentation import map_of_planes
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Job", "alone", "in_step", "postprocessed"]

_PICTURES = 8  # run together, where neither the user nor the description says it


@dataclass(frozen=True)
class Job:
    """How the networks of one call are run."""

    #: The images of all channels on one grid; the first is the one whose grid the labels return to.
    channels: tuple[Volume, ...]
    runtime: str | None
    precision: str
    overlap: float | None
    batch: int | None
    flips: str | None
    progress: Callable[[int, int], None] | None
    parts: int
    #: Values of the labels whose probabilities are kept.
    wanted: tuple[int, ...] | None = None

    def finish(self, target: LabelMap | SplineLabelMap) -> Labelling:
        """The labels, once all blocks are in."""
        with stage("back-resampling"):
            return target.labelling()

    def tell(self, part: int) -> Callable[[int, int], None] | None:
        """Progress of one of several models."""
        if self.progress is None or self.parts == 1:
            return self.progress
        report = self.progress
        return lambda done, total: report(part * total + done, self.parts * total)


def alone(volume: Volume, model: Model, chosen: Runtime, job: Job, part: int) -> tuple[Labelling, tuple[str, ...]]:
    """As `_once`; where a window does not fit into the device's memory with smaller ones, which a note says."""
    with naming(model):
        if model.dimensions == 2:
            return _once(volume, model, chosen, job, part)
        size = model_grid(volume.grid, model.volume_input).shape[::-1]
        (labels, notes), less = in_smaller_windows(model, size, lambda one: _once(volume, one, chosen, job, part))
    return labels, (*less, *notes)


@contextmanager
def naming(model: Model) -> Iterator[None]:
    """What is said to be wrong with a network without saying whose names the model's file."""
    try:
        yield
    except ModelError as error:
        error.file = error.file or str(model.file)
        raise


def _once(volume: Volume, model: Model, chosen: Runtime, job: Job, part: int) -> tuple[Labelling, tuple[str, ...]]:
    """Labels of one model, postprocessed where it is the only one."""
    notes: tuple[str, ...] = ()
    if model.dimensions == 2:
        with stage("loading the network"):
            loaded = chosen.load(model, _place(volume), job.precision)
        network = Frugal(_mirrored(loaded, model, job.flips), model)
        with stage("inference"):
            labels = label_slices(
                volume, model, network, job.batch or model.inference.pictures or _PICTURES, job.tell(part)
            )
    else:
        network, seen, notes = _loaded(volume, model, chosen, job)
        labels = _label(volume, model, network, seen, job, part)
    notes = (*notes, *network.notes)
    if job.parts == 1:
        labels = postprocessed(labels, model, volume)
    return labels, notes


def postprocessed(labels: Labelling, model: Model, volume: Volume) -> Labelling:
    """Labels after the model's own steps; what they make background has no probability any more."""
    steps = model.segments.postprocess
    if not steps:
        return labels
    if labels.planes is not None:
        return _each_postprocessed(labels, model, volume)
    array = labels.array
    for transform in steps:
        array = postprocess(array, transform, volume)
    if labels.probabilities is not None:
        removed = (labels.array != 0) & (array == 0)
        for one in labels.probabilities:
            one.masked_fill_(removed, 0)
    return replace(labels, array=array)


def _each_postprocessed(labels: Labelling, model: Model, volume: Volume) -> Labelling:
    """Labels that overlap after the model's steps: each label alone, but for steps that take all labels as one."""
    import torch

    assert labels.planes is not None
    values = [label.value for label in model.segments.labels]
    planes = labels.planes
    for transform in model.segments.postprocess:
        if takes_all_as_one(transform):
            shown, _ = map_of_planes(planes, values, labels.array.to(torch.int32))
            inside = postprocess(shown.to(labels.array.dtype), transform, volume) != 0
            planes = planes * inside.to(planes.dtype)
            continue
        fresh = torch.zeros_like(planes)
        for n, value in enumerate(values):
            mask = (planes[n // 8] & (1 << n % 8)) != 0
            alone = (mask.to(torch.int32) * value).to(labels.array.dtype)
            after = postprocess(alone, transform, volume) == value
            fresh[n // 8].bitwise_or_(after.to(planes.dtype) << n % 8)
        planes = fresh
    array, overlap = map_of_planes(planes, values, labels.array.to(torch.int32))
    probabilities = labels.probabilities
    if probabilities is not None:
        removed = (labels.array != 0) & (array == 0)
        for one in probabilities:
            one.masked_fill_(removed, 0)
    return Labelling(array.to(labels.array.dtype), planes if overlap else None, probabilities)


def _place(volume: Volume) -> str:
    return torch_device(volume.array)


def _mirrored(network: Network, model: Model, flips: str | None) -> Network:
    letters = {"x": 1, "y": 0} if model.dimensions == 2 else {"x": 0, "y": 1, "z": 2}
    axes = model.inference.mirror if flips is None else [letters[f] for f in flips if f in letters]
    if not axes:
        return network
    mirrored: Network = Mirrored(network, axes)
    return mirrored


def _loaded(volume: Volume, model: Model, chosen: Runtime, job: Job) -> tuple[Frugal, Seen, tuple[str, ...]]:
    """The network, on a faster runtime where one gains, and the image that it sees: of a cascade, after its first."""
    place = _place(volume)
    before: torch.Tensor | None = None
    told: tuple[str, ...] = ()
    if model.previous is not None:
        first, told = alone(volume, model.previous, choose(model.previous, job.runtime), job, 0)
        before = first.array
    with stage("preprocessing"):
        seen = see(job.channels, model, before)
    layout = lay_windows(seen.grid.shape[::-1], model, job.overlap)
    size = math.prod(layout.patch)
    quick = faster(model, place, job.precision, layout.count, size) if job.runtime is None else None
    with stage("loading the network"):
        network = (quick or chosen).load(model, place, job.precision)
    notes: tuple[str, ...] = ()
    if quick is not None:
        network, notes = _tried(network, quick, chosen, model, central(seen.image, layout))
    return Frugal(_mirrored(network, model, job.flips), model), seen, (*told, *notes)


def in_step(
    volume: Volume,
    models: Sequence[Model],
    chosen: Sequence[Runtime],
    job: Job,
    how: str,
    weights: Sequence[float] | None,
) -> tuple[Labelling, tuple[str, ...]]:
    """Labels of the combined probabilities of models that see the same windows."""
    first = models[0]
    if first.dimensions == 2:
        raise ModelError("models for pictures are put together by their labels", fix="use the ensemble vote or staple")
    layout = None
    notes: list[str] = []
    streams, networks = [], []
    for n, (model, run) in enumerate(zip(models, chosen, strict=True)):
        network, seen, said = _loaded(volume, model, run, job)
        layout = layout or lay_windows(seen.grid.shape[::-1], first, job.overlap)
        notes += said
        networks.append(network)
        together = job.batch or model.inference.batch
        streams.append(
            slide(
                seen.image,
                network,
                layout,
                channels=model.segments.channels,
                blend=model.inference.blend,
                batch=together if network.batch is None else min(together, network.batch),
                skip_below=model.inference.skip_below,
                progress=job.tell(n),
            )
        )
    assert layout is not None
    target = label_map(volume, first, seen, job.wanted)
    for block in staged(combined(streams, how, weights, first.segments.activation), "inference"):
        with stage("back-resampling"):
            target.add(block)
    labels = job.finish(target)
    return labels, (*notes, *dict.fromkeys(note for network in networks for note in network.notes))


def _tried(
    network: Network, quick: Runtime, usual: Runtime, model: Model, window: torch.Tensor
) -> tuple[Network, tuple[str, ...]]:
    """The faster network if it can run a window, else the usual one and a note that says why."""
    try:
        network(window)
    except GpukitError as error:
        note = f"{usual.name} was used in place of {quick.name}: {error.what}"
        return usual.load(model, str(window.device), "auto"), (note,)
    return network, ()


def _label(
    volume: Volume,
    model: Model,
    network: Network,
    seen: Seen,
    job: Job,
    part: int,
) -> Labelling:
    spec = model.inference
    image = seen.image
    size = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    layout = lay_windows(size, model, job.overlap, window_of(network, model, size))
    target = label_map(volume, model, seen, job.wanted)
    together = job.batch or spec.batch
    blocks = slide(
        image,
        network,
        layout,
        channels=model.segments.channels,
        blend=spec.blend,
        batch=together if network.batch is None else min(together, network.batch),
        skip_below=spec.skip_below,
        progress=job.tell(part),
    )
    for block in staged(blocks, "inference"):
        with stage("back-resampling"):
            target.add(block)
    return job.finish(target)
