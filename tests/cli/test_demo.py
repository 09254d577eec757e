"""``gpukit demo``: the whole way on a real head, as a user runs it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from support.oracles.dciodvfy import errors_of

from gpukit.ai import sample_names

Run = Callable[..., subprocess.CompletedProcess[str]]
MAPS = "datasets/data/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"


def template_map(name: str) -> tuple[np.ndarray, np.ndarray]:
    """A map of the MNI template inside nilearn, 0 to 255, and its affine to RAS mm."""
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("nilearn, which holds the template, is not installed")
    image = nibabel.load(Path(spec.submodule_search_locations[0]) / MAPS.format(name))
    return np.asarray(image.dataobj), image.affine


@pytest.mark.slow
def test_demo_segments_a_real_head(run: Run, tmp_path: Path) -> None:
    if "brain-tissue" not in sample_names():
        pytest.skip("the sample model is not in this checkout")
    out = tmp_path / "demo"
    done = run("demo", "--output", out, HTTPS_PROXY="http://127.0.0.1:9", HTTP_PROXY="http://127.0.0.1:9")
    assert done.returncode == 0, done.stderr
    assert f"$ gpukit ai segment {out / 't1'}/ --model brain-tissue --output {out / 'seg.dcm'}" in done.stderr
    lines = done.stdout.splitlines()
    assert lines[-2:] == [str(out / "seg.dcm"), str(out / "montage.png")]
    volumes = {line.split(maxsplit=1)[1].rsplit(maxsplit=2)[0].lower(): float(line.split()[-1]) for line in lines[1:-2]}

    # The template comes with its own maps: the voxel is 1 mm³, so voxels above one half are microlitres.
    t1, affine = template_map("t1")
    for tissue, name in (("white", "wm"), ("gr", "gm")):
        (found,) = [ml for label, ml in volumes.items() if label.startswith(tissue)]
        # A network that never saw these borders may move them by a third of a voxel, a fifth of a folded tissue.
        assert found == pytest.approx((template_map(name)[0] > 127).sum() / 1000, rel=0.2), name

    # What was segmented is the template itself, where it lies in the patient.
    slices = sorted((out / "t1").iterdir())
    assert len(slices) == t1.shape[2]
    for path in slices[:: len(slices) // 5]:
        image = pydicom.dcmread(path)
        x, y, z = map(float, image.ImagePositionPatient)
        i, j, k = np.rint(np.linalg.inv(affine) @ (-x, -y, z, 1)).astype(int)[:3]
        # rows run to the left and columns to the back: both against the template's RAS axes
        np.testing.assert_array_equal(image.pixel_array, t1[i::-1, j::-1, k].T)

    for path in (out / "seg.dcm", slices[0], slices[-1]):
        assert errors_of(path) == []
    assert len(pydicom.dcmread(out / "seg.dcm").SourceImageSequence) == len(slices)

    again = run("demo", "--output", out)
    assert again.returncode == 1 and "--force" in again.stderr
