"""Azure Blob Storage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gpukit.errors import InputError
from gpukit.remote import object_store
from gpukit.remote.object_store import Entry


class AzureProvider:
    """``azure://CONTAINER``: a connection string, or an account with a key, a token, or what azure-identity finds."""

    name = "azure"
    package = "azure-storage-blob"
    credentials = (
        "set AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY or AZURE_STORAGE_SAS_TOKEN"
    )

    def open(self, bucket: str) -> AzureStore:
        """The container."""
        return AzureStore(bucket)

    def answer(self, error: BaseException) -> tuple[int | None, str]:
        """HTTP status and code, from azure.core's HttpResponseError."""
        status, code = getattr(error, "status_code", None), getattr(error, "error_code", None)
        return (int(status), str(getattr(code, "value", code) or "")) if isinstance(status, int) else (None, "")


class AzureStore:
    """One container."""

    def __init__(self, bucket: str) -> None:
        from azure.storage.blob import BlobServiceClient, LinearRetry

        policy = LinearRetry(
            backoff=object_store.PAUSE, retry_total=object_store.ATTEMPTS, random_jitter_range=object_store.PAUSE / 2
        )
        text = os.environ.get("AZURE_STORAGE_CONNECTION_STRING")
        if text:
            service = BlobServiceClient.from_connection_string(text, retry_policy=policy)
        else:
            service = BlobServiceClient(*_account(), retry_policy=policy)
        self._container = service.get_container_client(bucket)

    def list(self, key: str) -> Iterator[Entry]:
        """Names that begin with `key`, with sizes and versions."""
        for blob in self._container.list_blobs(name_starts_with=key or None, results_per_page=object_store.PAGE):
            yield blob.name, int(blob.size or 0), str(blob.etag or "")

    def head(self, name: str, count: int) -> bytes:
        """The first bytes of an object."""
        return bytes(self._container.download_blob(name, offset=0, length=count).readall())

    def download(self, name: str, target: Path) -> None:
        """An object as a file."""
        with target.open("wb") as stream:
            self._container.download_blob(name).readinto(stream)


def _account() -> tuple[str, Any]:
    """Address of the account and what proves the right to it, by the names that Azure's command line uses."""
    account = os.environ.get("AZURE_STORAGE_ACCOUNT", "")
    address = os.environ.get("AZURE_STORAGE_SERVICE_ENDPOINT") or f"https://{account}.blob.core.windows.net"
    if not account:
        raise InputError("the store needs credentials", fix=AzureProvider.credentials)
    if key := os.environ.get("AZURE_STORAGE_KEY"):
        return address, {"account_name": account, "account_key": key}
    if token := os.environ.get("AZURE_STORAGE_SAS_TOKEN"):
        return address, token
    try:
        from azure.identity import DefaultAzureCredential
    except ImportError:
        fix = f"{AzureProvider.credentials}; or install azure-identity"
        raise InputError("the store needs credentials", fix=fix) from None
    return address, DefaultAzureCredential()
