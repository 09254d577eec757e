"""Bare voxels with a JSON description beside them, for programs that have no reader of medical files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_folder
from gpukit.files.provenance import stored_array
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["description_of", "write_raw"]

_SUFFIX = ".raw"


def description_of(path: str | os.PathLike[str]) -> Path:
    """Return the JSON file that belongs to a file of bare voxels."""
    return Path(path).with_suffix(".json")


def write_raw(thing: Volume | Segmentation, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write voxels as they are, little-endian in C order, and what they mean as JSON beside them.

    ``volume.raw`` gets ``volume.json``, whose keys are those of `gpukit.volume.Volume`: ``shape`` and ``axes`` (first
    axis outermost), ``dtype``, ``byte_order``, ``spacing_mm`` (along i, j, k), ``affine_lps_mm`` (4 x 4, from the voxel
    indices i, j, k = column, row, slice to LPS mm), ``unit``, ``padding``, ``phases``, ``phase_times`` (s),
    ``algorithm``, and for a label map ``labels`` and ``overlapping``: labels that overlap are one volume of 0 and 1
    each along the axis ``t``.
    Voxels are written in blocks, so that an array larger than memory can be written too.

    Parameters
    ----------
    thing : Volume or Segmentation
        On any device.
    path : path-like
        ``.raw``; the description takes its name with ``.json``.
    force : bool
        Overwrite existing files.

    Raises
    ------
    OutputExistsError
        One of the files exists and `force` is false.
    OutputError
        They cannot be written.
    """
    target = Path(path)
    with atomic_folder(description_of(target), force=force) as header:
        data = header.with_name(target.name)
        kind = _write_voxels(thing, data)
        header.write_text(json.dumps(_described(thing, kind, target.name), indent=2) + "\n", encoding="utf-8")


def _write_voxels(thing: Volume | Segmentation, file: Path) -> np.dtype[Any]:
    kind: np.dtype[Any] | None = None
    with file.open("wb") as out:
        for block in _blocks(stored_array(thing)[0]):
            voxels = block.astype(np.uint8) if block.dtype == np.bool_ else block
            kind = voxels.dtype.newbyteorder("<")
            out.write(np.ascontiguousarray(voxels, dtype=kind).data)
    assert kind is not None
    return kind


def _blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Slices one after the other, in the order of the file."""
    for outer in array:
        yield from (outer if array.ndim > 3 and outer.ndim > 2 else (outer,))


def _described(thing: Volume | Segmentation, kind: np.dtype[Any], name: str) -> dict[str, Any]:
    overlap = isinstance(thing, Segmentation) and thing.planes is not None
    labels = thing.labels if isinstance(thing, Segmentation) else ()
    described: dict[str, Any] = {
        "schema_version": 1,
        "kind": "volume" if isinstance(thing, Volume) else "segmentation",
        "data_file": name,
        "shape": ([len(labels)] if overlap else []) + [int(n) for n in thing.array.shape],
        "axes": thing.axes if isinstance(thing, Volume) else "tkji" if overlap else "kji",
        "dtype": kind.name,
        "byte_order": "little",
        "array_order": "C",
        "spacing_mm": list(thing.grid.spacing),
        "affine_lps_mm": thing.grid.affine.tolist(),
        "frame": "LPS",
    }
    if isinstance(thing, Volume):
        described |= {
            "unit": str(thing.unit),
            "padding": None if thing.padding is None else [float(v) for v in thing.padding],
            "phases": list(thing.phases),
            "phase_times": list(thing.phase_times),
            "value_scale": None if thing.value_scale is None else asdict(thing.value_scale),
        }
    else:
        described["overlapping"] = overlap
        described["labels"] = [
            {"value": label.value, "name": label.name, "color": label.color} for label in thing.labels
        ]
    return described | {"algorithm": dict(thing.algorithm), "notes": list(thing.notes)}
