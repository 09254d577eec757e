"""Options of ``gpukit measure`` that name a region and its statistics, and what they mean."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.commands.measure_options import shape_given
from gpukit_cli.failures import warn
from gpukit_cli.params import box, length, numbers, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.measure.describe import Bins
    from gpukit.measure.results import Measurement, Row
    from gpukit.volume import Volume

__all__ = [
    "BinCount",
    "BinRange",
    "BinWidth",
    "HistogramFlag",
    "HistogramImage",
    "LabelList",
    "MaskShare",
    "PercentileList",
    "RegionText",
    "SliceText",
    "SphereText",
    "StatisticsFlag",
    "bins_given",
    "check_picture",
    "checked",
    "draw_histogram",
    "is_shape",
    "is_volume_file",
    "labels_given",
    "open_series",
    "percentages",
    "region_given",
    "row_of",
    "slices_given",
    "sphere_given",
]

RegionText = Annotated[
    str | None,
    typer.Option(
        "--roi", metavar="X,Y,W,H|FILE",
        help="A rectangle (first column and row, width, height), or a mask: SEG, RTSTRUCT, NIfTI, MetaImage, NRRD.",
    ),
]  # fmt: skip
SphereText = Annotated[
    str | None,
    typer.Option("--sphere", metavar="I,J,K,R", help="A ball: column, row, slice of its centre, and such as 10mm."),
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
StatisticsFlag = Annotated[
    bool, typer.Option("--statistics", help="All numbers: percentiles, skewness, kurtosis, energy, entropy, peak ...")
]
HistogramFlag = Annotated[bool, typer.Option("--histogram", help="Add a histogram to the result.")]
HistogramImage = Annotated[
    Path | None, typer.Option("--histogram-image", metavar="PNG", help="Draw the histogram as a picture.")
]
BinCount = Annotated[int | None, typer.Option("--bins", metavar="N", min=1, help="Bins of equal width [default: 32].")]
BinWidth = Annotated[float | None, typer.Option("--bin-width", metavar="W", help="Width of a bin, instead of --bins.")]
BinRange = Annotated[
    str | None,
    typer.Option("--range", metavar="LOW,HIGH", help="Ends of the bins [default: lowest and highest value]."),
]
PercentileList = Annotated[
    str | None, typer.Option("--percentiles", metavar="LIST", help="More percentiles, such as 1,99.")
]


# --- what the options mean -------------------------------------------------------------------------------------------


def region_given(
    roi: str | None, polygon: list[str] | None, ellipse: str | None, circle: str | None, sphere: str | None,
    *, needed: bool = True,
) -> Any:  # fmt: skip
    """The one region that the options give: a shape, a ball, or the path of a mask."""
    given = {"--roi": roi, "--polygon": polygon or None, "--ellipse": ellipse, "--circle": circle, "--sphere": sphere}
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise typer.BadParameter(f"{' and '.join(names)}: give one region")
    if not names:
        if needed:
            raise typer.BadParameter(f"no region is given: use one of {', '.join(given)}")
        return None
    if sphere is not None:
        return sphere_given(sphere)
    if roi is None:
        return shape_given(None, polygon, ellipse, circle)
    if Path(roi).exists():
        return roi
    try:
        box(roi)
    except typer.BadParameter:
        if roi.count(",") == 3:
            raise
        raise typer.BadParameter(f"{roi!r} is neither a rectangle x,y,width,height nor a file that is there") from None
    return shape_given(roi)


def sphere_given(text: str) -> Any:
    """A ball: column, row and slice of its centre, and its radius with a unit."""
    from gpukit.measure.shapes import Sphere

    parts = text.split(",")
    if len(parts) != 4:
        raise typer.BadParameter(f"{text!r} is no ball: write column,row,slice,radius such as 100,120,40,10mm")
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


def percentages(text: str | None) -> tuple[float, ...]:
    """Percentages with commas between."""
    return () if text is None else numbers(text)


def bins_given(count: int | None, width: float | None, ends: str | None) -> Bins | None:
    """The bins that the options ask for; None where they ask for none."""
    if count is None and width is None and ends is None:
        return None
    if count is not None and width is not None:
        raise typer.BadParameter("--bins and --bin-width exclude one another")
    from gpukit.measure.describe import Bins

    low, high = numbers(ends, count=2) if ends is not None else (None, None)
    if low is not None and high is not None and low >= high:
        raise typer.BadParameter(f"--range {ends}: the first number must be the smaller one")
    if width is not None and width <= 0:
        raise typer.BadParameter(f"--bin-width {width:g} is not positive")
    return Bins(count=32 if count is None else count, width=width, low=low, high=high)


def checked(parse: Callable[[str], Any], text: str) -> Any:
    """What a parser of gpukit's makes of a word; its error is one of usage."""
    from gpukit.errors import GpukitError

    try:
        return parse(text)
    except GpukitError as error:
        raise typer.BadParameter(str(error)) from None


# --- input and output ------------------------------------------------------------------------------------------------


def is_volume_file(inputs: Sequence[Path]) -> bool:
    """Whether the only input is a NIfTI, MetaImage or NRRD file."""
    from gpukit.opening import file_reader

    return len(inputs) == 1 and file_reader(str(inputs[0])) is not None


def open_series(
    inputs: list[Path], device: str | None, series: str | None, phase: str | None, fill_gaps: bool,
    skip_damaged: bool, progress: Progress,
) -> Volume:  # fmt: skip
    """The series that the options choose."""
    import gpukit

    return gpukit.open(
        source_of(inputs), device=device, series=series, phase=phase, fill_gaps=fill_gaps, skip_damaged=skip_damaged,
        progress=progress,
    )  # fmt: skip


def row_of(inputs: Sequence[Path], measured: Measurement) -> Row:
    """A row that names the file of a single slice, else what the user gave."""
    from gpukit.measure.results import Row

    if len(measured.sources) == 1:
        source = measured.sources[0]
        return Row(file=source.path, frame=source.frame, measurement=measured)
    name = str(inputs[0]) if len(inputs) == 1 else os.path.commonpath([str(path) for path in inputs]) or "."
    return Row(file=name, measurement=measured)


def check_picture(path: Path | None, force: bool) -> None:
    """Check the name of the histogram's picture before the work."""
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"--histogram-image {path}: the name must end in .png")
    from gpukit.files.atomic import check_output

    check_output(path, force=force)


def draw_histogram(rows: Sequence[Row], path: Path | None, force: bool) -> None:
    """Draw the histogram of the first measurement."""
    if path is None:
        return
    from gpukit.measure.histograms import write_histogram

    drawn = [row for row in rows if row.measurement is not None and row.measurement.extra]
    if not drawn:
        return
    if len(drawn) > 1:
        warn(f"the histogram is that of the first of {len(drawn)} measurements, {drawn[0].file}")
    first = drawn[0].measurement
    assert first is not None and first.extra is not None
    write_histogram(first.extra["histogram"], path, title=first.label, force=force)
