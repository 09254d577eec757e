"""Which files of a folder are cases."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np

from gpukit.ai.batch.find import find_cases

VOXELS = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def test_a_pair_of_header_and_voxels_is_one_case(tmp_path: Path) -> None:
    """Beside a ``.hdr`` that is something else, such as that of a raster of another field."""
    nibabel.save(nibabel.Nifti1Pair(VOXELS, np.eye(4)), tmp_path / "pair.img")
    nibabel.save(nibabel.Nifti1Image(VOXELS, np.eye(4)), tmp_path / "whole.nii")
    (tmp_path / "other.hdr").write_text("ENVI\nsamples = 4\n")
    for inputs in ([tmp_path], [tmp_path / "pair.hdr", tmp_path / "whole.nii"]):
        cases = find_cases(inputs)
        assert [Path(case.source).name for case in cases] == ["pair.hdr", "whole.nii"]
        assert not any(case.error for case in cases)
