"""Write a derived image with its sequence of sources as the bytes that it was encoded in.

A series of hundreds of images names hundreds of sources in each. pydicom would decode and encode each item again for
each image; the bytes are the same.
"""

from __future__ import annotations

import struct
import warnings
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from gpukit.dicom.derived.source_images import SOURCE_IMAGES

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["save_image"]


def save_image(image: Dataset, path: str | PathLike[str]) -> None:
    """Write a data set of `gpukit.dicom.derived.write.derived_images` as a file (explicit VR, little endian).

    Parameters
    ----------
    image : Dataset
        Not changed.
    path : path-like
        Not atomic.
    """
    with warnings.catch_warnings():
        # an accession number may be longer than its VR allows; pydicom quotes it, and patient data is not for a log
        warnings.simplefilter("ignore")
        _save(image, path)


def _save(image: Dataset, path: str | PathLike[str]) -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import BaseTag

    held: Any = image.get_item(SOURCE_IMAGES) if SOURCE_IMAGES in image else None
    if not isinstance(held, RawDataElement) or held.value is None:
        image.save_as(path, enforce_file_format=True)
        return
    with Path(path).open("wb") as stream:
        _write_start(image, stream)
        character_set = image.get("SpecificCharacterSet") or "iso8859"
        _write_part(image[: BaseTag(SOURCE_IMAGES)], character_set, stream)
        group, element = SOURCE_IMAGES >> 16, SOURCE_IMAGES & 0xFFFF
        stream.write(struct.pack("<HH2sHI", group, element, b"SQ", 0, len(held.value)) + held.value)
        _write_part(image[BaseTag(SOURCE_IMAGES + 1) :], character_set, stream)


def _write_start(image: Dataset, stream: BinaryIO) -> None:
    """Preamble and file meta information."""
    from pydicom.filewriter import write_file_meta_info

    meta = image.file_meta
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    stream.write(b"\0" * 128 + b"DICM")
    write_file_meta_info(cast("Any", stream), meta, enforce_standard=True)


def _write_part(part: Dataset, character_set: Any, stream: BinaryIO) -> None:
    from pydicom.filebase import DicomIO
    from pydicom.filewriter import write_dataset

    target: Any = DicomIO(stream)
    target.is_implicit_VR, target.is_little_endian = False, True
    write_dataset(target, part, parent_encoding=character_set)
