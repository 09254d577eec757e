"""The local store of models: every file under its own digest, models by ``name@version``, several formats of one model.

::

    STORE/blobs/AB/ABCD...            a file, named by its sha256
    STORE/models/NAME/VERSION.json    the manifest: what the model is, and its variants
    STORE/trees/DIGEST/...            a variant's files under their own names: hard links to blobs
    STORE/aliases.json                alias -> name@version

A variant is one format of the model (its weights and its description). Which of them is used is decided when the model
is asked for, by what this machine runs best.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from gpukit.ai.description import Model
from gpukit.errors import InputError, InputNotFoundError, ModelError, OutputExistsError

__all__ = ["Entry", "Store", "Variant", "store_path"]

#: Environment variable that names the store.
STORE_VARIABLE = "GPUKIT_MODELS"
SCHEMA_VERSION = 1
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CHUNK = 1 << 20
_LARGEST_MANIFEST = 4 << 20
_MOST_FILES = 10_000


def store_path() -> Path:
    """Folder of the store: ``GPUKIT_MODELS``, else ``gpukit/models`` in the user's data folder (XDG_DATA_HOME)."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "gpukit" / "models"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One format of a model.

    Parameters
    ----------
    format : str
        Of `gpukit.ai.description.FORMATS`.
    entry : str
        What `gpukit.ai.find_model` is given, relative to the variant's tree: its description, or ``.`` for the tree.
    files : mapping of str to str
        Relative path -> sha256 of every file.
    """

    format: str
    entry: str
    files: Mapping[str, str]

    @property
    def tree(self) -> str:
        """Digest of the file list: the name of the tree."""
        text = "".join(f"{name}\0{digest}\n" for name, digest in sorted(self.files.items()))
        return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A model in the store.

    Parameters
    ----------
    name, version : str
        Together its identity.
    task, description, license : str
        From its description.
    labels : tuple of mapping
        Labels or classes with their codes.
    input : mapping
        The input contract, as the description states it.
    source : str
        Where it came from, as the user named it.
    added : str
        When, ISO 8601 in UTC.
    tags : tuple of str
        The user's words.
    variants : tuple of Variant
        One or more, of different formats.
    """

    name: str
    version: str
    task: str
    description: str = ""
    license: str = ""
    labels: tuple[Mapping[str, Any], ...] = ()
    input: Mapping[str, Any] = field(default_factory=dict)
    source: str = ""
    added: str = ""
    tags: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()

    @property
    def id(self) -> str:
        """``name@version``."""
        return f"{self.name}@{self.version}"


class Store:
    """The store in a folder; nothing is made before something is added.

    Parameters
    ----------
    folder : path-like, optional
        `store_path` unless given.
    """

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        self.folder = store_path() if folder is None else Path(folder)

    # ---- what is there

    def entries(self) -> list[Entry]:
        """All models, by name, then version."""
        files = sorted(self.folder.glob("models/*/*.json"))
        return sorted((_read_manifest(file) for file in files), key=lambda e: (e.name, _version_key(e.version)))

    def aliases(self) -> dict[str, str]:
        """Alias -> ``name@version``."""
        file = self.folder / "aliases.json"
        if not file.is_file():
            return {}
        found = _read_json(file)
        return {str(k): str(v) for k, v in found.items() if isinstance(v, str)}

    def find(self, name: str) -> Entry | None:
        """The model that ``name@version``, a name (its newest version) or an alias stands for; None for none."""
        wanted, _, version = self.aliases().get(name, name).partition("@")
        if not _NAME.fullmatch(wanted) or (version and not _VERSION.fullmatch(version)):
            return None
        folder = self.folder / "models" / wanted
        if version:
            file = folder / f"{version}.json"
            return _read_manifest(file) if file.is_file() else None
        found = [_read_manifest(file) for file in folder.glob("*.json")]
        return max(found, key=lambda e: _version_key(e.version), default=None)

    def get(self, name: str) -> Entry:
        """As `find`; InputNotFoundError where there is none."""
        found = self.find(name)
        if found is None:
            known = ", ".join(entry.id for entry in self.entries()) or "none"
            raise InputNotFoundError(f"no model {name!r} is in the store", fix=f"there are: {known}")
        return found

    def path(self, variant: Variant) -> Path:
        """What `gpukit.ai.find_model` is given for a variant."""
        tree = self.folder / "trees" / variant.tree
        return tree if variant.entry == "." else tree / variant.entry

    # ---- adding

    def add(
        self,
        model: Model,
        root: Path,
        files: Sequence[Path],
        *,
        entry: str,
        name: str | None = None,
        version: str | None = None,
        source: str = "",
        license: str | None = None,
        tags: Sequence[str] = (),
        alias: str | None = None,
        force: bool = False,
    ) -> Entry:
        """Put a model's files into the store.

        A model of a name and version that is there gets the format as one more variant, if it has the same task and
        labels.

        Parameters
        ----------
        model : Model
            Its checked description.
        root : Path
            The folder that the files' names are relative to.
        files : sequence of Path
            Every file that belongs to it.
        entry : str
            See `Variant`.
        name, version, license : str, optional
            In place of what the description says.
        source : str
            Where it came from.
        tags : sequence of str
            The user's words.
        alias : str, optional
            Another name, which may be moved to another version later.
        force : bool
            Replace a variant of the same format.

        Raises
        ------
        ModelError
            The name or version cannot be used, or the model of that name and version is another one.
        OutputExistsError
            That format is there already, and `force` is false.
        """
        called = (name or model.name).lower().replace(" ", "-").replace("_", "-")
        number = version or model.version
        if not _NAME.fullmatch(called) or not _VERSION.fullmatch(number):
            raise ModelError(
                f"{called}@{number} is no name for the store", file=model.file, attribute="name",
                fix="use letters, digits, dots and dashes",
            )  # fmt: skip
        if alias is not None and (not _NAME.fullmatch(alias) or self.folder.joinpath("models", alias).exists()):
            raise ModelError(f"{alias!r} is no alias: it is no name, or that of a model", attribute="alias")
        _ = model.digest  # a damaged file is refused before anything is stored
        stored = {}
        for file in files:
            relative = file.relative_to(root).as_posix()
            stored[relative] = self._put(file)
        variant = Variant(format=model.format, entry=entry, files=stored)
        fresh = Entry(
            name=called, version=number, task=model.task, description=model.description,
            license=model.license if license is None else license, labels=_labels(model), input=_contract(model),
            source=source, added=datetime.now(UTC).isoformat(timespec="seconds"), tags=tuple(tags), variants=(variant,),
        )  # fmt: skip
        old = self.find(f"{called}@{number}")
        if old is not None:
            fresh = _joined(old, fresh, force=force)
        self._grow(variant)
        _write_json(self.folder / "models" / called / f"{number}.json", _manifest(fresh))
        if alias is not None:
            _write_json(self.folder / "aliases.json", {**self.aliases(), alias: fresh.id})
        return fresh

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest[:2] / digest

    def _put(self, file: Path) -> str:
        """Copy a file under its digest; nothing half-written ever has a digest for a name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".incoming-{secrets.token_hex(8)}"
        total = hashlib.sha256()
        try:
            with file.open("rb") as source, temporary.open("wb") as target:
                while chunk := source.read(_CHUNK):
                    total.update(chunk)
                    target.write(chunk)
            digest = total.hexdigest()
            blob = self._blob(digest)
            blob.parent.mkdir(parents=True, exist_ok=True)
            temporary.replace(blob)
        finally:
            temporary.unlink(missing_ok=True)
        return digest

    def _grow(self, variant: Variant) -> None:
        """Make the tree of a variant out of links to its blobs."""
        tree = self.folder / "trees" / variant.tree
        if tree.is_dir():
            return
        temporary = self.folder / "trees" / f".{secrets.token_hex(8)}"
        try:
            for name, digest in variant.files.items():
                place = temporary / _safe(name)
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(self._blob(digest), place)
                except OSError:  # no hard links here
                    shutil.copyfile(self._blob(digest), place)
            temporary.replace(tree)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    # ---- keeping

    def verify(self, entry: Entry) -> list[str]:
        """Names of files that are missing or damaged; empty where all is well."""
        wrong = []
        for variant in entry.variants:
            tree = self.folder / "trees" / variant.tree
            wrong += [f"{variant.format}: {name}" for name, d in variant.files.items() if digest_of(tree / name) != d]
        return wrong

    def remove(self, entry: Entry) -> None:
        """Take a model out, with the files that no other model has and the aliases that stood for it."""
        (self.folder / "models" / entry.name / f"{entry.version}.json").unlink(missing_ok=True)
        folder = self.folder / "models" / entry.name
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        kept = [variant for other in self.entries() for variant in other.variants]
        trees, blobs = {v.tree for v in kept}, {d for v in kept for d in v.files.values()}
        for variant in entry.variants:
            if variant.tree not in trees:
                shutil.rmtree(self.folder / "trees" / variant.tree, ignore_errors=True)
            for digest in set(variant.files.values()) - blobs:
                self._blob(digest).unlink(missing_ok=True)
        aliases = {alias: target for alias, target in self.aliases().items() if target != entry.id}
        if aliases != self.aliases():
            _write_json(self.folder / "aliases.json", aliases)

    def absorb(self, entry: Entry, files: Mapping[str, Path], *, force: bool = False) -> Entry:
        """Put an entry whose files were unpacked (digest -> file) into the store, each checked against its digest."""
        for digest, file in files.items():
            if self._put(file) != digest:
                raise ModelError("a file of the package is not what its manifest says", file=file.name)
        missing = {d for v in entry.variants for d in v.files.values()} - set(files)
        if missing:
            raise ModelError(f"the package lacks {len(missing)} of its files", attribute="files")
        old = self.find(entry.id)
        if old is not None and not force:
            raise OutputExistsError(f"{entry.id} is in the store", fix="say --force to replace it")
        for variant in entry.variants:
            self._grow(variant)
        _write_json(self.folder / "models" / entry.name / f"{entry.version}.json", _manifest(entry))
        return entry


def digest_of(file: Path) -> str | None:
    """sha256 of a file; None where it cannot be read."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        return None


def read_entry(content: Any, file: Path) -> Entry:
    """A manifest's content as an entry; ModelError where it is none."""
    try:
        if content["schema_version"] != SCHEMA_VERSION:
            raise ModelError(f"is of version {content['schema_version']!r}", file=file, attribute="schema_version")
        name, version = str(content["name"]), str(content["version"])
        if not _NAME.fullmatch(name) or not _VERSION.fullmatch(version):
            raise ModelError("has no proper name and version", file=file, attribute="name")
        variants = []
        for item in content["variants"]:
            files = {str(k): str(v) for k, v in item["files"].items()}
            if len(files) > _MOST_FILES or not all(_DIGEST.fullmatch(d) for d in files.values()):
                raise ModelError("lists too many files, or digests that are none", file=file, attribute="files")
            for path in (*files, str(item["entry"])):
                _safe(path)
            variants.append(Variant(format=str(item["format"]), entry=str(item["entry"]), files=files))
        return Entry(
            name=name, version=version, task=str(content["task"]), description=str(content.get("description", "")),
            license=str(content.get("license", "")), labels=tuple(content.get("labels", ())),
            input=dict(content.get("input", {})), source=str(content.get("source", "")),
            added=str(content.get("added", "")), tags=tuple(map(str, content.get("tags", ()))),
            variants=tuple(variants),
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"is no manifest of a model: {type(error).__name__} {error}", file=file) from error


def _safe(name: str) -> str:
    """A relative path that stays inside its folder; ModelError for any other."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise ModelError(f"the file name {name[:80]!r} leads outside the model's folder")
    return name


def _joined(old: Entry, fresh: Entry, *, force: bool) -> Entry:
    """The entry with one more variant."""
    if old.task != fresh.task or list(old.labels) != list(fresh.labels):
        raise ModelError(
            f"{old.id} is in the store and is another model: its task or labels differ", attribute="name",
            fix="choose another --name or --version",
        )  # fmt: skip
    variant = fresh.variants[0]
    same = [v for v in old.variants if v.format == variant.format]
    if same and same[0].files != variant.files and not force:
        raise OutputExistsError(f"{old.id} has the format {variant.format} already", fix="say --force to replace it")
    others = tuple(v for v in old.variants if v.format != variant.format)
    tags = tuple(dict.fromkeys((*old.tags, *fresh.tags)))
    return replace(old, variants=(*others, variant), tags=tags)


def _labels(model: Model) -> tuple[dict[str, Any], ...]:
    from gpukit.ai.parts import OutputSpec

    if isinstance(model.output, OutputSpec):
        return tuple({"value": x.value, "name": x.name, "code": list(x.type)} for x in model.output.labels)
    classes = getattr(model.output, "classes", ())
    return tuple({"name": c.name, "code": None if c.code is None else list(c.code)} for c in classes)


def _contract(model: Model) -> dict[str, Any]:
    """What the model wants to see, in plain values."""
    spec = model.input
    facts: dict[str, Any] = {"dimensions": model.dimensions, "channels": spec.channels, "modality": list(spec.modality)}
    for key in ("orientation", "plane", "spacing", "size"):
        value = getattr(spec, key, None)
        if value is not None:
            facts[key] = list(value) if isinstance(value, tuple) else value
    return facts


def _manifest(entry: Entry) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION, "name": entry.name, "version": entry.version, "task": entry.task,
        "description": entry.description, "license": entry.license, "labels": [dict(x) for x in entry.labels],
        "input": dict(entry.input), "source": entry.source, "added": entry.added, "tags": list(entry.tags),
        "variants": [{"format": v.format, "entry": v.entry, "files": dict(v.files)} for v in entry.variants],
    }  # fmt: skip


def manifest_text(entry: Entry) -> str:
    """The manifest as JSON."""
    return json.dumps(_manifest(entry), indent=2, ensure_ascii=False) + "\n"


def _read_manifest(file: Path) -> Entry:
    return read_entry(_read_json(file), file)


def _read_json(file: Path) -> Any:
    try:
        if file.stat().st_size > _LARGEST_MANIFEST:
            raise ModelError("is too large for a manifest", file=file)
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(
            f"cannot be read: {error}", file=file, fix="remove the file, and add the model again"
        ) from error


def _write_json(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def _version_key(version: str) -> list[tuple[int, int, str]]:
    """Numbers by size, words by alphabet, so that 1.10 comes after 1.9."""
    return [(1, int(part), "") if part.isdigit() else (0, 0, part) for part in re.split(r"[._+-]", version)]


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links and hidden ones left out, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not any(p.startswith(".") for p in relative.parts):
            yield path


def check_name(name: str) -> str:
    """A name that the store takes; InputError for any other."""
    if not _NAME.fullmatch(name):
        raise InputError(f"{name!r} is no name", attribute="name", fix="use small letters, digits, dots and dashes")
    return name
