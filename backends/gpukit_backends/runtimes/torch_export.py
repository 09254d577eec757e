"""Torch networks as ONNX graphs and Core ML models: the networks rewritten where a target lacks an operation."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.ai.model.description import Model
from gpukit.ai.registry.compare import difference
from gpukit.errors import ModelError
from gpukit.extras import missing_package
from gpukit_backends.runtimes.graph_tensors import layout_of
from gpukit_backends.runtimes.torch_loading import load_module

if TYPE_CHECKING:
    import torch

#: Every ONNX Runtime since 1.13 and every OpenVINO since 2023 reads it.
OPSET = 17
_NAMES = {"detect": ("boxes", "scores", "labels"), "classify": ("logits",), "enhance": ("image_out",)}


def to_onnx(model: Model, example: torch.Tensor, target: Path) -> tuple[str, ...]:
    """Write the network as an ONNX graph with float32 inputs.

    Parameters
    ----------
    model : Model
        Of a torch format.
    example : tensor
        An input of the network, in its layout.
    target : Path
        ``.onnx``.

    Returns
    -------
    tuple of str
        What the graph is fixed to; empty where it takes any batch and any size.

    Raises
    ------
    ModelError
        An operation of the network has no ONNX form.
    DependencyError
        The package onnx is not there.
    """
    import torch

    network = _tensors_only(load_module(model, torch.device("cpu")), every=model.task == "detect")
    axes = {n: name for n, name in enumerate(layout_of(model)) if name != "c"}
    notes: tuple[str, ...] = ()
    if model.task == "detect":
        del axes[0]  # answers for several pictures are not told apart
    try:
        larger = torch.cat([example, example], dim=max(n for n, name in enumerate(layout_of(model)) if name != "c"))
        with torch.no_grad():
            network(larger if model.task == "detect" else torch.cat([larger, larger]))
    except Exception:  # a program that was exported for one size says so in many ways
        axes, notes = {}, (f"it takes inputs of {' x '.join(map(str, example.shape))} only, as the original does",)
    outputs = list(_NAMES.get(model.task, ("logits",)))
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of sizes that a trace makes constants: the graph is checked at another size
        if model.task == "detect" and not isinstance(network(example), tuple):
            outputs = ["detections"]
        try:
            torch.onnx.export(
                network, (example,), os.fspath(target), input_names=["image"], output_names=outputs, dynamo=False,
                opset_version=OPSET, dynamic_axes={"image": axes}, training=torch.onnx.TrainingMode.PRESERVE,
            )  # fmt: skip
        except ImportError as error:
            raise missing_package("writing ONNX needs the package onnx", "convert") from error
        except Exception as error:  # the exporter raises many kinds
            raise _failed("ONNX", error, model) from error
    return notes


def to_coreml(model: Model, example: torch.Tensor, target: Path, description: str) -> tuple[float, list[str]]:
    """Write the network as a Core ML model for inputs of the example's size.

    ``.mlmodel`` is the older kind, a neural network; ``.mlpackage`` an ML program in float32. What Core ML cannot do is
    rewritten first, and the rewritten network is run beside the original.

    Returns
    -------
    (float, list of str)
        Greatest difference between the rewritten network's output and the original's as a share of the original's
        range, and what was rewritten.

    Raises
    ------
    ModelError
        An operation of the network has no Core ML form.
    DependencyError
        coremltools is not there.
    """
    import torch

    try:
        with _silent():
            import coremltools
    except ImportError as error:
        raise missing_package("writing Core ML models needs coremltools", "coreml") from error
    from gpukit.ai.model.coreml import METADATA_KEY

    every = model.task == "detect"
    original = _tensors_only(load_module(model, torch.device("cpu")), every=every)
    network = load_module(model, torch.device("cpu"))
    changes = [] if isinstance(network, torch.jit.ScriptModule) else _rewrite(network)
    network = _tensors_only(network, every=every)
    program = target.suffix.lower() == ".mlpackage"
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = network
        if not isinstance(network, torch.jit.ScriptModule):
            # torch does not annotate its own tracer
            traced = torch.jit.trace(network, example, check_trace=False)  # type: ignore[no-untyped-call]
        expected, output = (
            original(example),
            traced(example),
        )  # the trace is what is converted, so it is what is compared
        try:
            with _silent():
                package = coremltools.convert(
                    traced, inputs=[coremltools.TensorType(name="image", shape=tuple(example.shape))],
                    convert_to="mlprogram" if program else "neuralnetwork",
                    **({"compute_precision": coremltools.precision.FLOAT32} if program else {}),
                )  # fmt: skip
        except Exception as error:  # coremltools raises many kinds
            raise _failed("Core ML", error, model) from error
    package.short_description = model.description[:200]
    package.version, package.license = model.version, model.license
    package.user_defined_metadata[METADATA_KEY] = description
    with _silent():
        package.save(os.fspath(target))
    return difference(output, expected), changes


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without coremltools' progress bars and its remarks on what it lacks off macOS; errors are raised all the same."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def _tensors_only(module: Any, *, every: bool) -> Any:
    """Return the network with what it gives as a tensor, or for a detector a tuple of tensors."""
    import torch

    from gpukit_backends.runtimes.graph_tensors import wanted_outputs

    class Plain(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = module

        def forward(self, x: torch.Tensor) -> Any:
            outputs = wanted_outputs(self.inner(x), every=every)
            return outputs if len(outputs) > 1 else outputs[0]

    if isinstance(module, torch.jit.ScriptModule):
        return module  # it cannot be called within the trace of another
    plain = Plain()
    plain.training = False  # an exported program is in evaluation mode, and refuses to be set to it
    return plain


def _rewrite(network: Any) -> list[str]:
    """Replace, in place, the layers that Core ML lacks; returns what was replaced."""
    import torch

    class Cropped(torch.nn.Module):
        """A transposed convolution with output padding as one without any padding, cut to the same place."""

        def __init__(self, layer: Any) -> None:
            super().__init__()
            self.plain = torch.nn.ConvTranspose3d(
                layer.in_channels, layer.out_channels, layer.kernel_size, layer.stride, padding=0, output_padding=0,
                groups=layer.groups, bias=False, dilation=layer.dilation,
            )  # fmt: skip
            self.plain.weight = layer.weight
            bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach().clone()
            self.register_buffer("shift", bias.reshape(1, -1, 1, 1, 1))
            self.cut = [int(p) for p in layer.padding]
            # behind the last value that the kernel reaches, output padding is the bias alone
            self.more = [max(0, int(o) - int(p)) for o, p in zip(layer.output_padding, layer.padding, strict=True)]
            self.less = [max(0, int(p) - int(o)) for o, p in zip(layer.output_padding, layer.padding, strict=True)]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.plain(x)
            if any(self.more):
                a, b, c = self.more
                y = torch.nn.functional.pad(y, [0, c, 0, b, 0, a])
            i, j, k = (slice(low, -high or None) for low, high in zip(self.cut, self.less, strict=True))
            y = y[:, :, i, j, k]
            # a registered buffer, which torch declares as a tensor or a module
            shift: torch.Tensor = self.shift  # type: ignore[assignment]
            return y + shift

    layers = []
    for name, module in list(network.named_modules()):
        for key, layer in list(module.named_children()):
            if isinstance(layer, torch.nn.ConvTranspose3d) and any(layer.output_padding):
                setattr(module, key, Cropped(layer).eval())
                layers.append(f"{name}.{key}".lstrip("."))
    return [f"{len(layers)} transposed convolutions with output padding became cut ones"] if layers else []


def _failed(what: str, error: Exception, model: Model) -> ModelError:
    lines = [line for line in str(error).strip().splitlines() if line.strip()] or [type(error).__name__]
    scripted = model.format == "torchscript"
    return ModelError(
        f"the network has no {what} form: {lines[0][:200]}", file=model.weights,
        fix="convert it from its state dict, which can be rewritten" if scripted else "replace that operation",
    )  # fmt: skip
