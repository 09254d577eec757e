"""4D series: which image belongs to which volume."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.dicom_files import write_series

import gpukit as gk
from gpukit.errors import GeometryError, MissingSlicesError, SelectionError

AFFINE = np.diag([2.0, 2.0, 3.0, 1.0])


def volume_value(t: int) -> np.ndarray:
    """A volume whose voxels say which slice and which volume they are of: 100 t + k."""
    return np.broadcast_to((100 * t + np.arange(4))[:, None, None], (4, 3, 5)).astype(np.int16)


def write_phases(folder: Path, attributes: list[dict], per_slice=None) -> None:
    """One volume for each set of attributes, in one series."""
    for t, values in enumerate(attributes):

        def change(dataset, k, t=t, values=values) -> None:
            for keyword, value in values.items():
                setattr(dataset, keyword, value)
            if per_slice is not None:
                per_slice(dataset, t, k)

        write_series(folder, volume_value(t), AFFINE, modality="MR", seed=t, first=10 * t, change=change)


def check(volume: gk.Volume, order: list[int]) -> None:
    assert volume.axes == "tkji" and volume.shape == (len(order), 4, 3, 5)
    for t, written in enumerate(order):
        assert np.array_equal(np.asarray(volume.array)[t], volume_value(written))
    assert len(volume.phases) == len(order) and len(volume.sources) == 4 * len(order)
    for source in volume.sources:
        number = int(Path(source.path).stem[-4:])
        assert number // 10 == order[source.phase]


@pytest.mark.parametrize(
    ("attributes", "order", "words"),
    [
        ([{"EchoTime": "9.2"}, {"EchoTime": "4.6"}], [1, 0], "EchoTime 4.6"),
        (
            [{"TemporalPositionIdentifier": "2"}, {"TemporalPositionIdentifier": "10"}],
            [0, 1],
            "TemporalPositionIdentifier 2",
        ),
        ([{"DiffusionBValue": 1000.0}, {"DiffusionBValue": 0.0}], [1, 0], "DiffusionBValue 0"),
        ([{"TriggerTime": "400"}, {"TriggerTime": "0"}, {"TriggerTime": "200"}], [1, 2, 0], "TriggerTime 0"),
        ([{"AcquisitionTime": "235959.5"}, {"AcquisitionTime": "101010"}], [1, 0], "AcquisitionTime 101010"),
        (  # two b-values, two directions: neither alone tells the volumes apart
            [
                {"DiffusionBValue": 0.0},
                {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [1.0, 0.0, 0.0]},
                {"DiffusionBValue": 1000.0, "DiffusionGradientOrientation": [0.0, 1.0, 0.0]},
                {"DiffusionBValue": 2000.0, "DiffusionGradientOrientation": [1.0, 0.0, 0.0]},
            ],
            [0, 2, 1, 3],
            "DiffusionBValue 0",
        ),
        (
            [{"EchoTime": e, "TemporalPositionIdentifier": t} for t in ("1", "2") for e in ("5", "10")],
            [0, 2, 1, 3],
            "EchoTime 5, TemporalPositionIdentifier 1",
        ),
    ],
)
def test_volumes_are_told_apart(tmp_path: Path, attributes, order, words) -> None:
    write_phases(tmp_path, attributes)
    volume = gk.open(tmp_path, device="cpu")
    check(volume, order)
    assert volume.phases[0].startswith(words)


def test_times_that_differ_from_slice_to_slice_order_the_volumes(tmp_path: Path) -> None:
    def moment(dataset, t, k) -> None:  # interleaved: no two slices of a volume have the same time
        dataset.AcquisitionTime = f"10{t:02d}{10 * (k % 2) + k:02d}.25"

    write_phases(tmp_path, [{}, {}, {}], moment)
    check(gk.open(tmp_path, device="cpu"), [0, 1, 2])


def test_one_phase_can_be_chosen(tmp_path: Path) -> None:
    write_phases(tmp_path, [{"EchoTime": "4.6"}, {"EchoTime": "9.2"}])
    for wanted in (1, "1", "EchoTime 9.2", "9.2"):
        volume = gk.open(tmp_path, device="cpu", phase=wanted)
        assert volume.axes == "kji" and np.array_equal(np.asarray(volume.array), volume_value(1))
        assert {source.phase for source in volume.sources} == {0}
    for wrong in (2, "echo", "12.5"):
        with pytest.raises(SelectionError, match="phase"):
            gk.open(tmp_path, device="cpu", phase=wrong)


def test_a_volume_that_lacks_a_slice_is_named(tmp_path: Path) -> None:
    write_phases(tmp_path, [{"EchoTime": "4.6"}, {"EchoTime": "9.2"}])
    for path in tmp_path.iterdir():
        from pydicom import dcmread

        dataset = dcmread(path)
        if dataset.EchoTime == 9.2 and dataset.ImagePositionPatient[2] == 6:
            path.unlink()
    with pytest.raises(MissingSlicesError, match=r"EchoTime 9.2 has no slice at \(0.00, 0.00, 6.00\) mm"):
        gk.open(tmp_path, device="cpu")


def without_numbers(dataset, t: int, k: int) -> None:
    del dataset.InstanceNumber


def test_volumes_that_nothing_tells_apart_are_refused_and_no_file_is_to_be_removed(tmp_path: Path) -> None:
    write_phases(tmp_path, [{}, {}], without_numbers)
    with pytest.raises(GeometryError, match="same position") as caught:
        gk.open(tmp_path, device="cpu")
    assert "emove" not in str(caught.value) and "delete" not in str(caught.value).lower()


def test_volumes_without_a_b_value_are_volumes_of_their_own(tmp_path: Path) -> None:
    """GE leaves the b-value out at b = 0; dcm2niix then goes by InstanceNumber."""
    write_phases(tmp_path, [{"DiffusionBValue": 1000.0}, {"DiffusionBValue": 1000.0}, {}])
    volume = gk.open(tmp_path, device="cpu")
    check(volume, [0, 1, 2])
    assert "DiffusionBValue 1000" in volume.phases[0] and "DiffusionBValue" not in volume.phases[2]
    assert any("InstanceNumber" in note for note in volume.notes)


#: Maker, private attributes (group, creator, element, VR), their values in each volume, and the order of the volumes.
PRIVATE = {
    "GE gradient": (
        "GE MEDICAL SYSTEMS",
        [(0x0019, "GEMS_ACQU_01", element, "DS") for element in (0xBB, 0xBC, 0xBD)],
        [("0", "0", "1"), ("1", "0", "0"), ("0", "1", "0")],
        [0, 2, 1],
    ),
    "GE b-value": (
        "GE MEDICAL SYSTEMS",
        [(0x0043, "GEMS_PARM_01", 0x39, "IS")],
        [([b, "8", "0", "0"],) for b in ("1000000050", "0", "1000001000")],  # GE adds 1e9 to some
        [1, 0, 2],
    ),
    "GE timer": (
        "GE MEDICAL SYSTEMS",
        [(0x0021, "GEMS_RELA_01", 0x5E, "DS")],
        [("20",), ("10",), ("30",)],
        [1, 0, 2],
    ),
    "Siemens gradient": (
        "SIEMENS",
        [(0x0019, "SIEMENS MR HEADER", 0x0E, "FD")],
        [([0.0, 0.0, 1.0],), ([1.0, 0.0, 0.0],), ([0.0, 1.0, 0.0],)],
        [0, 2, 1],
    ),
    "Philips numbers": (
        "Philips",
        [(0x2005, "Philips MR Imaging DD 005", 0x13, "IS")],
        [("3",), ("1",), ("2",)],
        [1, 2, 0],
    ),
    "Philips label": (
        "Philips",
        [(0x2005, "Philips MR Imaging DD 005", 0x29, "CS")],
        [("LABEL",), ("CONTROL",)],
        [1, 0],
    ),
    "UIH b-value": (
        "UIH",
        [(0x0065, "Image Private Header", 0x09, "FD")],
        [(1000.0,), (0.0,), (500.0,)],
        [1, 2, 0],
    ),
}
#: Private attributes of Philips are not believed without their creator.
_CASES = [(name, True) for name in PRIVATE] + [(name, False) for name in PRIVATE if "Philips" not in name]


@pytest.mark.parametrize(("name", "creators"), _CASES)
def test_volumes_are_told_apart_by_what_a_maker_writes(tmp_path: Path, name: str, creators: bool) -> None:
    maker, elements, values, order = PRIVATE[name]

    def private(dataset, t: int, k: int) -> None:
        del dataset.InstanceNumber
        dataset.Manufacturer = maker
        for (group, creator, element, vr), value in zip(elements, values[t], strict=True):
            block = 0x14 if creator.endswith("005") else 0x10
            if creators:
                dataset.add_new((group, block), "LO", creator)
            dataset.add_new((group, block << 8 | element), vr, value)

    write_phases(tmp_path, [{} for _ in values], private)
    check(gk.open(tmp_path, device="cpu"), order)


def test_trigger_times_that_repeat_are_ordered_by_instance(tmp_path: Path) -> None:
    """GE cine: the trigger times differ from slice to slice, and two phases of a slice share one."""

    def trigger(dataset, t: int, k: int) -> None:
        dataset.TriggerTime = str(10 * (t // 2) + k)

    write_phases(tmp_path, [{}, {}, {}], trigger)
    check(gk.open(tmp_path, device="cpu"), [0, 1, 2])


def test_b_values_are_never_mixed_by_the_order_of_instances(tmp_path: Path) -> None:
    """Instance numbers run the other way at odd slices: by their order alone volumes would hold two b-values."""

    def zigzag(dataset, t: int, k: int) -> None:
        dataset.DiffusionBValue = (0.0, 1000.0, 1000.0)[t]
        dataset.InstanceNumber = 10 * k + (t if k % 2 == 0 else (2, 0, 1)[t])

    write_phases(tmp_path, [{}, {}, {}], zigzag)
    volume = gk.open(tmp_path, device="cpu")
    check(volume, [0, 1, 2])


def copy_of(folder: Path, number: int, **changes) -> None:
    """Another file of the slice with this number, with some attributes changed."""
    from pydicom import dcmread

    source = next(path for path in folder.iterdir() if int(path.stem[-4:]) == number)
    dataset = dcmread(source)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.save_as(folder / f"copy_{len(list(folder.iterdir())):04d}.dcm")


def test_a_slice_that_is_there_twice_under_two_uids_is_used_once(tmp_path: Path) -> None:
    write_series(tmp_path, volume_value(0), AFFINE)
    copy_of(tmp_path, 2, SOPInstanceUID="1.2.3.4", InstanceNumber="99")
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (4, 3, 5) and np.array_equal(volume.array, volume_value(0))
    assert any("equal pixels" in note for note in volume.notes)


def test_a_series_that_is_there_twice_under_other_uids_is_one_volume(tmp_path: Path) -> None:
    write_series(tmp_path, volume_value(0), AFFINE)
    for k in range(4):
        copy_of(tmp_path, k, SOPInstanceUID=f"1.2.3.{k}", InstanceNumber=str(k + 90))
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (4, 3, 5) and any("4 images are there twice" in note for note in volume.notes)


def test_equal_slices_of_air_do_not_cost_a_4d_series(tmp_path: Path) -> None:
    """The first slice of all volumes is the same: not a copy, since every position has as many images."""

    def air(dataset, t: int, k: int) -> None:
        if k == 0:
            dataset.PixelData = bytes(len(dataset.PixelData))

    write_phases(tmp_path, [{}, {}, {}], air)
    assert gk.open(tmp_path, device="cpu").shape == (3, 4, 3, 5)


def test_one_uid_with_two_contents_is_never_dropped(tmp_path: Path) -> None:
    write_series(tmp_path, volume_value(0), AFFINE)
    copy_of(tmp_path, 1)
    assert gk.open(tmp_path, device="cpu").shape == (4, 3, 5)  # a true copy
    copy_of(tmp_path, 1, PixelData=bytes(30))
    with pytest.raises(GeometryError, match="same SOPInstanceUID with other pixels"):
        gk.open(tmp_path, device="cpu")


def test_volumes_that_share_their_uids_are_kept_apart(tmp_path: Path) -> None:
    """A de-identifier gave both echoes the same UIDs."""
    write_phases(
        tmp_path, [{"EchoTime": "4.6"}, {"EchoTime": "9.2"}], lambda d, t, k: setattr(d, "SOPInstanceUID", f"1.2.{k}")
    )
    volume = gk.open(tmp_path, device="cpu")
    assert volume.shape == (2, 4, 3, 5) and np.array_equal(np.asarray(volume.array)[1], volume_value(1))
    assert any("other pixels" in note for note in volume.notes)


def test_dates_do_not_leak_into_the_words(tmp_path: Path) -> None:
    write_phases(tmp_path, [{"AcquisitionDateTime": "20240102101010.5"}, {"AcquisitionDateTime": "20240102111010"}])
    phases = gk.open(tmp_path, device="cpu").phases
    assert phases == ("AcquisitionTime 101010.5", "AcquisitionTime 111010")


def test_an_acquisition_number_that_parts_the_volumes_leaves_the_b_value_in_the_words(tmp_path: Path) -> None:
    write_phases(
        tmp_path,
        [
            {"AcquisitionNumber": "1", "DiffusionBValue": 0.0},
            {"AcquisitionNumber": "2", "DiffusionBValue": 800.0},
            {"AcquisitionNumber": "3", "DiffusionBValue": 0.0},
        ],
    )
    volume = gk.open(tmp_path, device="cpu")
    check(volume, [0, 1, 2])
    assert volume.phases[1] == "DiffusionBValue 800, AcquisitionNumber 2"
