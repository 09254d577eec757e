"""From pixels to millimetres: which attribute gives the scale, and how far it is to be trusted.

The order is: what the user gives; the ultrasound region in which the points lie; for projections PixelSpacing where it
was calibrated, else the spacing at the detector, divided by the magnification where the file estimates it;
PixelSpacing; the spacing at which a film was scanned. Without any of these lengths are counts of pixels. Attributes as
in PS3.3 10.7.1 (Basic Pixel Spacing Calibration), C.8.5.5 (ultrasound regions) and C.8.6.1 (secondary capture).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.plane import has_functional_groups, numbers
from gpukit.errors import GeometryError
from gpukit.findings.measurement import Calibration
from gpukit.volume import Volume

__all__ = ["PIXELS", "calibration_of", "grid_calibration", "manual"]


Pair = tuple[float, float]

#: No calibration: lengths are counts of pixels, and say so.
PIXELS = Calibration("none", (1.0, 1.0), ("{pixels}", "{pixels}"), "the image is not calibrated: lengths are in pixels")

#: Modalities whose images are projections: what lies between source and detector is magnified.
_PROJECTIONS = frozenset({"CR", "DX", "MG", "IO", "PX", "XA", "RF", "DF", "DS", "RG", "DG", "XC"})
_IMAGER, _BEAM = "ImagerPixelSpacing", "ObjectPixelSpacingInCenterOfBeam"
_ULTRASOUND = frozenset({"US", "IVUS"})

#: Magnifications that a projection can have; anything else is an error of the file.
_MAGNIFICATION = (1.0, 20.0)


def manual(x: float, y: float | None = None) -> Calibration:
    """Return the size of a pixel in mm as the user gives it: along columns (x), and along rows (y) where it differs.

    Raises
    ------
    GeometryError
        It is not positive or not finite.
    """
    scale = (x, x if y is None else y)
    if not all(0 < value < math.inf for value in scale):
        raise GeometryError(f"a pixel of {scale[0]:g} x {scale[1]:g} mm has no size", attribute="calibration")
    return Calibration("--calibration", scale, ("mm", "mm"), f"a pixel of {_size(scale)}, given by the user")


def calibration_of(frame: Frame, points: Sequence[Pair] = (), *, given: Calibration | None = None) -> Calibration:
    """Return the scale that holds at `points` of a frame.

    Parameters
    ----------
    frame : Frame
        The image.
    points : sequence of (column, row)
        Where it is measured; decides in an image of several ultrasound regions.
    given : Calibration, optional
        From `manual`: comes before all that the file says.

    Raises
    ------
    GeometryError
        The points lie in ultrasound regions of different scale, or the file contradicts itself.
    """
    if given is not None:
        return given
    if frame.modality in _ULTRASOUND:
        from gpukit.measure.spatial.ultrasound_regions import region_calibration

        in_region = region_calibration(frame, points)
        if in_region is not None:
            return in_region
    imager = _spacing(frame, "ImagerPixelSpacing")
    in_groups = frame.number is not None or has_functional_groups(frame.header)
    if imager is None and in_groups and frame.modality in _PROJECTIONS:
        imager = _pair(frame, _IMAGER, frame.functional("FramePixelDataPropertiesSequence", _IMAGER))
        beam = frame.functional("ProjectionPixelCalibrationSequence", _BEAM)
        if (scale := _pair(frame, _BEAM, beam)) is not None:
            text = f"{_BEAM} {_size(scale)}: in the plane for which the machine was calibrated"
            return Calibration(_BEAM, scale, ("mm", "mm"), text)
    if frame.modality in _PROJECTIONS or imager is not None:
        return _projection(frame, imager)
    if (declared := _declared(frame)) is not None:
        return Calibration("PixelSpacing", declared, ("mm", "mm"), f"PixelSpacing {_size(declared)}{_kind(frame)}")
    return _scanned(frame) or _bare(frame)


def _projection(frame: Frame, imager: Pair | None) -> Calibration:
    """Scale of a projection: by PS3.3 10.7.1.3 PixelSpacing may be that of the detector, or may be calibrated."""
    declared = _declared(frame)
    kind = str(frame.get("PixelSpacingCalibrationType", "")).strip()
    if declared is not None and (kind or (imager is not None and not _same(declared, imager))):
        return Calibration("PixelSpacing", declared, ("mm", "mm"), f"PixelSpacing {_size(declared)}{_kind(frame)}")
    if imager is None:
        if declared is None:
            return _scanned(frame) or _bare(frame)
        doubt = "a projection that does not say whether this is the size at the detector or in the patient"
        return Calibration("PixelSpacing", declared, ("mm", "mm"), f"PixelSpacing {_size(declared)}, {doubt}")
    factor = frame.get("EstimatedRadiographicMagnificationFactor")
    if factor is not None and _MAGNIFICATION[0] <= factor <= _MAGNIFICATION[1]:
        scale = imager[0] / factor, imager[1] / factor
        text = (
            f"ImagerPixelSpacing {_size(imager)} at the detector, divided by the "
            f"EstimatedRadiographicMagnificationFactor {factor:g}: {_size(scale)} in the patient"
        )
        return Calibration("ImagerPixelSpacing/EstimatedRadiographicMagnificationFactor", scale, ("mm", "mm"), text)
    text = f"ImagerPixelSpacing {_size(imager)} at the detector: what lies in front of it is measured too large"
    if factor is not None:
        text += f" (a magnification factor of {factor:g} cannot be)"
    else:
        text += _estimate(frame)
    return Calibration("ImagerPixelSpacing", imager, ("mm", "mm"), text)


def _estimate(frame: Frame) -> str:
    """How much too large, where the distances of the source are known; told, not applied: nobody vouches for them."""
    detector, patient = frame.get("DistanceSourceToDetector"), frame.get("DistanceSourceToPatient")
    if not detector or not patient or not _MAGNIFICATION[0] < detector / patient <= _MAGNIFICATION[1]:
        return ""
    return f", by a factor of about {detector / patient:.3g} as the distances of the source suggest"


def _scanned(frame: Frame) -> Calibration | None:
    scale = _spacing(frame, "NominalScannedPixelSpacing")
    if scale is None:
        return None
    text = f"NominalScannedPixelSpacing {_size(scale)}: the size on the film or paper that was scanned"
    return Calibration("NominalScannedPixelSpacing", scale, ("mm", "mm"), text)


def _bare(frame: Frame) -> Calibration:
    """In pixels; where they are known not to be square, in widths of a pixel."""
    ratio = numbers(frame.get("PixelAspectRatio"), 2)  # vertical, horizontal
    if ratio is None or min(ratio) <= 0 or ratio[0] == ratio[1]:
        return PIXELS
    text = (
        f"the image is not calibrated: lengths are in pixel widths (PixelAspectRatio {ratio[0]:g}:{ratio[1]:g}: "
        f"a pixel is {ratio[0] / ratio[1]:g} widths high)"
    )
    return Calibration("PixelAspectRatio", (1.0, ratio[0] / ratio[1]), PIXELS.units, text)


def _kind(frame: Frame) -> str:
    """What PixelSpacingCalibrationType says (PS3.3 10.7.1.2), for people."""
    kind = str(frame.get("PixelSpacingCalibrationType", "")).strip().upper()
    if kind == "GEOMETRY":
        return ", corrected for an assumed or known geometric magnification (calibration type GEOMETRY)"
    if kind == "FIDUCIAL":
        return ", calibrated by an object of known size in the image (calibration type FIDUCIAL)"
    if kind:
        return f", calibration type {kind[:16]}"
    if frame.modality in _PROJECTIONS:
        return ", other than ImagerPixelSpacing, so that it was calibrated; how is not said"
    return ""


def _declared(frame: Frame) -> Pair | None:
    """PixelSpacing as (x, y)."""
    spacing = frame.plane.spacing
    return None if spacing is None else (spacing[1], spacing[0])


def _spacing(frame: Frame, keyword: str) -> Pair | None:
    """An attribute (between rows, between columns) as (x, y); None where it is absent or 0, which means unknown."""
    return _pair(frame, keyword, frame.get(keyword))


def _pair(frame: Frame, keyword: str, value: Any) -> Pair | None:
    pair = numbers(value, 2)
    if pair is None or min(pair) == 0:
        return None
    if min(pair) < 0:
        raise GeometryError(f"{pair[0]:g} x {pair[1]:g} mm is not positive", file=frame.file, attribute=keyword)
    return pair[1], pair[0]


def _same(one: Pair, two: Pair) -> bool:
    """Equal but for the digits that a decimal string drops."""
    return all(math.isclose(a, b, rel_tol=1e-5) for a, b in zip(one, two, strict=True))


def _size(scale: Pair) -> str:
    x, y = scale
    return f"{x:.6g} mm" if x == y else f"{x:.6g} x {y:.6g} mm (width x height)"


def grid_calibration(volume: Volume) -> Calibration:
    """Scale of the slices of a volume that has a place in the patient."""
    si, sj, _ = volume.grid.spacing
    return Calibration("grid", (si, sj), ("mm", "mm"), f"grid of the volume, {si:.6g} x {sj:.6g} mm in a slice")
