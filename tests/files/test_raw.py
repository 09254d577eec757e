"""Bare voxels are read back with nothing but NumPy and json."""

from __future__ import annotations

import json

import numpy as np
import pytest

import gpukit as gk
from gpukit.errors import OutputExistsError
from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

CODE = ("1", "99X", "x")
AFFINE = np.array([[0.1, 0.3, -1.0, 7.1], [0.7, 0.0, 0.2, -3.3], [0.0, 0.9, 0.4, 1 / 3], [0, 0, 0, 1]])


def read(folder, name="v"):
    described = json.loads((folder / f"{name}.json").read_text())
    kind = np.dtype(described["dtype"]).newbyteorder({"little": "<", "big": ">"}[described["byte_order"]])
    voxels = np.fromfile(folder / described["data_file"], kind).reshape(described["shape"], order="C")
    return described, voxels


@pytest.mark.parametrize("axes", ["kji", "tkji", "kjic", "tkjic"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", ">i2", "float32", "float64"])
def test_round_trip(tmp_path, axes, dtype):
    shape = tuple({"t": 2, "k": 3, "j": 4, "i": 5, "c": 3}[axis] for axis in axes)
    array = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    volume = Volume(array=array, grid=Grid((3, 4, 5), AFFINE), axes=axes, unit="HU", padding=(-5.0, -5.0))
    gk.save(volume, tmp_path / "v.raw")
    described, voxels = read(tmp_path)
    assert np.array_equal(voxels, array)
    assert np.array_equal(np.array(described["affine_lps_mm"]), AFFINE)  # to the last bit
    assert (described["axes"], described["unit"], described["padding"]) == (axes, "HU", [-5.0, -5.0])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["v.json", "v.raw"]


def test_label_map(tmp_path):
    array = np.zeros((2, 3, 4), np.uint16)
    array[0, 1, 2] = 7
    seg = Segmentation(array=array, grid=Grid((2, 3, 4), np.eye(4)), labels=(Label(7, "Liver", CODE, CODE, (1, 2, 3)),))
    gk.save(seg, tmp_path / "v.raw")
    described, voxels = read(tmp_path)
    assert np.array_equal(voxels, array)
    assert described["labels"] == [{"value": 7, "name": "Liver", "color": [1, 2, 3]}]


def test_neither_file_is_overwritten(tmp_path):
    volume = Volume(array=np.zeros((2, 3, 4), np.int16), grid=Grid((2, 3, 4), np.eye(4)))
    (tmp_path / "v.json").write_text("mine")
    with pytest.raises(OutputExistsError):
        gk.save(volume, tmp_path / "v.raw")
    assert [path.name for path in tmp_path.iterdir()] == ["v.json"]
    assert (tmp_path / "v.json").read_text() == "mine"


def test_an_array_larger_than_memory_goes_out_in_slices(tmp_path, monkeypatch):
    """Slices of a broadcast array are written one at a time: nothing of the size of the whole is made."""
    import tracemalloc

    volume = Volume(
        array=np.broadcast_to(np.ones((1, 64, 64), np.int16), (2000, 64, 64)), grid=Grid((2000, 64, 64), np.eye(4))
    )
    tracemalloc.start()
    gk.save(volume, tmp_path / "v.raw")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "v.raw").stat().st_size == 2000 * 64 * 64 * 2
    assert peak < 2_000_000  # of 16 MB
