"""The library of a web viewer, @cornerstonejs/adapters, as a reader of what is written."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

from support.npm import npm_folder

__all__ = ["read_by_a_web_viewer"]

#: Pinned, because a viewer's library changes what it takes.
ADAPTERS = ("@cornerstonejs/adapters@5.14.0", "@babel/runtime@7")


def node_folder() -> Path:
    """Folder with the viewer's library."""
    return npm_folder("gpukit-node", *ADAPTERS, purpose="the web viewer's library")


def read_by_a_web_viewer(script: str, path: Path, sources: Any, folder: Path) -> Any:
    """What a script beside this module prints of a file, given the images that the file refers to."""
    (folder / "sources.json").write_text(json.dumps(sources))
    copy = folder / script  # modules are looked for from where the script is
    for name in (script, "cornerstone_slices.mjs"):
        shutil.copy(Path(__file__).with_name(name), folder / name)
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(node_folder() / "node_modules")
    command = ["node", copy, path, folder / "sources.json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
