"""ONNX graphs through ONNX Runtime: on the CPU, and on NVIDIA where its CUDA build is installed."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from gpukit.ai.description import Model
from gpukit.ai.runtimes import Availability
from gpukit.errors import DeviceError, InputError, ModelError


class OnnxRuntime:
    """Runs the format ``onnx``."""

    name = "onnx"
    formats = ("onnx",)

    def available(self) -> Availability:
        """Whether exactly one of the two packages that own the module ``onnxruntime`` is there."""
        versions = {package: _version(package) for package in ("onnxruntime", "onnxruntime-gpu")}
        if all(versions.values()):
            return Availability(
                usable=False,
                reason="onnxruntime and onnxruntime-gpu are both installed, and each overwrites files of the other",
                install="uninstall both, then install one: pip uninstall -y onnxruntime onnxruntime-gpu && "
                "pip install onnxruntime-gpu",
            )
        if find_spec("onnxruntime") is None:
            return Availability(
                usable=False, reason="onnxruntime is not installed", install="install it: pip install 'gpukit[onnx]'"
            )
        found = next((f"{package} {v}" for package, v in versions.items() if v), "onnxruntime")
        return Availability(usable=True, library=found)

    def load(self, model: Model, device: str, precision: str) -> OnnxNetwork:
        """Load the graph; on CUDA through the CUDA provider only, never silently on the CPU."""
        import onnxruntime

        if precision not in ("auto", "float32"):
            raise InputError(
                f"ONNX Runtime computes in the precision of the graph, not in {precision}",
                attribute="precision",
                fix="use auto, or export the graph in that precision",
            )
        kind, _, number = device.partition(":")
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        providers: list[Any]
        if kind == "cpu":
            options.intra_op_num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
            providers = ["CPUExecutionProvider"]
        elif kind == "cuda":
            if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
                raise DeviceError(
                    "this ONNX Runtime cannot use CUDA",
                    attribute="device",
                    fix="replace onnxruntime by onnxruntime-gpu, or use the device cpu",
                )
            providers = [("CUDAExecutionProvider", {"device_id": int(number or 0)})]
        else:
            raise DeviceError(
                f"ONNX Runtime cannot use {device}", attribute="device", fix="use the device cpu, or a torch model"
            )
        try:
            session = onnxruntime.InferenceSession(os.fspath(model.weights), options, providers=providers)
        except Exception as error:  # ONNX Runtime has no public error class that covers damaged graphs
            raise ModelError(f"ONNX Runtime cannot load the graph: {error}", file=model.weights) from error
        if kind == "cuda" and "CUDAExecutionProvider" not in session.get_providers():
            raise DeviceError("ONNX Runtime did not start on CUDA", attribute="device", fix="use the device cpu")
        return OnnxNetwork(session, model, kind, int(number or 0))


class OnnxNetwork:
    """A session with one input and one output."""

    def __init__(self, session: Any, model: Model, kind: str, number: int) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1:
            raise ModelError(
                f"the graph has {len(inputs)} inputs and {len(outputs)} outputs, and one of each is needed",
                file=model.weights,
            )
        shape = inputs[0].shape
        if len(shape) != 5:
            raise ModelError(f"the graph's input must be [n, c, x, y, z], not {shape}", file=model.weights)
        types = {"tensor(float)": "float32", "tensor(float16)": "float16"}
        if inputs[0].type not in types:
            raise ModelError(f"the graph's input must be float32 or float16, not {inputs[0].type}", file=model.weights)
        if isinstance(shape[1], int) and shape[1] != model.input.channels:
            raise ModelError(
                f"the graph takes {shape[1]} channels, and the description says {model.input.channels}",
                file=model.file,
                attribute="$.input.channels",
            )
        x, y, z = (n if isinstance(n, int) and n > 0 else None for n in shape[2:])
        self.patch: tuple[int | None, int | None, int | None] = (x, y, z)
        self.batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self._session, self._kind, self._number = session, kind, number
        self._input, self._output, self._type = inputs[0].name, outputs[0].name, types[inputs[0].type]
        self.summary = f"onnxruntime on {kind}, {self._type}"

    def __call__(self, batch: Any) -> Any:
        """Run the graph on main memory or CUDA memory as it lies there."""
        import numpy as np
        import torch
        import torch.utils.dlpack

        given = batch.contiguous().to(torch.float16 if self._type == "float16" else torch.float32)
        if self._kind == "cpu":
            (result,) = self._session.run([self._output], {self._input: given.numpy()})
            return torch.from_numpy(result).to(torch.float32)
        binding = self._session.io_binding()
        element = np.float16 if self._type == "float16" else np.float32
        torch.cuda.synchronize(batch.device)  # the session has its own stream
        binding.bind_input(self._input, "cuda", self._number, element, tuple(given.shape), given.data_ptr())
        binding.bind_output(self._output, "cuda", self._number)
        self._session.run_with_iobinding(binding)
        value = binding.get_outputs()[0]
        # The value's memory belongs to the binding, so it is copied on the device before the binding goes.
        return torch.utils.dlpack.from_dlpack(value._ortvalue.to_dlpack()).to(torch.float32).clone()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
