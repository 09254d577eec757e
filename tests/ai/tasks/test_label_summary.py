"""Numbers and the picture of a segmentation, and the series that the demo starts from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.oracles.dciodvfy import errors_of

import gpukit
from gpukit.ai.results.montage import montage, write_montage
from gpukit.ai.tasks.label_summary import keep_labels, summary
from gpukit.dicom.derived.mr_series import write_mr_series
from gpukit.errors import GeometryError, InputError, OutputExistsError, SelectionError
from gpukit.geometry import Grid
from gpukit.segmentation import Label, Segmentation
from gpukit.transfers import count_transfers
from gpukit.volume import Volume

CODE = ("85756007", "SCT", "Body tissue structure")
LABELS = (
    Label(1, "White matter", CODE, CODE, (255, 0, 0)),
    Label(2, "Grey matter", CODE, CODE, (0, 255, 0)),
    Label(3, "Lesion", CODE, CODE, (0, 0, 255)),
)


def pair(grid: Grid) -> tuple[Volume, Segmentation]:
    rng = np.random.default_rng(3)
    volume = Volume(array=rng.normal(50, 20, grid.shape).astype(np.float32), grid=grid, unit="HU", padding=(-900, -800))
    volume.array[0, 0, :3] = (-850, np.nan, -900)
    labels = rng.choice(np.array([0, 1, 2], np.uint8), grid.shape)
    labels[0, 0, :3] = 1
    return volume, Segmentation(array=labels, grid=grid, labels=LABELS, notes=("tilt removed",))


def sheared() -> Grid:
    affine = Grid.from_axes((5, 6, 7), spacing=(0.5, 0.75, 4.0)).affine.copy()
    affine[1, 2] = 1.3  # a gantry tilt: the volume of a voxel stays 0.5 * 0.75 * 4 mm³
    return Grid((5, 6, 7), affine)


def test_voxels_millilitres_and_means() -> None:
    volume, segmentation = pair(sheared())
    found = {entry["name"]: entry for entry in summary(segmentation, volume)["labels"]}
    good = np.isfinite(volume.array) & ((volume.array < -900) | (volume.array > -800))
    for label in LABELS[:2]:
        inside = segmentation.array == label.value
        entry = found[label.name]
        assert entry["voxels"] == inside.sum()
        assert entry["volume_ml"] == pytest.approx(inside.sum() * 0.5 * 0.75 * 4 / 1000, rel=1e-12)
        # float64 sums in another order: a part in 1e12 is generous
        assert entry["mean"] == pytest.approx(volume.array[inside & good].astype(float).mean(), rel=1e-12)
        assert entry["unit"] == "HU"
    assert (found["Lesion"]["voxels"], found["Lesion"]["volume_ml"], found["Lesion"]["mean"]) == (0, 0, None)


def test_the_same_on_torch() -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    volume, segmentation = pair(sheared())
    other = summary(segmentation.to("torch-cpu"), volume.to("torch-cpu"))
    assert other.pop("device") == "torch-cpu"
    expected = summary(segmentation, volume)
    expected.pop("device")
    for ours, theirs in zip(other["labels"], expected["labels"], strict=True):
        mean, wanted = ours.pop("mean"), theirs.pop("mean")
        assert (mean is None) == (wanted is None)
        assert mean is None or mean == pytest.approx(wanted, rel=1e-12)  # float64 sums in another order
    assert other == expected


def test_only_counts_leave_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="torch is not installed")
    from gpukit_backends.mps.backend import TorchBackend

    # as on a GPU: NumPy and torch on the CPU share memory, and nothing would be counted
    monkeypatch.setattr(TorchBackend, "share", lambda self, array, device: None)
    volume, segmentation = pair(sheared())
    volume.array[1, 1, 1:3] = (np.inf, -np.inf)  # not finite, so that they count for no mean
    for dtype in (np.uint8, np.uint16):
        labels = replace(segmentation, array=segmentation.array.astype(dtype))
        there, image = labels.to("torch-cpu"), volume.to("torch-cpu")
        with count_transfers() as seen:
            found = summary(there, image)
        assert 0 < sum(transfer.nbytes for transfer in seen) <= 8 * (LABELS[-1].value + 1)  # one number a value
        assert found["labels"][0]["voxels"] == (segmentation.array == LABELS[0].value).sum()
        good = np.isfinite(volume.array) & (segmentation.array == 1) & ~(np.abs(volume.array + 850) <= 50)
        assert found["labels"][0]["mean"] == pytest.approx(volume.array[good].astype(float).mean(), rel=1e-12)


def test_another_grid_is_refused() -> None:
    volume, segmentation = pair(sheared())
    other = Volume(array=volume.array, grid=Grid.from_axes(volume.grid.shape))
    with pytest.raises(GeometryError):
        summary(segmentation, other)
    with pytest.raises(GeometryError):
        montage(other, segmentation)


def test_keep_labels_by_name_and_value() -> None:
    _, segmentation = pair(sheared())
    kept = keep_labels(segmentation, ["GREY matter", " 3"])
    assert [label.value for label in kept.labels] == [2, 3]
    np.testing.assert_array_equal(kept.array, np.where(segmentation.array == 2, 2, 0))
    with pytest.raises(SelectionError, match=r"no label 'bone'.*1 White matter"):
        keep_labels(segmentation, ["bone"])


# A voxel grid of any orientation must give the same picture: the patient's left on the right, and so on.
@pytest.mark.parametrize("codes", ["LPS", "RAS", "PIR", "SLA", "IAR"])
def test_the_picture_shows_the_patient_as_radiologists_expect(codes: str) -> None:
    grid = Grid.from_axes((40, 50, 60), spacing=(1, 1, 1.5))
    labels = np.zeros(grid.shape, np.uint8)
    labels[30:38, 5:10, 45:55] = 1  # left, front, head
    labels[2:9, 40:46, 6:12] = 2  # right, back, feet
    labels[18:22, 20:30, 25:35] = 3
    volume = Volume(array=np.full(grid.shape, 10, np.int16), grid=grid)
    target, axes, flips = grid.reoriented(codes)
    turned = labels.transpose(axes)[tuple(slice(None, None, -1 if f else None) for f in flips)]
    other = Segmentation(array=np.ascontiguousarray(turned), grid=target, labels=LABELS)
    anatomy = Volume(array=np.full(target.shape, 10, np.int16), grid=target)
    columns, tile = 12, 120
    picture = np.asarray(montage(anatomy, other, columns=columns, tile=tile))
    same = np.asarray(montage(volume, Segmentation(array=labels, grid=grid, labels=LABELS), columns=columns, tile=tile))
    np.testing.assert_array_equal(picture, same)

    # sizes in pixels of a slice: 2 pixels a mm (the longest side is 60 mm)
    wide, deep, high = 120, 100, 120
    assert picture.shape[1] == columns * (wide + 6) + 6
    rows = {"axial": (6, deep, wide), "coronal": (12 + deep, high, wide), "sagittal": (18 + deep + high, high, deep)}
    corners = {"axial": ("right", "top"), "coronal": ("right", "top"), "sagittal": ("left", "top")}
    for view, (top, height, width) in rows.items():
        # centres of gravity of red (left front head) and green, folded into one slice
        strip = picture[top : top + height].astype(int)
        start = (picture.shape[1] - columns * (width + 6) + 6) // 2
        tiles = [strip[:, start + n * (width + 6) : start + n * (width + 6) + width] for n in range(columns)]
        red, green = centre(tiles, 0), centre(tiles, 1)
        horizontal, vertical = corners[view]
        assert (red[1] > green[1]) == (horizontal == "right"), view
        assert (red[0] < green[0]) == (vertical == "top"), view


def centre(tiles: list[np.ndarray], channel: int) -> tuple[float, float]:
    """Row and column of the centre of the pixels in which one channel is far above the others."""
    others = [c for c in range(3) if c != channel]
    found = [np.argwhere((t[..., channel] - t[..., others].max(-1)) > 80) for t in tiles]
    points = np.concatenate(found)
    assert len(points) > 20
    return float(points[:, 0].mean()), float(points[:, 1].mean())


def test_an_empty_segmentation_still_has_a_picture(tmp_path: Path) -> None:
    grid = Grid.from_axes((3, 4, 5))
    volume = Volume(array=np.full(grid.shape, np.nan, np.float32), grid=grid)
    empty = Segmentation(array=np.zeros(grid.shape, np.uint8), grid=grid, labels=LABELS)
    write_montage(volume, empty, tmp_path / "a.png")
    with pytest.raises(OutputExistsError):
        write_montage(volume, empty, tmp_path / "a.png")


@pytest.fixture
def oblique() -> Volume:
    direction = np.array([(0.8, -0.36, 0.48), (0.6, 0.48, -0.64), (0, 0.8, 0.6)])
    grid = Grid.from_axes((4, 6, 8), spacing=(0.7421875, 1.1, 3.3), direction=direction, origin=(-31.23456789, 2, 3))
    return Volume(array=np.random.default_rng(0).integers(0, 65536, grid.shape).astype(np.uint16), grid=grid)


def test_written_series_is_valid_and_reads_back_exactly(oblique: Volume, tmp_path: Path) -> None:
    files = write_mr_series(
        oblique, tmp_path / "t1", patient_name="A^B", patient_id="1", description="d", body_part="BRAIN"
    )
    back = gpukit.open(tmp_path / "t1", device="cpu")
    np.testing.assert_array_equal(back.array, oblique.array)
    # 16 characters hold 14 digits or more: 1e-9 mm is generous
    np.testing.assert_allclose(back.grid.affine, oblique.grid.affine, atol=1e-9)
    for file in files:
        assert errors_of(file, "MRImage") == []


def test_a_folder_of_the_users_is_never_replaced(oblique: Volume, tmp_path: Path) -> None:
    facts = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "BRAIN"}
    folder = tmp_path / "t1"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for force in (False, True):
        with pytest.raises(OutputExistsError):
            write_mr_series(oblique, folder, force=force, **facts)
    assert [path.name for path in tmp_path.rglob("*")] == ["t1", "thesis.txt"]
    (folder / "thesis.txt").unlink()
    write_mr_series(oblique, folder, force=True, **facts)
    first = pydicom.dcmread(folder / "0001.dcm").SOPInstanceUID
    write_mr_series(oblique, folder, force=True, **facts)
    assert pydicom.dcmread(folder / "0001.dcm").SOPInstanceUID != first and len(list(folder.iterdir())) == 4


def test_values_that_do_not_fit_are_refused(oblique: Volume, tmp_path: Path) -> None:
    wrong = oblique.with_array(oblique.array.astype(np.float32))
    with pytest.raises(InputError, match="whole numbers"):
        write_mr_series(wrong, tmp_path / "x", patient_name="A", patient_id="1", description="d", body_part="BRAIN")
    assert list(tmp_path.iterdir()) == []
