"""Small nnU-Net folders with random weights, as nnU-Net v2 would have trained them, for the tests of this room."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

CT = {"mean": 40.0, "std": 180.0, "percentile_00_5": -600.0, "percentile_99_5": 700.0}
LABELS = {"background": 0, "liver": 1, "kidney_left": 2, "some_thing": 3}


def configuration(dimension: int = 3, **changes: Any) -> dict[str, Any]:
    """One of a plan's configurations, as nnU-Net 2.4 and later write it; a change of None removes the key."""
    content: dict[str, Any] = {
        "data_identifier": "nnUNetPlans_test",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 16, 16][:dimension],
        "spacing": [2.0, 1.5, 1.25][-dimension:],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None},
        "resampling_fn_seg_kwargs": {"is_seg": True, "order": 1, "order_z": 0, "force_separate_z": None},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": {
                "n_stages": 3,
                "features_per_stage": [4, 8, 8],
                "conv_op": f"torch.nn.modules.conv.Conv{dimension}d",
                "kernel_sizes": [[3] * dimension] * 3,
                "strides": [[1] * dimension, [2] * dimension, [2] * dimension],
                "n_conv_per_stage": [1, 1, 1],
                "n_conv_per_stage_decoder": [1, 1],
                "conv_bias": True,
                "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dimension}d",
                "norm_op_kwargs": {"eps": 1e-5, "affine": True},
                "dropout_op": None,
                "dropout_op_kwargs": None,
                "nonlin": "torch.nn.LeakyReLU",
                "nonlin_kwargs": {"inplace": True},
            },
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }
    content.update(changes)
    return {key: value for key, value in content.items() if value is not None}


def old_configuration(dimension: int = 3) -> dict[str, Any]:
    """The same network in the words of plans of before nnU-Net 2.4."""
    return configuration(
        dimension,
        architecture=None,
        UNet_class_name="PlainConvUNet",
        UNet_base_num_features=4,
        unet_max_num_features=8,
        n_conv_per_stage_encoder=[1, 1, 1],
        n_conv_per_stage_decoder=[1, 1],
        num_pool_per_axis=[2] * dimension,
        pool_op_kernel_sizes=[[1] * dimension, [2] * dimension, [2] * dimension],
        conv_kernel_sizes=[[3] * dimension] * 3,
    )


def plans(configurations: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A plans.json."""
    return {
        "dataset_name": "Dataset999_Test",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [2.0, 1.5, 1.25],
        "original_median_shape_after_transp": [20, 30, 30],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": CT},
        **changes,
    }


def dataset(**changes: Any) -> dict[str, Any]:
    """A dataset.json."""
    return {
        "channel_names": {"0": "CT"},
        "labels": LABELS,
        "numTraining": 1,
        "file_ending": ".nii.gz",
        "licence": "CC0",
        **changes,
    }


def network(content: dict[str, Any], heads: int, seed: int, inputs: int = 1) -> Any:
    """The configuration's network with random weights, whose logits differ clearly from place to place."""
    import torch
    from dynamic_network_architectures.architectures import unet

    torch.manual_seed(seed)
    dimension = len(content["patch_size"])
    part = content.get("architecture") or configuration(dimension)["architecture"]
    arguments = {**part["arch_kwargs"], "deep_supervision": False}
    for key in ("conv_op", "norm_op", "nonlin"):
        arguments[key] = getattr(torch.nn, arguments[key].rpartition(".")[2])
    built = getattr(unet, part["network_class_name"].rpartition(".")[2])(inputs, num_classes=heads, **arguments)
    for value in built.parameters():
        value.data.copy_(torch.randn_like(value) * 0.4)
    return built.eval()


def write_folder(
    parent: Path,
    content: dict[str, Any],
    *,
    name: str = "3d_fullres",
    folds: Sequence[int | str] = (0,),
    mirror: tuple[int, ...] | None = (0, 1, 2),
    heads: int = 4,
    plan: dict[str, Any] | None = None,
    data: dict[str, Any] | None = None,
    checkpoint: str = "checkpoint_final.pth",
    inputs: int = 1,
    more: dict[str, Any] | None = None,
) -> Path:
    """A trained network's folder in a data set's; returns the first. `more` are further configurations of the plan."""
    import torch

    folder = parent / f"nnUNetTrainer__nnUNetPlans__{name}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans({**(more or {}), name: content}, **(plan or {}))))
    (folder / "dataset.json").write_text(json.dumps(dataset(**(data or {}))))
    for n, fold in enumerate(folds):
        (folder / f"fold_{fold}").mkdir(exist_ok=True)
        saved = {
            "network_weights": network(content, heads, n, inputs).state_dict(),
            "optimizer_state": {"lr": 0.01},
            "grad_scaler_state": None,
            # what nnU-Net's logger keeps are NumPy's numbers
            "logging": {"train_losses": [np.float32(0.5), np.float64(0.25)], "epoch_start": [np.int64(3)]},
            "_best_ema": np.float64(0.5),
            "current_epoch": 1,
            "init_args": {"plans": {}, "configuration": name, "fold": fold, "device": torch.device("cpu")},
            "trainer_name": "nnUNetTrainer",
            "inference_allowed_mirroring_axes": mirror,
        }
        torch.save(saved, folder / f"fold_{fold}" / checkpoint)
    return folder
