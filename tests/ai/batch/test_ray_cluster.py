"""Cases from a DICOMweb service on the loopback; and a cluster that loses a node."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.batch_cases import above, bright_model, rows_of, uid_of, write_series

import gpukit.remote.dicomweb as remote_dicomweb
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.pipeline import DEPTH
from gpukit.ai.batch.run import batch
from gpukit.errors import FormatError, InputError, InputNotFoundError


def check(output: Path, folders: list[Path]) -> None:
    for folder in folders:
        written = pydicom.dcmread(output / f"{uid_of(folder)}.dcm")
        assert int(written.pixel_array.sum()) == int(above(folder, 0.0).sum())
    assert not (output / ".fetched").exists()


# ---- DICOMweb


class Service(BaseHTTPRequestHandler):
    """QIDO-RS for series and WADO-RS for instances over a folder, as strict as PS3.18 allows: what is not asked as it
    says is refused (8.3.3, 8.7.4, 10.4 and 10.6), nothing found is 204, and pages are as small as the service likes."""

    protocol_version = "HTTP/1.1"
    folder: Path
    lost = 0
    page = 2
    #: Bearer token that must be shown.
    token = ""
    #: What the next questions are answered with in place of an answer: a status, "torn", "silent" or "page".
    faults: ClassVar[list[int | str]] = []  # each test has a class of its own
    asked: ClassVar[list[str]] = []

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        self.asked.append(self.path)
        if self.token and self.headers.get("Authorization") != f"Bearer {self.token}":
            self._refuse(401)
            return
        fault = self.faults.pop(0) if self.faults else None
        if isinstance(fault, int):
            self._refuse(fault)
            return
        if fault == "silent":
            time.sleep(1)
            self.close_connection = True
            return
        if fault == "page":
            self._answer(b"<html><body>Please log in</body></html>", "text/html")
            return
        found = re.fullmatch(r"/dicom-web/studies/([\d.]+)/series/([\d.]+)", url.path)
        searched = re.fullmatch(r"/dicom-web(?:/studies/([\d.]+))?/series", url.path)
        if found and not url.query:
            self.torn = fault == "torn"
            self._series(found[1], found[2])
        elif searched:
            self._search(searched[1], parse_qs(url.query, keep_blank_values=True, strict_parsing=bool(url.query)))
        else:
            self._refuse(404)

    def _accepts(self, *kinds: str) -> bool:
        """Whether one of the media types (with its parameters) is accepted."""
        given = [one.replace(" ", "").replace('"', "").lower() for one in self.headers.get("Accept", "").split(",")]
        return any(one == kind or one.startswith(f"{kind};") for one in given for kind in kinds)

    def _headers(self) -> dict[tuple[str, str], list[Path]]:
        groups: dict[tuple[str, str], list[Path]] = {}
        for file in sorted(self.folder.rglob("*.dcm")):
            one = pydicom.dcmread(file, stop_before_pixels=True)
            groups.setdefault((str(one.StudyInstanceUID), str(one.SeriesInstanceUID)), []).append(file)
        return groups

    def _search(self, study: str | None, query: dict[str, list[str]]) -> None:
        known = {
            "limit",
            "offset",
            "includefield",
            "fuzzymatching",
            "SeriesInstanceUID",
            "StudyInstanceUID",
            "Modality",
        }
        numbers = [value for name in ("limit", "offset") for value in query.get(name, [])]
        if set(query) - known or not all(value.isdecimal() for value in numbers):
            self._refuse(400)
            return
        if not self._accepts("application/dicom+json"):
            self._refuse(406)
            return
        more = {word for value in query.get("includefield", []) for word in value.split(",")}
        entries = []
        for (where, uid), files in sorted(self._headers().items(), key=lambda pair: pair[0][1]):
            if uid not in query.get("SeriesInstanceUID", [uid]) or study not in (None, where):
                continue
            one = pydicom.dcmread(files[0], stop_before_pixels=True)
            entry = {"0020000E": {"vr": "UI", "Value": [uid]}, "00080060": {"vr": "CS", "Value": [one.Modality]},
                     "00200011": {"vr": "IS", "Value": [int(one.SeriesNumber)]}, "0008103E": {"vr": "LO"},
                     "00201209": {"vr": "IS", "Value": [len(files)]}}  # fmt: skip
            if study is None or more & {"StudyInstanceUID", "0020000D"}:
                entry["0020000D"] = {"vr": "UI", "Value": [where]}
            entries.append(entry)
        start = int(query.get("offset", ["0"])[0])
        count = min(self.page, int(query.get("limit", ["1000"])[0]))
        shown = entries[start : start + count]
        if not shown:
            self.send_response(204)
            self.end_headers()
            return
        self._answer(json.dumps(shown).encode(), "application/dicom+json")

    def _series(self, study: str, uid: str) -> None:
        files = self._headers().get((study, uid))
        if files is None:
            self._refuse(404)
            return
        if not self._accepts("multipart/related;type=application/dicom", "multipart/related"):
            self._refuse(406)
            return
        boundary = f"-=_{uid}"
        self.send_response(200)
        self.send_header("Content-Type", f'multipart/related; type="application/dicom"; boundary="{boundary}"')
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for file in files[: len(files) - self.lost]:
            kind = "application/dicom; transfer-syntax=1.2.840.10008.1.2.1"
            head = f"--{boundary}\r\nContent-Type: {kind}\r\nContent-Location: instances/{file.stem}\r\n\r\n"
            self._chunk(head.encode() + file.read_bytes() + b"\r\n")
            if self.torn:
                self.close_connection = True
                return
        self._chunk(f"--{boundary}--\r\n".encode())
        self._chunk(b"")

    def _chunk(self, part: bytes) -> None:
        self.wfile.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")

    def _refuse(self, status: int) -> None:
        self.send_response(status)
        if status == 401:
            self.send_header("WWW-Authenticate", 'Bearer realm="pacs"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[str, type[Service], list[Path]]]:
    pytest.importorskip("dicomweb_client", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")
    folders = [write_series(tmp_path / "pacs" / f"s{n}", seed=n) for n in range(3)]
    write_series(tmp_path / "pacs" / "sr", slices=1, modality="SR")
    kind = type("Folder", (Service,), {"folder": tmp_path / "pacs", "lost": 0, "faults": [], "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/dicom-web", kind, folders
    server.shutdown()
    server.server_close()


def test_series_of_a_dicomweb_service(service: Any, tmp_path: Path) -> None:
    address, kind, folders = service
    model = bright_model(tmp_path / "model")
    output = tmp_path / "out"
    made = batch(address, model, output, device="cpu")
    assert sorted(row["case"] for row in made.rows) == sorted(map(uid_of, folders))  # all pages, and no SR
    assert made.failed == ()
    check(output, folders)
    study = str(pydicom.dcmread(folders[1] / "000.dcm").StudyInstanceUID)
    (one,) = find_cases(f"{address}/studies/{study}/series/{uid_of(folders[1])}")
    assert one.key == uid_of(folders[1])
    with pytest.raises(InputNotFoundError, match="no image series"):  # 204, no content
        find_cases(f"{address}/studies/1.2.3")
    kind.lost = 1  # a service that keeps a slice back
    short = batch(address, model, tmp_path / "short", device="cpu")
    assert short.done == 0 and all("gave 2 of 3 instances" in row["error"] for row in short.rows)
    assert not list((tmp_path / "short").glob("*.dcm"))


def test_faults_of_a_service_are_named(service: Any, tmp_path: Path) -> None:
    address, _, _ = service
    with pytest.raises(InputError, match="404"):
        find_cases(address.replace("dicom-web", "elsewhere"))
    with pytest.raises(InputError, match="cannot be reached"):
        find_cases("http://127.0.0.1:9/dicom-web")
    with pytest.raises(InputError, match="unknown kind of address"):
        find_cases("ftp://host/cases")
    with pytest.raises(InputError, match="credentials") as told:
        find_cases("http://me:secret@127.0.0.1:9/dicom-web")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("faults", "said"),
    [([401], "answers 401"), ([413], "answers 413"), ([503] * 9, "answers 503"), (["page"], "something else than")],
    ids=["credentials", "too much asked", "away", "login page"],
)
def test_a_search_that_fails_is_named(
    faults: list[int | str], said: str, service: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_dicomweb, "PAUSE", 0.01)
    address, kind, _ = service
    kind.faults[:] = faults
    with pytest.raises((InputError, FormatError), match=said):
        find_cases(address)


def test_a_service_that_is_away_for_a_moment_is_asked_again(service: Any, tmp_path: Path) -> None:
    """503 and 429 at each question first; a run then does all, and none twice."""
    address, kind, folders = service
    kind.faults[:] = [503, 429]
    assert len(find_cases(address)) == 3
    kind.asked.clear()

    def found(done: int, total: int) -> None:
        if done == 0:
            kind.faults[:] = [503, 503]

    made = batch(address, bright_model(tmp_path / "model"), tmp_path / "out", device="cpu", progress=found)
    assert made.failed == () and not kind.faults
    check(tmp_path / "out", folders)


def test_what_breaks_off_or_is_refused_midway_is_a_row(service: Any, tmp_path: Path) -> None:
    """Of three series one breaks off, one is gone, and one is done; the next run does the others."""
    address, kind, folders = service
    model = bright_model(tmp_path / "model")

    def found(done: int, total: int) -> None:
        if done == 0:
            kind.faults[:] = ["torn", 404]

    made = batch(address, model, tmp_path / "out", device="cpu", progress=found)
    errors = [row["error"] for row in made.failed]
    assert made.done == 1 and len(errors) == 2, errors
    assert "cannot be reached" in errors[0] and "answers 404" in errors[1]
    assert not (tmp_path / "out" / ".fetched").exists()
    again = batch(address, model, tmp_path / "out", device="cpu")
    assert (again.done, again.before) == (3, 1)
    check(tmp_path / "out", folders)


def test_a_service_that_says_nothing_is_not_waited_for(
    service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_dicomweb, "TIMEOUT", (5.0, 0.3))
    monkeypatch.setattr(remote_dicomweb, "ATTEMPTS", 1)
    address, kind, _ = service

    def found(done: int, total: int) -> None:
        if done == 0:
            kind.faults[:] = ["silent"]

    made = batch(address, bright_model(tmp_path / "model"), tmp_path / "out", device="cpu", progress=found)
    (failed,) = made.failed
    assert "cannot be reached" in failed["error"] and made.done == 2


def test_a_token_is_shown_and_never_kept(service: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address, kind, folders = service
    kind.token = "quite-a-secret"
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(InputError, match="answers 401") as told:
        find_cases(address)
    monkeypatch.setenv("GPUKIT_DICOMWEB_TOKEN", "quite-a-secret")
    batch(address, bright_model(tmp_path / "model"), tmp_path / "out", device="cpu")
    check(tmp_path / "out", folders)
    assert "secret" not in str(told.value)
    assert not any(b"quite-a-secret" in file.read_bytes() for file in (tmp_path / "out").iterdir())


# ---- a cluster


CLUSTER = """
import faulthandler, json, os, sys, threading, time
from ray.cluster_utils import Cluster
from gpukit.ai.batch.run import batch

if __name__ == "__main__":
    source, model, output, gate, held, port = sys.argv[1:]
    faulthandler.dump_traceback_later(450, exit=True)
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1",  # the loopback only
            "include_log_monitor": False, "no_monitor": True}
    head = {"include_dashboard": False, "ray_client_server_port": int(port)}
    cluster = Cluster(initialize_head=True, head_node_args={**node, **head})
    second = cluster.add_node(**node)

    def kill():
        while len(os.listdir(held)) < 2:  # each of the two has a case in its hands
            time.sleep(0.02)
        try:
            cluster.remove_node(second, allow_graceful=False)
        finally:
            os.rmdir(gate)

    threading.Thread(target=kill, daemon=True).start()
    made = batch(source, model, output, device="cpu", cluster=f"ray://127.0.0.1:{port}")
    print("result:", json.dumps([len(made.rows), made.done]), flush=True)
    cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.timeout(580)
def test_a_cluster_that_loses_a_node_does_every_case_once(tmp_path: Path) -> None:
    """Each of two workers begins with three cases. A PACS holds the others back until each worker waits for one of them
    and the second node was killed, so nothing hangs on how quick the machine is."""
    pytest.importorskip("ray", reason="the cluster is Ray's: pip install 'gpukit[cluster]'")
    pytest.importorskip("dicomweb_client", reason="DICOMweb needs it: pip install 'gpukit[dicomweb]'")
    folders = [write_series(tmp_path / "pacs" / f"s{n}", seed=n, slices=2, size=8) for n in range(12)]
    at_once = sorted(map(uid_of, folders))[: 2 * DEPTH]
    gate, held = tmp_path / "gate", tmp_path / "held"
    gate.mkdir()
    held.mkdir()

    class Patient(Service):
        folder = tmp_path / "pacs"
        page = 50

        def _series(self, study: str, uid: str) -> None:
            if uid not in at_once:
                (held / uid).touch()
                while gate.exists():
                    time.sleep(0.02)
            super()._series(study, uid)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Patient)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    model, output = bright_model(tmp_path / "model"), tmp_path / "out"
    (tmp_path / "run.py").write_text(CLUSTER)
    begun = time.time()
    # A path of a socket has at most 107 bytes, of which Ray's sessions take 64.
    short = "/tmp" if Path("/tmp").is_dir() else None
    with tempfile.TemporaryDirectory(prefix="ray-", dir=short, ignore_cleanup_errors=True) as sessions:
        address = f"http://127.0.0.1:{server.server_port}/dicom-web"
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        command = [sys.executable, tmp_path / "run.py", address, model, output, gate, held, str(port)]
        settings = {
            "RAY_TMPDIR": sessions,
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # by which Ray keeps 127.0.0.1 as it is
            "RAY_DISABLE_IMPORT_WARNING": "1",
            "OMP_NUM_THREADS": "1",
            # seconds for Ray's server of clients to begin: 30 and 5 are too short where others keep the cores busy
            "RAY_CLIENT_SERVER_CHECK_CHANNEL_TIMEOUT_S": "300",
            "RAY_CLIENT_INITIAL_CONNECTION_TIMEOUT_S": "60",
            "RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S": "120",
        }
        done = subprocess.run(
            command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=500, cwd=tmp_path
        )
        left = [line for line in processes() if sessions in line]
    server.shutdown()
    server.server_close()
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line.partition("result:")[2] for line in done.stdout.splitlines() if line.startswith("result:")]
    assert [json.loads(line) for line in told] == [[12, 12]], done.stderr[-2000:]
    rows = rows_of(output)
    assert len(rows) == 12 and len({row["case"] for row in rows}) == 12
    assert not gate.exists() and len(list(held.iterdir())) == 12 - len(at_once)
    assert {row["worker"] for row in rows} >= {"actor-1", "actor-2"} and min(row["begun"] for row in rows) > begun
    check(output, folders)
    assert not left, "Ray left processes behind"


def processes() -> list[str]:
    import psutil

    return [" ".join(p.info["cmdline"] or ()) for p in psutil.process_iter(["cmdline"])]


def test_a_cluster_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="the cluster is Ray's: pip install 'gpukit[cluster]'")
    folder, model = write_series(tmp_path / "in"), bright_model(tmp_path / "model")
    with pytest.raises(InputError, match="no address of a cluster"):
        batch(folder, model, tmp_path / "out", device="cpu", cluster="127.0.0.1:9")

    def nowhere(**_: Any) -> None:
        raise ConnectionError  # as Ray does after a minute

    monkeypatch.setattr(ray, "init", nowhere)
    with pytest.raises(InputError, match="no Ray cluster at ray://127"):
        batch(folder, model, tmp_path / "out", device="cpu", cluster="ray://127.0.0.1:9")
