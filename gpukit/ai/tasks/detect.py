"""Detecting: boxes with a class and a score, in pixels and in the patient."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import product
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.ai.inference.out_of_memory import Frugal, in_smaller_windows
from gpukit.ai.inference.patches import cut_windows, window_of
from gpukit.ai.inference.sliding_window import Layout
from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import Class, DetectSpec
from gpukit.ai.registry.find import find_model
from gpukit.ai.runtimes import choose, formats_of
from gpukit.ai.tasks.boxes import answers, suppress
from gpukit.ai.tasks.segment import one_image
from gpukit.ai.transforms.image_input import Pictures, check_modality
from gpukit.ai.transforms.tensors import require, torch_device
from gpukit.ai.transforms.volume_input import model_grid, prepare
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.profiling import in_stage, stage
from gpukit.volume import SourceInstance, Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Detection", "Detections", "detect"]

_TOGETHER = 8  # pictures, where neither the user nor the description says it


@dataclass(frozen=True, kw_only=True)
class Detection:
    """One box.

    Parameters
    ----------
    name : str
        Of the class.
    score : float
        0 to 1.
    box : tuple of float
        In a slice ``(x0, y0, x1, y1)``, columns and rows; in a volume ``(i0, j0, k0, i1, j1, k1)``. Edges, in
        coordinates whose 0 is the *centre* of the first pixel.
    patient : tuple of float or None
        Lowest and highest x, y and z of its corners, LPS mm; None for an image without a place in the patient.
    index, phase : int or None
        Slice and phase; None for a box in a volume.
    source : SourceInstance or None
        The instance or frame that it is on.
    code : (str, str, str) or None
        Of the finding.
    """

    name: str
    score: float
    box: tuple[float, ...]
    patient: tuple[float, ...] | None = None
    index: int | None = None
    phase: int | None = None
    source: SourceInstance | None = None
    code: tuple[str, str, str] | None = None


@dataclass(frozen=True, kw_only=True)
class Detections:
    """All boxes of one image, by slice and falling score.

    Parameters
    ----------
    boxes : tuple of Detection
        What was found; empty where nothing was.
    grid : Grid
        That voxel coordinates belong to: the image's own, or for ``plane`` other than stored the turned one.
    model : mapping
        ``name``, ``version`` and ``digest``.
    confidence, iou : float
        The limits that were used.
    sources : tuple of SourceInstance
        The image's.
    notes : tuple of str
        What is to be known of how they were made, such as that memory was short.
    classes : tuple of Class
        What was looked for.
    """

    boxes: tuple[Detection, ...]
    grid: Grid
    model: dict[str, str]
    confidence: float
    iou: float
    sources: tuple[SourceInstance, ...] = field(default=())
    notes: tuple[str, ...] = ()
    classes: tuple[Class, ...] = ()


def detect(
    volume: Volume,
    model: str | PathLike[str] | Model,
    *,
    device: str | None = None,
    runtime: str | None = None,
    precision: str = "auto",
    confidence: float | None = None,
    iou: float | None = None,
    batch: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Detections:
    """Boxes around what a model finds.

    Parameters
    ----------
    volume : Volume
        A picture, a series or a volume, on the device where the network is to run.
    model, device, runtime, precision
        As for `gpukit.segment`.
    confidence : float, optional
        Least score that is kept; the model's own by default.
    iou : float, optional
        Of two boxes of one class that overlap by more than this share (intersection over union), the one with the lower
        score is dropped; the model's own by default.
    batch : int, optional
        Pictures or windows run together; by default what the model's description says, else 8 pictures or 1 window.
    progress : callable, optional
        Called as ``progress(done, total)``, pictures or windows.

    Returns
    -------
    Detections
        Cut off at the borders of the image; boxes wholly outside are dropped. A model over volumes with a declared
        patch is moved over the volume, and the boxes of all windows are suppressed together.

    Raises
    ------
    ModelError
        The model cannot be used, is for another task or modality, or gives no boxes that can be read.
    InputError
        An argument is out of its domain.
    """
    named = model if isinstance(model, Model) else find_model(model, formats=formats_of(runtime))
    described = named.for_task("detect")
    spec = described.output
    assert isinstance(spec, DetectSpec)
    least = spec.confidence if confidence is None else confidence
    most = spec.iou if iou is None else iou
    for name, value in (("confidence", least), ("iou", most)):
        if not 0.0 <= value <= 1.0:
            raise InputError(f"{name} must be from 0 to 1, not {value:g}", attribute=name)
    if batch is not None and batch < 1:
        raise InputError(f"the batch must be at least 1, not {batch}", attribute="batch")
    require("torch", "monai")
    volume = volume if device is None else volume.to(device)
    digest = described.digest
    import torch

    with torch.inference_mode():
        with stage("loading the network"):
            loaded = choose(described, runtime).load(described, torch_device(volume.array), precision)
        network = Frugal(loaded, described)
        together = batch or described.inference.pictures
        less: tuple[str, ...] = ()
        if described.dimensions == 3:
            found, grid, less = _in_volume(volume, described, spec, network, least, most, batch, progress)
        else:
            found, grid = _in_slices(volume, described, spec, network, least, most, together or _TOGETHER, progress)
    identity = {"name": described.name, "version": described.version, "digest": digest}
    return Detections(
        boxes=tuple(found), grid=grid, model=identity, confidence=least, iou=most, sources=volume.sources,
        classes=spec.classes, notes=(*described.notes, *less, *network.notes),
    )  # fmt: skip


def _in_slices(
    volume: Volume,
    model: Model,
    spec: DetectSpec,
    network: Frugal,
    least: float,
    most: float,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Detection], Grid]:
    pictures = Pictures(volume, model)
    grid, placement = pictures.volume.grid, pictures.placement
    _, rows, columns = grid.shape
    placed = volume.geometry.position
    found: list[Detection] = []
    several = _Several(network, model, batch)
    start = 0
    while start < len(pictures):
        numbers = list(range(start, min(len(pictures), start + several.step)))
        given = pictures.batch(numbers)
        height, width = given.shape[1:3] if pictures.spec.layout == "channels-last" else given.shape[2:4]
        with stage("inference"):
            each = several(given)
        for n, (boxes, scores, labels) in zip(numbers, each, strict=True):
            if spec.normalized:
                boxes = boxes * boxes.new_tensor([width, height, width, height])
            k, phase = pictures.slice_of(n)
            for corners, score, label in _kept(boxes, scores, labels, least, most):
                x0, y0, x1, y1 = corners
                # a detector counts edges from the corner of the first pixel, gpukit from its centre
                left, top = placement.to_slice(x0 - 0.5, y0 - 0.5)
                right, bottom = placement.to_slice(x1 - 0.5, y1 - 0.5)
                box = _clipped((left, top, right, bottom), (columns, rows))
                if box is None:
                    continue
                one = spec.classes[label]
                found.append(
                    Detection(
                        name=one.name,
                        score=score,
                        box=box,
                        code=one.code,
                        index=k,
                        phase=phase,
                        patient=_patient(grid, (box[0], box[1], k), (box[2], box[3], k)) if placed else None,
                        source=pictures.source(n),
                    )
                )
        start += len(numbers)
        if progress is not None:
            progress(start, len(pictures))
    return found, grid


class _Several:
    """A detector that is asked for several pictures at a time, as far as its graph and its kind of answer allow."""

    def __init__(self, network: Frugal, model: Model, batch: int) -> None:
        self._network, self._model = network, model
        self.step: int = network.batch or batch

    def __call__(self, given: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Boxes, scores and class numbers of each picture ``[n, ...]``."""
        import torch

        count = len(given)
        fixed = self._network.batch
        if fixed is not None and count < fixed:
            given = torch.cat([given, given[-1:].expand(fixed - count, *given.shape[1:])])
        output = self._network(given)
        if fixed is None and count > 1 and _is_of_one(output):
            self.step = 1  # boxes, scores and labels as three tensors are those of one picture
            return [answers(self._network(given[n : n + 1]), 1, self._model)[0] for n in range(count)]
        return answers(output, len(given), self._model)[:count]


def _is_of_one(output: Any) -> bool:
    import torch

    return isinstance(output, (list, tuple)) and len(output) == 3 and isinstance(output[0], torch.Tensor)


@in_stage("postprocessing")
def _kept(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, least: float, most: float
) -> list[tuple[list[float], float, int]]:
    """Corners, score and class of the boxes that stay.

    Those that score enough leave the device, in one piece: to drop the weaker of each pair is a step after the other,
    and on a device the host would wait for each.
    """
    import torch

    strong = torch.nonzero(scores >= least)[:, 0]
    if not len(strong):
        return []
    columns = [boxes[strong], scores[strong][:, None], labels[strong][:, None]]
    few = torch.cat([column.to(torch.float64) for column in columns], dim=1).to("cpu")
    corners, chances, kinds = few[:, :-2].to(boxes.dtype), few[:, -2].to(scores.dtype), few[:, -1].to(torch.int64)
    stays = suppress(corners, chances, kinds, most)
    chosen = (corners[stays].tolist(), chances[stays].tolist(), kinds[stays].tolist())
    return [(list(c), float(s), int(k)) for c, s, k in zip(*chosen, strict=True)]


def _clipped(box: tuple[float, ...], sizes: tuple[int, ...]) -> tuple[float, ...] | None:
    """The box cut off at the image's outer edges; None where nothing is left."""
    d = len(sizes)
    low = [max(-0.5, v) for v in box[:d]]
    high = [min(n - 0.5, v) for v, n in zip(box[d:], sizes, strict=True)]
    return (*low, *high) if all(a < b for a, b in zip(low, high, strict=True)) else None


def _patient(grid: Grid, low: tuple[float, ...], high: tuple[float, ...]) -> tuple[float, ...]:
    """Lowest and highest LPS mm of a box's corners."""
    corners = grid.to_world(list(product(*zip(low, high, strict=True))))
    return (*map(float, corners.min(axis=0)), *map(float, corners.max(axis=0)))


def _in_volume(
    volume: Volume,
    model: Model,
    spec: DetectSpec,
    network: Frugal,
    least: float,
    most: float,
    batch: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[list[Detection], Grid, tuple[str, ...]]:
    check_modality(volume, model)
    with stage("preprocessing"):
        volume = one_image(volume, model, None)
        seen = model_grid(volume.grid, model.volume_input)
        image = prepare(volume, model.volume_input, seen)
    with stage("inference"):
        (boxes, scores, labels), notes = in_smaller_windows(
            model,
            image.shape[1:],
            lambda one: _swept(image, one, spec, network, batch or model.inference.batch, progress),
        )
    to_source, placed = volume.grid.matrix_from(seen), volume.geometry.position
    found = []
    for found_at, score, label in _kept(boxes, scores, labels, least, most):
        edges = np.array(found_at) - 0.5
        corners = np.array(list(product(*zip(edges[:3], edges[3:], strict=True))))
        inside = corners @ to_source[:3, :3].T + to_source[:3, 3]
        box = _clipped((*inside.min(axis=0), *inside.max(axis=0)), volume.grid.shape[::-1])
        if box is None:
            continue
        one = spec.classes[label]
        patient = seen.to_world(corners)
        found.append(
            Detection(
                name=one.name,
                score=score,
                box=tuple(map(float, box)),
                code=one.code,
                patient=(*map(float, patient.min(axis=0)), *map(float, patient.max(axis=0))) if placed else None,
            )
        )
    return found, volume.grid, notes


def _swept(
    image: torch.Tensor,
    model: Model,
    spec: DetectSpec,
    network: Frugal,
    batch: int,
    progress: Callable[[int, int], None] | None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Boxes, scores and class numbers of an image ``[c, x, y, z]``, of all windows together."""
    import torch

    size = (int(image.shape[1]), int(image.shape[2]), int(image.shape[3]))
    layout = Layout.plan(size, window_of(network, model, size), model.inference.overlap)
    several = _Several(network, model, batch)
    parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
    corners, waiting = [], []
    for corner, window in cut_windows(image, layout):
        corners.append(corner)
        waiting.append(window)
        if len(waiting) >= several.step or len(corners) == layout.count:
            parts += several(torch.stack(waiting))
            waiting = []
            if progress is not None:
                progress(len(corners), layout.count)
    moved = []
    for (boxes, _, _), corner in zip(parts, corners, strict=True):
        if spec.normalized:
            boxes = boxes * boxes.new_tensor([*layout.patch, *layout.patch])
        moved.append(boxes + boxes.new_tensor([*corner, *corner]))
    return torch.cat(moved), torch.cat([part[1] for part in parts]), torch.cat([part[2] for part in parts])
