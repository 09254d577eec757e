"""Cases of a batch that a DICOMweb service holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gpukit.ai.batch.case import NO_IMAGES, About, Case, digest
from gpukit.errors import FormatError, InputNotFoundError
from gpukit.remote.dicomweb import UID_PATTERN, address_parts, client_of, first_value, said, series_entries

__all__ = ["fetch_series", "series_of_service"]


def series_of_service(address: str) -> list[Case]:
    """Every image series of a service, of a study, or the one series that the address names.

    Raises
    ------
    InputError
        The service cannot be asked, or answers with something else than DICOMweb.
    InputNotFoundError
        It has no image series there.
    DependencyError
        The package dicomweb-client is not installed.
    """
    service, study, series = address_parts(address)
    filters = {"SeriesInstanceUID": series} if series else None
    found: dict[str, Case] = {}
    with said(address):
        client = client_of(service)
        for entry in series_entries(client, study, filters):
            uids = [first_value(entry, tag) for tag in ("0020000D", "0020000E")]
            where = uids[0] or study
            if not where or not uids[1] or not all(re.fullmatch(UID_PATTERN, uid) for uid in (where, uids[1])):
                raise FormatError("the service lists a series without its UIDs", file=address)
            if first_value(entry, "00080060").upper() in NO_IMAGES or (series and uids[1] != series):
                continue
            remote = f"{service}/studies/{where}/series/{uids[1]}"
            count = first_value(entry, "00201209")
            found.setdefault(
                uids[1],
                Case(
                    uids[1], remote, remote=remote, images=int(count) if count.isdecimal() else 0, stamp=digest(count),
                    about=_about(entry, where, uids[1]),
                ),
            )  # fmt: skip
    if not found:
        raise InputNotFoundError("the service has no image series there", file=address)
    return list(found.values())


def fetch_series(case: Case, folder: Path) -> list[str]:
    """The series' instances as files in a folder, each in the transfer syntax that the service holds.

    Raises
    ------
    InputError
        The service cannot be asked.
    FormatError
        It gives fewer instances than it lists: a volume that lacks its last slice looks like a whole one.
    """
    service, study, series = address_parts(case.remote)
    files = []
    with said(case.remote):
        client = client_of(service)
        for number, instance in enumerate(
            client.iter_series(study, series, media_types=(("application/dicom", "*"),)), 1
        ):
            file = folder / f"{number:06d}.dcm"
            instance.save_as(file, enforce_file_format=True)
            files.append(str(file))
    if len(files) < max(1, case.images):
        raise FormatError(
            f"the service gave {len(files)} of {case.images} instances", file=case.remote, fix="run the batch again"
        )
    return files


def _about(entry: dict[str, Any], study: str, series: str) -> About:
    number, modality, description = (first_value(entry, tag) for tag in ("00200011", "00080060", "0008103E"))
    return About(study=study, series=series, number=number, modality=modality, description=description)
