"""From files to a document: read, merge, select, compare, present, write. One function for commands and Python."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from gpukit.dicom.reader.discovery import Location, Source
from gpukit.dicom.sr.content_item import ContentTree
from gpukit.dicom.sr.content_tree import read_content_tree
from gpukit.documents.atomic import atomic_path, check_output
from gpukit.errors import FormatError, InputError, OutputError
from gpukit.report.document.build import build_document
from gpukit.report.document.merge import in_order, same_patient
from gpukit.report.document.merge import merge as merge_reports
from gpukit.report.document.model import Document
from gpukit.report.document.select import order_sections, select
from gpukit.report.find import find_reports
from gpukit.report.options import SUFFIXES, Options, format_of, look_of, paths
from gpukit.report.view.present import PARTS, present
from gpukit.report.words.catalogue import catalogue, choose_language

__all__ = ["options_of", "read", "render", "write"]


def read(source: Source, *, merge: bool = False, allow_patients: bool = False) -> Document:
    """Read a structured report, or several of one study, into one document.

    Parameters
    ----------
    source : path or iterable of paths
        Files, folders, globs, a DICOMDIR or a zip; the structured reports are taken.
    merge : bool
        Take several reports together.
    allow_patients : bool
        Merge reports of several patients too.

    Returns
    -------
    Document
        Frozen; `gpukit.report.formats.json.document_dict` gives it as dictionaries.

    Raises
    ------
    InputNotFoundError
        There is no report.
    FormatError
        A file is damaged, or is not a structured report.
    InputError
        There are several reports and `merge` is false, or they are of several patients.
    """
    return _document(_trees(find_reports(source)), merge=merge, allow_patients=allow_patients)


def _trees(locations: Sequence[Location]) -> list[ContentTree]:
    return [read_content_tree(location) for location in locations]


def _document(trees: Sequence[ContentTree], *, merge: bool, allow_patients: bool) -> Document:
    ordered = in_order(trees)
    if len(trees) == 1 or (merge and len(ordered) == 1):
        return build_document(ordered[0])
    if not merge:
        raise InputError(
            f"there are {len(trees)} reports", file=trees[1].file, attribute="merge",
            fix="say --merge for one document, or name a folder as --output for one each",
        )  # fmt: skip
    return merge_reports(ordered, allow_patients=allow_patients)


def options_of(format: str, **choices: Any) -> Options:
    """Options from keyword arguments, with paths and lists as they come."""
    for name in ("template_dirs", "image_dirs", "compare", "font_dirs"):
        choices[name] = paths(choices.get(name))
    for name in ("sections", "include", "exclude"):
        value = choices.get(name) or ()
        choices[name] = (value,) if isinstance(value, str) else tuple(value)
    if choices.get("logo") is not None:
        choices["logo"] = Path(choices["logo"])
    return Options(format=format, **{name: value for name, value in choices.items() if value is not None})


def write(
    source: Source,
    output: str | PathLike[str],
    *,
    format: str | None = None,
    force: bool = False,
    **options: Any,
) -> Path:
    """Write a structured report as a document that a doctor can read.

    Parameters
    ----------
    source : path or iterable of paths
        Files, folders, globs, a DICOMDIR or a zip; the structured reports are taken.
    output : path
        The file.
    format : {"pdf", "html", "markdown", "json", "text", "dicom-pdf"}, optional
        By default that of the suffix.
    force : bool
        Overwrite the file.
    **options
        ``template`` (a name, or the path of a folder), ``template_dirs``, ``lang`` (en, es, fr, de), ``sections``,
        ``include``, ``exclude``, ``include_measurements`` (JSON), ``embed_images`` with ``image_dirs``, ``compare``
        (prior reports), ``merge``, ``allow_patients``, ``title``, ``institution``, ``annotation``, ``footer``,
        ``letterhead``, ``logo``, ``color``, ``font_dirs`` (PDF), ``raw_html``, ``strict``.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    FormatError
        A report, template or picture is damaged or not what it claims to be; with ``strict`` also where a report
        differs from the standard.
    InputError
        Options that don't go together, reports of several patients, several reports without ``merge``.
    DependencyError
        A package of the extra ``report`` is missing.
    """
    chosen = options_of(format_of(output, format), **options)
    target = check_output(output, force=force)
    content = render(find_reports(source), chosen)
    with atomic_path(target, force=force) as temporary:
        temporary.write_bytes(content)
    return target


def render(locations: Sequence[Location], options: Options) -> bytes:
    """The document of one report, or of several merged, as bytes of its format."""
    trees = _trees(locations)
    if options.strict:
        check_strict(trees)
    return render_trees(trees, options)


def check_strict(trees: Sequence[ContentTree]) -> None:
    """Raise where a report differs from the standard.

    Raises
    ------
    FormatError
        Names the first deviation and how many there are.
    """
    for tree in trees:
        if tree.deviations:
            path, attribute, what = tree.deviations[0]
            count = len(tree.deviations)
            where = f"item {path}: " if path else ""
            raise FormatError(
                f"{where}{what}" + (f", and {count - 1} more deviations" if count > 1 else ""),
                file=tree.file, attribute=attribute, fix="leave out --strict to show the report all the same",
            )  # fmt: skip


def render_trees(trees: Sequence[ContentTree], options: Options) -> bytes:
    """As `render`, for reports that were read before."""
    document = _document(trees, merge=options.merge, allow_patients=options.allow_patients)
    look, template = look_of(options)
    language = choose_language(options.lang, document.language)
    words = catalogue(language)
    by_code = tuple(word for word in options.sections if word not in PARTS)
    document = select(document, (*template.include, *options.include, *by_code), (*template.exclude, *options.exclude))
    if template.first:
        document = order_sections(document, template.first)
    extra: dict[str, Any] = {}
    notes: list[str] = []
    comparison: list[dict[str, Any]] = []
    if options.compare:
        from gpukit.report.comparison import compare_reports

        prior = [read_content_tree(location) for location in find_reports(options.compare)]
        if not options.allow_patients:
            for tree in prior:
                if not same_patient(tree, trees[0]):
                    raise InputError(
                        f"is of another patient than {trees[0].file}", file=tree.file, attribute="PatientID",
                        fix="compare reports of one patient, or say --allow-patients",
                    )  # fmt: skip
        comparison, facts = compare_reports(prior, trees, words)
        extra["comparison"] = facts
    if options.annotation:
        extra["annotation"] = {"text": options.annotation, "source": "added by the user, not part of the report"}
    if options.format == "json":
        from gpukit.report.formats.json import write_json

        return write_json(document, language=language, measurements=options.include_measurements, extra=extra).encode(
            "utf-8", "surrogatepass"
        )
    figures: list[dict[str, Any]] = []
    if options.embed_images:
        from gpukit.report.images.key_images import key_images

        figures, notes = key_images(document, options.image_dirs, words, locations=[tree.file for tree in trees])
    view = present(document, words, look, comparison=comparison, figures=figures, notes=notes)
    return _formatted(view, document, trees, options, template.folders)


def _formatted(
    view: dict[str, Any], document: Document, trees: Sequence[ContentTree], options: Options, folders: tuple[Path, ...]
) -> bytes:
    if options.format == "text":
        from gpukit.report.formats.text import write_text

        return write_text(view).encode("utf-8", "replace")
    if options.format == "markdown":
        from gpukit.report.formats.markdown import write_markdown

        return write_markdown(view).encode("utf-8", "replace")
    if options.format == "html":
        from gpukit.report.formats.html import write_html

        return write_html(view, folders).encode("utf-8", "replace")
    from gpukit.report.formats.pdf import write_pdf

    content, messages = write_pdf(view, document, folders, font_dirs=options.font_dirs)
    for message in messages:
        warnings.warn(message, UserWarning, stacklevel=4)
    if options.format == "dicom-pdf":
        from gpukit.report.formats.dicom_pdf import wrap_pdf

        return wrap_pdf(content, trees, title=view["heading"])
    return content


def write_each(
    locations: Sequence[Location], folder: Path, options: Options, *, force: bool = False, workers: int | None = None
) -> tuple[list[Path], list[str]]:
    """One document for each report, into a folder.

    Returns
    -------
    written, problems : list of Path, list of str
        Problems are the messages of reports that could not be written.
    """
    import os

    if not folder.is_dir():
        raise OutputError("the folder of the output does not exist", file=folder, fix="create it first")
    names: set[str] = set()
    jobs: list[tuple[Location, Path]] = []
    for location in locations:
        stem = Path(location.member or location.path).name
        stem = stem[: -len(Path(stem).suffix)] if Path(stem).suffix.lower() in (".dcm", ".dicom") else stem
        name, n = stem, 1
        while name.casefold() in names:
            n += 1
            name = f"{stem}-{n}"
        names.add(name.casefold())
        jobs.append((location, folder / f"{name}{SUFFIXES[options.format]}"))
    count = min(workers or os.cpu_count() or 1, max(1, len(jobs) // 8))
    if count <= 1:
        results = _many(jobs, options, force)
    else:
        from gpukit.report.formats.limited import run_each

        shares = run_each(_many, [(jobs[n::count], options, force) for n in range(count)])
        results = [""] * len(jobs)
        for n, share in enumerate(shares):
            results[n::count] = share
    return [target for (_, target), error in zip(jobs, results, strict=True) if not error], [e for e in results if e]


def _many(jobs: Sequence[tuple[Location, Path]], options: Options, force: bool) -> list[str]:
    """What went wrong with each report; empty where nothing did."""
    return [_one(job, options, force) for job in jobs]


def _one(job: tuple[Location, Path], options: Options, force: bool) -> str:
    from gpukit.errors import GpukitError

    location, target = job
    try:
        check_output(target, force=force)
        content = render([location], options)
        with atomic_path(target, force=force) as temporary:
            temporary.write_bytes(content)
    except GpukitError as error:
        return str(error)
    return ""
