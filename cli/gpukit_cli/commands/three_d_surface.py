"""``gpukit 3d surface``: surfaces of series as STL, OBJ, PLY or GLB."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.three_d_render import open_volume, picture_file
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Device, FillGaps, Force, Inputs, Json, KeepTilt, Phase, Series, SkipDamaged
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.render.surface import Mesh
    from gpukit.volume import Volume

__all__ = ["register", "threshold_for"]

_SUFFIXES = (".stl", ".obj", ".ply", ".glb")


def surface(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=f"Ends in {', '.join(_SUFFIXES)}.")],
    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="VALUE", help="Voxels of at least this are inside [CT: 200 HU, else Otsu]."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="LIST", help="Of a label map: all, or such as 1,3; writes FILE-1.stl ..."),
    ] = None,
    smooth: Annotated[
        int, typer.Option("--smooth", metavar="N", min=0, help="Iterations of smoothing that does not shrink.")
    ] = 0,
    decimate: Annotated[
        float | None,
        typer.Option("--decimate", metavar="SHARE", help="Keep about this share of the triangles, 0 to 1."),
    ] = None,
    largest: Annotated[bool, typer.Option("--largest", help="Only the surface that encloses most.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Say whether the surface is watertight.")] = False,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the surface around all voxels of at least a threshold, in the patient's LPS millimetres.

    It is closed, also where the object reaches the border of the volume, and its faces look outward.
    """
    if labels is not None and threshold is not None:
        raise typer.BadParameter("--labels and --threshold exclude one another")
    if decimate is not None and not 0 < decimate < 1:
        raise typer.BadParameter(f"--decimate {decimate:g} is no share: write a number between 0 and 1")
    chosen = _labels(labels)
    if labels is None:
        picture_file(output, endings=_SUFFIXES, force=force)
    elif not output.name.lower().endswith(_SUFFIXES):
        raise typer.BadParameter(f"{output} has no ending that says what to write: use {', '.join(_SUFFIXES)}")
    from gpukit.files.atomic import check_output
    from gpukit.files.mesh import is_watertight, write_mesh
    from gpukit.render.surface import label_surfaces
    from gpukit.render.surface import surface as surface_of

    with Progress() as progress:
        volume = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        made: dict[int | None, Mesh] = {}
        if labels is None:
            level = threshold_for(volume, threshold)
            made[None] = surface_of(volume, level, largest=largest, smooth=smooth, share=decimate)
        else:
            found = label_surfaces(volume, chosen, largest=largest, smooth=smooth, share=decimate)
            made.update((label, mesh) for label, mesh in found.items())
        targets = {
            label: output
            if label is None
            else check_output(output.with_name(f"{output.stem}-{label}{output.suffix}"), force=force)
            for label in made
        }
        rows = []
        for n, (label, mesh) in enumerate(made.items()):
            progress("writing", n, len(made))
            write_mesh(mesh, targets[label], force=force)
            row: dict[str, object] = {
                "path": str(targets[label]),
                "triangles": len(mesh.faces),
                "volume_ml": mesh.volume / 1000,
                "area_cm2": mesh.area / 100,
            }
            row |= {"threshold": level, "unit": str(volume.unit)} if label is None else {"label": label}
            if check:
                row["watertight"] = is_watertight(mesh)
            rows.append(row)
            progress("writing", n + 1, len(made))
    emit(json_text("surface", {"surfaces": rows, "frame": "LPS mm"}) if as_json else "".join(map(_line, rows)))


def threshold_for(volume: Volume, threshold: float | None) -> float:
    """What the user said, else the usual one, which the user is told."""
    if threshold is not None:
        return threshold
    from gpukit.render.surface import usual_threshold

    level = usual_threshold(volume)
    warn(f"surface at {level:g} {volume.unit}, because no --threshold was given")
    return level


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(surface)


def _labels(text: str | None) -> list[int] | None:
    if text is None or text.strip().lower() == "all":
        return None
    try:
        return [int(word) for word in text.split(",")]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of labels such as 1,3") from None


def _line(row: dict[str, object]) -> str:
    line = f"{row['path']}: {row['volume_ml']:.6g} ml, {row['area_cm2']:.6g} cm2, {row['triangles']} triangles"
    if "watertight" in row:
        line += ", watertight" if row["watertight"] else ", NOT watertight"
    return line + "\n"
