"""Small models with random weights, written as files, for the tests of this room."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.geometry import Grid
from gpukit.volume import Volume

ANATOMY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
UNET = {
    "_target_": "monai.networks.nets.UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [4, 8],
    "strides": [2],
}


def label(value: int, name: str = "Liver", code: str = "10200004") -> dict[str, Any]:
    return {
        "value": value,
        "name": f"{name} {value}",
        "category": ANATOMY,
        "type": {"value": code, "scheme": "SCT", "meaning": name},
        "color": [10 * value % 256, 20, 30],
    }


def description(**changes: Any) -> dict[str, Any]:
    """A valid description of the UNet above; a change of None removes the key."""
    content: dict[str, Any] = {
        "schema_version": 1,
        "name": "tiny",
        "version": "0.1",
        "task": "segment",
        "format": "state-dict",
        "weights": "weights.safetensors",
        "network": UNET,
        "input": {"channels": 1, "modality": ["MR"], "orientation": "RAS", "spacing": [1.0, 1.0, 1.0]},
        "inference": {"patch": [16, 16, 16], "overlap": 0.25, "blend": "gaussian", "batch": 2},
        "output": {"activation": "softmax", "labels": [label(1), label(2)]},
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def unet(seed: int = 0, **changes: Any) -> Any:
    """The network of `UNET` with random weights, in evaluation mode."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(seed)
    arguments = {key: value for key, value in {**UNET, **changes}.items() if key != "_target_"}
    return UNet(**arguments).eval()


def write_model(folder: Path, **changes: Any) -> Path:
    """A folder with ``model.json`` and ``weights.safetensors``."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file(unet().state_dict(), folder / "weights.safetensors")
    (folder / "model.json").write_text(json.dumps(description(**changes)))
    return folder


def made_volume() -> Volume:
    """An image of noise, on the network's own spacing."""
    values = np.random.default_rng(0).normal(100, 20, (21, 30, 26)).astype(np.float32)
    grid = Grid.from_axes(values.shape, spacing=(1, 1, 1), origin=(3, 4, 5))
    return Volume(array=values, grid=grid, metadata={"Modality": "MR"})


def labels_by_monai(volume: Volume) -> np.ndarray:
    """Labels by MONAI alone: orientation RAS is a flip of the first two axes of an LPS grid."""
    import torch
    from monai.inferers import sliding_window_inference

    image = torch.from_numpy(volume.array.transpose(2, 1, 0)[::-1, ::-1].copy())[None, None]
    with torch.inference_mode():
        logits = sliding_window_inference(image, (16, 16, 16), 1, unet(), overlap=0.25, mode="gaussian")
    return logits.argmax(dim=1)[0].numpy()[::-1, ::-1].transpose(2, 1, 0)


def save(folder: Path, form: str) -> Path:
    """The tiny network in a format, with its description."""
    import pytest
    import torch

    folder.mkdir()
    network, window = unet(), torch.zeros(2, 1, 16, 16, 16)
    changes: dict = {"format": form, "network": None}
    if form == "state-dict":
        torch.save(network.state_dict(), folder / "weights.pt")
        changes = {"weights": "weights.pt"}
    elif form == "torchscript":
        torch.jit.save(torch.jit.trace(network, window), folder / "weights.ts")
        changes["weights"] = "weights.ts"
    elif form == "torch-export":
        shapes = {0: torch.export.Dim("n", min=1, max=64)}
        torch.export.save(torch.export.export(network, (window,), dynamic_shapes=(shapes,)), folder / "weights.pt2")
        changes["weights"] = "weights.pt2"
    else:
        pytest.importorskip("onnxscript", reason="torch's ONNX exporter needs onnxscript")
        torch.onnx.export(
            network, (window[:1],), folder / "weights.onnx", input_names=["x"], output_names=["y"], verbose=False
        )
        changes["weights"] = "weights.onnx"
    (folder / "model.json").write_text(json.dumps(description(**changes)))
    return folder


def external(folder: Path, place: str, numbers: bytes = b"") -> Path:
    """A folder with a graph y = convolution(x, w), whose w lies in a file beside it."""
    import pytest

    onnx = pytest.importorskip("onnx", reason="onnx is not installed")
    write_model(folder, format="onnx", weights="w.onnx", network=None)
    (folder / "weights.safetensors").unlink()
    real, make = onnx.TensorProto.FLOAT, onnx.helper
    tensor = make.make_tensor("w", real, [3, 1, 1, 1, 1], [1.0, 2.0, 3.0])
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", place), ("offset", "0"), ("length", "12")):
        tensor.external_data.add(key=key, value=value)
    sides = [make.make_tensor_value_info(name, real, ["n", n, "x", "y", "z"]) for name, n in (("x", 1), ("y", 3))]
    graph = make.make_graph([make.make_node("Conv", ["x", "w"], ["y"])], "g", sides[:1], sides[1:], [tensor])
    (folder / "w.onnx").write_bytes(
        make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    if numbers:
        (folder / place).write_bytes(numbers)
    return folder
