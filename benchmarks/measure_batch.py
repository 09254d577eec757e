"""One measurement on every file of a series, beside reading the files, in one process.

``python benchmarks/measure_batch.py [--files 300] [--repeat 9]``. gpukit's batch (the headers, the calibration, a row
each, JSON) against reading the bytes of the files, and against pydicom reading the headers and computing the length.
Medians over rounds in which each contestant runs once; the page cache is warm for all. A polygon's area and a command
line of its own, with Python's start, are timed too.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from loading import make_series, read_bytes

P1, P2 = (100.0, 200.0), (300.0, 400.0)


def with_gpukit(folder: Path) -> list[float]:
    """Rows, and their JSON."""
    from gpukit.findings.write import FORMATS, render
    from gpukit.measure.batch import each_frame
    from gpukit.measure.spatial.lengths import distance

    rows = each_frame(folder, lambda frame: distance(frame, P1, P2))
    render(rows, FORMATS["json"])
    return [row.measurement.value for row in rows if row.measurement is not None]


def with_pydicom(folder: Path) -> list[float]:
    """Headers by dcmread, and a formula."""
    import pydicom

    made = []
    for path in sorted(folder.iterdir()):
        down, across = map(float, pydicom.dcmread(path, stop_before_pixels=True).PixelSpacing)
        made.append(math.hypot((P2[0] - P1[0]) * across, (P2[1] - P1[1]) * down))
    return made


def with_command_line(folder: Path) -> None:
    """``gpukit measure distance``, a process of its own."""
    words = ["measure", "distance", str(folder), "--p1", "100,200", "--p2", "300,400", "--format", "csv"]
    subprocess.run([sys.executable, "-m", "gpukit", *words], check=True, capture_output=True)


def main() -> None:
    """Time them all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=9)
    options = parser.parse_args()
    contestants: dict[str, Callable[[Path], object]] = {
        "gpukit": with_gpukit,
        "reading the bytes": read_bytes,
        "pydicom": with_pydicom,
        "gpukit's command": with_command_line,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_series(folder, options.files)
        assert with_gpukit(folder) == with_pydicom(folder)
        times: dict[str, list[float]] = {title: [] for title in contestants}
        for _ in range(options.repeat):
            for title, run in contestants.items():
                began = time.perf_counter()
                run(folder)
                times[title].append(time.perf_counter() - began)
    base = statistics.median(times["gpukit"])
    print(f"distance on {options.files} files of 512 x 512, median of {options.repeat}")
    for title, spent in times.items():
        median = statistics.median(spent)
        print(f"{title:<20} {1000 * median:8.1f} ms  {median / base:6.2f} x gpukit")


if __name__ == "__main__":
    main()
