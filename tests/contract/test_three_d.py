"""The contract lines of `3d` that are there, each as a real process on a real series."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from gpukit.geometry import LPS_RAS

Run = Callable[..., subprocess.CompletedProcess[str]]


def dicom_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.dcm") if path.is_file())


@pytest.fixture(scope="module")
def chest(data: Path) -> Path:
    """Lung CT of 60 slices with the same image as NIfTI beside it, made by other people."""
    return data / "ct_chest_ibsi"


def test_export_to_several_formats_holds_one_volume(run: Run, chest: Path, tmp_path: Path) -> None:
    files = dicom_files(chest)
    assert len(files) >= 60
    done = run("3d", "export", *files, "--output", "volume", "--formats", "nifti,metaimage,nrrd", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["volume.nii.gz", "volume.mha", "volume.nrrd"]
    reference = nibabel.load(next((chest / "nifti" / "image").glob("*.nii*")))
    nifti = nibabel.load(tmp_path / "volume.nii.gz")
    ours = np.asarray(nifti.dataobj)
    assert ours.dtype == np.int16
    # The reference may name its axes in another order or direction; compare in its own.
    turned = nibabel.as_closest_canonical(nifti)
    theirs = nibabel.as_closest_canonical(reference)
    assert np.allclose(turned.affine, theirs.affine, atol=1e-3)  # mm; the reference has float32
    assert np.array_equal(np.asarray(turned.dataobj), np.asarray(theirs.dataobj))
    for name in ("volume.mha", "volume.nrrd"):
        image = SimpleITK.ReadImage(tmp_path / name)
        assert np.array_equal(SimpleITK.GetArrayFromImage(image), ours.T)
        last = [n - 1 for n in ours.shape]
        # float32 of the sform against float64: 1e-4 mm
        assert image.TransformIndexToPhysicalPoint(last) == pytest.approx(
            (LPS_RAS @ nifti.affine @ (*last, 1))[:3], abs=1e-4
        )


def test_list_glob_folder_and_zip_give_the_same_file(run: Run, chest: Path, tmp_path: Path) -> None:
    import zipfile

    source = next(path.parent for path in dicom_files(chest))
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for path in dicom_files(source):
            archive.write(path, path.name)
    made = []
    for n, words in enumerate(([*dicom_files(source)], [f"{source}/*.dcm"], [source], [packed])):
        done = run("3d", "export", *words, "--output", tmp_path / f"v{n}", "--formats", "metaimage")
        assert done.returncode == 0, done.stderr
        made.append((tmp_path / f"v{n}.mha").read_bytes())
    assert made[0] == made[1] == made[2] == made[3]


def test_json_tells_what_was_written(run: Run, chest: Path, tmp_path: Path) -> None:
    done = run("3d", "export", chest, "--output", tmp_path / "v.nii.gz", "--formats", "nifti", "--json")
    document = json.loads(done.stdout)
    assert document["schema_version"] == 1
    assert document["files"] == [{"format": "nifti", "path": str(tmp_path / "v.nii.gz")}]
    assert document["shape"] == [60, 201, 204]
    assert document["instances"] == 60
    assert document["unit"] == "HU"
    assert document["spacing_mm"] == pytest.approx([0.977, 0.977, 3.0], abs=1e-3)


def test_existing_output_stays_unless_forced(run: Run, chest: Path, tmp_path: Path) -> None:
    target = tmp_path / "v.nii.gz"
    target.write_bytes(b"precious")
    words = ("3d", "export", chest, "--output", tmp_path / "v")
    done = run(*words)
    assert done.returncode == 1
    assert "--force" in done.stderr
    assert target.read_bytes() == b"precious"
    assert run(*words, "--force").returncode == 0
    assert nibabel.load(target).shape == (204, 201, 60)


def test_missing_slice_is_refused_by_file_and_filled_on_request(run: Run, data: Path, tmp_path: Path) -> None:
    source = data / "ct_irregular"
    words = ("3d", "export", source, "--output", tmp_path / "v")
    done = run(*words)
    assert done.returncode == 1
    assert any(path.name in done.stderr for path in source.rglob("*") if path.is_file())
    assert "--fill-gaps" in done.stderr
    assert list(tmp_path.iterdir()) == []
    filled = run(*words, "--fill-gaps")
    assert filled.returncode == 0, filled.stderr
    assert nibabel.load(tmp_path / "v.nii.gz").shape[2] == 5  # 4 slices and the missing one
    assert "Note" in filled.stderr


def test_tilt_is_removed_or_kept_as_asked(run: Run, data: Path, tmp_path: Path) -> None:
    source = data / "ct_tilt_ge"
    removed = run("3d", "export", source, "--output", tmp_path / "removed", "--fill-gaps")
    kept = run("3d", "export", source, "--output", tmp_path / "kept", "--fill-gaps", "--keep-tilt")
    assert removed.returncode == kept.returncode == 0, removed.stderr + kept.stderr
    assert "tilt" in removed.stderr

    def cosine(name: str) -> float:
        affine = nibabel.load(tmp_path / name).affine[:3, :3]
        unit = affine / np.linalg.norm(affine, axis=0)
        return float(abs(unit[:, 1] @ unit[:, 2]))

    assert cosine("removed.nii.gz") < 1e-4
    assert cosine("kept.nii.gz") == pytest.approx(np.sin(np.radians(18.5)), abs=0.01)  # GantryDetectorTilt is 18.5


def test_several_series_are_listed_and_chosen(run: Run, data: Path, tmp_path: Path) -> None:
    source = data / "mr_vendors"
    done = run("3d", "export", source, "--output", tmp_path / "v")
    assert done.returncode == 1
    assert "--series" in done.stderr
    listed = json.loads(run("series", source, "--json").stdout)["series"]
    assert len(listed) > 1
    for one in listed:
        number = one["number"]
        done = run("3d", "export", source, "--output", tmp_path / f"v{number}", "--series", number)
        assert done.returncode == 0, done.stderr
        shape = nibabel.load(tmp_path / f"v{number}.nii.gz").shape
        assert shape[:2] == (one["columns"], one["rows"])


def test_one_phase_of_a_time_series(run: Run, data: Path, tmp_path: Path) -> None:
    source = data / "mr_mosaic"
    first = json.loads(run("series", source, "--json").stdout)["series"][0]["number"]
    words = ("3d", "export", source, "--series", first)
    assert run(*words, "--output", tmp_path / "all").returncode == 0
    assert run(*words, "--output", tmp_path / "second", "--phase", 1).returncode == 0
    everything = np.asarray(nibabel.load(tmp_path / "all.nii.gz").dataobj)
    assert everything.ndim == 4
    second = np.asarray(nibabel.load(tmp_path / "second.nii.gz").dataobj)
    assert np.array_equal(everything[..., 1], np.squeeze(second))


def test_malformed_files_end_quickly_with_words(run: Run, data: Path, tmp_path: Path) -> None:
    files = sorted(p for p in (data / "malformed").rglob("*") if p.is_file())
    with ThreadPoolExecutor(2) as pool:
        all_done = pool.map(lambda n: run("3d", "export", files[n], "--output", tmp_path / f"x{n}"), range(len(files)))
    for path, done in zip(files, all_done, strict=True):
        assert done.returncode in (0, 1), path.name
        assert "Traceback" not in done.stderr, path.name
        assert "unexpected" not in done.stderr, (path.name, done.stderr)
        assert done.returncode == 0 or done.stderr.strip(), path.name


def test_archived_series_matches_the_independent_converter(run: Run, data: Path, tmp_path: Path) -> None:
    checks = json.loads((data / "checks_dcm2niix.json").read_text())["series"]
    name = next(key for key in checks if key.startswith("ct_abdomen"))
    with tarfile.open(data / name) as archive:
        archive.extractall(tmp_path / "in", filter="data")
    assert run("3d", "export", tmp_path / "in", "--output", tmp_path / "v").returncode == 0
    image, wanted = nibabel.load(tmp_path / "v.nii.gz"), checks[name]["nifti"][0]
    values = np.asarray(image.dataobj)
    assert (values.min(), values.max()) == (wanted["min"], wanted["max"])
    assert sorted(image.shape) == sorted(wanted["shape"])


def test_device_of_the_environment_is_used_and_named(run: Run, chest: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    done = run("3d", "export", chest, "--output", tmp_path / "v", "--json", GPUKIT_DEVICE="torch-cpu")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["device"] == "torch-cpu"
    refused = run("3d", "export", chest, "--output", tmp_path / "w", GPUKIT_DEVICE="abacus")
    assert refused.returncode == 1
    assert "GPUKIT_DEVICE" in refused.stderr


def test_unreadable_folder_of_output_is_named(run: Run, chest: Path, tmp_path: Path) -> None:
    done = run("3d", "export", chest, "--output", tmp_path / "no" / "v")
    assert done.returncode == 1
    assert os.fspath(tmp_path / "no") in done.stderr
