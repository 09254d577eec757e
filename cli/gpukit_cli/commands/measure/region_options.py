"""Options of ``gpukit measure`` that name a region and its statistics, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.commands.measure.options import CircleText, EllipseText, PolygonPoints, shape_given
from gpukit_cli.failures import warn
from gpukit_cli.params import (
    Device,
    FillGaps,
    MaxGap,
    Phase,
    RawScale,
    Series,
    SkipDamaged,
    box,
    gaps_of,
    length,
    numbers,
    source_of,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.findings.measurement import Measurement, Row
    from gpukit.measure.intensity.features import Bins
    from gpukit.volume import Volume

__all__ = [
    "LabelList",
    "MaskShare",
    "Opening",
    "Region",
    "SliceText",
    "Statistics",
    "checked",
    "is_shape",
    "is_volume_file",
    "labels_given",
    "on_series",
    "row_of",
    "slices_given",
]

SliceText = Annotated[
    str | None,
    typer.Option("--slice", metavar="K", help="Slice of a series that a shape lies in, from 0: 40, 40-45 or all."),
]
LabelList = Annotated[
    str | None, typer.Option("--labels", metavar="LIST", help="Labels of a mask by number or name [default: all].")
]
MaskShare = Annotated[
    float,
    typer.Option("--mask-threshold", metavar="SHARE", min=0, max=1, help="Least fraction of a fractional mask."),
]


@dataclass(frozen=True)
class Region:
    """The one region that is measured."""

    region: Annotated[
        str | None,
        typer.Option(
            "--roi", metavar="X,Y,W,H|FILE",
            help="A rectangle (first column and row, width, height), or a mask: SEG, RTSTRUCT, NIfTI, MetaImage, NRRD.",
        ),
    ] = None  # fmt: skip
    polygon: PolygonPoints = None
    ellipse: EllipseText = None
    circle: CircleText = None
    sphere: Annotated[
        str | None,
        typer.Option("--sphere", metavar="I,J,K,R", help="A ball: column, row, slice of its centre, and such as 10mm."),
    ] = None

    def given(self, *, needed: bool = True) -> Any:
        """The region: a shape, a ball, or the path of a mask."""
        options = {
            "--roi": self.region, "--polygon": self.polygon or None, "--ellipse": self.ellipse, "--circle": self.circle,
            "--sphere": self.sphere,
        }  # fmt: skip
        named = [name for name, value in options.items() if value is not None]
        if len(named) > 1:
            raise typer.BadParameter(f"{' and '.join(named)}: give one region")
        if not named:
            if needed:
                raise typer.BadParameter(f"no region is given: use one of {', '.join(options)}")
            return None
        if self.sphere is not None:
            return _sphere(self.sphere)
        if self.region is None:
            return shape_given(None, self.polygon, self.ellipse, self.circle)
        if Path(self.region).exists():
            return self.region
        try:
            box(self.region)
        except typer.BadParameter:
            if self.region.count(",") == 3:
                raise
            raise typer.BadParameter(
                f"{self.region!r} is neither a rectangle x,y,width,height nor a file that is there"
            ) from None
        return shape_given(self.region)


@dataclass(frozen=True)
class Statistics:
    """Which numbers of the values in a region, and their histogram."""

    statistics: Annotated[
        bool,
        typer.Option("--statistics", help="All numbers: percentiles, skewness, kurtosis, energy, entropy, peak ..."),
    ] = False
    histogram: Annotated[bool, typer.Option("--histogram", help="Add a histogram to the result.")] = False
    histogram_image: Annotated[
        Path | None, typer.Option("--histogram-image", metavar="PNG", help="Draw the histogram as a picture.")
    ] = None
    bins: Annotated[
        int | None, typer.Option("--bins", metavar="N", min=1, help="Bins of equal width [default: 32].")
    ] = None
    bin_width: Annotated[
        float | None, typer.Option("--bin-width", metavar="W", help="Width of a bin, instead of --bins.")
    ] = None
    bin_range: Annotated[
        str | None,
        typer.Option("--range", metavar="LOW,HIGH", help="Ends of the bins [default: lowest and highest value]."),
    ] = None
    percentiles: Annotated[
        str | None, typer.Option("--percentiles", metavar="LIST", help="More percentiles, such as 1,99.")
    ] = None

    def given(self, force: bool) -> dict[str, Any]:
        """Check the name of the picture; return arguments for the functions of `gpukit.measure`."""
        if self.histogram_image is not None:
            if self.histogram_image.suffix.lower() != ".png":
                raise typer.BadParameter(f"--histogram-image {self.histogram_image}: the name must end in .png")
            from gpukit.documents.atomic import check_output

            check_output(self.histogram_image, force=force)
        bins = self._bins()
        return {
            "statistics": self.statistics,
            "bins": bins,
            "percentiles": () if self.percentiles is None else numbers(self.percentiles),
            "histogram": bins or True if self.histogram or self.histogram_image else False,
        }

    def _bins(self) -> Bins | None:
        """The bins that the options ask for; None where they ask for none."""
        if self.bins is None and self.bin_width is None and self.bin_range is None:
            return None
        if self.bins is not None and self.bin_width is not None:
            raise typer.BadParameter("--bins and --bin-width exclude one another")
        from gpukit.measure.intensity.features import Bins

        low, high = numbers(self.bin_range, count=2) if self.bin_range is not None else (None, None)
        if low is not None and high is not None and low >= high:
            raise typer.BadParameter(f"--range {self.bin_range}: the first number must be the smaller one")
        if self.bin_width is not None and self.bin_width <= 0:
            raise typer.BadParameter(f"--bin-width {self.bin_width:g} is not positive")
        return Bins(count=32 if self.bins is None else self.bins, width=self.bin_width, low=low, high=high)

    def draw(self, rows: Sequence[Row], force: bool) -> None:
        """Draw the histogram of the first measurement, where a picture was asked for."""
        if self.histogram_image is None:
            return
        from gpukit.findings.histogram import write_histogram

        drawn = [row for row in rows if row.measurement is not None and row.measurement.extra]
        if not drawn:
            return
        if len(drawn) > 1:
            warn(f"the histogram is that of the first of {len(drawn)} measurements, {drawn[0].file}")
        first = drawn[0].measurement
        assert first is not None and first.extra is not None
        write_histogram(first.extra["histogram"], self.histogram_image, title=first.label, force=force)


@dataclass(frozen=True)
class Opening:
    """Which series is read, and how."""

    series: Series = None
    phase: Phase = None
    fill_gaps: FillGaps = False
    skip_damaged: SkipDamaged = False
    device: Device = None
    max_gap: MaxGap = None
    raw_scale: RawScale = False

    def open(self, inputs: list[Path], progress: Progress) -> Volume:
        """The series that the options choose."""
        import gpukit

        return gpukit.open(
            source_of(inputs), device=self.device, series=self.series, phase=self.phase,
            fill_gaps=gaps_of(self.fill_gaps, self.max_gap), skip_damaged=self.skip_damaged,
            raw_scale=self.raw_scale, progress=progress,
        )  # fmt: skip


# --- what the options mean -------------------------------------------------------------------------------------------


def _sphere(text: str) -> Any:
    """A ball: column, row and slice of its centre, and its radius with a unit."""
    from gpukit.measure.region.shapes import Sphere

    parts = text.split(",")
    if len(parts) != 4:
        raise typer.BadParameter(f"{text!r} is not a ball: write column,row,slice,radius such as 100,120,40,10mm")
    i, j, k = numbers(",".join(parts[:3]), count=3)
    return Sphere((i, j, k), length(parts[3]))


def is_shape(region: Any) -> bool:
    """Whether a region is drawn in a frame or slice."""
    return region is not None and not isinstance(region, str) and type(region).__name__ != "Sphere"


def slices_given(text: str) -> Any:
    """An index, a pair of them, or ``all``."""
    if text.strip().lower() == "all":
        return "all"
    low, dash, high = text.partition("-")
    if not low.strip().isdecimal() or (dash and not high.strip().isdecimal()):
        raise typer.BadParameter(f"--slice {text}: write 40, 40-45 or all")
    return (int(low), int(high)) if dash else int(low)


def labels_given(text: str | None) -> list[str] | None:
    """Labels with commas between; None for all."""
    return None if text is None or text.strip().lower() == "all" else [word.strip() for word in text.split(",")]


def checked(parse: Callable[[str], Any], text: str) -> Any:
    """What a parser of gpukit's makes of a word; its error is one of usage."""
    from gpukit.errors import GpukitError

    try:
        return parse(text)
    except GpukitError as error:
        raise typer.BadParameter(str(error)) from None


def on_series(
    opening: Opening,
    inputs: list[Path],
    region: Any,
    at: Any,
    progress: Progress,
    measure: Callable[[Any, Any], list[Measurement]],
) -> list[Measurement]:
    """What ``measure(image, slice)`` gives on a series.

    A shape, or a point, in single slices of an unevenly spaced series is measured on these slices, each on its own.

    Parameters
    ----------
    at : int, (int, int), "all", "each" or None
        Which slices the region lies in.
    """
    from gpukit.errors import MissingSlicesError

    try:
        return measure(opening.open(inputs, progress), at)
    except MissingSlicesError:
        flat = is_shape(region) or isinstance(region, tuple)
        if opening.fill_gaps or not flat or not (at == "each" or isinstance(at, int)):
            raise
    from dataclasses import replace

    from gpukit.measure.intensity.measured_image import alone_note
    from gpukit.measure.spatial.series_space import slice_frame, slice_frames

    which: dict[str, Any] = {"series": opening.series, "phase": opening.phase}
    if at == "each":
        frames = dict(enumerate(slice_frames(source_of(inputs), **which)))
    else:
        frames = {at: slice_frame(source_of(inputs), at, **which)}
    return [
        replace(measured, notes=(*measured.notes, alone_note(k)))
        for k, frame in frames.items()
        for measured in measure(frame, None)
    ]


# --- input and output ------------------------------------------------------------------------------------------------


def is_volume_file(inputs: Sequence[Path]) -> bool:
    """Whether the only input is a NIfTI, MetaImage or NRRD file."""
    from gpukit.io.open import file_reader

    return len(inputs) == 1 and file_reader(str(inputs[0])) is not None


def row_of(inputs: Sequence[Path], measured: Measurement) -> Row:
    """A row that names the file of a single slice, else what the user gave."""
    from gpukit.findings.measurement import Row

    if len(measured.sources) == 1:
        source = measured.sources[0]
        return Row(file=source.path, frame=source.frame, measurement=measured)
    return Row(file=_common_name(inputs), measurement=measured)


def _common_name(inputs: Sequence[Path]) -> str:
    """The only input, else the folder that holds all inputs, as far as there is one."""
    if len(inputs) == 1:
        return str(inputs[0])
    mixed = len({path.is_absolute() for path in inputs}) > 1
    try:
        return os.path.commonpath([path.absolute() if mixed else path for path in inputs]) or "."
    except ValueError:  # two drives have no folder in common
        return f"{inputs[0]} and {len(inputs) - 1} more"
