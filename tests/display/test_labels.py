"""Labels over a picture lie where they are, and change nothing else."""

from __future__ import annotations

import numpy as np

from gpukit.display.labels import tinted

RED, BLUE = (255, 0, 0), (0, 0, 255)


def test_a_label_is_a_veil_with_a_full_border() -> None:
    labels = np.zeros((8, 8), np.uint8)
    labels[2:6, 3:7] = 1
    picture = tinted(np.full((8, 8), 100, np.uint8), labels, {1: RED}, 0.25)
    assert picture.shape == (8, 8, 3)
    assert (picture[labels == 0] == 100).all()
    assert (picture[3:5, 4:6] == (0.75 * 100 + 0.25 * 255, 75, 75)).all() or (picture[3, 4] == (139, 75, 75)).all()
    border = np.zeros((8, 8), bool)
    border[2:6, 3:7] = True
    border[3:5, 4:6] = False
    assert (picture[border] == RED).all()


def test_two_labels_share_one_line_on_the_higher_one() -> None:
    labels = np.repeat([[1, 1, 1, 2, 2, 2]], 3, axis=0)
    picture = tinted(np.zeros((3, 6), np.uint8), labels, {1: RED, 2: BLUE}, 0.0)
    assert (picture[:, 3] == BLUE).all()
    assert (picture[:, [0, 1, 2, 4, 5]] == 0).all()


def test_labels_are_spread_over_an_enlarged_picture_and_strange_ones_left_out() -> None:
    labels = np.array([[0, 1], [7, 0]])
    picture = tinted(np.zeros((10, 20, 3), np.uint8), labels, {1: RED}, 1.0)
    assert (picture[:5, 10:] == RED).all()
    assert (picture[5:] == 0).all() and (picture[:5, :10] == 0).all()
