"""Models that come with gpukit, each a folder with its description, weights, card and training script."""

from __future__ import annotations

from pathlib import Path

__all__ = ["DESCRIPTION", "SAMPLES", "sample_names"]

#: Folder of the models.
SAMPLES = Path(__file__).parent
#: File name of a model's description.
DESCRIPTION = "model.json"


def sample_names() -> tuple[str, ...]:
    """Names of the models that come with gpukit."""
    return tuple(sorted(file.parent.name.replace("_", "-") for file in SAMPLES.glob(f"*/{DESCRIPTION}")))
