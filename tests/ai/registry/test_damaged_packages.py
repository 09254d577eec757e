"""Packages of models that are damaged or hostile: one clear error with the file, and nothing left in the store."""

from __future__ import annotations

import json
import os
import random
import zipfile
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import write_model

from gpukit.ai.registry.packages import add, export, import_package
from gpukit.ai.registry.store import Store
from gpukit.errors import GpukitError


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    store = Store(folder / "store")
    entry = add(store, str(write_model(folder / "m")))
    return export(store, entry, folder / "m.zip")


def files_of(store: Store) -> list[str]:
    inside = [path for path in store.folder.rglob("*") if path.is_file() and path.name != ".lock"]
    return sorted(str(path.relative_to(store.folder)) for path in inside)


def refused(store: Store, file: Path) -> str:
    """What the import says of a package that it must refuse, and leaves no trace of."""
    with pytest.raises(GpukitError) as caught:
        import_package(store, file)
    assert files_of(store) == []
    text = str(caught.value)
    assert len(text) < 700 and "\n" not in text
    return text


def rewritten(package: Path, target: Path, change: object, compression: int = zipfile.ZIP_STORED) -> Path:
    assert callable(change)
    with zipfile.ZipFile(package) as given, zipfile.ZipFile(target, "w", compression) as made:
        for name in given.namelist():
            for other, data in change(name, given.read(name)):
                made.writestr(other, data)
    return target


def test_any_damage_is_one_error(package: Path, tmp_path: Path) -> None:
    """Bytes changed, cut off and doubled, from a seed that stays."""
    whole, draw = package.read_bytes(), random.Random(20)
    for n in range(150):
        content = bytearray(whole)
        way = n % 3
        at = draw.randrange(len(content)) if n % 2 else len(content) - draw.randrange(1, 600)
        if way == 0:
            content[at] ^= 1 << draw.randrange(8)
        elif way == 1:
            del content[at:]
        else:
            content[at:at] = content[at : at + draw.randrange(1, 40)] or b"x"
        file, store = tmp_path / "damaged.zip", Store(tmp_path / f"store{n}")
        file.write_bytes(content)
        try:
            import_package(store, file)
        except GpukitError as error:
            assert len(str(error)) < 700
            assert files_of(store) == []


MANIFESTS = {
    "labels that are numbers": lambda m: {**m, "labels": [1, 2]},
    "labels that are a number": lambda m: {**m, "labels": 7},
    "half a letter": lambda m: {**m, "source": "\ud800"},
    "a version that is a list": lambda m: {**m, "version": [1]},
    "variants that are a text": lambda m: {**m, "variants": "x"},
    "nothing": lambda m: {},
    "a list": lambda m: [],
    "a name with dots": lambda m: {**m, "name": ".."},
    "a file outside": lambda m: with_file(m, "../x"),
    "a file of a long name": lambda m: with_file(m, "x" * 300),
    "a file within a file": lambda m: with_file(m, "model.json/x"),
    "a file in two cases": lambda m: with_file(m, "MODEL.JSON"),
    "half a letter in a name": lambda m: with_file(m, "x\udc80"),
}


def with_file(manifest: dict, name: str) -> dict:
    variant = manifest["variants"][0]
    digest = next(iter(variant["files"].values()))
    return {**manifest, "variants": [{**variant, "files": {**variant["files"], name: digest}}]}


@pytest.mark.parametrize("what", MANIFESTS)
def test_a_manifest_that_makes_no_sense(what: str, package: Path, tmp_path: Path) -> None:
    def change(name: str, data: bytes) -> list[tuple[str, bytes]]:
        if name != "manifest.json":
            return [(name, data)]
        return [(name, json.dumps(MANIFESTS[what](json.loads(data))).encode())]

    refused(Store(tmp_path / "store"), rewritten(package, tmp_path / "p.zip", change))


def test_names_that_cannot_be_written(package: Path, tmp_path: Path) -> None:
    for n, names in enumerate((["f" * 300], ["manifest.json/x"], ["A", "a"], ["é", "e\u0301"], ["a/b", "a"])):
        file = tmp_path / f"{n}.zip"
        with zipfile.ZipFile(file, "w") as made:
            for name in ("manifest.json", *names):
                made.writestr(name, "{}")
        assert str(file) in refused(Store(tmp_path / "store"), file)


def test_bombs_are_refused_before_they_are_unpacked(tmp_path: Path) -> None:
    file = tmp_path / "bomb.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", bytes(1 << 28))
    assert "claims" in refused(Store(tmp_path / "store"), file)


def test_a_damaged_member_is_named(tmp_path: Path) -> None:
    file = tmp_path / "damaged.zip"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("manifest.json", "x" * 500)
    content = bytearray(file.read_bytes())
    content[30 + len("manifest.json") :][:4] = b"\xff\xff\xff\xff"
    at = 30 + len("manifest.json")
    content[at : at + 4] = b"\xff\xff\xff\xff"
    file.write_bytes(content)
    assert str(file) in refused(Store(tmp_path / "store"), file)


def test_an_addition_that_fails_leaves_the_store_as_it_was(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    add(store, str(write_model(tmp_path / "one")))
    before = files_of(store)
    other = write_model(tmp_path / "two", description="other")
    with pytest.raises(GpukitError, match="has the format"):
        add(store, str(other))
    assert files_of(store) == before
    with pytest.raises(GpukitError):
        add(store, str(other), name="two", alias="tiny")
    assert files_of(store) == before


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    (store.folder / "trees" / ".half").mkdir(parents=True)
    (store.folder / ".incoming-0123").write_bytes(b"half")
    add(store, str(write_model(tmp_path / "one")))
    assert not any(name.startswith((".incoming", "trees/.")) for name in files_of(store))
    assert not (store.folder / "trees" / ".half").exists()


@pytest.mark.skipif(
    os.name != "posix" or os.geteuid() == 0, reason="a folder that cannot be written needs a plain user"
)
def test_a_store_that_cannot_be_written_says_so(package: Path, tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(mode=0o500)
    with pytest.raises(GpukitError, match="cannot be written"):
        import_package(Store(tmp_path / "store"), package)
