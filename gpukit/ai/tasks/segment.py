"""The main job: a volume and a model in, a label map on the volume's own grid out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike

from gpukit.ai.inference.ensemble import check_way, fuse_labels
from gpukit.ai.model.description import Model
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import choose, formats_of
from gpukit.ai.tasks.label_summary import chosen_labels, keep_labels
from gpukit.ai.tasks.segment_run import Job, alone, in_step, postprocessed
from gpukit.ai.transforms.channels import Given, check_modality, expected, in_order, on_first_grid, same_channels
from gpukit.ai.transforms.checks import check_spacing
from gpukit.ai.transforms.tensors import as_array, require
from gpukit.dicom.modules.cine import frames_as_slices, is_cine
from gpukit.errors import InputError, ModelError, SelectionError
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["PRECISIONS", "check_settings", "one_image", "one_phase", "segment"]

#: Note of a segmentation with bit planes.
OVERLAP = "labels overlap: each label is kept whole, and a picture of all labels shows the smallest label on top"
PRECISIONS = ("auto", "float32", "float16", "bfloat16")


def segment(
    volume: Given,
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
    volume : Volume, or several
        3D, or 4D with `phase`; on any device, which is where the network runs. For a network of several input channels
        one for each, in the order of the model's channels, or by their names (``{"T1": t1, "FLAIR": flair}``). All are
        brought to the grid of the first channel's, which is that of the result. A 4D volume that is no DICOM and has as
        many phases as the model has channels may take their place.
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
        Which t of a 4D volume, from 0. Without it a model over pictures labels every frame of a cine loop (ultrasound,
        angiography): the result has a slice for each frame.
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
        ones of the result: one byte a label and voxel (`gpukit.ai.inference.probability_map`). For networks over
        volumes that give probabilities (softmax or sigmoid). It is the network's own: of what postprocessing does, only
        that a voxel that it made background has none.
    progress : callable, optional
        Called as ``progress(windows done, windows in all)`` from this thread.

    Returns
    -------
    Segmentation
        Label map of uint8 (uint16 for values above 255) on exactly the volume's grid and device (of a cine loop, on
        that of `gpukit.dicom.modules.cine.frames_as_slices`), with the meaning of
        its labels and the identity of the source's instances. Labels of a sigmoid network may overlap; then it has
        `planes` too, which hold each label whole.

    Raises
    ------
    ModelError
        The model or its description cannot be used, or is not for such volumes; the models of an ensemble do not go
        together.
    DependencyError, DeviceError
        A package or the device is missing.
    GeometryError
        Channels are in different frames of reference, or show different places.
    SelectionError
        A 4D volume without `phase` that is not a cine loop for a model over pictures.
    """
    named = [model] if isinstance(model, (str, PathLike, Model)) else list(model)
    formats = formats_of(runtime)
    models = [
        (one if isinstance(one, Model) else find_model(one, formats=formats)).for_task("segment") for one in named
    ]
    if not models:
        raise InputError("no model was given", attribute="model")
    check_settings(models, precision, overlap, batch, ensemble, weights, flips)
    require("torch", "monai")
    chosen = [choose(one, runtime) for one in models]
    inputs = [one if device is None else one.to(device) for one in in_order(volume, models[0])]
    if phase is None and all(one.dimensions == 2 for one in models):
        inputs = [frames_as_slices(one) if is_cine(one) else one for one in inputs]
    images = [one_image(one, models[0], phase, n) for n, one in enumerate(inputs)]
    for other in models[1:]:
        for n, one in enumerate(images):
            one_image(one, other, None, n)
    channels, moved = on_first_grid(images, models[0]) if len(images) > 1 else ((images[0],), ())
    volume = channels[0]
    wanted = _wanted(models, ensemble, probabilities)
    digests = [one.digest for one in models]
    job = Job(channels, runtime, precision, overlap, batch, flips, progress, len(models), wanted)

    import torch

    with torch.inference_mode():
        if len(models) == 1:
            labels, notes = alone(volume, models[0], chosen[0], job, 0)
        elif ensemble in ("vote", "staple"):
            found = [alone(volume, one, run, job, n) for n, (one, run) in enumerate(zip(models, chosen, strict=True))]
            values = [label.value for label in models[0].segments.labels]
            labels = fuse_labels([one[0] for one in found], ensemble, weights, values)
            notes = tuple(note for one in found for note in one[1])
        else:
            labels, notes = in_step(volume, models, chosen, job, ensemble, weights)
        if len(models) > 1:
            labels = postprocessed(labels, models[0], volume)
    result = Segmentation(
        array=as_array(labels.array, volume.array),
        planes=None if labels.planes is None else as_array(labels.planes, volume.array),
        grid=volume.grid,
        labels=models[0].segments.labels,
        algorithm={
            "name": " + ".join(dict.fromkeys(one.name for one in models)),
            "version": " + ".join(dict.fromkeys(one.version for one in models)),
            "digest": " + ".join(digests),
        },
        sources=volume.sources,
        metadata=volume.metadata,
        geometry=volume.geometry,
        notes=(
            *dict.fromkeys(note for one in channels for note in one.notes),
            *moved,
            *dict.fromkeys(note for one in models for note in one.notes),
            *notes,
        ),
    )
    if labels.planes is not None:
        result = replace(result, notes=(*result.notes, OVERLAP))
    if wanted is None or labels.probabilities is None:
        return result
    kept = keep_labels(result, [str(value) for value in wanted])
    return replace(kept, probabilities=as_array(labels.probabilities, result.array))


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


def check_settings(
    models: Sequence[Model],
    precision: str = "auto",
    overlap: float | None = None,
    batch: int | None = None,
    ensemble: str = "average",
    weights: Sequence[float] | None = None,
    flips: str | None = None,
) -> None:
    """InputError or ModelError where the arguments of `segment` do not go with the models, whatever the image."""
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
    flat = next((one for one in models if one.dimensions == 2), None)
    if flat is not None and overlap is not None:
        raise InputError(f"{flat.name} labels slice by slice, so that no windows overlap", attribute="overlap")
    if flat is not None and "z" in (flips or ""):
        raise InputError(f"{flat.name} sees pictures, which are flipped along x and y only", attribute="flips")
    if len(models) > 1:
        check_way(ensemble, models, weights)
    elif weights is not None:
        raise InputError("weights are for several models", attribute="weights")
    same_channels([part for one in models for part in ((one,) if one.previous is None else (one.previous, one))])


def one_image(volume: Volume, model: Model, phase: int | None, channel: int | None = None) -> Volume:
    """The 3D scalar image for a network over volumes, checked against what the model is for.

    `channel` is the number of the channel that it is for; None where the task takes one image only.
    """
    if model.dimensions == 3 and model.input.channels != 1 and channel is None:
        raise ModelError(
            f"the network wants {expected(model)}, and a volume has one",
            file=model.file,
            attribute="$.input.channels",
            fix="use a model of one channel",
        )
    check_modality(volume, model, channel or 0)
    check_spacing(volume, model)
    if "c" in volume.axes and model.dimensions == 3:
        raise InputError("a colour volume cannot be segmented", fix="give a volume of one value a voxel")
    if not volume.axes.startswith("t") and phase:
        raise SelectionError(f"there is no phase {phase}: the volume is 3D", attribute="phase")
    return one_phase(volume, phase)


def one_phase(volume: Volume, phase: int | None) -> Volume:
    """One phase of a 4D volume with the instances that it was read from; a 3D volume as it is.

    Raises
    ------
    SelectionError
        There are several and none was chosen, or not so many.
    """
    if not volume.axes.startswith("t"):
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
