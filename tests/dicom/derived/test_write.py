"""Derived series: other programs find the same values at the same points of the same patient, and no fault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.dicom.derived.derivation import Derivation
from gpukit.dicom.derived.stored_values import to_stored
from gpukit.dicom.derived.write import derived_images, write_derived
from gpukit.errors import GeometryError, InputError, OutputError, OutputExistsError
from gpukit.geometry import Grid


def read_by_simpleitk(folder: Path) -> SimpleITK.Image:
    reader = SimpleITK.ImageSeriesReader()
    (uid,) = reader.GetGDCMSeriesIDs(str(folder))
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder), uid))
    return reader.Execute()


def assert_same_points(volume: gk.Volume, image: SimpleITK.Image, atol: float) -> None:
    """Every voxel centre of the volume is a voxel centre of the image, with the same value."""
    nk, nj, ni = volume.grid.shape
    array = SimpleITK.GetArrayFromImage(image)
    assert array.shape == (nk, nj, ni)
    rng = np.random.default_rng(0)
    points = [(0, 0, 0), (ni - 1, 0, 0), (0, nj - 1, 0), (0, 0, nk - 1), (ni - 1, nj - 1, nk - 1)]
    points += [tuple(int(rng.integers(n)) for n in (ni, nj, nk)) for _ in range(50)]
    for i, j, k in points:
        at = image.TransformPhysicalPointToContinuousIndex(volume.grid.to_world((i, j, k)).tolist())
        assert at == pytest.approx([round(v) for v in at], abs=1e-3)  # of a voxel: positions have 16 characters
        x, y, z = (round(v) for v in at)
        wanted = float(volume.array[k, j, i])
        if np.isfinite(wanted):
            assert float(array[z, y, x]) == pytest.approx(wanted, abs=atol)


CASES = [
    ("ct_chest_ibsi/dicom", {}, 0.0),
    ("pet/sts_001_cropped/PET/dicom/image", {}, None),
    ("mr_orientation/axasc35", {"phase": 0}, None),  # sampled: a fitted slope
    ("mr_enhanced/siemens_xa10", {"phase": 0}, None),
    ("mr_vendors/ge", {"series": 1}, None),
    ("ct_tilt_ge", {"fill_gaps": True}, None),  # straightened and evened
    ("ct_totalseg/dicom_j2k", {}, 0.0),  # over-anonymised: no SOP class, no instance UIDs
]


@pytest.mark.parametrize(("name", "arguments", "atol"), CASES, ids=[case[0].partition("/")[0] for case in CASES])
def test_reformatted_series_is_read_at_the_same_points(
    name: str, arguments: dict[str, object], atol: float | None, data: Path, tmp_path: Path
) -> None:
    volume = gk.open(data / name, **arguments)  # type: ignore[arg-type]
    apart = 12 * min(volume.grid.spacing)  # where voxels run along the patient every twelfth plane, else sampled ones
    (made,) = gk.mpr(volume, planes=("coronal",), spacing=apart)
    gk.save(made, tmp_path / "out", format="dicom")
    files = sorted((tmp_path / "out").iterdir())
    assert len(files) == made.grid.shape[0]
    header, source = pydicom.dcmread(files[0]), pydicom.dcmread(volume.sources[0].path)
    worst = max(float(pydicom.dcmread(f).get("RescaleSlope", 1)) for f in files) / 2
    assert_same_points(made, read_by_simpleitk(tmp_path / "out"), (worst * 1.01) if atol is None else atol)
    assert errors_of(files[0], "Image") == [] == errors_of(files[-1], "Image")
    # the same patient and study, a new series
    for keyword in ("PatientName", "PatientID", "StudyDate", "FrameOfReferenceUID", "StudyInstanceUID"):
        if source.get(keyword):
            assert header[keyword].value == source[keyword].value, keyword
    assert header.SeriesInstanceUID != source.get("SeriesInstanceUID")
    assert header.ImageType[0] == "DERIVED" and "MPR" in header.ImageType
    uids = {pydicom.dcmread(f).SOPInstanceUID for f in files}
    assert len(uids) == len(files) and not uids & {s.sop_instance_uid for s in volume.sources}
    # and our own reader comes back to where it began
    back = gk.open(tmp_path / "out")
    assert back.unit == volume.unit
    assert back.grid.reoriented("LPS")[0].same_as(made.grid.reoriented("LPS")[0], tolerance=1e-2)


def test_each_plane_names_the_images_it_was_made_of(data: Path) -> None:
    volume = gk.open(data / "ct_chest_ibsi/dicom")
    order = {source.sop_instance_uid: source.index for source in volume.sources}
    (axial,) = gk.mpr(volume, planes=("axial",), slice=17)
    (image,) = derived_images(axial)
    image = pydicom.Dataset.from_json(image.to_json())  # the sequence is decoded
    named = [order[item.ReferencedSOPInstanceUID] for item in image.SourceImageSequence]
    assert named == [17]
    (slab,) = gk.mpr(volume, planes=("axial",), slice=17, thickness=9, slab="mean")
    (image,) = derived_images(slab)
    named = [order[item.ReferencedSOPInstanceUID] for item in image.SourceImageSequence]
    assert set(named) >= {16, 17, 18} and len(named) <= 5  # 9 mm of 3 mm slices, and those that interpolation may touch
    assert float(image.SliceThickness) == 9
    (coronal,) = gk.mpr(volume, planes=("coronal",))
    (image,) = derived_images(coronal)
    assert len(image.SourceImageSequence) == 60
    assert image.DerivationCodeSequence[0].CodeValue == "113072"


def test_float_values_carry_a_slope_that_is_stated_and_nothing_is_padding(data: Path, tmp_path: Path) -> None:
    volume = gk.open(data / "ct_chest_ibsi/dicom")
    (made,) = gk.mpr(volume, normal=(0.2, 1, 0.3))
    gk.save(made, tmp_path / "one.dcm")
    image = pydicom.dcmread(tmp_path / "one.dcm")
    assert f"slope of {image.RescaleSlope}" in image.DerivationDescription
    assert image.PixelPaddingValue == -32768
    stored = image.pixel_array
    nothing = np.isnan(made.array[0])
    assert nothing.any() and np.array_equal(stored == image.PixelPaddingValue, nothing)
    values = stored * float(image.RescaleSlope) + float(image.RescaleIntercept)
    # half a step of 65534 over the range of this plane
    assert np.abs(values - made.array[0])[~nothing].max() <= np.nanmax(made.array) / 2 / 32767 + 0.03
    assert errors_of(tmp_path / "one.dcm", "Image") == []
    ours = gk.open(tmp_path / "one.dcm")
    assert ours.padding is not None and ours.unit == "HU"
    assert np.array_equal((ours.array >= ours.padding[0]) & (ours.array <= ours.padding[1]), np.isnan(made.array))


def test_pet_keeps_what_its_uptake_hangs_on(data: Path, tmp_path: Path) -> None:
    volume = gk.open(data / "pet/sts_001_raw/image", fill_gaps=True)
    gk.save(gk.mip(volume, plane="coronal"), tmp_path / "mip.dcm")
    image, source = pydicom.dcmread(tmp_path / "mip.dcm"), pydicom.dcmread(volume.sources[0].path)
    assert errors_of(tmp_path / "mip.dcm", "Image") == []
    for keyword in ("SeriesTime", "SeriesDate", "Units", "DecayCorrection", "PatientWeight"):
        assert image[keyword].value == source[keyword].value, keyword
    old, new = (d.RadiopharmaceuticalInformationSequence[0] for d in (source, image))
    for keyword in ("RadionuclideTotalDose", "RadionuclideHalfLife", "RadiopharmaceuticalStartTime"):
        assert new[keyword].value == old[keyword].value, keyword
    assert float(image.RescaleIntercept) == 0
    assert image.pixel_array.max() * float(image.RescaleSlope) == pytest.approx(273860.375, rel=1e-4)  # half a slope
    first = min(str(pydicom.dcmread(s.path, specific_tags=["AcquisitionTime"]).AcquisitionTime) for s in volume.sources)
    assert str(image.AcquisitionTime) == first


def test_colour_becomes_a_secondary_capture(data: Path, tmp_path: Path) -> None:
    chest = gk.open(data / "ct_chest_ibsi/dicom")
    picture = gk.render(chest, size=(64, 48))
    picture = replace(picture, metadata={**picture.metadata, "ImageType": ("DERIVED", "SECONDARY", "VOLUME RENDERING")})
    gk.save(replace(picture, sources=chest.sources), tmp_path / "body.dcm", format="dicom")
    image = pydicom.dcmread(tmp_path / "body.dcm")
    assert errors_of(tmp_path / "body.dcm", "Image") == []
    assert image.SOPClassUID == "1.2.840.10008.5.1.4.1.1.7"
    assert np.array_equal(image.pixel_array, picture.array[0])


# --- numbers ----------------------------------------------------------------------------------------------------------


@given(hnp.arrays(np.int16, (2, 3, 4)))
def test_whole_numbers_of_16_bits_are_stored_as_they_are(array: np.ndarray) -> None:
    stored = to_stored(array, None)
    assert (stored.slope, stored.intercept, stored.is_exact) == ("1", "0", True)
    assert np.array_equal(stored.array, array)
    whole = to_stored(np.maximum(array, -32767).astype(np.float32), None)
    assert whole.is_exact and np.array_equal(whole.array, np.maximum(array, -32767))


@settings(max_examples=200)
@given(
    hnp.arrays(np.float64, (3, 5), elements=st.floats(-1e30, 1e30, allow_subnormal=False) | st.just(float("nan"))),
    st.booleans(),
)
def test_any_values_come_back_within_half_a_slope(array: np.ndarray, through_zero: bool) -> None:
    stored = to_stored(array, None, through_zero=through_zero)
    assert max(len(stored.slope), len(stored.intercept)) <= 16
    assert not through_zero or stored.intercept == "0" or stored.is_exact
    bad = np.isnan(array)
    assert np.array_equal(stored.array == -32768, bad) or stored.padding is None
    values = stored.array.astype(float) * float(stored.slope) + float(stored.intercept)
    # half a slope, and the rounding of texts of 16 characters, in the size of the values
    slack = 0.5 * float(stored.slope) + 1e-9 * np.abs(np.nan_to_num(array)).max()
    assert (np.abs(values - array)[~bad] <= slack).all()


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_what_cannot_be_written_is_refused_and_nothing_is_left(data: Path, tmp_path: Path) -> None:
    chest = gk.open(data / "ct_chest_ibsi/dicom")
    with pytest.raises(InputError, match="not read from DICOM"):
        write_derived(replace(chest, sources=()), tmp_path / "x")
    sheared = chest.grid.affine.copy()
    sheared[:3, 1] += 0.3 * sheared[:3, 0]
    with pytest.raises(GeometryError, match="perpendicular"):
        write_derived(replace(chest, grid=Grid(chest.grid.shape, sheared)), tmp_path / "x")
    with pytest.raises(OutputError, match="folder"):
        gk.save(chest, tmp_path / "x.dcm")
    with pytest.raises(OutputError, match="does not exist"):
        write_derived(chest, tmp_path / "no" / "x")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "letter.txt").write_text("mine")
    with pytest.raises(OutputExistsError, match=r"letter\.txt"):
        write_derived(chest, tmp_path / "x", force=True)
    small = gk.mpr(chest, planes=("axial",))[0]
    write_derived(small, tmp_path / "y")
    with pytest.raises(OutputExistsError):
        write_derived(small, tmp_path / "y")
    write_derived(small, tmp_path / "y", Derivation(series_description="again"), force=True)
    assert pydicom.dcmread(tmp_path / "y" / "0001.dcm").SeriesDescription == "again"
