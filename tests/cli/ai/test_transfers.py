"""What crosses between the host and the device: one upload of the series, one small download of the results.

``torch-cpu`` stands for a GPU. Torch and NumPy could share memory there, which a GPU cannot, so sharing is switched
off: whatever `gpukit.device.move` carries is copied and counted. What went round `move` is looked for as well: each
conversion of a tensor of as many values as the image has is noted with the module that asked for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.slices import write_slices, write_steps

from gpukit_backends.mps.backend import TorchBackend
from gpukit_cli.main import main

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")

SHAPE = (24, 40, 36)
VOXELS = int(np.prod(SHAPE))
#: Compiled kernels for NumPy's arrays are used on the CPU only, on the same memory (`gpukit.ai.inference.label_map`).
ON_THE_CPU_ONLY = {"gpukit.ai.inference.label_map"}


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Switch sharing off, and note who makes a host array of many values of a tensor."""
    monkeypatch.setattr(TorchBackend, "share", lambda self, array, device: None)
    askers: set[str] = set()

    def noted(name: str) -> Callable[..., Any]:
        plain = getattr(torch.Tensor, name)

        def ask(tensor: Any, *args: Any, **options: Any) -> Any:
            module = str(sys._getframe(1).f_globals.get("__name__"))
            if tensor.numel() >= VOXELS // 4 and not module.startswith(("gpukit_backends", "torch.")):
                askers.add(module)
            return plain(tensor, *args, **options)

        return ask

    for name in ("numpy", "__array__", "cpu", "tolist"):
        monkeypatch.setattr(torch.Tensor, name, noted(name))
    return askers


@pytest.fixture
def series(tmp_path: Path) -> Path:
    k, j, i = np.mgrid[: SHAPE[0], : SHAPE[1], : SHAPE[2]]
    ball = ((k - 12) / 8) ** 2 + ((j - 20) / 12) ** 2 + ((i - 18) / 10) ** 2 < 1
    array = np.where(ball, 250, 20 + i).astype(np.uint16)
    return write_slices(tmp_path / "series", array, np.diag([0.9, 0.9, 1.5, 1.0]))


def steps(folder: Path, **changes: Any) -> Path:
    """A network of two labels, with parts of its description changed."""
    found = write_steps(folder, labels=2, patch=changes.pop("patch", None))
    file = found if found.is_file() else found / "model.json"
    content = json.loads(file.read_text())
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value}
    file.write_text(json.dumps(content))
    return found


def crossings(words: list[str], capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    assert main([*words, "--device", "torch-cpu", "--json", "--profile"]) == 0
    told = json.loads(capsys.readouterr().out)["profile"]
    assert {"reading", "decoding", "upload", "inference", "download"} <= set(told["seconds"])
    assert sum(told["seconds"].values()) <= told["total_seconds"]
    moved: list[dict[str, Any]] = told["transfers"]
    return moved


KINDS: dict[str, dict[str, Any]] = {
    "on the source's voxels": {"patch": 32},
    "resampled and back": {"input": {"spacing": [1.2, 1.2, 1.2]}, "patch": 16},
    "empty windows left out": {"patch": 16, "inference": {"skip_background": {"below": 100.0}}},
    "the main body kept": {"output": {"postprocess": [{"_target_": "KeepMainBody", "radius_mm": 1.5}]}},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["", "--flips x", "--overlay"])
def test_a_segmentation_crosses_twice(
    kind: str, way: str, series: Path, tmp_path: Path, device: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    model = steps(tmp_path / "model", **KINDS[kind])
    picture = ["--overlay", str(tmp_path / "picture.png")] if way == "--overlay" else way.split()
    words = ["ai", "segment", str(series), "--model", str(model), "--output", str(tmp_path / "seg.dcm"), *picture]
    moved = crossings(words, capsys)
    ups = [t for t in moved if t["to"] == "torch-cpu"]
    downs = [t for t in moved if t["to"] == "cpu"]
    assert [t["bytes"] for t in ups] == [2 * VOXELS]  # the series, 16 bits
    labels = [t["bytes"] for t in downs if t["bytes"] >= VOXELS]
    assert labels == [VOXELS]  # the label map, 8 bits, once for the file and the picture
    # the rest is counts, and of the anatomy the slices that the picture shows
    shown = 2 * 6 * (40 * 36 + 24 * 36 + 24 * 40) if way == "--overlay" else 0
    assert sum(t["bytes"] for t in downs) - VOXELS <= shown + 200
    assert device <= ON_THE_CPU_ONLY


def test_an_ensemble_crosses_twice(
    series: Path, tmp_path: Path, device: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    models = [str(steps(tmp_path / name, patch=16)) for name in ("one", "two")]
    words = ["ai", "segment", str(series), "--models", ",".join(models), "--ensemble", "average"]
    moved = crossings([*words, "--output", str(tmp_path / "seg.nii.gz")], capsys)
    assert [t["bytes"] for t in moved if t["bytes"] >= VOXELS] == [2 * VOXELS, VOXELS]
    assert device <= ON_THE_CPU_ONLY


def test_an_enhanced_series_crosses_twice(
    series: Path, tmp_path: Path, device: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    weights = tmp_path / "same.ts"
    torch.jit.script(torch.nn.Identity()).save(str(weights))
    (tmp_path / "same.json").write_text(
        json.dumps({
            "schema_version": 1, "name": "same", "version": "1", "task": "enhance", "format": "torchscript",
            "weights": "same.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"}, "output": {},
        })
    )  # fmt: skip
    words = ["ai", "enhance", str(series), "--model", str(tmp_path / "same.json"), "--output", str(tmp_path / "out")]
    moved = crossings([*words, "--nifti", str(tmp_path / "out.nii.gz")], capsys)
    # up as 16 bits, down as float32 for both outputs
    assert [t["bytes"] for t in moved if t["bytes"] >= VOXELS] == [2 * VOXELS, 4 * VOXELS]
    assert device == set()


def test_a_batch_crosses_twice_a_case(series: Path, tmp_path: Path, device: set[str]) -> None:
    import gpukit.ai.batch.job as batch_job
    from gpukit.ai.batch.case import Case
    from gpukit.ai.batch.job import Job
    from gpukit.transfers import count_transfers

    model = steps(tmp_path / "model", patch=32)
    out = tmp_path / "out"
    out.mkdir()
    job = Job(task="segment", models=(str(model),), output=str(out), format="dicom-seg", overlay=True)
    case = Case(key="one", source=str(series), files=tuple(str(p) for p in sorted(series.iterdir())))

    def passing(*done: object) -> None:
        """The pipeline asks whether to go on; here it does."""

    with count_transfers() as moved:
        models = job.check()
        images = batch_job.read(case, job, models, "torch-cpu", {}, passing)
        result = batch_job.run(images, job, models, passing)
        batch_job.write(case, images[0], result, job, models)
    assert [t.nbytes for t in moved if t.nbytes >= VOXELS] == [2 * VOXELS, VOXELS]
    assert device <= ON_THE_CPU_ONLY
