"""Images that a series holds more than once: under the same UID, or with the same pixels under another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from typing import Any

from gpukit.dicom.image.plane import Plane
from gpukit.dicom.pixels.frames import read_frame

__all__ = ["without_copies", "without_equal_pixels"]


def without_copies(
    planes: Sequence[Plane], members: Sequence[Sequence[int]]
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Levels without the second and later copies of the same frame of the same instance.

    Parameters
    ----------
    planes : sequence of Plane
        Of one stack.
    members : sequence of sequence of int
        The planes at each level.

    Returns
    -------
    list of list of int, tuple of str
        The levels, and notes. Frames of one SOPInstanceUID with different pixels are not copies: all are kept.
    """
    levels: list[list[int]] = []
    copies = different = 0
    for level in members:
        if len(level) < 2:
            levels.append(list(level))
            continue
        first: dict[tuple[Any, ...], list[int]] = {}
        rest: list[int] = []
        for n in level:
            plane = planes[n]
            uid = str(plane.get("SOPInstanceUID", ""))
            twins = first.setdefault((uid, plane.index, plane.region), []) if uid else []
            if any(_are_equal(plane, planes[other]) for other in twins):
                copies += 1
                continue
            different += bool(twins)
            twins.append(n)
            rest.append(n)
        levels.append(rest)
    notes = []
    if copies:
        notes.append(f"{copies} images are there twice (same SOPInstanceUID and pixels); one of each was used")
    if different:
        notes.append(f"{different} images have the SOPInstanceUID of another image and other pixels")
    return levels, tuple(notes)


def without_equal_pixels(
    planes: Sequence[Plane], members: Sequence[Sequence[int]]
) -> tuple[list[list[int]], tuple[str, ...]]:
    """Levels without images whose pixels are those of another one at the same position, under another UID.

    Only levels with more images than the others are looked at, or all where every level holds nothing but copies:
    slices of air may be equal in all volumes of a 4D series.

    Returns
    -------
    list of list of int, tuple of str
        The levels as they were and no note where there are no such copies.
    """
    counts = Counter(len(level) for level in members)
    usual = min(counts, key=lambda count: (-counts[count], count))
    levels: list[list[int]] = []
    for level in members:
        if len(counts) > 1 and len(level) <= usual:
            levels.append(list(level))
            continue
        rest: list[int] = []
        seen: set[tuple[Any, ...]] = set()
        for n in level:
            digest = _digest(planes[n])
            if digest is None or digest not in seen:
                rest.append(n)
            if digest is not None:
                seen.add(digest)
        if len(counts) == 1 and len(rest) > 1:
            return [list(one) for one in members], ()
        levels.append(rest)
    copies = sum(map(len, members)) - sum(map(len, levels))
    if not copies:
        return levels, ()
    many = "1 image is" if copies == 1 else f"{copies} images are"
    return levels, (f"{many} there twice (equal pixels at one position under another UID); one of each was used",)


def _are_equal(one: Plane, two: Plane) -> bool:
    """Whether two planes of one UID have the same values; also where neither file has pixels."""
    return one.header is two.header or _digest(one) == _digest(two)


def _digest(plane: Plane) -> tuple[Any, ...] | None:
    """Equal for planes of equal values; None for one without pixels.

    Raises
    ------
    DecodeError, FormatError
        The pixels cannot be read.
    """
    if plane.header.pixels is None:
        return None
    frame = read_frame(plane.header, plane.index)
    if plane.region is not None:
        top, bottom, left, right = plane.region
        frame = frame[top:bottom, left:right]
    stored = sha256(frame.astype("<i8" if frame.dtype.kind in "iu" else "<f8").tobytes()).digest()
    return stored, frame.shape, plane.slope, plane.intercept
