"""DICOM Segmentation objects, written (PS3.3 A.51 and A.90): voxels, coded meaning, and references to every source."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.colors import label_color, to_cielab
from gpukit.dicom.identity import REQUIRED, is_valid, new_series_number, short_text, source_header
from gpukit.dicom.seg_planes import Planes, plan_planes
from gpukit.dicom.seg_stream import write_binary
from gpukit.errors import DependencyError, InputError
from gpukit.volume import Label, Segmentation, SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_seg"]

Kind = Literal["binary", "labelmap"]

#: An empty segmentation keeps all its planes while they are no bigger than this, else the first one only.
_EMPTY_BYTES = 32 << 20
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def write_seg(
    segmentation: Segmentation,
    target: str | PathLike[str] | BinaryIO,
    *,
    kind: Kind = "binary",
    series_description: str | None = None,
    series_number: int | None = None,
) -> None:
    """Write a segmentation as a DICOM Segmentation object.

    Planes, orientation and spacing are the source instances' own numbers wherever the label map lies on their grid; on
    a resampled grid the object has planes of its own and says so. Every source instance (and frame) is referenced, both
    for the whole object and plane by plane. Planes without a voxel of a label are left out, as is usual.

    Parameters
    ----------
    segmentation : Segmentation
        Must have `sources` (its volume was read from DICOM). Patient, study and frame of reference are those of the
        first.
    target : path or binary stream
        Where to write. Not atomic: `gpukit.save` is.
    kind : {"binary", "labelmap"}
        ``binary``: Segmentation Storage, one bit plane a label, numbered 1, 2, 3 ... in the order of the label values.
        ``labelmap``: Label Map Segmentation Storage, which keeps the label values.
    series_description, series_number : optional
        Of the new series; by default they follow from the algorithm and the source.

    Raises
    ------
    InputError
        No sources, no labels, or a value in the label map that no label describes.
    GeometryError
        The grid cannot be expressed in DICOM.
    DependencyError
        highdicom is missing.
    """
    labels, header, planes, pixels = _checked(segmentation, kind)
    words = (segmentation, labels, header, planes, kind, series_description, series_number)
    if kind == "labelmap" or not pixels.any():
        _build(pixels, *words)[0].save_as(target, enforce_file_format=True)
        return
    # Everything but frames and pixels comes from an object of one pixel a plane, which takes highdicom no time.
    likeness = np.array([[[plane.any()]] for plane in pixels], np.uint8)
    dataset, plane_of_frame = _build(likeness, *words)
    if isinstance(target, (str, PathLike)):
        with Path(target).open("wb") as stream:
            write_binary(dataset, plane_of_frame, pixels, len(labels), stream)
    else:
        write_binary(dataset, plane_of_frame, pixels, len(labels), target)


def build_seg(
    segmentation: Segmentation,
    *,
    kind: Kind = "binary",
    series_description: str | None = None,
    series_number: int | None = None,
) -> Dataset:
    """The data set that `write_seg` writes, made whole by highdicom; parameters and errors as there."""
    labels, header, planes, pixels = _checked(segmentation, kind)
    return _build(pixels, segmentation, labels, header, planes, kind, series_description, series_number)[0]


def _checked(segmentation: Segmentation, kind: Kind) -> tuple[list[Label], Dataset, Planes, NDArray[Any]]:
    """What an object is made from: labels in order, a source's header, where its planes lie, and segment numbers."""
    if find_spec("highdicom") is None:
        raise DependencyError("writing a DICOM SEG needs highdicom", fix='pip install "gpukit[ai]"')
    sources = segmentation.sources
    if not sources:
        raise InputError(
            "a DICOM SEG must reference the DICOM instances that were segmented, and this volume was not read from any",
            fix="write NIfTI instead (--format nifti)",
        )
    labels = sorted(segmentation.labels, key=lambda label: label.value)
    if not labels:
        raise InputError("the segmentation has no labels", fix="describe at least one label")
    header = source_header(sources[0])
    planes = plan_planes(segmentation.grid, sources, header)
    pixels = _pixels(np.asarray(segmentation.to("cpu").array), labels, kind)
    if not pixels.any():
        frames = len(labels) if kind == "binary" else 1
        bits = pixels.size * frames * (1 if kind == "binary" else 8 * pixels.itemsize)
        if bits > 8 * _EMPTY_BYTES:
            pixels, planes = pixels[:1], _first_plane(planes)
    return labels, header, planes, pixels


def _build(
    pixels: NDArray[Any],
    segmentation: Segmentation,
    labels: Sequence[Label],
    header: Dataset,
    planes: Planes,
    kind: Kind,
    series_description: str | None,
    series_number: int | None,
) -> tuple[Dataset, list[int]]:
    """What highdicom makes of segment numbers, with the true references; and the plane of each of its frames."""
    import highdicom
    from pydicom.uid import generate_uid

    from gpukit import __version__

    algorithm = segmentation.algorithm
    name = algorithm.get("name") or "unnamed model"
    with warnings.catch_warnings():
        # highdicom warns about unusual names and quotes them: patient data has no place in a log.
        warnings.simplefilter("ignore")
        result: Dataset = highdicom.seg.Segmentation(
            source_images=_stand_ins(header, planes, pixels.shape[1:]),
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            segment_descriptions=_descriptions(highdicom, labels, algorithm, kind),
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
            omit_empty_frames=True,
            series_description=short_text(series_description or f"Segmentation: {name}"),
        )
    notes = "; ".join(segmentation.notes) if not planes.aligned else ""
    return result, _set_references(result, planes, segmentation.sources, str(header.SeriesInstanceUID), notes)


def _pixels(array: NDArray[Any], labels: Sequence[Label], kind: Kind) -> NDArray[Any]:
    """The label map in the segment numbers of the object, checked."""
    if kind not in ("binary", "labelmap"):
        raise InputError(f"{kind!r} is no kind of segmentation", fix="use binary or labelmap")
    if array.dtype.kind not in "ui" or (array.dtype.kind == "i" and array.size and int(array.min()) < 0):
        raise InputError(f"a label map holds whole numbers from 0, not {array.dtype}")
    values = [label.value for label in labels]
    if len(set(values)) != len(values) or values[0] < 1 or values[-1] > 65535:
        raise InputError(f"label values must differ and lie within 1 to 65535, not {values}")
    if int(array.max()) > 65535:
        raise InputError(f"the label map holds the value {int(array.max())}, and no label can be above 65535")
    present: set[int] = set()
    for plane in array:  # plane by plane: counting makes eight bytes of each voxel
        present.update(np.flatnonzero(np.bincount(plane.reshape(-1).astype(np.intp))).tolist())
    unknown = sorted(present - set(values) - {0})
    if unknown:
        raise InputError(f"the label map holds values that no label describes: {unknown[:10]}")
    numbers = values if kind == "labelmap" else list(range(1, len(values) + 1))
    table = np.zeros(max(values) + 1, np.uint8 if max(numbers) < 256 else np.uint16)
    table[values] = numbers
    numbered: NDArray[Any] = table[array]
    return numbered


def _descriptions(highdicom: Any, labels: Sequence[Label], algorithm: Any, kind: Kind) -> list[Any]:
    """Segment descriptions: coded property, algorithm, recommended colour."""
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
            segmented_property_category=Code(*label.category),
            segmented_property_type=Code(*label.type),
            algorithm_type="AUTOMATIC",
            algorithm_identification=identification,
            display_color=highdicom.color.CIELabColor(*to_cielab(label_color(label))),
        )
        for number, label in enumerate(labels, 1)
    ]


def _stand_ins(header: Dataset, planes: Planes, shape: tuple[int, ...]) -> list[Dataset]:
    """One single-frame image header for each plane.

    highdicom takes geometry, patient and study from its source images, but not several multi-frame files, frames in two
    orientations, mosaics or resampled grids. So it is given stand-ins that lie exactly where the planes do, named by
    their number; `_set_references` then names the true sources.
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
    )
    images = []
    for number, position in enumerate(planes.positions):
        image = Dataset()
        if number == 0:
            for element in header:
                if element.keyword in REQUIRED:
                    image.add(element if is_valid(element) else DataElement(element.tag, element.VR, ""))
                elif not element.tag.is_private and element.keyword not in dropped and is_valid(element):
                    image.add(element)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "PositionReferenceIndicator"):
            setattr(image, keyword, header.get(keyword))
        image.SOPClassUID = _CT_IMAGE_STORAGE
        image.SOPInstanceUID = f"2.25.{number}"
        image.Rows, image.Columns = shape
        image.ImagePositionPatient = decimal(position)
        image.ImageOrientationPatient = decimal(planes.orientation)
        image.PixelSpacing = decimal(planes.spacing)
        image.SliceThickness = DSfloat(planes.thickness, auto_format=True)
        images.append(image)
    return images


def _set_references(
    result: Dataset, planes: Planes, sources: Sequence[SourceInstance], series_uid: str, notes: str
) -> list[int]:
    """Name the true source instances and frames, for the object and for each of its frames; the frames' planes."""
    from pydicom import Dataset

    frames: dict[tuple[str, str], list[int]] = {}
    for source in sources:
        numbers = frames.setdefault((source.sop_class_uid, source.sop_instance_uid), [])
        if source.frame is not None:
            numbers.append(source.frame)

    def reference(class_uid: str, instance_uid: str, numbers: Sequence[int]) -> Dataset:
        item = Dataset()
        item.ReferencedSOPClassUID = class_uid
        item.ReferencedSOPInstanceUID = instance_uid
        if numbers:
            item.ReferencedFrameNumber = sorted(set(numbers)) if len(set(numbers)) > 1 else numbers[0]
        return item

    result.SourceImageSequence = [reference(*uids, numbers) for uids, numbers in frames.items()]
    series = Dataset()
    series.SeriesInstanceUID = series_uid
    series.ReferencedInstanceSequence = [reference(*uids, ()) for uids in frames]
    result.ReferencedSeriesSequence = [series]

    plane_of_frame = []
    for group in result.PerFrameFunctionalGroupsSequence:
        derivation = group.DerivationImageSequence[0]
        stand_in = derivation.SourceImageSequence[0]
        plane = int(str(stand_in.ReferencedSOPInstanceUID).rpartition(".")[2])
        plane_of_frame.append(plane)
        items = []
        for source in planes.references[plane]:
            item = reference(
                source.sop_class_uid, source.sop_instance_uid, () if source.frame is None else (source.frame,)
            )
            item.SpatialLocationsPreserved = "YES" if planes.pixelwise else "NO"
            item.PurposeOfReferenceCodeSequence = stand_in.PurposeOfReferenceCodeSequence
            items.append(item)
        derivation.SourceImageSequence = items
        if notes:
            derivation.DerivationDescription = notes[:1024]
        if not items:
            del group.DerivationImageSequence
    return plane_of_frame


def _first_plane(planes: Planes) -> Planes:
    """The first plane only."""
    from dataclasses import replace

    return replace(planes, positions=planes.positions[:1], references=planes.references[:1])
