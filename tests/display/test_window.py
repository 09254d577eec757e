"""Windows: what was asked for, else the header's, else the usual one of the unit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gpukit.display.window import choose
from gpukit.errors import InputError, UnitError
from gpukit.geometry import Grid
from gpukit.volume import Volume


def volume(unit: str = "HU", **metadata: object) -> Volume:
    return Volume(array=np.zeros((1, 2, 2)), grid=Grid.from_axes((1, 2, 2)), unit=unit, metadata=metadata)


def limits(volume: Volume, **arguments: Any) -> tuple[float, float] | None:
    voi = choose(volume, **arguments)
    return None if voi is None else voi.limits


def test_order_of_sources() -> None:
    with_header = volume(WindowCenter=100, WindowWidth=201)
    # PS3.3 C.11.2.1.2.1: center - 0.5, -+ (width - 1) / 2, for what is asked for as for what a header names
    assert limits(with_header, center=40, width=80) == (0, 79)
    assert limits(with_header, center=100, width=201) == limits(with_header) == (-0.5, 199.5)
    assert limits(with_header, preset="lung") == (-1350, 149)
    assert limits(volume()) == (-160, 239)
    # a projection of Hounsfield units is not what the header's window was chosen for
    assert limits(with_header, usual="angio") == (0, 599)
    assert limits(volume("BQML", WindowCenter=100, WindowWidth=201), usual="angio") == (-0.5, 199.5)
    assert limits(volume("BQML")) is None


def test_a_window_in_fractions_is_as_wide_as_it_says() -> None:
    """SUV 0 to 5 is a center of 2.5 and a width of 5: LINEAR would end at 4."""
    assert limits(volume("SUVbw"), center=2.5, width=5) == (0, 5)
    assert limits(volume("HU"), center=0.5, width=0.5) == (0.25, 0.75)


def test_bad_windows() -> None:
    with pytest.raises(UnitError, match="BQML"):
        choose(volume("BQML"), preset="lung")
    for arguments in (
        {"preset": "spleen"},
        {"center": 40.0},
        {"width": 40.0},
        {"center": 40.0, "width": 0.0},
        {"center": float("nan"), "width": 5.0},
        {"preset": "lung", "width": 5.0},
    ):
        with pytest.raises(InputError):
            choose(volume(), **arguments)  # type: ignore[arg-type]
