"""Small networks over pictures and for detectors, written in several formats."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

LIVER = {
    "value": 1, "name": "Liver", "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
    "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
}  # fmt: skip


TASKS: dict[str, dict[str, Any]] = {
    "segment": {"activation": "softmax", "labels": [LIVER]},
    "classify": {"activation": "softmax", "classes": ["no", "yes"]},
    "enhance": {},
    "detect": {"classes": ["Nodule"]},
}


class Small(torch.nn.Module):
    """A little of what networks over pictures are made of; channels last where asked."""

    def __init__(self, task: str, last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.task, self.last = task, last
        self.first = torch.nn.Conv2d(1, 6, 3, padding=1)
        self.norm = torch.nn.InstanceNorm2d(6)
        self.second = torch.nn.Conv2d(6, 1 if task == "enhance" else 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 3, 1, 2) if self.last else x
        y = self.second(torch.relu(self.norm(self.first(x))))
        if self.task == "classify":
            return y.mean((2, 3))
        return y.permute(0, 2, 3, 1) if self.last else y


class Boxes(torch.nn.Module):
    """Two boxes of fixed place whose scores follow from the picture."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        boxes = torch.tensor([[2.0, 3.0, 10.0, 12.0], [1.0, 1.0, 6.0, 5.0]]) + x.mean() * 0.0
        scores = torch.sigmoid(torch.stack([x.mean(), x.amax()]))
        return boxes, scores, torch.ones(2, dtype=torch.int64)


def write(folder: Path, form: str, task: str, network: torch.nn.Module, **given: Any) -> Path:
    """The network in a format with a description beside it."""
    folder.mkdir(exist_ok=True, parents=True)
    network = network.eval()
    last = given.get("layout") == "channels-last"
    example = torch.rand(1, 20, 24, 1) if last else torch.rand(1, 1, 20, 24)
    if form == "onnx":
        axes = {0: "n", 1: "y", 2: "x"} if last else {0: "n", 2: "y", 3: "x"}
        torch.onnx.export(
            network, (example,), str(folder / "m.onnx"), input_names=["image"], dynamo=False, opset_version=17,
            dynamic_axes={"image": axes},
        )  # fmt: skip
        weights = folder / "m.onnx"
    else:
        torch.jit.save(torch.jit.trace(network, example, check_trace=False), str(folder / "m.ts"))
        weights = folder / "m.ts"
    content = {
        "schema_version": 1, "name": "small", "version": "1", "task": task, "format": form, "weights": weights.name,
        "input": {"dimensions": 2, "channels": 1, "values": "window", **given}, "output": TASKS[task],
    }  # fmt: skip
    weights.with_suffix(".json").write_text(json.dumps(content))
    return weights
