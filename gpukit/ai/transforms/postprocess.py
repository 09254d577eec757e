"""A description's own steps on a label map: on its device, or with a trip to the host that is counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gpukit.ai.model.volume_spec import TransformSpec
from gpukit.ai.transforms.tensors import as_array, as_tensor
from gpukit.ai.transforms.volume_input import build_transform
from gpukit.device import device_of, move
from gpukit.errors import ModelError
from gpukit.ops.components import components
from gpukit.ops.main_body import keep_main_body
from gpukit.profiling import in_stage
from gpukit.volume import Volume

if TYPE_CHECKING:
    import torch

__all__ = ["keep_largest", "postprocess", "takes_all_as_one"]

#: MONAI does these with SciPy and scikit-image, in main memory.
_ON_THE_HOST = ("FillHoles", "KeepLargestConnectedComponent", "RemoveSmallObjects")


def takes_all_as_one(spec: TransformSpec) -> bool:
    """Whether a step looks at all labels together, so that labels that overlap are not taken one by one."""
    together = spec.name == "KeepLargestConnectedComponent" and spec.arguments.get("independent") is False
    return spec.name == "KeepMainBody" or together


@in_stage("postprocessing")
def postprocess(labels: torch.Tensor, spec: TransformSpec, volume: Volume) -> torch.Tensor:
    """One step on a label map ``[k, j, i]``; the volume tells the grid and the library of the device's arrays.

    Raises
    ------
    ModelError
        The step does not take these arguments.
    """
    import torch

    if spec.name == "KeepMainBody":
        radius = spec.arguments.get("radius_mm")
        if not isinstance(radius, (int, float)) or set(spec.arguments) != {"radius_mm"}:
            raise ModelError("KeepMainBody takes one number, radius_mm", attribute=spec.path)
        return as_tensor(keep_main_body(as_array(labels, volume.array), volume.grid.spacing, float(radius)))
    transform = build_transform(spec)
    if labels.device.type != "cpu" and spec.name == "KeepLargestConnectedComponent" and not transform.is_onehot:
        return keep_largest(labels, transform, volume.array)
    given = labels
    if labels.device.type != "cpu" and spec.name in _ON_THE_HOST:
        given = torch.from_numpy(move(labels, "cpu"))
    result = torch.as_tensor(transform(given[None]))[0].to(labels.dtype).contiguous()
    if result.device != labels.device:
        result = as_tensor(move(result.numpy(), device_of(labels)))
    return result


def keep_largest(labels: torch.Tensor, transform: Any, like: Any) -> torch.Tensor:
    """What MONAI's KeepLargestConnectedComponent makes of a label map, on the map's device.

    Parameters
    ----------
    labels : tensor of integers, one to three axes
        The map.
    transform : monai.transforms.KeepLargestConnectedComponent
        With its arguments; for label maps, not for channels.
    like : array
        Of the library whose arrays the device's kernels take.
    """
    import torch

    chosen = transform.applied_labels
    if chosen is None:
        chosen = [int(value) for value in torch.unique(labels.to(torch.int32)).tolist() if value]
    groups = [[value] for value in chosen] if transform.independent else [list(chosen)]
    result = labels.clone()
    for group in groups:
        inside = torch.zeros(labels.shape, dtype=torch.bool, device=labels.device)
        for value in group:
            inside |= labels == value
        connectivity = labels.ndim if transform.connectivity is None else transform.connectivity
        numbered, count = components(as_array(inside, like), connectivity=connectivity)
        if count <= transform.num_components:
            continue
        numbers = as_tensor(numbered).to(torch.int64)
        sizes = torch.bincount(numbers.reshape(-1), minlength=count + 1)
        sizes[0] = 0
        keep = torch.zeros(count + 1, dtype=torch.bool, device=labels.device)
        # of equal ones the last, as MONAI's sort of ascending sizes, read from its end, has it
        keep[torch.argsort(sizes, stable=True)[-transform.num_components :]] = True
        result.masked_fill_(inside & ~keep[numbers], 0)
    return result
