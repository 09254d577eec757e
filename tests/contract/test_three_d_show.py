"""`3d show`: a window where there is a display, a clear word where there is none, a picture without one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A block of 30 x 20 x 20 mm whose brighter end is the patient's left, in a left-handed grid; and its mask."""
    values = np.zeros((20, 20, 30), np.int16)
    values[5:15, 5:15, 2:28], values[5:15, 5:15, 20:28] = 300, 1000
    affine = np.diag((-1.0, -1, 1, 1))  # of (i, j, k) to RAS
    nibabel.save(nibabel.Nifti1Image(values.T[:, :, ::-1], affine @ np.diag((1, 1, -1, 1))), tmp_path / "block.nii.gz")
    mask = (values == 1000).astype(np.uint8).T[:, :, ::-1]
    nibabel.save(nibabel.Nifti1Image(mask, affine @ np.diag((1, 1, -1, 1))), tmp_path / "end.nii.gz")
    return tmp_path


def test_no_display_is_said_before_anything_is_read(run: Run, tmp_path: Path) -> None:
    done = run("3d", "show", "there/is/no/such/series", cwd=tmp_path, DISPLAY="", WAYLAND_DISPLAY="")
    assert done.returncode == 1 and done.stdout == ""
    assert "no display" in done.stderr and "--screenshot" in done.stderr and "Traceback" not in done.stderr


def shot(run: Run, folder: Path, *words: object) -> np.ndarray:
    done = run(
        "3d", "show", "block.nii.gz", "--screenshot", "a.png", "--size", "200x150", "--force", *words, cwd=folder
    )
    if done.returncode < 0 or ("vtk" in done.stderr.lower() and not (folder / "a.png").exists()):
        pytest.skip(f"VTK cannot draw off screen on this machine: {done.stderr.strip().splitlines()[-1:]}")
    assert done.returncode == 0, done.stderr
    picture = np.asarray(Image.open(folder / "a.png").convert("RGB")).astype(int)
    picture[110:, :40] = 0  # where the axes are
    return picture


def columns(picture: np.ndarray) -> tuple[float, float]:
    """First and last column that shows something, in mm from the middle: the block's 30 mm fill the width."""
    found = np.flatnonzero((picture.max(axis=-1) > 25).sum(axis=0) > 8)
    pixel = max(30 / 200, 20 / 150) * 1.02
    return (found[0] - 100) * pixel, (found[-1] + 1 - 100) * pixel


@pytest.mark.parametrize("method", ["volume", "surface"])
def test_a_picture_without_a_window_has_the_right_place_scale_and_side(run: Run, made: Path, method: str) -> None:
    points = [{"value": 100, "color": [1, 1, 1], "opacity": 0}, {"value": 200, "color": [1, 1, 1], "opacity": 20}]
    (made / "tf.json").write_text(json.dumps({"points": points}))
    words = ("--threshold", 150) if method == "surface" else ("--transfer-function", "tf.json")
    picture = shot(run, made, "--method", method, *words)
    # From the face the patient's right is on the left. Voxels 2 to 27 of 30 lie within 13 mm of the middle.
    assert columns(picture) == pytest.approx((-13, 13), abs=1.0)
    if method == "surface":
        end = shot(run, made, "--method", method, "--threshold", 600)
        assert columns(end) == pytest.approx((5, 13), abs=1.0)  # the patient's left is on the right


def test_labels_of_a_mask_are_shown_in_their_colours(run: Run, made: Path) -> None:
    picture = shot(run, made, "--method", "planes", "--mask", "end.nii.gz")
    colourful = np.ptp(picture, axis=-1) > 90
    assert colourful[:, 140:185].mean() > 5 * max(colourful[:, 20:110].mean(), 0.01)


def test_planes(run: Run, made: Path) -> None:
    picture = shot(run, made, "--method", "planes", "--window-center", 500, "--window-width", 1000)
    assert picture[75, 170].mean() > 200 and 50 < picture[75, 60].mean() < 110


def test_wrong_words(run: Run, made: Path) -> None:
    for words in (
        ("--method", "xray"),
        ("--threshold", 3),
        ("--label", "1"),
        ("--preset", "ct-bone", "--method", "planes"),
    ):
        done = run("3d", "show", "block.nii.gz", "--screenshot", "a.png", *words, cwd=made)
        assert done.returncode == 2, (words, done.stderr)
    assert not (made / "a.png").exists()


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An X server without a monitor, and the file in which its pixels are."""
    program = shutil.which("Xvfb")
    if program is None:
        pytest.skip("there is no Xvfb: apt-get install xvfb")
    folder = tmp_path / "screen"
    folder.mkdir()
    reading, writing = os.pipe()
    words = [
        program,
        "-displayfd",
        str(writing),
        "-screen",
        "0",
        "640x480x24",
        "-fbdir",
        str(folder),
        "-nolisten",
        "tcp",
        "-noreset",  # else it starts anew when its last client goes, and refuses one that comes meanwhile
    ]
    server = subprocess.Popen(words, pass_fds=(writing,), stderr=subprocess.DEVNULL)
    os.close(writing)
    try:
        number = os.read(reading, 16).decode().strip()
        if not number:
            pytest.skip("Xvfb does not start on this machine")
        yield f":{number}", folder / "Xvfb_screen0"
    finally:
        os.close(reading)
        server.terminate()
        server.wait(timeout=20)


def test_a_window_opens_on_a_display(made: Path, screen: tuple[str, Path]) -> None:
    display, pixels = screen
    program = Path(sysconfig.get_path("scripts")) / "gpukit"
    words = [program, "3d", "show", "block.nii.gz", "--method", "surface", "--threshold", "150", "--size", "400x300"]
    environment = {**os.environ, "DISPLAY": display}
    window = subprocess.Popen(words, cwd=made, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 90
        while time.monotonic() < until and window.poll() is None:
            shown = np.frombuffer(pixels.read_bytes()[-640 * 480 * 4 :], np.uint8).reshape(480, 640, 4)[..., :3]
            if (np.ptp(shown.astype(int), axis=-1) > 20).sum() > 5000:  # bone is not grey
                return
            time.sleep(0.3)
        assert window.poll() is None, window.stderr.read() if window.stderr else ""
        raise AssertionError("nothing was drawn in the window")
    finally:
        window.kill()
        window.communicate()
