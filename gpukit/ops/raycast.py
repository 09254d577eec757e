"""Volume rendering: emission and absorption along rays, front to back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.ops._arrays import check_padding, device
from gpukit.ops._lighting import Body, unit_vectors
from gpukit.ops._mapping import check_shape
from gpukit.ops._scene import Labels, Second, drawable, scene_of
from gpukit.ops.sample import check_sample

__all__ = ["Labels", "Second", "raycast"]


@operation(tolerance=1e-4)
def raycast(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None = None,
    eye: Sequence[float] | None = None,
    opaque: float = 0.999,
    padding: Sequence[float] | None = None,
    gradient: tuple[ArrayLike, Sequence[float]] | None = None,
    planes: ArrayLike | None = None,
    labels: Labels | None = None,
    second: Second | None = None,
) -> Any:
    """Return the picture of a volume as a coloured, partly transparent body.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    matrix : array_like, (4, 4)
        Maps the picture's index (i, j, k, 1) to the input index: i is the column, j the row, k the sample along the
        ray, counted away from the viewer.
    shape : sequence of int
        (nk, nj, ni): nk samples along each of nj x ni rays.
    affine : array_like, (4, 4) or (3, 3)
        The volume's affine, index to mm: lengths along rays and directions of light are measured with it.
    colors : array_like, (n, 3)
        Red, green and blue, 0 to 1, at n values equally spaced over `window`; in between they are interpolated, beyond
        it the outermost ones hold.
    opacities : array_like, (n,)
        Extinction per mm at the same values, so that the picture does not depend on the distance of samples.
    window : (float, float)
        Values of the first and of the last table entry.
    shading : (ambient, diffuse, specular, shininess), optional
        Light from the viewer on both sides of a surface, after Phong; the normal is the gradient in mm (for labels that
        of their extinction). None draws the colours as they are.
    eye : (float, float, float), optional
        Where all rays meet, in front of the picture, as input index (i, j, k): perspective. The slice k = 0 of `matrix`
        is then the picture plane, and the central ray keeps the step of `matrix`. None is for parallel rays.
    opaque : float
        A ray ends once its opacity has reached this.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements and are not drawn; nor are NaN and infinity.
    gradient : ((n,) array_like, (float, float)), optional
        Gradient opacity: factors of the extinction at n sizes of the gradient, equally spaced over the range given, in
        value per mm; interpolated, and constant beyond it. It makes borders denser than the inside of what they bound.
    planes : array_like, (n, 4), optional
        Clipping planes: drawn are positions (i, j, k) with ``a i + b j + c k + d >= 0`` for each row.
    labels : Labels, optional
        A label for each voxel, with a colour and an extinction of its own, or to leave voxels out.
    second : Second, optional
        Another volume, sampled in its own grid, such as a PET over this CT. It is drawn where this volume is, too.

    Returns
    -------
    array, (nj, ni, 4)
        Red, green, blue (premultiplied) and opacity, float32.

    Raises
    ------
    InputError
        A table, window or shading that cannot be drawn.
    GeometryError
        A matrix, affine or eye without sensible rays.

    Notes
    -----
    Along a ray, a sample of value v stands for a piece of the ray of length d, which lets ``exp(-mu(v) d)`` of the
    light pass and adds the rest in its colour. A homogeneous body of thickness D has the opacity ``1 - exp(-mu D)``.
    Where media share a place (the volume, the second one, a label), their extinctions add up and their colours are
    mixed in proportion, as in a mixture of smokes. The gradient is the central difference over a voxel to either side.

    The tolerance is a fortieth of a step of an 8-bit picture: kernels may blend in float32 where it holds the voxels'
    type. Where rounding decides whether a ray has reached `opaque`, what a ray behind it would have added may differ.
    """
    xp = array_namespace(data)
    check_sample(data, 1)
    nk, nj, ni = check_shape(shape)
    scene = scene_of(
        data, matrix, (nk, nj, ni), affine=affine, colors=colors, opacities=opacities, window=window, shading=shading,
        eye=eye, opaque=opaque, gradient=gradient, planes=planes, labels=labels, second=second,
    )  # fmt: skip
    data, second = drawable(data, second)
    body = Body(xp, data, scene, check_padding(padding), labels, second)
    rays, real, where = scene.rays, body.real, device(data)
    column = xp.reshape(xp.arange(ni, dtype=real, device=where), (1, ni))
    row = xp.reshape(xp.arange(nj, dtype=real, device=where), (nj, 1))
    start = [
        xp.reshape(float(rays.across[a]) * column + (float(rays.down[a]) * row + float(rays.start[a])), (-1,))
        for a in range(3)
    ]
    if rays.rate:
        step = [(start[a] - float(rays.eye[a])) * rays.rate for a in range(3)]
    else:
        step = [xp.zeros_like(start[a]) + float(rays.step[a]) for a in range(3)]
    view, length = unit_vectors(xp, rays.metric, step)
    light = xp.ones_like(length)  # what still passes
    rgb = [xp.zeros_like(length) for _ in range(3)]
    for k in range(nk):
        at = [start[a] + float(k) * step[a] for a in range(3)]
        mu, color = body.at(at, view, 1.0 - light < scene.opaque)
        passing = xp.exp(-mu * length)
        gain = light * (1.0 - passing)
        rgb = [c + gain * new for c, new in zip(rgb, color, strict=True)]
        light = light * passing
    picture = xp.stack([*rgb, 1.0 - light], axis=-1)
    return xp.astype(xp.reshape(picture, (nj, ni, 4)), xp.float32)
