"""Check that a volume fits a model before anything runs."""

from __future__ import annotations

from gpukit.ai.model.description import Model
from gpukit.errors import GeometryError
from gpukit.volume import Volume

__all__ = ["check_spacing"]


def check_spacing(volume: Volume, model: Model) -> None:
    """GeometryError where the model wants a spacing and the image does not say its own."""
    wanted = model.input.spacing
    if wanted is not None and not volume.geometry.spacing:
        sizes = " x ".join(f"{side:g}" for side in wanted)
        raise GeometryError(
            f"the model {model.name} sees pixels of {sizes} mm, and the image does not say how large its own are",
            file=volume.sources[0].path if volume.sources else None, attribute="PixelSpacing",
            fix="put the spacing that the scanner states into the file, or use a model that takes any",
        )  # fmt: skip
