"""``gpukit 3d export``: volumes of series, in other formats."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d import surface
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Force,
    Inputs,
    Json,
    names,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

#: Formats that a volume can be exported to, with the suffix that gpukit gives.
SUFFIXES = {
    "nifti": ".nii.gz", "metaimage": ".mha", "nrrd": ".nrrd", "raw": ".raw",
    "stl": ".stl", "obj": ".obj", "ply": ".ply", "glb": ".glb",
}  # fmt: skip
#: Formats of those that are surfaces.
_MESHES = ("stl", "obj", "ply", "glb")
#: Suffixes that a user may have put on the name already.
_OTHER_SUFFIXES = {"nifti": (".nii.gz", ".nii"), "metaimage": (".mha", ".mhd"), "nrrd": (".nrrd", ".nhdr")}


@with_groups
def export(
    inputs: Inputs,
    *,
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
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Export one series as a volume, NAME.nii.gz, NAME.mha, NAME.nrrd, or as a surface, NAME.stl, .obj, .ply, .glb.

    A NAME that has one of the format's suffixes already keeps it. `raw` writes NAME.raw with its description in
    NAME.json. All phases of a 4D series go into one file of a volume, and into a surface each, unless --phase chooses.
    """
    import gpukit
    from gpukit.documents.atomic import check_output

    kinds = names(formats, known=SUFFIXES, what="format of `3d export`")
    if threshold is not None and not set(kinds) & set(_MESHES):
        raise typer.BadParameter(f"--threshold is for surfaces: add one of {', '.join(_MESHES)} to --formats")
    targets = {kind: target_of(output, kind) for kind in kinds}
    for kind, target in targets.items():
        check_output(target, force=force)
        if kind == "raw":
            check_output(target.with_suffix(".json"), force=force)
    with Progress() as progress:
        volume = opening.open(inputs, progress)
        surfaces: list[surface.Made] = []
        if set(kinds) & set(_MESHES):  # before anything is written: there may be no surface
            surfaces = surface.surfaces_of(volume, threshold, (False, 0, None), progress)
            for kind in set(kinds) & set(_MESHES):
                for target in surface.targets_of(surfaces, targets[kind]):
                    check_output(target, force=force)
        files: list[dict[str, object]] = []
        for number, (kind, target) in enumerate(targets.items()):
            progress("writing", number, len(targets))
            if kind in _MESHES:
                files += _write_surfaces(surfaces, kind, target, force)
            else:
                gpukit.save(volume, target, format=kind, force=force)
                files.append({"format": kind, "path": str(target)})
            progress("writing", number + 1, len(targets))
    emit(_report(volume, files, surfaces) if as_json else "".join(f"{file['path']}\n" for file in files), summary=True)


def _write_surfaces(surfaces: list[surface.Made], kind: str, target: Path, force: bool) -> list[dict[str, object]]:
    """The surface, or that of each phase, and what was written."""
    from gpukit.files.mesh import write_mesh

    files: list[dict[str, object]] = []
    for one, path in zip(surfaces, surface.targets_of(surfaces, target), strict=True):
        write_mesh(one.mesh, path, force=force)
        facts = {"volume_ml": one.mesh.volume / 1000, "area_cm2": one.mesh.area / 100}
        files.append({"format": kind, "path": str(path), **facts})
    return files


def target_of(output: Path, kind: str) -> Path:
    """The file of one format: the name with the format's suffix, unless it has one already."""
    if output.name.lower().endswith(_OTHER_SUFFIXES.get(kind, (SUFFIXES[kind],))):
        return output
    return output.with_name(output.name + SUFFIXES[kind])


def _report(volume: Volume, files: list[dict[str, object]], surfaces: list[surface.Made]) -> str:
    """What was written: numbers that a program needs to go on."""
    return json_text(
        "export",
        {
            "files": files,
            "axes": volume.axes,
            "shape": volume.shape,
            "spacing_mm": volume.grid.spacing,
            "affine_lps_mm": volume.grid.affine,
            "unit": str(volume.unit),
            "dtype": str(volume.array.dtype).rpartition(".")[2],
            "device": volume.device,
            "phases": volume.phases,
            "instances": len({source.sop_instance_uid for source in volume.sources}),
            "value_scale": None if volume.value_scale is None else asdict(volume.value_scale),
            "notes": volume.notes,
            "threshold": surfaces[0].facts["threshold"] if surfaces else None,
        },
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(export)
