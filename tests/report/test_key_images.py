"""Regions land on the pixel that the report means: enlarged, turned, on frames, in the patient, by segment."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from support import sr_files as sr
from support.dicom_files import new_slice

from gpukit.dicom.reader.discovery import Location
from gpukit.report.images.outline import COLORS
from gpukit.report.run import options_of, render

MR = "1.2.840.10008.5.1.4.1.1.4"
GSPS = "1.2.840.10008.5.1.4.1.1.11.1"


def _image(folder: Path, *, rows: int = 24, columns: int = 24, **header: object) -> Dataset:
    dataset = new_slice(np.full((rows, columns), 10, np.uint16), modality="MR", series="5", number=0)
    dataset.BitsStored, dataset.HighBit, dataset.BitsAllocated, dataset.PixelRepresentation = 16, 15, 16, 0
    dataset.PixelData = np.full((rows, columns), 10, np.uint16).tobytes()
    dataset.WindowCenter, dataset.WindowWidth = "1000", "2000"
    for keyword, value in header.items():
        setattr(dataset, keyword, value)
    folder.mkdir(parents=True, exist_ok=True)
    dataset.save_as(folder / "image.dcm", enforce_file_format=True)
    return dataset


def _pictures(dataset: Dataset, folder: Path, images: Path) -> list[np.ndarray]:
    file = sr.save(dataset, folder / "sr.dcm")
    page = render([Location(str(file))], options_of("html", lang="en", embed_images=True, image_dirs=[images])).decode()
    found = re.findall(r'<img src="data:image/png;base64,([^"]+)" alt="([^"]+)"', page)
    assert all(alt for _, alt in found), "every picture has words in its place"
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))) for data, _ in found]


def _drawn(picture: np.ndarray, color: tuple[int, int, int] = COLORS[0]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom edge of what has a colour, in pixels of the picture, from its corner."""
    rows, columns = np.nonzero(np.abs(picture.astype(int) - color).sum(axis=2) < 90)
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def _finding(image: Dataset, kind: str, points: list[float], **more: object) -> Dataset:
    picture = sr.image(MR, image.SOPInstanceUID, "SELECTED FROM", **more)
    return sr.report(sr.region(kind, points, picture))


def test_a_rectangle_lies_on_its_pixels(tmp_path: Path) -> None:
    image = _image(tmp_path / "images")
    points = [2, 3, 10, 3, 10, 7, 2, 7, 2, 3]
    (picture,) = _pictures(_finding(image, "POLYLINE", points), tmp_path, tmp_path / "images")
    k = picture.shape[0] / 24
    assert picture.shape[0] == picture.shape[1]
    assert k == int(k)
    # the middle of the line is at k x: its edges are half its width of 2 away
    assert _drawn(picture) == pytest.approx((2 * k - 1, 3 * k - 1, 10 * k + 1, 7 * k + 1), abs=0.51)


def test_the_corner_of_the_first_pixel_is_the_corner_of_the_picture(tmp_path: Path) -> None:
    image = _image(tmp_path / "images")
    (picture,) = _pictures(_finding(image, "POLYLINE", [0, 0, 24, 24]), tmp_path, tmp_path / "images")
    assert _drawn(picture) == pytest.approx((0, 0, picture.shape[1], picture.shape[0]), abs=1)
    middle = picture.shape[0] // 2
    assert tuple(picture[middle, middle]) == COLORS[0]


def test_circles_and_ellipses_have_their_size(tmp_path: Path) -> None:
    image = _image(tmp_path / "images")
    (picture,) = _pictures(_finding(image, "CIRCLE", [12, 12, 17, 12]), tmp_path, tmp_path / "images")
    k = picture.shape[0] / 24
    assert _drawn(picture) == pytest.approx((7 * k - 1, 7 * k - 1, 17 * k + 1, 17 * k + 1), abs=0.6)
    ellipse = [4, 12, 20, 12, 12, 9, 12, 15]
    (picture,) = _pictures(_finding(image, "ELLIPSE", ellipse), tmp_path, tmp_path / "images")
    assert _drawn(picture) == pytest.approx((4 * k - 1, 9 * k - 1, 20 * k + 1, 15 * k + 1), abs=0.6)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    image = _image(tmp_path / "images", rows=20, columns=40, PixelAspectRatio=[2, 1])
    (picture,) = _pictures(
        _finding(image, "POLYLINE", [4, 5, 30, 5, 30, 15, 4, 15, 4, 5]), tmp_path, tmp_path / "images"
    )
    x, y = picture.shape[1] / 40, picture.shape[0] / 20
    assert y / x == pytest.approx(2, rel=0.01)
    assert _drawn(picture) == pytest.approx((4 * x - 1, 5 * y - 1, 30 * x + 1, 15 * y + 1), abs=0.6)


def test_the_named_frame_is_shown(tmp_path: Path) -> None:
    frames = np.stack([np.full((24, 24), value, np.uint16) for value in (0, 1000, 2000)])
    image = _image(
        tmp_path / "images", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3", NumberOfFrames=3, PixelData=frames.tobytes()
    )
    report = _finding(image, "POINT", [12, 12], frames=[3])
    (picture,) = _pictures(report, tmp_path, tmp_path / "images")
    assert tuple(picture[2, 2]) == (255, 255, 255)
    (dark,) = _pictures(_finding(image, "POINT", [12, 12], frames=[1]), tmp_path, tmp_path / "images")
    assert tuple(dark[2, 2]) == (0, 0, 0)


def test_a_presentation_state_turns_image_and_region(tmp_path: Path) -> None:
    image = _image(tmp_path / "images", rows=24, columns=40)
    state = Dataset()
    state.SOPClassUID, state.SOPInstanceUID = GSPS, f"{sr.ROOT}.55"
    state.StudyInstanceUID, state.SeriesInstanceUID, state.Modality = image.StudyInstanceUID, f"{sr.ROOT}.56", "PR"
    reference, series = Dataset(), Dataset()
    reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = MR, image.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedImageSequence = image.SeriesInstanceUID, [reference]
    state.ReferencedSeriesSequence = [series]
    state.ImageRotation, state.ImageHorizontalFlip, state.PresentationLUTShape = 90, "N", "IDENTITY"
    area = Dataset()
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [1, 1], [40, 24]
    area.PresentationSizeMode, area.PresentationPixelAspectRatio = "SCALE TO FIT", [1, 1]
    state.DisplayedAreaSelectionSequence = [area]
    sr.save(state, tmp_path / "images" / "state.dcm")
    picture_item = sr.image(MR, image.SOPInstanceUID, "SELECTED FROM", state=(GSPS, state.SOPInstanceUID))
    report = sr.report(sr.region("POLYLINE", [2, 3, 10, 3, 10, 7, 2, 7, 2, 3], picture_item))
    (picture,) = _pictures(report, tmp_path, tmp_path / "images")
    k = picture.shape[0] / 40
    assert picture.shape[:2] == (40 * k, 24 * k)
    # turned clockwise by a quarter: x' = rows - y, y' = x
    assert _drawn(picture) == pytest.approx(((24 - 7) * k - 1, 2 * k - 1, (24 - 3) * k + 1, 10 * k + 1), abs=0.6)


def test_coordinates_in_the_patient_find_their_slice(tmp_path: Path) -> None:
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [2, 2], "SliceThickness": 3}
    _image(tmp_path / "images" / "a", ImagePositionPatient=[-20, -30, 0], **place)
    near = _image(
        tmp_path / "images" / "b", ImagePositionPatient=[-20, -30, 30], SOPInstanceUID=f"{sr.ROOT}.5.99", **place
    )
    item = sr.content("SCOORD3D", ("111030", "DCM", "Image Region"))
    item.GraphicType = "POLYGON"
    # the centre of pixel (4, 5) is 4 x 2 mm right of, and 5 x 2 mm below, the position
    item.GraphicData = [-12, -20, 30, 0, -20, 30, 0, -12, 30, -12, -12, 30, -12, -20, 30]
    item.ReferencedFrameOfReferenceUID = near.FrameOfReferenceUID
    (picture,) = _pictures(sr.report(item, sop_class=sr.COMPREHENSIVE_3D), tmp_path, tmp_path / "images")
    k = picture.shape[0] / 24
    assert _drawn(picture) == pytest.approx((4.5 * k - 1, 5.5 * k - 1, 10.5 * k + 1, 9.5 * k + 1), abs=0.6)


def test_a_missing_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    file = sr.save(sr.report(sr.region("POINT", [1, 1], sr.image(MR, "1.2.3.4", "SELECTED FROM"))), tmp_path / "sr.dcm")
    options = options_of("html", lang="en", embed_images=True, image_dirs=[tmp_path / "images"])
    page = render([Location(str(file))], options).decode()
    assert "the image 1.2.3.4 is missing" in page
    assert "<img" not in page


def test_key_objects_show_what_the_content_names(tmp_path: Path) -> None:
    """Frames of the content tree, not of the evidence (which names the whole file)."""
    frames = np.stack([np.full((24, 24), value, np.uint16) for value in (0, 1000, 2000)])
    image = _image(
        tmp_path / "images", SOPClassUID="1.2.840.10008.5.1.4.1.1.7.3", NumberOfFrames=3, PixelData=frames.tobytes()
    )
    report = sr.report(
        sr.image(image.SOPClassUID, image.SOPInstanceUID, frames=[2, 3]), sop_class=sr.KEY_OBJECTS,
        title=("113000", "DCM", "Of Interest"), CompletionFlag=None, VerificationFlag=None,
    )  # fmt: skip
    pictures = _pictures(report, tmp_path, tmp_path / "images")
    assert [int(picture[0, 0, 0]) for picture in pictures] == [128, 255]


def test_real_regions_surround_their_squares(data: Path, tmp_path: Path) -> None:
    folder = data.parent / "data_more" / "sr_makers" / "dwv"
    pictures = _pictures(dcmread(folder / "tid1500_ellipse.dcm"), tmp_path, folder)
    assert len(pictures) == 3
    for picture, (x, y) in zip(pictures, [(6.038, 6.152), (18.114, 6.0), (18.114, 18.152)], strict=True):
        k = picture.shape[0] / 24
        left, top, right, bottom = _drawn(picture)
        assert ((left + right) / 2 / k, (top + bottom) / 2 / k) == pytest.approx((x, y), abs=0.05)


def test_the_largest_slice_of_a_segment(tmp_path: Path) -> None:
    """Two slices; the segment has 4 pixels on the first and 9 on the second."""
    highdicom = pytest.importorskip("highdicom", reason="highdicom, which writes the segmentation, is not installed")
    place = {"ImageOrientationPatient": [1, 0, 0, 0, 1, 0], "PixelSpacing": [1, 1], "SliceThickness": 3}
    images = []
    for n in range(2):
        image = _image(
            tmp_path / "images" / str(n),
            ImagePositionPatient=[0, 0, 3 * n],
            SOPInstanceUID=f"{sr.ROOT}.5.{n + 1}",
            InstanceNumber=n + 1,
            **place,
        )
        for keyword in (
            "StudyDate",
            "StudyTime",
            "AccessionNumber",
            "StudyID",
            "ReferringPhysicianName",
            "PatientBirthDate",
            "PatientSex",
            "PositionReferenceIndicator",
        ):
            setattr(image, keyword, "")
        images.append(image)
    mask = np.zeros((2, 24, 24), np.uint8)
    mask[0, 2:4, 2:4] = 1
    mask[1, 5:8, 10:13] = 1
    code = highdicom.sr.CodedConcept("4147007", "SCT", "Mass")
    segment = highdicom.seg.SegmentDescription(1, "mass", code, code, highdicom.seg.SegmentAlgorithmTypeValues.MANUAL)
    seg = highdicom.seg.Segmentation(
        images, mask, highdicom.seg.SegmentationTypeValues.BINARY, [segment], f"{sr.ROOT}.60", 9, f"{sr.ROOT}.61", 1,
        "tests", "tests", "1", "1",
    )  # fmt: skip
    seg.save_as(tmp_path / "images" / "seg.dcm")
    group = sr.container(
        ("125007", "DCM", "Measurement Group"), sr.coded(sr.FINDING, ("4147007", "SCT", "Mass")),
        sr.image(seg.SOPClassUID, seg.SOPInstanceUID, segment=[1], name=("121191", "DCM", "Referenced Segment")),
        sr.number(("118565006", "SCT", "Volume"), "39", "mm3"),
    )  # fmt: skip
    (picture,) = _pictures(sr.report(group), tmp_path, tmp_path / "images")
    k = picture.shape[0] / 24
    assert _drawn(picture) == pytest.approx((10 * k - 1, 5 * k - 1, 13 * k + 1, 8 * k + 1), abs=0.6)
