"""What is done with one case: read it, run the models over it, write what they give."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gpukit.io.open
import gpukit.io.save
from gpukit.ai.batch.case import Case
from gpukit.ai.model.description import Model
from gpukit.ai.registry.find import find_model
from gpukit.ai.results.write import (
    classification_csv,
    classification_json,
    draw_labels,
    single_image,
    write_detections,
    write_report,
    write_text,
)
from gpukit.ai.runtimes import choose, formats_of
from gpukit.ai.tasks.classify import Classification
from gpukit.ai.tasks.detect import Detections
from gpukit.ai.tasks.label_summary import chosen_labels, summary
from gpukit.ai.tasks.report import Report
from gpukit.ai.tasks.segment import check_settings, one_phase
from gpukit.ai.transforms.channels import in_order
from gpukit.documents.json_csv import json_text, plain
from gpukit.errors import InputError, ModelError
from gpukit.profiling import stage
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["FORMATS", "OPTIONS", "TASKS", "Job", "Written", "read", "run", "write"]

#: Formats of each task's results with the suffix of the files; the first is the one that is written unasked.
FORMATS: dict[str, dict[str, str]] = {
    "segment": {
        "dicom-seg": ".dcm",
        "dicom-seg-labelmap": ".dcm",
        "dicom-rtstruct": ".dcm",
        "nifti": ".nii.gz",
        "json": ".json",
    },
    "classify": {"json": ".json", "csv": ".csv"},
    "detect": {"json": ".json", "gsps": ".dcm", "sr": ".dcm"},
    "enhance": {"dicom": "", "nifti": ".nii.gz", "metaimage": ".mha", "nrrd": ".nrrd"},
    "report": {"json": ".json", "markdown": ".md", "sr": ".dcm"},
}
#: Formats whose objects refer to the images that they were made of.
_REFERRING = {
    "dicom-seg": "a DICOM SEG", "dicom-seg-labelmap": "a DICOM SEG", "dicom-rtstruct": "an RTSTRUCT", "gsps": "a GSPS",
    "sr": "an SR", "dicom": "a derived DICOM image",
}  # fmt: skip
TASKS = tuple(FORMATS)
#: What may be set for each task, with the names of the task's own function.
OPTIONS: dict[str, tuple[str, ...]] = {
    "segment": ("runtime", "precision", "overlap", "batch", "ensemble", "weights", "flips", "labels", "phase"),
    "classify": ("runtime", "precision", "per", "batch", "ensemble", "weights", "flips", "threshold", "top", "phase"),
    "detect": ("runtime", "precision", "confidence", "iou", "batch", "phase"),
    "enhance": ("runtime", "precision", "batch", "phase"),
    "report": ("runtime", "precision", "confidence", "phase"),
}


#: Called with what has been done, of which it makes nothing.
Passing = Callable[..., None]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is done with every case; travels to other processes and machines.

    Parameters
    ----------
    task : str
        One of `TASKS`.
    models : tuple of str
        As `find_model` takes them; paths are absolute.
    format : str
        One of the task's `FORMATS`.
    output : str
        Folder of the results, absolute.
    overlay : bool
        Also draw segmentations and detections over the image, as PNG.
    fill_gaps, skip_damaged : bool
        As for `gpukit.open`.
    trust : bool
        As for `find_model`.
    profile : bool
        Put the seconds of each stage into the rows.
    channels : mapping
        Which image of a case is which channel, by the names of the channels; see `gpukit.ai.batch.channels.Channels`.
    options : mapping
        Of the task, see `OPTIONS`.
    """

    task: str
    models: tuple[str, ...]
    format: str
    output: str
    overlay: bool = False
    fill_gaps: bool | int = False
    skip_damaged: bool = False
    trust: bool = False
    profile: bool = False
    channels: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def check(self) -> tuple[Model, ...]:
        """The models, if the job can be done at all: asked before the first case, not at each.

        Raises
        ------
        ModelError, InputError
            A model, the format or an option does not go with the task.
        """
        if self.task not in FORMATS:
            raise InputError(f"unknown task {self.task!r}", attribute="task", fix=f"use one of: {', '.join(TASKS)}")
        if self.format not in FORMATS[self.task]:
            known = ", ".join(FORMATS[self.task])
            raise InputError(
                f"results of {self.task} are not written as {self.format}", attribute="format",
                fix=f"use one of: {known}",
            )  # fmt: skip
        for name in self.options:
            if name not in OPTIONS[self.task]:
                raise InputError(f"{self.task} has no such option", attribute=name)
        if self.overlay and self.task not in ("segment", "detect"):
            raise InputError(f"results of {self.task} are not drawn", attribute="overlay")
        formats = formats_of(self.options.get("runtime"))
        models = tuple(find_model(model, trust=self.trust, formats=formats) for model in self.models)
        if not models:
            raise InputError("no model was given", attribute="model")
        if self.task in ("detect", "enhance") and len(models) > 1:
            raise InputError(f"{self.task} takes one model", attribute="models")
        if self.channels and self.task != "segment":
            raise InputError(f"{self.task} has no such option", attribute="channel")
        for model in models:
            if self.task != "report":
                model.for_task(self.task)
            elif model.task == "enhance":
                raise ModelError(f"the model {model.name} makes images and finds nothing", file=model.file)
            if self.options.get("runtime") is not None:
                choose(model, str(self.options["runtime"]))
        if self.task == "segment":
            elsewhere = ("runtime", "labels", "phase")
            check_settings(models, **{name: value for name, value in self.options.items() if name not in elsewhere})
            chosen_labels(models[0].segments.labels, list(self.options.get("labels") or ()))
        return models

    def identity(self, checked: Sequence[Model] | None = None) -> dict[str, Any]:
        """What results depend on: the same job continues, another one must not. `checked` is what `check` gave."""
        found = self.check() if checked is None else checked
        models = [{"name": m.name, "version": m.version, "digest": m.digest} for m in found]
        settings = {"overlay": self.overlay, "fill_gaps": self.fill_gaps, "skip_damaged": self.skip_damaged}
        kept: dict[str, Any] = plain({"task": self.task, "models": models, "format": self.format, **settings})
        channels = {"channels": dict(sorted(self.channels.items()))} if self.channels else {}
        return {**kept, **channels, "options": plain(dict(sorted(self.options.items())))}


@dataclass(frozen=True)
class Written:
    """What became of a case: files, relative to the output folder, and the result in a few words for the summary."""

    outputs: tuple[str, ...]
    result: dict[str, Any]


def read(
    case: Case,
    job: Job,
    models: tuple[Model, ...],
    device: str | None,
    fetched: Mapping[str, tuple[str, ...]],
    passing: Passing,
) -> tuple[Volume, ...]:
    """The images of a case on its device, one a channel in the model's order; `fetched` are files of remote ones.

    `passing` is called often on the way; what it raises ends the work.
    """
    images = []
    for name, part in case.channels or (("", case),):
        paths = list(fetched.get(name) or part.files)
        images.append(
            gpukit.io.open.open(
                paths[0] if len(paths) == 1 else paths,
                device=device,
                series=part.series,
                fill_gaps=job.fill_gaps,
                skip_damaged=job.skip_damaged,
                progress=passing,
            )
        )
        _check_sources(images[-1], job, part)
    if job.task == "segment":
        images = in_order(images, models[0])
    phase = job.options.get("phase")
    # now and not by the task: what is written and drawn is then of that phase too
    return tuple(images if phase is None else [one_phase(one, phase) for one in images])


def _check_sources(volume: Volume, job: Job, part: Case) -> None:
    """Told before the work, not after it."""
    if job.format in _REFERRING and not volume.sources:
        raise InputError(
            f"{_REFERRING[job.format]} must refer to DICOM images, and the input is none", file=part.source,
            fix="write another format, such as " + next(f for f in FORMATS[job.task] if f not in _REFERRING),
        )  # fmt: skip


def run(images: tuple[Volume, ...], job: Job, models: tuple[Model, ...], passing: Passing) -> Any:
    """What the models say of the images of one case; `passing` as for `read`."""
    options: dict[str, Any] = {**job.options, "progress": passing}
    options.pop("phase", None)  # chosen when it was read
    volume = images[0]
    if job.task == "segment":
        from gpukit.ai.tasks.label_summary import keep_labels
        from gpukit.ai.tasks.segment import segment

        labels = options.pop("labels", None)
        result = segment(images, models, **options)
        return result if labels is None else keep_labels(result, list(labels))
    if job.task == "classify":
        from gpukit.ai.tasks.classify import classify, keep_top

        top = options.pop("top", None)
        found = classify(volume, models, **options)
        return found if top is None else keep_top(found, top)
    if job.task == "detect":
        from gpukit.ai.tasks.detect import detect

        return detect(volume, models[0], **options)
    if job.task == "enhance":
        from gpukit.ai.tasks.enhance import enhance

        return enhance(volume, models[0], **options)
    from gpukit.ai.tasks.report import report

    return report(volume, models, **options)


def write(case: Case, volume: Volume, result: Any, job: Job, models: tuple[Model, ...]) -> Written:
    """Put the outputs into place, each whole or not at all; what an earlier attempt left is replaced."""
    target = Path(job.output) / f"{case.key}{FORMATS[job.task][job.format]}"
    with stage("writing"):
        if job.task == "segment":
            content = summary(result, single_image(volume))  # counted where it is, then downloaded once
            result = result.to("cpu")
            facts = _write_segmentation(result, content, job, target)
        else:
            facts = _WRITERS[job.task](case, result, job, target)
        if not job.overlay:
            return Written((target.name,), facts)
        picture = target.with_name(f"{case.key}.png")
        if job.task == "detect":
            from gpukit.ai.results.detection_overlay import draw_boxes

            plane = models[0].picture_input.plane if models[0].dimensions == 2 else "stored"
            draw_boxes(volume, result, picture, plane=plane, force=True)
        else:
            draw_labels(volume, result, picture, force=True)
    return Written((target.name, picture.name), facts)


def _write_segmentation(result: Segmentation, content: dict[str, Any], job: Job, target: Path) -> dict[str, Any]:
    if job.format == "json":
        write_text(json_text("segmentation", {"files": [], **content}), target, force=True)
    else:
        gpukit.io.save.save(result, target, format=job.format, force=True)
    return {
        "labels": [{k: e.get(k) for k in ("value", "name", "voxels", "volume_ml", "mean")} for e in content["labels"]]
    }


def _write_classification(case: Case, result: list[Classification], job: Job, target: Path) -> dict[str, Any]:
    answers = [(case.source, answer) for answer in result]
    write_text((classification_json if job.format == "json" else classification_csv)(answers), target, force=True)
    if len(result) == 1:
        return {"classes": [{"name": p.name, "probability": p.probability} for p in result[0].predictions[:5]]}
    return {"pictures": len(result), "most_probable": dict(Counter(answer.top.name for answer in result))}


def _write_detections(case: Case, result: Detections, job: Job, target: Path) -> dict[str, Any]:
    write_detections(result, target, job.format, name=case.source, force=True)
    return {"boxes": len(result.boxes), "classes": dict(Counter(box.name for box in result.boxes))}


def _write_image(case: Case, result: Volume, job: Job, target: Path) -> dict[str, Any]:
    gpukit.io.save.save(result, target, format=job.format, force=True)
    return {"shape": list(result.shape), "spacing_mm": [float(s) for s in result.grid.spacing]}


def _write_report(case: Case, result: Report, job: Job, target: Path) -> dict[str, Any]:
    write_report(result, target, job.format, force=True)
    return {"findings": [finding.text for finding in result.findings if finding.present][:20]}


_WRITERS: dict[str, Callable[[Case, Any, Job, Path], dict[str, Any]]] = {
    "classify": _write_classification,
    "detect": _write_detections,
    "enhance": _write_image,
    "report": _write_report,
}
