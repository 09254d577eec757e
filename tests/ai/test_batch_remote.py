"""Cases from a DICOMweb service on the loopback; and a cluster that loses a node."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
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
import json, os, sys, threading, time
os.environ["RAY_DISABLE_IMPORT_WARNING"] = "1"
import ray
from ray.cluster_utils import Cluster
from gpukit.ai.batch import batch

if __name__ == "__main__":
    source, model, output = sys.argv[1:]
    node = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}  # the loopback only
    cluster = Cluster(initialize_head=True, head_node_args={**node, "include_dashboard": False})
    second = cluster.add_node(**node)
    ray.init(address=cluster.address, log_to_driver=False)

    def kill():
        manifest = os.path.join(output, "manifest.jsonl")
        while True:
            if os.path.exists(manifest):
                with open(manifest) as stream:
                    workers = [json.loads(line).get("worker") for line in stream if line.endswith("\\n")]
                if len({w for w in workers if w}) == 2:
                    break
            time.sleep(0.02)
        print("rows before the node was killed:", len(workers) - 1, flush=True)
        cluster.remove_node(second, allow_graceful=False)

    threading.Thread(target=kill, daemon=True).start()
    made = batch(source, model, output, device="cpu", cluster="auto")
    print("result:", json.dumps([len(made.rows), made.done, sum(n["Alive"] for n in ray.nodes())]), flush=True)
    ray.shutdown()
    cluster.shutdown()
"""


@pytest.mark.slow
def test_a_cluster_that_loses_a_node_does_every_case_once(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="the cluster is Ray's: pip install 'gpukit[cluster]'")
    if not os.environ.get("GPUKIT_TEST_CLUSTER"):
        pytest.skip("two Ray nodes need minutes of two idle cores: set GPUKIT_TEST_CLUSTER=1 to start them")
    folders = [write_series(tmp_path / "in" / f"s{n}", seed=n, slices=2, size=8) for n in range(24)]
    model = bright_model(tmp_path / "model", rounds=15_000)
    (tmp_path / "run.py").write_text(CLUSTER)
    output = tmp_path / "out"
    begun = time.time()
    # Busy enough that one actor does not finish all the cases while the other one's process still starts.
    done = subprocess.run(
        [sys.executable, tmp_path / "run.py", tmp_path / "in", model, output], capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    told = [line.partition("result:")[2] for line in done.stdout.splitlines() if line.startswith("result:")]
    assert [json.loads(line) for line in told] == [[24, 24, 1]], done.stderr[-2000:]
    rows = rows_of(output)
    before = int(re.search(r"killed: (\d+)", done.stdout)[1])  # type: ignore[index]
    assert before < 24, "the node was to be killed while it works"
    assert len(rows) == 24 and len({row["case"] for row in rows}) == 24
    assert {row["worker"] for row in rows} >= {"actor-1", "actor-2"} and min(row["begun"] for row in rows) > begun
    check(output, folders)


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
