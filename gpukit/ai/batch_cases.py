"""What a batch works on: cases found in folders, lists, DICOMweb services and cloud prefixes."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpukit.dicom.inputs import discover
from gpukit.dicom.read import collect_source
from gpukit.dicom.series import Collection, Series, main_candidate
from gpukit.errors import FormatError, GpukitError, InputNotFoundError

if TYPE_CHECKING:
    from gpukit.ai.batch_channels import Channels

__all__ = ["NO_IMAGES", "VOLUMES", "About", "Case", "digest", "file_key", "find_cases", "images_of", "stem_of"]

#: Suffixes of volume files.
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
#: Modalities of series without images (PS3.3 C.7.3.1.1.1).
NO_IMAGES = frozenset(
    ("ANN", "ASMT", "AU", "DOC", "ECG", "EPS", "FID", "HD", "KO", "M3D", "PLAN", "POS", "PR", "REG", "RTINTENT",
     "RTPLAN", "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SMR", "SR")
)  # fmt: skip
_LISTS = (".txt", ".list")
_TABLES = (".csv", ".tsv")
#: Of PS3.5 section 9.1; anything else in its place must not become a file's name.
_UID = re.compile(r"[0-9.]{3,64}", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class About:
    """What tells an image from others of its case.

    Parameters
    ----------
    root : str
        The folder (or bucket) in which the input lies that it was found in; empty where there are no folders.
    below : str
        Where it lies in `root`, with ``/`` between: a volume file's or a single DICOM file's path, else a series'
        folder.
    file : bool
        Whether `below` is of a file.
    study, series, number, modality, description : str
        StudyInstanceUID, SeriesInstanceUID, SeriesNumber, Modality and SeriesDescription; empty where not known.
    """

    root: str = ""
    below: str = ""
    file: bool = True
    study: str = ""
    series: str = ""
    number: str = ""
    modality: str = ""
    description: str = ""


@dataclass(frozen=True)
class Case:
    """What a model is run over once: one image, or one for each of its channels.

    Parameters
    ----------
    key : str
        Names the case in the record and its outputs: the SeriesInstanceUID (of several channels the StudyInstanceUID),
        or the file's name with a digest of the whole path. Fit for a file name.
    source : str
        For people and for the record: a folder, a file, an address. Takes no part in comparisons: one image may be
        named in several ways.
    files : tuple of str
        What is opened; empty where it must be fetched first.
    remote : str
        Address of a series or of a common prefix of `members`; empty for local files.
    members : tuple of str
        Objects of a cloud prefix.
    series : int, str or None
        Number of the candidate among those of `files`, or its UID, where there are several.
    images : int
        How many instances a service says that it has, 0 where it does not.
    error : str
        Why it cannot even be tried, else empty.
    stamp : str
        Digest of the names, sizes and times (in a store: the versions) of its files: another one is another image.
    channels : tuple of (str, Case)
        The images of a network's channels with their names, in their order; the case itself then has no files.
    about : About or None
        What tells it from other images of its case; takes no part in comparisons.
    """

    key: str
    source: str = field(compare=False)
    files: tuple[str, ...] = ()
    remote: str = ""
    members: tuple[str, ...] = ()
    series: int | str | None = None
    images: int = 0
    error: str = ""
    stamp: str = ""
    channels: tuple[tuple[str, Case], ...] = ()
    about: About | None = field(default=None, compare=False, repr=False)


def find_cases(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    skip_damaged: bool = False,
    channels: Channels | None = None,
    outside: Path | None = None,
    aside: list[Case] | None = None,
) -> list[Case]:
    """Every case that the inputs name, each once, in the order in which it is found.

    Parameters
    ----------
    inputs : path, address, or several of them
        Folders (every DICOM series and every volume file below), files, zips, globs; ``.txt`` lists with one such
        input a line, relative to the list, empty lines and those that begin with ``#`` left out; ``.csv`` and ``.tsv``
        tables with a case a line and a column a channel (`gpukit.ai.batch_channels`); DICOMweb services, studies or
        series ``http(s)://``; prefixes ``s3://``, ``gs://``, ``azure://``.
    skip_damaged : bool
        Leave DICOM files that cannot be read out. Without it, the series in whose folder one lies fail, because it may
        be a slice of theirs.
    channels : Channels, optional
        Put images together into cases of several channels, or choose one image of each study or folder.
    outside : Path, optional
        A folder whose files are no input: that of the outputs, which may lie within an input.
    aside : list, optional
        Gets the images that no channel wants.

    Returns
    -------
    list of Case
        A line of a list that leads nowhere is a case with an `Case.error`, and so is one that lacks a channel.

    Raises
    ------
    InputNotFoundError
        An input that was named outright does not exist, or there is no case at all.
    InputError, FormatError
        The choice of channels does not go with the inputs; a list or table cannot be read.
    """
    named = [inputs] if isinstance(inputs, (str, os.PathLike)) else list(inputs)
    singles: list[Case] = []
    whole: list[Case] = []
    for source in _together([os.fspath(one) for one in named]):
        if isinstance(source, str) and source.lower().endswith(_TABLES) and Path(source).is_file():
            from gpukit.ai.batch_channels import cases_of_table

            whole += cases_of_table(Path(source), channels, skip_damaged=skip_damaged)
        else:
            singles += images_of(source, skip_damaged=skip_damaged)
    if outside is not None:
        singles = [case for case in singles if not _within(case, outside)]
    if channels is not None and channels.grouped and singles:
        from gpukit.ai.batch_channels import grouped

        singles, left = grouped(list(dict.fromkeys(singles)), channels)
        if aside is not None:
            aside += left
    found: dict[str, Case] = {}
    for case in (*singles, *whole):
        twin = found.get(case.key)
        if twin is not None and twin != case:
            # Copies, or series that an anonymiser gave one UID: none may be lost for its name.
            case = replace(case, key=f"{case.key}-{digest(' '.join((case.source, *case.files)))}")
        found.setdefault(case.key, case)
    if not found:
        raise InputNotFoundError("holds no image", file=os.fspath(named[0]) if named else None)
    return list(found.values())


def _together(sources: Sequence[str]) -> Iterator[str | list[str]]:
    """The inputs; DICOM files that were named one by one, as a shell writes ``series/*.dcm`` out, as one input."""
    special = (*VOLUMES, *_LISTS, *_TABLES, ".zip")
    files = [s for s in sources if "://" not in s and not s.lower().endswith(special) and Path(s).is_file()]
    several = set(files) if len(files) > 1 else set()
    for source in sources:
        if source not in several:
            yield source
        elif source == files[0]:
            yield files


def _within(case: Case, folder: Path) -> bool:
    return bool(case.files) and all(Path(file).is_relative_to(folder) for file in case.files)


def images_of(source: str | list[str], *, skip_damaged: bool = False) -> Iterable[Case]:
    """Each series and each volume file that an input names, as a case of its own; a list is of DICOM files."""
    if isinstance(source, list):
        return _series(collect_source(source), Path(source[0]), skip_damaged)
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
            yield from images_of(source, skip_damaged=skip_damaged)
        except GpukitError as error:
            yield Case(file_key(source), source, error=str(error))


def _local(source: str, skip_damaged: bool) -> list[Case]:
    """Series and volume files of a folder, file, zip or glob."""
    path = Path(source)
    if source.lower().endswith(VOLUMES) and path.is_file():
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
    return path.name.lower().endswith(VOLUMES)


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
    if path.suffix.lower() in (".mhd", ".nhdr"):  # its data lie in another file of its name
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


def stem_of(name: str) -> str:
    """A file's name without the suffix of a volume file."""
    for suffix in sorted(VOLUMES, key=len, reverse=True):
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return name


def file_key(source: str, name: str | None = None) -> str:
    """A name for people, by default the file's, made one of its kind by a digest of the whole path."""
    stem = stem_of(Path(source).name) if name is None else name
    clean = "".join(c if c.isalnum() or c in "-_." else "-" for c in stem).strip(".-")[:60]
    # a name of a file has at most 255 bytes, which the suffix and those of unfinished files are part of
    clean = clean.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")
    whole = source if "://" in source else str(Path(source).absolute())
    return f"{clean or 'case'}-{digest(whole)}"


def digest(text: str) -> str:
    """Ten hexadecimal digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:10]
