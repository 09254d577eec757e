"""The streaming writer of binary segmentations against highdicom, which makes the same object whole."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_phantoms import write_series
from seg_oracles import ALGORITHM, errors_of, through_dcmqi, through_highdicom

import gpukit
from gpukit.dicom.seg import build_seg, write_seg
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.volume import Label, Segmentation, Volume

#: What differs from one writing to the next: identifiers, and the moment.
FRESH = {
    "SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationUID", "ContentDate", "ContentTime", "SeriesDate",
    "SeriesTime", "ContributionDateTime", "InstanceCreationDate", "InstanceCreationTime", "MediaStorageSOPInstanceUID",
}  # fmt: skip
CODE = ("91723000", "SCT", "Anatomical Structure")


def described(values: list[int]) -> tuple[Label, ...]:
    return tuple(Label(v, f"organ {v}", CODE, ("10200004", "SCT", "Liver")) for v in values)


def series(folder: Path, shape: tuple[int, int, int], *, oblique: bool = True) -> Volume:
    affine = Grid.from_axes(shape, spacing=(0.7, 0.9, 2.5), origin=(-20, 31, 7)).affine.copy()
    if oblique:
        turn = np.array([(1, 0, 0), (0, np.cos(0.3), -np.sin(0.3)), (0, np.sin(0.3), np.cos(0.3))])
        affine[:3, :3] = turn @ affine[:3, :3]
    write_series(folder, np.zeros(shape, np.int16), affine)
    return gpukit.open(folder, device="cpu")


def segmented(volume: Volume, array: np.ndarray, values: list[int]) -> Segmentation:
    return Segmentation(
        array=array, grid=volume.grid, labels=described(values), algorithm=ALGORITHM, sources=volume.sources
    )


def plain(dataset: pydicom.Dataset) -> dict:
    """A data set as values, without what is fresh each time."""
    found = {}
    for element in [*dataset, *getattr(dataset, "file_meta", [])]:
        if element.keyword in FRESH or element.keyword == "FileMetaInformationGroupLength":
            continue
        if element.VR == "SQ":
            found[element.keyword] = [plain(item) for item in element.value]
        elif element.keyword == "PixelData":
            size = (int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns + 7) // 8
            found[element.keyword] = (element.VR, bytes(element.value)[:size])  # highdicom fills up with "0", not NUL
        else:
            found[element.keyword] = (element.VR, str(element.value))
    return found


def same_as_highdicom(segmentation: Segmentation) -> pydicom.Dataset:
    """The object as written; every element but the fresh ones is that of highdicom's own, read back from its file."""
    whole, streamed = BytesIO(), BytesIO()
    build_seg(segmentation).save_as(whole, enforce_file_format=True)
    write_seg(segmentation, streamed)
    expected, found = (pydicom.dcmread(BytesIO(stream.getvalue())) for stream in (whole, streamed))
    assert plain(found) == plain(expected)
    if segmentation.array.any():  # an empty one is highdicom's as it is
        assert found.PixelData[(int(found.NumberOfFrames) * found.Rows * found.Columns + 7) // 8 :] in (b"", b"\0")
    assert len(streamed.getvalue()) == pytest.approx(len(whole.getvalue()), abs=200)  # random UIDs differ in length
    return found


# 7 x 5 pixels do not fill bytes: frames run into one another; 8 x 4 do.
@pytest.mark.parametrize("shape", [(6, 7, 5), (5, 8, 4), (1, 9, 3)])
def test_random_labels(shape: tuple[int, int, int], tmp_path: Path) -> None:
    volume = series(tmp_path / "series", shape)

    for seed, share in enumerate((0.0, 0.02, 0.5, 1.0)):
        rng = np.random.default_rng(seed)
        values = sorted(rng.choice(np.arange(1, 300), 1 + seed, replace=False).tolist())
        array = np.where(rng.random(shape) < share, rng.choice(values, shape), 0).astype(np.uint16)
        array[1::3] = 0  # whole planes without anything
        same_as_highdicom(segmented(volume, array, values))
        same_as_highdicom(segmented(volume, np.where(array == values[-1], array, 0), values))  # one of them is there
        same_as_highdicom(segmented(volume, np.where(array == values[0], array, 0), values[:1]))  # there is but one


def test_other_programs_read_it(tmp_path: Path) -> None:
    volume = series(tmp_path / "series", (7, 30, 21))
    rng = np.random.default_rng(1)
    array = rng.choice(np.arange(6, dtype=np.uint8), volume.grid.shape)
    array[2] = 0
    path = tmp_path / "seg.dcm"
    write_seg(segmented(volume, array, [1, 2, 3, 4, 5]), path)
    assert errors_of(path) == []
    np.testing.assert_array_equal(through_highdicom(path, volume.grid), array)
    np.testing.assert_array_equal(through_dcmqi(path, volume.grid, tmp_path / "dcmqi"), array)


def test_a_hundred_segments_in_one_plane_each(tmp_path: Path) -> None:
    volume = series(tmp_path / "series", (3, 12, 12), oblique=False)
    array = np.zeros(volume.grid.shape, np.uint8)
    array[1].reshape(-1)[:104] = np.arange(1, 105)
    found = same_as_highdicom(segmented(volume, array, list(range(1, 105))))
    assert found.NumberOfFrames == 104
    assert found.PerFrameFunctionalGroupsSequence[103].SegmentIdentificationSequence[0].ReferencedSegmentNumber == 104


def test_more_than_an_object_can_hold_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gpukit.dicom import seg_stream

    volume = series(tmp_path / "series", (3, 16, 16))
    monkeypatch.setattr(seg_stream, "_MOST_BYTES", 90)  # three frames of 256 bits are 96 bytes
    stream = BytesIO()
    with pytest.raises(InputError, match=r"3 frames of 16 x 16.*labelmap"):
        write_seg(segmented(volume, np.ones(volume.grid.shape, np.uint8), [1]), stream)
    assert stream.getvalue() == b""
