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
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from batch_cases_made import above, bright_model, rows_of, uid_of, write_series  # noqa: E402

from gpukit.ai.batch import batch  # noqa: E402
from gpukit.ai.batch_cases import find_cases  # noqa: E402
from gpukit.ai.batch_pipeline import DEPTH  # noqa: E402
from gpukit.errors import InputError  # noqa: E402


def check(output: Path, folders: list[Path]) -> None:
    for folder in folders:
        written = pydicom.dcmread(output / f"{uid_of(folder)}.dcm")
        assert int(written.pixel_array.sum()) == int(above(folder, 0.0).sum())
    assert not (output / ".fetched").exists()


# ---- DICOMweb


class Service(BaseHTTPRequestHandler):
    """QIDO-RS for series and WADO-RS for instances over a folder (PS3.18 10.4 and 10.6)."""

    protocol_version = "HTTP/1.1"
    folder: Path
    lost = 0
    page = 2

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        found = re.fullmatch(r"/dicom-web/studies/([\d.]+)/series/([\d.]+)", url.path)
        if found:
            self._series(found[2])
        elif re.fullmatch(r"/dicom-web(/studies/[\d.]+)?/series", url.path):
            self._search(query)
        else:
            self.send_error(404)

    def _headers(self) -> dict[str, list[Path]]:
        groups: dict[str, list[Path]] = {}
        for file in sorted(self.folder.rglob("*.dcm")):
            uid = str(pydicom.dcmread(file, stop_before_pixels=True).SeriesInstanceUID)
            groups.setdefault(uid, []).append(file)
        return groups

    def _search(self, query: dict[str, str]) -> None:
        entries = []
        for uid, files in sorted(self._headers().items()):
            if query.get("SeriesInstanceUID", uid) != uid:
                continue
            one = pydicom.dcmread(files[0], stop_before_pixels=True)
            entries.append({
                "0020000D": {"vr": "UI", "Value": [str(one.StudyInstanceUID)]},
                "0020000E": {"vr": "UI", "Value": [uid]},
                "00080060": {"vr": "CS", "Value": [one.Modality]},
                "00201209": {"vr": "IS", "Value": [len(files)]},
            })  # fmt: skip
        start = int(query.get("offset", 0))
        self._answer(json.dumps(entries[start : start + self.page]).encode(), "application/dicom+json")

    def _series(self, uid: str) -> None:
        files = self._headers()[uid]
        body = b"".join(
            b"--part\r\nContent-Type: application/dicom\r\n\r\n" + file.read_bytes() + b"\r\n"
            for file in files[: len(files) - self.lost]
        )
        self._answer(body + b"--part--\r\n", 'multipart/related; type="application/dicom"; boundary=part')

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
    kind = type("Folder", (Service,), {"folder": tmp_path / "pacs", "lost": 0})
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
    (one,) = find_cases(f"{address}/studies/1.2.3/series/{uid_of(folders[1])}")
    assert one.key == uid_of(folders[1])
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


# ---- a cluster


CLUSTER = """
import faulthandler, json, os, sys, threading, time
from ray.cluster_utils import Cluster
from gpukit.ai.batch import batch

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

        def _series(self, uid: str) -> None:
            if uid not in at_once:
                (held / uid).touch()
                while gate.exists():
                    time.sleep(0.02)
            super()._series(uid)

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
