"""nnU-Net folders: the labels that nnU-Net itself gives, on the source's grid, and nothing run that a file brings."""

from __future__ import annotations

import itertools
import json
import os
import pickle
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("dynamic_network_architectures", reason="the networks of nnU-Net need gpukit[nnunet]")

from scipy.ndimage import gaussian_filter
from support.nnunet_models import configuration, network, old_configuration, plans, write_folder
from support.oracles.nnunet import resampled, segmented

import gpukit as gk
from gpukit.ai import find_model
from gpukit.ai.nnunet.network import read_checkpoint
from gpukit.ai.nnunet.plans import read_nnunet
from gpukit.ai.nnunet.resample import Resampling, new_shape, resample
from gpukit.ai.registry.packages import add
from gpukit.ai.registry.store import Store
from gpukit.errors import InputNotFoundError, ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

KWARGS = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
THICK = {"spacing": [5.0, 1.0, 1.25], "patch_size": [8, 16, 16]}
REGIONS = {
    "labels": {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": [3]},
    "regions_class_order": [1, 2, 3],
}


pytestmark = pytest.mark.usefixtures("one_thread")


def image(shape: Sequence[int] = (14, 37, 41), spacing: Sequence[float] = (0.9, 0.8, 2.5), seed: int = 0) -> Volume:
    """Smooth noise between air of exactly zero on two sides."""
    values = gaussian_filter(np.random.default_rng(seed).normal(size=tuple(shape)), 2) * 4000
    values[:2] = 0
    values[:, :3] = 0
    return Volume(array=values.astype(np.float32), grid=Grid.from_axes(shape, spacing=spacing))


THIN, SLABS = ((14, 37, 41), (0.9, 0.8, 2.5)), ((9, 37, 41), (0.9, 0.8, 8.0))
ZSCORE = {"normalization_schemes": ["ZScoreNormalization"]}
#: name: (changes of the configuration, of the plan, of the data set, image, folds, mirrored axes, dimension)
CASES: dict[str, tuple[dict[str, Any], dict[str, Any], dict[str, Any], Any, Any, Any, int]] = {
    "CT, mirrored": ({}, {}, {}, THIN, (0,), (0, 1, 2), 3),
    "slices": ({}, {}, {}, THIN, (0,), (0, 1), 2),
    "three folds, axes transposed, z-score in the mask": (
        {**ZSCORE, "use_mask_for_norm": [True]},
        {"transpose_forward": [2, 0, 1], "transpose_backward": [1, 2, 0]}, {}, THIN, (0, 1, 3), (1,), 3,
    ),
    "thick slices on their own": ({**THICK, **ZSCORE}, {}, {}, SLABS, (0,), None, 3),
    "thick slices at half their distance, so that nearest ties": (
        {**THICK, "spacing": [4.0, 1.0, 1.25]}, {}, {}, SLABS, (0,), None, 3,
    ),
    "cubic logits": ({"resampling_fn_probabilities_kwargs": {**KWARGS, "order": 3}}, {}, {}, THIN, (0,), None, 3),
    "cubic logits, thick slices": (
        {**THICK, "resampling_fn_probabilities_kwargs": {**KWARGS, "order": 3, "order_z": 1}},
        {}, {}, SLABS, (0,), None, 3,
    ),
    "regions": ({"normalization_schemes": ["RescaleTo01Normalization"]}, {}, REGIONS, THIN, (0,), (0,), 3),
    "the source's own spacing": ({"spacing": [2.5, 0.8, 0.9]}, {}, {}, THIN, (0,), None, 3),
}  # fmt: skip


def made(case: str, parent: Path) -> tuple[Path, Volume, dict[str, Any], list[Any]]:
    """Folder, image, configuration and networks of a case."""
    changes, plan, data, (shape, spacing), folds, mirror, dimension = CASES[case]
    content = configuration(dimension, **changes)
    heads = 3 if data else 4
    name = "2d" if dimension == 2 else "3d_fullres"
    folder = write_folder(
        parent / "Dataset999_Test", content, name=name, folds=folds, mirror=mirror, heads=heads, plan=plan, data=data
    )
    return folder, image(shape, spacing), content, [network(content, heads, n) for n in range(len(folds))]


@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_the_book(case: str, tmp_path: Path) -> None:
    """Sums differ in their order only, so labels may differ where two classes are equal to seven digits: none here."""
    folder, volume, content, networks = made(case, tmp_path)
    _, plan, data, _, _, mirror, _ = CASES[case]
    found = gk.segment(volume, folder)
    wanted = segmented(
        volume.array, volume.grid.spacing[::-1], plans({}, **plan), content, networks, mirror or (),
        data.get("regions_class_order", ()),
    )  # fmt: skip
    assert found.grid.same_as(volume.grid)
    assert len(np.unique(wanted)) >= 2  # a map of one label would prove nothing
    assert np.count_nonzero(found.array != wanted) <= 1
    assert not found.array[:2].any(), "what nnU-Net crops away is background"


@pytest.mark.parametrize("case", CASES)
def test_labels_are_those_of_nnunetv2(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """nnU-Net sums in half precision, gpukit in single; with nnU-Net's sums in single too, the labels are equal."""
    predict = pytest.importorskip("nnunetv2.inference.predict_from_raw_data", reason="nnunetv2 is not installed")
    folder, volume, _, _ = made(case, tmp_path)
    mirror = CASES[case][5]
    predictor = predict.nnUNetPredictor(
        device=torch.device("cpu"),
        allow_tqdm=False,
        use_mirroring=mirror is not None,
        perform_everything_on_device=False,
    )
    predictor.initialize_from_trained_model_folder(str(folder), None)
    monkeypatch.setattr(torch, "half", torch.float32)
    facts = {"spacing": list(volume.grid.spacing[::-1])}
    wanted = predictor.predict_single_npy_array(volume.array[None].copy(), facts, None, None, False)
    assert np.count_nonzero(gk.segment(volume, folder).array != wanted) <= 1


def test_images_are_resampled_as_by_scikit_image() -> None:
    """To float32's rounding of values near 1: 1e-6."""
    rng = np.random.default_rng(3)
    values = rng.normal(size=(11, 30, 23)).astype(np.float32)
    for order, order_z, force, first, second in itertools.product(
        (0, 1, 3), (0, 1), (None, True, False), ((6.0, 0.9, 0.8), (2.5, 0.9, 0.8)), ((5.0, 1.0, 1.0), (3.0, 0.7, 1.3))
    ):
        shape = new_shape(values.shape, first, second)
        how = Resampling(order=order, order_z=order_z, separate_z=force)
        found = resample(torch.from_numpy(values), shape, first, second, how).numpy()
        kwargs = {"order": order, "order_z": order_z, "force_separate_z": force}
        np.testing.assert_allclose(found, resampled(values, shape, first, second, kwargs), atol=1e-6)


def test_a_cubic_spline_stays_within_the_images_range() -> None:
    step = np.zeros((12, 12, 12), np.float32)
    step[6:] = 1.0
    found = resample(torch.from_numpy(step), (25, 12, 12), (2, 1, 1), (1, 1, 1), Resampling(order=3))
    assert (float(found.min()), float(found.max())) == (0.0, 1.0)


ORDERS = [
    (order, signs) for order in itertools.permutations(range(3)) for signs in itertools.product((1.0, -1.0), repeat=3)
]


def test_a_network_that_sees_ras_labels_the_same_places_however_voxels_are_stored(tmp_path: Path) -> None:
    """All 48 orders and directions of axes, for the reader that turns images and for TotalSegmentator's data sets."""
    folder = write_folder(
        tmp_path / "Dataset291_X", configuration(), mirror=None, plan={"image_reader_writer": "NibabelIOWithReorient"}
    )
    twin = write_folder(
        tmp_path / "Dataset291_TotalSegmentator_part1", configuration(), mirror=None,
        plan={"dataset_name": "Dataset291_TotalSegmentator_part1_organs"},
    )  # fmt: skip
    stored = write_folder(tmp_path / "Dataset001_Y", configuration(), mirror=None)
    volume = image((8, 20, 23))
    model = read_nnunet(folder)
    first = gk.segment(volume, model)
    assert np.array_equal(gk.segment(volume, twin).array, first.array)
    turned_away = 0
    for order, signs in ORDERS:
        matrix = np.eye(3)[:, list(order)] * signs
        codes = "".join("LPS"[np.argmax(np.abs(c))] if c.sum() > 0 else "RAI"[np.argmax(np.abs(c))] for c in matrix.T)
        grid, axes, flips = volume.grid.reoriented(codes)
        there = [n for n, flip in enumerate(flips) if flip]
        other = replace(volume, array=np.flip(volume.array.transpose(axes), there).copy(), grid=grid)
        found = gk.segment(other, model)
        wanted = np.flip(first.array.transpose(axes), there)
        assert found.grid.same_as(grid)
        assert np.count_nonzero(found.array != wanted) <= 1, codes
        if codes in ("RAS", "LAS"):
            turned_away += np.count_nonzero(gk.segment(other, stored).array != wanted)
    # without that reader the network sees voxels as they are stored, as it would by nnU-Net
    assert turned_away > 0


def test_gpukit_json_says_how_the_training_images_lay(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset001_Y", configuration(), mirror=None)
    assert read_nnunet(folder).volume_input.orientation is None
    (folder / "gpukit.json").write_text(json.dumps({"orientation": "las", "modality": ["MR"]}))
    spec = read_nnunet(folder).volume_input
    assert (spec.orientation, spec.modality) == ("LAS", ("MR",))
    (folder / "gpukit.json").write_text(json.dumps({"orientation": "LSS"}))
    with pytest.raises(ModelError, match=r"gpukit\.json"):
        read_nnunet(folder)


def test_old_plans_make_the_same_network(tmp_path: Path) -> None:
    volume = image()
    new = gk.segment(volume, write_folder(tmp_path / "Dataset1_New", configuration(), mirror=None))
    old = gk.segment(volume, write_folder(tmp_path / "Dataset1_Old", old_configuration(), mirror=None))
    assert np.array_equal(old.array, new.array)


def test_flips_take_the_place_of_the_checkpoints_mirroring(tmp_path: Path) -> None:
    volume = image()
    mirrored = write_folder(tmp_path / "Dataset1_A", configuration(), mirror=(0, 1, 2))
    plain = write_folder(tmp_path / "Dataset1_B", configuration(), mirror=None)
    assert read_nnunet(mirrored).inference.mirror == (0, 1, 2)
    assert np.array_equal(gk.segment(volume, mirrored, flips="").array, gk.segment(volume, plain).array)
    assert np.array_equal(gk.segment(volume, plain, flips="xyz").array, gk.segment(volume, mirrored).array)


def test_labels_have_their_names_and_codes(tmp_path: Path) -> None:
    model = read_nnunet(write_folder(tmp_path / "Dataset1_A", configuration()))
    assert [(label.value, label.name, label.type[:2]) for label in model.segments.labels[:2]] == [
        (1, "liver", ("10200004", "SCT")),
        (2, "kidney_left", ("18639004", "SCT")),
    ]
    assert (model.license, model.volume_input.modality) == ("CC0", ("CT",))
    regions = read_nnunet(write_folder(tmp_path / "Dataset1_B", configuration(), heads=3, data=REGIONS))
    # what is left of a region where another is drawn over it must not bear the whole region's name
    assert [label.name for label in regions.segments.labels] == [
        "whole without core and inner", "core without inner", "inner",
    ]  # fmt: skip


def test_a_data_sets_folder_needs_a_choice_of_configuration(tmp_path: Path) -> None:
    parent = tmp_path / "Dataset001_A"
    full = write_folder(parent, configuration(), folds=(0, 1))
    assert find_model(parent).weights == full / "fold_0/checkpoint_final.pth"
    write_folder(parent, configuration(2), name="2d", mirror=(0, 1))
    with pytest.raises(ModelError, match=r"several trained networks: .*__2d, .*__3d_fullres"):
        find_model(parent)
    assert find_model(parent / "2d").name == "Dataset999_Test 2d"
    assert read_nnunet(parent, configuration="3d_fullres", folds=(1,)).weights.parent.name == "fold_1"
    assert find_model(full / "fold_1").folds == ()
    assert find_model(full / "fold_1/checkpoint_final.pth").weights.parent.name == "fold_1"
    assert len(find_model(full).folds) == 1


def test_folds_without_the_checkpoint_are_named_and_best_is_used_where_no_final_is(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset001_A", configuration(), folds=(0, 2))
    (folder / "fold_1").mkdir()
    model = read_nnunet(folder)
    assert [p.parent.name for p in (model.weights, *model.folds)] == ["fold_0", "fold_2"]
    assert "fold_1 left out" in model.notes[0]
    best = write_folder(tmp_path / "Dataset001_B", configuration(), folds=("all",), checkpoint="checkpoint_best.pth")
    assert read_nnunet(best).weights == best / "fold_all/checkpoint_best.pth"
    with pytest.raises(ModelError, match="fold_3"):
        read_nnunet(folder, folds=(3,))


def replaced(file: Path, content: Any) -> None:
    """Save over a file whose tensors may still lie in it."""
    torch.save(content, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)


class Opener:
    """Pickled, it writes a file when it is loaded."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("where", ["logging", "init_args"])
def test_a_checkpoint_runs_no_code(tmp_path: Path, where: str) -> None:
    folder = write_folder(tmp_path / "Dataset001_A", configuration())
    file = folder / "fold_0/checkpoint_final.pth"
    content = dict(read_checkpoint(file))
    content[where] = {"configuration": "3d_fullres", "x": Opener(tmp_path / "was-here")}
    replaced(file, content)
    with pytest.raises(ModelError, match="would run code"):
        find_model(folder)
    assert not (tmp_path / "was-here").exists()


def test_a_checkpoint_may_hold_numpys_numbers_and_no_objects_of_numpy(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset001_A", configuration())
    file = folder / "fold_0/checkpoint_final.pth"
    content = read_checkpoint(file)
    assert content["logging"]["train_losses"] == [0.5, 0.25]
    replaced(file, {**content, "logging": np.array([{}], dtype=object)})
    with pytest.raises(ModelError, match="would run code"):
        find_model(folder)
    file.write_bytes(pickle.dumps({"network_weights": {}}))
    with pytest.raises(ModelError, match="checkpoint"):
        find_model(folder)


def broken(folder: Path, file: str, change: Callable[[dict[str, Any]], None]) -> None:
    content = json.loads((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content))


def _kwargs(plan: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = plan["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    return found


BROKEN: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "a class that is not allowed": (
        "plans.json",
        lambda p: p["configurations"]["3d_fullres"]["architecture"].update(network_class_name="os.system"),
        "system is not among the networks",
    ),
    "a layer that is not allowed": ("plans.json", lambda p: _kwargs(p).update(nonlin="os.system"), "layers that may"),
    "a network without end": ("plans.json", lambda p: _kwargs(p).update(n_stages=100000), "n_stages"),
    "a plan that does not fit the weights": (
        "plans.json", lambda p: _kwargs(p).update(features_per_stage=[4, 8, 16]), "do not fit the plan's PlainConvUNet",
    ),
    "a cascade without its first stage": (
        "plans.json", lambda p: p["configurations"]["3d_fullres"].update(previous_stage="3d_lowres"),
        "second stage of a cascade, and its first, 3d_lowres, is not beside it",
    ),
    "a cascade whose first stage lies elsewhere": (
        "plans.json", lambda p: p["configurations"]["3d_fullres"].update(previous_stage="../../3d_lowres"),
        "no configuration's name",
    ),
    "another preprocessor": (
        "plans.json", lambda p: p["configurations"]["3d_fullres"].update(preprocessor_name="Mine"), "preprocessor_name",
    ),
    "a configuration that the plan lacks": (
        "plans.json", lambda p: p.update(configurations={"2d": {}}), "no configuration '3d_fullres'",
    ),
    "labels with a gap": ("dataset.json", lambda d: d.update(labels={"background": 0, "a": 1, "b": 3}), "gap"),
    "a label count that differs": (
        "dataset.json", lambda d: d.update(labels={"background": 0, "a": 1}), "another size of decoder",
    ),
    "a channel without a normalisation": (
        "dataset.json", lambda d: d.update(channel_names={"0": "T1", "1": "T2"}), "names 1 of 2 channels",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_does_not_fit_is_named(case: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset001_A", configuration())
    file, change, said = BROKEN[case]
    broken(folder, file, change)
    with pytest.raises(ModelError, match=said):
        gk.segment(image(), folder)


def test_an_absent_fold_or_configuration_is_named(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset001_A", configuration())
    (folder / "fold_0/checkpoint_final.pth").unlink()
    with pytest.raises(ModelError, match=r"no fold with a checkpoint_final\.pth or checkpoint_best\.pth"):
        find_model(folder)
    with pytest.raises(InputNotFoundError, match="no such model"):
        find_model(tmp_path / "Dataset001_A/3d_lowres")


def test_an_ensemble_of_two_plans_is_put_together_by_its_labels(tmp_path: Path) -> None:
    volume = image()
    models = [
        write_folder(tmp_path / "Dataset1_A", configuration(), mirror=None),
        write_folder(tmp_path / "Dataset1_B", configuration(2), name="2d", mirror=None),
    ]
    with pytest.raises(ModelError, match="vote or staple"):
        gk.segment(volume, models)
    voted = gk.segment(volume, models, ensemble="vote", weights=[2.0, 1.0])
    assert np.array_equal(voted.array, gk.segment(volume, models[0]).array)


def test_an_empty_image_is_background_or_at_least_an_answer(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "Dataset1_A", configuration(**ZSCORE), mirror=None)
    volume = replace(image(), array=np.zeros((14, 37, 41), np.float32))
    assert gk.segment(volume, folder).array.shape == (14, 37, 41)
    holes = image()
    holes.array[5, 20, 20] = np.nan
    assert gk.segment(holes, folder).array.any()


def test_a_store_keeps_all_folds_and_refuses_a_damaged_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUKIT_MODELS", str(tmp_path / "store"))
    folder = write_folder(tmp_path / "Dataset1_A", configuration(), folds=(0, 1), mirror=None)
    (folder / "progress.png").write_bytes(b"nothing of the model")
    entry = add(Store(), str(folder), name="organs", version="1")
    assert sorted(entry.variants[0].files) == [
        "dataset.json", "fold_0/checkpoint_final.pth", "fold_1/checkpoint_final.pth", "plans.json",
    ]  # fmt: skip
    volume = image()
    assert np.array_equal(gk.segment(volume, "organs").array, gk.segment(volume, folder).array)
    second = find_model("organs").folds[0].resolve()
    second.chmod(0o644)
    weights = dict(read_checkpoint(folder / "fold_0/checkpoint_final.pth"))
    torch.save(weights, second)
    with pytest.raises(ModelError, match="not those described"):
        gk.segment(volume, "organs")


def test_the_command_runs_a_folder(tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    volume = image()
    folder = write_folder(tmp_path / "Dataset1_A", configuration(), mirror=(0,))
    gk.save(volume, tmp_path / "ct.nii.gz")
    words = ("ai", "segment", tmp_path / "ct.nii.gz", "--model", folder.parent / "3d_fullres", "--device", "cpu")
    done = run(*words, "--output", tmp_path / "seg.nii.gz", "--flips", "none")
    assert done.returncode == 0, done.stderr
    assert "kidney_left" in done.stdout
    written = gk.open(tmp_path / "seg.nii.gz")
    assert np.array_equal(written.array, gk.segment(gk.open(tmp_path / "ct.nii.gz"), folder, flips="").array)
