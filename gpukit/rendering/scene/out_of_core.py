"""Ray casting of a volume that is larger than its device's memory: slab by slab, from the front to the back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace, devices, move
from gpukit.errors import TooLargeError
from gpukit.ops.raycast import Labels, raycast

__all__ = ["cast", "room"]

#: Bytes that a device needs for a voxel beside the voxel itself: the pyramid, and for torch the voxels as real numbers.
_BESIDE = {"cpu": 1, "cuda": 1}
_BESIDE_TORCH = 24
#: Slices around a slab that its samples and gradients look at.
_AROUND = 2


def room(device: str) -> int | None:
    """Return bytes that voxels may take on a device: a good part of what is free; None where that is not known."""
    gpu = next((info for info in devices() if info.name == device), None)
    return None if gpu is None or gpu.memory_free is None else int(gpu.memory_free * 0.7)


def cast(
    array: Any, matrix: NDArray[np.float64], shape: tuple[int, int, int], device: str, most: int | None, **scene: Any
) -> Any:
    """Return the picture of `gpukit.ops.raycast.raycast` on `device`, of an array that lies elsewhere.

    Parameters
    ----------
    array, matrix, shape
        As there.
    device : str
        Full name.
    most : int or None
        Bytes that may be on the device at a time; None for no limit.
    **scene
        The other arguments of `raycast`; arrays in `labels` and `second` lie where `array` does.

    Raises
    ------
    TooLargeError
        Not even a slab and the second volume have room.
    """
    second, labels = scene.get("second"), scene.get("labels")
    fixed = 0
    if second is not None:
        fixed = int(np.prod(second.array.shape)) * (second.array.dtype.itemsize + _beside(device))
        second = replace(second, array=move(second.array, device))
    nk, nj, ni = (int(n) for n in array.shape)
    slice_bytes = nj * ni * (array.dtype.itemsize + _beside(device) + (1 if labels is not None else 0))
    thick = nk if most is None else (most - fixed) // slice_bytes
    if thick < nk:
        thick -= 2 * _AROUND
        if thick < 1:
            raise TooLargeError(
                f"{device} has no room for a few slices of the volume", attribute="device", fix="use another device"
            )
    if thick >= nk:
        if labels is not None:
            labels = replace(labels, array=move(labels.array, device))
        return raycast(move(array, device), matrix, shape, **{**scene, "second": second, "labels": labels})
    starts = list(range(0, nk, max(1, int(thick))))
    picture = None
    for first in _front_to_back(starts, int(thick), matrix, scene.get("eye")):
        beyond = min(first + int(thick), nk)
        part = _slab(array, matrix, shape, device, first, beyond, {**scene, "second": second})
        # what lies behind, as far as light still passes
        picture = part if picture is None else picture + part * (1.0 - picture[..., 3:])
    return picture


def _beside(device: str) -> int:
    return _BESIDE.get(device.partition(":")[0], _BESIDE_TORCH)


def _front_to_back(starts: list[int], thick: int, matrix: NDArray[np.float64], eye: Any) -> list[int]:
    """Slabs in the order in which every ray meets them."""
    if eye is None:
        return starts if matrix[2, 2] >= 0 else starts[::-1]
    at = float(eye[2])  # a ray from the eye meets slabs on one side only, the nearer first
    return sorted(starts, key=lambda k: max(k - at, at - (k + thick), 0.0))


def _slab(
    array: Any, matrix: NDArray[np.float64], shape: tuple[int, int, int], device: str, first: int, beyond: int,
    scene: dict[str, Any],
) -> Any:  # fmt: skip
    """Return the part of the picture that positions from slice `first` to just before `beyond` make."""
    nk = int(array.shape[0])
    low, high = max(first - _AROUND, 0), min(beyond + _AROUND, nk)
    shift = np.eye(4)
    shift[2, 3] = -low
    planes = [] if scene.get("planes") is None else [*np.asarray(scene["planes"], dtype=np.float64)]
    if first > 0:
        planes.append(np.array([0.0, 0.0, 1.0, -float(first)]))
    if beyond < nk:
        planes.append(np.array([0.0, 0.0, -1.0, np.nextafter(float(beyond), 0.0)]))  # the next slab begins there
    moved = [np.array([*p[:3], p[3] + p[2] * low]) for p in planes]
    labels, second, eye = scene.get("labels"), scene.get("second"), scene.get("eye")
    if labels is not None:
        labels = Labels(move(_slices(labels.array, low, high), device), labels.media)
    if second is not None:
        second = replace(second, matrix=np.asarray(second.matrix) @ np.linalg.inv(shift))
    return raycast(
        move(_slices(array, low, high), device), shift @ matrix, shape,
        **{
            **scene, "planes": np.array(moved) if moved else None, "labels": labels, "second": second,
            "eye": None if eye is None else (eye[0], eye[1], eye[2] - low),
        },
    )  # fmt: skip


def _slices(array: Any, low: int, high: int) -> Any:
    """Return slices as an array of their own that frees with its slab."""
    part = array[low:high, ...]
    return (
        np.ascontiguousarray(part) if isinstance(part, np.ndarray) else array_namespace(part).asarray(part, copy=True)
    )
