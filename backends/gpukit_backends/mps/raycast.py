"""Ray casting with torch: fused sampling, and only the rays through which light still passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as compat
import torch
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._lighting import Body, unit_vectors
from gpukit.ops._mapping import check_shape
from gpukit.ops._scene import Labels, Second, drawable, scene_of
from gpukit.ops.sample import check_sample
from gpukit_backends.mps._interpolated import Field

#: Samples between two looks at which rays have ended; a look waits for the device.
LOOK = 16


class _Field:
    """A volume at positions, in the terms of the reference."""

    def __init__(self, _: Any, data: torch.Tensor, padding: tuple[float, float] | None, real: Any) -> None:
        self.field, self.real = Field(data, padding), real
        self.shape = self.field.shape

    def at(self, p: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        value, counts = self.field.at(p[0], p[1], p[2], 1)
        return value.to(self.real), counts


def _unsuitable(data: torch.Tensor, **_: Any) -> str | None:
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_unsuitable)
def raycast(
    data: torch.Tensor,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None = None,
    eye: Sequence[float] | None = None,
    opaque: float = 0.999,
    padding: Sequence[float] | None = None,
    gradient: tuple[ArrayLike, Sequence[float]] | None = None,
    planes: ArrayLike | None = None,
    labels: Labels | None = None,
    second: Second | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.raycast.raycast`."""
    check_sample(data, 1)
    nk, nj, ni = check_shape(shape)
    scene = scene_of(
        data, matrix, (nk, nj, ni), affine=affine, colors=colors, opacities=opacities, window=window, shading=shading,
        eye=eye, opaque=opaque, gradient=gradient, planes=planes, labels=labels, second=second,
    )  # fmt: skip
    data, second = drawable(data, second)
    body = Body(compat, data, scene, check_padding(padding), labels, second, field=_Field)
    rays = scene.rays
    host: Any = {"dtype": body.real, "device": data.device}
    across, down, first, along, eye_at = (
        torch.tensor(v.tolist(), **host) for v in (rays.across, rays.down, rays.start, rays.step, rays.eye)
    )
    column, row = torch.arange(ni, **host)[None, :, None], torch.arange(nj, **host)[:, None, None]
    start = (across * column + (down * row + first)).reshape(-1, 3)
    step = (start - eye_at) * rays.rate if rays.rate else along.expand_as(start)
    toward, length = unit_vectors(compat, rays.metric, list(step.unbind(1)))
    view = torch.stack(toward, 1)
    picture = torch.zeros((nj * ni, 4), **host)  # red, green, blue, and what is stopped
    going = torch.arange(nj * ni, device=data.device)
    for k in range(nk):
        if k % LOOK == 0:
            going = going[picture[going, 3] < scene.opaque]
            if going.numel() == 0:
                break
            here_start, here_step, here_length = start[going], step[going], length[going]
            here_view = list(view[going].unbind(1))
        at = list((here_start + k * here_step).unbind(1))
        stopped = picture[going, 3]
        mu, color = body.at(at, here_view, stopped < scene.opaque)
        gain = (1.0 - stopped) * (1.0 - torch.exp(-mu * here_length))
        picture[going] += torch.stack([*color, torch.ones_like(gain)], 1) * gain[:, None]
    result: torch.Tensor = picture.reshape(nj, ni, 4).to(torch.float32)
    return result
