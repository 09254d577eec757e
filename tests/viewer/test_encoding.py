"""Pictures as bytes: cells against exact means, graphics decoded again."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import zlib
from base64 import standard_b64decode
from pathlib import Path

import numpy as np
import pytest
from support.viewer_files import write_grey

from gpukit.display.frame_values import FrameValues
from gpukit.display.presentation import show_values
from gpukit.errors import InputError, UnitError
from gpukit.viewer.encoding.cells import RAMPS, ascii_lines, cell_grid, encode
from gpukit.viewer.encoding.colors import nearest_256, shown_colors
from gpukit.viewer.encoding.graphics import iterm2, kitty, kitty_placeholders, through_tmux
from gpukit.viewer.encoding.sixel import sixel
from gpukit.viewer.layout import Viewport, fit
from gpukit.viewer.page import render
from gpukit.viewer.text import clean, cut, width_of
from gpukit.volume import Voi

pyte = pytest.importorskip("pyte", reason="pyte draws the tests' terminal")


def drawn(lines: list[bytes]) -> pyte.Screen:
    """What a terminal shows of lines."""
    screen = pyte.Screen(400, len(lines) + 1)
    pyte.ByteStream(screen).feed(b"\r\n".join(lines))
    return screen


def test_each_half_cell_is_the_mean_of_its_area_after_the_window() -> None:
    rng = np.random.default_rng(3)
    stored = rng.integers(-1000, 2000, (512, 512)).astype(np.int16)
    voi = Voi(40.0, 2500.0, "LINEAR_EXACT")
    picture = show_values(FrameValues(stored=stored), voi=voi, size=(120, 120))
    screen = drawn(encode(cell_grid(picture, "half")))
    step = 512 / 120
    edges = np.arange(121) * step
    shares = np.clip(
        np.minimum(edges[1:, None], np.arange(512) + 1) - np.maximum(edges[:-1, None], np.arange(512)), 0, 1
    )
    means = shares @ stored @ shares.T / step**2
    exact = np.clip((means - voi.center) / voi.width + 0.5, 0, 1) * 255
    shown = np.zeros((120, 120))
    for line in range(60):
        for column in range(120):
            cell = screen.buffer[line][column]
            assert cell.data == "▀"
            shown[2 * line, column], shown[2 * line + 1, column] = int(cell.fg[:2], 16), int(cell.bg[:2], 16)
    assert np.abs(shown - exact).max() <= 0.5 + 1e-3


@pytest.mark.parametrize(("kind", "across", "down"), [("quadrant", 2, 2), ("sextant", 2, 3), ("braille", 2, 4)])
def test_shapes_of_two_colors_are_drawn_exactly(kind: str, across: int, down: int) -> None:
    """Every pattern of two levels is its own character with these levels as colours."""
    rng = np.random.default_rng(1)
    picture = np.where(rng.random((down * 20, across * 30)) < 0.5, 30, 220).astype(np.uint8)
    grid = cell_grid(picture, kind)
    parts = picture.reshape(20, down, 30, across).swapaxes(1, 2).reshape(20, 30, -1)
    flat = (parts == parts[..., :1]).all(axis=2)
    bits = {"quadrant": [1, 2, 4, 8], "sextant": [1, 2, 4, 8, 16, 32], "braille": [1, 8, 2, 16, 4, 32, 64, 128]}[kind]
    code = ((parts == 220) * bits).sum(axis=2)
    if kind == "quadrant":
        table = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
        expected = np.array([[ord(table[c]) for c in row] for row in code])
    elif kind == "braille":
        expected = 0x2800 + code
    else:  # Unicode 13, U+1FB00 on, in the order of the bits, without those that older blocks have
        others = [n for n in range(64) if n not in (0, 0b010101, 0b101010, 63)]
        older = {0: 0x20, 0b010101: 0x258C, 0b101010: 0x2590, 63: 0x2588}
        expected = np.array(
            [[older.get(c, 0x1FB00 + others.index(c) if c in others else 0) for c in row] for row in code]
        )
    np.testing.assert_array_equal(grid.chars[~flat], expected[~flat])
    assert (grid.front[~flat] == 220).all()
    assert (grid.back[~flat] == 30).all()
    value = parts[flat][:, 0]
    assert (grid.back[flat] == value).all() or (grid.front[flat] == value).all()


def test_colors_of_terminals_with_fewer() -> None:
    greys = np.arange(256, dtype=np.uint8)[None]
    assert np.abs(shown_colors(greys, "256").astype(int) - greys[..., None]).max() <= 8  # xterm's greys are 10 apart
    pure = np.array([[(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)]], np.uint8)
    assert nearest_256(pure).tolist() == [[196, 46, 21, 231, 16]]
    (line,) = encode(cell_grid(np.repeat(pure, 2, axis=0), "half"), "16")
    assert re.findall(rb"\x1b\[(\d+);(\d+)m", line) == [
        (b"091", b"101"), (b"092", b"102"), (b"034", b"044"), (b"097", b"107"), (b"030", b"040")
    ]  # fmt: skip


def test_letters_grow_brighter_with_the_value() -> None:
    for quality, (ramp, shares) in RAMPS.items():
        assert len(ramp) == len(shares) == len(set(ramp))
        assert list(shares) == sorted(shares)
        (line,) = ascii_lines(np.arange(256, dtype=np.uint8)[None], quality)
        used = list(dict.fromkeys(" " + line))
        assert used == [letter for letter in ramp if letter in used]
        assert line[-1] == ramp[-1]


def test_kitty_carries_the_pixels() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (40, 70, 3)).astype(np.uint8)
    data = kitty(picture, number=5)
    parts = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", data)
    assert all(b"q=2" in keys for keys, _ in parts)
    assert all(len(payload) <= 4096 for _, payload in parts)
    assert [b"m=1" in keys for keys, _ in parts] == [True] * (len(parts) - 1) + [False]
    keys = dict(item.split("=") for item in parts[0][0].decode().split(","))
    assert (keys["a"], keys["f"], keys["s"], keys["v"], keys["i"], keys["o"]) == ("T", "24", "70", "40", "5", "z")
    pixels = zlib.decompress(standard_b64decode(b"".join(payload for _, payload in parts)))
    np.testing.assert_array_equal(np.frombuffer(pixels, np.uint8).reshape(picture.shape), picture)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no POSIX shared memory here")
def test_kitty_by_shared_memory() -> None:
    picture = np.random.default_rng(2).integers(0, 256, (40, 70)).astype(np.uint8)
    (match,) = re.findall(rb"\x1b_G([^;]*);([^\x1b]*)\x1b\\", kitty(picture, shared=True))
    memory = Path("/dev/shm" + standard_b64decode(match[1]).decode())
    assert b"t=s" in match[0] and oct(memory.stat().st_mode)[-3:] == "600"
    pixels = np.frombuffer(memory.read_bytes(), np.uint8).reshape(40, 70, 3)
    memory.unlink()  # the terminal would
    np.testing.assert_array_equal(pixels, np.repeat(picture[..., None], 3, axis=2))


def test_iterm2_is_a_png_that_decodes_exactly() -> None:
    from PIL import Image

    picture = np.random.default_rng(2).integers(0, 256, (40, 70, 3)).astype(np.uint8)
    match = re.fullmatch(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07", iterm2(picture, 7, 2))
    assert match is not None
    keys = dict(item.split("=") for item in match[1].decode().split(";"))
    png = standard_b64decode(match[2])
    assert (keys["inline"], keys["size"], keys["width"], keys["height"]) == ("1", str(len(png)), "70px", "40px")
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), picture)


def test_placeholders_name_row_column_and_image() -> None:
    lines = [line.decode() for line in kitty_placeholders(0x0A0B0C, 4, 3)]
    assert [line.count("\U0010eeee") for line in lines] == [4, 4, 4]
    assert all(line.startswith("\x1b[38;2;10;11;12m") for line in lines)
    # the first marks of kitty's table are U+0305, U+030D, U+030E
    assert [line.split("\U0010eeee")[1][0] for line in lines] == ["̅", "̍", "̎"]
    wrapped = through_tmux(kitty(np.zeros((2, 2), np.uint8), placeholders=(4, 3)))
    assert wrapped.startswith(b"\x1bPtmux;\x1b\x1b_G") and wrapped.endswith(b"\x1b\x1b\\\x1b\\")


@pytest.mark.skipif(shutil.which("sixel2png") is None, reason="libsixel's sixel2png is not installed")
@pytest.mark.parametrize("colors", [1, 200])
def test_sixel_of_few_colors_is_exact_to_half_a_per_cent(tmp_path: Path, colors: int) -> None:
    from PIL import Image

    rng = np.random.default_rng(4)
    palette = rng.integers(0, 256, (colors, 3)).astype(np.uint8)
    picture = palette[rng.integers(0, colors, (50, 61))]
    data = sixel(picture)
    assert data.startswith(b'\x1bP0;1q"1;1;61;50#') and data.endswith(b"\x1b\\")
    (tmp_path / "a.six").write_bytes(data)
    subprocess.run(["sixel2png", "-i", tmp_path / "a.six", "-o", tmp_path / "a.png"], check=True, timeout=60)
    shown = np.asarray(Image.open(tmp_path / "a.png").convert("RGB")).astype(int)
    assert np.abs(shown - picture).max() <= 3


@pytest.mark.parametrize("points", [None, (1, 2), (1, 1), (2, 3)])
@pytest.mark.parametrize("aspect", [0.25, 1.0, 4 / 3, 2.0])
@pytest.mark.parametrize("area", [(80, 24), (10, 4), (300, 100), (1, 1)])
def test_pictures_fit_in_without_distortion(
    points: tuple[int, int] | None, aspect: float, area: tuple[int, int]
) -> None:
    size = fit(120, 256, aspect, area, cell=(10, 20), points=points)
    across, down = points or (10, 20)
    assert 1 <= size.columns <= area[0] and 1 <= size.lines <= area[1]
    width, height = size.width * 10 / across, size.height * 20 / down
    # within one cell of what the other side asks for
    assert abs(height - width * 120 * aspect / 256) <= 20 or abs(width - height * 256 / (120 * aspect)) <= 10


def test_the_image_of_4_to_3_pixels_is_256_by_160(more: Path, run, tmp_path: Path) -> None:
    from PIL import Image

    done = run("viewer", more / "images_odd/us_pixel_aspect_4_3.dcm", "--output", tmp_path / "a.png")
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "a.png").size == (256, 160)


def test_a_viewport_stays_on_the_image() -> None:
    view = Viewport().zoomed(4).moved(-9, 9)
    assert view.box(100, 200) == (0.0, 150.0, 25.0, 200.0)
    assert Viewport().moved(5, 5) == Viewport()
    assert Viewport().zoomed(1000).zoom == 64


def test_render_is_the_same_in_python(tmp_path: Path) -> None:
    values = np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1))
    file = write_grey(tmp_path / "ramp.dcm", values)
    text = render(file, mode="ascii", size=(40, 20)).decode()
    lines = text.splitlines()
    assert len(lines) == 20 and max(map(len, lines)) == 40
    assert render(file, mode="kitty", size=(4, 2)).startswith(b"\x1b_G")
    assert b"\x1b[38;2;" in render(file, mode="ansi", size=(4, 2))
    for wrong in ({"mode": "auto"}, {"mode": "vt100"}, {"colors": "8"}, {"center": 1.0}, {"zoom": 0.0}):
        with pytest.raises(InputError):
            render(file, **{"mode": "ascii", **wrong})
    with pytest.raises(UnitError, match="Hounsfield"):
        render(file, mode="ascii", preset="lung")
    with pytest.raises(InputError, match="there is no window"):
        render(file, mode="ascii", preset="lungs")


@pytest.mark.parametrize(
    "name",
    ["A\x1b]52;c;ZXZpbA==\x07B", "A\x1b[2JB", "A\x9b31mB", "A\u202eB", "A\x00B", "A\u2028B", "A\u200fB", "A\x7fB"],
)
def test_no_text_of_a_file_is_obeyed_by_a_terminal(name: str) -> None:
    text = clean(name)
    assert text.startswith("A") and text.endswith("B")
    assert not re.search("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069]", text)


def test_wide_letters_take_two_cells() -> None:
    assert width_of("山田") == 4
    assert cut("山田太郎", 5) == "山田"
    assert cut("abc", 0) == ""
