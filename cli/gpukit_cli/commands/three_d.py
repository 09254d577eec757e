"""``gpukit 3d``: volumes of series, in other formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands import three_d_render, three_d_surface, three_d_volume
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Device,
    FillGaps,
    Force,
    Inputs,
    Json,
    KeepTilt,
    Phase,
    Series,
    SkipDamaged,
    names,
    source_of,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)

#: Formats that a volume can be exported to, with the suffix that gpukit gives.
SUFFIXES = {
    "nifti": ".nii.gz", "metaimage": ".mha", "nrrd": ".nrrd", "raw": ".raw",
    "stl": ".stl", "obj": ".obj", "ply": ".ply", "glb": ".glb",
}  # fmt: skip
#: Formats of those that are surfaces.
_MESHES = ("stl", "obj", "ply", "glb")
#: Suffixes that a user may have put on the name already.
_OTHER_SUFFIXES = {"nifti": (".nii.gz", ".nii"), "metaimage": (".mha", ".mhd"), "nrrd": (".nrrd", ".nhdr")}


@app.callback()
def three_d() -> None:
    """Planes, projections, pictures and exports of volumes."""


@app.command()
def export(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="NAME", help="Name of the files; suffixes follow.")],
    formats: Annotated[
        str, typer.Option("--formats", metavar="LIST", help=f"Any of {','.join(SUFFIXES)}, with commas between.")
    ] = "nifti",
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="VALUE", help="Of surfaces: the lowest value inside [CT: 200 HU, else Otsu]."
        ),
    ] = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Export one series as a volume, NAME.nii.gz, NAME.mha, NAME.nrrd, or as a surface, NAME.stl, .obj, .ply, .glb.

    A NAME that has one of the format's suffixes already keeps it.
    """
    import gpukit
    from gpukit.files.atomic import check_output

    wanted = names(formats, known=SUFFIXES, what="format of `3d export`")
    if threshold is not None and not set(wanted) & set(_MESHES):
        raise typer.BadParameter(f"--threshold is for surfaces: add one of {', '.join(_MESHES)} to --formats")
    targets = {kind: target_of(output, kind) for kind in wanted}
    for target in targets.values():
        check_output(target, force=force)
    with Progress() as progress:
        volume = gpukit.open(
            source_of(inputs),
            device=device,
            series=series,
            fill_gaps=fill_gaps,
            phase=phase,
            tilt="keep" if keep_tilt else "remove",
            skip_damaged=skip_damaged,
            progress=progress,
        )
        for note in volume.notes:
            warn(note)
        mesh, level = None, None
        if set(wanted) & set(_MESHES):  # before anything is written: there may be no surface
            from gpukit.files.mesh import write_mesh
            from gpukit.render.surface import surface

            level = three_d_surface.threshold_for(volume, threshold)
            mesh = surface(volume, level)
        for done, (kind, target) in enumerate(targets.items()):
            progress("writing", done, len(targets))
            if kind in _MESHES and mesh is not None:
                write_mesh(mesh, target, force=force)
            else:
                gpukit.save(volume, target, format=kind, force=force)
            progress("writing", done + 1, len(targets))
    emit(_report(volume, targets, level) if as_json else "".join(f"{target}\n" for target in targets.values()))


three_d_render.register(app)
three_d_volume.register(app)
three_d_surface.register(app)


def target_of(output: Path, kind: str) -> Path:
    """The file of one format: the name with the format's suffix, unless it has one already."""
    if output.name.lower().endswith(_OTHER_SUFFIXES.get(kind, (SUFFIXES[kind],))):
        return output
    return output.with_name(output.name + SUFFIXES[kind])


def _report(volume: Volume, targets: dict[str, Path], threshold: float | None) -> str:
    """What was written: numbers that a program needs to go on."""
    return json_text(
        "export",
        {
            "files": [{"format": kind, "path": str(target)} for kind, target in targets.items()],
            "axes": volume.axes,
            "shape": volume.shape,
            "spacing_mm": volume.grid.spacing,
            "affine_lps_mm": volume.grid.affine,
            "unit": str(volume.unit),
            "dtype": str(volume.array.dtype).rpartition(".")[2],
            "device": volume.device,
            "phases": volume.phases,
            "instances": len({source.sop_instance_uid for source in volume.sources}),
            "notes": volume.notes,
            "threshold": threshold,
        },
    )
