"""Resampling and projecting on the CPU beside SimpleITK and VTK: same volume, same grid, same threads, one process.

``python benchmarks/ops.py [--quick]``. Runs alternate, so that a busy neighbour slows all alike; medians by the clock
and in processor time are printed, and how many times faster gpukit is. The peers' volumes are made before the clock
starts, gpukit's brick pyramid is built anew in each run (the array is writable).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from gpukit.ops.project import project, project_slab
from gpukit.ops.resample import resample
from gpukit_backends.cpu.library import library
from gpukit_backends.cpu.threads import thread_count

SPACING = np.array([0.7, 0.7, 1.0])


def thorax(slices: int, pixels: int) -> np.ndarray:
    """A noisy chest: air, a body, two lungs, ribs, a bright aorta; int16."""
    rng = np.random.default_rng(0)
    k, j, i = np.ogrid[-1 : 1 : slices * 1j, -1 : 1 : pixels * 1j, -1 : 1 : pixels * 1j]
    body = (i / 0.86) ** 2 + (j / 0.6) ** 2
    values = np.where(body + 0 * k < 1, 40.0, -1000.0)
    for side in (-0.42, 0.42):
        values[((i - side) / 0.3) ** 2 + (j / 0.4) ** 2 + (k / 0.9) ** 2 < 1] = -850.0
    values[(abs(body - 0.85) < 0.07) & (np.sin(40 * k + 3 * i) > 0.6)] = 700.0
    values[(i / 0.08) ** 2 + ((j - 0.35) / 0.08) ** 2 + 0 * k < 1] = 450.0
    return np.round(values + rng.normal(scale=20.0, size=values.shape)).astype(np.int16)


def turned(degrees: float, about: int) -> np.ndarray:
    """Rotation about one axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    a, b = [axis for axis in range(3) if axis != about]
    r = np.eye(3)
    r[a, a] = r[b, b] = c
    r[a, b], r[b, a] = -s, s
    return r


def centred(data: np.ndarray, rotation: np.ndarray, steps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Map of a grid with `steps` in mm, turned about the volume's centre."""
    m = np.eye(4)
    m[:3, :3] = (rotation * steps) / SPACING[:, None]
    centre = (np.array(data.shape[::-1]) - 1) / 2
    m[:3, 3] = centre - m[:3, :3] @ ((np.array(shape[::-1]) - 1) / 2)
    return m


def itk(data: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], order: int) -> Callable[[], Any]:
    """SimpleITK's resampling."""
    import SimpleITK as sitk  # noqa: N813

    image = sitk.GetImageFromArray(data)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(thread_count())
    how = {1: sitk.sitkLinear, 3: sitk.sitkBSpline}[order]
    place = ([0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist())
    return lambda: sitk.Resample(image, list(shape[::-1]), transform, how, *place, -1024.0, image.GetPixelID())


def scipy_cubic(data: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> Callable[[], Any]:
    """SciPy's affine transform, cubic."""
    from scipy.ndimage import affine_transform

    m = matrix[:3, :3][::-1, ::-1]
    return lambda: affine_transform(data, m, matrix[:3, 3][::-1], shape, order=3, mode="constant", cval=-1024)


def _vtk_image(data: np.ndarray, spacing: tuple[float, ...]) -> Any:
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*data.shape[::-1])
    image.SetSpacing(*spacing)
    image.GetPointData().SetScalars(numpy_to_vtk(data.ravel(), deep=True))
    return image


def vtk_reslice(data: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...]) -> Callable[[], Any]:
    """VTK's image reslice, linear."""
    import vtk

    vtk.vtkSMPTools.Initialize(thread_count())
    axes = vtk.vtkMatrix4x4()
    axes.DeepCopy(matrix.ravel().tolist())
    reslice = vtk.vtkImageReslice()
    reslice.SetInputData(_vtk_image(data, (1.0, 1.0, 1.0)))
    reslice.SetResliceAxes(axes)
    reslice.SetInterpolationModeToLinear()
    reslice.SetOutputExtent(0, shape[2] - 1, 0, shape[1] - 1, 0, shape[0] - 1)
    reslice.SetOutputSpacing(1, 1, 1)
    reslice.SetOutputOrigin(0, 0, 0)
    reslice.SetBackgroundLevel(-1024)

    def run() -> None:
        reslice.Modified()
        reslice.Update()

    return run


def vtk_mip(data: np.ndarray, pixels: int, width: float, step: float) -> Callable[[], Any]:
    """VTK's fixed-point ray caster, maximum intensity, parallel, `width` mm across `pixels`."""
    import vtk

    mapper = vtk.vtkFixedPointVolumeRayCastMapper()
    mapper.SetInputData(_vtk_image(data, tuple(SPACING)))
    mapper.SetBlendModeToMaximumIntensity()
    mapper.AutoAdjustSampleDistancesOff()
    mapper.SetSampleDistance(step)
    mapper.SetImageSampleDistance(1.0)
    mapper.SetNumberOfThreads(thread_count())
    look = vtk.vtkVolumeProperty()
    look.SetInterpolationTypeToLinear()
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for value, level in ((-1000, 0.0), (1000, 1.0)):
        opacity.AddPoint(value, level)
        color.AddRGBPoint(value, level, level, level)
    look.SetScalarOpacity(opacity)
    look.SetColor(color)
    actor = vtk.vtkVolume()
    actor.SetMapper(mapper)
    actor.SetProperty(look)
    scene, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    scene.AddVolume(actor)
    window.SetOffScreenRendering(1)
    window.SetSize(pixels, pixels)
    window.AddRenderer(scene)
    camera = scene.GetActiveCamera()
    camera.ParallelProjectionOn()
    scene.ResetCamera()
    camera.SetParallelScale(width / 2)
    camera.Azimuth(30)
    camera.Elevation(20)
    window.Render()

    def run() -> None:
        camera.Azimuth(0.01)  # else VTK shows the last picture again
        window.Render()

    return run


def compare(title: str, ours: Callable[[], Any], peers: dict[str, Callable[[], Any]], rounds: int) -> None:
    """Run all in turn and print medians and ratios, by the clock and in processor time of all threads."""
    everyone = {"gpukit": ours, **peers}
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in everyone}
    for _ in range(rounds):
        for name, run in everyone.items():
            start, busy = time.perf_counter(), time.process_time()
            run()
            seconds[name].append((time.perf_counter() - start, time.process_time() - busy))
    for what, which in (("clock", 0), ("processor", 1)):
        median = {name: statistics.median(v[which] for v in values) for name, values in seconds.items()}
        line = f"{title:<34} {what:<9} gpukit {median['gpukit'] * 1e3:8.1f} ms"
        for name in peers:
            line += f"   {name} {median[name] * 1e3:8.1f} ms ({median[name] / median['gpukit']:.1f} x)"
        print(line, flush=True)


def main() -> None:
    """Run all comparisons."""
    quick = "--quick" in sys.argv[1:]
    slices, pixels, rounds = (75, 256, 3) if quick else (300, 512, 5)
    data = thorax(slices, pixels)
    print(f"{data.shape} int16, {thread_count()} threads, kernels {library()}")
    half = pixels * 7 // 10
    grid = (slices, half, half)
    steps = np.array([1.0, 1.0, 1.0])
    for title, rotation in (
        ("resample to 1 mm, axis-aligned", np.eye(3)),
        ("resample to 1 mm, rotated", turned(13, 2) @ turned(9, 0)),
    ):
        shape = grid if "rotated" in title else (slices * 5 // 4, half, half)
        along = steps if "rotated" in title else np.array([1.0, 1.0, 0.8])
        m = centred(data, rotation, along, shape)
        peers = {"SimpleITK": itk(data, m, shape, 1), "VTK": vtk_reslice(data, m, shape)}
        compare(title, lambda m=m, shape=shape: resample(data, m, shape, fill=-1024), peers, rounds)
    for title, rotation in (("axis-aligned", np.eye(3)), ("rotated", turned(13, 2) @ turned(9, 0))):
        shape = grid if title == "rotated" else (slices * 5 // 4, half, half)
        m = centred(data, rotation, steps if title == "rotated" else np.array([1.0, 1.0, 0.8]), shape)
        compare(
            f"cubic B-spline, {title}",
            lambda m=m, shape=shape: resample(data, m, shape, order=3, fill=-1024),
            {"SimpleITK": itk(data, m, shape, 3), "SciPy": scipy_cubic(data, m, shape)},
            3,
        )
    for axis, title in enumerate(("slices", "rows", "columns")):
        compare(
            f"maximum along the {title}", lambda a=axis: project(data, a), {"NumPy": lambda a=axis: data.max(a)}, rounds
        )
    one = (1, pixels, pixels)
    m = centred(data, turned(30, 2) @ turned(40, 0), np.array([0.7, 0.7, 0.7]), one)
    compare("oblique slice", lambda: resample(data, m, one, fill=-1024), {"VTK": vtk_reslice(data, m, one)}, rounds * 5)
    width, step = 0.8 * pixels, 0.7
    deep = (int(pixels * 1.4), pixels, pixels)
    v = centred(data, turned(30, 2) @ turned(70, 0), np.array([width / pixels, width / pixels, step]), deep)
    mip = {"VTK": vtk_mip(data, pixels, width, step)}
    compare("oblique maximum projection", lambda: project_slab(data, v, deep, fill=-1024), mip, rounds)


if __name__ == "__main__":
    main()
