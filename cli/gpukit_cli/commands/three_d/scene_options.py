"""Shared options of the commands that draw: clipping, masks, a second series."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.commands.three_d.appearance_options import color_of
from gpukit_cli.failures import warn
from gpukit_cli.params import numbers

if TYPE_CHECKING:
    from gpukit.segmentation import Segmentation
    from gpukit.volume import Volume

__all__ = [
    "Clipping",
    "Frame",
    "Labels",
    "Mask",
    "Masked",
    "Overlay",
    "OverlayFile",
    "OverlayName",
    "OverlaySeries",
    "mask_of",
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


@dataclass(frozen=True)
class Clipping:
    """What of the body is drawn at all."""

    clip_box: Annotated[
        str | None,
        typer.Option(
            "--clip-box",
            metavar="X0,Y0,Z0,X1,Y1,Z1",
            help="Draw only this box: first and last voxel i,j,k, or with --frame patient two corners in LPS mm.",
        ),
    ] = None
    clip_plane: Annotated[
        list[str] | None,
        typer.Option(
            "--clip-plane",
            metavar="X,Y,Z,NX,NY,NZ",
            help="Draw only the side of a plane (point, normal) that its normal points to; may be given again.",
        ),
    ] = None

    @property
    def is_given(self) -> bool:
        """Whether anything is cut off."""
        return self.clip_box is not None or bool(self.clip_plane)

    def planes(self, volume: Volume, frame: str) -> Any:
        """Rows of clipping planes; None where there are none."""
        if not self.is_given:
            return None
        import numpy as np

        from gpukit.rendering.scene.clipping import clip_box, clip_plane

        rows = []
        if self.clip_box is not None:
            values = numbers(self.clip_box, count=6)
            rows.append(clip_box(volume.grid, values[:3], values[3:], frame=frame))
        for plane in self.clip_plane or ():
            values = numbers(plane, count=6)
            rows.append(clip_plane(volume.grid, values[:3], values[3:], frame=frame))
        return np.concatenate(rows)


@dataclass(frozen=True)
class Masked:
    """Labels that are drawn, and how they look."""

    mask: Mask = None
    labels: Labels = None
    mask_mode: Annotated[
        str | None,
        typer.Option(
            "--mask-mode",
            metavar="WORD",
            help="overlay: labels in colour in the body; inside: the body inside the labels only; alone: labels only.",
        ),
    ] = None
    label_color: Annotated[
        list[str] | None,
        typer.Option("--label-color", metavar="LABEL=COLOR", help="Such as 3=#ff8000; may be given again."),
    ] = None
    label_opacity: Annotated[
        float | None,
        typer.Option("--label-opacity", metavar="N", help="Opacity of labels in colour per mm [default: 0.3]."),
    ] = None

    @property
    def is_styled(self) -> bool:
        """Whether the options say how labels look."""
        return self.mask_mode is not None or bool(self.label_color) or self.label_opacity is not None

    def check(self) -> None:
        """Options that would do nothing are mistakes."""
        if self.mask is None and (self.labels is not None or self.is_styled):
            raise typer.BadParameter("--labels, --mask-mode, --label-color and --label-opacity need --mask")
        from gpukit.rendering.scene.overlays import MASK_MODES

        if self.mask_mode is not None and self.mask_mode not in MASK_MODES:
            raise typer.BadParameter(f"{self.mask_mode!r} is not a mask mode: there are {', '.join(MASK_MODES)}")
        if self.mask_mode == "inside" and (self.label_color or self.label_opacity is not None):
            raise typer.BadParameter(
                "--mask-mode inside draws the body's own colours: no --label-color, no --label-opacity"
            )

    def open(self, volume: Volume) -> Segmentation | None:
        """Return the mask on the volume's grid, or None; print its notes."""
        if self.mask is None:
            return None
        segmentation = mask_of(volume, self.mask, self.labels)
        for note in segmentation.notes:
            warn(note)
        return segmentation

    def colors(self, mask: Segmentation) -> dict[int, tuple[float, float, float]]:
        """Colours by label value of ``LABEL=COLOR``, the label by number or name."""
        shades = {}
        for text in self.label_color or ():
            word, equals, color = text.partition("=")
            if not equals:
                raise typer.BadParameter(f"{text!r} is not a colour of a label: write LABEL=COLOR, such as 3=#ff8000")
            names = {label.name.lower(): label.value for label in mask.labels}
            value = int(word) if word.isdecimal() else names.get(word.strip().lower())
            if value is None:
                raise typer.BadParameter(f"there is no label {word!r} among those drawn: {', '.join(sorted(names))}")
            shades[value] = color_of(color)
        return shades


def mask_of(volume: Volume, mask: Path, labels: str | None) -> Segmentation:
    """The mask on the volume's grid."""
    from gpukit.io.masks import open_mask

    words = None if labels is None else [int(w) if w.strip().isdecimal() else w.strip() for w in labels.split(",")]
    return open_mask(mask, volume, labels=words)
