"""Object stores as a batch needs them: what is below a prefix, the first bytes of an object, an object as a file.

Each store is reached through its owner's own library, which finds credentials and endpoint by its own rules and tries
again what fails in passing. What the libraries raise becomes one error that says what to do; texts of theirs are not
passed on, because some quote signatures and tokens.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

from gpukit.errors import FormatError, GpukitError, InputError, InputNotFoundError
from gpukit.extras import missing_package

__all__ = ["CONNECTIONS", "Entry", "PAGE", "STORES", "Store", "store_of"]

#: Objects that are asked for in one listing; 1000 is the most that S3 and Google Cloud Storage give.
PAGE = 1000
#: Requests that run side by side.
CONNECTIONS = 16
#: A read that breaks off is begun again so many times in all, as the libraries do with whole downloads.
_ATTEMPTS = 3
#: Seconds. Google's library would knock for two minutes at a store that is not there, and Azure's wait 15 s before it
#: knocks again.
_PATIENCE, _PAUSE = 30.0, 2.0
_CREDENTIALS = {
    "s3": "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "set GOOGLE_APPLICATION_CREDENTIALS to a key's file, or run `gcloud auth application-default login`",
    "azure": "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or "
    "AZURE_STORAGE_SAS_TOKEN",
}  # fmt: skip


#: Name, size in bytes, and what differs when the object is written anew.
Entry = tuple[str, int, str]


class Store(Protocol):
    """One bucket (of Azure a container). Names are those of objects, without scheme and bucket."""

    def list(self, key: str) -> Iterator[Entry]:
        """Names that begin with `key`, with their sizes in bytes and versions, from all pages."""
        ...

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of an object; fewer where it is shorter."""
        ...

    def download(self, name: str, target: Path) -> None:
        """An object as a file."""
        ...


def store_of(address: str) -> tuple[Store, str]:
    """The store of an address and the key in it, without a slash at its end.

    Raises
    ------
    InputError
        The address is of an unknown kind, lacks the bucket, or has credentials in it; the store has no usable ones.
    DependencyError
        The package for the store is not installed.
    """
    scheme, _, rest = address.partition("://")
    scheme = scheme.lower()
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in ("http", "https", *STORES))
        raise InputError(f"unknown kind of address {scheme}://", file=f"{scheme}://", fix=f"use one of: {known}")
    bucket, _, key = rest.partition("/")
    if "@" in bucket or re.search(r"[?&](sig|[Xx]-(Amz|Goog)-\w+)=", rest):
        raise InputError(
            "credentials in an address would be recorded with the cases", file=f"{scheme}://", fix=_CREDENTIALS[scheme]
        )
    if not bucket:
        raise InputError("the address names no bucket", file=address, fix=f"write {scheme}://BUCKET/PREFIX")
    package, make = STORES[scheme]
    try:
        with said(address):
            return make(bucket), key.rstrip("/")
    except ImportError:
        raise missing_package(f"{scheme}:// needs the package {package}", "cloud") from None


class _S3:
    """Amazon's S3 and what speaks like it; credentials and endpoint by boto3's own rules (AWS_ENDPOINT_URL ...)."""

    def __init__(self, bucket: str) -> None:
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": _ATTEMPTS}
        self._bucket = bucket
        self._client = boto3.client("s3", config=Config(max_pool_connections=CONNECTIONS, retries=retries))

    def list(self, key: str) -> Iterator[Entry]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=key, PaginationConfig={"PageSize": PAGE}
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"], str(entry.get("ETag", ""))

    def head(self, name: str, count: int) -> bytes:
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes=0-{count - 1}")
            return bytes(answer["Body"].read())

        return _again(read, HTTPClientError, IncompleteReadError)

    def download(self, name: str, target: Path) -> None:
        self._client.download_file(self._bucket, name, str(target))


class _Google:
    """Google Cloud Storage; credentials by Google's own rules, and STORAGE_EMULATOR_HOST."""

    def __init__(self, bucket: str) -> None:
        from google.cloud import storage
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._retry = DEFAULT_RETRY.with_timeout(_PATIENCE)
        # None: a project is needed to make buckets, not to read them
        self._client = storage.Client(project=None)
        self._bucket = self._client.bucket(bucket)

    def list(self, key: str) -> Iterator[Entry]:
        for blob in self._client.list_blobs(
            self._bucket,
            prefix=key,
            page_size=PAGE,
            fields="items(name,size,md5Hash),nextPageToken",
            retry=self._retry,
        ):
            yield blob.name, int(blob.size or 0), str(blob.md5_hash or "")

    def head(self, name: str, count: int) -> bytes:
        blob = self._bucket.blob(name)
        return bytes(blob.download_as_bytes(start=0, end=count - 1, checksum=None, retry=self._retry))

    def download(self, name: str, target: Path) -> None:
        self._bucket.blob(name).download_to_filename(str(target), retry=self._retry)


class _Azure:
    """Azure Blob Storage: a connection string, or an account with a key, a token, or what azure-identity finds."""

    def __init__(self, bucket: str) -> None:
        from azure.storage.blob import BlobServiceClient, LinearRetry

        policy = LinearRetry(backoff=_PAUSE, retry_total=_ATTEMPTS, random_jitter_range=_PAUSE / 2)
        text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if text:
            service = BlobServiceClient.from_connection_string(text, retry_policy=policy)
        else:
            service = BlobServiceClient(*_azure_account(), retry_policy=policy)
        self._container = service.get_container_client(bucket)

    def list(self, key: str) -> Iterator[Entry]:
        for blob in self._container.list_blobs(name_starts_with=key or None, results_per_page=PAGE):
            yield blob.name, int(blob.size or 0), str(blob.etag or "")

    def head(self, name: str, count: int) -> bytes:
        return bytes(self._container.download_blob(name, offset=0, length=count).readall())

    def download(self, name: str, target: Path) -> None:
        with target.open("wb") as stream:
            self._container.download_blob(name).readinto(stream)


def _azure_account() -> tuple[str, Any]:
    """Address of the account and what proves the right to it, by the names that Azure's command line uses."""
    account = os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    address = os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT") or f"https://{account}.blob.core.windows.net"
    if not account:
        raise InputError("there are no credentials for the store", fix=_CREDENTIALS["azure"])
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        return address, {"account_name": account, "account_key": key}
    if token := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return address, token
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        fix = f"{_CREDENTIALS['azure']}; or install azure-identity"
        raise InputError("there are no credentials for the store", fix=fix) from None
    return address, DefaultAzureCredential()


#: Scheme -> the package that serves it, and the class.
STORES: dict[str, tuple[str, Callable[[str], Store]]] = {
    "s3": ("boto3", _S3), "gs": ("google-cloud-storage", _Google), "azure": ("azure-storage-blob", _Azure),
}  # fmt: skip

#: Of objects that must be brought back from an archive first, by the codes of the stores.
_ARCHIVED = ("InvalidObjectState", "BlobArchived")
#: Why a file cannot be written here.
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG, errno.EACCES, errno.EROFS, errno.EISDIR)
#: Names of what the libraries raise where they find no credentials that they could send.
_NONE_FOUND = frozenset(
    ("NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "TokenRetrievalError", "SSOError",
     "UnauthorizedSSOTokenError", "CredentialRetrievalError", "DefaultCredentialsError", "RefreshError",
     "MalformedError", "InvalidOperation", "CredentialUnavailableError")
)  # fmt: skip


@contextmanager
def said(address: str) -> Iterator[None]:
    """What a store's library raises, as one error that names the address."""
    scheme = address.partition("://")[0].lower()
    try:
        yield
    except (GpukitError, ImportError):
        raise
    except Exception as error:  # each library has a tree of its own
        status, code = _answer(error)
        words = " ".join(filter(None, (str(status or ""), code)))
        if code in ("NoSuchBucket", "ContainerNotFound"):
            raise InputNotFoundError("there is no such bucket", file=address) from error
        if code in _ARCHIVED:
            raise FormatError("lies in an archive tier", file=address, fix="restore it first") from error
        if status == 404:
            raise InputNotFoundError("there is no such bucket or object", file=address) from error
        if status in (401, 403):
            raise InputError(
                f"the store refuses the credentials ({words})", file=address,
                fix=f"{_CREDENTIALS[scheme]}; they must allow to list and to read",
            ) from error  # fmt: skip
        if status is not None:
            raise InputError(f"the store answers {words}", file=address) from error
        kind = type(error).__name__
        if kind in _NONE_FOUND:
            raise InputError(
                f"there are no credentials for the store ({kind})", file=address, fix=_CREDENTIALS[scheme]
            ) from error
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise InputError(f"the object cannot be stored: {error.strerror}", file=address) from error
        if isinstance(error, ValueError) or kind == "ParamValidationError":
            raise InputError(
                f"the address or the settings of the store are wrong ({kind})", file=address, fix=_CREDENTIALS[scheme]
            ) from error
        raise InputError(f"the store cannot be reached: {kind}", file=address) from error


def _answer(error: BaseException) -> tuple[int | None, str]:
    """HTTP status and code of what a store answered; None where it gave no answer."""
    response: Any = getattr(error, "response", None)  # boto3
    if isinstance(response, dict):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return (int(status) if status else None), _word(response.get("Error", {}).get("Code"))
    for name, about in (("status_code", "error_code"), ("code", "reason")):  # Azure; Google
        status = getattr(error, name, None)
        if isinstance(status, int):
            return int(status), _word(getattr(error, about, None))
    return None, ""


def _word(code: object) -> str:
    """A code as the stores have them, and nothing longer."""
    text = str(getattr(code, "value", code) or "")
    return text if re.fullmatch(r"[A-Za-z]{1,60}", text) else ""


def _again(read: Callable[[], bytes], *broken: type[Exception]) -> bytes:
    for _ in range(_ATTEMPTS - 1):
        with suppress(*broken):
            return read()
    return read()
