"""Sixel data on every backend, against a decoder written from the standard's rules and against libsixel's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from gpukit.errors import InputError
from gpukit.ops.sixel_bands import sixel_bands


def decoded(data: bytes, rows: int, columns: int) -> np.ndarray:
    """Numbers of colours that sixel data draws; -1 where nothing is drawn."""
    picture = np.full((rows + 6, columns), -1)
    at, x, y, color = 0, 0, 0, -1

    def number() -> int:
        nonlocal at
        start = at
        while at < len(data) and data[at : at + 1].isdigit():
            at += 1
        return int(data[start:at])

    while at < len(data):
        char = chr(data[at])
        at += 1
        if char == "#":
            color = number()
        elif char == "$":
            x = 0
        elif char == "-":
            x, y = 0, y + 6
        else:
            times = 1
            if char == "!":
                times = number()
                char = chr(data[at])
                at += 1
            for bit in range(6):
                if (ord(char) - 63) >> bit & 1:
                    picture[y + bit, x : x + times] = color
            x += times
    return picture[:rows]


@pytest.mark.parametrize("shape", [(1, 1), (6, 9), (7, 33), (13, 130), (20, 5)])
def test_the_data_draw_the_picture(lib, rng, shape):
    noise = rng.integers(0, 256, shape).astype(np.uint8)
    runs = np.sort(noise, axis=1)
    few = rng.integers(0, 3, shape).astype(np.uint8) * 100
    for picture in (noise, runs, few, np.zeros(shape, np.uint8), np.full(shape, 255, np.uint8)):
        data = lib(sixel_bands, picture)
        np.testing.assert_array_equal(decoded(bytes(data), *shape), picture)
        assert bytes(data) == bytes(sixel_bands.reference(picture))


def test_what_is_not_a_picture_is_refused(lib):
    with pytest.raises(InputError, match="two axes of uint8"):
        lib(sixel_bands, np.zeros((2, 3, 4), np.uint8))


@pytest.mark.skipif(shutil.which("sixel2png") is None, reason="libsixel's sixel2png is not installed")
def test_libsixel_draws_grey_within_three_of_255(rng, tmp_path: Path):
    from PIL import Image

    from gpukit.viewer.encoding.sixel import sixel

    picture = np.clip(np.linspace(0, 255, 300)[None, :] + rng.normal(0, 20, (200, 300)), 0, 255).astype(np.uint8)
    (tmp_path / "a.six").write_bytes(sixel(picture))
    subprocess.run(["sixel2png", "-i", tmp_path / "a.six", "-o", tmp_path / "a.png"], check=True, timeout=60)
    shown = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert shown.shape == (200, 300, 3)
    assert np.abs(shown - picture[..., None]).max() <= 3
