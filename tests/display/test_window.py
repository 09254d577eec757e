"""Windows: what was asked for, else the header's, else the usual one of the unit."""

from __future__ import annotations

import numpy as np
import pytest

from gpukit.display.window import window_of
from gpukit.errors import InputError, UnitError
from gpukit.geometry import Grid
from gpukit.volume import Volume


def volume(unit: str = "HU", **metadata: object) -> Volume:
    return Volume(array=np.zeros((1, 2, 2)), grid=Grid.from_axes((1, 2, 2)), unit=unit, metadata=metadata)


def test_order_of_sources() -> None:
    with_header = volume(WindowCenter=100, WindowWidth=201)
    assert window_of(with_header, center=40, width=80) == (0, 80)
    assert window_of(with_header, preset="lung") == (-1350, 150)
    assert window_of(with_header) == (-0.5, 199.5)  # PS3.3 C.11.2.1.2.1: centre - 0.5, -+ (width - 1) / 2
    assert window_of(volume()) == (-160, 240)
    # a projection of Hounsfield units is not what the header's window was chosen for
    assert window_of(with_header, usual="angio") == (0, 600)
    assert window_of(volume("BQML", WindowCenter=100, WindowWidth=201), usual="angio") == (-0.5, 199.5)
    assert window_of(volume("BQML")) is None


def test_bad_windows() -> None:
    with pytest.raises(UnitError, match="BQML"):
        window_of(volume("BQML"), preset="lung")
    for arguments in (
        {"preset": "spleen"},
        {"center": 40.0},
        {"width": 40.0},
        {"center": 40.0, "width": 0.0},
        {"center": float("nan"), "width": 5.0},
        {"preset": "lung", "width": 5.0},
    ):
        with pytest.raises(InputError):
            window_of(volume(), **arguments)  # type: ignore[arg-type]
