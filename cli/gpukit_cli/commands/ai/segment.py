"""``gpukit ai segment``: label the voxels of a series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.channel_options import Channels, open_channels
from gpukit_cli.commands.ai.options import (
    Ending,
    Models,
    Running,
    Trust,
    Weights,
    check_ensemble,
    check_targets,
    chosen_models,
    weight_list,
)
from gpukit_cli.commands.profile_option import profiled
from gpukit_cli.commands.series_options import Reading
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model
    from gpukit.segmentation import Segmentation
    from gpukit.volume import Volume

Format = Literal["dicom-seg", "dicom-rtstruct", "nifti", "json"]
#: Suffixes of output files, by format.
SUFFIXES: dict[str, tuple[str, ...]] = {"dicom-seg": (".dcm",), "nifti": (".nii.gz", ".nii"), "json": (".json",)}
#: Formats that refer to the images, with what they are called.
_REFERRING = {"dicom-seg": "a DICOM SEG", "dicom-rtstruct": "an RTSTRUCT"}


@dataclass(frozen=True)
class Networks:
    """Which networks, and how several become one."""

    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Folder, weights file, MONAI bundle, nnU-Net folder, or a name of `gpukit ai models`.",
        ),
    ] = None
    models: Models = None
    ensemble: Annotated[
        Literal["average", "weighted", "max", "vote", "staple"] | None,
        typer.Option("--ensemble", help="How several models become one [default: average]"),
    ] = None
    weights: Weights = None
    flips: Annotated[
        str | None,
        typer.Option(
            "--flips",
            metavar="AXES",
            help="Also run mirrored windows: any of the letters x, y, z, or none [default: the model's]",
        ),
    ] = None
    trust: Trust = False

    def settings(self, models: Sequence[Model]) -> dict[str, Any]:
        """How the networks become one; a combination that has no meaning is a usage error."""
        shares = weight_list(self.weights)
        return {
            "ensemble": check_ensemble(models, self.ensemble, shares, ("weighted", "vote")),
            "weights": shares,
            "flips": "" if self.flips == "none" else self.flips,
        }


@dataclass(frozen=True)
class Windows(Running):
    """How the sliding window runs."""

    window_overlap: Annotated[
        float | None,
        typer.Option("--window-overlap", metavar="SHARE", min=0.0, max=0.95, help="Of windows [default: the model's]"),
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Windows run together [default: the model's]")
    ] = None


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    form: Annotated[
        Format | None,
        typer.Option("--format", help="What is written [default: by the suffix .dcm, .nii.gz, .nii or .json]"),
    ] = None
    segmentation_type: Annotated[
        Literal["binary", "labelmap", "fractional"] | None,
        typer.Option(
            "--segmentation-type",
            help="Kind of DICOM SEG: a bit plane a label, one map, or probabilities [default: binary]",
        ),
    ] = None
    uncompressed: Annotated[
        bool, typer.Option("--uncompressed", help="A label map as it is and not in RLE Lossless.")
    ] = False
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="LIST", help="Keep only these labels: names or values, with commas."),
    ] = None
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="PNG", help="Also draw the labels over slices of the image.")
    ] = None
    create_sr: Annotated[
        Path | None,
        typer.Option(
            "--create-sr", metavar="FILE", help="Also write what was measured of each segment of the DICOM SEG as SR."
        ),
    ] = None

    @property
    def names(self) -> list[str] | None:
        """Labels to keep; None for all."""
        return None if self.labels is None else self.labels.split(",")

    def targets(self, output: Path) -> list[Path]:
        """Files that are written."""
        return [path for path in (output, self.overlay, self.create_sr) if path is not None and str(path) != "-"]

    def check(self, output: Path, ending: Ending) -> str:
        """Return the format of the output; a combination that has no meaning is a usage error."""
        kind = format_of(output, self.form)
        if self.segmentation_type is not None and kind != "dicom-seg":
            raise typer.BadParameter(f"--segmentation-type is for DICOM SEG, and the format is {kind}")
        if self.uncompressed and self.segmentation_type != "labelmap":
            raise typer.BadParameter(
                "--uncompressed is for --segmentation-type labelmap: the others never are compressed"
            )
        if self.create_sr is not None and kind != "dicom-seg":
            raise typer.BadParameter(f"--create-sr refers to the segments of a DICOM SEG, and the format is {kind}")
        if self.overlay is not None and self.overlay.suffix.lower() != ".png":
            raise typer.BadParameter(f"--overlay is a PNG picture: {self.overlay} must end in .png")
        if ending.as_json and str(output) == "-":
            raise typer.BadParameter("--json and --output - both want standard output")
        check_targets(*self.targets(output), force=ending.force)
        return kind


@with_groups
def segment(
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Where the result goes; - for JSON.")],
    networks: Networks,
    results: Results,
    reading: Reading,
    windows: Windows,
    ending: Ending,
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(metavar="INPUT...", help="Files, directories, globs, a DICOMDIR or a zip.", show_default=False),
    ] = None,
    channel: Channels = None,
) -> None:
    """Segment one series: a label for every voxel, on the grid of the source images.

    A network of several channels takes an input for each, in the order of its channels or by their names, such as
    --channel T1=t1/ --channel FLAIR=flair/; the labels are on the grid of the first.

    Prints voxels and millilitres of each label, and the paths of the files written.
    """
    kind = results.check(output, ending)
    models = [
        model.for_task("segment")
        for model in chosen_models(networks.model, networks.models, trust=networks.trust, runtime=windows.runtime)
    ]
    settings = networks.settings(models)
    with Progress() as progress, profiled(ending.profile) as profile:
        images = _images(inputs or [], channel, models[0], reading, progress)
        if kind in _REFERRING and not images[0].sources:
            from gpukit.errors import InputError

            raise InputError(
                f"{_REFERRING[kind]} must reference DICOM images, and the input is none",
                file=inputs[0] if inputs else None,
                fix="write NIfTI instead, with --output NAME.nii.gz",
            )
        segmentation = _run(images, models, settings, results, windows, progress)
        content = _write(segmentation, images[0], output, kind, results, ending, progress)
    if ending.as_json:
        emit(
            json_text("segmentation", content if profile is None else {**content, "profile": profile.content()}),
            summary=True,
        )
    elif str(output) != "-":
        emit(as_table(content) + "".join(f"{target}\n" for target in results.targets(output)), summary=True)


def _images(
    inputs: list[Path], channel: list[str] | None, model: Model, reading: Reading, progress: Progress
) -> list[Volume]:
    """The images of the model's channels; their notes are printed once."""
    images = open_channels(
        inputs, channel, reading.series, model, device=reading.device, phase=reading.phase, fill_gaps=reading.gaps,
        skip_damaged=reading.skip_damaged, raw_scale=reading.raw_scale, progress=progress,
    )  # fmt: skip
    for note in _notes(images):
        warn(note)
    return images


def _notes(images: Sequence[Volume]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(note for image in images for note in image.notes))


def _run(
    images: list[Volume],
    models: list[Model],
    settings: dict[str, Any],
    results: Results,
    windows: Windows,
    progress: Progress,
) -> Segmentation:
    """Run the networks; print the notes that the images and the models did not have."""
    import gpukit
    from gpukit.ai.tasks.label_summary import keep_labels

    segmentation = gpukit.segment(
        images,
        models,
        runtime=windows.runtime,
        precision=windows.precision,
        overlap=windows.window_overlap,
        batch=windows.batch_size,
        **settings,
        probabilities=results.segmentation_type == "fractional" and (results.names or True),
        progress=lambda done, total: progress("inference", done, total),
    )
    if results.names is not None:
        segmentation = keep_labels(segmentation, results.names)
    printed = {note for model in models for note in model.notes}
    for note in segmentation.notes[len(_notes(images)) :]:
        if note not in printed:
            warn(note)
    return segmentation


def _write(
    segmentation: Segmentation,
    volume: Volume,
    output: Path,
    kind: str,
    results: Results,
    ending: Ending,
    progress: Progress,
) -> dict[str, Any]:
    """Write the files; return the content of the JSON summary."""
    import gpukit
    from gpukit.ai.results.segment_report import write_sr, written_seg
    from gpukit.ai.results.write import draw_labels, single_image
    from gpukit.ai.tasks.label_summary import summary
    from gpukit.profiling import stage

    targets = results.targets(output)
    progress("writing", 0, len(targets))
    image = single_image(volume)
    with stage("postprocessing"):
        content = {"files": [str(target) for target in targets], **summary(segmentation, image)}
    segmentation = segmentation.to("cpu")  # counted where it was, and one download for all files
    if kind == "json":
        with stage("writing"):
            emit(json_text("segmentation", content), output, force=ending.force)
    else:
        form = kind if results.segmentation_type in (None, "binary") else f"dicom-seg-{results.segmentation_type}"
        gpukit.save(segmentation, output, format=form, force=ending.force, compress=not results.uncompressed)
        if results.create_sr is not None:
            with stage("writing"):
                seg = written_seg(output, segmentation)
                write_sr(segmentation, results.create_sr, volume=image, seg=seg, force=ending.force)
    progress("writing", 1, len(targets))
    if results.overlay is not None:
        with stage("writing"):
            draw_labels(volume, segmentation, results.overlay, force=ending.force)
        progress("writing", len(targets), len(targets))
    return content


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
    both = by_name in _REFERRING and form in _REFERRING  # each is a DICOM file
    if by_name not in (None, form) and not both:
        raise typer.BadParameter(f"--format {form} contradicts the name {output.name}")
    return form


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
