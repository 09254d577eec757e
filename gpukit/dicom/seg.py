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

from gpukit.device import move
from gpukit.dicom.colors import label_color, to_cielab
from gpukit.dicom.identity import REQUIRED, is_valid, new_series_number, short_text, source_header
from gpukit.dicom.seg_planes import Planes, plan_planes
from gpukit.dicom.seg_stream import write_binary, write_fractional, write_labelmap
from gpukit.errors import DependencyError, InputError
from gpukit.volume import Label, Segmentation, SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_seg"]

Kind = Literal["binary", "labelmap", "fractional"]

#: An empty segmentation keeps all its planes while they are no bigger than this, else the first one only.
_EMPTY_BYTES = 32 << 20
_CT_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.2"


def write_seg(
    segmentation: Segmentation,
    target: str | PathLike[str] | BinaryIO,
    *,
    kind: Kind = "binary",
    compress: bool = True,
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
    kind : {"binary", "labelmap", "fractional"}
        ``binary``: Segmentation Storage, one bit plane a label, numbered 1, 2, 3 ... in the order of the label values.
        ``labelmap``: Label Map Segmentation Storage, which keeps the label values.
        ``fractional``: Segmentation Storage, one plane of probabilities (of 255) a label, numbered as in ``binary``;
        needs `Segmentation.probabilities`.
    compress : bool
        Label maps in RLE Lossless, which every PACS must be able to read or convert; else as they are.
    series_description, series_number : optional
        Of the new series; by default they follow from the algorithm and the source.

    Raises
    ------
    InputError
        No sources, no labels, a value in the label map that no label describes, or no probabilities.
    GeometryError
        The grid cannot be expressed in DICOM.
    DependencyError
        highdicom is missing.
    """
    labels, header, planes, pixels = _checked(segmentation, kind)
    words = (segmentation, labels, header, planes, kind, series_description, series_number)
    if isinstance(target, (str, PathLike)):
        with Path(target).open("wb") as stream:
            _write(stream, pixels, words, compress)
    else:
        _write(target, pixels, words, compress)


def _write(stream: BinaryIO, pixels: NDArray[Any], words: tuple[Any, ...], compress: bool) -> None:
    labels, kind = words[1], words[4]
    if not pixels.any():
        whole = _as_highdicom_takes(pixels, kind)
        _build(whole, *words, compress=compress)[0].save_as(stream, enforce_file_format=True)
        return
    # Everything but frames and pixels comes from an object of one pixel a plane, which takes highdicom no time.
    if kind == "fractional":
        likeness = np.zeros((pixels.shape[1], 1, 1, min(2, len(labels))), np.float32)
        likeness[:, 0, 0, 0] = [pixels[:, k].any() for k in range(pixels.shape[1])]
        dataset, plane_of_frame = _build(likeness, *words, likeness=True)
        write_fractional(dataset, plane_of_frame, pixels, stream)
        return
    mark = labels[0].value if kind == "labelmap" else 1
    likeness = np.array([[[mark if plane.any() else 0]] for plane in pixels], pixels.dtype)
    dataset, plane_of_frame = _build(likeness, *words, likeness=True)
    if kind == "labelmap":
        write_labelmap(dataset, plane_of_frame, pixels, stream, compress=compress)
    else:
        write_binary(dataset, plane_of_frame, pixels, len(labels), stream)


def build_seg(
    segmentation: Segmentation,
    *,
    kind: Kind = "binary",
    compress: bool = False,
    series_description: str | None = None,
    series_number: int | None = None,
) -> Dataset:
    """The data set that `write_seg` writes, made whole by highdicom; parameters and errors as there."""
    labels, header, planes, pixels = _checked(segmentation, kind)
    words = (segmentation, labels, header, planes, kind, series_description, series_number)
    return _build(_as_highdicom_takes(pixels, kind), *words, compress=compress)[0]


def _as_highdicom_takes(pixels: NDArray[Any], kind: Kind) -> NDArray[Any]:
    """Fractions as floating numbers with the segments last; label maps as they are."""
    return np.moveaxis(pixels, 0, -1).astype(np.float32) / np.float32(255) if kind == "fractional" else pixels


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
    if kind == "fractional":
        fractions = _fractions(segmentation, labels)
        if fractions.nbytes > _EMPTY_BYTES and not fractions.any():
            fractions, planes = fractions[:, :1], _first_plane(planes)
        return labels, header, planes, fractions
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
    *,
    compress: bool = False,
    likeness: bool = False,
) -> tuple[Dataset, list[int]]:
    """What highdicom makes of segment numbers, with the true references; and the plane of each of its frames."""
    import highdicom
    from pydicom.uid import ExplicitVRLittleEndian, RLELossless, generate_uid

    from gpukit import __version__

    algorithm = segmentation.algorithm
    name = algorithm.get("name") or "unnamed model"
    descriptions = _descriptions(highdicom, labels, algorithm, kind)
    # A likeness has pixels of one segment only, and highdicom looks for each segment in each plane. It treats one
    # segment unlike several.
    few = descriptions[:2] if likeness and kind != "labelmap" else descriptions
    with warnings.catch_warnings():
        # highdicom warns about unusual names and quotes them: patient data has no place in a log.
        warnings.simplefilter("ignore")
        result: Dataset = highdicom.seg.Segmentation(
            source_images=_stand_ins(header, planes, pixels.shape[1:3]),
            pixel_array=pixels,
            segmentation_type=kind.upper(),
            segment_descriptions=few,
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
    if len(few) < len(descriptions):
        result.SegmentSequence = descriptions
    notes = "; ".join(segmentation.notes) if not planes.aligned else ""
    return result, _set_references(result, planes, segmentation.sources, str(header.SeriesInstanceUID), notes)


def _pixels(array: NDArray[Any], labels: Sequence[Label], kind: Kind) -> NDArray[Any]:
    """The label map in the segment numbers of the object, checked."""
    if kind not in ("binary", "labelmap", "fractional"):
        raise InputError(f"{kind!r} is no kind of segmentation", fix="use binary, labelmap or fractional")
    if array.dtype.kind not in "ui" or (array.dtype.kind == "i" and array.size and int(array.min()) < 0):
        raise InputError(f"a label map holds whole numbers from 0, not {array.dtype}")
    values = [label.value for label in labels]
    if len(set(values)) != len(values) or values[0] < 1 or values[-1] > 65535:
        raise InputError(f"label values must differ and lie within 1 to 65535, not {values}")
    if int(array.max()) > 65535:
        raise InputError(f"the label map holds the value {int(array.max())}, and no label can be above 65535")
    known = np.zeros(65536, bool)
    known[[0, *values]] = True
    unknown: set[int] = set()
    for plane in array:
        met = _values_of(plane)
        unknown.update(met[~known[met]].tolist())
    if unknown:
        raise InputError(f"the label map holds values that no label describes: {sorted(unknown)[:10]}")
    numbers = values if kind == "labelmap" else list(range(1, len(values) + 1))
    dtype = np.dtype(np.uint8 if max(numbers) < 256 else np.uint16)
    if numbers == values and array.dtype == dtype:
        return array
    table = np.zeros(max(values) + 1, dtype)
    table[values] = numbers
    numbered: NDArray[Any] = table[array]
    return numbered


def _values_of(plane: NDArray[Any]) -> NDArray[Any]:
    """Every value of a plane, most of them several times: those of the pixels where it changes, which are few."""
    flat = plane.reshape(-1)
    return np.concatenate((flat[:1], flat[1:][flat[1:] != flat[:-1]]))


def _fractions(segmentation: Segmentation, labels: Sequence[Label]) -> NDArray[np.uint8]:
    """Probabilities in the order of the object's segments, ``[segment, plane, row, column]``."""
    if segmentation.probabilities is None:
        raise InputError(
            "a fractional DICOM SEG holds probabilities, and the segmentation has none",
            fix="segment with probabilities=True, or write binary or labelmap",
        )
    found: NDArray[np.uint8] = np.asarray(move(segmentation.probabilities, "cpu"))
    order = [segmentation.labels.index(label) for label in labels]
    return found if order == list(range(len(order))) else found[order]


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
    series.ReferencedInstanceSequence = [
        reference(*uids, ()) if numbers else item
        for (uids, numbers), item in zip(frames.items(), result.SourceImageSequence, strict=True)
    ]
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
