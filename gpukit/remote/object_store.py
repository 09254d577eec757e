"""Object stores: the contract, the store of an address, and one error for what the stores' libraries raise.

Each store is reached through its owner's own library, which finds credentials and endpoint by its own rules and tries
again what fails in passing. The classes are plug-ins of the entry-point group ``gpukit.stores``. Texts of the libraries
are not passed on, because some quote signatures and tokens.
"""

from __future__ import annotations

import errno
import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, runtime_checkable

from gpukit.errors import FormatError, GpukitError, InputError, InputNotFoundError
from gpukit.extras import missing_package
from gpukit.plugins import load_plugins

__all__ = [
    "ATTEMPTS",
    "CONNECTIONS",
    "PAGE",
    "PATIENCE",
    "PAUSE",
    "Entry",
    "Provider",
    "Store",
    "providers",
    "said",
    "store_of",
]

ENTRY_POINT_GROUP = "gpukit.stores"
#: Objects that are asked for in one listing; 1000 is the most that S3 and Google Cloud Storage give.
PAGE = 1000
#: Requests that run side by side.
CONNECTIONS = 16
#: A read that breaks off is begun again so many times in all, as the libraries do with whole downloads.
ATTEMPTS = 3
#: Seconds. Google's library would knock for two minutes at a store that is not there, and Azure's wait 15 s before it
#: knocks again.
PATIENCE, PAUSE = 30.0, 2.0

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


@runtime_checkable
class Provider(Protocol):
    """A kind of object store, as a plug-in offers it."""

    #: Scheme of its addresses, such as ``s3``.
    name: str
    #: Package that it needs.
    package: str
    #: What a user sets to give credentials.
    credentials: str

    def open(self, bucket: str) -> Store:
        """The bucket; nothing is asked of the store yet. ImportError where the package is absent."""
        ...

    def answer(self, error: BaseException) -> tuple[int | None, str]:
        """HTTP status and code of the store's answer; None where it gave no answer."""
        ...


@functools.cache
def providers() -> dict[str, Provider]:
    """Every kind of store that an entry point offers, by its scheme."""
    return {provider.name: provider for provider in load_plugins(ENTRY_POINT_GROUP, Provider, kind="store")}


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
    provider = providers().get(scheme)
    if provider is None:
        schemes = ", ".join(f"{name}://" for name in ("http", "https", *providers()))
        raise InputError(f"unknown kind of address {scheme}://", file=f"{scheme}://", fix=f"use one of: {schemes}")
    bucket, _, key = rest.partition("/")
    if "@" in bucket or re.search(r"[?&](sig|[Xx]-(Amz|Goog)-\w+)=", rest):
        raise InputError(
            "credentials in an address would be recorded with the cases", file=f"{scheme}://", fix=provider.credentials
        )
    if not bucket:
        raise InputError("the address names no bucket", file=address, fix=f"write {scheme}://BUCKET/PREFIX")
    try:
        with said(address):
            return provider.open(bucket), key.rstrip("/")
    except ImportError:
        raise missing_package(f"{scheme}:// needs the package {provider.package}", "cloud") from None


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
    provider = providers().get(address.partition("://")[0].lower())
    credentials = provider.credentials if provider else ""
    try:
        yield
    except (GpukitError, ImportError):
        raise
    except Exception as error:  # each library has a tree of its own
        status, code = provider.answer(error) if provider else (None, "")
        code = _word(code)
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
                fix=f"{credentials}; they must allow to list and to read",
            ) from error  # fmt: skip
        if status is not None:
            raise InputError(f"the store answers {words}", file=address) from error
        kind = type(error).__name__
        if kind in _NONE_FOUND:
            raise InputError(f"the store needs credentials ({kind})", file=address, fix=credentials) from error
        if isinstance(error, OSError) and error.errno in _LOCAL:
            raise InputError(f"the object cannot be stored: {error.strerror}", file=address) from error
        if isinstance(error, ValueError) or kind == "ParamValidationError":
            raise InputError(
                f"the address or the settings of the store are wrong ({kind})", file=address, fix=credentials
            ) from error
        raise InputError(f"the store cannot be reached: {kind}", file=address) from error


def _word(code: object) -> str:
    """A code as the stores have them, and nothing longer."""
    text = str(getattr(code, "value", code) or "")
    return text if re.fullmatch(r"[A-Za-z]{1,60}", text) else ""
