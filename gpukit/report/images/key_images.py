"""One picture for each finding, or for each image and frame that a report shows; what is missing is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpukit.dicom.sr.content_item import Coordinates
from gpukit.errors import GpukitError
from gpukit.report.document.model import Document, Finding, ImageEntry, Region
from gpukit.report.images.index import ImageIndex
from gpukit.report.images.outline import mask_edges, outline_of
from gpukit.report.images.patient_space import frame_of_points, points_on_frame
from gpukit.report.images.segments import largest_slice
from gpukit.report.images.shown_frame import Drawing, frame_picture, png_uri
from gpukit.report.view.spans import Spans, plain
from gpukit.report.words.catalogue import Catalogue

__all__ = ["key_images"]

_MOST_PICTURES = 200


@dataclass
class _Picture:
    """What goes into one picture."""

    entry: ImageEntry | None
    frame: int | None = None
    regions: list[Region] = field(default_factory=list)
    finding: Finding | None = None


def key_images(
    document: Document, folders: Sequence[Path], words: Catalogue, *, locations: Sequence[str] = ()
) -> tuple[list[dict[str, Any]], list[str]]:
    """Figures of a document, and sentences on what could not be shown.

    Parameters
    ----------
    document : Document
    folders : sequence of Path
        Where the images are.
    words : Catalogue
    locations : sequence of str
        Files of the reports, for messages.

    Returns
    -------
    figures : list of dict
        ``src`` (a data URI, absent where the image is missing), ``alt``, ``caption``, ``width``, ``height``, ``id``.
    notes : list of str
    """
    index = ImageIndex(folders)
    spans = Spans(document, words)
    figures: list[dict[str, Any]] = []
    notes: list[str] = []
    planned = _plan(document)
    if len(planned) > _MOST_PICTURES:
        notes.append(words.message("{count} further key images are not shown", count=len(planned) - _MOST_PICTURES))
    for number, one in enumerate(planned[:_MOST_PICTURES], 1):
        caption = _caption(one, spans)
        figure: dict[str, Any] = {"id": f"key-image-{number}", "caption": caption, "alt": plain(caption), "src": ""}
        try:
            figure |= _drawn(one, index, notes, words)
        except GpukitError as error:
            figure["alt"] = words.message("{what}: cannot be shown ({why})", what=plain(caption), why=error.what)
        if "why" in figure:
            figure["alt"] = f"{plain(caption)}: {figure.pop('why')}"
        figures.append(figure)
    return figures, list(dict.fromkeys(notes))


def _plan(document: Document) -> list[_Picture]:
    """A picture for each finding and image; for what belongs to no finding one for each image and frame."""
    entries = {entry.id: entry for entry in document.images}
    regions = {region.id: region for region in document.regions}
    planned: list[_Picture] = []
    drawn: set[str] = set()
    shown: set[str] = set()
    for finding in document.findings:
        by_image: dict[str, list[Region]] = {}
        for name in finding.regions:
            if name not in drawn:
                drawn.add(name)
                by_image.setdefault(regions[name].image, []).append(regions[name])
        for name in finding.images:
            entry = entries[name]
            if name not in by_image and entry.reference.segments:
                by_image[name] = []
        for image, own in by_image.items():
            entry = entries.get(image)
            shown.add(image)
            frames = entry.reference.frames if entry is not None else ()
            planned.append(_Picture(entry, frames[0] if frames else None, own, finding))
    rest: dict[str, list[Region]] = {}
    for region in document.regions:
        if region.id not in drawn:
            rest.setdefault(region.image, []).append(region)
    for image, own in rest.items():
        entry = entries.get(image)
        shown.add(image)
        frames = entry.reference.frames if entry is not None else ()
        planned.append(_Picture(entry, frames[0] if frames else None, own))
    if document.template == "2010" or not planned:
        for entry in document.images:
            if entry.id not in shown and entry.value_type == "IMAGE" and not _is_state(entry):
                planned += [_Picture(entry, frame) for frame in entry.reference.frames or (None,)]
    return planned


def _is_state(entry: ImageEntry) -> bool:
    return entry.reference.sop_class_uid.startswith("1.2.840.10008.5.1.4.1.1.11.")


def _caption(one: _Picture, spans: Spans) -> list[dict[str, str]]:
    words: list[dict[str, str]] = []
    if one.finding is not None:
        finding = one.finding
        if finding.code is not None:
            words.append(spans.code(finding.code, finding.language))
        elif finding.text or finding.tracking_id:
            words.append(spans.text(finding.text or finding.tracking_id, finding.language))
        for code in (*finding.sites, *([finding.laterality] if finding.laterality else [])):
            words += [{"t": ", "}, spans.code(code, finding.language)]
    elif one.regions and one.regions[0].name is not None:
        words.append(spans.code(one.regions[0].name))
    elif one.entry is not None and one.entry.names:
        words.append(spans.code(one.entry.names[0]))
    image = spans.image(one.entry.id) if one.entry is not None else [spans.message("in the patient")]
    return [*words, *([{"t": " – "}] if words else []), *image]


def _drawn(one: _Picture, index: ImageIndex, notes: list[str], words: Catalogue) -> dict[str, Any]:
    entry = one.entry
    drawings: list[Drawing] = []
    state = None
    if entry is None:
        area = next((r.coordinates for r in one.regions), None)
        frame = frame_of_points(index, area) if area is not None else None
        if frame is None:
            return {"why": words.message("no image of this place is in the folder")}
    elif entry.reference.segments:
        largest = largest_slice(index, entry.reference)
        if isinstance(largest, str):
            return {"why": words.message(largest, uid=entry.reference.sop_instance_uid)}
        frame, mask = largest
        drawings.append(Drawing(tuple(mask_edges(mask))))
    else:
        header = index.images.get(entry.reference.sop_instance_uid)
        if header is None:
            return {"why": words.message("the image {uid} is missing", uid=entry.reference.sop_instance_uid)}
        frames = index.frames(header)
        number = one.frame or 1
        if not 1 <= number <= len(frames):
            return {"why": words.message("the image has no frame {number}", number=number)}
        frame = frames[number - 1]
        state = _state(entry, index, notes, words)
    for n, region in enumerate(one.regions):
        lines = _lines(region.coordinates, frame)
        if lines:
            drawings.append(Drawing(tuple(lines), n))
    picture = frame_picture(frame, drawings, state=state)
    return {"src": png_uri(picture), "width": picture.shape[1], "height": picture.shape[0]}


def _lines(area: Coordinates, frame: Any) -> list[Any]:
    if area.frame_of_reference_uid or len(area.points[0]) == 3:
        points = points_on_frame(area, frame)
        return outline_of(area.type, points) if points is not None else []
    return outline_of(area.type, area.points)


def _state(entry: ImageEntry, index: ImageIndex, notes: list[str], words: Catalogue) -> Any:
    """The presentation state that the report refers to, where it is there."""
    if entry.reference.presentation_state is None:
        return None
    header = index.states.get(entry.reference.presentation_state[1])
    if header is None:
        uid = entry.reference.presentation_state[1]
        notes.append(words.message("the presentation state {uid} is missing: its image is shown without it", uid=uid))
        return None
    from gpukit.dicom.pr.apply import read_state

    return read_state(header.location)
