"""Masks: regions that somebody drew, from whatever format, as labels on a volume's own grid."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.errors import FormatError, GeometryError, GpukitError, InputError, SelectionError
from gpukit.io.open import file_reader
from gpukit.ops.resample import resample
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation
from gpukit.volume import Volume

__all__ = ["Wanted", "chosen_labels", "mask_labels", "open_mask", "open_masks", "own_masks"]

#: How a user names labels: one number or name, or several.
Wanted = int | str | Iterable[int | str] | None

#: Beyond this a file of whole numbers is an image and no label map.
_MOST_LABELS = 4096


def open_mask(
    path: str | PathLike[str], volume: Volume, *, labels: Wanted = None, threshold: float = 0.5
) -> Segmentation:
    """Read a mask as one label map on a volume's grid and device.

    Parameters
    ----------
    path : path-like
        A DICOM Segmentation (binary, fractional or label map), an RT Structure Set, or a label map in NIfTI, MetaImage
        or NRRD, where a fourth axis is one volume of 0 and 1 for each label. It may lie on another grid: each voxel of
        the volume then takes the label of the mask's voxel that holds its centre; contours are drawn on the slices that
        they belong to by position.
    volume : Volume
        What is to be measured.
    labels : int, str or several, optional
        Segment numbers, ROI numbers, label values or names (in any case); all unless given.
    threshold : float
        For fractional masks (a fractional DICOM Segmentation, or a file of values from 0 to 1): the least fraction that
        counts as inside.

    Returns
    -------
    Segmentation
        On `volume.grid` and `volume.device`; `notes` tell what was done on the way, such as a mask that reaches outside
        the volume.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        The file is damaged, or holds no mask.
    SelectionError
        A label does not exist, or labels overlap (`open_masks` reads them apart).
    GeometryError
        The mask belongs to another frame of reference, or does not meet the volume.
    """
    name = os.fspath(path)
    kind = _kind(name)
    if kind == "seg":
        segmentation = _from_seg(name, volume, labels, threshold)
    elif kind == "rtstruct":
        from gpukit.dicom.segmentation.rtstruct_read import read_regions, read_rtstruct

        regions = read_regions(name)
        numbers = _select([(r.number, r.name) for r in regions], labels, name)
        segmentation = read_rtstruct(name, volume, regions=numbers)
    else:
        segmentation = _from_file(name, volume, labels, threshold)
    return segmentation.to(volume.device)


def open_masks(
    path: str | PathLike[str], volume: Volume, *, labels: Wanted = None, threshold: float = 0.5
) -> tuple[Segmentation, ...]:
    """Read a mask whose labels may overlap; parameters and errors as `open_mask`.

    Returns
    -------
    tuple of Segmentation
        One that holds all labels where they do not overlap; else one for each label. Of several, those that do not meet
        the volume are left out, and the notes of the first say so.
    """
    name = os.fspath(path)
    pairs = mask_labels(name, labels)
    try:
        return (open_mask(name, volume, labels=[value for value, _ in pairs], threshold=threshold),)
    except SelectionError:
        if len(pairs) < 2:
            raise
    segmentations, missed = [], []
    for value, text in pairs:
        try:
            segmentations.append(open_mask(name, volume, labels=value, threshold=threshold))
        except GeometryError:
            missed.append(f"{value} ({text})")
    if not segmentations:
        raise _misses(name)
    if missed:
        note = f"left out, because they do not meet the volume: {', '.join(missed)}"
        segmentations[0] = replace(segmentations[0], notes=(*segmentations[0].notes, note))
    return tuple(segmentations)


def chosen_labels(segmentation: Segmentation, labels: Wanted) -> Segmentation:
    """Return the same labels with only those that are wanted described; voxels of the others may stay as they are.

    Raises
    ------
    SelectionError
        A wanted label does not exist.
    """
    numbers = _select([(label.value, label.name) for label in segmentation.labels], labels, "the mask")
    if numbers is None:
        return segmentation
    chosen = tuple(label for label in segmentation.labels if label.value in numbers)
    return replace(segmentation, labels=chosen) if segmentation.planes is None else segmentation.keep(chosen)


def mask_labels(path: str | PathLike[str], labels: Wanted = None) -> list[tuple[int, str]]:
    """Number and name of each label that a mask holds, or of those that are wanted.

    Raises
    ------
    SelectionError
        A wanted label does not exist.
    """
    name = os.fspath(path)
    kind = _kind(name)
    if kind == "seg":
        from gpukit.dicom.segmentation.seg_read import segment_names

        pairs = segment_names(name)
    elif kind == "rtstruct":
        from gpukit.dicom.segmentation.rtstruct_read import read_regions

        pairs = [(region.number, region.name) for region in read_regions(name) if region.contours]
    else:
        mask = _volume_file(name)
        if mask.axes == "tkji":
            pairs = _stacked(np.asarray(mask.array))
        else:
            pairs = [(value, f"label {value}") for value in _present(_label_values(mask, name, 0.5)[0])]
    numbers = _select(pairs, labels, name)
    return pairs if numbers is None else [(n, dict(pairs)[n]) for n in numbers]


def own_masks(path: str | PathLike[str], labels: Wanted = None) -> tuple[Segmentation, ...] | None:
    """Return a DICOM Segmentation on a grid of its own, without the series; None where the path is not such an object.

    Returns
    -------
    tuple of Segmentation or None
        On the CPU. One that holds all labels where they do not overlap; else one for each label.
    """
    name = os.fspath(path)
    try:
        if not Path(name).is_file() or _kind(name) != "seg":
            return None
    except GpukitError:  # whatever it is, the reader of images will say what is wrong with it
        return None
    from gpukit.dicom.segmentation.seg_read import read_seg, segment_names

    pairs = segment_names(name)
    numbers = _select(pairs, labels, name) or [number for number, _ in pairs]
    try:
        return (read_seg(name, segments=numbers),)
    except SelectionError:
        return tuple(read_seg(name, segments=[number]) for number in numbers)


def _kind(name: str) -> str:
    """``file`` for a volume format, else by the DICOM header ``seg`` or ``rtstruct``."""
    if file_reader(name) is not None:
        return "file"
    from gpukit.dicom.reader.discovery import discover
    from gpukit.dicom.reader.headers import scan
    from gpukit.dicom.segmentation.rtstruct_read import STORAGE

    result = scan(discover(name))
    if result.problems:
        error = result.problems[0][1]
        raise FormatError(
            f"is not a mask ({error.what})",
            file=name,
            fix="give a DICOM SEG, an RTSTRUCT, or a label map in NIfTI, MetaImage or NRRD",
        ) from error
    if len(result.headers) != 1:
        raise SelectionError(f"holds {len(result.headers)} DICOM files", file=name, fix="name the one that is the mask")
    header = result.headers[0]
    if header.get("SOPClassUID") == STORAGE or header.get("Modality") == "RTSTRUCT":
        return "rtstruct"
    if header.get("Modality") == "SEG" or str(header.get("SOPClassUID")).startswith("1.2.840.10008.5.1.4.1.1.66."):
        return "seg"
    raise FormatError(
        f"is not a mask but an image or report ({header.get('Modality') or 'no modality'})",
        file=name,
        attribute="Modality",
        fix="give a DICOM SEG, an RTSTRUCT, or a label map in NIfTI, MetaImage or NRRD",
    )


def _select(pairs: Sequence[tuple[int, str]], labels: Wanted, name: str) -> list[int] | None:
    """Numbers of the labels that a user named by number or name; None for all."""
    if labels is None:
        return None
    words: list[int | str] = [labels] if isinstance(labels, (int, str)) else list(labels)
    numbers = {number for number, _ in pairs}
    chosen = []
    for word in words:
        if isinstance(word, int) or word.strip().isdecimal():
            matches = [int(word)] if int(word) in numbers else []
        else:
            matches = []
        if not matches and isinstance(word, str):
            matches = [number for number, text in pairs if text.strip().lower() == word.strip().lower()]
        if len(matches) != 1:
            listed = ", ".join(f"{number} ({text})" for number, text in pairs) or "none"
            what = "there is no label" if not matches else "several labels are called"
            raise SelectionError(f"{what} {word!r}", file=name, attribute="labels", fix=f"there are {listed}")
        chosen += matches
    if not chosen:
        raise InputError("no label was named", attribute="labels")
    return list(dict.fromkeys(chosen))


# --- DICOM Segmentations ---------------------------------------------------------------------------------------------


def _from_seg(name: str, volume: Volume, labels: Wanted, threshold: float) -> Segmentation:
    from gpukit.dicom.segmentation.seg_read import read_seg, segment_names

    segments = _select(segment_names(name), labels, name)
    try:
        segmentation = read_seg(name, volume, segments=segments, threshold=threshold)
    except GeometryError as error:
        if error.attribute == "FrameOfReferenceUID":
            raise
        own = read_seg(name, segments=segments, threshold=threshold)
        return _onto(own.array, own, volume, own.labels, name)
    if not bool((segmentation.array != 0).any()):
        raise _misses(name)
    return segmentation


# --- label maps in files ---------------------------------------------------------------------------------------------


def _from_file(name: str, volume: Volume, labels: Wanted, threshold: float) -> Segmentation:
    mask = _volume_file(name)
    if mask.axes == "tkji":
        return _from_stack(mask, name, volume, labels)
    array, fractional = _label_values(mask, name, threshold)
    pairs = [(value, f"label {value}") for value in _present(array)]
    if not pairs:
        raise FormatError("the mask is empty: every voxel is 0", file=name)
    numbers = _select(pairs, labels, name)
    if numbers is not None:
        array = np.where(np.isin(array, numbers), array, 0)
        pairs = [(number, text) for number, text in pairs if number in numbers]
    described = tuple(Label(value=number, name=text, category=ANATOMY, type=TISSUE) for number, text in pairs)
    notes = (f"values from 0 to 1 were taken for fractions: from {threshold:g} on is inside",) if fractional else ()
    return _onto(array, mask, volume, described, name, notes)


def _from_stack(mask: Volume, name: str, volume: Volume, labels: Wanted) -> Segmentation:
    """Return labels that are volumes of 0 and 1 along a fourth axis, numbered from 1, as one map."""
    stack = np.asarray(mask.array)
    pairs = _stacked(stack)
    numbers = _select(pairs, labels, name) or [number for number, _ in pairs]
    array = np.zeros(stack.shape[1:], np.uint8 if len(stack) < 256 else np.uint16)
    for number in numbers:
        inside = stack[number - 1] != 0
        if array[inside].any():
            other = int(array[inside].max())
            raise SelectionError(
                f"labels overlap, such as {other} and {number}: no label map can hold both", file=name,
                attribute="labels", fix="read them one at a time",
            )  # fmt: skip
        array[inside] = number
    described = tuple(Label(value=n, name=text, category=ANATOMY, type=TISSUE) for n, text in pairs if n in numbers)
    return _onto(array, replace(mask, array=stack[0], axes="kji", phases=()), volume, described, name)


def _stacked(stack: NDArray[Any]) -> list[tuple[int, str]]:
    """Number and name of each volume of a stack of masks that has a voxel."""
    return [(n, f"label {n}") for n, one in enumerate(stack, 1) if one.any()]


def _volume_file(name: str) -> Volume:
    reader = file_reader(name)
    assert reader is not None
    mask: Volume = reader(name)
    if mask.axes == "tkji" and mask.array.shape[0] == 1:
        mask = replace(mask, array=mask.array[0], axes="kji", phases=())
    if mask.axes == "tkji" and len(mask.array) <= _MOST_LABELS and np.isin(np.asarray(mask.array), (0, 1)).all():
        return mask
    if mask.axes != "kji":
        raise FormatError(f"a mask has three dimensions, this file has the axes {mask.axes}", file=name)
    return mask


def _label_values(mask: Volume, name: str, threshold: float) -> tuple[NDArray[Any], bool]:
    """Return labels as unsigned integers, and whether fractions were cut at the threshold to make them."""
    values = np.asarray(mask.array)
    if values.dtype.kind == "f":
        if not np.isfinite(values).all():
            raise FormatError("the mask has values that are not finite", file=name)
        if (values != np.rint(values)).any():
            if values.min() < 0 or values.max() > 1:
                raise FormatError(
                    f"is not a label map: its values go from {values.min():g} to {values.max():g} and are not whole",
                    file=name,
                    fix="give whole numbers, or fractions from 0 to 1",
                )
            return ((values > 0) & (values >= threshold)).astype(np.uint8), True
    if values.dtype.kind == "b":
        return values.astype(np.uint8), False
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 0xFFFF:
        raise FormatError(f"is not a label map: its values go from {low} to {high}", file=name)
    return values.astype(np.uint8 if high < 256 else np.uint16), False


def _present(array: NDArray[Any]) -> list[int]:
    """Return labels that occur, ascending, without the background."""
    distinct = np.flatnonzero(np.bincount(array.ravel(), minlength=1))
    if distinct.size > _MOST_LABELS:
        raise FormatError(f"is not a label map: it has {distinct.size} different values")
    return [int(value) for value in distinct if value]


# --- onto the volume's grid ------------------------------------------------------------------------------------------


def _onto(
    array: Any, mask: Volume | Segmentation, volume: Volume, labels: tuple[Label, ...], name: str,
    notes: tuple[str, ...] = (),
) -> Segmentation:  # fmt: skip
    """Nearest labels on the volume's grid; what lies outside is counted and told."""
    remarks = [*volume.notes, *(note for note in mask.notes if note not in volume.notes), *notes]
    host = np.asarray(move(array, "cpu"))
    if mask.grid.same_as(volume.grid, tolerance=1e-3 * min(volume.grid.spacing)):
        on_grid = host
    else:
        matrix = mask.grid.matrix_from(volume.grid)
        on_grid = np.asarray(resample(host, matrix, volume.grid.shape, order=0))
        k, j, i = np.nonzero(host)
        at = volume.grid.to_index(mask.grid.to_world(np.stack([i, j, k], axis=1)))
        beyond = ((at < -0.5) | (at > np.array(volume.grid.shape[::-1]) - 0.5)).any(axis=1)
        remarks.append("the mask lies on another grid: each voxel took the label that its centre falls into")
        if beyond.any():
            remarks.append(f"{beyond.mean():.1%} of the mask lies outside the volume and was left out")
    if not on_grid.any():
        raise _misses(name)
    return Segmentation(
        array=on_grid,
        grid=volume.grid,
        labels=labels,
        sources=volume.sources,
        metadata=volume.metadata,
        notes=tuple(dict.fromkeys(remarks)),
        geometry=volume.geometry,
    )


def _misses(name: str) -> GeometryError:
    return GeometryError("the mask meets no voxel of the volume", file=name, fix="give the series that it was drawn on")
