"""From logits to labels on the source's grid, beside nnU-Net's own export, on organ-like logits of 105 classes.

    python benchmarks/nnunet.py            # needs nnunetv2 (pip install nnunetv2); says so where it is not there
    python benchmarks/nnunet.py --quick    # small, to see that it runs
    python benchmarks/nnunet.py --case thick

nnU-Net's way is `convert_predicted_logits_to_segmentation_with_correct_shape`; gpukit's is `LabelMap`, fed with the
same logits block by block, as its windows hand them on. Times are medians of runs that alternate in one process, CPU
time beside. Peak memory is how far the resident set of a fresh process rises above what it is before, the
logits being there: nnU-Net holds them once more in float64 and all of them at the source's spacing, 4 GB here.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import statistics
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from sliding_window import high_water, level

CLASSES = 105
#: Voxels of a block along each axis, as windows of 64 that overlap by half hand them on.
SIDE = 32


@dataclass(frozen=True)
class Case:
    """Logits of a network's grid, and the grid to which they return."""

    name: str
    shape: tuple[int, int, int]
    size: tuple[int, int, int]
    spacing: tuple[float, float, float]  # of the source, in mm


CASES = (
    Case("1.5 mm to 1 x 0.8 x 0.8 mm", (96, 112, 112), (144, 210, 210), (1.0, 0.8, 0.8)),
    Case("thick slices, on their own", (40, 112, 112), (50, 210, 210), (4.0, 0.8, 0.8)),
    Case("thick borders, small organs", (48, 80, 80), (80, 144, 144), (1.0, 1.0, 1.0)),
)
QUICK = (Case("quick", (32, 48, 48), (52, 84, 84), (1.0, 1.0, 1.0)),)
WARM = Case("warm", (8, 12, 12), (12, 20, 20), (1.0, 1.0, 1.0))


def organs(case: Case) -> np.ndarray:
    """Logits of balls in space with background between: smooth, one class clearly ahead but at surfaces.

    Surfaces are some four voxels of the network thick, as networks leave them; all classes have some noise, so that
    those that do not win are in no order. Thick borders are what a network gives of organs of two to six voxels.
    """
    rng = np.random.default_rng(0)
    thick = "thick borders" in case.name
    steep, radii = (60.0, (0.04, 0.12)) if thick else (2.0 * case.shape[1], (0.05, 0.18))
    places = [np.linspace(0, 1, n, dtype=np.float32).reshape(np.eye(3, dtype=int)[a] * (n - 1) + 1)
              for a, n in enumerate(case.shape)]  # fmt: skip
    logits = np.empty((CLASSES, *case.shape), np.float32)
    for n, room in enumerate(logits):
        noise = rng.normal(scale=0.3, size=case.shape).astype(np.float32)
        if n:
            centre, radius = rng.random(3), rng.uniform(*radii)
            distance = np.sqrt(sum((p - np.float32(c)) ** 2 for p, c in zip(places, centre, strict=True)))
            room[...] = np.clip((np.float32(radius) - distance) * np.float32(steep), -12, 12)
            room -= 0.0 if thick else np.where(room < -11, noise + 0.5, 0.1 * noise)
        else:
            room[...] = 0.0 if thick else 0.1 * noise
    return logits


def run_nnunet(logits: np.ndarray, case: Case) -> np.ndarray:
    """Labels by nnU-Net."""
    import torch
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    spacing = [a * b / c for a, b, c in zip(case.spacing, case.size, case.shape, strict=True)]
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
        "spacing": case.spacing, "shape_after_cropping_and_before_resampling": case.size,
        "shape_before_cropping": case.size, "bbox_used_for_cropping": [[0, n] for n in case.size],
    }  # fmt: skip
    found = convert_predicted_logits_to_segmentation_with_correct_shape(
        torch.from_numpy(logits), plans, plans.get_configuration("c"), labels, facts, False, torch.get_num_threads()
    )
    return np.asarray(found)


def run_gpukit(logits: np.ndarray, case: Case) -> np.ndarray:
    """Labels by gpukit."""
    import torch

    from gpukit.ai.inference.label_map import LabelMap
    from gpukit.ai.inference.merger import Block
    from gpukit.ai.model.volume_spec import OutputSpec
    from gpukit.geometry import Grid
    from gpukit.segmentation import Label

    code = ("1", "99TEST", "test")
    output = OutputSpec(activation="none", labels=tuple(Label(n, str(n), code, code) for n in range(1, CLASSES)))
    affine = np.eye(4)
    for n, (a, b) in enumerate(zip(case.shape, case.size, strict=True)):
        affine[n, n], affine[n, 3] = b / a, 0.5 * b / a - 0.5
    source, model = Grid(case.size[::-1], np.eye(4)), Grid(case.shape[::-1], affine)
    tensor = torch.from_numpy(logits)
    with torch.inference_mode():
        nearest = 0 if max(case.spacing) / min(case.spacing) > 3 else None  # nnU-Net's rule
        target = LabelMap(source, model, output, tensor.device, nearest=nearest)
        for start in itertools.product(*(range(0, n, SIDE) for n in case.shape)):
            box = tuple(slice(at, at + SIDE) for at in start)
            target.add(Block(start, tensor[(slice(None), *box)], None))
        return target.finish().permute(2, 1, 0).numpy()


WAYS = {"nnunet": run_nnunet, "gpukit": run_gpukit}


def _peak(way: str, case: Case, pipe: Any) -> None:
    import torch

    torch.set_num_threads(2)
    WAYS[way](organs(WARM), WARM)  # imports are there before the measurement
    logits = organs(case)
    before = level()
    WAYS[way](logits, case)
    pipe.send(high_water() - before)


def peak(way: str, case: Case) -> int:
    """Growth of the resident set in bytes, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_peak, args=(way, case, theirs))
    process.start()
    theirs.close()
    try:
        return int(mine.recv())
    finally:
        process.join()


def measure(case: Case, runs: int) -> dict[str, Any]:
    """Both ways in turn, and their peaks."""
    logits = organs(case)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    busy: dict[str, list[float]] = {way: [] for way in WAYS}
    labels = {}
    for _ in range(runs):
        for way, function in WAYS.items():
            begin, used = time.perf_counter(), time.process_time()
            labels[way] = function(logits, case)
            seconds[way].append(time.perf_counter() - begin)
            busy[way].append(time.process_time() - used)
    del logits
    clock = {way: statistics.median(times) for way, times in seconds.items()}
    cpu = {way: statistics.median(times) for way, times in busy.items()}
    peaks = {way: peak(way, case) for way in WAYS}
    return {
        "case": case.name, "shape": case.shape, "size": case.size, "seconds": clock, "cpu_seconds": cpu,
        "peak_bytes": peaks, "faster": clock["nnunet"] / clock["gpukit"], "less_cpu": cpu["nnunet"] / cpu["gpukit"],
        "smaller": peaks["nnunet"] / max(1, peaks["gpukit"]),
        "labels_differ": int((labels["nnunet"] != labels["gpukit"]).sum()), "voxels": int(labels["gpukit"].size),
        "foreground": int((labels["gpukit"] > 0).sum()),
    }  # fmt: skip


def main() -> None:
    """Print the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", help="only cases whose name contains this")
    given = parser.parse_args()
    if find_spec("nnunetv2") is None:
        print("nnunetv2 is not installed, so there is nothing to compare with: pip install nnunetv2")
        return
    import torch

    torch.set_num_threads(2)
    for function in WAYS.values():
        function(organs(WARM), WARM)  # imports
    found = []
    for case in (c for c in (QUICK if given.quick else CASES) if not given.case or given.case in c.name):
        row = measure(case, given.runs)
        found.append(row)
        if given.json:
            continue
        clock, busy, peaks = row["seconds"], row["cpu_seconds"], row["peak_bytes"]
        said = [f"{w} {clock[w]:.2f} s, CPU {busy[w]:.2f} s, {peaks[w] / 1e6:.0f} MB" for w in WAYS]
        print(
            f"{case.name}: {CLASSES} classes, {case.shape} to {case.size}   {'   '.join(said)}   {row['faster']:.1f}x "
            f"faster (CPU time {row['less_cpu']:.1f}x), {row['smaller']:.1f}x smaller, {row['labels_differ']} of "
            f"{row['voxels']} labels differ ({row['foreground']} are foreground)",
            flush=True,
        )
    if given.json:
        print(json.dumps({"schema_version": 1, "results": found}, indent=2))


if __name__ == "__main__":
    main()
