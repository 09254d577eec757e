"""What was done to make derived images: the codes and the text of it, and where the images lie."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpukit.dicom.derived.header import PT, code
from gpukit.dicom.modules.source_header import new_series_number, short_text
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Derivation"]


_MOST_TEXT = 1024  # characters of a value of type ST

#: Ways to derive by their DICOM code (PS3.16 CID 7203): the last value of ImageType that stands here decides.
_CODES = {
    "MPR": ("113072", "DCM", "Multiplanar reformatting"),
    "CURVED MPR": ("113073", "DCM", "Curved multiplanar reformatting"),
    "MAXIMUM": ("113078", "DCM", "Maximum intensity projection"),
    "MINIMUM": ("113079", "DCM", "Minimum intensity projection"),
    "MEAN": ("113049", "DCM", "Pixel by pixel mean"),
    "RESAMPLED": ("113085", "DCM", "Spatial resampling"),
    "VOLUME RENDERING": ("113074", "DCM", "Volume rendering"),
    "SURFACE RENDERING": ("113075", "DCM", "Surface rendering"),
}
#: Kinds of picture whose grid is not the patient's.
_UNPLACED = {"CURVED MPR", "VOLUME RENDERING", "SURFACE RENDERING"}


@dataclass(frozen=True)
class Derivation:
    """How a volume came from its sources.

    Parameters
    ----------
    description : str
        For people: DerivationDescription.
    series_description : str
        Of the new series.
    image_type : tuple of str
        Third and further values of ImageType, after DERIVED and SECONDARY.
    thickness : float or None
        SliceThickness in mm where a picture shows more than the distance between slices; None takes that distance.
    series_offset : int
        Added to the series number, so that several series of one run differ.
    is_placed : bool
        Whether the grid is the patient's. Otherwise (a straightened vessel, a perspective view) the images are
        secondary captures that keep their pixels' size and have no place.
    """

    description: str = ""
    series_description: str = "derived"
    image_type: tuple[str, ...] = ("OTHER",)
    thickness: float | None = None
    series_offset: int = 0
    is_placed: bool = True

    @classmethod
    def of(cls, volume: Volume) -> Derivation:
        """What a volume says of itself in its metadata, as the functions of `gpukit.rendering` leave it."""
        facts = volume.metadata
        kinds = tuple(str(part) for part in facts.get("ImageType", ()))
        thickness = facts.get("SliceThickness") if "DerivationDescription" in facts else None
        return cls(
            description=str(facts.get("DerivationDescription") or ""),
            series_description=str(facts.get("SeriesDescription") or "derived"),
            image_type=(kinds[2:] if kinds[:1] == ("DERIVED",) else ()) or ("OTHER",),
            thickness=None if thickness is None else float(thickness),
            is_placed=not set(kinds) & _UNPLACED,
        )


def describe(top: Dataset, header: Dataset, volume: Volume, derivation: Derivation) -> None:
    """What was done, for programs and people."""
    from pydicom.uid import generate_uid

    # PET images are primary even where they are derived (PS3.3 C.8.9.4.1.1)
    top.ImageType = ["DERIVED", "PRIMARY" if top.SOPClassUID == PT else "SECONDARY", *derivation.image_type]
    top.SeriesInstanceUID = generate_uid(prefix=None)
    top.SeriesNumber = new_series_number(header) + 100 + derivation.series_offset
    top.SeriesDescription = short_text(derivation.series_description)
    # notes may name files, and a file's name may be a patient's
    told = [derivation.description, *(note for note in volume.notes if not note.startswith("left aside"))]
    if text := "; ".join(part for part in told if part):
        top.DerivationDescription = text[:_MOST_TEXT]
    if volume.algorithm:
        top.ContributingEquipmentSequence = [*(top.get("ContributingEquipmentSequence") or ()), _network(volume)]
    known = [part for part in derivation.image_type if part in _CODES]
    if known:
        top.DerivationCodeSequence = [code(*_CODES[known[-1]])]


def _network(volume: Volume) -> Dataset:
    """The network that made the values, as a contributing equipment (PS3.3 C.12.1): derived images have no better."""
    from pydicom import Dataset

    name, version, digest = (str(volume.algorithm.get(key) or "") for key in ("name", "version", "digest"))
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [code("109102", "DCM", "Processing Equipment")]
    item.Manufacturer, item.ManufacturerModelName = "gpukit", short_text(name)
    item.SoftwareVersions = [short_text(text) for text in (version, digest) if text]
    item.ContributionDescription = "neural network: version and sha256 of the weights"
    return item


def decimals(values: Iterable[float]) -> list[Any]:
    """Numbers as DICOM writes them; minus zero, and what is zero but for rounding, is 0."""
    from pydicom.valuerep import DSfloat

    return [DSfloat(0.0 if abs(float(v)) < 1e-12 else float(v), auto_format=True) for v in values]
