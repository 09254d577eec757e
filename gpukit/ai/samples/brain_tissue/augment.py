"""Training pairs for the brain-tissue model: one brain template, seen as many different heads and scanners.

The only anatomy is the MNI152 (ICBM 2009a symmetric) template that nilearn's wheel carries: a T1-weighted image
without skull, and maps of the probability of grey and white matter. Every pair is drawn anew: the template is moved,
bent and folded differently, a head is invented round it (fluid, dura, skull, marrow, scalp, eyes, neck), tissues get
new intensities, and the picture gets the faults of a scanner. The label map follows the geometry only; nothing that
happens to intensities touches it.

Coordinates are millimetres in the template's RAS space; arrays are indexed ``[x, y, z]``. Voxels of 1 mm.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from gpukit.extras import missing_package

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = ["IGNORE", "Template", "load_template", "synthesise"]

#: Label of voxels that the loss leaves out: the upper spinal cord, which the template does not have.
IGNORE = 255
#: Voxels of 1 mm added before and after each axis of the template, so that a head and a neck fit round the brain.
_PAD = ((20, 20), (20, 40), (70, 20))
#: Mean of the template's T1 image in its cerebrospinal fluid, grey and white matter (0..255).
_CSF, _GREY, _WHITE = 69.0, 166.0, 220.0
#: Where the template's brain-stem ends, and the cord goes on (mm).
_CORD = (0.0, -47.0, -66.0)


@dataclass(frozen=True)
class Template:
    """The template on a padded grid of 1 mm.

    Parameters
    ----------
    channels : Tensor
        Shape [4, x, y, z], float32: T1 (0..255), probability of white matter, of grey matter (0..1), and signed
        distance from the brain's surface in mm (positive outside).
    origin : tuple of float
        RAS position in mm of the centre of voxel (0, 0, 0).
    """

    channels: Tensor
    origin: tuple[float, float, float]


def load_template() -> Template:
    """Read the template from nilearn's package data; nothing is fetched.

    Raises
    ------
    DependencyError
        nilearn is not installed.
    """
    import torch

    try:
        import nibabel
        from scipy.ndimage import distance_transform_edt

        folder = files("nilearn.datasets") / "data"
    except ImportError as error:
        raise missing_package(f"training needs the package {error.name}", "demo") from error
    maps = []
    for kind in ("t1", "wm", "gm"):
        image = nibabel.load(str(folder / f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz"))
        maps.append(np.asarray(image.dataobj, np.float32))
    t1, white, grey = (np.pad(each, _PAD) for each in maps)
    brain = (white + grey > 127.5) | (t1 > 0)
    distance = np.where(brain, -distance_transform_edt(brain) + 0.5, distance_transform_edt(~brain) - 0.5)
    stack = np.stack([t1, white / 255.0, grey / 255.0, distance.astype(np.float32)])
    start = image.affine[:3, 3]
    x, y, z = (float(start[n]) - _PAD[n][0] for n in range(3))
    return Template(torch.from_numpy(stack), (x, y, z))


def _uniform(generator: Generator, low: float, high: float) -> float:
    """One number between two bounds."""
    import torch

    return low + (high - low) * float(torch.rand((), generator=generator))


def _chance(generator: Generator, probability: float) -> bool:
    return _uniform(generator, 0.0, 1.0) < probability


def _field(generator: Generator, size: int, spacing: float, channels: int = 1) -> Tensor:
    """Smooth noise of mean 0 and deviation near 1 that varies over ``spacing`` voxels: [channels, size, size, size]."""
    import torch
    from torch.nn.functional import interpolate

    nodes = max(2, round(size / spacing) + 1)
    coarse = torch.randn((1, channels, nodes, nodes, nodes), generator=generator)
    # Linear interpolation averages neighbours: 1.6 brings the deviation back to about 1.
    return interpolate(coarse, size=(size,) * 3, mode="trilinear", align_corners=True)[0] * 1.6


def _rotation(generator: Generator) -> Tensor:
    """Rotation of up to 20 degrees (25 for nodding), scale 0.81 to 1.23, shear, and half the time a mirror image.

    Image and labels are sampled through the same matrix, so a mirrored image has mirrored labels.
    """
    import torch

    matrix = torch.eye(3)
    for axis, limit in ((0, 25.0), (1, 20.0), (2, 20.0)):
        angle = math.radians(_uniform(generator, -limit, limit))
        i, j = [n for n in range(3) if n != axis]
        turn = torch.eye(3)
        turn[i, i] = turn[j, j] = math.cos(angle)
        turn[i, j], turn[j, i] = -math.sin(angle), math.sin(angle)
        matrix = matrix @ turn
    scale = _uniform(generator, 0.87, 1.15)
    stretch = torch.tensor([scale * _uniform(generator, 0.93, 1.07) for _ in range(3)])
    shear = torch.eye(3) + torch.triu(torch.rand((3, 3), generator=generator) * 0.2 - 0.1, diagonal=1)
    if _chance(generator, 0.5):
        stretch[0] = -stretch[0]
    return matrix @ shear @ torch.diag(stretch)


def _positions(size: int, generator: Generator, brain_share: float) -> Tensor:
    """Template positions (mm) of the voxels of a new patch: [size, size, size, 3]."""
    import torch

    # Some patches are centred in the brain's bounding box, the rest anywhere in head and neck.
    if _chance(generator, brain_share):
        low, high = (-65.0, -95.0, -60.0), (65.0, 65.0, 75.0)
    else:
        low, high = (-85.0, -120.0, -130.0), (85.0, 100.0, 95.0)
    centre = torch.tensor([_uniform(generator, a, b) for a, b in zip(low, high, strict=True)])
    axis = torch.arange(size, dtype=torch.float32) - (size - 1) / 2.0
    index = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"), dim=-1)
    offset = index @ _rotation(generator).T
    # Bends: heads differ over centimetres, folds of the cortex over millimetres.
    for spacing, most in ((28.0, 4.0), (12.0, 1.8), (6.0, 0.8)):
        amount = _uniform(generator, 0.0, most)
        offset += (_field(generator, size, spacing, 3) * (amount / 1.6)).permute(1, 2, 3, 0)
    return offset + centre


def _sample(template: Template, positions: Tensor) -> Tensor:
    """The template's channels at positions, trilinear: [4, x, y, z]."""
    import torch
    from torch.nn.functional import grid_sample

    shape = torch.tensor(template.channels.shape[1:], dtype=torch.float32)
    unit = (positions - torch.tensor(template.origin)) / (shape - 1) * 2 - 1
    # grid_sample wants the last axis first.
    return grid_sample(
        template.channels[None], unit.flip(-1)[None], mode="bilinear", padding_mode="border", align_corners=True
    )[0]


def _tissue(sampled: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
    """Picture of the brain (white matter near 1) and its labels (0, 1 white, 2 grey).

    Half of the contrast comes from the template's own T1 image with its grey levels moved, half is made from the
    probability maps: sharpened, since the template is an average of 152 people and smoother than any of them, and
    shifted, so that sulci open and close. The labels are those of the shifted maps.
    """
    import torch

    size = sampled.shape[-1]
    t1, white, grey, _ = sampled
    ordinary = _chance(generator, 0.9)
    csf_level = _uniform(generator, 0.08, 0.42)
    grey_level = _uniform(generator, csf_level + 0.2, 0.88)
    if not ordinary:  # weak or odd contrast, but white matter stays the brightest
        csf_level, grey_level = _uniform(generator, 0.3, 0.7), _uniform(generator, 0.75, 0.93)

    own = 0.0 if _chance(generator, 0.45) else _uniform(generator, 0.0, 1.0)
    logits = torch.log(torch.stack([1 - white - grey, white, grey]).clamp_(1e-4, 1.0))
    strength = (1 - own) * _uniform(generator, 0.0, 1.0)
    shift = _field(generator, size, 10.0)[0] * 0.5 + _field(generator, size, 4.0)[0] * 0.5
    logits[0] += strength * (shift + _uniform(generator, -0.4, 1.0))
    logits[1] += strength * _field(generator, size, 7.0)[0] * 0.5
    labels = logits.argmax(dim=0)
    made = torch.softmax(logits * _uniform(generator, 1.0, 4.0), dim=0)
    made = made[0] * csf_level + made[1] + made[2] * grey_level

    low = t1 * (csf_level / _CSF)
    middle = csf_level + (t1 - _CSF) * ((grey_level - csf_level) / (_GREY - _CSF))
    high = grey_level + (t1 - _GREY) * ((1 - grey_level) / (_WHITE - _GREY))
    moved = torch.where(t1 < _CSF, low, torch.where(t1 < _GREY, middle, high))
    return own * moved + (1 - own) * made, labels


def _blobs(generator: Generator, size: int, levels: Tensor) -> Tensor:
    """Patchwork of random shapes, each with one of the levels."""
    import torch

    noise = _field(generator, size, 16.0)[0] + 0.7 * _field(generator, size, 7.0)[0]
    part = torch.floor((noise + 3.0) * (len(levels) / 3.0)).long() % len(levels)
    return levels[part]


def _surroundings(distance: Tensor, positions: Tensor, generator: Generator) -> Tensor:
    """Picture of everything that is not brain, in units of white matter's intensity; 0 is air."""
    import torch

    size = distance.shape[-1]
    x, y, z = positions.unbind(-1)
    thickness = _field(generator, size, 24.0, 3)
    draw = _uniform

    fluid = (draw(generator, 0.3, 4.0) * (1 + 0.45 * thickness[0])).clamp_(0.0)
    dura = fluid + draw(generator, 0.0, 1.6)
    skull = (draw(generator, 4.0, 9.0) * (1 + 0.25 * thickness[1])).clamp_(2.0) + dura
    scalp = (draw(generator, 4.0, 11.0) * (1 + 0.3 * thickness[2])).clamp_(1.5) + skull
    face = (x / draw(generator, 68, 80)) ** 2 + ((y - 25) / draw(generator, 70, 90)) ** 2
    face += ((z + draw(generator, 50, 70)) / draw(generator, 60, 85)) ** 2
    neck = (x / draw(generator, 52, 72)) ** 2 + ((y + 35) / draw(generator, 52, 75)) ** 2
    head = (distance < scalp) | ((neck < 1) & (z < -25))
    if _chance(generator, 0.85):  # otherwise a defaced head
        head |= face < 1

    dark = torch.rand(4, generator=generator) * 0.2
    middle = 0.3 + torch.rand(4, generator=generator) * 0.5
    bright = 0.8 + torch.rand(3, generator=generator) * 0.9
    soft = _blobs(generator, size, torch.cat([dark, middle, bright])[torch.randperm(11, generator=generator)])
    csf = draw(generator, 0.05, 0.4)
    dura_level, marrow, fat = (draw(generator, a, b) for a, b in ((0.15, 0.9), (0.15, 1.1), (0.6, 1.7)))
    bone = draw(generator, 0.0, 0.2)
    depth = (distance - dura) / (skull - dura).clamp_(0.5)
    wall = draw(generator, 0.15, 0.4)

    image = torch.where(distance < scalp, fat + (soft - fat) * draw(generator, 0.0, 0.8), soft)
    image = torch.where((depth < 1) & ((depth < wall) | (depth > 1 - wall)), bone, image)
    filling = marrow + (soft - marrow) * draw(generator, 0.0, 0.4)
    image = torch.where((depth >= wall) & (depth <= 1 - wall), filling, image)
    # Below the brain there is no closed vault: there the layers give way to soft tissue and air cells in places.
    base = (z < draw(generator, -45, -15) + 8 * thickness[0]) & (y > -75) & (distance > dura)
    image = torch.where(base, soft, image)
    for side in (-1.0, 1.0):
        eye = torch.sqrt((x - side * 33) ** 2 + (y - draw(generator, 56, 64)) ** 2 + (z + draw(generator, 34, 44)) ** 2)
        image = torch.where(eye < 17, fat, image)
        image = torch.where(eye < 12, csf, image)
    image = torch.where(head, image, 0.0)
    # Vessels and sinuses run through the fluid.
    vessel = (_field(generator, size, 5.0)[0] > draw(generator, 1.2, 3.0)) & (distance > 0.5)
    inside = torch.where(vessel, draw(generator, 0.0, 1.4), csf)
    inside = torch.where(distance < fluid, inside, dura_level)
    return torch.where(distance < dura, inside, image)


def _scanner(image: Tensor, generator: Generator) -> Tensor:
    """Blur, thick slices, bias field, gamma, noise, texture and scaling to 0..1."""
    import torch
    from torch.nn.functional import conv3d, interpolate

    size = image.shape[-1]
    image = image * (1 + _field(generator, size, 9.0)[0] * _uniform(generator, 0.0, 0.05))  # tissue is not uniform
    for axis in range(3):
        width = _uniform(generator, 0.0, 0.75)
        weight = torch.exp(-0.5 * (torch.arange(-2.0, 3.0) / max(width, 0.05)) ** 2)
        shape, padding = [1, 1, 1, 1, 1], [0, 0, 0]
        shape[axis + 2], padding[axis] = 5, 2
        image = conv3d(image[None, None], (weight / weight.sum()).reshape(shape), padding=padding)[0, 0]
    if _chance(generator, 0.5):
        coarse = [size, size, size]
        coarse[int(_uniform(generator, 0, 2.999))] = round(size / _uniform(generator, 1.1, 2.5))
        thick = interpolate(image[None, None], size=coarse, mode="trilinear", align_corners=True)
        image = interpolate(thick, size=(size,) * 3, mode="trilinear", align_corners=True)[0, 0]
    image = image * torch.exp(_field(generator, size, size / 1.5)[0] * _uniform(generator, 0.0, 0.22))
    image = image.clamp_(0.0) ** _uniform(generator, 0.75, 1.35) * _uniform(generator, 0.4, 1.0)
    spread = _uniform(generator, 0.0, 0.05)
    real, other = torch.randn((2, size, size, size), generator=generator) * spread
    # The magnitude of complex noise: Rician, so that air is not negative.
    return torch.sqrt((image + real) ** 2 + other**2).clamp_(0.0, 1.0)


def synthesise(
    template: Template, size: int, generator: Generator, *, brain_share: float = 0.75
) -> tuple[Tensor, Tensor]:
    """Draw one training pair.

    Parameters
    ----------
    template : Template
        From `load_template`.
    size : int
        Side of the cubic patch in voxels of 1 mm.
    generator : torch.Generator
        Source of all randomness: the same state gives the same pair.
    brain_share : float
        Share of patches that are centred in the brain's bounding box; the others lie anywhere in head and neck.

    Returns
    -------
    image : Tensor
        Shape [1, size, size, size], float32 in 0..1.
    labels : Tensor
        Shape [size, size, size], int64: 0 background, 1 white matter, 2 grey matter, `IGNORE` upper spinal cord.
    """
    import torch

    positions = _positions(size, generator, brain_share)
    sampled = _sample(template, positions)
    picture, labels = _tissue(sampled, generator)
    distance = sampled[3]
    x, y, z = positions.unbind(-1)

    stripped = _chance(generator, 0.12)
    around = torch.zeros_like(picture) if stripped else _surroundings(distance, positions, generator)
    inner = torch.clamp(0.5 - distance, 0.0, 1.0)  # a soft edge: partial volume over one voxel
    image = inner * picture + (1 - inner) * around

    radius = torch.sqrt((x - _CORD[0]) ** 2 + (y - _CORD[1]) ** 2)
    below = z < _CORD[2]
    if not stripped:
        image = torch.where(below & (radius < 9) & (labels == 0), _uniform(generator, 0.05, 0.4), image)
        image = torch.where(below & (radius < 6) & (labels == 0), _uniform(generator, 0.85, 1.0), image)
    labels = torch.where(below & (z > _CORD[2] - 25) & (radius < 11) & (labels == 0), IGNORE, labels)
    return _scanner(image, generator)[None], labels
