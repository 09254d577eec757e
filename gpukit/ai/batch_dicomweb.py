"""Cases of a DICOMweb service: series found by QIDO-RS and fetched by WADO-RS (PS3.18)."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from gpukit.ai.batch_cases import NO_IMAGES, About, Case, digest
from gpukit.errors import DependencyError, FormatError, GpukitError, InputError, InputNotFoundError

__all__ = ["fetch_series", "series_of_service"]

#: Environment variable with a bearer token; other credentials are taken from ``~/.netrc``.
TOKEN = "GPUKIT_DICOMWEB_TOKEN"
_PAGE = 500
_FIELDS = (
    "StudyInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances", "SeriesNumber",
    "SeriesDescription",
)  # fmt: skip
#: Tries of a question that is answered with "not now", and seconds before the second; each further pause is doubled.
_ATTEMPTS, _PAUSE = 4, 0.5
#: Seconds to be connected, and between two bytes of an answer.
_TIMEOUT = (30.0, 300.0)
#: What services answer that do not search all series at once.
_NOT_AT_ONCE = (400, 404, 405, 501)
_UID = r"[0-9.]{1,64}"
_ADDRESS = re.compile(rf"(?P<service>.*?)(/studies/(?P<study>{_UID})(/series/(?P<series>{_UID}))?)?/*", re.ASCII)


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
    service, study, series = _parts(address)
    filters = {"SeriesInstanceUID": series} if series else None
    found: dict[str, Case] = {}
    with _said(address):
        client = _client(service)
        for entry in _series_entries(client, study, filters):
            uids = [_first(entry, tag) for tag in ("0020000D", "0020000E")]
            where = uids[0] or study
            if not where or not uids[1] or not all(re.fullmatch(_UID, uid) for uid in (where, uids[1])):
                raise FormatError("the service lists a series without its UIDs", file=address)
            if _first(entry, "00080060").upper() in NO_IMAGES or (series and uids[1] != series):
                continue
            remote = f"{service}/studies/{where}/series/{uids[1]}"
            count = _first(entry, "00201209")
            found.setdefault(
                uids[1],
                Case(
                    uids[1], remote, remote=remote, images=int(count) if count.isdigit() else 0, stamp=digest(count),
                    about=_about(entry, where, uids[1]),
                ),
            )  # fmt: skip
    if not found:
        raise InputNotFoundError("the service has no image series there", file=address)
    return list(found.values())


def _series_entries(client: Any, study: str | None, filters: dict[str, str] | None) -> Iterator[dict[str, Any]]:
    """Series of a study or of the whole service, from all pages."""
    import requests

    def series(study: str | None) -> Iterator[dict[str, Any]]:
        for entry in _paged(
            partial(client.search_for_series, study, search_filters=filters, fields=_FIELDS), "0020000E"
        ):
            if study is not None and not _first(entry, "0020000D"):
                entry["0020000D"] = {"vr": "UI", "Value": [study]}
            yield entry

    try:
        yield from series(study)
        return
    except requests.HTTPError as error:
        # A service need not search all its series at once (PS3.18 table 10.6.1-2): then study by study.
        if study is not None or error.response is None or error.response.status_code not in _NOT_AT_ONCE:
            raise
    for entry in _paged(partial(client.search_for_studies, fields=["StudyInstanceUID"]), "0020000D"):
        uid = _first(entry, "0020000D")
        if not re.fullmatch(_UID, uid):
            raise ValueError("a study without its UID")
        yield from series(uid)


def _paged(search: Callable[..., list[dict[str, Any]]], tag: str) -> Iterator[dict[str, Any]]:
    """What a search finds, each once by its UID, from all pages."""
    seen: set[str] = set()
    offset = 0
    while True:
        page = search(limit=_PAGE, offset=offset or None)
        fresh = [entry for entry in page if _first(entry, tag) not in seen]
        yield from fresh
        # A service may give fewer than were asked for, or know no offset: it is done when nothing new comes.
        if not fresh:
            return
        seen.update(_first(entry, tag) for entry in fresh)
        offset += len(page)


def fetch_series(case: Case, folder: Path) -> list[str]:
    """The series' instances as files in a folder, each in the transfer syntax that the service holds.

    Raises
    ------
    InputError
        The service cannot be asked.
    FormatError
        It gives fewer instances than it lists: a volume that lacks its last slice looks like a whole one.
    """
    service, study, series = _parts(case.remote)
    files = []
    with _said(case.remote):
        client = _client(service)
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


def _parts(address: str) -> tuple[str, str | None, str | None]:
    match = _ADDRESS.fullmatch(address)
    if match is None or "?" in address or "#" in address:
        raise InputError("is no address of a DICOMweb service, study or series", file=address.partition("?")[0])
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise InputError(
            "credentials in an address would be recorded with the cases", fix=f"put them into ~/.netrc, or set {TOKEN}"
        )
    return match["service"], match["study"], match["series"]


def _client(service: str) -> Any:
    try:
        from dicomweb_client.api import DICOMwebClient
    except ImportError:
        raise DependencyError(
            "DICOMweb needs the package dicomweb-client", fix="pip install 'gpukit[dicomweb]'"
        ) from None
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patient(HTTPAdapter):
        def send(
            self, request: Any, stream: bool = False, timeout: Any = None, verify: Any = True, cert: Any = None,
            proxies: Any = None,
        ) -> requests.Response:  # fmt: skip
            return super().send(request, stream, timeout or _TIMEOUT, verify, cert, proxies)

    session = requests.Session()
    if token := os.environ.get(TOKEN):
        session.headers["Authorization"] = f"Bearer {token}"
    # A service that is away for longer makes a failed row; the next run tries it again. What it says of how long to
    # wait is not heeded: it might be a day.
    retry = Retry(
        _ATTEMPTS - 1, connect=0, backoff_factor=_PAUSE, status_forcelist=(408, 429, 502, 503, 504),
        respect_retry_after_header=False, raise_on_status=False,
    )  # fmt: skip
    for scheme in ("http://", "https://"):
        session.mount(scheme, Patient(max_retries=retry))
    client = DICOMwebClient(service, session=session)
    client.set_http_retry_params(retry=False)
    return client


@contextmanager
def _said(address: str) -> Iterator[None]:
    """What goes wrong on the way, as one error that names the address."""
    import requests
    from pydicom.errors import InvalidDicomError

    try:
        yield
    except GpukitError:
        raise
    except requests.HTTPError as error:
        status = "an error" if error.response is None else f"{error.response.status_code} {error.response.reason}"
        raise InputError(f"the service answers {status}", file=address) from error
    except requests.exceptions.JSONDecodeError as error:
        raise FormatError("the service answers with something else than DICOMweb", file=address) from error
    except requests.RequestException as error:
        raise InputError(f"the service cannot be reached: {type(error).__name__}", file=address) from error
    except (ValueError, KeyError, InvalidDicomError) as error:
        raise FormatError("the service answers with something else than DICOMweb", file=address) from error


def _about(entry: dict[str, Any], study: str, series: str) -> About:
    number, modality, description = (_first(entry, tag) for tag in ("00200011", "00080060", "0008103E"))
    return About(study=study, series=series, number=number, modality=modality, description=description)


def _first(entry: dict[str, Any], tag: str) -> str:
    """First value of an attribute in the DICOM JSON model, as text; empty where it is absent."""
    values = entry.get(tag, {}).get("Value", ())
    return str(values[0]) if values else ""
