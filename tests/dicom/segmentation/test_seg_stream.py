"""The streaming writer of segmentations against highdicom, which makes the same object whole."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from pydicom.uid import ExplicitVRLittleEndian, RLELossless
from support.dicom_files import Change, write_series
from support.oracles.seg import ALGORITHM, errors_of, onto, segmentation_of, through_dcmqi, through_highdicom
from support.oracles.seg_whole import by_highdicom
from support.oracles.web_viewer import read_by_a_web_viewer

import gpukit
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.transfers import count_transfers
from gpukit.volume import Volume

#: What differs from one writing to the next: identifiers, and the moment.
FRESH = {
    "SOPInstanceUID", "SeriesInstanceUID", "DimensionOrganizationUID", "ContentDate", "ContentTime", "SeriesDate",
    "SeriesTime", "ContributionDateTime", "InstanceCreationDate", "InstanceCreationTime", "MediaStorageSOPInstanceUID",
}  # fmt: skip
CODE = ("91723000", "SCT", "Anatomical Structure")


def described(values: list[int]) -> tuple[Label, ...]:
    return tuple(Label(v, f"organ {v}", CODE, ("10200004", "SCT", "Liver")) for v in values)


def series(folder: Path, shape: tuple[int, int, int], *, oblique: bool = True, change: Change | None = None) -> Volume:
    affine = Grid.from_axes(shape, spacing=(0.7, 0.9, 2.5), origin=(-20, 31, 7)).affine.copy()
    if oblique:
        turn = np.array([(1, 0, 0), (0, np.cos(0.3), -np.sin(0.3)), (0, np.sin(0.3), np.cos(0.3))])
        affine[:3, :3] = turn @ affine[:3, :3]
    write_series(folder, np.zeros(shape, np.int16), affine, change=change)
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
        elif element.keyword == "PixelData" and dataset.file_meta.TransferSyntaxUID == RLELossless:
            found[element.keyword] = (element.VR, dataset.pixel_array.tobytes())  # there are several good encodings
        elif element.keyword == "PixelData":
            size = (int(dataset.NumberOfFrames) * dataset.Rows * dataset.Columns * dataset.BitsAllocated + 7) // 8
            found[element.keyword] = (element.VR, bytes(element.value)[:size])  # highdicom fills up with "0", not NUL
        else:
            found[element.keyword] = (element.VR, str(element.value))
    return found


def same_as_highdicom(segmentation: Segmentation, kind: str = "binary", *, compress: bool = False) -> pydicom.Dataset:
    """The object as written; every element but the fresh ones is that of highdicom's own, read back from its file."""
    whole, streamed = BytesIO(), BytesIO()
    by_highdicom(segmentation, kind, compress=compress).save_as(whole, enforce_file_format=True)
    write_seg(segmentation, streamed, kind=kind, compress=compress)
    expected, found = (pydicom.dcmread(BytesIO(stream.getvalue())) for stream in (whole, streamed))
    assert plain(found) == plain(expected)
    if kind == "binary":
        assert found.PixelData[(int(found.NumberOfFrames) * found.Rows * found.Columns + 7) // 8 :] in (b"", b"\0")
    if not compress:  # random UIDs differ in length
        assert len(streamed.getvalue()) == pytest.approx(len(whole.getvalue()), abs=200)
    return found


# 7 x 5 pixels do not fill bytes: frames run into one another; 8 x 4 do, and rows of 16 do.
@pytest.mark.parametrize("shape", [(6, 7, 5), (5, 8, 4), (1, 9, 3), (4, 9, 16)])
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


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("highest", [255, 1000])
def test_random_label_maps(highest: int, compress: bool, tmp_path: Path) -> None:
    shape = (5, 7, 300)  # rows longer than one code of RLE can stand for
    volume = series(tmp_path / "series", shape)
    for seed, share in enumerate((0.0, 0.02, 0.5, 1.0)):
        rng = np.random.default_rng(seed)
        values = [1, *sorted(rng.choice(np.arange(2, highest), seed, replace=False).tolist()), highest]
        array = np.where(rng.random(shape) < share, rng.choice(values, shape), 0).astype(np.uint16)
        array[:, :, 140:] = array[:, :, 139:140]  # long runs
        array[1::3] = 0
        found = same_as_highdicom(segmented(volume, array, values), "labelmap", compress=compress)
        assert found.file_meta.TransferSyntaxUID == (RLELossless if compress else ExplicitVRLittleEndian)


@pytest.mark.parametrize("kind", ["binary", "labelmap", "fractional"])
def test_labels_of_all_sorts(kind: str, tmp_path: Path) -> None:
    """Names beyond ASCII and beyond 64 letters, long codes and URNs, no order, colours of their own or not."""
    volume = series(
        tmp_path / "series", (4, 6, 8), change=lambda header, _: setattr(header, "SpecificCharacterSet", "ISO_IR 192")
    )
    sct = ("10200004", "SCT", "Liver")
    labels = (
        Label(9, "Foie à l'œil", CODE, ("10200004", "SCT", "Fígado"), (1, 2, 3)),
        Label(2, "a" * 70, CODE, ("12345678901234567890", "SCT", "odd"), (255, 255, 255)),
        Label(7, "plain", CODE, ("urn:oid:1.2.3.4.5.6.7", "99X", "other")),
        Label(3, "肝臓", ("49755003", "SCT", "Morphologically Abnormal Structure"), sct, (0, 0, 0)),
        Label(4, r"back\slash", CODE, sct),
    )
    array = np.random.default_rng(2).choice(np.array([0, 2, 3, 4, 7, 9], np.uint8), volume.grid.shape)
    soft = np.stack([np.where(array == label.value, 10 * label.value, 0) for label in labels]).astype(np.uint8)
    for dtype in (np.uint8, np.uint16, np.int64):
        segmentation = replace(
            segmented(volume, array.astype(dtype), [2]), labels=labels, probabilities=soft, notes=("résampled",)
        )
        found = same_as_highdicom(segmentation, kind)
    assert found.SegmentSequence[-1].SegmentLabel == "Foie à l'œil"


def test_every_decoder_gives_the_same_label_map(tmp_path: Path) -> None:
    """RLE as pydicom, GDCM, highdicom, dcmqi and our own reader decode it; frames found through the offset table."""
    volume = series(tmp_path / "series", (7, 30, 301))
    rng = np.random.default_rng(3)
    array = np.repeat(rng.choice(np.array([0, 0, 2, 7, 300], np.uint16), (7, 30, 43)), 7, axis=2)
    array[2] = 0
    path = tmp_path / "seg.dcm"
    write_seg(segmented(volume, array, [2, 7, 300]), path, kind="labelmap")
    dataset = pydicom.dcmread(path)
    corners = [
        group.PlanePositionSequence[0].ImagePositionPatient for group in dataset.PerFrameFunctionalGroupsSequence
    ]
    there = array[np.rint(volume.grid.to_index(np.array(corners, float))[:, 2]).astype(int)]
    np.testing.assert_array_equal(dataset.pixel_array, there)
    offsets = pydicom.encaps.parse_basic_offsets(BytesIO(dataset.PixelData))
    assert len(offsets) == 6
    for offset, frame in zip(
        offsets, pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=6), strict=True
    ):
        at = 8 + 4 * 6 + offset  # the table's own header and entries, then fragments
        assert dataset.PixelData[at : at + 4] == b"\xfe\xff\x00\xe0"
        assert dataset.PixelData[at + 8 : at + 8 + len(frame)] == frame and len(frame) % 2 == 0
    gdcm = pytest.importorskip("gdcm", reason="python-gdcm is not installed")
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    if reader.Read():  # older ones do not know the storage class
        image = reader.GetImage()
        raw = image.GetBuffer().encode("utf-8", errors="surrogateescape")
        np.testing.assert_array_equal(np.frombuffer(raw, np.uint16).reshape(there.shape), there)
    np.testing.assert_array_equal(read_seg(path, volume).array, array)
    np.testing.assert_array_equal(through_highdicom(path, volume.grid), array)
    np.testing.assert_array_equal(through_dcmqi(path, volume.grid, tmp_path / "dcmqi"), array)


def with_probabilities(volume: Volume, count: int, seed: int = 0) -> Segmentation:
    """Probabilities of 255ths, a plane without any; the map is the largest that is at least a half."""
    rng = np.random.default_rng(seed)
    fractions = np.where(rng.random((count, *volume.grid.shape)) < 0.4, rng.integers(0, 256, 1), 0)
    fractions = (fractions * rng.random(fractions.shape)).astype(np.uint8)
    fractions[:, 1] = 0
    fractions[-1, :-1] = 0
    best = fractions.argmax(axis=0)
    array = np.where(fractions.max(axis=0) >= 127.5, best + 1, 0).astype(np.uint8)
    return replace(segmented(volume, array, list(range(1, count + 1))), probabilities=fractions)


@pytest.mark.parametrize("count", [1, 2, 4])
@pytest.mark.parametrize("shape", [(4, 7, 5), (5, 8, 4)])
def test_probabilities(count: int, shape: tuple[int, int, int], tmp_path: Path) -> None:
    volume = series(tmp_path / "series", shape)
    segmentation = with_probabilities(volume, count)
    found = same_as_highdicom(segmentation, "fractional")
    assert (found.SegmentationType, found.SegmentationFractionalType) == ("FRACTIONAL", "PROBABILITY")
    path = tmp_path / "seg.dcm"
    write_seg(segmentation, path, kind="fractional")
    assert errors_of(path) == []
    back = highdicom.seg.segread(path)
    assert back.MaximumFractionalValue == 255
    read = back.get_volume(combine_segments=False, rescale_fractional=False, allow_missing_positions=True, rtol=0.05)
    for n, plane in enumerate(segmentation.probabilities):
        np.testing.assert_array_equal(onto(volume.grid, read.array[..., n], read.affine), plane)
    np.testing.assert_array_equal(read_seg(path, volume).array, segmentation.array)


def test_probabilities_are_not_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from gpukit_backends.mps.backend import TorchBackend

    volume = series(tmp_path / "series", (24, 256, 256))
    fractions = np.random.default_rng(0).integers(0, 256, (7, *volume.grid.shape), np.uint8)
    array = (fractions.argmax(axis=0) + 1).astype(np.uint8)
    labels = described(list(range(1, 8)))[::-1]  # segments in another order than the probabilities
    segmentation = replace(segmented(volume, array, [1]), labels=labels, probabilities=fractions)
    write_seg(segmentation, tmp_path / "seg.dcm", kind="fractional")  # what is loaded and kept is not to be counted
    tracemalloc.start()
    write_seg(segmentation, tmp_path / "seg.dcm", kind="fractional")
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < fractions[0].nbytes + (4 << 20) < fractions.nbytes  # less than a label, and the head

    # as on a GPU: NumPy and torch on the CPU share memory, and nothing would be counted
    monkeypatch.setattr(TorchBackend, "share", lambda self, array, device: None)
    there = replace(segmentation, array=torch.from_numpy(array), probabilities=torch.from_numpy(fractions))
    with count_transfers() as seen:
        write_seg(there, tmp_path / "there.dcm", kind="fractional")
    assert max(one.nbytes for one in seen) <= fractions[0].nbytes  # label by label
    assert pydicom.dcmread(tmp_path / "there.dcm").PixelData == pydicom.dcmread(tmp_path / "seg.dcm").PixelData


#: Several images in one file, tiles of a mosaic, and a tilted gantry, which takes planes of the object's own.
MANY = {
    "enhanced": ("mr_enhanced/philips_b0", {"series": 2}),
    "mosaic": ("mr_mosaic", {"series": 1, "phase": 0}),
    "tilted": ("ct_tilt_ge", {"fill_gaps": True}),
}


@pytest.mark.parametrize("name", MANY)
def test_real_multi_frame_and_tilted_sources(name: str, data: Path, tmp_path: Path) -> None:
    place, options = MANY[name]
    volume = gpukit.open(data / place, device="cpu", **options)
    drawn = segmentation_of(volume)
    values = [label.value for label in drawn.labels]
    # a soft edge along the rows; the third label, which is nowhere, has no probability either
    soft = np.stack([np.where(drawn.array == v, 200, 0) for v in values]).astype(np.uint8)
    soft[..., 1:] = np.maximum(soft[..., 1:], soft[..., :-1] // 3)
    segmentation = replace(drawn, probabilities=soft)
    kinds = ["binary", "labelmap", "fractional"] if name != "tilted" else ["binary"]  # hundreds of planes take long
    for kind in kinds:
        same_as_highdicom(segmentation, kind, compress=kind == "labelmap")
    path = tmp_path / "seg.dcm"
    write_seg(segmentation, path, kind="fractional")
    assert errors_of(path) == []
    expected = np.where(drawn.array == 4, 2, drawn.array)  # numbered from 1
    np.testing.assert_array_equal(read_seg(path, volume).array, expected)


def test_no_probability_at_all_is_a_valid_object(tmp_path: Path) -> None:
    volume = series(tmp_path / "series", (3, 6, 5))
    nothing = np.zeros((2, *volume.grid.shape), np.uint8)
    segmentation = replace(segmented(volume, nothing[0], [1, 2]), probabilities=nothing)
    same_as_highdicom(segmentation, "fractional")
    path = tmp_path / "seg.dcm"
    write_seg(segmentation, path, kind="fractional")
    assert errors_of(path) == [] and not read_seg(path, volume).array.any()


def test_a_label_map_alone_has_no_probabilities(tmp_path: Path) -> None:
    volume = series(tmp_path / "series", (3, 6, 5))
    with pytest.raises(InputError, match="probabilities=True"):
        write_seg(segmented(volume, np.ones(volume.grid.shape, np.uint8), [1]), BytesIO(), kind="fractional")


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


@pytest.mark.parametrize(("script", "kind"), [("segment", "binary"), ("labelmap", "binary"), ("labelmap", "labelmap")])
def test_a_web_viewer_shows_the_same_segments(script: str, kind: str, tmp_path: Path) -> None:
    """The library's older way, for stacks, knows bit planes only; the newer one label maps, in RLE too."""
    volume = series(tmp_path / "series", (5, 24, 16))
    array = np.zeros(volume.grid.shape, np.uint8)
    array[1:4, 3:11, 2:9], array[2:, 12:, 5:] = 1, 2
    array[4] = 0
    path = tmp_path / "seg.dcm"
    write_seg(segmented(volume, array, [1, 2]), path, kind=kind)
    slices = []
    for source in volume.sources:
        header = pydicom.dcmread(source.path, stop_before_pixels=True)
        cosines = [float(v) for v in header.ImageOrientationPatient]
        slices.append(
            {
                "uid": str(header.SOPInstanceUID),
                "series": str(header.SeriesInstanceUID),
                "frame": str(header.FrameOfReferenceUID),
                "origin": [float(v) for v in header.ImagePositionPatient],
                "row": cosines[:3],
                "column": cosines[3:],
                "spacing": [float(v) for v in header.PixelSpacing],
                "rows": int(header.Rows),
                "columns": int(header.Columns),
            }
        )
    found = read_by_a_web_viewer(f"{script}_with_cornerstone.mjs", path, slices, tmp_path)
    assert found["maps"] == 1 and found["segments"][-2:] == [[1, "organ 1"], [2, "organ 2"]]
    heights = volume.grid.to_index(np.array([item["origin"] for item in slices]))[:, 2]
    shown = np.array(found["labelmap"], np.uint8).reshape(array.shape)
    np.testing.assert_array_equal(shown, array[np.rint(heights).astype(int)])


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
    from gpukit.dicom.segmentation import seg_stream

    volume = series(tmp_path / "series", (3, 16, 16))
    monkeypatch.setattr(seg_stream, "_MOST_BYTES", 90)  # three frames of 256 bits are 96 bytes
    stream = BytesIO()
    with pytest.raises(InputError, match=r"3 frames of 16 x 16.*labelmap"):
        write_seg(segmented(volume, np.ones(volume.grid.shape, np.uint8), [1]), stream)
    assert stream.getvalue() == b""
