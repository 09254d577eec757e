"""Areas and perimeters against shapely and against formulas; outlines that cross themselves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import assume, example, given
from hypothesis import strategies as st
from scipy.special import ellipe
from support.images import write_image

import gpukit as gk
from gpukit.errors import InputError, SelectionError
from gpukit.measure.region.outline_geometry import crossing
from gpukit.measure.spatial.calibration import manual

HOUSE = [(0, 0), (4, 0), (4, 3), (2, 5), (0, 3)]

whole = st.integers(0, 12)
few_places = st.lists(st.tuples(whole, whole), min_size=3, max_size=9)  # so that points often coincide or align
# shapely multiplies coordinates, and products of numbers below 1e-154 vanish
place = st.floats(0, 100).map(lambda x: x if x > 1e-12 else 0.0)
anywhere = st.lists(st.tuples(place, place), min_size=3, max_size=9)
size = st.floats(0.01, 10)


def test_the_house() -> None:
    house = gk.Polygon(HOUSE)
    assert house.area() == 16
    assert house.perimeter() == pytest.approx(15.656854, abs=5e-7)
    assert house.perimeter() == pytest.approx(10 + 4 * math.sqrt(2), rel=1e-15)


def test_the_house_on_an_image(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])
    found = gk.area(file, gk.Polygon(HOUSE))
    assert (found.area, found.quantity("area").unit) == (16.0, "mm2")  # 2 mm x 0.5 mm a pixel
    # 4 columns, 3 rows twice, and two slopes of 2 columns and 2 rows
    assert found.perimeter == pytest.approx(4 * 0.5 + 2 * 3 * 2 + 2 * math.hypot(1, 4))


def cleaned(points: list) -> list:
    """Without neighbours that are equal, as `Polygon` takes them."""
    return [p for n, p in enumerate(points) if p != points[n - 1]]


@given(st.one_of(few_places, anywhere))
@example([(0, 0), (4, 0), (4, 4), (2, 0), (0, 4)])  # a corner touches another side
@example([(0, 0), (4, 0), (2, 0), (2, 4)])  # a side folds back over its neighbour
@example([(0, 0), (4, 0), (4, 4), (0, 0), (0, 4), (-4, 4)])  # two corners in one place
@example([(0, 0), (8, 0), (8, 4), (6, 0), (2, 0), (0, 4)])  # one side lies on another
def test_self_intersection_is_decided_as_by_shapely(points: list) -> None:
    points = cleaned(points)
    assume(len(points) >= 3)
    ring = shapely.LinearRing(points)
    assert (crossing(points) is None) == ring.is_simple


@given(st.one_of(few_places, anywhere), size, size)
def test_polygons_are_as_large_as_by_shapely(points: list, sx: float, sy: float) -> None:
    points = cleaned(points)
    assume(len(points) >= 3 and shapely.LinearRing(points).is_simple)
    ring = shapely.Polygon([(x * sx, y * sy) for x, y in points])
    assume(ring.area > 1e-9)
    drawn = gk.Polygon(points)
    # shapely's sums lose digits of thin slivers: 1e-12 of the box around
    assert drawn.area((sx, sy)) == pytest.approx(ring.area, rel=1e-9, abs=1e-12 * 1e4 * sx * sy)
    assert drawn.perimeter((sx, sy)) == pytest.approx(ring.length, rel=1e-12)


@given(anywhere, st.integers(0, 8), st.booleans(), st.floats(-1e4, 1e4))
def test_start_direction_and_place_do_not_matter(points: list, start: int, backwards: bool, moved: float) -> None:
    points = [(round(x), round(y)) for x, y in points]
    points = cleaned(points)
    assume(len(points) >= 3 and shapely.LinearRing(points).is_simple and shapely.Polygon(points).area > 0)
    plain = gk.Polygon(points)
    other = points[start % len(points) :] + points[: start % len(points)]
    other = [(x + round(moved), y + round(moved)) for x, y in (other[::-1] if backwards else other)]
    assert gk.Polygon(other).area() == plain.area()
    assert gk.Polygon(other).perimeter() == pytest.approx(plain.perimeter(), rel=1e-14)


def test_a_polygon_may_repeat_its_first_point() -> None:
    assert gk.Polygon([*HOUSE, HOUSE[0]]).points == gk.Polygon(HOUSE).points


@pytest.mark.parametrize(
    ("points", "says"),
    [
        ([(0, 0), (4, 4), (4, 0), (0, 4)], "points 1 and 3"),
        ([(0, 0), (1, 1)], "encloses nothing"),
        ([(0, 0), (0, 0), (1, 1), (0, 0)], "encloses nothing"),
        ([(0, 0), (1, 1), (2, 2)], "crosses or touches"),
        ([(0, 0), (1, math.nan), (2, 0)], "finite"),
        ([(0, 0, 0), (1, 1, 1), (2, 0, 0)], "3 numbers"),
    ],
)
def test_outlines_that_enclose_nothing_are_refused(points: list, says: str) -> None:
    with pytest.raises(InputError, match=says):
        gk.Polygon(points)


def test_a_long_outline_takes_no_quadratic_time() -> None:
    count = 20_000
    circle = [
        (500 + 400 * math.cos(2 * math.pi * n / count), 500 + 400 * math.sin(2 * math.pi * n / count))
        for n in range(count)
    ]
    # inscribed in a circle of radius 400: area n/2 r^2 sin(2 pi / n)
    expected = count / 2 * 400**2 * math.sin(2 * math.pi / count)
    assert gk.Polygon(circle).area() == pytest.approx(expected, rel=1e-9)


# ---- ellipses, circles, boxes


@given(size, size, st.floats(0, 360))
def test_ellipses_are_as_by_their_formulas(a: float, b: float, angle: float) -> None:
    drawn = gk.Ellipse(50, 50, a, b, angle)
    longer, shorter = max(a, b), min(a, b)
    assert drawn.area() == pytest.approx(math.pi * a * b, rel=1e-14)
    assert drawn.perimeter() == pytest.approx(4 * longer * ellipe(1 - (shorter / longer) ** 2), rel=1e-12)
    assert drawn.semi_axes() == (pytest.approx(longer, rel=1e-9), pytest.approx(shorter, rel=1e-9))


@given(size, size, st.floats(0, 360), size, size)
def test_an_ellipse_on_pixels_that_are_not_square(a: float, b: float, angle: float, sx: float, sy: float) -> None:
    """Against the curve itself, drawn with 20000 chords."""
    assume(max(sx, sy) < 10 * min(sx, sy) and max(a, b) < 10 * min(a, b))
    drawn = gk.Ellipse(50, 50, a, b, angle)
    (ax, ay), (bx, by) = drawn.axes
    turns = np.linspace(0, 2 * np.pi, 20_001)
    curve = np.outer(np.cos(turns), (ax * sx, ay * sy)) + np.outer(np.sin(turns), (bx * sx, by * sy))
    length = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).sum())
    assert drawn.perimeter((sx, sy)) == pytest.approx(length, rel=1e-6)
    assert drawn.area((sx, sy)) == pytest.approx(math.pi * a * b * sx * sy, rel=1e-14)
    longer, shorter = drawn.semi_axes((sx, sy))
    reach = np.linalg.norm(curve, axis=1)
    assert longer == pytest.approx(reach.max(), rel=1e-6)
    # Near the short axis the distance grows with the square of the ratio: up to (100 * 1.6e-4)^2 / 2 between samples
    assert shorter == pytest.approx(reach.min(), rel=2e-4)


def test_a_circle_in_mm_is_round_in_the_patient(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])
    found = gk.area(file, gk.Circle(40, 30, 5, "mm"))
    assert found.area == pytest.approx(25 * math.pi)
    assert (found.diameter, found.perimeter) == (pytest.approx(10), pytest.approx(10 * math.pi))
    in_pixels = gk.area(file, gk.Circle(40, 30, 5))
    assert "diameter" not in in_pixels  # on such pixels it's no circle
    assert (in_pixels.major_axis, in_pixels.minor_axis) == (pytest.approx(20), pytest.approx(5))
    with pytest.raises(InputError, match="calibrated"):
        gk.area(write_image(tmp_path / "b.dcm", "OT"), gk.Circle(40, 30, 5, "mm"))


def test_a_box_is_as_large_as_the_pixels_that_it_holds(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])
    found = gk.area(file, gk.Box(10, 20, 30, 40))
    assert (found.area, found.perimeter) == (30 * 0.5 * 40 * 2, 2 * (15 + 80))
    assert gk.area(file, gk.Polygon(gk.Box(10, 20, 30, 40).points)).area == found.area


@pytest.mark.parametrize(
    "shape", [gk.Box(200, 10, 5, 5), gk.Circle(-20, -20, 5), gk.Polygon([(0, 99), (5, 99), (5, 90)])]
)
def test_a_shape_outside_the_image_is_refused(tmp_path: Path, shape: gk.Box) -> None:
    with pytest.raises(InputError, match="outside the image"):
        gk.area(write_image(tmp_path / "a.dcm"), shape)


def test_a_box_may_be_the_whole_image(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", rows=64, columns=96)
    assert gk.area(file, gk.Box(0, 0, 96, 64)).notes == ()
    assert "outside" in gk.area(file, gk.Box(0, 0, 97, 64)).notes[0]
    with pytest.raises(InputError, match="outside the image"):
        gk.area(file, gk.Box(96, 0, 5, 5))


def test_on_a_slice_of_a_volume(data: Path) -> None:
    """The same shape on a slice of the series and on the file of that slice."""
    files = data / "ct_chest_ibsi" / "dicom" / "image"
    volume, shape = gk.open(files, device="cpu"), gk.Ellipse(60, 70, 12, 5, 20)
    found = gk.area(volume, shape, slice=7)
    (source,) = found.sources
    alone = gk.area(source.path, shape)
    assert [(q.name, pytest.approx(q.value, rel=1e-9), q.unit) for q in alone] == [
        (q.name, q.value, q.unit) for q in found
    ]
    assert found.graphics == alone.graphics
    assert source.sop_instance_uid == volume.sources[7].sop_instance_uid
    with pytest.raises(SelectionError, match="60 slices"):
        gk.area(volume, shape)
    with pytest.raises(SelectionError, match="no slice 60"):
        gk.area(volume, shape, slice=60)
    with pytest.raises(InputError, match="outside the image"):
        gk.area(volume, gk.Box(300, 300, 5, 5), slice=3)


def test_a_picture_opened_as_a_volume_keeps_its_own_scale(tmp_path: Path) -> None:
    picture = gk.open(write_image(tmp_path / "a.dcm", "OT"), device="cpu")
    assert gk.area(picture, gk.Box(0, 0, 4, 5)).unit == "{square_pixels}"


def test_a_shape_that_reaches_out_of_the_image_says_so(tmp_path: Path) -> None:
    found = gk.area(write_image(tmp_path / "a.dcm"), gk.Circle(0, 0, 5), calibration=manual(1))
    assert found.area == pytest.approx(25 * math.pi)
    assert "outside the image" in found.notes[0]


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: gk.Box(0, 0, 0, 5),
        lambda: gk.Box(0, 0, 5, -1),
        lambda: gk.Ellipse(0, 0, 0, 5),
        lambda: gk.Circle(0, 0, -1),
        lambda: gk.Sphere((0, 0, 0), 0),
        lambda: gk.Circle(math.inf, 0, 1),
    ],
)
def test_shapes_without_size_are_refused(wrong: object) -> None:
    with pytest.raises(InputError):
        wrong()  # type: ignore[operator]
