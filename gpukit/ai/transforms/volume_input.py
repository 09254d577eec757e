"""From a volume to what the network wants to see: MONAI transforms, run as tensors on the volume's device.

MONAI speaks RAS and indexes ``[c, i, j, k]``; a gpukit array is ``[k, j, i]`` with an affine to LPS. The tensor given
to MONAI is therefore the transposed *view* of the array with `gpukit.geometry.Grid.ras_affine`: no voxel is touched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.ai.model.volume_spec import InputSpec, TransformSpec
from gpukit.ai.transforms.tensors import as_tensor
from gpukit.errors import ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

Matrix = NDArray[np.float64]

__all__ = [
    "build_transform",
    "copy_box",
    "model_grid",
    "prepare",
    "reach",
    "uncut_axes",
    "whole_voxel_start",
    "without_padding",
]

_DIRECTION = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}
#: Two grids are one, up to a permutation, flips and whole voxels, when indices differ by less than this many voxels.
WHOLE_VOXEL = 1e-3


def model_grid(grid: Grid, spec: InputSpec) -> Grid:
    """The grid that the network sees for a source grid.

    Orientation permutes and flips axes; spacing keeps the field of view (outer faces coincide, so nothing shifts by
    half a voxel); size cuts or fills to a box with the same centre, to within half a voxel so that voxels are kept.
    With ``axes: patient`` the box is parallel to the patient's axes, its centre exactly the source's: FreeSurfer's
    conform, but for its choice of a centre that depends on the order in which the source was stored.
    """
    if spec.spacing is not None and spec.spacing_first:
        scaled = grid.with_spacing(spec.spacing)
        scaled = scaled if spec.orientation is None else scaled.reoriented(spec.orientation)[0]
        return _to_size(scaled, spec)
    oriented = grid if spec.orientation is None else grid.reoriented(spec.orientation)[0]
    spacing = np.asarray(oriented.spacing if spec.spacing is None else spec.spacing, float)
    if spec.axes == "patient" and spec.orientation is not None:
        direction = np.zeros((3, 3))
        for n, code in enumerate(spec.orientation):
            axis, sign = _DIRECTION[code]
            direction[axis, n] = sign
        if spec.size is None:
            corners = oriented.to_world(_faces(oriented)) @ direction
            size = np.maximum(1, np.ceil(np.ptp(corners, axis=0) / spacing - 1e-3)).astype(int)
        else:
            size = np.asarray(spec.size)
        return _box(direction * spacing, size, oriented.corners().mean(axis=0))
    return _to_size(oriented if spec.spacing is None else oriented.with_spacing(spec.spacing), spec)


def _to_size(scaled: Grid, spec: InputSpec) -> Grid:
    """The grid cut or filled to the declared size around its middle."""
    if spec.size is None:
        return scaled
    i, j, k = spec.size
    before = [(have - want) // 2 for have, want in zip(scaled.shape, (k, j, i), strict=True)]
    return scaled.crop(before, (k, j, i))


def uncut_axes(grid: Grid, spec: InputSpec) -> tuple[bool, bool, bool]:
    """Whether the network sees all of the source along each axis (i, j, k) of `model_grid`.

    Only a declared size that is smaller than the source cuts a part off. A spacing that does not divide the source's
    extent does not: its last voxel then stands for the rest.
    """
    if spec.size is None:
        return True, True, True
    whole = model_grid(grid, replace(spec, size=None)).shape[::-1]
    a, b, c = (size >= needed for size, needed in zip(spec.size, whole, strict=True))
    return a, b, c


def reach(source: Grid, model: Grid, uncut: Sequence[bool]) -> tuple[tuple[float, float], ...]:
    """How far beyond the model's outermost voxel centres the source goes on, along the model's axes (i, j, k).

    Returns
    -------
    tuple of (float, float)
        In voxels of the model before the first centre and behind the last one: at least the half voxel that belongs to
        them, and along uncut axes as much as it takes to the source's outer faces.
    """
    faces = model.to_index(source.to_world(_faces(source)))
    sides = []
    for axis, (size, whole) in enumerate(zip(model.shape[::-1], uncut, strict=True)):
        before, after = -float(faces[:, axis].min()), float(faces[:, axis].max()) - (size - 1)
        sides.append((max(0.5, before), max(0.5, after)) if whole else (0.5, 0.5))
    return tuple(sides)


def prepare(volumes: Volume | Sequence[Volume], spec: InputSpec, grid: Grid) -> torch.Tensor:
    """The network's input for a 3D volume: ``[channels, x, y, z]`` float32, contiguous, on the volume's device.

    Parameters
    ----------
    volumes : Volume, or several
        With axes ``kji``; one a channel, all on one grid.
    spec : InputSpec
        What the network expects.
    grid : Grid
        From `model_grid`.

    Notes
    -----
    Voxels that hold no measurement (padding values and NaN) become the lowest measured value first, so that they do not
    spread through interpolation or into minima and percentiles. A grid that differs from the source's only by a
    permutation, flips and whole voxels is reached without interpolation; any other by one linear resampling. Intensity
    transforms see all channels at once, as MONAI's do.
    """
    import torch
    from monai.data import MetaTensor

    several = [volumes] if isinstance(volumes, Volume) else list(volumes)
    parts = [_on_grid(volume, spec, grid) for volume in several]
    inside = parts[0] if len(parts) == 1 else torch.cat(parts)
    for transform in spec.intensity:
        inside = torch.as_tensor(_on_device(build_transform(transform), inside)(inside))
    result = inside.as_tensor() if isinstance(inside, MetaTensor) else inside
    return result.to(torch.float32).contiguous()


def _on_grid(volume: Volume, spec: InputSpec, grid: Grid) -> torch.Tensor:
    """One channel ``[1, x, y, z]`` on the model's grid."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Orientation

    values = as_tensor(volume.array).to(torch.float32).permute(2, 1, 0)[None]
    values = without_padding(values, volume.padding)
    start = whole_voxel_start(volume.grid, grid)
    if start is not None:
        # Only permutation and signs matter here, and naming them by the letters keeps MONAI's choice for an oblique
        # grid from ever differing from ours.
        image = MetaTensor(values, affine=torch.as_tensor(_signed_permutation(volume.grid.codes)))
        turned = Orientation(axcodes=grid.codes, labels=_LABELS)(image).as_tensor()
        inside = copy_box(turned[0], start, grid.shape[::-1], spec.fill)[None]
    else:
        # MONAI fills with zero outside the source, so zero is made to mean `fill`. Where the box does not reach
        # outside, the border is repeated instead: half a voxel beyond the outer centres is still image.
        outside = _reaches_outside(volume.grid, grid)
        if outside and spec.fill:
            values = values - spec.fill
        inside = _sample_linearly(values, volume.grid, grid, "zeros" if outside else "border")
        if outside and spec.fill:
            inside = inside + spec.fill
    return inside


def _sample_linearly(values: torch.Tensor, source: Grid, target: Grid, outside: str) -> torch.Tensor:
    """Values ``[c, x, y, z]`` on another grid, by the layer that MONAI's SpatialResample ends in.

    SpatialResample itself makes its matrix in float64 on the device, which MPS does not have; here the matrix is made
    in float64 on the host, and only its float32 goes to the device.
    """
    import torch
    from monai.networks.layers import AffineTransform

    matrix = torch.as_tensor(source.matrix_from(target), dtype=values.dtype).to(values.device)
    layer = AffineTransform(normalized=False, mode="bilinear", padding_mode=outside, align_corners=False)
    result: torch.Tensor = layer(values[None], theta=matrix, spatial_size=target.shape[::-1])[0]
    return result


def _on_device(transform: Any, image: torch.Tensor) -> Any:
    """The transform; one that scales by percentiles is given them, so that they are not looked up on the host.

    MONAI takes percentiles of more than a million voxels with NumPy, whatever the device.
    """
    from monai.transforms import ScaleIntensityRange, ScaleIntensityRangePercentiles

    from gpukit.ops.statistics import percentiles

    plain = isinstance(transform, ScaleIntensityRangePercentiles) and not transform.channel_wise
    if not plain or transform.relative or image.device.type == "cpu":
        return transform
    low, high = percentiles(image, (transform.lower, transform.upper))
    return ScaleIntensityRange(
        a_min=low, a_max=high, b_min=transform.b_min, b_max=transform.b_max, clip=transform.clip, dtype=transform.dtype
    )


def build_transform(spec: TransformSpec) -> Any:
    """The MONAI transform that a description names.

    Raises
    ------
    ModelError
        MONAI does not take these arguments.
    """
    import monai.transforms

    try:
        return getattr(monai.transforms, spec.name)(**spec.arguments)
    except (TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"MONAI's {spec.name} does not take these arguments: {error}", attribute=spec.path) from error


def whole_voxel_start(source: Grid, target: Grid) -> tuple[int, int, int] | None:
    """Whether `target` is `source` permuted, flipped and shifted by whole voxels.

    Returns
    -------
    tuple of int or None
        Index (i, j, k) of the target's first voxel in the source once that is turned to the target's directions; None
        where voxels do not coincide.
    """
    turned = source.reoriented(target.codes)[0]
    matrix = turned.matrix_from(target)
    shift = np.round(matrix[:3, 3])
    same = np.eye(4)
    same[:3, 3] = shift
    corners = np.array([[x, y, z, 1] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float)
    corners[:, :3] *= np.asarray(target.shape[::-1]) - 1
    if np.abs((matrix - same) @ corners.T).max() > WHOLE_VOXEL:
        return None
    return int(shift[0]), int(shift[1]), int(shift[2])


#: MONAI names axes by (towards minus, towards plus) in RAS.
_LABELS = (("L", "R"), ("P", "A"), ("I", "S"))


def _signed_permutation(codes: str) -> Matrix:
    """The affine to RAS of unit voxels whose axes grow exactly towards `codes`."""
    affine = np.zeros((4, 4))
    affine[3, 3] = 1.0
    for n, code in enumerate(codes):
        axis = next(a for a, pair in enumerate(_LABELS) if code in pair)
        affine[axis, n] = 1.0 if _LABELS[axis][1] == code else -1.0
    return affine


def copy_box(image: torch.Tensor, start: tuple[int, int, int], size: tuple[int, ...], fill: float) -> torch.Tensor:
    """The box of `size` at index `start`, which may lie partly or wholly outside the image."""
    import torch

    if start == (0, 0, 0) and tuple(image.shape) == tuple(size):
        return image
    result = torch.full(tuple(size), fill, dtype=image.dtype, device=image.device)
    spans = [(max(0, s), min(int(have), s + want)) for s, have, want in zip(start, image.shape, size, strict=True)]
    if all(low < high for low, high in spans):
        target = tuple(slice(low - s, high - s) for (low, high), s in zip(spans, start, strict=True))
        result[target] = image[tuple(slice(low, high) for low, high in spans)]
    return result


def without_padding(values: torch.Tensor, padding: tuple[float, float] | None) -> torch.Tensor:
    """Return values of which padding and what is not finite are the lowest measured one; 0 where none is measured."""
    import torch

    missing = ~torch.isfinite(values)
    if padding is not None:
        missing |= (values >= padding[0]) & (values <= padding[1])
    if not bool(missing.any()):
        return values
    if bool(missing.all()):
        return torch.zeros_like(values)
    lowest = torch.where(missing, torch.full_like(values, float("inf")), values).min()
    return torch.where(missing, lowest, values)


def _reaches_outside(source: Grid, target: Grid) -> bool:
    """Whether a voxel centre of the target lies outside the source's faces."""
    index = source.to_index(target.corners())
    faces = np.asarray(source.shape[::-1]) - 0.5
    return bool((index < -0.5 - WHOLE_VOXEL).any() or (index > faces + WHOLE_VOXEL).any())


def _faces(grid: Grid) -> Matrix:
    ends = np.asarray(grid.shape[::-1], float) - 0.5
    return np.array([[x, y, z] for x in (-0.5, ends[0]) for y in (-0.5, ends[1]) for z in (-0.5, ends[2])])


def _box(axes: Matrix, size: NDArray[np.int64], centre: Matrix) -> Grid:
    """A grid of `size` (i, j, k) with the columns of `axes` as voxel steps, whose middle lies at `centre`."""
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = centre - axes @ ((size - 1) / 2.0)
    return Grid((int(size[2]), int(size[1]), int(size[0])), affine)
