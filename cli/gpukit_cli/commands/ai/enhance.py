"""``gpukit ai enhance``: denoised and finer images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import Precision, Runtime, check_targets, find
from gpukit_cli.commands.profile_option import Wanted, profiled
from gpukit_cli.commands.series_options import Opening
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Device, FillGaps, Force, Inputs, Json, MaxGap, Phase, Series, SkipDamaged
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["register"]

_VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")


def enhance(
    inputs: Inputs,
    model: Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="One image: .dcm; a series: a folder; or a volume: .nii.gz, .mha, .nrrd.",
        ),
    ],
    form: Annotated[
        Literal["dicom", "nifti", "metaimage", "nrrd"] | None,
        typer.Option("--format", help="[default: by the suffix; a folder is DICOM]"),
    ] = None,
    nifti: Annotated[Path | None, typer.Option("--nifti", metavar="FILE", help="Also write it as NIfTI.")] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Pictures or windows run together [default: the model's, else 4 or 1]",
        ),
    ] = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    profile: Wanted = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Denoise an image or series, or make it finer: a derived DICOM image or series, or a volume."""
    import gpukit
    from gpukit.ai.tasks.enhance import enhance as run
    from gpukit.dicom.derived.write import check_series_folder
    from gpukit.errors import InputError
    from gpukit.profiling import stage

    name = output.name.lower()
    kind = form or ("dicom" if name.endswith(".dcm") or not name.endswith(_VOLUMES) else None)
    if kind == "dicom" and name.endswith(_VOLUMES):
        raise typer.BadParameter(f"--format dicom contradicts the name {output.name}")
    if nifti is not None and not nifti.name.lower().endswith((".nii", ".nii.gz")):
        raise typer.BadParameter(f"--nifti {nifti} must end in .nii or .nii.gz")
    if str(output) == "-" or str(nifti) == "-":
        raise typer.BadParameter("images are files: name one, not -")
    by_name = {".nii": "nifti", ".nii.gz": "nifti", ".mha": "metaimage", ".mhd": "metaimage", ".nrrd": "nrrd"}
    suffix = next((end for end in (*_VOLUMES, ".dcm") if name.endswith(end)), "")
    if form is not None and suffix and form != {".nhdr": "nrrd", ".dcm": "dicom", **by_name}[suffix]:
        raise typer.BadParameter(f"--format {form} contradicts the name {output.name}")
    if form not in (None, "dicom") and not suffix:
        raise typer.BadParameter(f"--format {form} needs a name that ends as such files do, not {output.name}")
    if kind == "dicom" and not name.endswith(".dcm"):
        if suffix == "" and output.suffix and not output.is_dir() and form is None:
            known = ", ".join((".dcm", *_VOLUMES))
            raise typer.BadParameter(f"{output} has none of the suffixes {known}: say --format dicom for a folder")
        check_series_folder(output, force=force)
        check_targets(nifti, force=force)
    else:
        check_targets(output, nifti, force=force)
    described = find(model, runtime=runtime).for_task("enhance")
    with Progress() as progress, profiled(profile) as seen:
        volume = Opening(series, phase, fill_gaps, False, skip_damaged, device, max_gap).open(inputs, progress)
        if kind == "dicom" and not volume.sources:
            raise InputError(
                "a derived DICOM image must refer to DICOM images, and the input is none", file=inputs[0],
                fix="name a .nii.gz, .mha or .nrrd file",
            )  # fmt: skip
        made = run(
            volume, described, runtime=runtime, precision=precision, batch=batch_size,
            progress=lambda done, total: progress("inference", done, total),
        )  # fmt: skip
        for note in made.notes[len(volume.notes) :]:
            warn(note)
        progress("writing", 0, 1)
        made = made.to("cpu")  # one download for all that is written
        with stage("writing"):
            if kind == "dicom":
                files = _write_dicom(made, output, force=force)
            else:
                files = [gpukit.save(made, output, format=kind, force=force)]
            if nifti is not None:
                files.append(gpukit.save(made, nifti, format="nifti", force=force))
        progress("writing", 1, 1)
    if as_json:
        content = {
            "files": [str(file) for file in files], "model": dict(made.algorithm), "shape": made.shape,
            "spacing_mm": made.grid.spacing, "affine_lps_mm": made.grid.affine, "unit": str(made.unit),
        }  # fmt: skip
        if seen is not None:
            content["profile"] = seen.content()
        emit(json_text("enhanced", content))
    else:
        emit("".join(f"{file}\n" for file in files))


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("enhance")(enhance)


def _write_dicom(made: Volume, output: Path, *, force: bool) -> list[Path]:
    """One file where the name is a file's, else a folder."""
    from gpukit.dicom.derived.write import derived_images, write_derived
    from gpukit.documents.atomic import atomic_path
    from gpukit.errors import OutputError

    if not output.name.lower().endswith(".dcm"):
        return write_derived(made, output, force=force)
    if made.grid.shape[0] > 1:
        raise OutputError(
            f"{made.grid.shape[0]} slices are as many DICOM images", file=output, fix="name a folder, or a .nii.gz file"
        )
    (image,) = derived_images(made)
    with atomic_path(output, force=force) as temporary:
        image.save_as(temporary, enforce_file_format=True)
    return [output]
