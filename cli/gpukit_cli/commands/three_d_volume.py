"""``gpukit 3d volume`` and ``animate``: series as bodies, from one side or all around."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gpukit_cli.commands import three_d_curved
from gpukit_cli.commands.three_d_render import Center, Width, open_volume, picture_file
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
    numbers,
)
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.render.transfer import Transfer
    from gpukit.volume import Volume

__all__ = ["register"]

_COLORS = {"black": (0.0, 0.0, 0.0), "white": (1.0, 1.0, 1.0), "gray": (0.5, 0.5, 0.5)}

TransferFile = Annotated[
    Path | None,
    typer.Option("--transfer-function", metavar="FILE", help="Colour and opacity by value, as JSON."),
]
TransferName = Annotated[
    str | None,
    typer.Option("--preset", metavar="NAME", help="One that comes with gpukit: ct-bone, ct-soft-tissue, ct-lung, ..."),
]
Camera = Annotated[
    str,
    typer.Option(
        "--camera-angle",
        metavar="AZIMUTH,ELEVATION",
        help="Degrees: 0,0 is before the face, 90,0 sees the left side, 0,90 looks down on the head.",
    ),
]
Size = Annotated[str, typer.Option("--size", metavar="WxH", help="Pixels of the picture, such as 800x600 or 512.")]
Background = Annotated[
    str, typer.Option("--background", metavar="COLOR", help="black, white, gray, #rrggbb or r,g,b from 0 to 1.")
]
Perspective = Annotated[
    float, typer.Option("--perspective", metavar="DEGREES", help="Opening of the camera; 0 is a parallel view.")
]
Oversampling = Annotated[
    float, typer.Option("--oversampling", metavar="N", help="Samples along a ray for each smallest voxel spacing.")
]


def volume(
    inputs: Inputs,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The picture, .png.")],
    transfer_function: TransferFile = None,
    preset: TransferName = None,
    camera_angle: Camera = "0,0",
    size: Size = "512x512",
    background: Background = "black",
    perspective: Perspective = 0.0,
    oversampling: Oversampling = 1.0,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    keep_tilt: KeepTilt = False,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Draw one series as a coloured, partly transparent body.

    Without --transfer-function or --preset the modality decides: ct-bone, pet-hot or mr-default.
    """
    azimuth, elevation = numbers(camera_angle, count=2)
    pixels, shade = pixels_of(size), color_of(background)
    target = picture_file(output, endings=(".png",), force=force)
    look = look_of(transfer_function, preset)
    import gpukit

    with Progress() as progress:
        body = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        progress("drawing", 0, 1)
        picture = gpukit.render(
            body,
            transfer=look,
            azimuth=azimuth,
            elevation=elevation,
            size=pixels,
            background=shade,
            perspective=perspective,
            oversampling=oversampling,
        )
        progress("drawing", 1, 1)
        gpukit.save(picture, target, force=force)
    if as_json:
        emit(
            json_text(
                "volume",
                {
                    "path": str(target),
                    "shape": picture.shape[1:3],
                    "pixel_mm": picture.grid.spacing[0],
                    "camera": {"azimuth": azimuth, "elevation": elevation, "perspective": perspective},
                    "device": picture.device,
                },
            )
        )
    else:
        emit(f"{target}\n")


def animate(
    inputs: Inputs,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="PATH", help="A folder for frame_0000.png ..., or a .gif file.")
    ],
    method: Annotated[str, typer.Option("--method", metavar="WORD", help="volume or mip.")] = "volume",
    rotation: Annotated[
        float, typer.Option("--rotation", metavar="DEGREES", help="How far to go, towards the patient's left side.")
    ] = 360.0,
    frames: Annotated[int, typer.Option("--frames", metavar="N", help="How many pictures.")] = 60,
    fps: Annotated[float, typer.Option("--fps", metavar="N", help="Pictures a second of a .gif.")] = 20.0,
    transfer_function: TransferFile = None,
    preset: TransferName = None,
    camera_angle: Camera = "0,0",
    size: Size = "512x512",
    background: Background = "black",
    perspective: Perspective = 0.0,
    oversampling: Oversampling = 1.0,
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
    """Turn the camera around one series, from --camera-angle on: pictures in a folder, or a GIF.

    --transfer-function, --preset, --background, --perspective and --oversampling are for --method volume, the window is
    for --method mip. Frames are written as they come; all have one scale.
    """
    azimuth, elevation = numbers(camera_angle, count=2)
    pixels, shade = pixels_of(size), color_of(background)
    if method not in ("volume", "mip"):
        raise typer.BadParameter(f"{method!r} is no method: there are volume, mip")
    if method == "mip" and (transfer_function or preset or perspective or background != "black" or oversampling != 1.0):
        raise typer.BadParameter("a transfer function, a background, perspective and oversampling need --method volume")
    if method == "volume" and (window_center is not None or window_width is not None):
        raise typer.BadParameter("a window needs --method mip")
    if not 1 <= frames <= 10_000:
        raise typer.BadParameter(f"--frames must be 1 to 10000, not {frames}")
    single = output.name.lower().endswith(".gif")
    targets = [picture_file(output, endings=(".gif",), force=force)] if single else _frames(output, frames, force=force)
    look = look_of(transfer_function, preset)
    from gpukit.render.animation import rotate
    from gpukit.render.windows import window_of

    with Progress() as progress:
        body = open_volume(inputs, device, series, phase, fill_gaps, keep_tilt, skip_damaged, progress)
        window = None
        if method == "mip":
            window = window_of(body, center=window_center, width=window_width, usual="angio")
        pictures = rotate(
            body,
            method=method,
            rotation=rotation,
            frames=frames,
            azimuth=azimuth,
            elevation=elevation,
            size=pixels,
            transfer=look,
            background=shade,
            perspective=perspective,
            oversampling=oversampling,
            window=window,
        )
        _write_frames(_counted(pictures, frames, progress), targets, single, fps, force)
    if as_json:
        emit(json_text("animate", {"files": [str(path) for path in targets], "frames": frames, "method": method}))
    else:
        emit("".join(f"{path}\n" for path in targets))


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit 3d``."""
    app.command()(volume)
    app.command()(animate)
    three_d_curved.register(app)


def _frames(folder: Path, count: int, *, force: bool) -> list[Path]:
    """Files of the frames in their folder, none of which is there unless `force`."""
    from gpukit.errors import OutputError
    from gpukit.files.atomic import check_output

    targets = [folder / f"frame_{n:04d}.png" for n in range(count)]
    if folder.is_dir():
        return [check_output(target, force=force) for target in targets]
    if folder.exists():
        raise OutputError("the output is no folder", file=folder, fix="name a folder, or a file that ends in .gif")
    if not folder.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=folder, fix="create it first")
    return targets


def _counted(pictures: Iterable[Volume], count: int, progress: Progress) -> Iterator[Volume]:
    progress("drawing", 0, count)
    for n, picture in enumerate(pictures):
        yield picture
        progress("drawing", n + 1, count)


def _write_frames(pictures: Iterable[Volume], targets: list[Path], single: bool, fps: float, force: bool) -> None:
    if single:
        from gpukit.render.gif import write_gif

        return write_gif(pictures, targets[0], fps=fps, force=force)
    import gpukit

    for picture, target in zip(pictures, targets, strict=True):
        target.parent.mkdir(exist_ok=True)
        gpukit.save(picture, target, force=force)
    return None


def look_of(file: Path | None, preset: str | None) -> Transfer | None:
    """The transfer function that the options name."""
    if file is not None and preset is not None:
        raise typer.BadParameter("--transfer-function and --preset exclude one another")
    if file is None and preset is None:
        return None
    from gpukit.render.transfer import find_transfer, names_of_transfers, read_transfer

    if file is not None:
        return read_transfer(file)
    if preset not in names_of_transfers():
        raise typer.BadParameter(f"{preset!r} is no preset: there are {', '.join(names_of_transfers())}")
    return find_transfer(preset)


def pixels_of(text: str) -> tuple[int, int]:
    """Width and height of ``800x600`` or ``512``."""
    words = text.lower().split("x")
    if len(words) > 2 or not all(word.isascii() and word.isdigit() for word in words):
        raise typer.BadParameter(f"{text!r} is no size: write 800x600 or 512")
    return int(words[0]), int(words[-1])


def color_of(text: str) -> tuple[float, float, float]:
    """Red, green and blue of a name, ``#rrggbb`` or ``r,g,b``."""
    if text.lower() in _COLORS:
        return _COLORS[text.lower()]
    if text.startswith("#"):
        try:
            red, green, blue = bytes.fromhex(text[1:])
        except ValueError:
            raise typer.BadParameter(f"{text!r} is no colour: write #rrggbb") from None
        return red / 255, green / 255, blue / 255
    red_, green_, blue_ = numbers(text, count=3)
    if not all(0 <= c <= 1 for c in (red_, green_, blue_)):
        raise typer.BadParameter(f"{text!r} is no colour: red, green and blue are from 0 to 1")
    return red_, green_, blue_
