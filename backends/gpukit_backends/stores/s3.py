"""Amazon's S3 and what speaks like it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpukit.remote import object_store
from gpukit.remote.object_store import Entry


class S3Provider:
    """``s3://BUCKET``; credentials and endpoint by boto3's own rules (AWS_ENDPOINT_URL ...)."""

    name = "s3"
    package = "boto3"
    credentials = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

    def open(self, bucket: str) -> S3Store:
        """The bucket."""
        return S3Store(bucket)

    def answer(self, error: BaseException) -> tuple[int | None, str]:
        """HTTP status and code, from botocore's ClientError."""
        response: Any = getattr(error, "response", None)
        if not isinstance(response, dict):
            return None, ""
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return (int(status) if status else None), str(response.get("Error", {}).get("Code") or "")


class S3Store:
    """One bucket."""

    def __init__(self, bucket: str) -> None:
        import boto3
        from botocore.config import Config

        retries = {"mode": "standard", "total_max_attempts": object_store.ATTEMPTS}
        self._bucket = bucket
        self._client = boto3.client("s3", config=Config(max_pool_connections=object_store.CONNECTIONS, retries=retries))

    def list(self, key: str) -> Iterator[Entry]:
        """Names that begin with `key`, with sizes and versions."""
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self._bucket, Prefix=key, PaginationConfig={"PageSize": object_store.PAGE}
        )
        for page in pages:
            for entry in page.get("Contents", ()):
                yield entry["Key"], entry["Size"], str(entry.get("ETag", ""))

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of an object."""
        from botocore.exceptions import HTTPClientError, IncompleteReadError

        def read() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=name, Range=f"bytes=0-{count - 1}")
            return bytes(answer["Body"].read())

        return _again(read, HTTPClientError, IncompleteReadError)

    def download(self, name: str, target: Path) -> None:
        """An object as a file."""
        self._client.download_file(self._bucket, name, str(target))


def _again(read: Callable[[], bytes], *broken: type[Exception]) -> bytes:
    for _ in range(object_store.ATTEMPTS - 1):
        with suppress(*broken):
            return read()
    return read()
