"""Find the cases of a batch: local files and folders, tables, object stores, DICOMweb services."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gpukit.errors import InputNotFoundError

if TYPE_CHECKING:
    from gpukit.ai.batch.channels import Channels
from gpukit.ai.batch.case import VOLUMES, Case, digest
from gpukit.ai.batch.inputs import _LISTS, images_of

__all__ = ["find_cases"]


_TABLES = (".csv", ".tsv")


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
        tables with a case a line and a column a channel (`gpukit.ai.batch.channels`); DICOMweb services, studies or
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
            from gpukit.ai.batch.channels import cases_of_table

            whole += cases_of_table(Path(source), channels, skip_damaged=skip_damaged)
        else:
            singles += images_of(source, skip_damaged=skip_damaged)
    if outside is not None:
        singles = [case for case in singles if not _within(case, outside)]
    if channels is not None and channels.grouped and singles:
        from gpukit.ai.batch.channels import grouped

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
    special = (*VOLUMES, ".hdr", ".hdr.gz", *_LISTS, *_TABLES, ".zip")
    files = [s for s in sources if "://" not in s and not s.lower().endswith(special) and Path(s).is_file()]
    several = set(files) if len(files) > 1 else set()
    for source in sources:
        if source not in several:
            yield source
        elif source == files[0]:
            yield files


def _within(case: Case, folder: Path) -> bool:
    return bool(case.files) and all(Path(file).is_relative_to(folder) for file in case.files)
