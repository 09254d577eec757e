"""Mosaics of Siemens and United Imaging: tiles put back where the slices were."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from support.dicom_files import ds, new_slice, rotation
from support.oracles.dcm2niix import converted, same_voxels_in_place

import gpukit as gk
from gpukit.dicom.image.mosaic import csa_values
from gpukit.errors import FormatError, GeometryError


def csa_header(tags: dict[str, list[str]]) -> bytes:
    """A version 2 CSA header with some tags, as Siemens lays it out."""
    out = b"SV10\4\3\2\1" + struct.pack("<II", len(tags), 77)
    for name, values in tags.items():
        out += struct.pack("<64si4siii", name.encode(), len(values), b"FD\0\0", 4, len(values), 77)
        for value in values:
            text = value.encode() + b"\0"
            out += struct.pack("<4i", len(text), len(text), 77, len(text)) + text + b"\0" * (-len(text) % 4)
    return out


def write_mosaic(path: Path, array: np.ndarray, affine: np.ndarray, *, reverse: bool, csa: bool = True) -> None:
    """`array` [k, j, i] on `affine` (right-handed, LPS) as one tiled image; tiles in reverse order where asked."""
    count, rows, columns = array.shape
    across = int(np.ceil(np.sqrt(count)))
    tiled = np.zeros((rows * across, columns * across), np.uint16)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    normal = affine[:3, 2] / spacing[2]
    for tile in range(count):
        k = count - 1 - tile if reverse else tile
        top, left = tile // across * rows, tile % across * columns
        tiled[top : top + rows, left : left + columns] = array[k]
    dataset = new_slice(tiled, modality="MR", series="3", number=0)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]
    dataset.Manufacturer = "SIEMENS"
    first = affine[:3, 3] + (count - 1 if reverse else 0) * affine[:3, 2]
    # The tiled image has the same centre as the slice: its corner lies further out.
    corner = first - affine[:3, 0] * (columns * across - columns) / 2 - affine[:3, 1] * (rows * across - rows) / 2
    dataset.ImagePositionPatient = ds(corner)
    dataset.ImageOrientationPatient = ds((affine[:3, :2] / spacing[:2]).T)
    dataset.PixelSpacing = ds([spacing[1], spacing[0]])
    dataset.SpacingBetweenSlices = f"{spacing[2]:.10g}"
    block = dataset.private_block(0x0019, "SIEMENS MR HEADER", create=True)
    block.add_new(0x0A, "US", count)
    if csa:
        along = -normal if reverse else normal
        tags = {"EchoLinePosition": ["32"], "SliceNormalVector": [f"{v:.8f}" for v in along]}
        dataset.private_block(0x0029, "SIEMENS CSA HEADER", create=True).add_new(0x10, "OB", csa_header(tags))
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [1, 2, 5, 9])
def test_tiles_lie_where_the_slices_were(tmp_path: Path, count: int, reverse: bool) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((20, -10, 35)) * (2.0, 2.5, 4.0)
    affine[:3, 3] = (3, -50, 12)
    array = np.arange(count * 12, dtype=np.uint16).reshape(count, 3, 4)
    write_mosaic(tmp_path / "m.dcm", array, affine, reverse=reverse)
    volume = gk.open(tmp_path, device="cpu")
    assert volume.grid.shape == array.shape
    assert np.array_equal(np.asarray(volume.array), array)
    assert np.allclose(volume.grid.affine, affine, atol=1e-6)


def test_a_mosaic_without_its_direction_is_refused_not_guessed(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint16).reshape(5, 3, 4)
    write_mosaic(tmp_path / "m.dcm", array, np.eye(4), reverse=False, csa=False)
    with pytest.raises(GeometryError, match="SliceNormalVector"):
        gk.open(tmp_path / "m.dcm", device="cpu")


def test_a_count_that_does_not_tile_is_refused(tmp_path: Path) -> None:
    from pydicom import dcmread

    path = tmp_path / "m.dcm"
    write_mosaic(path, np.zeros((5, 3, 4), np.uint16), np.eye(4), reverse=False)
    dataset = dcmread(path)
    dataset.private_block(0x0019, "SIEMENS MR HEADER")[0x0A].value = 60
    dataset.save_as(path)
    with pytest.raises(FormatError, match="do not tile"):
        gk.open(path, device="cpu")


@given(st.binary(max_size=600))
def test_a_damaged_private_header_never_fails(data: bytes) -> None:
    for start in (b"", b"SV10\4\3\2\1"):
        assert isinstance(csa_values(start + data, "SliceNormalVector"), dict)


def test_a_real_private_header_says_what_the_standard_attributes_say(data: Path) -> None:
    from pydicom import dcmread

    for path in (data / "mr_orientation/sagasc35").iterdir():
        dataset = dcmread(path, stop_before_pixels=True)
        raw = dataset.private_block(0x0029, "SIEMENS CSA HEADER")[0x10].value
        found = csa_values(raw, "NumberOfImagesInMosaic", "SliceNormalVector")
        assert int(found["NumberOfImagesInMosaic"][0]) == 35
        normal = np.array(found["SliceNormalVector"], float)
        row, column = np.array(dataset.ImageOrientationPatient, float).reshape(2, 3)
        # Here the slices follow each other against the cross product: the case that a guess would mirror.
        assert np.allclose(normal, -np.cross(row, column), atol=1e-4)


def write_grid(
    path: Path, array: np.ndarray, affine: np.ndarray, *, reverse: bool, places: bool = True, number: int = 0, **more
) -> None:
    """`array` [k, j, i] on `affine` as a UIH grid: row by row, with no more rows of tiles than needed."""
    count, rows, columns = array.shape
    across = int(np.ceil(np.sqrt(count)))
    tiled = np.zeros((rows * int(np.ceil(count / across)), columns * across), np.uint16)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    order = range(count - 1, -1, -1) if reverse else range(count)
    corners = [affine[:3, 3] + k * affine[:3, 2] for k in order]
    for tile, k in enumerate(order):
        top, left = tile // across * rows, tile % across * columns
        tiled[top : top + rows, left : left + columns] = array[k]
    dataset = new_slice(tiled, modality="MR", series="3", number=number)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "M", "VFRAME"]
    dataset.Manufacturer = "UIH"
    dataset.ImagePositionPatient = ds(corners[0])
    dataset.ImageOrientationPatient = ds((affine[:3, :2] / spacing[:2]).T)
    dataset.PixelSpacing = ds([spacing[1], spacing[0]])
    dataset.SliceThickness = f"{spacing[2]:.10g}"
    for keyword, value in more.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0065, "Image Private Header", create=True)
    block.add_new(0x50, "DS", str(count))
    if places:
        items = []
        for corner in corners:
            item = Dataset()
            item.ImagePositionPatient = ds(corner)
            items.append(item)
        block.add_new(0x51, "SQ", items)
    dataset.save_as(path, enforce_file_format=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [2, 3, 5, 7, 12])
def test_tiles_of_a_uih_grid_lie_where_dcm2niix_puts_them(tmp_path: Path, count: int, reverse: bool) -> None:
    affine = np.eye(4)
    affine[:3, :3] = rotation((20, -10, 35)) * (2.0, 2.5, 4.0)
    affine[:3, 3] = (3, -50, 12)
    array = np.arange(count * 12, dtype=np.uint16).reshape(count, 3, 4)
    write_grid(tmp_path / "m.dcm", array, affine, reverse=reverse)
    volume = gk.open(tmp_path / "m.dcm", device="cpu")
    assert np.array_equal(np.asarray(volume.array), array)
    assert np.allclose(volume.grid.affine, affine, atol=1e-6)
    same_voxels_in_place(volume, converted(tmp_path / "m.dcm", tmp_path))


def test_uih_grids_are_the_volumes_of_a_series(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint16).reshape(5, 3, 4)
    for t in range(3):
        write_grid(
            tmp_path / f"{t}.dcm", array + 100 * t, np.eye(4), reverse=False, number=t, AcquisitionTime=f"1000{t:02d}"
        )
    volume = gk.open(tmp_path, device="cpu")
    assert volume.axes == "tkji" and volume.shape == (3, 5, 3, 4)
    assert np.array_equal(np.asarray(volume.array)[2], array + 200)


def test_a_uih_grid_without_places_is_never_mirrored_by_a_guess(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.uint16).reshape(5, 3, 4)
    write_grid(tmp_path / "m.dcm", array, np.eye(4), reverse=False, places=False)
    with pytest.raises(GeometryError, match="direction its slices follow"):
        gk.open(tmp_path / "m.dcm", device="cpu")


@pytest.mark.parametrize("tiles", ["7", "0", "-3", "1000000"])
def test_a_uih_grid_that_does_not_fit_is_refused(tmp_path: Path, tiles: str) -> None:
    array = np.arange(60, dtype=np.uint16).reshape(5, 3, 4)
    write_grid(tmp_path / "m.dcm", array, np.eye(4), reverse=False)
    dataset = dcmread(tmp_path / "m.dcm")
    dataset[0x0065, 0x1050].value = tiles
    dataset.save_as(tmp_path / "m.dcm")
    with pytest.raises((FormatError, GeometryError), match="do not tile"):
        gk.open(tmp_path / "m.dcm", device="cpu")
