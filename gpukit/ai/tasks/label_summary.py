"""What a segmentation amounts to, in numbers: the content of the JSON summary and of the table that is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from gpukit.device import array_namespace, move
from gpukit.errors import GeometryError, SelectionError
from gpukit.ops.histogram import histogram
from gpukit.ops.statistics import statistics
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

__all__ = ["amount", "chosen_labels", "keep_labels", "summary"]


def summary(segmentation: Segmentation, volume: Volume | None = None) -> dict[str, Any]:
    """Model, source, grid, and for each label its voxels and millilitres.

    Parameters
    ----------
    segmentation : Segmentation
        On any device, where it is counted: only the counts leave it.
    volume : Volume or None
        The segmented volume, 3D and on the same grid; adds the mean of its values within each label. Padding and values
        that are not finite do not count. From another device it comes to the segmentation's.

    Returns
    -------
    dict
        Ready for JSON: ``model`` (name, version, digest), ``device``, ``source`` (modality, series, number of
        instances; nothing that identifies the patient), ``grid`` (shape k j i, spacing i j k and affine (i, j, k, 1) to
        LPS in mm, voxel volume in mm³), ``labels`` and ``notes``. A label's ``volume_ml`` is its voxels times the
        determinant of the affine; None for a picture without a place in the patient, such as a radiograph, which has no
        depth.

    Raises
    ------
    GeometryError
        The volume is not on the segmentation's grid.
    """
    grid, facts = segmentation.grid, segmentation.metadata
    if volume is not None and (volume.axes != "kji" or not volume.grid.same_as(grid)):
        raise GeometryError("the volume is not on the segmentation's grid", fix="give the volume that was segmented")
    voxels, means = _counts(segmentation, volume)
    placed = segmentation.geometry.position
    labels = []
    for label in segmentation.labels:
        count = voxels[label.value]
        entry: dict[str, Any] = {
            "value": label.value,
            "name": label.name,
            "category": dict(zip(("value", "scheme", "meaning"), label.category, strict=True)),
            "type": dict(zip(("value", "scheme", "meaning"), label.type, strict=True)),
            "voxels": count,
            "volume_ml": count * grid.voxel_volume / 1000 if placed else None,
        }
        if volume is not None:
            entry["mean"] = None if np.isnan(means[label.value]) else means[label.value]
            entry["unit"] = str(volume.unit)
        labels.append(entry)
    return {
        "model": {key: segmentation.algorithm.get(key) for key in ("name", "version", "digest")},
        "device": segmentation.device,
        "source": {
            "modality": facts.get("Modality"),
            "study_instance_uid": facts.get("StudyInstanceUID"),
            "series_instance_uid": facts.get("SeriesInstanceUID"),
            "series_description": facts.get("SeriesDescription"),
            "instances": len({source.sop_instance_uid for source in segmentation.sources}),
        },
        "grid": {
            "shape": list(grid.shape),
            "spacing_mm": list(grid.spacing),
            "affine_lps_mm": grid.affine.tolist(),
            "orientation": grid.codes,
            "voxel_volume_mm3": grid.voxel_volume,
        },
        "labels": labels,
        "notes": list(segmentation.notes),
    }


def chosen_labels(labels: Sequence[Label], wanted: Sequence[str]) -> list[Label]:
    """The labels of these names (case does not matter) or values, in the order of their values.

    Raises
    ------
    SelectionError
        A name or value that none has; says which there are.
    """
    kept: list[Label] = []
    for word in wanted:
        found = [x for x in labels if x.name.casefold() == word.strip().casefold() or str(x.value) == word.strip()]
        if not found:
            listed = ", ".join(f"{label.value} {label.name}" for label in labels)
            raise SelectionError(
                f"there is no label {word.strip()!r}", attribute="--labels", fix=f"choose among: {listed}"
            )
        kept += [label for label in found if label not in kept]
    return sorted(kept, key=lambda label: label.value)


def keep_labels(segmentation: Segmentation, wanted: list[str]) -> Segmentation:
    """Only some labels; the voxels of the others become background.

    Parameters
    ----------
    segmentation : Segmentation
        On any device.
    wanted : list of str
        Names (case does not matter) or values.

    Raises
    ------
    SelectionError
        A name or value that the segmentation does not have; says which there are.
    """
    kept = chosen_labels(segmentation.labels, wanted)
    if segmentation.planes is not None:
        return segmentation.keep(kept)
    array = segmentation.array
    xp = array_namespace(array)
    dropped = [label.value for label in segmentation.labels if label not in kept]
    for value in dropped:
        array = xp.where(array == value, xp.zeros_like(array), array)
    fractions = segmentation.probabilities
    if fractions is not None:
        numbers = [segmentation.labels.index(label) for label in kept]
        if numbers != list(range(len(segmentation.labels))):  # they may be most of the memory: no copy without need
            fractions = xp.stack([fractions[n, ...] for n in numbers])
    return replace(segmentation, array=array, labels=tuple(kept), probabilities=fractions)


def _counts(segmentation: Segmentation, volume: Volume | None) -> tuple[dict[int, int], dict[int, float]]:
    """Voxels and mean value of each label, counted where the label map is: only these numbers leave the device."""
    values = sorted(label.value for label in segmentation.labels)
    if not values:
        return {}, {}
    if segmentation.planes is not None:
        return _counts_of_each(segmentation, volume)
    edges = np.arange(values[-1] + 2) - 0.5
    voxels = np.asarray(move(histogram(segmentation.array, edges), "cpu"))
    means: dict[int, float] = {}
    if volume is not None:
        found = statistics(_finite(segmentation, volume), segmentation.array, labels=values, padding=volume.padding)
        means = {one.label: one.mean for one in found}
    return {value: int(voxels[value]) for value in values}, means


def amount(entry: dict[str, Any], digits: int = 1) -> str:
    """A label's volume for people, from its entry in `summary`: pixels on a picture without depth."""
    ml = entry["volume_ml"]
    return f"{entry['voxels']} pixels" if ml is None else f"{ml:.{digits}f} ml"


def _counts_of_each(segmentation: Segmentation, volume: Volume | None) -> tuple[dict[int, int], dict[int, float]]:
    """As `_counts`, each label on its own, since labels overlap."""
    data = None if volume is None else _finite(segmentation, volume)
    voxels: dict[int, int] = {}
    means: dict[int, float] = {}
    for label in segmentation.labels:
        mask = segmentation.mask(label)
        xp = array_namespace(mask)
        voxels[label.value] = int(xp.count_nonzero(mask))
        if volume is not None:
            found = statistics(data, xp.astype(mask, xp.uint8), labels=[1], padding=volume.padding)
            means[label.value] = found[0].mean
    return voxels, means


def _finite(segmentation: Segmentation, volume: Volume) -> Any:
    """Values of the volume where the segmentation is, infinite ones as NaN, which counts for no measurement."""
    data = volume.to(segmentation.device).array
    xp = array_namespace(data)
    if xp.isdtype(data.dtype, "real floating") and bool(xp.any(xp.isinf(data))):
        data = xp.where(xp.isinf(data), xp.full_like(data, xp.nan), data)
    return data
