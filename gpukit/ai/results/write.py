"""Write the result of a task in a format, for the command line and for batches alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from gpukit.ai.results.documents import (
    classification_document,
    classification_entry,
    detection_entry,
    detections_document,
    report_document,
)
from gpukit.ai.tasks.classify import Classification
from gpukit.ai.tasks.detect import Detections
from gpukit.ai.tasks.report import Report
from gpukit.dicom.modules.cine import frames_as_slices, is_cine
from gpukit.documents.atomic import atomic_path
from gpukit.documents.json_csv import csv_text, json_text
from gpukit.errors import InputError
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = [
    "classification_csv",
    "classification_json",
    "detections_csv",
    "detections_json",
    "draw_labels",
    "report_json",
    "single_image",
    "write_detections",
    "write_report",
    "write_text",
]

#: Columns of a table of classes.
CLASS_COLUMNS = ("file", "slice", "frame", "class", "probability", "found", "error", "model", "version", "digest")

Named = Sequence[tuple[str, Classification]]


def write_text(text: str, path: str | PathLike[str], *, force: bool = False) -> None:
    """A text file, whole or not at all.

    Raises
    ------
    OutputExistsError
        It exists and `force` is false.
    OutputError
        It cannot be written.
    """
    with atomic_path(path, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def single_image(volume: Volume) -> Volume | None:
    """The volume if it is one image; None for a colour or 4D one, of which no numbers of the anatomy are given."""
    if is_cine(volume):
        volume = frames_as_slices(volume)
    if volume.axes == "tkji" and volume.shape[0] == 1:
        return replace(volume, array=volume.array[0], axes="kji")
    return volume if volume.axes == "kji" else None


def draw_labels(volume: Volume, segmentation: Segmentation, path: str | PathLike[str], *, force: bool = False) -> None:
    """The picture of the labels over the anatomy, as PNG.

    Raises
    ------
    InputError
        The volume is a 4D series or colour.
    OutputExistsError
        The file exists and `force` is false.
    """
    from gpukit.ai.results.montage import write_montage

    image = single_image(volume)
    if image is None:
        raise InputError(
            "a colour or 4D series makes no picture", file=path, attribute="--overlay",
            fix="choose one phase with --phase, or leave the picture out",
        )  # fmt: skip
    write_montage(image, segmentation, path, force=force)


def classification_json(
    results: Named, failures: Sequence[Mapping[str, str]] = (), profile: Mapping[str, Any] | None = None
) -> str:
    """A document of kind ``classification``; each answer comes with the name of its input."""
    content = {**classification_document(results), "failures": list(failures)}
    return json_text("classification", content if profile is None else {**content, "profile": profile})


def classification_csv(results: Named, failures: Sequence[Mapping[str, str]] = ()) -> str:
    """A line for each class of each answer, and one for each failure."""
    rows: list[tuple[Any, ...]] = []
    for name, answer in results:
        model = [" + ".join(m[key] for m in answer.models) for key in ("name", "version", "digest")]
        entry = classification_entry(answer, name)
        where = (entry["file"], "" if answer.index is None else answer.index, entry["frame"] or "")
        rows += [(*where, p.name, f"{p.probability:.6g}", int(p.found), "", *model) for p in answer.predictions]
    rows += [(f["file"], "", "", "", "", "", f["error"], "", "", "") for f in failures]
    return csv_text(CLASS_COLUMNS, rows)


def detections_json(detections: Detections, name: str, profile: Mapping[str, Any] | None = None) -> str:
    """A document of kind ``detections``."""
    content = detections_document(detections, name)
    return json_text("detections", content if profile is None else {**content, "profile": profile})


def detection_rows(detections: Detections, name: str) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Columns and rows of a table of boxes."""
    rows = []
    for box in detections.boxes:
        entry = detection_entry(box, name)
        corners = (f"{v:.2f}" for v in entry["box"]["low"] + entry["box"]["high"])
        place = (entry["file"], "" if entry["slice"] is None else entry["slice"], entry["frame"] or "")
        rows.append((*place, entry["class"], f"{entry['score']:.4f}", *corners))
    flat = not detections.boxes or len(detections.boxes[0].box) == 4
    axes = ("x0", "y0", "x1", "y1") if flat else ("i0", "j0", "k0", "i1", "j1", "k1")
    return ("file", "slice", "frame", "class", "score", *axes), rows


def detections_csv(detections: Detections, name: str) -> str:
    """A line for each box, with the model that found it."""
    columns, rows = detection_rows(detections, name)
    identity = [detections.model[key] for key in ("name", "version", "digest")]
    return csv_text((*columns, "model", "version", "digest"), [(*row, *identity) for row in rows])


def write_detections(detections: Detections, path: Path, form: str, *, name: str = "", force: bool = False) -> None:
    """Write boxes as ``json``, ``csv``, ``gsps`` or ``sr``.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    InputError
        A DICOM object must refer to DICOM images, and the image was none.
    """
    from gpukit.ai.results.detection_report import write_gsps, write_sr

    if form in ("gsps", "sr"):
        (write_gsps if form == "gsps" else write_sr)(detections, path, force=force)
        return
    text = detections_json(detections, name) if form == "json" else detections_csv(detections, name)
    write_text(text, path, force=force)


def report_json(report: Report, title: str = "Findings") -> str:
    """A document of kind ``report``."""
    return json_text("report", report_document(report, title))


def write_report(report: Report, path: Path, form: str, *, title: str = "Findings", force: bool = False) -> None:
    """Write findings as ``json``, ``markdown`` or ``sr``.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    """
    from gpukit.ai.results.report_documents import as_markdown, write_sr

    if form == "sr":
        write_sr(report, path, force=force)
    else:
        write_text(report_json(report, title) if form == "json" else as_markdown(report, title), path, force=force)
