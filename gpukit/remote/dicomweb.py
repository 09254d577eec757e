"""A DICOMweb client: query, pages, retrieval, retry, tokens."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from gpukit.errors import FormatError, GpukitError, InputError
from gpukit.extras import missing_package

__all__ = [
    "ATTEMPTS",
    "PAGE",
    "PAUSE",
    "TIMEOUT",
    "TOKEN",
    "UID_PATTERN",
    "address_parts",
    "client_of",
    "first_value",
    "said",
    "series_entries",
]

#: Environment variable with a bearer token; other credentials are taken from ``~/.netrc``.
TOKEN = "GPUKIT_DICOMWEB_TOKEN"
PAGE = 500
_FIELDS = (
    "StudyInstanceUID", "SeriesInstanceUID", "Modality", "NumberOfSeriesRelatedInstances", "SeriesNumber",
    "SeriesDescription",
)  # fmt: skip
#: Tries of a question that is answered with "not now", and seconds before the second; each further pause is doubled.
ATTEMPTS, PAUSE = 4, 0.5
#: Seconds to be connected, and between two bytes of an answer.
TIMEOUT = (30.0, 300.0)
#: What services answer that do not search all series at once.
_NOT_AT_ONCE = (400, 404, 405, 501)
UID_PATTERN = r"[0-9.]{1,64}"
_ADDRESS = re.compile(
    rf"(?P<service>.*?)(/studies/(?P<study>{UID_PATTERN})(/series/(?P<series>{UID_PATTERN}))?)?/*", re.ASCII
)


def series_entries(client: Any, study: str | None, filters: dict[str, str] | None) -> Iterator[dict[str, Any]]:
    """Series of a study or of the whole service, from all pages."""
    import requests

    def series(study: str | None) -> Iterator[dict[str, Any]]:
        for entry in pages(
            partial(client.search_for_series, study, search_filters=filters, fields=_FIELDS), "0020000E"
        ):
            if study is not None and not first_value(entry, "0020000D"):
                entry["0020000D"] = {"vr": "UI", "Value": [study]}
            yield entry

    try:
        yield from series(study)
        return
    except requests.HTTPError as error:
        # A service need not search all its series at once (PS3.18 table 10.6.1-2): then study by study.
        if study is not None or error.response is None or error.response.status_code not in _NOT_AT_ONCE:
            raise
    for entry in pages(partial(client.search_for_studies, fields=["StudyInstanceUID"]), "0020000D"):
        uid = first_value(entry, "0020000D")
        if not re.fullmatch(UID_PATTERN, uid):
            raise ValueError("a study without its UID")
        yield from series(uid)


def pages(search: Callable[..., list[dict[str, Any]]], tag: str) -> Iterator[dict[str, Any]]:
    """What a search finds, each once by its UID, from all pages."""
    seen: set[str] = set()
    offset = 0
    while True:
        page = search(limit=PAGE, offset=offset or None)
        fresh = [entry for entry in page if first_value(entry, tag) not in seen]
        yield from fresh
        # A service may give fewer than were asked for, or know no offset: it is done when nothing new comes.
        if not fresh:
            return
        seen.update(first_value(entry, tag) for entry in fresh)
        offset += len(page)


def address_parts(address: str) -> tuple[str, str | None, str | None]:
    """Service, study and series of an address."""
    match = _ADDRESS.fullmatch(address)
    if match is None or "?" in address or "#" in address:
        raise InputError("is no address of a DICOMweb service, study or series", file=address.partition("?")[0])
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise InputError(
            "credentials in an address would be recorded with the cases", fix=f"put them into ~/.netrc, or set {TOKEN}"
        )
    return match["service"], match["study"], match["series"]


def client_of(service: str) -> Any:
    """A client of a DICOMweb service, with retries and credentials."""
    try:
        from dicomweb_client.api import DICOMwebClient
    except ImportError:
        raise missing_package("DICOMweb needs the package dicomweb-client", "dicomweb") from None
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3.util import Retry

    class Patient(HTTPAdapter):
        def send(
            self, request: Any, stream: bool = False, timeout: Any = None, verify: Any = True, cert: Any = None,
            proxies: Any = None,
        ) -> requests.Response:  # fmt: skip
            return super().send(request, stream, timeout or TIMEOUT, verify, cert, proxies)

    session = requests.Session()
    if token := os.environ.get(TOKEN):
        session.headers["Authorization"] = f"Bearer {token}"
    # A service that is away for longer makes a failed row; the next run tries it again. What it says of how long to
    # wait is not heeded: it might be a day.
    retry = Retry(
        ATTEMPTS - 1, connect=0, backoff_factor=PAUSE, status_forcelist=(408, 429, 502, 503, 504),
        respect_retry_after_header=False, raise_on_status=False,
    )  # fmt: skip
    for scheme in ("http://", "https://"):
        session.mount(scheme, Patient(max_retries=retry))
    client = DICOMwebClient(service, session=session)
    client.set_http_retry_params(retry=False)
    return client


@contextmanager
def said(address: str) -> Iterator[None]:
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


def first_value(entry: dict[str, Any], tag: str) -> str:
    """First value of an attribute in the DICOM JSON model, as text; empty where it is absent."""
    values = entry.get(tag, {}).get("Value", ())
    return str(values[0]) if values else ""
