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
    """A session with one input and one output, of a detector with several outputs."""

    def __init__(self, session: Any, model: Model, kind: str, number: int) -> None:
        inputs, outputs = session.get_inputs(), session.get_outputs()
        self._every = model.task == "detect"
        if len(inputs) != 1 or not outputs or (len(outputs) != 1 and not self._every):
            raise ModelError(
                f"the graph has {len(inputs)} inputs and {len(outputs)} outputs, and one of each is needed",
                file=model.weights,
            )
        shape = list(inputs[0].shape)
        layout = ["n", "c", "y", "x"] if model.dimensions == 2 else ["n", "c", "x", "y", "z"]
        if model.dimensions == 2 and model.picture_input.layout == "channels-last":
            layout = ["n", "y", "x", "c"]
        if len(shape) != len(layout):
            raise ModelError(f"the graph's input must be [{', '.join(layout)}], not {shape}", file=model.weights)
        shape.insert(1, shape.pop(layout.index("c")))
        types = {"tensor(float)": "float32", "tensor(float16)": "float16"}
        if inputs[0].type not in types:
            raise ModelError(f"the graph's input must be float32 or float16, not {inputs[0].type}", file=model.weights)
        if isinstance(shape[1], int) and shape[1] != model.input.channels:
            raise ModelError(
                f"the graph takes {shape[1]} channels, and the description says {model.input.channels}",
                file=model.file,
                attribute="$.input.channels",
            )
        sizes = [n if isinstance(n, int) and n > 0 else None for n in shape[2:]]
        x, y, z = sizes if model.dimensions == 3 else (sizes[1], sizes[0], None)
        self.patch: tuple[int | None, int | None, int | None] = (x, y, z)
        self.batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self._session, self._kind, self._number = session, kind, number
        self._input, self._type = inputs[0].name, types[inputs[0].type]
        self._outputs = [output.name for output in outputs]
        self.summary = f"onnxruntime on {kind}, {self._type}"

    def __call__(self, batch: Any) -> Any:
        """Run the graph on main memory or CUDA memory as it lies there."""
        import numpy as np
        import torch
        import torch.utils.dlpack

        given = batch.contiguous().to(torch.float16 if self._type == "float16" else torch.float32)
        if self._kind == "cpu":
            results = self._session.run(self._outputs, {self._input: given.numpy()})
            return self._answer([torch.from_numpy(np.asarray(result)) for result in results])
        binding = self._session.io_binding()
        element = np.float16 if self._type == "float16" else np.float32
        torch.cuda.synchronize(batch.device)  # the session has its own stream
        binding.bind_input(self._input, "cuda", self._number, element, tuple(given.shape), given.data_ptr())
        for name in self._outputs:
            binding.bind_output(name, "cuda", self._number)
        self._session.run_with_iobinding(binding)
        # The values' memory belongs to the binding, so they are copied on the device before the binding goes.
        return self._answer(
            [torch.utils.dlpack.from_dlpack(value._ortvalue.to_dlpack()).clone() for value in binding.get_outputs()]
        )

    def _answer(self, tensors: list[Any]) -> Any:
        """One tensor of float32, or all outputs of a detector."""
        import torch

        if self._every:
            return tuple(t.to(torch.float32) if t.is_floating_point() else t for t in tensors)
        return tensors[0].to(torch.float32)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
