"""The record of a batch: one JSON line a case, written after the case's outputs are in place.

The first line says which job it is; each further line is one attempt at a case, and the last line of a case counts.
A line is appended with one write and flushed to the disk, so a run that is killed loses at most the line that it was
writing; such a torn line is cut off when the record is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gpukit.documents.lock import FileLock
from gpukit.errors import FormatError, OutputError, OutputExistsError

__all__ = ["MANIFEST", "Manifest", "Running"]

MANIFEST = "manifest.jsonl"
_RUNNING = ".running.jsonl"
SCHEMA_VERSION = 1


class Manifest:
    """The record in an output folder, locked for one run at a time.

    Parameters
    ----------
    folder : Path
        Of the outputs; exists.
    job : mapping
        What identifies the job: outputs of another one must not be taken for this one's. Ready for JSON.
    force : bool
        Start anew where the record is another job's.

    Raises
    ------
    OutputError
        Another run is at work in the folder.
    OutputExistsError
        The folder holds another job's results, or files that no batch made.
    FormatError
        The record is damaged elsewhere than in its last line.
    """

    def __init__(self, folder: Path, job: Mapping[str, Any], *, force: bool = False) -> None:
        self.file = folder / MANIFEST
        self.rows: dict[str, dict[str, Any]] = {}
        fresh = not self.file.exists()
        others = [p.name for p in folder.iterdir() if not p.name.startswith(".")] if fresh else []
        if others and not force:
            raise OutputExistsError(
                f"the folder holds files that no batch made, such as {min(others)}",
                file=folder,
                fix="name a new folder, or say --force to write among them",
            )
        self._lock = FileLock(self.file, busy="another batch is at work in this folder")
        self._handle = os.open(self.file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        try:
            self._lock.__enter__()
            # Through JSON and back, so that tuples and lists compare as they are stored.
            identity = json.loads(json.dumps(job))
            head = self._load()
            if head is not None and head.get("job") != identity:
                if not force:
                    raise OutputExistsError(
                        f"the folder holds results of another job ({_difference(head.get('job'), identity)})",
                        file=folder,
                        fix="name a new folder, or say --force to start anew",
                    )
                head = None
            if head is None:
                os.ftruncate(self._handle, 0)
                self.rows.clear()
                self._append({"schema_version": SCHEMA_VERSION, "job": identity})
            self.running = Running(folder / _RUNNING)
        except BaseException:
            self._lock.__exit__(None, None, None)
            os.close(self._handle)
            raise

    def done(self, case: str) -> bool:
        """Whether the case's outputs are in place."""
        row = self.rows.get(case)
        return row is not None and row.get("status") == "done"

    def add(self, row: Mapping[str, Any]) -> None:
        """Append a case's row; it is on the disk when this returns."""
        self._append(row)
        self.rows[str(row["case"])] = dict(row)

    @property
    def note(self) -> str:
        """What the user must know of the way in which the folder is locked, or an empty text."""
        return self._lock.note

    def close(self) -> None:
        """Let the next run in."""
        self.running.close()
        os.close(self._handle)
        self._lock.__exit__(None, None, None)

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the next run in."""
        self.close()

    def _append(self, row: Mapping[str, Any]) -> None:
        # a name that is not UTF-8 is escaped as JSON escapes it, and is read back as it was
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8", "backslashreplace")
        try:
            written = os.write(self._handle, line)
            if written != len(line):
                raise OutputError("the disk is full", file=self.file)
            os.fsync(self._handle)
        except OSError as error:
            if isinstance(error, OutputError):
                raise
            raise OutputError(f"cannot be written: {error.strerror}", file=self.file) from error

    def _load(self) -> dict[str, Any] | None:
        """The first line; the rows of the others are kept. A last line without its end is cut off."""
        content = self.file.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole != len(content):
            os.ftruncate(self._handle, whole)
        head: dict[str, Any] | None = None
        for number, line in enumerate(content[:whole].splitlines(), 1):
            try:
                row = json.loads(line)
                if head is None:
                    if row["schema_version"] != SCHEMA_VERSION:
                        raise ValueError
                    head = row
                else:
                    self.rows[str(row["case"])] = row
            except (ValueError, KeyError, TypeError):
                raise FormatError(
                    f"line {number} is no row of a batch", file=self.file, fix="name a new folder for the outputs"
                ) from None
        return head


class Running:
    """The cases that are at work now, on the disk before their work begins.

    A process that ends with all it has, such as within a library that a damaged file brings down, leaves the names of
    these cases behind; any other end removes them.

    Parameters
    ----------
    file : Path
        Is read, then made anew.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        #: Cases that were at work when earlier processes ended without their own clean-up, and how many of these ended.
        self.left = _left(file)
        #: Cases whose work ended in this process.
        self.ended: set[str] = set()
        self._handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o666)
        for case in self.left:  # until each of them has begun again
            self._write(case, "begins")

    def begin(self, case: str) -> None:
        """Before a case's work begins."""
        self._write(case, "begins")

    def end(self, case: str) -> None:
        """When its row is in the record."""
        self.ended.add(case)
        self._write(case, "ends")

    def close(self) -> None:
        """At an end that is not sudden."""
        os.close(self._handle)
        self.file.unlink(missing_ok=True)

    def _write(self, case: str, moment: str) -> None:
        try:
            row = {"case": case, "moment": moment, "ends": self.left.get(case, 0)}
            os.write(self._handle, (json.dumps(row) + "\n").encode())
            os.fsync(self._handle)
        except OSError as error:
            raise OutputError(f"cannot be written: {error.strerror}", file=self.file) from error


def _left(file: Path) -> dict[str, int]:
    """Cases that began and did not end, and sudden ends, by the order in which they began; no torn line counts."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError:
        return {}
    found: dict[str, int] = {}
    for line in lines:
        try:
            row = json.loads(line)
            case, moment, ends = str(row["case"]), row["moment"], int(row["ends"])
        except (ValueError, KeyError, TypeError):
            continue
        if moment == "begins":
            found[case] = ends + 1
        else:
            found.pop(case, None)
    return found


def _difference(old: Any, new: Mapping[str, Any]) -> str:
    if not isinstance(old, dict):
        return "of unknown kind"
    names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    return f"another {', '.join(names)}"
