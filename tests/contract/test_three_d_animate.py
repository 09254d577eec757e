"""Animations beyond the contract's line: along a path, in one file, of other methods."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import gpukit as gk
from gpukit.io.masks import open_mask
from gpukit.rendering.scene.camera import camera_view, extent
from gpukit.rendering.scene.clipping import clip_box, clip_plane
from gpukit.segmentation import Segmentation

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A ball of 500 HU that grows, in two phases, beside a path through it."""
    z, y, x = np.indices((20, 24, 28))
    distance = np.sqrt((x - 14) ** 2 + (y - 12) ** 2 + (z - 10) ** 2)
    phases = np.stack([np.where(distance < radius, 500, -1000) for radius in (4, 8)], axis=-1).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(phases.transpose(2, 1, 0, 3), np.diag((-1.0, -1, 1, 1))), tmp_path / "beat.nii.gz")
    (tmp_path / "path.csv").write_text("i,j,k\n14,12,1\n14,13,10\n14,12,18\n")
    return tmp_path


def test_phases_along_a_turn(run: Run, made: Path) -> None:
    words = ("3d", "animate", "beat.nii.gz", "--method", "surface", "--threshold", 0, "--frames", 4, "--size", 64)
    done = run(*words, "--output", "out.apng", cwd=made)
    assert done.returncode == 1 and "--phase" in done.stderr and not (made / "out.apng").exists()
    done = run(*words, "--output", "out.apng", "--phase", "all", "--fps", 5, "--json", cwd=made)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["frames"] == 4
    with Image.open(made / "out.apng") as image:
        areas = []
        for n in range(image.n_frames):
            image.seek(n)
            areas.append(int((np.asarray(image.convert("L")) > 20).sum()))
    assert areas[0] < 0.4 * areas[1] and areas[2] == pytest.approx(areas[0], rel=0.1)  # a ball from all sides


def test_along_a_path(run: Run, made: Path) -> None:
    done = run("3d", "animate", "beat.nii.gz", "--path", "path.csv", "--method", "mip", "--frames", 3, "--size", 40,
               "--phase", "all", "--field", "2cm", "--depth", "5mm", "--output", "fly/", cwd=made)  # fmt: skip
    assert done.returncode == 0, done.stderr
    frames = [np.asarray(Image.open(made / name)) for name in done.stdout.split()]
    assert [frame.shape for frame in frames] == [(40, 40, 3)] * 3
    # 5 mm ahead of the start there is nothing; in the middle of the large ball all is bright.
    assert frames[0].max() == 0 and (frames[1][10:30, 10:30] == 255).all()


def scene(folder: Path) -> tuple[gk.Volume, Segmentation]:
    """A noisy body, and a mask of two labels on a grid of its own: half as many voxels along the head."""
    values = np.random.default_rng(4).integers(40, 400, (18, 22, 26)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag((-1.5, -1, 2, 1))), folder / "ct.nii.gz")
    regions = np.zeros((26, 22, 9), np.uint8)
    regions[3:12, 4:14, 2:7], regions[14:22, 8:18, 3:8] = 1, 2
    affine = np.diag((-1.5, -1, 4.0, 1))
    affine[2, 3] = 1.0
    nibabel.save(nibabel.Nifti1Image(regions, affine), folder / "mask.nii.gz")
    body = gk.open(folder / "ct.nii.gz", device="cpu")
    return body, open_mask(folder / "mask.nii.gz", body)


def frames_of(done: subprocess.CompletedProcess[str], folder: Path) -> list[np.ndarray]:
    assert done.returncode == 0, done.stderr
    return [np.asarray(Image.open(folder / name)) for name in done.stdout.split()]


def test_masks_and_clipping_are_those_of_single_pictures(run: Run, tmp_path: Path) -> None:
    """Frame n is what `render` gives for the same camera, mask and clipping, to the bit: the arithmetic is the same."""
    body, mask = scene(tmp_path)
    look = ("--method", "volume", "--preset", "mr-default", "--frames", 4, "--size", "48x40", "--camera-angle", "10,15")
    cut = ("--clip-box", "2,0,3,21,17,15", "--clip-plane", "13,11,9,1,1,0")
    colors = ("--mask", "mask.nii.gz", "--label-color", "2=#00ff00", "--label-opacity", 0.5)
    words = ("3d", "animate", "ct.nii.gz", "--device", "cpu", *look)
    made = frames_of(run(*words, *cut, *colors, "--output", "turn", cwd=tmp_path), tmp_path)
    angles = [10.0, 100.0, 190.0, 280.0]
    across, down, _ = np.max([extent(body.grid, camera_view(angle, 15)) for angle in angles], axis=0)
    how = {"transfer": "mr-default", "elevation": 15, "size": (48, 40), "field_of_view": (across, down)}
    box = np.concatenate([clip_box(body.grid, (2, 0, 3), (21, 17, 15)), clip_plane(body.grid, (13, 11, 9), (1, 1, 0))])
    colored = {"mask": mask, "label_colors": {2: (0, 1, 0)}, "label_opacity": 0.5}
    assert len(made) == 4
    for angle, frame in zip(angles, made, strict=True):
        alone = gk.render(body, azimuth=angle, clip=box, **colored, **how).array[0]
        assert np.array_equal(frame, alone)
        for less in ({"clip": box}, colored):  # both are seen in every frame
            assert not np.array_equal(frame, gk.render(body, azimuth=angle, **less, **how).array[0])
    inside = ("--mask", "mask.nii.gz", "--labels", "2", "--mask-mode", "inside", "--rotation", 0, "--frames", 1)
    (frame,) = frames_of(run(*words, *inside, "--output", "inside", cwd=tmp_path), tmp_path)
    one = open_mask(tmp_path / "mask.nii.gz", body, labels=[2])
    across, down, _ = extent(body.grid, camera_view(10, 15))
    how |= {"azimuth": 10, "field_of_view": (across, down)}
    assert frame.any()
    assert np.array_equal(frame, gk.render(body, mask=one, mask_mode="inside", **how).array[0])


def test_projections_show_the_inside_of_a_mask(run: Run, tmp_path: Path) -> None:
    """Of a ramp along the patient's left and head, behind and before something bright, the mask leaves the ramp."""
    _, mask = scene(tmp_path)
    k, _, i = np.indices(mask.grid.shape)
    region = np.asarray(mask.array) == 2
    values = np.where(region, 100 + 4 * i + 6 * k, 1000).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values.transpose(2, 1, 0), np.diag((-1.5, -1, 2, 1))), tmp_path / "ramp.nii.gz")
    words = ("3d", "animate", "ramp.nii.gz", "--device", "cpu", "--method", "mip", "--window-center", 200,
             "--window-width", 400, "--frames", 3, "--size", 120)  # fmt: skip
    whole = frames_of(run(*words, "--output", "whole", cwd=tmp_path), tmp_path)
    made = frames_of(run(*words, "--mask", "mask.nii.gz", "--label", 2, "--output", "in", cwd=tmp_path), tmp_path)
    for one, other in zip(made, whole, strict=True):
        assert 0 < np.count_nonzero(one) < 0.6 * np.count_nonzero(other) and one.max() < other.max() == 255
    across, down, _ = np.max([extent(mask.grid, camera_view(angle, 0)) for angle in (0, 120, 240)], axis=0)
    row, column = (np.arange(120) - 59.5) * 1.02 * max(across, down) / 120 * np.array([[-1 / 2], [1 / 1.5]])
    at_k, at_i = np.meshgrid(row + 8.5, column + 12.5, indexing="ij")  # from the face: left on the right, head up
    slices, _, columns = np.nonzero(region)
    inside = (at_k >= slices.min()) & (at_k <= slices.max()) & (at_i >= columns.min()) & (at_i <= columns.max())
    beyond = (abs(at_k - np.mean(slices)) > np.ptp(slices) / 2 + 1) | (abs(at_i - np.mean(columns)) > np.ptp(columns))
    wanted = (100 + 4 * at_i + 6 * at_k) * 255 / 399  # center 200, width 400 is 0 to 399 (PS3.3 C.11.2.1.2.1)
    assert inside.sum() > 300 and not made[0][beyond].any()
    np.testing.assert_allclose(made[0][inside][:, 0], wanted[inside], atol=1)  # rounded to whole values and to 8 bit


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("--method", "mip", "--clip-box", "0,0,0,9,9,9"), 2, "--method volume or surface"),
        (("--method", "minip", "--clip-plane", "9,9,9,1,0,0"), 2, "--method volume or surface"),
        (("--method", "mip", "--mask", "ct.nii.gz", "--mask-mode", "alone"), 2, "--method volume or surface"),
        (("--method", "average", "--mask", "ct.nii.gz", "--label-color", "1=#ff0000"), 2, "--method volume or surface"),
        (("--labels", 1), 2, "need --mask"),
        (("--mask", "ct.nii.gz", "--mask-mode", "inside", "--label-opacity", 1), 2, "no --label-opacity"),
        (("--method", "surface", "--threshold", 3, "--mask", "x.dcm", "--mask-mode", "alone"), 2, "no --threshold"),
        (("--frame", "patient"), 2, "needs a --path, --clip-box"),
        (("--path", "lps.csv", "--clip-box", "0,0,0,9,9,9"), 2, "write --frame patient"),
        (("--clip-box", "90,90,90,99,99,99"), 1, "leaves nothing"),
        (("--path", "path.csv", "--rotation", 90), 2, "excludes"),
        (
            (
                "--path",
                "missing.csv",
            ),
            1,
            "no such",
        ),
        (
            (
                "--path",
                "one.csv",
            ),
            1,
            "2 to",
        ),
        (
            (
                "--path",
                "far.csv",
            ),
            1,
            "outside the volume",
        ),
        (("--method", "xray"), 2, "not a method"),
        (("--threshold", 3), 2, "--method surface"),
        (("--field", "3cm"), 2, "--path"),
        (("--frames", 0), 2, "1 to"),
    ],
)
def test_refusals(run: Run, made: Path, words: tuple[object, ...], code: int, told: str) -> None:
    (made / "one.csv").write_text("1,2,3\n")
    (made / "far.csv").write_text("1,2,3\n1,2,300\n")
    (made / "lps.csv").write_text("L,P,S\n14,12,1\n14,12,18\n")
    done = run("3d", "animate", "beat.nii.gz", "--phase", "all", "--output", "x", *words, cwd=made)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert told in done.stderr
    assert not (made / "x").exists()


def test_bricks_are_looked_at_once_for_all_pictures(
    made: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The program holds the only reference to what it opened, so what kernels keep of it serves every frame."""
    from typer.testing import CliRunner

    pyramid = pytest.importorskip("gpukit_backends.cpu.pyramid", reason="the CPU backend keeps the pyramid")
    if pyramid.library().handle is None:
        pytest.skip("no compiled kernels here: the reference has no pyramid")
    from gpukit_cli.commands.three_d import app

    built: list[int] = []
    over_rows = pyramid.over_rows
    monkeypatch.setattr(pyramid, "over_rows", lambda work, rows: (built.append(rows), over_rows(work, rows))[1])
    words = [
        "animate",
        str(made / "beat.nii.gz"),
        "--phase",
        "all",
        "--preset",
        "mr-default",
        "--frames",
        "6",
        "--size",
        "32",
    ]
    done = CliRunner().invoke(app, [*words, "--output", str(tmp_path / "turn.gif"), "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert len(built) == 2  # two phases, three pictures of each
