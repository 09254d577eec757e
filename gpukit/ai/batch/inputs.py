"""Find local images: series in folders, volume files, lists of inputs."""

from __future__ import annotations

import contextlib
import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from gpukit.ai.batch.case import _UID, VOLUMES, About, Case, digest, file_key
from gpukit.dicom.reader.discovery import discover
from gpukit.dicom.series.candidates import Collection, Series, main_candidate
from gpukit.dicom.series.read import collect_source
from gpukit.errors import FormatError, GpukitError, InputNotFoundError
from gpukit.files.nifti_header import is_of_a_pair

__all__ = ["images_of"]


_LISTS = (".txt", ".list")


def images_of(source: str | list[str], *, skip_damaged: bool = False) -> Iterable[Case]:
    """Each series and each volume file that an input names, as a case of its own; a list is of DICOM files."""
    if isinstance(source, list):
        return _series(collect_source(source), Path(source[0]), skip_damaged)
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme in ("http", "https"):
        from gpukit.ai.batch.dicomweb import series_of_service

        return series_of_service(source)
    if scheme:
        from gpukit.ai.batch.object_store import series_of_prefix

        return series_of_prefix(source, skip_damaged=skip_damaged)
    if source.lower().endswith(_LISTS) and Path(source).is_file():
        return _listed(Path(source), skip_damaged)
    return _local(source, skip_damaged)


def _listed(file: Path, skip_damaged: bool) -> Iterator[Case]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("is no list of inputs in UTF-8 text", file=file) from error
    for line in (line.strip() for line in lines):
        if not line or line.startswith("#"):
            continue
        source = line if "://" in line else str(file.parent / line)
        try:
            yield from images_of(source, skip_damaged=skip_damaged)
        except GpukitError as error:
            yield Case(file_key(source), source, error=str(error))


def _local(source: str, skip_damaged: bool) -> list[Case]:
    """Series and volume files of a folder, file, zip or glob."""
    path = Path(source)
    if path.is_file() and _is_volume(path):
        return [_volume_file(path, path.parent)]
    volumes = []
    if path.is_dir() or (glob.has_magic(source) and not path.exists()):
        # the same walk as for DICOM: links to folders are followed, hidden files are not there
        files = [Path(place.path) for place in discover(source) if place.member is None]
        volumes = [_volume_file(p, path if path.is_dir() else p.parent) for p in files if _is_volume(p)]
    try:
        collection = collect_source(source)
    except InputNotFoundError:
        if volumes:
            return volumes
        raise
    return [*_series(collection, path, skip_damaged), *volumes]


def _is_volume(path: Path) -> bool:
    name = path.name.lower()
    return name.endswith(VOLUMES) or (name.removesuffix(".gz").endswith(".hdr") and is_of_a_pair(path))


def _series(collection: Collection, source: Path, skip_damaged: bool) -> Iterator[Case]:
    damaged: dict[str, list[str]] = defaultdict(list)
    for place, _ in collection.problems:
        file = place.partition("!")[0]
        damaged[str(Path(file).parent)].append(file)
    grouped = defaultdict(list)
    for candidate in collection.candidates:
        grouped[candidate.series.uid or candidate.planes[0].file].append(candidate)
    claimed = set()
    for uid, candidates in grouped.items():
        headers = [plane.header for candidate in candidates for plane in candidate.planes]
        files = list(dict.fromkeys(header.location.path for header in headers))
        zipped = any(header.location.member is not None for header in headers)
        folders = list(dict.fromkeys(str(Path(f).parent) for f in files))
        if not skip_damaged:
            # The reader then refuses the series in its own words: whose slice a damaged file is cannot be known.
            extra = [f for folder in folders for f in damaged.get(folder, ())]
            claimed.update(extra)
            files += [f for f in extra if f not in files]
        known = bool(_UID.fullmatch(uid))
        key = uid if known else file_key(files[0])
        shown = folders[0] if len(files) > 1 else files[0]
        study = str(headers[0].get("StudyInstanceUID", ""))
        common = Case(
            key, shown, tuple(str(Path(f).absolute()) for f in files), stamp=_stamp(files),
            about=_about(shown, source, candidates[0].series, study, file=len(files) == 1),
        )  # fmt: skip
        if zipped and known:  # other series may lie in the same file
            yield replace(common, series=uid)
        elif len(candidates) == 1 or main_candidate(candidates) is not None:
            yield common
        else:
            for number, _ in enumerate(candidates, 1):
                yield replace(common, key=f"{key}-{number}", series=number)
    if not skip_damaged:
        for place, error in collection.problems:
            if place.partition("!")[0] not in claimed:
                about = _about(place.partition("!")[0], source)
                yield Case(file_key(place), place, error=str(error), about=about)


def _volume_file(path: Path, root: Path) -> Case:
    beside = []
    # the data of these lie in another file of their name
    if path.name.lower().removesuffix(".gz").endswith((".mhd", ".nhdr", ".hdr")):
        beside = [str(p) for p in sorted(path.parent.glob(f"{glob.escape(path.stem)}.*")) if p != path]
    files = (str(path.absolute()),)
    return Case(file_key(str(path)), str(path), files, stamp=_stamp([str(path), *beside]), about=_about(path, root))


def _about(
    place: str | Path, source: Path, series: Series | None = None, study: str = "", *, file: bool = True
) -> About:
    """Where an image lies; of a folder that was named, its own name counts too."""
    root = (source if source.is_dir() else Path(place).parent if file else Path(place)).absolute().parent
    below = os.path.relpath(Path(place).absolute(), root).replace(os.sep, "/")
    if series is None:
        return About(root=str(root), below=below, file=file)
    number = "" if series.series_number is None else str(series.series_number)
    return About(
        root=str(root), below=below, file=file, study=study, series=series.uid, number=number, modality=series.modality,
        description=series.description,
    )  # fmt: skip


def _stamp(files: Iterable[str]) -> str:
    """Of files of this machine. A file that is written anew has another time, also where its size is the same."""
    parts = []
    for file in map(Path, files):
        with contextlib.suppress(OSError):  # what is gone, the reader will tell
            facts = file.stat()
            parts.append(f"{file.name} {facts.st_size} {facts.st_mtime_ns}")
    return digest("\n".join(sorted(parts)))
