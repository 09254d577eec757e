"""What the commands that draw share besides the series: clipping, masks, a second series."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.params import numbers

if TYPE_CHECKING:
    from gpukit.volume import Segmentation, Volume

__all__ = [
    "ClipBox",
    "ClipPlane",
    "Frame",
    "LabelColors",
    "LabelOpacity",
    "Labels",
    "Mask",
    "MaskMode",
    "Overlay",
    "OverlayFile",
    "OverlayName",
    "OverlaySeries",
    "check_mask",
    "clips",
    "colors_of",
    "mask_of",
]

ClipBox = Annotated[
    str | None,
    typer.Option(
        "--clip-box",
        metavar="X0,Y0,Z0,X1,Y1,Z1",
        help="Draw only this box: first and last voxel i,j,k, or with --frame patient two corners in LPS mm.",
    ),
]
ClipPlane = Annotated[
    list[str] | None,
    typer.Option(
        "--clip-plane",
        metavar="X,Y,Z,NX,NY,NZ",
        help="Draw only the side of a plane (point, normal) that its normal points to; may be given again.",
    ),
]
Frame = Annotated[
    str,
    typer.Option("--frame", metavar="WORD", help="What clipping counts in: voxel (i,j,k from 0) or patient (LPS mm)."),
]
Mask = Annotated[
    Path | None,
    typer.Option(
        "--mask", metavar="FILE", help="Labels to draw (projections: only the inside): SEG, RTSTRUCT, NIfTI, ..."
    ),
]
Labels = Annotated[
    str | None,
    typer.Option("--labels", "--label", metavar="LIST", help="Labels of the mask by number or name [default: all]."),
]
MaskMode = Annotated[
    str | None,
    typer.Option(
        "--mask-mode",
        metavar="WORD",
        help="overlay: labels in colour in the body; inside: the body inside the labels only; alone: labels only.",
    ),
]
LabelColors = Annotated[
    list[str] | None,
    typer.Option("--label-color", metavar="LABEL=COLOR", help="Such as 3=#ff8000; may be given again."),
]
LabelOpacity = Annotated[
    float | None,
    typer.Option("--label-opacity", metavar="N", help="Opacity of labels in colour per mm [default: 0.3]."),
]
Overlay = Annotated[
    list[Path] | None,
    typer.Option("--overlay", metavar="INPUT", help="A second series to draw with this one, such as PET over CT."),
]
OverlaySeries = Annotated[
    str | None, typer.Option("--overlay-series", metavar="WHICH", help="Which of several series of the overlay.")
]
OverlayFile = Annotated[
    Path | None,
    typer.Option("--overlay-transfer-function", metavar="FILE", help="Colour and opacity of the overlay, as JSON."),
]
OverlayName = Annotated[
    str | None,
    typer.Option("--overlay-preset", metavar="NAME", help="One that comes with gpukit [default: pet-fusion]."),
]


def clips(volume: Volume, box: str | None, planes: Sequence[str] | None, frame: str) -> Any:
    """Rows of clipping planes of the options; None where there are none."""
    if box is None and not planes:
        return None
    import numpy as np

    from gpukit.render.clipping import clip_box, clip_plane

    rows = []
    if box is not None:
        values = numbers(box, count=6)
        rows.append(clip_box(volume.grid, values[:3], values[3:], frame=frame))
    for plane in planes or ():
        values = numbers(plane, count=6)
        rows.append(clip_plane(volume.grid, values[:3], values[3:], frame=frame))
    return np.concatenate(rows)


def check_mask(
    mask: Path | None, labels: str | None, mode: str | None, colors: Sequence[str] | None, opacity: float | None
) -> None:
    """Options that would do nothing are mistakes."""
    if mask is None and (labels is not None or mode is not None or colors or opacity is not None):
        raise typer.BadParameter("--labels, --mask-mode, --label-color and --label-opacity need --mask")
    from gpukit.render.overlays import MASK_MODES

    if mode is not None and mode not in MASK_MODES:
        raise typer.BadParameter(f"{mode!r} is no mask mode: there are {', '.join(MASK_MODES)}")
    if mode == "inside" and (colors or opacity is not None):
        raise typer.BadParameter(
            "--mask-mode inside draws the body's own colours: no --label-color, no --label-opacity"
        )


def mask_of(volume: Volume, mask: Path, labels: str | None) -> Segmentation:
    """The mask on the volume's grid."""
    from gpukit.masking import open_mask

    words = None if labels is None else [int(w) if w.strip().isdigit() else w.strip() for w in labels.split(",")]
    return open_mask(mask, volume, labels=words)


def colors_of(mask: Segmentation, given: Sequence[str] | None, color_of: Any) -> dict[int, tuple[float, float, float]]:
    """Colours by label value of ``LABEL=COLOR``, the label by number or name."""
    made = {}
    for text in given or ():
        word, equals, color = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r} is no colour of a label: write LABEL=COLOR, such as 3=#ff8000")
        names = {label.name.lower(): label.value for label in mask.labels}
        value = int(word) if word.isdigit() else names.get(word.strip().lower())
        if value is None:
            raise typer.BadParameter(f"there is no label {word!r} among those drawn: {', '.join(sorted(names))}")
        made[value] = color_of(color)
    return made
