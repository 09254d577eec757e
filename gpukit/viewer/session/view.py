"""What a session shows: panes with their images, windows and places on the screen."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, replace

import numpy as np

from gpukit.dicom.image.frame import Frame
from gpukit.display.frame_values import NamedWindow
from gpukit.display.presentation import DisplayFrame
from gpukit.errors import GpukitError
from gpukit.viewer.encoding.target import Target
from gpukit.viewer.layout import Box, Fit, Viewport, fit
from gpukit.viewer.options import ViewOptions, choose_window
from gpukit.viewer.picture import Label, Line, Picture
from gpukit.viewer.scene import Companions, Scene, open_scene
from gpukit.viewer.session.planes import LETTERS, OrthogonalPlanes
from gpukit.viewer.sources import Stack
from gpukit.viewer.text import clean
from gpukit.volume import Voi

__all__ = ["Cursor", "Pane", "Place", "Scenes", "error_picture", "scene_picture"]

#: Bytes of decoded frames that are kept.
_KEPT = 256 << 20
_CROSS = (0, 255, 0)


@dataclass
class Cursor:
    """The pixel under the cursor: (row, column) of the picture as it is turned."""

    row: float
    column: float


@dataclass(frozen=True)
class Place:
    """Where a picture is on the screen.

    Parameters
    ----------
    line, column : int
        First cell.
    fit : Fit
        Its size.
    box : Box
        The part of the image that it shows.
    points : (across, down)
        Picture points of a cell.
    """

    line: int
    column: int
    fit: Fit
    box: Box
    points: tuple[int, int]

    def pixel(self, line: int, column: int) -> tuple[float, float] | None:
        """(row, column) of the image at the middle of a cell of the screen; None beside the picture."""
        x = (column - self.column + 0.5) * self.points[0] / self.fit.width
        y = (line - self.line + 0.5) * self.points[1] / self.fit.height
        if not (0 <= x < 1 and 0 <= y < 1):
            return None
        top, left, bottom, right = self.box
        return top + y * (bottom - top) - 0.5, left + x * (right - left) - 0.5


@dataclass
class Pane:
    """One stack of images, and the window that the user gave it (None: the images' own)."""

    stack: Stack
    index: int = 0
    window: NamedWindow | None = None
    fallback: NamedWindow | None = None
    place: Place | None = None

    def shown_window(self, scene: Scene, options: ViewOptions) -> NamedWindow | None:
        """The window of an image: the user's, its own, or that of the first image without one."""
        if scene.values.is_color:
            return None
        if self.window is not None:
            return self.window
        explicit = options.center is not None or options.preset is not None or options.percentile is not None
        if explicit or scene.values.windows:
            return choose_window(scene.values, options, is_ct=scene.is_ct)
        if self.fallback is None:  # one grey for all images, so that they compare
            self.fallback = choose_window(scene.values, options, is_ct=scene.is_ct)
        return self.fallback


@dataclass
class Scenes:
    """Decoded images, the last ones kept as far as memory is bounded."""

    companions: Companions
    _kept: OrderedDict[tuple[int, int], Scene] = field(default_factory=OrderedDict)

    def of(self, stack: Stack, index: int) -> Scene:
        """The image; errors as of `gpukit.viewer.scene.open_scene`."""
        key = (id(stack), index)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        frame = stack.frame(index)
        try:
            scene = open_scene(frame, self.companions)
        except GpukitError:
            if self.companions.is_empty:
                raise
            scene = open_scene(frame)  # a presentation state may be for some images of a series only
        self._kept[key] = scene
        while len(self._kept) > 1 and sum(s.values.stored.nbytes for s in self._kept.values()) > _KEPT:
            self._kept.popitem(last=False)
        return scene


def scene_picture(
    scene: Scene,
    pane: Pane,
    target: Target,
    options: ViewOptions,
    viewport: Viewport,
    area: tuple[int, int, int, int],
    *,
    invert: bool,
    overlays: bool,
    info: bool,
    cursor: Cursor | None,
    window: NamedWindow | None,
) -> Picture:
    """The picture of an image in an area (line, column, lines, columns) of the screen; the pane learns its place."""
    line, column, lines, columns = area
    box = scene.box(viewport)
    size = fit(
        box[2] - box[0], box[3] - box[1], scene.values.aspect, (columns, lines), cell=target.cell,
        points=target.points if target.is_text else None,
    )  # fmt: skip
    pane.place = Place(
        line + (lines - size.lines) // 2, column + (columns - size.columns) // 2, size, box, target.points
    )
    extra = []
    if cursor is not None:
        extra = [Line(np.array([[cursor.column, cursor.row]]), _CROSS)]
    lines_before = scene.lines
    if extra:
        scene = replace(scene, lines=[*(lines_before if overlays else []), *extra])
    return scene.picture(
        size, window, box=box, invert=invert, overlays=overlays or bool(extra), info=info, cell=target.points
    )


def plane_picture(
    planes: OrthogonalPlanes,
    name: str,
    frame: Frame,
    pane: Pane,
    target: Target,
    area: tuple[int, int, int, int],
    *,
    window: NamedWindow,
    invert: bool,
    inverse: bool,
) -> Picture:
    """The picture of a plane of a volume with the crossing of the planes, and letters at its borders."""
    values = replace(planes.plane(name), inverse=inverse)
    scene = Scene(DisplayFrame(frame, values))
    line, column, lines, columns = area
    box = (0.0, 0.0, float(values.stored.shape[0]), float(values.stored.shape[1]))
    size = fit(
        box[2], box[3], values.aspect, (columns, lines), cell=target.cell,
        points=target.points if target.is_text else None,
    )  # fmt: skip
    pane.place = Place(line, column, size, box, target.points)
    x, y = planes.cross(name)
    scene.lines = [
        Line(np.array([[x, -0.5], [x, box[2] - 0.5]]), _CROSS), Line(np.array([[-0.5, y], [box[3] - 0.5, y]]), _CROSS)
    ]  # fmt: skip
    picture = Picture(scene.shown.picture(voi=window.voi, invert=invert, size=(size.height, size.width), box=box))
    from gpukit.viewer.picture import draw_lines

    draw_lines(picture, scene.lines, box)
    left, right, upper, lower = LETTERS[name]
    w, h, (across, down) = picture.width, picture.height, target.points
    for text, at_x, at_y, anchor in (
        (left, across / 2, h / 2, "l"), (right, w - across / 2, h / 2, "r"), (upper, w / 2, down / 2, "m"),
        (lower, w / 2, h - down / 2, "m"), (name, across / 2, down / 2, "l"),
    ):  # fmt: skip
        picture.labels.append(Label(at_x, at_y, text, (255, 200, 0), anchor))
    return picture


def error_picture(error: Exception, pane: Pane, target: Target, area: tuple[int, int, int, int]) -> Picture:
    """Words in place of an image that cannot be shown."""
    _, _, lines, columns = area
    points = target.points
    pane.place = None
    picture = Picture(np.zeros((lines * points[1], columns * points[0]), np.uint8))
    words = clean(error, 400)
    step = max(1, columns - 2)
    for n, at in enumerate(range(0, min(len(words), step * lines), step)):
        label = Label(float(points[0]), (n + 0.5) * points[1], words[at : at + step], (255, 120, 120))
        picture.labels.append(label)
    return picture


def changed_window(window: NamedWindow, *, width: float = 1.0, level: float = 0.0) -> NamedWindow:
    """A window that is wider by a factor, and moved by a share of its width; a table becomes a window."""
    voi = window.voi
    if voi.function == "LUT":
        low, high = voi.limits
        voi = Voi((low + high) / 2, max(high - low, 1.0), "LINEAR")
    least = 1.0 if voi.function == "LINEAR" else 1e-9
    broad = min(max(voi.width * width, least), 1e9)
    return NamedWindow("", Voi(voi.center + level * voi.width, broad, voi.function))
