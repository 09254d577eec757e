"""Where a derived image lies, and how large its pixels are: what the sources state, and nothing else.

Images of a source without a place in the patient (CR, DX, MG, US, XA, NM, photographs) have none. They keep the
attributes of the source, turned and scaled with the picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.dicom.derived.derivation import Derivation, decimals
from gpukit.dicom.derived.header import SC
from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.image.plane import numbers
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["is_in_patient", "place", "put_position"]

#: Distances between pixel centers, in the order in which a grid takes one of them.
_SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
#: What says of which plane the distances are (PS3.3 10.7.1): copied where they are.
_CALIBRATION = (
    *("PixelSpacingCalibrationType", "PixelSpacingCalibrationDescription"),
    *("EstimatedRadiographicMagnificationFactor", "DistanceSourceToDetector", "DistanceSourceToPatient"),
)
_OPPOSITE = str.maketrans("LRAPHF", "RLPAFH")
_ALONG = 1e-6


def is_in_patient(volume: Volume, derivation: Derivation) -> bool:
    """Whether the grid of the images is the patient's."""
    return derivation.is_placed and volume.geometry.position


def place(top: Dataset, volume: Volume, derivation: Derivation, header: Dataset) -> None:
    """Size, and place in the patient as far as all slices share it.

    Parameters
    ----------
    top : Dataset
        Of the new images; changed.
    volume, derivation
        As for `gpukit.dicom.derived.write.derived_images`.
    header : Dataset
        Of the first source.
    """
    grid = volume.grid
    si, sj, _ = grid.spacing
    top.Rows, top.Columns = grid.shape[1:]
    if top.SOPClassUID == SC:
        top.PatientOrientation = ""  # required where a class does not ask for the place; empty is not known
    if is_in_patient(volume, derivation):
        normal = np.cross(grid.direction[:, 0], grid.direction[:, 1])
        between = float(abs(normal @ grid.affine[:3, 2]) / np.linalg.norm(normal))
        top.PixelSpacing = decimals((sj, si))
        top.ImageOrientationPatient = decimals((*grid.direction[:, 0], *grid.direction[:, 1]))
        top.SliceThickness = decimals((between if derivation.thickness is None else derivation.thickness,))[0]
        if grid.shape[0] > 1:
            top.SpacingBetweenSlices = decimals((between,))[0]
        return
    del top.FrameOfReferenceUID, top.PositionReferenceIndicator
    if volume.geometry.position:  # a straightened vessel, a perspective view: its pixels have a size, and no place
        top.PixelSpacing = decimals((sj, si))
    elif derivation.is_placed:
        _take_plane(top, volume, header)


def put_position(image: Dataset, volume: Volume, derivation: Derivation, k: int) -> None:
    """Place of slice k in the patient, where it has one."""
    if is_in_patient(volume, derivation):
        image.ImagePositionPatient = decimals(volume.grid.to_world((0, 0, k)))


def _take_plane(top: Dataset, volume: Volume, header: Dataset) -> None:
    """The source's own statements on its plane, of a picture whose rows and columns are the source's, maybe turned."""
    row, column = _axis(volume.grid.direction[:, 0]), _axis(volume.grid.direction[:, 1])
    if row is None or column is None or row[0] == column[0]:
        return  # a cut across the image, which says nothing of its pixels
    (across, right), (down, lower) = row, column
    letters = header.get("PatientOrientation")
    if letters and len(letters) == 2:
        turned = [_turned(str(letters[axis]), sign) for axis, sign in ((across, right), (down, lower))]
        if all(turned):
            top.PatientOrientation = turned
    si, sj, _ = volume.grid.spacing
    base = _base(header, volume)
    # mm between columns and between rows of the source, in that order
    scale = si / base[across], sj / base[down]
    is_sized = False
    for keyword in _SPACINGS:
        pair = _pair(header, volume, keyword)
        if pair is None:
            continue
        is_sized = True
        setattr(top, keyword, decimals((pair[down] * scale[1], pair[across] * scale[0])))
    if is_sized:
        for keyword in _CALIBRATION:
            if header.get(keyword) not in (None, ""):
                setattr(top, keyword, header.get(keyword))
    elif abs(si - sj) > _ALONG * si:
        top.PixelAspectRatio = _ratio(sj, si)
    if (across, right, down, lower) == (0, 1, 1, 1) and header.get("SequenceOfUltrasoundRegions"):
        size = int(header.get("Columns") or 0), int(header.get("Rows") or 0)
        top.SequenceOfUltrasoundRegions = _regions(
            header.SequenceOfUltrasoundRegions, (top.Columns / max(size[0], 1), top.Rows / max(size[1], 1))
        )


def _axis(direction: Any) -> tuple[int, int] | None:
    """Which axis of the source's picture a direction runs along, 0 across and 1 down, and its sign; None for neither.

    The grid of a source without a place has its rows along x and its columns along y.
    """
    for axis in (0, 1):
        if abs(abs(float(direction[axis])) - 1.0) <= _ALONG:
            return axis, 1 if direction[axis] > 0 else -1
    return None


def _turned(letters: str, sign: int) -> str:
    """A value of PatientOrientation, or its opposite; empty for letters of animals, whose opposites are others."""
    if sign > 0:
        return letters
    return letters.translate(_OPPOSITE) if letters and set(letters) <= set("LRAPHF") else ""


def _pair(header: Dataset, volume: Volume, keyword: str) -> tuple[float, float] | None:
    """Mm between columns and between rows, as the source states them."""
    item = functional_group(header, "PixelMeasuresSequence", volume.sources[0].frame)
    holder = header if keyword != "PixelSpacing" or item is None else item
    value = holder.get(keyword)
    pair = None if value is None else numbers(list(value) if not isinstance(value, str) else value, 2)
    return (pair[1], pair[0]) if pair is not None and min(pair) > 0 else None


def _base(header: Dataset, volume: Volume) -> tuple[float, float]:
    """Size of the source's pixels in the units of its grid, across and down."""
    for keyword in _SPACINGS:
        if (pair := _pair(header, volume, keyword)) is not None:
            return pair
    aspect = header.get("PixelAspectRatio")
    ratio = numbers(list(aspect), 2) if aspect is not None and not isinstance(aspect, str) else None
    return (1.0, ratio[0] / ratio[1]) if ratio is not None and min(ratio) > 0 else (1.0, 1.0)


def _ratio(vertical: float, horizontal: float) -> list[str]:
    """PixelAspectRatio in whole numbers."""
    from fractions import Fraction

    share = Fraction(vertical / horizontal).limit_denominator(10000)
    return [str(share.numerator), str(share.denominator)]


def _regions(regions: Sequence[Dataset], scale: tuple[float, float]) -> list[Dataset]:
    """Calibrated regions of an ultrasound image (PS3.3 C.8.5.5), whose pixels were scaled across and down."""
    from copy import deepcopy

    made = []
    for region in regions:
        item = deepcopy(region)
        if scale != (1.0, 1.0):
            for keyword, factor in (
                ("RegionLocationMinX0", scale[0]), ("RegionLocationMaxX1", scale[0]),
                ("RegionLocationMinY0", scale[1]), ("RegionLocationMaxY1", scale[1]),
                ("ReferencePixelX0", scale[0]), ("ReferencePixelY0", scale[1]),
            ):  # fmt: skip
                if keyword in item:
                    setattr(item, keyword, round((item.get(keyword) + 0.5) * factor - 0.5))
            for keyword, factor in (("PhysicalDeltaX", scale[0]), ("PhysicalDeltaY", scale[1])):
                if keyword in item:
                    setattr(item, keyword, float(item.get(keyword)) / factor)
        made.append(item)
    return made
