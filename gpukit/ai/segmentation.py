"""The main job: a volume and a model in, a label map on the volume's own grid out."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import TYPE_CHECKING

from gpukit.ai.bodies import keep_main_body
from gpukit.ai.description import Model
from gpukit.ai.labelmap import LabelMap
from gpukit.ai.memory import Frugal, OutOfMemoryError, smaller
from gpukit.ai.model import find_model
from gpukit.ai.nnunet_labels import SplineLabelMap
from gpukit.ai.nnunet_preprocess import Seen
from gpukit.ai.outputs import chosen_labels, keep_labels
from gpukit.ai.parts import TransformSpec
from gpukit.ai.preprocess import build_transform, model_grid
from gpukit.ai.probabilities import ProbabilityMap
from gpukit.ai.runtimes import Network, Runtime, choose, faster
from gpukit.ai.seeing import label_map, lay_windows, see
from gpukit.ai.slices import label_slices
from gpukit.ai.tensors import as_array, as_tensor, require
from gpukit.ai.together import Mirrored, check_way, combined, fuse
from gpukit.ai.window import Layout, central, slide
from gpukit.errors import GpukitError, InputError, ModelError, SelectionError
from gpukit.stages import in_stage, stage, staged
from gpukit.volume import Segmentation, Volume

if TYPE_CHECKING:
    import torch

__all__ = ["PRECISIONS", "segment"]

PRECISIONS = ("auto", "float32", "float16", "bfloat16")


def segment(
    volume: Volume,
    model: str | PathLike[str] | Model | Sequence[str | PathLike[str] | Model],
    *,
    device: str | None = None,
    runtime: str | None = None,
    precision: str = "auto",
    overlap: float | None = None,
    batch: int | None = None,
    phase: int | None = None,
    ensemble: str = "average",
    weights: Sequence[float] | None = None,
    flips: str | None = None,
    probabilities: bool | Sequence[str] = False,
    progress: Callable[[int, int], None] | None = None,
) -> Segmentation:
    """Label every voxel of a volume.

    Parameters
    ----------
    volume : Volume
        3D, or 4D with `phase`; on any device, which is where the network runs.
    model : str, PathLike, Model, or several of them
        A folder with ``model.json``, a weights file with its description beside it, a MONAI bundle's folder, a trained
        nnU-Net's folder, or the name of a model that comes with gpukit, such as ``brain-tissue``. See
        ``docs/models.md``. Several are an ensemble and must have the same labels. A model for pictures labels slice by
        slice.
    device : str, optional
        Move the volume there first (``cuda``, ``mps``, ``cpu`` ...); by default it stays where it is.
    runtime : str, optional
        ``torch``, ``onnx``, ``openvino`` ...; by default the first that runs the model's format, but on the CPU
        OpenVINO in place of torch, where it is installed, the job is large enough to gain, and both agree.
    precision : str
        ``auto`` (float16 on CUDA and MPS, where it gains; float32 on the CPU, where it does not), ``float32``,
        ``float16`` or ``bfloat16``.
    overlap, batch : optional
        In place of what the model's description says.
    phase : int, optional
        Which t of a 4D volume, from 0.
    ensemble : str
        How several models become one: ``average``, ``weighted`` or ``max`` of their probabilities (they must see the
        same grid through the same windows), or ``vote`` or ``staple`` of their labels.
    weights : sequence of float, optional
        One a model, for ``weighted`` and ``vote``.
    flips : str, optional
        Axes of the network along which windows are also run mirrored, and the logits averaged: any of ``x``, ``y``,
        ``z``, or an empty text for none. By default those that the model was trained for: an nnU-Net names them.
    probabilities : bool or sequence of str
        Also keep the probability of every label, or of the labels of these names or values, which are then the only
        ones of the result: one byte a label and voxel (`gpukit.ai.probabilities`). For networks over volumes that give
        probabilities (softmax or sigmoid). It is the network's own: of what postprocessing does, only that a voxel that
        it made background has none.
    progress : callable, optional
        Called as ``progress(windows done, windows in all)`` from this thread.

    Returns
    -------
    Segmentation
        Label map of uint8 (uint16 for values above 255) on exactly the volume's grid and device, with the meaning of
        its labels and the identity of the source's instances.

    Raises
    ------
    ModelError
        The model or its description cannot be used, or is not for such volumes; the models of an ensemble do not go
        together.
    DependencyError, DeviceError
        A package or the device is missing.
    SelectionError
        A 4D volume without `phase`.
    """
    named = [model] if isinstance(model, (str, PathLike, Model)) else list(model)
    models = [(one if isinstance(one, Model) else find_model(one)).for_task("segment") for one in named]
    if not models:
        raise InputError("no model was given", attribute="model")
    if precision not in PRECISIONS:
        raise InputError(
            f"unknown precision {precision!r}", attribute="precision", fix=f"use one of: {', '.join(PRECISIONS)}"
        )
    if overlap is not None and not 0.0 <= overlap < 1.0:
        raise InputError(f"the overlap must be at least 0 and below 1, not {overlap:g}", attribute="overlap")
    if batch is not None and batch < 1:
        raise InputError(f"the batch must be at least 1, not {batch}", attribute="batch")
    if not set(flips or "") <= set("xyz"):
        raise InputError(f"flips are of the axes x, y and z, not {flips!r}", attribute="flips")
    if len(models) > 1:
        check_way(ensemble, models, weights)
    elif weights is not None:
        raise InputError("weights are for several models", attribute="weights")
    require("torch", "monai")
    chosen = [choose(one, runtime) for one in models]
    volume = one_image(volume if device is None else volume.to(device), models[0], phase)
    for one in models[1:]:
        one_image(volume, one, None)
    wanted = _wanted(models, ensemble, probabilities)
    digests = [one.digest for one in models]
    job = Job(runtime is None, precision, overlap, batch, flips, progress, len(models), wanted)

    import torch

    with torch.inference_mode():
        if len(models) == 1:
            labels, notes = _alone(volume, models[0], chosen[0], job, 0)
        elif ensemble in ("vote", "staple"):
            found = [_alone(volume, one, run, job, n) for n, (one, run) in enumerate(zip(models, chosen, strict=True))]
            values = [label.value for label in models[0].segments.labels]
            labels = fuse([one[0] for one in found], ensemble, weights, values)
            notes = tuple(note for one in found for note in one[1])
        else:
            labels, notes = _in_step(volume, models, chosen, job, ensemble, weights)
        if len(models) > 1:
            labels = _postprocessed(labels, models[0], volume, job)
    result = Segmentation(
        array=as_array(labels, volume.array),
        grid=volume.grid,
        labels=models[0].segments.labels,
        algorithm={
            "name": " + ".join(dict.fromkeys(one.name for one in models)),
            "version": " + ".join(dict.fromkeys(one.version for one in models)),
            "digest": digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest(),
        },
        sources=volume.sources,
        metadata=volume.metadata,
        notes=(*volume.notes, *dict.fromkeys(note for one in models for note in one.notes), *notes),
    )
    return result if wanted is None else _with_probabilities(result, job)


@dataclass(frozen=True)
class Job:
    """How the networks of one call are run."""

    may_choose: bool
    precision: str
    overlap: float | None
    batch: int | None
    flips: str | None
    progress: Callable[[int, int], None] | None
    parts: int
    #: Values of the labels whose probabilities are kept, and where they are put once they are known.
    wanted: tuple[int, ...] | None = None
    kept: list[torch.Tensor] = field(default_factory=list)

    def target(self, volume: Volume, model: Model, seen: Seen, layout: Layout) -> LabelMap | SplineLabelMap:
        """What collects the slabs."""
        if self.wanted is None:
            return label_map(volume, model, seen, layout)
        place = seen.image.device
        return ProbabilityMap(volume.grid, seen.grid, model.segments, layout.axis, place, self.wanted)

    def finish(self, target: LabelMap | SplineLabelMap) -> torch.Tensor:
        """The label map; probabilities are put into `kept`."""
        if isinstance(target, ProbabilityMap):
            self.kept.append(target.probabilities())
        with stage("back-resampling"):
            return target.finish()

    def tell(self, part: int) -> Callable[[int, int], None] | None:
        """Progress of one of several models."""
        if self.progress is None or self.parts == 1:
            return self.progress
        report = self.progress
        return lambda done, total: report(part * total + done, self.parts * total)


def _alone(volume: Volume, model: Model, chosen: Runtime, job: Job, part: int) -> tuple[torch.Tensor, tuple[str, ...]]:
    """As `_once`; where a window does not fit into the device's memory with smaller ones, which a note says."""
    try:
        return _once(volume, model, chosen, job, part)
    except OutOfMemoryError as error:
        if model.dimensions == 2 or error.fixed:
            raise
        patch = model.inference.patch or model_grid(volume.grid, model.volume_input).shape[::-1]
        less = smaller((patch[0], patch[1], patch[2]))
        if less is None:
            raise
    # here the failed run's tensors are gone, which the error held
    labels, notes = _alone(volume, replace(model, inference=replace(model.inference, patch=less)), chosen, job, part)
    sizes = [" x ".join(map(str, one)) for one in (patch, less)]
    return labels, (f"the device's memory was too small for windows of {sizes[0]}, so {sizes[1]} were run", *notes)


def _once(volume: Volume, model: Model, chosen: Runtime, job: Job, part: int) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Label map of one model, postprocessed where it is the only one."""
    notes: tuple[str, ...] = ()
    if model.dimensions == 2:
        with stage("loading the network"):
            loaded = chosen.load(model, _place(volume), job.precision)
        network = Frugal(_mirrored(loaded, model, job.flips))
        with stage("inference"):
            labels = label_slices(volume, model, network, job.batch or 8, job.tell(part))
    else:
        network, seen, notes = _loaded(volume, model, chosen, job)
        labels = _label(volume, model, network, seen, job, part)
    notes = (*notes, *network.notes)
    if job.parts == 1:
        labels = _postprocessed(labels, model, volume, job)
    return labels, notes


def _postprocessed(labels: torch.Tensor, model: Model, volume: Volume, job: Job) -> torch.Tensor:
    """Labels after the model's own steps; what they make background has no probability any more."""
    raw = labels
    for transform in model.segments.postprocess:
        labels = _postprocess(labels, transform, volume)
    if labels is not raw:
        for kept in job.kept:
            removed = (raw != 0) & (labels == 0)
            for one in kept:
                one.masked_fill_(removed, 0)
    return labels


def _wanted(models: Sequence[Model], ensemble: str, probabilities: bool | Sequence[str]) -> tuple[int, ...] | None:
    """Values of the labels whose probabilities are wanted, None for no probabilities."""
    if probabilities is False:
        return None
    first = models[0]
    labels = first.segments.labels
    if first.dimensions != 3 or first.segments.activation not in ("softmax", "sigmoid"):
        raise ModelError(
            f"the model {first.name} gives no probabilities of a volume",
            file=first.file,
            attribute="$.output.activation",
            fix="use a model over volumes with the activation softmax or sigmoid, or do without probabilities",
        )
    if len(models) > 1 and ensemble in ("vote", "staple"):
        raise InputError(
            f"the ensemble {ensemble} puts labels together and has no probabilities",
            attribute="ensemble",
            fix="use average, weighted or max",
        )
    return tuple(label.value for label in (labels if probabilities is True else chosen_labels(labels, probabilities)))


def _with_probabilities(result: Segmentation, job: Job) -> Segmentation:
    """The segmentation of the wanted labels alone, with their probabilities."""
    kept = keep_labels(result, [str(value) for value in job.wanted or ()])
    return replace(kept, probabilities=as_array(job.kept[0], result.array))


def _place(volume: Volume) -> str:
    return str(as_tensor(volume.array).device)


def _mirrored(network: Network, model: Model, flips: str | None) -> Network:
    letters = {"x": 1, "y": 0} if model.dimensions == 2 else {"x": 0, "y": 1, "z": 2}
    axes = model.inference.mirror if flips is None else [letters[f] for f in flips if f in letters]
    if not axes:
        return network
    mirrored: Network = Mirrored(network, axes)
    return mirrored


def _loaded(volume: Volume, model: Model, chosen: Runtime, job: Job) -> tuple[Frugal, Seen, tuple[str, ...]]:
    """The network, on a faster runtime where one gains, and the image that it sees."""
    place = _place(volume)
    with stage("preprocessing"):
        seen = see(volume, model)
    layout = lay_windows(seen.grid.shape[::-1], model, job.overlap)
    size = math.prod(layout.patch)
    quick = faster(model, place, job.precision, layout.count, size) if job.may_choose else None
    with stage("loading the network"):
        network = (quick or chosen).load(model, place, job.precision)
    notes: tuple[str, ...] = ()
    if quick is not None:
        network, notes = _tried(network, quick, chosen, model, central(seen.image, layout))
    return Frugal(_mirrored(network, model, job.flips)), seen, notes


def _in_step(
    volume: Volume,
    models: Sequence[Model],
    chosen: Sequence[Runtime],
    job: Job,
    how: str,
    weights: Sequence[float] | None,
) -> tuple[torch.Tensor, tuple[str, ...]]:
    """Label map of the combined probabilities of models that see the same windows."""
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
    target = job.target(volume, first, seen, layout)
    for slab in staged(combined(streams, how, weights, first.segments.activation), "inference"):
        with stage("back-resampling"):
            target.add(slab)
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
) -> torch.Tensor:
    spec = model.inference
    image = seen.image
    size = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    patch = spec.patch
    if any(fixed is not None for fixed in network.patch):
        wanted = patch or size
        fixed = tuple(f or w for f, w in zip(network.patch, wanted, strict=True))
        if fixed != wanted and (patch is not None or any(f < s for f, s in zip(fixed, size, strict=True))):
            raise ModelError(
                f"the network's graph is fixed to windows of {fixed}, and it would be given {wanted}",
                file=model.file,
                attribute="$.inference.patch",
                fix="declare the patch of the graph",
            )
        patch = (fixed[0], fixed[1], fixed[2])
    layout = lay_windows(size, model, job.overlap, patch)
    target = job.target(volume, model, seen, layout)
    together = job.batch or spec.batch
    slabs = slide(
        image,
        network,
        layout,
        channels=model.segments.channels,
        blend=spec.blend,
        batch=together if network.batch is None else min(together, network.batch),
        skip_below=spec.skip_below,
        progress=job.tell(part),
    )
    for slab in staged(slabs, "inference"):
        with stage("back-resampling"):
            target.add(slab)
    return job.finish(target)


@in_stage("postprocessing")
def _postprocess(labels: torch.Tensor, spec: TransformSpec, volume: Volume) -> torch.Tensor:
    import torch

    if spec.name == "KeepMainBody":
        radius = spec.arguments.get("radius_mm")
        if not isinstance(radius, (int, float)) or set(spec.arguments) != {"radius_mm"}:
            raise ModelError("KeepMainBody takes one number, radius_mm", attribute=spec.path)
        kept = keep_main_body(as_array(labels, volume.array), volume.grid.spacing, float(radius))
        return as_tensor(kept)
    result = build_transform(spec)(labels[None])
    return torch.as_tensor(result)[0].to(labels.dtype).contiguous()


def one_image(volume: Volume, model: Model, phase: int | None) -> Volume:
    """The 3D scalar image for a network over volumes, checked against what the model is for."""
    if model.dimensions == 3 and model.input.channels != 1:
        raise ModelError(
            f"the network wants {model.input.channels} channels, and a volume has one",
            file=model.file,
            attribute="$.input.channels",
            fix="use a model of one channel",
        )
    modality = volume.metadata.get("Modality")
    if modality and model.input.modality and str(modality).upper() not in model.input.modality:
        raise ModelError(
            f"the model {model.name} is for {' or '.join(model.input.modality)}, and the volume is {modality}",
            file=model.file,
            attribute="$.input.modality",
            fix=f"use a model for {modality}",
        )
    if "c" in volume.axes and model.dimensions == 3:
        raise InputError("a colour volume cannot be segmented", fix="give a volume of one value a voxel")
    if not volume.axes.startswith("t"):
        if phase:
            raise SelectionError(f"there is no phase {phase}: the volume is 3D", attribute="phase")
        return volume
    count = volume.shape[0]
    if phase is None and count > 1:
        names = "; ".join(f"{n}: {name}" for n, name in enumerate(volume.phases[:8])) or f"0 to {count - 1}"
        raise SelectionError(f"the volume has {count} phases ({names})", attribute="phase", fix="choose one of them")
    at = phase or 0
    if not 0 <= at < count:
        raise SelectionError(f"there is no phase {at}", attribute="phase", fix=f"use 0 to {count - 1}")
    sources = tuple(s for s in volume.sources if s.phase == at) or volume.sources
    return replace(
        volume, array=volume.array[at], axes=volume.axes[1:], phases=volume.phases[at : at + 1], sources=sources
    )
