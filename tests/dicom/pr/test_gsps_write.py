"""Presentation states: what DCMTK draws, what dciodvfy and dcmpschk say, and what comes back."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file
from support.oracles.dciodvfy import errors_of

from gpukit.dicom.modules.graphics import Annotation, Figure, ImageReference
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.pr.gsps_read import read_gsps
from gpukit.dicom.pr.gsps_write import build_gsps, write_gsps
from gpukit.errors import FormatError, InputError
from gpukit.volume import SourceInstance

CT = get_testdata_file("CT_small.dcm")
LINE = Figure("POLYLINE", ((10.0, 10.0), (60.0, 50.0)))
FIGURES = (
    LINE,
    Figure("POLYLINE", ((20.0, 80.0), (60.0, 80.0), (60.0, 100.0), (20.0, 80.0))),
    Figure("ELLIPSE", ((70.0, 70.0), (110.0, 70.0), (90.0, 60.0), (90.0, 80.0))),
    Figure("CIRCLE", ((90.0, 30.0), (100.0, 30.0))),
    Figure("POINT", ((5.0, 120.0),)),
    Figure("MULTIPOINT", ((120.0, 5.0), (121.0, 7.0))),
)


def header(path: str | Path) -> pydicom.Dataset:
    return source_header(SourceInstance("", "", str(path)))


def on(image: pydicom.Dataset, *figures: Figure, frame: int | None = None, **words: str) -> Annotation:
    reference = ImageReference(str(image.SOPClassUID), str(image.SOPInstanceUID), frame)
    return Annotation(image=reference, figures=figures, **words)


def state_of(image: pydicom.Dataset, *annotations: Annotation, **options: object) -> pydicom.Dataset:
    return build_gsps(annotations, {str(image.SOPInstanceUID): image}, **options)


def dcmtk(name: str, *words: object) -> str:
    if shutil.which(name) is None:
        pytest.skip(f"the program {name} is not installed (package dcmtk)")
    done = subprocess.run([name, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def rendered(image: str, state: Path | None, folder: Path) -> np.ndarray:
    target = folder / ("with.pgm" if state else "without.pgm")
    dcmtk("dcmp2pgm", *(["-p", state] if state else []), image, target)
    return np.asarray(Image.open(target)).astype(int)


@pytest.mark.parametrize(
    "name", ["CT_small.dcm", "MR_small.dcm", "examples_rgb_color.dcm", "examples_ybr_color.dcm", "examples_palette.dcm"]
)
def test_every_kind_of_image_gives_a_valid_state(name: str, tmp_path: Path) -> None:
    image = header(get_testdata_file(name))
    scale = min(int(image.Rows), int(image.Columns)) / 128
    figures = [Figure(f.type, tuple((x * scale, y * scale) for x, y in f.points)) for f in FIGURES]
    frame = 2 if int(image.get("NumberOfFrames") or 1) > 1 else None
    path = tmp_path / "state.dcm"
    write_gsps([on(image, *figures, frame=frame, text="a caption")], {str(image.SOPInstanceUID): image}, path)
    assert not errors_of(path)
    if int(image.get("SamplesPerPixel") or 1) == 1:  # DCMTK checks grayscale states only
        assert "Test passed" in dcmtk("dcmpschk", path)
    written = pydicom.dcmread(path)
    assert written.StudyInstanceUID == image.StudyInstanceUID
    assert written.GraphicAnnotationSequence[0].ReferencedImageSequence[0].get("ReferencedFrameNumber") == frame
    shown = {f.type for annotation in read_gsps(path) for f in annotation.figures}
    assert shown == {"POLYLINE", "ELLIPSE", "CIRCLE", "POINT"}


def test_dcmtk_draws_the_line_where_it_was_measured(tmp_path: Path) -> None:
    image = header(CT)
    path = tmp_path / "state.dcm"
    write_gsps([on(image, LINE, text="42.35 mm")], {str(image.SOPInstanceUID): image}, path)
    changed = np.argwhere(rendered(CT, path, tmp_path) != rendered(CT, None, tmp_path))[:, ::-1]
    start, end = np.array([10, 10]), np.array([60, 50])
    along = (end - start) / np.linalg.norm(end - start)
    offset = (changed - start) @ np.array([-along[1], along[0]])
    # A line one pixel wide has no pixel centre further than half a pixel (along an axis) from the true one.
    assert np.abs(offset).max() <= 0.5
    assert {tuple(start), tuple(end)} <= {tuple(point) for point in changed}
    assert len(changed) >= 45  # 51 columns, less those that were as white before


def test_dcmtk_draws_nothing_but_the_outline(tmp_path: Path) -> None:
    image = header(CT)
    path = tmp_path / "state.dcm"
    circle = Figure("CIRCLE", ((64.0, 64.0), (84.0, 64.0)))
    write_gsps([on(image, circle)], {str(image.SOPInstanceUID): image}, path)
    changed = np.argwhere(rendered(CT, path, tmp_path) != rendered(CT, None, tmp_path))[:, ::-1]
    radii = np.linalg.norm(changed - 64.0, axis=1)
    assert radii.min() >= 19.0 and radii.max() <= 21.0  # within the pixels that the circle passes
    assert len({round(a, 0) for a in np.arctan2(*(changed - 64.0).T)}) == 7  # all the way round


def test_pixels_are_counted_from_the_corner_of_the_first_one() -> None:
    image = header(CT)
    item = state_of(image, on(image, LINE)).GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    # PS3.3 C.10.5.1.2: the first pixel reaches from 0\0 to 1\1, so its centre is 0.5\0.5.
    assert list(item.GraphicData) == [10.5, 10.5, 60.5, 50.5]
    assert item.GraphicAnnotationUnits == "PIXEL"


@pytest.mark.parametrize(
    ("windows", "shown"),
    [
        (([40, -600], [400, 1500], ["SOFT", "LUNG"]), (40, 400, "SOFT")),
        (([40, -600], [0.5, 1500], ["SOFT", "LUNG"]), (-600, 1500, "LUNG")),  # LINEAR needs a width of 1 (C.11.2.1.2)
        (([40, -600, 300], [400, 1500, 2000], "ONE"), (40, 400, None)),
        (([40, -600], 400, None), (40, 400, None)),
    ],
)
def test_an_image_of_several_windows_gives_a_valid_state_with_its_first(tmp_path: Path, windows, shown) -> None:
    """An item of the Softcopy VOI LUT Sequence holds one window (PS3.3 C.11.8); DCMTK is the judge."""
    image = header(CT)
    image.WindowCenter, image.WindowWidth = windows[:2]
    if windows[2]:
        image.WindowCenterWidthExplanation = windows[2]
    path = tmp_path / "state.dcm"
    write_gsps([on(image, LINE)], {str(image.SOPInstanceUID): image}, path)
    assert "Test passed" in dcmtk("dcmpschk", path)
    assert not errors_of(path)
    (item,) = pydicom.dcmread(path).SoftcopyVOILUTSequence
    assert (item.WindowCenter, item.WindowWidth, item.get("WindowCenterWidthExplanation")) == shown


def test_an_image_of_several_tables_gives_a_valid_state_with_its_first(tmp_path: Path) -> None:
    image = header(CT)
    tables = []
    for first in (0, 100):
        table = pydicom.Dataset()
        table.LUTDescriptor, table.LUTData = [256, first, 16], list(range(0, 65536, 256))
        table["LUTDescriptor"].VR, table["LUTData"].VR = "US", "US"
        tables.append(table)
    image.VOILUTSequence = tables
    path = tmp_path / "state.dcm"
    write_gsps([on(image, LINE)], {str(image.SOPInstanceUID): image}, path)
    assert "Test passed" in dcmtk("dcmpschk", path)
    (item,) = pydicom.dcmread(path).SoftcopyVOILUTSequence
    assert [table.LUTDescriptor[1] for table in item.VOILUTSequence] == [0]


def test_dark_is_shown_bright_where_the_image_says_so() -> None:
    image = header(CT)
    image.PhotometricInterpretation = "MONOCHROME1"
    assert state_of(image, on(image, LINE)).PresentationLUTShape == "INVERSE"
    assert state_of(header(CT), on(image, LINE)).PresentationLUTShape == "IDENTITY"


def test_pixels_that_are_no_squares_are_shown_as_they_are() -> None:
    image = header(CT)
    image.PixelSpacing = [0.5, 1.25]
    area = state_of(image, on(image, LINE)).DisplayedAreaSelectionSequence[0]
    assert [float(v) for v in area.PresentationPixelSpacing] == [0.5, 1.25]
    assert "PresentationPixelAspectRatio" not in area


def test_spacing_at_the_detector_is_not_shown_as_spacing_of_the_patient() -> None:
    """PS3.3 10.7.1.3: a measurement in mm of a viewer would be too long by the magnification."""
    image = header(CT)
    del image.PixelSpacing
    image.ImagerPixelSpacing = [0.1, 0.2]
    area = state_of(image, on(image, LINE)).DisplayedAreaSelectionSequence[0]
    assert "PresentationPixelSpacing" not in area
    assert [int(v) for v in area.PresentationPixelAspectRatio] == [1, 2]


def test_the_shutter_takes_no_overlay_that_the_image_has_and_can_be_left_out() -> None:
    image = header(CT)
    image.add_new((0x6000, 0x0010), "US", 128)
    state = state_of(image, on(image, LINE))
    assert state.ShutterOverlayGroup == 0x6002
    assert "ShutterShape" not in state_of(image, on(image, LINE), raster=False)


points = st.lists(st.tuples(st.floats(-0.5, 127.5, width=32), st.floats(-0.5, 127.5, width=32)), min_size=2, max_size=8)


@given(points=points, text=st.text("abc äöü µ²", max_size=30))
def test_points_come_back(points: list[tuple[float, float]], text: str) -> None:
    image = header(CT)
    image.SpecificCharacterSet = "ISO_IR 192"
    figure = Figure("POLYLINE", tuple(points))
    stored = state_of(image, on(image, figure, text=text, tracking_id="lesion 1", tracking_uid="1.2.3"), raster=False)
    buffer = pydicom.filebase.DicomBytesIO()
    stored.save_as(buffer)
    from gpukit.dicom.pr.gsps_read import _annotations

    (back,) = _annotations(pydicom.dcmread(pydicom.filebase.DicomBytesIO(buffer.getvalue())), "state.dcm")
    # GraphicData is float32: 24 bits for up to 128 pixels leave 2**-17 of a pixel.
    np.testing.assert_allclose(back.figures[0].points, points, rtol=0, atol=2**-16)
    assert back.text == " ".join(text.split())
    assert (back.tracking_id, back.tracking_uid) == ("lesion 1", "1.2.3")
    assert back.image.sop_instance_uid == image.SOPInstanceUID


def test_highdicom_reads_the_same_annotation() -> None:
    image = header(CT)
    state = state_of(image, on(image, LINE, text="here"))
    item = highdicom.pr.GraphicAnnotation(
        referenced_images=[image],
        graphic_layer=highdicom.pr.GraphicLayer("MEASUREMENTS", 1),
        graphic_objects=[
            highdicom.pr.GraphicObject(
                graphic_type="POLYLINE",
                graphic_data=np.array([[10.5, 10.5], [60.5, 50.5]]),
                units="PIXEL",
            )
        ],
    )
    mine = state.GraphicAnnotationSequence[0]
    assert mine.GraphicObjectSequence[0] == item.GraphicObjectSequence[0]


def test_points_relative_to_the_displayed_area_become_pixels(tmp_path: Path) -> None:
    image = header(CT)
    state = state_of(image, on(image, LINE), raster=False)
    area = state.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [33, 1], [96, 128]
    item = state.GraphicAnnotationSequence[0].GraphicObjectSequence[0]
    item.GraphicAnnotationUnits, item.GraphicData = "DISPLAY", [0.0, 0.0, 1.0, 0.5]
    path = tmp_path / "state.dcm"
    state.save_as(path)
    # columns 33 to 96 and rows 1 to 128, counted from 1: from the corner at 32\0, 64 wide and 128 high
    assert read_gsps(path)[0].figures[0].points == ((31.5, -0.5), (95.5, 63.5))


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("GraphicData", [1.0, 2.0, 3.0]),
        ("GraphicData", [1.0, float("nan")]),
        ("GraphicData", [1e30, 1.0, 2.0, 3.0]),
        ("GraphicData", None),
        ("GraphicType", "SPIRAL"),
        ("GraphicType", "ELLIPSE"),
    ],
)
def test_nonsense_in_a_figure_is_named(keyword: str, value: object, tmp_path: Path) -> None:
    image = header(CT)
    state = state_of(image, on(image, LINE))
    setattr(state.GraphicAnnotationSequence[0].GraphicObjectSequence[0], keyword, value)
    path = tmp_path / "state.dcm"
    state.save_as(path)
    with pytest.raises(FormatError, match=r"Graphic(Data|Type)"):
        read_gsps(path)


def test_other_objects_are_refused() -> None:
    with pytest.raises(FormatError, match="not a presentation state"):
        read_gsps(CT)


def test_a_point_outside_the_image_and_nothing_at_all_are_refused() -> None:
    image = header(CT)
    with pytest.raises(InputError, match="outside the image of 128 x 128"):
        state_of(image, on(image, Figure("POLYLINE", ((10.0, 10.0), (500.0, 50.0)))))
    with pytest.raises(InputError, match="nothing to draw"):
        state_of(image, on(image))


def test_a_state_by_others_is_read(data: Path) -> None:
    assert read_gsps(data / "gsps" / "prLUTs.dcm") == ()  # it has look-up tables only
