"""The sentences about optional packages that are missing: one place, one form, a command that can be copied."""

from __future__ import annotations

import functools
import json
from os import PathLike
from urllib.parse import unquote, urlsplit

from gpukit.errors import DependencyError

__all__ = ["install_command", "missing_package"]


def install_command(*extras: str) -> str:
    """The command that installs extras of this gpukit, such as ``pip install "gpukit[viz]"``.

    Where gpukit was installed from a folder or a file, the command names it, because no package index has gpukit then.

    Parameters
    ----------
    *extras : str
        Names of ``pyproject.toml``.
    """
    names = ",".join(extras)
    source, editable = _source()
    if source is None:
        return f'pip install "gpukit[{names}]"'
    if "://" in source:
        return f'pip install "gpukit[{names}] @ {source}"'
    return f'pip install {"-e " if editable else ""}"{source}[{names}]"'


def missing_package(
    purpose: str, *extras: str, instead: str | None = None, file: str | PathLike[str] | None = None
) -> DependencyError:
    """The error for a purpose whose package is not installed.

    Parameters
    ----------
    purpose : str
        What needs which package, such as ``"pictures need Pillow"``.
    *extras : str
        The extras of gpukit that bring the package.
    instead : str, optional
        What the user can do without it, as a clause that follows "or".
    file : path, optional
        The file for which it is needed.
    """
    command = install_command(*extras)
    fix = f"run: {command}" if instead is None else f"run: {command}, or {instead}"
    return DependencyError(purpose, file=file, fix=fix)


@functools.cache
def _source() -> tuple[str | None, bool]:
    """Where gpukit was installed from, if not from an index (PEP 610), and whether it is editable."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        text = distribution("gpukit").read_text("direct_url.json")
        record = json.loads(text) if text else {}
        url, folder, version = record.get("url", ""), record.get("dir_info", {}), record.get("vcs_info", {})
        if url.startswith("file:"):
            return unquote(urlsplit(url).path), bool(folder.get("editable"))
        if version:
            commit = version.get("commit_id")
            return f"{version['vcs']}+{url}" + (f"@{commit}" if commit else ""), False
        return (url or None), False
    except (PackageNotFoundError, ValueError, KeyError, AttributeError):
        return None, False
