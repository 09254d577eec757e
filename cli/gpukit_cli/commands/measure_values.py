"""``gpukit measure roi``, ``hu``, ``suv``, ``pixel`` and ``volume``."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.commands.measure_options import (
    AnnotationText,
    CalibrationText,
    CircleText,
    EllipseText,
    FormatName,
    FrameText,
    Output,
    OverlayPicture,
    PolygonPoints,
    TrackingId,
    TrackingUid,
    calibration_given,
    finish,
    named,
    output_format,
    shape_given,
)
from gpukit_cli.failures import warn
from gpukit_cli.params import (
    Device,
    FillGaps,
    Force,
    Inputs,
    Json,
    Phase,
    Series,
    SkipDamaged,
    box,
    command_with_lists,
    length,
    numbers,
    point,
    source_of,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.measure.describe import Bins
    from gpukit.measure.images import Frame
    from gpukit.measure.results import Measurement, Row
    from gpukit.volume import Volume

__all__ = ["register"]

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


def roi(
    inputs: Inputs,
    region: RegionText = None,
    polygon: PolygonPoints = None,
    ellipse: EllipseText = None,
    circle: CircleText = None,
    sphere: SphereText = None,
    slice_: SliceText = None,
    frame: FrameText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    statistics: StatisticsFlag = False,
    histogram: HistogramFlag = False,
    histogram_image: HistogramImage = None,
    bins: BinCount = None,
    bin_width: BinWidth = None,
    bin_range: BinRange = None,
    percentiles: PercentileList = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    skip_damaged: SkipDamaged = False,
    calibration: CalibrationText = None,
    annotation: AnnotationText = "",
    overlay: OverlayPicture = None,
    tracking_id: TrackingId = "",
    tracking_uid: TrackingUid = "",
    device: Device = None,
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Statistics of the values in a region: of every frame for a shape, of a series for a mask or ball."""
    _values("roi", **locals())


def hu(
    inputs: Inputs,
    region: RegionText = None,
    polygon: PolygonPoints = None,
    ellipse: EllipseText = None,
    circle: CircleText = None,
    sphere: SphereText = None,
    slice_: SliceText = None,
    frame: FrameText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    statistics: StatisticsFlag = False,
    histogram: HistogramFlag = False,
    histogram_image: HistogramImage = None,
    bins: BinCount = None,
    bin_width: BinWidth = None,
    bin_range: BinRange = None,
    percentiles: PercentileList = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    skip_damaged: SkipDamaged = False,
    calibration: CalibrationText = None,
    annotation: AnnotationText = "",
    overlay: OverlayPicture = None,
    tracking_id: TrackingId = "",
    tracking_uid: TrackingUid = "",
    device: Device = None,
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Hounsfield units in a region, where modality and rescale type say that values are such."""
    _values("hu", **locals())


def suv(
    inputs: Inputs,
    region: RegionText = None,
    polygon: PolygonPoints = None,
    ellipse: EllipseText = None,
    circle: CircleText = None,
    sphere: SphereText = None,
    kind: Annotated[
        str, typer.Option("--type", metavar="NAME", help="bw, lbm, lbm-james-128, lbm-morgan, bsa or ibw.")
    ] = "bw",
    metabolic: Annotated[
        str,
        typer.Option(
            "--threshold",
            metavar="SUV|%",
            help="For metabolic volume: an SUV such as 2.5, or such as 41% of the maximum.",
        ),
    ] = "41%",
    weight: Annotated[float | None, typer.Option("--weight", metavar="KG", help="Instead of PatientWeight.")] = None,
    height: Annotated[float | None, typer.Option("--height", metavar="CM", help="Instead of PatientSize.")] = None,
    sex: Annotated[str | None, typer.Option("--sex", metavar="M|F|O", help="Instead of PatientSex.")] = None,
    dose: Annotated[
        str | None, typer.Option("--dose", metavar="TEXT", help="Instead of RadionuclideTotalDose, such as 370MBq.")
    ] = None,
    injection_time: Annotated[
        str | None, typer.Option("--injection-time", metavar="TIME", help="Such as 10:35:00, or with a date.")
    ] = None,
    reference_time: Annotated[
        str | None, typer.Option("--reference-time", metavar="TIME", help="To which values were decay-corrected.")
    ] = None,
    half_life: Annotated[float | None, typer.Option("--half-life", metavar="S", help="In seconds.")] = None,
    slice_: SliceText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    statistics: StatisticsFlag = False,
    histogram: HistogramFlag = False,
    histogram_image: HistogramImage = None,
    bins: BinCount = None,
    bin_width: BinWidth = None,
    bin_range: BinRange = None,
    percentiles: PercentileList = None,
    series: Series = None,
    phase: Phase = None,
    skip_damaged: SkipDamaged = False,
    annotation: AnnotationText = "",
    overlay: OverlayPicture = None,
    tracking_id: TrackingId = "",
    tracking_uid: TrackingUid = "",
    device: Device = None,
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Standardized uptake values of a PET: max, peak, mean, metabolic volume, total lesion glycolysis.

    The result lists every value used (weight, dose, times ...) and where it came from. What cannot be computed is
    refused with the attribute that is missing or contradictory.
    """
    chosen = output_format(output, form, as_json=as_json, force=force)
    _check_picture(histogram_image, force)
    where = _region(region, polygon, ellipse, circle, sphere)
    binning = _bins(bins, bin_width, bin_range)
    from gpukit.measure.suv import suvs
    from gpukit.measure.suv_inputs import Overrides
    from gpukit.measure.suv_scale import kind_of

    kind = _checked(kind_of, kind)
    given = Overrides(
        weight=weight, height=height, sex=sex, dose=dose, injection_time=injection_time, reference_time=reference_time,
        half_life=half_life,
    )  # fmt: skip
    with Progress() as progress:
        volume = _open(inputs, device, series, phase, False, skip_damaged, progress)
        at: Any = _slice(slice_) if slice_ is not None else "each" if _is_shape(where) else None
        made = suvs(
            volume, where, kind=kind, metabolic=metabolic, overrides=given, slice=at, labels=_labels(labels),
            threshold=mask_threshold, statistics=statistics, bins=binning, percentiles=_numbers(percentiles),
            histogram=binning or True if histogram or histogram_image else False,
        )  # fmt: skip
    rows = [_row(inputs, measured) for measured in made]
    _draw(rows, histogram_image, force)
    finish(named(rows, annotation, tracking_id, tracking_uid), output, chosen, force=force, overlay=overlay)


def volume(
    inputs: Inputs,
    region: RegionText = None,
    polygon: PolygonPoints = None,
    ellipse: EllipseText = None,
    circle: CircleText = None,
    sphere: SphereText = None,
    threshold: Annotated[
        str | None, typer.Option("--threshold", metavar="LOW[,HIGH]", help="Values that count, both ends included.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Which one `volume` is: voxels, mesh or planimetric.")
    ] = "voxels",
    slice_: SliceText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    skip_damaged: SkipDamaged = False,
    annotation: AnnotationText = "",
    overlay: OverlayPicture = None,
    tracking_id: TrackingId = "",
    tracking_uid: TrackingUid = "",
    device: Device = None,
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Volume of each label of a mask, or of the values between thresholds within a region, on a series.

    By voxels, by the mesh around them, and planimetric (areas times the distances of the slices).
    """
    chosen = output_format(output, form, as_json=as_json, force=force)
    where = _region(region, polygon, ellipse, circle, sphere, needed=False)
    if where is None and threshold is None:
        raise typer.BadParameter("--roi or --threshold is needed: which voxels count?")
    from gpukit.measure.volumes import METHODS, parse_range, volumes

    if method not in METHODS:
        raise typer.BadParameter(f"--method {method}: there are {', '.join(METHODS)}")
    values = None if threshold is None else _checked(parse_range, threshold)
    with Progress() as progress:
        opened = _open(inputs, device, series, phase, fill_gaps, skip_damaged, progress)
        made = volumes(
            opened, where, values=values, method=method, slice=_slice(slice_) if slice_ else "all",  # type: ignore[arg-type]
            labels=_labels(labels), threshold=mask_threshold,
        )  # fmt: skip
    rows = [_row(inputs, measured) for measured in made]
    finish(named(rows, annotation, tracking_id, tracking_uid), output, chosen, force=force, overlay=overlay)


def pixel(
    inputs: Inputs,
    at: Annotated[
        str, typer.Option("--point", metavar="X,Y[,K]", help="Column and row, and slice of a series, from 0.")
    ],
    frame: FrameText = None,
    series: Series = None,
    phase: Phase = None,
    device: Device = None,
    output: Output = None,
    form: FormatName = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Stored and rescaled value of the pixel at a point: of every frame for X,Y, of a series for X,Y,K."""
    chosen = output_format(output, form, as_json=as_json, force=force)
    place = point(at)
    from gpukit.measure.values import pixel as measure

    with Progress() as progress:
        if len(place) == 2 and not _is_file_format(inputs):
            from gpukit.measure.batch import each_frame

            rows = each_frame(
                source_of(inputs), lambda f: measure(f, place, device=device), frames=frame, progress=progress
            )
        else:
            if frame is not None:
                raise typer.BadParameter("--frame is for points X,Y; points X,Y,K belong to a series")
            rows = [_row(inputs, measure(_open(inputs, device, series, phase, False, False, progress), place))]
    finish(rows, output, chosen, force=force)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    with_polygon = command_with_lists(polygon=point)
    for function in (volume, roi, hu, suv):
        app.command(function.__name__, cls=with_polygon)(function)
    app.command("pixel")(pixel)


def _values(
    kind: str, *, inputs: list[Path], region: str | None, polygon: list[str] | None, ellipse: str | None,
    circle: str | None, sphere: str | None, slice_: str | None, frame: str | None, labels: str | None,
    mask_threshold: float, statistics: bool, histogram: bool, histogram_image: Path | None, bins: int | None,
    bin_width: float | None, bin_range: str | None, percentiles: str | None, series: str | None, phase: str | None,
    fill_gaps: bool, skip_damaged: bool, calibration: str | None, annotation: str, overlay: Path | None,
    tracking_id: str, tracking_uid: str, device: str | None, output: Path | None, form: str | None, force: bool,
    as_json: bool,
) -> None:  # fmt: skip
    chosen = output_format(output, form, as_json=as_json, force=force)
    _check_picture(histogram_image, force)
    where = _region(region, polygon, ellipse, circle, sphere)
    binning, given = _bins(bins, bin_width, bin_range), calibration_given(calibration)
    from gpukit.measure.values import rois

    options: dict[str, Any] = {
        "kind": kind, "statistics": statistics, "bins": binning, "percentiles": _numbers(percentiles),
        "histogram": binning or True if histogram or histogram_image else False,
    }  # fmt: skip
    flat = _is_shape(where) and slice_ is None and not _is_file_format(inputs)
    if not flat and frame is not None:
        raise typer.BadParameter("--frame is for shapes in frames; a mask, ball or --slice belongs to a series")
    if not flat and given is not None:
        raise typer.BadParameter("--calibration is for shapes in frames; a series knows its place in the patient")
    if flat and (series is not None or phase is not None):
        raise typer.BadParameter("--series and --phase need a mask, a ball or --slice: a shape is taken in every frame")
    with Progress() as progress:
        if flat:
            from gpukit.measure.batch import each_frame

            def one(at: Frame) -> Measurement:
                return rois(at, where, calibration=given, device=device, **options)[0]

            rows = each_frame(source_of(inputs), one, frames=frame, progress=progress)
        else:
            opened = _open(inputs, device, series, phase, fill_gaps, skip_damaged, progress)
            made = rois(
                opened, where, slice=None if slice_ is None else _slice(slice_), labels=_labels(labels),
                threshold=mask_threshold, **options,
            )  # fmt: skip
            rows = [_row(inputs, measured) for measured in made]
    _draw(rows, histogram_image, force)
    finish(named(rows, annotation, tracking_id, tracking_uid), output, chosen, force=force, overlay=overlay)


# --- what the options mean -------------------------------------------------------------------------------------------


def _region(
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
        return _sphere(sphere)
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


def _sphere(text: str) -> Any:
    from gpukit.measure.shapes import Sphere

    parts = text.split(",")
    if len(parts) != 4:
        raise typer.BadParameter(f"{text!r} is no ball: write column,row,slice,radius such as 100,120,40,10mm")
    i, j, k = numbers(",".join(parts[:3]), count=3)
    return Sphere((i, j, k), length(parts[3]))


def _is_shape(region: Any) -> bool:
    return region is not None and not isinstance(region, str) and type(region).__name__ != "Sphere"


def _slice(text: str) -> Any:
    """An index, a pair of them, or ``all``."""
    if text.strip().lower() == "all":
        return "all"
    low, dash, high = text.partition("-")
    if not low.strip().isdecimal() or (dash and not high.strip().isdecimal()):
        raise typer.BadParameter(f"--slice {text}: write 40, 40-45 or all")
    return (int(low), int(high)) if dash else int(low)


def _labels(text: str | None) -> list[str] | None:
    return None if text is None or text.strip().lower() == "all" else [word.strip() for word in text.split(",")]


def _numbers(text: str | None) -> tuple[float, ...]:
    return () if text is None else numbers(text)


def _bins(count: int | None, width: float | None, ends: str | None) -> Bins | None:
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


def _checked(parse: Callable[[str], Any], text: str) -> Any:
    from gpukit.errors import GpukitError

    try:
        return parse(text)
    except GpukitError as error:
        raise typer.BadParameter(str(error)) from None


# --- input and output ------------------------------------------------------------------------------------------------


def _is_file_format(inputs: Sequence[Path]) -> bool:
    from gpukit.opening import file_reader

    return len(inputs) == 1 and file_reader(str(inputs[0])) is not None


def _open(
    inputs: list[Path], device: str | None, series: str | None, phase: str | None, fill_gaps: bool,
    skip_damaged: bool, progress: Progress,
) -> Volume:  # fmt: skip
    import gpukit

    return gpukit.open(
        source_of(inputs), device=device, series=series, phase=phase, fill_gaps=fill_gaps, skip_damaged=skip_damaged,
        progress=progress,
    )  # fmt: skip


def _row(inputs: Sequence[Path], measured: Measurement) -> Row:
    """A row that names the file of a single slice, else what the user gave."""
    from gpukit.measure.results import Row

    if len(measured.sources) == 1:
        source = measured.sources[0]
        return Row(file=source.path, frame=source.frame, measurement=measured)
    name = str(inputs[0]) if len(inputs) == 1 else os.path.commonpath([str(path) for path in inputs]) or "."
    return Row(file=name, measurement=measured)


def _check_picture(path: Path | None, force: bool) -> None:
    if path is None:
        return
    if path.suffix.lower() != ".png":
        raise typer.BadParameter(f"--histogram-image {path}: the name must end in .png")
    from gpukit.files.atomic import check_output

    check_output(path, force=force)


def _draw(rows: Sequence[Row], path: Path | None, force: bool) -> None:
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
