"""How large a picture is in a terminal: cells, pixels of a cell, height of a pixel, the part that is shown."""

from __future__ import annotations

from dataclasses import dataclass, replace

__all__ = ["CELL", "SUBCELLS", "Box", "Fit", "Viewport", "fit"]

#: Pixels of a cell (width, height) where the terminal does not say.
CELL = (10, 20)
#: Pictures points of one cell (across, down).
SUBCELLS = {"ascii": (1, 1), "half": (1, 2), "quadrant": (2, 2), "sextant": (2, 3), "braille": (2, 4)}

#: (top, left, bottom, right) in pixels of the image.
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Viewport:
    """What part of an image is looked at.

    Parameters
    ----------
    zoom : float
        1 shows the whole image.
    center_row, center_column : float
        Middle of what is seen, 0 to 1 of the image.
    """

    zoom: float = 1.0
    center_row: float = 0.5
    center_column: float = 0.5

    def moved(self, rows: float, columns: float) -> Viewport:
        """Moved by shares of what is seen."""
        return replace(
            self, center_row=self.center_row + rows / self.zoom, center_column=self.center_column + columns / self.zoom
        ).within()

    def zoomed(self, factor: float) -> Viewport:
        """Closer or farther about the middle."""
        return replace(self, zoom=min(max(self.zoom * factor, 1.0), 64.0)).within()

    def within(self) -> Viewport:
        """Moved so that nothing beside the image is seen that need not be."""
        half = 0.5 / self.zoom
        return replace(
            self,
            center_row=min(max(self.center_row, half), 1 - half),
            center_column=min(max(self.center_column, half), 1 - half),
        )

    def box(self, rows: int, columns: int) -> Box:
        """The part of an image of that size."""
        half = 0.5 / self.zoom
        return (
            max(0.0, (self.center_row - half) * rows),
            max(0.0, (self.center_column - half) * columns),
            min(float(rows), (self.center_row + half) * rows),
            min(float(columns), (self.center_column + half) * columns),
        )  # fmt: skip


@dataclass(frozen=True)
class Fit:
    """Size of a picture.

    Parameters
    ----------
    columns, lines : int
        Cells that it takes.
    width, height : int
        Its points: pixels for graphics, parts of cells for text.
    """

    columns: int
    lines: int
    width: int
    height: int


def fit(
    rows: float,
    columns: float,
    aspect: float,
    area: tuple[int, int],
    *,
    cell: tuple[int, int] = CELL,
    points: tuple[int, int] | None = None,
) -> Fit:
    """The largest picture that fits into an area without distortion.

    Parameters
    ----------
    rows, columns : float
        Of the part of the image that is shown.
    aspect : float
        Height of its pixels by their width.
    area : (columns, lines)
        Cells.
    cell : (width, height)
        Pixels of a cell.
    points : (across, down), optional
        Picture points of a cell; None for pixels.
    """
    across, down = points or cell
    most_columns, most_lines = max(1, area[0]), max(1, area[1])
    width, height = float(columns), rows * aspect
    scale = min(most_columns * cell[0] / width, most_lines * cell[1] / height)
    wide = min(max(1, round(width * scale / cell[0] * across)), most_columns * across)
    high = min(max(1, round(height * scale / cell[1] * down)), most_lines * down)
    return Fit(-(-wide // across), -(-high // down), wide, high)
