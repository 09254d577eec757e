"""The store of models: identity, digests, variants, packages; and what it refuses."""

from __future__ import annotations

import functools
import hashlib
import http.server
import ipaddress
import json
import os
import ssl
import subprocess
import sys
import threading
import time
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.models import description, label, made_volume, unet, write_model

import gpukit as gk
from gpukit.ai import find_model
from gpukit.ai.registry.convert import formats_before
from gpukit.ai.registry.packages import add, export, import_package
from gpukit.ai.registry.store import Store
from gpukit.ai.registry.variants import best_variant, ranking
from gpukit.ai.runtimes import formats_of
from gpukit.errors import (
    DependencyError,
    FormatError,
    GpukitError,
    InputNotFoundError,
    ModelError,
    OutputExistsError,
    TooLargeError,
)
from gpukit.remote import least_pace

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("GPUKIT_MODELS", str(tmp_path / "store"))
    return Store()


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "made", description="A tiny one", license="MIT")


def onnx_twin(folder: Path) -> Path:
    """The same network as an ONNX graph with its description."""
    folder.mkdir()
    target = folder / "tiny.onnx"
    axes = {"image": {0: "n", 2: "x", 3: "y", 4: "z"}, "logits": {0: "n", 2: "x", 3: "y", 4: "z"}}
    torch.onnx.export(
        unet(), (torch.zeros(1, 1, 16, 16, 16),), str(target), input_names=["image"], output_names=["logits"],
        dynamic_axes=axes, dynamo=False,
    )  # fmt: skip
    content = description(format="onnx", weights="tiny.onnx", network=None)
    (folder / "tiny.json").write_text(json.dumps(content))
    return target


def test_a_stored_model_is_found_by_name_version_and_alias(store: Store, model: Path) -> None:
    entry = add(store, str(model), tags=["brain"], alias="newest")
    assert (entry.id, entry.license, entry.tags) == ("tiny@0.1", "MIT", ("brain",))
    digests = {find_model(model).digest}
    for name in ("tiny", "tiny@0.1", "newest"):
        found = find_model(name)
        assert found.weights.is_relative_to(store.folder)
        digests.add(found.digest)
    assert len(digests) == 1
    with pytest.raises(InputNotFoundError, match="ai models list"):
        find_model("tiny@9")


def test_the_newest_version_is_taken_and_versions_count_as_numbers(store: Store, model: Path) -> None:
    for version in ("1.9", "1.10", "1.2"):
        add(store, str(model), version=version)
    assert find_model("tiny").version == "1.10"
    assert [e.version for e in store.entries()] == ["1.2", "1.9", "1.10"]


def test_formats_of_one_model_are_one_entry_and_the_best_is_chosen(store: Store, model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="ONNX Runtime, which makes ONNX the best on a CPU, is not installed")
    add(store, str(model))
    entry = add(store, str(onnx_twin(tmp_path / "onnx")))
    assert {v.format for v in entry.variants} == {"state-dict", "onnx"} and len(store.entries()) == 1
    assert best_variant(entry, ("onnx", "state-dict")).format == "onnx"
    assert best_variant(entry, ("coreml", "state-dict", "onnx")).format == "state-dict"
    assert find_model("tiny").format in ("onnx", "state-dict")
    with pytest.raises(ModelError, match="another model"):
        other = write_model(
            tmp_path / "other", output={"activation": "softmax", "labels": [label(1), label(2, "Spleen")]}
        )
        add(store, str(other))


def test_a_damaged_file_is_refused_and_named(store: Store, model: Path, run: Run) -> None:
    entry = add(store, str(model))
    tree = store.folder / "trees" / entry.variants[0].tree / "weights.safetensors"
    content = bytearray(tree.read_bytes())
    content[-1] ^= 1
    tree.unlink()
    tree.write_bytes(content)
    assert store.verify(entry) == ["state-dict: weights.safetensors"]
    with pytest.raises(ModelError, match="sha256"):
        _ = find_model("tiny").digest
    with pytest.raises(ModelError, match="damaged"):
        export(store, entry, store.folder / "x.zip")
    done = run("ai", "models", "verify", GPUKIT_MODELS=str(store.folder))
    assert done.returncode == 1 and "weights.safetensors" in done.stdout


def test_adding_it_again_mends_a_damaged_model(store: Store, model: Path) -> None:
    entry = add(store, str(model))
    tree = store.folder / "trees" / entry.variants[0].tree / "weights.safetensors"
    with tree.open("r+b") as stream:  # in place, so that the blob and all its links are damaged
        stream.write(b"damaged")
    assert store.verify(entry)
    again = add(store, str(model), license="MIT")
    assert store.verify(entry) == [] and again.license == "MIT"
    assert find_model("tiny").digest == find_model(model).digest


def test_a_named_runtime_takes_the_format_that_it_runs(store: Store, model: Path, tmp_path: Path) -> None:
    volume = made_volume()
    add(store, str(model))
    add(store, str(onnx_twin(tmp_path / "twin")))
    assert find_model("tiny").format == "onnx"
    for runtime, form in (("pytorch", "state-dict"), ("ort", "onnx"), ("nothing", "onnx"), (None, "onnx")):
        assert find_model("tiny", formats=formats_of(runtime)).format == form
    labels = gk.segment(volume, "tiny", runtime="torch")
    assert labels.algorithm["digest"] == find_model(model).digest
    # what is converted is the format that can be
    assert find_model("tiny", formats=formats_before("onnx")).format == "state-dict"


def test_on_intels_processors_openvino_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """As docs/ai-runtimes.md measures it: a fifth of torch's time, where ONNX Runtime takes half."""
    if sys.platform == "darwin":
        pytest.skip("a Mac has an order of its own")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    assert ranking("cpu")[:2] == ("openvino", "onnx")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    assert ranking("cpu")[0] == "onnx" and "openvino" not in ranking("cpu")


@pytest.mark.skipif(sys.platform == "darwin", reason="Core ML runs here")
def test_a_core_ml_model_waits_in_the_store_for_its_twin(store: Store, tmp_path: Path) -> None:
    (tmp_path / "net.mlmodel").write_bytes(b"")
    (tmp_path / "net.json").write_text(json.dumps(description(format="coreml", weights="net.mlmodel", network=None)))
    add(store, str(tmp_path / "net.mlmodel"))
    with pytest.raises(
        DependencyError, match=r"macOS only.*gpukit ai models add NETWORK.onnx --name tiny --version 0.1"
    ):
        find_model("tiny")
    add(store, str(onnx_twin(tmp_path / "twin")))
    assert find_model("tiny").format == "onnx"


def test_a_name_stands_for_one_model(store: Store, model: Path) -> None:
    add(store, str(model), alias="best")
    for arguments in ({"name": "best"}, {"version": "2", "alias": "tiny"}, {"name": "new", "alias": "new"},
                      {"version": "2", "alias": "brain-tissue"}, {"version": "2", "alias": "No Name"}):  # fmt: skip
        with pytest.raises(ModelError, match="alias"):
            add(store, str(model), **arguments)  # type: ignore[arg-type]
    assert [entry.id for entry in store.entries()] == ["tiny@0.1"] and store.aliases() == {"best": "tiny@0.1"}
    assert store.find("tiny@") is None and store.find("tiny@0.1@1") is None


def test_processes_that_add_at_once_lose_nothing(store: Store, model: Path, tmp_path: Path) -> None:
    script = """
import sys
from gpukit.ai.registry.store import Store
from gpukit.ai.registry.packages import add
for n in range(8):
    add(Store(), sys.argv[1], version=str(n), name="both", alias=f"{sys.argv[2]}-{n}", tags=[sys.argv[2]])
"""
    twin = onnx_twin(tmp_path / "twin")
    commands = [[sys.executable, "-c", script, str(path), name] for path, name in ((model, "one"), (twin, "two"))]
    running = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for command in commands]
    for process in running:
        _, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
    assert len(store.aliases()) == 16
    for entry in store.entries():
        assert {v.format for v in entry.variants} == {"state-dict", "onnx"} and set(entry.tags) == {"one", "two"}
        assert store.verify(entry) == []


def test_a_store_that_cannot_be_written_is_an_error_of_one_line(run: Run, model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("ai", "models", "add", model, GPUKIT_MODELS=str(tmp_path / "file"))
    assert done.returncode == 1 and "the store of models cannot be written: File exists" in done.stderr
    pytest.importorskip("resource", reason="no limits on this system")
    script = f"ulimit -f 8; exec '{sys.executable}' -m gpukit_cli.main ai models add '{model}'"
    place = {**os.environ, "GPUKIT_MODELS": str(tmp_path / "full")}
    full = subprocess.run(["bash", "-c", script], env=place, capture_output=True, text=True)
    assert full.returncode == 1 and "the store of models cannot be written: File too large" in full.stderr, full.stderr
    assert Store(tmp_path / "full").entries() == []


def test_a_digest_that_is_not_the_expected_one_is_refused(store: Store, model: Path) -> None:
    with pytest.raises(ModelError, match="not the expected one"):
        add(store, str(model / "weights.safetensors"), sha256="0" * 64)
    assert store.entries() == []


def test_removing_takes_what_no_other_model_has(store: Store, model: Path) -> None:
    one = add(store, str(model), version="1", alias="best")
    two = add(store, str(model), version="2")
    store.remove(one)
    assert [e.id for e in store.entries()] == ["tiny@2"] and store.aliases() == {}
    assert store.verify(two) == []
    store.remove(two)
    assert not [p for p in store.folder.rglob("*") if p.is_file() and p.name not in ("aliases.json", ".lock")]


def test_a_package_carries_a_model_to_another_machine(store: Store, model: Path, tmp_path: Path) -> None:
    entry = add(store, str(model), tags=["brain"])
    package = export(store, entry, tmp_path / "tiny.zip")
    other = Store(tmp_path / "elsewhere")
    assert import_package(other, package) == entry
    assert other.verify(entry) == []
    assert find_model(other.path(entry.variants[0])).digest == find_model(model).digest
    with pytest.raises(OutputExistsError):
        import_package(other, package)


def rewritten(package: Path, target: Path, **changes: bytes | None) -> Path:
    """The package with members replaced by what `changes` says, by the beginning of their names."""
    with zipfile.ZipFile(package) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            change = next((v for k, v in changes.items() if name.startswith(k)), old.read(name))
            if change is not None:
                new.writestr(name, change)
    return target


def test_packages_that_lie_are_refused(store: Store, model: Path, tmp_path: Path) -> None:
    package = export(store, add(store, str(model)), tmp_path / "tiny.zip")
    other = Store(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not what its manifest says"):
        import_package(other, rewritten(package, tmp_path / "a.zip", files=b"something else"))
    with pytest.raises(ModelError, match="lacks"):
        import_package(other, rewritten(package, tmp_path / "b.zip", files=None))
    manifest = json.loads(zipfile.ZipFile(package).read("manifest.json"))
    manifest["variants"][0]["files"] = {"../../escaped": next(iter(manifest["variants"][0]["files"].values()))}
    with pytest.raises(ModelError, match="leads outside"):
        import_package(other, rewritten(package, tmp_path / "c.zip", manifest=json.dumps(manifest).encode()))
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as bad:
        bad.writestr("../escaped", b"x")
    with pytest.raises(FormatError, match="leads outside"):
        import_package(other, tmp_path / "d.zip")
    manifest["variants"] = []
    with pytest.raises(ModelError, match="no format"):
        import_package(other, rewritten(package, tmp_path / "f.zip", manifest=json.dumps(manifest).encode()))
    with zipfile.ZipFile(tmp_path / "g.zip", "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("manifest.json", bytes(100 << 20))
    with pytest.raises(TooLargeError, match="claims 1 files of"):
        import_package(other, tmp_path / "g.zip")
    manifest = json.loads(zipfile.ZipFile(package).read("manifest.json")) | {"name": "brain-tissue"}
    with pytest.raises(ModelError, match="comes with gpukit"):
        import_package(other, rewritten(package, tmp_path / "h.zip", manifest=json.dumps(manifest).encode()))
    (tmp_path / "e.zip").write_bytes(package.read_bytes()[:500])
    with pytest.raises(FormatError, match="zip"):
        import_package(other, tmp_path / "e.zip")
    assert other.entries() == [] and not (tmp_path / "escaped").exists()


def test_names_that_lead_outside_are_refused(store: Store, model: Path) -> None:
    for name in ("../evil", "a/b", "", "UPPER CASE/x"):
        with pytest.raises(GpukitError):
            add(store, str(model), name=name or " ")
    with pytest.raises(ModelError, match="comes with gpukit"):
        add(store, str(model), name="brain-tissue")


@pytest.fixture
def server(model: Path) -> Iterator[str]:
    """The model's folder on the loopback, plain http."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(model))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_address[1]}"
        running.shutdown()


def test_only_https_is_fetched(store: Store, server: str) -> None:
    with pytest.raises(GpukitError, match="do not come by http://"):
        add(store, f"{server}/weights.safetensors")
    with pytest.raises(InputNotFoundError, match="cannot be fetched"):
        add(store, server.replace("http:", "https:") + "/weights.safetensors")  # no TLS there


@pytest.fixture
def secure(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The model as a zip on the loopback, over TLS with a certificate that this process trusts, behind a password."""
    x509 = pytest.importorskip("cryptography.x509", reason="cryptography is not installed")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    days = now - timedelta(1), now + timedelta(1)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), *days)
    made = builder.add_extension(address, False).sign(key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (tmp_path / "server.pem").write_bytes(made.public_bytes(pem) + secret)
    (tmp_path / "trusted.pem").write_bytes(made.public_bytes(pem))
    with zipfile.ZipFile(tmp_path / "tiny.zip", "w") as archive:
        for file in model.iterdir():
            archive.write(file, f"tiny/{file.name}")
    content = (tmp_path / "tiny.zip").read_bytes()
    seen: list[str | None] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append(self.headers.get("Authorization"))
            if self.path.startswith("/drip"):  # for ever, a byte now and then
                with suppress(OSError):
                    if self.path == "/drip-body.zip":
                        self.send_response(200)
                        self.end_headers()
                    while True:
                        self.wfile.write(b"x")
                        time.sleep(0.05)
                return
            there = {"/plain": "http://127.0.0.1:1/x", "/else": "https://localhost:1/x"}.get(self.path)
            self.send_response(302 if there else 200)
            if there:
                self.send_header("Location", there)
            self.send_header(
                "Content-Length", {"/endless.zip": str(1 << 50)}.get(self.path, str(0 if there else len(content)))
            )
            self.end_headers()
            if not there:
                self.wfile.write(content[:1000] if self.path == "/cut.zip" else content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "server.pem")
        running.socket = context.wrap_socket(running.socket, server_side=True)
        threading.Thread(target=running.serve_forever, daemon=True).start()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "trusted.pem"))
        yield f"https://me:a%40b@127.0.0.1:{running.server_address[1]}"
        running.shutdown()
    assert seen and set(seen) == {"Basic " + b64encode(b"me:a@b").decode()}


def test_models_come_by_https(store: Store, secure: str, model: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((tmp_path / "tiny.zip").read_bytes()).hexdigest()
    entry = add(store, f"{secure}/tiny.zip?token=secret", sha256=digest)
    assert find_model("tiny").digest == find_model(model).digest
    port = secure.rpartition(":")[2]
    # where it is from, and nothing that is to be kept secret
    assert entry.source == f"https://127.0.0.1:{port}/tiny.zip"
    faults: dict[str, tuple[type[GpukitError], str]] = {
        "cut.zip": (FormatError, "ended after 1000 of"),
        "endless.zip": (TooLargeError, "has 1125899"),
        "plain": (ModelError, "not https"),
        "else": (InputNotFoundError, "cannot be fetched"),
    }
    for path, (error, says) in faults.items():
        with pytest.raises(error, match=says) as caught:
            add(store, f"{secure}/{path}", version="2")
        assert "a%40b" not in str(caught.value) and "a@b" not in str(caught.value)
    assert [e.id for e in store.entries()] == ["tiny@0.1"]


@pytest.mark.parametrize("path", ["drip-body.zip", "drip-head.zip"])
def test_a_server_that_drips_is_given_up(store: Store, secure: str, path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte comes long before any single wait ends; what counts is the time of the whole answer."""
    monkeypatch.setattr(least_pace, "PATIENCE", 1.0)
    begun = time.monotonic()
    with pytest.raises(InputNotFoundError, match="was given up"):
        add(store, f"{secure}/{path}")
    assert time.monotonic() - begun < 10
    assert store.entries() == []


def test_a_certificate_that_nobody_trusts_is_refused(
    store: Store, secure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(store, f"{secure}/tiny.zip")
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(InputNotFoundError, match="CERTIFICATE_VERIFY_FAILED"):
        add(store, f"{secure}/tiny.zip", version="2")


def test_the_store_from_the_command_line(run: Run, model: Path, tmp_path: Path) -> None:
    place = {"GPUKIT_MODELS": str(tmp_path / "store")}
    added = run("ai", "models", "add", f"file://{model}", "--alias", "mine", "--tag", "head", **place)
    assert (added.returncode, added.stdout) == (0, "tiny@0.1\n"), added.stderr
    listed = json.loads(run("ai", "models", "--json", **place).stdout)
    assert {m["name"] for m in listed["models"]} >= {"brain-tissue", "tiny"} and listed["aliases"] == {
        "mine": "tiny@0.1"
    }
    shown = json.loads(run("ai", "models", "show", "mine", "--json", **place).stdout)
    assert shown["labels"][0]["code"] == ["10200004", "SCT", "Liver"] and shown["tags"] == ["head"]
    assert "weights.safetensors" in str(shown["variants"])
    again = run("ai", "models", "add", model, **place)
    assert again.returncode == 0  # the same files: nothing to replace
    assert run("ai", "models", "export", "tiny", "--output", tmp_path / "t.zip", **place).returncode == 0
    assert run("ai", "models", "remove", "tiny", **place).stdout == "tiny@0.1\n"
    assert run("ai", "models", "import", tmp_path / "t.zip", **place).stdout == "tiny@0.1\n"
    missing = run("ai", "models", "show", "other", **place)
    assert missing.returncode == 1 and "no model 'other'" in missing.stderr
