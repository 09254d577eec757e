"""A network that labels bright voxels, and what it must find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom

LIVER = {
    "value": 1,
    "name": "Liver",
    "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
    "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
}


def describe(weights: Path, **changes: object) -> None:
    """A description beside the weights: label 1 where channel 1 wins."""
    content = {
        "schema_version": 1,
        "name": "bright",
        "version": "1",
        "task": "segment",
        "weights": weights.name,
        "input": {"channels": 1},
        "output": {"activation": "softmax", "labels": [LIVER]},
        **changes,
    }
    weights.with_suffix(".json").write_text(json.dumps(content))


def bright_network(threshold: float) -> Any:
    """A 1x1x1 convolution whose channel 1 beats channel 0 above the threshold."""
    import torch

    network = torch.nn.Conv3d(1, 2, 1)
    with torch.no_grad():
        network.weight[:] = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1, 1)
        network.bias[:] = torch.tensor([0.0, -threshold])
    return network


def above(image: Path, threshold: float) -> np.ndarray:
    """Where the image's rescaled values exceed the threshold, by pydicom alone."""
    dataset = pydicom.dcmread(image)
    values = dataset.pixel_array * float(dataset.get("RescaleSlope", 1)) + float(dataset.get("RescaleIntercept", 0))
    return np.asarray(values > threshold)
