"""Tool ``ai``: networks over volumes. Nothing heavy is imported until something runs."""

from __future__ import annotations

from gpukit.ai.model.description import Model
from gpukit.ai.registry.find import find_model
from gpukit.ai.samples import sample_names
from gpukit.ai.tasks.classify import classify
from gpukit.ai.tasks.detect import detect
from gpukit.ai.tasks.enhance import enhance
from gpukit.ai.tasks.report import report
from gpukit.ai.tasks.segment import segment

__all__ = ["Model", "classify", "detect", "enhance", "find_model", "report", "sample_names", "segment"]
