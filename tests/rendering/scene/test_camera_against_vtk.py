"""Volume rendering beside VTK: the same volume, camera and transfer function, compared by structural similarity."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gpukit as gk
from gpukit.geometry import Grid
from gpukit.rendering.scene.camera import camera_view
from gpukit.rendering.scene.transfer_function import Transfer, find_transfer
from gpukit.volume import Volume

SIZE = 160


def phantom() -> Volume:
    """A body with ribs, a spine and a heart off the middle, smooth as scanners make it; nothing in it is symmetric."""
    from scipy.ndimage import gaussian_filter

    shape, spacing = (60, 70, 80), (2.0, 2.0, 2.5)
    grid = Grid.from_axes(shape, spacing=spacing, origin=(-79, -69, -74))
    k, j, i = np.indices(shape)
    x, y, z = np.moveaxis(grid.to_world(np.stack([i, j, k], -1).reshape(-1, 3)).reshape(*shape, 3), -1, 0)

    def soft(distance: np.ndarray) -> np.ndarray:  # 1 inside, 0 outside, over some 4 mm
        return 1 / (1 + np.exp(distance / 1.5))

    trunk = np.sqrt((x / 70) ** 2 + (y / 55) ** 2)
    values = -1000 + 1040 * soft((trunk - 1) * 60)
    ribs = soft(np.abs(trunk - 0.85) * 60 - 4) * soft(4 - 8 * np.sin(z / 8 + x / 60))
    values += 700 * ribs + 900 * soft(np.hypot(x - 4, y - 35) - 11)
    values += 330 * soft(np.sqrt((x - 22) ** 2 + (y + 12) ** 2 + (z + 10) ** 2) - 24)
    rng = np.random.default_rng(0)  # without noise, soft tissue is flat: VTK leaves a flat place dark, gpukit lights it
    values += gaussian_filter(rng.normal(size=shape), 0.7) * 60
    return Volume(array=np.round(values).astype(np.int16), grid=grid, unit="HU")


def by_vtk(volume: Volume, look: Transfer, azimuth: float, elevation: float, width: float) -> np.ndarray:
    """VTK's picture by its fixed-point ray caster, (rows, columns, 3) uint8."""
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk, vtk_to_numpy

    image = vtk.vtkImageData()
    image.SetDimensions(*volume.array.shape[::-1])
    image.SetSpacing(*volume.grid.spacing)
    image.SetOrigin(*volume.grid.origin)
    image.GetPointData().SetScalars(numpy_to_vtk(volume.array.ravel(), deep=True))
    mapper = vtk.vtkFixedPointVolumeRayCastMapper()
    mapper.SetInputData(image)
    mapper.AutoAdjustSampleDistancesOff()
    mapper.SetSampleDistance(min(volume.grid.spacing))
    mapper.SetImageSampleDistance(1.0)
    drawn = vtk.vtkVolumeProperty()
    drawn.SetInterpolationTypeToLinear()
    opacity, color = vtk.vtkPiecewiseFunction(), vtk.vtkColorTransferFunction()
    colors, extinctions = look.table()
    for value, rgb, mu in zip(
        np.linspace(*look.window(volume), len(colors))[::16], colors[::16], extinctions[::16], strict=True
    ):
        color.AddRGBPoint(value, *rgb)
        opacity.AddPoint(value, 1 - np.exp(-mu))
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
    window.SetOffScreenRendering(1)
    window.SetMultiSamples(0)
    window.SetSize(SIZE, SIZE)
    window.AddRenderer(scene)
    view = camera_view(azimuth, elevation)
    middle = volume.grid.to_world([(n - 1) / 2 for n in reversed(volume.grid.shape)])
    camera: Any = scene.GetActiveCamera()
    camera.ParallelProjectionOn()
    camera.SetFocalPoint(*middle)
    camera.SetPosition(*(middle - 1000 * view.away))
    camera.SetViewUp(*-view.down)
    camera.SetParallelScale(width / 2)
    scene.ResetCameraClippingRange()
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.Update()
    pixels = vtk_to_numpy(grab.GetOutput().GetPointData().GetScalars()).reshape(SIZE, SIZE, -1)
    return np.asarray(pixels[::-1, :, :3])  # VTK's rows go up


@pytest.mark.parametrize("shaded", [False, True], ids=["unshaded", "shaded"])
@pytest.mark.parametrize("name", ["ct-bone", "ct-soft-tissue"])
def test_the_same_picture_as_vtk(name: str, shaded: bool) -> None:
    from skimage.metrics import structural_similarity

    volume = phantom()
    look = find_transfer(name)
    if not shaded:
        look = replace(look, shading=None)
    for azimuth, elevation in ((50.0, 25.0), (215.0, -30.0)):
        mine = gk.render(volume, transfer=look, azimuth=azimuth, elevation=elevation, size=(SIZE, SIZE))
        theirs = by_vtk(volume, look, azimuth, elevation, mine.grid.spacing[0] * SIZE)
        ours = mine.array[0]
        assert theirs.max() > 100
        alike = structural_similarity(ours, theirs, channel_axis=-1, data_range=255)
        mirrored = structural_similarity(ours[:, ::-1], theirs, channel_axis=-1, data_range=255)
        # gpukit fills the outer half of the outer voxels, VTK ends at their centres: seen along a side it is a seam.
        # VTK computes in 15 bits, lights voxels instead of samples and takes a sample more or less at borders
        assert alike > 0.94 and mirrored < 0.9
        assert ours.mean() == pytest.approx(theirs.mean(), rel=0.03)
