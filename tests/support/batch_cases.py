"""Small cases and models for the tests of batches, and a DICOMweb service over a folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

CT = "1.2.840.10008.5.1.4.1.1.2"


def write_series(
    folder: Path, *, seed: int = 0, slices: int = 3, size: int = 16, modality: str = "CT", study: str | None = None,
    number: int = 1, description: str = "",
) -> Path:  # fmt: skip
    """An axial series of random values; its folder. Series of one study have one frame of reference."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    series, frame = generate_uid(), study or generate_uid()
    study = study or generate_uid()
    for k in range(slices):
        one = Dataset()
        one.file_meta = FileMetaDataset()
        one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.SOPClassUID, one.SOPInstanceUID = CT, generate_uid()
        one.file_meta.MediaStorageSOPClassUID = one.SOPClassUID
        one.file_meta.MediaStorageSOPInstanceUID = one.SOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.Modality, one.SeriesNumber, one.InstanceNumber = modality, number, k + 1
        one.SeriesDescription = description
        one.PatientName, one.PatientID = "Nobody^Known", "X-42"
        one.PatientBirthDate = one.PatientSex = one.StudyDate = one.StudyTime = one.AccessionNumber = one.StudyID = ""
        one.ReferringPhysicianName = one.Manufacturer = one.PositionReferenceIndicator = ""
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.ImageOrientationPatient, one.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0.0, 0.0, 2.0 * k]
        one.PixelSpacing, one.SliceThickness = [1.0, 1.0], 2.0
        one.Rows = one.Columns = size
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, 1
        one.RescaleIntercept, one.RescaleSlope, one.RescaleType = 0, 1, "HU"
        one.PixelData = rng.integers(-500, 500, (size, size)).astype("<i2").tobytes()
        name = f"{seed}-{k:03d}.dcm" if description else f"{k:03d}.dcm"  # several series may lie in one folder
        one.save_as(folder / name, enforce_file_format=True)
    return folder


def write_volume(file: Path, *, seed: int = 0, size: int = 8) -> np.ndarray:
    """A NIfTI file of random values, ``[i, j, k]``, which are returned."""
    import nibabel

    file.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(-500, 500, (size, size, 3)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.0, 2.0, 1.0])), file)
    return values


def brighter(folder: Path, names: Sequence[str] = ("T1", "FLAIR")) -> Path:
    """A network of two channels whose scores they are: where the second is larger, there is its label."""
    import torch

    folder.mkdir(exist_ok=True)
    layers = {"activation": "relu", "layers": [{"in_channels": 2, "out_channels": 2, "kernel_size": 1}]}
    torch.save(
        {"net.0.weight": torch.eye(2).reshape(2, 2, 1, 1, 1), "net.0.bias": torch.zeros(2)}, folder / "weights.pt"
    )
    code = {"value": "1", "scheme": "99TEST", "meaning": "test"}
    content: dict[str, Any] = {
        "schema_version": 1, "name": "two", "version": "1", "task": "segment", "format": "state-dict",
        "weights": "weights.pt", "network": layers, "input": {"channels": 2, "channel_names": list(names)},
        "output": {
            "activation": "softmax", "labels": [{"value": 1, "name": "bright", "category": code, "type": code}],
        },
    }  # fmt: skip
    if not names:
        del content["input"]["channel_names"]
    (folder / "model.json").write_text(json.dumps(content))
    return folder


def uid_of(folder: Path) -> str:
    """SeriesInstanceUID of the first file of a folder."""
    return str(pydicom.dcmread(min(folder.glob("*.dcm")), stop_before_pixels=True).SeriesInstanceUID)


def above(folder: Path, threshold: float) -> np.ndarray:
    """Where a series exceeds the threshold, by pydicom alone, ``[k, j, i]``."""
    return np.stack([pydicom.dcmread(file).pixel_array > threshold for file in sorted(folder.glob("*.dcm"))])


def bright_model(folder: Path, threshold: float = 0.0, *, rounds: int = 0) -> Path:
    """A segmenter of two channels whose second wins above the threshold; `rounds` keeps it busy, to be caught at it."""
    import torch

    class Bright(torch.nn.Module):
        def __init__(self, threshold: float, rounds: int) -> None:
            super().__init__()
            self.threshold, self.rounds = threshold, rounds

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            busy = torch.ones(64, 64)
            for _ in range(self.rounds):
                busy = torch.tanh(busy @ busy)
            score = x - self.threshold + 0.0 * busy.mean()
            return torch.cat([torch.zeros_like(score), score], dim=1)

    folder.mkdir(parents=True, exist_ok=True)
    torch.jit.script(Bright(threshold, rounds)).save(str(folder / "bright.ts"))
    content: dict[str, Any] = {
        "schema_version": 1, "name": "bright", "version": "1", "task": "segment", "format": "torchscript",
        "weights": "bright.ts", "input": {"channels": 1},
        "output": {"activation": "softmax", "labels": [{
            "value": 1, "name": "Bright",
            "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
            "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
        }]},
    }  # fmt: skip
    (folder / "bright.json").write_text(json.dumps(content))
    return folder / "bright.ts"


def rows_of(output: Path) -> list[dict[str, Any]]:
    """Rows of the record, without its first line."""
    return [json.loads(line) for line in (output / "manifest.jsonl").read_text().splitlines()[1:]]


def check_outputs(output: Path, series: list[Path]) -> None:
    """Each series has its own labels, and one row that says so."""
    done = [row for row in rows_of(output) if row["status"] == "done"]
    assert sorted(row["case"] for row in done) == sorted(uid_of(folder) for folder in series)
    for folder in series:
        written = pydicom.dcmread(output / f"{uid_of(folder)}.dcm")
        assert written.ReferencedSeriesSequence[0].SeriesInstanceUID == uid_of(folder)
        expected = above(folder, 0.0)
        places = [
            float(group.PlanePositionSequence[0].ImagePositionPatient[2])
            for group in written.PerFrameFunctionalGroupsSequence
        ]
        np.testing.assert_array_equal(written.pixel_array[np.argsort(places)] > 0, expected)
