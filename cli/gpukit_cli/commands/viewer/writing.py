"""Bytes of pictures to standard output or a file, sheets, documents, and notes about what was left out."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpukit.dicom.image.frame import Frame
    from gpukit.viewer.options import ViewOptions
    from gpukit.viewer.scene import Scene
    from gpukit.viewer.sheet import SheetCell
    from gpukit.viewer.sources import Stack
    from gpukit_cli.commands.viewer.options import Onto, Output

__all__ = ["document_of", "note_problems", "offer", "sheet_cells", "write", "write_pieces", "write_png", "write_pixels"]


def write(data: bytes, output: Output) -> None:
    """Write bytes to standard output, or atomically to the file that was named.

    Raises
    ------
    OutputExistsError
        The file exists and overwriting was not asked for.
    """
    write_pieces((data,), output)


def write_pieces(pieces: Iterable[bytes], output: Output) -> None:
    """Write pieces one after another, each as soon as it is there."""
    if output.output is None or str(output.output) == "-":
        sys.stdout.flush()
        for piece in pieces:
            sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
        return
    from gpukit.documents.atomic import atomic_path

    with atomic_path(output.output, force=output.force) as temporary, temporary.open("wb") as stream:
        for piece in pieces:
            stream.write(piece)


def write_png(scene: Scene, options: ViewOptions, output: Output, area: tuple[int, int]) -> None:
    """Write a PNG: as large as the image itself with square pixels, or as the cells that were asked for."""
    from gpukit.viewer.layout import CELL, Fit, Viewport, fit
    from gpukit.viewer.options import choose_window
    from gpukit.viewer.picture import burn_labels

    box = scene.box(Viewport(options.zoom))
    rows, columns, aspect = box[2] - box[0], box[3] - box[1], scene.values.aspect
    if output.size or output.width or output.height:
        size = fit(rows, columns, aspect, area, cell=CELL)
    else:
        size = Fit(0, 0, max(1, round(columns / min(1.0, aspect))), max(1, round(rows * max(1.0, aspect))))
    window = None if scene.values.is_color else choose_window(scene.values, options, is_ct=scene.is_ct)
    overlays = options.show_overlay or scene.has_layers
    picture = scene.picture(
        size, window, box=box, invert=options.invert, overlays=overlays, info=options.show_info, cell=CELL
    )
    write_pixels(burn_labels(picture), output)


def write_pixels(pixels: Any, output: Output) -> None:
    """Write pixels as a PNG."""
    from gpukit.viewer.encoding.graphics import png

    write(png(pixels), output)


def note_problems(stack: Stack) -> None:
    """Say which files were left out."""
    from gpukit_cli.failures import warn

    for _, error in stack.problems[:5]:
        warn(f"left out: {error}")
    if len(stack.problems) > 5:
        warn(f"left out: {len(stack.problems) - 5} more files")


def offer(frame: Frame, onto: Onto) -> None:
    """Name what lies beside the image and refers to it, and was not asked for."""
    from gpukit.viewer.companions import companions_of
    from gpukit_cli.failures import warn

    used = {str(Path(p).resolve()) for p in (onto.presentation, *(onto.seg or ()), *(onto.rtstruct or ()),
                                             *(onto.measurements or ())) if p}  # fmt: skip
    for option, file in companions_of(frame):
        if str(Path(file).resolve()) not in used:
            warn(f"{file} refers to this image: {option} {file}")


def document_of(paths: list[str], output: Output) -> bool:
    """Write the document that a file encapsulates, where --output names a file; whether it was done."""
    if len(paths) != 1 or output.output is None or not Path(paths[0]).is_file():
        return False
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_header
    from gpukit.errors import GpukitError

    try:
        header = read_header(Location(paths[0]))
    except GpukitError:
        return False
    if not str(header.get("SOPClassUID", "")).startswith("1.2.840.10008.5.1.4.1.1.104."):
        return False
    dataset = header.dataset()
    data = bytes(dataset.get("EncapsulatedDocument") or b"")
    length = dataset.get("EncapsulatedDocumentLength")
    data = data[: int(length)] if length else data.rstrip(b"\0") if data.startswith(b"%PDF") else data
    write(data, output)
    return True


def sheet_cells(paths: list[str]) -> list[SheetCell]:
    """A thumbnail for each file, in the order of the patient, broken ones last; or for each frame of one file."""
    from functools import partial

    from gpukit.dicom.reader.discovery import Location, discover
    from gpukit.dicom.reader.headers import scan
    from gpukit.display.frames import shown_frames
    from gpukit.errors import GpukitError
    from gpukit.viewer.sheet import SheetCell
    from gpukit.viewer.sources import in_order
    from gpukit.viewer.text import clean

    locations = discover(paths)
    scanned = scan(locations)

    def name(location: Location) -> str:
        return clean(Path(location.member or location.path).name)

    if len(locations) == 1 and len(scanned.headers) == 1:
        frames = shown_frames(scanned.headers[0])
        if len(frames) > 1:
            return [SheetCell(f"frame {n + 1}", partial(frames.__getitem__, n)) for n in range(len(frames))]

    def first(header: Any) -> Frame:
        return shown_frames(header)[0]

    def refuse(error: GpukitError) -> Frame:
        raise error

    images = [header for header in scanned.headers if header.pixels is not None]
    others = [header for header in scanned.headers if header.pixels is None]
    cells = [SheetCell(name(header.location), partial(first, header)) for header in (*in_order(images), *others)]
    return cells + [SheetCell(name(location), partial(refuse, error)) for location, error in scanned.problems]
