"""From logits to labels on the source's grid, beside nnU-Net's own export, on organ-like logits of 105 classes.

    python benchmarks/nnunet.py            # needs nnunetv2 (pip install nnunetv2); says so where it is not there
    python benchmarks/nnunet.py --quick    # small, to see that it runs

nnU-Net's way is `convert_predicted_logits_to_segmentation_with_correct_shape`; gpukit's is `LabelMap`, fed with the
same logits plane by plane, as its ring of windows hands them on. Times are medians of runs that alternate in one
process. Peak memory is the growth of the resident set of a fresh process for each, the logits being there before.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import time
from importlib.util import find_spec
from typing import Any

import numpy as np
from sliding_window import high_water

CLASSES = 105
SIZES = {
    "full": ((48, 80, 80), (80, 144, 144)),
    "quick": ((32, 48, 48), (52, 84, 84)),
    "warm": ((8, 12, 12), (12, 20, 20)),
}
SPACING = (1.0, 1.0, 1.0)


def organs(shape: tuple[int, ...]) -> np.ndarray:
    """Logits of balls in space with background between: smooth, one class clearly ahead but at surfaces."""
    rng = np.random.default_rng(0)
    places = np.stack(np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")).astype(np.float32)
    logits = np.full((CLASSES, *shape), 0.0, np.float32)
    for n in range(1, CLASSES):
        centre, radius = rng.random(3), rng.uniform(0.04, 0.12)
        distance = np.sqrt(sum((p - c) ** 2 for p, c in zip(places, centre, strict=True)))
        logits[n] = np.clip((radius - distance) * 60, -12, 12)
    return logits


def run_nnunet(logits: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Labels by nnU-Net."""
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    spacing = [a * b / c for a, b, c in zip(SPACING, size, logits.shape[1:], strict=True)]
    kwargs = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    configuration = {
        "spacing": spacing, "architecture": {}, "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": kwargs,
    }  # fmt: skip
    plans = PlansManager({
        "configurations": {"c": configuration}, "transpose_forward": [0, 1, 2], "transpose_backward": [0, 1, 2],
        "label_manager": "LabelManager",
    })  # fmt: skip
    labels = plans.get_label_manager({"labels": {"background": 0, **{str(n): n for n in range(1, CLASSES)}}})
    facts = {
        "spacing": SPACING, "shape_after_cropping_and_before_resampling": size, "shape_before_cropping": size,
        "bbox_used_for_cropping": [[0, n] for n in size],
    }  # fmt: skip
    found = convert_predicted_logits_to_segmentation_with_correct_shape(
        torch.from_numpy(logits), plans, plans.get_configuration("c"), labels, facts, False, torch.get_num_threads()
    )
    return np.asarray(found)


def run_gpukit(logits: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Labels by gpukit."""
    import torch

    from gpukit.ai.labelmap import LabelMap
    from gpukit.ai.parts import OutputSpec
    from gpukit.ai.window import Slab
    from gpukit.geometry import Grid
    from gpukit.volume import Label

    code = ("1", "99TEST", "test")
    output = OutputSpec(activation="none", labels=tuple(Label(n, str(n), code, code) for n in range(1, CLASSES)))
    affine = np.eye(4)
    for n, (a, b) in enumerate(zip(logits.shape[1:], size, strict=True)):
        affine[n, n], affine[n, 3] = b / a, 0.5 * b / a - 0.5
    source, model = Grid((size[2], size[1], size[0]), np.eye(4)), Grid(logits.shape[:0:-1], affine)
    tensor = torch.from_numpy(logits)
    with torch.inference_mode():
        target = LabelMap(source, model, output, 0, tensor.device)
        for n in range(0, logits.shape[1], 16):
            stop = min(n + 16, logits.shape[1])
            target.add(Slab(n, stop, tensor[:, n:stop], None))
        return target.finish().permute(2, 1, 0).numpy()


WAYS = {"nnunet": run_nnunet, "gpukit": run_gpukit}


def _peak(way: str, quick: bool, pipe: Any) -> None:
    import torch

    torch.set_num_threads(2)
    small, small_size = SIZES["warm"]
    WAYS[way](organs(small), small_size)  # imports are there before the measurement
    shape, size = SIZES["quick" if quick else "full"]
    logits = organs(shape)
    before = high_water()
    WAYS[way](logits, size)
    pipe.send(high_water() - before)


def peak(way: str, quick: bool) -> int:
    """Growth of the resident set in bytes, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_peak, args=(way, quick, theirs))
    process.start()
    theirs.close()
    try:
        return int(mine.recv())
    finally:
        process.join()


def main() -> None:
    """Print the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    given = parser.parse_args()
    if find_spec("nnunetv2") is None:
        print("nnunetv2 is not installed, so there is nothing to compare with: pip install nnunetv2")
        return
    import torch

    torch.set_num_threads(2)
    shape, size = SIZES["quick" if given.quick else "full"]
    logits = organs(shape)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    labels = {}
    for function in WAYS.values():
        function(organs(SIZES["warm"][0]), SIZES["warm"][1])  # imports
    for _ in range(given.runs):
        for way, function in WAYS.items():
            begin = time.perf_counter()
            labels[way] = function(logits, size)
            seconds[way].append(time.perf_counter() - begin)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    peaks = {way: peak(way, given.quick) for way in WAYS}
    result = {
        "case": f"{CLASSES} classes, {shape} to {size}", "seconds": medians, "peak_bytes": peaks,
        "faster": medians["nnunet"] / medians["gpukit"], "smaller": peaks["nnunet"] / max(1, peaks["gpukit"]),
        "labels_differ": int((labels["nnunet"] != labels["gpukit"]).sum()), "voxels": int(labels["gpukit"].size),
        "foreground": int((labels["gpukit"] > 0).sum()),
    }  # fmt: skip
    if given.json:
        print(json.dumps({"schema_version": 1, "results": [result]}, indent=2))
        return
    print(
        f"{result['case']}   nnU-Net {medians['nnunet']:.2f} s, {peaks['nnunet'] / 1e6:.0f} MB   "
        f"gpukit {medians['gpukit']:.2f} s, {peaks['gpukit'] / 1e6:.0f} MB   {result['faster']:.1f}x faster, "
        f"{result['smaller']:.1f}x smaller, {result['labels_differ']} of {result['voxels']} labels differ "
        f"({result['foreground']} are foreground)"
    )


if __name__ == "__main__":
    main()
