"""Animations: the camera goes where it says, the scale stays, a GIF holds every picture."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import gpukit as gk
from gpukit.errors import DependencyError, GpukitError, InputError, OutputError, OutputExistsError, SelectionError
from gpukit.files.movie import write_gif, write_movie
from gpukit.geometry import Grid
from gpukit.rendering.scene.animation import azimuths, fly, rotate
from gpukit.rendering.scene.clipping import clip_box
from gpukit.rendering.scene.transfer_function import Transfer
from gpukit.segmentation import Label, Segmentation
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


def test_the_lit_surface_has_the_silhouette_of_what_reaches_the_threshold() -> None:
    front, left = rotate(one_sided(), method="surface", threshold=30, rotation=90, frames=2, size=(90, 60))
    assert [width(p) for p in (front, left)] == pytest.approx([20, 40], abs=1.1)
    (mark,) = rotate(one_sided(), method="surface", threshold=200, frames=1, size=(90, 60))
    assert width(mark) == pytest.approx(3, abs=1.1) and middle(mark) > 0.2  # only the mark, at the patient's left


def test_averages_and_minima() -> None:
    """From the face every ray of the block's upper part crosses 40 voxels of 60, or the mark."""
    (low,) = rotate(one_sided(), method="minip", frames=1, size=(90, 60), window=(0, 120))
    (mean,) = rotate(one_sided(), method="average", frames=1, size=(90, 60), window=(0, 255))
    row, column = (int(v) for v in np.round(mean.grid.inverse @ [18, 20, 5, 1])[[1, 0]])
    assert low.array[0, row, column, 0] == round(60 / 120 * 255)
    assert mean.array[0, row, column, 0] == pytest.approx((60 * 30 + 255 * 10) / 40, abs=1.5)  # ten rows of the mark


def test_phases_take_turns() -> None:
    phases = np.stack([np.full((6, 6, 6), value, np.int16) for value in (50, 100, 200)])
    beating = Volume(array=phases, grid=Grid.from_axes((6, 6, 6)), axes="tkji", phases=("a", "b", "c"), unit="1")
    made = rotate(beating, method="mip", rotation=0, frames=7, size=(20, 20), window=(0, 255))
    assert [int(p.array[0, 10, 10, 0]) for p in made] == [50, 100, 200, 50, 100, 200, 50]
    colour = Volume(array=np.zeros((2, 2, 2, 3), np.uint8), grid=Grid.from_axes((2, 2, 2)), axes="kjic", unit="RGB")
    with pytest.raises(SelectionError, match="colour"):
        next(rotate(colour, method="mip"))


def test_percentiles_are_taken_once_of_each_volume(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn shows what single pictures show, and looks at all voxels once for its window."""
    rng = np.random.default_rng(3)
    phases = rng.normal(100, 40, (2, 12, 14, 16)).astype(np.float32) * np.array([1, 2], np.float32)[:, None, None, None]
    beating = Volume(array=phases, grid=Grid.from_axes((12, 14, 16)), axes="tkji", phases=("a", "b"), unit="1")
    points = ((0.2, (0.0, 0.0, 0.0), 0.0), (0.9, (1.0, 0.6, 0.2), 0.5))
    look = Transfer("shares", points, percentiles=(2, 98), gradient_opacity=((0.0, 0.2), (0.3, 1.0)))
    asked: list[int] = []
    window = Transfer.window

    def counted(self: Transfer, volume: Volume) -> tuple[float, float]:
        asked.append(self.percentiles is not None)
        return window(self, volume)

    monkeypatch.setattr(Transfer, "window", counted)
    made = list(rotate(beating, transfer=look, frames=6, size=(40, 40)))
    assert sum(asked) == 2
    for n, picture in enumerate(made):
        one = Volume(array=phases[n % 2], grid=beating.grid, unit="1")
        field = (made[0].grid.spacing[0] * 40 / 1.02,) * 2
        alone = gk.render(one, transfer=look, azimuth=60.0 * n, size=(40, 40), field_of_view=field)
        assert picture.array.max() > 50
        np.testing.assert_allclose(picture.array.astype(int), alone.array.astype(int), atol=1)


def tunnel(*marks: str) -> Volume:
    """A tube along the body with marks on its wall: at the patient's left near the feet, in front further up."""
    _, j, i = np.indices((60, 40, 40))
    array = np.where(np.hypot(i - 20, j - 20) < 8, 0, 100).astype(np.int16)
    if "left" in marks:
        array[18:22, 18:23, 28:31] = 300
    if "front" in marks:
        array[38:42, 10:13, 18:23] = 300
    return Volume(array=array, grid=Grid.from_axes((60, 40, 40), origin=(100, -50, 7)), unit="1")


RED, BLUE = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)
WALL = Transfer("wall", ((98.0, BLUE, 0.0), (100.0, BLUE, 20.0), (102.0, RED, 20.0), (300.0, RED, 20.0)))


def place(picture: Volume) -> tuple[float, float]:
    """Column and row of the middle of what is red, -1 to 1 from left to right and from top to bottom."""
    rgb = picture.array[0].astype(int)
    row, column = np.argwhere(rgb[..., 0] > 128).mean(axis=0)
    return (column + 0.5) / rgb.shape[1] * 2 - 1, (row + 0.5) / rgb.shape[0] * 2 - 1


def test_a_flight_sees_what_is_ahead_where_it_is() -> None:
    """From the feet to the head: the patient's left is on the right of the picture, the front is up."""
    path = [(20, 20, 4), (20, 20, 30), (20, 20, 56)]
    first, last = fly(tunnel("left"), path, frames=2, size=(80, 60), transfer=WALL, perspective=90)
    assert first.shape == (1, 60, 80, 3)
    # The mark is 14 to 18 mm ahead and 8 mm aside; the tangent of half the view is 1 for the wider side.
    assert place(first) == pytest.approx((8 / 16, 0), abs=0.12)
    assert not (last.array[0, ..., 0] > 128).any()  # it is behind
    # In front: 34 to 38 mm ahead, 8 mm up; 60 rows are three quarters of the view.
    assert place(next(fly(tunnel("front"), path, frames=2, size=(80, 60), transfer=WALL))) == pytest.approx(
        (0, -8 / 36 / 0.75), abs=0.12
    )
    # Back to the feet: the right starts as close to the patient's left as it can, so the front is down.
    back = [next(fly(tunnel(mark), path[::-1], frames=2, size=(80, 60), transfer=WALL)) for mark in ("left", "front")]
    assert place(back[0])[0] > 0.1 and place(back[1])[1] > 0.1


def test_projections_along_a_flight() -> None:
    volume, path = tunnel("left"), [(20, 20, 4), (20, 20, 56)]
    how = {"method": "mip", "size": (50, 50), "window": (0, 300), "field": 50, "depth": 20}
    made = list(fly(volume, path, frames=3, **how))
    # The mark lies 14 to 18 mm ahead of the start, and behind the others; the wall is a third of the window.
    assert [int(p.array.max()) for p in made] == [255, 85, 85]
    bright = np.argwhere(made[0].array[0, ..., 0] > 128).mean(axis=0)
    assert bright == pytest.approx((24.5, 33.5), abs=1)  # row, column of a pixel a mm: 9 mm to the patient's left
    again = next(fly(volume, volume.grid.to_world(path), frame="patient", frames=1, **how))
    assert np.array_equal(again.array, made[0].array)


@pytest.mark.parametrize(
    ("path", "words", "told"),
    [
        ([(20, 20, 4)], {}, "two"),
        ([(20, 20, 4), (20, 20, 99)], {}, "point 2 of the path lies outside"),
        ([(20, 20, 4), (20, 20, 9)], {"perspective": 0.0}, "degrees"),
        ([(20, 20, 4), (20, 20, 9)], {"frame": "RAS"}, "frame"),
        ([(20, 20, 4), (20, 20, 9)], {"method": "xray"}, "method"),
    ],
)
def test_flights_that_cannot_be(path: list[tuple[int, int, int]], words: dict[str, object], told: str) -> None:
    with pytest.raises(GpukitError, match=told):
        next(fly(tunnel(), path, frames=2, size=(8, 8), **words))


def test_a_flight_is_clipped_and_masked() -> None:
    """The mark at the wall goes with the clipping, and a label is seen where it lies; phases share the labels."""
    volume, path = tunnel("left"), [(20, 20, 4), (20, 20, 56)]
    how = {"frames": 2, "size": (80, 60), "transfer": WALL}
    behind = clip_box(volume.grid, (0, 0, 0), (39, 39, 16))  # the mark and its blur begin above
    assert not (next(fly(volume, path, clip=behind, **how)).array[0, ..., 0] > 128).any()
    label = Label(3, "mark", ("1", "99X", "x"), ("1", "99X", "x"), (255, 0, 0))
    mask = Segmentation(array=(volume.array == 300).astype(np.uint8) * 3, grid=volume.grid, labels=(label,))
    plain = next(fly(volume, path, **how))
    beating = replace(volume, array=np.stack([tunnel().array, volume.array]), axes="tkji", phases=("a", "b"))
    for shown in (volume, beating):  # whose first phase has the label but no mark
        alone = list(fly(shown, path, mask=mask, mask_mode="alone", label_opacity=20.0, **how))
        assert place(alone[0]) == pytest.approx(place(plain), abs=0.1)
        assert not alone[0].array[..., 2].any()  # nor the wall
        (inside, _) = fly(shown, path, method="mip", frames=2, size=(50, 50), window=(0, 300), field=50, mask=mask)
        bright = inside.array[0, ..., 0] > 0
        assert np.argwhere(bright).mean(axis=0) == pytest.approx((24.5, 33.5), abs=1)
        assert bright.sum() < 60  # 5 x 3 mm and a margin


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"method": "mip", "clip": np.ones((1, 4))}, "not clipped"),
        ({"method": "mip", "mask_mode": "inside"}, "inside of a mask"),
        ({"label_opacity": 0.3}, "needs a mask"),
    ],
)
def test_what_would_not_be_seen_is_refused(words: dict[str, object], told: str) -> None:
    with pytest.raises(InputError, match=told):
        next(rotate(one_sided(), frames=2, size=(8, 8), **words))
    with pytest.raises(InputError, match=told):
        next(fly(tunnel(), [(20, 20, 4), (20, 20, 9)], frames=2, size=(8, 8), **words))


def noisy(count: int) -> list[Volume]:
    rng = np.random.default_rng(5)
    return [
        Volume(array=rng.integers(0, 256, (1, 9, 13, 3)).astype(np.uint8), grid=Grid.from_axes((1, 9, 13)), axes="kjic")
        for _ in range(count)
    ]


@pytest.mark.parametrize(
    ("suffix", "fps"), [("gif", 24), ("gif", 30), ("gif", 40), ("apng", 24), ("apng", 29.97), ("apng", 240)]
)
def test_animations_run_as_fast_as_they_are_told(suffix: str, fps: float, tmp_path: Path) -> None:
    """A GIF counts hundredths of a second: at 30 a second every picture of 30 ms alone would make it 33.3."""
    write_movie(iter(noisy(24)), tmp_path / f"a.{suffix}", fps=fps)
    picture = Image.open(tmp_path / f"a.{suffix}")
    shown = []
    for n in range(picture.n_frames):
        picture.seek(n)
        picture.load()
        shown.append(picture.info["duration"])
    # half a hundredth of a second in all for a GIF; Pillow rounds what it reads of an APNG
    assert sum(shown) == pytest.approx(24000 / fps, abs=5.1 if suffix == "gif" else 0.1)
    assert max(shown) - min(shown) <= 10


def test_apng_keeps_every_colour(tmp_path: Path) -> None:
    made = noisy(4)
    write_movie(iter(made), tmp_path / "a.apng", fps=8)
    with Image.open(tmp_path / "a.apng") as image:
        assert (image.size, image.n_frames, image.info["loop"]) == ((13, 9), 4, 0)
        for n, one in enumerate(made):
            image.seek(n)
            assert image.info["duration"] == 125
            assert np.array_equal(np.asarray(image.convert("RGB")), one.array[0])
    with pytest.raises(OutputExistsError):
        write_movie(iter(made), tmp_path / "a.apng")
    with pytest.raises(InputError, match="one size"):
        write_movie([made[0], one_pixel()], tmp_path / "b.apng")
    assert [path.name for path in tmp_path.iterdir()] == ["a.apng"]


def one_pixel() -> Volume:
    return Volume(array=np.zeros((1, 1, 1, 3), np.uint8), grid=Grid.from_axes((1, 1, 1)), axes="kjic")


def test_mp4_through_ffmpeg(tmp_path: Path) -> None:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg: pip install imageio-ffmpeg")
    made = []
    for n in range(6):
        array = np.zeros((1, 33, 47, 3), np.uint8)  # odd sizes, which H.264 has none of
        array[0, :, 5 * n : 5 * n + 12] = (255, 255, 255)
        made.append(Volume(array=array, grid=Grid.from_axes((1, 33, 47)), axes="kjic"))
    write_movie(iter(made), tmp_path / "a.mp4", fps=10)
    frames = imageio_ffmpeg.read_frames(str(tmp_path / "a.mp4"))
    facts = next(frames)
    assert facts["size"] == (48, 34) and facts["fps"] == 10
    shown = [np.frombuffer(frame, np.uint8).reshape(34, 48, 3) for frame in frames]
    assert len(shown) == 6
    for n, frame in enumerate(shown):
        columns = np.flatnonzero(frame[16, :, 0] > 128)
        assert columns.mean() == pytest.approx(5 * n + 5.5, abs=1)  # lossy, but in its place


def test_without_an_encoder_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)  # what Python does for a package that is not there
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DependencyError, match=r'pip install .*\[gpl-ffmpeg\]"'):
        write_movie(noisy(1), tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_that_fails_leaves_nothing_and_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Unknown encoder libx264' >&2\nexit 3\n")
    program.chmod(0o755)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    monkeypatch.setenv("PATH", f"{program.parent}:/bin:/usr/bin")
    with pytest.raises(OutputError, match="Unknown encoder"):
        write_movie(noisy(3), tmp_path / "a.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["bin"]
