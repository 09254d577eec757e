"""``gpukit 3d animate``: a camera around a series or along a path, as pictures in a folder, GIF, APNG or MP4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands.series_options import Opening
from gpukit_cli.commands.three_d import scene_options
from gpukit_cli.commands.three_d.appearance_options import (
    Background,
    Camera,
    Oversampling,
    Size,
    TransferFile,
    TransferName,
    color_of,
    look_of,
    pixels_of,
)
from gpukit_cli.commands.three_d.planes import Window, picture_file
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import (
    Force,
    Inputs,
    Json,
    length,
    numbers,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = ["register"]

_METHODS = ("volume", "surface", "mip", "minip", "average")
_MOVIES = (".gif", ".apng", ".mp4")
#: CT windows of projections, as in `gpukit 3d mip` and `minip`.
_USUAL = {"mip": "angio", "minip": "lung", "average": None}


@with_groups
def animate(
    inputs: Inputs,
    *,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="A folder for frame_0000.png ..., or .gif, .apng, .mp4."),
    ],
    method: Annotated[str, typer.Option("--method", metavar="WORD", help=", ".join(_METHODS) + ".")] = "volume",
    rotation: Annotated[
        float | None,
        typer.Option("--rotation", metavar="DEGREES", help="How far to go, towards the patient's left side [360]."),
    ] = None,
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="FILE", help="Fly along a centreline instead: text, CSV, JSON, Slicer markups."),
    ] = None,
    frame: Annotated[
        str | None,
        typer.Option("--frame", metavar="WORD", help="What path and clipping count in: voxel (i,j,k from 0), patient."),
    ] = None,
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="How many pictures.")] = 60,
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Pictures a second of a .gif, .apng, .mp4.")] = 20.0,
    transfer_function: TransferFile = None,
    preset: TransferName = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="VALUE", help="Of --method surface [CT: 200 HU, else Otsu]."),
    ] = None,
    camera_angle: Camera = "0,0",
    size: Size = "512x512",
    background: Background = "black",
    perspective: Annotated[
        float | None,
        typer.Option(
            "--perspective", metavar="DEGREES", help="Opening of the camera; 0 is a parallel view [0, path: 90]."
        ),
    ] = None,
    oversampling: Oversampling = 1.0,
    clipping: scene_options.Clipping,
    masked: scene_options.Masked,
    field: Annotated[
        str | None,
        typer.Option("--field", metavar="LENGTH", help="Of a projection along a path: how wide it is [100mm]."),
    ] = None,
    depth: Annotated[
        str | None,
        typer.Option("--depth", metavar="LENGTH", help="Of a projection along a path: how far it looks [100mm]."),
    ] = None,
    contrast: Window,
    opening: Opening,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Turn the camera around one series, from --camera-angle on, or fly it along --path.

    --transfer-function and --preset are for --method volume; --background, --perspective, --oversampling, clipping and
    how labels look for volume and surface; a window is for the projections, which show the inside of a --mask. Frames
    are written as they come; all have one scale. With --phase all each frame shows the next phase, over and over.
    """
    azimuth, elevation = numbers(camera_angle, count=2)
    pixels, shade = pixels_of(size), color_of(background)
    _check(method, transfer_function or preset, threshold, contrast)
    solid = method in ("volume", "surface")
    if not solid and (perspective or background != "black" or oversampling != 1.0):
        raise typer.BadParameter("a background, perspective and oversampling need --method volume or surface")
    if path is not None and (rotation is not None or camera_angle != "0,0"):
        raise typer.BadParameter("--path excludes --rotation and --camera-angle")
    if path is None and (field is not None or depth is not None):
        raise typer.BadParameter("--field and --depth need a --path")
    if path is None and frame is not None and not clipping.is_given:
        raise typer.BadParameter("--frame needs a --path, --clip-box or --clip-plane")
    if not solid and clipping.is_given:
        raise typer.BadParameter("--clip-box and --clip-plane need --method volume or surface")
    if not solid and masked.is_styled:
        raise typer.BadParameter("--mask-mode, --label-color and --label-opacity need --method volume or surface")
    masked.check()
    if threshold is not None and masked.mask_mode == "alone":
        raise typer.BadParameter("--mask-mode alone draws no surface: no --threshold")
    if solid and (field is not None or depth is not None):
        raise typer.BadParameter("--field and --depth are for projections: mip, minip, average")
    if frame not in (None, "voxel", "patient"):
        raise typer.BadParameter(f"{frame!r} is no frame: write voxel or patient")
    if not 1 <= frames <= 10_000:
        raise typer.BadParameter(f"--frames must be 1 to 10000, not {frames}")
    single = output.name.lower().endswith(_MOVIES)
    targets = [picture_file(output, endings=_MOVIES, force=force)] if single else _frames(output, frames, force=force)
    wide = length(field) if field is not None else 100.0
    deep = length(depth) if depth is not None else 100.0
    look = look_of(transfer_function, preset)
    from gpukit.files.markups import read_centerline
    from gpukit.rendering.scene.animation import fly, rotate

    if output.name.lower().endswith(".mp4"):
        from gpukit.files.movie import find_encoder

        find_encoder()  # before anything is read
    points, says = read_centerline(path) if path is not None else (None, None)
    if clipping.is_given and says is not None and says != (frame or "voxel"):
        raise typer.BadParameter(f"{path} is in {says}: write --frame {says}, and the clipping in that frame too")
    with Progress() as progress:
        body = opening.one_phase(inputs, progress)
        window = None
        if not solid:
            window = contrast.of(body, usual=_USUAL[method])
        cut = clipping.planes(body, frame or "voxel")
        found = masked.open(body)
        shades = masked.colors(found) if found is not None and masked.label_color else None
        if points is not None:
            pictures = fly(
                body, points, frame=frame or says or "voxel", method=method, frames=frames, size=pixels, transfer=look,
                threshold=threshold, background=shade, perspective=90.0 if perspective is None else perspective,
                oversampling=oversampling, window=window, field=wide, depth=deep,
                clip=cut, mask=found, mask_mode=masked.mask_mode, label_colors=shades,
                label_opacity=masked.label_opacity,
            )  # fmt: skip
        else:
            pictures = rotate(
                body, method=method, rotation=360.0 if rotation is None else rotation, frames=frames, azimuth=azimuth,
                elevation=elevation, size=pixels, transfer=look, threshold=threshold, background=shade,
                perspective=perspective or 0.0, oversampling=oversampling, window=window, clip=cut, mask=found,
                mask_mode=masked.mask_mode, label_colors=shades, label_opacity=masked.label_opacity,
            )  # fmt: skip
        _write(_counted(pictures, frames, progress, body), targets, single, fps, force)
    if as_json:
        emit(
            json_text("animate", {"files": [str(file) for file in targets], "frames": frames, "method": method}),
            summary=True,
        )
    else:
        emit("".join(f"{file}\n" for file in targets), summary=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(animate)


def _check(method: str, look: object, threshold: float | None, contrast: Window) -> None:
    if method not in _METHODS:
        raise typer.BadParameter(f"{method!r} is no method: there are {', '.join(_METHODS)}")
    if look and method != "volume":
        raise typer.BadParameter("a transfer function needs --method volume")
    if threshold is not None and method != "surface":
        raise typer.BadParameter("--threshold needs --method surface")
    if method in ("volume", "surface") and contrast.is_given:
        raise typer.BadParameter("a window needs --method mip, minip or average")


def _frames(folder: Path, count: int, *, force: bool) -> list[Path]:
    """Files of the frames in their folder, none of which is there unless `force`."""
    from gpukit.documents.atomic import check_output
    from gpukit.errors import OutputError

    targets = [folder / f"frame_{n:04d}.png" for n in range(count)]
    if folder.is_dir():
        return [check_output(target, force=force) for target in targets]
    if folder.exists():
        raise OutputError("the output is no folder", file=folder, fix="name a folder, or a .gif, .apng or .mp4 file")
    if folder.suffix:
        raise typer.BadParameter(f"{folder} has an ending that stands for no animation: use {', '.join(_MOVIES)}")
    if not folder.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=folder, fix="create it first")
    return targets


def _counted(pictures: Iterable[Volume], count: int, progress: Progress, body: Volume) -> Iterator[Volume]:
    progress("drawing", 0, count)
    for n, picture in enumerate(pictures):
        for note in picture.notes if n == 0 else ():
            if note not in body.notes:
                warn(note)
        yield picture
        progress("drawing", n + 1, count)


def _write(pictures: Iterable[Volume], targets: list[Path], single: bool, fps: float, force: bool) -> None:
    if single:
        from gpukit.files.movie import write_movie

        return write_movie(pictures, targets[0], fps=fps, force=force)
    import gpukit

    for picture, target in zip(pictures, targets, strict=True):
        target.parent.mkdir(exist_ok=True)
        gpukit.save(picture, target, force=force)
    return None
