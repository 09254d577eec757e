"""Sliding-window segmentation beside MONAI's own, on the same network, image, windows and weights.

    python benchmarks/sliding_window.py            # table of ratios
    python benchmarks/sliding_window.py --json     # the same as JSON
    python benchmarks/sliding_window.py --quick    # small sizes, to see that it runs
    python benchmarks/sliding_window.py --case clinic --runtimes torch --runs 1    # 105 classes; MONAI takes 10 GB

MONAI's way is ``sliding_window_inference`` followed by ``AsDiscrete(argmax=True)``; gpukit's is what `gpukit.segment`
does after preprocessing, on torch and, where openvino is installed, on OpenVINO, whose import, conversion and
comparison with torch are part of each run's time. Times are medians of runs that alternate in one process; CPU time is
given beside, since it holds on a busy machine too. Peak memory is the growth of the resident set of a fresh process for
each (its high-water mark in the run less what is resident before), the network and the image being there. Labels are
compared every time, in the body only where windows over air are skipped. With `--runtimes finer` gpukit makes
labels on a source's grid of finer voxels, with the probabilities interpolated, which MONAI's way does not; those are
not compared.
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
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
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
    channels: tuple[int, ...] = (8, 16, 32, 64)
    units: int = 1  # residual units; without them the last layer has no convolution of all classes with all
    plain: bool = False  # a U-Net that ends in a convolution of single voxels, as nnU-Net's do
    finer: float = 1.0  # voxels of the source, as a share of the network's, in the way "finer"
    air: float = 0.0  # share of the image, along its first axis, that is background
    skip: bool = False


CASES = (
    Case("3 classes", 3, (128, 160, 128), (64, 64, 64)),
    Case("3 classes, half air, skipped", 3, (128, 160, 128), (64, 64, 64), air=0.5, skip=True),
    Case("25 classes", 25, (128, 128, 160), (64, 64, 64)),
    Case("105 classes", 105, (96, 96, 160), (48, 48, 48)),
    Case("105 classes, long", 105, (96, 96, 576), (64, 64, 64), units=0),
    Case("105 classes, clinic, windows of 96", 105, (256, 256, 320), (96, 96, 96), plain=True, finer=0.8),
    Case("105 classes, clinic, windows of 128", 105, (200, 200, 300), (128, 128, 128), 0.5, plain=True, finer=0.8),
    Case("3 classes, sample model's U-Net", 3, (192, 192, 192), (96, 96, 96), channels=(20, 32, 48, 64, 96)),
)
QUICK = (
    Case("105 classes, quick", 105, (64, 64, 128), (32, 32, 32)),
    Case("105 classes, quick, plain", 105, (64, 64, 128), (48, 48, 48), plain=True, finer=0.8),
)


def network(case: Case) -> Any:
    """A small U-Net with random weights."""
    import torch
    from monai.networks.nets import BasicUNet, UNet

    torch.manual_seed(0)
    if case.plain:
        features = (*case.channels, case.channels[-1], case.channels[0])
        return BasicUNet(3, 1, case.classes, features, norm=("instance", {"affine": True})).eval()
    return UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=case.classes,
        channels=case.channels,
        strides=(2,) * (len(case.channels) - 1),
        num_res_units=case.units,
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


def run_torch(case: Case, module: Any, values: Any) -> Any:
    """Labels by gpukit on torch."""
    from gpukit_backends.runtimes.torch_runtime import TorchNetwork

    return _run_gpukit(case, TorchNetwork(module, values.device, "float32"), values)


def run_finer(case: Case, module: Any, values: Any) -> Any:
    """Labels by gpukit on torch, on the grid of a source with finer voxels."""
    from gpukit_backends.runtimes.torch_runtime import TorchNetwork

    return _run_gpukit(case, TorchNetwork(module, values.device, "float32"), values, finer=case.finer)


def run_openvino(case: Case, module: Any, values: Any) -> Any:
    """Labels by gpukit on OpenVINO, with all that is needed before the first window."""
    from gpukit.ai.model.description import InferenceSpec, InputSpec, Model
    from gpukit_backends.runtimes.openvino_runtime import OpenVinoNetwork, import_silently

    model = Model(
        name="benchmark",
        version="1",
        task="segment",
        description="",
        license="",
        format="state-dict",
        weights=Path("none"),
        network={},
        input=InputSpec(),
        inference=InferenceSpec(patch=case.patch),
        output=_output(case),
        file=Path("none"),
    )
    return _run_gpukit(case, OpenVinoNetwork(import_silently().Core(), model, module=module), values, trial=True)


def _output(case: Case) -> Any:
    from gpukit.ai.model.description import OutputSpec
    from gpukit.segmentation import Label

    code = ("1", "99TEST", "test")
    return OutputSpec(activation="softmax", labels=tuple(Label(v, str(v), code, code) for v in range(1, case.classes)))


def _run_gpukit(case: Case, loaded: Any, values: Any, trial: bool = False, finer: float = 1.0) -> Any:
    import torch

    from gpukit.ai.inference.label_map import LabelMap
    from gpukit.ai.inference.sliding_window import Layout, central, slide
    from gpukit.geometry import Grid

    grid = Grid.from_axes(case.size[::-1])
    source = grid if finer == 1.0 else grid.with_spacing([finer] * 3)
    with torch.inference_mode():
        layout = Layout.plan(case.size, case.patch, case.overlap)
        if trial:
            loaded(central(values, layout))
        target = LabelMap(source, grid, _output(case), values.device)
        skip = 0.05 if case.skip else None
        for block in slide(values, loaded, layout, channels=case.classes, batch=case.batch, skip_below=skip):
            target.add(block)
        return target.finish().permute(2, 1, 0)


WAYS = {"monai": run_monai, "torch": run_torch}
if find_spec("openvino") is not None:
    WAYS["openvino"] = run_openvino
#: Only where it is asked for, and the case says how much finer.
FINER = "finer"


def ways(case: Case, chosen: Sequence[str]) -> dict[str, Any]:
    """What is run: MONAI first."""
    found = {way: function for way, function in WAYS.items() if way == "monai" or way in chosen}
    return found | {FINER: run_finer} if FINER in chosen and case.finer != 1.0 else found


def _peak(way: str, case: Case, threads: int, pipe: Any) -> None:
    import torch

    torch.set_num_threads(threads)
    module, values = network(case), image(case)
    # Imports and torch's own buffers are there before the measurement.
    small = Case("warm", case.classes, (40, 32, 32), (32, 32, 32), plain=case.plain, finer=case.finer)
    run = run_finer if way == FINER else WAYS[way]
    run(small, network(small), image(small))
    before = level()
    run(case, module, values)
    pipe.send(high_water() - before)


def high_water() -> int:
    """The largest resident set that this process has had, in bytes.

    On Linux from its status: ``ru_maxrss`` starts there from what the parent process held, which hides all growth.
    """
    status = Path("/proc/self/status")
    if status.is_file():
        return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if "VmHWM" in line)
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest << 10


def level() -> int:
    """The resident set of this process now, in bytes, to which its largest is set back where the system can (Linux)."""
    status = Path("/proc/self/status")
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return high_water()
    return next(int(line.split()[1]) << 10 for line in status.read_text().splitlines() if "VmRSS" in line)


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


def measure(case: Case, runs: int, threads: int, chosen: Sequence[str]) -> list[dict[str, Any]]:
    """Medians of all ways, run in turn, and their peaks: one result for each runtime of gpukit."""
    import torch

    torch.set_num_threads(threads)
    values = image(case)
    every = ways(case, chosen)
    seconds: dict[str, list[float]] = {way: [] for way in every}
    work: dict[str, list[float]] = {way: [] for way in every}
    labels = {}
    for _ in range(runs):
        for way, function in every.items():
            module = network(case)
            begin, busy = time.perf_counter(), time.process_time()
            labels[way] = function(case, module, values)
            seconds[way].append(time.perf_counter() - begin)
            work[way].append(time.process_time() - busy)
    medians = {way: statistics.median(times) for way, times in seconds.items()}
    cpu = {way: statistics.median(times) for way, times in work.items()}
    peaks = {way: peak(way, case, threads) for way in every}
    # Where windows are skipped the air is background by definition; what a random network makes of it does not count.
    body = values[0] > 0 if case.skip else values[0] > float("-inf")
    return [
        {
            "case": case.name,
            "runtime": way,
            "size": case.size,
            "patch": case.patch,
            "seconds": {"monai": medians["monai"], "gpukit": medians[way]},
            "cpu_seconds": {"monai": cpu["monai"], "gpukit": cpu[way]},
            "peak_bytes": {"monai": peaks["monai"], "gpukit": peaks[way]},
            "faster": medians["monai"] / medians[way],
            "less_cpu": cpu["monai"] / cpu[way],
            "smaller": peaks["monai"] / max(1, peaks[way]),
            "labels_differ": None if way == FINER else int(((labels["monai"] != labels[way]) & body).sum()),
        }
        for way in every
        if way != "monai"
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--case", help="only cases whose name contains this")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--runtimes", default=",".join(way for way in WAYS if way != "monai"))
    given = parser.parse_args()
    cases = [case for case in (QUICK if given.quick else CASES) if not given.case or given.case in case.name]
    found = []
    for case in cases:
        results = measure(case, given.runs, given.threads, given.runtimes.split(","))
        found.extend(results)
        for result in results if not given.json else ():
            seconds, peaks, work = result["seconds"], result["peak_bytes"], result["cpu_seconds"]
            print(
                f"{case.name:36} MONAI {seconds['monai']:6.2f} s, CPU {work['monai']:6.2f} s, "
                f"{peaks['monai'] / 1e6:5.0f} MB   gpukit on {result['runtime']:8} {seconds['gpukit']:6.2f} s, "
                f"CPU {work['gpukit']:6.2f} s, {peaks['gpukit'] / 1e6:5.0f} MB   {result['faster']:.2f}x faster "
                f"(CPU time {result['less_cpu']:.2f}x), {result['smaller']:.2f}x smaller"
                + ("" if result["labels_differ"] is None else f", {result['labels_differ']} labels differ"),
                flush=True,
            )
    if given.json:
        print(json.dumps({"schema_version": 1, "results": found}, indent=2))


if __name__ == "__main__":
    main()
