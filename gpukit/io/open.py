"""Opening: from what a user names to a volume, whatever the format."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.errors import InputError
from gpukit.profiling import stage

if TYPE_CHECKING:
    from gpukit.dicom.series.candidates import Collection, Series
    from gpukit.dicom.series.read import Progress, Tilt
    from gpukit.dicom.series.read_each import Opened
    from gpukit.volume import Volume

__all__ = ["file_reader", "find_series", "list_series", "open", "open_each"]

Source = str | PathLike[str] | Iterable[str | PathLike[str]]

_NIFTI = (".nii", ".nii.gz")
_PAIRS = (".hdr", ".img", ".hdr.gz", ".img.gz")
_METAIMAGE = (".mha", ".mhd")
_NRRD = (".nrrd", ".nhdr")


def open(
    source: Source,
    *,
    device: str | None = None,
    series: str | int | None = None,
    fill_gaps: bool | int = False,
    phase: str | int | None = None,
    tilt: Tilt = "remove",
    skip_damaged: bool = False,
    raw_scale: bool = False,
    external_data: bool = False,
    progress: Progress | None = None,
) -> Volume:
    """Read a volume from DICOM, NIfTI, MetaImage or NRRD.

    Parameters
    ----------
    source : path, glob, or several of them
        DICOM files, folders (recursive), a DICOMDIR or a zip; or one ``.nii``, ``.nii.gz``, ``.mha``, ``.mhd``,
        ``.nrrd`` or ``.nhdr`` file, or the ``.hdr`` or ``.img`` (or both) of a NIfTI or Analyze pair.
    device : str, optional
        Where the voxels go: ``auto`` (the default), ``cpu``, ``cuda``, ``cuda:1``, ``mps``, ``torch-cpu``; unset, the
        environment variable ``GPUKIT_DEVICE`` decides.
    series : str or int, optional
        Which of several series: the number in the list that the error shows, else a SeriesNumber, else a
        SeriesInstanceUID or its beginning; the first of these that fits wins.
    fill_gaps : bool or int
        Interpolate missing or unevenly spaced slices linearly; without it they are an error. True allows up to 3
        missing slices in a gap, of them up to a tenth of the stack (one always); a number allows as many in a gap.
        `Volume.acquired_slices` says which slices were acquired.
    phase : str or int, optional
        One phase of a 4D series, by index from 0 or by words of its description (``"EchoTime 4.6"``); all by default.
    tilt : {"remove", "keep"}
        What to do with a tilted gantry: resample to a straight grid, or keep the voxels and a sheared affine.
    skip_damaged : bool
        Leave DICOM files that cannot be read out, and say so in `Volume.notes`; without it they are an error, because a
        damaged file may be a slice of the series.
    raw_scale : bool
        Take the values of Philips MR images as they are displayed (RescaleSlope, RescaleIntercept), without the
        scanner's own scale (2005,100E), by which `Volume.value_scale` otherwise says that they were measured.
    external_data : bool
        Let the header of an NRRD or MetaImage file name data files outside its own folder.
    progress : callable, optional
        Called as ``progress(stage, done, total)``.

    Returns
    -------
    Volume
        Array ``[k, j, i]`` (4D ``[t, k, j, i]``, colour with a last axis c) on the device; affine to LPS mm;
        `Volume.notes` tells what was done on the way. A NumPy array is read-only, so that what one picture finds out
        about it (which bricks are empty) holds for the next: take a copy to write to, and make that a volume with
        ``dataclasses.replace(volume, array=volume.array.copy())``.

    Raises
    ------
    InputNotFoundError
        There is no such file, or no image in it.
    SelectionError
        There are several series and none was chosen, or none fits.
    MissingSlicesError
        Slices are missing or unevenly spaced; names the files.
    GeometryError
        The images do not make a volume.
    FormatError, DecodeError, TooLargeError
        A file is damaged, cannot be decoded, or claims more than it can hold.
    DeviceError
        The device cannot be used.
    """
    from gpukit.device import resolve

    single = _single_path(source)
    reader = None if single is None else file_reader(single, external_data=external_data)
    if single is None or reader is None:
        from gpukit.dicom.series.read import read_dicom

        volume: Volume = read_dicom(
            source,
            device=device,
            series=series,
            fill_gaps=fill_gaps,
            phase=phase,
            tilt=tilt,
            skip_damaged=skip_damaged,
            raw_scale=raw_scale,
            progress=progress,
        )
        return _frozen(volume)
    _, target = resolve(device)
    if series is not None or phase is not None:
        option = "series" if series is not None else "phase"
        raise InputError("a file of this format holds no series to choose from", file=single, attribute=option)
    with stage("reading"):
        volume = reader(single)
    return _frozen(volume.to(target))


def open_each(
    source: Source,
    *,
    device: str | None = None,
    fill_gaps: bool | int = False,
    phase: str | int | None = None,
    skip_damaged: bool = False,
    apart: bool = False,
    raw_scale: bool = False,
    progress: Progress | None = None,
) -> Iterator[Opened]:
    """Read every series of a DICOM source, one after the other; see `gpukit.dicom.series.read_each.read_each`."""
    from dataclasses import replace

    from gpukit.dicom.series.read_each import read_each

    each = read_each(
        source, device=device, fill_gaps=fill_gaps, phase=phase, skip_damaged=skip_damaged, apart=apart,
        raw_scale=raw_scale, progress=progress,
    )  # fmt: skip
    for opened in each:
        yield opened if opened.volume is None else replace(opened, volume=_frozen(opened.volume))


def _frozen(volume: Volume) -> Volume:
    """Return the volume, its NumPy array and what that is a view of read-only.

    Nobody else has it yet, so nothing can be written to it behind what kernels remember of it between pictures.
    """
    import numpy as np

    array: Any = volume.array
    while isinstance(array, np.ndarray):
        array.flags.writeable = False
        array = array.base
    return volume


def find_series(source: Source) -> list[Series]:
    """What image series a source holds, in the order and with the numbers that ``series=`` understands.

    Parameters
    ----------
    source : path, glob, or several of them
        DICOM files, folders (recursive), a DICOMDIR or a zip.

    Returns
    -------
    list of Series
        Number, UID, series number, modality, description and size of each; no patient data.

    Raises
    ------
    InputNotFoundError
        There is no such file, or nothing in it is DICOM.
    FormatError
        There is no image series, and files that are named as DICOM cannot be read; names the first.
    """
    from gpukit.dicom.series.read import collect_source

    return list_series(collect_source(source))


def list_series(collection: Collection) -> list[Series]:
    """Return the image series of a collection, as `find_series` gives them."""
    if not collection.candidates and collection.problems:
        raise collection.problems[0][1]
    return [candidate.series for candidate in collection.candidates]


def _single_path(source: Source) -> str | None:
    if isinstance(source, (str, PathLike)):
        return os.fspath(source)
    if isinstance(source, (list, tuple)) and len(source) == 1:
        return os.fspath(source[0])
    if isinstance(source, (list, tuple)) and len(source) == 2:  # both files of a pair
        from gpukit.files.nifti_header import both_of_a_pair

        return both_of_a_pair(*source)
    return None


def file_reader(path: str, *, external_data: bool = False) -> Any:
    """Return the reader for a volume file of this suffix, called with the path; None for DICOM.

    Parameters
    ----------
    path : str
        The file. A ``.hdr`` or ``.img`` is looked into, because DICOM files have such names too.
    external_data : bool
        As in `open`.
    """
    name = path.lower()
    suffix = name if not Path(path).is_dir() else ""
    if suffix.endswith(_NIFTI):
        from gpukit.files.nifti import read_nifti

        return read_nifti
    if suffix.endswith(_PAIRS):
        from gpukit.files.nifti import read_nifti
        from gpukit.files.nifti_header import is_of_a_pair

        return read_nifti if is_of_a_pair(path) else None
    if suffix.endswith(_METAIMAGE):
        from gpukit.files.metaimage import read_metaimage

        return partial(read_metaimage, external=external_data)
    if suffix.endswith(_NRRD):
        from gpukit.files.nrrd import read_nrrd

        return partial(read_nrrd, external=external_data)
    return None
