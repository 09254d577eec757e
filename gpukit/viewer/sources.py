"""From inputs to frames in order: series along the patient, frames as in their file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.plane import frame_count, numbers
from gpukit.dicom.reader.discovery import discover
from gpukit.dicom.reader.headers import Header, read_header, scan
from gpukit.display.frames import shown_frames
from gpukit.errors import FormatError, GpukitError, InputError, SelectionError

__all__ = ["Stack", "open_stack", "standard_input"]

#: Bytes that standard input may have.
_MOST_INPUT = 4 << 30


@dataclass(eq=False)
class Stack:
    """Frames in the order in which they are shown.

    Parameters
    ----------
    entries : list of (Header, int)
        File and frame, from 0.
    problems : list of (str, GpukitError)
        Files that cannot be read.
    others : list of str
        Files that are not images.
    """

    entries: list[tuple[Header, int]]
    problems: list[tuple[str, GpukitError]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    _frames: dict[int, list[Frame]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.entries)

    def frame(self, n: int) -> Frame:
        """The n-th one, from 0.

        Raises
        ------
        FormatError
            Its header makes no sense.
        """
        header, index = self.entries[n]
        key = id(header)
        if key not in self._frames:
            if len(self._frames) > 512:
                self._frames.clear()
            self._frames[key] = shown_frames(header)
        return self._frames[key][index]

    def at(self, number: int) -> Frame:
        """The frame of a number from 1.

        Raises
        ------
        SelectionError
            There is none.
        """
        if not 1 <= number <= len(self):
            header = self.entries[0][0]
            raise SelectionError(
                f"there is no frame {number}: there are {len(self)}", file=str(header.location), attribute="frame",
                fix=f"choose a frame from 1 to {len(self)}",
            )  # fmt: skip
        return self.frame(number - 1)

    def nearest(self, other: Frame, index: int, count: int) -> int:
        """Which frame shows the place in the patient of a frame of another stack, else the same share of the way.

        Parameters
        ----------
        other : Frame
            Of the other stack.
        index, count : int
            Where it is in that stack, and how many that has.
        """
        plane = other.plane
        if plane.position is not None and plane.orientation is not None:
            normal = np.cross(plane.orientation[:3], plane.orientation[3:])
            reference = other.get("FrameOfReferenceUID")
            best: tuple[float, int] | None = None
            for n in range(len(self)):
                try:
                    frame = self.frame(n)
                except GpukitError:
                    continue
                if frame.plane.position is None or frame.plane.orientation is None:
                    continue
                if reference and frame.get("FrameOfReferenceUID") not in (None, reference):
                    continue
                own = np.cross(frame.plane.orientation[:3], frame.plane.orientation[3:])
                if abs(float(own @ normal)) < 0.99:
                    continue
                apart = abs(float((np.asarray(frame.plane.position) - np.asarray(plane.position)) @ normal))
                if best is None or apart < best[0]:
                    best = (apart, n)
            if best is not None:
                return best[1]
        return min(len(self) - 1, round(index * (len(self) - 1) / max(1, count - 1)))


def open_stack(inputs: Sequence[str | os.PathLike[str]]) -> Stack:
    """Frames of everything that inputs name.

    Parameters
    ----------
    inputs : sequence of paths
        Files, directories, globs, a DICOMDIR or a zip.

    Raises
    ------
    FormatError
        No image is among them: says of a single file what it is.
    InputNotFoundError
        Nothing is there.
    """
    locations = discover([os.fspath(item) for item in inputs])
    if len(locations) == 1:
        header = read_header(locations[0])
        return Stack([(header, n) for n in range(_checked(header))])
    scanned = scan(locations)
    images = [header for header in scanned.headers if header.pixels is not None]
    problems = [(str(location), error) for location, error in scanned.problems]
    if not images:
        if problems:
            raise problems[0][1]
        if scanned.headers:
            shown_frames(scanned.headers[0])
        raise FormatError("holds no image", file=locations[0].path, fix="name a file with an image")
    entries = [(header, n) for header in in_order(images) for n in range(frame_count(header))]
    others = [str(header.location) for header in scanned.headers if header.pixels is None]
    return Stack(entries, problems, others)


def _checked(header: Header) -> int:
    return len(shown_frames(header))


def in_order(headers: Sequence[Header]) -> list[Header]:
    """Files series by series; within one along the normal of its slices, else by InstanceNumber."""
    series: dict[str, list[Header]] = {}
    for header in headers:
        series.setdefault(str(header.get("SeriesInstanceUID", "")), []).append(header)
    groups = sorted(series.values(), key=lambda group: (_whole(group[0], "SeriesNumber"), str(group[0].location)))
    return [header for group in groups for header in _along_normal(group)]


def _along_normal(group: list[Header]) -> list[Header]:
    orientations = [numbers(header.get("ImageOrientationPatient"), 6) for header in group]
    positions = [numbers(header.get("ImagePositionPatient"), 3) for header in group]
    first = orientations[0]
    if first is not None and all(o is not None and np.allclose(o, first, atol=1e-3) for o in orientations):
        normal = np.cross(first[:3], first[3:])
        if all(position is not None for position in positions):
            keys = [
                (round(float(np.asarray(position) @ normal), 3), _whole(header, "InstanceNumber"), str(header.location))
                for header, position in zip(group, positions, strict=True)
            ]
            return [group[n] for n in sorted(range(len(group)), key=keys.__getitem__)]
    return sorted(group, key=lambda header: (_whole(header, "InstanceNumber"), str(header.location)))


def _whole(header: Header, keyword: str) -> int:
    value = header.get(keyword)
    return int(value) if isinstance(value, (int, float)) else 1 << 31


@contextlib.contextmanager
def standard_input() -> Iterator[str]:
    """A path under which the bytes of standard input can be read while the block runs; they stay in memory.

    Raises
    ------
    InputError
        There are more than 4 GiB, or none.
    """
    memory = getattr(os, "memfd_create", None)
    if memory is None:  # no anonymous files here: a file that goes away with the block
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "input.dcm")  # noqa: PTH118 - one name
            with open(path, "wb") as stream:  # noqa: PTH123 - a plain file
                _copy(stream.write)
            yield path
        return
    descriptor = memory("gpukit-input")
    try:
        with os.fdopen(os.dup(descriptor), "wb") as stream:
            _copy(stream.write)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def _copy(write: object) -> None:
    total = 0
    while piece := sys.stdin.buffer.read(1 << 20):
        total += len(piece)
        if total > _MOST_INPUT:
            raise InputError("standard input has more than 4 GiB", fix="write it to a file first")
        write(piece)  # type: ignore[operator]
    if not total:
        raise InputError("standard input is empty", fix="name a file, or send one")
