"""Sliding-window segmentation beside MONAI's own, on the same network, image, windows and weights.

    python benchmarks/sliding_window.py            # table of ratios
    python benchmarks/sliding_window.py --json     # the same as JSON
    python benchmarks/sliding_window.py --quick    # small sizes, to see that it runs

MONAI's way is ``sliding_window_inference`` followed by ``AsDiscrete(argmax=True)``; gpukit's is what `gpukit.segment`
does after preprocessing. Times are medians of runs that alternate in one process; CPU time is given
beside, since it holds on a busy machine too. Peak memory is the growth of the
resident set of a fresh process for each (``ru_maxrss`` after the run less before it), the network and the image being
there before. Labels are compared every time.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Case:
    """One network on one image."""

    name: str
    classes: int
    size: tuple[int, int, int]
    patch: tuple[int, int, int]
    overlap: float = 0.25
    batch: int = 1
    air: float = 0.0  # share of the image, along its first axis, that is background
    skip: bool = False


CASES = (
    Case("3 classes", 3, (128, 160, 128), (64, 64, 64)),
    Case("3 classes, half air, skipped", 3, (128, 160, 128), (64, 64, 64), air=0.5, skip=True),
    Case("25 classes", 25, (128, 128, 160), (64, 64, 64)),
    Case("105 classes", 105, (96, 96, 160), (48, 48, 48)),
)
QUICK = (Case("105 classes, quick", 105, (64, 64, 128), (32, 32, 32)),)


def network(case: Case) -> Any:
    """A small residual U-Net with random weights."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(0)
    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=case.classes,
        channels=(8, 16, 32, 64),
        strides=(2, 2, 2),
        num_res_units=1,
    ).eval()


def image(case: Case) -> Any:
    """Noise, with air in front."""
    import torch

    values = torch.rand((1, *case.size), generator=torch.Generator().manual_seed(1)) + 0.1
    values[:, : int(case.air * case.size[0])] = 0.0
    return values


def run_monai(case: Case, module: Any, values: Any) -> Any:
    """Labels by MONAI."""
    import torch
    from monai.inferers import sliding_window_inference
    from monai.transforms import AsDiscrete

    with torch.inference_mode():
        logits = sliding_window_inference(
            values[None], case.patch, case.batch, module, overlap=case.overlap, mode="gaussian"
        )
        return AsDiscrete(argmax=True)(logits[0])[0].to(torch.uint8)


def run_gpukit(case: Case, module: Any, values: Any) -> Any:
    """Labels by gpukit."""
    import torch

    from gpukit.ai.description import OutputSpec
    from gpukit.ai.labelmap import LabelMap
    from gpukit.ai.window import Layout, slide
    from gpukit.geometry import Grid
    from gpukit.volume import Label
    from gpukit_backends.runtimes.torch_runtime import TorchNetwork

    code = ("1", "99TEST", "test")
    labels = tuple(Label(v, str(v), code, code) for v in range(1, case.classes))
    grid = Grid.from_axes(case.size[::-1])
    with torch.inference_mode():
        layout = Layout.plan(case.size, case.patch, case.overlap)
        target = LabelMap(grid, grid, OutputSpec(activation="softmax", labels=labels), layout.axis, values.device)
        loaded = TorchNetwork(module, values.device, "float32")
        skip = 0.05 if case.skip else None
        for slab in slide(values, loaded, layout, channels=case.classes, batch=case.batch, skip_below=skip):
            target.add(slab)
        return target.finish().permute(2, 1, 0)


WAYS = {"monai": run_monai, "gpukit": run_gpukit}


def _peak(way: str, case: Case, threads: int, pipe: Any) -> None:
    import torch

    torch.set_num_threads(threads)
    module, values = network(case), image(case)
    # Imports and torch's own buffers are there before the measurement.
    small = Case("warm", case.classes, (24, 16, 16), (16, 16, 16))
    WAYS[way](small, network(small), image(small))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    WAYS[way](case, module, values)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    pipe.send((after - before) * (1 if sys.platform == "darwin" else 1024))


def peak(way: str, case: Case, threads: int) -> int:
    """Growth of the resident set in bytes, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=_peak, args=(way, case, threads, theirs))
    process.start()
    theirs.close()
    try:
        return int(mine.recv())
    finally:
        process.join()


def measure(case: Case, runs: int, threads: int) -> dict[str, Any]:
    """Medians of both ways, run in turn, and their peaks."""
    import torch

    torch.set_num_threads(threads)
    values = image(case)
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    work: dict[str, list[float]] = {way: [] for way in WAYS}
    labels = {}
    for _ in range(runs):
        for way, function in WAYS.items():
            module = network(case)
            begin, busy = time.perf_counter(), time.process_time()
            labels[way] = function(case, module, values)
            seconds[way].append(time.perf_counter() - begin)
            work[way].append(time.process_time() - busy)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    peaks = {way: peak(way, case, threads) for way in WAYS}
    return {
        "case": case.name,
        "size": case.size,
        "patch": case.patch,
        "seconds": medians,
        "cpu_seconds": {way: statistics.median(times) for way, times in work.items()},
        "peak_bytes": peaks,
        "faster": medians["monai"] / medians["gpukit"],
        "smaller": peaks["monai"] / max(1, peaks["gpukit"]),
        "labels_differ": int((labels["monai"] != labels["gpukit"]).sum()),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    given = parser.parse_args()
    cases = [case for case in (QUICK if given.quick else CASES) if not given.case or given.case in case.name]
    found = []
    for case in cases:
        result = measure(case, given.runs, given.threads)
        found.append(result)
        if not given.json:
            seconds, peaks, work = result["seconds"], result["peak_bytes"], result["cpu_seconds"]
            print(
                f"{case.name:32} MONAI {seconds['monai']:7.2f} s {peaks['monai'] / 1e6:7.0f} MB   "
                f"gpukit {seconds['gpukit']:7.2f} s {peaks['gpukit'] / 1e6:7.0f} MB   "
                f"{result['faster']:.2f}x faster (CPU time {work['monai'] / work['gpukit']:.2f}x), "
                f"{result['smaller']:.2f}x smaller, "
                f"{result['labels_differ']} labels differ",
                flush=True,
            )
    if given.json:
        print(json.dumps({"schema_version": 1, "results": found}, indent=2))


if __name__ == "__main__":
    main()
