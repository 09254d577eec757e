"""Surfaces as binary STL, OBJ, PLY and GLB."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gpukit.documents.atomic import atomic_path
from gpukit.errors import OutputError
from gpukit.extras import missing_package
from gpukit.ops.isosurface import Mesh

__all__ = ["MESH_SUFFIXES", "Part", "file_word", "is_watertight", "write_mesh", "write_scene"]

MESH_SUFFIXES = (".stl", ".obj", ".ply", ".glb")

#: LPS mm to the frame of glTF 2.0 (3.4): metres, y up, the front towards +z.
_LPS_TO_GLTF = 0.001 * np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [0, -1, 0, 0], [0, 0, 0, 1000]])
_BONE = (237, 222, 196)
_TRIANGLE = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])


def write_mesh(mesh: Mesh, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a surface; the suffix decides the format.

    STL, OBJ and PLY are in LPS mm. The numbers of a GLB are LPS mm too, under a node that turns them to the metres and
    the upright y axis that its specification demands.

    Parameters
    ----------
    mesh : Mesh
        In LPS mm.
    path : path-like
        ``.stl`` (binary), ``.obj``, ``.ply`` (binary) or ``.glb``.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    OutputError
        The suffix stands for no mesh format, or the file cannot be written.
    DependencyError
        trimesh is missing (every format but STL).
    """
    target = Path(path)
    kind = target.suffix.lower()
    if kind not in MESH_SUFFIXES:
        raise OutputError("the name's suffix stands for no surface", file=path, fix=f"use {', '.join(MESH_SUFFIXES)}")
    with atomic_path(target, force=force) as temporary:
        if kind == ".glb":
            temporary.write_bytes(_scene([Part("surface", mesh, _BONE)]))
        else:
            temporary.write_bytes(_stl(mesh) if kind == ".stl" else _exported(mesh, kind[1:]))
    return target


@dataclass(frozen=True)
class Part:
    """One surface of a scene: its name, and its colour in sRGB from 0 to 255."""

    name: str
    mesh: Mesh
    color: tuple[int, int, int]


def write_scene(parts: Sequence[Part], path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write several surfaces into one GLB, each a node of its name with a material of its name and colour.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    OutputError
        The name does not end in ``.glb``, there is no surface, or the file cannot be written.
    DependencyError
        trimesh is missing.
    """
    target = Path(path)
    if target.suffix.lower() != ".glb" or not parts:
        raise OutputError("a scene has one or more surfaces and goes into a .glb", file=path)
    with atomic_path(target, force=force) as temporary:
        temporary.write_bytes(_scene(parts))
    return target


def file_word(name: str) -> str:
    """Return a name as a part of a file's name: letters, digits and dashes."""
    return re.sub(r"[^0-9a-z]+", "-", name.casefold()).strip("-")[:60]


def is_watertight(mesh: Mesh) -> bool:
    """Return whether every edge belongs to exactly two faces that run along it in opposite directions.

    Raises
    ------
    DependencyError
        trimesh is missing.
    """
    surface = _trimesh(mesh)
    return bool(surface.is_watertight and surface.is_winding_consistent)


def _stl(mesh: Mesh) -> bytes:
    """80 bytes of header, a count, 50 bytes a triangle. Viewers take the frame from the header's SPACE."""
    if len(mesh.faces) >= 2**32:
        raise OutputError("an STL file holds less than 2^32 triangles", fix="decimate the surface")
    corners = mesh.points[mesh.faces]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    lengths = np.linalg.norm(normals, axis=1, keepdims=True)
    triangles = np.zeros(len(mesh.faces), _TRIANGLE)
    triangles["normal"] = np.divide(normals, lengths, out=np.zeros_like(normals), where=lengths > 0)
    triangles["corners"] = corners
    header = b"gpukit surface in mm; SPACE=LPS".ljust(80)
    content: bytes = header + np.uint32(len(mesh.faces)).astype("<u4").tobytes() + triangles.tobytes()
    return content


def _exported(mesh: Mesh, kind: str) -> bytes:
    surface = _trimesh(mesh)
    content: Any = surface.export(file_type=kind, **({"digits": 6} if kind == "obj" else {}))
    return content.encode() if isinstance(content, str) else bytes(content)


def _scene(parts: Sequence[Part]) -> bytes:
    """Return colours of glTF are linear: the transfer function of sRGB (IEC 61966-2-1) is taken off."""
    surfaces = [_trimesh(part.mesh) for part in parts]
    import trimesh

    scene = trimesh.Scene()
    used: dict[str, int] = {}
    for part, mesh in zip(parts, surfaces, strict=True):
        used[part.name] = used.get(part.name, 0) + 1
        name = part.name if used[part.name] == 1 else f"{part.name} ({used[part.name]})"
        share = np.asarray(part.color, float) / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        mesh.visual = trimesh.visual.TextureVisuals(
            material=trimesh.visual.material.PBRMaterial(
                name=name, baseColorFactor=[*linear.tolist(), 1.0], metallicFactor=0.0, roughnessFactor=0.8
            )
        )
        scene.add_geometry(mesh, node_name=name, geom_name=name, transform=_LPS_TO_GLTF)
    return bytes(scene.export(file_type="glb"))


def _trimesh(mesh: Mesh) -> Any:
    try:
        import trimesh
    except ImportError as error:
        raise missing_package("this needs trimesh", "viz") from error
    return trimesh.Trimesh(mesh.points, mesh.faces, process=False)
