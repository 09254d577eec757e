"""Draw the pictures of volume rendering; `make_pictures.py` calls this.

They are made in Python and not by commands, because the CT is a NIfTI file, which does not say that its values are HU.
The CT and the mask of its aorta are from the tests of totalsegmentator's source distribution, the head is nilearn's MNI
template, and the PET is made here, over that CT.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

import gpukit as gk
from gpukit.display.picture import write_picture
from gpukit.geometry import Grid
from gpukit.volume import Volume

SIZE = (360, 360)


def as_hu(volume: Volume) -> Volume:
    """A NIfTI file does not say that its values are HU; these are."""
    return replace(volume, unit="HU")


def head() -> Volume:
    """The MNI template, a T1 image of the brain."""
    import nilearn.datasets

    folder = Path(nilearn.datasets.__file__).parent / "data"
    return gk.open(folder / "mni_icbm152_t1_tal_nlin_sym_09a_converted.nii.gz", device="cpu")


def made_pet(ct: Volume) -> Volume:
    """Uptake in three places of a CT and a faint background, on voxels of 4 mm."""
    size = np.array(ct.grid.spacing) * ct.grid.shape[::-1]
    shape = tuple(int(n) for n in np.ceil(size[::-1] / 4))
    affine = np.eye(4)
    affine[:3, :3] = ct.grid.direction * 4
    affine[:3, 3] = ct.grid.origin
    grid = Grid((shape[0], shape[1], shape[2]), affine)
    k, j, i = np.meshgrid(*(np.linspace(0, 1, n) for n in shape), indexing="ij")
    values = np.full(shape, 300.0)
    for at, width, height in (
        ((0.4, 0.42, 0.55), 0.05, 9000),
        ((0.62, 0.5, 0.6), 0.035, 7000),
        ((0.5, 0.6, 0.25), 0.04, 8000),
    ):
        square = sum(((c - a) / width) ** 2 for c, a in zip((i, j, k), at, strict=True))
        values += height * np.exp(-square / 2)
    return Volume(array=values.astype(np.float32), grid=grid, metadata={"Modality": "PT"})


def draw(source: Path, pictures: Path) -> None:
    """A picture of each transfer function that comes with gpukit, and of masks and clipping."""
    from gpukit.io.masks import open_mask
    from gpukit.rendering.scene.clipping import clip_plane

    report = next(source.rglob("aorta_report"))
    ct = as_hu(gk.open(report / "example_ct.nii.gz", device="cpu"))
    brain, pet = head(), made_pet(ct)
    middle = ct.grid.to_world([(n - 1) / 2 for n in reversed(ct.grid.shape)])
    front_off = clip_plane(ct.grid, middle, (0, 1, 0), frame="patient")
    shots: dict[str, tuple[Volume, dict[str, object]]] = {
        "ct-bone": (ct, {"azimuth": 30, "elevation": 10}),
        "ct-soft-tissue": (ct, {"azimuth": 30, "elevation": 10}),
        "ct-lung": (ct, {"azimuth": 20, "elevation": 5}),
        "ct-angio": (ct, {"azimuth": 30, "elevation": 10}),
        "ct-cardiac": (ct, {"azimuth": 30, "elevation": 10}),
        "mr-default": (brain, {"azimuth": 120, "elevation": 25}),
        "pet-hot": (pet, {"azimuth": 20, "elevation": 5}),
        "fusion": (ct, {"azimuth": 20, "elevation": 5, "overlay": pet}),
        "clipped": (ct, {"transfer": "ct-soft-tissue", "azimuth": 25, "elevation": 15, "clip": front_off}),
    }
    mask = report / "test_result" / "models" / "aorta.nii.gz"
    shots["labels"] = (ct, {"transfer": "ct-bone", "azimuth": 20, "elevation": 5, "mask": open_mask(mask, ct)})
    for name, (volume, arguments) in shots.items():
        if name.startswith(("ct-", "mr-", "pet-")):
            arguments["transfer"] = name
        picture = gk.render(volume, size=SIZE, oversampling=2.0, **arguments)  # type: ignore[arg-type]
        write_small(picture, pictures / f"volume-{name}.png")


def write_small(picture: Volume, target: Path) -> None:
    """A PNG of at most 128 colours, which photographs of bodies do not miss."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as scratch:
        full = Path(scratch) / "full.png"
        write_picture(picture, full)
        Image.open(full).convert("RGB").quantize(128).save(target, optimize=True)
