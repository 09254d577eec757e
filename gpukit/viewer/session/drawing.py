"""The screen of a session: panes, lines of information and the line of state, in cells or by graphics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpukit.dicom.image.pixel_value import value_unit
from gpukit.errors import GpukitError
from gpukit.viewer.compare import difference
from gpukit.viewer.encoding.cells import CellGrid
from gpukit.viewer.encoding.target import picture_bytes, picture_grid
from gpukit.viewer.info import info_lines, window_text
from gpukit.viewer.picture import Picture, burn_labels
from gpukit.viewer.session.help import HELP
from gpukit.viewer.session.planes import PLANES
from gpukit.viewer.session.screen import Screen, blank, put_grid, put_text
from gpukit.viewer.session.tags import tag_lines
from gpukit.viewer.session.view import Pane, error_picture, plane_picture, scene_picture
from gpukit.viewer.text import clean, cut

if TYPE_CHECKING:
    from gpukit.viewer.scene import Scene

__all__ = ["Drawing"]

#: Ids of kitty's images, one a pane.
_FIRST_IMAGE = 7301
#: Differences of colours that are not sent while images move.
_MOVING = 3
_BAR = (255, 255, 255)


class Drawing:
    """Draws a session; knows which pictures the terminal holds."""

    def __init__(self, session: Any) -> None:
        self.session = session
        self._images: dict[int, tuple[int, ...]] = {}

    def forget(self) -> None:
        """The terminal was resized: its pictures are not where they were."""
        self._images_gone = True

    _images_gone = False

    def farewell(self) -> bytes:
        """What takes the pictures away."""
        if self.session.target.mode != "kitty":
            return b""
        from gpukit.viewer.encoding.graphics import kitty_delete, through_tmux

        gone = b"".join(kitty_delete(_FIRST_IMAGE + n) for n in self._images)
        return through_tmux(gone) if self.session.target.tmux and gone else gone

    def draw(self, screen: Screen) -> bool:
        """Show the session; False where a key came first and it must be drawn again."""
        import os

        session = self.session
        columns, lines = os.get_terminal_size(1)
        columns, lines = max(1, columns), max(1, lines)
        grid = blank(columns, lines)
        pictures: list[tuple[Picture, int, int]] = []
        if session.page == "help":
            self._text(grid, HELP)
        elif session.page == "tags":
            self._text(grid, self._tags())
        else:
            pictures = self._panes(columns, lines, grid)
        put_text(grid, lines - 1, 0, cut(self._status(columns), columns), _BAR)
        if session.target.is_text:
            for picture, line, column in pictures:
                put_grid(grid, picture_grid(picture, session.target), line, column)
            return screen.show(grid, tolerance=_MOVING if session.is_playing else 0)
        places: dict[int, tuple[int, ...]] = {
            n: (line, column, p.width, p.height) for n, (p, line, column) in enumerate(pictures)
        }
        if places != self._images or self._images_gone:
            screen._write(self.farewell())
            screen.forget()
            self._images, self._images_gone = places, False
        complete = screen.show(grid)
        for n, (picture, line, column) in enumerate(pictures):
            self._send(screen, picture, n, line, column)
        return complete

    def _send(self, screen: Screen, picture: Picture, n: int, line: int, column: int) -> None:
        target = self.session.target
        if target.mode == "kitty" and target.tmux:
            from gpukit.viewer.encoding.graphics import kitty, kitty_placeholders, through_tmux

            pixels = burn_labels(picture)
            across, down = -(-picture.width // target.cell[0]), -(-picture.height // target.cell[1])
            screen.write(
                through_tmux(kitty(pixels, number=_FIRST_IMAGE + n, placeholders=(across, down))), line, column
            )
            for k, row in enumerate(kitty_placeholders(_FIRST_IMAGE + n, across, down)):
                screen.write(row, line + k, column)
            return
        data = picture_bytes(picture, target, number=_FIRST_IMAGE + n, keep_cursor=True)
        screen.write(data.rstrip(b"\n"), line, column)

    # ---- parts

    def _panes(self, columns: int, lines: int, grid: CellGrid) -> list[tuple[Picture, int, int]]:
        session = self.session
        texts = self._info() if session.info and lines > 6 else []
        texts = texts[: max(0, lines - 6)]
        for n, text in enumerate(texts):
            put_text(grid, lines - 1 - len(texts) + n, 0, cut(text, columns))
        room = max(1, lines - 1 - len(texts))
        if session.planes is not None:
            return self._planes(columns, room)
        scenes: list[tuple[int, Pane, int | None]] = [(0, session.panes[0], None)]
        if session.difference and len(session.panes) > 1:
            return [self._difference((0, 0, room, columns))]
        if len(session.panes) > 1 and session.beside is None:
            scenes.append((1, session.panes[1], None))
        elif session.beside is not None and len(session.panes) == 1:
            scenes.insert(0, (0, Pane(session.panes[0].stack, session.beside), session.beside))
        wide = (columns - (len(scenes) - 1)) // len(scenes)
        out = []
        for n, (which, pane, index) in enumerate(scenes):
            area = (0, n * (wide + 1), room, max(1, wide))
            out.append(self._image(which, pane, index, area))
        return out

    def _image(
        self, which: int, pane: Pane, index: int | None, area: tuple[int, int, int, int]
    ) -> tuple[Picture, int, int]:
        session = self.session
        try:
            scene = session.scene(which) if index is None else session.scenes.of(pane.stack, index)
            if index is None:
                window = session.window(which)
            else:
                pane.window, pane.fallback = session.panes[0].window, session.panes[0].fallback
                window = pane.shown_window(scene, session.options)
            picture = scene_picture(
                scene, pane, session.target, session.options, session.viewport, area, invert=session.invert,
                overlays=session.overlays, info=session.info, window=window,
                cursor=session.cursor if which == 0 and index is None else None,
            )  # fmt: skip
        except (GpukitError, MemoryError) as error:
            return error_picture(error, pane, session.target, area), area[0], area[1]
        assert pane.place is not None
        return picture, pane.place.line, pane.place.column

    def _difference(self, area: tuple[int, int, int, int]) -> tuple[Picture, int, int]:
        session = self.session
        pane = session.panes[0]
        try:
            change = difference(session.scene(0), session.scene(1))
        except GpukitError as error:
            return error_picture(error, pane, session.target, area), area[0], area[1]
        picture = scene_picture(
            change.scene, pane, session.target, session.options, session.viewport, area, invert=session.invert,
            overlays=False, info=session.info, window=change.window, cursor=session.cursor,
        )  # fmt: skip
        assert pane.place is not None
        return picture, pane.place.line, pane.place.column

    def _planes(self, columns: int, lines: int) -> list[tuple[Picture, int, int]]:
        session = self.session
        assert session.planes is not None
        scene = session.scene()
        window = session.window()
        assert window is not None
        wide = max(1, (columns - 2) // 3)
        out = []
        for n, name in enumerate(PLANES):
            pane = Pane(session.panes[0].stack)
            picture = plane_picture(
                session.planes, name, scene.frame, pane, session.target, (0, n * (wide + 1), lines, wide),
                window=window, invert=session.invert, inverse=scene.values.inverse,
            )  # fmt: skip
            assert pane.place is not None
            session.plane_places[name] = pane.place
            out.append((picture, pane.place.line, pane.place.column))
        return out

    def _info(self) -> list[str]:
        session = self.session
        try:
            scene, window = session.scene(), session.window()
        except GpukitError:
            return []
        return info_lines(
            scene.frame, scene.values, None if window is None else window.voi, zoom=session.viewport.zoom,
            patient=session.options.patient, window_name="" if window is None else window.name,
        )  # fmt: skip

    def _text(self, grid: CellGrid, lines: tuple[str, ...] | list[str]) -> None:
        session = self.session
        room = max(1, grid.chars.shape[0] - 1)
        session.scroll = min(session.scroll, max(0, len(lines) - room))
        for n, line in enumerate(lines[session.scroll : session.scroll + room]):
            put_text(grid, n, 0, line)

    def _tags(self) -> list[str]:
        session = self.session
        header = session.panes[0].stack.entries[session.panes[0].index][0]
        try:
            return tag_lines(header, patient=session.options.patient)
        except GpukitError as error:
            return [clean(error)]

    def _status(self, columns: int) -> str:
        session = self.session
        if session.message:
            return clean(session.message)
        if session.page != "image":
            return "arrows and PgUp PgDn scroll, Esc goes back, q quits"
        pane = session.panes[0]
        parts = [f"{pane.index + 1}/{len(pane.stack)}"]
        try:
            scene, window = session.scene(), session.window()
        except GpukitError:
            return parts[0]
        if session.planes is not None:
            h, p, left = session.planes.point
            unit = str(value_unit(scene.frame.plane)[0])
            parts = [session.plane, f"l {left} p {p} h {h}", f"{session.planes.value:g} {unit}".rstrip()]
        if session.cursor is not None and session.planes is None:
            parts.append(self._value(scene))
        if window is not None:
            parts.append(f"window {window_text(window.voi)}" + (f" {clean(window.name)}" if window.name else ""))
        if session.viewport.zoom > 1:
            parts.append(f"zoom {session.viewport.zoom:.3g}")
        if session.invert:
            parts.append("inverted")
        if session.difference:
            parts.append("difference")
        if session.schedule is not None:
            rate = 1000 * len(session.schedule.starts) / session.schedule.length
            parts.append(f"cine {rate:.3g}/s")
        text = "  ".join(parts)
        return text + "  ? help" if len(text) + 8 <= columns else text

    def _value(self, scene: Scene) -> str:
        """The value of the pixel under the cursor, with its unit."""
        cursor = self.session.cursor
        assert cursor is not None
        row, column = int(cursor.row), int(cursor.column)
        value = scene.values.value_at(row, column)
        if value is None:
            shown = "padding"
        elif isinstance(value, tuple):
            shown = "RGB " + ",".join(map(str, value))
        else:
            shown = f"{value:g} {value_unit(scene.frame.plane)[0]}".rstrip()
        return f"column {column} row {row}: {shown}"
