"""The camera: it stands where it says, draws the same from every orientation, and keeps lengths."""

from __future__ import annotations

import numpy as np
import pytest
from support.phantoms import ALL_48

import gpukit as gk
from gpukit.errors import InputError, SelectionError, UnitError
from gpukit.geometry import Grid
from gpukit.rendering.scene.camera import camera_view
from gpukit.rendering.scene.transfer_function import Transfer
from gpukit.volume import Volume

#: Grey levels that tell four marks apart, nothing between them drawn by chance: 0 is invisible.
MARKS = Transfer("marks", ((0.5, (0, 0, 0), 0.0), (1.0, (0, 0, 0), 5.0), (256.0, (1, 1, 1), 5.0)))
WHITE = Transfer("white", ((0.0, (1, 1, 1), 0.0), (1.0, (1, 1, 1), 0.05)))


def marked(direction: np.ndarray) -> Volume:
    """Blocks at the patient's left (64), front (128) and head (255) of a cube, in any orientation of the voxels."""
    array = np.zeros((20, 20, 20), np.uint8)
    array[8:12, 8:12, 17:20] = 64  # [z, y, x], x to the left
    array[8:12, 0:3, 8:12] = 128
    array[17:20, 8:12, 8:12] = 255
    grid = Grid.from_axes((20, 20, 20), spacing=(2, 2, 2), origin=(-19, -19, -19))
    axis = np.abs(direction).argmax(axis=0)
    signs = direction[axis, range(3)]
    codes = "".join(("RL", "AP", "IS")[a][int(s > 0)] for a, s in zip(axis, signs, strict=True))
    turned, axes, flips = grid.reoriented(codes)
    array = array.transpose(axes)
    return Volume(array=np.ascontiguousarray(np.flip(array, [n for n in range(3) if flips[n]])), grid=turned)


def place(picture: np.ndarray, level: int) -> tuple[float, float] | None:
    """Where a mark is: to the right and up from the middle, -1 to 1; None where it is hidden."""
    found = np.argwhere(np.abs(picture[..., 0].astype(int) - level) <= 3)
    if len(found) < 8:
        return None
    row, column = (found.mean(axis=0) + 0.5) / picture.shape[0] * 2 - 1
    return float(column), float(-row)


@pytest.mark.parametrize("direction", ALL_48[::5], ids=lambda d: "".join(str(int(v)) for v in d.ravel()))
def test_marks_are_where_a_person_would_see_them(direction: np.ndarray) -> None:
    volume = marked(direction)

    def seen(azimuth: float, elevation: float) -> dict[str, tuple[float, float] | None]:
        picture = gk.render(volume, transfer=MARKS, azimuth=azimuth, elevation=elevation, size=(80, 80)).array[0]
        return {name: place(picture, level) for name, level in (("left", 64), ("front", 128), ("head", 255))}

    face = seen(0, 0)
    assert face["left"] is not None and face["left"][0] > 0.7 and abs(face["left"][1]) < 0.1  # on the viewer's right
    assert face["head"] is not None and face["head"][1] > 0.7 and abs(face["head"][0]) < 0.1
    assert face["front"] is not None and max(map(abs, face["front"])) < 0.1
    side = seen(90, 0)  # from the left: the front is on the viewer's left
    assert side["front"] is not None and side["front"][0] < -0.7
    assert side["left"] is not None and max(map(abs, side["left"])) < 0.1
    above = seen(0, 90)  # from over the head: the front is at the bottom, the left on the right
    assert above["head"] is not None and max(map(abs, above["head"])) < 0.1
    assert above["front"] is not None and above["front"][1] < -0.7
    assert above["left"] is not None and above["left"][0] > 0.7
    below = seen(0, -90)  # from the feet, as an axial picture
    assert below["front"] is not None and below["front"][1] > 0.7
    assert below["left"] is not None and below["left"][0] > 0.7
    back = gk.render(volume, transfer=MARKS, azimuth=180, size=(80, 80)).array[0]
    assert back[:, :15].any() and not back[:, -25:].any()  # the left is on the viewer's left


def test_views_are_right_handed_and_square() -> None:
    for azimuth in (-200, 0, 33, 90):
        for elevation in (-90, -10, 0, 45, 90):
            view = camera_view(azimuth, elevation)
            axes = np.stack([view.right, view.down, view.away])
            assert np.allclose(axes @ axes.T, np.eye(3))
            assert np.linalg.det(axes) == pytest.approx(1)


@pytest.mark.parametrize("oversampling", [0.5, 1, 3])
def test_opacity_is_per_millimetre(oversampling: float) -> None:
    """Beer and Lambert through 30 mm of a body of 0.05 / mm, however the rays are sampled and spaced."""
    for spacing in ((1.0, 3.0, 2.0), (2.0, 1.0, 3.0)):
        shape = tuple(int(30 / s) for s in reversed(spacing))
        body = Volume(array=np.ones(shape, np.float32), grid=Grid.from_axes(shape, spacing=spacing))
        picture = gk.render(body, transfer=WHITE, size=(31, 31), oversampling=oversampling).array[0]
        # 8 bit
        assert picture[15, 15] == pytest.approx([255 * (1 - np.exp(-0.05 * 30))] * 3, abs=0.6)


def test_silhouette_of_a_ball_has_its_area() -> None:
    k, j, i = np.meshgrid(np.arange(30) * 2.0, np.arange(60), np.arange(40) * 1.5, indexing="ij")
    distance = np.sqrt((k - 29) ** 2 + (j - 29.5) ** 2 + (i - 29.25) ** 2)
    ball = Volume(array=(20 - distance).astype(np.float32), grid=Grid.from_axes((30, 60, 40), spacing=(1.5, 1, 2)))
    solid = Transfer("solid", ((0.0, (1, 1, 1), 0.0), (0.01, (1, 1, 1), 50.0)))
    for azimuth, elevation in ((0, 0), (40, 25)):
        picture = gk.render(ball, transfer=solid, azimuth=azimuth, elevation=elevation, size=(200, 150))
        area = (picture.array[0, ..., 0] > 127).sum() * picture.grid.spacing[0] * picture.grid.spacing[1]
        # a voxel is up to 2 mm: linear interpolation of a distance shrinks a ball of 20 mm by less than 2 %
        assert area == pytest.approx(np.pi * 20**2, rel=0.03)


def test_perspective_makes_the_far_smaller_and_keeps_all_of_it() -> None:
    array = np.zeros((40, 40, 40), np.uint8)
    array[18:22, :4, 4:8] = 255  # at the front on the right side
    array[18:22, 36:, 32:36] = 128  # at the back on the left side
    volume = Volume(array=array, grid=Grid.from_axes((40, 40, 40)))
    flat = gk.render(volume, transfer=MARKS, size=(160, 160)).array[0]
    deep = gk.render(volume, transfer=MARKS, size=(160, 160), perspective=40).array[0]
    flat_near, flat_far = place(flat, 255), place(flat, 128)
    near, far = place(deep, 255), place(deep, 128)
    assert near and far and flat_near and flat_far
    assert near[0] == pytest.approx(flat_near[0], abs=0.05)  # the near side fills the picture
    assert 0 < far[0] < 0.75 * flat_far[0]  # tan: the far side is 40 mm behind a plane 55 mm from the eye


def test_background_shows_where_nothing_is() -> None:
    volume = marked(np.eye(3))
    picture = gk.render(volume, transfer=MARKS, size=(20, 30), background=(1, 0.5, 0)).array
    assert picture.shape == (1, 30, 20, 3)
    assert picture[0, 0, 0].tolist() == [255, 128, 0]


def test_padding_is_not_drawn() -> None:
    array = np.full((6, 6, 6), 50, np.int16)
    volume = Volume(array=array, grid=Grid.from_axes((6, 6, 6)), padding=(50, 50))
    assert not gk.render(volume, transfer=WHITE, size=(8, 8)).array.any()


def test_bad_arguments() -> None:
    volume = marked(np.eye(3))
    for arguments in (
        {"elevation": 91.0}, {"azimuth": float("nan")}, {"size": (0, 5)}, {"size": (10**6, 5)}, {"perspective": 170.0},
        {"background": (2, 0, 0)}, {"oversampling": 0.0}, {"transfer": "nothing"}, {"field_of_view": (0.0, 5.0)},
    ):  # fmt: skip
        with pytest.raises(InputError):
            gk.render(volume, **arguments)  # type: ignore[arg-type]
    with pytest.raises(UnitError):
        gk.render(volume, transfer="ct-bone")
    with pytest.raises(SelectionError):
        gk.render(Volume(array=np.zeros((2, 4, 4, 4)), grid=Grid.from_axes((4, 4, 4)), axes="tkji"))


def test_another_device_draws_the_same() -> None:
    pytest.importorskip("torch", reason="this device is torch's")
    volume = marked(ALL_48[3])
    arguments = {"transfer": MARKS, "azimuth": 30.0, "elevation": 20.0, "size": (40, 40)}
    there = gk.render(volume.to("torch-cpu"), **arguments)  # type: ignore[arg-type]
    assert there.device == "torch-cpu"
    here = gk.render(volume, **arguments)  # type: ignore[arg-type]
    # one step of 8 bit where rounding of 32 bit decides
    assert np.abs(there.to("cpu").array.astype(int) - here.array.astype(int)).max() <= 1
