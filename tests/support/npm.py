"""Packages of npm that tests run, installed once an environment."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

__all__ = ["npm_folder"]


def npm_folder(name: str, *packages: str, purpose: str) -> Path:
    """Folder whose ``node_modules`` holds the packages, pinned as ``name@version``; the test is skipped without npm."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip(f"Node.js, which runs {purpose}, is not here (packages nodejs and npm)")
    folder = Path(sys.prefix) / "share" / name
    folder.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if not (folder / "complete").exists():
            (folder / "package.json").write_text("{}")
            command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", *packages]
            done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=400)
            if done.returncode:
                pytest.skip(f"npm could not install {packages[0]}: {done.stderr.strip()[-200:]}")
            (folder / "complete").touch()
    return folder


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Test processes run side by side, and one of them installs."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
