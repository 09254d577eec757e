"""ONNX graphs through ONNX Runtime, by the execution provider of the device or by the one that is named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import Availability
from gpukit.errors import DeviceError, InputError, ModelError
from gpukit.extras import install_command
from gpukit_backends.runtimes.graph_tensors import Patch, check_outputs, fixed_sizes
from gpukit_backends.runtimes.tensorrt_cache import engine_folder

#: Kind of device -> the provider that serves it.
_BY_DEVICE = {"cpu": "cpu", "cuda": "cuda", "mps": "coreml"}
#: Provider -> (ONNX Runtime's name for it, the kind of device where its tensors lie, what to do where it is missing).
_PROVIDERS = {
    "cpu": ("CPUExecutionProvider", "cpu", "use the runtime onnx, which chooses by the device"),
    "cuda": ("CUDAExecutionProvider", "cuda", "replace onnxruntime by onnxruntime-gpu, or use the device cpu"),
    "tensorrt": (
        "TensorrtExecutionProvider", "cuda",
        "replace onnxruntime by onnxruntime-gpu and install TensorRT, or use the runtime onnx-cuda",
    ),
    "coreml": ("CoreMLExecutionProvider", "mps", "use it on a Mac, or the runtime onnx-cpu"),
}  # fmt: skip
#: How ONNX Runtime says that memory is short, in the text of errors of many kinds.
_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "bad allocation")
_TITLES = {"cpu": "the CPU", "cuda": "CUDA", "tensorrt": "TensorRT", "coreml": "Core ML"}


class OnnxRuntime:
    """Runs the format ``onnx``.

    Parameters
    ----------
    provider : str, optional
        ``cpu``, ``cuda``, ``tensorrt`` or ``coreml``; by default the one of the device: CUDA on NVIDIA, Core ML on a
        Mac's GPU, else the CPU. TensorRT builds an engine for every size of window first, which takes minutes, so it
        is used only where it is named.
    """

    formats = ("onnx",)

    def __init__(self, provider: str | None = None) -> None:
        self._provider = provider
        self.name = "onnx" if provider is None else f"onnx-{provider}"
        self.variants: tuple[OnnxRuntime, ...] = () if provider else tuple(OnnxRuntime(one) for one in _PROVIDERS)

    def available(self) -> Availability:
        """Whether exactly one of the packages that own the module ``onnxruntime`` is there, with the provider."""
        versions = {package: _version(package) for package in ("onnxruntime", "onnxruntime-gpu")}
        if all(versions.values()):
            return Availability(
                usable=False,
                reason="onnxruntime and onnxruntime-gpu are both installed, and each overwrites files of the other",
                install="uninstall both, then install one: pip uninstall -y onnxruntime onnxruntime-gpu && "
                "pip install onnxruntime-gpu",
            )
        if find_spec("onnxruntime") is None:
            extra = "onnx-gpu" if self._provider in ("cuda", "tensorrt") else "onnx"
            return Availability(
                usable=False,
                reason="onnxruntime is not installed",
                install=install_command(extra),
            )
        library = next((f"{package} {v}" for package, v in versions.items() if v), "onnxruntime")
        lacks = (self._provider in ("cuda", "tensorrt") and versions["onnxruntime"] is not None) or (
            self._provider == "coreml" and sys.platform != "darwin"
        )
        if lacks:
            assert self._provider is not None
            return Availability(
                usable=False,
                reason=f"this ONNX Runtime cannot use {_TITLES[self._provider]}",
                install=_PROVIDERS[self._provider][2],
                library=library,
            )
        return Availability(usable=True, library=library)

    def load(self, model: Model, device: str, precision: str) -> OnnxNetwork:
        """Load the graph with the provider of the device, or the named one; never silently on another."""
        import onnxruntime

        if precision not in ("auto", "float32"):
            raise InputError(
                f"ONNX Runtime computes in the precision of the graph, not in {precision}",
                attribute="precision",
                fix="use auto, or export the graph in that precision",
            )
        kind, _, number = device.partition(":")
        chosen = self._provider or _BY_DEVICE.get(kind)
        if chosen is None:
            raise DeviceError(
                f"ONNX Runtime cannot use {device}", attribute="device", fix="use the device cpu, or a torch model"
            )
        full, place, cure = _PROVIDERS[chosen]
        if place != kind and not (chosen == "coreml" and kind == "cpu"):
            needed = "an NVIDIA device" if place == "cuda" else f"the device {place}"
            raise DeviceError(
                f"the runtime {self.name} needs {needed}, and the volume is on {device}",
                attribute="device", fix=f"say --device {place}, or use the runtime onnx",
            )  # fmt: skip
        if full not in onnxruntime.get_available_providers():
            raise DeviceError(f"this ONNX Runtime cannot use {_TITLES[chosen]}", attribute="device", fix=cure)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if chosen in ("cpu", "coreml"):
            options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
        where, why = engine_folder(model) if chosen == "tensorrt" else (None, "")
        providers = provider_options(chosen, kind, int(number or 0), precision, where)
        try:
            session = onnxruntime.InferenceSession(
                os.fspath(model.weights), options, providers=providers,
                enable_fallback=0,  # or it would print to standard output and go on with the CPU
            )  # fmt: skip
        except Exception as error:  # ONNX Runtime has no public error class that covers damaged graphs
            raise ModelError(f"ONNX Runtime cannot load the graph: {error}", file=model.weights) from error
        if full not in session.get_providers():
            raise DeviceError(f"ONNX Runtime did not start on {_TITLES[chosen]}", attribute="device", fix=cure)
        network = OnnxNetwork(session, model, chosen, int(number or 0))
        if chosen == "tensorrt":
            network.summary += f", engines kept in {where}" if where is not None else f", engines not kept: {why}"
        return network


def provider_options(
    provider: str, kind: str, number: int, precision: str = "auto", engines: Path | None = None
) -> list[Any]:
    """Providers in the order in which they take the operations of the graph, with their options.

    Parameters
    ----------
    provider : str
        ``cpu``, ``cuda``, ``tensorrt`` or ``coreml``.
    kind, number : str, int
        The volume's device.
    precision : str
        With ``float32`` NVIDIA's tensor cores may not round the inputs of convolutions to 10 bits (TF32).
    engines : Path, optional
        Where TensorRT keeps its engines, and the measurements that it chose their kernels by.
    """
    plain: tuple[str, dict[str, Any]] = ("CPUExecutionProvider", {})
    cuda: dict[str, Any] = {"device_id": number}
    if precision == "float32":
        cuda["use_tf32"] = 0
    if provider == "cuda":
        return [("CUDAExecutionProvider", cuda), plain]
    if provider == "tensorrt":
        tensorrt: dict[str, Any] = {"device_id": number, "trt_fp16_enable": False}
        if engines is not None:
            tensorrt |= {
                "trt_engine_cache_enable": True, "trt_engine_cache_path": str(engines),
                "trt_timing_cache_enable": True, "trt_timing_cache_path": str(engines),
            }  # fmt: skip
        # what TensorRT does not take stays on the device with CUDA
        return [("TensorrtExecutionProvider", tensorrt), ("CUDAExecutionProvider", cuda), plain]
    if provider == "coreml":
        units = "CPUOnly" if kind == "cpu" else "ALL"
        return [("CoreMLExecutionProvider", {"ModelFormat": "MLProgram", "MLComputeUnits": units}), plain]
    return [plain]


class OnnxNetwork:
    """A session with one input and one output, of a detector with several outputs."""

    def __init__(self, session: Any, model: Model, provider: str, number: int) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._every = model.task == "detect"
        check_outputs(len(inputs), len(outputs), model)
        self.batch: int | None
        self.patch: Patch
        self.batch, self.patch = fixed_sizes(list(inputs[0].shape), model)
        types = {"tensor(float)": "float32", "tensor(float16)": "float16"}
        if inputs[0].type not in types:
            raise ModelError(f"the graph's input must be float32 or float16, not {inputs[0].type}", file=model.weights)
        self._session, self._number, self._file = session, number, model.weights
        self._on_cuda = provider in ("cuda", "tensorrt")
        self._input, self._type = inputs[0].name, types[inputs[0].type]
        self._outputs = [output.name for output in outputs]
        self.summary = f"onnxruntime on {provider}, {self._type}"

    def __call__(self, batch: Any) -> Any:
        """Run the graph on main memory or CUDA memory as it lies there; Core ML takes and gives main memory."""
        import numpy as np
        import torch
        import torch.utils.dlpack

        patches = batch.contiguous().to(torch.float16 if self._type == "float16" else torch.float32)
        if not self._on_cuda:
            results = self._ran(self._session.run, self._outputs, {self._input: patches.cpu().numpy()})
            return self._answer([torch.from_numpy(np.asarray(result)).to(batch.device) for result in results])
        return self._bound(patches)

    def _bound(self, patches: Any) -> Any:
        """Run the graph on the tensor's own memory, on whatever device that is; nothing crosses."""
        import numpy as np
        import torch
        import torch.utils.dlpack

        kind = patches.device.type
        binding = self._session.io_binding()
        element = np.float16 if self._type == "float16" else np.float32
        if kind == "cuda":
            torch.cuda.current_stream(patches.device).synchronize()  # the session has its own stream
        binding.bind_input(self._input, kind, self._number, element, tuple(patches.shape), patches.data_ptr())
        for name in self._outputs:
            binding.bind_output(name, kind, self._number)
        self._ran(self._session.run_with_iobinding, binding)
        # The values' memory belongs to the binding, so they are copied on the device before the binding goes.
        return self._answer(
            [torch.utils.dlpack.from_dlpack(_capsule(value)).clone() for value in binding.get_outputs()]
        )

    def _ran(self, run: Callable[..., Any], *arguments: Any) -> Any:
        """What the session gives; its errors, which are of no class that anybody knows, as gpukit's or MemoryError."""
        try:
            return run(*arguments)
        except Exception as error:
            lines = [line for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
            if any(words in str(error).lower() for words in _MEMORY):
                raise MemoryError(lines[0]) from error
            raise ModelError(f"ONNX Runtime cannot run the graph: {lines[0][:300]}", file=self._file) from error

    def _answer(self, tensors: list[Any]) -> Any:
        """One tensor of float32, or all outputs of a detector."""
        import torch

        if self._every:
            return tuple(t.to(torch.float32) if t.is_floating_point() else t for t in tensors)
        return tensors[0].to(torch.float32)


def _capsule(value: Any) -> Any:
    """Return an output's memory for DLPack: of the value itself from 1.24 on, of what it wraps before."""
    return value if hasattr(value, "__dlpack__") else value._ortvalue.to_dlpack()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
