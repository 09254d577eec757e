"""Series that are no single stack: gaps and their bound, acquisitions of other ranges, slices of another size."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import write_series

import gpukit
import gpukit as gk
from gpukit.errors import MissingSlicesError, SelectionError
from gpukit_cli.main import main


def write(folder: Path, places, value: int = 0, *, size=(3, 4), first: int = 0, **attributes) -> None:
    """Slices at these z in mm, all with one value, in the series 1."""

    def change(dataset, k) -> None:
        for keyword, content in attributes.items():
            setattr(dataset, keyword, content)

    values = np.full((len(places), *size), value, np.int16) + np.arange(len(places), dtype=np.int16)[:, None, None]
    positions = [np.array([1.0, 2.0, z]) for z in places]
    write_series(folder, values, np.eye(4), positions=positions, first=first, seed=None or first, change=change)


# --- the bound of interpolation ----------------------------------------------------------------------------------


def test_two_stacks_far_apart_are_never_filled_by_default(tmp_path: Path) -> None:
    """Twelve slices of 2 mm in two stacks 90 mm apart: 44 of 56 slices would be invented."""
    write(tmp_path, [*range(0, 12, 2), *range(100, 112, 2)])
    with pytest.raises(MissingSlicesError) as plain:
        gk.open(tmp_path, device="cpu")
    assert "--fill-gaps" not in str(plain.value)  # it would not help
    with pytest.raises(MissingSlicesError) as caught:
        gk.open(tmp_path, device="cpu", fill_gaps=True)
    message = str(caught.value)
    assert "90 mm" in message and "44 slices are missing" in message and "3 slices or 10%" in message
    assert "--max-gap 44" in message
    with pytest.raises(MissingSlicesError, match="more than the 43 slices"):
        gk.open(tmp_path, device="cpu", fill_gaps=43)
    volume = gk.open(tmp_path, device="cpu", fill_gaps=44)
    assert volume.shape[0] == 56 and len(volume.acquired_slices) == 12


@pytest.mark.parametrize(
    ("slices", "missing", "filled"),
    [(60, 3, True), (60, 4, False), (40, 3, True), (12, 1, True), (4, 1, True), (12, 2, False), (25, 2, True)],
)
def test_the_bound_is_three_slices_and_a_tenth_of_the_stack(tmp_path: Path, slices: int, missing: int, filled) -> None:
    places = [2.0 * n for n in range(slices + missing)]
    del places[slices // 2 : slices // 2 + missing]
    write(tmp_path, places)
    if filled:
        assert gk.open(tmp_path, device="cpu", fill_gaps=True).shape[0] == slices + missing
        return
    with pytest.raises(MissingSlicesError, match=f"{missing} slices are missing"):
        gk.open(tmp_path, device="cpu", fill_gaps=True)


def test_a_part_with_wider_spacing_is_no_gap(tmp_path: Path) -> None:
    """Head CT: 2.5 mm at the base of the skull, 7.5 mm above it."""
    write(tmp_path, [*np.arange(0, 25, 2.5), *np.arange(30, 61, 7.5)])
    assert gk.open(tmp_path, device="cpu", fill_gaps=True).grid.spacing[2] == pytest.approx(2.5, abs=0.2)


def test_the_bound_is_an_option_of_the_command_line(tmp_path: Path, capsys) -> None:
    write(tmp_path / "ct", [*range(0, 20, 2), *range(30, 50, 2)])
    arguments = ["3d", "export", str(tmp_path / "ct"), "-o", str(tmp_path / "out"), "--formats", "nifti"]
    assert main([*arguments, "--fill-gaps"]) != 0
    assert "--max-gap 5" in capsys.readouterr().err
    assert main([*arguments, "--fill-gaps", "--max-gap", "5"]) == 0
    assert main([*arguments, "--force", "--max-gap", "5"]) == 2
    assert "--max-gap needs --fill-gaps" in capsys.readouterr().err


# --- several stacks under one UID --------------------------------------------------------------------------------


def expect_stacks(folder: Path, *stacks: tuple[str, int, int, float]) -> None:
    """Each is listed with a name, is refused without a choice, and opens by its number."""
    listed = gk.find_series(folder)
    assert [(one.kind, one.images) for one in listed] == [(name, images) for name, images, _, _ in stacks]
    with pytest.raises(SelectionError) as caught:
        gk.open(folder, device="cpu")
    for one, (name, images, value, start) in zip(listed, stacks, strict=True):
        assert name in str(caught.value)
        volume = gk.open(folder, device="cpu", series=one.number)
        assert volume.shape[0] == images and int(volume.array.min()) == value
        assert volume.grid.origin[2] == pytest.approx(start)


def test_acquisitions_of_other_ranges_are_stacks_of_their_own(tmp_path: Path) -> None:
    write(tmp_path, range(0, 20, 2), 100, AcquisitionNumber="1")
    write(tmp_path, range(10, 40, 2), 500, first=100, AcquisitionNumber="2")
    expect_stacks(tmp_path, ("acquisition 1", 10, 100, 0), ("acquisition 2", 15, 500, 10))


def test_thin_and_thick_slices_of_one_series(tmp_path: Path) -> None:
    write(tmp_path, range(20), 100, SliceThickness="1.25")
    write(tmp_path, range(0, 20, 5), 500, first=100, SliceThickness="5")
    expect_stacks(tmp_path, ("slices of 1.25 mm", 20, 100, 0), ("slices of 5 mm", 4, 500, 0))


def test_kernels_of_other_ranges(tmp_path: Path) -> None:
    write(tmp_path, range(0, 20, 2), 100, ConvolutionKernel="B30f")
    write(tmp_path, range(4, 20, 2), 500, first=100, ConvolutionKernel="B70f")
    expect_stacks(tmp_path, ("kernel B30f", 10, 100, 0), ("kernel B70f", 8, 500, 4))


def test_stacks_that_only_the_order_of_images_tells_apart(tmp_path: Path) -> None:
    def numbers(folder: Path, places, value: int, first: int) -> None:
        positions = [np.array([1.0, 2.0, z]) for z in places]
        values = np.full((len(positions), 3, 4), value, np.int16)
        values += np.arange(len(positions), dtype=np.int16)[:, None, None]

        def number(dataset, k) -> None:
            dataset.InstanceNumber = first + k

        write_series(folder, values, np.eye(4), positions=positions, first=first, change=number)

    numbers(tmp_path, range(0, 20, 2), 100, 1)
    numbers(tmp_path, range(10, 40, 2), 500, 101)
    expect_stacks(tmp_path, ("images 1 to 10", 10, 100, 0), ("images 101 to 115", 15, 500, 10))


def test_complete_series_stay_whole(tmp_path: Path) -> None:
    for n in range(4):  # axial CT: each rotation is an acquisition
        write(tmp_path / "rotations", range(8 * n, 8 * n + 8, 2), first=10 * n, AcquisitionNumber=str(n + 1))
    assert gk.open(tmp_path / "rotations", device="cpu").shape[0] == 16
    for n in range(3):
        write(tmp_path / "dynamic", range(0, 20, 2), 100 * n, first=20 * n, AcquisitionNumber=str(n + 1))
    assert gk.open(tmp_path / "dynamic", device="cpu").shape[:2] == (3, 10)
    for n, places in enumerate((range(0, 20, 2), range(22, 40, 2))):  # one slice is missing between the two
        write(tmp_path / "missing", places, first=20 * n, AcquisitionNumber=str(n + 1))
    with pytest.raises(MissingSlicesError, match="1 slice seems to be missing"):
        gk.open(tmp_path / "missing", device="cpu")
    for n in range(5):  # the scan was stopped in its last volume
        places = range(0, 20 if n < 4 else 18, 2)
        write(tmp_path / "stopped", places, 100 * n, first=20 * n, AcquisitionNumber=str(n + 1))
    with pytest.raises(MissingSlicesError, match="AcquisitionNumber 5 has no slice"):
        gk.open(tmp_path / "stopped", device="cpu")


def test_both_stacks_are_in_the_list_of_the_command_line(tmp_path: Path, capsys) -> None:
    write(tmp_path, range(0, 20, 2), 100, AcquisitionNumber="1")
    write(tmp_path, range(10, 40, 2), 500, first=100, AcquisitionNumber="2")
    assert main(["series", str(tmp_path), "--json"]) == 0
    kinds = [one["kind"] for one in json.loads(capsys.readouterr().out)["series"]]
    assert kinds == ["acquisition 1", "acquisition 2"]


# --- slices that do not fit ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "attribute"), [((6, 8), "Rows"), ((3, 8), "Columns")])
def test_a_slice_of_another_size_is_named_by_its_size(tmp_path: Path, size, attribute: str) -> None:
    write(tmp_path, [0, 2, 4, 8, 10, 12])
    write(tmp_path, [6], first=50, size=size)
    with pytest.raises(MissingSlicesError) as caught:
        gk.open(tmp_path, device="cpu")
    message = str(caught.value)
    assert f"{size[0]} x {size[1]} pixels (Rows x Columns)" in message and "3 x 4" in message
    assert f"[{attribute}]" in message and "0050" in message and "missing" not in message
    volume = gk.open(tmp_path, device="cpu", fill_gaps=True)
    assert volume.shape[0] == 7 and any("Rows x Columns" in note for note in volume.notes)


def test_a_last_slice_of_another_size_is_not_left_aside(tmp_path: Path) -> None:
    write(tmp_path, [0, 2, 4, 6, 8])
    write(tmp_path, [10], first=50, size=(6, 8))
    with pytest.raises(MissingSlicesError, match=r"6 x 8 pixels .* at the end of its stack"):
        gk.open(tmp_path, device="cpu")
    stack = next(one.number for one in gk.find_series(tmp_path) if one.images == 5)
    volume = gk.open(tmp_path, device="cpu", series=stack)
    assert volume.shape[0] == 5 and any("6 x 8" in note for note in volume.notes)


def test_a_slice_of_other_pixels_is_named_by_its_spacing(tmp_path: Path) -> None:
    write(tmp_path, [0, 2, 4, 8, 10, 12])
    write(tmp_path, [6], first=50, PixelSpacing=["0.9", "0.9"])
    with pytest.raises(MissingSlicesError, match=r"pixels of 0\.9 x 0\.9 mm where the other slices have 1 x 1 mm"):
        gk.open(tmp_path, device="cpu")


# --- advice ----------------------------------------------------------------------------------------------------------


def test_no_advice_is_to_remove_a_file() -> None:
    """The text after `fix=` of every error: a study that is deleted on the advice of a program is lost."""
    advice = []
    for path in Path(gpukit.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.keyword) and node.arg == "fix":
                parts = [one.value for one in ast.walk(node.value) if isinstance(one, ast.Constant)]
                advice += [f"{path.name}: {part}" for part in parts if isinstance(part, str)]
    assert len(advice) > 200
    forbidden = re.compile(r"\b(delete|remove|leave) (one|it|them|this|the|a)?\b.*\b(file|two|series|image|add)", re.I)
    assert [text for text in advice if forbidden.search(text)] == []
