"""Networks on Intel and AMD processors through OpenVINO: torch's formats by way of a trace, graphs as they are.

Graphs are ONNX and OpenVINO's own (``.xml`` with ``.bin``).

A torch network is converted in memory when it sees its first window. That window is run by torch too, while it is
traced, and OpenVINO's result has to agree with torch's before any label is made from it. Nothing is written to disk.
"""

from __future__ import annotations

import contextlib
import os
import platform
import sys
import warnings
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpukit.ai.inference.out_of_memory import reason
from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import Availability
from gpukit.errors import DeviceError, InputError, ModelError
from gpukit.extras import install_command
from gpukit_backends.cpu.threads import thread_count
from gpukit_backends.runtimes.graph_tensors import Patch, check_outputs, fixed_sizes, wanted_outputs
from gpukit_backends.runtimes.torch_loading import load_module

#: Greatest difference between OpenVINO's logits and torch's, as a share of the range of torch's.
AGREEMENT = 1e-3
#: Converting costs about as much as torch needs for two windows of 96 voxels a side, and OpenVINO takes about half of
#: torch's time, so that smaller jobs than these lose or gain next to nothing (see benchmarks/sliding_window.py).
LEAST_WINDOWS = 8
LEAST_VOXELS = 8 << 20


_GRAPHS = ("onnx", "openvino")


class OpenVinoRuntime:
    """Runs all formats on the CPU, in float32."""

    name = "openvino"
    formats = ("state-dict", "torchscript", "torch-export", "monai-bundle", "nnunet", "onnx", "openvino")
    converts = ("openvino",)

    def convert(
        self, model: Model, to: str, example: Any, target: Path, description: str
    ) -> tuple[tuple[str, ...], float]:
        """Write an ONNX graph, or a torch network by way of one, as ``.xml`` and ``.bin`` in float32."""
        from tempfile import TemporaryDirectory

        from gpukit_backends.runtimes.torch_export import to_onnx

        openvino = import_silently()
        core = openvino.Core()
        notes: tuple[str, ...] = ()
        with TemporaryDirectory(prefix="gpukit-") as folder:
            graph = model.weights
            if model.format not in _GRAPHS:
                graph = Path(folder) / "network.onnx"
                notes = to_onnx(model, example, graph)
            try:
                openvino.save_model(core.read_model(os.fspath(graph)), os.fspath(target), compress_to_fp16=False)
            except RuntimeError as error:
                raise ModelError(
                    f"OpenVINO cannot convert the graph: {str(error).strip().splitlines()[-1]}", file=model.weights
                ) from error
        return notes, 0.0

    def available(self) -> Availability:
        """Return whether openvino is installed."""
        if find_spec("openvino") is None:
            return Availability(usable=False, reason="openvino is not installed", install=install_command("openvino"))
        try:
            return Availability(usable=True, library=f"openvino {version('openvino')}")
        except PackageNotFoundError:
            return Availability(usable=True, library="openvino")

    def gains(self, model: Model, device: str, precision: str, windows: int, voxels: int) -> bool:
        """Return whether a job is large enough, and of a kind, for which this was measured to be faster than torch."""
        return (
            device == "cpu"
            and precision in ("auto", "float32")
            and model.format not in _GRAPHS  # there is no torch network to compare with
            and platform.machine().lower() in ("x86_64", "amd64")
            and windows >= LEAST_WINDOWS
            and windows * voxels >= LEAST_VOXELS
        )

    def load(self, model: Model, device: str, precision: str) -> OpenVinoNetwork:
        """Load the weights; a torch network is converted when the size of its windows is known, at the first one."""
        if device.partition(":")[0] != "cpu":
            raise DeviceError(
                f"OpenVINO is used on the CPU only, and the volume is on {device}",
                attribute="device",
                fix="use the device cpu, or the runtime torch",
            )
        if precision not in ("auto", "float32"):
            raise InputError(
                f"OpenVINO computes in float32 here, not in {precision}",
                attribute="precision",
                fix="use auto or float32, or the runtime torch",
            )
        core = import_silently().Core()
        if model.format in _GRAPHS:
            return OpenVinoNetwork(core, model, graph=_read(core, model))
        import torch

        return OpenVinoNetwork(core, model, module=load_module(model, torch.device("cpu")))


class OpenVinoNetwork:
    """A network of fixed window size, compiled for the size that it is first called with, and again for another."""

    def __init__(self, core: Any, model: Model, *, graph: Any = None, module: Any = None) -> None:
        self._core, self._model, self._graph, self._module = core, model, graph, module
        self._ready: dict[tuple[int, ...], tuple[Any, tuple[int, ...] | None]] = {}
        self._every = model.task == "detect"
        self._kept: list[Any] = []  # the converted graph lies in the memory of torch's weights
        self.batch: int | None = None
        self.patch: Patch = (None, None, None)
        if graph is not None:
            shape = graph.inputs[0].get_partial_shape()
            sizes = () if shape.rank.is_dynamic else [d.get_length() if d.is_static else "any" for d in shape]
            self.batch, self.patch = fixed_sizes(sizes, model)
        if self._every:
            self.batch = 1  # a detector gives as many boxes as it finds, which make no batch
        self.summary = "openvino on cpu, float32"

    def __call__(self, batch: Any) -> Any:
        """Run the windows one after another: on CPUs a batch gains nothing, and one shape is compiled in place of two.

        Raises
        ------
        ModelError
            The network cannot be converted, or OpenVINO does not agree with torch on its first window.
        """
        import torch

        import_silently()
        patches = batch.contiguous().to(torch.float32)
        step = self.batch or 1
        if len(patches) % step:
            patches = torch.cat([patches, patches[-1:].expand(step - len(patches) % step, *patches.shape[1:])])
        shape = (step, *patches.shape[1:])
        if shape not in self._ready:
            self._ready[shape] = self._prepare(patches[:step])
        request, size = self._ready[shape]
        if size is None:
            return _first_axis(
                [_all_outputs(request, patches[n : n + step]) for n in range(0, len(patches), step)], batch
            )
        result = torch.empty((len(patches), *size[1:]), dtype=torch.float32)
        for n in range(0, len(patches), step):
            _infer(request, patches[n : n + step], result[n : n + step])
        return result[: len(batch)]

    def _prepare(self, window: Any) -> tuple[Any, tuple[int, ...] | None]:
        """A request for windows of this shape, and the shape of its output; None where there are several, or any."""
        import torch

        reference = None
        try:
            graph = self._graph
            if graph is None:
                graph, reference, owners = _convert(self._module, window, self._every)
                self._kept.append(owners)
            graph.reshape({graph.inputs[0]: list(window.shape)})
            settings = {
                "INFERENCE_PRECISION_HINT": "f32",  # never bfloat16, which newer processors would choose
                "EXECUTION_MODE_HINT": "ACCURACY",
                "INFERENCE_NUM_THREADS": thread_count(),
                "NUM_STREAMS": "1",
                "ENABLE_CPU_PINNING": False,  # others may be using the processors as well
                "CACHE_DIR": "",
            }
            request = self._core.compile_model(graph, "CPU", settings).create_infer_request()
            output = request.model_outputs[0]
            size = None
            if not self._every and output.partial_shape.is_static and output.element_type.get_type_name() == "f32":
                size = tuple(int(n) for n in output.shape)
            if reference is None:
                return request, size
            if size is None:
                outputs = _all_outputs(request, window)
            else:
                outputs = (torch.empty(size, dtype=torch.float32),)
                _infer(request, window, outputs[0])
        except (InputError, MemoryError):
            raise
        except Exception as error:  # OpenVINO and torch's tracer raise many kinds
            lines = (str(error).strip() or repr(error)).splitlines()
            why = [line for line in lines if not line.startswith("Exception from ")] or lines
            traced = any("Traceback" in line for line in lines[:2])
            raise ModelError(
                f"OpenVINO cannot run the network: {reason(error) if traced else why[0].rstrip('.')}",
                file=self._model.file,
                fix="use the runtime torch",
            ) from error
        if len(outputs) != len(reference) or not all(map(agrees, outputs, reference)):
            raise ModelError(
                "OpenVINO's result differs from torch's", file=self._model.file, fix="use the runtime torch"
            )
        return request, size


def agrees(output: Any, reference: Any) -> bool:
    """Whether logits differ by no more than `AGREEMENT` of the reference's range; never where either holds NaN."""
    if output.shape != reference.shape:
        return False
    if not output.numel():
        return True
    output, reference = output.float(), reference.float()
    span = float(reference.max() - reference.min()) or float(reference.abs().max())
    return bool(float((output - reference).abs().max()) <= AGREEMENT * span)


def import_silently() -> Any:
    """Return the module ``openvino`` without its telemetry.

    Merely importing openvino counts the use in the user's home and reports it to a web service, unless the user knew to
    opt out. It goes on without where the package openvino_telemetry cannot be imported, so that is what it finds. Where
    somebody else imported it before, consent is withdrawn for this process.
    """
    telemetry = sys.modules.get("openvino_telemetry")
    if "openvino.tools.ovc" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # how Python marks what must not be imported
    elif telemetry is not None:
        with contextlib.suppress(RuntimeError):  # nothing has set it up, so there is nothing that could send
            telemetry.Telemetry().consent = False
    import openvino

    return openvino


def _convert(module: Any, window: Any, every: bool) -> tuple[Any, Any, Any]:
    """Return the graph, torch's own results for the window, and what has to live as long as the graph."""
    import openvino
    import torch
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    results: list[Any] = []

    class Traced(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: Any) -> Any:
            y = wanted_outputs(self.inner(x), every=every)
            results.append(y)
            return y if every else y[0]

    # The window may be a tensor of inference mode, which cannot be traced, so it is copied outside of it.
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of shapes that become constants: the size is fixed, and the result is checked
        example = window.clone()
        if isinstance(module, torch.jit.ScriptModule):
            script, result = module, wanted_outputs(module(example), every=every)
        else:
            script = torch.jit.trace(Traced(), example, check_trace=False)  # type: ignore[no-untyped-call]
            result = results[0]
        decoder = TorchScriptPythonDecoder(script)
        front = FrontEndManager().load_by_framework("pytorch")
        loaded = front.load(decoder)
        # a TorchScript file does not say the type of its input, and types that follow from it would stay unknown
        loaded.set_element_type(loaded.get_inputs()[0], openvino.Type.f32)
        graph = front.convert(loaded)
    return graph, tuple(one.detach() for one in result), (decoder, script)


def _all_outputs(request: Any, window: Any) -> tuple[Any, ...]:
    """Return every output for one window, in memory of its own."""
    import openvino
    import torch

    request.set_input_tensor(0, openvino.Tensor(window.numpy(), shared_memory=True))
    request.infer()
    return tuple(torch.from_numpy(request.get_output_tensor(n).data.copy()) for n in range(len(request.model_outputs)))


def _first_axis(results: list[tuple[Any, ...]], batch: Any) -> Any:
    """Results of the windows as the network gives them for all: a tensor, or several for a detector's one picture."""
    import torch

    if len(results[0]) > 1:
        return results[0]
    whole = torch.cat([one[0] for one in results]) if len(results) > 1 else results[0][0]
    return whole[: len(batch)] if whole.ndim and len(whole) > len(batch) and len(results) > 1 else whole


def _infer(request: Any, window: Any, result: Any) -> None:
    """Run one request from the window's memory into the result's."""
    import openvino

    request.set_input_tensor(0, openvino.Tensor(window.numpy(), shared_memory=True))
    request.set_output_tensor(0, openvino.Tensor(result.numpy(), shared_memory=True))
    request.infer()


def _read(core: Any, model: Model) -> Any:
    try:
        graph = core.read_model(os.fspath(model.weights))
    except (RuntimeError, ValueError) as error:  # ValueError: a message that holds damaged text is not UTF-8
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ModelError(f"OpenVINO cannot load the graph: {lines[-1]}", file=model.weights) from error
    check_outputs(len(graph.inputs), len(graph.outputs), model)
    sides = [(graph.inputs[0], "input")]
    if model.task != "detect":
        sides.append((graph.outputs[0], "output"))
    for side, name in sides:
        if side.get_element_type().get_type_name() != "f32":
            raise ModelError(
                f"the graph's {name} must be float32, not {side.get_element_type().get_type_name()}",
                file=model.weights,
            )
    return graph
