"""``gpukit 3d mpr``, ``mip``, ``minip``, ``average``: planes and projections of series as pictures or volumes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

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
    length,
    names,
    numbers,
    source_of,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["Center", "Interpolation", "Preset", "Width", "open_volume", "picture_file", "register"]

_PLANES = ("axial", "coronal", "sagittal")
_SUFFIXES = {"png": ".png", "nifti": ".nii.gz", "metaimage": ".mha", "nrrd": ".nrrd"}
_ENDINGS = (".png", ".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")

Normal = Annotated[
    str | None,
    typer.Option("--plane-normal", metavar="A,B,C", help="An oblique plane: its normal along i, j, k (see --frame)."),
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
Center = Annotated[float | None, typer.Option("--window-center", metavar="VALUE", help="With --window-width.")]
Width = Annotated[
    float | None,
    typer.Option("--window-width", metavar="VALUE", help="Window of the picture [default: the series' own]."),
]


def mpr(
    inputs: Inputs,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A folder, or for one plane a file (.png, .nii.gz).")
    ],
    planes: Annotated[
        str | None, typer.Option("--planes", metavar="LIST", help=f"Any of {','.join(_PLANES)} [default: all three].")
    ] = None,
    plane_normal: Normal = None,
    plane_point: Point = None,
    frame: Frame = "voxel",
    slice_: Annotated[
        int | None,
        typer.Option("--slice", metavar="N", help="Number of the plane from 0: from the feet, front or left side."),
    ] = None,
    position: Annotated[
        float | None, typer.Option("--position", metavar="MM", help="LPS mm of the plane: axial z, coronal y, ...")
    ] = None,
    thickness: Thickness = None,
    slab: Annotated[
        str | None, typer.Option("--slab", metavar="WORD", help="What a slab shows: mip, minip or mean [default: mip].")
    ] = None,
    interpolation: Interpolation = "linear",
    preset: Preset = None,
    window_center: Center = None,
    window_width: Width = None,
    kind: Annotated[
        str, typer.Option("--format", metavar="WORD", help=f"Files in a folder: {', '.join(_SUFFIXES)}.")
    ] = "png",
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Cut axial, sagittal and coronal planes, or an oblique one, out of one series.

    Planes are the patient's, through the middle of the volume unless placed. The patient's right is on the left of
    axial and coronal pictures; head or front is up. Planes along the axes of the volume are not interpolated, except to
    give a PNG square pixels.
    """
    if planes is not None and plane_normal is not None:
        raise typer.BadParameter("--planes and --plane-normal exclude one another")
    if slab is not None and thickness is None:
        raise typer.BadParameter("--slab needs a --thickness")
    wanted = names(planes or ",".join(_PLANES), known=_PLANES, what="plane")
    if plane_normal is not None:
        wanted = ("oblique",)
    normal, point = _three(plane_normal), _three(plane_point)
    depth = None if thickness is None else length(thickness)
    targets = _targets(output, wanted, names(kind, known=_SUFFIXES, what="format of `3d mpr`")[0], force=force)
    import gpukit
    from gpukit.render.windows import window_of

    with Progress() as progress:
        volume = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        window = window_of(volume, preset=preset, center=window_center, width=window_width)
        made = gpukit.mpr(
            volume,
            planes=() if normal is not None else wanted,
            normal=normal,
            point=point,
            frame=frame,
            slice=slice_,
            position=position,
            thickness=depth,
            slab=slab or "mip",
            interpolation=interpolation,
        )
        _write(made, targets, interpolation, window, force, progress)
    _tell("mpr", dict(zip(wanted, zip(made, targets, strict=True), strict=True)), window, as_json)


def projection(method: str, what: str, usual: str | None) -> Callable[..., None]:
    """The command that shows `method` of the voxels behind one another."""

    def command(
        inputs: Inputs,
        output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help=".png, .nii.gz, .mha or .nrrd.")],
        plane: Annotated[
            str, typer.Option("--plane", metavar="WORD", help=f"Plane of the picture: {', '.join(_PLANES)}.")
        ] = "axial",
        plane_normal: Normal = None,
        plane_point: Point = None,
        frame: Frame = "voxel",
        thickness: Thickness = None,
        interpolation: Interpolation = "linear",
        preset: Preset = None,
        window_center: Center = None,
        window_width: Width = None,
        series: Series = None,
        phase: Phase = None,
        fill_gaps: FillGaps = False,
        keep_tilt: KeepTilt = False,
        skip_damaged: SkipDamaged = False,
        device: Device = None,
        force: Force = False,
        as_json: Json = False,
    ) -> None:
        names(plane, known=_PLANES, what="plane")
        normal, point = _three(plane_normal), _three(plane_point)
        depth = None if thickness is None else length(thickness)
        targets = [picture_file(output, endings=_ENDINGS, force=force)]
        import gpukit
        from gpukit.render.windows import window_of

        with Progress() as progress:
            volume = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
            window = window_of(volume, preset=preset, center=window_center, width=window_width, usual=usual)
            made = gpukit.mip(
                volume,
                method=method,
                plane=plane,
                normal=normal,
                point=point,
                frame=frame,
                thickness=depth,
                interpolation=interpolation,
            )
            _write([made], targets, interpolation, window, force, progress)
        shown = "oblique" if normal is not None else plane
        _tell(method, {shown: (made, targets[0])}, window, as_json)

    command.__doc__ = f"""{what} of the voxels behind one another, through the whole volume or a slab.

    --thickness makes it a slab around --plane-point, by default around the middle of the volume. Padding takes no part.
    """
    return command


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(mpr)
    app.command("mip")(projection("mip", "Maximum", "angio"))
    app.command("minip")(projection("minip", "Minimum", "lung"))
    app.command("average")(projection("mean", "Mean", None))


# --- shared by the commands -------------------------------------------------------------------------------------------


def _three(text: str | None) -> tuple[float, ...] | None:
    return None if text is None else numbers(text, count=3)


def picture_file(output: Path, *, endings: tuple[str, ...], force: bool) -> Path:
    """The output, if it has one of the endings and may be written."""
    from gpukit.files.atomic import check_output

    if not output.name.lower().endswith(endings):
        raise typer.BadParameter(f"{output} has no ending that says what to write: use {', '.join(endings)}")
    return check_output(output, force=force)


def _targets(output: Path, wanted: Sequence[str], kind: str, *, force: bool) -> list[Path]:
    """One file a plane: the output itself where it is a file's name, else files in the folder of that name."""
    from gpukit.errors import OutputError
    from gpukit.files.atomic import check_output

    if output.name.lower().endswith(_ENDINGS) and not output.is_dir():
        if len(wanted) > 1:
            raise typer.BadParameter(f"{output} is one file and there are {len(wanted)} planes: name a folder")
        return [check_output(output, force=force)]
    if output.exists() and not output.is_dir():
        raise OutputError("the output is no folder", file=output, fix="name a folder, or a file that ends in .png")
    if not output.is_dir() and not output.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=output, fix="create it first")
    if not output.is_dir():
        return [output / f"{plane}{_SUFFIXES[kind]}" for plane in wanted]
    return [check_output(output / f"{plane}{_SUFFIXES[kind]}", force=force) for plane in wanted]


def open_volume(
    inputs: Sequence[Path],
    device: str | None,
    series: str | None,
    phase: str | None,
    fill_gaps: bool,
    keep_tilt: bool,
    skip_damaged: bool,
    progress: Progress,
) -> Volume:
    """The series that the options choose; what was done to it is told as notes."""
    import gpukit

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
    return volume


def _write(
    made: Sequence[Volume],
    targets: Sequence[Path],
    interpolation: str,
    window: tuple[float, float] | None,
    force: bool,
    progress: Progress,
) -> None:
    import gpukit
    from gpukit.render.planes import squared

    targets[0].parent.mkdir(exist_ok=True)
    for n, (one, target) in enumerate(zip(made, targets, strict=True)):
        progress("writing", n, len(targets))
        if target.name.lower().endswith(".png"):
            gpukit.save(squared(one, interpolation=interpolation), target, window=window, force=force)
        else:
            gpukit.save(one, target, force=force)
        progress("writing", n + 1, len(targets))


def _tell(
    kind: str, made: Mapping[str, tuple[Volume, Path]], window: tuple[float, float] | None, as_json: bool
) -> None:
    if not as_json:
        return emit("".join(f"{path}\n" for _, path in made.values()))
    pictures = [
        {
            "plane": plane,
            "path": str(path),
            "shape": volume.shape[1:],
            "spacing_mm": volume.grid.spacing,
            "affine_lps_mm": volume.grid.affine,
            "unit": str(volume.unit),
        }
        for plane, (volume, path) in made.items()
    ]
    return emit(json_text(kind, {"pictures": pictures, "window": window}))
