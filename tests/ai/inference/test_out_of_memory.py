"""Out of memory: smaller batches, then smaller windows, and a note; what is not finite is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import write_model

import gpukit_backends.runtimes.torch_runtime as module
from gpukit import Grid, Volume
from gpukit.ai import segment
from gpukit.ai.inference.out_of_memory import OutOfMemoryError, smaller
from gpukit.errors import ModelError


@pytest.fixture
def volume() -> Volume:
    values = np.random.default_rng(0).normal(100, 20, (40, 70, 66)).astype(np.float32)
    return Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 1)), metadata={"Modality": "MR"})


def limit(monkeypatch: pytest.MonkeyPatch, voxels: int) -> list[tuple[int, ...]]:
    """A device whose memory holds inputs of so many voxels: torch's own error comes for larger ones."""
    seen: list[tuple[int, ...]] = []

    def limited(real: Any) -> Any:
        def call(self: Any, batch: Any) -> Any:
            if batch.numel() > voxels:
                torch.empty(1 << 60)  # more than any machine has
            seen.append(tuple(batch.shape))
            return real(self, batch)

        return call

    for name in ("__call__", "late"):
        monkeypatch.setattr(module.TorchNetwork, name, limited(getattr(module.TorchNetwork, name)))
    return seen


def test_smaller_batches_give_the_same_labels(volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_model(tmp_path / "m", inference={"patch": [32, 32, 32], "batch": 4})
    wanted = segment(volume, folder, runtime="torch")
    seen = limit(monkeypatch, 2 * 32**3)
    found = segment(volume, folder, runtime="torch")
    assert np.array_equal(found.array, wanted.array)
    assert max(shape[0] for shape in seen) == 2
    (note,) = found.notes
    assert note == "the device's memory was too small, so that no more than 2 windows were run together"


def test_smaller_windows_label_nearly_the_same_and_it_is_said(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_model(tmp_path / "m", inference={"patch": [64, 64, 32], "batch": 1})
    seen = limit(monkeypatch, 32**3)
    found = segment(volume, folder, runtime="torch")
    assert {shape[2:] for shape in seen} == {(32, 32, 32)}
    assert found.notes == ("the device's memory was too small for windows of 64 x 64 x 32, so 32 x 32 x 32 were run",)
    small = write_model(tmp_path / "s", inference={"patch": [32, 32, 32], "batch": 1})
    assert np.array_equal(found.array, segment(volume, small, runtime="torch").array)


def test_a_device_without_room_for_any_window_is_an_error(
    volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit(monkeypatch, 100)
    with pytest.raises(OutOfMemoryError, match="does not fit into the memory of cpu"):
        segment(volume, write_model(tmp_path / "m", inference={"patch": [32, 32, 32]}), runtime="torch")


def test_windows_shrink_by_their_longest_sides() -> None:
    assert smaller((128, 128, 64)) == (64, 64, 64)
    assert smaller((160, 96, 96)) == (80, 80, 80)
    assert smaller((63, 32, 32)) is None


def test_other_errors_are_not_taken_for_memory(volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, batch: Any) -> Any:
        raise RuntimeError("no such operator")

    monkeypatch.setattr(module.TorchNetwork, "__call__", fail)
    with pytest.raises(ModelError, match="cannot run on an input of 1 x 16 x 16 x 16: no such operator") as caught:
        segment(volume, write_model(tmp_path / "m"), runtime="torch")
    assert not isinstance(caught.value, OutOfMemoryError)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_refused(
    value: float, volume: Volume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = module.TorchNetwork.__call__

    def spoilt(self: Any, batch: Any) -> Any:
        found = real(self, batch).clone()
        found[0, 1, 3, 3, 3] = value
        return found

    monkeypatch.setattr(module.TorchNetwork, "__call__", spoilt)
    with pytest.raises(ModelError, match=r"values that are not finite \(NaN or infinity\)"):
        segment(volume, write_model(tmp_path / "m"), runtime="torch")


CHILD = """
import resource, sys
import numpy as np, torch
torch.set_num_threads(1)
from gpukit import Grid, Volume
from gpukit.ai import segment

values = np.random.default_rng(0).normal(100, 20, (40, 70, 66)).astype(np.float32)
volume = Volume(array=values, grid=Grid.from_axes(values.shape, spacing=(1, 1, 1)), metadata={"Modality": "MR"})
small = segment(volume, sys.argv[1], runtime="torch")
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + int(sys.argv[3]), -1))
found = segment(volume, sys.argv[2], runtime="torch")
print(np.mean(found.array == small.array), "; ".join(found.notes))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux bounds the memory of a process so")
def test_a_network_that_outgrows_the_process_is_run_on_smaller_windows(tmp_path: Path) -> None:
    """The system itself refuses the memory: a network takes 4 kB for each voxel of its window, under RLIMIT_AS."""

    class Hungry(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            room = x.repeat(1, 1024, 1, 1, 1)
            score = x - 100.0 + 0.0 * room[:, :1]
            return torch.cat([torch.zeros_like(score), score, score - 1.0], dim=1)

    folders = []
    for name, patch in (("small", 16), ("large", 64)):
        changes = {"format": "torchscript", "weights": "hungry.ts", "network": None}
        folder = write_model(tmp_path / name, inference={"patch": [patch] * 3, "batch": 1}, **changes)
        torch.jit.script(Hungry()).save(str(folder / "hungry.ts"))
        folders.append(folder)
    # a window of 64^3 wants 1 GiB, one of 32^3 128 MiB
    command = [sys.executable, "-c", CHILD, *map(str, folders), str(700 << 20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    share, _, note = done.stdout.strip().partition(" ")
    assert float(share) == 1.0  # each voxel is judged alone, so windows do not matter
    assert "memory was too small" in note and "32" in note, note
