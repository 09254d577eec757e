"""Dates and times of DICOM (DA, TM, DT) as ISO 8601 writes them: the same, and unmistakable, in every language."""

from __future__ import annotations

import re

__all__ = ["shown_date", "shown_datetime", "shown_time"]

_DATE = re.compile(r"(\d{4})[.\-]?(\d{2})[.\-]?(\d{2})")
_TIME = re.compile(r"(\d{2}):?(\d{2})?:?(\d{2})?(\.\d{1,6})?")
_DATETIME = re.compile(r"(\d{4})(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\d{2})?(\.\d{1,6})?([+-]\d{4})?")


def shown_date(text: str) -> str:
    """``2022-10-24``; what is not a date stays as it is."""
    match = _DATE.fullmatch(text.strip())
    return "-".join(match.groups()) if match else text.strip()


def shown_time(text: str) -> str:
    """``14:47:43.027``; fractions keep their digits, and are left out where all of them are 0."""
    match = _TIME.fullmatch(text.strip())
    if not match:
        return text.strip()
    hours, minutes, seconds, fraction = match.groups()
    fraction = "" if fraction is None or not fraction.strip(".0") else fraction
    return ":".join(part for part in (hours, minutes, seconds) if part) + fraction


def shown_datetime(text: str) -> str:
    """``2022-10-24 14:47:43.027 +01:00``, as far as the file says."""
    match = _DATETIME.fullmatch(text.strip())
    if not match:
        return text.strip()
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    date = "-".join(part for part in (year, month, day) if part)
    time = "".join(part for part in (hour, minute, second) if part)
    words = [date, shown_time(time + (fraction or "")) if time else "", f"{zone[:3]}:{zone[3:]}" if zone else ""]
    return " ".join(word for word in words if word)
