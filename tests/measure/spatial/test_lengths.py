"""Lengths and angles: against known figures, and against what turning, moving and scaling must do."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pydicom.data
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.images import write_image

import gpukit as gk
from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.errors import GpukitError, InputError, SelectionError
from gpukit.measure.spatial.calibration import manual

CT_SMALL = str(pydicom.data.get_testdata_file("CT_small.dcm"))
SIZE = 4096

coordinate = st.floats(0, SIZE - 1)
points = st.tuples(coordinate, coordinate)
size = st.floats(0.01, 10)
turn = st.floats(0, 360)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Frame:
    """A large image without calibration."""
    path = tmp_path_factory.mktemp("large") / "large.dcm"
    return open_frame(write_image(path, "OT", rows=SIZE, columns=SIZE))


def turned(point: tuple[float, float], degrees: float, centre: float = SIZE / 2) -> tuple[float, float]:
    angle = math.radians(degrees)
    x, y = (value - centre for value in point)
    return (
        centre + 0.5 * (x * math.cos(angle) - y * math.sin(angle)),
        centre + 0.5 * (x * math.sin(angle) + y * math.cos(angle)),
    )


def test_ct_small() -> None:
    """50 columns and 40 rows of 0.661468 mm: 42.354618 mm, as other programs have it."""
    found = gk.distance(CT_SMALL, (10, 10), (60, 50))
    assert found.length == pytest.approx(42.354618, abs=5e-7)
    assert found.length == pytest.approx(math.sqrt(50**2 + 40**2) * 0.661468, rel=1e-14)
    assert (found.unit, found.sources[0].sop_instance_uid[:10]) == ("mm", "1.3.6.1.4.")


@given(points, points, size, size)
def test_distance_is_that_of_pythagoras(large: Frame, a: tuple, b: tuple, sx: float, sy: float) -> None:
    found = gk.distance(large, a, b, calibration=manual(sx, sy)).length
    assert found == pytest.approx(float(np.linalg.norm((np.subtract(b, a)) * (sx, sy))), rel=1e-12, abs=1e-9)
    assert found == gk.distance(large, b, a, calibration=manual(sx, sy)).length


@given(points, points, turn)
def test_turning_keeps_lengths(large: Frame, a: tuple, b: tuple, degrees: float) -> None:
    plain = gk.distance(large, a, b).length
    # `turned` halves every length so that nothing leaves the image
    assert gk.distance(large, turned(a, degrees), turned(b, degrees)).length == pytest.approx(plain / 2, abs=1e-8)


@given(points, points, st.tuples(st.floats(0, 1), st.floats(0, 1)), size)
def test_a_line_through_a_point_between_is_as_long(large: Frame, a: tuple, b: tuple, part: tuple, scale: float) -> None:
    between = tuple(p + part[0] * (q - p) for p, q in zip(a, b, strict=True))
    straight = gk.distance(large, a, b, calibration=manual(scale)).length
    assert gk.polyline(large, [a, between, b], calibration=manual(scale)).length == pytest.approx(straight, abs=1e-7)


def test_points_outside_the_image_are_refused(large: Frame) -> None:
    gk.distance(large, (-0.5, 0), (SIZE - 0.5, 0))  # the outer edges of the first and last pixel
    for wrong in ((-0.6, 0), (0, -0.6), (SIZE - 0.4, 0), (0, SIZE - 0.4), (math.nan, 0), (0, math.inf)):
        with pytest.raises(InputError):
            gk.distance(large, (0, 0), wrong)


def test_points_must_fit_what_is_measured_on(large: Frame) -> None:
    with pytest.raises(InputError, match="belong to a series"):
        gk.distance(large, (0, 0, 0), (1, 1, 1))
    with pytest.raises(InputError, match="two numbers each"):
        gk.distance(large, (0, 0), (1, 1, 1))
    with pytest.raises(InputError, match="two points or more"):
        gk.polyline(large, [(0, 0)])


# ---- angles


def test_angle_at_a_vertex_and_between_lines(large: Frame) -> None:
    assert gk.angle(large, [(10, 0), (0, 0), (0, 10)]).value == pytest.approx(90, abs=1e-12)
    assert gk.angle(large, [(10, 0), (0, 0), (10, 10)]).value == pytest.approx(45, abs=1e-12)
    lines = gk.angle(large, [(0, 0), (10, 0), (0, 5), (10, 15)])
    assert (lines.angle, lines.supplementary_angle) == (pytest.approx(45), pytest.approx(135))
    backwards = gk.angle(large, [(0, 0), (10, 0), (10, 15), (0, 5)])
    assert backwards.angle == pytest.approx(135)
    assert len(lines.graphics) == 2


@given(st.floats(1e-6, 180 - 1e-6), turn)
def test_angles_are_exact_also_where_a_cosine_is_not(large: Frame, degrees: float, start: float) -> None:
    vertex = (SIZE / 2, SIZE / 2)
    ends = [
        tuple(v + 1000 * f(math.radians(d)) for v, f in zip(vertex, (math.cos, math.sin), strict=True))
        for d in (start, start + degrees)
    ]
    # coordinates of 1e3 have 1e-13 of rounding, over arms of 1e3: 1e-14 degrees; an arc cosine would lose half of them
    assert gk.angle(large, [ends[0], vertex, ends[1]]).value == pytest.approx(degrees, abs=1e-10)


def test_pixels_that_are_not_square_do_not_distort_an_angle(large: Frame) -> None:
    corner = [(10, 0), (0, 0), (10, 10)]
    assert gk.angle(large, corner, calibration=manual(1, math.sqrt(3))).value == pytest.approx(60, abs=1e-10)
    assert gk.angle(large, corner, calibration=manual(0.3, 0.3)).value == pytest.approx(45, abs=1e-10)


def test_an_angle_needs_directions(large: Frame) -> None:
    with pytest.raises(InputError, match="no direction"):
        gk.angle(large, [(0, 0), (0, 0), (1, 1)])
    with pytest.raises(InputError, match="three or four"):
        gk.angle(large, [(0, 0), (1, 1)])


def plates(upper: float, lower: float, degrees: float = 0.0, flips: tuple[bool, bool] = (False, False)) -> list[tuple]:
    """End plates, tilted against the horizontal, one below the other; the whole turned by `degrees`."""
    made = []
    for tilt, y, flip in ((upper, SIZE / 2 - 1000, flips[0]), (lower, SIZE / 2 + 1000, flips[1])):
        dx, dy = 300 * math.cos(math.radians(tilt)), 300 * math.sin(math.radians(tilt))
        ends = [(SIZE / 2 - dx, y - dy), (SIZE / 2 + dx, y + dy)]
        made += ends[::-1] if flip else ends
    return [turned(point, degrees) for point in made]


@given(st.floats(-80, 80), st.floats(-80, 80), turn, st.tuples(st.booleans(), st.booleans()))
def test_cobb_however_the_lines_are_drawn(
    large: Frame, upper: float, lower: float, degrees: float, flips: tuple[bool, bool]
) -> None:
    found = gk.cobb_angle(large, plates(upper, lower, degrees, flips)).value
    assert found == pytest.approx(abs(upper - lower), abs=1e-9)


def test_cobb_above_90_degrees_is_no_small_angle(large: Frame) -> None:
    assert gk.cobb_angle(large, plates(50, -55)).value == pytest.approx(105, abs=1e-9)


def test_cobb_of_a_plate_along_the_spine_is_the_smaller_angle(large: Frame) -> None:
    found = gk.cobb_angle(large, [(100, 0), (100, 50), (50, 200), (150, 220)]).value
    assert found == pytest.approx(math.degrees(math.atan2(100, 20)), abs=1e-9)


# ---- frames


def test_frames_of_a_cine_loop(tmp_path: Path) -> None:
    file = write_image(tmp_path / "cine.dcm", "US", frames=3, PixelSpacing=[1, 1])
    with pytest.raises(SelectionError, match="3 frames"):
        gk.distance(file, (0, 0), (1, 0))
    assert gk.distance(file, (0, 0), (1, 0), frame=2).sources[0].frame == 2
    with pytest.raises(SelectionError, match="no frame 4"):
        gk.distance(file, (0, 0), (1, 0), frame=4)


def test_frames_of_an_enhanced_object_have_the_spacing_of_their_groups(data: Path) -> None:
    """Enhanced CT of two frames; 0.388672 mm in its shared functional groups, none in its header."""
    file = data / "enhanced_ct" / "eCT_Supplemental.dcm"
    found = gk.distance(file, (2, 3), (12, 3), frame=2)
    assert found.length == pytest.approx(10 * 0.388672, rel=1e-12)
    assert found.sources[0].frame == 2


def test_what_is_no_image_says_so(data: Path) -> None:
    for file in (data / "sr" / "tid1500").glob("*.dcm"):
        with pytest.raises(GpukitError, match="no image"):
            gk.distance(file, (0, 0), (1, 0))


# ---- points in space


def test_points_of_a_series_in_space(data: Path) -> None:
    """0.977 x 0.977 x 3 mm, 60 slices, as the data say of themselves; the same two points as voxels and in mm."""
    folder = data / "ct_chest_ibsi"
    volume = gk.open(next((folder / "nifti" / "image").glob("*.nii*")), device="cpu")
    a, b = (20, 30, 5), (120, 90, 45)
    expected = float(np.linalg.norm(volume.grid.to_world(b) - volume.grid.to_world(a)))
    dicom = next(path for path in folder.iterdir() if path.is_dir() and list(path.rglob("*.dcm")))
    series = gk.find_series(dicom)[0].number
    ct = gk.open(dicom, device="cpu", series=series)
    by_voxel = gk.distance(ct, a, b)
    assert by_voxel.length == pytest.approx(np.hypot(np.hypot(100, 60) * 0.977, 40 * 3), rel=1e-6)
    assert gk.distance(dicom, a, b).length == pytest.approx(by_voxel.length, rel=1e-9)
    places = [ct.grid.to_world(point) for point in (a, b)]
    assert gk.distance(dicom, *places, space="patient").length == pytest.approx(by_voxel.length, rel=1e-9)
    assert expected == pytest.approx(by_voxel.length, rel=1e-4)  # the reference has float32
    assert [source.sop_instance_uid for source in by_voxel.sources] == [ct.sources[k].sop_instance_uid for k in (5, 45)]
    assert by_voxel.frame_of_reference_uid


def test_uneven_slices_and_a_tilted_gantry_keep_their_places(data: Path) -> None:
    """GE head CT: steps of 1.14, 4.22 and 7.38 mm along z, tilt 18.5 degrees; positions straight from the files."""
    import pydicom

    folder = data / "ct_tilt_ge"
    heads = [pydicom.dcmread(path, stop_before_pixels=True) for path in folder.glob("*.dcm")]
    heads.sort(key=lambda head: float(head.ImagePositionPatient[2]))

    def place(i: float, j: float, k: int) -> np.ndarray:
        head = heads[k]
        spacing, axes = np.asarray(head.PixelSpacing, float), np.asarray(head.ImageOrientationPatient, float)
        return np.asarray(head.ImagePositionPatient, float) + i * spacing[1] * axes[:3] + j * spacing[0] * axes[3:]

    for a, b in (((100, 200, 0), (300, 250, 27)), ((5, 5, 9), (5, 5, 10)), ((0, 0, 27), (511, 511, 3))):
        expected = float(np.linalg.norm(place(*a) - place(*b)))
        assert gk.distance(folder, a, b).length == pytest.approx(expected, rel=1e-9)
    corner = [(100, 200, 0), (300, 250, 27), (5, 5, 9)]
    u, v = place(*corner[0]) - place(*corner[1]), place(*corner[2]) - place(*corner[1])
    expected = math.degrees(math.acos(u @ v / np.linalg.norm(u) / np.linalg.norm(v)))
    assert gk.angle(folder, corner).value == pytest.approx(expected, abs=1e-6)


def test_points_outside_the_series_are_refused(data: Path) -> None:
    folder = data / "ct_tilt_ge"
    for wrong in ((0, 0, 28), (512, 0, 0), (0, -1, 0)):
        with pytest.raises(InputError, match="outside the series"):
            gk.distance(folder, (0, 0, 0), wrong)
    with pytest.raises(InputError, match="outside the series"):
        gk.distance(folder, (0, 0, 0), (0, 0, 5000), space="patient")
