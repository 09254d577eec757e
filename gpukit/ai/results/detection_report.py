"""Detections as DICOM objects and as a picture."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gpukit.ai.results.segment_report import absent_group, headers_of
from gpukit.ai.tasks.detect import Detection, Detections
from gpukit.dicom.modules.acquired_frames import Acquired, Points
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import Annotation, Figure, ImageReference, image_size
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.documents.atomic import atomic_path
from gpukit.errors import InputError
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["finding_code", "reported_boxes", "write_gsps", "write_sr"]


_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
#: Web viewers choose their tool by it, see `gpukit.dicom.sr.tid1500_write`.
_TOOL = "Cornerstone3DTools@^0.1.0:RectangleROI"
_PRIVATE = "99GPUKIT"
_MOST_TILES = 9
_COLORS = ((255, 210, 0), (0, 200, 255), (255, 90, 90), (120, 255, 120), (255, 130, 255), (255, 160, 60))
_LEAST_SIDE = 384


def finding_code(name: str, code: tuple[str, str, str] | None) -> Code:
    """The finding's code, or one of gpukit's own scheme for a class without."""
    import zlib

    return Code(*code) if code is not None else Code(f"F{zlib.crc32(name.encode()):08X}", _PRIVATE, name[:64])


def _outline(points: Points, header: Dataset) -> Figure:
    """The corners as a closed line; drawn lines may not leave the image."""
    columns, rows = image_size(header)
    inside = tuple((min(max(x, -0.5), columns - 0.5), min(max(y, -0.5), rows - 0.5)) for x, y in points)
    return Figure("POLYLINE", inside)


@dataclass(frozen=True)
class _Drawn:
    """A box as outlines on the images that it cuts, and in the patient."""

    box: Detection
    images: list[tuple[ImageReference, Figure]]
    patient: tuple[Figure, ...]


def _drawn(found: Detections) -> list[_Drawn]:
    header = source_header(found.sources[0])
    acquired: dict[int | None, Acquired] = {}
    made = []
    for one in found.boxes:
        if one.phase not in acquired:
            of_phase = tuple(s for s in found.sources if s.phase == one.phase) or found.sources
            acquired[one.phase] = Acquired(found.grid, of_phase, header)
        flat = len(one.box) == 4
        x0, y0, x1, y1 = one.box if flat else (*one.box[:2], *one.box[3:5])
        low, high = (one.index or 0, one.index or 0) if flat else (one.box[2], one.box[5])
        slices = list(range(math.ceil(low), math.floor(high) + 1)) or [round((low + high) / 2)]  # thinner than a slice
        corners = ((x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0))
        images, patient = [], []
        for k in slices:
            images += [
                (_reference(s), _outline(points, header)) for s, points in acquired[one.phase].places(corners, k)
            ]
            world = found.grid.to_world([(x, y, k) for x, y in corners])
            patient.append(Figure("POLYLINE", tuple((float(x), float(y), float(z)) for x, y, z in world)))
        made.append(_Drawn(one, images, tuple(patient)))
    return made


def _headers(images: Sequence[ImageReference], found: Detections) -> dict[str, Dataset]:
    used = {image.sop_instance_uid for image in images}
    sources = {s.sop_instance_uid: s for s in found.sources if s.sop_instance_uid in used}
    return {uid: source_header(source) for uid, source in sources.items()}


def _reference(source: SourceInstance) -> ImageReference:
    return ImageReference(source.sop_class_uid, source.sop_instance_uid, source.frame)


def write_gsps(found: Detections, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Presentation state with every box, its class and score; where nothing was found, words on the first image."""
    from gpukit.dicom.pr.gsps_write import write_gsps as write

    if not found.sources:
        raise InputError("a GSPS must refer to DICOM images, and this image was not read from any", fix="write JSON")
    words = f"{found.model['name']} {found.model['version']}: nothing found"
    drawn = _drawn(found)
    if not all(one.images for one in drawn):
        raise InputError(
            "a box lies on no DICOM image as it was acquired", fix="write SR or JSON, which place it in mm"
        )
    annotations = [
        Annotation(image=image, figures=(figure,), text=f"{one.box.name} {one.box.score:.2f}")
        for one in drawn
        for image, figure in one.images
    ] or [Annotation(image=_reference(found.sources[0]), figures=(), text=words)]
    headers = _headers([one.image for one in annotations], found)
    model = found.model
    with atomic_path(path, force=force) as temporary:
        write(
            annotations, headers, temporary, description=f"Detections by {model['name']}",
            software=(f"{model['name']} {model['version']}", model["digest"]),
        )  # fmt: skip


def reported_boxes(found: Detections) -> list[ReportedGroup]:
    """A group of a measurement report for each box, and one for the classes that no box is of."""
    from pydicom.uid import generate_uid

    model = found.model
    algorithm = (model["name"], model["version"], model["digest"])
    groups = []
    for drawn in _drawn(found):
        one = drawn.box
        place: dict[str, Any] = {"regions": tuple(drawn.images), "tracking_id": one.name}
        if not drawn.images:  # on a resampled plane: in the patient
            frame = str(source_header(found.sources[0]).FrameOfReferenceUID)
            place = {"figures": drawn.patient, "frame_of_reference_uid": frame, "tracking_id": one.name}
            place["images"] = (_reference(found.sources[0]),)
        elif len(one.box) == 4 and len(drawn.images) == 1:
            place = {"images": (drawn.images[0][0],), "figures": (drawn.images[0][1],), "tracking_id": _TOOL}
        groups.append(
            ReportedGroup(
                numbers=(ReportedNumber(code=_CERTAINTY, value=round(100 * one.score, 4), unit="%"),),
                tracking_uid=str(generate_uid(prefix=None)),
                label=one.name,
                finding=finding_code(one.name, one.code),
                algorithm=algorithm,
                **place,
            )
        )
    there = {one.name for one in found.boxes}
    absent = [(one.name, finding_code(one.name, one.code)) for one in found.classes if one.name not in there]
    if absent or not groups:
        images = tuple(dict.fromkeys(map(_reference, found.sources)))
        groups.append(absent_group(absent, images, algorithm))
    return groups


def write_sr(found: Detections, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Measurement report (TID 1500): a group for each box, and one for what was looked for and not found."""
    from gpukit.dicom.sr.tid1500_write import write_measurement_report

    if not found.sources:
        raise InputError("an SR must refer to DICOM images, and this image was not read from any", fix="write JSON")
    groups = reported_boxes(found)
    headers = headers_of(groups, found.sources)
    with atomic_path(path, force=force) as temporary:
        write_measurement_report(groups, headers, temporary, description=f"Detections by {found.model['name']}")
