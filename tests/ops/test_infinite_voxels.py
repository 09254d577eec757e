"""Infinite voxels are drawn as padding by every backend, and maps that lead nowhere are refused by all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gpukit as gk
from gpukit.errors import GeometryError
from gpukit.geometry import Grid
from gpukit.ops._scene import Second
from gpukit.ops.raycast import raycast
from gpukit.volume import Volume

LOOK: dict[str, Any] = {
    "colors": [[0, 0, 0], [1, 1, 1]], "opacities": [0, 0.5], "window": (0, 100), "shading": (0.2, 0.8, 0.3, 10),
}  # fmt: skip


def noise(bad: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    values = rng.uniform(0, 100, (12, 14, 16)).astype(np.float32)
    values[rng.uniform(size=values.shape) < 0.02] = bad
    return values


def torch_of(array: np.ndarray) -> Any:
    torch = pytest.importorskip("torch", reason="the torch backend needs torch")
    return torch.from_numpy(array)


@pytest.mark.parametrize("bad", [np.inf, -np.inf])
def test_every_backend_draws_infinite_voxels_as_no_measurement(bad: float) -> None:
    infinite, missing = noise(bad), noise(np.nan)
    for draw in (raycast, raycast.reference):
        right = np.asarray(draw(missing, np.eye(4), infinite.shape, affine=np.eye(4), **LOOK))
        assert right.max() > 0.3
        for data in (infinite, torch_of(infinite)):
            shown = np.asarray(draw(data, np.eye(4), infinite.shape, affine=np.eye(4), **LOOK))
            assert np.abs(shown - right).max() < 1e-4


def test_infinite_voxels_of_a_second_volume_too() -> None:
    body, pictures = noise(50.0), []
    for bad in (np.nan, np.inf):
        second = Second(noise(bad), np.eye(4), LOOK["colors"], LOOK["opacities"], LOOK["window"])
        pictures.append(raycast(body, np.eye(4), body.shape, affine=np.eye(4), second=second, **LOOK))
    np.testing.assert_allclose(pictures[0], pictures[1], atol=1e-4)


@pytest.mark.parametrize("method", ["mip", "minip", "mean"])
def test_projections_leave_infinite_voxels_out(method: str) -> None:
    volumes = [Volume(array=noise(bad), grid=Grid.from_axes((12, 14, 16))) for bad in (np.nan, np.inf, -np.inf)]
    for arguments in ({"plane": "axial"}, {"normal": (1, 2, 5)}):
        right, *others = (np.asarray(gk.mip(volume, method=method, **arguments).array) for volume in volumes)
        for other in others:
            np.testing.assert_array_equal(other, right)


@pytest.mark.parametrize("number", [1e300, -1e200, 1e20])
def test_rays_that_lead_nowhere_are_refused_by_every_backend(number: float) -> None:
    matrix = np.eye(4)
    matrix[0, 3] = number
    for draw in (raycast, raycast.reference):
        for data in (noise(0.0), torch_of(noise(0.0))):
            with pytest.raises(GeometryError, match="voxels away"):
                draw(data, matrix, (12, 14, 16), affine=np.eye(4), **LOOK)
