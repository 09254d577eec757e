"""Which of a model's formats this machine runs best."""

from __future__ import annotations

import platform
import sys
from collections.abc import Collection, Sequence

from gpukit.ai.registry.manifest import Entry, Variant
from gpukit.ai.runtimes import runtimes
from gpukit.errors import DependencyError
from gpukit.extras import missing_package

__all__ = ["best_variant", "ranking"]

#: Formats from the quickest to the slowest, by kind of device. On processors a graph goes through ONNX Runtime, or on
#: those of Intel and AMD OpenVINO, which beat eager torch (docs/ai-runtimes.md); on NVIDIA torch and ONNX Runtime are
#: close, and torch needs no copy.
_ORDER = {
    "mac": ("coreml", "torch-export", "torchscript", "state-dict", "monai-bundle", "nnunet", "onnx"),
    "cuda": ("torch-export", "torchscript", "state-dict", "monai-bundle", "nnunet", "onnx"),
    "intel": ("openvino", "onnx", "torch-export", "torchscript", "state-dict", "monai-bundle", "nnunet"),
    "cpu": ("onnx", "torch-export", "torchscript", "state-dict", "monai-bundle", "nnunet"),
}


def ranking(device: str | None = None) -> tuple[str, ...]:
    """Formats in the order in which they are tried on a device; None is the one that would be taken."""
    if sys.platform == "darwin" and device in (None, "auto", "mps"):
        return _ORDER["mac"]
    from gpukit.device import resolve

    name = resolve(device)[1]
    if name.startswith("cuda"):
        return _ORDER["cuda"]
    return _ORDER["intel"] if platform.machine().lower() in ("x86_64", "amd64") else _ORDER["cpu"]


def best_variant(entry: Entry, order: Sequence[str] | None = None, *, among: Collection[str] | None = None) -> Variant:
    """The first variant, in the order of `ranking`, for whose format a usable runtime is installed.

    Variants of the formats `among` go before all others.

    Raises
    ------
    DependencyError
        There is none; says what the model's formats are.
    """
    formats = tuple(order) if order is not None else ranking()
    runnable = {form for runtime in runtimes() if runtime.available().usable for form in runtime.formats}
    known = [variant for variant in entry.variants if variant.format in runnable]
    if not known and all(variant.format == "coreml" for variant in entry.variants):
        raise DependencyError(
            f"{entry.id} is in the store as a Core ML model only, and Core ML runs on macOS only",
            fix="add the same network in another format to it: gpukit ai models add NETWORK.onnx "
            f"--name {entry.name} --version {entry.version}",
        )  # fmt: skip
    if not known:
        listed = ", ".join(variant.format for variant in entry.variants)
        raise missing_package(f"no runtime installed here runs {entry.id}, whose formats are {listed}", "ai", "onnx")
    known = [variant for variant in known if among is not None and variant.format in among] or known
    return min(known, key=lambda v: formats.index(v.format) if v.format in formats else len(formats))
