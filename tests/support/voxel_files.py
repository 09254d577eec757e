"""Volume files of 4 x 5 x 6 voxels in three formats."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

import nibabel
import numpy as np

VOXELS = np.arange(1000, 1120, dtype="<i2").reshape(6, 5, 4)
FIELDS = "ObjectType = Image\nNDims = 3\nElementSpacing = 1 2 3\nDimSize = 4 5 6\nElementType = MET_SHORT\n"
NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nsizes: 4 5 6\nendian: little\nspace: LPS\n"
    "space directions: (2,0,0) (0,3,0) (0,0,1.5)\nspace origin: (1,2,3)\n"
)


def metaimage(path: Path, data: bytes, fields: str = "") -> Path:
    path.write_bytes(f"{FIELDS}{fields}ElementDataFile = LOCAL\n".encode() + data)
    return path


def nrrd(path: Path, data: bytes, fields: str = "encoding: raw\n") -> Path:
    path.write_bytes(f"{NRRD}{fields}\n".encode() + data)
    return path


def nifti(path: Path, **fields: object) -> Path:
    image = nibabel.Nifti1Image(VOXELS.T, np.diag([1.0, 2.0, 3.0, 1.0]))
    for name, value in fields.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def compressed(path: Path, packed: bytes) -> Path:
    """A file of the format of the suffix around compressed voxels."""
    if path.suffix == ".mha":
        return metaimage(path, packed, "CompressedData = True\n")
    return nrrd(path, packed, "encoding: gzip\n")


def pack(suffix: str, raw: bytes) -> bytes:
    return zlib.compress(raw) if suffix == ".mha" else gzip.compress(raw)
