"""DICOM Segmentation objects, written (PS3.3 A.51 and A.90): voxels, coded meaning, and references to every source."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace, move
from gpukit.dicom.modules.source_frames import plan_planes
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.pixels.rle_encoder import encode_frames
from gpukit.dicom.segmentation.seg_header import Head
from gpukit.dicom.segmentation.seg_stream import Masks, OverlappingMasks, write_binary, write_fractional, write_labelmap
from gpukit.dicom.segmentation.seg_template import Kind, make_template
from gpukit.errors import InputError
from gpukit.extras import missing_package
from gpukit.ops.label_rows import label_rows
from gpukit.segmentation import Label, Segmentation

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Kind", "write_seg"]

#: An empty segmentation keeps all its planes while they are no bigger than this, else the first one only.
_EMPTY_BYTES = 32 << 20


def write_seg(
    segmentation: Segmentation,
    target: str | PathLike[str] | BinaryIO,
    *,
    kind: Kind = "binary",
    compress: bool = True,
    series_description: str | None = None,
    series_number: int | None = None,
) -> None:
    """Write a segmentation as a DICOM Segmentation object.

    Planes, orientation and spacing are the source instances' own numbers wherever the label map lies on their grid; on
    a resampled grid the object has planes of its own and says so. Every source instance (and frame) is referenced, both
    for the whole object and plane by plane. Planes without a voxel of a label are left out, as is usual.

    Parameters
    ----------
    segmentation : Segmentation
        Must have `sources` (its volume was read from DICOM). Patient, study and frame of reference are those of the
        first. From another device the label map comes at once, probabilities label by label.
    target : path or binary stream
        Where to write. Not atomic: `gpukit.save` is.
    kind : {"binary", "labelmap", "fractional"}
        ``binary``: Segmentation Storage, one bit plane a label, numbered 1, 2, 3 ... in the order of the label values;
        labels may overlap (Segments Overlap, PS3.3 C.8.20.2). ``labelmap``: Label Map Segmentation Storage, which keeps
        the label values and cannot hold labels that overlap.
        ``fractional``: Segmentation Storage, one plane of probabilities (of 255) a label, numbered as in ``binary``;
        needs `Segmentation.probabilities`.
    compress : bool
        Label maps in RLE Lossless, which every PACS must be able to read or convert; else as they are.
    series_description, series_number : optional
        Of the new series; by default they follow from the algorithm and the source.

    Raises
    ------
    InputError
        No sources, no labels, a value in the label map that no label describes, or no probabilities.
    GeometryError
        The grid cannot be expressed in DICOM.
    DependencyError
        highdicom is missing.
    """
    put = _prepared(segmentation, kind, compress, series_description, series_number)
    if isinstance(target, (str, PathLike)):
        with Path(target).open("wb") as stream:
            put(stream)
    else:
        put(target)


def _prepared(
    segmentation: Segmentation, kind: Kind, compress: bool, description: str | None, number: int | None
) -> Callable[[BinaryIO], None]:
    """What writes the object, all having been checked but its size."""
    if find_spec("highdicom") is None:
        raise missing_package("writing a DICOM SEG needs highdicom", "dicom")
    sources = segmentation.sources
    if not sources:
        raise InputError(
            "a DICOM SEG must reference the DICOM instances that were segmented, and this volume was not read from any",
            fix="write NIfTI instead (--format nifti)",
        )
    labels = sorted(segmentation.labels, key=lambda label: label.value)
    if not labels:
        raise InputError("the segmentation has no labels", fix="describe at least one label")
    header = source_header(sources[0])
    planes = plan_planes(segmentation.grid, sources, header)
    values = [label.value for label in labels]
    if segmentation.planes is not None and kind == "labelmap":
        raise InputError(
            "labels overlap, and a label map object holds one label a voxel",
            fix="write binary (--segmentation-type binary), or keep labels that do not overlap (--labels)",
        )
    array = _label_map(segmentation, values, kind)
    wide = _bits(kind, values) // 8
    fragments = None
    if kind == "labelmap" and compress and array.itemsize == wide:
        fragments, rows = encode_frames(array, values)
    else:
        rows = label_rows(array, values)
    if rows[:, -1, 1].any():
        raise InputError(f"the label map holds values that no label describes: {_unknown(array, values)}")
    masks = Masks(array, values)
    if segmentation.planes is not None:
        masks = OverlappingMasks(
            np.asarray(move(segmentation.planes, "cpu")), [segmentation.labels.index(label) for label in labels]
        )
        rows = masks.rows()
    if kind == "fractional":
        probabilities, order_of = _probabilities(segmentation, labels)
        there = _planes_with_any(probabilities, order_of)
    else:
        there = rows[:, :-1, 1].T > 0
    size = array[0].size * (len(labels) if kind != "labelmap" else 1) * _bits(kind, values) // 8
    if not there.any():  # nothing was found: planes of nothing say so
        if size * len(array) > _EMPTY_BYTES:
            planes, there = planes.first(), there[:, :1]
        there = np.ones_like(there)
    template = make_template(
        segmentation, labels, header, planes, kind, series_description=description, series_number=number
    )
    if segmentation.planes is not None:
        template.SegmentsOverlap = "YES"
    head = Head(template, segmentation, labels, planes, kind, str(header.SeriesInstanceUID))
    order, groups = head.frame_groups(np.flatnonzero(there.any(axis=0)).tolist())
    if kind == "labelmap":
        wanted = array if array.itemsize == wide else array.astype(np.uint8 if wide == 1 else np.uint16)
        if compress and fragments is None:
            fragments, _ = encode_frames(wanted)
        return lambda stream: write_labelmap(head, order, groups, wanted, fragments, stream)
    frames = [(n, at) for n in range(len(labels)) for at, plane in enumerate(order) if there[n, plane]]
    if kind == "binary":
        return lambda stream: write_binary(head, order, groups, frames, masks, rows, stream)
    return lambda stream: write_fractional(head, order, groups, frames, probabilities, order_of, stream)


def _bits(kind: Kind, values: Sequence[int]) -> int:
    """Bits of a pixel."""
    return 1 if kind == "binary" else 16 if kind == "labelmap" and values[-1] > 255 else 8


def _label_map(segmentation: Segmentation, values: Sequence[int], kind: Kind) -> NDArray[Any]:
    """The label map in main memory, contiguous, of uint8 or uint16, checked but for values without a label."""
    if kind not in ("binary", "labelmap", "fractional"):
        raise InputError(f"{kind!r} is no kind of segmentation", fix="use binary, labelmap or fractional")
    array = np.asarray(move(segmentation.array, "cpu"))
    if array.dtype.kind not in "ui" or (array.dtype.kind == "i" and array.size and int(array.min()) < 0):
        raise InputError(f"a label map holds whole numbers from 0, not {array.dtype}")
    if len(set(values)) != len(values) or values[0] < 1 or values[-1] > 65535:
        raise InputError(f"label values must differ and lie within 1 to 65535, not {list(values)}")
    if array.dtype.itemsize > 2 and int(array.max()) > 65535:
        raise InputError(f"the label map holds the value {int(array.max())}, and no label can be above 65535")
    dtype = np.uint8 if array.dtype.itemsize == 1 else np.uint16
    return np.ascontiguousarray(array, dtype)


def _unknown(array: NDArray[Any], values: Sequence[int]) -> list[int]:
    """Values that no label describes, at most ten."""
    found: set[int] = set()
    for plane in array:
        found.update(np.unique(plane).tolist())
    return sorted(found - {0, *values})[:10]


def _probabilities(segmentation: Segmentation, labels: Sequence[Label]) -> tuple[Any, list[int]]:
    """Probabilities ``[label, plane, row, column]`` where they are, and the place there of each segment."""
    if segmentation.probabilities is None:
        raise InputError(
            "a fractional DICOM SEG holds probabilities, and the segmentation has none",
            fix="segment with probabilities=True, or write binary or labelmap",
        )
    return segmentation.probabilities, [segmentation.labels.index(label) for label in labels]


def _planes_with_any(probabilities: Any, order_of: Sequence[int]) -> NDArray[np.bool_]:
    """Whether a segment has any probability in a plane, ``[segment, plane]``; looked at where they are."""
    xp = array_namespace(probabilities)
    highest = xp.stack([xp.max(probabilities[n, ...], axis=(1, 2)) for n in order_of])
    return np.asarray(move(highest, "cpu")) > 0
