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


def test_volumes_that_nothing_tells_apart_are_refused(tmp_path: Path) -> None:
    write_phases(tmp_path, [{}, {}])
    with pytest.raises(GeometryError, match="same position"):
        gk.open(tmp_path, device="cpu")


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
