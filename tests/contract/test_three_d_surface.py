"""The lines of `3d` that make surfaces, each as a real process on a real series."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import trimesh

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def chest(data: Path) -> Path:
    """Lung CT, 204 x 201 x 60 voxels of 0.977 x 0.977 x 3 mm, with the same image as NIfTI made by other people."""
    return data / "ct_chest_ibsi"


def reference(chest: Path):
    return nibabel.load(next((chest / "nifti" / "image").glob("*.nii*")))


def test_surface_of_a_series(run: Run, chest: Path, tmp_path: Path) -> None:
    done = run("3d", "surface", *sorted(chest.rglob("*.dcm")), "--threshold", "200", "--output", "surface.stl",
               "--check", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["surfaces"]
    mesh = trimesh.load(tmp_path / "surface.stl")
    assert row["watertight"] is True and row["triangles"] == len(mesh.faces)
    assert mesh.volume / 1000 == pytest.approx(row["volume_ml"], rel=1e-3)
    # Other people's image: the surface encloses the voxels from 200 HU, where they are.
    image = reference(chest)
    values = np.asarray(image.dataobj)
    inside = np.argwhere(values >= 200)
    voxel = abs(np.linalg.det(image.affine[:3, :3])) / 1000
    assert row["volume_ml"] == pytest.approx(len(inside) * voxel, rel=0.15)  # thin bones: half voxels count
    world = nibabel.affines.apply_affine(image.affine, inside) * (-1, -1, 1)  # RAS to LPS
    low, high = mesh.bounds
    zooms = np.array(image.header.get_zooms()[:3])
    assert (np.abs(low - world.min(axis=0)) < zooms).all()  # between the outermost inside and the next one outside
    assert (np.abs(high - world.max(axis=0)) < zooms).all()
    # Left and right: every point of the surface lies beside a voxel that is inside, in the other people's image.
    ras = mesh.vertices[::50] * (-1, -1, 1)
    at = np.rint(nibabel.affines.apply_affine(np.linalg.inv(image.affine), ras)).astype(int) + 2
    beside = np.pad(values >= 200, 2)
    for axis in range(3):
        beside = beside | np.roll(beside, 1, axis) | np.roll(beside, -1, axis)
    assert beside[tuple(at.T)].all()
    assert beside[::-1][tuple(at.T)].mean() < 0.6  # and the check would see a mirrored surface


def test_options_and_other_formats(run: Run, chest: Path, tmp_path: Path) -> None:
    files = sorted(chest.rglob("*.dcm"))
    done = run("3d", "surface", *files, "--output", "bone.ply", "--largest", "--smooth", 10, "--decimate", 0.5,
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "200 HU" in done.stderr  # the threshold that was taken is told
    assert "bone.ply" in done.stdout and " ml, " in done.stdout and " cm2, " in done.stdout
    assert trimesh.load(tmp_path / "bone.ply").body_count == 1


def test_labels_of_a_label_map(run: Run, tmp_path: Path) -> None:
    values = np.zeros((10, 12, 14), np.uint8)
    values[2:5, 3:6, 4:8], values[6:9, 8:10, 9:13] = 1, 4
    nibabel.save(nibabel.Nifti1Image(values, np.diag((-1.0, -1, 2, 1))), tmp_path / "map.nii.gz")
    done = run("3d", "surface", "map.nii.gz", "--labels", "all", "--output", "organ.obj", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(p.name for p in tmp_path.glob("*.obj")) == ["organ-1.obj", "organ-4.obj"]
    # diag(-1, -1) in RAS is (i, j) in LPS: half a voxel around voxels 2..4, 3..5, 4..7.
    bounds = trimesh.load(tmp_path / "organ-1.obj").bounds
    assert bounds.ravel() == pytest.approx((1.5, 2.5, 7, 4.5, 5.5, 15))


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--threshold", 9000, "--output", "a.stl"), 1, "values go from"),
        (("--output", "a.jpg"), 2, "no ending"),
        (("--decimate", 3, "--output", "a.stl"), 2, "no share"),
    ],
)
def test_refusals(run: Run, chest: Path, tmp_path: Path, words: tuple[object, ...], code: int, told: str) -> None:
    done = run("3d", "surface", chest / "dicom", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert not list(tmp_path.iterdir())


def test_export_of_volumes_and_a_surface(run: Run, tmp_path: Path) -> None:
    z, y, x = np.indices((12, 14, 16))
    values = (1000 - 100 * np.sqrt((x - 7) ** 2 + (y - 6) ** 2 + (z - 5) ** 2)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag((-1.0, -1, 1, 1))), tmp_path / "in.nii.gz")
    done = run("3d", "export", "in.nii.gz", "--output", "volume", "--formats", "nifti,stl,metaimage",
               "--threshold", 600, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["volume.nii.gz", "volume.stl", "volume.mha"]
    mesh = trimesh.load(tmp_path / "volume.stl")
    assert mesh.volume == pytest.approx(4 / 3 * np.pi * 4**3, rel=0.05)  # chords of a ball of four voxels
    assert mesh.bounds.mean(axis=0) == pytest.approx((7, 6, 5), abs=0.05)
    assert np.array_equal(np.asarray(nibabel.load(tmp_path / "volume.nii.gz").dataobj), values.T)
    refused = run(
        "3d", "export", "in.nii.gz", "--output", "b", "--formats", "nifti,stl", "--threshold", 6000, cwd=tmp_path
    )
    assert refused.returncode == 1 and "values go from" in refused.stderr
    assert not (tmp_path / "b.nii.gz").exists()  # nothing is written where there is no surface
