"""The contract lines of `measure` about lengths and areas, each as a real process on a real series."""

from __future__ import annotations

import csv
import json
import math
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def abdomen(unpacked: Callable[[str], Path]) -> Path:
    """Contrast CT of 51 slices, 512 x 512 pixels of 0.804688 mm."""
    return unpacked("ct_abdomen/ct_abdomen.tar.xz")


@pytest.fixture(scope="module")
def ct(abdomen: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one of its slices as ``ct.dcm`` and all of them in ``series``."""
    folder = tmp_path_factory.mktemp("measure")
    files = sorted(path for path in abdomen.rglob("*.dcm"))
    shutil.copy(files[20], folder / "ct.dcm")
    (folder / "series").mkdir()
    for file in files:
        (folder / "series" / file.name).hardlink_to(file)
    return folder


def test_distance_between_two_points(run: Run, ct: Path, tmp_path: Path) -> None:
    done = run(
        "measure", "distance", ct / "ct.dcm", "--p1", "100,200", "--p2", "300,400", "--output", "measurements.txt",
        cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = (tmp_path / "measurements.txt").read_text()
    spacing = float(pydicom.dcmread(ct / "ct.dcm", stop_before_pixels=True).PixelSpacing[0])
    assert f"length: {math.hypot(200, 200) * spacing:.8g} mm" in text
    assert "PixelSpacing" in text
    again = run(
        "measure", "distance", ct / "ct.dcm", "--p1", "1,2", "--p2", "3,4", "-o", "measurements.txt", cwd=tmp_path
    )
    assert again.returncode == 1
    assert "--force" in again.stderr
    assert (tmp_path / "measurements.txt").read_text() == text


def test_area_of_a_polygon(run: Run, ct: Path, tmp_path: Path) -> None:
    import shapely

    corners = ["100,100", "150,200", "200,200", "180,120"]
    done = run(
        "measure", "area", ct / "ct.dcm", "--polygon", *corners, "--output", "area.json", "--format", "json",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "area.json").read_text())
    assert (document["schema_version"], document["kind"]) == (1, "measurements")
    (found,) = document["measurements"]
    spacing = float(pydicom.dcmread(ct / "ct.dcm", stop_before_pixels=True).PixelSpacing[0])
    ring = shapely.Polygon([[float(v) * spacing for v in corner.split(",")] for corner in corners])
    values = {q["name"]: (q["value"], q["unit"]) for q in found["quantities"]}
    assert values["area"] == (pytest.approx(ring.area, rel=1e-12), "mm2")
    assert values["perimeter"] == (pytest.approx(ring.length, rel=1e-12), "mm")
    assert found["calibration"]["source"] == "PixelSpacing"
    assert found["graphics"][0]["points"][0] == found["graphics"][0]["points"][-1] == [100, 100]
    header = pydicom.dcmread(ct / "ct.dcm", stop_before_pixels=True)
    assert found["sources"][0]["sop_instance_uid"] == header.SOPInstanceUID


def test_batch_measurements(run: Run, ct: Path, tmp_path: Path) -> None:
    files = sorted((ct / "series").glob("*.dcm"))
    done = run(
        "measure", "distance", *files, "--p1", "100,200", "--p2", "300,400", "--output", "measurements.csv",
        "--format", "csv", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader((tmp_path / "measurements.csv").open()))
    assert [row["file"] for row in rows] == [str(file) for file in files]
    assert {row["length_unit"] for row in rows} == {"mm"}
    for file, row in zip(files, rows, strict=True):
        spacing = float(pydicom.dcmread(file, stop_before_pixels=True).PixelSpacing[0])
        assert float(row["length"]) == pytest.approx(math.hypot(200, 200) * spacing, rel=1e-12)


def test_a_failed_file_is_a_row_and_the_exit_code_says_so(run: Run, ct: Path, tmp_path: Path) -> None:
    good = shutil.copy(ct / "ct.dcm", tmp_path / "good.dcm")
    (tmp_path / "cut.dcm").write_bytes(Path(good).read_bytes()[:903])  # within an element
    (tmp_path / "no.dcm").write_bytes(b"not an image at all")
    done = run(
        "measure", "distance", "cut.dcm", "good.dcm", "no.dcm", "--p1", "1,2", "--p2", "4,6", "--format", "csv",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    rows = {row["file"]: row for row in csv.DictReader(done.stdout.splitlines())}
    assert float(rows["good.dcm"]["length"]) > 0
    assert rows["good.dcm"]["error"] == ""
    assert "truncated" in rows["cut.dcm"]["error"]
    assert "not a DICOM file" in rows["no.dcm"]["error"]
    assert "2 of 3 measurements failed" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_measured_in_space(run: Run, ct: Path) -> None:
    """5 mm between slices: the first to the eleventh one, straight through."""
    done = run(
        "measure", "distance", ct / "series", "--p1", "100,200,0", "--p2", "100,200,10", "--json", program="gpukit"
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)["measurements"]
    assert found["quantities"][0]["value"] == pytest.approx(50, abs=1e-6)
    assert {graphic["space"] for graphic in found["graphics"]} == {"patient"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--p1", "1,2", "--p2", "4"], "no point"),
        (["--p1", "1,2", "--p2", "4,5,6"], "two numbers, others three"),
        (["--p1", "1,2", "--p2", "4,5", "--calibration", "0"], "no size"),
        (["--p1", "1,2", "--p2", "4,5", "--format", "word"], "unknown format 'word'"),
        (["--p1", "1,2", "--p2", "4,5", "--output", "a.doc"], "does not say which format"),
        (["--p1", "1,2", "--p2", "4,5", "--json", "--format", "csv"], "contradict"),
        (["--p1", "1,2", "--p2", "4,5", "--series", "1"], "three numbers"),
        (["--p1", "1,2", "--p2", "4,5", "--tracking-uid", "1.02.3"], "no UID"),
    ],
)
def test_wrong_words_are_usage_errors(run: Run, ct: Path, words: list[str], says: str) -> None:
    done = run("measure", "distance", ct / "ct.dcm", *words)
    assert done.returncode == 2
    assert says in done.stderr
    assert done.stdout == ""


def test_a_polygon_that_crosses_itself_is_refused(run: Run, ct: Path) -> None:
    done = run("measure", "area", ct / "ct.dcm", "--polygon", "100,100", "200,200", "200,100", "100,200")
    assert done.returncode == 2
    assert "crosses" in done.stderr


def test_the_same_by_its_own_name(run: Run, ct: Path) -> None:
    words = ("distance", ct / "ct.dcm", "--p1", "100,200", "--p2", "300,400")
    assert run(*words, program="dicom-measure").stdout == run("measure", *words).stdout


def test_every_frame_of_a_loop_is_a_row(run: Run, data: Path) -> None:
    loop = data / "us" / "US-PAL-8-10x-echo"
    done = run("measure", "distance", loop, "--p1", "10,10", "--p2", "13,14", "--frame", "2-4,9", "--format", "csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["frame"] for row in rows] == ["2", "3", "4", "9"]
    assert {(row["length"], row["length_unit"], row["scale"]) for row in rows} == {("5.0", "{pixels}", "none")}


def test_two_time_points_are_compared(run: Run, ct: Path, tmp_path: Path) -> None:
    for name, end in (("march", "140,230"), ("june", "120,215")):
        done = run(
            "measure", "distance", ct / "ct.dcm", "--p1", "100,200", "--p2", end, "--annotation", "Liver 1",
            "--output", f"{name}.json", cwd=tmp_path,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
    done = run("measure", "compare", "march.json", "june.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "RECIST 1.1: PR (partial response)" in done.stdout  # 50 pixels, then 25
    assert "-50.0" in done.stdout
    done = run("measure", "compare", "march.json", "june.json", "--absent", "liver 1", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (document["kind"], document["recist"]["category"]) == ("comparison", "CR")
    done = run("measure", "compare", "march.json", "june.json", "--node", "spleen", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no lesion 'spleen'" in done.stderr and "Liver 1" in done.stderr
    assert run("measure", "compare", "march.json", cwd=tmp_path).returncode == 2


def test_axes_of_a_tumour_in_its_series(run: Run, data: Path) -> None:
    """The same tumour from contours and from a label map: the long axis differs by less than a pixel."""
    folder = data / "ct_chest_ibsi"
    lengths = []
    for mask in (next((folder / "dicom" / "mask").glob("*.dcm")), next((folder / "nifti" / "mask").glob("*.nii*"))):
        done = run("measure", "bidirectional", folder / "dicom" / "image", "--mask", mask, "--json")
        assert done.returncode == 0, done.stderr
        (found,) = json.loads(done.stdout)["measurements"]
        values = {q["name"]: q["value"] for q in found["quantities"]}
        assert values["short_axis"] < values["long_axis"]
        assert {graphic["space"] for graphic in found["graphics"]} == {"pixel"}
        lengths.append(values["long_axis"])
    assert abs(lengths[0] - lengths[1]) < 0.977


def test_an_angle_and_cobbs_angle(run: Run, ct: Path) -> None:
    done = run("measure", "angle", ct / "ct.dcm", "--points", "100,100", "200,100", "200,50", "--format", "csv")
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (float(row["angle"]), row["angle_unit"]) == (pytest.approx(90), "deg")
    done = run(
        "measure",
        "cobb-angle",
        ct / "ct.dcm",
        "--points",
        "100,100",
        "200,120",
        "100,300",
        "200,290",
        "--format",
        "csv",
    )
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert float(row["cobb_angle"]) == pytest.approx(math.degrees(math.atan2(20, 100) + math.atan2(10, 100)))
