"""DCMTK's own rendering of images and presentation states, for comparison."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

needs_dcmtk = pytest.mark.skipif(
    shutil.which("dcmj2pnm") is None or shutil.which("dcmp2pgm") is None, reason="DCMTK is not installed"
)


def dcmj2pnm(file: Path, folder: Path, *options: str) -> np.ndarray | None:
    """What DCMTK shows of the first frame; None where it cannot."""
    return _picture(["dcmj2pnm", *options, str(file)], folder)


def dcmp2pgm(file: Path, state: Path, folder: Path) -> np.ndarray | None:
    """What DCMTK shows of an image with a presentation state."""
    return _picture(["dcmp2pgm", "-p", str(state), str(file)], folder)


def _picture(command: list[str], folder: Path) -> np.ndarray | None:
    from PIL import Image

    out = folder / "dcmtk.pnm"
    out.unlink(missing_ok=True)
    done = subprocess.run([*command, str(out)], capture_output=True, timeout=120)
    return np.asarray(Image.open(out)) if done.returncode == 0 and out.exists() else None
