"""What a measurement report holds, free of DICOM's sequences: the words that its writer and reader share."""

from __future__ import annotations

from dataclasses import dataclass

from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import Figure, ImageReference, SegmentReference

__all__ = ["ReportedGroup", "ReportedNumber"]


@dataclass(frozen=True, kw_only=True)
class ReportedNumber:
    """One number with its meaning.

    Parameters
    ----------
    code : Code
        What it is, such as SCT 410668003 Length.
    value : float
        Finite.
    unit : str
        UCUM.
    derivation : Code or None
        How it was reduced from many values, such as SCT 373098007 Mean.
    method : Code or None
        How it was computed.
    figures : tuple of Figure
        What this number was taken from, where that differs from the group's.
    """

    code: Code
    value: float
    unit: str
    derivation: Code | None = None
    method: Code | None = None
    figures: tuple[Figure, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ReportedGroup:
    """What was measured of one finding.

    Parameters
    ----------
    numbers : tuple of ReportedNumber
        The measurements.
    tracking_uid, tracking_id : str
        Identity of the finding, through time; the id is also what web viewers choose their drawing tool by.
    label : str
        The user's words.
    images : tuple of ImageReference
        What was measured on; pixel coordinates belong to the first.
    figures : tuple of Figure
        What was drawn: in pixels, or with three coordinates in LPS mm.
    regions : tuple of (ImageReference, Figure)
        Of a body: its outlines on several images, in pixels, in place of `figures`.
    frame_of_reference_uid : str
        Of figures in the patient.
    segment : SegmentReference or None
        The measured segment, for a volumetric region.
    series_uid : str
        Of a segment, the series that was segmented, where `images` names no single ones.
    finding, category, method : Code or None
        What was found, of which category that is, and how it was measured.
    absent : tuple of Code
        What was looked for and not found.
    sites : tuple of Code
        Where in the body.
    algorithm : (str, str, str) or None
        Name, version and digest of the weights of the program that found it.
    """

    numbers: tuple[ReportedNumber, ...]
    tracking_uid: str
    tracking_id: str = ""
    label: str = ""
    images: tuple[ImageReference, ...] = ()
    figures: tuple[Figure, ...] = ()
    regions: tuple[tuple[ImageReference, Figure], ...] = ()
    frame_of_reference_uid: str = ""
    segment: SegmentReference | None = None
    series_uid: str = ""
    finding: Code | None = None
    category: Code | None = None
    method: Code | None = None
    absent: tuple[Code, ...] = ()
    sites: tuple[Code, ...] = ()
    algorithm: tuple[str, str, str] | None = None
