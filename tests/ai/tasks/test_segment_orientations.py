"""Labels come back at the same patient coordinates, in whatever order and direction the source's axes run."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from support.models import description, label

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

import gpukit as gk
from gpukit.geometry import Grid

#: Every order of the three patient axes and every direction along them, as columns (i, j, k) in LPS: 48.
ORDERS = [
    np.eye(3)[:, list(order)] * signs
    for order in itertools.permutations(range(3))
    for signs in itertools.product((1.0, -1.0), repeat=3)
]
#: A rotation by 20 degrees about an axis that is no axis of anything (Rodrigues' formula); below 45 degrees, so that
#: each source axis still runs closest to the patient axis that it ran along before.
_X, _Y, _Z = np.array((0.3, -0.5, 0.8)) / np.linalg.norm((0.3, -0.5, 0.8))
_CROSS = np.array([(0, -_Z, _Y), (_Z, 0, -_X), (-_Y, _X, 0)])
OBLIQUE = np.eye(3) + np.sin(np.radians(20)) * _CROSS + (1 - np.cos(np.radians(20))) * _CROSS @ _CROSS
#: How far the network below moves what it sees, in voxels to the right, to the front and to the head.
MOVED = (1, 2, -1)


pytestmark = pytest.mark.usefixtures("one_thread")


def name(order: np.ndarray) -> str:
    """Letters of the directions in which i, j and k grow."""
    return "".join("LPS"[np.argmax(np.abs(c))] if c.sum() > 0 else "RAI"[np.argmax(np.abs(c))] for c in order.T)


@pytest.fixture(scope="module")
def mover(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network that labels what is bright, one, two and minus one voxels further along its own three axes."""

    class Mover(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            bright = (torch.roll(x, [1, 2, -1], [2, 3, 4]) > 50.0).to(x.dtype)
            return torch.cat([1 - bright, bright], 1)

    folder = tmp_path_factory.mktemp("mover")
    torch.jit.script(Mover()).save(str(folder / "weights.ts"))
    content = description(format="torchscript", weights="weights.ts", network=None, inference=None)
    content["input"] = {"channels": 1, "orientation": "RAS"}
    content["output"] = {"activation": "none", "labels": [label(1)]}
    (folder / "model.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def levels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network on voxels of 1.25 mm that labels what is above one half."""

    class Levels(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.cat([torch.full_like(x, 0.5), x], 1)

    folder = tmp_path_factory.mktemp("levels")
    torch.jit.script(Levels()).save(str(folder / "weights.ts"))
    content = description(format="torchscript", weights="weights.ts", network=None)
    content["input"] = {"channels": 1, "orientation": "RAS", "spacing": [1.25, 1.25, 1.25]}
    content["output"] = {"activation": "none", "labels": [label(1)]}
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def places(grid: Grid) -> np.ndarray:
    """Patient positions (LPS mm) of all voxels, ``[k, j, i, 3]``, by the affine alone."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    return np.stack([i, j, k], -1) @ grid.affine[:3, :3].T + grid.affine[:3, 3]


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", ORDERS, ids=name)
def test_the_network_sees_the_patient_the_same_way_round(order: np.ndarray, rotation: np.ndarray, mover: Path) -> None:
    """Right, front and head are the network's own directions; a single exchanged or mirrored axis moves the labels."""
    direction, spacing = rotation @ order, np.array((1.5, 2.0, 2.5))
    grid = Grid.from_axes((11, 12, 13), spacing=tuple(spacing), direction=direction, origin=(5, -7, 11))
    array = np.full(grid.shape, 20, np.int16)
    array[4:7, 5:7, 5:9] = 150
    array[7, 5, 5] = 150  # nothing about the shape is symmetric
    found = gk.segment(gk.Volume(array=array, grid=grid), mover)
    assert found.grid is grid

    # The source's own step that comes closest to one to the right, to the front, to the head (LPS: -x, -y, +z).
    step = np.zeros(3)
    for count, wanted in zip(MOVED, np.diag((-1.0, -1.0, 1.0)), strict=True):
        along = direction.T @ wanted
        axis = int(np.argmax(np.abs(along)))
        step += count * np.sign(along[axis]) * spacing[axis] * direction[:, axis]
    expected = places(grid)[array > 50] + step
    got = places(grid)[found.array == 1]
    assert len(got) == len(expected)
    apart = np.linalg.norm(got[:, None] - expected[None], axis=-1)
    # The same voxels: float64 positions of a metre or less agree to far better than a nanometre.
    assert apart.min(axis=0).max() < 1e-6 and apart.min(axis=1).max() < 1e-6


@pytest.mark.parametrize("rotation", [np.eye(3), OBLIQUE], ids=["straight", "oblique"])
@pytest.mark.parametrize("order", ORDERS, ids=name)
def test_labels_on_a_resampled_grid_return_to_their_place(
    order: np.ndarray, rotation: np.ndarray, levels: Path
) -> None:
    """A field that is linear in space crosses one half on a plane: labels are exactly the voxels beyond that plane."""
    grid = Grid.from_axes((14, 13, 15), spacing=(1.0, 1.6, 2.1), direction=rotation @ order, origin=(-3, 4, 9))
    normal = np.array((0.04, -0.03, 0.02))  # per mm: no two axes are alike
    middle = places(grid).reshape(-1, 3).mean(axis=0)
    value = (places(grid) - middle) @ normal + 0.5
    found = gk.segment(gk.Volume(array=value.astype(np.float32), grid=grid), levels).array
    # Linear interpolation keeps a linear field; at the outermost half voxels it does not, since the border is repeated
    # there. Within them, only voxels whose distance to the plane is lost in float32 may tip.
    inner = (slice(1, -1),) * 3
    clear = np.abs(value - 0.5) > 1e-4
    where = np.zeros(grid.shape, bool)
    where[inner] = clear[inner]
    assert where.mean() > 0.5
    np.testing.assert_array_equal(found[where] == 1, value[where] > 0.5)
