"""Derived images: a computed volume written back as DICOM, in the patient and study that it came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.derived.encode import save_image
from gpukit.dicom.derived.header import CT, PT, SC, class_of, derived_header
from gpukit.dicom.derived.place import is_in_patient, place, put_position
from gpukit.dicom.derived.source_facts import SourceFacts
from gpukit.dicom.derived.source_images import References
from gpukit.dicom.derived.stored_values import Stored, to_stored
from gpukit.dicom.derived.voi_lut import put_window
from gpukit.dicom.image.voi_lut import frame_of_slice, is_inverse
from gpukit.dicom.modules.source_header import fit_character_set, source_header
from gpukit.documents.atomic import new_folder
from gpukit.errors import GeometryError, InputError, OutputError, OutputExistsError
from gpukit.ops.windowing import Window
from gpukit.units import ValueUnit
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset
from gpukit.dicom.derived.derivation import _MOST_TEXT, Derivation, describe

__all__ = ["check_series_folder", "derived_images", "write_derived"]


def write_derived(
    volume: Volume,
    folder: str | PathLike[str],
    derivation: Derivation | None = None,
    *,
    window: Window | None = None,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> list[Path]:
    """Write a volume as a new series, one file a slice.

    The class is that of the sources (CT, MR or PET image, also where they are enhanced); everything else becomes
    secondary capture images, colour too, with their place in the patient. Patient, study and frame of reference are the
    sources'; series and instances are new. Whole numbers of 16 bits are stored as they are; others with a slope over
    their range (`gpukit.dicom.derived.stored_values`), which DerivationDescription then states.

    Parameters
    ----------
    volume : Volume
        3D, of one value a voxel or 8-bit colour, on any device, with `sources`. Rows and columns must be perpendicular.
    folder : path-like
        Appears whole or not at all; its parent must exist.
    derivation : Derivation, optional
        How the values came about; by default what the volume says (`Derivation.of`).
    window : Voi or (float, float), optional
        How the images are shown; by default each by the window or VOI LUT of its source.
    force : bool
        Replace the folder if it holds nothing but DICOM files.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    list of Path
        The files, from slice 0 on.

    Raises
    ------
    InputError
        The volume was not read from DICOM, or has phases.
    GeometryError
        The grid cannot be expressed in DICOM.
    OutputError
        The folder exists, or cannot be written to.
    """
    target = Path(folder)
    check_series_folder(target, force=force)
    images = derived_images(volume, derivation, window=window)
    count = volume.grid.shape[0]
    files = []
    with new_folder(target) as temporary:
        for n, image in enumerate(images, 1):
            name = f"{n:04d}.dcm"
            save_image(image, temporary / name)
            files.append(target / name)
            if progress is not None:
                progress(n, count)
    return files


def check_series_folder(target: Path, *, force: bool) -> None:
    """The folder may be made, or replaced without losing anything but DICOM files.

    Raises
    ------
    OutputExistsError, OutputError
        It exists, or its parent does not.
    """
    if not target.parent.is_dir():
        raise OutputError("the folder of the output does not exist", file=target, fix="create it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise OutputExistsError("the output is a file, and a series needs a folder", file=target)
    others = [path for path in target.iterdir() if not (path.is_file() and path.suffix == ".dcm")]
    if others:
        raise OutputExistsError(
            f"holds something else than DICOM files: {others[0].name}", file=target, fix="choose another folder"
        )
    if not force and any(target.iterdir()):
        raise OutputExistsError("the folder exists", file=target, fix="choose another, or say --force")


def derived_images(
    volume: Volume, derivation: Derivation | None = None, *, window: Window | None = None
) -> Iterator[Dataset]:
    """The data sets that `write_derived` writes, one a slice; parameters and errors as there."""
    if not volume.sources:
        raise InputError(
            "a derived DICOM image must reference its source images, and this volume was not read from DICOM",
            fix="write NIfTI, MetaImage, NRRD or PNG instead",
        )
    if volume.axes.startswith("t"):
        raise InputError("a derived series has one phase", fix="choose one phase")
    row, column = volume.grid.direction[:, 0], volume.grid.direction[:, 1]
    if abs(float(row @ column)) > 1e-4:
        raise GeometryError("rows and columns are not perpendicular, which DICOM cannot express", fix="resample first")
    header = source_header(volume.sources[0])
    derivation = derivation or Derivation.of(volume)
    if volume.axes == "kjic":
        from gpukit.dicom.derived.secondary_capture import captures

        return captures(volume, derivation, header)
    # images of a scanner must say where they lie (PS3.3 C.7.6.2), which secondary captures need not
    kind = class_of(header, volume.sources[0]) if is_in_patient(volume, derivation) else SC
    return _slices(volume, derivation, header, kind, window)


def _stored(array: NDArray[Any], padding: tuple[float, float] | None, kind: str) -> list[Stored]:
    """One for all slices, or for PET, as scanners do, one a slice: the bladder must not cost the liver its digits."""
    if kind == PT:
        return [to_stored(plane, padding, through_zero=True) for plane in array]
    whole = to_stored(array, padding)
    return [replace(whole, array=plane) for plane in whole.array]


def _slices(
    volume: Volume, derivation: Derivation, header: Dataset, kind: str, window: Window | None
) -> Iterator[Dataset]:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    planes = _stored(np.asarray(volume.to("cpu").array), volume.padding, kind)
    top = derived_header(header, volume.sources, kind, volume.unit)
    describe(top, header, volume, derivation)
    place(top, volume, derivation, header)
    facts = SourceFacts(volume.sources)
    facts.put_worst(top)
    words = (derivation.series_description, derivation.description, *volume.notes, *map(str, volume.algorithm.values()))
    fit_character_set(top, header.get("SpecificCharacterSet"), words)
    references = References(volume, header, derivation)
    for k, stored in enumerate(planes):
        image = Dataset(top)
        _depict(image, stored, kind, volume)
        if remark := put_window(image, volume, k, stored, window):
            _tell(image, remark)
        image.SOPInstanceUID = generate_uid(prefix=None)
        image.InstanceNumber = k + 1
        put_position(image, volume, derivation, k)
        references.put_into(image, k)
        if kind == PT:
            image.ImageIndex, image.NumberOfSlices = k + 1, len(planes)
            facts.put_times(image, frame_of_slice(volume, k))
        image.PixelData = np.ascontiguousarray(stored.array, stored.array.dtype.newbyteorder("<")).tobytes()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.ImplementationVersionName = "GPUKIT"
        yield image


def _depict(image: Dataset, stored: Stored, kind: str, volume: Volume) -> None:
    """Depth, rescaling and padding of one image."""
    from pydicom import DataElement

    signed = stored.array.dtype.kind == "i"
    image.SamplesPerPixel = 1
    image.PhotometricInterpretation = "MONOCHROME1" if is_inverse(volume) else "MONOCHROME2"  # values are unchanged
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, int(signed)
    is_scaled = (stored.slope, stored.intercept) != ("1", "0")
    if kind in (CT, PT) or is_scaled:
        image.RescaleSlope, image.RescaleIntercept = stored.slope, stored.intercept
    if kind == CT:
        image.RescaleType = "HU" if volume.unit == ValueUnit.HU else str(volume.metadata.get("RescaleType") or "US")
    elif kind != PT and is_scaled:
        image.RescaleType = "HU" if volume.unit == ValueUnit.HU else "US"
    if not stored.is_exact:
        _tell(image, f"stored with a slope of {stored.slope} fitted to the range of values")
    if stored.padding is not None:
        vr = "SS" if signed else "US"
        low, high = stored.padding
        image.add(DataElement(0x00280120, vr, low))
        if high != low:
            image.add(DataElement(0x00280121, vr, high))


def _tell(image: Dataset, text: str) -> None:
    """Add a remark to DerivationDescription."""
    before = image.get("DerivationDescription")
    image.DerivationDescription = f"{before[: _MOST_TEXT - len(text) - 2]}; {text}" if before else text
