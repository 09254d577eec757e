"""Surfaces on the CPU beside VTK's flying edges and scikit-image's marching cubes, in one process.

``python benchmarks/surfaces.py [--quick]``. Runs alternate, so that a busy neighbour slows all alike; medians are
printed, and how many times faster gpukit is. VTK gets its image before the clock starts, and the threads of gpukit;
its surface is not closed at the border, gpukit's is, in LPS mm.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from ops import SPACING, thorax

from gpukit.geometry import Grid
from gpukit.ops.isosurface import isosurface
from gpukit_backends.cpu.threads import thread_count

#: HU: bone, and the skin, where the noise of the air is below.
LEVELS = {"bone, 200 HU": 200.0, "skin and lungs, -500 HU": -500.0}


def flying_edges(data: np.ndarray, level: float) -> Callable[[], Any]:
    """VTK's flying edges: points and triangles only."""
    from vtkmodules.util.numpy_support import numpy_to_vtk
    from vtkmodules.vtkCommonCore import vtkSMPTools
    from vtkmodules.vtkCommonDataModel import vtkImageData
    from vtkmodules.vtkFiltersCore import vtkFlyingEdges3D

    vtkSMPTools.SetBackend("STDThread")
    vtkSMPTools.Initialize(thread_count())
    image = vtkImageData()
    image.SetDimensions(*data.shape[::-1])
    image.SetSpacing(*SPACING)
    image.GetPointData().SetScalars(numpy_to_vtk(data.ravel()))

    def run() -> int:
        edges = vtkFlyingEdges3D()
        edges.SetInputData(image)
        edges.ComputeNormalsOff()
        edges.ComputeGradientsOff()
        edges.ComputeScalarsOff()
        edges.SetValue(0, level)
        edges.Update()
        return int(edges.GetOutput().GetNumberOfPolys())

    return run


def marching_cubes(data: np.ndarray, level: float) -> Callable[[], Any]:
    """scikit-image's marching cubes (Lewiner)."""
    from skimage.measure import marching_cubes as theirs

    return lambda: len(theirs(data, level, spacing=tuple(SPACING[::-1]))[1])


def measure(runs: dict[str, Callable[[], Any]], repeats: dict[str, int]) -> dict[str, float]:
    """Median seconds of each, one after the other, over and over."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for name, run in runs.items():
        print(f"    {name}: {run():,} triangles", flush=True)  # and warm
    for n in range(max(repeats.values())):
        for name, run in runs.items():
            if n < repeats[name]:
                start = time.perf_counter()
                run()
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken) for name, taken in times.items()}


def main() -> None:
    """Print the rows."""
    quick = "--quick" in sys.argv
    data = thorax(60, 128) if quick else thorax(300, 512)
    grid = Grid.from_axes(data.shape, spacing=SPACING)
    shape = " x ".join(map(str, data.shape))
    print(f"isosurface of {shape} int16, {thread_count()} threads")
    for name, level in LEVELS.items():
        runs: dict[str, Callable[[], Any]] = {
            "gpukit": lambda level=level: len(isosurface(data, level, grid).faces),
            "VTK flying edges": flying_edges(data, level),
            "scikit-image": marching_cubes(data, level),
        }
        taken = measure(runs, {"gpukit": 9, "VTK flying edges": 9, "scikit-image": 1})
        ours = taken["gpukit"]
        rows = "; ".join(f"{who} {t * 1e3:.0f} ms ({t / ours:.1f}x)" for who, t in taken.items())
        print(f"  {name}: {rows}", flush=True)


if __name__ == "__main__":
    main()
