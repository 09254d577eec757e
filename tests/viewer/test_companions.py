"""Other objects on images: segments, contours, measurements and graphics, by the pixels that they colour."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from support.viewer_files import write_grey

from gpukit.dicom.pr.apply import read_state
from gpukit.display.frames import frame_at
from gpukit.display.outlines import outline
from gpukit.errors import FormatError
from gpukit.viewer.companions import Contours, Measurements, SegmentMasks, companions_of
from gpukit.viewer.layout import Fit, Viewport
from gpukit.viewer.scene import Companions, Scene, open_scene


def drawn(scene: Scene) -> np.ndarray:
    """The picture of a scene pixel for pixel, with what lies on it."""
    box = scene.box(Viewport())
    size = Fit(0, 0, scene.columns, scene.rows)
    return scene.picture(size, None, box=box, overlays=True).pixels


def test_a_segment_is_outlined_where_it_lies(data: Path) -> None:
    """The liver of dcmqi's sample: the label map that comes with it says where it is."""
    frame = frame_at(data / "seg/dcmqi_liver/02.dcm")
    masks = SegmentMasks(data / "seg/dcmqi_liver/liver.dcm")
    layers = masks.on(frame)
    assert [layer.name for layer in layers] == ["Liver"]
    nrrd = pytest.importorskip("nrrd", reason="pynrrd reads the sample's own label map")
    truth, header = nrrd.read(str(data / "seg/dcmqi_liver/liver_seg.nrrd"))
    position = np.asarray(frame.plane.position)
    axes = np.asarray(header["space directions"], float)
    k = round((position[2] - header["space origin"][2]) / axes[2][2])
    assert layers[0].mask.sum() == (truth[:, :, k] > 0).sum()
    np.testing.assert_array_equal(layers[0].mask, truth[:, :, k].T > 0)
    picture = drawn(open_scene(frame, Companions(segments=(masks,))))
    colored = (picture == layers[0].color).all(axis=2)
    inside = layers[0].mask
    assert colored.any() and not (colored & ~inside).any()
    core = inside.copy()
    for axis in (0, 1):
        core &= np.roll(inside, 1, axis) & np.roll(inside, -1, axis)
    np.testing.assert_array_equal(colored, inside & ~core)


def test_contours_lie_on_their_slice_only(data: Path) -> None:
    folder = data / "ct_chest_ibsi/dicom"
    contours = Contours(next((folder / "mask").iterdir()))
    counts = []
    for file in sorted((folder / "image").iterdir()):
        frame = frame_at(file)
        lines = contours.on(frame)
        counts.append(len(lines))
        for line in lines:
            assert line.points[:, 0].min() >= -0.5 and line.points[:, 0].max() <= frame.columns - 0.5
            np.testing.assert_array_equal(line.points[0], line.points[-1])
    assert 0 < sum(c > 0 for c in counts) < len(counts)
    total = sum(len(region.contours) for region in contours.regions)
    assert sum(counts) == total  # each contour on exactly one slice


def test_measurements_of_a_report_are_drawn_with_their_values(more: Path) -> None:
    folder = more / "sr_makers/dwv"
    image = next(folder.rglob("squares.dcm"), None)
    report = next(folder.rglob("tid1500_ellipse.dcm"), None)
    if image is None or report is None:
        pytest.skip("the sample report is not here")
    lines = Measurements(report).on(frame_at(image))
    assert len(lines) == 3
    words = " ".join(line.text for line in lines)
    assert "3.1899" in words or "3.19" in words or "1.8987" in words or "1.9" in words, words
    for line in lines:
        assert len(line.points) > 50 and np.ptp(line.points[:, 0]) <= 24


def test_graphics_of_a_state_are_drawn_in_their_layer(data: Path, tmp_path: Path) -> None:
    image, state = data / "gsps/imageForPrLUTs.dcm", pydicom.dcmread(data / "gsps/prLUTs.dcm")
    layer = Dataset()
    layer.GraphicLayer, layer.GraphicLayerOrder = "MARKS", 1
    layer.GraphicLayerRecommendedDisplayGrayscaleValue = 0xFFFF
    state.GraphicLayerSequence = [layer]
    item, figure, text = Dataset(), Dataset(), Dataset()
    figure.GraphicAnnotationUnits, figure.GraphicDimensions, figure.GraphicType = "PIXEL", 2, "POLYLINE"
    # DICOM counts from the corner of the first pixel: the line runs through the centres of row 100
    figure.GraphicData, figure.NumberOfGraphicPoints, figure.GraphicFilled = [20.5, 100.5, 60.5, 100.5], 2, "N"
    text.BoundingBoxAnnotationUnits = "DISPLAY"
    text.BoundingBoxTopLeftHandCorner, text.BoundingBoxBottomRightHandCorner = [0.5, 0.5], [0.6, 0.6]
    text.UnformattedTextValue = "a\x1b[31mb"
    item.GraphicLayer, item.GraphicObjectSequence, item.TextObjectSequence = "MARKS", [figure], [text]
    state.GraphicAnnotationSequence = [item]
    state.save_as(tmp_path / "state.dcm")
    for rotation in (0, 90):
        state.ImageRotation, state.ImageHorizontalFlip = rotation, "N"
        state.save_as(tmp_path / "state.dcm")
        scene = open_scene(frame_at(image), Companions(read_state(tmp_path / "state.dcm")))
        plain = scene.shown.picture()
        picture = drawn(scene)
        changed = (picture != plain[..., None]).any(axis=2)
        rows, columns = np.nonzero(changed)
        if rotation == 0:
            assert set(rows) == {100} and columns.min() >= 20 and columns.max() <= 60
        else:  # clockwise: row 100 is column 511 - 100
            assert set(columns) == {411} and rows.min() >= 20 and rows.max() <= 60
        (words,) = [line for line in scene.lines if line.is_words]
        assert words.text == "a?[31mb"
        assert abs(words.points - 255.5).max() <= 0.5


def test_the_displayed_area_is_what_is_seen(data: Path, tmp_path: Path) -> None:
    image, state = data / "gsps/imageForPrLUTs.dcm", pydicom.dcmread(data / "gsps/prLUTs.dcm")
    area = state.DisplayedAreaSelectionSequence[0]
    area.DisplayedAreaTopLeftHandCorner, area.DisplayedAreaBottomRightHandCorner = [101, 201], [300, 260]
    state.save_as(tmp_path / "state.dcm")
    scene = open_scene(frame_at(image), Companions(read_state(tmp_path / "state.dcm")))
    assert scene.area() == (200.0, 100.0, 260.0, 300.0)
    state.ImageRotation, state.ImageHorizontalFlip = 90, "Y"
    state.save_as(tmp_path / "state.dcm")
    turned = open_scene(frame_at(image), Companions(read_state(tmp_path / "state.dcm")))
    top, left, bottom, right = turned.area()
    assert (bottom - top, right - left) == (200, 60)
    seen = turned.values.stored[int(top) : int(bottom), int(left) : int(right)]
    cut = scene.values.stored[200:260, 100:300]
    np.testing.assert_array_equal(seen, np.rot90(cut, -1)[:, ::-1])


def test_what_lies_beside_an_image_is_offered(data: Path, tmp_path: Path, run) -> None:
    for name in ("imageForPrLUTs.dcm", "prLUTs.dcm"):
        shutil.copy(data / "gsps" / name, tmp_path / name)
    write_grey(tmp_path / "other.dcm", np.zeros((8, 8), np.uint8))
    frame = frame_at(tmp_path / "imageForPrLUTs.dcm")
    assert companions_of(frame) == [("--presentation", str(tmp_path / "prLUTs.dcm"))]
    done = run("viewer", tmp_path / "imageForPrLUTs.dcm", "--show-overlay")
    assert done.returncode == 0
    assert f"--presentation {tmp_path / 'prLUTs.dcm'}" in done.stderr
    assert companions_of(frame_at(tmp_path / "other.dcm")) == []


def test_files_of_another_kind_are_refused(data: Path) -> None:
    with pytest.raises(FormatError, match="not a segmentation"):
        SegmentMasks(data / "gsps/prLUTs.dcm")
    with pytest.raises(FormatError):
        Contours(data / "gsps/prLUTs.dcm")


def test_curves_and_ellipses_go_through_their_points() -> None:
    circle = outline("CIRCLE", [(10, 10), (13, 14)])
    assert np.allclose(np.linalg.norm(circle - 10, axis=1), 5)
    ellipse = outline("ELLIPSE", [(0, 5), (20, 5), (10, 0), (10, 10)])
    assert np.allclose(((ellipse - (10, 5)) / (10, 5)) ** 2 @ np.ones(2), 1)
    points = np.array([(0, 0), (10, 5), (20, 0), (30, 5)])
    curve = outline("INTERPOLATED", points)
    for point in points:
        assert np.linalg.norm(curve - point, axis=1).min() < 1e-9
