"""Core ML models (``.mlpackage``, ``.mlmodel``) on a Mac, through coremltools."""

from __future__ import annotations

import os
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from gpukit.ai.model.coreml import runs_here
from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import Availability
from gpukit.errors import DeviceError, InputError, ModelError
from gpukit.extras import install_command
from gpukit_backends.runtimes.graph_tensors import Patch, check_outputs, fixed_sizes

_FLOAT32 = 65568  # ArrayFeatureType.ArrayDataType.FLOAT32 of Apple's FeatureTypes.proto


class CoreMlRuntime:
    """Runs the format ``coreml`` on macOS."""

    name = "coreml"
    formats = ("coreml",)

    def available(self) -> Availability:
        """Return whether this is macOS with coremltools."""
        if not runs_here():
            return Availability(
                usable=False, reason="Core ML models run on macOS only", install="use the network as ONNX or for torch"
            )
        if find_spec("coremltools") is None:
            return Availability(usable=False, reason="coremltools is not installed", install=install_command("coreml"))
        try:
            return Availability(usable=True, library=f"coremltools {version('coremltools')}")
        except PackageNotFoundError:
            return Availability(usable=True, library="coremltools")

    def load(self, model: Model, device: str, precision: str) -> CoreMlNetwork:
        """Load and compile the model: for the CPU alone on the device cpu, on mps wherever Core ML sees fit."""
        import coremltools

        if precision not in ("auto", "float32"):
            raise InputError(
                f"Core ML computes in the precision of the model, not in {precision}", attribute="precision",
                fix="use auto, or convert the model in that precision",
            )  # fmt: skip
        kind = device.partition(":")[0]
        if kind not in ("cpu", "mps"):
            raise DeviceError(f"Core ML cannot use {device}", attribute="device", fix="use the device mps or cpu")
        unit = coremltools.ComputeUnit.CPU_ONLY if kind == "cpu" else coremltools.ComputeUnit.ALL
        try:
            loaded = coremltools.models.MLModel(os.fspath(model.weights), compute_units=unit)
        except Exception as error:  # coremltools raises many kinds on damaged files
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(f"Core ML cannot load the model: {why}", file=model.weights) from error
        return CoreMlNetwork(loaded, loaded.get_spec(), model, kind)


class CoreMlNetwork:
    """A model with one multi-array in and one out, of a detector several out."""

    def __init__(self, loaded: Any, spec: Any, model: Model, kind: str) -> None:
        inputs, outputs = list(spec.description.input), list(spec.description.output)
        check_outputs(len(inputs), len(outputs), model)
        array = inputs[0].type.multiArrayType
        if inputs[0].type.WhichOneof("Type") != "multiArrayType" or array.dataType != _FLOAT32:
            raise ModelError(
                "the model's input must be a multi-array of float32", file=model.weights,
                fix="convert it with `gpukit ai convert MODEL --to coreml`",
            )  # fmt: skip
        self._loaded, self._input = loaded, inputs[0].name
        self._outputs = [output.name for output in outputs]
        self._every = model.task == "detect"
        flexible = array.WhichOneof("ShapeFlexibility")
        shape: list[object] = list(array.shape)
        if flexible == "shapeRange":
            ranges = array.shapeRange.sizeRanges
            shape = [int(r.lowerBound) if r.lowerBound == r.upperBound else "any" for r in ranges]
        elif flexible == "enumeratedShapes":
            shape = [n if n == 1 else "any" for n in array.shape]
        self.batch: int | None
        self.patch: Patch
        self.batch, self.patch = fixed_sizes(shape, model)
        self.summary = f"coreml on {kind}"

    def __call__(self, batch: Any) -> Any:
        """Run the model on main memory, window by window where it takes one at a time."""
        import numpy as np
        import torch

        patches = batch.contiguous().to(torch.float32).cpu().numpy()
        step = self.batch or len(patches)
        rows: list[list[Any]] = []
        for start in range(0, len(patches), step):
            part = patches[start : start + step]
            if len(part) < step:
                part = np.concatenate([part, np.repeat(part[-1:], step - len(part), axis=0)])
            outputs = self._loaded.predict({self._input: part})
            rows.append([torch.from_numpy(np.array(outputs[name])) for name in self._outputs])
        if self._every:
            return tuple(t.to(torch.float32) if t.is_floating_point() else t for t in rows[0])
        return torch.cat([row[0] for row in rows])[: len(patches)].to(batch.device, torch.float32)
