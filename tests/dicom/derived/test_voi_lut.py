"""How derived images are shown."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
from pydicom import Dataset
from pydicom.uid import ComputedRadiographyImageStorage
from support.ramps import derived_of, write_ramps

import gpukit as gk


def test_inverse_images_stay_inverse(tmp_path: Path) -> None:
    """MONOCHROME2 with unchanged values would be shown as a negative."""

    def inverse(image: Dataset, k: int) -> None:
        image.PhotometricInterpretation = "MONOCHROME1"

    source = write_ramps(tmp_path / "s", inverse, sop=ComputedRadiographyImageStorage, modality="CR")
    (image,) = derived_of(source, tmp_path / "d")
    stored = pydicom.dcmread(source / "000.dcm")
    assert image.PhotometricInterpretation == "MONOCHROME1"
    np.testing.assert_array_equal(image.pixel_array, stored.pixel_array)


def test_a_window_of_gpukits_own_has_its_own_function(tmp_path: Path) -> None:
    def sigmoid(image: Dataset, k: int) -> None:
        image.WindowCenter, image.WindowWidth, image.VOILUTFunction = 200, 300, "SIGMOID"

    source = write_ramps(tmp_path / "s", sigmoid, count=3, placed=True)
    (own, *_) = derived_of(source, tmp_path / "d")
    assert (own.WindowCenter, own.WindowWidth, own.VOILUTFunction) == (200, 300, "SIGMOID")
    (made,) = gk.mpr(gk.open(source), planes=("axial",), slice=1)
    gk.save(made, tmp_path / "w.dcm", window=(0, 100))
    asked = pydicom.dcmread(tmp_path / "w.dcm")
    # PS3.3 C.11.2.1.2.1: LINEAR from 50.5 - 0.5 - 50 = 0 to 100
    assert (asked.WindowCenter, asked.WindowWidth, asked.get("VOILUTFunction", "LINEAR")) == (50.5, 101, "LINEAR")
