"""Small models with random weights, written as files, for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ANATOMY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
UNET = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
}


def label(value: int, name: str = "Liver", code: str = "10200004") -> dict[str, Any]:
    return {
        "value": value,
        "name": f"{name} {value}",
        "category": ANATOMY,
        "type": {"value": code, "scheme": "SCT", "meaning": name},
        "color": [10 * value % 256, 20, 30],
    }


def description(**changes: Any) -> dict[str, Any]:
    """A valid description of the UNet above; a change of None removes the key."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "name": "tiny",
        "version": "0.1",
        "task": "segment",
        "format": "state-dict",
        "weights": "weights.safetensors",
        "network": UNET,
        "input": {"channels": 1, "modality": ["MR"], "orientation": "RAS", "spacing": [1.0, 1.0, 1.0]},
        "inference": {"patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian", "batch": 2},
        "output": {"activation": "softmax", "labels": [label(1), label(2)]},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def unet(seed: int = 0, **changes: Any) -> Any:
    """The network of `UNET` with random weights, in evaluation mode."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(seed)
    arguments = {key: value for key, value in {**UNET, **changes}.items() if key != "_target_"}
    return UNet(**arguments).eval()


def write_model(folder: Path, **changes: Any) -> Path:
    """A folder with ``model.json`` and ``weights.safetensors``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(unet().state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(description(**changes)))
    return folder
