"""`save`: one verb for every file format; the suffix decides, or `format` does."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from gpukit.documents.atomic import atomic_path, check_output
from gpukit.errors import OutputError
from gpukit.ops.windowing import Window
from gpukit.profiling import in_stage
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["FORMATS", "format_of", "save"]

#: Format -> suffixes that mean it; the first is the one that gpukit gives.
FORMATS: dict[str, tuple[str, ...]] = {
    "nifti": (".nii.gz", ".nii"),
    "metaimage": (".mha", ".mhd"),
    "nrrd": (".nrrd", ".nhdr"),
    "raw": (".raw",),
    "png": (".png",),
    "dicom-seg": (".dcm",),
    "dicom": (),
    "dicom-seg-labelmap": (),
    "dicom-seg-fractional": (),
    "dicom-rtstruct": (),
}


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that a file name's suffix stands for.

    Raises
    ------
    OutputError
        The suffix stands for none.
    """
    name = Path(path).name.lower()
    for kind, suffixes in FORMATS.items():
        if suffixes and name.endswith(suffixes):
            return kind
    endings = ", ".join(suffix for suffixes in FORMATS.values() for suffix in suffixes)
    raise OutputError("the name's suffix stands for no format", file=path, fix=f"use one of {endings}, or say format=")


@in_stage("writing")
def save(
    thing: Volume | Segmentation,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,
    force: bool = False,
    window: Window | None = None,
    compress: bool = True,
) -> Path:
    """Write a volume or a segmentation to a file, whole or not at all.

    Parameters
    ----------
    thing : Volume or Segmentation
        What to write; on any device.
    path : path-like
        Where to.
    format : str or None
        ``nifti``, ``metaimage``, ``nrrd``, ``raw`` (with JSON beside it), ``png`` (one slice); for a `Segmentation`
        ``dicom-seg`` (one bit plane a label), ``dicom-seg-labelmap``, ``dicom-seg-fractional`` (probabilities) or
        ``dicom-rtstruct`` (outlines); for a `Volume` ``dicom``, a derived series: `path` is a folder, or for one slice
        a ``.dcm`` file. None takes it from the suffix (`FORMATS`; ``.dcm`` is what suits the thing).
    force : bool
        Overwrite an existing file.
    window : Voi, tuple of float or None
        For ``png`` and ``dicom``: a VOI function, or the values shown black and white; None takes the own window of the
        image, else its range.
    compress : bool
        For ``dicom-seg-labelmap``: in RLE Lossless, else as it is.

    Returns
    -------
    Path
        The file written.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    OutputError
        The format is unknown, does not suit the thing, or the file cannot be written.
    """
    kind = format or format_of(path)
    if format is None and kind == "dicom-seg" and isinstance(thing, Volume):
        kind = "dicom"
    if kind not in FORMATS:
        raise OutputError(f"unknown format {kind!r}", file=path, fix=f"use one of {', '.join(FORMATS)}")
    if window is not None and kind not in ("png", "dicom"):
        raise OutputError(f"a window is for pictures, not for {kind}", file=path)
    if kind == "dicom":
        return _save_derived(thing, Path(path), window=window, force=force)
    target = check_output(path, force=force)
    if kind.startswith("dicom-seg"):
        _save_seg(thing, target, kind.removeprefix("dicom-seg").removeprefix("-"), compress=compress, force=force)
    elif kind == "dicom-rtstruct":
        _save_rtstruct(thing, target, force=force)
    elif kind == "png":
        from gpukit.display.picture import write_picture

        if isinstance(thing, Segmentation):
            raise OutputError("a label map alone makes no picture", file=path, fix="save it as nifti or dicom-seg")
        write_picture(thing, target, window=window, force=force)
    else:
        _volume_writer(kind)(thing, target, force=force)
    return target


def _volume_writer(kind: str) -> Callable[..., None]:
    if kind == "nifti":
        from gpukit.files.nifti import write_nifti

        return write_nifti
    if kind == "metaimage":
        from gpukit.files.metaimage import write_metaimage

        return write_metaimage
    if kind == "raw":
        from gpukit.files.raw import write_raw

        return write_raw
    from gpukit.files.nrrd import write_nrrd

    return write_nrrd


def _save_derived(thing: Volume | Segmentation, target: Path, *, window: Window | None, force: bool) -> Path:
    if isinstance(thing, Segmentation):
        raise OutputError("a label map is not an image series", file=target, fix="save it as dicom-seg")
    from gpukit.dicom.derived.encode import save_image
    from gpukit.dicom.derived.write import derived_images, write_derived

    if not target.name.lower().endswith(".dcm"):
        write_derived(thing, target, window=window, force=force)
        return target
    check_output(target, force=force)
    if thing.grid.shape[0] > 1:
        raise OutputError(
            f"{thing.grid.shape[0]} slices do not go into one file", file=target, fix="name a folder, without .dcm"
        )
    with atomic_path(target, force=force) as temporary:
        save_image(next(derived_images(thing, window=window)), temporary)
    return target


def _save_seg(thing: Volume | Segmentation, target: Path, kind: str, *, compress: bool, force: bool) -> None:
    if not isinstance(thing, Segmentation):
        raise OutputError("a volume is not a DICOM segmentation", file=target, fix="save it as dicom or nifti")
    from gpukit.dicom.segmentation.seg_write import Kind, write_seg

    kinds: dict[str, Kind] = {"": "binary", "labelmap": "labelmap", "fractional": "fractional"}
    with atomic_path(target, force=force) as temporary:
        write_seg(thing, temporary, kind=kinds[kind], compress=compress)


def _save_rtstruct(thing: Volume | Segmentation, target: Path, *, force: bool) -> None:
    if not isinstance(thing, Segmentation):
        raise OutputError("a volume is not a structure set", file=target, fix="save it as dicom or nifti")
    from gpukit.dicom.segmentation.rtstruct_write import write_rtstruct

    with atomic_path(target, force=force) as temporary:
        write_rtstruct(thing, temporary)
