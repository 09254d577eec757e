"""A pretrained network on real heads, against label maps that other software made with the same weights."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from support.models import ANATOMY

pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
nib = pytest.importorskip("nibabel", reason="nibabel is not installed")

import gpukit as gk
from gpukit.geometry import Grid


def tissue_model(data, folder, form):
    """The tissue network with a description of our own, beside a copy of its weights."""
    source = data / "models" / "meshnet_tissue_fast"
    suffix = {"onnx": ".onnx", "state-dict": ".safetensors"}[form]
    shutil.copyfile(source / f"model5_gw_ae{suffix}", folder / f"tissue{suffix}")
    codes = {1: ("68523003", "Cerebral White Matter"), 2: ("25991003", "Cerebral Gray Matter")}
    content = {
        "schema_version": 1,
        "name": "meshnet-tissue-fast",
        "version": "1",
        "task": "segment",
        "format": form,
        "weights": f"tissue{suffix}",
        "input": {
            "channels": 1,
            "modality": ["MR"],
            "orientation": "LIA",
            "spacing": [1.0, 1.0, 1.0],
            "size": [256, 256, 256],
            "axes": "patient",
            "intensity": [{"_target_": "monai.transforms.ScaleIntensity", "minv": 0.0, "maxv": 1.0}],
        },
        "inference": {"patch": None},
        "output": {
            "activation": "softmax",
            "labels": [
                {"value": v, "name": m, "category": ANATOMY, "type": {"value": c, "scheme": "SCT", "meaning": m}}
                for v, (c, m) in codes.items()
            ],
        },
    }
    if form == "state-dict":
        content["network"] = json.loads((source / "layers.json").read_text()) | {"activation": "relu"}
    (folder / "tissue.json").write_text(json.dumps(content))
    return folder / f"tissue{suffix}"


def dice(one, two):
    return 2 * (one & two).sum() / (one.sum() + two.sum())


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "state-dict"])
def test_a_conformed_head_gives_the_reference_label_map(data, tmp_path, form):
    if form == "onnx":
        pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    image = nib.load(data / "models" / "t1_conformed_example.nii.gz")
    reference = nib.load(data / "models" / "meshnet_tissue_fast" / "expected_t1_conformed_minmax.nii.gz")
    array = np.asarray(image.dataobj).transpose(2, 1, 0)
    volume = gk.Volume(array=array, grid=Grid.from_ras(array.shape, image.affine))
    found = gk.segment(volume, tissue_model(data, tmp_path, form))
    expected = np.asarray(reference.dataobj).transpose(2, 1, 0)
    # The same float32 arithmetic in another order: ONNX and torch agree within 9e-6 in the logits, so a handful of
    # voxels of 16.8 million may tip. (Here none did.)
    assert (found.array != expected).sum() <= 20
    assert np.abs(np.bincount(found.array.ravel()) - [15523464, 518540, 735212]).max() <= 20
    assert np.array_equal(found.grid.ras_affine, volume.grid.ras_affine)


@pytest.mark.slow
def test_an_oblique_series_is_conformed_segmented_and_brought_back(data, unpacked, tmp_path):
    """The DICOM series of a real T1: the reference was conformed, segmented and kept on the conformed grid."""
    volume = gk.open(unpacked("mr_t1_brain/mr_t1_brain.tar.xz"), device="cpu")
    found = gk.segment(volume, tissue_model(data, tmp_path, "state-dict"))
    assert found.grid is volume.grid
    assert len(found.sources) == 128
    millilitres = np.bincount(found.array.ravel(), minlength=3)[1:] * volume.grid.voxel_volume / 1000
    # The reference has 478.028 and 539.812 ml on its own grid; on the series' grid of 1.33 mm voxels the surface is cut
    # elsewhere, which for the folded cortex changes 1 %.
    assert millilitres == pytest.approx([478.028, 539.812], rel=0.01)
    # In the other direction: the reference at the centre of each voxel of the series.
    reference = nib.load(data / "mr_t1_brain" / "expected_tissue_fast_minmax_conformed.nii.gz")
    labels = np.asarray(reference.dataobj).transpose(2, 1, 0)
    k, j, i = np.meshgrid(*(np.arange(n) for n in volume.grid.shape), indexing="ij")
    theirs = Grid.from_ras(labels.shape, reference.affine)
    at = np.rint(theirs.to_index(volume.grid.to_world(np.stack([i, j, k], axis=-1)))).astype(int)
    inside = ((at >= 0) & (at < 256)).all(axis=-1)
    i, j, k = np.moveaxis(np.where(inside[..., None], at, 0), -1, 0)
    nearest = np.where(inside, labels[k, j, i], 0)
    # Nearest-voxel lookup misplaces the reference's surface by up to half a voxel, and grey matter is 2 to 3 voxels
    # thick. A shift of a single voxel would cost 0.1 more.
    assert dice(found.array == 1, nearest == 1) > 0.95
    assert dice(found.array == 2, nearest == 2) > 0.91
    assert dice(found.array > 0, nearest > 0) > 0.975


@pytest.mark.slow
def test_deep_grey_matter_of_the_template(data, tmp_path):
    """The network of 18 classes on the middle of the MNI152 template, against the statement that comes with it."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    spec = find_spec("nilearn")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("nilearn, which holds the template, is not installed")
    source = data / "models" / "meshnet_subcortical"
    names = json.loads((source / "colormap.json").read_text())["labels"]
    shutil.copyfile(source / "subcortical.onnx", tmp_path / "deep.onnx")
    content = {
        "schema_version": 1,
        "name": "meshnet-subcortical",
        "version": "1",
        "task": "segment",
        "format": "onnx",
        "weights": "deep.onnx",
        "input": {"channels": 1, "modality": ["MR"], "orientation": "LIA", "spacing": [1.0, 1.0, 1.0]},
        "inference": {"patch": None},
        "output": {
            "activation": "softmax",
            "labels": [
                {
                    "value": v,
                    "name": n,
                    "category": ANATOMY,
                    "type": {"value": f"{v}", "scheme": "99TEST", "meaning": n},
                }
                for v, n in enumerate(names)
                if v
            ],
        },
    }
    (tmp_path / "deep.json").write_text(json.dumps(content))

    image = nib.load(
        Path(spec.submodule_search_locations[0]) / "datasets/data/mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz"
    )
    # The whole head takes a minute and 5 GB; 13 cm round the thalamus hold all that is looked at. Scaled before.
    first, size = np.array((-64, -88, -64)), (128, 120, 112)  # RAS mm, voxels of 1 mm
    start = np.rint(first - image.affine[:3, 3]).astype(int)
    array = np.asarray(image.dataobj, np.float32) / np.asarray(image.dataobj).max()
    array = array[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))].transpose(2, 1, 0)
    affine = image.affine.copy()
    affine[:3, 3] = first
    volume = gk.Volume(array=np.ascontiguousarray(array), grid=Grid.from_ras(array.shape, affine))
    runtime = "openvino" if find_spec("openvino") is not None else "onnx"  # three times as fast, the same labels
    found = gk.segment(volume, tmp_path / "deep.onnx", runtime=runtime)

    # Stated for the whole head: hippocampus 10723, thalamus 22464 mm³. The network looks tens of voxels to each
    # side, so what is cut off changes a few boundaries: 3 %.
    for name, stated in (("Hippocampus", 10723), ("Thalamus", 22464)):
        assert (found.array == names.index(name)).sum() == pytest.approx(stated, rel=0.03), name
    # Left and right are equal in this template, front and back and head and feet are not. Centres in MNI space (mm)
    # as atlases give them, such as 11, -18, 8 for the thalamus; 3 mm is less than a tenth of these bodies.
    for name, side, at in (("Thalamus", 11, (-18, 8)), ("Caudate", 13, (9, 11)), ("Hippocampus", 26, (-22, -14))):
        k, j, i = np.nonzero(found.array == names.index(name))
        x, y, z = (np.stack([i, j, k], -1) @ affine[:3, :3].T + affine[:3, 3]).T
        for right in (x > 0, x < 0):
            centre = np.abs(x[right]).mean(), y[right].mean(), z[right].mean()
            assert centre == pytest.approx((side, *at), abs=3.0), name
