"""Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gpukit.remote import object_store
from gpukit.remote.object_store import Entry


class GcsProvider:
    """``gs://BUCKET``; credentials by Google's own rules, and STORAGE_EMULATOR_HOST."""

    name = "gs"
    package = "google-cloud-storage"
    credentials = "set GOOGLE_APPLICATION_CREDENTIALS to a key's file, or run `gcloud auth application-default login`"

    def open(self, bucket: str) -> GcsStore:
        """The bucket."""
        return GcsStore(bucket)

    def answer(self, error: BaseException) -> tuple[int | None, str]:
        """HTTP status and code, from google.api_core's exceptions."""
        status, code = getattr(error, "code", None), getattr(error, "reason", None)
        return (int(status), str(getattr(code, "value", code) or "")) if isinstance(status, int) else (None, "")


class GcsStore:
    """One bucket."""

    def __init__(self, bucket: str) -> None:
        from google.cloud import storage
        from google.cloud.storage.retry import DEFAULT_RETRY

        self._retry = DEFAULT_RETRY.with_timeout(object_store.PATIENCE)
        # None: a project is needed to make buckets, not to read them
        self._client = storage.Client(project=None)
        self._bucket = self._client.bucket(bucket)

    def list(self, key: str) -> Iterator[Entry]:
        """Names that begin with `key`, with sizes and versions."""
        for blob in self._client.list_blobs(
            self._bucket,
            prefix=key,
            page_size=object_store.PAGE,
            fields="items(name,size,md5Hash),nextPageToken",
            retry=self._retry,
        ):
            yield blob.name, int(blob.size or 0), str(blob.md5_hash or "")

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of an object."""
        blob = self._bucket.blob(name)
        return bytes(blob.download_as_bytes(start=0, end=count - 1, checksum=None, retry=self._retry))

    def download(self, name: str, target: Path) -> None:
        """An object as a file."""
        self._bucket.blob(name).download_to_filename(str(target), retry=self._retry)
