"""The store of models: identity, digests, variants, packages; and what it refuses."""

from __future__ import annotations

import functools
import http.server
import json
import subprocess
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from made_models import description, label, unet, write_model  # noqa: E402

from gpukit.ai import find_model  # noqa: E402
from gpukit.ai.registry import Store  # noqa: E402
from gpukit.ai.sources import add, export, import_package  # noqa: E402
from gpukit.ai.variants import best_variant  # noqa: E402
from gpukit.errors import FormatError, GpukitError, InputNotFoundError, ModelError, OutputExistsError  # noqa: E402

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
    assert not [p for p in store.folder.rglob("*") if p.is_file() and p.name != "aliases.json"]


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
