"""Synthetic T1-like heads around one real anatomy: the training data of the brain-tissue model.

One template is all there is: the MNI ICBM152 2009a tissue probabilities and T1 average that come inside the nilearn
package, with the skull removed. So every training patch is made anew from it:

1. the anatomy is moved by a random affine and a smooth random deformation;
2. a head is built around the brain: subarachnoid fluid, inner and outer table with marrow between, scalp fat and muscle,
   and below it a face and neck of random blobs, whose intensities overlap those of brain tissue on purpose, so that the
   network must learn where brain is, not only how bright;
3. every tissue gets a random intensity in the order that T1 weighting gives (white > grey > fluid); sometimes the
   template's own T1 is used inside the brain, and sometimes the head is left out (a skull-stripped input);
4. bias field, blur, thick slices, gamma, noise and the global scale are random.

Labels come from the moved probabilities and are never touched by steps 2 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

PAD = (40, 40, 72, 40, 40, 40)  # voxels added at (z low, z high, y low, y high, x low, x high): room for a head


@dataclass(frozen=True)
class Anatomy:
    """The template as one tensor of channels ``[c, z, y, x]`` at 1 mm: white, grey, fluid, T1, distance, head, depth.

    `channels[4]` is the distance in mm from the brain (0 inside); `channels[5]` a level set of face and neck that is
    below 0 inside them. `brain` holds the corners (low, high) of the brain's box in (z, y, x).
    """

    channels: torch.Tensor
    brain: tuple[tuple[int, ...], tuple[int, ...]]


def load_anatomy() -> Anatomy:
    """Anatomy from the template in the nilearn package; nothing is downloaded."""
    import nibabel as nib
    import nilearn.datasets
    from scipy.ndimage import distance_transform_edt

    folder = Path(nilearn.datasets.__file__).parent / "data"
    images = [nib.load(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz") for kind in ("wm", "gm", "t1")]
    if nib.aff2axcodes(images[0].affine) != ("R", "A", "S"):
        raise RuntimeError("the template is expected in RAS order")
    pads = ((PAD[0] + PAD[2], PAD[1]), (PAD[2], PAD[3]), (PAD[4], PAD[5]))
    white, grey, t1 = (
        np.pad(np.asarray(i.dataobj, np.float32).transpose(2, 1, 0) / 255.0, pads) for i in images
    )
    inside = (t1 > 0.02) | (white + grey > 0.1)
    fluid = np.clip(inside - white - grey, 0.0, 1.0).astype(np.float32)
    distance = distance_transform_edt(~inside).astype(np.float32)
    index = np.argwhere(inside)
    low, high = index.min(0), index.max(0)
    z, y, x = np.ogrid[tuple(slice(n) for n in inside.shape)]
    centre = (low + high) / 2.0
    # Face and neck as an ellipsoid in front of and below the brain and a cylinder below it; sizes of an adult head.
    face = np.sqrt(((z - centre[0] + 75) / 75.0) ** 2 + ((y - centre[1] - 35) / 75.0) ** 2 + ((x - centre[2]) / 65.0) ** 2)
    neck = np.maximum(np.sqrt(((y - centre[1] + 20) / 62.0) ** 2 + ((x - centre[2]) / 58.0) ** 2), (z - centre[0] + 20) / 40.0 + 1)
    head = ((np.minimum(face, neck) - 1.0) * 60.0).astype(np.float32)
    stack = np.stack([white, grey, fluid, t1, distance, np.broadcast_to(head, inside.shape)])
    return Anatomy(torch.from_numpy(np.ascontiguousarray(stack)), (tuple(map(int, low)), tuple(map(int, high))))


def smooth_noise(shape: tuple[int, ...], cell: float, generator: torch.Generator, channels: int = 1) -> torch.Tensor:
    """Gaussian noise of about unit variance that varies over `cell` voxels, ``[channels, *shape]``."""
    coarse = [max(2, round(n / cell) + 2) for n in shape]
    grid = torch.randn(1, channels, *coarse, generator=generator)
    return functional.interpolate(grid, size=shape, mode="trilinear", align_corners=True)[0]


def _uniform(low: float, high: float, generator: torch.Generator) -> float:
    return low + (high - low) * float(torch.rand((), generator=generator))


def sampling_grid(anatomy: Anatomy, size: int, generator: torch.Generator) -> torch.Tensor:
    """Where a random patch of `size`³ voxels samples the anatomy: ``[size, size, size, 3]`` voxel positions (z, y, x)."""
    low, high = (np.asarray(c, float) for c in anatomy.brain)
    centre = (low + high) / 2
    if _uniform(0, 1, generator) < 0.75:
        target = np.array([_uniform(a, b, generator) for a, b in zip(low, high, strict=True)])
    else:
        target = np.array([_uniform(a - m, b + 15, generator) for a, b, m in zip(low, high, (60, 15, 15), strict=True)])
    angles = [np.deg2rad(_uniform(-20, 20, generator)) for _ in range(3)]
    rotation = np.eye(3)
    for axis, angle in enumerate(angles):
        a, b = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[a, a] = turn[b, b] = np.cos(angle)
        turn[a, b], turn[b, a] = -np.sin(angle), np.sin(angle)
        rotation = turn @ rotation
    size_factor = _uniform(0.87, 1.15, generator)
    matrix = rotation @ np.diag([size_factor * _uniform(0.92, 1.08, generator) for _ in range(3)])
    matrix[0, 1] += _uniform(-0.06, 0.06, generator)
    matrix[2, 1] += _uniform(-0.04, 0.04, generator)
    axis_values = torch.arange(size, dtype=torch.float32) - (size - 1) / 2
    points = torch.stack(torch.meshgrid(axis_values, axis_values, axis_values, indexing="ij"), dim=-1)
    start = matrix @ (np.linalg.inv(matrix) @ (target - centre)) + centre
    points = points @ torch.from_numpy(matrix.T.astype(np.float32)) + torch.from_numpy(start.astype(np.float32))
    shape = (size, size, size)
    for cell, reach in ((36.0, _uniform(0, 3.5, generator)), (14.0, _uniform(0, 1.0, generator))):
        points = points + reach * smooth_noise(shape, cell, generator, 3).permute(1, 2, 3, 0)
    return points


def sample_anatomy(anatomy: Anatomy, points: torch.Tensor) -> torch.Tensor:
    """Channels of the anatomy at voxel positions (z, y, x), linear; ``[c, ...]``."""
    sizes = torch.tensor(anatomy.channels.shape[1:], dtype=torch.float32)
    grid = (2 * points / (sizes - 1) - 1).flip(-1)[None]  # grid_sample wants x first
    return functional.grid_sample(anatomy.channels[None], grid, padding_mode="border", align_corners=True)[0]


def paint(moved: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """A T1-like image, 0 to 1, over moved anatomy channels ``[c, z, y, x]``; returns ``[z, y, x]``."""
    white, grey, fluid, t1, distance, face = moved
    shape = tuple(white.shape)
    level_white = 1.0
    level_grey = _uniform(0.55, 0.88, generator)
    level_fluid = _uniform(0.08, 0.42, generator)
    if _uniform(0, 1, generator) < 0.35:
        brain = (t1 * (1 / 0.85)).clamp(min=0) ** _uniform(0.8, 1.6, generator)
    else:
        brain = level_white * white + level_grey * grey + level_fluid * fluid
        deep = 1 + _uniform(0, 0.06, generator) * smooth_noise(shape, 10.0, generator)[0]
        brain = brain * deep
    inside = (white + grey + fluid).clamp(0, 1)
    if _uniform(0, 1, generator) < 0.15:
        image = brain * inside
    else:
        image = brain * inside + (1 - inside) * _surroundings(distance, face, level_fluid, generator)
    bias = torch.exp(_uniform(0, 0.3, generator) * smooth_noise(shape, _uniform(40, 90, generator), generator)[0])
    image = _blur(image * bias, generator)
    noise = _uniform(0.0, 0.07, generator)
    real = image + noise * torch.randn(shape, generator=generator)
    image = torch.sqrt(real**2 + (noise * torch.randn(shape, generator=generator)) ** 2)  # Rician, as magnitude MR is
    scale = _uniform(0.35, 0.98, generator)
    return (image * scale).clamp(0, 1) ** _uniform(0.8, 1.25, generator)


def _surroundings(
    distance: torch.Tensor, face: torch.Tensor, level_fluid: float, generator: torch.Generator
) -> torch.Tensor:
    """Fluid, skull, scalp, face and neck: random layers and blobs of random brightness."""
    shape = tuple(distance.shape)
    depth = distance + 1.5 * smooth_noise(shape, 18.0, generator)[0] * (distance > 0.5)
    edges = np.cumsum([
        _uniform(0.3, 5.0, generator),  # subarachnoid space
        _uniform(0.8, 3.0, generator),  # inner table
        _uniform(0.5, 5.0, generator),  # marrow
        _uniform(0.8, 3.0, generator),  # outer table
        _uniform(0.5, 4.0, generator),  # galea and muscle
        _uniform(1.5, 9.0, generator),  # fat and skin
    ])
    levels = [
        level_fluid,
        _uniform(0.02, 0.25, generator),
        _uniform(0.15, 1.3, generator),
        _uniform(0.02, 0.25, generator),
        _uniform(0.2, 0.9, generator),
        _uniform(0.5, 2.0, generator),
    ]
    blobs = torch.zeros(shape)
    texture = smooth_noise(shape, _uniform(5, 14, generator), generator)[0]
    texture = texture + 0.5 * smooth_noise(shape, 4.0, generator)[0]
    for cut in (-9.0, -1.1, -0.5, 0.0, 0.5, 1.1):
        blobs = torch.where(texture > cut, torch.tensor(_uniform(0.02, 1.4, generator)), blobs)
    in_face = face + 4 * smooth_noise(shape, 25.0, generator)[0] < 0
    image = torch.where(in_face & (depth > edges[0]), blobs, torch.zeros(shape))
    # Muscle and bone as blobs take over parts of the regular layers too: temples, neck, skull base.
    patchy = smooth_noise(shape, 22.0, generator)[0] > _uniform(0.3, 1.5, generator)
    lower = 0.0
    for upper, level in zip(edges, levels, strict=True):
        layer = (depth > lower) & (depth <= upper) if lower else depth <= upper
        painted = torch.full(shape, level)
        if lower:
            painted = torch.where(patchy, blobs, painted)
        image = torch.where(layer, painted, image)
        lower = float(upper)
    vessels = (smooth_noise(shape, 5.0, generator)[0] > 1.9) & (depth <= edges[0] + 1)
    image = torch.where(vessels, torch.tensor(_uniform(0.1, 1.2, generator)), image)
    return image * (1 + 0.12 * smooth_noise(shape, 4.0, generator)[0])


def _blur(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Blur by a random Gaussian an axis, at most about 0.8 mm, and sometimes thicken slices along one axis."""
    thick = int(torch.randint(0, 9, (), generator=generator))  # 0, 1, 2: that axis; else none
    for axis in range(3):
        sigma = _uniform(0.7, 1.1, generator) if axis == thick else _uniform(0.05, 0.75, generator)
        taps = torch.exp(-0.5 * (torch.arange(-3, 4) / sigma) ** 2)
        shape = [1, 1, 1, 1, 1]
        shape[2 + axis] = 7
        pad = [0, 0, 0]
        pad[axis] = 3
        image = functional.conv3d(image[None, None], (taps / taps.sum()).reshape(shape), padding=tuple(pad))[0, 0]
    return image


def make_patch(anatomy: Anatomy, size: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """One training pair: image ``[1, size, size, size]`` in 0..1 and labels ``[size, size, size]`` (0, 1 white, 2 grey).

    Axes are (i, j, k) = (R, A, S), as MONAI and the deployed model have them.
    """
    generator = torch.Generator().manual_seed(seed)
    moved = sample_anatomy(anatomy, sampling_grid(anatomy, size, generator))
    white, grey = moved[0], moved[1]
    labels = torch.stack([1 - white - grey, white, grey]).argmax(0)
    image = paint(moved, generator)
    return image.permute(2, 1, 0)[None].contiguous(), labels.permute(2, 1, 0).contiguous()
