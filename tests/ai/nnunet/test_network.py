"""An nnU-Net folder on a device: the image crosses once, the label map once, whatever is resampled between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("dynamic_network_architectures", reason="nnU-Net's architectures are not installed")

from support.nnunet_models import configuration, write_folder

import gpukit as gk
from gpukit_backends.mps.backend import TorchBackend

SHAPE = (24, 40, 36)


@pytest.mark.parametrize("changes", [{}, {"spacing": [5.0, 1.0, 1.0]}], ids=["near its own spacing", "thick slices"])
def test_an_nnunet_folder_crosses_twice(
    changes: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as on a GPU, which shares no memory with NumPy
    monkeypatch.setattr(TorchBackend, "share", lambda self, array, device: None)
    folder = write_folder(tmp_path / "Dataset001_Y", configuration(**changes), mirror=(0, 1, 2))
    values = np.random.default_rng(0).normal(0, 100, SHAPE).astype(np.int16)
    grid = gk.Grid.from_axes(SHAPE, spacing=(0.9, 0.9, 1.5))
    volume = gk.Volume(array=values, grid=grid, metadata={"Modality": "CT"})
    with gk.count_transfers() as moved:
        gk.segment(volume.to("torch-cpu"), folder).to("cpu")
    voxels = int(np.prod(SHAPE))
    assert [(t.target, t.nbytes) for t in moved if t.nbytes > 1000] == [("torch-cpu", 2 * voxels), ("cpu", voxels)]
