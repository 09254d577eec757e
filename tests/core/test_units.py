"""Lengths with units."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpukit.errors import UnitError
from gpukit.units import parse_length


@pytest.mark.parametrize(
    ("text", "mm"),
    [
        ("20mm", 20),
        ("2 cm", 20),
        ("0.02m", 20),
        ("1500um", 1.5),
        ("1500µm", 1.5),
        ("7", 7),
        (".5mm", 0.5),
        (3, 3),
        ("1e1mm", 10),
    ],
)
def test_lengths_become_millimetres(text: str, mm: float) -> None:
    assert parse_length(text) == pytest.approx(mm, rel=1e-15)  # one multiplication


@pytest.mark.parametrize("text", ["", "mm", "20 inch", "20mm2", "1,5mm", "nan", "inf", "1e400mm", "20 m m", "--3mm"])
def test_other_words_are_no_lengths(text: str) -> None:
    with pytest.raises(UnitError):
        parse_length(text)


@given(st.floats(-1e6, 1e6, allow_nan=False), st.sampled_from([("mm", 1.0), ("cm", 10.0), ("m", 1000.0), ("um", 1e-3)]))
def test_printed_numbers_come_back(value: float, unit: tuple[str, float]) -> None:
    assert parse_length(f"{value!r}{unit[0]}") == value * unit[1]


@given(st.text(max_size=12))
def test_no_text_breaks_it(text: str) -> None:
    with contextlib.suppress(UnitError):
        assert math.isfinite(parse_length(text))
