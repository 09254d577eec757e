"""Rulers say how many millimetres there are, and cover nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gpukit.display.ruler import LEFT, LOWER, RIGHT, UPPER, with_rulers


@pytest.mark.parametrize(("across", "along"), [(0.5, 0.8), (1.0, 0.25), (3.3, 2.0), (0.01, 40.0)])
@pytest.mark.parametrize("colour", [False, True])
def test_numbered_marks_are_as_far_apart_as_they_say(across: float, along: float, colour: bool) -> None:
    picture = np.random.default_rng(0).integers(1, 200, (300, 240, 3) if colour else (300, 240)).astype(np.uint8)
    made = with_rulers(picture, across, along)
    assert made.shape[:2] == (300 + UPPER + LOWER, 240 + LEFT + RIGHT)
    assert np.array_equal(made[UPPER : UPPER + 300, LEFT : LEFT + 240], picture)
    grey = made[..., 0] if colour else made
    # marks with numbers are the longest: ten pixels beside the edge of the ruler
    left = np.flatnonzero(grey[UPPER : UPPER + 300, LEFT - 3 - 9] == 255)
    lower = np.flatnonzero(grey[UPPER + 300 + 2 + 9, LEFT : LEFT + 240] == 255)
    for marks, mm, zero in ((left, along, 0.0), (lower, across, 119.5)):
        assert len(marks) >= 3
        step = float(np.diff(marks).mean()) * mm
        tidy = min((f * 10.0**n for f in (1, 2, 5) for n in range(-4, 5)), key=lambda v: abs(v - step))
        # marks stand on whole pixels
        assert step == pytest.approx(tidy, abs=mm / (len(marks) - 1) + 1e-9)
        values = (marks - zero) * mm / tidy
        assert values == pytest.approx(np.round(values), abs=0.5 * mm / tidy + 1e-6)
