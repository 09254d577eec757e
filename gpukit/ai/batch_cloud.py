"""Cases under a prefix of an object store."""

from __future__ import annotations

import io
import re
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from gpukit.ai.batch_cases import VOLUMES, Case, file_key
from gpukit.ai.batch_stores import CONNECTIONS, Store, said, store_of
from gpukit.errors import FormatError, InputNotFoundError

__all__ = ["fetch_objects", "series_of_prefix"]

#: SeriesInstanceUID mostly lies within the first of these many bytes of a file. Attributes before it may be long (the
#: references of derived objects, private groups), so more is read where it does not.
_HEADS = (1 << 16, 1 << 20, 1 << 24)
_SERIES = 0x0020000E
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
        listed = [(name, size) for name, size in inside if size or not name.endswith("/")]  # consoles make "folders"
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            uids = list(pool.map(lambda entry: _look(store, f"{bucket}/{entry[0]}", *entry), listed))
    names = [name for name, _ in listed]
    volumes: list[Case] = []
    groups: dict[str, list[str]] = defaultdict(list)
    damaged: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for name, uid in zip(names, uids, strict=True):
        if name.lower().endswith(VOLUMES):
            whole = f"{bucket}/{name}"
            members = tuple(f"{bucket}/{n}" for n in (name, *_beside(name, names)))
            volumes.append(Case(file_key(whole), whole, remote=address, members=members))
        elif _UID.fullmatch(uid):
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
        cases.append(Case(uid, f"{bucket}/{where}", remote=address, members=members, error=error))
    cases += volumes
    for name, problem in (pair for pairs in damaged.values() for pair in pairs):
        if name not in claimed:
            whole = f"{bucket}/{name}"
            cases.append(Case(file_key(whole), whole, error=f"{whole}: {problem}"))
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


def _look(store: Store, address: str, name: str, size: int) -> str:
    """SeriesInstanceUID of a DICOM object, or what stands in its place."""
    if name.lower().endswith(VOLUMES):
        return _OTHER
    if not size:  # an upload that broke off leaves nothing of a slice but its name
        return _DAMAGED if name.lower().endswith((".dcm", ".dicom")) else _OTHER
    uid = _DAMAGED
    for count in _HEADS:
        try:
            with said(address):
                head = store.head(name, count)
        except InputNotFoundError:
            return _GONE
        except FormatError:
            return _ARCHIVED
        if head[128:132] != b"DICM":
            return _OTHER
        uid = _series_uid(head)
        if _UID.fullmatch(uid) or len(head) < count:
            break
    return uid


def _series_uid(head: bytes) -> str:
    from pydicom.filereader import read_partial

    try:
        header = read_partial(io.BytesIO(head), stop_when=lambda tag, vr, length: tag > _SERIES)
        uid = str(header.get("SeriesInstanceUID", ""))
    except Exception:  # a hostile header may raise anything
        return _DAMAGED
    return uid if _UID.fullmatch(uid) else _DAMAGED


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _beside(name: str, names: list[str]) -> tuple[str, ...]:
    """Data files of a header of two files: those of its name with another suffix, in its folder."""
    if not name.lower().endswith((".mhd", ".nhdr")):
        return ()
    stem = name.rpartition(".")[0] + "."
    return tuple(n for n in names if n.startswith(stem) and n != name and "/" not in n[len(stem) :])
