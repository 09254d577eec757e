"""``gpukit ai enhance``: denoised and finer images."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import Ending, Running, Trust, check_targets, find
from gpukit_cli.commands.profile_option import profiled
from gpukit_cli.commands.series_options import Reading
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Inputs
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["register"]

#: Suffix of a volume file -> its format.
_FORMATS = {
    ".nii.gz": "nifti", ".nii": "nifti", ".mha": "metaimage", ".mhd": "metaimage", ".nrrd": "nrrd", ".nhdr": "nrrd",
}  # fmt: skip


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="One image: .dcm; a series: a folder; or a volume: .nii.gz, .mha, .nrrd.",
        ),
    ]
    form: Annotated[
        Literal["dicom", "nifti", "metaimage", "nrrd"] | None,
        typer.Option("--format", help="[default: by the suffix; a folder is DICOM]"),
    ] = None
    nifti: Annotated[Path | None, typer.Option("--nifti", metavar="FILE", help="Also write it as NIfTI.")] = None

    def check(self, *, force: bool) -> str:
        """Return the format of the output; a combination that has no meaning is a usage error."""
        from gpukit.dicom.derived.write import check_series_folder

        output, form = self.output, self.form
        name = output.name.lower()
        suffix = next((end for end in (*_FORMATS, ".dcm") if name.endswith(end)), "")
        by_name = "dicom" if suffix == ".dcm" else _FORMATS.get(suffix)
        if self.nifti is not None and not self.nifti.name.lower().endswith((".nii", ".nii.gz")):
            raise typer.BadParameter(f"--nifti {self.nifti} must end in .nii or .nii.gz")
        if str(output) == "-" or str(self.nifti) == "-":
            raise typer.BadParameter("images are files: name one, not -")
        if form is not None and by_name not in (None, form):
            raise typer.BadParameter(f"--format {form} contradicts the name {output.name}")
        if form not in (None, "dicom") and by_name is None:
            raise typer.BadParameter(f"--format {form} needs a name that ends as such files do, not {output.name}")
        kind = form or by_name or "dicom"
        if kind != "dicom" or suffix == ".dcm":
            check_targets(output, self.nifti, force=force)
            return kind
        if output.suffix and not output.is_dir() and form is None:
            suffixes = ", ".join((".dcm", *_FORMATS))
            raise typer.BadParameter(f"{output} has none of the suffixes {suffixes}: say --format dicom for a folder")
        check_series_folder(output, force=force)
        check_targets(self.nifti, force=force)
        return kind


@with_groups
def enhance(
    inputs: Inputs,
    model: Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")],
    results: Results,
    running: Running,
    reading: Reading,
    ending: Ending,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Pictures or windows run together [default: the model's, else 4 or 1]",
        ),
    ] = None,
    trust: Trust = False,
) -> None:
    """Denoise an image or series, or make it finer: a derived DICOM image or series, or a volume."""
    from gpukit.ai.tasks.enhance import enhance as run
    from gpukit.errors import InputError

    kind = results.check(force=ending.force)
    description = find(model, trust=trust, runtime=running.runtime).for_task("enhance")
    with Progress() as progress, profiled(ending.profile) as profile:
        volume = reading.open(inputs, progress)
        if kind == "dicom" and not volume.sources:
            raise InputError(
                "a derived DICOM image must refer to DICOM images, and the input is none", file=inputs[0],
                fix="name a .nii.gz, .mha or .nrrd file",
            )  # fmt: skip
        enhanced = run(
            volume, description, runtime=running.runtime, precision=running.precision, batch=batch_size,
            progress=lambda done, total: progress("inference", done, total),
        )  # fmt: skip
        for note in enhanced.notes[len(volume.notes) :]:
            warn(note)
        progress("writing", 0, 1)
        enhanced = enhanced.to("cpu")  # one download for all that is written
        files = _write(enhanced, kind, results, force=ending.force)
        progress("writing", 1, 1)
    if not ending.as_json:
        emit("".join(f"{file}\n" for file in files), summary=True)
        return
    content = {
        "files": [str(file) for file in files], "model": dict(enhanced.algorithm), "shape": enhanced.shape,
        "spacing_mm": enhanced.grid.spacing, "affine_lps_mm": enhanced.grid.affine, "unit": str(enhanced.unit),
    }  # fmt: skip
    emit(json_text("enhanced", content if profile is None else {**content, "profile": profile.content()}), summary=True)


def _write(enhanced: Volume, kind: str, results: Results, *, force: bool) -> list[Path]:
    """Write the image; return its files."""
    import gpukit
    from gpukit.profiling import stage

    with stage("writing"):
        if kind == "dicom":
            files = _write_dicom(enhanced, results.output, force=force)
        else:
            files = [gpukit.save(enhanced, results.output, format=kind, force=force)]
        if results.nifti is not None:
            files.append(gpukit.save(enhanced, results.nifti, format="nifti", force=force))
    return files


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("enhance")(enhance)


def _write_dicom(made: Volume, output: Path, *, force: bool) -> list[Path]:
    """One file where the name is a file's, else a folder."""
    from gpukit.dicom.derived.encode import save_image
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
        save_image(image, temporary)
    return [output]
