"""Segmentations of images without a place in the patient: they state none (PS3.3 A.51.5.1)."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from support.dicom_files import write_series
from support.images import write_image
from support.oracles.seg import errors_of

import gpukit as gk
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.errors import GeometryError
from gpukit.findings.measurement import Row
from gpukit.findings.write import FORMATS, write
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation
from gpukit.volume import Volume

#: What an object says of its place, size and frame of reference.
PLACE = {
    *("FrameOfReferenceUID", "PositionReferenceIndicator", "PixelMeasuresSequence", "PixelSpacing", "SliceThickness"),
    *("PlanePositionSequence", "PlaneOrientationSequence", "ImagePositionPatient", "ImageOrientationPatient"),
    *("SpacingBetweenSlices",),
}
PICTURES = {
    "ultrasound": ("US", {}),
    "photo": ("OT", {}),
    "radiograph": ("DX", {"ImagerPixelSpacing": [0.2, 0.2], "PatientOrientation": ["L", "F"]}),
    "mammogram with a frame of reference": ("MG", {"FrameOfReferenceUID": "1.2.3", "PixelSpacing": [0.1, 0.1]}),
}


def labelled(volume: Volume, count: int) -> Segmentation:
    array = np.zeros(volume.grid.shape, np.uint8)
    for n in range(count):
        array[:, 3 + 10 * n : 8 + 10 * n, 4:9] = n + 1
    labels = tuple(Label(n, f"label {n}", ANATOMY, TISSUE) for n in range(1, count + 1))
    return Segmentation(
        array=array, grid=volume.grid, labels=labels, sources=volume.sources, metadata=volume.metadata,
        notes=volume.notes, geometry=volume.geometry,
    )  # fmt: skip


def keywords(path: Path) -> set[str]:
    return {element.keyword for element in pydicom.dcmread(path).iterall() if element.value not in (None, "")}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("kind", ["binary", "labelmap"])
@pytest.mark.parametrize("count", [1, 2])
def test_a_segmentation_of_a_picture_states_no_place(tmp_path: Path, name: str, kind: str, count: int) -> None:
    modality, attributes = PICTURES[name]
    picture = gk.open(write_image(tmp_path / "image.dcm", modality, **attributes), device="cpu")
    path = tmp_path / "seg.dcm"
    write_seg(labelled(picture, count), path, kind=kind)
    assert not keywords(path) & PLACE
    dataset = pydicom.dcmread(path)
    assert list(dataset.PatientOrientation or []) == attributes.get("PatientOrientation", [])
    for group in dataset.PerFrameFunctionalGroupsSequence:  # pixels are those of the image, which has to be named
        (source,) = group.DerivationImageSequence[0].SourceImageSequence
        assert source.ReferencedSOPInstanceUID == picture.sources[0].sop_instance_uid
        assert source.SpatialLocationsPreserved == "YES"
    read = highdicom.seg.segread(path).get_pixels_by_source_instance([picture.sources[0].sop_instance_uid])
    assert [int(read[..., n].sum()) for n in range(count)] == [25] * count
    np.testing.assert_array_equal(read_seg(path, picture).array, labelled(picture, count).array)
    if kind == "binary":  # dciodvfy does not know label maps
        assert not errors_of(path)


def test_frames_of_a_cine_each_name_their_own(tmp_path: Path) -> None:
    cine = gk.open(write_image(tmp_path / "cine.dcm", "US", frames=4), device="cpu")
    grid = gk.Grid((4, *cine.grid.shape[1:]), cine.grid.affine)
    frames = replace(cine, array=cine.array.reshape(grid.shape), grid=grid, axes="kji", phases=())
    made = labelled(frames, 1)
    made.array[1] = 0  # nothing there: no frame
    write_seg(made, tmp_path / "seg.dcm")
    dataset = pydicom.dcmread(tmp_path / "seg.dcm")
    sources = [g.DerivationImageSequence[0].SourceImageSequence[0] for g in dataset.PerFrameFunctionalGroupsSequence]
    assert [source.ReferencedFrameNumber for source in sources] == [1, 3, 4]
    labels = [g.FrameContentSequence[0].FrameLabel for g in dataset.PerFrameFunctionalGroupsSequence]
    assert len(set(labels)) == 3
    read = highdicom.seg.segread(tmp_path / "seg.dcm").get_pixels_by_source_frame(
        cine.sources[0].sop_instance_uid, [1, 3, 4]
    )
    assert [int(frame.sum()) for frame in read] == [25, 25, 25]


def test_labels_of_another_size_than_the_picture_are_refused(tmp_path: Path) -> None:
    picture = gk.open(write_image(tmp_path / "image.dcm", "DX"), device="cpu")
    grid = gk.Grid((1, 32, 48), picture.grid.affine)
    array = np.ones(grid.shape, np.uint8)
    made = Segmentation(array=array, grid=grid, labels=(Label(1, "x", ANATOMY, TISSUE),), sources=picture.sources)
    with pytest.raises(GeometryError, match="48 x 32 pixels and its source images 96 x 64"):
        write_seg(made, tmp_path / "seg.dcm")


def test_reports_and_presentation_states_of_a_picture_state_none_either(tmp_path: Path) -> None:
    file = write_image(tmp_path / "image.dcm", "DX")
    row = Row(file="x", measurement=gk.distance(file, (1, 1), (9, 9)))
    for form in ("sr", "gsps"):
        write([row], tmp_path / form, FORMATS[form])
        assert not keywords(tmp_path / form) & PLACE


def test_images_with_a_place_keep_it_though_their_frame_of_reference_was_removed(tmp_path: Path) -> None:
    def anonymise(dataset: pydicom.Dataset, k: int) -> None:
        del dataset.FrameOfReferenceUID

    write_series(tmp_path / "ct", np.zeros((3, 24, 24), np.int16), np.diag([0.5, 0.5, 2, 1]), change=anonymise)
    ct = gk.open(tmp_path / "ct", device="cpu")
    write_seg(labelled(ct, 1), tmp_path / "seg.dcm")
    assert {"FrameOfReferenceUID", "PixelSpacing", "ImagePositionPatient"} <= keywords(tmp_path / "seg.dcm")
