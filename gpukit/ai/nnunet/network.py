"""The network of an nnU-Net folder: built from the plan's words by a fixed list of classes, its folds side by side.

A checkpoint of nnU-Net is a pickle. It is read by torch's unpickler that builds tensors and plain values only; beside
those a checkpoint holds NumPy numbers (losses and scores of its training), so exactly what makes such a number is
allowed as well, and only for numbers.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.ai.model.torch_archive import check_archive
from gpukit.ai.model.volume_spec import literal
from gpukit.ai.nnunet.preprocess import NnUNetInput
from gpukit.documents.json_reader import Node
from gpukit.errors import InputNotFoundError, ModelError
from gpukit.extras import missing_package

if TYPE_CHECKING:
    import torch

    from gpukit.ai.model.description import Model

__all__ = ["ARCHITECTURES", "load_folds", "plan_network", "read_checkpoint"]

#: Classes of dynamic_network_architectures that may be built.
ARCHITECTURES = ("PlainConvUNet", "ResidualEncoderUNet")
_BLOCKS = ("BasicBlockD", "BottleneckD")
#: Classes of torch.nn that a plan may name as an argument.
_LAYERS = (
    "BatchNorm2d", "BatchNorm3d", "Conv2d", "Conv3d", "Dropout", "Dropout2d", "Dropout3d", "ELU", "GELU",
    "InstanceNorm2d", "InstanceNorm3d", "LeakyReLU", "PReLU", "ReLU", "SiLU",
)  # fmt: skip
_CLASSES = ("block", "bottleneck_block", "conv_op", "dropout_op", "nonlin", "norm_op")
_MOST_STAGES, _MOST_FEATURES, _MOST_BLOCKS = 16, 4096, 64


def read_checkpoint(file: Path) -> Mapping[str, Any]:
    """What a checkpoint holds, its tensors left on disk until they are used.

    Raises
    ------
    ModelError
        It is damaged, would run code, or holds no weights.
    """
    import torch

    if not file.is_file():
        raise InputNotFoundError("no such checkpoint", file=file)
    found: Any = None
    check_archive(file)
    try:
        with torch.serialization.safe_globals(_numbers()):
            try:
                found = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
            except RuntimeError:  # of before torch 1.6: no archive, so nothing can be left on disk
                found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged files raise anything; pickles that would run code raise UnpicklingError
        why = "would run code" if isinstance(error, pickle.UnpicklingError) else "cannot be read"
        first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        first = (
            "it is a pickle of more than tensors and numbers" if isinstance(error, pickle.UnpicklingError) else first
        )
        raise ModelError(f"the checkpoint {why}: {first}", file=file, fix="use one that nnU-Net v2 wrote") from error
    state = found.get("network_weights") if isinstance(found, dict) else None
    if not isinstance(state, dict) or not state or not all(isinstance(v, torch.Tensor) for v in state.values()):
        raise ModelError("the checkpoint has no network_weights", file=file, fix="use one that nnU-Net v2 wrote")
    result: Mapping[str, Any] = found
    return result


def _number(kind: Any, data: Any = b"") -> Any:
    """A NumPy number from its bytes, as NumPy's own `scalar` makes it; nothing that could hold an object."""
    dtype = np.dtype(kind)
    if dtype.kind not in "biufc" or not isinstance(data, bytes) or len(data) != dtype.itemsize:
        raise pickle.UnpicklingError("a checkpoint may hold plain numbers only")
    return np.frombuffer(data, dtype)[0]


def _numbers() -> list[Any]:
    names = ("Bool", "Float16", "Float32", "Float64", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32")
    kinds = [getattr(np.dtypes, f"{name}DType") for name in (*names, "UInt64")]
    scalar = [(_number, "numpy.core.multiarray.scalar"), (_number, "numpy._core.multiarray.scalar")]
    return [*scalar, np.dtype, *kinds]


def plan_network(configuration: Node, dimension: int) -> dict[str, Any]:
    """Class and arguments of the network, from either kind of plan, checked against what may be built.

    Raises
    ------
    ModelError
        The class or an argument is not allowed; names the place in the plan.
    """
    if configuration.has("architecture"):
        part = configuration["architecture"].object(("network_class_name", "arch_kwargs"), None)
        name = part["network_class_name"].text().rpartition(".")[2]
        node = part["network_class_name"]
        arguments = part["arch_kwargs"].object((), None)
    else:
        node = configuration.object(("UNet_class_name",), None)["UNet_class_name"]
        name = node.text()
        arguments = Node(_old_arguments(configuration, name, dimension), configuration.file, configuration.path)
    if name not in ARCHITECTURES:
        raise node.error(f"{name} is not among the networks that may be built", fix=f"use {' or '.join(ARCHITECTURES)}")
    found: dict[str, Any] = {}
    for key, value in arguments.items():
        if key in _CLASSES:
            if value.value is not None:
                short = value.text().rpartition(".")[2]
                if short not in (*_LAYERS, *_BLOCKS):
                    raise value.error(f"{value.value!r} is not among the layers that may be built")
                found[key] = short
            else:
                found[key] = None
        else:
            found[key] = literal(value)
    _bounded(arguments)
    return {"class": name, "arguments": found}


def _bounded(arguments: Node) -> None:
    """Sizes within reason, before a constructor makes as many layers as a file asks for."""
    arguments.object(("n_stages", "features_per_stage"), None)
    stages = arguments["n_stages"].integer(1, _MOST_STAGES)
    features = arguments["features_per_stage"]
    for item in features.list(length=stages) if isinstance(features.value, list) else [features]:
        item.integer(1, _MOST_FEATURES)
    for key in ("n_conv_per_stage", "n_blocks_per_stage", "n_conv_per_stage_decoder"):
        if arguments.has(key):
            value = arguments[key]
            for item in value.list(most=_MOST_STAGES) if isinstance(value.value, list) else [value]:
                item.integer(1, _MOST_BLOCKS)


def _old_arguments(configuration: Node, name: str, dimension: int) -> dict[str, Any]:
    """Arguments as plans of before version 2.4 say them, with what nnU-Net took as given then."""
    configuration.object(
        ("n_conv_per_stage_encoder", "n_conv_per_stage_decoder", "UNet_base_num_features", "unet_max_num_features",
         "conv_kernel_sizes", "pool_op_kernel_sizes"), None,
    )  # fmt: skip
    stages = len(configuration["n_conv_per_stage_encoder"].list(most=_MOST_STAGES))
    base = configuration["UNet_base_num_features"].integer(1, _MOST_FEATURES)
    most = configuration["unet_max_num_features"].integer(1, _MOST_FEATURES)
    blocks = "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage"
    return {
        "n_stages": stages,
        "features_per_stage": [min(base * 2**n, most) for n in range(stages)],
        "conv_op": f"Conv{dimension}d",
        "kernel_sizes": configuration["conv_kernel_sizes"].value,
        "strides": configuration["pool_op_kernel_sizes"].value,
        blocks: configuration["n_conv_per_stage_encoder"].value,
        "n_conv_per_stage_decoder": configuration["n_conv_per_stage_decoder"].value,
        "conv_bias": True,
        "norm_op": f"InstanceNorm{dimension}d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }


def load_folds(model: Model) -> torch.nn.Module:
    """The folds of a model as one module whose logits are their mean, on the CPU, in evaluation mode.

    Raises
    ------
    DependencyError
        dynamic-network-architectures is not installed.
    ModelError
        A checkpoint does not fit the plan's network.
    """
    networks = [_filled(model, file) for file in (model.weights, *model.folds)]
    return _folds(networks, flat=model.network["dimension"] == 2)


def _filled(model: Model, file: Path) -> torch.nn.Module:
    """The network with one checkpoint's weights.

    It is built without memory and takes the checkpoint's tensors as they are, so what a plan asks for costs nothing
    until it is known to fit.
    """
    import torch

    state = {_plain(str(key)): value for key, value in read_checkpoint(file)["network_weights"].items()}
    with torch.device("meta"):
        network = _build(model)
    wanted = network.state_dict()
    wrong = sorted(k for k in wanted.keys() & state.keys() if wanted[k].shape != state[k].shape)
    faults = [
        ("lacks", sorted(wanted.keys() - state.keys())),
        ("has no place for", sorted(state.keys() - wanted.keys())),
    ]
    faults.append(("has another size of", wrong))
    said = [f"{what} {', '.join(keys[:3])}" + (" ..." if len(keys) > 3 else "") for what, keys in faults if keys]
    if said:
        raise ModelError(
            f"the weights do not fit the plan's {model.network['class']}: {'; '.join(said)}", file=file,
            fix="use the plans.json and dataset.json that the network was trained with",
        )  # fmt: skip
    network.load_state_dict({k: v.to(torch.float32).clone() for k, v in state.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(requires_grad=False)


def _plain(key: str) -> str:
    """A key without what torch.compile and parallel training put in front."""
    for prefix in ("module.", "_orig_mod."):
        key = key.removeprefix(prefix)
    return key


def _build(model: Model) -> torch.nn.Module:
    import torch

    try:
        from dynamic_network_architectures.architectures import unet
        from dynamic_network_architectures.building_blocks import residual
    except ImportError as error:
        raise missing_package(
            "an nnU-Net folder needs the package dynamic-network-architectures", "nnunet", file=model.file
        ) from error
    arguments = dict(model.network["arguments"])
    for key in _CLASSES:
        name = arguments.get(key)
        if name is not None:
            arguments[key] = getattr(residual if name in _BLOCKS else torch.nn, name)
    spec = model.volume_input
    stages = len(spec.stage) if isinstance(spec, NnUNetInput) else 0
    arguments.update(
        input_channels=model.volume_input.channels + stages, num_classes=model.segments.channels, deep_supervision=False
    )
    try:
        network = getattr(unet, model.network["class"])(**arguments)
    except Exception as error:  # whatever a constructor raises on arguments that it does not like
        raise ModelError(
            f"{model.network['class']} does not take the plan's arguments: {error}", file=model.file,
            attribute="architecture.arch_kwargs",
        ) from error  # fmt: skip
    assert isinstance(network, torch.nn.Module)
    return network


def _folds(networks: Sequence[torch.nn.Module], *, flat: bool) -> torch.nn.Module:
    import torch

    class Folds(torch.nn.Module):
        """Mean of the logits; a network of two dimensions is given windows of one slice."""

        def __init__(self) -> None:
            super().__init__()
            self.parts = torch.nn.ModuleList(networks)

        def forward(self, window: torch.Tensor) -> torch.Tensor:
            given = window.squeeze(2) if flat else window
            total = self.parts[0](given)
            for part in self.parts[1:]:
                total = total + part(given)
            if len(self.parts) > 1:
                total = total / len(self.parts)
            return torch.unsqueeze(total, 2) if flat else total

    return Folds().eval()
