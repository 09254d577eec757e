"""``gpukit ai batch`` as a real process on real images: results, a second run, a failure, usage errors."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from support.bright_model import above, bright_network, describe

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_batch_over_a_folder(run: Run, data: Path, tmp_path: Path) -> None:
    """``gpukit ai batch FOLDER --model MODEL --output FOLDER``, again, and with a case that cannot be read."""
    import torch

    image = data / "ct_chest_ibsi/dicom/image/DCM_IMG_00030.dcm"
    (tmp_path / "in" / "one").mkdir(parents=True)
    shutil.copy(image, tmp_path / "in" / "one")
    (tmp_path / "in" / "two").mkdir()
    other = pydicom.dcmread(image)
    other.SeriesInstanceUID, other.SOPInstanceUID = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
    other.file_meta.MediaStorageSOPInstanceUID = other.SOPInstanceUID
    other.save_as(tmp_path / "whole.dcm")
    (tmp_path / "in" / "two" / "cut.dcm").write_bytes((tmp_path / "whole.dcm").read_bytes()[:3000])
    weights = tmp_path / "bright.pth"
    torch.save({f"net.0.{key}": value for key, value in bright_network(40.0).state_dict().items()}, weights)
    network = {"layers": [{"in_channels": 1, "out_channels": 2, "kernel_size": 1}], "activation": "relu"}
    describe(weights, format="state-dict", network=network)
    output = tmp_path / "out"
    words = ["ai", "batch", tmp_path / "in", "--model", weights, "--output", output, "--device", "cpu", "--json"]
    done = run(*words)
    assert done.returncode == 1, done.stderr
    told = json.loads(done.stdout)
    assert (told["schema_version"], told["cases"], told["done"], told["failed"]) == (1, 2, 1, 1)
    (failed,) = [row for row in told["rows"] if row["status"] == "failed"]
    assert "cut.dcm" in failed["error"] and "Traceback" not in done.stderr
    uid = pydicom.dcmread(image).SeriesInstanceUID
    written = pydicom.dcmread(output / f"{uid}.dcm")
    expected = above(image, 40.0)
    np.testing.assert_array_equal(written.pixel_array.reshape(expected.shape) > 0, expected)
    shutil.rmtree(tmp_path / "in" / "two")
    again = run(*words)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["done_before"] == 1
    wrong = run("ai", "batch", tmp_path / "in", "--model", weights, "--output", tmp_path / "other", "--top", 3)
    assert wrong.returncode == 1 and wrong.stderr.startswith("Error: segment has no such option")
    assert not (tmp_path / "other").exists()


def test_profile_of_a_segmentation(run: Run, data: Path, tmp_path: Path) -> None:
    """``gpukit ai segment ... --profile``: every stage of the work, and no more than the time that passed."""
    import torch

    image = data / "ct_chest_ibsi/dicom/image/DCM_IMG_00030.dcm"
    weights = tmp_path / "bright.pth"
    torch.save({f"net.0.{key}": value for key, value in bright_network(40.0).state_dict().items()}, weights)
    network = {"layers": [{"in_channels": 1, "out_channels": 2, "kernel_size": 1}], "activation": "relu"}
    describe(weights, format="state-dict", network=network)
    done = run(
        "ai", "segment", image, "--model", weights, "--output", tmp_path / "seg.dcm", "--device", "cpu", "--profile",
        "--json",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)["profile"]
    wanted = {"reading", "decoding", "loading the network", "preprocessing", "inference", "back-resampling", "writing"}
    assert wanted <= set(told["seconds"])
    assert 0 < sum(told["seconds"].values()) <= told["total_seconds"]
    assert told["transfers"] == []  # on the CPU nothing crosses
    assert all(name in done.stderr for name in (*wanted, "STAGE", "all"))


def test_batch_over_cases_of_several_channels(run: Run, data: Path, tmp_path: Path) -> None:
    """``gpukit ai batch FOLDER --channel NAME=WHICH``: a real PET and CT of one study, by series and by files."""
    import torch

    cropped = data / "pet/sts_001_cropped"
    weights = tmp_path / "two.pth"
    torch.save({"net.0.weight": torch.eye(2).reshape(2, 2, 1, 1, 1), "net.0.bias": torch.zeros(2)}, weights)
    network = {"layers": [{"in_channels": 2, "out_channels": 2, "kernel_size": 1}], "activation": "relu"}
    describe(weights, format="state-dict", network=network, input={"channels": 2, "channel_names": ["CT", "PET"]})
    words = ["ai", "batch", cropped, "--model", weights, "--device", "cpu", "--json", "--format", "nifti"]
    done = run(*words, "--output", tmp_path / "a", "--channel", "PET=1", "--channel", "CT=*_CT_image")
    assert done.returncode == 0, done.stderr
    (row,) = json.loads(done.stdout)["rows"]
    images = {name: cropped / name / "dicom/image" for name in ("CT", "PET")}
    uids = {name: pydicom.dcmread(next(folder.iterdir())).SeriesInstanceUID for name, folder in images.items()}
    assert {name: one["series"] for name, one in row["channels"].items()} == uids
    assert "PET was resampled to the grid of CT" in row["notes"]
    assert "4 images that no --channel names, such as" in done.stderr  # the NIfTI copies
    alone = run(
        "ai", "segment", images["CT"], images["PET"], "--model", weights, "--device", "cpu",
        "--output", tmp_path / "b.nii.gz",
    )  # fmt: skip
    assert alone.returncode == 0, alone.stderr
    found = np.asarray(nibabel.load(tmp_path / "a" / row["outputs"][0]).dataobj)
    np.testing.assert_array_equal(found, np.asarray(nibabel.load(tmp_path / "b.nii.gz").dataobj))
    assert 1000 < found.sum() < found.size - 1000
    channels = [f"{name}={name}/nifti/image/image.nii.gz" for name in ("CT", "PET")]
    files = run(*words, "--output", tmp_path / "c", "--channel", channels[0], "--channel", channels[1])
    assert files.returncode == 0, files.stderr
    (row,) = json.loads(files.stdout)["rows"]
    same = np.asarray(nibabel.load(tmp_path / "c" / row["outputs"][0]).dataobj)
    np.testing.assert_array_equal(same, found)
    for wrong in (["--channel", "PET"], ["--channel", "PET=1", "--channel", "pet=2"]):
        assert run(*words, "--output", tmp_path / "d", *wrong).returncode == 2
    assert not (tmp_path / "d").exists()
