"""What dcm2niix, an independent converter, makes of a series; in tests that compare places and voxels with it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import gpukit as gk

__all__ = ["converted", "same_voxels_in_place"]


def converted(source: Path, folder: Path) -> Any:
    """The NIfTI image that dcm2niix writes of one file (or of a folder), in `folder`."""
    program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
    if program is None:
        pytest.skip("dcm2niix, the independent converter of the test extra, is not installed")
    single = "y" if source.is_file() else "n"
    command = [program, "-o", folder, "-f", "converted", "-b", "n", "-s", single, source]
    subprocess.run(command, check=True, capture_output=True)
    return nib.load(folder / "converted.nii")


def same_voxels_in_place(volume: gk.Volume, image: Any) -> None:
    """Every voxel of a 3D image has the value that the volume has at the same place in the patient."""
    there = np.asanyarray(image.dataobj)
    assert sorted(there.shape) == sorted(volume.shape)
    index = np.stack(np.indices(there.shape), -1).reshape(-1, 3)
    world = nib.affines.apply_affine(image.affine, index) * (-1, -1, 1)  # RAS to LPS
    places = volume.grid.to_index(world)
    # dcm2niix writes single precision: a hundredth of a voxel at 100 mm
    assert np.abs(places - np.rint(places)).max() < 0.01
    i, j, k = np.rint(places).astype(int).T
    assert np.array_equal(np.asarray(volume.array)[k, j, i], there[tuple(index.T)])
