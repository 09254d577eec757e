"""Cine loops: pictures without a place in the patient that follow each other in time (ultrasound, angiography)."""

from __future__ import annotations

from dataclasses import replace

from gpukit.geometry import Grid
from gpukit.volume import Volume

__all__ = ["frames_as_slices", "is_cine"]


def is_cine(volume: Volume) -> bool:
    """Whether a volume is several pictures in time, each of one slice without a place in the patient."""
    several = volume.axes.startswith("t") and volume.shape[0] > 1
    return several and volume.grid.shape[0] == 1 and not volume.geometry.position


def frames_as_slices(volume: Volume) -> Volume:
    """A cine loop as a stack, in which slice k is frame k.

    The grid's third axis counts frames and is no length: `Volume.geometry` says that its depth is not stated.

    Parameters
    ----------
    volume : Volume
        A cine loop, ``[t, 1, j, i]`` or ``[t, 1, j, i, c]``.

    Returns
    -------
    Volume
        ``[k, j, i]`` or ``[k, j, i, c]``; each source names its frame by `SourceInstance.index`.
    """
    count, _, rows, columns = volume.shape[:4]
    affine = volume.grid.affine.copy()
    return replace(
        volume,
        array=volume.array[:, 0, ...],
        grid=Grid((count, rows, columns), affine),
        axes=volume.axes[1:],
        phases=(),
        phase_times=(),
        sources=tuple(replace(source, index=source.phase, phase=0) for source in volume.sources),
        geometry=replace(volume.geometry, depth=False),
    )
