"""Concepts by which a report is understood, with the codes that stand for each (PS3.16; SRT codes are older)."""

from __future__ import annotations

__all__ = [
    "ALGORITHMS",
    "CERTAINTIES",
    "DERIVATIONS",
    "FINDINGS",
    "FINDING_CATEGORIES",
    "LANGUAGES",
    "LATERALITIES",
    "MEASUREMENT_GROUP",
    "METHODS",
    "RECORDS",
    "SELECTIONS",
    "SITES",
    "SUMMARIES",
    "TOTALS",
    "TRACKING_IDS",
    "TRACKING_UIDS",
]

Concepts = frozenset[tuple[str, str]]


def _codes(scheme: str, *values: str) -> Concepts:
    return frozenset((value, scheme) for value in values)


MEASUREMENT_GROUP = _codes("DCM", "125007")
TRACKING_IDS = _codes("DCM", "112039")
TRACKING_UIDS = _codes("DCM", "112040")
LANGUAGES = _codes("DCM", "121049")
FINDINGS = _codes("DCM", "121071", "111059", "111015") | _codes("SCT", "404684003")
FINDING_CATEGORIES = _codes("SCT", "276214006")
SITES = _codes("SCT", "363698007") | _codes("SRT", "G-C0E3")
LATERALITIES = _codes("SCT", "272741003") | _codes("SRT", "G-C171") | _codes("DCM", "111027")
DERIVATIONS = _codes("DCM", "121401")
METHODS = _codes("SCT", "370129005") | _codes("SRT", "G-C036")
SELECTIONS = _codes("DCM", "121404")
CERTAINTIES = _codes("DCM", "111012", "111047", "111013")
ALGORITHMS = _codes("DCM", "111001", "111003")
#: Summaries that CAD reports and radiologists give in words or codes.
SUMMARIES = _codes("DCM", "111017", "111064", "111065", "121077", "121111", "111033", "121073")
#: Containers that hold one event each: a row of a table.
RECORDS = _codes("DCM", "113706", "113819", "113502")
#: Containers that hold sums over all events: they come first.
TOTALS = _codes("DCM", "113702", "113811")
