"""Cases under a prefix of an object store: S3 through boto3, others through fsspec."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from gpukit.ai.batch_cases import VOLUMES, Case, file_key
from gpukit.errors import DependencyError, FormatError, GpukitError, InputError, InputNotFoundError

__all__ = ["fetch_objects", "series_of_prefix"]

#: The attributes up to SeriesInstanceUID lie within this many bytes of a file.
_HEAD = 1 << 16
_SERIES = 0x0020000E
#: What a user writes -> fsspec's protocol, and the package that serves it.
_PROTOCOLS = {"gs": ("gs", "gcsfs"), "azure": ("abfs", "adlfs"), "memory": ("memory", "fsspec")}


class _Store(Protocol):
    def list(self, prefix: str) -> list[str]: ...
    def head(self, name: str, count: int) -> bytes: ...
    def download(self, name: str, target: Path) -> None: ...


def series_of_prefix(address: str) -> list[Case]:
    """Every DICOM series and every volume file below a prefix; the first bytes of each object are looked at.

    Raises
    ------
    InputError
        The store cannot be reached, or is of a kind that is not known.
    InputNotFoundError
        There is no image below the prefix.
    DependencyError
        The package for the store is not installed.
    """
    root = address.rstrip("/")
    with _said(address):
        store = _store(address)
        names = store.list(root)
        with ThreadPoolExecutor(16) as pool:
            uids = list(pool.map(lambda name: _look(store, name), names))
    cases: list[Case] = []
    groups: dict[str, list[str]] = defaultdict(list)
    for name, uid in zip(names, uids, strict=True):
        if name.lower().endswith(VOLUMES):
            beside = _beside(name, names)
            cases.append(Case(file_key(name), name, remote=root, members=(name, *beside)))
        elif uid == "?":
            cases.append(Case(file_key(name), name, error=f"{name}: is DICOM, and its header cannot be read"))
        elif uid:
            groups[uid].append(name)
    for uid, members in groups.items():
        where = members[0].rpartition("/")[0] if len(members) > 1 else members[0]
        cases.append(Case(uid, where, remote=root, members=tuple(members)))
    if not cases:
        raise InputNotFoundError("holds no image", file=address)
    return cases


def fetch_objects(case: Case, folder: Path) -> list[str]:
    """The case's objects as files in a folder; of a volume file the header alone is what is opened.

    Raises
    ------
    InputError
        One cannot be fetched.
    """
    first = case.members[0]
    is_volume = first.lower().endswith(VOLUMES)
    files = []
    with _said(first):
        store = _store(case.remote)
        for number, name in enumerate(case.members):
            base = name.rpartition("/")[2]
            target = folder / (base if is_volume else f"{number:06d}.dcm")
            store.download(name, target)
            files.append(str(target))
    return files[:1] if is_volume else files


def _look(store: _Store, name: str) -> str:
    """SeriesInstanceUID of a DICOM object; empty for another file, a question mark for a damaged header."""
    if name.lower().endswith(VOLUMES):
        return ""
    head = store.head(name, _HEAD)
    if head[128:132] != b"DICM":
        return ""
    from pydicom.filereader import read_partial

    try:
        header = read_partial(io.BytesIO(head), stop_when=lambda tag, vr, length: tag > _SERIES)
        uid = str(header.get("SeriesInstanceUID", ""))
    except Exception:  # a hostile header may raise anything
        return "?"
    return uid if re.fullmatch(r"[0-9.]{3,64}", uid, re.ASCII) else "?"


def _beside(name: str, names: list[str]) -> tuple[str, ...]:
    """Data files of a header of two files: those of its name with another suffix."""
    if not name.lower().endswith((".mhd", ".nhdr")):
        return ()
    stem = name.rpartition(".")[0] + "."
    return tuple(other for other in names if other.startswith(stem) and other != name)


def _store(address: str) -> _Store:
    scheme = address.partition("://")[0].lower()
    if scheme == "s3":
        return _S3()
    if scheme not in _PROTOCOLS:
        known = ", ".join(f"{name}://" for name in ("http", "https", "s3", "gs", "azure"))
        raise InputError(f"unknown kind of address {scheme}://", file=address, fix=f"use one of: {known}")
    protocol, package = _PROTOCOLS[scheme]
    try:
        import fsspec

        return _Fsspec(fsspec.filesystem(protocol), scheme, protocol)
    except ImportError:
        raise DependencyError(f"{scheme}:// needs the package {package}", fix=f"pip install {package}") from None


class _S3:
    """Amazon's S3 and what speaks like it; credentials and endpoint by boto3's own rules (AWS_ENDPOINT_URL ...)."""

    def __init__(self) -> None:
        try:
            import boto3
        except ImportError:
            raise DependencyError("s3:// needs the package boto3", fix="pip install 'gpukit[cloud]'") from None
        self._client = boto3.client("s3")

    def list(self, prefix: str) -> list[str]:
        bucket, _, key = prefix.partition("://")[2].partition("/")
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
        found = [entry["Key"] for page in pages for entry in page.get("Contents", ()) if entry["Size"]]
        # a prefix is a folder or one object, not the beginning of a name
        inside = [name for name in found if not key or name == key or name.startswith(f"{key}/")]
        return [f"s3://{bucket}/{name}" for name in inside]

    def head(self, name: str, count: int) -> bytes:
        bucket, _, key = name.partition("://")[2].partition("/")
        answer = self._client.get_object(Bucket=bucket, Key=key, Range=f"bytes=0-{count - 1}")
        return bytes(answer["Body"].read(count))

    def download(self, name: str, target: Path) -> None:
        bucket, _, key = name.partition("://")[2].partition("/")
        self._client.download_file(bucket, key, str(target))


class _Fsspec:
    def __init__(self, system: Any, scheme: str, protocol: str) -> None:
        self._system, self._scheme, self._protocol = system, scheme, protocol

    def list(self, prefix: str) -> list[str]:
        found = self._system.find(self._own(prefix))
        return [f"{self._scheme}://{name.lstrip('/')}" for name in sorted(found)]

    def head(self, name: str, count: int) -> bytes:
        return bytes(self._system.cat_file(self._own(name), start=0, end=count))

    def download(self, name: str, target: Path) -> None:
        self._system.get_file(self._own(name), str(target))

    def _own(self, address: str) -> str:
        return f"{self._protocol}://{address.partition('://')[2]}"


@contextmanager
def _said(address: str) -> Iterator[None]:
    """What a store's library raises, as one error that names the address."""
    try:
        yield
    except GpukitError:
        raise
    except FileNotFoundError as error:
        raise InputNotFoundError("there is no such object", file=address) from error
    except Exception as error:  # each library has a tree of its own
        kind = FormatError if isinstance(error, UnicodeError) else InputError
        text = " ".join(str(error).split())[:200]
        raise kind(f"the store cannot be read: {type(error).__name__}: {text}", file=address) from error
