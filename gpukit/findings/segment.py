"""Measured regions as DICOM Segmentation objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.errors import InputError
from gpukit.findings.measurement import MaskBlock, Measurement, Options, Row
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation, one_map
from gpukit.version import __version__

__all__ = ["segmentation_of", "write_seg"]


def segmentation_of(measured: Sequence[Measurement]) -> Segmentation:
    """Return the regions of measurements on one volume as labels on its grid, 1 for the first; they may overlap.

    Raises
    ------
    InputError
        A measurement has no region of voxels, or they are of different volumes.
    """
    blocks = [one.mask for one in measured if one.mask is not None]
    if not blocks or len(blocks) < len(measured):
        raise InputError(
            "a measurement without a region of voxels makes no segmentation", attribute="format",
            fix="give --roi, a ball or a --threshold, or write --format sr",
        )  # fmt: skip
    first = blocks[0]
    if any(not block.grid.same_as(first.grid) for block in blocks):
        raise InputError("regions of different images make no one segmentation", attribute="format")
    like = np.zeros(first.grid.shape, np.uint8 if len(blocks) < 256 else np.uint16)
    array, planes = one_map((_whole(block) for block in blocks), range(1, len(blocks) + 1), like)
    labels = tuple(
        Label(
            value, one.label or f"{one.kind} {value}", ANATOMY, TISSUE, tracking_id=one.tracking_id,
            tracking_uid=one.tracking_uid,
        )
        for value, one in enumerate(measured, 1)
    )  # fmt: skip
    return Segmentation(
        array=array, grid=first.grid, labels=labels, sources=first.sources, metadata=first.metadata, planes=planes,
        algorithm={"name": f"gpukit measure {measured[0].kind}", "version": __version__},
    )  # fmt: skip


def _whole(block: MaskBlock) -> Any:
    """Return the voxels of a block in all of its volume, in main memory."""
    from gpukit.device import move

    inside = np.asarray(move(block.array, "cpu")) != 0
    whole = np.zeros(block.grid.shape, np.bool_)
    k, j, i = block.start
    nk, nj, ni = inside.shape
    whole[k : k + nk, j : j + nj, i : i + ni] = inside
    return whole


def write_seg(rows: Sequence[Row], path: Path, options: Options) -> None:
    """A DICOM Segmentation of the measured regions; for `gpukit.findings.write.FORMATS`."""
    from gpukit.dicom.segmentation.seg_write import write_seg as write

    measured = [row.measurement for row in rows if row.measurement is not None]
    write(segmentation_of(measured), path, series_description=options.title or None)
