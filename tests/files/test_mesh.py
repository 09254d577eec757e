"""Surfaces written and read back by other software."""

from __future__ import annotations

import numpy as np
import pytest
import trimesh

from gpukit.errors import OutputError, OutputExistsError
from gpukit.files.mesh import MESH_SUFFIXES, Part, file_word, is_watertight, write_mesh, write_scene
from gpukit.ops.isosurface import Mesh

#: Right-angled corner at (10, -20, 30) with legs 1, 2 and 3 mm: nothing about it is symmetric. Volume 1 mm³.
POINTS = np.array([(0, 0, 0), (1, 0, 0), (0, 2, 0), (0, 0, 3)], float) + np.array((10, -20, 30))
FACES = np.array([(0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3)])
MESH = Mesh(POINTS, FACES)


@pytest.mark.parametrize("suffix", MESH_SUFFIXES)
def test_round_trip(tmp_path, suffix):
    path = write_mesh(MESH, tmp_path / f"a{suffix}")
    made = trimesh.load(path, force="mesh")
    points = made.vertices
    if suffix == ".glb":  # metres, y to the head, z to the front
        points = 1000 * np.stack((points[:, 0], -points[:, 2], points[:, 1]), axis=1)
        assert made.volume == pytest.approx(1e-9, rel=1e-3)
    else:
        assert made.volume == pytest.approx(1.0, rel=1e-4)  # positive: outward
    # Single precision at 30 mm is 2e-6.
    order = np.lexsort(np.round(points, 3).T)
    assert np.unique(np.round(points[order], 3), axis=0) == pytest.approx(np.unique(POINTS, axis=0), abs=1e-4)
    assert made.is_watertight
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_stl_is_binary_and_names_its_frame(tmp_path):
    content = write_mesh(MESH, tmp_path / "a.stl").read_bytes()
    assert len(content) == 84 + 50 * 4
    assert b"SPACE=LPS" in content[:80] and not content.startswith(b"solid")


def test_volume_and_area_of_the_corner():
    assert MESH.volume == pytest.approx(1.0)
    assert MESH.area == pytest.approx((2 + 3 + 6) / 2 + 3.5)  # the slanted face: |(6, 3, 2)| / 2
    assert Mesh(POINTS, FACES[:, ::-1]).volume == pytest.approx(-1.0)


def test_open_or_twisted_is_not_watertight():
    assert is_watertight(MESH)
    assert not is_watertight(Mesh(POINTS, FACES[:3]))
    assert not is_watertight(Mesh(POINTS, np.vstack((FACES[:3], FACES[3:, ::-1]))))


def test_refusals(tmp_path):
    with pytest.raises(OutputError, match="no surface"):
        write_mesh(MESH, tmp_path / "a.txt")
    write_mesh(MESH, tmp_path / "a.obj")
    with pytest.raises(OutputExistsError):
        write_mesh(MESH, tmp_path / "a.obj")
    write_mesh(MESH, tmp_path / "a.obj", force=True)


def test_scene_has_names_and_colours(tmp_path):
    other = Mesh(POINTS + np.array((50, 0, 0)), FACES)
    names = [
        Part("Liver", MESH, (255, 0, 0)),
        Part("Left kidney", other, (188, 188, 0)),
        Part("Liver", other, (0, 0, 255)),
    ]
    scene = trimesh.load(write_scene(names, tmp_path / "a.glb"))
    assert sorted(scene.geometry) == ["Left kidney", "Liver", "Liver (2)"]
    material = scene.geometry["Left kidney"].visual.material
    assert material.name == "Left kidney"
    # glTF's colours are linear: sRGB 188 is about half of the light (IEC 61966-2-1).
    assert np.asarray(material.baseColorFactor)[:3] / 255 == pytest.approx((0.5, 0.5, 0.0), abs=0.01)
    assert scene.geometry["Liver"].visual.material.baseColorFactor.tolist() == [255, 0, 0, 255]
    with pytest.raises(OutputError):
        write_scene(names, tmp_path / "a.stl")


def test_words_for_file_names():
    assert file_word("Left Kidney / upper pole") == "left-kidney-upper-pole"
    assert file_word("../../etc") == "etc" and file_word("???") == ""
