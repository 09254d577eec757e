"""Measure the brain-tissue model on a head that it never saw, against a label map of the same head.

    python -m gpukit.ai.samples.brain_tissue.evaluate T1 LABELS

T1 is a DICOM series or a NIfTI file; LABELS is a NIfTI file with 1 for white and 2 for grey matter, on any grid of the
same patient space. The figures of ``MODEL_CARD.md`` are made by this command.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import GpukitError
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["compare", "evaluate"]

#: What is compared: name, and the values that count as inside.
TISSUES = (("white matter", (1,)), ("grey matter", (2,)), ("brain", (1, 2)))


def evaluate(image: Path, labels: Path, *, model: str = "brain-tissue") -> dict[str, dict[str, float]]:
    """Segment `image` and compare with `labels`; see `compare` for what comes back."""
    import gpukit

    found = gpukit.segment(gpukit.open(image, device="cpu"), model)
    return compare(found, gpukit.open(labels, device="cpu"))


def compare(found: Segmentation, reference: Volume) -> dict[str, dict[str, float]]:
    """Dice and volumes of white matter, grey matter, and both together.

    Parameters
    ----------
    found : Segmentation
        With 1 for white and 2 for grey matter, on the CPU.
    reference : Volume
        The same values on a grid of its own, on the CPU.

    Returns
    -------
    dict
        For each tissue ``dice`` (0 to 1), ``found_ml`` and ``reference_ml``. The reference is looked up at the centre
        of each voxel of `found`, at its own nearest voxel, and both volumes are counted there.
    """
    theirs = _nearest(found, reference)
    ours = np.asarray(found.array)
    millilitres = found.grid.voxel_volume / 1000.0
    result = {}
    for name, values in TISSUES:
        one, two = np.isin(ours, values), np.isin(theirs, values)
        both = int((one & two).sum())
        result[name] = {
            "dice": 2.0 * both / max(1, int(one.sum()) + int(two.sum())),
            "found_ml": int(one.sum()) * millilitres,
            "reference_ml": int(two.sum()) * millilitres,
        }
    return result


def _nearest(found: Segmentation, reference: Volume) -> NDArray[Any]:
    """The reference at the nearest of its voxels to each voxel of `found`; 0 outside it. Slice by slice."""
    labels = np.asarray(reference.array)
    matrix = reference.grid.matrix_from(found.grid)
    size = np.array(labels.shape[::-1])
    j, i = np.meshgrid(*(np.arange(n) for n in found.grid.shape[1:]), indexing="ij")
    result = np.zeros(found.grid.shape, labels.dtype)
    for k in range(found.grid.shape[0]):
        points = np.stack([i, j, np.full_like(i, k)], axis=-1)
        index = np.rint(points @ matrix[:3, :3].T + matrix[:3, 3]).astype(int)
        inside = ((index >= 0) & (index < size)).all(axis=-1)
        a, b, c = np.moveaxis(index[inside], -1, 0)
        result[k][inside] = labels[c, b, a]
    return result


def main() -> int:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=Path, help="T1-weighted head: a DICOM series or a NIfTI file")
    parser.add_argument("labels", type=Path, help="NIfTI label map: 1 white matter, 2 grey matter")
    parser.add_argument("--model", default="brain-tissue", help="another model of the same labels")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    try:
        result = evaluate(given.image, given.labels, model=given.model)
    except GpukitError as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    if given.json:
        sys.stdout.write(json.dumps({"schema_version": 1, "tissues": result}, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{'':14}{'Dice':>8}{'found ml':>12}{'reference ml':>14}\n")
    for name, row in result.items():
        sys.stdout.write(f"{name:14}{row['dice']:8.3f}{row['found_ml']:12.1f}{row['reference_ml']:14.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
