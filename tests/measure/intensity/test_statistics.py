"""Values of regions: against NumPy, SimpleITK, SciPy and the IBSI's consensus; what is refused."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from support.ibsi_phantom import GRID, digital_phantom, labelled

import gpukit as gk
from gpukit.errors import InputError, SelectionError
from gpukit.findings.histogram import draw_text, write_histogram
from gpukit.geometry import Grid
from gpukit.io.masks import open_mask
from gpukit.measure.intensity.features import PEAK_RADIUS, Bins
from gpukit.measure.intensity.statistics import rois
from gpukit.measure.intensity.volumes import parse_range, volumes
from gpukit.measure.region.regions import parts_of
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume


def image(unit: str = "1", seed: int = 1, **facts) -> Volume:
    array = np.random.default_rng(seed).integers(-1000, 1500, GRID.shape).astype(np.int16)
    return Volume(array=array, grid=GRID, unit=unit, **facts)


# --- which voxels ----------------------------------------------------------------------------------------------------


def test_a_box_is_a_slice_of_the_array() -> None:
    volume = image()
    found = gk.roi(volume, gk.Box(2, 3, 5, 4), slice=4)
    want = volume.array[4, 3:7, 2:7].astype(float)
    assert found.n == want.size == 20
    assert (found.mean, found.sd, found.min, found.max) == pytest.approx(
        (want.mean(), want.std(), want.min(), want.max())
    )
    assert found.sd_sample == pytest.approx(want.std(ddof=1))
    assert found.area == pytest.approx(5 * 0.8 * 4 * 1.2)  # of the drawn rectangle
    assert found.graphics[0].points[0] == (2, 3)


@settings(max_examples=40)
@given(
    x=st.floats(-3, 12), y=st.floats(-3, 10), a=st.floats(0.4, 6), b=st.floats(0.4, 6), angle=st.floats(0, 180),
)  # fmt: skip
def test_an_ellipse_holds_the_centres_inside(x, y, a, b, angle) -> None:
    volume = image()
    j, i = np.mgrid[:9, :11]
    c, s = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    u, v = (i - x) * c + (j - y) * s, -(i - x) * s + (j - y) * c
    level = (u / a) ** 2 + (v / b) ** 2
    if np.abs(level - 1).min() < 1e-9:
        return
    if not (level < 1).any():
        with pytest.raises(InputError, match="ellipse"):
            gk.roi(volume, gk.Ellipse(x, y, a, b, angle), slice=0)
        return
    found = gk.roi(volume, gk.Ellipse(x, y, a, b, angle), slice=0, statistics=False)
    assert found.n == int((level < 1).sum())
    assert found.mean == pytest.approx(float(volume.array[0][level < 1].mean()))


def test_a_circle_in_mm_is_an_ellipse_of_pixels() -> None:
    volume = image()
    j, i = np.mgrid[:9, :11]
    inside = ((i - 5) * 0.8) ** 2 + ((j - 4) * 1.2) ** 2 <= 3.01**2
    found = gk.roi(volume, gk.Circle(5, 4, 3.01, "mm"), slice=2)
    assert found.n == int(inside.sum()) and found.mean == pytest.approx(float(volume.array[2][inside].mean()))
    assert found.area == pytest.approx(math.pi * 3.01**2)


def test_a_polygon_of_the_issue_and_slices_it_reaches_through() -> None:
    volume = image()
    shape = gk.Polygon([(0, 0), (4, 0), (4, 3), (2, 5), (0, 3)])
    one = gk.roi(volume, shape, slice=1)
    assert one.n == 18  # centres: three rows of four, then 4 (row 3), 2 (row 4)
    several = gk.roi(volume, shape, slice=(1, 3))
    assert several.n == 54 and any("3 slices" in note for note in several.notes)
    assert gk.roi(volume, shape, slice="all").n == 108
    with pytest.raises(SelectionError, match="which one"):
        gk.roi(volume, shape)
    with pytest.raises(SelectionError, match="no slice 6"):
        gk.roi(volume, shape, slice=6)


@pytest.mark.parametrize("space", ["voxel", "patient"])
def test_a_ball_in_mm(space: str) -> None:
    volume = image()
    index = (4.3, 5.1, 2.6)
    centre = index if space == "voxel" else tuple(GRID.to_world(index))
    found = gk.roi(volume, gk.Sphere(centre, 4.0, space))
    k, j, i = np.mgrid[:6, :9, :11]
    inside = ((i - 4.3) * 0.8) ** 2 + ((j - 5.1) * 1.2) ** 2 + ((k - 2.6) * 3) ** 2 <= 16
    assert found.n == int(inside.sum()) and found.mean == pytest.approx(float(volume.array[inside].mean()))
    with pytest.raises(InputError, match="no voxel"):
        gk.roi(volume, gk.Sphere((100, 0, 0), 4.0))


def test_labels_of_a_mask() -> None:
    volume = image()
    array = np.zeros(GRID.shape, np.uint8)
    array[1:3, 2:5, 3:8], array[4, 5:, :3] = 3, 9
    found = rois(volume, labelled(array))
    assert [(m.label, m.n) for m in found] == [("part 3", 30), ("part 9", 12)]
    for measured, value in zip(found, (3, 9), strict=True):
        assert measured.mean == pytest.approx(float(volume.array[array == value].mean()))
        assert measured.extra["segment"]["number"] == value
    assert gk.roi(volume, labelled(array), labels=9).n == 12
    with pytest.raises(SelectionError, match="2 labels"):
        gk.roi(volume, labelled(array))


def test_regions_outside() -> None:
    volume = image()
    for shape in (gk.Box(40, 2, 3, 3), gk.Polygon([(0.1, 0.1), (0.4, 0.1), (0.4, 0.4)])):
        with pytest.raises(InputError, match=r"lies outside|centre of no pixel"):
            gk.roi(volume, shape, slice=0)
    half = gk.roi(volume, gk.Box(-5, 2, 8, 3), slice=0)
    assert half.n == 9 and any("outside" in note for note in half.notes)


# --- what they say ---------------------------------------------------------------------------------------------------


def test_numbers_against_numpy_and_scipy() -> None:
    volume = image()
    array = (np.random.default_rng(7).random(GRID.shape) < 0.4).astype(np.uint8)
    found = gk.roi(volume, labelled(array), percentiles=(1, 37.5))
    v = volume.array[array == 1].astype(np.float64)
    # float64 sums in another order
    for q in (1, 5, 10, 25, 37.5, 75, 90, 95):
        assert found[f"p{q:g}".replace(".", "_")] == pytest.approx(np.percentile(v, q), rel=1e-12)
    assert found.median == np.median(v) and found.iqr == pytest.approx(np.subtract(*np.percentile(v, (75, 25))))
    assert found.variance == pytest.approx(v.var(), rel=1e-12) and found["sum"] == v.sum()
    assert found.skewness == pytest.approx(scipy.stats.skew(v), rel=1e-9)
    assert found.kurtosis == pytest.approx(scipy.stats.kurtosis(v), rel=1e-9)
    assert found.energy == pytest.approx((v**2).sum()) and found.rms == pytest.approx(np.sqrt((v**2).mean()))
    counts = np.histogram(v, 32)[0]
    share = counts[counts > 0] / v.size
    assert found.entropy == pytest.approx(scipy.stats.entropy(share, base=2), rel=1e-12)
    assert found.uniformity == pytest.approx((share**2).sum(), rel=1e-12)


def test_numbers_against_simpleitk() -> None:
    volume = image()
    array = np.zeros(GRID.shape, np.uint8)
    array[1:5, 1:8, 2:9] = np.random.default_rng(2).integers(0, 3, (4, 7, 7))
    theirs = SimpleITK.LabelStatisticsImageFilter()
    theirs.Execute(SimpleITK.GetImageFromArray(volume.array), SimpleITK.GetImageFromArray(array))
    for measured in rois(volume, labelled(array)):
        label = measured.extra["segment"]["number"]
        assert measured.n == theirs.GetCount(label)
        assert measured.mean == pytest.approx(theirs.GetMean(label), rel=1e-12)
        assert measured.sd_sample == pytest.approx(theirs.GetSigma(label), rel=1e-9)  # ITK divides by n - 1
        assert (measured.min, measured.max) == (theirs.GetMinimum(label), theirs.GetMaximum(label))
        assert measured["sum"] == pytest.approx(theirs.GetSum(label), rel=1e-12)


def test_padding_and_nan_take_no_part() -> None:
    volume = image()
    array = volume.array.copy()
    array[0, :, :4] = -2000
    padded = replace(volume, array=array, padding=(-2000.0, -2000.0))
    found = gk.roi(padded, gk.Box(0, 0, 11, 9), slice=0)
    assert found.n == 9 * 7 and found.min >= -1000
    assert found.mean == pytest.approx(float(array[0, :, 4:].mean()))
    assert any("36 of 99 voxels are padding" in note for note in found.notes)
    with pytest.raises(InputError, match="every voxel of the region is padding"):
        gk.roi(padded, gk.Box(0, 0, 3, 9), slice=0)
    real = volume.array.astype(np.float32)
    real[0, 0, 0] = np.nan
    assert gk.roi(replace(volume, array=real), gk.Box(0, 0, 2, 2), slice=0).n == 3


def test_all_equal_values() -> None:
    flat = Volume(array=np.full(GRID.shape, 7, np.int16), grid=GRID)
    found = gk.roi(flat, histogram=True)
    assert (found.mean, found.sd, found.skewness, found.kurtosis, found.entropy, found.uniformity) == (7, 0, 0, 0, 0, 1)
    assert sum(found.extra["histogram"]["counts"]) == found.n
    assert found.p10 == 7 and gk.roi(flat, gk.Sphere((5, 4, 3), 4)).peak == 7


def test_every_device_gives_the_same() -> None:
    volume = image()
    for region in (gk.Polygon([(1, 1), (9, 2), (6, 8)]), gk.Ellipse(5, 4, 4, 2, 30)):
        here = gk.roi(volume, region, slice=3)
        there = gk.roi(volume.to("torch-cpu"), region, slice=3)
        for quantity in here:
            assert there[quantity.name] == pytest.approx(quantity.value, rel=1e-10), quantity.name
    assert gk.roi(volume.to("torch-cpu"), gk.Sphere((5, 4, 3), 5)).peak == pytest.approx(
        gk.roi(volume, gk.Sphere((5, 4, 3), 5)).peak, rel=1e-10
    )


# --- the IBSI's consensus --------------------------------------------------------------------------------------------

#: The digital phantom of the Image Biomarker Standardisation Initiative: slices of 4 rows and 5 columns, 2 mm each,
#: voxels that are outside the region of interest left out (reference manual, chapter 5).
IBSI = {
    "n": 74, "mean": 2.14865, "variance": 3.04547, "skewness": 1.08382, "kurtosis": -0.354620, "p10": 1, "p90": 4,
    "energy": 567, "rms": 2.76806, "entropy": 1.26561, "uniformity": 0.512418,
}  # fmt: skip


@pytest.fixture(scope="module")
def phantom() -> tuple[Volume, Segmentation]:
    return digital_phantom()


@pytest.mark.parametrize("name", IBSI)
def test_digital_phantom(phantom, name: str) -> None:
    found = gk.roi(*phantom, bins=Bins(width=1))
    # Six digits, as the consensus values are given.
    assert found[name] == pytest.approx(IBSI[name], rel=2e-6)


def test_digital_phantom_volumes(phantom) -> None:
    found = gk.measure.volume(phantom[1])
    assert found.volume * 1000 == pytest.approx(592, rel=1e-12) == found.volume_voxels * 1000
    assert found.volume_mesh * 1000 == pytest.approx(556.333, rel=1e-6)
    assert found.surface_area == pytest.approx(388.071, rel=2e-6)
    assert found.volume_planimetric * 1000 == pytest.approx(592, rel=1e-12)


@pytest.fixture(scope="module")
def chest(data: Path) -> tuple[Volume, Path]:
    folder = data / "ct_chest_ibsi/dicom"
    return gk.open(folder / "image", device="cpu"), next((folder / "mask").iterdir())


def test_lung_tumour(chest) -> None:
    found = gk.hu(*chest)
    # README of the data
    assert found.n == 125256 and found.volume == pytest.approx(358.681, abs=5e-4)
    assert found.mean == pytest.approx(-46.883, abs=5e-4) and found.sd == pytest.approx(231.069, abs=5e-4)
    assert found.unit == "[hnsf'U]"


def test_lung_tumour_against_the_consensus(chest, data: Path) -> None:
    volume, path = chest
    lines = (data / "ct_chest_ibsi/reference_values/ibsi_1_chest_config_a.csv").read_text().splitlines()[1:]
    table = {tag: (float(value), float(off)) for value, off, tag in (line.split(";") for line in lines) if value}
    mask = open_mask(path, volume)
    # Configuration A: re-segmentation to -500..400 HU, bins of 25 HU from -500.
    inside = (mask.array > 0) & (volume.array >= -500) & (volume.array <= 400)
    found = gk.roi(volume, replace(mask, array=inside.astype(np.uint8)), bins=Bins(width=25, low=-500))
    names = {
        "stat_mean": "mean", "stat_var": "variance", "stat_skew": "skewness", "stat_kurt": "kurtosis",
        "stat_median": "median", "stat_min": "min", "stat_p10": "p10", "stat_p90": "p90", "stat_max": "max",
        "stat_iqr": "iqr", "stat_range": "range", "stat_energy": "energy", "stat_rms": "rms", "ih_entropy": "entropy",
        "ih_uniformity": "uniformity", "loc_peak_loc": "peak_at_max", "loc_peak_glob": "peak",
    }  # fmt: skip
    assert set(names) <= set(table)
    for tag, name in names.items():
        want, off = table[tag]
        assert found[name] == pytest.approx(want, abs=max(off, abs(want) * 5e-3)), tag  # given to three digits
    sizes = gk.measure.volume(volume, mask)
    for tag, name, unit in (("morph_volume", "volume_mesh", 1e3), ("morph_vol_approx", "volume", 1e3),
                            ("morph_area_mesh", "surface_area", 1)):  # fmt: skip
        want, off = table[tag]
        assert sizes[name] * unit == pytest.approx(want, abs=off), tag


# --- Hounsfield units ------------------------------------------------------------------------------------------------


def test_hu_only_where_values_are_hu() -> None:
    assert gk.hu(image("HU"), gk.Box(1, 1, 3, 3), slice=2).n == 9
    with pytest.raises(InputError, match=r"modality is MR.*Modality"):
        gk.hu(image(metadata={"Modality": "MR"}))
    with pytest.raises(InputError, match=r"RescaleType is US.*RescaleType"):
        gk.hu(image(metadata={"Modality": "CT", "RescaleType": "US"}))
    with pytest.raises(InputError, match=r"not known"):
        gk.hu(image())


def test_padding_of_a_scanner_does_not_pollute_hu(unpacked) -> None:
    volume = gk.open(unpacked("ct_abdomen/ct_abdomen.tar.xz"), device="cpu")  # README: padding -3024 outside the circle
    found = gk.hu(volume, gk.Box(0, 0, 512, 512), slice=25, statistics=False)
    assert found.min >= -1024
    raw = np.asarray(volume.array[25]).astype(float)
    assert (raw == -3024).any() and found.n == int((raw > -2000).sum())
    assert found.mean == pytest.approx(raw[raw > -2000].mean())


# --- peak, histogram, pixel, volume ----------------------------------------------------------------------------------


def test_the_peak_is_the_best_ball_of_a_millilitre() -> None:
    assert 4 / 3 * math.pi * PEAK_RADIUS**3 == pytest.approx(1000)
    array = np.zeros((15, 15, 15), np.float32)
    grid = Grid.from_axes(array.shape, spacing=(2, 2, 2))
    array[7, 7, 7] = 100
    k, j, i = np.mgrid[:15, :15, :15]
    size = int(((k - 7) ** 2 + (j - 7) ** 2 + (i - 7) ** 2 <= (PEAK_RADIUS / 2) ** 2).sum())
    found = gk.roi(Volume(array=array, grid=grid), gk.Sphere((7, 7, 7), 3))
    assert found.peak == pytest.approx(100 / size) == found.peak_at_max


def test_bins_and_their_edges() -> None:
    volume = image()
    found = gk.roi(volume, histogram=Bins(count=10))
    values = volume.array.astype(float)
    want, edges = np.histogram(values, 10)
    assert found.extra["histogram"]["counts"] == want.tolist()
    assert found.extra["histogram"]["edges"] == pytest.approx(edges.tolist())
    # Fixed bin size: the IBSI's bins are half open, so that a highest value on an edge has a bin of its own.
    eight = Volume(array=np.arange(8, dtype=np.int16).reshape(1, 2, 4), grid=Grid.from_axes((1, 2, 4)))
    assert gk.roi(eight, histogram=Bins(width=1)).extra["histogram"]["counts"] == [1] * 8
    assert gk.roi(eight, histogram=Bins(width=2, low=0, high=4)).extra["histogram"]["counts"] == [
        2,
        3,
    ]  # last one closed
    with pytest.raises(InputError, match="bins cannot be counted"):
        gk.roi(eight, histogram=Bins(width=1e-9))


def test_histograms_drawn(tmp_path: Path) -> None:
    eight = Volume(array=np.array([[[0, 0, 0, 0, 1, 1, 3, 3]]], np.int16), grid=Grid.from_axes((1, 1, 8)), unit="HU")
    drawn = gk.roi(eight, histogram=Bins(width=1)).extra["histogram"]
    lines = draw_text(drawn)
    assert lines[0].startswith("from HU") and [line.split()[-1] for line in lines[1:]] == ["4", "2", "0", "2"]
    bars = [line.count("█") for line in lines[1:]]
    assert bars == [40, 20, 0, 20]
    write_histogram(drawn, tmp_path / "h.png", title="test")
    from PIL import Image

    pixels = np.asarray(Image.open(tmp_path / "h.png").convert("RGB")).astype(int)
    blue = (pixels[..., 2] > pixels[..., 0] + 50).sum(axis=0)  # height of the bars at each column
    quarters = [int(blue[90 + (840 * n) // 4 + 100]) for n in range(4)]
    assert (
        quarters[0] == pytest.approx(2 * quarters[1], abs=2) and quarters[2] == 0 and quarters[3] == quarters[1] > 100
    )


def test_pixel_values(data: Path) -> None:
    path = sorted((data / "ct_chest_ibsi/dicom/image").iterdir())[0]
    import pydicom

    dataset = pydicom.dcmread(path)
    stored = int(dataset.pixel_array[70, 33])
    found = gk.pixel(path, (33, 70))
    assert found.stored_value == stored
    assert found.value == stored * dataset.RescaleSlope + dataset.RescaleIntercept and found.unit == "[hnsf'U]"
    volume = gk.open(data / "ct_chest_ibsi/dicom/image", device="cpu")
    in_series = gk.pixel(volume, (33, 70, 12))
    assert in_series.value == volume.array[12, 70, 33] and in_series.stored_value == in_series.value + 1000
    assert gk.pixel(volume, (33.4, 69.6, 12)).value == in_series.value
    with pytest.raises(InputError, match="outside the image"):
        gk.pixel(path, (204, 0))


def test_volume_of_a_ball_by_all_methods() -> None:
    grid = Grid.from_axes((41, 41, 41), spacing=(0.9, 0.7, 0.8))
    k, j, i = np.mgrid[:41, :41, :41] - 20
    ball = ((i * 0.9) ** 2 + (j * 0.7) ** 2 + (k * 0.8) ** 2 <= 12**2).astype(np.uint8)
    found = gk.measure.volume(labelled(ball, grid))
    true = 4 / 3 * math.pi * 1.2**3
    # Voxels of 0.8 mm on a ball of 12 mm; the mesh of a binary mask cuts corners.
    assert found.volume_voxels == pytest.approx(true, rel=0.01)
    assert found.volume_mesh == pytest.approx(true, rel=0.02)
    assert found.volume_planimetric == pytest.approx(found.volume_voxels, rel=1e-12)
    assert gk.measure.volume(labelled(ball, grid), method="mesh").volume == found.volume_mesh


def test_volume_between_thresholds_within_a_box() -> None:
    volume = image("HU")
    found = gk.measure.volume(volume, gk.Box(2, 1, 6, 5), values=(200, 900), slice=(1, 3))
    cut = volume.array[1:4, 1:6, 2:8]
    assert found.n == int(((cut >= 200) & (cut <= 900)).sum())
    assert found.volume == pytest.approx(found.n * 0.8 * 1.2 * 3 / 1000)
    assert [m.n for m in volumes(volume, values=parse_range("1000"))] == [int((volume.array >= 1000).sum())]
    with pytest.raises(InputError, match="mask or thresholds"):
        gk.measure.volume(volume)
    with pytest.raises(InputError, match="no voxel lies between"):
        gk.measure.volume(volume, values=(5000, None))


def test_planimetric_volume_on_uneven_slices(tmp_path: Path) -> None:
    from support.pet_files import pet

    levels = (0.0, 3.0, 6.1, 9.0, 12.0)  # near enough to even to make a volume
    volume = pet(tmp_path, lambda d, drug, k: setattr(d, "ImagePositionPatient", [0, 0, levels[k]]), slices=5)
    mask = np.zeros((5, 5, 6), np.uint8)
    mask[2] = 1
    found = gk.measure.volume(volume, labelled(mask, volume.grid))
    assert found.volume_planimetric == pytest.approx(30 * 16 * (9.0 - 3.0) / 2 / 1000)


def test_ranges_of_values() -> None:
    assert parse_range("200") == (200, None) and parse_range(",5") == (None, 5) and parse_range("1,2") == (1, 2)
    for text in ("", ",", "a", "1,2,3", "nan"):
        with pytest.raises(InputError):
            parse_range(text)


def test_phases_and_colours_are_told() -> None:
    four = Volume(array=np.zeros((2, *GRID.shape)), grid=GRID, axes="tkji")
    with pytest.raises(SelectionError, match="several phases"):
        parts_of(four)
