"""Frames as they want to be seen: against DCMTK, and against the facts of images made for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from support.images import write_image
from support.oracles.dcmtk import dcmj2pnm, dcmp2pgm, needs_dcmtk
from support.viewer_files import write_frames, write_grey

from gpukit.dicom.pr.apply import read_state
from gpukit.display.area_mean import area_mean
from gpukit.display.frame_values import frame_values, pixel_aspect
from gpukit.display.frames import frame_at
from gpukit.display.presentation import display_frame, present, window_of_range
from gpukit.errors import FormatError, GpukitError, InputError, SelectionError, TooLargeError
from gpukit.volume import Voi

#: Real images of every kind that DCMTK shows, and shows right; see the reasons below for those it does not.
SHOWN = [
    "cr_dx_mg/dx_image.dcm", "cr_dx_mg/OutOfBoundsOverlay.dcm", "us/US-PAL-8-10x-echo", "us/US-RGB-8-esopecho",
    "us/gdcm-US-ALOKA-16.dcm", "us/color-pl.dcm", "us/color-px.dcm", "xa_nm_ecg/NM-MONO2-16-13x-heart",
    "seg/dcmqi_liver/01.dcm", "seg/highdicom/ct_image.dcm", "seg/highdicom/seg_image_ct_binary.dcm",
    "compressed/nema_wg04/US1/US1_UNC", "compressed/nema_wg04/NM1/NM1_UNC", "compressed/nema_wg04/CT1/CT1_JLSL",
]  # fmt: skip


@needs_dcmtk
@pytest.mark.parametrize("name", SHOWN)
def test_pictures_are_those_of_dcmtk(data: Path, tmp_path: Path, name: str) -> None:
    file = data / name
    if not file.exists():
        pytest.skip(f"{name} is not in the test data")
    frame = frame_at(file)
    values = frame_values(frame)
    options, voi = ["+Wm"], window_of_range(values.range)
    if values.is_color:
        options = []
    elif values.windows:
        options, voi = ["+Wi", "1"], values.windows[0].voi
        if voi.function == "SIGMOID":
            options.append("--sigmoid-function")
    theirs = dcmj2pnm(file, tmp_path, "-O", *options)
    if theirs is None:
        pytest.skip("this DCMTK cannot decode it")
    ours = present(frame, voi=None if values.is_color else voi)
    assert ours.shape == theirs.shape
    apart = np.abs(ours.astype(int) - theirs)
    if values.valid is not None:
        apart = apart[values.valid]  # padding is black here and a value like any other there
    assert apart.max() <= 1


@needs_dcmtk
@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("slope", "intercept"), [("1", "0"), ("2", "-1024"), ("-10", "500")])
def test_the_chain_of_grey_values_is_that_of_dcmtk(
    tmp_path: Path, function: str, photometric: str, slope: str, intercept: str
) -> None:
    values = np.arange(-2048, 2048, dtype=np.int16).reshape(64, 64)
    file = write_grey(
        tmp_path / "grey.dcm", values, PhotometricInterpretation=photometric, RescaleSlope=slope,
        RescaleIntercept=intercept, WindowCenter="300", WindowWidth="1500", VOILUTFunction=function,
    )  # fmt: skip
    options = {"LINEAR": ["+Wi", "1"], "SIGMOID": ["+Wi", "1", "--sigmoid-function"]}
    ours = present(frame_at(file))
    if function == "LINEAR_EXACT":  # DCMTK 3.6.7 has no such function: the formula of PS3.3 C.11.2.1.3.2
        real = values * float(slope) + float(intercept)
        shown = np.clip((real - 300) / 1500 + 0.5, 0, 1) * 255
        theirs = 255 - shown if photometric == "MONOCHROME1" else shown
    else:
        theirs = dcmj2pnm(file, tmp_path, *options[function])
        assert theirs is not None
    assert np.abs(ours.astype(float) - theirs).max() <= 1


def test_padding_is_black_also_where_low_values_are_white(data: Path, more: Path) -> None:
    frame = frame_at(more / "images_odd/odd_mono1_signed_padding_range.dcm")
    picture = present(frame)
    assert (picture[:12] == 0).all()  # rows 1 to 12 are padding
    values = frame_values(frame)
    assert picture[13:].max() == picture[13:].flat[values.stored[13:].argmin()]  # the lowest value is the whitest


def test_the_odd_images_are_as_their_facts_say(more: Path) -> None:
    odd = more / "images_odd"
    bars = present(frame_at(odd / "odd_palette_first_100.dcm"))
    for n in range(16):
        assert (bars[:, 4 * n : 4 * n + 4] == (16 * n, 255 - 16 * n, 128)).all()
    films = [present(frame_at(odd / "odd_cine_frametimevector.dcm", n + 1)) for n in range(8)]
    assert [int(film[0, 0]) for film in films] == [10, 40, 70, 100, 130, 160, 190, 220]
    assert pixel_aspect(frame_at(odd / "odd_aspect_2_1.dcm")) == 2.0
    assert pixel_aspect(frame_at(odd / "us_pixel_aspect_4_3.dcm")) == pytest.approx(4 / 3)
    frame = frame_at(odd / "odd_shutter_rectangle.dcm")
    open_, shut = present(frame), present(frame, overlays=True)
    y, x = np.mgrid[1 : frame.rows + 1, 1 : frame.columns + 1]
    outside = (x < 10) | (x > 50) | (y < 5) | (y > 60)
    inside = (x > 10) & (x < 50) & (y > 5) & (y < 60)
    assert (shut[outside] == 0).all()
    np.testing.assert_array_equal(shut[inside], open_[inside])
    assert frame_values(frame).value_at(29, 29) == 2 * 29 + 29
    ring = frame_at(odd / "odd_overlay_bit12.dcm")
    rows, columns = np.mgrid[0 : ring.rows, 0 : ring.columns]
    np.testing.assert_array_equal(frame_values(ring).stored, 10 * (2 * columns + rows))
    covered = present(ring, overlays=True) != present(ring)
    (plane,) = display_frame(ring).overlays()
    assert plane.bits.sum() == 256
    assert not (covered & ~plane.bits).any()


def test_each_frame_has_its_own_window_and_rescale(more: Path) -> None:
    file = more / "images_odd/per_frame_windows_2x2x4.dcm"
    values = [frame_values(frame_at(file, n)) for n in (1, 2, 3, 4)]
    assert (values[0].windows[0].voi.center, values[0].windows[0].voi.width) == (16, 128)
    assert [(v.slope, v.intercept) for v in values] == [(1, 0), (1, 100), (2, 0), (2, 100)]


def test_a_file_whose_place_makes_no_sense_keeps_its_values(tmp_path: Path) -> None:
    values = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)
    file = write_grey(
        tmp_path / "odd.dcm", values, "CT", PixelSpacing=["0", "0"], RescaleSlope="2", RescaleIntercept="-100",
        WindowCenter="40", WindowWidth="400",
    )  # fmt: skip
    shown = frame_values(frame_at(file))
    assert (shown.slope, shown.intercept, shown.aspect) == (2, -100, 1)
    assert (shown.windows[0].voi.center, shown.windows[0].voi.width) == (40, 400)


@needs_dcmtk
def test_palettes_of_8_and_of_16_bits_are_the_same_picture(more: Path, tmp_path: Path) -> None:
    file = more / "images_odd/palette_8bit_lut.dcm"
    eight = present(frame_at(file))
    dataset = pydicom.dcmread(file)
    for color in ("Red", "Green", "Blue"):
        described = getattr(dataset, f"{color}PaletteColorLookupTableDescriptor")
        entries = np.frombuffer(getattr(dataset, f"{color}PaletteColorLookupTableData"), np.uint8)[
            : described[0] or 65536
        ]
        setattr(dataset, f"{color}PaletteColorLookupTableDescriptor", [described[0], described[1], 16])
        setattr(dataset, f"{color}PaletteColorLookupTableData", (entries.astype("<u2") * 257).tobytes())
    dataset.save_as(tmp_path / "sixteen.dcm")
    np.testing.assert_array_equal(present(frame_at(tmp_path / "sixteen.dcm")), eight)
    np.testing.assert_array_equal(dcmj2pnm(file, tmp_path), eight)


@needs_dcmtk
@pytest.mark.parametrize(
    "name", ["images_odd/overlays_4_embedded_and_separate.dcm", "images_odd/odd_overlay_bit12.dcm"]
)
def test_overlays_are_those_of_dcmtk(more: Path, tmp_path: Path, name: str) -> None:
    shown = display_frame(frame_at(more / name))
    options = ["+Wi", "1"] if shown.values.windows else ["+Wm"]
    voi = None if shown.values.windows else window_of_range(shown.values.range)
    for overlays, option in ((True, ["+O", "0"]), (False, ["-O"])):
        theirs = dcmj2pnm(more / name, tmp_path, *option, *options)
        assert theirs is not None
        assert np.abs(shown.picture(voi=voi, overlays=overlays).astype(int) - theirs).max() <= 1


def test_an_overlay_without_data_is_a_note(tmp_path: Path) -> None:
    def describe(dataset: Dataset) -> None:
        dataset.add_new((0x6000, 0x0010), "US", 64)
        dataset.add_new((0x6000, 0x0011), "US", 96)
        dataset.add_new((0x6000, 0x0102), "US", 0)

    file = write_image(tmp_path / "plain.dcm")
    dataset = pydicom.dcmread(file)
    describe(dataset)
    dataset.save_as(file)
    shown = display_frame(frame_at(file))
    np.testing.assert_array_equal(shown.picture(overlays=True), shown.picture())
    assert any("6000" in note and "no data" in note for note in shown.notes)


def state_for(data: Path, tmp_path: Path, **attributes: Any) -> tuple[Path, Path]:
    """A public state with other contents, and its image."""
    image, state = data / "gsps/imageForPrLUTs.dcm", pydicom.dcmread(data / "gsps/prLUTs.dcm")
    for keyword in ("ModalityLUTSequence", "SoftcopyVOILUTSequence", "PresentationLUTSequence"):
        del state[keyword]
    window = Dataset()
    window.WindowCenter, window.WindowWidth = "100", "120"
    state.SoftcopyVOILUTSequence = [window]
    state.PresentationLUTShape = "IDENTITY"
    for keyword, value in attributes.items():
        setattr(state, keyword, value)
    state.save_as(tmp_path / "state.dcm")
    return image, tmp_path / "state.dcm"


@needs_dcmtk
def test_a_state_of_three_tables_is_that_of_dcmtk_and_of_its_maker(data: Path, tmp_path: Path) -> None:
    from PIL import Image

    image, state = data / "gsps/imageForPrLUTs.dcm", data / "gsps/prLUTs.dcm"
    ours = present(frame_at(image), state=read_state(state))
    np.testing.assert_array_equal(ours, dcmp2pgm(image, state, tmp_path))
    expected = np.asarray(Image.open(data / "gsps/expected_imgForPrLUT.png").convert("L"))
    np.testing.assert_array_equal(ours, expected)


@needs_dcmtk
@pytest.mark.parametrize("flip", ["N", "Y"])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_rotation_and_flip_are_those_of_dcmtk(data: Path, tmp_path: Path, rotation: int, flip: str) -> None:
    image, state = state_for(data, tmp_path, ImageRotation=rotation, ImageHorizontalFlip=flip)
    theirs = dcmp2pgm(image, state, tmp_path)
    assert theirs is not None
    shown = display_frame(frame_at(image), state=read_state(state))
    assert np.abs(shown.picture().astype(int) - theirs).max() <= 1
    # points turn with the picture: the values under them are the same
    plain = display_frame(frame_at(image))
    points = np.array([(3.0, 10.0), (500.0, 20.0), (250.0, 400.0)])
    turned = shown.turn.points(points, plain.frame.rows, plain.frame.columns)
    for (x, y), (u, v) in zip(points.astype(int), turned.astype(int), strict=True):
        assert shown.values.stored[v, u] == plain.values.stored[y, x]


@needs_dcmtk
@pytest.mark.parametrize(
    "attributes",
    [
        {"PresentationLUTShape": "INVERSE"},
        {"RescaleSlope": "2", "RescaleIntercept": "-30", "RescaleType": "US"},
        {"RescaleSlope": "-1", "RescaleIntercept": "255", "RescaleType": "US"},
        {"SoftcopyVOILUTSequence": []},
    ],
)
def test_states_with_windows_are_those_of_dcmtk(data: Path, tmp_path: Path, attributes: dict[str, Any]) -> None:
    image, state = state_for(data, tmp_path, **attributes)
    theirs = dcmp2pgm(image, state, tmp_path)
    assert theirs is not None
    assert np.abs(present(frame_at(image), state=read_state(state)).astype(int) - theirs).max() <= 1


@needs_dcmtk
def test_a_bitmap_shutter_is_that_of_dcmtk(data: Path, tmp_path: Path) -> None:
    image, state = state_for(data, tmp_path, ShutterShape="BITMAP", ShutterPresentationValue=20000)
    dataset = pydicom.dcmread(state)
    dataset.ShutterOverlayGroup = 0x6000
    bits = np.zeros((512, 512), np.uint8)
    bits[100:200, 50:60] = 1
    for element, vr, value in (
        (0x10, "US", 512), (0x11, "US", 512), (0x40, "CS", "G"), (0x50, "SS", [1, 1]), (0x100, "US", 1),
        (0x102, "US", 0), (0x3000, "OW", np.packbits(bits, bitorder="little").tobytes()),
    ):  # fmt: skip
        dataset.add_new((0x6000, element), vr, value)
    dataset.save_as(state)
    ours = present(frame_at(image), state=read_state(state), overlays=True)
    theirs = dcmp2pgm(image, state, tmp_path)
    assert theirs is not None
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    assert (ours[100:200, 50:60] == round(20000 * 255 / 65535)).all()


def test_circle_and_polygon_shutters_by_arithmetic(data: Path, tmp_path: Path) -> None:
    image, state = state_for(
        data, tmp_path, ShutterShape=["CIRCULAR", "RECTANGULAR"], CenterOfCircularShutter=[200, 300],
        RadiusOfCircularShutter=100, ShutterLeftVerticalEdge=250, ShutterRightVerticalEdge=512,
        ShutterUpperHorizontalEdge=1, ShutterLowerHorizontalEdge=512, ShutterPresentationValue=65535,
    )  # fmt: skip
    shut = present(frame_at(image), state=read_state(state), overlays=True)
    y, x = np.mgrid[1:513, 1:513]
    seen = ((y - 200) ** 2 + (x - 300) ** 2 <= 100**2) & (x >= 250)
    assert (shut[~seen] == 255).all()
    np.testing.assert_array_equal(shut[seen], present(frame_at(image), state=read_state(state))[seen])
    square = [100, 100, 100, 200, 300, 200, 300, 100]
    _, state = state_for(
        data, tmp_path, ShutterShape="POLYGONAL", VerticesOfThePolygonalShutter=square, ShutterPresentationValue=0
    )
    covered = display_frame(frame_at(image), state=read_state(state))._shutter()
    assert covered is not None
    np.testing.assert_array_equal(~covered.covered, (y >= 100) & (y <= 300) & (x >= 100) & (x <= 200))


def test_a_state_of_another_image_is_refused(data: Path) -> None:
    other = frame_at(data / "cr_dx_mg/dx_image.dcm")
    with pytest.raises(InputError, match="does not refer to this image"):
        present(other, state=read_state(data / "gsps/prLUTs.dcm"))
    with pytest.raises(FormatError, match="presentation state"):
        read_state(data / "gsps/imageForPrLUTs.dcm")


@pytest.mark.parametrize(
    ("attributes", "note"),
    [
        ({"WindowCenter": "40", "WindowWidth": "0"}, "cannot be used"),
        ({"WindowCenter": "40", "WindowWidth": "0", "VOILUTFunction": "SIGMOID"}, "cannot be used"),
        ({"WindowCenter": "40", "WindowWidth": "-5"}, "cannot be used"),
        ({"WindowCenter": "40", "WindowWidth": "10", "VOILUTFunction": "CUBIC"}, "unknown"),
    ],
)
def test_a_window_that_cannot_be_used_is_a_note_and_the_range_is_shown(
    tmp_path: Path, attributes: dict[str, str], note: str
) -> None:
    values = np.linspace(0, 3000, 64 * 64).astype(np.uint16).reshape(64, 64)
    file = write_grey(tmp_path / "odd.dcm", values, **attributes)
    shown = frame_values(frame_at(file))
    assert any(note in line for line in shown.notes)
    if note == "cannot be used":
        picture = present(frame_at(file))
        assert (picture.min(), picture.max()) == (0, 255)


def test_hostile_files_are_refused_at_once(more: Path, tmp_path: Path) -> None:
    with pytest.raises((FormatError, TooLargeError)):
        present(frame_at(more / "images_odd/hostile_claims_46341x46341.dcm"))
    file = write_image(tmp_path / "claims.dcm", rows=64, columns=96)
    dataset = pydicom.dcmread(file)
    dataset.Rows = dataset.Columns = 65535
    dataset.save_as(file)
    with pytest.raises((FormatError, TooLargeError)):
        present(frame_at(file))
    with pytest.raises(SelectionError, match="there is no frame 2"):
        frame_at(write_image(tmp_path / "one.dcm"), 2)


def test_what_is_not_an_image_says_what_it_is(data: Path) -> None:
    with pytest.raises(FormatError, match="gpukit report"):
        frame_at(data / "sr/offis_samples/reportki.dcm")
    with pytest.raises(GpukitError, match="--presentation"):
        frame_at(data / "gsps/prLUTs.dcm")


def test_means_of_areas_are_exact() -> None:
    def matrix(count: int, edges: np.ndarray) -> np.ndarray:
        n = np.arange(count)
        low, high = edges[:-1, None], edges[1:, None]
        return np.clip(np.minimum(high, n + 1) - np.maximum(low, n), 0, None) / (high - low)

    rng = np.random.default_rng(5)
    for _ in range(200):
        rows, columns = rng.integers(1, 50, 2)
        values = rng.integers(-1000, 3000, (rows, columns)).astype(np.int16)
        shape = tuple(int(n) for n in rng.integers(1, 80, 2))
        top, bottom = sorted(rng.random(2) * rows)
        left, right = sorted(rng.random(2) * columns)
        if bottom - top < 0.3 or right - left < 0.3:
            top, left, bottom, right = 0.0, 0.0, float(rows), float(columns)
        down = matrix(rows, np.linspace(top, bottom, shape[0] + 1))
        across = matrix(columns, np.linspace(left, right, shape[1] + 1))
        expected = down @ values.astype(float) @ across.T
        # float32 keeps seven digits of sums of at most some thousand values of four digits
        np.testing.assert_allclose(area_mean(values, *shape, (top, left, bottom, right)), expected, atol=0.01)


def test_reduction_is_of_values_before_the_window(tmp_path: Path) -> None:
    """Two pixels far outside a narrow window on both sides are grey together, not black and white mixed."""
    values = np.tile(np.array([0, 2000], np.uint16), (8, 8))
    file = write_grey(tmp_path / "fine.dcm", values, WindowCenter="1000.5", WindowWidth="4001")
    picture = present(frame_at(file), size=(4, 4))
    assert (picture == 127).all() or (picture == 128).all()
    narrow = present(frame_at(file), voi=Voi(1800.0, 100.0, "LINEAR_EXACT"), size=(4, 4))
    assert (narrow == 0).all()  # the mean 1000 lies below the window


def test_frames_of_a_film_are_told_apart(tmp_path: Path) -> None:
    file = write_frames(tmp_path / "film.dcm", [0, 100, 255])
    assert [int(present(frame_at(file, n)).mean()) for n in (1, 2, 3)] == [0, 100, 255]
