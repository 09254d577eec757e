"""Networks through torch: state dicts, MONAI bundles, TorchScript and torch.export, on every device of torch."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import Availability
from gpukit.errors import DeviceError, InputError
from gpukit.extras import install_command
from gpukit_backends.runtimes.last_layer import LastLayer, first_of
from gpukit_backends.runtimes.torch_loading import load_module


class TorchRuntime:
    """Runs all formats but ``onnx``."""

    name = "torch"
    formats = ("state-dict", "torchscript", "torch-export", "monai-bundle", "nnunet")
    converts = ("onnx", "coreml")

    def convert(
        self, model: Model, to: str, example: Any, target: Path, description: str
    ) -> tuple[tuple[str, ...], float]:
        """Write the network as ONNX, or rewritten where that is needed as Core ML."""
        from gpukit_backends.runtimes.torch_export import to_coreml, to_onnx

        if to == "coreml":
            changed, notes = to_coreml(model, example, target, description)
            return tuple(notes), changed
        return to_onnx(model, example, target), 0.0

    def check(self, model: Model) -> None:
        """ModelError where the weights could run code or reach files; nothing of them is run."""
        from gpukit_backends.runtimes.torch_loading import check_weights

        check_weights(model)

    def available(self) -> Availability:
        """Return whether torch is installed."""
        if find_spec("torch") is None:
            return Availability(usable=False, reason="torch is not installed", install=install_command("nn"))
        try:
            return Availability(usable=True, library=f"torch {version('torch')}")
        except PackageNotFoundError:
            return Availability(usable=True, library="torch")

    def load(self, model: Model, device: str, precision: str) -> TorchNetwork:
        """Load the weights, safely and strictly, and put the network on the device."""
        import torch

        try:
            place = torch.device(device)
            torch.empty(0, device=place)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise DeviceError(f"torch cannot use {device}: {error}", attribute="device") from error
        if precision == "auto":
            # float16 halves memory and raises speed on GPUs. On CPUs bfloat16 gains on some networks, loses on others
            # (see benchmarks/sliding_window.py), and moves labels at boundaries, so there it has to be asked for.
            precision = "float16" if place.type in ("cuda", "mps") else "float32"
        if precision == "float16" and place.type == "cpu":
            raise InputError(
                "float16 is not for the CPU", attribute="precision", fix="use float32, or bfloat16 where the CPU has it"
            )
        module = load_module(model, place)
        return TorchNetwork(module, place, precision, dimensions=model.dimensions, every=model.task == "detect")


class TorchNetwork:
    """A module in evaluation mode on its device."""

    batch: int | None = None
    patch: tuple[int | None, int | None, int | None] = (None, None, None)

    def __init__(self, module: Any, device: Any, precision: str, *, dimensions: int = 3, every: bool = False) -> None:
        import torch

        self._device = device
        self._cast = None if precision == "float32" else getattr(torch, precision)
        # Tensor cores want the channels of a voxel side by side. On CPUs that layout gained nothing that lasted, and a
        # whole head through MeshNet took 1.9 GB in place of 1.2.
        last = torch.channels_last_3d if dimensions == 3 else torch.channels_last
        self._layout = last if device.type == "cuda" else torch.contiguous_format
        self._rank, self._every = dimensions + 2, every
        self._module = module
        if isinstance(module, torch.nn.Module) and not isinstance(module, torch.jit.ScriptModule):
            for tensor in (*module.parameters(), *module.buffers()):
                if tensor.ndim == self._rank:
                    tensor.data = tensor.data.contiguous(memory_format=self._layout)
        self.summary = f"torch on {device}, {precision}"
        # In single precision on a CPU alone: a GPU is better given one large layer than many small ones.
        alone = device.type == "cpu" and self._cast is None and dimensions == 3 and not every
        self._last = LastLayer(module) if alone else None

    def __call__(self, batch: Any) -> Any:
        """Run the module without gradients, in mixed precision where that was chosen."""
        import torch

        with torch.inference_mode(), ExitStack() as stack:
            for context in self._contexts():
                stack.enter_context(context)
            # a module with its channels last is given a tensor that is not a picture to torch
            layout = self._layout if batch.ndim == self._rank else torch.contiguous_format
            output = self._module(batch.contiguous(memory_format=layout))
        return output if self._every else first_of(output)

    def late(self, batch: Any) -> Any:
        """As a call, or `gpukit.ai.inference.lazy_logits.Late`, whose logits are made when they are asked for."""
        logits = None if self._last is None else self._last.run(batch.contiguous())
        return self(batch) if logits is None else logits

    def _contexts(self) -> list[AbstractContextManager[Any]]:
        import torch

        contexts: list[AbstractContextManager[Any]] = []
        if self._cast is not None:
            contexts.append(torch.autocast(self._device.type, dtype=self._cast))
        if self._device.type == "cuda":
            # All windows have one size, so looking for the fastest convolution once pays.
            contexts.append(torch.backends.cudnn.flags(enabled=True, benchmark=True))
        return contexts
