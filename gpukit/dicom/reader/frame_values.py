"""Functional groups of one file as values: sequences of dictionaries by keyword, for every frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from gpukit.dicom.reader.attributes import GROUPS, PER_FRAME, SHARED, Group
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.frame_groups import GroupReader, Raw, Slot, Values
from gpukit.dicom.reader.values import Wrong, decode
from gpukit.errors import FormatError

__all__ = ["FunctionalGroups"]

#: A number that is wrong here makes the file unusable; elsewhere it is left out.
_ESSENTIAL = frozenset(
    {"ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept"}
    | {"RealWorldValueSlope", "RealWorldValueIntercept"}
)


@dataclass
class FunctionalGroups:
    """The shared and the per-frame functional groups of a file, read on first use and kept.

    Parameters
    ----------
    location : Location
        The file.
    explicit : bool
        Whether its VR is explicit.
    spans : dict
        Offset and length of the sequences' values by tag, where they are still to be read.
    items : dict
        Raw items by tag, where they were read with the header.
    reader : GroupReader
        Of the scan, so that files of a series share what it learnt.
    """

    location: Location
    explicit: bool
    spans: dict[int, tuple[int, int]]
    items: dict[int, list[Raw]]
    reader: GroupReader
    _memory: dict[tuple[Slot, str, bytes], Any] = field(default_factory=dict, repr=False)
    _shared: list[dict[str, Any]] | None = field(default=None, repr=False)
    _frames: list[dict[str, Any]] | None = field(default=None, repr=False)

    @property
    def shared(self) -> list[dict[str, Any]]:
        """The item of the shared functional groups, in a list; none where the file has none.

        Raises
        ------
        Unreadable
            The file has an oddity: it must be read in full.
        FormatError
            A number on which geometry or values depend is not a number.
        """
        if self._shared is None:
            self._shared = self._read(SHARED)
        return self._shared

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The per-frame functional groups in the order of the frames; raises as `shared`."""
        if self._frames is None:
            self._frames = self._read(PER_FRAME)
        return self._frames

    def _read(self, tag: int) -> list[dict[str, Any]]:
        raw = self.items.pop(tag, None)
        if raw is None:
            if tag not in self.spans:
                return []
            offset, length = self.spans[tag]
            with self.location.open() as stream:

                def read(n: int, position: int) -> bytes:
                    stream.seek(position)
                    return stream.read(n)

                raw = self.reader.read(read, offset, length, explicit=self.explicit, size=offset + length).items
        constants: dict[int, tuple[Values, dict[str, Any]]] = {}  # with the object, so that its id stays its own
        out = []
        for shared, own in raw:
            if id(shared) not in constants:
                constants[id(shared)] = shared, self._nested({}, shared)
            out.append(self._nested(constants[id(shared)][1], own))
        return out

    def _nested(self, base: dict[str, Any], values: Values) -> dict[str, Any]:
        """Attributes as sequences of one dictionary by keyword, over those of `base`, which is not changed."""
        out = dict(base)
        fresh: dict[Slot, dict[str, Any]] = {}
        for slot, (vr, raw) in values.items():
            value = self._decode(slot, vr, raw)
            if value is None:
                continue
            level, members, path = out, GROUPS, slot[:-1]
            if (inner := fresh.get(path)) is not None:
                level, members = inner, _members(path)
            else:
                for n, tag in enumerate(path):
                    group = members[tag]
                    members = group.members or {}
                    if (inner := fresh.get(path[: n + 1])) is None:
                        inner = fresh[path[: n + 1]] = dict(level[group.keyword][0]) if group.keyword in level else {}
                        level[group.keyword] = [inner]
                    level = inner
            level[members[slot[-1]].keyword] = value
        return out

    def _decode(self, slot: Slot, vr: str, raw: bytes) -> Any:
        key = (slot, vr, raw)
        try:
            return self._memory[key]
        except KeyError:
            pass
        attribute = _attribute(slot)
        value = decode(raw, vr if vr not in ("", "UN") else attribute.vr, True, "<", b"")
        if isinstance(value, Wrong):
            if attribute.keyword in _ESSENTIAL:
                raise FormatError(
                    value.why, file=str(self.location), attribute=attribute.keyword, fix="correct the file"
                )
            value = None
        if isinstance(value, tuple) and not attribute.many:
            value = value[0] if len(value) == 1 else value or None
        self._memory[key] = value
        return value


@lru_cache(maxsize=256)
def _members(path: Slot) -> dict[int, Group]:
    """The wanted attributes of the sequence at a path."""
    members = GROUPS
    for tag in path:
        members = members[tag].members or {}
    return members


def _attribute(slot: Slot) -> Group:
    return _members(slot[:-1])[slot[-1]]
