"""nnU-Nets that see more than one image: several channels, and the labels of a cascade's first stage."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("dynamic_network_architectures", reason="the networks of nnU-Net need gpukit[nnunet]")

from scipy.ndimage import gaussian_filter
from support.batch_cases import brighter, write_series
from support.nnunet_models import CT, configuration, network, plans, write_folder
from support.oracles.nnunet import segmented

import gpukit as gk
from gpukit.ai import find_model
from gpukit.ai.registry.packages import add
from gpukit.ai.registry.store import Store
from gpukit.errors import GeometryError, InputError, ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

#: Random networks are uncertain everywhere: so many voxels of 21,000 may have two classes equal to seven digits.
TIES = 2


pytestmark = pytest.mark.usefixtures("one_thread")


def image(seed: int, modality: str = "", spacing: Sequence[float] = (0.9, 0.8, 2.5), frame: str = "") -> Volume:
    """Smooth noise between air of exactly zero, which differs from image to image."""
    shape = (14, 37, 41)
    values = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 2) * 4000
    values[: 1 + seed] = 0
    values[:, :3] = 0
    facts = {"Modality": modality, "FrameOfReferenceUID": frame}
    metadata = {key: value for key, value in facts.items() if value}
    return Volume(array=values.astype(np.float32), grid=Grid.from_axes(shape, spacing=spacing), metadata=metadata)


TWO = {"normalization_schemes": ["CTNormalization", "ZScoreNormalization"], "use_mask_for_norm": [False, True]}
FACTS = {"foreground_intensity_properties_per_channel": {"0": CT, "1": CT}}
PET_CT = {"channel_names": {"1": "PET", "0": "CT"}}


def pet_ct(parent: Path, **changes: Any) -> tuple[Path, dict[str, Any]]:
    content = configuration(**{**TWO, **changes})
    return write_folder(parent / "Dataset998_Two", content, mirror=(1,), data=PET_CT, inputs=2, plan=FACTS), content


def by_nnunet(
    folder: Path, channels: Sequence[Volume], monkeypatch: pytest.MonkeyPatch, before: np.ndarray | None = None
) -> np.ndarray:
    """Labels by nnunetv2 itself, with sums in single precision as gpukit has them."""
    predict = pytest.importorskip("nnunetv2.inference.predict_from_raw_data", reason="nnunetv2 is not installed")
    predictor = predict.nnUNetPredictor(
        device=torch.device("cpu"), allow_tqdm=False, use_mirroring=True, perform_everything_on_device=False
    )
    predictor.initialize_from_trained_model_folder(str(folder), None)
    monkeypatch.setattr(torch, "half", torch.float32)
    stack = np.stack([volume.array for volume in channels])
    facts = {"spacing": list(channels[0].grid.spacing[::-1])}
    labels = None if before is None else before[None].astype(np.int16)
    return np.asarray(predictor.predict_single_npy_array(stack, facts, labels, None, False))


# ---- channels


def test_two_channels_are_labelled_as_by_the_book(tmp_path: Path) -> None:
    folder, content = pet_ct(tmp_path)
    ct, pet = image(0, "CT"), image(1, "PT")
    found = gk.segment([ct, pet], folder)
    wanted = segmented(
        np.stack([ct.array, pet.array]), ct.grid.spacing[::-1], plans({}), content, [network(content, 4, 0, 2)], (1,)
    )
    assert len(np.unique(wanted)) >= 3
    assert np.count_nonzero(found.array != wanted) <= TIES
    assert np.array_equal(gk.segment({"pet": pet, "ct": ct}, folder).array, found.array)
    # both channels count, and so does their order
    assert (
        np.count_nonzero(gk.segment([replace(pet, metadata={}), replace(ct, metadata={})], folder).array != wanted)
        > 100
    )


def test_two_channels_are_labelled_as_by_nnunetv2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = pet_ct(tmp_path)
    channels = [image(0), image(1)]
    wanted = by_nnunet(folder, channels, monkeypatch)
    assert np.count_nonzero(gk.segment(channels, folder).array != wanted) <= TIES


def test_a_channel_on_another_grid_is_brought_to_the_first(tmp_path: Path) -> None:
    """The same image at half the pixel size, made by repeating pixels, is the same image again once resampled."""
    folder, _ = pet_ct(tmp_path)
    ct, pet = image(0), image(1)
    doubled = np.repeat(np.repeat(pet.array, 2, axis=1), 2, axis=2)
    fine = Volume(array=doubled, grid=pet.grid.with_spacing((0.45, 0.4, 2.5)))
    assert fine.grid.shape == doubled.shape
    found = gk.segment([ct, fine], folder)
    assert np.count_nonzero(found.array != gk.segment([ct, pet], folder).array) <= TIES
    assert any("PET was resampled to the grid of CT" in note for note in found.notes)
    same = [replace(one, metadata={"FrameOfReferenceUID": "1.2.3"}) for one in (ct, fine)]
    notes = gk.segment(same, folder).notes
    assert [note for note in notes if "resampled" in note] == ["PET was resampled to the grid of CT"]


def test_a_channel_in_another_frame_of_reference_is_refused(tmp_path: Path) -> None:
    """Also where the grids are the same: those of two patients on one scanner may be."""
    folder, _ = pet_ct(tmp_path)
    with pytest.raises(GeometryError, match=r"PET is in another frame of reference than CT.*register"):
        gk.segment([image(0, frame="1.2.3"), image(1, frame="1.2.4")], folder)
    far = image(1)
    affine = far.grid.affine.copy()
    affine[:3, 3] += 500.0
    with pytest.raises(GeometryError, match="PET shows no part of what CT shows"):
        gk.segment([image(0), replace(far, grid=Grid(far.grid.shape, affine))], folder)


def test_a_wrong_number_order_or_name_of_channels_is_named(tmp_path: Path) -> None:
    folder, _ = pet_ct(tmp_path)
    with pytest.raises(ModelError, match=r"wants 2 channels \(CT, PET\), and 1 volume was given"):
        gk.segment(image(0), folder)
    with pytest.raises(ModelError, match=r"wants 2 channels \(CT, PET\), and 3 volumes were given"):
        gk.segment([image(0)] * 3, folder)
    with pytest.raises(InputError, match="CT is to be CT, and the image given for it is PT"):
        gk.segment([image(1, "PT"), image(0, "CT")], folder)
    with pytest.raises(ModelError, match="no channel 'FLAIR': it has 2 channels"):
        gk.segment({"CT": image(0), "FLAIR": image(1)}, folder)
    with pytest.raises(ModelError, match="1 volume was given"):
        gk.segment({"CT": image(0)}, folder)


def test_phases_of_a_nifti_file_may_be_the_channels(tmp_path: Path) -> None:
    folder, _ = pet_ct(tmp_path)
    ct, pet = image(0), image(1)
    both = Volume(array=np.stack([ct.array, pet.array]), grid=ct.grid, axes="tkji", phases=("0", "1"))
    assert np.array_equal(gk.segment(both, folder).array, gk.segment([ct, pet], folder).array)


def test_models_of_an_ensemble_must_see_the_same_images(tmp_path: Path) -> None:
    folder, _ = pet_ct(tmp_path)
    one = write_folder(tmp_path / "Dataset997_One", configuration(), mirror=None)
    with pytest.raises(ModelError, match=r"wants 2 channels \(CT, PET\) and .* wants 1 channel"):
        gk.segment([image(0), image(1)], [folder, one], ensemble="vote")
    twice = gk.segment([image(0), image(1)], [folder, folder], ensemble="vote")
    assert np.count_nonzero(twice.array != gk.segment([image(0), image(1)], folder).array) <= TIES


def test_a_described_model_may_have_named_channels(tmp_path: Path) -> None:
    t1, flair = image(0), image(1)
    found = gk.segment({"FLAIR": flair, "T1": t1}, brighter(tmp_path))
    assert np.array_equal(found.array, flair.array > t1.array)
    with pytest.raises(ModelError, match="names two channels alike"):
        find_model(brighter(tmp_path, ("T1", "t1")))


def mri(folder: Path, frame: str) -> tuple[np.ndarray, np.ndarray]:
    """Series T1 (number 3) and FLAIR (number 5) of one frame of reference, in two folders; what each shows."""
    shown = []
    for name, number in (("t1", 3), ("flair", 5)):
        for file in sorted(write_series(folder / name, seed=number, modality="MR").iterdir()):
            content = pydicom.dcmread(file)
            content.FrameOfReferenceUID, content.SeriesNumber = frame, number
            content.save_as(file)
        shown.append(gk.open(folder / name).array)
    return shown[0], shown[1]


def test_the_command_takes_an_input_for_each_channel(
    tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    """In order; by name; or as series of one folder, whose segmentation refers to the first channel's images."""
    t1, flair = mri(tmp_path / "study", "1.2.826.0.1.3680043.8.498.1")
    model = brighter(tmp_path / "model")
    words = ("ai", "segment", "--model", model, "--device", "cpu")
    study = tmp_path / "study"
    done = run(*words, study / "t1", study / "flair", "--output", tmp_path / "a.nii.gz")
    assert done.returncode == 0, done.stderr
    assert np.array_equal(gk.open(tmp_path / "a.nii.gz").array, flair > t1)
    done = run(*words, study, "--channel", "flair=5", "--channel", "T1=3", "--output", tmp_path / "b.dcm")
    assert done.returncode == 0, done.stderr
    seg = pydicom.dcmread(tmp_path / "b.dcm")
    first = pydicom.dcmread(study / "t1/000.dcm", stop_before_pixels=True)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == first.SeriesInstanceUID
    done = run(*words, study, "--output", tmp_path / "c.nii.gz")
    assert done.returncode == 1
    assert "2 channels (T1, FLAIR)" in done.stderr and "--channel T1=1 --channel FLAIR=2" in done.stderr
    assert not (tmp_path / "c.nii.gz").exists()


def test_words_that_name_no_channels_are_usage_errors(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from gpukit_cli.commands.ai import app

    model = brighter(tmp_path / "model")
    (tmp_path / "x").mkdir()
    for words, said in (
        (("--channel", "T1"), "takes NAME=WHICH"),
        (("--channel", f"T1={tmp_path}/x"), "given for 1"),
        (("--channel", f"T1={tmp_path}/x", "--channel", f"t1={tmp_path}"), "given twice"),
        (("--channel", "T1=none", "--channel", "FLAIR=none"), "no file or folder none"),
        (("--channel", "T1=1", "--channel", "FLAIR=2", "--series", "1"), "use one of"),
        ((str(tmp_path), str(tmp_path), str(tmp_path)), "there are 3 inputs"),
        ((), "at least one INPUT"),
    ):
        done = CliRunner().invoke(app, ["segment", "--model", str(model), "-o", str(tmp_path / "o.nii.gz"), *words])
        assert done.exit_code == 2, words
        assert said in " ".join(done.output.replace("│", " ").split()), done.output


# ---- cascades


def cascade(parent: Path, plan: dict[str, Any] | None = None, **changes: Any) -> tuple[Path, Path, dict[str, Any]]:
    """Both stages' folders and the second's configuration: the first at a coarser spacing, with other weights."""
    low = configuration(spacing=[3.0, 2.5, 2.0])
    full = configuration(**changes)
    second = {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}
    every = {"3d_lowres": {**low, "next_stage": "3d_cascade_fullres"}, "3d_fullres": full}
    place = parent / "Dataset996_Cascade"
    first = write_folder(place, low, name="3d_lowres", folds=(0, 1), mirror=None, more=every, plan=plan)
    last = write_folder(place, full, name="3d_cascade_fullres", mirror=(2,), inputs=4, plan=plan)
    content = json.loads((last / "plans.json").read_text())
    content["configurations"] = {**every, "3d_cascade_fullres": second}
    (last / "plans.json").write_text(json.dumps(content))
    return first, last, full


TURNED = {"transpose_forward": [1, 0, 2], "transpose_backward": [1, 0, 2]}
MASKED = {"normalization_schemes": ["ZScoreNormalization"], "use_mask_for_norm": [True]}
THICK = {"spacing": [5.0, 1.0, 1.25], "patch_size": [8, 16, 16]}
CASCADES: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "plain": (None, {}),
    "axes transposed, z-score in the mask": (TURNED, MASKED),
}


@pytest.mark.parametrize("case", CASCADES)
def test_a_cascade_is_labelled_as_by_the_book(case: str, tmp_path: Path) -> None:
    plan, changes = CASCADES[case]
    first, last, content = cascade(tmp_path, plan, **changes)
    volume = image(0)
    before = gk.segment(volume, first)
    found = gk.segment(volume, last)
    facts = plans({}, **(plan or {}))
    wanted = segmented(
        volume.array, volume.grid.spacing[::-1], facts, content, [network(content, 4, 0, 4)], (2,),
        before=before.array, stage=(1, 2, 3),
    )  # fmt: skip
    assert len(np.unique(wanted)) >= 2
    assert np.count_nonzero(found.array != wanted) <= TIES
    assert np.count_nonzero(found.array != before.array) > 100
    without = segmented(
        volume.array, volume.grid.spacing[::-1], facts, content, [network(content, 4, 0, 4)], (2,),
        before=np.zeros_like(before.array), stage=(1, 2, 3),
    )  # fmt: skip
    assert np.count_nonzero(found.array != without) > 100  # the first stage is seen


@pytest.mark.parametrize("case", [*CASCADES, "thick slices on their own"])
def test_a_cascade_is_labelled_as_by_nnunetv2(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, changes = CASCADES.get(case, (None, THICK))
    first, last, _ = cascade(tmp_path, plan, **changes)
    volume = image(0, spacing=(0.9, 0.8, 8.0) if changes is THICK else (0.9, 0.8, 2.5))
    before = by_nnunet(first, [volume], monkeypatch)
    wanted = by_nnunet(last, [volume], monkeypatch, before)
    assert np.count_nonzero(gk.segment(volume, first).array != before) <= TIES
    assert np.count_nonzero(gk.segment(volume, last).array != wanted) <= TIES


def test_a_cascade_is_a_model_with_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the store too, whose copy stands on its own."""
    monkeypatch.setenv("GPUKIT_MODELS", str(tmp_path / "store"))
    first, last, _ = cascade(tmp_path)
    model = find_model(last)
    assert model.previous is not None and len(model.weight_files) == 3
    entry = add(Store(), str(last), name="cascade", version="1")
    assert {Path(name).parts[0] for name in entry.variants[0].files} == {first.name, last.name}
    volume = image(0)
    wanted = gk.segment(volume, last)
    (first / "plans.json").unlink()
    assert np.array_equal(gk.segment(volume, "cascade").array, wanted.array)
    with pytest.raises(ModelError, match="3d_lowres, is not beside it"):
        gk.segment(volume, last)


def test_a_cascades_digest_is_that_of_both_stages(tmp_path: Path) -> None:
    first, last, _ = cascade(tmp_path)
    whole = find_model(last).digest
    file = first / "fold_1/checkpoint_final.pth"
    content = torch.load(file, weights_only=False)
    content["network_weights"]["decoder.seg_layers.1.bias"] += 1
    torch.save(content, file)
    assert find_model(last).digest != whole
