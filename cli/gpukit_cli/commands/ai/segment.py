"""``gpukit ai segment``: label the voxels of a series."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.channel_options import Channels, open_channels
from gpukit_cli.commands.ai.options import (
    Models,
    Precision,
    Runtime,
    Trust,
    check_ensemble,
    check_targets,
    chosen_models,
    weight_list,
)
from gpukit_cli.commands.profile_option import Wanted, profiled
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.params import Device, FillGaps, Force, Json, MaxGap, Phase, Series, SkipDamaged, gaps_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Segmentation, Volume

Format = Literal["dicom-seg", "nifti", "json"]
#: Suffixes of output files, by format.
SUFFIXES: dict[str, tuple[str, ...]] = {"dicom-seg": (".dcm",), "nifti": (".nii.gz", ".nii"), "json": (".json",)}


def segment(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the result goes; - for JSON.")],
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT...", help="Files, directories, globs, a DICOMDIR or a zip.", show_default=False),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Folder, weights file, MONAI bundle, nnU-Net folder, or a name of `gpukit ai models`.",
        ),
    ] = None,
    several: Models = None,
    ensemble: Annotated[
        Literal["average", "weighted", "max", "vote", "staple"] | None,
        typer.Option("--ensemble", help="How several models become one [default: average]"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="LIST", help="Of the models, for --ensemble weighted or vote.")
    ] = None,
    flips: Annotated[
        str | None,
        typer.Option(
            "--flips",
            metavar="AXES",
            help="Also run mirrored windows: any of the letters x, y, z, or none [default: the model's]",
        ),
    ] = None,
    form: Annotated[
        Format | None,
        typer.Option("--format", help="What is written [default: by the suffix .dcm, .nii.gz, .nii or .json]"),
    ] = None,
    segmentation_type: Annotated[
        Literal["binary", "labelmap", "fractional"] | None,
        typer.Option(
            "--segmentation-type",
            help="Kind of DICOM SEG: a bit plane a label, one map, or probabilities [default: binary]",
        ),
    ] = None,
    uncompressed: Annotated[
        bool, typer.Option("--uncompressed", help="A label map as it is and not in RLE Lossless.")
    ] = False,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="LIST", help="Keep only these labels: names or values, with commas."),
    ] = None,
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="PNG", help="Also draw the labels over slices of the image.")
    ] = None,
    create_sr: Annotated[
        Path | None,
        typer.Option(
            "--create-sr", metavar="FILE", help="Also write what was measured of each segment of the DICOM SEG as SR."
        ),
    ] = None,
    series: Series = None,
    channel: Channels = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    window_overlap: Annotated[
        float | None,
        typer.Option("--window-overlap", metavar="SHARE", min=0.0, max=0.95, help="Of windows [default: the model's]"),
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Windows run together [default: the model's]")
    ] = None,
    trust: Trust = False,
    profile: Wanted = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Segment one series: a label for every voxel, on the grid of the source images.

    A network of several channels takes an input for each, in the order of its channels or by their names, such as
    --channel T1=t1/ --channel FLAIR=flair/; the labels are on the grid of the first.

    Prints voxels and millilitres of each label, and the paths of the files written.
    """
    import gpukit
    from gpukit.ai.results.segment_report import write_sr, written_seg
    from gpukit.ai.tasks.label_summary import keep_labels, summary
    from gpukit.errors import InputError
    from gpukit.profiling import stage

    kind = format_of(output, form)
    if segmentation_type is not None and kind != "dicom-seg":
        raise typer.BadParameter(f"--segmentation-type is for DICOM SEG, and the format is {kind}")
    if uncompressed and segmentation_type != "labelmap":
        raise typer.BadParameter("--uncompressed is for --segmentation-type labelmap: the others never are compressed")
    if create_sr is not None and kind != "dicom-seg":
        raise typer.BadParameter(f"--create-sr refers to the segments of a DICOM SEG, and the format is {kind}")
    if overlay is not None and overlay.suffix.lower() != ".png":
        raise typer.BadParameter(f"--overlay is a PNG picture: {overlay} must end in .png")
    if as_json and str(output) == "-":
        raise typer.BadParameter("--json and --output - both want standard output")
    targets = [path for path in (output, overlay, create_sr) if path is not None and str(path) != "-"]
    check_targets(*targets, force=force)
    fractional = segmentation_type == "fractional"
    described = [one.for_task("segment") for one in chosen_models(model, several, trust=trust, runtime=runtime)]
    shares = weight_list(weights)
    way = check_ensemble(described, ensemble, shares, ("weighted", "vote"))
    with Progress() as progress, profiled(profile) as seen:
        images = open_channels(
            inputs or [],
            channel,
            series,
            described[0],
            device=device,
            phase=phase,
            fill_gaps=gaps_of(fill_gaps, max_gap),
            skip_damaged=skip_damaged,
            progress=progress,
        )
        volume = images[0]
        shown = tuple(dict.fromkeys(note for one in images for note in one.notes))
        for note in shown:
            warn(note)
        if kind == "dicom-seg" and not volume.sources:
            raise InputError(
                "a DICOM SEG must reference DICOM images, and the input is none",
                file=inputs[0] if inputs else None,
                fix="write NIfTI instead, with --output NAME.nii.gz",
            )
        result = gpukit.segment(
            images,
            described,
            runtime=runtime,
            precision=precision,
            overlap=window_overlap,
            batch=batch_size,
            ensemble=way,
            weights=shares,
            flips="" if flips == "none" else flips,
            probabilities=fractional and (True if labels is None else labels.split(",")),
            progress=lambda done, total: progress("inference", done, total),
        )
        if labels is not None:
            result = keep_labels(result, labels.split(","))
        told = {note for one in described for note in one.notes}
        for note in result.notes[len(shown) :]:
            if note not in told:
                warn(note)
        progress("writing", 0, len(targets))
        image = single(volume)
        with stage("postprocessing"):
            content = {"files": [str(target) for target in targets], **summary(result, image)}
        result = result.to("cpu")  # counted where it was, and one download for all files
        document = json_text("segmentation", content)
        if kind == "json":
            with stage("writing"):
                emit(document, output, force=force)
        else:
            saved = kind if segmentation_type in (None, "binary") else f"dicom-seg-{segmentation_type}"
            gpukit.save(result, output, format=saved, force=force, compress=not uncompressed)
            if create_sr is not None:
                with stage("writing"):
                    write_sr(result, create_sr, volume=image, seg=written_seg(output, result), force=force)
        progress("writing", 1, len(targets))
        if overlay is not None:
            with stage("writing"):
                draw(image, result, overlay, force=force)
            progress("writing", len(targets), len(targets))
    if as_json:
        emit(document if seen is None else json_text("segmentation", {**content, "profile": seen.content()}))
    elif str(output) != "-":
        emit(as_table(content) + "".join(f"{target}\n" for target in targets))


def format_of(output: Path, form: str | None) -> str:
    """The format that was named, else the one that the suffix stands for; a name that contradicts is a usage error."""
    name = output.name.lower()
    by_name = next((kind for kind, suffixes in SUFFIXES.items() if name.endswith(suffixes)), None)
    if str(output) == "-":
        if form not in (None, "json"):
            raise typer.BadParameter(f"only JSON goes to standard output, not {form}")
        return "json"
    if form is None:
        if by_name is None:
            known = ", ".join(suffix for suffixes in SUFFIXES.values() for suffix in suffixes)
            raise typer.BadParameter(f"{output} has none of the suffixes {known}: say --format")
        return by_name
    if form == "nifti" and by_name != "nifti":
        raise typer.BadParameter(f"a NIfTI file ends in .nii.gz or .nii, not as {output.name}")
    if by_name not in (None, form):
        raise typer.BadParameter(f"--format {form} contradicts the name {output.name}")
    return form


def single(volume: Volume) -> Volume | None:
    """The volume if it is one image, or a cine loop with a slice for each frame.

    None for a colour or 4D one, of which no numbers of the anatomy are given.
    """
    from dataclasses import replace

    from gpukit.dicom.modules.cine import frames_as_slices, is_cine

    if is_cine(volume):
        volume = frames_as_slices(volume)
    if volume.axes == "tkji" and volume.shape[0] == 1:
        return replace(volume, array=volume.array[0], axes="kji")
    return volume if volume.axes == "kji" else None


def draw(image: Volume | None, result: Segmentation, overlay: Path, *, force: bool) -> None:
    """The picture of the labels over the anatomy."""
    from gpukit.ai.results.montage import write_montage
    from gpukit.errors import InputError

    if image is None:
        raise InputError("a 4D series makes no picture", attribute="--overlay", fix="choose one phase with --phase")
    write_montage(image, result, overlay, force=force)


def as_table(content: dict[str, Any]) -> str:
    """Labels for people: value, name, voxels, millilitres."""
    rows = [
        (x["value"], x["name"], x["voxels"], "" if x["volume_ml"] is None else f"{x['volume_ml']:.3f}")
        for x in content["labels"]
    ]
    return table(("LABEL", "NAME", "VOXELS", "ML"), rows)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(segment)
