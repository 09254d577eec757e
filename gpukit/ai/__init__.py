"""Tool ``ai``: networks over volumes. Nothing heavy is imported until something runs."""

from __future__ import annotations

import os

from gpukit.ai.model.description import Model
from gpukit.ai.registry.find import find_model
from gpukit.ai.samples import sample_names
from gpukit.ai.tasks.classify import classify
from gpukit.ai.tasks.detect import detect
from gpukit.ai.tasks.enhance import enhance
from gpukit.ai.tasks.report import report
from gpukit.ai.tasks.segment import segment

#: Libraries that report their use to their makers ask these variables, some of them while they are imported. ONNX
#: Runtime's Linux packages keep a device's number in the home and ask a server from 1.32 on.
_SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}
for _variable, _value in _SILENT.items():
    os.environ.setdefault(_variable, _value)

__all__ = ["Model", "classify", "detect", "enhance", "find_model", "report", "sample_names", "segment"]
