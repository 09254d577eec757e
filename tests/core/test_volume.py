"""A volume says by fields, not by its notes, which parts of its geometry are stated."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.images import write_image

import gpukit as gk
from gpukit.errors import GeometryError
from gpukit.geometry import Grid
from gpukit.volume import GeometryStatus, Volume


def test_whether_a_volume_has_millilitres_does_not_hang_on_the_words_of_its_notes() -> None:
    values = np.zeros((2, 4, 4), np.int16)
    values[:, 1:3, 1:3] = 9
    volume = Volume(array=values, grid=Grid.from_axes((2, 4, 4)), notes=("no patient geometry, says somebody",))
    assert gk.measure.volume(volume, values=(5, 20)).volume == pytest.approx(0.008)  # 8 voxels of 1 mm3
    flat = replace(volume, notes=(), geometry=GeometryStatus(position=False, depth=False))
    with pytest.raises(GeometryError, match="areas, no volume"):
        gk.measure.volume(flat, values=(5, 20))


@pytest.mark.parametrize(
    ("modality", "attributes", "geometry"),
    [
        ("DX", {}, GeometryStatus(position=False, spacing=False, depth=False)),
        ("DX", {"ImagerPixelSpacing": [0.2, 0.2]}, GeometryStatus(position=False, depth=False)),
        ("US", {"PixelAspectRatio": [4, 3]}, GeometryStatus(position=False, spacing=False, depth=False)),
    ],
)
def test_reader_states_what_the_header_states(
    tmp_path: Path, modality: str, attributes: dict, geometry: GeometryStatus
) -> None:
    path = write_image(tmp_path / "one.dcm", modality, **attributes)
    assert gk.open(path).geometry == geometry


def test_other_voxels_keep_the_status() -> None:
    flat = GeometryStatus(position=False, spacing=False, depth=False)
    volume = Volume(array=np.zeros((1, 2, 2), np.int16), grid=Grid.from_axes((1, 2, 2)), geometry=flat)
    assert volume.with_array(np.ones((1, 2, 2), np.float32)).geometry == flat
