"""Boxes: their overlap, the suppression of weaker ones, and what a detector's tensors mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpukit.ai.inference.out_of_memory import not_finite
from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import DetectSpec
from gpukit.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["answers", "iou", "suppress"]

#: A detector that gives more boxes for one picture than this is taken for one that gives something else.
_MOST_BOXES = 1_000_000
#: Scores of 0 to 1 may miss these ends by this much, since float16 networks round.
_NO_SCORE = 1e-3


def iou(boxes: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Intersection over union ``[n, m]`` of boxes ``[n, 2 d]`` and ``[m, 2 d]``, lower corners first; 2D or 3D."""
    import torch

    d = boxes.shape[1] // 2
    low = torch.maximum(boxes[:, None, :d], other[None, :, :d])
    high = torch.minimum(boxes[:, None, d:], other[None, :, d:])
    common = (high - low).clamp(min=0).prod(dim=2)
    sizes = [(b[:, d:] - b[:, :d]).prod(dim=1) for b in (boxes, other)]
    return common / (sizes[0][:, None] + sizes[1][None, :] - common).clamp(min=1e-12)


def suppress(boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, limit: float) -> torch.Tensor:
    """Indices of the boxes that stay, by falling score.

    Of two boxes of one class whose overlap (`iou`) is greater than `limit` the one with the lower score is dropped; of
    equal scores the later one. The greedy definition of `torchvision.ops.batched_nms`, for boxes of any dimension.
    """
    import torch

    order = torch.argsort(scores, descending=True, stable=True)
    kept: list[int] = []
    alive = torch.ones(len(order), dtype=torch.bool, device=boxes.device)
    for place, index in enumerate(order.tolist()):
        if not bool(alive[place]):
            continue
        kept.append(index)
        rest = order[place + 1 :]
        if len(rest) == 0:
            break
        overlap = iou(boxes[index][None], boxes[rest])[0]
        alive[place + 1 :] &= ~((overlap > limit) & (labels[rest] == labels[index]))
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def answers(output: Any, count: int, model: Model) -> list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Boxes ``[n, 2 d]``, scores ``[n]`` and class numbers ``[n]`` from 0, of each picture of a batch.

    Understood are torchvision's list of ``{"boxes", "scores", "labels"}``, a tuple of three tensors (told apart by rank
    and number type) for a batch of one, and one tensor ``[n, boxes, 2 d + classes]`` (or without the first axis).
    """
    import torch

    spec = model.output
    assert isinstance(spec, DetectSpec)
    if isinstance(output, dict):
        output = [output]
    single = isinstance(output, torch.Tensor)
    if single:
        found = [_of_tensor(one, spec, model) for one in (output if output.ndim == 3 else output[None])]
    elif isinstance(output, (list, tuple)) and output and all(isinstance(one, dict) for one in output):
        found = [_of_dict(one, model) for one in output]
    elif isinstance(output, (list, tuple)) and len(output) == 3 and count == 1:
        found = [_of_three(output, model)]
    elif isinstance(output, (list, tuple)) and len(output) == 1:
        return answers(output[0], count, model)
    else:
        raise _no_boxes(model, f"{type(output).__name__} for {count} pictures")
    if len(found) != count:
        raise _no_boxes(model, f"answers for {len(found)} pictures, and {count} were given")
    if not single and spec.activation == "softmax":
        raise ModelError(
            "the network gives one score a box, and softmax is for one of each class", file=model.file,
            attribute="$.output.activation", fix="say none or sigmoid",
        )  # fmt: skip
    if not single and spec.activation == "sigmoid":
        found = [(boxes, torch.sigmoid(scores.to(torch.float32)), labels) for boxes, scores, labels in found]
    return [_checked(*one, spec=spec, model=model) for one in found]


def _of_tensor(values: torch.Tensor, spec: DetectSpec, model: Model) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    d = 2 * model.dimensions
    background = 1 if spec.first_label == 1 else 0
    if values.ndim != 2 or values.shape[1] != d + len(spec.classes) + background:
        raise _no_boxes(
            model, f"a tensor of shape {tuple(values.shape)}, and {d} + {len(spec.classes) + background} numbers a box "
            "are expected"
        )  # fmt: skip
    scores = values[:, d:]
    if spec.activation == "softmax":
        scores = torch.softmax(scores, dim=1)
    elif spec.activation == "sigmoid":
        scores = torch.sigmoid(scores)
    best, which = scores[:, background:].max(dim=1)
    return values[:, :d], best, which + spec.first_label


def _of_dict(given: dict[str, torch.Tensor], model: Model) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    boxes = given.get("boxes", given.get("box"))
    scores = given.get("scores", given.get("label_scores"))
    labels = given.get("labels", given.get("label"))
    if boxes is None or scores is None or labels is None:
        raise _no_boxes(model, f"a dictionary of {', '.join(sorted(given))}, without boxes, scores and labels")
    return boxes, scores, labels


def _of_three(given: Any, model: Model) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    flat = [
        t[0] if t.ndim and t.shape[0] == 1 and t.ndim > 1 and t.shape[-1] != 2 * model.dimensions else t for t in given
    ]
    boxes = [t[0] if t.ndim == 3 else t for t in given if t.ndim >= 2 and t.shape[-1] == 2 * model.dimensions]
    rest = [t for t in flat if not (t.ndim >= 2 and t.shape[-1] == 2 * model.dimensions)]
    scores = [t for t in rest if t.is_floating_point()]
    labels = [t for t in rest if not t.is_floating_point()]
    if len(boxes) != 1 or len(scores) != 1 or len(labels) != 1:
        raise _no_boxes(model, f"tensors of the shapes {[tuple(t.shape) for t in given]}")
    return boxes[0], scores[0].reshape(-1), labels[0].reshape(-1)


def _checked(
    boxes: torch.Tensor, scores: torch.Tensor, labels: torch.Tensor, *, spec: DetectSpec, model: Model
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    import torch

    d = model.dimensions
    boxes = boxes.reshape(-1, 2 * d).to(torch.float32)
    scores, labels = scores.reshape(-1).to(torch.float32), labels.reshape(-1).to(torch.int64) - spec.first_label
    if not len(boxes) == len(scores) == len(labels) or len(boxes) > _MOST_BOXES:
        raise _no_boxes(model, f"{len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels")
    if not (bool(torch.isfinite(boxes).all()) and bool(torch.isfinite(scores).all())):
        raise not_finite(model)
    if len(labels) and (int(labels.min()) < 0 or int(labels.max()) >= len(spec.classes)):
        raise ModelError(
            f"the network gives labels up to {int(labels.max()) + spec.first_label}, and the description names "
            f"{len(spec.classes)} classes", file=model.file, attribute="$.output.classes",
        )  # fmt: skip
    if len(scores) and not (float(scores.min()) >= -_NO_SCORE and float(scores.max()) <= 1 + _NO_SCORE):
        raise ModelError(
            f"the network gives scores from {float(scores.min()):.3g} to {float(scores.max()):.3g}, which are no "
            "probabilities", file=model.file, attribute="$.output.activation", fix="say sigmoid, or softmax",
        )  # fmt: skip
    first, second = boxes[:, :d], boxes[:, d:]
    if spec.boxes == "xywh":
        boxes = torch.cat([first, first + second], dim=1)
    elif spec.boxes == "cxcywh":
        boxes = torch.cat([first - second / 2, first + second / 2], dim=1)
    return boxes, scores, labels


def _no_boxes(model: Model, what: str) -> ModelError:
    return ModelError(
        f"the network gives no boxes that can be read: {what}", file=model.file, attribute="$.output",
        fix="see docs/ai.md for what a detector may give",
    )  # fmt: skip
