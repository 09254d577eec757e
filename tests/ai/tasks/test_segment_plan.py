"""Detectors and enhancers that are moved over a volume, graphs of one batch size, and the same calls from Python."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")

from support.paths import ROOT

import gpukit as gk

#: Corners of bright bodies in voxels i, j, k: low, and high which they do not reach.
BODIES = (((3, 4, 2), (7, 9, 6)), ((30, 5, 20), (34, 10, 24)), ((25, 28, 3), (28, 33, 8)))


class Bodies(torch.nn.Module):
    """The box around what is bright in each window, as torchvision's detectors answer; the larger, the surer."""

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        out: list[dict[str, torch.Tensor]] = []
        for n in range(x.shape[0]):
            where = torch.nonzero(x[n, 0] > 50.0)
            boxes = torch.zeros(0, 6)
            if where.shape[0] > 0:
                boxes = torch.cat([where.amin(0), where.amax(0) + 1]).to(torch.float32)[None]
            count = boxes.shape[0]
            sizes = (boxes[:, 3:] - boxes[:, :3]).prod(1)
            out.append({"boxes": boxes, "scores": sizes / 100.0, "labels": torch.ones(count, dtype=torch.int64)})
        return out


class Doubled(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, 2).repeat_interleave(2, 3).repeat_interleave(2, 4)


class Boxes(torch.nn.Module):
    """The mean of each picture as the first corner of a box, in one tensor."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((1, 2, 3))[:, None, None]
        return torch.cat([mean, mean, mean + 5.0, mean + 6.0, 0 * mean + 0.9], 2)


def made(folder: Path, network: torch.nn.Module, task: str, output: dict[str, Any], **changes: Any) -> Path:
    torch.jit.script(network).save(str(folder / "net.ts"))
    content = {
        "schema_version": 1, "name": "net", "version": "1", "task": task, "format": "torchscript", "weights": "net.ts",
        "input": {"channels": 1, "orientation": "RAS"}, "output": output, **changes,
    }  # fmt: skip
    (folder / "net.json").write_text(json.dumps(content))
    return folder / "net.ts"


@pytest.mark.parametrize("patch", [[12, 12, 12], [64, 16, 12]], ids=["windows", "larger than the volume"])
def test_boxes_of_windows_lie_in_the_volume(patch: list[int], tmp_path: Path) -> None:
    array = np.zeros((26, 36, 40), np.float32)  # k, j, i
    for (i0, j0, k0), (i1, j1, k1) in BODIES:
        array[k0:k1, j0:j1, i0:i1] = 100.0
    grid = gk.Grid.from_axes(array.shape, spacing=(1.5, 2.0, 2.5), origin=(-7, 11, 3))
    inference = {"patch": patch, "overlap": 0.5, "batch": 3}
    model = made(
        tmp_path, Bodies(), "detect", {"classes": ["Body"], "iou": 0.0, "confidence": 0.0}, inference=inference
    )
    found = gk.detect(gk.Volume(array=array, grid=grid), model).boxes
    # the whole body scores more than the parts that other windows see of it, and drops those
    boxes = np.array(sorted(one.box for one in found))
    np.testing.assert_allclose(boxes, np.array(sorted((*low, *high) for low, high in BODIES)) - 0.5, atol=1e-5)
    for one in found:
        low, high = np.array(one.box[:3]), np.array(one.box[3:])
        assert one.patient is not None
        np.testing.assert_allclose(one.patient[:3], (-7, 11, 3) + low * (1.5, 2.0, 2.5), atol=1e-4)
        np.testing.assert_allclose(one.patient[3:], (-7, 11, 3) + high * (1.5, 2.0, 2.5), atol=1e-4)


@pytest.mark.parametrize("patch", [None, [8, 8, 8], [64, 8, 10]], ids=["whole", "windows", "larger than the volume"])
def test_finer_volumes_are_made_window_by_window(patch: list[int] | None, tmp_path: Path) -> None:
    array = np.random.default_rng(1).normal(size=(13, 18, 21)).astype(np.float32)
    volume = gk.Volume(array=array, grid=gk.Grid.from_axes(array.shape, spacing=(1.5, 2.0, 2.5), origin=(-7, 11, 3)))
    model = made(tmp_path, Doubled(), "enhance", {"scale": 2}, inference={"patch": patch, "overlap": 0.5, "batch": 2})
    finer = gk.enhance(volume, model)
    wanted = array.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    np.testing.assert_allclose(finer.array, wanted, atol=1e-5)  # means of equal numbers, in float32
    assert finer.grid.spacing == pytest.approx((0.75, 1.0, 1.25))
    first = np.array((-7, 11, 3)) - np.array((1.5, 2.0, 2.5)) / 4
    np.testing.assert_allclose(finer.grid.affine[:3, 3], first)


@pytest.mark.parametrize("task", ["detect", "enhance"])
def test_windows_that_do_not_fit_into_memory_are_run_smaller(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own error for inputs that are too large; the answer is as without it, and it is said."""
    import gpukit_backends.runtimes.torch_runtime as module

    seen = []
    real = module.TorchNetwork.__call__

    def limited(self: Any, batch: torch.Tensor) -> Any:
        if batch.numel() > 32**3:
            torch.empty(1 << 60)  # more than any machine has
        seen.append(tuple(batch.shape[2:]))
        return real(self, batch)

    array = np.zeros((40, 70, 66), np.float32)
    for low, high in (((3, 4, 2), (7, 9, 6)), ((50, 60, 30), (54, 64, 35))):
        array[low[2] : high[2], low[1] : high[1], low[0] : high[0]] = 100.0
    volume = gk.Volume(array=array, grid=gk.Grid.from_axes(array.shape))
    inference = {"patch": [64, 64, 32], "overlap": 0.5, "batch": 1}
    output = {"classes": ["Body"], "iou": 0.0, "confidence": 0.0} if task == "detect" else {"scale": 2}
    model = made(tmp_path, Bodies() if task == "detect" else Doubled(), task, output, inference=inference)
    monkeypatch.setattr(module.TorchNetwork, "__call__", limited)
    note = "the device's memory was too small for windows of 64 x 64 x 32, so 32 x 32 x 32 were run"
    if task == "detect":
        found = gk.detect(volume, model)
        assert found.notes == (note,)
        corners = sorted(one.box for one in found.boxes)
        np.testing.assert_allclose(corners, [(2.5, 3.5, 1.5, 6.5, 8.5, 5.5), (49.5, 59.5, 29.5, 53.5, 63.5, 34.5)])
    else:
        finer = gk.enhance(volume, model)
        assert note in finer.notes
        np.testing.assert_allclose(finer.array, array.repeat(2, 0).repeat(2, 1).repeat(2, 2), atol=1e-4)
    assert set(seen) == {(32, 32, 32)}


def test_a_detector_whose_graph_has_one_batch_size(tmp_path: Path) -> None:
    """Of five slices, the second batch of four has one of its own and is filled."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    torch.onnx.export(Boxes(), (torch.rand(4, 1, 16, 16),), str(tmp_path / "net.onnx"), dynamo=False)
    content = {
        "schema_version": 1, "name": "net", "version": "1", "task": "detect", "format": "onnx", "weights": "net.onnx",
        "input": {"dimensions": 2, "channels": 1, "values": "rescaled"}, "output": {"classes": ["a"], "first_label": 0},
    }  # fmt: skip
    (tmp_path / "net.json").write_text(json.dumps(content))
    array = np.zeros((5, 16, 16), np.float32) + np.arange(1, 6, dtype=np.float32)[:, None, None]
    found = gk.detect(gk.Volume(array=array, grid=gk.Grid(array.shape, np.eye(4))), tmp_path / "net.onnx")
    assert [(one.index, one.box) for one in found.boxes] == [
        (k, (k + 0.5, k + 0.5, k + 5.5, k + 6.5)) for k in range(5)
    ]


def test_the_guides_lines_on_networks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What ``docs/python.md`` shows, as it stands there, with networks and images of its names."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    page = ROOT / "docs" / "python.md"
    (lines,) = re.findall(r"## Networks\n\n```python\n(.*?)```", page.read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    for name in ("chest-xray.dcm", "brain-mri.dcm", "noisy/1.dcm"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(tmp_path / name)

    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((2, 3)) * torch.ones(1, 2)

    class Twice(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.interpolate(x, scale_factor=2.0)

    networks: dict[str, tuple[torch.nn.Module, str, dict[str, Any]]] = {
        "pneumonia-detection": (Mean(), "classify", {"activation": "sigmoid", "classes": ["Pneumonia", "Effusion"]}),
        "lesion-detection": (Boxes(), "detect", {"classes": ["Lesion"], "first_label": 0}),
        "super-resolution": (Twice(), "enhance", {"scale": 2}),
    }
    for name, (network, task, output) in networks.items():
        torch.onnx.export(network, (torch.rand(1, 1, 128, 128),), f"{name}.onnx", dynamo=False)
        content = {
            "schema_version": 1, "name": name, "version": "1", "task": task, "format": "onnx",
            "weights": f"{name}.onnx", "input": {"dimensions": 2, "channels": 1}, "output": output,
        }  # fmt: skip
        Path(f"{name}.json").write_text(json.dumps(content))
    exec(compile(lines, str(page), "exec"), {"gk": gk})
    made = pydicom.dcmread(next((tmp_path / "enhanced").glob("*")))
    assert (made.Rows, made.Columns, made.PixelSpacing) == (256, 256, [0.330734, 0.330734])
    assert pydicom.dcmread("report-sr.dcm").Modality == "SR"
