"""A classifier over means of a picture, and its probabilities by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from gpukit.ai.model.description import Model, read_description


class Means(torch.nn.Module):
    """Logits: mean of the left half, of the right half, and of the lower quarter of the picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[3] // 2
        low = (3 * x.shape[2]) // 4
        parts = [x[:, :, :, :half], x[:, :, :, half:], x[:, :, low:, :]]
        return torch.stack([p.mean(dim=(1, 2, 3)) for p in parts], dim=1)


def made(folder: Path, network: torch.nn.Module | None = None, name: str = "means", **changes: Any) -> Model:
    folder.mkdir(exist_ok=True, parents=True)
    weights = folder / f"{name}.ts"
    torch.jit.script(network or Means()).save(str(weights))
    content: dict[str, Any] = {
        "schema_version": 1, "name": name, "version": "1", "task": "classify", "format": "torchscript",
        "weights": weights.name, "input": {"dimensions": 2, "channels": 1, "values": "rescaled"},
        "output": {"activation": "softmax", "classes": ["left", "right", "low"]},
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    (folder / f"{name}.json").write_text(json.dumps(content))
    return read_description(folder / f"{name}.json")


def named(result: Any) -> list[float]:
    chances = {p.name: p.probability for p in result.predictions}
    return [chances[name] for name in ("left", "right", "low")]
