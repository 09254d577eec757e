"""NIfTI-1, NIfTI-2 and Analyze 7.5: read by gpukit itself, written through nibabel, the affine kept to the last bit.

NIfTI speaks RAS and indexes (i, j, k, t); gpukit speaks LPS and indexes ``[t, k, j, i]``. Both conversions are exact:
a sign and a transpose.

The sform of NIfTI-1 is float32, which moves a voxel by up to about 3e-5 mm. Where that rounds, the writer adds the
float64 affine as a header extension (a comment, code 6, which other software skips), and the reader takes it only if it
still rounds to the sform that is there, so that a file whose sform somebody has edited is read as edited. The same
comment says which network made the voxels (`gpukit.files.provenance`).
"""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_path
from gpukit.errors import FormatError, GeometryError, InputNotFoundError, SelectionError
from gpukit.extras import missing_package
from gpukit.files.nifti_header import RGB, NiftiHeader, read_header
from gpukit.files.provenance import KEY, stated, stored_array
from gpukit.files.voxel_data import read_voxels
from gpukit.geometry import Grid
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["read_nifti", "write_nifti"]

_COMMENT = 6  # NIFTI_ECODE_COMMENT
_KEY = "gpukit_ras_affine"
_NO_ORIENTATION = "the file records no orientation (sform and qform codes are 0): its axes are taken as they are"
_ANALYZE = (
    "an Analyze file records neither orientation nor place: its axes are taken as left, anterior, superior, and left "
    "and right cannot be checked"
)
_LARGEST_NIFTI1 = 32767  # its sizes are int16


@np.errstate(over="ignore", divide="ignore", invalid="ignore")  # of absurd sizes, which `Grid` refuses
def read_nifti(path: str | os.PathLike[str], *, unit: str = ValueUnit.NONE) -> Volume:
    """Read a NIfTI or Analyze 7.5 file.

    Parameters
    ----------
    path : path-like
        ``.nii``, ``.nii.gz``, or the ``.hdr`` or ``.img`` of a pair (each also with ``.gz``).
    unit : str
        Unit of the values; NIfTI does not record one.

    Returns
    -------
    Volume
        NumPy array ``[k, j, i]``, ``[t, k, j, i]`` or colour ``[k, j, i, c]``; affine to LPS mm from the sform, else
        the qform, else the voxel sizes alone (then `notes` says that the orientation is not known; Analyze files never
        have one). Values are scaled by scl_slope and scl_inter; integers that need no scaling stay integers, others
        become float32, or float64 where float32 cannot hold the stored values.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        The file is not a NIfTI file, or it is damaged or cut off.
    GeometryError
        The affine is singular or not finite, or nothing says how large the voxels are.
    """
    if not Path(path).is_file():
        raise InputNotFoundError("no such file", file=path)
    header = read_header(path)
    affine, notes = _affine(header, path)
    raw, more = read_voxels(
        [header.voxels], header.kind, header.shape[::-1], encoding="deflate" if header.compressed else "raw",
        file=path, longer=True,
    )  # fmt: skip
    array, axes = _to_array(_scaled(raw.T, header.slope, header.intercept), path)
    spatial = tuple(array.shape[axes.index(axis)] for axis in "kji")
    try:
        grid = Grid.from_ras(spatial, affine)
    except GeometryError as error:
        raise GeometryError(error.what, file=path, attribute="sform", fix="repair the header") from error
    phases = tuple(f"volume {n}" for n in range(array.shape[0])) if axes.startswith("t") else ()
    return Volume(
        array=array,
        grid=grid,
        unit=ValueUnit.RGB if axes.endswith("c") else unit,
        axes=axes,
        phases=phases,
        phase_times=tuple(header.time_step * n for n in range(len(phases))) if header.time_step else (),
        notes=(*notes, *more),
    )


def write_nifti(thing: Volume | Segmentation, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """Write a volume or a label map as NIfTI-1, or as NIfTI-2 where a size exceeds 32767.

    sform and qform are both set (code 1, scanner), the qform only where the axes are perpendicular, because a
    quaternion cannot hold shear; the unit of space is mm. Of a 4D volume pixdim[4] is the time between its phases in
    seconds; where that is not one known time (`Volume.phase_times`), the unit of time is written as unknown. What a
    network made names it in a header extension, as JSON: program, name, version and digest of the weights, and the
    labels' names.

    Labels that overlap are written as a fourth axis: one volume of 0 and 1 for each label, in their order, which is
    that of the names in the extension.

    Parameters
    ----------
    thing : Volume or Segmentation
        On any device.
    path : path-like
        ``.nii`` or ``.nii.gz``.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    OutputError
        It cannot be written.
    """
    nibabel = _nibabel()
    array, axes = stored_array(thing)
    array = _storable(array)
    voxels = _from_array(array, axes)
    affine = thing.grid.ras_affine
    large = max(voxels.shape) > _LARGEST_NIFTI1
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(voxels, affine, dtype=voxels.dtype)
    image.set_sform(affine, code=1)
    if thing.grid.is_orthogonal:
        image.set_qform(affine, code=1)
    else:
        image.header["qform_code"] = 0
    step = _time_step(thing)
    image.header.set_xyzt_units("mm", "unknown" if step is None and axes.startswith("t") else "sec")
    if step is not None:
        image.header["pixdim"][4] = step
    comment: dict[str, Any] = {}
    if not large and not np.array_equal(np.float64(np.float32(affine)), affine):
        comment[_KEY] = [[value.hex() for value in row] for row in affine[:3].tolist()]
    if provenance := stated(thing):
        comment[KEY] = provenance
        image.header["descrip"] = _descrip(thing)
    if comment:
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, json.dumps(comment).encode()))
    with atomic_path(path, force=force) as temporary:
        nibabel.save(image, os.fspath(temporary))


#: Phases whose distances differ by no more than this part are evenly spaced.
_EVEN_TIMES = 0.01


def _time_step(thing: Volume | Segmentation) -> float | None:
    """Return seconds between the phases of a 4D volume, where they are evenly spaced in time."""
    times = thing.phase_times if isinstance(thing, Volume) and thing.axes.startswith("t") else ()
    if len(times) < 2:
        return None
    steps = np.diff(times)
    step = float(steps.mean())
    return step if step > 0 and np.abs(steps - step).max() <= _EVEN_TIMES * step else None


def _descrip(thing: Volume | Segmentation) -> bytes:
    """Return the name and version of the network in the 79 bytes that programs show; the whole is in the extension."""
    words = " ".join(str(thing.algorithm.get(key) or "") for key in ("name", "version")).strip()
    return words.encode("ascii", "replace")[:79]


def _nibabel() -> Any:
    try:
        import nibabel
    except ImportError as error:
        raise missing_package("NIfTI needs nibabel", "files") from error
    return nibabel


def _affine(header: NiftiHeader, path: str | os.PathLike[str]) -> tuple[NDArray[np.float64], tuple[str, ...]]:
    """RAS mm affine of a header, and what a user must know of it."""
    if header.sform_code <= 0:
        sizes = header.pixdim[1 : 1 + min(3, len(header.shape))]
        if not all(math.isfinite(size) and size != 0 for size in sizes):
            raise GeometryError(
                "the file does not say how large its voxels are", file=path, attribute="pixdim",
                fix="write the sizes into the header",
            )  # fmt: skip
    notes: tuple[str, ...] = ()
    if header.sform_code > 0:
        affine = _exact(header, np.vstack([header.sform, [0.0, 0.0, 0.0, 1.0]]))
        notes = _disagreement(header, affine, path)
    elif header.qform_code > 0:
        affine = header.qform(path)
    else:
        affine = _unplaced(header)
        notes = (_ANALYZE if header.version == 0 else _NO_ORIENTATION,)
    if not np.isfinite(affine).all():
        raise GeometryError("the affine is not finite", file=path, attribute="sform", fix="repair the header")
    if header.millimetres != 1.0:
        factor = header.millimetres
        affine = np.diag([factor, factor, factor, 1.0]) @ affine
    return affine, notes


def _unplaced(header: NiftiHeader) -> NDArray[np.float64]:
    """RAS affine of voxel sizes alone: x falls along i as SPM and nibabel have it, the origin is the middle."""
    affine = np.diag([-header.sizes[0], header.sizes[1], header.sizes[2], 1.0])
    shape = np.array([*header.shape, 1, 1, 1][:3])
    affine[:3, 3] = -affine[:3, :3] @ ((shape - 1) / 2.0)
    return affine


def _disagreement(header: NiftiHeader, sform: NDArray[np.float64], path: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return a note where the qform, or the voxel sizes, say something else than the sform that is used."""
    if not np.isfinite(sform).all():
        return ()
    lengths = np.linalg.norm(sform[:3, :3], axis=0)
    axes = [n for n in range(min(3, len(header.shape))) if header.shape[n] > 1]
    if header.qform_code > 0:
        try:
            other = header.qform(path)
        except GeometryError:
            return ("the qform is not a rotation: the sform was used",)
        far = np.array([*header.shape, 1, 1, 1][:3]) - 1.0
        corners = np.array([[*(far * bits), 1.0] for bits in np.ndindex(2, 2, 2)])
        apart = float(np.abs((sform - other) @ corners.T).max()) * header.millimetres
        # what float32 and a quaternion can round, and what nobody can see
        if not apart <= max(0.1 * float(lengths[axes].min(initial=np.inf)) * header.millimetres, 1e-3):
            return (f"sform and qform lie up to {apart:.4g} mm apart: the sform was used",)
    sizes = np.abs(np.array(header.pixdim[1:4]))
    wrong = [n for n in axes if not abs(lengths[n] - sizes[n]) <= 0.01 * lengths[n]]
    if wrong:
        shown = " x ".join(f"{size:.4g}" for size in sizes), " x ".join(f"{length:.4g}" for length in lengths)
        return (f"the voxel sizes are {shown[0]} by pixdim and {shown[1]} by the sform: the sform was used",)
    return ()


def _exact(header: NiftiHeader, sform: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the float64 affine that `write_nifti` left, if the sform is still its rounding; else the sform."""
    for content in header.comments:
        try:
            rows = [[float.fromhex(value) for value in row] for row in json.loads(content.rstrip(b"\0").decode())[_KEY]]
            exact = np.array([*rows, [0.0, 0.0, 0.0, 1.0]])
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # somebody else's comment
        if exact.shape == (4, 4) and np.array_equal(np.float64(np.float32(exact)), sform):
            return exact
    return sform


def _scaled(raw: NDArray[Any], slope: float, intercept: float) -> NDArray[Any]:
    """Return values of stored numbers; the float type is the smallest that holds the stored values."""
    if raw.dtype.names or (slope == 1 and intercept == 0):
        return raw
    wide = raw.dtype.itemsize > 2 if raw.dtype.kind in "iu" else raw.dtype.itemsize > 4
    kind = np.complex128 if raw.dtype.kind == "c" else np.float64 if wide else np.float32
    with np.errstate(over="ignore"):
        scaled: NDArray[Any] = raw * np.float64(slope) + np.float64(intercept)
    with np.errstate(over="raise"):
        try:
            return scaled.astype(kind)
        except FloatingPointError:  # beyond float32
            return scaled


def _to_array(voxels: NDArray[Any], path: str | os.PathLike[str]) -> tuple[NDArray[Any], str]:
    """From NIfTI's (i, j, k, t, ...) to ``[t, k, j, i]`` in C order, with the axes' letters."""
    while voxels.ndim > 3 and voxels.shape[-1] == 1:
        voxels = voxels[..., 0]
    while voxels.ndim < 3:
        voxels = voxels[..., None]
    if voxels.ndim > 4:
        raise SelectionError(f"the file has more than four dimensions: {voxels.shape}", file=path)
    if voxels.dtype.kind == "c":
        raise FormatError("the voxels are complex numbers", file=path, fix="write magnitude and phase as two files")
    if voxels.dtype.names:
        channels = np.ascontiguousarray(voxels.T)
        rgb = np.stack([channels[name] for name in voxels.dtype.names[:3]], axis=-1)
        return rgb, "tkjic" if voxels.ndim == 4 else "kjic"
    array = np.ascontiguousarray(voxels.T)
    return array.astype(array.dtype.newbyteorder("="), copy=False), "tkji" if voxels.ndim == 4 else "kji"


def _from_array(array: NDArray[Any], axes: str) -> NDArray[Any]:
    """From ``[t, k, j, i]`` to NIfTI's (i, j, k, t); colour becomes a structured type."""
    if axes.endswith("c"):
        array = np.ascontiguousarray(array[..., :3], dtype=np.uint8).view(RGB)[..., 0]
    return array.T


def _storable(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array in a type that NIfTI has: booleans become uint8, half floats float32."""
    if array.dtype == np.bool_:
        return array.astype(np.uint8)
    return array.astype(np.float32) if array.dtype == np.float16 else array
