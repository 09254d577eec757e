"""Tool ``ai``: networks over volumes. Nothing heavy is imported until something runs."""

from __future__ import annotations

from gpukit.ai.classification import classify
from gpukit.ai.description import Model
from gpukit.ai.detection import detect
from gpukit.ai.enhancement import enhance
from gpukit.ai.model import find_model, sample_names
from gpukit.ai.reporting import report
from gpukit.ai.segmentation import segment

__all__ = ["Model", "classify", "detect", "enhance", "find_model", "report", "sample_names", "segment"]
