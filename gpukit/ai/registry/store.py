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
import os
import secrets
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.registry.manifest import (
    NAME,
    VERSION,
    Entry,
    Variant,
    digest_of,
    read_json,
    read_manifest,
    safe_name,
    version_key,
    write_json,
    write_manifest,
)
from gpukit.ai.samples import sample_names
from gpukit.documents.lock import FileLock
from gpukit.errors import GpukitError, InputError, InputNotFoundError, ModelError, OutputError, OutputExistsError

__all__ = ["Entry", "Store", "Variant", "store_path"]

#: Environment variable that names the store.
STORE_VARIABLE = "GPUKIT_MODELS"
_CHUNK = 1 << 20
#: Seconds to wait for another process that changes the store.
_PATIENCE = 600.0


def store_path() -> Path:
    """Folder of the store: ``GPUKIT_MODELS``, else ``gpukit/models`` in the user's data folder (XDG_DATA_HOME)."""
    named = os.environ.get(STORE_VARIABLE)
    if named:
        return Path(named)
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else home_folder() / ".local" / "share") / "gpukit" / "models"


def home_folder() -> Path:
    """The user's home folder.

    Raises
    ------
    InputError
        There is none: HOME is not set, and the system does not know the user.
    """
    try:
        return Path.home()
    except RuntimeError as error:
        raise InputError(
            "the user has no home folder for the store of models", fix=f"set {STORE_VARIABLE} to a folder, or set HOME"
        ) from error


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
        return sorted((read_manifest(file) for file in files), key=lambda e: (e.name, version_key(e.version)))

    def aliases(self) -> dict[str, str]:
        """Alias -> ``name@version``."""
        file = self.folder / "aliases.json"
        if not file.is_file():
            return {}
        found = read_json(file)
        return {str(k): str(v) for k, v in found.items() if isinstance(v, str)}

    def find(self, name: str) -> Entry | None:
        """The model that ``name@version``, a name (its newest version) or an alias stands for; None for none."""
        wanted, sign, version = self.aliases().get(name, name).partition("@")
        if sign and not version:
            return None
        if not NAME.fullmatch(wanted) or (version and not VERSION.fullmatch(version)):
            return None
        folder = self.folder / "models" / wanted
        if version:
            file = folder / f"{version}.json"
            return read_manifest(file) if file.is_file() else None
        found = [read_manifest(file) for file in folder.glob("*.json")]
        return max(found, key=lambda e: version_key(e.version), default=None)

    def get(self, name: str) -> Entry:
        """As `find`; InputNotFoundError where there is none."""
        found = self.find(name)
        if found is None:
            known = ", ".join(entry.id for entry in self.entries()) or "none"
            raise InputNotFoundError(f"no model {name!r} is in the store", fix=f"there are: {known}")
        return found

    def path(self, variant: Variant) -> Path:
        """What `gpukit.ai.find_model` is given for a variant."""
        tree = self.tree(variant)
        return tree if variant.entry == "." else tree / variant.entry

    def tree(self, variant: Variant) -> Path:
        """The folder with a variant's files under their own names."""
        return self.folder / "trees" / variant.tree

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
        if not NAME.fullmatch(called) or not VERSION.fullmatch(number):
            raise ModelError(
                f"{called}@{number} is no name for the store", file=model.file, attribute="name",
                fix="use letters, digits, dots and dashes",
            )  # fmt: skip
        _ = model.digest  # a damaged file is refused before anything is stored
        with self._alone():
            return self._add(
                model, root, files, entry=entry, called=called, number=number, source=source, license=license,
                tags=tags, alias=alias, force=force,
            )  # fmt: skip

    def _add(
        self,
        model: Model,
        root: Path,
        files: Sequence[Path],
        *,
        entry: str,
        called: str,
        number: str,
        source: str,
        license: str | None,
        tags: Sequence[str],
        alias: str | None,
        force: bool,
    ) -> Entry:
        self._check_names(called, alias)
        with self._kept_if_done() as put:
            return self._described(model, root, files, put, entry=entry, called=called, number=number, source=source,
                                   license=license, tags=tags, alias=alias, force=force)  # fmt: skip

    def _described(
        self,
        model: Model,
        root: Path,
        files: Sequence[Path],
        put: Callable[[Path], str],
        *,
        entry: str,
        called: str,
        number: str,
        source: str,
        license: str | None,
        tags: Sequence[str],
        alias: str | None,
        force: bool,
    ) -> Entry:
        stored = {file.relative_to(root).as_posix(): put(file) for file in files}
        variant = Variant(format=model.format, entry=entry, files=stored)
        fresh = Entry(
            name=called, version=number, task=model.task, description=model.description,
            license=model.license if license is None else license, labels=_labels(model), input=_contract(model),
            source=source, added=datetime.now(UTC).isoformat(timespec="seconds"), tags=tuple(tags), variants=(variant,),
        )  # fmt: skip
        old = self.find(f"{called}@{number}")
        if old is not None:
            fresh = _joined(old, fresh, force=force)
            fresh = fresh if license is None else replace(fresh, license=license)
        self._grow(variant)
        write_manifest(self.folder / "models" / called / f"{number}.json", fresh)
        if alias is not None:
            write_json(self.folder / "aliases.json", {**self.aliases(), alias: fresh.id})
        return fresh

    def _check_names(self, name: str, alias: str | None) -> None:
        """ModelError where a name would stand for two models: a model's and an alias are never the same."""
        if name in sample_names():
            raise ModelError(f"{name} is a model that comes with gpukit", attribute="name", fix="choose another --name")
        if name in self.aliases():
            raise ModelError(
                f"{name} is an alias of {self.aliases()[name]}", attribute="name", fix="choose another --name"
            )
        if alias is None:
            return
        taken = alias == name or alias in sample_names() or self.folder.joinpath("models", alias).exists()
        if taken or not NAME.fullmatch(alias):
            raise ModelError(
                f"{alias!r} cannot be an alias: it is {'the name of a model' if taken else 'no name'}",
                attribute="alias", fix="use another word of small letters, digits, dots and dashes",
            )  # fmt: skip

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While nobody else changes the store; OutputError where it cannot be written.

        Models are read without it: a manifest appears whole, after its files.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", wait=_PATIENCE, busy="another process changes the store of models"):
                self._sweep()
                yield
        except OSError as error:
            ours = error.filename is None or Path(os.fsdecode(error.filename)).is_relative_to(self.folder)
            if isinstance(error, GpukitError) or not ours:
                raise
            raise OutputError(
                f"the store of models cannot be written: {error.strerror or error}", file=self.folder,
                fix="make room, or let GPUKIT_MODELS name a folder that can be written",
            ) from error  # fmt: skip

    def _sweep(self) -> None:
        """Remove what a process was writing that ended without its own clean-up; the store is locked."""
        for left in self.folder.glob(".incoming-*"):
            left.unlink(missing_ok=True)
        for tree in self.folder.glob("trees/.*"):
            shutil.rmtree(tree, ignore_errors=True)

    def _blob(self, digest: str) -> Path:
        return self.folder / "blobs" / digest[:2] / digest

    @contextmanager
    def _kept_if_done(self) -> Iterator[Callable[[Path], str]]:
        """`_put` for as long as the context is open; where that fails, the blobs that are new are removed."""
        fresh: list[Path] = []

        def put(file: Path) -> str:
            digest = digest_of(file)
            blob = self._blob(str(digest))
            if digest is not None and not blob.exists():
                fresh.append(blob)
            return self._put(file)

        try:
            yield put
        except BaseException:
            for blob in fresh:
                blob.unlink(missing_ok=True)
                with suppress(OSError):  # another digest begins with the same letters
                    blob.parent.rmdir()
            raise

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
            if all(digest_of(tree / name) == digest for name, digest in variant.files.items()):
                return
            shutil.rmtree(tree)  # damaged, and its files have just been brought again
        temporary = self.folder / "trees" / f".{secrets.token_hex(8)}"
        try:
            for name, digest in variant.files.items():
                place = temporary / safe_name(name)
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
        with self._alone():
            self._remove(entry)

    def _remove(self, entry: Entry) -> None:
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
            write_json(self.folder / "aliases.json", aliases)

    def absorb(self, entry: Entry, files: Mapping[str, Path], *, force: bool = False) -> Entry:
        """Put an entry whose files were unpacked (digest -> file) into the store, each checked against its digest."""
        with self._alone():
            self._check_names(entry.name, None)
            return self._absorb(entry, files, force=force)

    def _absorb(self, entry: Entry, files: Mapping[str, Path], *, force: bool) -> Entry:
        wanted = {d for v in entry.variants for d in v.files.values()}
        if missing := wanted - set(files):
            raise ModelError(f"the package lacks {len(missing)} of its files", attribute="files")
        old = self.find(entry.id)
        if old is not None and not force:
            raise OutputExistsError(f"{entry.id} is in the store", fix="say --force to replace it")
        with self._kept_if_done() as put:
            for digest in sorted(wanted):
                if put(files[digest]) != digest:
                    raise ModelError("a file of the package is not what its manifest says", file=digest)
            for variant in entry.variants:
                self._grow(variant)
            write_manifest(self.folder / "models" / entry.name / f"{entry.version}.json", entry)
        return entry


def _labels(model: Model) -> tuple[dict[str, Any], ...]:
    from gpukit.ai.model.volume_spec import OutputSpec

    if isinstance(model.output, OutputSpec):
        return tuple({"value": x.value, "name": x.name, "code": list(x.type)} for x in model.output.labels)
    classes = getattr(model.output, "classes", ())
    return tuple({"name": c.name, "code": None if c.code is None else list(c.code)} for c in classes)


def _contract(model: Model) -> dict[str, Any]:
    """What the model wants to see, in plain values."""
    spec = model.input
    facts: dict[str, Any] = {"dimensions": model.dimensions, "channels": spec.channels, "modality": list(spec.modality)}
    for key in ("channel_names", "orientation", "plane", "spacing", "size"):
        value = getattr(spec, key, None)
        if value is not None and value != ():
            facts[key] = list(value) if isinstance(value, tuple) else value
    return facts


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
    source = old.source if others else fresh.source
    return replace(old, variants=(*others, variant), tags=tags, source=source)
