"""The images of a network with several input channels: one volume a channel, in order, all on the first one's grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gpukit.ai.model.description import Model
from gpukit.ai.transforms.tensors import as_tensor
from gpukit.errors import GeometryError, InputError, ModelError
from gpukit.geometry import Grid
from gpukit.ops.resample import resample
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Given", "MODALITY", "called", "channel_number", "expected", "in_order", "on_first_grid", "same_channels"]

#: What `gpukit.segment` takes: one volume, one a channel in the model's order, or one a channel by name.
Given = Volume | Sequence[Volume] | Mapping[str, Volume]
#: Names of channels that are a modality of DICOM's, and no others: "T1" or "FLAIR" may be of any name.
MODALITY = {"ct": ("CT",), "mr": ("MR",), "mri": ("MR",), "pet": ("PT",), "pt": ("PT",)}


def expected(model: Model) -> str:
    """The channels of a model in words, such as ``2 channels (T1, FLAIR)``."""
    count = model.input.channels
    names = model.volume_input.channel_names if model.dimensions == 3 else ()
    return f"{count} channel{'s' if count > 1 else ''}" + (f" ({', '.join(names)})" if names else "")


def channel_number(model: Model, name: str) -> int:
    """Which channel has a name, whatever its case.

    Raises
    ------
    ModelError
        None has.
    """
    names = called(model)
    folded = [one.casefold() for one in names]
    if name.casefold() not in folded:
        raise ModelError(
            f"the model {model.name} has no channel {name!r}: it has {expected(model)}", file=model.file,
            fix=f"name {' or '.join(names)}",
        )  # fmt: skip
    return folded.index(name.casefold())


def called(model: Model) -> tuple[str, ...]:
    """Names of the channels of a network over volumes; numbers from 0, as nnU-Net's files have, where it gives none."""
    return model.volume_input.channel_names or tuple(str(n) for n in range(model.input.channels))


def in_order(given: Given, model: Model) -> list[Volume]:
    """The volumes in the order of the model's channels.

    A 4D volume that is no DICOM and has as many phases as the model has channels is its channels: so they lie in the
    NIfTI files of many data sets.

    Raises
    ------
    InputError, ModelError
        There is not one volume for each channel.
    """
    count = model.input.channels if model.dimensions == 3 else 1
    if isinstance(given, Mapping):
        found = {channel_number(model, name): volume for name, volume in given.items()}
        volumes = [found[n] for n in sorted(found)]
    else:
        volumes = [given] if isinstance(given, Volume) else list(given)
    if len(volumes) == 1 and count > 1:
        one = volumes[0]
        if one.axes == "tkji" and one.shape[0] == count and not one.sources:
            return [replace(one, array=one.array[n], axes="kji", phases=()) for n in range(count)]
    if len(volumes) != count:
        there = "1 volume was" if len(volumes) == 1 else f"{len(volumes)} volumes were"
        raise ModelError(
            f"the network wants {expected(model)}, and {there} given", file=model.file, attribute="$.input.channels",
            fix="give one image for each channel, in this order" if count > 1 else "give one image",
        )  # fmt: skip
    return volumes


def same_channels(models: Sequence[Model]) -> None:
    """Whether models of an ensemble take the same images.

    Raises
    ------
    ModelError
        They do not.
    """
    first = models[0]
    for other in models[1:]:
        if expected(other).casefold() != expected(first).casefold():
            raise ModelError(
                f"{first.name} wants {expected(first)} and {other.name} wants {expected(other)}", file=other.file,
                fix="use models of the same input channels",
            )  # fmt: skip


def on_first_grid(volumes: Sequence[Volume], model: Model) -> tuple[tuple[Volume, ...], tuple[str, ...]]:
    """The volumes of all channels on the grid and device of the first, and what has to be said about it.

    A volume on another grid is resampled linearly; where it shows nothing, it has its lowest value.

    Raises
    ------
    GeometryError
        Nothing says how a volume lies to the first, or they show different places.
    """
    names = model.volume_input.channel_names or tuple(f"channel {n}" for n in range(len(volumes)))
    first = volumes[0]
    result, notes = [first], []
    for name, volume in zip(names[1:], volumes[1:], strict=True):
        frames = [str(one.metadata.get("FrameOfReferenceUID") or "") for one in (first, volume)]
        if all(frames) and frames[0] != frames[1]:
            raise GeometryError(
                f"{name} is in another frame of reference than {names[0]}, so nothing says how they lie to each other",
                attribute="FrameOfReferenceUID",
                fix=f"register it to {names[0]} first, and give the registered image",
            )
        moved = volume.to(first.device)
        if not volume.grid.same_as(first.grid):
            moved = _resampled(moved, first.grid, name, names[0])
            known = "" if all(frames) else "; as no frame of reference is stated, it was taken to be the same"
            notes.append(f"{name} was resampled to the grid of {names[0]}{known}")
        result.append(moved)
    return tuple(result), tuple(notes)


def _resampled(volume: Volume, grid: Grid, name: str, first: str) -> Volume:
    """A volume on another grid."""
    corners = volume.grid.to_index(grid.corners())
    size = np.asarray(volume.grid.shape[::-1])
    if (corners.max(axis=0) < -0.5).any() or (corners.min(axis=0) > size - 0.5).any():
        raise GeometryError(f"{name} shows no part of what {first} shows", fix="give images of the same place")
    found = resample(
        volume.array, volume.grid.matrix_from(grid), grid.shape, fill=_lowest(volume), padding=volume.padding,
        dtype="float32",
    )  # fmt: skip
    return replace(volume, array=found, grid=grid, padding=None)


def _lowest(volume: Volume) -> float:
    """The lowest measured value."""
    import torch

    values = as_tensor(volume.array)
    values = values if values.dtype.is_floating_point else values.to(torch.float32)
    good = torch.isfinite(values)
    if volume.padding is not None:
        good &= (values < volume.padding[0]) | (values > volume.padding[1])
    chosen: torch.Tensor = values[good]
    return float(chosen.min()) if chosen.numel() else 0.0


def check_modality(volume: Volume, model: Model, channel: int) -> None:
    """Whether a volume is of the modality that the model, or the name of the channel, asks for.

    Raises
    ------
    ModelError, InputError
        It is of another.
    """
    names = model.volume_input.channel_names if model.dimensions == 3 else ()
    wanted = model.input.modality
    if not wanted and len(names) > 1:
        wanted = MODALITY.get(names[channel].casefold(), ())
    modality = str(volume.metadata.get("Modality") or "").upper()
    if not modality or not wanted or modality in wanted:
        return
    if len(names) > 1:
        raise InputError(
            f"{names[channel]} is to be {' or '.join(wanted)}, and the image given for it is {modality}",
            attribute="Modality",
            fix=f"give the images in the order {', '.join(names)}",
        )
    raise ModelError(
        f"the model {model.name} is for {' or '.join(wanted)}, and the volume is {modality}",
        file=model.file,
        attribute="$.input.modality",
        fix=f"use a model for {modality}",
    )
