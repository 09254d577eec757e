"""RT Structure Sets as written: valid, every voxel of every label and no other inside its outlines."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.dicom_files import write_series
from support.oracles.dciodvfy import errors_of

import gpukit
from gpukit.dicom.segmentation.outlines import outlines
from gpukit.dicom.segmentation.rtstruct_read import read_rtstruct
from gpukit.errors import InputError
from gpukit.geometry import Grid
from gpukit.segmentation import ANATOMY, Label, Segmentation, one_map
from gpukit.volume import Volume

WHOLE = Label(value=1, name="Whole", category=ANATOMY, type=("10200004", "SCT", "Liver"), color=(10, 200, 30))
CORE = Label(value=2, name="Core", category=ANATOMY, type=("4147007", "SCT", "Mass"))
NEVER = Label(value=3, name="Never there", category=ANATOMY, type=("64033007", "SCT", "Kidney"))


def inside(rings: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixel centres within polygons by matplotlib, combined by the even-odd rule."""
    path = pytest.importorskip("matplotlib.path", reason="matplotlib is the other program that fills polygons")
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    points = np.column_stack((columns.ravel(), rows.ravel()))
    found = np.zeros(points.shape[0], bool)
    for ring in rings:
        found ^= path.Path(np.vstack((ring, ring[:1]))).contains_points(points)
    return found.reshape(shape)


def test_outlines_hold_exactly_the_voxels() -> None:
    """Against matplotlib; how many there are against SciPy's components."""
    from scipy import ndimage

    draw = np.random.default_rng(3)
    for _ in range(300):
        mask = draw.random((draw.integers(1, 9), draw.integers(1, 9))) < draw.random()
        rings = outlines(mask)
        assert (inside(rings, mask.shape) == mask).all()
        assert len(rings) == ndimage.label(mask)[1]


def test_a_hole_with_an_island_in_it() -> None:
    mask = np.ones((9, 9), bool)
    mask[2:7, 2:7] = False
    mask[4, 4] = True
    mask[7, 1] = False  # a second hole, whose channel ends at the outer face
    rings = outlines(mask)
    assert len(rings) == 2
    assert (inside(rings, mask.shape) == mask).all()


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    """Oblique, of pixels that are not square."""
    turn = np.array([[0.8, -0.6, 0, 11], [0.6, 0.8, 0, -7], [0, 0, 1, 3], [0, 0, 0, 1.0]])
    affine = turn @ np.diag([0.7, 1.3, 2.5, 1.0])
    write_series(tmp_path / "ct", np.zeros((5, 12, 14), np.int16), affine)
    return gpukit.open(tmp_path / "ct", device="cpu")


def overlapping(volume: Volume) -> tuple[Segmentation, np.ndarray, np.ndarray]:
    whole, core = np.zeros(volume.grid.shape, bool), np.zeros(volume.grid.shape, bool)
    whole[1:4, 2:10, 3:12] = True
    whole[2, 5:7, 6:8] = False  # a hole
    core[2:4, 3:6, 4:9] = True
    core[3, 8, 11] = True  # and a voxel apart
    array, planes = one_map([whole, core, np.zeros_like(core)], [1, 2, 3], np.zeros(whole.shape, np.uint8))
    made = Segmentation(
        array=array, grid=volume.grid, labels=(WHOLE, CORE, NEVER), planes=planes, sources=volume.sources,
        metadata=volume.metadata, algorithm={"name": "test model", "version": "1", "digest": "ab" * 32},
    )  # fmt: skip
    return made, whole, core


def test_overlapping_labels_are_each_whole(volume: Volume, tmp_path: Path) -> None:
    segmentation, whole, core = overlapping(volume)
    gpukit.save(segmentation, tmp_path / "rt.dcm", format="dicom-rtstruct")
    written = pydicom.dcmread(tmp_path / "rt.dcm")
    assert [roi.ROIName for roi in written.StructureSetROISequence] == ["Whole", "Core", "Never there"]
    assert list(written.ROIContourSequence[0].ROIDisplayColor) == [10, 200, 30]
    assert "ContourSequence" not in written.ROIContourSequence[2]
    for number, mask in ((0, whole), (1, core)):
        found = np.zeros_like(mask)
        rings: dict[int, list[np.ndarray]] = {}
        for contour in written.ROIContourSequence[number].ContourSequence:
            points = volume.grid.to_index(np.array(contour.ContourData, float).reshape(-1, 3))
            assert contour.NumberOfContourPoints == len(points)
            k = int(np.rint(points[0, 2]))
            assert np.abs(points[:, 2] - k).max() < 1e-3
            (image,) = contour.ContourImageSequence
            source = next(s for s in volume.sources if s.sop_instance_uid == image.ReferencedSOPInstanceUID)
            assert source.index == k
            rings.setdefault(k, []).append(points[:, :2])
        for k, some in rings.items():
            found[k] = inside(some, mask.shape[1:])
        assert (found == mask).all()


def test_what_is_written_is_read_back(volume: Volume, tmp_path: Path) -> None:
    segmentation, whole, core = overlapping(volume)
    gpukit.save(segmentation, tmp_path / "rt.dcm", format="dicom-rtstruct")
    for number, mask in ((1, whole), (2, core)):
        found = read_rtstruct(tmp_path / "rt.dcm", volume, regions=[number])
        assert ((np.asarray(found.array) != 0) == mask).all()


def test_the_object_is_valid(volume: Volume, tmp_path: Path) -> None:
    gpukit.save(overlapping(volume)[0], tmp_path / "rt.dcm", format="dicom-rtstruct")
    assert errors_of(tmp_path / "rt.dcm", "RTStructureSet") == []


def test_what_has_no_place_is_refused(tmp_path: Path) -> None:
    array = np.ones((1, 2, 2), np.uint8)
    plain = Segmentation(array=array, grid=Grid((1, 2, 2), np.eye(4)), labels=(WHOLE,))
    with pytest.raises(InputError, match="must reference"):
        gpukit.save(plain, tmp_path / "rt.dcm", format="dicom-rtstruct")
    assert not list(tmp_path.iterdir())
