"""What is drawn with a volume: clipping, masks, a second volume, and devices that are too small for it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.phantoms import ALL_48

import gpukit as gk
import gpukit.rendering.scene.transfer_function as transfer_function
from gpukit.device import move
from gpukit.errors import FormatError, GeometryError, InputError, SelectionError, TooLargeError
from gpukit.geometry import Grid
from gpukit.rendering.scene.clipping import clip_box, clip_plane
from gpukit.rendering.scene.out_of_core import cast
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer, names_of_transfers, read_transfer
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

SOLID = Transfer("solid", ((0.5, (1, 1, 1), 0.0), (1.0, (1, 1, 1), 9.0)))
GREY = Transfer("grey", ((0.0, (1, 1, 1), 0.0), (1.0, (1, 1, 1), 0.03)))


def block(direction: np.ndarray | None = None) -> Volume:
    """A cube of 40 mm that fills its volume, voxels of 2 x 2 x 2 mm, its centre at the patient's origin."""
    affine = np.eye(4)
    affine[:3, :3] = (np.eye(3) if direction is None else direction) * 2.0
    affine[:3, 3] = -affine[:3, :3] @ [9.5, 9.5, 9.5]
    return Volume(array=np.ones((20, 20, 20), np.uint8), grid=Grid((20, 20, 20), affine))


def drawn(volume: Volume, **arguments: object) -> np.ndarray:
    return gk.render(volume, transfer=SOLID, size=(84, 84), **arguments).array[0, ..., 0] > 127  # type: ignore[arg-type]


@pytest.mark.parametrize("direction", ALL_48[::7])
def test_clipping_in_the_patient_is_the_same_whatever_the_acquisition(direction: np.ndarray) -> None:
    """Of the head's and the left half a quarter stays: top and right of a picture from the front, in area too."""
    volume = block(direction)
    planes = [clip_plane(volume.grid, (0, 0, 0), n, frame="patient") for n in ((0, 0, 1), (1, 0, 0))]
    seen = drawn(volume, clip=np.concatenate(planes))
    pixel = 40 * 1.02 / 84
    assert seen.sum() * pixel**2 == pytest.approx(400, rel=0.06)  # whole pixels of 0.5 mm along sides of 20 mm
    assert seen[10:40, 44:74].all() and not seen[44:].any() and not seen[:, :40].any()
    box = clip_box(volume.grid, (20, 25, 20), (0, -25, 0), frame="patient")
    assert np.array_equal(drawn(volume, clip=box), seen)


def test_a_clipping_box_of_voxels_keeps_whole_voxels() -> None:
    volume = block()
    seen = drawn(volume, clip=clip_box(volume.grid, (3, 0, 15), (7, 19, 18)))  # 5 x 4 voxels: 10 x 8 mm
    rows, columns = np.nonzero(seen)
    pixel = 40 * 1.02 / 84
    assert (columns.max() - columns.min() + 1) * pixel == pytest.approx(10, abs=pixel)
    assert (rows.max() - rows.min() + 1) * pixel == pytest.approx(8, abs=pixel)


def test_clipping_that_leaves_nothing_is_an_error() -> None:
    grid = block().grid
    for wrong in (
        lambda: clip_box(grid, (30, 0, 0), (40, 9, 9)),
        lambda: clip_plane(grid, (0, 0, 90), (0, 0, 1), frame="patient"),
    ):
        with pytest.raises(GeometryError, match="leaves nothing"):
            wrong()
    with pytest.raises(InputError, match="normal"):
        clip_plane(grid, (0, 0, 0), (0, 0, 0))
    with pytest.raises(InputError, match="frame"):
        clip_box(grid, (0, 0, 0), (1, 1, 1), frame="world")


def labelled(volume: Volume) -> Segmentation:
    """Label 300 in the patient's left front, label 7 behind it."""
    array = np.zeros(volume.grid.shape, np.uint16)
    array[5:15, 2:6, 12:18] = 300  # [z, y, x]: y from the front
    array[5:15, 12:16, 2:8] = 7
    code = ("1", "99X", "x")
    labels = (Label(300, "near", code, code, (0, 255, 0)), Label(7, "far", code, code, (0, 0, 255)))
    return Segmentation(array=array, grid=volume.grid, labels=labels)


def test_labels_are_drawn_in_their_colours_where_they_lie() -> None:
    volume = block()
    mask = labelled(volume)
    alone = gk.render(volume, transfer=GREY, mask=mask, mask_mode="alone", label_opacity=5.0, size=(80, 80)).array[0]
    green = (alone[..., 1] > 100) & (alone[..., 0] < 30)
    blue = (alone[..., 2] > 100) & (alone[..., 0] < 30)
    # the left on the viewer's right; borders are blended over a voxel, which is 4 pixels
    assert np.nonzero(green)[1].min() >= 45 and np.nonzero(blue)[1].max() <= 35
    other = gk.render(
        volume, transfer=GREY, mask=mask, mask_mode="alone", label_opacity=5.0, size=(80, 80),
        label_colors={7: (1, 0, 0)},
    ).array[0]  # fmt: skip
    assert np.array_equal((other[..., 0] > 100), blue)
    over = gk.render(volume, transfer=GREY, mask=mask, size=(80, 80)).array[0].astype(int)
    assert over[40, 60, 1] > over[40, 60, 0] + 50  # green shows through the grey
    assert over[5, 5, 0] > 100  # the body is still there
    inside = gk.render(volume, transfer=GREY, mask=mask, mask_mode="inside", size=(80, 80)).array[0]
    assert inside[40, 60, 0] > 30 and np.ptp(inside[40, 60].astype(int)) == 0 and not inside[5, 5].any()


def test_what_cannot_be_masked_is_named() -> None:
    volume = block()
    mask = labelled(volume)
    for change, kind, word in (
        ({"mask": replace(mask, grid=replace(mask.grid, affine=np.eye(4)))}, GeometryError, "another grid"),
        ({"mask": replace(mask, labels=())}, SelectionError, "0 labels"),
        ({"mask": mask, "label_colors": {9: (1, 0, 0)}}, SelectionError, "no label 9"),
        ({"mask": mask, "mask_mode": "over"}, InputError, "mask mode"),
        ({"mask": mask, "label_opacity": 0.0}, InputError, "opacity"),
    ):
        with pytest.raises(kind, match=word):
            gk.render(volume, transfer=GREY, **change)  # type: ignore[arg-type]


def test_a_pet_is_drawn_where_it_lies_in_the_ct() -> None:
    """A hot spot on a coarse, turned grid of its own, at the patient's left, above the middle."""
    ct = block()
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0, -4.0, 0], [4.0, 0, 0], [0, 0, -5.0]])
    affine[:3, 3] = [40, -40, 40]
    grid = Grid((16, 20, 20), affine)
    k, j, i = np.indices(grid.shape)
    place = grid.to_world(np.stack([i, j, k], -1).reshape(-1, 3)).reshape(*grid.shape, 3)
    spot = np.exp(-((place - [10, 0, 10]) ** 2).sum(-1) / 40)
    pet = Volume(array=(spot * 9000).astype(np.float32), grid=grid)
    picture = gk.render(ct, transfer=GREY, overlay=pet, size=(102, 102)).array[0].astype(int)
    hot = picture[..., 0] - picture[..., 2] > 40
    row, column = np.argwhere(hot).mean(axis=0)
    assert (column, row) == pytest.approx((50.5 + 25, 50.5 - 25), abs=1.5)  # 2.5 pixels a mm
    far = replace(pet, grid=Grid(grid.shape, affine + np.array([[0, 0, 0, 900]] + [[0] * 4] * 3)))
    with pytest.raises(GeometryError, match="does not meet"):
        gk.render(ct, transfer=GREY, overlay=far)
    here, there = (replace(v, metadata={"FrameOfReferenceUID": uid}) for v, uid in ((ct, "1.2"), (pet, "1.3")))
    with pytest.raises(GeometryError, match="frame of reference"):
        gk.render(here, transfer=GREY, overlay=there)


@pytest.mark.parametrize("perspective", [0.0, 60.0])
@pytest.mark.parametrize("azimuth", [20.0, 200.0])
def test_a_device_with_little_memory_draws_the_same_in_slabs(azimuth: float, perspective: float) -> None:
    """Every ray meets the slabs in order, and what is cut is drawn once."""
    pytest.importorskip("torch", reason="the second device is torch's")
    from gpukit.ops.raycast import Labels
    from gpukit.rendering.scene.camera import camera_view, ray_grid

    rng = np.random.default_rng(3)
    data = rng.integers(0, 200, (23, 15, 14)).astype(np.int16)
    grid = Grid.from_axes(data.shape, spacing=(1, 1, 1.5))
    view = camera_view(azimuth, 55.0)
    rays = ray_grid(grid, view, (40, 12, 12), 2.0, 1.1)
    eye = grid.to_index(rays.to_world((5.5, 5.5, 0)) - 30 * view.away) if perspective else None
    labels = np.zeros(data.shape, np.uint8)
    labels[8:15, 3:9, 2:9] = 1
    scene = {
        "affine": grid.affine, "colors": rng.random((9, 3)), "opacities": np.linspace(0, 0.1, 9), "window": (40, 200),
        "shading": (0.3, 0.6, 0.1, 8), "eye": eye, "labels": Labels(labels, [[0, 0, 0, 0, 1], [1, 0, 0, 0.1, 0.5]]),
        "planes": [[0.0, 0.0, 1.0, -3.3]], "opaque": 1.0,
    }  # fmt: skip
    matrix = grid.matrix_from(rays)
    whole = cast(data, matrix, rays.shape, "cpu", None, **scene)
    one = data[0].size * 27  # bytes of a slice on torch
    parts = cast(data, matrix, rays.shape, "torch-cpu", one * 9, **scene)
    assert whole[..., 3].max() > 0.3
    np.testing.assert_allclose(move(parts, "cpu"), whole, atol=1e-4)  # what float32 kernels may differ by
    with pytest.raises(TooLargeError, match="no room"):
        cast(data, matrix, rays.shape, "torch-cpu", one * 3, **scene)


def test_shipped_transfer_functions_fit_the_schema_that_comes_with_them() -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="the schema is checked by an independent validator")
    folder = Path(transfer_function.__file__).parent
    schema = json.loads((folder / "transfer.schema.json").read_text())
    checker = jsonschema.Draft202012Validator(schema)
    for name in names_of_transfers():
        assert not list(checker.iter_errors(json.loads((folder / "transfers" / f"{name}.json").read_text()))), name
        find_transfer(name)
    wanted = {"ct-bone", "ct-soft-tissue", "ct-lung", "ct-angio", "ct-cardiac", "mr-default", "pet-hot", "pet-fusion"}
    assert wanted <= set(names_of_transfers())
    point = {"value": 0, "color": [0, 0, 0], "opacity": 0}
    for wrong in (
        {},
        {"points": [point]},
        {"points": [point, point | {"opacity": -1}]},
        {"points": [point, {}], "x": 1},
    ):
        assert not checker.is_valid(wrong)


def test_gradient_opacity_of_a_file(tmp_path: Path) -> None:
    points = [{"value": 0, "color": [1, 1, 1], "opacity": 0.1}, {"value": 100, "color": [1, 1, 1], "opacity": 0.1}]
    file = tmp_path / "t.json"

    def read(gradients: object) -> Transfer:
        file.write_text(json.dumps({"points": points, "gradient_opacity": gradients}))
        return read_transfer(file)

    hollow = read([{"gradient": 0, "factor": 0}, {"gradient": 5, "factor": 1}])
    array = np.zeros((24, 24, 24), np.int16)
    array[6:18, 6:18, 6:18] = 100  # a cube whose inside is flat
    volume = Volume(array=array, grid=Grid.from_axes(array.shape))
    cut = clip_box(volume.grid, (9, 9, 9), (14, 14, 14))  # its inside alone
    assert not gk.render(volume, transfer=hollow, clip=cut, size=(24, 24)).array.any()
    assert gk.render(volume, transfer=hollow, size=(24, 24)).array.any()
    for wrong, word in (
        ([{"gradient": 0, "factor": 0}], "two points"),
        ([{"gradient": 3, "factor": 0}, {"gradient": 1, "factor": 1}], "rise"),
        ([{"gradient": 3, "factor": -1}, {"gradient": 4, "factor": 1}], "factor"),
        ([{"gradient": 3}, {"gradient": 4, "factor": 1}], "nothing else"),
    ):
        with pytest.raises(FormatError, match=word):
            read(wrong)


def test_the_command_draws_masks_clips_and_overlays(tmp_path: Path) -> None:
    """One real process with most options, and the usage errors of options that would do nothing."""
    volume = block()
    mask = labelled(volume)
    gk.save(volume, tmp_path / "ct.nii.gz")
    gk.save(replace(volume, array=mask.array), tmp_path / "mask.nii.gz")
    gk.save(replace(volume, array=(mask.array == 7).astype(np.float32)), tmp_path / "pet.nii.gz")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        line = [
            sys.executable,
            "-m",
            "gpukit_cli",
            "3d",
            "volume",
            "ct.nii.gz",
            "-o",
            "out.png",
            "--size",
            "40",
            *words,
        ]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    done = run(
        "--mask", "mask.nii.gz", "--labels", "300", "--label-color", "300=#00ff00", "--mask-mode", "alone",
        "--overlay", "pet.nii.gz", "--clip-box", "0,0,0,19,19,11", "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["path"] == "out.png" and (tmp_path / "out.png").is_file()
    for words, told in (
        (("--mask-mode", "alone"), "need --mask"),
        (("--overlay-preset", "pet-hot"), "need --overlay"),
        (("--frame", "world"), "not a frame"),
        (("--frame", "patient"), "give --clip-box or --clip-plane"),
    ):
        failed = run("--force", *words)
        assert failed.returncode == 2 and told in failed.stderr


def test_a_real_pet_glows_where_the_tumour_was_outlined(data: Path) -> None:
    """Soft tissue sarcoma: the RTSTRUCT of the radiologist, the CT and the PET, each on a grid of its own."""
    from gpukit.io.masks import open_mask

    folder = data / "pet" / "sts_001_cropped"
    ct = gk.open(folder / "CT" / "dicom" / "image", device="cpu")
    pet = gk.open(folder / "PET" / "dicom" / "image", device="cpu")
    mask = open_mask(folder / "CT" / "dicom" / "mask" / "RS.dcm", ct)
    shot = {"size": (90, 90)}
    fused = gk.render(ct, overlay=pet, **shot).array[0].astype(int)  # type: ignore[arg-type]
    alone = gk.render(ct, mask=mask, mask_mode="alone", label_opacity=5.0, **shot).array[0]  # type: ignore[arg-type]
    outlined, hot = alone.max(axis=-1) > 60, fused[..., 0] - fused[..., 2] > 40
    assert outlined.sum() > 300
    # nearly all of the tumour takes up glucose; organs beside it do too, so a mirrored or shifted PET is less wrong
    # than cold, but clearly worse
    share = (hot & outlined).sum() / outlined.sum()
    assert share > 0.95
    for wrong in (hot[:, ::-1], hot[::-1], np.roll(hot, 8, axis=0)):
        assert (wrong & outlined).sum() / outlined.sum() < share - 0.04
