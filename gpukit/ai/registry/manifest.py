"""What the store knows of a model: its manifest, as frozen values and as JSON."""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from gpukit.documents.zip_structure import name_key
from gpukit.errors import ModelError

__all__ = [
    "NAME",
    "VERSION",
    "Entry",
    "Variant",
    "digest_of",
    "manifest_text",
    "read_entry",
    "read_json",
    "read_manifest",
    "safe_name",
    "version_key",
    "walk",
    "write_json",
    "write_manifest",
]

SCHEMA_VERSION = 1
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_LARGEST_MANIFEST = 4 << 20
_LONGEST_NAME, _MOST_FOLDERS = 255, 16  # bytes of a part of a name, as file systems have it; parts of a name
_MOST_FILES = 10_000


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One format of a model.

    Parameters
    ----------
    format : str
        Of `gpukit.ai.model.description.FORMATS`.
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
        if not NAME.fullmatch(name) or not VERSION.fullmatch(version):
            raise ModelError("has no proper name and version", file=file, attribute="name")
        variants = []
        for item in content["variants"]:
            files = {str(k): str(v) for k, v in item["files"].items()}
            if len(files) > _MOST_FILES or not all(_DIGEST.fullmatch(d) for d in files.values()):
                raise ModelError("lists too many files, or digests that are none", file=file, attribute="files")
            for path in (*files, str(item["entry"])):
                safe_name(path)
            keys = {name_key(path) for path in files}
            folders = {key[:at] for key in keys for at, letter in enumerate(key) if letter == "/"}
            if len(keys) != len(files) or keys & folders:
                raise ModelError("lists two files that cannot both be written", file=file, attribute="files")
            variants.append(Variant(format=str(item["format"]), entry=str(item["entry"]), files=files))
        if not variants:
            raise ModelError("lists no format of the model", file=file, attribute="variants")
        entry = Entry(
            name=name, version=version, task=str(content["task"]), description=str(content.get("description", "")),
            license=str(content.get("license", "")), labels=tuple(content.get("labels", ())),
            input=dict(content.get("input", {})), source=str(content.get("source", "")),
            added=str(content.get("added", "")), tags=tuple(map(str, content.get("tags", ()))),
            variants=tuple(variants),
        )  # fmt: skip
        manifest_text(entry).encode("utf-8")  # what JSON or UTF-8 cannot hold is refused before anything is written
        return entry
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        what = f"{type(error).__name__} {str(error)[:200]}"
        raise ModelError(f"is not a manifest of a model: {what}", file=file) from error


def safe_name(name: str) -> str:
    """A relative path that stays inside its folder; ModelError for any other."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or (len(name) > 1 and name[1] == ":"):
        raise ModelError(f"the file name {name[:80]!r} leads outside the model's folder")
    if any(len(part.encode("utf-8")) > _LONGEST_NAME for part in path.parts) or len(path.parts) > _MOST_FOLDERS:
        raise ModelError(f"the file name {name[:40]!r}... is too long")
    return name


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


def read_manifest(file: Path) -> Entry:
    """The entry in a file; ModelError where there is none."""
    return read_entry(read_json(file), file)


def read_json(file: Path) -> Any:
    """A small JSON file's content; ModelError where it is none."""
    try:
        if file.stat().st_size > _LARGEST_MANIFEST:
            raise ModelError("is too large for a manifest", file=file)
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, ModelError):
            raise
        raise ModelError(f"cannot be read: {error}", file=file, fix="add the model again with --force") from error


def write_json(file: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{secrets.token_hex(8)}")
    try:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        temporary.replace(file)
    finally:
        temporary.unlink(missing_ok=True)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """Numbers by size, words by alphabet, so that 1.10 comes after 1.9."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"[._+-]", version)]


def walk(folder: Path) -> Iterator[Path]:
    """Every file below a folder, links and hidden ones left out, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        if path.is_file() and not path.is_symlink() and not any(p.startswith(".") for p in relative.parts):
            yield path


def write_manifest(file: Path, entry: Entry) -> None:
    """Write an entry where the store keeps it, whole or not at all."""
    write_json(file, _manifest(entry))
