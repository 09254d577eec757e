"""Pictures in colour as Secondary Capture images (PS3.3 A.8.1), with their place in the patient where they have one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from gpukit.dicom.derived.header import SC, derived_header
from gpukit.dicom.derived.source_images import References
from gpukit.errors import InputError
from gpukit.units import ValueUnit
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

    from gpukit.dicom.derived.derivation import Derivation

__all__ = ["captures"]


def captures(volume: Volume, derivation: Derivation, header: Dataset) -> Iterator[Dataset]:
    """One Secondary Capture image a slice; what `gpukit.dicom.derived.write.derived_images` gives for colour.

    Parameters
    ----------
    volume : Volume
        Red, green and blue of 8 bits, ``[k, j, i, c]``, with `sources`.
    derivation : Derivation
        How the picture came about.
    header : Dataset
        Of the first source, by `gpukit.dicom.modules.source_header.source_header`.

    Raises
    ------
    InputError
        The colours are not 8 bit.
    """
    array = np.asarray(volume.to("cpu").array)
    if array.dtype != np.uint8 or array.shape[-1] != 3:
        raise InputError(f"a secondary capture in colour has three times 8 bits, not {array.shape[-1]} x {array.dtype}")
    return _images(volume, derivation, header)


def _images(volume: Volume, derivation: Derivation, header: Dataset) -> Iterator[Dataset]:
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    from gpukit.dicom.derived.derivation import describe
    from gpukit.dicom.derived.place import place, put_position
    from gpukit.dicom.derived.source_facts import SourceFacts

    top = derived_header(header, volume.sources, SC, ValueUnit.RGB)
    describe(top, header, volume, derivation)
    place(top, volume, derivation, header)
    SourceFacts(volume.sources).put_worst(top)
    top.SamplesPerPixel, top.PhotometricInterpretation, top.PlanarConfiguration = 3, "RGB", 0
    top.BitsAllocated, top.BitsStored, top.HighBit, top.PixelRepresentation = 8, 8, 7, 0
    references = References(volume, header, derivation)
    for k, plane in enumerate(np.asarray(volume.to("cpu").array)):
        image = Dataset(top)
        image.SOPInstanceUID = generate_uid(prefix=None)
        image.InstanceNumber = k + 1
        put_position(image, volume, derivation, k)
        references.put_into(image, k)
        data = np.ascontiguousarray(plane).tobytes()
        image.PixelData = data + b"\0" * (len(data) % 2)
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.file_meta.ImplementationVersionName = "GPUKIT"
        yield image
