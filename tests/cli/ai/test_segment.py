"""``gpukit ai segment``: what comes out, where it lies in the patient, and that nothing half-written stays."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.slices import write_slices, write_steps

from gpukit.geometry import Grid
from gpukit_cli.main import main

Run = Callable[..., subprocess.CompletedProcess[str]]

#: Columns are the directions of i, j and k in LPS.
ORIENTATIONS = {
    "axial": np.diag([1.0, 1, 1]),
    "axial from head down": np.diag([1.0, 1, -1]),
    "sagittal": np.array([(0.0, 0, 1), (1, 0, 0), (0, -1, 0)]),
    "coronal": np.array([(1.0, 0, 0), (0, 0, 1), (0, -1, 0)]),
    "prone": np.diag([-1.0, -1, 1]),
    "oblique": np.array([(0.8, -0.36, 0.48), (0.6, 0.48, -0.64), (0, 0.8, 0.6)]),
}


def phantom(orientation: np.ndarray) -> tuple[np.ndarray, Grid, np.ndarray]:
    """Voxels, grid and patient positions (LPS mm) of the bright ones, which lie to the left, front and head."""
    grid = Grid.from_axes((12, 14, 16), spacing=(1.5, 2.0, 2.5), direction=orientation, origin=(5, -7, 11))
    nk, nj, ni = grid.shape
    k, j, i = np.mgrid[:nk, :nj, :ni]
    world = grid.to_world(np.stack([i, j, k], -1))
    middle = grid.to_world([(ni / 2, nj / 2, nk / 2)])[0]
    offset = world - middle
    inside = (offset[..., 0] > 2) & (offset[..., 1] < -1) & (offset[..., 2] > 3)
    assert 5 < inside.sum() < 500
    return np.where(inside, 150, 20).astype(np.uint16), grid, world[inside]


def positions_in_seg(path: Path) -> np.ndarray:
    """LPS mm of every labelled pixel, by DICOM's formula (PS3.3 C.7.6.2.1-1) alone."""
    seg = pydicom.dcmread(path)
    shared = seg.SharedFunctionalGroupsSequence[0]
    cosines = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, float)
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    pixels = seg.pixel_array.reshape(-1, seg.Rows, seg.Columns)
    found = []
    for mask, group in zip(pixels, seg.PerFrameFunctionalGroupsSequence, strict=True):
        row, column = np.nonzero(mask)
        corner = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        found.append(
            corner + np.outer(column * between_columns, cosines[:3]) + np.outer(row * between_rows, cosines[3:])
        )
    return np.concatenate(found)


def same_points(found: np.ndarray, expected: np.ndarray) -> None:
    # the series states positions with 9 digits: a micrometre is a thousandth of a voxel
    assert len(found) == len(expected)
    order = [np.lexsort(np.round(points, 2).T) for points in (found, expected)]
    np.testing.assert_allclose(found[order[0]], expected[order[1]], atol=1e-3)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_steps(tmp_path_factory.mktemp("models") / "steps")


@pytest.fixture
def series(tmp_path: Path) -> Path:
    array, grid, _ = phantom(ORIENTATIONS["axial"])
    return write_slices(tmp_path / "series", array, grid.affine)


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_left_stays_left(name: str, kind: str, model: Path, tmp_path: Path) -> None:
    array, grid, bright = phantom(ORIENTATIONS[name])
    series = write_slices(tmp_path / "series", array, grid.affine)
    words = ["ai", "segment", series, "--model", model, "--device", "cpu", "--output"]
    assert main([*map(str, words), str(tmp_path / "seg.dcm"), "--segmentation-type", kind]) == 0
    same_points(positions_in_seg(tmp_path / "seg.dcm"), bright)


def test_nifti_in_an_oblique_patient(model: Path, tmp_path: Path) -> None:
    import nibabel

    array, grid, bright = phantom(ORIENTATIONS["oblique"])
    series = write_slices(tmp_path / "series", array, grid.affine)
    assert main(["ai", "segment", str(series), "--model", str(model), "--output", str(tmp_path / "seg.nii.gz")]) == 0
    image = nibabel.load(tmp_path / "seg.nii.gz")
    points = np.argwhere(np.asarray(image.dataobj))
    ras = points @ image.affine[:3, :3].T + image.affine[:3, 3]
    same_points(ras * (-1, -1, 1), bright)


def test_a_real_process_prints_labels_and_paths(run: Run, series: Path, model: Path, tmp_path: Path) -> None:
    _, _, bright = phantom(ORIENTATIONS["axial"])
    seg, picture = tmp_path / "seg.dcm", tmp_path / "picture.png"
    done = run("ai", "segment", series, "--model", model, "--output", seg, "--overlay", picture)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    ml = len(bright) * 1.5 * 2.0 * 2.5 / 1000
    assert lines[0].split() == ["LABEL", "NAME", "VOXELS", "ML"]
    assert lines[1].split() == ["1", "Level", "1", str(len(bright)), f"{ml:.3f}"]
    assert lines[2:] == [str(seg), str(picture)]
    assert done.stderr == ""  # no progress where there is no terminal, and no word of the patient
    assert picture.read_bytes().startswith(b"\x89PNG")
    same_points(positions_in_seg(seg), bright)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["picture.png", "seg.dcm", "series"]


def test_json_summary(series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, grid, bright = phantom(ORIENTATIONS["axial"])
    words = ["ai", "segment", str(series), "--model", str(model), "--device", "cpu", "--output"]
    assert main([*words, "-"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert main([*words, str(tmp_path / "out.json")]) == 0
    capsys.readouterr()
    written = json.loads((tmp_path / "out.json").read_text())
    assert written.pop("files") == [str(tmp_path / "out.json")] and printed.pop("files") == []
    assert printed == written
    assert written["schema_version"] == 1 and written["kind"] == "segmentation"
    assert written["model"]["name"] == "steps" and len(written["model"]["digest"]) == 64
    assert written["device"] == "cpu"
    assert written["source"]["series_instance_uid"] == "1.2.826.0.1.3680043.10.79"
    assert written["source"]["instances"] == 12
    (label,) = written["labels"]
    assert label["voxels"] == len(bright)
    assert label["volume_ml"] == pytest.approx(len(bright) * 7.5 / 1000, rel=1e-9)
    assert label["mean"] == 150
    assert label["type"] == {"value": "85756007", "scheme": "SCT", "meaning": "Body tissue structure"}
    np.testing.assert_allclose(written["grid"]["affine_lps_mm"], grid.affine, atol=1e-6)
    assert "Secret" not in json.dumps(written) and "secret" not in json.dumps(written)


def test_json_on_standard_output_beside_the_file(
    series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ai", "segment", str(series), "--model", str(model), "--output", str(tmp_path / "a.nii.gz"), "--json"]
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out)["files"] == [str(tmp_path / "a.nii.gz")]


def test_only_some_labels(tmp_path: Path) -> None:
    array = np.arange(4 * 5 * 6, dtype=np.uint16).reshape(4, 5, 6) * 4
    series = write_slices(tmp_path / "series", array, Grid.from_axes(array.shape).affine)
    model = write_steps(tmp_path / "steps", labels=4)
    words = ["ai", "segment", str(series), "--model", str(model), "--output", str(tmp_path / "seg.dcm")]
    assert main([*words, "--labels", "level 2,4"]) == 0
    seg = pydicom.dcmread(tmp_path / "seg.dcm")
    assert [item.SegmentLabel for item in seg.SegmentSequence] == ["Level 2", "Level 4"]
    assert int(seg.pixel_array.sum()) == int(((array >= 200) & (array < 300)).sum() + (array >= 400).sum())
    assert main([*words, "--force", "--labels", "Level 7"]) == 1


def test_a_label_map_is_in_rle_unless_it_shall_not_be(series: Path, model: Path, tmp_path: Path) -> None:
    words = ["ai", "segment", str(series), "--model", str(model), "--device", "cpu", "--segmentation-type", "labelmap"]
    assert main([*words, "--output", str(tmp_path / "rle.dcm")]) == 0
    assert main([*words, "--output", str(tmp_path / "plain.dcm"), "--uncompressed"]) == 0
    one, other = (pydicom.dcmread(tmp_path / name) for name in ("rle.dcm", "plain.dcm"))
    assert [x.file_meta.TransferSyntaxUID.name for x in (one, other)] == ["RLE Lossless", "Explicit VR Little Endian"]
    np.testing.assert_array_equal(one.pixel_array, other.pixel_array)


def test_a_model_without_probabilities_makes_no_fractional_object(
    series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["ai", "segment", str(series), "--model", str(model), "--device", "cpu"]
    assert main([*words, "--segmentation-type", "fractional", "--output", str(tmp_path / "seg.dcm")]) == 1
    assert "softmax or sigmoid" in capsys.readouterr().err
    assert not (tmp_path / "seg.dcm").exists()


@pytest.mark.parametrize(
    ("words", "say"),
    [
        (["--output", "seg.xyz"], "--format"),
        (["--output", "seg.dcm", "--format", "nifti"], ".nii.gz"),
        (["--output", "seg.nii.gz", "--format", "dicom-seg"], "contradicts"),
        (["--output", "seg.json", "--segmentation-type", "labelmap"], "--segmentation-type"),
        (["--output", "seg.dcm", "--segmentation-type", "binary", "--uncompressed"], "--uncompressed"),
        (["--output", "seg.dcm", "--format", "stl"], "stl"),
        (["--output", "seg.dcm", "--overlay", "a.jpg"], ".png"),
        (["--output", "-", "--json"], "standard output"),
        (["--output", "-", "--format", "dicom-seg"], "standard output"),
        (["--output", "seg.dcm", "--batch-size", "0"], "--batch-size"),
        ([], "--output"),
    ],
)
def test_wrong_usage(
    words: list[str], say: str, series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert main(["ai", "segment", str(series), "--model", str(model), *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and say in err
    assert sorted(tmp_path.rglob("*")) == before


def test_existing_files_stay_without_force(
    series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seg, picture = tmp_path / "seg.dcm", tmp_path / "picture.png"
    picture.write_text("mine")
    words = ["ai", "segment", str(series), "--model", str(model), "--output", str(seg), "--overlay", str(picture)]
    assert main(words) == 1
    assert "--force" in capsys.readouterr().err
    assert picture.read_text() == "mine" and not seg.exists()
    assert main([*words, "--force"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG") and seg.exists()


@pytest.mark.parametrize("name", ["none", "organ.mlmodel", "organ.mlpackage/"])
def test_models_that_are_not_there(name: str, series: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ai", "segment", str(series), "--model", name, "--output", str(tmp_path / "s.dcm")]) == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1 and name in err
    assert "no such model" in err
    assert not (tmp_path / "s.dcm").exists()


def test_a_nifti_input_makes_nifti_but_no_dicom(
    series: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, _, bright = phantom(ORIENTATIONS["axial"])
    assert main(["3d", "export", str(series), "--output", str(tmp_path / "t1")]) == 0
    words = ["ai", "segment", str(tmp_path / "t1.nii.gz"), "--model", str(model), "--output"]
    assert main([*words, str(tmp_path / "seg.dcm")]) == 1
    assert ".nii.gz" in capsys.readouterr().err and not (tmp_path / "seg.dcm").exists()
    assert main([*words, str(tmp_path / "seg.nii.gz")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[3] == str(len(bright))


def test_models_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    from gpukit.ai import sample_names

    if not sample_names():
        pytest.skip("no model comes with this checkout yet")
    assert main(["ai", "models", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["models"]
    assert [model["name"] for model in listed] == list(sample_names())
    assert main(["ai", "models"]) == 0
    assert all(name in capsys.readouterr().out for name in sample_names())


def heed_ctrl_c() -> None:
    """Undo what a shell does to its background jobs, and they to their children: SIGINT is ignored there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupt_at(stage: str, words: list[str]) -> tuple[int, str]:
    """Run ``gpukit`` on a terminal, press Ctrl-C once `stage` shows up; exit code and what it showed."""
    primary, secondary = pty.openpty()
    gpukit = str(Path(sysconfig.get_path("scripts")) / "gpukit")
    process = subprocess.Popen(
        [gpukit, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=secondary, start_new_session=True,
        preexec_fn=heed_ctrl_c,
    )  # fmt: skip
    os.close(secondary)
    shown, pressed, end = "", False, time.monotonic() + 240
    try:
        while time.monotonic() < end:
            if select.select([primary], [], [], 0.05)[0]:
                try:
                    block = os.read(primary, 65536)
                except OSError:  # Linux: the terminal was closed at the other end
                    break
                if not block:
                    break
                shown += block.decode(errors="replace")
            if not pressed and stage in shown:
                pressed = True
                time.sleep(0.1)  # well inside the stage
                os.killpg(process.pid, signal.SIGINT)
        code = process.wait(timeout=60)
    finally:
        os.close(primary)
        if process.poll() is None:
            process.kill()
    return code, shown


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX terminal")
@pytest.mark.parametrize(("stage", "suffix"), [("inference", ".dcm"), ("writing", ".dcm"), ("writing", ".nii.gz")])
def test_ctrl_c_leaves_nothing_half_written(stage: str, suffix: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if stage == "inference":
        array, options = np.zeros((64, 96, 96), np.uint16), {"delay": 600, "patch": 16}
    elif suffix == ".dcm":  # noise in 40 labels: 2560 bit planes take seconds
        array, options = rng.integers(0, 4100, (64, 96, 96)).astype(np.uint16), {"labels": 40}
    else:  # noise takes a second or more to compress
        array, options = rng.integers(0, 400, (160, 256, 256)).astype(np.uint16), {"labels": 3}
    series = write_slices(tmp_path / "series", array, Grid.from_axes(array.shape).affine)
    model = write_steps(tmp_path / "steps", **options)
    out = tmp_path / "out"
    out.mkdir()
    target = out / f"seg{suffix}"
    target.write_bytes(b"the one before")
    words = ["ai", "segment", str(series), "--model", str(model), "--output", str(target), "--force"]
    code, shown = interrupt_at(stage, words)
    assert code == 130, shown
    assert "Traceback" not in shown
    assert [path.name for path in out.iterdir()] == [target.name]
    assert target.read_bytes() == b"the one before"
    for earlier in ("headers", "pixels", "inference"):
        assert earlier in shown  # a bar for each stage
