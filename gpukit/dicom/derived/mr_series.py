"""A volume written as a series of MR images (PS3.3 A.4), one file a slice, with its geometry exact."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.documents.atomic import new_folder
from gpukit.errors import GeometryError, InputError, OutputExistsError
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["write_mr_series"]

_MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"


def write_mr_series(
    volume: Volume,
    folder: str | PathLike[str],
    *,
    patient_name: str,
    patient_id: str,
    description: str,
    body_part: str,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a volume as MR images, such as a template that comes as NIfTI.

    Stored values are the volume's, without rescaling. Slices are the planes k; rows run along i and columns along j.

    Parameters
    ----------
    volume : Volume
        3D, on any device; whole numbers from 0 to 65535. Rows and columns must be perpendicular.
    folder : path-like
        A new folder; appears whole or not at all.
    patient_name, patient_id, description, body_part : str
        Of the series, as DICOM writes them: ``Family^Given``, a defined term such as ``BRAIN`` (PS3.16 annex L).
    force : bool
        Replace the folder if it exists and holds nothing but DICOM files of an earlier call.
    progress : callable or None
        Called as ``progress(done, total)``.

    Returns
    -------
    list of Path
        The files, from plane 0 on.

    Raises
    ------
    InputError
        The values do not fit.
    GeometryError
        The grid cannot be expressed in DICOM.
    OutputError
        The folder exists, or cannot be written to.
    """
    from pydicom.uid import generate_uid

    if volume.axes != "kji":
        raise InputError("only a 3D volume of one value a voxel makes MR images", fix="choose one phase")
    array = np.asarray(volume.to("cpu").array)
    if array.dtype.kind not in "ui" or int(array.min()) < 0 or int(array.max()) > 65535:
        raise InputError(
            f"MR images need whole numbers from 0 to 65535, not {array.dtype}", fix="round and scale first"
        )
    row, column = volume.grid.direction[:, 0], volume.grid.direction[:, 1]
    if abs(float(row @ column)) > 1e-4:
        raise GeometryError("rows and columns are not perpendicular, which DICOM cannot express", fix="resample first")
    target = Path(folder)
    _check(target, force)
    top = _common(volume, array)
    top.PatientName, top.PatientID, top.SeriesDescription = patient_name, patient_id, description
    top.BodyPartExamined = body_part
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"):
        setattr(top, keyword, generate_uid(prefix=None))
    target.parent.mkdir(parents=True, exist_ok=True)
    names = [f"{k + 1:04d}.dcm" for k in range(array.shape[0])]
    with new_folder(target) as temporary:
        for k, name in enumerate(names):
            _write_slice(temporary / name, top, volume, array[k], k)
            if progress is not None:
                progress(k + 1, len(names))
    return [target / name for name in names]


def _check(target: Path, force: bool) -> None:
    """The folder may be made, or replaced without losing anything of the user's."""
    if not target.exists():
        return
    if not force:
        raise OutputExistsError("the folder exists", file=target, fix="choose another, or say --force")
    others = (
        [path for path in target.iterdir() if not (path.is_file() and path.suffix == ".dcm")]
        if target.is_dir()
        else [target]
    )
    if others:
        raise OutputExistsError(
            f"holds something else than DICOM files: {others[0].name}", file=target, fix="choose another folder"
        )


def _decimal(values: Iterable[float]) -> list[Any]:
    from pydicom.valuerep import DSfloat

    return [DSfloat(value, auto_format=True) for value in values]


def _common(volume: Volume, array: Any) -> Dataset:
    """What all slices have in common."""
    from datetime import UTC, datetime

    from pydicom import Dataset

    from gpukit.version import __version__

    now = datetime.now(UTC)
    si, sj, _ = volume.grid.spacing
    normal = np.cross(volume.grid.direction[:, 0], volume.grid.direction[:, 1])
    between = float(abs(normal @ volume.grid.affine[:3, 2]))
    top = Dataset()
    top.SpecificCharacterSet = "ISO_IR 192"
    top.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    top.SOPClassUID = _MR_IMAGE_STORAGE
    top.StudyDate = top.SeriesDate = top.ContentDate = now.strftime("%Y%m%d")
    top.StudyTime = top.SeriesTime = top.ContentTime = now.strftime("%H%M%S")
    top.AccessionNumber = top.ReferringPhysicianName = top.PatientBirthDate = top.PatientSex = ""
    top.Modality, top.Manufacturer, top.ManufacturerModelName = "MR", "gpukit", "gpukit"
    top.SoftwareVersions = __version__
    top.ScanningSequence, top.SequenceVariant, top.ScanOptions = "RM", "NONE", ""
    top.MRAcquisitionType = "3D"
    top.RepetitionTime = top.EchoTime = top.EchoTrainLength = None
    top.SliceThickness, top.SpacingBetweenSlices = _decimal((between, between))
    top.PatientPosition = "HFS"
    top.StudyID, top.SeriesNumber = "1", 1
    top.PositionReferenceIndicator = ""
    top.ImageOrientationPatient = _decimal((*volume.grid.direction[:, 0], *volume.grid.direction[:, 1]))
    top.PixelSpacing = _decimal((sj, si))
    top.SamplesPerPixel, top.PhotometricInterpretation = 1, "MONOCHROME2"
    top.Rows, top.Columns = array.shape[1:]
    top.BitsAllocated, top.BitsStored, top.HighBit, top.PixelRepresentation = 16, 16, 15, 0
    low, high = int(array.min()), int(array.max())
    top.WindowCenter, top.WindowWidth = _decimal(((low + high) / 2, max(1, high - low)))
    return top


def _write_slice(path: Path, top: Dataset, volume: Volume, plane: Any, k: int) -> None:
    """One image."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    image = Dataset(top)
    image.SOPInstanceUID = generate_uid(prefix=None)
    image.InstanceNumber = k + 1
    image.ImagePositionPatient = _decimal(volume.grid.to_world((0, 0, k)))
    image.PixelData = np.ascontiguousarray(plane, "<u2").tobytes()
    image.file_meta = FileMetaDataset()
    image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image.save_as(path, enforce_file_format=True)
