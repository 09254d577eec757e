"""What is drawn on a picture stays inside it, and pictures side by side keep their pixels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from gpukit.display.graphics import contact_sheet, draw_figure, draw_sides, draw_words


def canvas(width: int = 120, height: int = 80) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGB", (width, height))
    return image, ImageDraw.Draw(image)


@pytest.mark.parametrize("place", [(-500, -500), (1000, 1000), (30, 30)])
def test_words_are_moved_into_the_picture(place: tuple[int, int]) -> None:
    image, draw = canvas()
    draw_words(draw, "12 mm²", place, image.size, (255, 210, 0), 14)
    drawn = np.asarray(image).any(axis=2)
    assert drawn.sum() > 40
    assert not drawn[[0, -1]].any() and not drawn[:, [0, -1]].any()  # not cut off at an edge


def test_points_are_crosses_and_lines_pass_through_their_points() -> None:
    image, draw = canvas()
    draw_figure(draw, "POINT", np.array([[60.0, 40.0]]), (255, 0, 0))
    assert image.getpixel((60, 40)) == (255, 0, 0) and image.getpixel((64, 40)) == (255, 0, 0)
    image, draw = canvas()
    draw_figure(draw, "POLYLINE", np.array([[10.0, 10.0], [50.0, 10.0]]), (0, 255, 0))
    assert image.getpixel((30, 10)) == (0, 255, 0) and image.getpixel((60, 10)) == (0, 0, 0)


def test_letters_stand_at_their_edges_and_none_where_sides_are_not_known() -> None:
    image, draw = canvas()
    draw_sides(draw, "RLAP", 0, 0, 120, 80)
    drawn = np.asarray(image).any(axis=2)
    for part in (drawn[30:50, :16], drawn[30:50, -16:], drawn[:16, 50:70], drawn[-16:, 50:70]):
        assert part.any()
    image, draw = canvas()
    draw_sides(draw, "", 0, 0, 120, 80)
    assert not np.asarray(image).any()


def test_a_contact_sheet_keeps_every_pixel() -> None:
    tiles = [Image.new("RGB", (10 + n, 8), (n + 1, 0, 0)) for n in range(5)]
    sheet = np.asarray(contact_sheet(tiles, 3))
    assert sheet.shape == (16, 3 * 14, 3)
    for n in range(5):
        assert (sheet[..., 0] == n + 1).sum() == (10 + n) * 8
