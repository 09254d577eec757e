"""What the notes of a volume say of its geometry: whether it is the patient's, and whether it is known at all."""

from __future__ import annotations

from typing import Any

from gpukit.ai.description import Model
from gpukit.errors import GeometryError
from gpukit.volume import Segmentation, Volume

__all__ = ["amount", "check_spacing", "has_spacing", "is_placed"]


def is_placed(volume: Volume | Segmentation) -> bool:
    """Whether the grid is where the patient is, and not at an origin that was made up."""
    return not any("no patient geometry" in note for note in volume.notes)


def has_spacing(volume: Volume | Segmentation) -> bool:
    """Whether the image says how large its pixels are."""
    return not any("no pixel spacing" in note for note in volume.notes)


def check_spacing(volume: Volume, model: Model) -> None:
    """GeometryError where the model wants a spacing and the image does not say its own."""
    wanted = model.input.spacing
    if wanted is not None and not has_spacing(volume):
        sizes = " x ".join(f"{side:g}" for side in wanted)
        raise GeometryError(
            f"the model {model.name} sees pixels of {sizes} mm, and the image does not say how large its own are",
            file=volume.sources[0].path if volume.sources else None, attribute="PixelSpacing",
            fix="put the spacing that the scanner states into the file, or use a model that takes any",
        )  # fmt: skip


def amount(entry: dict[str, Any], digits: int = 1) -> str:
    """A label's volume for people, from its entry in `gpukit.ai.outputs.summary`: pixels on a picture without depth."""
    ml = entry["volume_ml"]
    return f"{entry['voxels']} pixels" if ml is None else f"{ml:.{digits}f} ml"
