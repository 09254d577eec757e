"""All of a DICOM Segmentation that stands before its pixels, from an object of one plane and two segments.

What there are many of is encoded here as bytes, in the likeness of what highdicom made one of: references to the
source images, descriptions of segments, functional groups of frames. The rest is written by pydicom.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from gpukit.dicom.modules.cielab import label_color, to_cielab
from gpukit.dicom.modules.source_frames import Planes
from gpukit.dicom.modules.source_header import short_text
from gpukit.dicom.segmentation.explicit_vr import (
    by_pydicom,
    elements,
    encode_item,
    item,
    numbers,
    parts,
    sequence,
    text,
)
from gpukit.dicom.segmentation.seg_template import Kind, describe
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["FrameGroups", "Head"]

_REFERENCED_SERIES, _SOURCE_IMAGES, _SEGMENTS = 0x00081115, 0x00082112, 0x00620002
_PER_FRAME = 0x52009230
_TRACKING = (0x00620020, 0x00620021)
_Code = tuple[str, str, str]


class Head:
    """The object's head.

    Parameters
    ----------
    template : Dataset
        `gpukit.dicom.segmentation.seg_template.make_template`'s, in explicit VR little endian; is changed.
    segmentation : Segmentation
        Its sources are named.
    labels : sequence of Label
        What is described, in ascending order of values.
    planes : Planes
        All planes of the label map.
    kind : {"binary", "labelmap", "fractional"}
        What `template` is of.
    series_uid : str
        Of the sources.
    """

    def __init__(
        self,
        template: Dataset,
        segmentation: Segmentation,
        labels: Sequence[Label],
        planes: Planes,
        kind: Kind,
        series_uid: str,
    ) -> None:
        self._template = template
        self._character_set = template.get("SpecificCharacterSet")
        self._planes, self._kind = planes, kind
        self._several = kind != "labelmap" and len(labels) > 1
        # notes may name files, and a file's name may be a patient's
        told = [note for note in segmentation.notes if not note.startswith("left aside")]
        self._notes = "; ".join(told)[:1024] if not planes.aligned else ""
        self._referred = lru_cache(maxsize=None)(_reference)  # each instance is named three times
        self._many = {
            **_references(segmentation.sources, series_uid, self._referred),
            _SEGMENTS: self._descriptions(labels, segmentation.algorithm),
        }

    def frame_groups(self, included: Sequence[int]) -> tuple[list[int], list[FrameGroups]]:
        """The planes that have frames, in the order of frames, and the functional groups of each; sets what all share.

        Parameters
        ----------
        included : sequence of int
            Planes with frames, ascending.
        """
        from highdicom.spatial import get_plane_sort_index, get_volume_positions
        from pydicom.valuerep import DSfloat

        if not self._planes.placed:
            pattern = _Pattern(self._template.PerFrameFunctionalGroupsSequence[0], self._character_set, self._notes)
            return list(included), [
                pattern.groups(None, number, [self._source(pattern, one) for one in self._planes.references[plane]])
                for number, plane in enumerate(included, 1)
            ]
        shared = self._template.SharedFunctionalGroupsSequence[0]
        orientation = shared.PlaneOrientationSequence[0].ImageOrientationPatient
        texts = [[_decimal(value) for value in position] for position in self._planes.positions]
        positions = np.array(self._planes.positions, float)
        # As highdicom has it: the step of all planes, and whether those with frames lie evenly in this order.
        step, _ = get_volume_positions(positions, orientation)
        measures = shared.PixelMeasuresSequence[0]
        if step is None:
            measures.pop("SpacingBetweenSlices", None)
        else:
            measures.SpacingBetweenSlices = DSfloat(float(step), auto_format=True)
        if len(included) > 1 and not self._several:
            step, _ = get_volume_positions(positions[list(included)], orientation, sort=False)
            if step:
                self._template.DimensionOrganizationType = "3D"
        there = set(included)
        order = [plane for plane in get_plane_sort_index(positions, orientation) if plane in there]
        pattern = _Pattern(self._template.PerFrameFunctionalGroupsSequence[0], self._character_set, self._notes)
        groups = []
        for number, plane in enumerate(order, 1):
            sources = [self._source(pattern, one) for one in self._planes.references[plane]]
            groups.append(pattern.groups(texts[plane], number, sources))
        return order, groups

    def _source(self, pattern: _Pattern, source: SourceInstance) -> bytes:
        frames = () if source.frame is None else (source.frame,)
        preserved = text(0x0028135A, "CS", "YES" if self._planes.pixelwise else "NO") or b""
        return item(self._referred(source.sop_class_uid, source.sop_instance_uid, frames) + preserved + pattern.purpose)

    def write(
        self, target: BinaryIO, shape: Sequence[int], frames: int, described: int, *, compressed: bool = False
    ) -> None:
        """Write all up to the header of the sequence of functional groups.

        Parameters
        ----------
        target : binary stream
            Where to.
        shape : (rows, columns)
            Of a frame.
        frames : int
            How many there are.
        described : int
            Bytes of their functional groups.
        compressed : bool
            Whether the pixels will be in RLE Lossless.
        """
        from pydicom.uid import RLELossless

        template = self._template
        template.Rows, template.Columns, template.NumberOfFrames = *shape, frames
        first, *rest = sorted(self._many)
        start = template[:first]
        start.file_meta = template.file_meta
        if compressed:
            start.file_meta.TransferSyntaxUID = RLELossless
        start.save_as(target, enforce_file_format=True)
        for tag, end in zip((first, *rest), (*rest, _PER_FRAME), strict=True):
            target.write(self._many[tag])
            target.write(by_pydicom(template[tag + 1 : end], self._character_set))
        target.write(struct.pack("<HH2sHI", _PER_FRAME >> 16, _PER_FRAME & 0xFFFF, b"SQ", 0, described))

    def _descriptions(self, labels: Sequence[Label], algorithm: Any) -> bytes:
        """Descriptions of all segments, in the likeness of the first."""
        from highdicom.color import CIELabColor

        made = list(self._template.SegmentSequence)
        # highdicom describes the background of a label map first
        known = [encode_item(one, self._character_set) for one in made[: 1 if self._kind == "labelmap" else 0]]
        pattern = parts(made[len(known)], self._character_set)
        for tag in _TRACKING:  # the first label's own
            pattern.pop(tag, None)
        codes: dict[_Code, bytes | None] = {}
        colors: dict[tuple[int, int, int], bytes] = {}
        for number, label in enumerate(labels, 1):
            for code in (label.category, label.type):
                if code not in codes:
                    codes[code] = _code(code)
            category, kind = codes[label.category], codes[label.type]
            name = text(0x00620005, "LO", short_text(label.name))
            if category is None or kind is None or name is None or label.tracking_uid:  # longer, not ASCII, or tracked
                whole = describe([label], algorithm, self._kind)[0]
                whole.SegmentNumber = label.value if self._kind == "labelmap" else number
                known.append(encode_item(whole, self._character_set))
                continue
            color = label_color(label)
            if color not in colors:
                colors[color] = numbers(0x0062000D, "US", *CIELabColor(*to_cielab(color)).value)
            pattern |= {
                0x00620003: sequence(0x00620003, [category]),
                0x00620004: numbers(0x00620004, "US", label.value if self._kind == "labelmap" else number),
                0x00620005: name,
                0x0062000D: colors[color],
                0x0062000F: sequence(0x0062000F, [kind]),
            }
            known.append(item(elements(pattern)))
        return sequence(_SEGMENTS, known)


class FrameGroups:
    """The encoded functional groups of a plane's frames, of which there may be one for each segment.

    Parameters
    ----------
    encoded : bytes
        The item.
    places : tuple of int or None
        Where the segment's index (UL) and number (US) stand in it.
    """

    def __init__(self, encoded: bytes, places: tuple[int | None, int | None]) -> None:
        self._bytes = bytearray(encoded)
        self._index, self._segment = places

    def __len__(self) -> int:
        return len(self._bytes)

    def of(self, segment: int) -> bytearray:
        """The groups for a segment; valid until the next call."""
        if self._index is not None:
            struct.pack_into("<I", self._bytes, self._index, segment)
        if self._segment is not None:
            struct.pack_into("<H", self._bytes, self._segment, segment)
        return self._bytes


class _Pattern:
    """The functional groups that highdicom made for one frame, in parts around what differs from plane to plane."""

    def __init__(self, group: Dataset, character_set: Any, notes: str) -> None:
        derivation = group.DerivationImageSequence[0]
        self.purpose = parts(derivation.SourceImageSequence[0], character_set)[0x0040A170]
        about = parts(derivation, character_set)
        if notes:
            about[0x00082111] = text(0x00082111, "ST", notes) or _described(notes, character_set)
        self._about = _around(about, _SOURCE_IMAGES)
        # Of a label map only the plane counts; of one segment, the segment is named for all frames at once.
        self._indices = len(np.atleast_1d(group.FrameContentSequence[0].DimensionIndexValues))
        self._content = _around(parts(group.FrameContentSequence[0], character_set), 0x00209157)
        whole = parts(group, character_set)
        self._named = 0x0062000A in whole
        if self._named:
            whole[0x0062000A] = sequence(0x0062000A, [item(numbers(0x0062000B, "US", 0))])
        del whole[0x00089124]
        before, after = _around(whole, 0x00209111)
        self._before, self._after = before, after[len(whole.get(0x00209113, b"")) :]  # the position comes next
        self._tail = sum(len(body) for tag, body in whole.items() if tag > 0x0062000A)

    def groups(self, position: Sequence[str] | None, number: int, sources: Sequence[bytes]) -> FrameGroups:
        """Of frames at a position (decimal strings), the `number`th with frames, that come from encoded `sources`.

        Frames without a position have a label instead: that number.
        """
        index = numbers(0x00209157, "UL", *([0] * (self._indices - 1)), number)
        tail = self._content[1]
        place = b""
        if position is None:
            tail += text(0x00209453, "LO", str(number)) or b""
        else:
            place = sequence(0x00209113, [item(text(0x00200032, "DS", "\\".join(position)) or b"")])
        content = sequence(0x00209111, [item(self._content[0] + index + tail)])
        derived = b""
        if sources:
            derivation = self._about[0] + sequence(_SOURCE_IMAGES, sources) + self._about[1]
            derived = sequence(0x00089124, [item(derivation)])
        encoded = item(derived + self._before + content + place + self._after)
        index_at = None
        if self._indices > 1:
            index_at = 8 + len(derived) + len(self._before) + len(content) - len(tail) - 4 * self._indices
        return FrameGroups(encoded, (index_at, len(encoded) - self._tail - 2 if self._named else None))


def _around(encoded: dict[int, bytes], tag: int) -> tuple[bytes, bytes]:
    """The elements before and after one."""
    before = {one: body for one, body in encoded.items() if one < tag}
    return elements(before), elements({one: body for one, body in encoded.items() if one > tag})


def _described(notes: str, character_set: Any) -> bytes:
    from pydicom import Dataset

    holder = Dataset()
    holder.DerivationDescription = notes
    return by_pydicom(holder, character_set)


def _references(
    sources: Sequence[SourceInstance], series_uid: str, reference: Callable[[str, str, tuple[int, ...]], bytes]
) -> dict[int, bytes]:
    """The true sources, each instance once: all of them, and by their series."""
    frames: dict[tuple[str, str], list[int]] = {}
    for source in sources:
        listed = frames.setdefault((source.sop_class_uid, source.sop_instance_uid), [])
        if source.frame is not None:
            listed.append(source.frame)
    instances = sequence(0x0008114A, [item(reference(*uids, ())) for uids in frames])
    series = elements({0x0008114A: instances, 0x0020000E: text(0x0020000E, "UI", series_uid) or b""})
    return {
        _REFERENCED_SERIES: sequence(_REFERENCED_SERIES, [item(series)]),
        _SOURCE_IMAGES: sequence(_SOURCE_IMAGES, [item(reference(*u, tuple(listed))) for u, listed in frames.items()]),
    }


def _reference(class_uid: str, instance_uid: str, frames: tuple[int, ...]) -> bytes:
    """Elements that name an instance, or frames of it."""
    listed = "\\".join(map(str, sorted(set(frames))))
    encoded = [text(0x00081150, "UI", class_uid), text(0x00081155, "UI", instance_uid)]
    if frames:
        encoded.append(text(0x00081160, "IS", listed))
    if None not in encoded:
        return b"".join(one or b"" for one in encoded)
    from pydicom import Dataset

    whole = Dataset()
    whole.ReferencedSOPClassUID, whole.ReferencedSOPInstanceUID = class_uid, instance_uid
    if frames:
        whole.ReferencedFrameNumber = sorted(set(frames))
    return by_pydicom(whole)


def _code(code: _Code) -> bytes | None:
    """A code sequence's item; None for what is not plain."""
    value, scheme, meaning = code
    if not 0 < len(value) <= 16 or not 0 < len(scheme) <= 16 or not 0 < len(meaning) <= 64 or "\\" in "".join(code):
        return None
    found = [
        text(tag, vr, words)
        for tag, vr, words in ((0x00080100, "SH", value), (0x00080102, "SH", scheme), (0x00080104, "LO", meaning))
    ]
    return None if None in found else item(b"".join(one or b"" for one in found))


def _decimal(value: float) -> str:
    """A decimal string of at most 16 characters (PS3.5 6.2)."""
    from pydicom.valuerep import format_number_as_ds

    short = repr(float(value))
    return short if len(short) <= 16 else format_number_as_ds(value)
