"""Shaded volume rendering on the CPU beside VTK: same volume, camera, transfer function, steps, threads, process.

``python benchmarks/rendering.py [--quick]``. Runs alternate, so that a busy neighbour slows all alike; medians
are printed, and how many times faster gpukit is. The peer is VTK's fixed-point ray caster with all
threads (its other one needs a graphics card). A first frame begins with voxels that neither has looked at: VTK computes
gradients, gpukit its brick pyramid. gpukit's part is the whole of `gpukit.render`, with the 8-bit picture.
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

from ops import thorax

import gpukit as gk
from gpukit.geometry import Grid
from gpukit.rendering.scene.camera import camera_view
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer
from gpukit.volume import Volume
from gpukit_backends.cpu.library import library
from gpukit_backends.cpu.threads import thread_count

SPACING = (0.7, 0.7, 1.0)
AZIMUTH, ELEVATION = 30.0, 20.0


def vtk_scene(volume: Volume, look: Transfer, pixels: int, width: float, *, azimuth: float, elevation: float) -> Any:
    """A window of VTK with the same picture: `width` mm across square pixels; and its camera."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    image.SetDimensions(*volume.array.shape[::-1])
    image.SetSpacing(*volume.grid.spacing)
    image.SetOrigin(*volume.grid.origin)
    image.GetPointData().SetScalars(numpy_to_vtk(volume.array.ravel(), deep=True))
    step = min(volume.grid.spacing)
    mapper = vtk.vtkFixedPointVolumeRayCastMapper()
    mapper.SetInputData(image)
    mapper.SetBlendModeToComposite()
    mapper.AutoAdjustSampleDistancesOff()
    mapper.SetSampleDistance(step)
    mapper.SetImageSampleDistance(1.0)
    mapper.SetNumberOfThreads(thread_count())
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    for n, (value, rgb, mu) in enumerate(look.points):
        color.AddRGBPoint(value, *rgb)
        opacity.AddPoint(value, 1 - np.exp(-mu))
        if n + 1 < len(look.points):  # extinction is linear between points, opacity is not
            after, _, other = look.points[n + 1]
            for share in np.linspace(0, 1, 9)[1:-1]:
                opacity.AddPoint(value + share * (after - value), 1 - np.exp(-(mu + share * (other - mu))))
    drawn = vtk.vtkVolumeProperty()
    drawn.SetInterpolationTypeToLinear()
    drawn.SetColor(color)
    drawn.SetScalarOpacity(opacity)
    drawn.SetScalarOpacityUnitDistance(1.0)
    if look.shading is not None:
        ambient, diffuse, specular, shininess = look.shading
        drawn.ShadeOn()
        drawn.SetAmbient(ambient)
        drawn.SetDiffuse(diffuse)
        drawn.SetSpecular(specular)
        drawn.SetSpecularPower(shininess)
    actor = vtk.vtkVolume()
    actor.SetMapper(mapper)
    actor.SetProperty(drawn)
    scene, window = vtk.vtkRenderer(), vtk.vtkRenderWindow()
    scene.AddVolume(actor)
    light = vtk.vtkLight()
    light.SetLightTypeToHeadlight()
    light.SetAmbientColor(1, 1, 1)  # black unless set: the material's ambient part would be left out
    scene.AddLight(light)
    scene.SetBackground(0, 0, 0)
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(pixels, pixels)
    window.AddRenderer(scene)
    view = camera_view(azimuth, elevation)
    middle = volume.grid.to_world([(n - 1) / 2 for n in reversed(volume.grid.shape)])
    camera = scene.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*(middle - 1000 * view.away))
    camera.SetViewUp(*-view.down)
    camera.SetParallelScale(width / 2)
    scene.ResetCameraClippingRange()
    return window, camera


def timed(run: Callable[[], Any]) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def fresh(data: np.ndarray) -> Volume:
    """A volume that nobody has looked at; read-only, so that its pyramid may be kept."""
    array = data.copy()
    array.flags.writeable = False
    return Volume(array=array, grid=Grid.from_axes(data.shape, spacing=SPACING), unit="HU")


def main() -> None:
    """Run all comparisons."""
    quick = "--quick" in sys.argv[1:]
    slices, pixels, rounds = (75, 256, 3) if quick else (300, 512, 9)
    data = thorax(slices, pixels)
    print(f"{data.shape} int16, picture {pixels} x {pixels}, {thread_count()} threads, kernels {library()}")
    for name in ("ct-bone", "ct-soft-tissue"):
        look = find_transfer(name)
        seconds: dict[str, list[float]] = {"gpukit": [], "VTK": []}
        first: dict[str, list[float]] = {"gpukit": [], "VTK": []}
        for _ in range(1 if quick else 2):
            volume = fresh(data)
            shot = {"transfer": name, "azimuth": AZIMUTH, "elevation": ELEVATION, "size": (pixels, pixels)}
            first["gpukit"].append(timed(lambda v=volume, s=shot: gk.render(v, **s)))  # type: ignore[misc]
            width = gk.render(volume, **shot).grid.spacing[0] * pixels  # type: ignore[arg-type]
            window, camera = vtk_scene(volume, look, pixels, width, azimuth=AZIMUTH, elevation=ELEVATION)
            first["VTK"].append(timed(window.Render))
            for _ in range(rounds):
                camera.Azimuth(0.01)  # else VTK shows the last picture again
                seconds["VTK"].append(timed(window.Render))
                seconds["gpukit"].append(timed(lambda v=volume, s=shot: gk.render(v, **s)))  # type: ignore[misc]
        for what, found in (("first frame", first), ("warm", seconds)):
            ours, theirs = (statistics.median(found[key]) for key in ("gpukit", "VTK"))
            print(
                f"{f'shaded volume, {name}, {what}':<42} gpukit {ours * 1e3:8.1f} ms   VTK {theirs * 1e3:8.1f} ms "
                f"({theirs / ours:.1f} x)",
                flush=True,
            )


if __name__ == "__main__":
    main()
