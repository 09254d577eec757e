"""Left is left: one asymmetric phantom through every reader, orientation, plane and output; a mirror image fails.

The phantom's value is a known function of the place in the patient, written down by other programs. Each result is read
by another program too, and each of its pixels must hold the value of the place that this program gives it. Pictures
have no places: there the radiological convention, written down by hand, says how values must rise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
import trimesh
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from support.phantoms import ALL_48, turned_grid, world

import gpukit as gk
from gpukit.files.mesh import write_mesh
from gpukit.geometry import Grid
from gpukit.rendering.mpr.curved import straighten
from gpukit.rendering.scene.surface import surface
from gpukit.rendering.scene.transfer_function import Transfer

#: Rise of the value per mm towards the patient's left, back and head: three numbers that no flip or swap maps on
#: themselves.
RISE = np.array([12.0, 5.0, -7.0])
MIDDLE = np.array([-25.0, 16.0, 106.0])  # LPS; near the middle of the block of `render_phantoms`

#: Plane -> the patient's directions to the right and down, as radiologists hang pictures.
HANGING = {
    "axial": ([1, 0, 0], [0, 1, 0]),  # left, back
    "coronal": ([1, 0, 0], [0, 0, -1]),  # left, feet
    "sagittal": ([0, 1, 0], [0, 0, -1]),  # back, feet
}


def value(at: np.ndarray) -> np.ndarray:
    """1000 in the middle; whole numbers only where the block lies along the patient."""
    return 1000.0 + (at - MIDDLE) @ RISE


def oblique(seed: int) -> np.ndarray:
    q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(q)


#: All 48 ways along the patient, and six oblique ones of either handedness.
GRIDS = [turned_grid(direction) for direction in ALL_48] + [
    Grid.from_axes(
        (9, 11, 13), spacing=(1.5, 2, 2.5), origin=MIDDLE - oblique(seed) @ [9, 10, 10], direction=oblique(seed)
    )
    for seed in range(6)
]


# --- other people's writers -------------------------------------------------------------------------------------------


def image_head(grid: Grid, sop_class: str) -> Dataset:
    image = Dataset()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    image.SOPClassUID = sop_class
    image.StudyInstanceUID, image.SeriesInstanceUID, image.FrameOfReferenceUID = "1.2.3.1", "1.2.3.2", "1.2.3.3"
    image.Modality, image.PatientName, image.PatientID, image.SeriesNumber = "MR", "A^B", "1", 1
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.Rows, image.Columns = grid.shape[1:]
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
    return image


def decimals(values: np.ndarray) -> list[str]:
    return [f"{v:.9g}" for v in np.ravel(values)]


def as_dicom(grid: Grid, array: np.ndarray, folder: Path) -> Path:
    si, sj, _ = grid.spacing
    for k in range(grid.shape[0]):
        image = image_head(grid, pydicom.uid.MRImageStorage)
        image.SOPInstanceUID, image.InstanceNumber = f"1.2.3.4.{k + 1}", k + 1
        image.ImagePositionPatient = decimals(grid.affine[:3, 3] + k * grid.affine[:3, 2])
        image.ImageOrientationPatient = decimals(grid.direction[:, :2].T)
        image.PixelSpacing = decimals([sj, si])
        image.SliceThickness = "1"
        image.PixelData = array[k].astype("<u2").tobytes()
        image.save_as(folder / f"{k}.dcm", enforce_file_format=True)
    return folder


def as_enhanced(grid: Grid, array: np.ndarray, folder: Path) -> Path:
    def item(**values: object) -> Dataset:
        made = Dataset()
        for keyword, content in values.items():
            setattr(made, keyword, content)
        return made

    si, sj, sk = grid.spacing
    image = image_head(grid, pydicom.uid.EnhancedMRImageStorage)
    image.SOPInstanceUID, image.InstanceNumber, image.NumberOfFrames = "1.2.3.4.99", 1, grid.shape[0]
    measures = item(PixelSpacing=decimals([sj, si]), SliceThickness=f"{sk:g}")
    orientation = item(ImageOrientationPatient=decimals(grid.direction[:, :2].T))
    image.SharedFunctionalGroupsSequence = [
        item(PixelMeasuresSequence=[measures], PlaneOrientationSequence=[orientation])
    ]
    image.PerFrameFunctionalGroupsSequence = [
        item(
            PlanePositionSequence=[item(ImagePositionPatient=decimals(grid.affine[:3, 3] + k * grid.affine[:3, 2]))],
            FrameContentSequence=[item(StackID="1", InStackPositionNumber=k + 1)],
        )
        for k in range(grid.shape[0])
    ]
    image.PixelData = array.astype("<u2").tobytes()
    if len(image.PixelData) % 2:
        image.PixelData += b"\0"
    image.save_as(folder / "enhanced.dcm", enforce_file_format=True)
    return folder / "enhanced.dcm"


def as_nifti(grid: Grid, array: np.ndarray, folder: Path) -> Path:
    image = nibabel.Nifti1Image(array.T.astype(np.int16), np.diag([-1, -1, 1, 1]) @ grid.affine)
    nibabel.save(image, folder / "x.nii.gz")
    return folder / "x.nii.gz"


def by_simpleitk(name: str) -> Callable[[Grid, np.ndarray, Path], Path]:
    def write(grid: Grid, array: np.ndarray, folder: Path) -> Path:
        image = SimpleITK.GetImageFromArray(array.astype(np.int16))
        image.SetSpacing(grid.spacing)
        image.SetOrigin(grid.origin)
        image.SetDirection(grid.direction.ravel().tolist())
        SimpleITK.WriteImage(image, folder / name)
        return folder / name

    return write


WRITERS = {
    "dicom": as_dicom, "enhanced": as_enhanced, "nifti": as_nifti, "metaimage": by_simpleitk("x.mha"),
    "nrrd": by_simpleitk("x.nrrd"),
}  # fmt: skip


def written(kind: str, n: int, folder: Path) -> gk.Volume:
    """The phantom on grid n, from a file of that kind."""
    (folder / f"{kind}{n}").mkdir()
    array = np.rint(value(world(GRIDS[n])))
    return gk.open(WRITERS[kind](GRIDS[n], array, folder / f"{kind}{n}"))


# --- what a picture must look like ------------------------------------------------------------------------------------


def assert_hangs(picture: np.ndarray, plane: str, mm: tuple[float, float], gain: float, what: str) -> None:
    """The values of a picture rise to the right and down as the phantom does in the directions of its hanging.

    Parameters
    ----------
    picture : array, (rows, columns)
        NaN or 0 where there is nothing.
    mm : (float, float)
        Of a pixel across and down.
    gain : float
        Grey levels for one of the phantom's values.
    """
    for axis, (direction, size) in enumerate(zip(HANGING[plane], mm, strict=True)):
        steps = np.diff(picture.astype(float), axis=1 - axis)
        known = np.isfinite(steps) & (np.abs(steps) < 200 * gain)  # not from something to nothing
        wanted = float(np.dot(RISE, direction)) * size * gain
        # values are rounded to whole numbers, pictures to grey levels; a flip has the other sign, a swap another size
        assert np.median(steps[known]) == pytest.approx(wanted, rel=0.12, abs=0.6), (
            what,
            plane,
            "right down"[6 * axis :],
        )


@pytest.mark.parametrize("kind", list(WRITERS))
def test_every_reader_orientation_and_plane(kind: str, tmp_path: Path) -> None:
    for n in range(len(GRIDS)):
        volume = written(kind, n, tmp_path)
        assert np.abs(volume.array - value(world(volume.grid))).max() <= 0.5 + 1e-6  # written as whole numbers
        pictures = dict(zip(HANGING, gk.mpr(volume, planes=tuple(HANGING)), strict=True))
        for plane, picture in pictures.items():
            si, sj, _ = picture.grid.spacing
            shown = ~np.isnan(picture.array.astype(float))
            off = np.abs(picture.array - value(world(picture.grid)))
            inside = shown if n < 48 else deep(volume, picture)
            assert inside.any() and off[inside].max() <= 0.5 + 1e-3, (kind, n, plane)
            assert_hangs(picture.array[0], plane, (si, sj), 1.0, f"{kind} {n}")


def deep(volume: gk.Volume, picture: gk.Volume) -> np.ndarray:
    """Pixels between voxel centres, where linear interpolation of a linear function is exact."""
    index = volume.grid.to_index(world(picture.grid))
    return np.asarray(((index >= 0) & (index <= np.array(volume.grid.shape[::-1]) - 1)).all(axis=-1))


# --- every output, read by other programs -----------------------------------------------------------------------------

SOME = [*range(0, 48, 7), 48, 50, 53]


@pytest.mark.parametrize("n", SOME)
def test_every_output_of_planes(n: int, tmp_path: Path) -> None:
    volume = written("dicom", n, tmp_path)
    low, high = 600.0, 1400.0
    results = {
        "plane": gk.mpr(volume, planes=tuple(HANGING)),
        "stack": gk.mpr(volume, planes=tuple(HANGING), stack=True),
        "mean": [gk.mip(volume, plane=plane, method="mean", thickness=5) for plane in HANGING],
        "slabs": [gk.mip(volume, plane=plane, method="mean", thickness=4, spacing=3) for plane in HANGING],
    }
    for what, made in results.items():
        for plane, picture in zip(HANGING, made, strict=True):
            name = tmp_path / f"{what}_{plane}"
            inside = deep(volume, picture)
            for path in (gk.save(picture, f"{name}.nii.gz"), gk.save(picture, f"{name}.nrrd"),
                         gk.save(picture, f"{name}.mha"), gk.save(picture, name, format="dicom")):  # fmt: skip
                values, at = read(path)
                ok = np.isfinite(values) & (values > 0) & (values < 3000)
                ok &= is_deep(volume, at)
                assert ok.sum() >= 0.9 * inside.sum() > 0, (path.name, n)
                off = np.abs(values - value(at))[ok]
                # a mean over a slab that a face of the volume cuts is not that of its middle: 4 mm of 7 a mm
                assert off.max() <= (1.1 if what in ("plane", "stack") else 30), (path.name, n)
                assert np.median(off) <= (1.1 if what in ("plane", "stack") else 8), (path.name, n)
            if picture.grid.shape[0] == 1:
                gk.save(picture, f"{name}.png", window=(low, high))
                pixels = np.asarray(Image.open(f"{name}.png")).astype(float)
                si, sj, _ = picture.grid.spacing
                assert_hangs(np.where(pixels > 0, pixels, np.nan), plane, (si, sj), 255 / (high - low), f"{what} {n}")


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Values [k, j, i] and LPS mm [k, j, i, xyz] as nibabel or SimpleITK have them."""
    if path.name.endswith(".nii.gz"):
        image = nibabel.load(path)
        array = np.asarray(image.dataobj, dtype=float)
        index = np.stack(np.meshgrid(*(np.arange(s) for s in array.shape), indexing="ij"), axis=-1)
        return array, nibabel.affines.apply_affine(image.affine, index) * [-1, -1, 1]
    if path.is_dir():
        reader = SimpleITK.ImageSeriesReader()
        (uid,) = reader.GetGDCMSeriesIDs(str(path))
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path), uid))
        image = reader.Execute()
        header = pydicom.dcmread(sorted(path.iterdir())[0])
        array = SimpleITK.GetArrayFromImage(image).astype(float)
        if "PixelPaddingValue" in header:
            nothing = header.PixelPaddingValue * float(header.get("RescaleSlope", 1)) + float(
                header.get("RescaleIntercept", 0)
            )
            array[np.isclose(array, nothing)] = np.nan
    else:
        image = SimpleITK.ReadImage(path)
        array = SimpleITK.GetArrayFromImage(image).astype(float)
    k, j, i = np.meshgrid(*(np.arange(s) for s in array.shape), indexing="ij")
    matrix = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    return array, np.stack([i, j, k], axis=-1) @ matrix.T + image.GetOrigin()


def is_deep(volume: gk.Volume, at: np.ndarray) -> np.ndarray:
    index = volume.grid.to_index(at)
    return np.asarray(((index >= 0) & (index <= np.array(volume.grid.shape[::-1]) - 1)).all(axis=-1))


@pytest.mark.parametrize("mode", ["straightened", "stretched"])
def test_curved_planes(mode: str, tmp_path: Path) -> None:
    for n in SOME:
        volume = written("nifti", n, tmp_path)
        line = MIDDLE + np.array([[0, 0, 4], [0, 0, 0], [0, 0, -4.0]])  # from head to feet
        made = straighten(volume, line, frame="patient", width=8, mode=mode)
        si, sj, _ = made.grid.spacing
        assert_hangs(made.array[0], "coronal", (si, sj), 1.0, f"{mode} {n}")


def block(n: int, folder: Path, kind: str) -> tuple[gk.Volume, np.ndarray]:
    """A bright ball at the left, front and head of a cube, from a file of that kind, and the ball's place."""
    direction = ALL_48[n] if n < 48 else oblique(n)
    grid = Grid.from_axes(
        (24, 24, 24), spacing=(2, 2, 2), origin=MIDDLE - direction @ [23, 23, 23], direction=direction
    )
    ball = MIDDLE + np.array([10.0, -7.0, 12.0])
    distance = np.linalg.norm(world(grid) - ball, axis=-1)
    (folder / f"{kind}{n}").mkdir()
    array = np.clip(200 + 40 * (7 - distance), 0, 1000)
    return gk.open(WRITERS[kind](grid, np.rint(array), folder / f"{kind}{n}")), ball


@pytest.mark.parametrize("kind", list(WRITERS))
def test_volume_rendering_and_meshes(kind: str, tmp_path: Path) -> None:
    solid = Transfer("solid", ((200.0, (1, 1, 1), 0.0), (210.0, (1, 1, 1), 5.0)))
    for n in (3, 22, 41, 49, 52):
        volume, ball = block(n, tmp_path, kind)
        for azimuth, right in ((0, [1, 0, 0]), (90, [0, 1, 0]), (180, [-1, 0, 0])):  # front, left side, back
            picture = gk.render(volume, transfer=solid, azimuth=azimuth, size=(120, 120))
            gk.save(picture, tmp_path / "view.png", force=True)
            pixels = np.asarray(Image.open(tmp_path / "view.png").convert("L"))
            row, column = np.argwhere(pixels > 100).mean(axis=0)
            mm = picture.grid.spacing[0]
            seen = ((column - 59.5) * mm, -(row - 59.5) * mm)
            # half a voxel
            assert seen == pytest.approx((np.dot(ball - MIDDLE, right), 12), abs=1.0), (kind, n, azimuth)
        for suffix in (".stl", ".obj", ".ply"):
            path = write_mesh(surface(volume, 200.0), tmp_path / f"{kind}{n}{suffix}")
            body = trimesh.load(path)
            assert body.center_mass == pytest.approx(ball, abs=0.3), (kind, n, suffix)  # of 2 mm voxels
            assert body.volume > 0  # faces look outwards
