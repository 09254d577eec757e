"""The lines of `3d` that make surfaces, each as a real process on a real series."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK
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


def test_surfaces_of_an_rtstruct_and_of_a_mask(run: Run, chest: Path, tmp_path: Path) -> None:
    """The tumour's volume is known: 125256 voxels, 358.681 ml."""
    done = run("3d", "surface", chest / "dicom", "--mask", chest / "dicom" / "mask" / "DCM_RS_00060.dcm",
               "--output", "gtv.stl", "--check", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["surfaces"]
    assert (row["path"], row["name"], row["watertight"]) == ("gtv-gtv-1.stl", "GTV-1", True)
    assert row["volume_ml"] == pytest.approx(358.681, rel=0.005)  # edges of the voxels are bevelled
    drawn = trimesh.load(tmp_path / "gtv-gtv-1.stl")
    done = run("3d", "surface", chest / "dicom", "--mask", next((chest / "nifti" / "mask").glob("*.nii*")),
               "--labels", 1, "--output", "gtv.ply", "--smooth", 20, "--decimate", 4000, "--json",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["surfaces"]
    assert row["triangles"] == pytest.approx(4000, abs=2) and row["full_triangles"] > 40_000
    assert row["volume_ml"] == pytest.approx(358.681, rel=0.01)
    other = trimesh.load(tmp_path / "gtv-1.ply")
    assert other.is_watertight
    assert other.bounds == pytest.approx(drawn.bounds, abs=3.0)  # a slice
    assert other.center_mass == pytest.approx(drawn.center_mass, abs=0.5)


def test_surfaces_of_a_segmentation_without_its_series(run: Run, data: Path, tmp_path: Path) -> None:
    """Overlapping segments of dcmqi, each with a label map beside it that is not ours."""
    folder = data / "seg" / "dcmqi_partial_overlaps"
    done = run("3d", "surface", folder / "partial_overlaps.dcm", "--output", "all.glb", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["surfaces"]
    scene = trimesh.load(tmp_path / "all.glb")
    assert sorted(scene.geometry) == sorted(row["name"] for row in rows) and len(rows) == 5
    voxels: dict[int, float] = {}
    for file in folder.glob("*.nrrd"):
        image = SimpleITK.ReadImage(str(file))
        values, counts = np.unique(SimpleITK.GetArrayFromImage(image), return_counts=True)
        size = float(np.prod(image.GetSpacing())) / 1000
        voxels |= {int(v): c * size for v, c in zip(values, counts, strict=True) if v}
    for row in rows:
        assert row["volume_ml"] == pytest.approx(voxels[row["label"]], rel=0.02)


def test_positions_by_other_programs(run: Run, tmp_path: Path) -> None:
    """VTK reads the points of an oblique volume's surface; SimpleITK finds the threshold there."""
    from vtkmodules.util.numpy_support import vtk_to_numpy
    from vtkmodules.vtkIOGeometry import vtkSTLReader

    turn = np.linalg.qr(np.array([[1.0, 0.3, -0.2], [-0.1, 1.0, 0.5], [0.3, -0.2, 1.0]]))[0]
    z, y, x = np.indices((24, 28, 32))
    values = 1000 - 60 * np.sqrt((x - 12) ** 2 + (1.2 * (y - 15)) ** 2 + (1.5 * (z - 11)) ** 2)
    image = SimpleITK.GetImageFromArray(values.astype(np.float32))
    image.SetDirection(turn.ravel().tolist())
    image.SetSpacing((0.7, 0.9, 1.3))
    image.SetOrigin((12.5, -80.25, 300.0))
    SimpleITK.WriteImage(image, str(tmp_path / "oblique.mha"))
    done = run("3d", "surface", "oblique.mha", "--threshold", 500, "--output", "a.stl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    reader = vtkSTLReader()
    reader.SetFileName(str(tmp_path / "a.stl"))
    reader.Update()
    points = vtk_to_numpy(reader.GetOutput().GetPoints().GetData()).astype(float)
    found = [image.EvaluateAtPhysicalPoint(point.tolist(), SimpleITK.sitkLinear) for point in points[::7]]
    # Single precision at 300 mm is 3e-5 mm; the values change by up to 100 a mm.
    assert found == pytest.approx(np.full(len(found), 500.0), abs=0.1)


def test_each_phase_has_its_surface(run: Run, tmp_path: Path) -> None:
    z, y, x = np.indices((12, 12, 12))
    distance = np.sqrt((x - 5.5) ** 2 + (y - 5.5) ** 2 + (z - 5.5) ** 2)
    phases = np.stack([100 * (radius - distance) for radius in (3, 5)], axis=-1).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(phases.transpose(2, 1, 0, 3), np.eye(4)), tmp_path / "heart.nii.gz")
    done = run("3d", "surface", "heart.nii.gz", "--threshold", 0, "--output", "h.stl", cwd=tmp_path)
    assert done.returncode == 1 and "--phase" in done.stderr
    done = run("3d", "surface", "heart.nii.gz", "--threshold", 0, "--phase", "all", "--output", "h.stl", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for t, radius in enumerate((3, 5)):
        mesh = trimesh.load(tmp_path / f"h-phase_{t:03d}.stl")
        assert mesh.volume == pytest.approx(4 / 3 * np.pi * radius**3, rel=3 / (4 * radius**2))  # chords


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--threshold", 9000, "--output", "a.stl"), 1, "values go from"),
        (("--output", "a.jpg"), 2, "no ending"),
        (("--decimate", 3, "--output", "a.stl"), 2, "a number from 4"),
        (("--labels", "all", "--output", "a.stl"), 1, "not labels"),
        (("--threshold", 1, "--labels", "all", "--output", "a.stl"), 2, "excludes"),
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


def test_export_of_phases_bare_voxels_and_colour(run: Run, tmp_path: Path) -> None:
    z, y, x = np.indices((10, 11, 12))
    distance = np.sqrt((x - 6) ** 2 + (y - 5) ** 2 + (z - 5) ** 2)
    phases = np.stack([100 * (radius - distance) for radius in (2, 4)], axis=-1).astype(np.int16)
    affine = np.array([[0, -0.8, 0, 3], [-0.9, 0, 0, 4], [0, 0, 1.5, -5], [0, 0, 0, 1.0]])
    nibabel.save(nibabel.Nifti1Image(phases.transpose(2, 1, 0, 3), affine), tmp_path / "in.nii.gz")
    done = run("3d", "export", "in.nii.gz", "--output", "v", "--formats", "raw,nrrd,obj", "--threshold", 0, "--json",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = json.loads(done.stdout)["files"]
    assert [file["path"] for file in files] == ["v.raw", "v.nrrd", "v-phase_000.obj", "v-phase_001.obj"]
    assert files[2]["volume_ml"] < 0.3 * files[3]["volume_ml"]
    described = json.loads((tmp_path / "v.json").read_text())
    assert described["shape"] == [2, 10, 11, 12] and described["axes"] == "tkji" and described["dtype"] == "int16"
    voxels = np.fromfile(tmp_path / described["data_file"], "<i2").reshape(described["shape"])
    assert np.array_equal(voxels, phases.transpose(3, 0, 1, 2))
    # nibabel's RAS is LPS with the first two axes turned; float32 of the file's sform
    assert np.array(described["affine_lps_mm"]) == pytest.approx(np.diag((-1, -1, 1, 1)) @ affine, abs=1e-6)
    again = run("3d", "export", "in.nii.gz", "--output", "w", "--formats", "raw", cwd=tmp_path)
    (tmp_path / "w.raw").unlink()
    again = run("3d", "export", "in.nii.gz", "--output", "w", "--formats", "raw", cwd=tmp_path)
    assert again.returncode == 1 and "w.json" in again.stderr  # the description is there
    colours = np.zeros((4, 5, 6), np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")]))
    colours["G"][1:3] = 200
    nibabel.save(nibabel.Nifti1Image(colours, np.eye(4)), tmp_path / "colour.nii")
    done = run("3d", "export", "colour.nii", "--output", "c", "--formats", "raw,metaimage", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    voxels = np.fromfile(tmp_path / "c.raw", np.uint8).reshape(json.loads((tmp_path / "c.json").read_text())["shape"])
    assert np.array_equal(voxels[..., 1], colours["G"].T) and voxels.shape == (6, 5, 4, 3)
    assert np.array_equal(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(tmp_path / "c.mha"))), voxels)
    done = run("3d", "export", "colour.nii", "--output", "d", "--formats", "nifti,stl", "--threshold", 9, cwd=tmp_path)
    assert done.returncode == 1 and "colour" in done.stderr
    assert not list(tmp_path.glob("d*"))
