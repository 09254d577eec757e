"""``gpukit 3d mpr``, ``mip``, ``minip``, ``average``: planes and projections of series as pictures or volumes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d.output import ENDINGS, KINDS, Target, aim, write
from gpukit_cli.commands.three_d.scene_options import Labels, Mask, mask_of
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Force,
    Inputs,
    Json,
    length,
    names,
    numbers,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Voi, Volume

__all__ = ["Interpolation", "Preset", "Window", "picture_file", "register"]

_PLANES = ("axial", "coronal", "sagittal")

Normal = Annotated[
    str | None,
    typer.Option("--plane-normal", metavar="A,B,C", help="An oblique plane: its normal along i, j, k (see --frame)."),
]
Angles = Annotated[
    str | None,
    typer.Option(
        "--angles",
        metavar="A,B",
        help="An oblique plane: the named one with its upper edge tipped away by A degrees, then its right edge by B.",
    ),
]
Spacing = Annotated[
    str | None, typer.Option("--spacing", metavar="LENGTH", help="All planes (slabs) of the volume, this far apart.")
]
Format = Annotated[
    str | None,
    typer.Option("--format", metavar="WORD", help=f"Of files in a folder: {', '.join(KINDS)} [default: png]."),
]
Point = Annotated[
    str | None,
    typer.Option("--plane-point", metavar="A,B,C", help="A point of the plane: voxel i,j,k from 0 (see --frame)."),
]
Frame = Annotated[
    str, typer.Option("--frame", metavar="WORD", help="What normal and point are in: voxel, or patient (LPS mm).")
]
Thickness = Annotated[
    str | None, typer.Option("--thickness", metavar="LENGTH", help="A slab around the plane, such as 20mm or 2cm.")
]
Interpolation = Annotated[
    str, typer.Option("--interpolation", metavar="WORD", help="Between voxels: nearest, linear or cubic.")
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="CT window: lung, bone, brain, abdomen, mediastinum, liver, ..."),
]


@dataclass(frozen=True)
class Window:
    """Options of the window."""

    window_center: Annotated[
        float | None, typer.Option("--window-center", metavar="VALUE", help="With --window-width.")
    ] = None
    window_width: Annotated[
        float | None,
        typer.Option("--window-width", metavar="VALUE", help="Window of the picture [default: the series' own]."),
    ] = None

    @property
    def is_given(self) -> bool:
        """Whether either is."""
        return self.window_center is not None or self.window_width is not None

    def of(self, volume: Volume, *, preset: str | None = None, usual: str | None = None) -> Voi | None:
        """Center and width: these, else the preset's, else the usual ones of such pictures, else the series' own."""
        from gpukit.display.window import choose

        return choose(volume, preset=preset, center=self.window_center, width=self.window_width, usual=usual)


@dataclass(frozen=True)
class Planes:
    """Which planes."""

    planes: Annotated[
        str | None, typer.Option("--planes", metavar="LIST", help=f"Any of {','.join(_PLANES)} [default: all three].")
    ] = None
    plane_normal: Normal = None
    angles: Angles = None
    plane_point: Point = None
    frame: Frame = "voxel"
    slice_: Annotated[
        int | None,
        typer.Option("--slice", metavar="N", help="Number of the plane from 0: from the feet, front or left side."),
    ] = None
    position: Annotated[
        float | None, typer.Option("--position", metavar="MM", help="LPS mm of the plane: axial z, coronal y, ...")
    ] = None
    stack: Annotated[
        bool, typer.Option("--stack", help="All planes of the volume, as far apart as its voxels (see --spacing).")
    ] = False
    spacing: Spacing = None


@dataclass(frozen=True)
class Slab:
    """What lies behind one another."""

    thickness: Thickness = None
    slab: Annotated[
        str | None,
        typer.Option("--slab", metavar="WORD", help="Reduction of a slab: mip, minip or mean [default: mip]."),
    ] = None
    interpolation: Interpolation = "linear"


@with_groups
def mpr(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="A folder, or for one plane a file (.png, .nii.gz, .dcm)."),
    ],
    cut: Planes,
    slabs: Slab,
    contrast: Window,
    opening: Opening,
    preset: Preset = None,
    kind: Format = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Cut axial, sagittal and coronal planes, or an oblique one, out of one series.

    Planes are the patient's, through the middle of the volume unless placed. The patient's right is on the left of
    axial and coronal pictures; head or front is up. Planes along the axes of the volume are not interpolated, except to
    give a PNG square pixels. --format dicom writes a derived series for each plane.
    """
    if cut.plane_normal is not None and (cut.planes is not None or cut.angles is not None):
        raise typer.BadParameter("--planes or --angles and --plane-normal exclude one another")
    if slabs.slab is not None and slabs.thickness is None:
        raise typer.BadParameter("--slab needs a --thickness")
    bases = names(cut.planes or ("axial" if cut.angles else ",".join(_PLANES)), known=_PLANES, what="plane")
    is_oblique = cut.plane_normal is not None or cut.angles is not None
    planes = ("oblique",) if is_oblique else bases
    normal, point = _three(cut.plane_normal), _three(cut.plane_point)
    turns = None if cut.angles is None else numbers(cut.angles, count=2)
    depth, apart = (None if text is None else length(text) for text in (slabs.thickness, cut.spacing))
    piled = cut.stack or apart is not None
    targets = aim(output, planes, _kind(kind), stacked=piled, apart=True, force=force)
    import gpukit

    with Progress() as progress:
        volume = opening.one_phase(inputs, progress)
        window = contrast.of(volume, preset=preset)
        images = gpukit.mpr(
            volume,
            planes=() if normal is not None else bases,
            normal=normal,
            angles=turns,
            point=point,
            frame=cut.frame,
            slice=cut.slice_,
            position=cut.position,
            stack=cut.stack,
            spacing=apart,
            thickness=depth,
            slab=slabs.slab or "mip",
            interpolation=slabs.interpolation,
        )
        header_window = window if preset is not None or contrast.is_given else None
        files = _write(images, targets, slabs.interpolation, window, header_window, force, progress)
    _tell("mpr", planes, images, files, window, as_json)


@dataclass(frozen=True)
class ProjectionPlane:
    """Which plane, and how deep."""

    plane: Annotated[
        str, typer.Option("--plane", metavar="WORD", help=f"Plane of the picture: {', '.join(_PLANES)}.")
    ] = "axial"
    plane_normal: Normal = None
    angles: Angles = None
    plane_point: Point = None
    frame: Frame = "voxel"
    thickness: Thickness = None
    spacing: Spacing = None
    mask: Mask = None
    label: Labels = None
    interpolation: Interpolation = "linear"
    preset: Preset = None

    def check(self) -> None:
        """Options that would do nothing are mistakes."""
        names(self.plane, known=_PLANES, what="plane")
        if self.plane_normal is not None and self.angles is not None:
            raise typer.BadParameter("--angles and --plane-normal exclude one another")
        if self.spacing is not None and self.thickness is None:
            raise typer.BadParameter("--spacing needs a --thickness")
        if self.label is not None and self.mask is None:
            raise typer.BadParameter("--label needs a --mask")


def projection(method: str, noun: str, usual: str | None) -> Callable[..., None]:
    """The command that shows `method` of the voxels behind one another; `noun` begins its help."""

    def command(
        inputs: Inputs,
        *,
        output: Annotated[
            Path,
            typer.Option("--output", "-o", metavar="PATH", help=".png, .nii.gz, .mha, .nrrd, .dcm; a folder for many."),
        ],
        cut: ProjectionPlane,
        contrast: Window,
        kind: Format = None,
        opening: Opening,
        force: Force = False,
        as_json: Json = False,
    ) -> None:
        cut.check()
        normal, point = _three(cut.plane_normal), _three(cut.plane_point)
        angles = None if cut.angles is None else numbers(cut.angles, count=2)
        depth, apart = (None if text is None else length(text) for text in (cut.thickness, cut.spacing))
        shown = cut.plane if normal is None and angles is None else "oblique"
        if apart is None and kind is None:
            picture_file(output, endings=ENDINGS, force=force)
        targets = aim(output, [shown], _kind(kind), stacked=apart is not None, apart=False, force=force)
        import gpukit

        with Progress() as progress:
            volume = opening.one_phase(inputs, progress)
            window = contrast.of(volume, preset=cut.preset, usual=usual)
            if cut.mask is not None:
                volume = inside_of(volume, cut.mask, cut.label)
            picture = gpukit.mip(
                volume, method=method, plane=cut.plane, normal=normal, angles=angles, point=point, frame=cut.frame,
                thickness=depth, spacing=apart, interpolation=cut.interpolation,
            )  # fmt: skip
            # what remains of many slices needs the same window in a viewer as in a picture
            files = _write([picture], targets, cut.interpolation, window, window, force, progress)
        _tell(method, [shown], [picture], files, window, as_json)

    command.__doc__ = _PROJECTION_HELP.format(noun=noun)
    return command


_PROJECTION_HELP = """{noun} of the voxels behind one another, through the whole volume or a slab.

    --thickness makes it a slab around --plane-point, by default around the middle of the volume; with --spacing slabs
    of that thickness slide through the whole volume, as a folder of PNGs or one file of slices. Padding takes no part,
    nor does what lies outside --mask.
    """


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(mpr)
    app.command("mip")(with_groups(projection("mip", "Maximum intensity projection: the maximum", "angio")))
    app.command("minip")(with_groups(projection("minip", "Minimum intensity projection: the minimum", "lung")))
    app.command("average")(with_groups(projection("mean", "Average intensity projection: the mean", None)))


# --- shared by the commands -------------------------------------------------------------------------------------------


def _three(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else numbers(text, count=3)


def picture_file(output: Path, *, endings: tuple[str, ...], force: bool) -> Path:
    """The output, if it has one of the endings and may be written."""
    from gpukit.documents.atomic import check_output

    if not output.name.lower().endswith(endings):
        raise typer.BadParameter(f"{output} has no ending that says what to write: use {', '.join(endings)}")
    return check_output(output, force=force)


def _kind(text: str | None) -> str | None:
    """What ``--format`` says, if anything."""
    return None if text is None else names(text, known=KINDS, what="format of planes")[0]


def inside_of(volume: Volume, mask: Path, label: str | None) -> Volume:
    """Return the volume inside a mask; print the notes of the mask."""
    from gpukit.rendering.mpr.masked import masked

    region = mask_of(volume, mask, label)
    for note in region.notes:
        warn(note)
    return masked(volume, region)


def _write(
    images: Sequence[Volume],
    targets: Sequence[Target],
    interpolation: str,
    window: Voi | None,
    header: Voi | None,
    force: bool,
    progress: Progress,
) -> list[list[Path]]:
    """Write each result; its files or folders. The folder around them goes again where nothing could be written."""
    files = []
    around = targets[0].path.parent
    is_new = not around.exists()
    try:
        for n, (one, target) in enumerate(zip(images, targets, strict=True)):
            progress("writing", n, len(targets))
            paths = write(
                one, target, interpolation=interpolation, window=window, header_window=header, force=force, number=n
            )
            files.append(paths)
            progress("writing", n + 1, len(targets))
    finally:
        if is_new and around.is_dir() and not any(around.iterdir()):
            around.rmdir()
    return files


def _tell(
    kind: str,
    shown: Sequence[str],
    images: Sequence[Volume],
    files: Sequence[Sequence[Path]],
    window: Voi | None,
    as_json: bool,
) -> None:
    if not as_json:
        return emit("".join(f"{path}\n" for paths in files for path in paths), summary=True)
    pictures = [
        {
            "plane": plane,
            "path": str(paths[0]),
            "paths": [str(path) for path in paths],
            "slices": volume.grid.shape[0],
            "shape": volume.grid.shape[1:],
            "spacing_mm": volume.grid.spacing,
            "affine_lps_mm": volume.grid.affine,
            "unit": str(volume.unit),
            "phases": volume.phases,
        }
        for plane, volume, paths in zip(shown, images, files, strict=True)
    ]
    return emit(
        json_text(kind, {"pictures": pictures, "window": None if window is None else window.limits}), summary=True
    )
