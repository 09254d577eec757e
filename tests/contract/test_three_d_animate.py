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


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
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
        (("--method", "xray"), 2, "no method"),
        (("--threshold", 3), 2, "--method surface"),
        (("--field", "3cm"), 2, "--path"),
        (("--frames", 0), 2, "1 to"),
    ],
)
def test_refusals(run: Run, made: Path, words: tuple[object, ...], code: int, told: str) -> None:
    (made / "one.csv").write_text("1,2,3\n")
    (made / "far.csv").write_text("1,2,3\n1,2,300\n")
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
