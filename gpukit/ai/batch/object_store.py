"""Cases under a prefix of an object store."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

from gpukit.ai.batch.case import NO_IMAGES, VOLUMES, About, Case, digest, file_key
from gpukit.errors import FormatError, InputNotFoundError
from gpukit.remote.object_store import CONNECTIONS, Store, said, store_of

__all__ = ["fetch_objects", "series_of_prefix"]

#: SeriesInstanceUID mostly lies within the first of these many bytes of a file. Attributes before it may be long (the
#: references of derived objects, private groups), so more is read where it does not.
_HEADS = (1 << 16, 1 << 20, 1 << 24)
#: SeriesNumber, the last of what tells a series; all lies close to the UID.
_LAST = 0x00200011
_UID = re.compile(r"[0-9.]{3,64}", re.ASCII)
#: What stands in place of a UID.
_OTHER, _DAMAGED = "", "is DICOM, and its header cannot be read"
_GONE, _ARCHIVED = "went away while the prefix was looked through", "lies in an archive tier: restore it first"


def series_of_prefix(address: str, *, skip_damaged: bool = False) -> list[Case]:
    """Every DICOM series and every volume file below a prefix; the first bytes of each object are looked at.

    Parameters
    ----------
    address : str
        ``s3://``, ``gs://`` or ``azure://``, then ``BUCKET/PREFIX``. The prefix is a folder or one object, not the
        beginning of a name.
    skip_damaged : bool
        Leave DICOM objects that cannot be read out. Without it, the series in whose folder one lies fail, because it
        may be a slice of theirs.

    Raises
    ------
    InputError
        The store cannot be reached, refuses, or is of a kind that is not known.
    InputNotFoundError
        There is no such bucket, or no image below the prefix.
    DependencyError
        The package for the store is not installed.
    """
    store, key = store_of(address)
    bucket = "/".join(address.split("/", 3)[:3])
    with said(address):
        inside = (e for e in store.list(key) if not key or e[0] == key or e[0].startswith(f"{key}/"))
        listed = [e for e in inside if e[1] or not e[0].endswith("/")]  # consoles make "folders"
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            looks = list(pool.map(lambda entry: _look(store, f"{bucket}/{entry[0]}", entry[0], entry[1]), listed))
    names = [name for name, _, _ in listed]
    stamps = {name: f"{name.rpartition('/')[2]} {size} {version}" for name, size, version in listed}
    abouts = {about.series: about for _, about in looks if about is not None}
    outer = key.rpartition("/")[0] + "/" if "/" in key else ""
    root = f"{bucket}/{outer}".rstrip("/")

    def stamped(several: Sequence[str]) -> str:
        return digest("\n".join(sorted(stamps[name] for name in several)))

    def placed(name: str, uid: str = "", *, file: bool = True) -> About:
        return replace(abouts.get(uid, About()), root=root, below=name.removeprefix(outer), file=file)

    volumes: list[Case] = []
    groups: dict[str, list[str]] = defaultdict(list)
    damaged: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, (uid, _) in zip(names, looks, strict=True):
        if name.lower().endswith(VOLUMES):
            whole = f"{bucket}/{name}"
            several = (name, *_beside(name, names))
            members = tuple(f"{bucket}/{n}" for n in several)
            stamp = stamped(several)
            volumes.append(
                Case(file_key(whole), whole, remote=address, members=members, stamp=stamp, about=placed(name))
            )
        elif _UID.fullmatch(uid):
            if abouts[uid].modality.upper() not in NO_IMAGES:
                groups[uid].append(name)
        elif uid in (_GONE, _ARCHIVED) or (uid and not skip_damaged):
            damaged[_folder(name)].append((name, uid))
    cases: list[Case] = []
    claimed: set[str] = set()
    for uid, members_of in groups.items():
        extra = [pair for folder in dict.fromkeys(map(_folder, members_of)) for pair in damaged.get(folder, ())]
        claimed.update(name for name, _ in extra)
        where = _folder(members_of[0]) if len(members_of) > 1 else members_of[0]
        members = tuple(f"{bucket}/{name}" for name in members_of)
        error = f"{bucket}/{extra[0][0]}: {extra[0][1]}; it may be a slice of the series in its folder" if extra else ""
        about = placed(where, uid, file=len(members_of) == 1)
        stamp = stamped([*members_of, *(name for name, _ in extra)])
        cases.append(
            Case(uid, f"{bucket}/{where}", remote=address, members=members, error=error, stamp=stamp, about=about)
        )
    cases += volumes
    for name, problem in (pair for pairs in damaged.values() for pair in pairs):
        if name not in claimed:
            whole = f"{bucket}/{name}"
            cases.append(Case(file_key(whole), whole, error=f"{whole}: {problem}", stamp=stamped([name])))
    if not cases:
        raise InputNotFoundError("holds no image", file=address)
    return cases


def fetch_objects(case: Case, folder: Path) -> list[str]:
    """The case's objects as files in a folder; of a volume file the header alone is what is opened.

    Raises
    ------
    InputError
        One cannot be fetched.
    """
    is_volume = case.members[0].lower().endswith(VOLUMES)
    store, _ = store_of(case.members[0])

    def get(numbered: tuple[int, str]) -> str:
        number, address = numbered
        name = address.split("/", 3)[3]
        # the data file of a header goes by its own name
        target = folder / (name.rpartition("/")[2] if is_volume else f"{number:06d}.dcm")
        with said(address):
            store.download(name, target)
        return str(target)

    with ThreadPoolExecutor(min(CONNECTIONS, len(case.members))) as pool:
        try:
            files = list(pool.map(get, enumerate(case.members)))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)  # what is on its way ends, and no more begins
            raise
    return files[:1] if is_volume else files


def _look(store: Store, address: str, name: str, size: int) -> tuple[str, About | None]:
    """SeriesInstanceUID of a DICOM object and what else tells the series, or what stands in their place."""
    if name.lower().endswith(VOLUMES):
        return _OTHER, None
    if not size:  # an upload that broke off leaves nothing of a slice but its name
        return (_DAMAGED if name.lower().endswith((".dcm", ".dicom")) else _OTHER), None
    about = None
    for count in _HEADS:
        try:
            with said(address):
                head = store.head(name, count)
        except InputNotFoundError:
            return _GONE, None
        except FormatError:
            return _ARCHIVED, None
        if head[128:132] != b"DICM":
            return _OTHER, None
        about = _about(head)
        if about is not None or len(head) < count:
            break
    return (_DAMAGED, None) if about is None else (about.series, about)


def _about(head: bytes) -> About | None:
    from pydicom.filereader import read_partial

    try:
        header = read_partial(io.BytesIO(head), stop_when=lambda tag, vr, length: tag > _LAST)
        uid, study, number, modality, description = (
            str(header.get(keyword) or "")
            for keyword in ("SeriesInstanceUID", "StudyInstanceUID", "SeriesNumber", "Modality", "SeriesDescription")
        )
    except Exception:  # a hostile header may raise anything
        return None
    if not _UID.fullmatch(uid):
        return None
    return About(study=study, series=uid, number=number, modality=modality, description=description)


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _beside(name: str, names: list[str]) -> tuple[str, ...]:
    """Data files of a header of two files: those of its name with another suffix, in its folder."""
    if not name.lower().endswith((".mhd", ".nhdr")):
        return ()
    stem = name.rpartition(".")[0] + "."
    return tuple(n for n in names if n.startswith(stem) and n != name and "/" not in n[len(stem) :])
