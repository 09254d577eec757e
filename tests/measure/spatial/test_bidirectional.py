"""Long and short axis against their definition, tried out point by point, and on a real tumour."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import shapely
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist
from skimage.measure import find_contours, label
from support.images import write_image

import gpukit as gk
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.geometry import Grid
from gpukit.io.masks import open_mask
from gpukit.measure.region.mask_contours import regions_of
from gpukit.measure.spatial.bidirectional import axes_of

outlines = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=3, max_size=10, unique=True)


def by_definition(ring: shapely.Polygon, long: np.ndarray) -> float:
    """The longest piece inside, of lines across the axis just beside every corner (where the width has its peaks)."""
    along = (long[1] - long[0]) / np.linalg.norm(long[1] - long[0])
    across = np.array((-along[1], along[0]))
    corners = np.concatenate([np.asarray(r.coords) for r in (ring.exterior, *ring.interiors)])
    best = 0.0
    for t in {round(float((corner - long[0]) @ along), 9) for corner in corners}:
        for beside in (-1e-7, 1e-7):
            foot = long[0] + (t + beside) * along
            cut = ring.intersection(shapely.LineString([foot - 1e3 * across, foot + 1e3 * across]))
            pieces = getattr(cut, "geoms", [cut])
            best = max([best, *(piece.length for piece in pieces)])
    return best


@given(outlines)
def test_polygons(points: list) -> None:
    ring = shapely.Polygon(points)
    assume(ring.is_valid and ring.area > 0.1)
    axes = axes_of([points])
    assert axes.lengths[0] == pytest.approx(pdist(np.asarray(points, float)).max(), rel=1e-12)
    # beside a corner instead of at it: 1e-7 along an edge whose slope may be 30 times as steep and more
    assert axes.lengths[1] == pytest.approx(by_definition(ring, axes.long), abs=1e-4)
    (lx, ly), (sx, sy) = axes.long[1] - axes.long[0], axes.short[1] - axes.short[0]
    assert lx * sx + ly * sy == pytest.approx(0, abs=1e-8)


@given(outlines, st.floats(0, 360), st.floats(0.1, 10))
def test_turning_and_scaling(points: list, degrees: float, size: float) -> None:
    assume(shapely.Polygon(points).is_valid and shapely.Polygon(points).area > 0.1)
    # of equally long diameters either may be chosen: ask only where there is one
    lengths = np.sort(pdist(np.asarray(points, float)))
    assume(len(lengths) < 2 or lengths[-1] - lengths[-2] > 1e-6)
    turn = math.radians(degrees)
    matrix = size * np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    plain, other = axes_of([points]).lengths, axes_of([np.asarray(points) @ matrix.T]).lengths
    assert other == (pytest.approx(plain[0] * size, rel=1e-9), pytest.approx(plain[1] * size, rel=1e-6, abs=1e-6))


@settings(max_examples=60)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_regions_of_masks_are_those_of_scikit_image(seed: int, density: float) -> None:
    mask = np.random.default_rng(seed).random((12, 15)) < density
    labels = label(mask, connectivity=2)
    found = regions_of(mask)
    assert len(found) == labels.max()
    of_region = []
    for number in range(1, labels.max() + 1):
        padded = np.pad(labels == number, 1).astype(float)
        outline = np.concatenate(find_contours(padded, 0.5, fully_connected="high"))[:, ::-1] - 1
        of_region.append(float(pdist(outline).max()))
    ours = sorted(axes_of(rings).lengths[0] for rings in found)
    assert ours == pytest.approx(sorted(of_region), abs=1e-9)
    # Each cell between four pixel centres lies inside by an eighth for one, seven eighths for three of its corners ...
    cells = np.lib.stride_tricks.sliding_window_view(np.pad(mask, 1), (2, 2)).reshape(-1, 4)
    across = (cells == (True, False, False, True)).all(axis=1) | (cells == (False, True, True, False)).all(axis=1)
    area = np.array((0, 1 / 8, 1 / 2, 7 / 8, 1))[cells.sum(axis=1)].sum() + across.sum() / 4
    assert sum(shapely.Polygon(rings[0], rings[1:]).area for rings in found) == pytest.approx(area, abs=1e-9)


def test_a_hole_is_not_measured_across() -> None:
    mask = np.zeros((21, 41), bool)
    mask[:, :] = True
    mask[2:19, 1:40] = False  # a frame: the long way round is a diagonal, and across it only its walls are left
    (rings,) = regions_of(mask)
    assert len(rings) == 2
    whole = axes_of(rings[:1]).lengths
    assert axes_of(rings).lengths[0] == whole[0]
    assert axes_of(rings).lengths[1] < whole[1] / 3


def test_the_longest_of_several_regions_counts(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    mask = np.zeros((64, 96), bool)
    mask[10, 10:20] = True
    mask[30:40, 50] = True
    mask[40, 51] = True  # touches at a corner, and belongs to it
    found = gk.bidirectional(file, mask)
    assert found.long_axis == pytest.approx(math.hypot(11, 1), abs=0.5)
    assert {point[0] for point in found.graphics[0].points} <= {50.0, 50.5, 51.0, 51.5, 49.5}


def test_on_pixels_that_are_not_square(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[2, 0.5])
    rectangle = gk.Polygon([(10, 10), (50, 10), (50, 20), (10, 20)])  # 20 x 20 mm
    found = gk.bidirectional(file, rectangle)
    assert found.long_axis == pytest.approx(20 * math.sqrt(2))
    assert found.short_axis == pytest.approx(20 * math.sqrt(2))
    diamond = gk.Polygon([(10, 30), (50, 20), (90, 30), (50, 40)])  # 40 x 40 mm
    assert gk.bidirectional(file, diamond).long_axis == pytest.approx(40)


def test_of_an_ellipse_drawn_as_a_mask(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    j, i = np.mgrid[:64, :96]
    turn = math.radians(25)
    u, v = (i - 48) * math.cos(turn) + (j - 32) * math.sin(turn), (j - 32) * math.cos(turn) - (i - 48) * math.sin(turn)
    found = gk.bidirectional(file, (u / 30) ** 2 + (v / 12) ** 2 <= 1)
    assert found.long_axis == pytest.approx(60, abs=1.0)  # the outline may run half a pixel beyond, at both ends
    assert found.short_axis == pytest.approx(24, abs=1.0)
    assert [q.code.meaning for q in found if q.code] == ["Long Axis", "Short Axis"]


def test_a_mask_of_several_slices_is_measured_in_its_longest_one() -> None:
    """A ball of 10 mm on an oblique grid: the slice through its middle."""
    turned = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
    grid = Grid.from_axes((31, 40, 50), spacing=(0.5, 0.75, 1.5), direction=turned)
    k, j, i = np.mgrid[:31, :40, :50]
    centre = grid.to_world((25, 20, 14))
    inside = np.linalg.norm(grid.to_world(np.stack([i, j, k], axis=-1)) - centre, axis=-1) <= 10
    volume = gk.Volume(array=np.zeros(grid.shape, np.int16), grid=grid)
    found = gk.bidirectional(volume, inside)
    assert found.long_axis == pytest.approx(20, abs=0.75)
    assert {d.name: d.value for d in found.details}["slice"] == 14
    ends = np.asarray(found.graphics[0].points)
    assert found.graphics[0].space == "patient"
    assert np.linalg.norm(ends[1] - ends[0]) == pytest.approx(found.long_axis, rel=1e-9)
    assert np.linalg.norm(ends.mean(axis=0) - centre) < 1


def test_a_picture_without_a_place_keeps_its_own_scale(tmp_path: Path) -> None:
    """The grid of its volume is a stand-in of 1 mm, which must not become a length."""
    mask = np.zeros((1, 64, 96), bool)
    mask[0, 10, 10:20] = True
    bare = gk.open(write_image(tmp_path / "a.dcm", "OT"), device="cpu")
    found = gk.bidirectional(bare, mask)
    assert (found.long_axis, found.unit) == (10, "{pixels}")
    magnified = {"ImagerPixelSpacing": [0.2, 0.2], "EstimatedRadiographicMagnificationFactor": 1.25}
    found = gk.bidirectional(gk.open(write_image(tmp_path / "b.dcm", "DX", **magnified), device="cpu"), mask)
    assert (found.long_axis, found.unit) == (pytest.approx(1.6), "mm")
    with pytest.raises(GeometryError, match="no place in the patient"):
        gk.distance(bare, (0, 0, 0), (3, 4, 0))


def test_what_cannot_be_measured_says_so(tmp_path: Path) -> None:
    file = write_image(tmp_path / "a.dcm", PixelSpacing=[1, 1])
    empty = np.zeros((64, 96), np.uint8)
    with pytest.raises(InputError, match="empty"):
        gk.bidirectional(file, empty)
    with pytest.raises(InputError, match="does not fit"):
        gk.bidirectional(file, empty[:10])
    two = empty.copy()
    two[3, 3:6], two[9, 9:12] = 1, 2
    with pytest.raises(SelectionError, match="2 labels"):
        gk.bidirectional(file, two)
    with pytest.raises(SelectionError, match="no label 5"):
        gk.bidirectional(file, two, label=5)
    assert gk.bidirectional(file, two, label=2).long_axis == pytest.approx(3)


def test_a_real_tumour(data: Path) -> None:
    """Lung tumour drawn by a radiologist; every slice's outline and all its distances, by other programs."""
    folder = data / "ct_chest_ibsi"
    volume = gk.open(next((folder / "nifti" / "image").glob("*.nii*")), device="cpu")
    mask = open_mask(next((folder / "nifti" / "mask").glob("*.nii*")), volume)
    si, sj, _ = volume.grid.spacing
    longest = 0.0
    for piece in np.asarray(mask.array):
        for number in range(1, label(piece > 0, connectivity=2).max() + 1):
            region = np.pad(label(piece > 0, connectivity=2) == number, 1).astype(float)
            outline = np.concatenate(find_contours(region, 0.5, fully_connected="high"))[:, ::-1] * (si, sj)
            corners = np.asarray(shapely.MultiPoint(outline).convex_hull.exterior.coords)
            longest = max(longest, float(pdist(corners).max()))
    found = gk.bidirectional(volume, mask)
    assert found.long_axis == pytest.approx(longest, rel=1e-9)
    assert 0 < found.short_axis <= found.long_axis
