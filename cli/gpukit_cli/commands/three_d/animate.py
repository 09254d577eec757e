"""``gpukit 3d animate``: a camera around a series or along a path, as pictures in a folder, GIF, APNG or MP4."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

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


@dataclass(frozen=True)
class Motion:
    """How the camera moves, and what it shows."""

    method: Annotated[str, typer.Option("--method", metavar="WORD", help=", ".join(_METHODS) + ".")] = "volume"
    rotation: Annotated[
        float | None,
        typer.Option("--rotation", metavar="DEGREES", help="How far to go, towards the patient's left side [360]."),
    ] = None
    path: Annotated[
        Path | None,
        typer.Option("--path", metavar="FILE", help="Fly along a centreline instead: text, CSV, JSON, Slicer markups."),
    ] = None
    frame: Annotated[
        str | None,
        typer.Option("--frame", metavar="WORD", help="What path and clipping count in: voxel (i,j,k from 0), patient."),
    ] = None
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="How many pictures.")] = 60
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Pictures a second of a .gif, .apng, .mp4.")] = 20.0
    camera_angle: Camera = "0,0"
    field: Annotated[
        str | None,
        typer.Option("--field", metavar="LENGTH", help="Of a projection along a path: how wide it is [100mm]."),
    ] = None
    depth: Annotated[
        str | None,
        typer.Option("--depth", metavar="LENGTH", help="Of a projection along a path: how far it looks [100mm]."),
    ] = None

    @property
    def is_solid(self) -> bool:
        """Whether bodies are drawn, and not projections."""
        return self.method in ("volume", "surface")


@dataclass(frozen=True)
class Appearance:
    """How the body looks."""

    transfer_function: TransferFile = None
    preset: TransferName = None
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", metavar="VALUE", help="Of --method surface [CT: 200 HU, else Otsu]."),
    ] = None
    size: Size = "512x512"
    background: Background = "black"
    perspective: Annotated[
        float | None,
        typer.Option(
            "--perspective", metavar="DEGREES", help="Opening of the camera; 0 is a parallel view [0, path: 90]."
        ),
    ] = None
    oversampling: Oversampling = 1.0


@with_groups
def animate(
    inputs: Inputs,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", metavar="PATH", help="A folder for frame_0000.png ..., or .gif, .apng, .mp4."),
    ],
    motion: Motion,
    look: Appearance,
    clipping: scene_options.Clipping,
    masked: scene_options.Masked,
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
    _check(motion, look, clipping, masked, contrast)
    single = output.name.lower().endswith(_MOVIES)
    if single:
        targets = [picture_file(output, endings=_MOVIES, force=force)]
    else:
        targets = _frames(output, motion.frames, force=force)
    transfer = look_of(look.transfer_function, look.preset)
    from gpukit.files.markups import read_centerline

    if output.name.lower().endswith(".mp4"):
        from gpukit.files.movie import find_encoder

        find_encoder()  # before anything is read
    points, space = read_centerline(motion.path) if motion.path is not None else (None, None)
    if clipping.is_given and space is not None and space != (motion.frame or "voxel"):
        raise typer.BadParameter(
            f"{motion.path} is in {space}: write --frame {space}, and the clipping in that frame too"
        )
    with Progress() as progress:
        body = opening.one_phase(inputs, progress)
        mask = masked.open(body)
        options: dict[str, Any] = {
            "method": motion.method, "frames": motion.frames, "size": pixels_of(look.size), "transfer": transfer,
            "threshold": look.threshold, "background": color_of(look.background), "oversampling": look.oversampling,
            "window": None if motion.is_solid else contrast.of(body, usual=_USUAL[motion.method]),
            "clip": clipping.planes(body, motion.frame or "voxel"), "mask": mask, "mask_mode": masked.mask_mode,
            "label_colors": masked.colors(mask) if mask is not None and masked.label_color else None,
            "label_opacity": masked.label_opacity,
        }  # fmt: skip
        pictures = _pictures(body, points, motion.frame or space or "voxel", motion, look, options)
        _write(_counted(pictures, motion.frames, progress, body), targets, single, motion.fps, force)
    files = [str(file) for file in targets]
    if as_json:
        text = json_text("animate", {"files": files, "frames": motion.frames, "method": motion.method})
    else:
        text = "".join(f"{file}\n" for file in files)
    emit(text, summary=True)


def _pictures(
    body: Volume, points: Any, frame: str, motion: Motion, look: Appearance, options: dict[str, Any]
) -> Iterable[Volume]:
    """Frames along the path, or around the body."""
    from gpukit.rendering.scene.animation import fly, rotate

    if points is not None:
        field, depth = (100.0 if text is None else length(text) for text in (motion.field, motion.depth))
        perspective = 90.0 if look.perspective is None else look.perspective
        return fly(body, points, frame=frame, perspective=perspective, field=field, depth=depth, **options)
    azimuth, elevation = numbers(motion.camera_angle, count=2)
    return rotate(
        body, rotation=360.0 if motion.rotation is None else motion.rotation, azimuth=azimuth, elevation=elevation,
        perspective=look.perspective or 0.0, **options,
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(animate)


def _check(
    motion: Motion, look: Appearance, clipping: scene_options.Clipping, masked: scene_options.Masked, contrast: Window
) -> None:
    """Options that would do nothing are mistakes."""
    numbers(motion.camera_angle, count=2)
    method, solid = motion.method, motion.is_solid
    if method not in _METHODS:
        raise typer.BadParameter(f"{method!r} is not a method: there are {', '.join(_METHODS)}")
    has_path, has_field = motion.path is not None, motion.field is not None or motion.depth is not None
    plain = not look.perspective and look.background == "black" and look.oversampling == 1.0
    refusals = (
        (
            bool(look.transfer_function or look.preset) and method != "volume",
            "a transfer function needs --method volume",
        ),
        (look.threshold is not None and method != "surface", "--threshold needs --method surface"),
        (solid and contrast.is_given, "a window needs --method mip, minip or average"),
        (not solid and not plain, "a background, perspective and oversampling need --method volume or surface"),
        (
            has_path and (motion.rotation is not None or motion.camera_angle != "0,0"),
            "--path excludes --rotation and --camera-angle",
        ),
        (not has_path and has_field, "--field and --depth need a --path"),
        (
            not has_path and motion.frame is not None and not clipping.is_given,
            "--frame needs a --path, --clip-box or --clip-plane",
        ),
        (not solid and clipping.is_given, "--clip-box and --clip-plane need --method volume or surface"),
        (
            not solid and masked.is_styled,
            "--mask-mode, --label-color and --label-opacity need --method volume or surface",
        ),
        (
            look.threshold is not None and masked.mask_mode == "alone",
            "--mask-mode alone draws no surface: no --threshold",
        ),
        (solid and has_field, "--field and --depth are for projections: mip, minip, average"),
        (
            motion.frame not in (None, "voxel", "patient"),
            f"{motion.frame!r} is not a frame: write voxel or patient",
        ),
        (not 1 <= motion.frames <= 10_000, f"--frames must be 1 to 10000, not {motion.frames}"),
    )
    for is_wrong, sentence in refusals:
        if is_wrong:
            raise typer.BadParameter(sentence)
    pixels_of(look.size)
    color_of(look.background)
    masked.check()


def _frames(folder: Path, count: int, *, force: bool) -> list[Path]:
    """Files of the frames in their folder, none of which is there unless `force`."""
    from gpukit.documents.atomic import check_output
    from gpukit.errors import OutputError

    targets = [folder / f"frame_{n:04d}.png" for n in range(count)]
    if folder.is_dir():
        return [check_output(target, force=force) for target in targets]
    if folder.exists():
        raise OutputError("the output is not a folder", file=folder, fix="name a folder, or a .gif, .apng or .mp4 file")
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
