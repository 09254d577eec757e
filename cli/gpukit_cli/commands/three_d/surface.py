"""``gpukit 3d surface``: surfaces of series as STL, OBJ, PLY or GLB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Force, Inputs, Json
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.files.mesh import Part
    from gpukit.ops.isosurface import Mesh
    from gpukit.segmentation import Segmentation
    from gpukit.volume import Volume

__all__ = ["Made", "parts_of_mask", "register", "surfaces_of", "targets_of"]

_SUFFIXES = (".stl", ".obj", ".ply", ".glb")
#: A smoothed or decimated surface that encloses more or less than this share of the whole is told of.
_TOLERANCE = 0.01


@dataclass(frozen=True)
class Made:
    """A surface on its way to a file: what it is of, and what it was before it was simplified."""

    mesh: Mesh
    name: str
    word: str
    color: tuple[int, int, int]
    facts: dict[str, object]
    before: Mesh


@dataclass(frozen=True)
class Region:
    """Options of the region that the surface encloses."""

    threshold: Annotated[
        float | None,
        typer.Option(
            "--threshold", metavar="VALUE", help="Voxels of at least this are inside [CT: 200 HU, else Otsu]."
        ),
    ] = None
    mask: Annotated[
        Path | None,
        typer.Option("--mask", metavar="FILE", help="Surfaces of its labels: SEG, RTSTRUCT, NIfTI, MetaImage, NRRD."),
    ] = None
    labels: Annotated[
        str | None,
        typer.Option("--labels", metavar="LIST", help="Of --mask or of a label map: all, or such as 1,3 or liver."),
    ] = None


@dataclass(frozen=True)
class Simplification:
    """What becomes of the surface."""

    smooth: Annotated[
        int, typer.Option("--smooth", metavar="N", min=0, help="Iterations of smoothing that keeps the volume.")
    ] = 0
    decimate: Annotated[
        float | None,
        typer.Option("--decimate", metavar="TARGET", help="Triangles to keep: a share such as 0.2, or their number."),
    ] = None
    largest: Annotated[bool, typer.Option("--largest", help="Only the surface that encloses most.")] = False
    check: Annotated[bool, typer.Option("--check", help="Say whether the surface is watertight.")] = False


@with_groups
def surface(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=f"Ends in {', '.join(_SUFFIXES)}.")],
    region: Region,
    simple: Simplification,
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write the surface around all voxels of at least a threshold, or around each label, in the patient's LPS mm.

    It is closed, also where the object reaches the border of the volume, and its faces look outward. Labels go to
    files of their own names, FILE-liver.stl, or all into one .glb with a material each. A DICOM SEG can be the input.
    """
    if region.threshold is not None and (region.labels is not None or region.mask is not None):
        raise typer.BadParameter("--threshold excludes --labels and --mask")
    if simple.decimate is not None and not (
        0 < simple.decimate < 1 or (simple.decimate >= 4 and simple.decimate == int(simple.decimate))
    ):
        raise typer.BadParameter(f"--decimate {simple.decimate:g}: write a share between 0 and 1, or a number from 4")
    if not output.name.lower().endswith(_SUFFIXES):
        raise typer.BadParameter(f"{output} has no ending that says what to write: use {', '.join(_SUFFIXES)}")
    numbers = _labels(region.labels)
    from gpukit.documents.atomic import check_output
    from gpukit.io.masks import open_masks, own_masks

    single = opening.phase != "all" and region.mask is None and region.labels is None
    if single or output.suffix.lower() == ".glb":
        check_output(output, force=force)
    how = (simple.largest, simple.smooth, simple.decimate)
    with Progress() as progress:
        segmentations = (
            own_masks(inputs[0], numbers)
            if len(inputs) == 1 and region.mask is None and region.threshold is None
            else None
        )
        if segmentations is not None:
            surfaces = _of_masks(segmentations, how, progress)
        else:
            volume = opening.one_phase(inputs, progress)
            if region.mask is not None:
                surfaces = _of_masks(open_masks(region.mask, volume, labels=numbers), how, progress)
            elif region.labels is not None:
                surfaces = _of_map(volume, numbers, how)
            else:
                surfaces = surfaces_of(volume, region.threshold, how, progress)
        rows = _write(surfaces, output, simple.check, force, progress)
    emit(
        json_text("surface", {"surfaces": rows, "frame": "LPS mm"}) if as_json else "".join(map(_line, rows)),
        summary=True,
    )


def _threshold_for(volume: Volume, threshold: float | None) -> float:
    """Return the user's value, else the default with a note."""
    if threshold is not None:
        return threshold
    from gpukit.rendering.scene.surface import usual_threshold

    level = usual_threshold(volume)
    warn(f"surface at {level:g} {volume.unit}, because no --threshold was given")
    return level


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(surface)


# --- what to make -----------------------------------------------------------------------------------------------------

How = tuple[bool, int, float | None]


def surfaces_of(volume: Volume, threshold: float | None, how: How, progress: Progress) -> list[Made]:
    """The surface of the threshold, of each phase."""
    from gpukit.rendering.mpr.components import phase_of
    from gpukit.rendering.scene.surface import surface as surface_of

    phased = volume.axes.startswith("t")
    count = int(volume.array.shape[0]) if phased else 1
    level: float | None = threshold
    surfaces = []
    for t in range(count):
        progress("surfaces", t, count)
        one = phase_of(volume, t) if phased else volume
        level = _threshold_for(one, level)  # that of the first phase for all, or they could not be compared
        before = surface_of(one, level, largest=how[0])
        facts: dict[str, object] = {"threshold": level, "unit": str(volume.unit)}
        if phased:
            facts |= {"phase": t, "phase_name": volume.phases[t] if t < len(volume.phases) else ""}
        word = f"phase_{t:03d}" if phased else ""
        surfaces.append(Made(_finished(before, how), word or "surface", word, (237, 222, 196), facts, before))
        progress("surfaces", t + 1, count)
    return surfaces


def _of_masks(segmentations: tuple[Segmentation, ...], how: How, progress: Progress) -> list[Made]:
    """The surface of each label that occurs."""
    from gpukit.dicom.modules.cielab import label_color
    from gpukit.files.mesh import file_word
    from gpukit.rendering.scene.surface import label_surfaces

    surfaces: list[Made] = []
    for n, seg in enumerate(segmentations):
        for note in seg.notes:
            warn(note)
        by_number = {label.value: label for label in seg.labels}
        for value, before in label_surfaces(seg, largest=how[0]).items():
            progress("surfaces", n, len(segmentations))
            label = by_number[value]
            plain = label.name in ("", f"label {value}")
            word = str(value) if plain else file_word(label.name) or str(value)
            facts: dict[str, object] = {"label": value, "name": label.name}
            surfaces.append(Made(_finished(before, how), label.name, word, label_color(label), facts, before))
    return surfaces


def parts_of_mask(mask: Path, labels: str | None, volume: Volume, progress: Progress) -> list[Part]:
    """The surfaces of a mask's labels with their names and colours."""
    from gpukit.files.mesh import Part
    from gpukit.io.masks import open_masks

    surfaces = _of_masks(open_masks(mask, volume, labels=_labels(labels)), (False, 0, None), progress)
    return [Part(one.name, one.mesh, one.color) for one in surfaces]


def _of_map(volume: Volume, values: list[int | str] | None, how: How) -> list[Made]:
    """The surface of each label of an input that is a label map itself."""
    from gpukit.dicom.modules.cielab import label_color
    from gpukit.rendering.scene.surface import label_surfaces
    from gpukit.segmentation import Label

    numbers = []
    for word in values or []:
        if not isinstance(word, int):
            raise typer.BadParameter(f"{word!r}: the labels of this input have no names, write numbers such as 1,3")
        numbers.append(word)
    surfaces = []
    for value, before in label_surfaces(volume, numbers or None, largest=how[0]).items():
        label = Label(value, f"label {value}", ("", "", ""), ("", "", ""))
        facts: dict[str, object] = {"label": value, "name": label.name}
        surfaces.append(Made(_finished(before, how), label.name, str(value), label_color(label), facts, before))
    return surfaces


def _finished(mesh: Mesh, how: How) -> Mesh:
    from gpukit.ops.isosurface import decimate, smooth

    _, iterations, target = how
    if iterations:
        mesh = smooth(mesh, iterations)
    return mesh if target is None else decimate(mesh, target)


# --- writing ----------------------------------------------------------------------------------------------------------


def _write(surfaces: list[Made], output: Path, check: bool, force: bool, progress: Progress) -> list[dict[str, object]]:
    from gpukit.documents.atomic import check_output
    from gpukit.files.mesh import Part, is_watertight, write_mesh, write_scene

    together = output.suffix.lower() == ".glb"
    targets = [output] * len(surfaces) if together else targets_of(surfaces, output)
    for target in targets:
        check_output(target, force=force)
    rows = []
    for n, (one, target) in enumerate(zip(surfaces, targets, strict=True)):
        progress("writing", n, len(surfaces))
        if not together:
            write_mesh(one.mesh, target, force=force)
        change = one.mesh.volume / one.before.volume - 1 if one.before.volume else 0.0
        if abs(change) > _TOLERANCE:
            warn(f"{target}: {one.name} encloses {change:+.1%} of what it did before it was simplified")
        row: dict[str, object] = {
            "path": str(target),
            "triangles": len(one.mesh.faces),
            "volume_ml": one.mesh.volume / 1000,
            "area_cm2": one.mesh.area / 100,
        }
        if one.mesh is not one.before:
            row |= {"full_triangles": len(one.before.faces), "full_volume_ml": one.before.volume / 1000}
        row |= one.facts
        if check:
            row["watertight"] = is_watertight(one.mesh)
        rows.append(row)
    if together:
        write_scene([Part(one.name, one.mesh, one.color) for one in surfaces], output, force=force)
    progress("writing", len(surfaces), len(surfaces))
    return rows


def targets_of(surfaces: Sequence[Made], output: Path) -> list[Path]:
    """The output itself, or beside it a file for each name; equal names get their labels' numbers."""
    words = [one.word for one in surfaces]
    names = []
    for one in surfaces:
        word = one.word if words.count(one.word) == 1 else f"{one.word}-{one.facts.get('label', '')}"
        names.append(output.with_name(f"{output.stem}-{word}{output.suffix}") if word else output)
    return names


def _labels(text: str | None) -> list[int | str] | None:
    if text is None or text.strip().lower() == "all":
        return None
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise typer.BadParameter(f"{text!r} is not a list of labels such as 1,3 or liver")
    return [int(word) if word.isdecimal() else word for word in words]


def _line(row: dict[str, object]) -> str:
    name = f" ({row['name']})" if row.get("name") else ""
    line = f"{row['path']}{name}: {row['volume_ml']:.6g} ml, {row['area_cm2']:.6g} cm2, {row['triangles']} triangles"
    if "watertight" in row:
        line += ", watertight" if row["watertight"] else ", NOT watertight"
    return line + "\n"
