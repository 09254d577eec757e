"""What a folder holds: series told apart, listed, chosen; objects that are no images left aside."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import ROOT, rotation, write_series

import gpukit as gk
from gpukit.errors import FormatError, InputNotFoundError, SelectionError, TooLargeError

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def block(value: int, shape=(4, 3, 5)) -> np.ndarray:
    return np.full(shape, value, np.int16)


def describe(text: str):
    def change(dataset, k) -> None:
        dataset.SeriesDescription = text

    return change


def test_several_series_are_listed_and_chosen(tmp_path: Path) -> None:
    write_series(tmp_path / "a", block(1), AFFINE, series="7", change=describe("arterial"))
    write_series(tmp_path / "b", block(2), AFFINE, series="12", modality="MR", change=describe("venous"))
    with pytest.raises(SelectionError) as caught:
        gk.open(tmp_path, device="cpu")
    message = str(caught.value)
    assert "arterial" in message and "venous" in message and "--series" in message and "Secret" not in message
    listed = gk.find_series(tmp_path)
    assert [(s.number, s.series_number, s.modality, s.images) for s in listed] == [(1, 7, "CT", 4), (2, 12, "MR", 4)]
    assert "Secret" not in repr(listed)
    for wanted, value in ((1, 1), ("2", 2), (7, 1), ("12", 2), (f"{ROOT}.12", 2), (f"{ROOT}.7", 1)):
        assert int(gk.open(tmp_path, device="cpu", series=wanted).array.max()) == value
    with pytest.raises(SelectionError, match="no series '5'"):
        gk.open(tmp_path, device="cpu", series=5)
    with pytest.raises(SelectionError, match="could be any of"):
        gk.open(tmp_path, device="cpu", series=ROOT)


def test_a_localizer_in_the_series_is_split_off(tmp_path: Path) -> None:
    def localizer(dataset, k) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    side = AFFINE.copy()
    side[:3, :3] = rotation((90, 0, 0)) @ side[:3, :3]
    write_series(tmp_path, block(1), AFFINE)
    write_series(tmp_path, block(9, (2, 6, 6)), side, first=50, change=localizer)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (4, 3, 5) and int(volume.array.max()) == 1
    assert any("LOCALIZER" in note for note in volume.notes)


def test_mixed_orientations_are_several_volumes(tmp_path: Path) -> None:
    turned = AFFINE.copy()
    turned[:3, :3] = rotation((90, 0, 0)) @ turned[:3, :3]
    write_series(tmp_path, block(1), AFFINE)
    write_series(tmp_path, block(2), turned, first=50)
    with pytest.raises(SelectionError, match="2 image series"):
        gk.open(tmp_path, device="cpu")
    values = {int(gk.open(tmp_path, device="cpu", series=n).array.max()) for n in (1, 2)}
    assert values == {1, 2}


def test_a_scout_of_one_image_stays_aside(tmp_path: Path) -> None:
    turned = AFFINE.copy()
    turned[:3, :3] = rotation((0, 90, 0)) @ turned[:3, :3]
    write_series(tmp_path, block(1), AFFINE)
    write_series(tmp_path, block(2, (1, 3, 5)), turned, first=50)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (4, 3, 5) and any("left aside" in note for note in volume.notes)


def test_other_sizes_are_other_volumes(tmp_path: Path) -> None:
    write_series(tmp_path, block(1), AFFINE)
    write_series(tmp_path, block(2, (4, 6, 5)), AFFINE, first=50)
    assert [(s.rows, s.columns) for s in gk.find_series(tmp_path)] in ([(3, 5), (6, 5)], [(6, 5), (3, 5)])


def test_magnitude_and_phase_are_two_volumes(tmp_path: Path) -> None:
    for n, letter in enumerate("MP"):

        def kind(dataset, k, letter=letter) -> None:
            dataset.ImageType = ["ORIGINAL", "PRIMARY", letter, "ND"]

        write_series(tmp_path, block(n + 1), AFFINE, modality="MR", first=10 * n, change=kind)
    assert [s.kind for s in gk.find_series(tmp_path)] == ["M", "P"]
    assert int(gk.open(tmp_path, device="cpu", series=2).array.max()) == 2


def test_objects_that_are_no_images_are_left_aside_and_told(data: Path) -> None:
    volume = gk.open(data / "pet/sts_001_raw", device="cpu")
    assert volume.metadata["Modality"] == "PT"
    assert any("RTSTRUCT" in note for note in volume.notes)
    with pytest.raises(SelectionError, match=r"PT.*CT|CT.*PT"):
        gk.open(data / "pet/sts_001_cropped", device="cpu")


@pytest.mark.parametrize(
    ("name", "what"),
    [("seg/dcmqi_liver/liver.dcm", "SEG"), ("rt/dicompyler/rtss.dcm", "RTSTRUCT"), ("gsps/prLUTs.dcm", "PR")],
)
def test_an_object_that_is_no_image_says_what_it_is(data: Path, name: str, what: str) -> None:
    with pytest.raises(SelectionError, match=what):
        gk.open(data / name, device="cpu")


def test_segmentation_and_images_in_one_folder(data: Path) -> None:
    volume = gk.open(data / "seg/dcmqi_liver", device="cpu")
    assert volume.shape == (3, 512, 512) and volume.unit == "HU"


def test_a_dicomdir_lists_all_its_series(data: Path) -> None:
    with pytest.raises(SelectionError, match="image series"):
        gk.open(data / "dicomdir/DICOMDIR", device="cpu")
    found = {series.description for series in gk.find_series(data / "dicomdir/DICOMDIR")}
    assert any("SmartScore" in text for text in found)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError):
        gk.open(tmp_path, device="cpu")
    (tmp_path / "note.txt").write_text("no image")
    with pytest.raises(InputNotFoundError):
        gk.open(tmp_path, device="cpu")


def test_a_header_that_claims_too_much_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    def boast(dataset, k) -> None:
        dataset.Rows = dataset.Columns = 60_000

    write_series(tmp_path, block(1), AFFINE, change=boast)
    with pytest.raises((TooLargeError, FormatError)) as caught:
        gk.open(tmp_path, device="cpu")
    assert str(tmp_path) in str(caught.value)


def test_a_slope_of_zero_is_taken_as_one(tmp_path: Path) -> None:
    """As dcm2niix does; some write 0 where they mean that nothing is to be scaled."""

    def flat(dataset, k) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = "0", "-24"

    write_series(tmp_path, block(1), AFFINE, change=flat)
    volume = gk.open(tmp_path, device="cpu")
    assert np.array_equal(volume.array, block(1) - 24)
    assert any("RescaleSlope is 0" in note for note in volume.notes)


def test_no_patient_in_a_volume(tmp_path: Path) -> None:
    write_series(tmp_path, block(1), AFFINE)
    volume = gk.open(tmp_path, device="cpu")
    assert "Secret" not in repr(volume) + str(dict(volume.metadata)) + str(volume.notes)


def test_rounding_of_spacing_and_orientation_does_not_part_a_series(tmp_path: Path) -> None:
    def round_off(dataset, k) -> None:
        if k % 2:  # either side of a limit of rounding
            dataset.PixelSpacing = ["0.488249", "0.488249"]
            dataset.ImageOrientationPatient = ["1", "0.0051", "0", "-0.0051", "1", "0"]
        else:
            dataset.PixelSpacing = ["0.488251", "0.488251"]
            dataset.ImageOrientationPatient = ["1", "0.0049", "0", "-0.0049", "1", "0"]

    write_series(tmp_path, block(1), AFFINE, change=round_off)
    assert gk.open(tmp_path, device="cpu").shape == (4, 3, 5)


def test_a_folder_of_another_format_says_what_to_name(tmp_path: Path) -> None:
    (tmp_path / "brain.nii.gz").write_bytes(b"anything")
    with pytest.raises(InputNotFoundError, match=r"brain\.nii\.gz"):
        gk.open(tmp_path, device="cpu")


def test_a_damaged_last_slice_is_no_shorter_volume(tmp_path: Path) -> None:
    write_series(tmp_path, block(1), AFFINE)
    last = max(tmp_path.iterdir())
    last.write_bytes(last.read_bytes()[:300])
    with pytest.raises(FormatError, match=last.name) as caught:
        gk.open(tmp_path, device="cpu")
    assert "--skip-damaged" in str(caught.value)
    volume = gk.open(tmp_path, device="cpu", skip_damaged=True)
    assert volume.shape[0] == 3 and any(last.name in note for note in volume.notes)


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        pytest.param(lambda whole: b"", "is not a DICOM file", id="empty"),
        pytest.param(lambda whole: b"\0" * len(whole), "is not a DICOM file", id="zeros, as after a failed disk"),
        pytest.param(
            lambda whole: whole[:132] + b"\xff" * 600, "damaged|cannot be read|nothing that tells", id="garbage"
        ),
        pytest.param(lambda whole: whole[: whole.index(b"\x08\x00\x16\x00")], "ends before its pixels", id="meta only"),
        pytest.param(lambda whole: whole[: whole.index(b"\x28\x00\x10\x00")], "ends before its pixels", id="no image"),
    ],
)
def test_a_last_slice_that_is_damaged_is_not_passed_over(tmp_path: Path, damage, what: str) -> None:
    """A volume without its last slice looks like a whole one."""
    folder = tmp_path / "series"
    last = write_series(folder, block(1, (5, 3, 5)), AFFINE)[-1]
    last.write_bytes(damage(last.read_bytes()))
    with pytest.raises(FormatError, match="may be a slice of this series") as caught:
        gk.open(folder, device="cpu")
    assert caught.value.file == str(last) and "--skip-damaged" in str(caught.value)
    assert re.search(what, str(caught.value))
    assert gk.open(folder, device="cpu", skip_damaged=True).shape[0] == 4
