"""Independent readers of DICOM SEG, and the label maps that go through them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np

from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume
from support.oracles import dciodvfy
from support.oracles.dciodvfy import program

ANATOMY = ("123037004", "SCT", "Anatomical Structure")
LABELS = (
    Label(1, "Liver", ANATOMY, ("10200004", "SCT", "Liver"), (200, 80, 60)),
    Label(4, "Spleen", ANATOMY, ("78961009", "SCT", "Spleen")),
    Label(9, "Never there", ANATOMY, ("64033007", "SCT", "Kidney")),
)
ALGORITHM = {"name": "test model", "version": "3.1", "digest": "ab" * 32}


def errors_of(path: Path) -> list[str]:
    """What dciodvfy calls an error in a segmentation."""
    return dciodvfy.errors_of(path, "Segmentation")


def label_map(shape: tuple[int, int, int], seed: int = 5) -> np.ndarray:
    """No symmetry: two blocks, the first and the last voxel, and specks; values 1 and 4."""
    nk, nj, ni = shape
    array = np.zeros(shape, np.uint8)
    array[: max(1, nk // 3), nj // 5 : nj // 2, ni // 7 : ni // 3] = 1
    array[nk // 2 :, nj // 2 : nj // 2 + 3, ni // 3 : ni - 2] = 4
    rng = np.random.default_rng(seed)
    specks = tuple(rng.integers(0, n, 50) for n in shape)
    array[specks] = rng.choice([1, 4], 50)
    array[0, 0, 0], array[-1, -1, -1] = 1, 4
    return array


def segmentation_of(volume: Volume, array: np.ndarray | None = None) -> Segmentation:
    """A segmentation of a volume, with labels 1, 4 and 9."""
    return Segmentation(
        array=label_map(volume.grid.shape) if array is None else array,
        grid=volume.grid,
        labels=LABELS,
        algorithm=ALGORITHM,
        sources=volume.sources,
        metadata=volume.metadata,
        notes=volume.notes,
    )


def numbered(array: np.ndarray, kind: str) -> np.ndarray:
    """The label map in segment numbers: a binary object counts segments from 1."""
    return np.where(array == 4, 2, array) if kind == "binary" else array


def onto(grid: Grid, array: np.ndarray, affine: np.ndarray, tolerance: float = 0.1) -> np.ndarray:
    """Labelled voxels of ``array[i, j, k]`` with an affine to LPS mm, put where they lie on a grid (``[k, j, i]``)."""
    out = np.zeros(grid.shape, np.int64)
    points = np.argwhere(array)
    if not len(points):
        return out
    world = points @ affine[:3, :3].T + affine[:3, 3]
    exact = grid.to_index(world)
    index = np.rint(exact).astype(int)
    assert np.abs(exact - index).max() <= tolerance
    assert (index >= 0).all() and (index < np.array(grid.shape[::-1])).all()
    out[index[:, 2], index[:, 1], index[:, 0]] = array[tuple(points.T)]
    return out


def through_highdicom(path: Path, grid: Grid) -> np.ndarray:
    """The label map as highdicom reads it, in segment numbers."""
    import highdicom

    seg = highdicom.seg.segread(path)
    volume = seg.get_volume(combine_segments=True, rtol=0.05, allow_missing_positions=True)
    # highdicom's affine maps (slice, row, column) of its array to LPS mm
    return onto(grid, volume.array, volume.affine)


def through_dcmqi(path: Path, grid: Grid, folder: Path) -> np.ndarray:
    """The label map as dcmqi (C++, DCMTK and ITK) converts it to NRRD."""
    import nrrd

    folder.mkdir()
    command = [program("segimage2itkimage"), "--inputDICOM", path, "--outputDirectory", folder, "--mergeSegments"]
    result = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=120)
    files = sorted(folder.glob("*.nrrd"))
    assert files, result.stdout + result.stderr
    out = np.zeros(grid.shape, np.int64)
    for file in files:
        array, header = nrrd.read(str(file))
        assert header["space"] == "left-posterior-superior"
        affine = np.eye(4)
        affine[:3, :3] = header["space directions"].T
        affine[:3, 3] = header["space origin"]
        out = np.maximum(out, onto(grid, array, affine))
    return out
