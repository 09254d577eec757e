"""The lines of `measure` about values, each as a real process on real input, and what must be refused."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def chest(data: Path) -> Path:
    return data / "ct_chest_ibsi/dicom"


@pytest.fixture(scope="module")
def slices(chest: Path) -> list[Path]:
    return sorted((chest / "image").iterdir())


def values(path: Path) -> np.ndarray:
    dataset = pydicom.dcmread(path)
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def lines(path: Path) -> dict[str, str]:
    found = (line.strip().split(": ", 1) for line in path.read_text().splitlines() if ": " in line)
    return dict(found)


def test_volume_of_a_mask(run: Run, chest: Path, slices: list[Path], tmp_path: Path) -> None:
    mask = next((chest / "mask").iterdir())
    done = run("measure", "volume", *slices, "--roi", mask, "--output", "volume.txt", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "volume.txt")
    assert found["volume"].startswith("358.681") and found["n"] == "125256 voxels"  # README of the data
    assert found["label"] == "GTV-1"


def test_volume_of_every_label_of_a_seg(run: Run, data: Path, tmp_path: Path) -> None:
    folder = data / "seg/ucsf_br_06"
    done = run("measure", "volume", folder / "image_ser", "--roi", folder / "seg/1-1.dcm", "--mask-threshold", 0,
               "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    # README of the data: 82527 voxels above 0, of 0.703125 x 0.703125 x 2 mm
    assert found["statistics"]["n"] == 82527
    assert found["statistics"]["volume"] == pytest.approx(82527 * 0.703125**2 * 2 / 1000, rel=1e-6)


def test_volume_between_thresholds(run: Run, slices: list[Path], tmp_path: Path) -> None:
    done = run("measure", "volume", *slices, "--roi", "20,30,100,90", "--threshold", "200,900", "--slice", "5-20",
               "--method", "mesh", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    places = sorted((float(pydicom.dcmread(p, stop_before_pixels=True).ImagePositionPatient[2]), p) for p in slices)
    cut = np.stack([values(p) for _, p in places])[5:21, 30:120, 20:120]
    assert found["statistics"]["n"] == int(((cut >= 200) & (cut <= 900)).sum())
    assert found["method"] == "mesh" and found["statistics"]["volume"] == found["statistics"]["volume_mesh"]


def test_suv_of_a_rectangle(run: Run, data: Path, tmp_path: Path) -> None:
    path = sorted((data / "pet/sts_001_raw/image").iterdir())[100]
    done = run("measure", "suv", path, "--roi", "50,50,20,20", "--output", "suv.json", "--format", "json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "suv.json").read_text())["measurements"]
    want = values(path)[50:70, 50:70] * 2.4290298e-4  # README of the data
    assert found["statistics"]["max"] == pytest.approx(want.max(), rel=1e-6)
    assert found["statistics"]["mean"] == pytest.approx(want.mean(), rel=1e-6)
    details = {d["name"]: d for d in found["details"]}
    assert details["weight"] == {"name": "weight", "value": 71.0, "unit": "kg", "source": "PatientWeight"}
    assert details["decay_time"]["value"] == 2711


def test_suv_of_a_series_in_every_slice_and_of_a_mask(run: Run, data: Path, tmp_path: Path) -> None:
    folder = data / "pet/sts_001_cropped/PET/dicom"
    done = run("measure", "suv", folder / "image", "--roi", "5,5,20,20", "--output", "suv.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "suv.csv").open()))
    assert len(rows) == 59 and len({row["file"] for row in rows}) == 59
    one = next(row for row in rows if float(row["max"]) == max(float(r["max"]) for r in rows))
    assert float(one["max"]) == pytest.approx(values(Path(one["file"]))[5:25, 5:25].max(), rel=1e-6)
    done = run("measure", "suv", folder / "image", "--roi", next((folder / "mask").iterdir()), "--threshold", "2.5",
               "--weight", "142", "--json", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["statistics"]["max"] == pytest.approx(2 * 7.9107, abs=2e-4)  # twice the weight of the file
    assert found["statistics"]["n"] == 5095


def test_suv_that_cannot_be_computed(run: Run, slices: list[Path], data: Path, tmp_path: Path) -> None:
    done = run("measure", "suv", slices[0], "--roi", "5,5,20,20", cwd=tmp_path)
    assert done.returncode == 1 and "[Modality]" in done.stderr and done.stdout == ""
    pet = pydicom.dcmread(sorted((data / "pet/sts_001_raw/image").iterdir())[0])
    del pet.PatientWeight
    pet.save_as(tmp_path / "pet.dcm")
    done = run("measure", "suv", "pet.dcm", "--roi", "5,5,20,20", "--output", "x.json", cwd=tmp_path)
    assert done.returncode == 1 and "[PatientWeight]" in done.stderr and "--weight" in done.stderr
    assert not (tmp_path / "x.json").exists()
    assert run("measure", "suv", "pet.dcm", "--roi", "5,5,20,20", "--weight", "71", cwd=tmp_path).returncode == 0


def test_hounsfield_units(run: Run, slices: list[Path], tmp_path: Path) -> None:
    done = run("measure", "hu", slices[30], "--roi", "100,100,60,50", "--statistics", "--output", "hu-stats.txt",
               cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = lines(tmp_path / "hu-stats.txt")
    want = values(slices[30])[100:150, 100:160]
    assert float(found["mean"].removesuffix(" HU")) == pytest.approx(want.mean(), rel=1e-6)
    assert float(found["sd sample"].removesuffix(" HU")) == pytest.approx(want.std(ddof=1), rel=1e-6)
    assert float(found["p90"].removesuffix(" HU")) == pytest.approx(np.percentile(want, 90), rel=1e-6)
    assert found["n"] == "3000 voxels" and {"skewness", "kurtosis", "entropy", "rms"} <= set(found)


def test_hounsfield_units_of_another_modality(run: Run, data: Path, tmp_path: Path) -> None:
    path = sorted((data / "pet/sts_001_raw/image").iterdir())[0]
    done = run("measure", "hu", path, "--roi", "5,5,20,20", cwd=tmp_path)
    assert done.returncode == 1 and "not in Hounsfield units" in done.stderr and "PT" in done.stderr


def test_roi_of_a_polygon_with_a_histogram(run: Run, slices: list[Path], tmp_path: Path) -> None:
    done = run("measure", "roi", slices[30], "--polygon", "100,100", "150,180", "190,180", "180,120", "--statistics",
               "--histogram", "--output", "roi-analysis.json", "--histogram-image", "h.png", cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "roi-analysis.json").read_text())["measurements"]
    from skimage.draw import polygon2mask

    inside = polygon2mask((201, 204), np.array([(100, 100), (180, 150), (180, 190), (120, 180)]))  # row, column
    # scikit-image counts centres on an edge otherwise: at most the length of the outline.
    assert found["statistics"]["n"] == pytest.approx(inside.sum(), abs=120)
    assert found["statistics"]["mean"] == pytest.approx(values(slices[30])[inside].mean(), abs=5)
    assert sum(found["histogram"]["counts"]) == found["statistics"]["n"] and len(found["histogram"]["counts"]) == 32
    assert found["graphics"][0]["points"][1] == [150, 180]
    assert (tmp_path / "h.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_roi_of_many_files_keeps_the_failed_one(run: Run, slices: list[Path], tmp_path: Path) -> None:
    (tmp_path / "broken.dcm").write_bytes(slices[0].read_bytes()[:3000])
    done = run(
        "measure", "roi", *slices[:3], "broken.dcm", "--circle", "100,100,15mm", "--output", "roi.csv", cwd=tmp_path
    )
    assert done.returncode == 1 and "1 of 4" in done.stderr
    rows = list(csv.DictReader((tmp_path / "roi.csv").open()))
    assert sum(bool(row["error"]) for row in rows) == 1
    good = [row for row in rows if not row["error"]]
    assert len(good) == 3 and all(float(row["area"]) == pytest.approx(np.pi * 225) for row in good)


def test_pixel(run: Run, slices: list[Path], tmp_path: Path) -> None:
    done = run("measure", "pixel", slices[3], "--point", "33,70", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["values"]["value"] == values(slices[3])[70, 33]
    assert found["values"]["stored_value"] == pydicom.dcmread(slices[3]).pixel_array[70, 33]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("roi",), "no region"),
        (("roi", "--roi", "1,2,3,4", "--circle", "5,5,2"), "give one region"),
        (("roi", "--roi", "nowhere.nii.gz"), "neither a rectangle"),
        (("roi", "--roi", "1,2,0,4"), "no area"),
        (("roi", "--roi", "1,2,3,4", "--slice", "x"), "--slice"),
        (("roi", "--roi", "1,2,3,4", "--bins", "5", "--bin-width", "2"), "exclude"),
        (("suv", "--roi", "1,2,3,4", "--type", "fat"), "unknown SUV"),
        (("volume",), "which voxels count"),
        (("volume", "--threshold", "a"), "not a range"),
        (("volume", "--threshold", "5", "--method", "guess"), "--method"),
        (("pixel", "--point", "5"), "no point"),
    ],
)
def test_words_that_make_no_sense(run: Run, slices: list[Path], tmp_path: Path, words, told: str) -> None:
    done = run("measure", words[0], slices[0], *words[1:], cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert told in done.stderr and done.stdout == ""
