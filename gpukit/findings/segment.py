"""Measured regions as DICOM Segmentation objects."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.errors import InputError
from gpukit.findings.measurement import MaskBlock, Measurement, Options, Row
from gpukit.version import __version__
from gpukit.volume import ANATOMY, TISSUE, Label, Segmentation

__all__ = ["segmentation_of", "write_seg"]


def segmentation_of(measured: Sequence[Measurement]) -> Segmentation:
    """The regions of measurements on one volume as one label map on its grid, 1 for the first.

    Raises
    ------
    InputError
        A measurement has no region of voxels, they are of different volumes, or they share voxels.
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
    array = np.zeros(first.grid.shape, np.uint8 if len(blocks) < 256 else np.uint16)
    labels = []
    for value, (one, block) in enumerate(zip(measured, blocks, strict=True), 1):
        inside = _host(block)
        k, j, i = block.start
        nk, nj, ni = inside.shape
        room = array[k : k + nk, j : j + nj, i : i + ni]
        if (room[inside] != 0).any():
            raise InputError("regions share voxels, which one label map cannot hold", fix="write one file a region")
        room[inside] = value
        labels.append(Label(value, one.label or f"{one.kind} {value}", ANATOMY, TISSUE))
    return Segmentation(
        array=array, grid=first.grid, labels=tuple(labels), sources=first.sources, metadata=first.metadata,
        algorithm={"name": f"gpukit measure {measured[0].kind}", "version": __version__},
    )  # fmt: skip


def _host(block: MaskBlock) -> Any:
    from gpukit.device import move

    return np.asarray(move(block.array, "cpu")) != 0


def write_seg(rows: Sequence[Row], path: Path, options: Options) -> None:
    """A DICOM Segmentation of the measured regions; for `gpukit.findings.write.FORMATS`."""
    from gpukit.dicom.segmentation.seg_write import write_seg as write

    measured = [row.measurement for row in rows if row.measurement is not None]
    write(segmentation_of(measured), path, series_description=options.title or None)
