"""Animations: the camera goes where it says, the scale stays, a GIF holds every picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpukit as gk
from gpukit.errors import InputError, OutputExistsError
from gpukit.geometry import Grid
from gpukit.render.animation import azimuths, rotate
from gpukit.render.gif import write_gif
from gpukit.render.transfer import Transfer
from gpukit.volume import Volume

GREY = Transfer("grey", ((0.0, (0, 0, 0), 0.0), (255.0, (1, 1, 1), 1.0)))


def one_sided() -> Volume:
    """A block 40 mm long from front to back and 20 mm wide, with a bright mark at the patient's left."""
    array = np.full((10, 40, 20), 60, np.int16)
    array[3:7, 15:25, 17:] = 255
    return Volume(array=array, grid=Grid.from_axes((10, 40, 20)), unit="1")


def test_angles() -> None:
    assert azimuths(360, 4) == (0, 90, 180, 270)  # the first follows the last
    assert azimuths(-360, 4, start=10) == (10, -80, -170, -260)
    assert azimuths(90, 4) == (0, 30, 60, 90)  # not a whole turn: it ends where it was told to
    assert azimuths(90, 1) == (0,)
    for arguments in ((360, 0), (float("nan"), 3), (360, 10**6)):
        with pytest.raises(InputError):
            azimuths(*arguments)


def middle(picture: Volume) -> float:
    """Column of the brightest pixels, -1 to 1."""
    grey = picture.array[0, ..., 0].astype(int)
    columns = np.argwhere(grey >= grey.max() - 5)[:, 1]
    return float((columns.mean() + 0.5) / grey.shape[1] * 2 - 1)


def width(picture: Volume) -> float:
    """mm of the silhouette."""
    columns = np.flatnonzero((picture.array[0, ..., 0] > 20).any(axis=0))
    return float((columns[-1] - columns[0] + 1) * picture.grid.spacing[0])


@pytest.mark.parametrize("method", ["volume", "mip"])
def test_a_turn_sees_each_side_at_one_scale(method: str) -> None:
    front, left, back, right = rotate(
        one_sided(), method=method, frames=4, size=(90, 60), transfer=GREY if method == "volume" else None,
        window=(0, 255) if method == "mip" else None,
    )  # fmt: skip
    assert {p.shape for p in (front, left, back, right)} == {(1, 60, 90, 3)}
    assert len({p.grid.spacing[0] for p in (front, left, back, right)}) == 1
    # a pixel is half a millimetre
    assert [width(p) for p in (front, left, back, right)] == pytest.approx([20, 40, 20, 40], abs=1.1)
    if method == "mip":  # which sees through
        assert middle(front) > 0.2 and middle(back) < -0.2
        assert abs(middle(left)) < 0.05 and abs(middle(right)) < 0.05
        assert left.array.max() == right.array.max() == 255
    else:  # which sees the mark only from its side
        assert left.array.max() > 2 * right.array.max()


def test_projection_is_the_one_of_the_plane() -> None:
    (front,) = rotate(one_sided(), method="mip", frames=1, size=(90, 60), window=(0, 255))
    coronal = gk.mip(one_sided(), plane="coronal").array[0]
    row, column = (int(v) for v in np.round(front.grid.inverse @ [18, 20, 5, 1])[[1, 0]])
    assert front.array[0, row, column, 0] == coronal[4, 18] == 255
    row, column = (int(v) for v in np.round(front.grid.inverse @ [2, 20, 5, 1])[[1, 0]])
    assert front.array[0, row, column, 0] == coronal[4, 2] == 60


def test_gif_holds_every_picture_in_its_order(tmp_path: Path) -> None:
    made = []

    def pictures() -> Iterator[Volume]:
        for n in range(5):
            made.append(n)
            array = np.zeros((1, 8, 12, 3), np.uint8)
            array[0, :, n] = (255, 40 * n, 0)
            yield Volume(array=array, grid=Grid.from_axes((1, 8, 12)), axes="kjic", unit="RGB")

    target = tmp_path / "a.gif"
    write_gif(pictures(), target, fps=20)
    with Image.open(target) as image:
        assert (image.size, image.n_frames, image.info["loop"]) == ((12, 8), 5, 0)
        for n in range(5):
            image.seek(n)
            frame = np.asarray(image.convert("RGB"))
            assert frame[0, n].tolist() == [255, 40 * n, 0]
            assert frame.any(axis=(0, 2)).sum() == 1  # the frame before is gone
            assert image.info["duration"] == 50
    made.clear()
    with pytest.raises(OutputExistsError):
        write_gif(pictures(), target)
    assert made == []  # it is said before any work
    for bad in ({"fps": 0.0}, {"fps": 100.0}):
        with pytest.raises(InputError):
            write_gif(pictures(), tmp_path / "b.gif", **bad)
    with pytest.raises(InputError, match="at least one"):
        write_gif([], tmp_path / "b.gif")
    assert [path.name for path in tmp_path.iterdir()] == ["a.gif"]


def test_an_interrupted_gif_leaves_nothing(tmp_path: Path) -> None:
    def pictures() -> Iterator[Volume]:
        yield Volume(array=np.zeros((1, 4, 4, 3), np.uint8), grid=Grid.from_axes((1, 4, 4)), axes="kjic")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_gif(pictures(), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
