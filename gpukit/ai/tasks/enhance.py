"""Enhancing: images out of images, on the same grid or on a finer one, in the source's unit."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.out_of_memory import Frugal, in_smaller_windows, not_finite
from gpukit.ai.inference.patches import cut_windows, window_of
from gpukit.ai.inference.sliding_window import Layout, importance
from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import EnhanceSpec
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import choose, formats_of
from gpukit.ai.tasks.segment import one_image
from gpukit.ai.transforms.image_input import Pictures, check_modality
from gpukit.ai.transforms.tensors import as_array, as_tensor, require, torch_device
from gpukit.ai.transforms.volume_input import build_transform, model_grid, prepare, reach, uncut_axes
from gpukit.dicom.modules.source_header import short_text
from gpukit.errors import InputError, ModelError
from gpukit.files.provenance import made_by
from gpukit.geometry import Grid
from gpukit.ops._mapping import EDGE
from gpukit.ops.resample import resample
from gpukit.profiling import stage
from gpukit.units import ValueUnit
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["enhance"]

_TOGETHER = 4  # pictures, where neither the user nor the description says it
#: A transform counts as linear when no value is further from the line than this share of the range.
_LINEAR = 1e-3


def enhance(
    volume: Volume,
    model: str | PathLike[str] | Model,
    *,
    device: str | None = None,
    runtime: str | None = None,
    precision: str = "auto",
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Volume:
    """A denoised or finer image.

    Parameters
    ----------
    volume : Volume
        One value a voxel, 3D, on the device where the network is to run.
    model, device, runtime, precision
        As for `gpukit.segment`.
    batch : int, optional
        Pictures or windows run together; by default what the model's description says, else 4 pictures or 1 window.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    Volume
        float32, on the volume's device. With scale 1 on exactly the volume's grid; else on one of the same field of
        view with voxels that many times smaller. Its metadata says how it was derived, so that
        `gpukit.dicom.derived.write.write_derived` makes a valid series of it. Values that stand for padding are kept
        where the grid stays.

    Raises
    ------
    ModelError
        The model cannot be used, or gives an image of another size than declared, or NaN; or its values cannot be
        brought back into the source's unit, because a declared transform is not linear.
    InputError
        The volume is in colour.
    """
    found = model if isinstance(model, Model) else find_model(model, formats=formats_of(runtime))
    described = found.for_task("enhance")
    spec = described.output
    assert isinstance(spec, EnhanceSpec)
    if batch is not None and batch < 1:
        raise InputError(f"the batch must be at least 1, not {batch}", attribute="batch")
    if "c" in volume.axes:
        raise InputError("a colour image cannot be enhanced", fix="give an image of one value a pixel")
    require("torch", "monai")
    if volume.axes.endswith("c"):
        raise InputError("the image is in colour, and one of one value a pixel is enhanced", fix="give a grey image")
    volume = one_image(volume if device is None else volume.to(device), replace_channels(described), None)
    digest = described.digest
    import torch

    with torch.inference_mode():
        with stage("loading the network"):
            loaded = choose(described, runtime).load(described, torch_device(volume.array), precision)
        network = Frugal(loaded, described)
        told: tuple[str, ...] = ()
        if described.dimensions == 2:
            together = batch or described.inference.pictures or _TOGETHER
            result, grid, told = _slices(volume, described, spec, network, together, progress)
        else:
            result, grid, told = _volume(volume, described, spec, network, batch, progress)
        if not bool(torch.isfinite(result).all()):
            raise not_finite(described)
        if volume.padding is not None and grid is volume.grid:
            low, high = volume.padding
            given = as_tensor(volume.array).to(torch.float32)
            result = torch.where((given >= low) & (given <= high), given, result)
    identity = {"name": described.name, "version": described.version, "digest": digest}
    what = "Denoised" if max(spec.scale) == 1 else f"Super-resolution {'x'.join(map(str, spec.scale))}"
    facts = {
        **volume.metadata,
        "ImageType": ("DERIVED", "SECONDARY", "OTHER" if max(spec.scale) == 1 else "RESAMPLED"),
        "DerivationDescription": f"{what} by {made_by({**identity, 'name': short_text(described.name)})}",
        "SeriesDescription": short_text(f"{what} by {described.name}"),
        "SliceThickness": grid.spacing[2],
    }
    return replace(
        volume,
        array=as_array(result, volume.array),
        grid=grid,
        unit=volume.unit if spec.restore else ValueUnit.NONE,
        metadata=facts,
        padding=volume.padding if grid is volume.grid else None,
        notes=(*volume.notes, *described.notes, *told, *network.notes),
        algorithm=identity,
    )


def replace_channels(model: Model) -> Model:
    """The model as `one_image` checks it: pictures of three channels are made of one."""
    if model.dimensions == 3 or model.input.channels == 1:
        return model
    return replace(model, input=replace(model.picture_input, channels=1, neighbours=0))


def _slices(
    volume: Volume,
    model: Model,
    spec: EnhanceSpec,
    network: Any,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[torch.Tensor, Grid, tuple[str, ...]]:
    import torch

    if model.picture_input.size is not None or model.picture_input.spacing is not None:
        raise ModelError(
            "a picture that is enhanced keeps its size and spacing", file=model.file, attribute="$.input.size",
            fix="remove size and spacing",
        )  # fmt: skip
    if model.picture_input.plane != "stored":
        raise ModelError("slices are enhanced as they are stored", file=model.file, attribute="$.input.plane")
    pictures = Pictures(volume, model, linear=True)
    _, rows, columns = volume.grid.shape
    x, y = spec.scale
    step = network.batch or batch
    made = []
    for start in range(0, len(pictures), step):
        numbers = list(range(start, min(len(pictures), start + step)))
        given = pictures.batch(numbers)
        if network.batch and len(numbers) < step:
            given = torch.cat([given, given[-1:].expand(step - len(numbers), *given.shape[1:])])
        with stage("inference"):
            output = network(given)
        if model.picture_input.layout == "channels-last" and output.ndim == 4:
            output, given = output.permute(0, 3, 1, 2), given.permute(0, 3, 1, 2)
        output = _grey(output, (rows * y, columns * x), model)
        if spec.residual:
            output = output + given[:, given.shape[1] // 2]
        with stage("postprocessing"):
            for n, one in zip(numbers, output, strict=False):
                made.append(_restored_picture(one, pictures, n) if spec.restore else one)
        if progress is not None:
            progress(numbers[-1] + 1, len(pictures))
    grid = volume.grid if x == y == 1 else _finer(volume.grid, (x, y, 1))
    told: tuple[str, ...] = ()
    if spec.restore and (cut := sum(pictures.cut(n) for n in range(len(pictures)))):
        low, high = pictures.window_of(0) or (0.0, 1.0)
        each = "the model's window" if model.picture_input.window else "the images' own windows"
        told = (
            f"on {cut} of {len(pictures)} images values outside {each}, of the first {low:g} to {high:g}, were cut off "
            "at its ends, since the model sees no others",
        )
    return torch.stack(made).to(torch.float32), grid, told


def _grey(output: torch.Tensor, size: Sequence[int], model: Model) -> torch.Tensor:
    """What the network gave as ``[n, *size]``; channels that are one grey image are averaged."""
    values = output
    if values.ndim == len(size) + 2:
        values = values.mean(dim=1)
    if values.ndim != len(size) + 1 or tuple(values.shape[1:]) != tuple(size):
        raise ModelError(
            f"the network gives images of {tuple(output.shape)}, and [n, c, {', '.join(map(str, size))}] is expected",
            file=model.file, attribute="$.output.scale", fix="declare the network's scale",
        )  # fmt: skip
    return values


def _restored_picture(values: torch.Tensor, pictures: Pictures, n: int) -> torch.Tensor:
    """A picture's values in the source's unit again."""
    values = _undone(values, pictures.plain(n), pictures.spec.intensity)
    window = pictures.window_of(n)
    if window is None:
        return values
    if pictures.inverted:
        values = 1.0 - values
    return values * (window[1] - window[0]) + window[0]


def _undone(values: torch.Tensor, before: torch.Tensor, transforms: Sequence[Any]) -> torch.Tensor:
    """Values with linear intensity transforms taken back; `before` is the image that they were applied to.

    Each transform is applied to the image once more and taken for ``a v + b`` of it, which holds for shifts, ranges and
    normalisation; ModelError for one that is something else.
    """
    import torch

    lines = []
    image = before
    for transform in transforms:
        changed = torch.as_tensor(build_transform(transform)(image)).to(torch.float32)
        x, y = image.reshape(-1).to(torch.float64), changed.reshape(-1).to(torch.float64)
        spread = float(x.max() - x.min())
        a = float(((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()) if spread else 0.0
        b = float(y.mean()) - a * float(x.mean())
        if a == 0.0 or float((a * x + b - y).abs().max()) > _LINEAR * abs(a) * spread:
            raise ModelError(
                f"{transform.name} is not linear, so the result cannot be brought back into the source's unit",
                attribute=transform.path, fix='say "restore": false, or use a linear transform',
            )  # fmt: skip
        lines.append((a, b))
        image = changed
    for a, b in reversed(lines):
        values = (values - b) / a
    return values


def _finer(grid: Grid, scale: Sequence[int]) -> Grid:
    """The grid of the same field of view with `scale` (i, j, k) times as many voxels."""
    return grid.with_spacing([s / f for s, f in zip(grid.spacing, scale, strict=True)])


def _volume(
    volume: Volume,
    model: Model,
    spec: EnhanceSpec,
    network: Any,
    batch: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[torch.Tensor, Grid, tuple[str, ...]]:
    """On the network's grid, and from there back in the source's order of axes."""
    import torch

    check_modality(volume, model)
    with stage("preprocessing"):
        seen = model_grid(volume.grid, model.volume_input)
        plain = prepare(volume, replace(model.volume_input, intensity=()), seen)
        image = prepare(volume, model.volume_input, seen) if model.volume_input.intensity else plain
    x, y, z = spec.scale
    with stage("inference"):
        result, notes = in_smaller_windows(
            model,
            image.shape[1:],
            lambda one: _swept(image, one, network, batch or model.inference.batch, spec.scale, progress),
        )
    if spec.residual:
        result = result + image[0]
    if spec.restore:
        with stage("postprocessing"):
            result = _undone(result, plain, model.volume_input.intensity)
    found = _finer(seen, spec.scale) if max(spec.scale) > 1 else seen
    made = result.permute(2, 1, 0).contiguous().to(torch.float32)
    target = volume.grid if max(spec.scale) == 1 else _finer(volume.grid, _reordered(volume.grid, seen, (x, y, z)))
    if found.same_as(target):
        return made, volume.grid if max(spec.scale) == 1 else target, notes
    with stage("back-resampling"):
        made, found = _to_the_faces(made, found, target, uncut_axes(volume.grid, model.volume_input))
        moved = resample(as_array(made, volume.array), found.matrix_from(target), target.shape, order=1)
    return as_tensor(moved), volume.grid if max(spec.scale) == 1 else target, notes


def _to_the_faces(values: torch.Tensor, grid: Grid, target: Grid, uncut: Sequence[bool]) -> tuple[torch.Tensor, Grid]:
    """Values ``[k, j, i]`` with their outermost planes repeated up to the outer faces of the target.

    Only along axes (i, j, k) of which the network saw all: where the spacing does not divide the extent, its last voxel
    stands for the rest.
    """
    import torch

    sides = [
        [max(0, math.ceil(far - 0.5 - EDGE)) for far in pair] if whole else [0, 0]
        for pair, whole in zip(reach(target, grid, uncut), uncut, strict=True)
    ]
    if not any(map(any, sides)):
        return values, grid
    wider = torch.nn.functional.pad(values[None, None], [n for pair in sides for n in pair], mode="replicate")[0, 0]
    first = [-pair[0] for pair in reversed(sides)]
    return wider.contiguous(), grid.crop(first, (wider.shape[0], wider.shape[1], wider.shape[2]))


def _reordered(source: Grid, seen: Grid, scale: tuple[int, int, int]) -> tuple[int, int, int]:
    """The network's scale along the source's own axes."""
    order = [next(n for n, c in enumerate(seen.codes) if c in pair) for pair in _pairs(source.codes)]
    return scale[order[0]], scale[order[1]], scale[order[2]]


def _pairs(codes: str) -> list[str]:
    return [next(pair for pair in ("LR", "AP", "SI") if code in pair) for code in codes]


def _swept(
    image: torch.Tensor,
    model: Model,
    network: Any,
    batch: int,
    scale: Sequence[int],
    progress: Callable[[int, int], None] | None,
) -> torch.Tensor:
    """The network's image ``[x, y, z]``, `scale` times as fine, window by window; where they overlap their mean."""
    import torch

    size = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    inference = model.inference
    layout = Layout.plan(size, window_of(network, model, size), inference.overlap)
    fine = [n * f for n, f in zip(layout.patch, scale, strict=True)]
    weight = importance(fine, inference.blend, image.device)
    sums = torch.zeros([n * f for n, f in zip(size, scale, strict=True)], device=image.device)
    weights = torch.zeros_like(sums)
    step, done = network.batch or batch, 0
    waiting: list[tuple[tuple[int, int, int], torch.Tensor]] = []
    for corner, window in cut_windows(image, layout):
        waiting.append((corner, window))
        done += 1
        if len(waiting) < step and done < layout.count:
            continue
        given = torch.stack([one for _, one in waiting])
        if network.batch and len(waiting) < step:
            given = torch.cat([given, given[-1:].expand(step - len(waiting), *given.shape[1:])])
        for (first, _), output in zip(waiting, _grey(network(given), fine, model), strict=False):
            # a window that is larger than the image reaches beyond it
            place = [slice(max(0, c) * f, min(n, c + p) * f) for c, p, n, f in _sides(first, layout, scale)]
            inner = [slice(max(0, -c) * f, (min(n, c + p) - c) * f) for c, p, n, f in _sides(first, layout, scale)]
            part = weight[tuple(inner)]
            sums[tuple(place)] += output[tuple(inner)].to(torch.float32) * part
            weights[tuple(place)] += part
        waiting = []
        if progress is not None:
            progress(done, layout.count)
    return sums / weights


def _sides(corner: Sequence[int], layout: Layout, scale: Sequence[int]) -> list[tuple[int, int, int, int]]:
    return list(zip(corner, layout.patch, layout.size, scale, strict=True))
