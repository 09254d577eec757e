"""What is done with a damaged file: each reader and each loader of models, as users reach it."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from support.dicom_files import write_series

import gpukit as gk
from gpukit.errors import GpukitError

__all__ = ["run_target"]


def run_target(kind: str, seed: str, folder: Path, file: Path) -> None:
    """Read a damaged seed of a kind; `file` is the damaged one, `folder` holds all of the seed."""
    TARGETS[kind](seed, folder, file)


def _volume(seed: str, folder: Path, file: Path) -> None:
    if seed == "zip":
        _used(gk.open(file))
    elif seed == "dicomdir":
        _each([lambda: gk.find_series(folder / "DICOMDIR"), lambda: _used(gk.open(folder / "DICOMDIR"))])
    else:
        _each([lambda: gk.find_series(folder), lambda: _used(gk.open(folder)), lambda: _used(gk.open(file))])


def _single(seed: str, folder: Path, file: Path) -> None:
    main = next((path for path in folder.iterdir() if path.suffix in (".hdr", ".nhdr", ".mhd")), file)
    _each([lambda: _used(gk.open(main)), lambda: _used(gk.open_mask(main, _image()))])


def _objects(seed: str, folder: Path, file: Path) -> None:
    from gpukit.dicom.pr.gsps_read import read_gsps
    from gpukit.dicom.sr.content_tree import read_content_tree
    from gpukit.findings.read import read_measurements
    from gpukit.io.masks import mask_labels

    _each([
        lambda: gk.find_series(file), lambda: _used(gk.open_mask(file, _image())), lambda: mask_labels(file),
        lambda: read_measurements(file), lambda: read_content_tree(file), lambda: read_gsps(file),
    ])  # fmt: skip


def _tables(seed: str, folder: Path, file: Path) -> None:
    from gpukit.files.markups import read_centerline
    from gpukit.findings.read import read_measurements
    from gpukit.rendering.scene.transfer_function import read_transfer

    if seed.startswith("measurements"):
        read_measurements(file)
    elif seed == "transfer":
        read_transfer(file)
    else:
        read_centerline(file)


def _models(seed: str, folder: Path, file: Path) -> None:
    from gpukit.ai.registry.find import find_model
    from gpukit.ai.runtimes import choose

    place = folder
    if seed == "nnunet":
        place = next(path for path in folder.rglob("plans.json")).parent
    model = find_model(place)
    choose(model).load(model, "cpu", "auto")


def _packages(seed: str, folder: Path, file: Path) -> None:
    from gpukit.ai.registry.packages import add, import_package
    from gpukit.ai.registry.store import Store

    with tempfile.TemporaryDirectory() as place:
        if seed == "package":
            import_package(Store(place), file)
        else:
            add(Store(place), str(file))


@functools.cache
def _image() -> gk.Volume:
    """The image that masks of the seeds belong to."""
    with tempfile.TemporaryDirectory() as place:
        write_series(Path(place), np.zeros((4, 8, 10), np.int16), np.diag([0.7, 0.8, 2.0, 1.0]))
        return gk.open(place)


def _used(thing: Any) -> None:
    """Touch all voxels, and what is known of them."""
    float(np.asarray(thing.array, np.float64).sum())
    str(thing.grid)


def _each(steps: list[Callable[[], Any]]) -> None:
    """All steps, whatever of them gpukit refuses; the last refusal is passed on."""
    refusal = None
    for step in steps:
        try:
            step()
        except GpukitError as error:
            refusal = error
    if refusal is not None:
        raise refusal


TARGETS: dict[str, Callable[[str, Path, Path], None]] = {
    "dicom": _volume,
    "encoded": _volume,
    "objects": _objects,
    "nifti": _single,
    "nrrd": _single,
    "metaimage": _single,
    "tables": _tables,
    "models": _models,
    "packages": _packages,
}
