"""The lines of `3d` that make pictures, each as a real process on a real series."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from PIL import Image

from gpukit.geometry import LPS_RAS

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def chest(data: Path) -> Path:
    """Lung CT, 204 x 201 x 60 voxels of 0.977 x 0.977 x 3 mm, with the same image as NIfTI made by other people."""
    return data / "ct_chest_ibsi"


@pytest.fixture(scope="module")
def reference(chest: Path) -> np.ndarray:
    """The other people's image, indexed [left, back, up] in the patient."""
    image = nibabel.as_closest_canonical(nibabel.load(next((chest / "nifti" / "image").glob("*.nii*"))))
    return np.asarray(image.dataobj)[::-1, ::-1]


def windowed(values: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.rint(np.clip((values - low) / (high - low), 0, 1) * 255)


def test_mpr_of_all_planes(run: Run, chest: Path, reference: np.ndarray, tmp_path: Path) -> None:
    files = sorted(chest.rglob("*.dcm"))
    done = run("3d", "mpr", *files, "--output", "mpr/", "--planes", "axial,sagittal,coronal", "--preset", "lung",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["mpr/axial.png", "mpr/sagittal.png", "mpr/coronal.png"]
    nx, ny, nz = reference.shape
    pictures = {
        name: np.asarray(Image.open(tmp_path / "mpr" / f"{name}.png")) for name in ("axial", "coronal", "sagittal")
    }
    # Square pixels of 0.977 mm: 60 slices of 3 mm are 184 of them.
    assert {name: p.shape for name, p in pictures.items()} == {
        "axial": (ny, nx), "coronal": (184, nx), "sagittal": (184, ny),
    }  # fmt: skip
    axial = [windowed(reference[:, :, z].T, -1350, 149) for z in (nz // 2 - 1, nz // 2)]
    assert any(np.array_equal(pictures["axial"], one) for one in axial)  # not interpolated at all
    for name, cut in (("coronal", reference[:, ny // 2]), ("sagittal", reference[nx // 2])):
        wanted = windowed(cut.T[::-1], -1350, 149)
        rows = np.clip(np.round((np.arange(184) + 0.5) * 0.977 / 3 - 0.5).astype(int), 0, nz - 1)
        agreement = [
            np.corrcoef(pictures[name].ravel(), w[rows].ravel())[0, 1] for w in (wanted, wanted[::-1], wanted[:, ::-1])
        ]
        assert agreement[0] > 0.95 and max(agreement[1:]) < 0.8, (name, agreement)


def test_oblique_mpr(run: Run, chest: Path, tmp_path: Path) -> None:
    words = ("3d", "mpr", chest, "--plane-normal", "1,0.5,0.3", "--output")
    done = run(*words, "oblique.png", "--plane-point", "100,100,30", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert np.asarray(Image.open(tmp_path / "oblique.png")).std() > 20
    missed = run(*words, "missed.png", "--plane-point", "900,900,30", cwd=tmp_path)
    assert missed.returncode == 1
    assert "900,900,30" in missed.stderr and "204 x 201 x 60" in missed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["oblique.png"]


def test_mip_of_a_slab_and_of_everything(run: Run, chest: Path, reference: np.ndarray, tmp_path: Path) -> None:
    done = run("3d", "mip", chest, "--output", "mip.png", "--thickness", "20mm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    # 20 mm around the middle of 60 slices 3 mm apart: the centres of 27..32 lie in it.
    assert np.array_equal(
        np.asarray(Image.open(tmp_path / "mip.png")), windowed(reference[:, :, 27:33].max(axis=2).T, 0, 599)
    )
    done = run("3d", "average", chest, "--output", "mean.nii.gz", "--plane", "coronal", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["pictures"][0]["shape"] == [60, 204]
    image = nibabel.load(tmp_path / "mean.nii.gz")
    # float32 of the sform against float64
    assert np.allclose(LPS_RAS @ np.array(report["pictures"][0]["affine_lps_mm"]), image.affine, atol=1e-3)
    assert np.allclose(np.asarray(image.dataobj)[:, :, 0], reference.mean(axis=1)[:, ::-1], atol=1e-6)


def test_padding_of_a_scanner_does_not_reach_a_minimum(
    run: Run, unpacked: Callable[[str], Path], tmp_path: Path
) -> None:
    """The abdomen's padding of -3024 is no measurement; air is -1024 at the lowest."""
    folder = unpacked("ct_abdomen/ct_abdomen.tar.xz")
    done = run("3d", "minip", folder, "--output", tmp_path / "low.nii.gz", "--thickness", "40mm")
    assert done.returncode == 0, done.stderr
    values = np.asarray(nibabel.load(tmp_path / "low.nii.gz").dataobj)
    assert np.median(values[200:300, 200:300]) > -1024


def test_wrong_words_are_usage_errors(run: Run, chest: Path, tmp_path: Path) -> None:
    for words in (
        ("mpr", "--output", "x.png"),  # three planes do not go into one file
        ("mpr", "--output", "x", "--planes", "transverse"),
        ("mpr", "--output", "x", "--slab", "mip"),
        ("mip", "--output", "x"),
    ):
        done = run("3d", words[0], chest, *words[1:], cwd=tmp_path)
        assert done.returncode == 2, (words, done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_volume_rendering_with_a_transfer_function(run: Run, chest: Path, tmp_path: Path) -> None:
    points = [{"value": 200, "color": [1, 0, 0], "opacity": 0}, {"value": 400, "color": [1, 0, 0], "opacity": 0.5}]
    (tmp_path / "tf.json").write_text(json.dumps({"points": points}))
    words = ("3d", "volume", chest, "--camera-angle", "45,30", "--size", "200x160")
    done = run(*words, "--output", "own.png", "--transfer-function", "tf.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    own = np.asarray(Image.open(tmp_path / "own.png"))
    assert own.shape == (160, 200, 3)
    assert own[..., 0].max() > 200 and not own[..., 1:].any()
    done = run(*words, "--output", "usual.png", "--json", cwd=tmp_path)  # the modality chooses
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shape"] == [160, 200]
    assert np.asarray(Image.open(tmp_path / "usual.png")).std() > 20
    (tmp_path / "tf.json").write_text(json.dumps({"points": points[::-1]}))
    done = run(*words, "--output", "wrong.png", "--transfer-function", "tf.json", cwd=tmp_path)
    assert done.returncode == 1
    assert "tf.json" in done.stderr and "points[1].value" in done.stderr
    assert not (tmp_path / "wrong.png").exists()
    for words in (("--preset", "ct-spleen"), ("--size", "0"), ("--camera-angle", "45"), ("--background", "mauve")):
        assert run("3d", "volume", chest, "--output", "x.png", *words, cwd=tmp_path).returncode in (1, 2)


def test_animation_in_a_folder_and_as_gif(run: Run, chest: Path, tmp_path: Path) -> None:
    words = ("3d", "animate", chest, "--rotation", "360", "--frames", "4", "--size", "96")
    done = run(*words, "--output", "animation/", "--method", "volume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = [f"animation/frame_{n:04d}.png" for n in range(4)]
    assert done.stdout.split() == names
    frames = [np.asarray(Image.open(tmp_path / name)).astype(int) for name in names]
    assert {frame.shape for frame in frames} == {(96, 96, 3)}
    assert min(np.abs(a - b).mean() for a, b in zip(frames, frames[1:] + frames[:1], strict=True)) > 2
    assert run(*words, "--output", "animation/", cwd=tmp_path).returncode == 1  # they are there
    done = run(*words, "--output", "turn.gif", "--method", "mip", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "turn.gif") as image:
        assert (image.n_frames, image.size) == (4, (96, 96))
        front = np.asarray(image.convert("L"), int)
        image.seek(2)
        back = np.asarray(image.convert("L"), int)[:, ::-1]
    # from behind a projection is the mirror image; GIF has 256 colours, pixels and samples may fall between
    assert np.corrcoef(front.ravel(), back.ravel())[0, 1] > 0.98
    assert np.corrcoef(front.ravel(), back[:, ::-1].ravel())[0, 1] < 0.9
    assert run(*words, "--output", "x.gif", "--method", "mip", "--preset", "ct-bone", cwd=tmp_path).returncode == 2


def test_curved_mpr_along_a_centerline(run: Run, chest: Path, tmp_path: Path) -> None:
    (tmp_path / "line.txt").write_text("60 100 5\n100 100 30\n110 120 55\n")
    words = ("3d", "curved-mpr", chest, "--centerline", "line.txt", "--output")
    done = run(*words, "curved.png", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    straight = sum(
        float(np.linalg.norm(np.subtract(a, b) * (0.977, 0.977, 3)))
        for a, b in (((60, 100, 5), (100, 100, 30)), ((100, 100, 30), (110, 120, 55)))
    )
    assert straight < report["along_mm"] < 1.1 * straight
    assert report["across_mm"] == pytest.approx(80, abs=0.5)  # half a pixel
    picture = np.asarray(Image.open(tmp_path / "curved.png"))
    column, row = report["origin"]  # rulers in mm stand beside the picture
    rows, columns = report["shape"]
    assert picture.shape[0] > row + rows and picture.shape[1] > column + columns
    assert picture[row : row + rows, column : column + columns].std() > 20
    done = run(*words, "plain.png", "--no-scale", "--mode", "stretched", "--smoothing", "4mm", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert list(np.asarray(Image.open(tmp_path / "plain.png")).shape) == json.loads(done.stdout)["shape"]
    assert run(*words, "curved.dcm", cwd=tmp_path).returncode == 0
    image = pydicom.dcmread(tmp_path / "curved.dcm")
    assert "ImagePositionPatient" not in image  # it has no place in the patient, but its pixels have a size
    assert [float(v) for v in image.PixelSpacing] == pytest.approx(report["pixel_mm"][::-1])
    for text, word in (("60 100 5\n", "2 to"), ("60 100 5\n900 100 5\n", "point 2"), ("a b c\nd e f\n", "line 2")):
        (tmp_path / "line.txt").write_text(text)
        done = run(*words, "wrong.png", cwd=tmp_path)
        assert done.returncode == 1
        assert word in done.stderr
    assert not (tmp_path / "wrong.png").exists()


def test_planes_as_derived_series(run: Run, chest: Path, tmp_path: Path) -> None:
    words = ("3d", "mpr", chest / "dicom", "--planes", "axial,coronal", "--format", "dicom")
    done = run(*words, "--spacing", "30mm", "--preset", "lung", "--output", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = {one["plane"]: one for one in json.loads(done.stdout)["pictures"]}
    assert [one["path"] for one in report.values()] == ["out/axial", "out/coronal"]
    assert report["axial"]["slices"] == len(list((tmp_path / "out/axial").iterdir())) == 6  # every tenth of 60
    image = pydicom.dcmread(tmp_path / "out/axial/0001.dcm")
    assert (image.WindowCenter, image.WindowWidth) == (-600, 1500)
    planes = [pydicom.dcmread(tmp_path / "out/axial" / f"{n:04d}.dcm") for n in (1, 2)]
    assert planes[1].ImagePositionPatient[2] - planes[0].ImagePositionPatient[2] == pytest.approx(30)
    assert planes[0].SpacingBetweenSlices == pytest.approx(30)
    assert planes[0].SeriesInstanceUID == planes[1].SeriesInstanceUID
    other = pydicom.dcmread(tmp_path / "out/coronal/0001.dcm")
    assert other.SeriesInstanceUID != planes[0].SeriesInstanceUID and other.SeriesNumber != planes[0].SeriesNumber
    assert run(*words, "--output", "out", cwd=tmp_path).returncode == 1  # they are there
    done = run(*words, "--output", "two.dcm", cwd=tmp_path)
    assert done.returncode == 2 and "folder" in done.stderr
    nifti = next((chest / "nifti" / "image").glob("*.nii*"))
    done = run("3d", "mpr", nifti, "--format", "dicom", "--output", "none", cwd=tmp_path)
    assert done.returncode == 1 and "not read from DICOM" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_sliding_slabs_inside_a_mask(run: Run, chest: Path, tmp_path: Path) -> None:
    structures = next(path for path in chest.rglob("*.dcm") if pydicom.dcmread(path).Modality == "RTSTRUCT")
    words = ("3d", "mip", chest / "dicom", "--thickness", "12mm", "--spacing", "9mm")
    done = run(*words, "--output", "slabs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = sorted(path.name for path in (tmp_path / "slabs").iterdir())
    assert names == [f"{n:04d}.png" for n in range(20)]  # every third of 60
    done = run(*words, "--output", "inside.nii.gz", "--mask", structures, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    inside = nibabel.load(tmp_path / "inside.nii.gz")
    mask = nibabel.load(next((chest / "nifti" / "mask").glob("*.nii*")))
    assert inside.shape[2] == 20
    values = np.asarray(inside.dataobj)
    seen = (values > values.min()).sum() * 0.977**2
    # each slab of 12 mm shows the area that the mask covers in it: at least the mask's mean area, at most the union
    covered = np.asarray(mask.dataobj) > 0
    area = covered.any(axis=2).sum() * 0.977**2
    assert 0 < seen / 20 < area
    assert run(*words, "--output", "x.png", cwd=tmp_path).returncode == 2  # many slabs do not go into one picture
    assert run("3d", "mip", chest, "--output", "x", "--spacing", "9mm", cwd=tmp_path).returncode == 2


def test_all_phases_or_one_of_them(run: Run, data: Path, tmp_path: Path) -> None:
    window = ("--window-center", "500", "--window-width", "1000")  # the header of each phase has its own
    words = ("3d", "mpr", data / "mr_mosaic/mr_0003", "--planes", "axial", *window, "--output")
    done = run(*words, "some", cwd=tmp_path)
    assert done.returncode == 1
    assert "2 phases" in done.stderr and "--phase all" in done.stderr
    done = run(*words, "all", "--phase", "all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["all/axial_phase_000.png", "all/axial_phase_001.png"]
    assert run(*words, "one", "--phase", "1", cwd=tmp_path).returncode == 0
    assert (tmp_path / "one/axial.png").read_bytes() == (tmp_path / "all/axial_phase_001.png").read_bytes()


def test_oblique_plane_by_angles(run: Run, chest: Path, tmp_path: Path) -> None:
    words = ("3d", "mpr", chest, "--output")
    done = run(*words, "tipped.nii.gz", "--angles", "90,0", cwd=tmp_path)  # an axial plane tipped to a coronal one
    assert done.returncode == 0, done.stderr
    assert run(*words, "coronal.nii.gz", "--planes", "coronal", cwd=tmp_path).returncode == 0
    tipped, coronal = (nibabel.load(tmp_path / f"{name}.nii.gz") for name in ("tipped", "coronal"))
    assert nibabel.aff2axcodes(tipped.affine) == nibabel.aff2axcodes(coronal.affine)
    for words_ in (("--angles", "90"), ("--angles", "10,20", "--plane-normal", "1,0,0")):
        assert run(*words, "x.png", *words_, cwd=tmp_path).returncode == 2
