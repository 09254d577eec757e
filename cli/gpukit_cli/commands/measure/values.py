"""``gpukit measure roi``, ``hu``, ``suv``, ``pixel`` and ``volume``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.measure.options import (
    CalibrationText,
    FrameText,
    Names,
    OverlayPicture,
    Result,
    calibration_given,
)
from gpukit_cli.commands.measure.region_options import (
    LabelList,
    MaskShare,
    Opening,
    Region,
    SliceText,
    Statistics,
    checked,
    is_shape,
    is_volume_file,
    labels_given,
    on_series,
    row_of,
    slices_given,
)
from gpukit_cli.groups import with_groups
from gpukit_cli.params import Inputs, command_with_lists, point, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.dicom.image.frame import Frame
    from gpukit.findings.measurement import Measurement

__all__ = ["register"]


def statistics_of(kind: str, what: str) -> Callable[..., None]:
    """The command that tells the numbers of the values in a region, of one kind of values."""

    def command(
        inputs: Inputs,
        *,
        region: Region,
        slice_: SliceText = None,
        frame: FrameText = None,
        labels: LabelList = None,
        mask_threshold: MaskShare = 0.5,
        statistics: Statistics,
        opening: Opening,
        calibration: CalibrationText = None,
        names: Names,
        overlay: OverlayPicture = None,
        result: Result,
    ) -> None:
        chosen = result.check()
        where, scale = region.given(), calibration_given(calibration)
        options = {"kind": kind, **statistics.given(result.force)}
        from gpukit.measure.intensity.statistics import rois

        flat = is_shape(where) and slice_ is None and not is_volume_file(inputs)
        if not flat and frame is not None:
            raise typer.BadParameter("--frame is for shapes in frames; a mask, ball or --slice belongs to a series")
        if not flat and scale is not None:
            raise typer.BadParameter("--calibration is for shapes in frames; a series knows its place in the patient")
        if flat and (opening.series is not None or opening.phase is not None):
            raise typer.BadParameter(
                "--series and --phase need a mask, a ball or --slice: a shape is taken in every frame"
            )
        with Progress() as progress:
            if flat:
                from gpukit.measure.batch import each_frame

                def one(at: Frame) -> Measurement:
                    return rois(at, where, calibration=scale, device=opening.device, **options)[0]

                rows = each_frame(source_of(inputs), one, frames=frame, progress=progress)
            else:
                measurements = on_series(
                    opening, inputs, where, None if slice_ is None else slices_given(slice_), progress,
                    lambda image, at: rois(
                        image, where, slice=at, labels=labels_given(labels), threshold=mask_threshold, **options
                    ),
                )  # fmt: skip
                rows = [row_of(inputs, measured) for measured in measurements]
        statistics.draw(rows, result.force)
        result.write(names.given_to(rows), chosen, overlay=overlay)

    command.__doc__ = what
    return with_groups(command)


@dataclass(frozen=True)
class Injection:
    """Facts of the patient and the injection, instead of those of the header."""

    weight: Annotated[float | None, typer.Option("--weight", metavar="KG", help="Instead of PatientWeight.")] = None
    height: Annotated[float | None, typer.Option("--height", metavar="CM", help="Instead of PatientSize.")] = None
    sex: Annotated[str | None, typer.Option("--sex", metavar="M|F|O", help="Instead of PatientSex.")] = None
    dose: Annotated[
        str | None, typer.Option("--dose", metavar="TEXT", help="Instead of RadionuclideTotalDose, such as 370MBq.")
    ] = None
    injection_time: Annotated[
        str | None, typer.Option("--injection-time", metavar="TIME", help="Such as 10:35:00, or with a date.")
    ] = None
    reference_time: Annotated[
        str | None, typer.Option("--reference-time", metavar="TIME", help="To which values were decay-corrected.")
    ] = None
    half_life: Annotated[float | None, typer.Option("--half-life", metavar="S", help="In seconds.")] = None


@with_groups
def suv(
    inputs: Inputs,
    region: Region,
    injection: Injection,
    statistics: Statistics,
    opening: Opening,
    names: Names,
    result: Result,
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
    slice_: SliceText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    overlay: OverlayPicture = None,
) -> None:
    """Standardized uptake values of a PET: max, peak, mean, metabolic volume, total lesion glycolysis.

    The result lists every value used (weight, dose, times ...) and where it came from. What cannot be computed is
    refused with the attribute that is missing or contradictory.
    """
    chosen = result.check()
    where, numbers = region.given(), statistics.given(result.force)
    from gpukit.measure.pet.parameters import Overrides
    from gpukit.measure.pet.suv import suvs
    from gpukit.measure.pet.suv_factor import kind_of

    kind = checked(kind_of, kind)
    overrides = Overrides(**asdict(injection))
    with Progress() as progress:
        measurements = on_series(
            opening, inputs, where, slices_given(slice_) if slice_ is not None else "each" if is_shape(where) else None,
            progress,
            lambda image, at: suvs(
                image, where, kind=kind, metabolic=metabolic, overrides=overrides, slice=at,
                labels=labels_given(labels),
                threshold=mask_threshold, **numbers,
            ),
        )  # fmt: skip
    rows = [row_of(inputs, measured) for measured in measurements]
    statistics.draw(rows, result.force)
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def volume(
    inputs: Inputs,
    *,
    region: Region,
    threshold: Annotated[
        str | None, typer.Option("--threshold", metavar="LOW[,HIGH]", help="Values that count, both ends included.")
    ] = None,
    method: Annotated[
        str, typer.Option("--method", metavar="NAME", help="Which one `volume` is: voxels, mesh or planimetric.")
    ] = "voxels",
    slice_: SliceText = None,
    labels: LabelList = None,
    mask_threshold: MaskShare = 0.5,
    opening: Opening,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Volume of each label of a mask, or of the values between thresholds within a region, on a series.

    By voxels, by the mesh around them, and planimetric (areas times the distances of the slices).
    """
    chosen = result.check()
    where = region.given(needed=False)
    if where is None and threshold is None:
        raise typer.BadParameter("--roi or --threshold is needed: which voxels count?")
    from gpukit.measure.intensity.volumes import METHODS, parse_range, volumes

    by = next((one for one in METHODS if one == method), None)
    if by is None:
        raise typer.BadParameter(f"--method {method}: there are {', '.join(METHODS)}")
    values = None if threshold is None else checked(parse_range, threshold)
    with Progress() as progress:
        measurements = on_series(
            opening, inputs, where, slices_given(slice_) if slice_ else "all", progress,
            lambda image, at: volumes(
                image, where, values=values, method=by, slice=at, labels=labels_given(labels), threshold=mask_threshold,
            ),
        )  # fmt: skip
    rows = [row_of(inputs, measured) for measured in measurements]
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def pixel(
    inputs: Inputs,
    *,
    at: Annotated[
        str, typer.Option("--point", metavar="X,Y[,K]", help="Column and row, and slice of a series, from 0.")
    ],
    frame: FrameText = None,
    opening: Opening,
    result: Result,
) -> None:
    """Stored and rescaled value of the pixel at a point: of every frame for X,Y, of a series for X,Y,K."""
    chosen = result.check()
    place = point(at)
    from gpukit.measure.intensity.statistics import nearest_pixel
    from gpukit.measure.intensity.statistics import pixel as measure

    with Progress() as progress:
        if len(place) == 2 and not is_volume_file(inputs):
            from gpukit.measure.batch import each_frame

            rows = each_frame(
                source_of(inputs), lambda f: measure(f, place, device=opening.device), frames=frame, progress=progress
            )
        else:
            if frame is not None:
                raise typer.BadParameter("--frame is for points X,Y; points X,Y,K belong to a series")
            measurements = on_series(
                opening, inputs, place, int(nearest_pixel(place[2])) if len(place) == 3 else None, progress,
                lambda image, k: [measure(image, place if k is not None else place[:2], device=opening.device)],
            )  # fmt: skip
            rows = [row_of(inputs, measured) for measured in measurements]
    result.write(rows, chosen)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    with_polygon = command_with_lists(polygon=point)
    roi = statistics_of(
        "roi", "Statistics of the values in a region: of every frame for a shape, of a series for a mask or ball."
    )
    hu = statistics_of("hu", "Hounsfield units in a region, where modality and rescale type say that values are such.")
    for name, function in {"volume": volume, "roi": roi, "hu": hu, "suv": suv}.items():
        app.command(name, cls=with_polygon)(function)
    app.command("pixel")(pixel)
