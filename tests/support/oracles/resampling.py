"""Independent answers for the operations: written from the definitions, slowly, or asked of other software."""

from __future__ import annotations

import numpy as np


def oblique(rng: np.random.Generator, in_shape: tuple[int, ...], out_shape: tuple[int, ...]) -> np.ndarray:
    """A rotated, sheared, unevenly scaled map whose output grid is centred on the input volume."""
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    m = np.eye(4)
    m[:3, :3] = q @ np.diag(rng.uniform(0.4, 1.2, 3)) + rng.normal(scale=0.05, size=(3, 3))
    centre_in = (np.array(in_shape[::-1]) - 1) / 2
    centre_out = (np.array(out_shape[::-1]) - 1) / 2
    m[:3, 3] = centre_in - m[:3, :3] @ centre_out
    return m


def positions(matrix: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Input index (i, j, k) of every output voxel, (3, nk, nj, ni)."""
    k, j, i = np.meshgrid(*(np.arange(n) for n in shape), indexing="ij")
    return np.tensordot(matrix[:3, :3], np.stack([i, j, k]), 1) + matrix[:3, 3][:, None, None, None]


def inside(p: np.ndarray, shape: tuple[int, ...], slack: float = 0.0) -> np.ndarray:
    """Samples within half a voxel of the outermost centres; `slack` shrinks (or grows, if negative) the volume."""
    n = np.array(shape[::-1])[:, None, None, None]
    return ((p >= -0.5 + slack) & (p <= n - 0.5 - slack)).all(axis=0)


def brute_linear(data: np.ndarray, bad: np.ndarray, at: np.ndarray) -> float | None:
    """One trilinear sample by its definition: weights over valid neighbours, scaled up to one."""
    n = np.array(data.shape[::-1])
    if (at < -0.5 - 1e-6).any() or (at > n - 0.5 + 1e-6).any():
        return None
    near = np.clip(np.floor(at + 0.5), 0, n - 1).astype(int)
    if bad[tuple(near[::-1])]:
        return None
    at = np.clip(at, 0, n - 1)
    low = np.floor(at).astype(int)
    total = weight = 0.0
    for corner in np.ndindex(2, 2, 2):
        index = np.minimum(low + corner, n - 1)
        w = float(np.prod(np.where(np.array(corner) == 1, at - low, 1 - (at - low))))
        if not bad[tuple(index[::-1])] and w > 0:
            total += w * float(data[tuple(index[::-1])])
            weight += w
    return total / weight


def itk_resample(data: np.ndarray, matrix: np.ndarray, shape: tuple[int, ...], order: int, fill: float) -> np.ndarray:
    """The same map through SimpleITK: index space as physical space, an affine transform, ITK's interpolators."""
    import SimpleITK

    image = SimpleITK.GetImageFromArray(data)
    transform = SimpleITK.AffineTransform(3)
    transform.SetMatrix(matrix[:3, :3].ravel().tolist())
    transform.SetTranslation(matrix[:3, 3].tolist())
    how = {0: SimpleITK.sitkNearestNeighbor, 1: SimpleITK.sitkLinear, 3: SimpleITK.sitkBSpline}[order]
    out = SimpleITK.Resample(
        image, list(shape[::-1]), transform, how, [0.0] * 3, [1.0] * 3, np.eye(3).ravel().tolist(), fill,
        image.GetPixelID(),
    )  # fmt: skip
    return SimpleITK.GetArrayFromImage(out)
