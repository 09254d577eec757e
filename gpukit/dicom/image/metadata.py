"""Facts of a series that a Volume carries: attributes by DICOM keyword, and how its values came about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpukit.dicom.image.plane import Plane
from gpukit.dicom.image.voi_lut import shown_window
from gpukit.volume import ValueScale

__all__ = ["metadata_of", "volume_scale"]


#: Facts of the first image that a volume keeps, by keyword. No patient identity.
_KEPT = (
    "Modality", "SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "StudyDate", "StudyTime",
    "SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "StudyDescription", "SeriesDescription",
    "ProtocolName", "SeriesNumber", "BodyPartExamined", "Laterality", "PatientPosition", "ImageType", "Manufacturer",
    "ManufacturerModelName", "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "WindowCenter",
    "WindowWidth", "VOILUTFunction", "RescaleType", "Units", "SUVType", "DecayCorrection", "SliceThickness", "KVP",
    "ConvolutionKernel", "MagneticFieldStrength", "EchoTime", "RepetitionTime", "FlipAngle", "InversionTime",
    "GantryDetectorTilt", "PresentationLUTShape", "FrameTime", "PatientOrientation", "LossyImageCompression",
    "PixelSpacingCalibrationType", "ContrastBolusAgent", "DoseUnits",
)  # fmt: skip


def metadata_of(plane: Plane) -> Mapping[str, Any]:
    """Facts of an image that a volume keeps, by keyword; no patient identity.

    The window is in the values of the plane (`gpukit.dicom.image.voi_lut`), which Philips' own scale makes others than
    those that the header displays.
    """
    facts = {keyword: value for keyword in _KEPT if (value := plane.get(keyword)) is not None}
    if plane.orientation is not None:
        facts["ImageOrientationPatient"] = plane.orientation
    if "WindowCenter" in facts and (changed := shown_window(plane)) is not None:
        for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction"):
            facts.pop(keyword, None)
        facts.update(changed)
    return facts


def volume_scale(planes: Sequence[Plane], *, table: bool) -> ValueScale:
    """The scale of a volume, from that of its planes.

    Parameters
    ----------
    planes : sequence of Plane
        Of the series, in any order.
    table : bool
        Whether a Modality LUT made the values.
    """
    first = planes[0]
    shown = first.get("RescaleSlope"), first.get("RescaleIntercept")
    return ValueScale(
        source="ModalityLUTSequence" if table else first.scale_source,
        slope=first.slope,
        intercept=first.intercept,
        displayed_slope=1.0 if shown[0] is None else float(shown[0]),
        displayed_intercept=0.0 if shown[1] is None else float(shown[1]),
        uniform=len({(plane.slope, plane.intercept) for plane in planes}) == 1,
    )
