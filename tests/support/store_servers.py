"""Object stores on the loopback for tests: moto for S3, Azurite for Azure, gcp-storage-emulator for Google's; and a
wire that breaks."""

from __future__ import annotations

import abc
import base64
import contextlib
import json
import os
import re
import socket
import subprocess
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.npm import npm_folder

__all__ = ["AZURITE", "SECRET", "Served", "Wire", "azure_served", "google_served", "s3_served"]

#: The last version that runs on Node.js 20.
AZURITE = "azurite@3.35.0"
#: Must never be seen in a record, a summary or a message. Azure's keys are in base64.
SECRET = base64.b64encode(b"quite-a-secret-key-of-this-test!").decode()


class Served(abc.ABC):
    """A store with an empty bucket ``archive``."""

    scheme: str
    #: Of the server itself; what gpukit is told leads through `wire`.
    address: str

    def __init__(self) -> None:
        self.wire = Wire(int(self.address.rpartition(":")[2]))

    @abc.abstractmethod
    def settings(self, secret: str = SECRET) -> dict[str, str]:
        """Environment variables by which the store's own library finds it."""

    @abc.abstractmethod
    def put(self, name: str, content: bytes) -> None:
        """Store an object."""

    @abc.abstractmethod
    def delete(self, name: str) -> None:
        """Take an object away."""

    @abc.abstractmethod
    def names(self) -> list[str]:
        """All objects."""

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        """While open, the server asks who is there."""
        yield


class _S3(Served):
    scheme = "s3"

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()
        import boto3

        self._client = boto3.client(
            "s3", endpoint_url=address, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        self._client.create_bucket(Bucket="archive")

    def settings(self, secret: str = SECRET) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.wire.address, "AWS_ACCESS_KEY_ID": "AKIAGPUKITTESTS",
            "AWS_SECRET_ACCESS_KEY": secret, "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def put(self, name: str, content: bytes) -> None:
        self._client.put_object(Bucket="archive", Key=name, Body=content)

    def delete(self, name: str) -> None:
        self._client.delete_object(Bucket="archive", Key=name)

    def names(self) -> list[str]:
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket="archive")
        return [entry["Key"] for page in pages for entry in page.get("Contents", ())]

    @contextlib.contextmanager
    def strict(self) -> Iterator[None]:
        self._ask("0")
        yield
        self._ask("inf")

    def _ask(self, after: str) -> None:
        kind = {"Content-Type": "application/octet-stream"}
        asked = urllib.request.Request(f"{self.address}/moto-api/reset-auth", data=after.encode(), headers=kind)
        with urllib.request.urlopen(asked, timeout=10):
            pass


class _Google(Served):
    scheme = "gs"

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()
        from google.auth.credentials import AnonymousCredentials
        from google.cloud import storage

        self._client = storage.Client(
            project="tests", credentials=AnonymousCredentials(), client_options={"api_endpoint": address}
        )
        self._bucket = self._client.create_bucket("archive")

    def settings(self, secret: str = SECRET) -> dict[str, str]:
        return {"STORAGE_EMULATOR_HOST": self.wire.address}

    def put(self, name: str, content: bytes) -> None:
        self._bucket.blob(name).upload_from_string(content)

    def delete(self, name: str) -> None:
        self._bucket.blob(name).delete()

    def names(self) -> list[str]:
        return [blob.name for blob in self._client.list_blobs("archive")]


class _Azure(Served):
    scheme = "azure"

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()
        from azure.storage.blob import BlobServiceClient

        text = self.settings()["AZURE_STORAGE_CONNECTION_STRING"].replace(self.wire.address, address)
        self._container = BlobServiceClient.from_connection_string(text).create_container("archive")

    def settings(self, secret: str = SECRET) -> dict[str, str]:
        return {
            "AZURE_STORAGE_CONNECTION_STRING": "DefaultEndpointsProtocol=http;AccountName=gpukit;"
            f"AccountKey={secret};BlobEndpoint={self.wire.address}/gpukit;"
        }

    def put(self, name: str, content: bytes) -> None:
        self._container.upload_blob(name, content, overwrite=True)

    def delete(self, name: str) -> None:
        self._container.delete_blob(name)

    def names(self) -> list[str]:
        return [blob.name for blob in self._container.list_blobs()]


@contextlib.contextmanager
def s3_served(folder: Path) -> Iterator[Served]:
    """moto's server in this process."""
    moto = pytest.importorskip("moto.server", reason="the S3 server of these tests is moto's: pip install 'moto[s3]'")
    pytest.importorskip("boto3", reason="S3 needs boto3: pip install 'gpukit[cloud]'")
    server = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    store = _S3("http://{}:{}".format(*server.get_host_and_port()))
    yield store
    store.wire.close()
    server.stop()


@contextlib.contextmanager
def google_served(folder: Path) -> Iterator[Served]:
    """gcp-storage-emulator in this process. It gives all objects at once, so pages are cut here, as Google cuts them:
    ``maxResults`` and ``pageToken`` in, ``nextPageToken`` out."""
    emulator = pytest.importorskip("gcp_storage_emulator.server", reason="needed: pip install gcp-storage-emulator")
    pytest.importorskip("google.cloud.storage", reason="needed: pip install 'gpukit[cloud]'")
    from gcp_storage_emulator.handlers import objects

    whole = objects.ls

    def in_pages(request: Any, response: Any, storage: Any, *_: Any) -> None:
        whole(request, response, storage)
        if not response._content:
            return
        content = json.loads(response._content)
        start = int(request.query.get("pageToken", ["0"])[0])
        end = start + int(request.query.get("maxResults", ["1000"])[0])
        if end < len(content["items"]):
            content["nextPageToken"] = str(end)
        content["items"] = content["items"][start:end]
        response.json(content)

    for _, methods in emulator.HANDLERS:
        if methods.get("GET") is whole:
            methods["GET"] = in_pages
    server = emulator.create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    store = _Google(f"http://127.0.0.1:{server._api._httpd.server_port}")
    yield store
    store.wire.close()
    server.stop()


@contextlib.contextmanager
def azure_served(folder: Path) -> Iterator[Served]:
    """Azurite as a process of Node.js."""
    pytest.importorskip("azure.storage.blob", reason="needed: pip install 'gpukit[cloud]'")
    main = npm_folder("gpukit-azurite", AZURITE, purpose="Azurite") / "node_modules/azurite/dist/src/blob/main.js"
    options = (
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        "0",
        "--inMemoryPersistence",
        "--disableTelemetry",
        "--skipApiVersionCheck",
    )
    process = subprocess.Popen(
        ["node", main, *options], cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "AZURITE_ACCOUNTS": f"gpukit:{SECRET}"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        said = ""
        while (found := re.search(r"successfully listens on (http://127\.0\.0\.1:\d+)", said)) is None:
            line = process.stdout.readline()
            assert line, f"Azurite ended: {said}"
            said += line
        threading.Thread(target=process.stdout.read, daemon=True).start()
        store = _Azure(found[1])
        yield store
        store.wire.close()
    finally:
        process.terminate()
        process.wait(30)


class Wire:
    """What gpukit is connected through: bytes pass unchanged, until it is told to break."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: Answers that break off yet, after how many of their bytes, and how many have.
        self.breaks, self.after, self.broken = 0, 0, 0
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Take no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            passed = [0]  # bytes of the answer at hand
            for source, sink, count in ((near, far, None), (far, near, passed)):
                threading.Thread(target=self._pass, args=(source, sink, passed, count), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, passed: list[int], count: list[int] | None) -> None:
        with contextlib.suppress(OSError):
            while part := source.recv(1 << 14):
                if count is None:
                    passed[0] = 0  # a new question
                else:
                    count[0] += len(part)
                    if count[0] > self.after and self._break():
                        break
                sink.sendall(part)
        for one in (source, sink):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _break(self) -> bool:
        with self._lock:
            if not self.breaks:
                return False
            self.breaks -= 1
            self.broken += 1
            return True
