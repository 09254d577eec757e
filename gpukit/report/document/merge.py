"""Several reports of one study in one document: duplicates once, by time, other patients refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpukit.dicom.sr.content_item import ContentTree
from gpukit.errors import InputError
from gpukit.report.document.build import build_document
from gpukit.report.document.model import Document, Field, Section, Value

__all__ = ["in_order", "merge", "same_patient"]


def in_order(trees: Sequence[ContentTree]) -> list[ContentTree]:
    """Reports by the time of their content, each instance once."""
    once: dict[str, ContentTree] = {}
    for tree in trees:
        once.setdefault(tree.header.get("SOPInstanceUID") or tree.file, tree)
    return sorted(once.values(), key=_time)


def _time(tree: ContentTree) -> tuple[str, str, int]:
    header = tree.header
    number = header.get("InstanceNumber", "0")
    return (
        header.get("ContentDate") or header.get("StudyDate", ""),
        header.get("ContentTime") or header.get("StudyTime", ""),
        int(number) if number.isdigit() else 0,
    )


def same_patient(one: ContentTree, other: ContentTree) -> bool:
    """Whether two reports are of one patient: by id and its issuer; without ids by name and date of birth."""
    a, b = one.header, other.header
    if a.get("PatientID") or b.get("PatientID"):
        issuers = {h["IssuerOfPatientID"] for h in (a, b) if "IssuerOfPatientID" in h}
        return a.get("PatientID") == b.get("PatientID") and len(issuers) < 2 and _names_agree(a, b)
    return a.get("PatientName") == b.get("PatientName") and a.get("PatientBirthDate") == b.get("PatientBirthDate")


def _names_agree(a: object, b: object) -> bool:
    """Dates of birth must not contradict each other; names may be spelled in several ways."""
    births = {h["PatientBirthDate"] for h in (a, b) if "PatientBirthDate" in h}  # type: ignore[index, operator]
    return len(births) < 2


def merge(trees: Sequence[ContentTree], *, allow_patients: bool = False) -> Document:
    """One document of several reports.

    Parameters
    ----------
    trees : sequence of ContentTree
    allow_patients : bool
        Merge reports of several patients too.

    Raises
    ------
    InputError
        The reports are of several patients.
    """
    ordered = in_order(trees)
    first = ordered[0]
    if not allow_patients:
        for tree in ordered[1:]:
            if not same_patient(first, tree):
                raise InputError(
                    f"is of another patient than {first.file}", file=tree.file, attribute="PatientID",
                    fix="leave it out, or say --allow-patients",
                )  # fmt: skip
    documents = [build_document(tree, f"{n}:") for n, tree in enumerate(ordered, 1)]
    last = documents[-1]
    sections: list[Section] = []
    for document in documents:
        header = document.header
        moment = header.get("ContentDate", "") + header.get("ContentTime", "").partition(".")[0]
        root = document.sections[0].path.partition(".")[0] if document.sections else ""
        title = replace(
            _titled(document),
            values=(Value(kind="datetime", text=moment),) if moment else (),
        )
        sections.append(
            Section(
                title=title, path=root or f"{len(sections) + 1}:1", context=document.context, blocks=document.sections
            )
        )
    several = (
        len({document.header.get("PatientID", "") + document.header.get("PatientName", "") for document in documents})
        > 1
    )
    header = dict(last.header)
    if several:
        for keyword in [word for word in header if word.startswith("Patient")]:
            values = {document.header.get(keyword, "") for document in documents}
            if len(values) > 1:
                header.pop(keyword)
    return Document(
        files=tuple(file for document in documents for file in document.files),
        title=last.title if len({d.title for d in documents}) == 1 else None,
        template=last.template if len({d.template for d in documents}) == 1 else "",
        banners=tuple(dict.fromkeys(banner for document in documents for banner in document.banners)),
        header=header,
        observers=tuple(dict.fromkeys(one for document in documents for one in document.observers)),
        procedures=tuple(dict.fromkeys(code for document in documents for code in document.procedures)),
        predecessors=tuple(dict.fromkeys(pair for document in documents for pair in document.predecessors)),
        evidence=tuple(dict.fromkeys(pair for document in documents for pair in document.evidence)),
        language=last.language,
        sections=tuple(sections),
        measurements=tuple(m for document in documents for m in document.measurements),
        findings=tuple(f for document in documents for f in document.findings),
        images=tuple(i for document in documents for i in document.images),
        regions=tuple(r for document in documents for r in document.regions),
        deviations=tuple(d for document in documents for d in document.deviations),
    )


def _titled(document: Document) -> Field:
    return Field(name=document.title, label="" if document.title else "Structured Report")
