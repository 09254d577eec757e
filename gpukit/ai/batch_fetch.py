"""Bringing a remote case near, into a folder that is emptied when the case is done."""

from __future__ import annotations

import shutil
from pathlib import Path

from gpukit.ai.batch_cases import Case

__all__ = ["fetch"]


def fetch(case: Case, folder: Path) -> tuple[str, ...]:
    """The case's files, fetched into `folder`.

    Raises
    ------
    InputError
        It cannot be fetched whole.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for level in (folder.parent.parent, folder.parent, folder):
        level.mkdir(exist_ok=True, mode=0o700)
    if case.members:
        from gpukit.ai.batch_cloud import fetch_objects

        return tuple(fetch_objects(case, folder))
    from gpukit.ai.batch_dicomweb import fetch_series

    return tuple(fetch_series(case, folder))
