"""Dates, times and date-times of DICOM (PS3.5 section 6.2: DA, TM, DT), and the offset from UTC that they are in.

Times without an offset are in the zone that TimezoneOffsetFromUTC names, else in that of the scanner (PS3.3
C.12.1.1.8). Everything in gpukit that computes with dates and times reads them here; reports repeat their digits.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta, timezone

__all__ = ["joined", "local_time", "parse_da", "parse_dt", "parse_offset", "parse_tm"]

_TM = re.compile(r"(\d{2}):?(?:(\d{2}):?(?:(\d{2})(?:\.(\d{1,6}))?)?)?")
_DT = re.compile(r"(\d{4})-?(\d{2})-?(\d{2})[T ]?(\d{2}:?(?:\d{2}:?(?:\d{2}(?:\.\d{1,6})?)?)?) ?([+-]\d{2}:?\d{2}|Z)?")
_OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_FURTHEST = timedelta(hours=14)  # PS3.5 table 6.2-1


def parse_da(text: object) -> date | None:
    """A DICOM date ``YYYYMMDD`` (or ``YYYY.MM.DD``, ``YYYY-MM-DD``); None where it is not one."""
    digits = re.sub(r"[.\-]", "", str(text or "").strip())
    try:
        return datetime.strptime(digits, "%Y%m%d").date() if len(digits) == 8 and digits.isascii() else None
    except ValueError:
        return None


def parse_tm(text: object) -> time | None:
    """A DICOM time ``HHMMSS.FFFFFF`` or a shorter one, also with colons; None where it is not one."""
    match = _TM.fullmatch(str(text or "").strip())
    if match is None:
        return None
    hour, minute, second = (int(part or 0) for part in match.groups()[:3])
    try:
        return time(hour, minute, min(second, 59), int((match[4] or "0").ljust(6, "0")))
    except ValueError:
        return None


def parse_offset(text: object) -> timezone | None:
    """An offset from UTC ``+0100``, as TimezoneOffsetFromUTC and DT have it; None where it is not one."""
    words = str(text or "").strip()
    if words == "Z":
        return UTC
    match = _OFFSET.fullmatch(words)
    if match is None or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset) if offset <= _FURTHEST else None


def parse_dt(text: object) -> datetime | None:
    """A DICOM date-time with at least an hour; with its zone where it states an offset, else without; None for none."""
    match = _DT.fullmatch(str(text or "").strip())
    if match is None:
        return None
    day, clock = parse_da("".join(match.groups()[:3])), parse_tm(match[4])
    zone = parse_offset(match[5]) if match[5] else None
    if day is None or clock is None or (match[5] and zone is None):
        return None
    return datetime.combine(day, clock, zone)


def local_time(moment: datetime, zone: timezone | None) -> datetime:
    """The moment in a zone, as a time without one; unchanged where it states no zone, or the zone is not known."""
    if moment.tzinfo is None:
        return moment
    return (moment if zone is None else moment.astimezone(zone)).replace(tzinfo=None)


def joined(day: date | None, clock: object) -> datetime | None:
    """A date and a DICOM time as one; None where one of them is missing."""
    moment = parse_tm(clock)
    return None if day is None or moment is None else datetime.combine(day, moment)
