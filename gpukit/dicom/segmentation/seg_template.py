"""What highdicom makes of a segmentation: an object of any planes, on stand-ins for the true source images."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.modules.cielab import label_color, to_cielab
from gpukit.dicom.modules.source_frames import Planes
from gpukit.dicom.modules.source_header import REQUIRED, fit_character_set, is_valid, new_series_number, short_text
from gpukit.segmentation import Label, Segmentation

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Kind", "describe", "make_object", "make_template"]

Kind = Literal["binary", "labelmap", "fractional"]

_SEGMENT_NUMBER, _FRAME_LABEL, _FRAME_CONTENT = 0x0062000B, 0x00209453, 0x00209111
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def make_template(
    segmentation: Segmentation,
    labels: Sequence[Label],
    header: Dataset,
    planes: Planes,
    kind: Kind,
    *,
    series_description: str | None = None,
    series_number: int | None = None,
) -> Dataset:
    """An object as `make_object` makes it, but of one pixel in the first plane alone, and of at most two segments.

    All that describes patient, study, equipment, content and algorithm is as in the whole object. It takes highdicom
    milliseconds where a whole object takes seconds.

    Parameters
    ----------
    segmentation, header, planes, kind, series_description, series_number
        As of `make_object`.
    labels : sequence of Label
        Every label, in ascending order of values. Described are the first, which has the pixel, and the last: highdicom
        treats one segment unlike several, and the largest number decides how many bits a label map has.
    """
    few = [labels[0], labels[-1]] if len(labels) > 1 else list(labels)
    if kind == "fractional":
        pixels: NDArray[Any] = np.zeros((1, 1, 1, len(few)), np.float32)
        pixels[..., 0] = 1
    else:
        pixels = np.full((1, 1, 1), few[0].value if kind == "labelmap" else 1, np.uint16)
    return make_object(
        pixels,
        segmentation,
        few,
        header,
        planes.first(),
        kind,
        series_description=series_description,
        series_number=series_number,
        described=labels,
    )


def make_object(
    pixels: NDArray[Any],
    segmentation: Segmentation,
    labels: Sequence[Label],
    header: Dataset,
    planes: Planes,
    kind: Kind,
    *,
    compress: bool = False,
    series_description: str | None = None,
    series_number: int | None = None,
    described: Sequence[Label] | None = None,
) -> Dataset:
    """What highdicom makes of segment numbers; its source images are stand-ins named ``2.25.`` and the plane's number.

    Parameters
    ----------
    pixels : array of unsigned integers ``[plane, row, column]``, or of float32 ``[plane, row, column, segment]``
        Segment numbers (of a label map, label values), or fractions. The number of rows and columns may be any.
    segmentation : Segmentation
        Whose algorithm is named.
    labels : sequence of Label
        What is described, in the order of the segments.
    header : Dataset
        Of a source: patient, study, frame of reference.
    planes : Planes
        Where the planes lie.
    kind, compress, series_description, series_number
        As of `gpukit.dicom.segmentation.seg_write.write_seg`.
    described : sequence of Label or None
        All labels that will be described in the end, whose letters the character set must have; None for `labels`.
    """
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

    from gpukit.version import __version__

    name = segmentation.algorithm.get("name") or "unnamed model"
    with warnings.catch_warnings():
        # highdicom warns about unusual names and quotes them: patient data has no place in a log.
        warnings.simplefilter("ignore")
        result: Dataset = highdicom.seg.Segmentation(
            source_images=_stand_ins(header, planes, pixels.shape[1:3]),
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            segment_descriptions=describe(labels, segmentation.algorithm, kind),
            series_instance_uid=generate_uid(prefix=None),
            series_number=series_number if series_number is not None else new_series_number(header),
            sop_instance_uid=generate_uid(prefix=None),
            instance_number=1,
            manufacturer="gpukit",
            manufacturer_model_name="gpukit",
            software_versions=__version__,
            device_serial_number=__version__,
            content_label="SEGMENTATION",
            content_description=short_text(
                f"Segmentation by {name}" if planes.aligned else f"Segmentation on a resampled grid by {name}"
            ),
            content_creator_name="gpukit^",
            transfer_syntax_uid=RLELossless if compress and kind == "labelmap" else ExplicitVRLittleEndian,
            omit_empty_frames=True,
            series_description=short_text(series_description or f"Segmentation: {name}"),
        )
    words = [word for one in described or labels for word in (one.name, one.category[2], one.type[2])]
    words += [str(value) for value in segmentation.algorithm.values()] + list(segmentation.notes)
    fit_character_set(result, header.get("SpecificCharacterSet"), [*words, series_description or ""])
    if not planes.placed:
        _take_place_away(result, header)
    return result


def _take_place_away(result: Dataset, header: Dataset) -> None:
    """Leave nothing of the stand-ins' geometry (PS3.3 A.51.5.1): frames are told apart by segment and label instead."""
    from pydicom import Dataset

    for keyword in ("FrameOfReferenceUID", "PositionReferenceIndicator", "DimensionOrganizationType"):
        result.pop(keyword, None)
    result.PatientOrientation = header.get("PatientOrientation") or ""  # type 2C, without a position
    groups = [*result.SharedFunctionalGroupsSequence, *result.PerFrameFunctionalGroupsSequence]
    for group in groups:
        for keyword in ("PixelMeasuresSequence", "PlaneOrientationSequence", "PlanePositionSequence"):
            group.pop(keyword, None)
    place = Dataset()
    place.DimensionOrganizationUID = result.DimensionOrganizationSequence[0].DimensionOrganizationUID
    place.DimensionIndexPointer, place.FunctionalGroupPointer = _FRAME_LABEL, _FRAME_CONTENT
    place.DimensionDescriptionLabel = "Frame Label"
    kept = [item for item in result.DimensionIndexSequence if item.DimensionIndexPointer == _SEGMENT_NUMBER]
    result.DimensionIndexSequence = [*kept, place]
    for group in result.PerFrameFunctionalGroupsSequence:
        group.FrameContentSequence[0].DimensionIndexValues = [1] * (len(kept) + 1)


def describe(labels: Sequence[Label], algorithm: Any, kind: Kind) -> list[Any]:
    """Segment descriptions: coded property, algorithm, recommended colour."""
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code

    digest = algorithm.get("digest")
    identification = highdicom.AlgorithmIdentificationSequence(
        name=short_text(algorithm.get("name") or "unnamed model"),
        family=codes.cid7162.ArtificialIntelligence,
        version=short_text(algorithm.get("version") or "unknown"),
        source="gpukit",
        parameters={"weights-sha256": digest} if digest else None,
    )
    return [
        highdicom.seg.SegmentDescription(
            segment_number=label.value if kind == "labelmap" else number,
            segment_label=short_text(label.name),
            segmented_property_category=Code(*label.category[:2], short_text(label.category[2])),
            segmented_property_type=Code(*label.type[:2], short_text(label.type[2])),
            algorithm_type="AUTOMATIC",
            algorithm_identification=identification,
            display_color=highdicom.color.CIELabColor(*to_cielab(label_color(label))),
            **_tracking(label),
        )
        for number, label in enumerate(labels, 1)
    ]


def _tracking(label: Label) -> dict[str, str]:
    """Name and UID of a finding through time; the standard wants both, or neither (PS3.3 C.8.20.4)."""
    if not label.tracking_uid:
        return {}
    return {"tracking_uid": label.tracking_uid, "tracking_id": label.tracking_id or label.name}


def _stand_ins(header: Dataset, planes: Planes, shape: tuple[int, ...]) -> list[Dataset]:
    """One single-frame image header for each plane.

    highdicom takes geometry, patient and study from its source images, but not several multi-frame files, frames in two
    orientations, mosaics or resampled grids. So it is given stand-ins that lie exactly where the planes do, named by
    their number; `gpukit.dicom.segmentation.seg_header` then names the true sources.
    """
    from pydicom import DataElement, Dataset
    from pydicom.valuerep import DSfloat

    def decimal(values: Iterable[float]) -> list[DSfloat]:
        return [DSfloat(value, auto_format=True) for value in values]

    dropped = (
        "PerFrameFunctionalGroupsSequence",
        "SharedFunctionalGroupsSequence",
        "NumberOfFrames",
        "SpacingBetweenSlices",
        "SpecificCharacterSet",  # of which highdicom does not take all
    )
    alike = Dataset()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator"):
        setattr(alike, keyword, header.get(keyword))
    alike.SOPClassUID = _CT_IMAGE_STORAGE
    alike.Rows, alike.Columns = shape
    alike.ImageOrientationPatient = decimal(planes.orientation)
    alike.PixelSpacing = decimal(planes.spacing)
    alike.SliceThickness = DSfloat(planes.thickness, auto_format=True)
    elements = list(alike)  # made once: there may be thousands of planes
    images = []
    for number, position in enumerate(planes.positions):
        image = Dataset()
        if number == 0:
            for element in header:
                if element.keyword in REQUIRED:
                    image.add(element if is_valid(element) else DataElement(element.tag, element.VR, ""))
                elif not element.tag.is_private and element.keyword not in dropped and is_valid(element):
                    image.add(element)
        for element in elements:
            image.add(element)
        image.SOPInstanceUID = f"2.25.{number}"
        image.ImagePositionPatient = decimal(position)
        images.append(image)
    return images
