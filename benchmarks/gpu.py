"""Operations on an NVIDIA device against the bandwidth that a copy reaches on it, in the same run.

``python benchmarks/gpu.py [--quick]``. The floor of an operation is the bytes that it must move, once each, at the
speed of a copy from device memory to device memory. Without a device it says so in one line.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from gpukit.device import move, resolve
from gpukit.errors import DeviceError
from gpukit.ops.project import project, project_slab
from gpukit.ops.raycast import raycast
from gpukit.ops.resample import resample


def seconds(cupy: Any, run: Callable[[], Any], rounds: int) -> float:
    """Median time on the device, by its own events; the first run, which compiles, does not count."""
    run()
    times = []
    for _ in range(rounds):
        start, stop = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        run()
        stop.record()
        stop.synchronize()
        times.append(cupy.cuda.get_elapsed_time(start, stop) / 1e3)
    return statistics.median(times)


def main() -> None:
    """Measure, or say why not."""
    try:
        _, name = resolve("cuda")
    except DeviceError as error:
        print(f"not measured: {error}")
        return
    import cupy
    from ops import centred, thorax, turned

    n, rounds = (128, 5) if "--quick" in sys.argv[1:] else (512, 20)
    data = move(thorax(n, n), name)
    spare = cupy.empty_like(data)
    bandwidth = 2 * data.nbytes / seconds(cupy, lambda: cupy.copyto(spare, data), rounds)
    print(f"{name}: {n}^3 int16, copies move {bandwidth / 1e9:.0f} GB/s")

    def floor(title: str, run: Callable[[], Any], moved: int) -> None:
        took = seconds(cupy, run, rounds)
        print(f"{title:<34} {took * 1e3:8.3f} ms, {took * bandwidth / moved:5.2f} x the floor", flush=True)

    for axis, along in enumerate(("slices", "rows", "columns")):
        floor(f"maximum along the {along}", lambda a=axis: project(data, a), data.nbytes + data.nbytes // n)
    same = (n, n, n)
    m = centred(data, turned(13, 2) @ turned(9, 0), np.array([0.7, 0.7, 1.0]), same)
    floor("linear resampling, rotated", lambda: resample(data, m, same, fill=-1024), 2 * data.nbytes)
    deep = (int(n * 1.4), n, n)
    view = centred(data, turned(30, 2) @ turned(70, 0), np.array([0.8, 0.8, 0.7]), deep)
    took = seconds(cupy, lambda: project_slab(data, view, deep, fill=-1024), rounds)
    print(f"{'oblique maximum projection':<34} {took * 1e3:8.3f} ms (with its pyramid, built for each)", flush=True)
    look = {
        "affine": np.diag([0.7, 0.7, 1.0, 1.0]),
        "colors": np.array([[0.0, 0.0, 0.0], [1.0, 0.9, 0.8]]),
        "opacities": np.array([0.0, 0.4]),
        "window": (150.0, 1000.0),
        "shading": (0.2, 0.7, 0.2, 10.0),
    }
    took = seconds(cupy, lambda: raycast(data, view, deep, **look), rounds)
    print(f"{'shaded volume rendering':<34} {took * 1e3:8.3f} ms, {1 / took:.0f} frames a second", flush=True)


if __name__ == "__main__":
    main()
