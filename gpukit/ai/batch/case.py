"""One case of a batch: its images and its identity."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["About", "Case", "NO_IMAGES", "VOLUMES", "digest", "file_key", "stem_of"]


#: Suffixes of volume files.
VOLUMES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd", ".nhdr")
#: Modalities of series without images (PS3.3 C.7.3.1.1.1).
NO_IMAGES = frozenset(
    ("ANN", "ASMT", "AU", "DOC", "ECG", "EPS", "FID", "HD", "KO", "M3D", "PLAN", "POS", "PR", "REG", "RTINTENT",
     "RTPLAN", "RTRECORD", "RTSEGANN", "RTSTRUCT", "RWV", "SEG", "SMR", "SR")
)  # fmt: skip
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
