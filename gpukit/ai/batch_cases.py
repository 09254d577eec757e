"""What a batch works on: cases found in folders, lists, DICOMweb services and cloud prefixes."""

from __future__ import annotations

import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpukit.dicom.read import collect_source
from gpukit.dicom.series import Collection, main_candidate
from gpukit.errors import FormatError, GpukitError, InputNotFoundError

__all__ = ["VOLUMES", "Case", "file_key", "find_cases"]

#: Suffixes of volume files.
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
_LISTS = (".txt", ".list")
#: Of PS3.5 section 9.1; anything else in its place must not become a file's name.
_UID = re.compile(r"[0-9.]{3,64}", re.ASCII)


@dataclass(frozen=True)
class Case:
    """One image to run a model over.

    Parameters
    ----------
    key : str
        Names the case in the record and its outputs: the SeriesInstanceUID, or the file's path below its folder with
        a digest of the whole path. Fit for a file name.
    source : str
        For people and for the record: a folder, a file, an address.
    files : tuple of str
        What is opened; empty where it must be fetched first.
    remote : str
        Address of a series or of a common prefix of `members`; empty for local files.
    members : tuple of str
        Objects of a cloud prefix.
    series : int or None
        Number of the candidate among those of `files`, where there are several.
    images : int
        How many instances a service says that it has, 0 where it does not.
    error : str
        Why it cannot even be tried, else empty.
    """

    key: str
    source: str
    files: tuple[str, ...] = ()
    remote: str = ""
    members: tuple[str, ...] = ()
    series: int | None = None
    images: int = 0
    error: str = ""


def find_cases(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]], *, skip_damaged: bool = False
) -> list[Case]:
    """Every case that the inputs name, each once, in the order in which it is found.

    Parameters
    ----------
    inputs : path, address, or several of them
        Folders (every DICOM series and every volume file below), files, zips, globs; ``.txt`` lists with one such
        input a line, relative to the list, empty lines and those that begin with ``#`` left out; DICOMweb services,
        studies or series ``http(s)://``; prefixes ``s3://``, ``gs://``, ``azure://``.
    skip_damaged : bool
        Leave DICOM files that cannot be read out. Without it, the series in whose folder one lies fail, because it may
        be a slice of theirs.

    Returns
    -------
    list of Case
        A line of a list that leads nowhere is a case with an `Case.error`.

    Raises
    ------
    InputNotFoundError
        An input that was named outright does not exist, or there is no case at all.
    """
    named = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    found: dict[str, Case] = {}
    for one in named:
        for case in _cases(os.fspath(one), skip_damaged):
            twin = found.get(case.key)
            if twin is not None and twin != case:
                # Copies, or series that an anonymiser gave one UID: none may be lost for its name.
                case = replace(case, key=f"{case.key}-{_digest(' '.join((case.source, *case.files)))}")
            found.setdefault(case.key, case)
    if not found:
        raise InputNotFoundError("holds no image", file=os.fspath(named[0]) if named else None)
    return list(found.values())


def _cases(source: str, skip_damaged: bool) -> Iterable[Case]:
    scheme = source.partition("://")[0].lower() if "://" in source else ""
    if scheme in ("http", "https"):
        from gpukit.ai.batch_dicomweb import series_of_service

        return series_of_service(source)
    if scheme:
        from gpukit.ai.batch_cloud import series_of_prefix

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
            yield from _cases(source, skip_damaged)
        except GpukitError as error:
            yield Case(file_key(source), source, error=str(error))


def _local(source: str, skip_damaged: bool) -> list[Case]:
    """Series and volume files of a folder, file, zip or glob."""
    path = Path(source)
    if source.lower().endswith(VOLUMES) and path.is_file():
        return [_volume_file(path)]
    volumes = []
    if path.is_dir():
        volumes = [_volume_file(p) for p in sorted(path.rglob("*")) if p.name.lower().endswith(VOLUMES)]
    try:
        collection = collect_source(source)
    except InputNotFoundError:
        if volumes:
            return volumes
        raise
    return [*_series(collection, source, skip_damaged), *volumes]


def _series(collection: Collection, source: str, skip_damaged: bool) -> Iterator[Case]:
    damaged: dict[str, list[str]] = defaultdict(list)
    for place, _ in collection.problems:
        file = place.partition("!")[0]
        damaged[str(Path(file).parent)].append(file)
    grouped = defaultdict(list)
    for candidate in collection.candidates:
        grouped[candidate.series.uid or candidate.planes[0].file].append(candidate)
    claimed = set()
    for uid, candidates in grouped.items():
        files = list(dict.fromkeys(p.header.location.path for c in candidates for p in c.planes))
        folders = list(dict.fromkeys(str(Path(f).parent) for f in files))
        if not skip_damaged:
            # The reader then refuses the series in its own words: whose slice a damaged file is cannot be known.
            extra = [f for folder in folders for f in damaged.get(folder, ())]
            claimed.update(extra)
            files += [f for f in extra if f not in files]
        key = uid if _UID.fullmatch(uid) else file_key(files[0])
        shown = folders[0] if len(files) > 1 else files[0]
        if len(candidates) == 1 or main_candidate(candidates) is not None:
            yield Case(key, shown, tuple(files))
            continue
        for number, _ in enumerate(candidates, 1):
            yield Case(f"{key}-{number}", shown, tuple(files), series=number)
    if not skip_damaged:
        for place, error in collection.problems:
            if place.partition("!")[0] not in claimed:
                yield Case(file_key(place), place, error=str(error))


def _volume_file(path: Path) -> Case:
    return Case(file_key(str(path)), str(path), (str(path),))


def file_key(source: str) -> str:
    """A name for people, made one of its kind by a digest of the whole path."""
    stem = Path(source).name
    for suffix in sorted(VOLUMES, key=len, reverse=True):
        stem = stem[: -len(suffix)] if stem.lower().endswith(suffix) else stem
    clean = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip(".-")[:60]
    whole = source if "://" in source else str(Path(source).absolute())
    return f"{clean or 'case'}-{_digest(whole)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
