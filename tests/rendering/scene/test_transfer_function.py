"""Transfer functions: the shipped ones load and suit their modality, wrong ones are told where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from gpukit.errors import FormatError, InputError, InputNotFoundError, UnitError
from gpukit.geometry import Grid
from gpukit.rendering.scene.transfer_function import find_transfer, names_of_transfers, read_transfer, transfer_for
from gpukit.volume import Volume

GOOD = {
    "schema_version": 1,
    "unit": "HU",
    "points": [
        {"value": 0, "color": [0, 0, 0], "opacity": 0},
        {"value": 100, "color": [1, 0.5, 0], "opacity": 0.2},
        {"value": 400, "color": [1, 1, 1], "opacity": 0.8},
    ],
}


def volume(unit: str = "HU", array: np.ndarray | None = None, **facts: object) -> Volume:
    values = np.zeros((2, 2, 2)) if array is None else array
    return Volume(array=values, grid=Grid.from_axes(values.shape), unit=unit, **facts)  # type: ignore[arg-type]


def test_shipped_functions_load_and_start_invisible() -> None:
    shipped = {
        "ct-angio",
        "ct-bone",
        "ct-cardiac",
        "ct-fusion",
        "ct-lung",
        "ct-soft-tissue",
        "mr-default",
        "pet-fusion",
        "pet-hot",
    }
    assert set(names_of_transfers()) == shipped
    for name in names_of_transfers():
        one = find_transfer(name)
        assert one.points[0][2] == 0.0, name  # else the air around would be drawn
        assert (one.unit == "HU") == name.startswith("ct-")
    with pytest.raises(InputError, match="ct-bone"):
        find_transfer("../ct-bone")


def test_modality_chooses() -> None:
    assert transfer_for(volume()).name == "ct-bone"
    assert transfer_for(volume("BQML", metadata={"Modality": "PT"})).name == "pet-hot"
    assert transfer_for(volume("1", metadata={"Modality": "MR"})).name == "mr-default"


def test_points_are_joined_by_lines(tmp_path: Path) -> None:
    file = tmp_path / "tf.json"
    file.write_text(json.dumps(GOOD))
    one = read_transfer(file)
    colors, opacities = one.table()
    assert one.window(volume()) == (0, 400)
    at = np.linspace(0, 400, len(opacities))
    # the table's steps are a tenth of a HU, so that lines between its entries miss a corner by less than 1e-3
    assert np.interp([50, 250, 400], at, opacities) == pytest.approx([0.1, 0.5, 0.8], abs=1e-3)
    assert np.interp(50, at, colors[:, 1]) == pytest.approx(0.25, abs=1e-3)
    with pytest.raises(UnitError, match="BQML"):
        one.window(volume("BQML"))


def test_shares_are_of_the_volume_without_its_padding() -> None:
    values = np.arange(1000.0).reshape(10, 10, 10)
    values[0, 0, :5] = -5000
    low, high = find_transfer("pet-hot").window(volume("BQML", values, padding=(-5000, -5000)))
    assert (low, high) == pytest.approx((5 + 0.03 * 994, 999))
    assert find_transfer("mr-default").window(volume("1")) == pytest.approx((0.12, 1))  # a volume of one value


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"points": []}, "points"),
        ({"points": GOOD["points"][:1]}, "points"),
        ({"points": [GOOD["points"][1], GOOD["points"][0]]}, "points[1].value"),
        ({"points": [GOOD["points"][0]] * 2}, "points[1].value"),
        ({"points": [{"value": 0, "color": [0, 0, 2], "opacity": 0}, GOOD["points"][1]]}, "points[0].color"),
        ({"points": [{"value": 0, "color": [0, 0, 0], "opacity": -1}, GOOD["points"][1]]}, "points[0].opacity"),
        ({"points": [{"value": "0", "color": [0, 0, 0], "opacity": 0}, GOOD["points"][1]]}, "points[0].value"),
        ({"points": [{"value": 0, "opacity": 0}, GOOD["points"][1]]}, "points[0]"),
        ({"schema_version": 2}, "schema_version"),
        ({"unit": "stone"}, "unit"),
        ({"unit": ["HU"]}, "unit"),
        ({"opacities": 1}, "opacities"),
        ({"percentiles": [50, 50]}, "percentiles"),
        ({"shading": {"ambient": 1}}, "shading"),
    ],
)
def test_wrong_functions_name_file_and_place(change: dict[str, object], where: str, tmp_path: Path) -> None:
    file = tmp_path / "tf.json"
    file.write_text(json.dumps({**GOOD, **change}))
    with pytest.raises(FormatError) as caught:
        read_transfer(file)
    assert str(file) in str(caught.value)
    assert f"[{where}]" in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", "[" * 100000, '{"points": NaN}', "\x00\xff"])
def test_what_is_no_transfer_function(text: str, tmp_path: Path) -> None:
    file = tmp_path / "tf.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(FormatError):
        read_transfer(file)
    with pytest.raises(InputNotFoundError):
        read_transfer(tmp_path / "missing.json")
