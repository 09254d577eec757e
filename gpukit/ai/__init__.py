"""Tool ``ai``: networks over volumes. Nothing heavy is imported until something runs."""

from __future__ import annotations

from gpukit.ai.description import Model
from gpukit.ai.model import find_model, sample_names
from gpukit.ai.segmentation import segment

__all__ = ["Model", "find_model", "sample_names", "segment"]
