"""Cases from object stores, each a real server on the loopback that its owner's own library talks to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import nibabel
import numpy as np
import pydicom
import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.batch_cases import above, bright_model, uid_of, write_series
from support.store_servers import SECRET, Served, azure_served, google_served, s3_served

from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.run import Batch, batch
from gpukit.errors import InputError, InputNotFoundError
from gpukit.remote import object_store
from gpukit.remote.object_store import store_of

SERVERS = {"s3": s3_served, "gs": google_served, "azure": azure_served}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with SERVERS[request.param](tmp_path_factory.mktemp("server")) as served:
        yield served


@pytest.fixture
def store(server: Served, monkeypatch: pytest.MonkeyPatch) -> Served:
    """The server with an empty bucket, and the environment by which it is found."""
    for name in server.names():
        server.delete(name)
    for name, value in server.settings().items():
        monkeypatch.setenv(name, value)
    server.wire.breaks = server.wire.broken = 0
    return server


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bright_model(tmp_path_factory.mktemp("model"))


def put_series(store: Served, folder: Path, prefix: str) -> Path:
    for file in folder.iterdir():
        store.put(f"{prefix}{file.name}", file.read_bytes())
    return folder


def voxels_of(made: Batch) -> dict[str, int]:
    return {row["case"]: row["result"]["labels"][0]["voxels"] for row in made.rows if row["status"] == "done"}


def volume_file(folder: Path) -> bytes:
    nibabel.save(nibabel.Nifti1Image(np.full((4, 5, 6), 9, np.int16), np.eye(4)), folder / "v.nii.gz")
    return (folder / "v.nii.gz").read_bytes()


def test_series_and_volumes_below_a_prefix_from_all_pages(
    store: Served, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names with spaces, other letters and signs that addresses treat apart; what is beside the prefix stays out."""
    monkeypatch.setattr(object_store, "PAGE", 3)
    folders = [write_series(tmp_path / f"s{n}", seed=n, slices=4) for n in range(2)]
    for folder in folders:  # one prefix holds both series: the headers tell them apart
        put_series(store, folder, f"Studien 2026/Schädel & Kiefer/头 #1+2%41/{folder.name} ")
    content = volume_file(tmp_path)
    store.put("Studien 2026/Größe.nii.gz", content)
    store.put("Studien 2026/notes.txt", b"no image")
    store.put("Studien 2026-of-others/v.nii.gz", content)
    made = batch(f"{store.scheme}://archive/Studien 2026/", model, tmp_path / "out", format="json", device="cpu")
    assert made.failed == () and len(made.rows) == 3
    voxels = voxels_of(made)
    for folder in folders:
        assert voxels.pop(uid_of(folder)) == int(above(folder, 0.0).sum())
    ((key, count),) = voxels.items()
    assert key.startswith("Größe-") and count == 4 * 5 * 6
    assert {row["source"] for row in made.rows} == {
        f"{store.scheme}://archive/Studien 2026/{name}" for name in ("Größe.nii.gz", "Schädel & Kiefer/头 #1+2%41")
    }
    assert not (tmp_path / "out" / ".fetched").exists()
    again = batch(f"{store.scheme}://archive/Studien 2026/", model, tmp_path / "out", format="json", device="cpu")
    assert again.before == 3
    (one,) = find_cases(f"{store.scheme}://archive/Studien 2026/Größe.nii.gz")
    assert one.key == key


def test_a_header_and_its_data_file_are_fetched_together(store: Served, model: Path, tmp_path: Path) -> None:
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.full((3, 4, 5), 7, np.int16)), str(tmp_path / "a b.mhd"))
    for suffix in (".mhd", ".raw"):
        store.put(f"x/a b{suffix}", (tmp_path / f"a b{suffix}").read_bytes())
    made = batch(f"{store.scheme}://archive/x", model, tmp_path / "out", format="json", device="cpu")
    assert made.failed == () and list(voxels_of(made).values()) == [60]


def test_a_damaged_slice_fails_its_series_and_no_other(store: Served, model: Path, tmp_path: Path) -> None:
    hurt, whole, cut = (write_series(tmp_path / name, seed=n) for n, name in enumerate(("hurt", "whole", "cut")))
    put_series(store, hurt, "p/hurt/")
    store.put("p/hurt/zz", b"\0" * 128 + b"DICM" + b"\xff" * 50)
    put_series(store, whole, "p/whole/")
    put_series(store, cut, "p/cut/")
    store.put("p/cut/000.dcm", b"")  # an upload that broke off
    store.put("p/lone.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 50)
    store.put("p/whole/", b"")  # as consoles make "folders"
    address = f"{store.scheme}://archive/p"
    made = batch(address, model, tmp_path / "out", format="json", device="cpu")
    assert voxels_of(made) == {uid_of(whole): int(above(whole, 0.0).sum())}
    assert sorted(row["case"][:5] for row in made.failed) == ["1.2.8", "1.2.8", "lone."], made.failed
    assert all("header cannot be read" in row["error"] for row in made.failed)
    left = batch(address, model, tmp_path / "left", format="json", device="cpu", skip_damaged=True)
    assert left.failed == () and set(voxels_of(left)) == {uid_of(hurt), uid_of(whole), uid_of(cut)}


def test_a_header_longer_than_the_first_look(store: Served, tmp_path: Path) -> None:
    """Derived objects list thousands of sources before their series."""
    folder = write_series(tmp_path / "s", slices=1)
    one = pydicom.dcmread(folder / "000.dcm")
    one.SourceImageSequence = [pydicom.Dataset() for _ in range(3000)]
    for item in one.SourceImageSequence:
        item.ReferencedSOPClassUID = item.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2"
    one.save_as(folder / "000.dcm")
    put_series(store, folder, "long/")
    (case,) = find_cases(f"{store.scheme}://archive/long")
    assert case.key == uid_of(folder) and not case.error


def test_an_object_that_goes_away_midway_is_a_row(store: Served, model: Path, tmp_path: Path) -> None:
    folders = [put_series(store, write_series(tmp_path / f"s{n}", seed=n), f"p/s{n}/") for n in range(2)]

    def found(done: int, total: int) -> None:
        if (done, total) == (0, 2):
            store.delete("p/s0/001.dcm")

    made = batch(f"{store.scheme}://archive/p", model, tmp_path / "out", device="cpu", progress=found)
    (failed,) = made.failed
    assert failed["case"] == uid_of(folders[0]) and failed["stage"] == "reading"
    assert "no such" in failed["error"] and "p/s0/001.dcm" in failed["error"]
    assert [row["case"] for row in made.rows if row["status"] == "done"] == [uid_of(folders[1])]
    assert not list((tmp_path / "out").glob(f"{uid_of(folders[0])}*"))


def test_a_download_that_breaks_off_is_begun_again(store: Served, tmp_path: Path) -> None:
    content = np.random.default_rng(1).bytes(3_000_000)
    store.put("p/large", content)
    opened, _ = store_of(f"{store.scheme}://archive/p")
    store.wire.after, store.wire.breaks = 1_000_000, 1
    opened.download("p/large", tmp_path / "large")
    assert store.wire.broken == 1 and (tmp_path / "large").read_bytes() == content
    store.wire.after, store.wire.breaks = 20_000, 1
    assert opened.head("p/large", 60_000) == content[:60_000]
    assert store.wire.broken == 2


def test_a_store_that_keeps_breaking_off_makes_a_failed_row(
    store: Served, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_store, "PATIENCE", 2.0)
    monkeypatch.setattr(object_store, "PAUSE", 0.1)
    folder = write_series(tmp_path / "s", slices=2)
    put_series(store, folder, "p/")
    address = f"{store.scheme}://archive/p"

    def found(done: int, total: int) -> None:
        if done == 0:
            store.wire.after, store.wire.breaks = 100, 10_000

    made = batch(address, model, tmp_path / "out", format="json", device="cpu", progress=found)
    assert len(made.failed) == 1 and made.failed[0]["stage"] == "reading"
    assert "the store cannot be reached" in made.failed[0]["error"], made.failed
    store.wire.breaks = 0
    mended = batch(address, model, tmp_path / "out", format="json", device="cpu")
    assert voxels_of(mended) == {uid_of(folder): int(above(folder, 0.0).sum())}


def test_a_bucket_that_is_not_there_and_a_prefix_without_images(store: Served) -> None:
    with pytest.raises(InputNotFoundError, match="no such bucket"):
        find_cases(f"{store.scheme}://nothing-here/p")
    with pytest.raises(InputNotFoundError, match="holds no image"):
        find_cases(f"{store.scheme}://archive/p")
    with pytest.raises(InputError, match="names no bucket"):
        find_cases(f"{store.scheme}:///p")


def test_a_store_that_is_not_there(store: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_store, "PATIENCE", 2.0)
    monkeypatch.setattr(object_store, "PAUSE", 0.1)
    for name, value in store.settings().items():
        monkeypatch.setenv(name, value.replace(store.wire.address, "http://127.0.0.1:9"))
    with pytest.raises(InputError, match="cannot be reached"):
        find_cases(f"{store.scheme}://archive/p")


def test_wrong_credentials_are_named_and_no_secret_is_shown(
    server: Served, model: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    if server.scheme == "gs":
        pytest.skip("the emulator of Google's store lets everybody in; its refusals are tested below")
    wrong = SECRET[::-1].replace("=", "A")[:-1] + "="
    with server.strict():
        done = run("ai", "batch", f"{server.scheme}://archive/p", "--model", model, "--output", tmp_path / "out",
                   "--device", "cpu", **server.settings(wrong))  # fmt: skip
    assert done.returncode == 1
    assert "refuses the credentials (403" in done.stderr and "_KEY" in done.stderr, done.stderr
    assert wrong not in done.stdout + done.stderr and "Traceback" not in done.stderr


def test_no_credential_is_recorded(
    store: Served, model: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    put_series(store, write_series(tmp_path / "s"), "p/")
    store.put("p/other/lone.dcm", b"\0" * 128 + b"DICM" + b"\xff" * 50)
    caplog.set_level("INFO")
    made = batch(f"{store.scheme}://archive/p", model, tmp_path / "out", device="cpu", profile=True)
    assert made.done == 1 and "header cannot be read" in made.failed[0]["error"]
    told = "".join(capfd.readouterr()) + caplog.text
    written = b"".join(file.read_bytes() for file in (tmp_path / "out").rglob("*") if file.is_file())
    for text in (SECRET, "AccountKey", "AKIAGPUKITTESTS", "SharedKey gpukit"):
        assert text not in told and text.encode() not in written


def test_what_google_refuses_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers in the form that Google's documentation of errors has them."""
    pytest.importorskip("google.cloud.storage", reason="needed: pip install 'gpukit[cloud]'")

    class Refuses(BaseHTTPRequestHandler):
        status = 403

        def do_GET(self) -> None:
            body = b'{"error": {"code": %d, "message": "me@hospital.example has no access"}}' % self.status
            self.send_response(self.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refuses)
    Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_port}")
    try:
        for status, says in ((401, "needs credentials"), (403, r"refuses the credentials \(403")):
            Refuses.status = status
            with pytest.raises(InputError, match=rf"{says}.*GOOGLE_APPLICATION") as told:
                find_cases("gs://archive/p")
            assert "hospital" not in str(told.value)
    finally:
        server.shutdown()
        server.server_close()
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    (tmp_path / "key.json").write_text('{"type": "service_account", "private_key": "quite"}')
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    with pytest.raises(InputError, match=r"the store needs credentials.*GOOGLE_APPLICATION") as told:
        find_cases("gs://archive/p")
    assert "quite" not in str(told.value)


def test_an_azure_account_is_named_by_its_parts(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Key or token, by the variables of Azure's command line."""
    blob = pytest.importorskip("azure.storage.blob", reason="needed: pip install 'gpukit[cloud]'")
    for name in ("CONNECTION_STRING", "ACCOUNT", "KEY", "SAS_TOKEN"):
        monkeypatch.delenv(f"AZURE_STORAGE_{name}", raising=False)
    with pytest.raises(InputError, match=r"the store needs credentials.*AZURE_STORAGE_CONNECTION_STRING"):
        find_cases("azure://archive/p")
    with azure_served(tmp_path_factory.mktemp("azure")) as store:
        store.put("p/v.nii", b"x")
        monkeypatch.setenv("AZURE_STORAGE_ACCOUNT", "gpukit")
        monkeypatch.setenv("AZURE_STORAGE_SERVICE_ENDPOINT", f"{store.wire.address}/gpukit")
        monkeypatch.setenv("AZURE_STORAGE_KEY", SECRET)
        assert len(find_cases("azure://archive/p")) == 1
        monkeypatch.delenv("AZURE_STORAGE_KEY")
        soon = datetime.now(UTC) + timedelta(hours=1)
        may = {"resource_types": "sco", "permission": "rl", "expiry": soon}
        token = blob.generate_account_sas("gpukit", SECRET, **may)
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", token)
        assert len(find_cases("azure://archive/p")) == 1
        old = {**may, "expiry": soon - timedelta(days=2)}
        monkeypatch.setenv("AZURE_STORAGE_SAS_TOKEN", blob.generate_account_sas("gpukit", SECRET, **old))
        with pytest.raises(InputError, match="refuses the credentials") as told:
            find_cases("azure://archive/p")
        assert "sig=" not in str(told.value)
        monkeypatch.setenv("AZURE_STORAGE_CONNECTION_STRING", "AccountName=gpukit;quite")
        with pytest.raises(InputError, match="settings of the store are wrong") as told:
            find_cases("azure://archive/p")
        assert "quite" not in str(told.value)


@pytest.mark.parametrize(
    "address",
    ["s3://AKIA:quite@archive/p", "azure://archive/p?sv=2025&sig=quite", "gs://archive/p?X-Goog-Signature=quite"],
)
def test_credentials_in_an_address_are_refused_unseen(address: str) -> None:
    with pytest.raises(InputError, match="credentials in an address") as told:
        find_cases(address)
    assert "quite" not in str(told.value)
