"""Options that say which series is read and how, and the reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit_cli.failures import warn
from gpukit_cli.params import (
    Device,
    FillGaps,
    KeepTilt,
    MaxGap,
    Phase,
    RawScale,
    Series,
    SkipDamaged,
    gaps_of,
    source_of,
)

if TYPE_CHECKING:
    from gpukit.volume import Volume
    from gpukit_cli.progress import Progress

__all__ = ["Opening", "Reading"]


@dataclass(frozen=True)
class Reading:
    """One series of the inputs, for networks: a tilted gantry is always straightened."""

    series: Series = None
    phase: Phase = None
    fill_gaps: FillGaps = False
    max_gap: MaxGap = None
    skip_damaged: SkipDamaged = False
    device: Device = None
    raw_scale: RawScale = False

    @property
    def gaps(self) -> bool | int:
        """For `gpukit.open`: whether gaps are interpolated, or how many slices at most."""
        return gaps_of(self.fill_gaps, self.max_gap)

    def open(self, inputs: Sequence[Path], progress: Progress, **options: Any) -> Volume:
        """Read the series that the options choose; print its notes."""
        import gpukit

        volume = gpukit.open(
            source_of(inputs),
            device=self.device,
            series=self.series,
            fill_gaps=self.gaps,
            phase=None if self.phase == "all" else self.phase,
            skip_damaged=self.skip_damaged,
            raw_scale=self.raw_scale,
            progress=progress,
            **options,
        )
        for note in volume.notes:
            warn(note)
        return volume


@dataclass(frozen=True)
class Opening(Reading):
    """One series of the inputs."""

    keep_tilt: KeepTilt = False

    def open(self, inputs: Sequence[Path], progress: Progress, **options: Any) -> Volume:
        """Read the series that the options choose; print its notes."""
        return super().open(inputs, progress, tilt="keep" if self.keep_tilt else "remove", **options)

    def one_phase(self, inputs: Sequence[Path], progress: Progress) -> Volume:
        """The series, of which one phase must be chosen, or all.

        Raises
        ------
        SelectionError
            It has several phases, and the options name none.
        """
        from gpukit.errors import SelectionError

        volume = self.open(inputs, progress)
        if volume.axes.startswith("t") and self.phase is None:
            some = "; ".join(volume.phases[:4]) + ("; ..." if len(volume.phases) > 4 else "")
            raise SelectionError(
                f"the volume has {volume.array.shape[0]} phases ({some})", attribute="phase",
                fix="choose one with --phase, or take them all with --phase all",
            )  # fmt: skip
        return volume
