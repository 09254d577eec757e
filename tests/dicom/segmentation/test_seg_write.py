"""DICOM SEG as written: valid, on the sources' own geometry, every source referenced, read alike by others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.dicom_files import write_series
from support.oracles.seg import (
    ALGORITHM,
    LABELS,
    errors_of,
    label_map,
    numbered,
    segmentation_of,
    through_dcmqi,
    through_highdicom,
)

import gpukit
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

# Real series: folder or archive below the data, and what selects one 3D volume in it.
REAL = {
    "ct": ("ct_chest_ibsi/dicom/image", {}),
    "ct_ge": ("ct_abdomen/*.tar.xz", {}),
    "ct_j2k_blank_uids": ("ct_totalseg/dicom_j2k", {}),
    "mr_oblique": ("mr_t1_brain/*.tar.xz", {}),
    "pet": ("pet/sts_001_raw/image", {}),
    "mr_enhanced_philips": ("mr_enhanced/philips_anat", {}),
    "mr_enhanced_two_images": ("mr_enhanced/philips_b0", {"series": 2}),
    "mr_enhanced_phase": ("mr_enhanced/siemens_xa10", {"phase": 1}),
    "mr_mosaic": ("mr_mosaic", {"series": 1, "phase": 0}),
}


@pytest.fixture(scope="module")
def opened(data: Path, unpacked: Callable[[str], Path]) -> Callable[[str], Volume]:
    done: dict[str, Volume] = {}

    def of(name: str) -> Volume:
        if name not in done:
            place, options = REAL[name]
            if "*" in place:
                archive = next(iter(sorted(data.glob(place))))
                folder = unpacked(str(archive.relative_to(data)))
            else:
                folder = data / place
            done[name] = gpukit.open(folder, device="cpu", **options)
        return done[name]

    return of


@pytest.mark.parametrize(
    ("name", "kind"),
    [(name, "binary") for name in REAL]
    + [(name, "labelmap") for name in ("ct_j2k_blank_uids", "mr_oblique", "mr_enhanced_two_images", "mr_mosaic")],
)
def test_real_series(name: str, kind: str, opened: Callable[[str], Volume], tmp_path: Path) -> None:
    volume = opened(name)
    segmentation = segmentation_of(volume)
    path = tmp_path / "seg.dcm"
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        write_seg(segmentation, path, kind=kind)
    assert errors_of(path) == []
    # highdicom warns of odd patient names and quotes them
    names = {str(pydicom.dcmread(s.path, stop_before_pixels=True).get("PatientName")) for s in volume.sources[:1]}
    assert not [w for w in caught if any(n and n in str(w.message) for n in names)]

    expected = numbered(segmentation.array, kind)
    np.testing.assert_array_equal(through_highdicom(path, volume.grid), expected)
    np.testing.assert_array_equal(through_dcmqi(path, volume.grid, tmp_path / "dcmqi"), expected)
    np.testing.assert_array_equal(read_seg(path, volume).array, expected)
    check_references(path, volume)


def check_references(path: Path, volume: Volume) -> None:
    """Every source is named, and each frame has the geometry that the frame it names states, to the last digit."""
    seg = pydicom.dcmread(path)
    listed = {item.ReferencedSOPInstanceUID for item in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert listed == {source.sop_instance_uid for source in volume.sources}
    assert {item.ReferencedSOPInstanceUID for item in seg.SourceImageSequence} == listed
    files = {source.sop_instance_uid: source.path for source in volume.sources}
    headers: dict[str, pydicom.Dataset] = {}
    shared = seg.SharedFunctionalGroupsSequence[0]
    for group in seg.PerFrameFunctionalGroupsSequence:
        items = group.DerivationImageSequence[0].SourceImageSequence
        assert items
        for item in items:
            uid = item.ReferencedSOPInstanceUID
            if uid not in headers:
                headers[uid] = pydicom.dcmread(files[uid], stop_before_pixels=True)
            header = headers[uid]
            assert (header.get("SOPInstanceUID") or header.file_meta.MediaStorageSOPInstanceUID) == uid
            if header.get("FrameOfReferenceUID"):
                assert seg.FrameOfReferenceUID == header.FrameOfReferenceUID
            assert ("NumberOfFrames" in header) == ("ReferencedFrameNumber" in item)
            if "MOSAIC" in header.ImageType:
                assert item.SpatialLocationsPreserved == "NO"  # a tile is not at its pixel's place in the mosaic
                continue
            assert item.SpatialLocationsPreserved == "YES"
            position = stated(header, "PlanePositionSequence", item, "ImagePositionPatient")
            assert group.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(position, abs=1e-9)
            orientation = stated(header, "PlaneOrientationSequence", item, "ImageOrientationPatient")
            assert shared.PlaneOrientationSequence[0].ImageOrientationPatient == pytest.approx(orientation, abs=1e-12)
            spacing = stated(header, "PixelMeasuresSequence", item, "PixelSpacing")
            assert shared.PixelMeasuresSequence[0].PixelSpacing == pytest.approx(spacing, abs=1e-12)


def stated(header: pydicom.Dataset, sequence: str, item: pydicom.Dataset, keyword: str) -> list[float]:
    if "PerFrameFunctionalGroupsSequence" not in header:
        return [float(v) for v in header[keyword].value]
    groups = header.PerFrameFunctionalGroupsSequence[int(item.ReferencedFrameNumber) - 1]
    place = groups if sequence in groups else header.SharedFunctionalGroupsSequence[0]
    return [float(v) for v in place[sequence].value[0][keyword].value]


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_resampled_series_has_its_own_planes_and_says_so(kind: str, data: Path, tmp_path: Path) -> None:
    volume = gpukit.open(data / "ct_tilt_ge", device="cpu", fill_gaps=True)
    assert volume.grid.shape[0] != len(volume.sources)  # otherwise this tests nothing
    segmentation = segmentation_of(volume)
    path = tmp_path / "seg.dcm"
    write_seg(segmentation, path, kind=kind)
    assert errors_of(path) == []
    expected = numbered(segmentation.array, kind)
    np.testing.assert_array_equal(through_highdicom(path, volume.grid), expected)
    np.testing.assert_array_equal(through_dcmqi(path, volume.grid, tmp_path / "dcmqi"), expected)
    np.testing.assert_array_equal(read_seg(path, volume).array, expected)
    seg = pydicom.dcmread(path)
    assert "resampled" in seg.ContentDescription
    assert len(seg.SourceImageSequence) == len(volume.sources)
    for group in seg.PerFrameFunctionalGroupsSequence:
        derivation = group.DerivationImageSequence[0]
        assert "tilt" in derivation.DerivationDescription
        assert 1 <= len(derivation.SourceImageSequence) <= 4  # its neighbours, not the whole series
        assert all(item.SpatialLocationsPreserved == "NO" for item in derivation.SourceImageSequence)


@pytest.fixture
def small(tmp_path: Path) -> Volume:
    """An oblique series of eight slices that pydicom wrote."""
    affine = Grid.from_axes((8, 14, 10), spacing=(0.7, 0.9, 2.5), origin=(-20, 31, 7)).affine.copy()
    angle = 0.3
    turn = np.array([(1, 0, 0), (0, np.cos(angle), -np.sin(angle)), (0, np.sin(angle), np.cos(angle))])
    affine[:3, :3] = turn @ affine[:3, :3]
    write_series(tmp_path / "series", np.zeros((8, 14, 10), np.int16), affine)
    return gpukit.open(tmp_path / "series", device="cpu")


def test_what_the_object_says(small: Volume, tmp_path: Path) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(segmentation_of(small), path)
    seg = pydicom.dcmread(path)
    assert [s.SegmentNumber for s in seg.SegmentSequence] == [1, 2, 3]
    assert [s.SegmentLabel for s in seg.SegmentSequence] == [label.name for label in LABELS]
    liver = seg.SegmentSequence[0]
    assert liver.SegmentedPropertyTypeCodeSequence[0].CodeValue == "10200004"
    assert liver.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert liver.SegmentAlgorithmType == "AUTOMATIC"
    made_by = liver.SegmentationAlgorithmIdentificationSequence[0]
    assert (made_by.AlgorithmName, made_by.AlgorithmVersion) == ("test model", "3.1")
    assert ALGORITHM["digest"] in made_by.AlgorithmParameters
    assert seg.Manufacturer == "gpukit" and seg.SoftwareVersions == gpukit.__version__
    assert "test model" in seg.SeriesDescription
    assert seg.SeriesInstanceUID != small.metadata["SeriesInstanceUID"]
    assert seg.StudyInstanceUID == small.metadata["StudyInstanceUID"]
    assert (seg.PatientName, seg.PatientID) == ("Secret^Name", "secret-id")  # of the source, so that they stay together
    # half a unit of CIELab is below what an eye can tell; rounding to DICOM's 16 bits is far smaller
    assert np.array(liver.RecommendedDisplayCIELabValue) / (655.35, 257, 257) - (0, 128, 128) == pytest.approx(
        lab_by_skimage((200, 80, 60)), abs=0.5
    )


def lab_by_skimage(color: tuple[int, int, int]) -> list[float]:
    """CIELab under D50 from scikit-image's XYZ (D65) and the Bradford matrix that Lindbloom gives."""
    color_module = pytest.importorskip("skimage.color", reason="scikit-image is not installed")
    adapted = np.array(
        [(1.0478112, 0.0228866, -0.0501270), (0.0295424, 0.9904844, -0.0170491), (-0.0092345, 0.0150436, 0.7521316)]
    )
    xyz = adapted @ color_module.rgb2xyz(np.array(color, float)[None, None] / 255)[0, 0]
    return [float(v) for v in color_module.xyz2lab(xyz[None, None], illuminant="D50")[0, 0]]


def test_labelmap_keeps_the_values(small: Volume, tmp_path: Path) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(segmentation_of(small), path, kind="labelmap")
    back = read_seg(path, small)
    assert [label.value for label in back.labels] == [1, 4, 9]
    assert back.labels[0] == LABELS[0]
    assert back.algorithm == ALGORITHM


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_nothing_found_is_a_valid_object_without_voxels(small: Volume, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "seg.dcm"
    write_seg(segmentation_of(small, np.zeros(small.grid.shape, np.uint8)), path, kind=kind)
    assert errors_of(path) == []
    back = read_seg(path, small)
    assert not back.array.any() and [label.name for label in back.labels] == [label.name for label in LABELS]
    assert len(pydicom.dcmread(path).SourceImageSequence) == 8


def test_many_labels_need_sixteen_bits(small: Volume, tmp_path: Path) -> None:
    labels = tuple(replace(LABELS[0], value=v, name=f"n{v}", color=None) for v in (3, 300, 1000))
    array = np.zeros(small.grid.shape, np.uint16)
    array[1, 2, 3], array[4, 5, 6], array[7, 8, 9] = 3, 300, 1000
    segmentation = Segmentation(array=array, grid=small.grid, labels=labels, sources=small.sources)
    path = tmp_path / "seg.dcm"
    write_seg(segmentation, path, kind="labelmap")
    assert errors_of(path) == []
    np.testing.assert_array_equal(read_seg(path, small).array, array)


def test_without_dicom_sources_it_says_what_to_do(tmp_path: Path) -> None:
    grid = Grid.from_axes((2, 3, 4))
    segmentation = Segmentation(array=np.ones(grid.shape, np.uint8), grid=grid, labels=LABELS)
    with pytest.raises(InputError, match="nifti"):
        write_seg(segmentation, tmp_path / "seg.dcm")


def test_values_without_a_label_are_refused(small: Volume, tmp_path: Path) -> None:
    array = label_map(small.grid.shape)
    array[2, 2, 2] = 7
    with pytest.raises(InputError, match=r"\[7\]"):
        write_seg(segmentation_of(small, array), tmp_path / "seg.dcm")


def test_a_stream_will_do(small: Volume) -> None:
    from io import BytesIO

    stream = BytesIO()
    write_seg(segmentation_of(small), stream)
    assert pydicom.dcmread(BytesIO(stream.getvalue())).Modality == "SEG"


def test_segments_that_overlap_are_each_whole(tmp_path: Path) -> None:
    """By highdicom, which knows nothing of gpukit's planes (Segments Overlap, PS3.3 C.8.20.2)."""
    import highdicom

    from gpukit.segmentation import one_map

    pixels = np.zeros((6, 10, 13), np.int16)  # 13 columns: a row is not whole bytes
    write_series(tmp_path / "ct", pixels, np.diag([1.0, 1.0, 2.0, 1.0]))
    volume = gpukit.open(tmp_path / "ct", device="cpu")
    whole, core = np.zeros(pixels.shape, bool), np.zeros(pixels.shape, bool)
    whole[1:5, 2:8, 3:11], core[2:4, 4:6, 5:8] = True, True
    array, planes = one_map([core, whole], [1, 4], np.zeros(pixels.shape, np.uint8))
    segmentation = replace(segmentation_of(volume, array), labels=LABELS[:2], planes=planes, probabilities=None)
    gpukit.save(segmentation, tmp_path / "seg.dcm")
    header = pydicom.dcmread(tmp_path / "seg.dcm")
    assert header.SegmentsOverlap == "YES"
    assert errors_of(tmp_path / "seg.dcm") == []
    order = {uid: k for k, uid in enumerate(s.sop_instance_uid for s in sorted(volume.sources, key=lambda s: s.index))}
    read = highdicom.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_instance(list(order))
    assert (read[..., 0] == core).all() and (read[..., 1] == whole).all()
    for number, mask in ((1, core), (2, whole)):
        assert (read_seg(tmp_path / "seg.dcm", volume, segments=[number]).array != 0).tolist() == mask.tolist()
    with pytest.raises(InputError, match="labels overlap"):
        gpukit.save(segmentation, tmp_path / "map.dcm", format="dicom-seg-labelmap")
