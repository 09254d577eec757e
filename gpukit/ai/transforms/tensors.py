"""Between a volume's array and a torch tensor on the same device: shared memory, never a trip through the host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.device import array_namespace, backend_of, device_of
from gpukit.errors import DeviceError
from gpukit.extras import missing_package

if TYPE_CHECKING:
    import torch

__all__ = ["as_array", "as_tensor", "require", "torch_device"]


def require(*modules: str) -> None:
    """Check that the neural-network packages are installed, before anything is done.

    Raises
    ------
    DependencyError
        One is not; says what to install.
    """
    from importlib.util import find_spec

    for module in modules:
        if find_spec(module) is None:
            raise missing_package(f"networks need the package {module}", "ai")


def as_tensor(array: Any) -> torch.Tensor:
    """The same voxels as a torch tensor on the same device: a view where torch knows the number type.

    NumPy and torch share main memory; CuPy and torch share CUDA memory through DLPack.

    Raises
    ------
    DeviceError
        torch cannot use the array's device, such as a CPU-only torch with a CUDA array.
    """
    import torch
    import torch.utils.dlpack

    if isinstance(array, torch.Tensor):
        return array
    if isinstance(array, np.ndarray):
        # Torch has no tensors of foreign byte order or negative strides; such an array is copied within main memory.
        tidy = array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
        if any(stride < 0 for stride in tidy.strides) or not tidy.flags.writeable:
            tidy = tidy.copy()
        return torch.from_numpy(tidy)
    backend = backend_of(array)
    if backend is None:
        raise DeviceError(f"no gpukit backend knows arrays of the type {type(array).__name__}")
    try:
        return torch.utils.dlpack.from_dlpack(array)
    except (RuntimeError, TypeError, ValueError, BufferError, AssertionError) as error:
        raise DeviceError(
            f"torch cannot share memory with {device_of(array)}: {error}",
            fix="install a torch with support for that device, or ask for the device cpu",
        ) from error


def torch_device(array: Any) -> str:
    """Torch's name of the device that holds an array; nothing of it is copied.

    Raises
    ------
    DeviceError
        As `as_tensor`.
    """
    return "cpu" if isinstance(array, np.ndarray) else str(as_tensor(array).device)


def as_array(tensor: torch.Tensor, like: Any) -> Any:
    """The tensor as an array of the library of `like`, on the same device, without a copy."""
    import torch

    if isinstance(like, torch.Tensor):
        return tensor
    if isinstance(like, np.ndarray):
        return tensor.numpy()
    return array_namespace(like).from_dlpack(tensor)
