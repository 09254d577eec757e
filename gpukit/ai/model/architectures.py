"""The networks that a state dict may be loaded into: MONAI classes by name, or a plain stack of convolutions.

A description is data. So only classes of a fixed list are built, with literal arguments, and none that would fetch
weights from the network.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.ai.model.torch_archive import check_archive
from gpukit.ai.model.volume_spec import literal
from gpukit.ai.model.weight_files import first_sentence
from gpukit.documents.json_reader import Node
from gpukit.errors import ModelError

if TYPE_CHECKING:
    import torch

__all__ = ["NETWORKS", "build_network", "load_weights"]

#: Classes of ``monai.networks.nets`` that may be built.
NETWORKS = (
    "AHNet",
    "AttentionUnet",
    "BasicUNet",
    "BasicUNetPlusPlus",
    "DynUNet",
    "Generator",
    "HighResNet",
    "SegResNet",
    "SegResNetDS",
    "SegResNetDS2",
    "SegResNetVAE",
    "SwinUNETR",
    "UNETR",
    "UNet",
    "VNet",
)
_ACTIVATIONS = {"relu": "ReLU", "elu": "ELU", "gelu": "GELU", "leaky_relu": "LeakyReLU"}
_NESTED = ("state_dict", "model_state_dict", "model", "network", "net", "network_weights")


def build_network(spec: Mapping[str, Any], file: Path, path: str = "$.network") -> torch.nn.Module:
    """The untrained network that a description defines.

    Parameters
    ----------
    spec : mapping
        ``{"_target_": "monai.networks.nets.UNet", ...arguments}``, or ``{"layers": [...], "activation": "relu"}``.
    file : Path
        The description, for messages.
    path : str
        Where in it.

    Raises
    ------
    ModelError
        The class is not among `NETWORKS`, or does not take the arguments.
    """
    node = Node(dict(spec), file, path)
    if node.has("layers"):
        return _stack(node)
    target = node.object(("_target_",), None)["_target_"].text()
    name = target.removeprefix("monai.networks.nets.")
    if name not in NETWORKS:
        raise node["_target_"].error(
            f"{target!r} is not among the networks that may be built",
            fix=f"use one of monai.networks.nets: {', '.join(NETWORKS)}; or export it as TorchScript or ONNX",
        )
    arguments = {key: literal(value) for key, value in node.items() if key != "_target_"}
    if arguments.get("pretrained"):
        raise node["pretrained"].error("would fetch weights from elsewhere", fix="set it to false")
    import monai.networks.nets
    import torch

    try:
        network = getattr(monai.networks.nets, name)(**arguments)
    except Exception as error:  # whatever a constructor raises on arguments that it does not like
        raise node.error(f"MONAI's {name} does not take these arguments: {error}") from error
    assert isinstance(network, torch.nn.Module)
    return network


def load_weights(network: torch.nn.Module, file: Path) -> torch.nn.Module:
    """Put the weights of a file into a network, all of them and nothing else, and set it to evaluation.

    ``.safetensors`` holds numbers only; other files are read by torch's unpickler that builds tensors only, so no file
    can run code. A state dict one level down (``{"state_dict": ...}``, as training scripts leave it) is found, and the
    prefix ``module.`` of parallel training, or ``model.`` of a training loop's class, is taken off.

    Raises
    ------
    ModelError
        The file is damaged, holds something else, or does not fit: names the first keys that are amiss.
    """
    state = _read_state(file)
    if state and all(key.startswith("module.") for key in state):
        state = {key.removeprefix("module."): value for key, value in state.items()}
    wanted = network.state_dict()
    for prefix in ("model.", "net.", "network."):  # of a training loop's own class
        if state.keys() == {f"{prefix}{key}" for key in wanted}:
            state = {key.removeprefix(prefix): value for key, value in state.items()}
            break
    missing, extra = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    wrong = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in sorted(wanted.keys() & state.keys())
        if state[key].shape != wanted[key].shape
    ]
    faults = []
    for what, keys in (("lacks", missing), ("has no place for", extra)):
        if keys:
            faults.append(f"{what} {', '.join(keys[:3])}" + (f" and {len(keys) - 3} more" if len(keys) > 3 else ""))
    faults += wrong[:3]
    if faults:
        raise ModelError(
            f"the weights do not fit the network {type(network).__name__}: {'; '.join(faults)}",
            file=file,
            fix="correct the network's arguments in the description",
        )
    network.load_state_dict(state, strict=True)
    return network.eval()


def _read_state(file: Path) -> dict[str, torch.Tensor]:
    import torch

    try:
        if file.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(file)
        else:
            check_archive(file)
            found = torch.load(file, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # damaged files raise anything; pickles that would run code raise UnpicklingError
        why = first_sentence(error)
        if isinstance(error, pickle.UnpicklingError):  # torch advises to run it all the same
            more = "unsupported" in str(error).lower()
            why = "they are a pickle of more than tensors, which could run code" if more else "they are damaged"
        raise ModelError(
            f"the weights cannot be read: {why}",
            file=file,
            fix="save a plain state dict, with torch.save(model.state_dict(), ...) or as .safetensors",
        ) from error
    for key in _NESTED:
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(isinstance(v, torch.Tensor) for v in found.values()):
        raise ModelError("the weights are no state dict", file=file, fix="save model.state_dict()")
    return {str(key): value for key, value in found.items()}


def _stack(node: Node) -> torch.nn.Module:
    """Convolutions one after the other with an activation between them, named ``net.0``, ``net.2`` ... as MeshNet's."""
    import torch

    node.object(("layers", "activation"), ("header", "bnorm", "dropout_p", "bias", "classes"))
    if node.has("bnorm") and node["bnorm"].flag():
        raise node["bnorm"].error("batch normalisation is not built here", fix="fold it into the convolutions")
    bias = node["bias"].flag() if node.has("bias") else True
    activation = getattr(torch.nn, _ACTIVATIONS[node["activation"].choice(*_ACTIVATIONS)])
    layers: list[tuple[Node, dict[str, int]]] = []
    for item in node["layers"].list(most=256):
        item.object(("in_channels", "out_channels", "kernel_size"), ("padding", "stride", "dilation"))
        sizes = {key: item[key].integer(0 if key == "padding" else 1, 4096) for key, _ in item.items()}
        layers.append((item, sizes))
    if not layers:
        raise node["layers"].error("names no layer")
    for (_, one), (item, two) in pairwise(layers):
        if one["out_channels"] != two["in_channels"]:
            raise item["in_channels"].error(
                f"is {two['in_channels']}, and the layer before gives {one['out_channels']}"
            )
    stack: list[torch.nn.Module] = []
    for _, sizes in layers:
        stack += [
            torch.nn.Conv3d(
                sizes["in_channels"],
                sizes["out_channels"],
                sizes["kernel_size"],
                stride=sizes.get("stride", 1),
                padding=sizes.get("padding", 0),
                dilation=sizes.get("dilation", 1),
                bias=bias,
            ),
            activation(),
        ]
    # A sequence in a sequence, so that the weights are called net.0.weight and so on.
    return torch.nn.Sequential(OrderedDict(net=torch.nn.Sequential(*stack[:-1])))
