"""Many cases one after the other, beside reading, inference and writing at the same time.

``python benchmarks/batch.py [--cases 6] [--repeat 5] [--threads 1]``. The same stages (`gpukit.ai.batch.pipeline`) work
on the same CT series, JPEG 2000 lossless, with the same network, and write the same DICOM SEG; once each case is waited
for before the next is handed in, once all are handed in. The beginning and the end of each stage are recorded, which
shows how much of the time two or three stages were at work. Rounds take turns; medians. ``--threads`` are those of the
network.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

STAGES = ("reading", "inference", "writing")
Span = tuple[str, str, float, float]


def make_case(folder: Path, number: int, slices: int) -> None:
    """A CT series of 256 x 256, JPEG 2000 lossless: an ellipsoid with noise in air."""
    import imagecodecs
    import pydicom
    from loading import make_series
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, generate_uid

    make_series(folder, slices)
    rng = np.random.default_rng(number)
    k, j, i = np.ogrid[-1 : 1 : slices * 1j, -1:1:256j, -1:1:256j]
    body = (k / 1.2) ** 2 + j**2 + i**2 < 0.6
    values = np.where(body, 60, -1000) + rng.normal(0, 15, body.shape)
    series = generate_uid(entropy_srcs=["benchmark", str(number)])
    for file, plane in zip(sorted(folder.iterdir()), values.astype(np.int16), strict=True):
        data = pydicom.dcmread(file)
        data.SeriesInstanceUID = data.StudyInstanceUID = series
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        data.Rows = data.Columns = 256
        data.PixelData = encapsulate([imagecodecs.jpeg2k_encode(plane, level=0, codecformat="j2k")])
        data["PixelData"].VR = "OB"
        data.file_meta.TransferSyntaxUID = JPEG2000Lossless
        data.save_as(file)


def make_model(folder: Path) -> Path:
    """A small convolutional network of two labels over windows of 96."""
    import torch

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(1)
            self.net = torch.nn.Sequential(
                torch.nn.Conv3d(1, 4, 3, padding=1), torch.nn.ReLU(), torch.nn.Conv3d(4, 3, 1)
            )  # fmt: skip

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x / 1000) * 0.01 + torch.cat([-x, x, x - 40], dim=1)

    torch.jit.script(Small().eval()).save(str(folder / "small.ts"))
    kind = {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"}
    organ = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
    labels = [{"value": n, "name": f"Part {n}", "category": kind, "type": organ} for n in (1, 2)]
    content = {
        "schema_version": 1, "name": "small", "version": "1", "task": "segment", "format": "torchscript",
        "weights": "small.ts", "input": {"channels": 1}, "inference": {"patch": [96, 96, 40], "overlap": 0.25},
        "output": {"activation": "softmax", "labels": labels},
    }  # fmt: skip
    (folder / "small.json").write_text(json.dumps(content))
    return folder / "small.ts"


def work(sources: list[Path], model: Path, output: Path, *, overlap: bool) -> tuple[float, list[Span]]:
    """Seconds for all cases, and the spans of their stages."""
    from gpukit.ai.batch.find import find_cases
    from gpukit.ai.batch.job import Job
    from gpukit.ai.batch.pipeline import Pipeline

    cases = list(itertools.chain.from_iterable(find_cases(source) for source in sources))
    begun: dict[tuple[str, str], float] = {}
    spans: list[Span] = []

    def observe(stage: str, key: str, moment: str) -> None:
        if moment == "begins":
            begun[stage, key] = time.perf_counter()
        else:
            spans.append((stage, key, begun[stage, key], time.perf_counter()))

    job = Job(task="segment", models=(str(model),), format="dicom-seg", output=str(output))
    pipeline = Pipeline(job, "cpu", "bench", observe)
    pipeline.submit(cases[0]).result()  # loads the network, and whatever is imported on the way
    spans.clear()
    start = time.perf_counter()
    if overlap:
        rows = [one.result() for one in [pipeline.submit(case) for case in cases]]
    else:
        rows = [pipeline.submit(case).result() for case in cases]
    spent = time.perf_counter() - start
    pipeline.close()
    assert all(row["status"] == "done" for row in rows), rows
    return spent, spans


def shares(spans: list[Span], total: float) -> tuple[float, float]:
    """Shares of the time in which at least two, and all three stages were at work."""
    edges = sorted([(start, 1) for *_, start, _ in spans] + [(end, -1) for *_, end in spans])
    busy = {2: 0.0, 3: 0.0}
    count, since = 0, edges[0][0]
    for moment, step in edges:
        for least in busy:
            if count >= least:
                busy[least] += moment - since
        count, since = count + step, moment
    return busy[2] / total, busy[3] / total


def main() -> None:
    """Time both ways."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=6)
    parser.add_argument("--slices", type=int, default=60)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources = [folder / f"case-{n}" for n in range(options.cases)]
        for number, source in enumerate(sources):
            source.mkdir()
            make_case(source, number, options.slices)
        model = make_model(folder)
        times: dict[bool, list[float]] = {False: [], True: []}
        stages: dict[bool, dict[str, list[float]]] = {way: {s: [] for s in STAGES} for way in times}
        seen: list[tuple[float, float]] = []
        for turn in range(options.repeat):
            for way in (False, True) if turn % 2 else (True, False):
                output = folder / f"out-{turn}-{way}"
                output.mkdir()
                spent, spans = work(sources, model, output, overlap=way)
                times[way].append(spent)
                for stage in STAGES:
                    stages[way][stage].append(sum(end - start for s, _, start, end in spans if s == stage))
                if way:
                    seen.append(shares(spans, spent))
    median = {way: statistics.median(spent) for way, spent in times.items()}
    print(f"{options.cases} cases of {options.slices} slices, {options.threads} thread(s), median of {options.repeat}")
    for way, title in ((False, "one after the other"), (True, "overlapped")):
        parts = ", ".join(f"{stage} {statistics.median(stages[way][stage]):.2f} s" for stage in STAGES)
        print(f"{title:<20} {median[way]:6.2f} s   ({parts})")
    two, three = (statistics.median(share) for share in zip(*seen, strict=True))
    print(f"gain {median[False] / median[True]:.2f}; two or more stages at once {two:.0%} of the time, all {three:.0%}")


if __name__ == "__main__":
    main()
