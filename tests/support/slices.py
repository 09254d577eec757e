"""Series and models whose right answer is known, for tests of the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

ANATOMY = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
TISSUE = {"value": "85756007", "scheme": "SCT", "meaning": "Body tissue structure"}


def write_slices(folder: Path, array: np.ndarray, affine: np.ndarray, *, patient: str = "Secret^Name") -> Path:
    """``array[k, j, i]`` as MR images that pydicom writes; file names do not follow the slices."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

    folder.mkdir(parents=True)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    for k, pixels in enumerate(array):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.SOPClassUID, image.SOPInstanceUID = MRImageStorage, f"1.2.826.0.1.3680043.10.77.{k + 1}"
        image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.1.3680043.10.78", "1.2.826.0.1.3680043.10.79"
        image.FrameOfReferenceUID = "1.2.826.0.1.3680043.10.80"
        image.Modality, image.PatientName, image.PatientID = "MR", patient, "secret-id"
        image.SeriesNumber, image.InstanceNumber = 3, 1
        image.ImagePositionPatient = [f"{v:.9g}" for v in affine[:3, 3] + k * affine[:3, 2]]
        image.ImageOrientationPatient = [f"{v:.9g}" for v in (affine[:3, :2] / spacing[:2]).T.ravel()]
        image.PixelSpacing = [f"{spacing[1]:.9g}", f"{spacing[0]:.9g}"]
        image.SliceThickness = "1"
        image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
        image.Rows, image.Columns = pixels.shape
        image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 0
        image.PixelData = np.ascontiguousarray(pixels, "<u2").tobytes()
        image.save_as(folder / f"{(k * 7) % len(array):03d}_{k}.dcm", enforce_file_format=True)
    return folder


def write_steps(
    folder: Path, *, labels: int = 1, step: float = 100.0, delay: int = 0, patch: int | None = None
) -> Path:
    """A TorchScript model that gives label n to values from n * step on; `delay` makes each window slow."""
    import torch

    class Steps(torch.nn.Module):
        def __init__(self, labels: int, step: float, delay: int) -> None:
            super().__init__()
            self.labels, self.step, self.delay = labels, step, delay

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            wasted = torch.zeros(1)
            for _ in range(self.delay):
                wasted = wasted + torch.sin(x).mean()
            level = torch.clamp(torch.floor(x / self.step), 0, self.labels) + 0 * wasted
            return torch.cat([(level == n).to(x.dtype) for n in range(self.labels + 1)], 1)

    folder.mkdir(parents=True)
    torch.jit.script(Steps(labels, step, delay)).save(str(folder / "steps.ts"))
    described: dict[str, Any] = {
        "schema_version": 1,
        "name": "steps",
        "version": "2.0",
        "task": "segment",
        "format": "torchscript",
        "weights": "steps.ts",
        "input": {"channels": 1},
        "output": {
            "activation": "none",
            "labels": [
                {"value": n, "name": f"Level {n}", "category": ANATOMY, "type": TISSUE} for n in range(1, labels + 1)
            ],
        },
    }
    if patch is not None:
        described["inference"] = {"patch": [patch] * 3, "overlap": 0.0}
    (folder / "model.json").write_text(json.dumps(described))
    return folder
