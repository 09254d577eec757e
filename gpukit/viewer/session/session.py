"""The session itself: a loop that waits for keys, the mouse, signals and the next frame, and draws what changed."""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable, Sequence

from gpukit.display.frame_values import NamedWindow
from gpukit.errors import GpukitError
from gpukit.viewer.compare import difference
from gpukit.viewer.encoding.target import Target
from gpukit.viewer.info import window_text
from gpukit.viewer.layout import Viewport
from gpukit.viewer.options import ViewOptions, preset_list
from gpukit.viewer.scene import Companions, Scene
from gpukit.viewer.session.cine import Schedule, schedule_of
from gpukit.viewer.session.guard import TerminalGuard
from gpukit.viewer.session.keys import Event, parse
from gpukit.viewer.session.planes import PLANES, OrthogonalPlanes
from gpukit.viewer.session.screen import Screen
from gpukit.viewer.session.view import Cursor, Pane, Place, Scenes, changed_window
from gpukit.viewer.sources import Stack
from gpukit.viewer.terminal import Terminal
from gpukit.volume import Volume

__all__ = ["Session"]

_PAN, _ZOOM, _WIDTH, _LEVEL = 0.1, 1.25, 1.1, 0.05
#: Of a drag: change of the width by a cell, and of the level in widths.
_DRAG_WIDTH, _DRAG_LEVEL = 1.03, 0.03
#: Seconds after which a lone escape is a key.
_ESCAPE = 0.05


class Session:
    """Images that are stepped through, zoomed and windowed by keys and mouse.

    Parameters
    ----------
    stacks : sequence of Stack
        One, or two that are compared.
    options, target, terminal : ViewOptions, Target, Terminal
        How and where.
    companions : Companions
        What is laid on the images of the first stack.
    first : int
        The frame to begin with, from 0.
    own_window : bool
        A window for each of two stacks.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        options: ViewOptions,
        target: Target,
        terminal: Terminal,
        *,
        companions: Companions | None = None,
        first: int = 0,
        own_window: bool = False,
    ) -> None:
        self.panes = [Pane(stack) for stack in stacks]
        self.panes[0].index = first
        self.options, self.target, self.terminal = options, target, terminal
        self.scenes = Scenes(companions or Companions())
        self.own_window = own_window
        self.viewport = Viewport(options.zoom)
        self.invert, self.info = options.invert, options.show_info
        self.overlays = options.show_overlay or not self.scenes.companions.is_empty
        self.page, self.scroll = "image", 0
        self.beside: int | None = None
        self.difference = False
        self.planes: OrthogonalPlanes | None = None
        self.plane = PLANES[0]
        self.plane_places: dict[str, Place] = {}
        self.cursor: Cursor | None = None
        self.message = ""
        self.schedule: Schedule | None = None
        self._started = 0.0
        self._drag: tuple[int, int] | None = None
        self._pending = b""
        self._screen: Screen | None = None
        self._dirty = True

    # ---- the loop

    def run(self, fd_in: int = 0, fd_out: int = 1) -> None:
        """Until the user quits; the terminal is then as it was."""
        from gpukit.viewer.session.drawing import Drawing

        colors = "none" if self.terminal.colors == "none" and self.target.mode == "ascii" else self.target.colors
        drawing = Drawing(self)
        with TerminalGuard(
            fd_in, fd_out, line_modes=self.terminal.line_modes, before_leaving=drawing.farewell, resumed=self._resume
        ) as guard:
            self._screen = Screen(fd_in, fd_out, guard.wake, colors=colors, utf8=self.target.utf8)
            for event in parse(self.terminal.keys.encode("latin-1"))[0]:
                if not self.handle(event):
                    return
            while self._turn(fd_in, guard.wake, drawing):
                pass

    def _turn(self, fd_in: int, wake: int, drawing: object) -> bool:
        """Draw, wait, act; False at the end."""
        from gpukit.viewer.session.drawing import Drawing

        assert isinstance(drawing, Drawing) and self._screen is not None
        if self._dirty:
            self._dirty = not drawing.draw(self._screen)
        ready, _, _ = select.select([fd_in, wake], [], [], self._patience())
        if wake in ready:
            os.read(wake, 4096)
            self._screen.forget()
            drawing.forget()
            self._dirty = True
        if fd_in in ready:
            try:
                data = os.read(fd_in, 65536)
            except OSError:
                return False
            if not data:
                return False
            events, self._pending = parse(self._pending + data)
        elif self._pending:
            events, self._pending = parse(self._pending, complete=True)
        else:
            events = []
        for event in events:
            self._dirty = True
            if not self.handle(event):
                return False
        self._play()
        return True

    def _patience(self) -> float | None:
        """Seconds to wait for input at most."""
        if self._dirty:
            return 0.0
        if self._pending:
            return _ESCAPE
        if self.schedule is None:
            return None
        now = (time.monotonic() - self._started) * 1000
        return max(0.0, (self.schedule.at(now)[1] - now) / 1000)

    def _play(self) -> None:
        """Go to the frame that is due."""
        if self.schedule is None:
            return
        due, _ = self.schedule.at((time.monotonic() - self._started) * 1000)
        if due != self.panes[0].index:
            self._go(due)
            self._dirty = True

    def _resume(self) -> None:
        if self._screen is not None:
            self._screen.forget()
        self._dirty = True

    @property
    def is_playing(self) -> bool:
        """Whether frames move by themselves."""
        return self.schedule is not None

    # ---- keys

    def handle(self, event: Event) -> bool:
        """Do what a key means; False to quit."""
        self.message = ""
        name = event.name
        if name == "q":
            return False
        if name in ("press", "drag", "release", "wheel-up", "wheel-down"):
            self._mouse(event)
        elif self.page != "image":
            self._page_key(name)
        elif name in ("up", "down", "left", "right"):
            self._arrow(name)
        else:
            action = self._actions().get(name)
            if action is not None:
                action()
            elif name.isdecimal() and name.isascii():
                self._preset(int(name))
        return True

    def _actions(self) -> dict[str, Callable[[], None]]:
        return {
            "+": lambda: self._zoom(_ZOOM), "=": lambda: self._zoom(_ZOOM), "-": lambda: self._zoom(1 / _ZOOM),
            "[": lambda: self._step(-1), "]": lambda: self._step(1),
            "page-up": lambda: self._step(-10), "page-down": lambda: self._step(10),
            "home": lambda: self._step(-(1 << 30)), "end": lambda: self._step(1 << 30),
            "w": lambda: self._window(width=1 / _WIDTH), "W": lambda: self._window(width=_WIDTH),
            "l": lambda: self._window(level=-_LEVEL), "L": lambda: self._window(level=_LEVEL),
            "i": lambda: self._flip("invert"), "o": lambda: self._flip("overlays"), "n": lambda: self._flip("info"),
            "p": self._cine, "s": self._side_by_side, "v": self._show_planes, "d": self._show_difference,
            "t": lambda: self._open_page("tags"), "?": lambda: self._open_page("help"), "c": self._show_cursor,
            "r": self._reset, "tab": self._next_plane,
        }  # fmt: skip

    def _flip(self, name: str) -> None:
        setattr(self, name, not getattr(self, name))

    def _zoom(self, factor: float) -> None:
        self.viewport = self.viewport.zoomed(factor)

    def _arrow(self, name: str) -> None:
        rows, columns = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}[name]
        if self.planes is not None:
            column, row = self.planes.cross(self.plane)
            self.planes.move_to(self.plane, column + columns, row + rows)
        elif self.cursor is not None:
            self._move_cursor(rows, columns)
        elif self.viewport.zoom > 1:
            self.viewport = self.viewport.moved(rows * _PAN, columns * _PAN)
        else:
            self._step(rows + columns)

    def _step(self, amount: int) -> None:
        if self.planes is not None:
            self.planes.step(self.plane, amount)
            return
        was_playing = self.schedule is not None
        self.schedule = None
        last = len(self.panes[0].stack) - 1
        self._go(min(max(self.panes[0].index + amount, 0), last))
        if was_playing:
            self.message = "cine stopped"

    def _go(self, index: int) -> None:
        """Show a frame of the first stack, and of the second one what lies at the same place."""
        pane = self.panes[0]
        pane.index = index
        if len(self.panes) > 1:
            try:
                frame = pane.stack.frame(index)
            except GpukitError:
                return
            self.panes[1].index = self.panes[1].stack.nearest(frame, index, len(pane.stack))

    def scene(self, n: int = 0) -> Scene:
        """The image of a pane; errors as of `gpukit.viewer.scene.open_scene`."""
        return self.scenes.of(self.panes[n].stack, self.panes[n].index)

    def window(self, n: int = 0) -> NamedWindow | None:
        """The window of a pane's image; the second one has the first one's unless each has its own."""
        scene = self.scene(n)
        if n == 1 and not self.own_window and not scene.values.is_color:
            first = self.panes[0].shown_window(self.scene(0), self.options)
            if first is not None:
                return first
        return self.panes[n].shown_window(scene, self.options)

    def _window(self, *, width: float = 1.0, level: float = 0.0) -> None:
        for n, pane in enumerate(self.panes if self.own_window else self.panes[:1]):
            try:
                now = self.window(n)
            except GpukitError:
                continue
            if now is not None:
                pane.window = changed_window(now, width=width, level=level)

    def _preset(self, number: int) -> None:
        if number == 0:
            for pane in self.panes:
                pane.window = None
            return
        try:
            scene = self.scene()
        except GpukitError:
            return
        if scene.values.is_color:
            self.message = "colour has no window"
            return
        listed = preset_list(scene.values, is_ct=scene.is_ct)
        if number > len(listed):
            self.message = f"there are {len(listed)} windows"
            return
        chosen = listed[number - 1]
        for pane in self.panes:
            pane.window = chosen
        self.message = f"window {number}: {chosen.name or 'of the image'} {window_text(chosen.voi)}"

    def _cine(self) -> None:
        if self.schedule is not None:
            self.schedule = None
            return
        pane = self.panes[0]
        if len(pane.stack) < 2 or self.planes is not None:
            self.message = "there is one frame only"
            return
        self.schedule = schedule_of(pane.stack.frame(0), len(pane.stack))
        self._started = time.monotonic() - self.schedule.time_of(pane.index) / 1000

    def _side_by_side(self) -> None:
        self.beside = None if self.beside is not None else self.panes[0].index
        if self.beside is not None and len(self.panes) > 1:
            self.message = "one image only"

    def _show_difference(self) -> None:
        if len(self.panes) < 2:
            self.message = "a difference needs two images: --compare"
            return
        if not self.difference:
            try:
                difference(self.scene(0), self.scene(1))
            except GpukitError as error:
                self.message = str(error)
                return
        self.difference = not self.difference

    def _show_planes(self) -> None:
        if self.planes is not None:
            self.planes = None
            return
        self.schedule = None
        try:
            self.planes = OrthogonalPlanes.of(self._volume())
        except GpukitError as error:
            self.message = str(error)
            return
        if self.planes.is_oblique:
            self.message = "the planes are along the volume's own axes, which are oblique"

    def _volume(self) -> Volume:
        """The volume that the shown image is a slice of."""
        from gpukit.io.open import open as open_volume

        stack = self.panes[0].stack
        uid = str(stack.frame(self.panes[0].index).get("SeriesInstanceUID", ""))
        headers = {id(h): h for h, _ in stack.entries if str(h.get("SeriesInstanceUID", "")) == uid}
        paths = [h.location for h in headers.values()]
        if any(location.member is not None for location in paths):
            return open_volume(sorted({location.path for location in paths}), series=uid or None)
        return open_volume([location.path for location in paths])

    def _next_plane(self) -> None:
        self.plane = PLANES[(PLANES.index(self.plane) + 1) % len(PLANES)]

    def _show_cursor(self) -> None:
        if self.cursor is not None:
            self.cursor = None
            return
        try:
            top, left, bottom, right = self.scene().box(self.viewport)
        except GpukitError:
            return
        self.cursor = Cursor(float(math.floor((top + bottom) / 2)), float(math.floor((left + right) / 2)))

    def _move_cursor(self, rows: float, columns: float) -> None:
        place = self.panes[0].place
        if self.cursor is None or place is None:
            return
        scene = self.scene()
        top, left, bottom, right = place.box
        step_row = max(1.0, (bottom - top) / place.fit.height)
        step_column = max(1.0, (right - left) / place.fit.width)
        self.cursor.row = min(max(self.cursor.row + rows * step_row, 0.0), scene.rows - 1.0)
        self.cursor.column = min(max(self.cursor.column + columns * step_column, 0.0), scene.columns - 1.0)

    def _reset(self) -> None:
        self.viewport = Viewport(self.options.zoom)
        self.invert = self.options.invert
        self.beside, self.difference, self.planes, self.cursor, self.schedule = None, False, None, None, None
        for pane in self.panes:
            pane.window = None

    # ---- mouse

    def _mouse(self, event: Event) -> None:
        if event.name in ("wheel-up", "wheel-down"):
            step = -1 if event.name == "wheel-up" else 1
            if self.page == "image":
                self._step(step)
            else:
                self.scroll = max(0, self.scroll + 3 * step)
            return
        if self.page != "image":
            return
        if event.name == "press":
            self._drag = (event.line, event.column)
            self._point(event)
        elif event.name == "drag" and self._drag is not None and self.planes is not None:
            self._point(event)
        elif event.name == "drag" and self._drag is not None:
            down, across = event.line - self._drag[0], event.column - self._drag[1]
            self._drag = (event.line, event.column)
            self._window(width=_DRAG_WIDTH**across, level=_DRAG_LEVEL * down)
        elif event.name == "release":
            self._drag = None

    def _point(self, event: Event) -> None:
        """A click puts the cursor, or the crossing of the planes, where the mouse is."""
        if self.planes is not None:
            for name, place in self.plane_places.items():
                pixel = place.pixel(event.line, event.column)
                if pixel is not None:
                    self.plane = name
                    self.planes.move_to(name, pixel[1], pixel[0])
            return
        shown = self.panes[0].place
        if self.cursor is None or shown is None:
            return
        pixel = shown.pixel(event.line, event.column)
        if pixel is not None:
            scene = self.scene()
            self.cursor.row = float(min(max(round(pixel[0]), 0), scene.rows - 1))
            self.cursor.column = float(min(max(round(pixel[1]), 0), scene.columns - 1))

    def _page_key(self, name: str) -> None:
        step = {"up": -1, "down": 1, "page-up": -10, "page-down": 10, "[": -10, "]": 10}.get(name)
        if step is not None:
            self.scroll = max(0, self.scroll + step)
        elif name == "home":
            self.scroll = 0
        elif name in ("escape", "?", "t", "enter"):
            self.page, self.scroll = "image", 0

    def _open_page(self, page: str) -> None:
        self.page, self.scroll = page, 0
        self.schedule = None
