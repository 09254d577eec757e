"""Writing a reformatted series as derived DICOM: 512 coronal images of 300 axial ones, with and without references.

    python benchmarks/derived_series.py             # 512 images of 300 sources
    python benchmarks/derived_series.py --quick     # small, to see that it runs

Each image refers to every source that it was computed from. Times are medians of wall and CPU time, each way in turn.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np


def source(folder: Path, shape: tuple[int, int, int]) -> Any:
    """An axial series, opened."""
    import gpukit
    from gpukit.dicom.derived.mr_series import write_mr_series
    from gpukit.geometry import Grid
    from gpukit.volume import Volume

    grid = Grid.from_axes(shape, spacing=(0.8, 0.8, 1.0), origin=(-200, -180, 40))
    facts = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "ABDOMEN"}
    values = np.random.default_rng(0).integers(0, 1000, shape, dtype=np.uint16)
    write_mr_series(Volume(array=values, grid=grid), folder, **facts)
    return gpukit.open(folder, device="cpu")


def main() -> None:
    """Measure and print one JSON line a way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small series")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    arguments = parser.parse_args()
    import gpukit
    from gpukit.dicom.derived.source_images import References

    shape = (40, 64, 64) if arguments.quick else (300, 512, 512)
    with tempfile.TemporaryDirectory() as work:
        (stack,) = gpukit.mpr(source(Path(work) / "source", shape), planes=("coronal",), stack=True)
        times: dict[str, list[tuple[float, float]]] = {"with references": [], "without references": []}
        for _ in range(arguments.rounds):
            for way, taken in times.items():
                target = Path(work) / "derived"
                shutil.rmtree(target, ignore_errors=True)
                wall, cpu = time.perf_counter(), time.process_time()
                if way.startswith("with "):
                    gpukit.save(stack, target, format="dicom")
                else:
                    with patch.object(References, "put_into", lambda *_: None):
                        gpukit.save(stack, target, format="dicom")
                taken.append((time.perf_counter() - wall, time.process_time() - cpu))
        for way, taken in times.items():
            wall_s, cpu_s = (statistics.median(values) for values in zip(*taken, strict=True))
            row = {"images": shape[1], "sources": shape[0], "way": way, "wall_s": wall_s, "cpu_s": cpu_s}
            print(json.dumps({key: round(v, 3) if isinstance(v, float) else v for key, v in row.items()}), flush=True)


if __name__ == "__main__":
    main()
