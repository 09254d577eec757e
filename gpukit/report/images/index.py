"""Instances in folders and zips, by their UIDs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpukit.dicom.reader.discovery import discover
from gpukit.dicom.reader.headers import Header, scan
from gpukit.errors import InputNotFoundError

__all__ = ["ImageIndex"]

_STATES = "1.2.840.10008.5.1.4.1.1.11."
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


class ImageIndex:
    """What lies in some folders.

    Parameters
    ----------
    folders : sequence of Path
        Any nesting; zips too.

    Raises
    ------
    InputNotFoundError
        A folder is not there.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            if not folder.exists():
                raise InputNotFoundError("there is no such folder", file=folder, attribute="image-dir")
        headers: Iterable[Header] = ()
        if folders:
            try:
                headers = scan(discover([str(folder) for folder in folders])).headers
            except InputNotFoundError:  # an empty folder: every image is missing, which the document says
                headers = ()
        self.images: dict[str, Header] = {}
        self.states: dict[str, Header] = {}
        self.segmentations: dict[str, Header] = {}
        self._frames: dict[str, list[Any]] = {}
        self._by_space: dict[str, list[Header]] = {}
        for header in headers:
            uid, kind = str(header.get("SOPInstanceUID", "")), str(header.get("SOPClassUID", ""))
            if kind.startswith(_STATES):
                self.states.setdefault(uid, header)
            elif kind in _SEGMENTATIONS:
                self.segmentations.setdefault(uid, header)
            elif header.pixels is not None and uid:
                self.images.setdefault(uid, header)
                space = str(header.get("FrameOfReferenceUID", ""))
                if space:
                    self._by_space.setdefault(space, []).append(header)

    def frames(self, header: Header) -> list[Any]:
        """Frames of a file, kept."""
        from gpukit.display.frames import shown_frames

        key = str(header.location)
        if key not in self._frames:
            self._frames[key] = shown_frames(header)
        return self._frames[key]

    def in_space(self, frame_of_reference_uid: str) -> list[Any]:
        """Every frame with a place in a frame of reference."""
        frames = []
        for header in self._by_space.get(frame_of_reference_uid, ()):
            frames += [
                f for f in self.frames(header) if f.plane.position is not None and f.plane.orientation is not None
            ]
        return frames
