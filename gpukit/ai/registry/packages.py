"""Where models come from: files, folders, the web, a hub; and packages to carry them to other machines."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

from gpukit.ai.model.coreml import SUFFIXES as COREML
from gpukit.ai.model.coreml import find_coreml
from gpukit.ai.model.description import Model
from gpukit.ai.model.torch_archive import check_archive
from gpukit.ai.model.torch_script import check_script
from gpukit.ai.nnunet.plans import files_of_nnunet
from gpukit.ai.registry.find import find_model
from gpukit.ai.registry.manifest import Entry, digest_of, manifest_text, read_entry, walk
from gpukit.ai.registry.savedmodel import is_saved_model
from gpukit.ai.registry.store import Store
from gpukit.ai.runtimes import Checking, runtimes
from gpukit.ai.samples import DESCRIPTION
from gpukit.documents.atomic import atomic_path
from gpukit.documents.zip_structure import check_zip, name_key
from gpukit.errors import (
    FormatError,
    GpukitError,
    InputError,
    InputNotFoundError,
    ModelError,
    TooLargeError,
)
from gpukit.extras import missing_package

__all__ = ["add", "export", "import_package"]

#: Called as ``progress(bytes done, bytes in all)``.
Progress = Callable[[int, int], None]
_CHUNK = 1 << 20
#: Weights of this size do not run on any machine that gpukit knows.
_LARGEST_DOWNLOAD = 64 << 30
_MOST_MEMBERS = 10_000
_MOST_UNPACKED = 50  # times the zip's own size
_LARGEST_MANIFEST = 16 << 20
_LONGEST_NAME = 255  # bytes, on every file system
_TIMEOUT = 60  # seconds without a byte
_EXTRAS = ("readme.md", "model_card.md", "license", "license.md", "license.txt")


def add(
    store: Store,
    source: str,
    *,
    description: str | None = None,
    sha256: str | None = None,
    name: str | None = None,
    version: str | None = None,
    license: str | None = None,
    tags: Sequence[str] = (),
    alias: str | None = None,
    force: bool = False,
    progress: Progress | None = None,
) -> Entry:
    """Bring a model into the store.

    Parameters
    ----------
    store : Store
        Where to.
    source : str
        A file or folder as `gpukit.ai.find_model` takes it; ``file://``; ``https://`` of a weights file, a description
        or a zip; ``hf://OWNER/REPOSITORY`` or ``hf://OWNER/REPOSITORY/FILE`` (needs the extra ``hub``).
    description : str, optional
        The description's file, for weights that come without.
    sha256 : str, optional
        What the source file's digest must be.
    name, version, license, tags, alias, force
        As for `gpukit.ai.registry.store.Store.add`.
    progress : callable, optional
        Of downloads.

    Raises
    ------
    InputNotFoundError, ModelError
        There is nothing there, it is damaged, or it is no model that gpukit runs.
    """
    with _local(source, progress) as path:
        if sha256 is not None and digest_of(path) != sha256.lower():
            raise ModelError(
                "the file is not the expected one: its sha256 is " + str(digest_of(path)), file=source,
                attribute="sha256", fix="get it again from a source that you trust",
            )  # fmt: skip
        with _prepared(path, description) as ready:
            coreml = ready.suffix.lower() in COREML and ready.exists()
            model = find_coreml(ready, twins=False) if coreml else find_model(ready)
            check_weights(model)
            root, files, entry = _files_of(ready, model)
            return store.add(
                model, root, files, entry=entry, name=name, version=version, source=_shown(source), license=license,
                tags=tags, alias=alias, force=force,
            )  # fmt: skip


def check_weights(model: Model) -> None:
    """Check that the weights of a model, and of its first stage, hold no program that could reach files.

    Nothing of the weights is run. Where the library that runs them is not installed, only their structure is checked.

    Raises
    ------
    ModelError
        They could, or their archive could be read in two ways.
    """
    if model.previous is not None:
        check_weights(model.previous)
    for runtime in runtimes():
        if isinstance(runtime, Checking) and model.format in runtime.formats and runtime.available().usable:
            runtime.check(model)
            return
    if model.weights.suffix.lower() in (".ts", ".torchscript") or model.format == "torchscript":
        check_script(model.weights)
    elif model.weights.suffix.lower() in (".pt", ".pth", ".pt2"):
        check_archive(model.weights)


def _shown(source: str) -> str:
    """The source without what must not be kept: passwords and tokens of an address."""
    parts = urlsplit(source)
    if parts.scheme in ("http", "https"):
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return source if parts.scheme in ("hf", "file") else Path(source).name


def _files_of(path: Path, model: Model) -> tuple[Path, list[Path], str]:
    """Root, files and entry of a model on disk."""
    if path.suffix.lower() == ".mlpackage":
        return path.parent, sorted({*_description_of(model), *model.weight_files}), path.name
    if model.format == "nnunet":
        folder = model.file.parent
        if model.previous is not None:  # its first stage lies beside it
            return folder.parent, files_of_nnunet(model), folder.name
        return folder, files_of_nnunet(model), "."
    if is_saved_model(path):  # what is kept is the graph that was made of it
        return model.file.parent, sorted({model.file, *model.weight_files}), model.file.name
    if path.is_dir() and not (path / DESCRIPTION).is_file():
        return path, list(walk(path)), "."
    root = path if path.is_dir() else path.parent
    beside = [f for f in root.iterdir() if f.is_file() and f.name.lower() in _EXTRAS] if path.is_dir() else []
    entry = model.file.name if path.is_dir() or path.suffix.lower() == ".json" else path.name
    return root, sorted({*_description_of(model), *model.weight_files, *beside}), entry


def _description_of(model: Model) -> tuple[Path, ...]:
    """The description's file; none where a Core ML model holds its own."""
    return () if model.file == model.weights else (model.file,)


@contextmanager
def _prepared(path: Path, description: str | None) -> Iterator[Path]:
    """The path to be given to `find_model`: an unpacked zip, or weights beside their description."""
    if description is None and not (path.is_file() and path.suffix.lower() == ".zip"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="gpukit-model-") as folder:
        here = Path(folder)
        if path.suffix.lower() == ".zip":
            _unpack(path, here)
            inner = [p for p in here.iterdir() if not p.name.startswith(".")]
            yield inner[0] if len(inner) == 1 and inner[0].is_dir() else here
            return
        if path.is_dir():
            shutil.copytree(path, here / path.name)
        else:
            shutil.copyfile(path, here / path.name)
        try:
            shutil.copyfile(str(description), here / f"{path.name if is_saved_model(path) else path.stem}.json")
        except OSError as error:
            raise InputNotFoundError(f"cannot be read: {error.strerror}", file=description) from error
        yield here / path.name


@contextmanager
def _local(source: str, progress: Progress | None) -> Iterator[Path]:
    """The source as a path on this machine."""
    parts = urlsplit(source)
    if parts.scheme == "file":
        yield _there(Path(unquote(parts.path)))
    elif parts.scheme == "https":
        with tempfile.TemporaryDirectory(prefix="gpukit-model-") as folder:
            target = Path(folder) / (Path(unquote(parts.path)).name or "model")
            _download(source, target, progress)
            yield target
    elif parts.scheme == "hf":
        with tempfile.TemporaryDirectory(prefix="gpukit-model-") as folder:
            yield _from_hub(parts.netloc + parts.path, Path(folder))
    elif len(parts.scheme) > 1:
        raise InputError(f"models do not come by {parts.scheme}://", attribute="source", fix="use https, file or hf")
    else:
        yield _there(Path(source))


def _there(path: Path) -> Path:
    if not path.exists():
        raise InputNotFoundError("no such file or folder", file=path)
    return path


def _download(address: str, target: Path, progress: Progress | None) -> None:
    """Fetch a file, bounded; redirects may only lead to https."""
    from http.client import HTTPException
    from urllib.error import URLError
    from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

    from gpukit.remote.least_pace import context

    class Careful(HTTPRedirectHandler):
        def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
            if urlsplit(newurl).scheme != "https":
                raise ModelError("the server redirects to an address that is not https", file=_shown(address))
            return super().redirect_request(req, fp, code, msg, headers, newurl)

    parts = urlsplit(address)
    who, _, host = parts.netloc.rpartition("@")
    request = Request(urlunsplit(parts._replace(netloc=host, fragment="")))
    if who:  # not for whom the server redirects to
        request.add_unredirected_header("Authorization", f"Basic {b64encode(unquote(who).encode()).decode()}")
    try:
        opener = build_opener(Careful, HTTPSHandler(context=context()))
        with opener.open(request, timeout=_TIMEOUT) as answer, target.open("wb") as out:
            stated = answer.headers.get("Content-Length") or "0"
            total = int(stated) if stated.isdecimal() else 0
            if total > _LARGEST_DOWNLOAD:
                raise TooLargeError(f"the file has {total} bytes", file=_shown(address))
            done = 0
            while chunk := answer.read1(_CHUNK):
                done += len(chunk)
                if done > _LARGEST_DOWNLOAD:
                    raise TooLargeError("the file has no end", file=_shown(address))
                out.write(chunk)
                if progress is not None:
                    progress(done, total)
            if total and done != total:
                raise FormatError(f"the connection ended after {done} of {total} bytes", file=_shown(address))
    except (HTTPException, URLError, OSError, ValueError) as error:
        if isinstance(error, (FormatError, ModelError, TooLargeError)):
            raise
        reason = getattr(error, "reason", error)
        raise InputNotFoundError(f"cannot be fetched: {reason}", file=_shown(address)) from error


def _from_hub(name: str, folder: Path) -> Path:
    """A repository, or one file of it, from the Hugging Face hub."""
    try:
        from huggingface_hub import hf_hub_download, snapshot_download
    except ImportError as error:
        raise missing_package("models from hf:// need huggingface_hub", "hub") from error
    words = name.strip("/").split("/")
    if len(words) < 2:
        raise InputError(f"{name!r} names no repository", attribute="source", fix="write hf://OWNER/REPOSITORY")
    repository = "/".join(words[:2])
    try:
        if len(words) == 2:
            return Path(snapshot_download(repository, local_dir=folder))
        return Path(hf_hub_download(repository, "/".join(words[2:]), local_dir=folder))
    except Exception as error:  # the hub's client raises many kinds
        raise InputNotFoundError(f"cannot be fetched: {str(error).splitlines()[0]}", file=f"hf://{name}") from error


# ---- packages


def export(store: Store, entry: Entry, target: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a model, all its formats, as one zip that `import_package` reads."""
    wrong = store.verify(entry)
    if wrong:
        raise ModelError(f"{entry.id} is damaged: {', '.join(wrong[:3])}", fix="add it again with --force")
    with atomic_path(target, force=force) as temporary, zipfile.ZipFile(temporary, "w") as package:
        package.writestr("manifest.json", manifest_text(entry))
        written = set()
        for variant in entry.variants:
            tree = store.folder / "trees" / variant.tree
            for name, digest in variant.files.items():
                if digest not in written:
                    package.write(tree / name, f"files/{digest}")
                    written.add(digest)
    return Path(target)


def import_package(store: Store, source: str | os.PathLike[str], *, force: bool = False) -> Entry:
    """Put a package made by `export` into the store; every file is checked against its digest.

    Raises
    ------
    InputNotFoundError, FormatError, ModelError
        It is no such package, or is damaged.
    """
    path = _there(Path(source))
    with tempfile.TemporaryDirectory(prefix="gpukit-model-") as folder:
        here = Path(folder)
        _unpack(path, here)
        manifest = here / "manifest.json"
        if not manifest.is_file():
            raise FormatError("is no package of a model: it has no manifest.json", file=path)
        if manifest.stat().st_size > _LARGEST_MANIFEST:
            raise TooLargeError("its manifest is larger than any manifest", file=path)
        try:
            entry = read_entry(json.loads(manifest.read_text(encoding="utf-8")), path)
        except GpukitError:
            raise
        except (ValueError, RecursionError) as error:
            raise FormatError("its manifest is not JSON", file=path) from error
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise FormatError(f"its manifest makes no sense: {str(error)[:200]}", file=path) from error
        files = {p.name: p for p in (here / "files").glob("*") if p.is_file()}
        return store.absorb(entry, files, force=force)


def _unpack(path: Path, folder: Path) -> None:
    """A zip's files below a folder.

    Names that lead outside or that one file system takes for the same, links, bombs, encrypted files and files that lie
    upon one another are refused before anything is written.
    """
    try:
        with path.open("rb") as stream:
            check_zip(stream, path)
            with zipfile.ZipFile(stream) as package:
                members = [m for m in package.infolist() if not m.is_dir()]
                _check_members(members, path, shutil.disk_usage(folder).free)
                for member in members:
                    target = folder / member.filename
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with package.open(member) as source, target.open("wb") as out:
                        left = member.file_size
                        while chunk := source.read(min(_CHUNK, left + 1)):
                            left -= len(chunk)
                            if left < 0:
                                raise FormatError("a file of the zip is larger than it claims", file=path)
                            out.write(chunk)
    except GpukitError:
        raise
    except OSError as error:
        raise FormatError(f"the zip cannot be unpacked: {error.strerror or type(error).__name__}", file=path) from error
    except Exception as error:  # zipfile and the compressions raise many kinds
        raise FormatError(f"is not a zip, or a damaged one: {str(error)[:200]}", file=path) from error


def _check_members(members: Sequence[zipfile.ZipInfo], path: Path, free: int) -> None:
    """FormatError or TooLargeError where the files of a zip must not be written."""
    size = sum(m.file_size for m in members)
    most = max(_MOST_UNPACKED * path.stat().st_size, 64 << 20)  # weights hardly shrink, so more is a bomb
    if len(members) > _MOST_MEMBERS or size > min(most, _LARGEST_DOWNLOAD, free):
        raise TooLargeError(f"the zip claims {len(members)} files of {size} bytes", file=path)
    files: set[str] = set()
    folders: set[str] = set()
    for member in members:
        name = member.filename
        parts = Path(name).parts
        linked = (member.external_attr >> 16) & 0o170000 == 0o120000
        if name.startswith(("/", "\\")) or ".." in parts or ":" in name or "\\" in name or linked:
            raise FormatError(f"the zip holds {name[:80]!r}, which leads outside", file=path)
        if any(len(os.fsencode(part)) > _LONGEST_NAME for part in parts) or len(os.fsencode(name)) > 16 * _LONGEST_NAME:
            raise FormatError(f"the zip holds a file of a name that is too long, {name[:40]!r}...", file=path)
        keys = [name_key("/".join(parts[: n + 1])) for n in range(len(parts))]
        if not keys or keys[-1] in files or keys[-1] in folders or files & set(keys[:-1]):
            raise FormatError(f"the zip holds two files that cannot both be written: {name[:80]!r}", file=path)
        files.add(keys[-1])
        folders.update(keys[:-1])
