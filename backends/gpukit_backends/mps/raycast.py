"""Ray casting with torch: fused sampling, and only the rays through which light still passes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import ArrayLike

from gpukit.device import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._mapping import check_shape
from gpukit.ops.raycast import Look, look_of, rays_of
from gpukit.ops.sample import check_sample
from gpukit_backends.mps._field import Field

#: Samples between two looks at which rays have ended; a look waits for the device.
LOOK = 16


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
) -> torch.Tensor:
    """See `gpukit.ops.raycast.raycast`."""
    check_sample(data, 1)
    nk, nj, ni = check_shape(shape)
    rays = rays_of(matrix, (nk, nj, ni), affine, eye)
    look = look_of(colors, opacities, window, shading, opaque)
    field = Field(data, check_padding(padding))
    host: Any = {"dtype": field.real, "device": data.device}
    table = torch.tensor(look.table.tolist(), **host)
    metric, dual = torch.tensor(rays.metric.tolist(), **host), torch.tensor(rays.dual.tolist(), **host)
    across, down, first, along, eye_at = (
        torch.tensor(v.tolist(), **host) for v in (rays.across, rays.down, rays.start, rays.step, rays.eye)
    )
    column, row = torch.arange(ni, **host)[None, :, None], torch.arange(nj, **host)[:, None, None]
    start = (across * column + (down * row + first)).reshape(-1, 3)
    step = (start - eye_at) * rays.rate if rays.rate else along.expand_as(start)
    view, length = _unit(step @ metric.T)
    picture = torch.zeros((nj * ni, 4), **host)  # red, green, blue, and what is stopped
    going = torch.arange(nj * ni, device=data.device)
    for k in range(nk):
        if k % LOOK == 0:
            going = going[picture[going, 3] < look.opaque]
            if going.numel() == 0:
                break
            here_start, here_step, here_view, here_length = start[going], step[going], view[going], length[going]
        at = here_start + k * here_step
        value, counts = field.at(at[:, 0], at[:, 1], at[:, 2], 1)
        stopped = picture[going, 3]
        entry = _looked_up(table, look, value)
        mu = entry[:, 3].where(counts & (stopped < look.opaque), 0.0)
        color = entry[:, :3]
        if look.shading is not None:
            ambient, diffuse, specular, shininess = look.shading
            facing = _facing(field, at, value, here_view, dual)[:, None]
            color = (color * (ambient + diffuse * facing) + specular * facing**shininess).clamp(0.0, 1.0)
        gain = (1.0 - stopped) * (1.0 - torch.exp(-mu * here_length))
        picture[going] += torch.cat((color, torch.ones_like(gain)[:, None]), 1) * gain[:, None]
    result: torch.Tensor = picture.reshape(nj, ni, 4).to(torch.float32)
    return result


def _unit(vectors: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    size = vectors.square().sum(1).sqrt()
    return vectors / size.where(size > 0, 1.0)[:, None], size


def _looked_up(table: torch.Tensor, look: Look, value: torch.Tensor) -> torch.Tensor:
    """Red, green, blue and extinction per mm of values."""
    t = ((value.nan_to_num(0.0) - look.low) * look.scale).clamp(0.0, table.shape[0] - 1.0)
    low = t.floor().clamp(max=table.shape[0] - 2.0)
    at = low.to(torch.int64)
    first = table[at]
    return first + (t - low)[:, None] * (table[at + 1] - first)


def _facing(
    field: Field, at: torch.Tensor, value: torch.Tensor, view: torch.Tensor, dual: torch.Tensor
) -> torch.Tensor:
    """Cosine between gradient and view, 0 to 1; 1 where the field is flat."""
    gradient = []
    for axis in range(3):
        ends = []
        for side in (1.0, -1.0):
            moved = at.clone()
            moved[:, axis] = (moved[:, axis] + side).clamp(0.0, field.shape[2 - axis] - 1.0)
            found, counts = field.at(moved[:, 0], moved[:, 1], moved[:, 2], 1)
            ends.append(found.where(counts, value))
        gradient.append((ends[0] - ends[1]) * 0.5)
    normal, size = _unit(torch.stack(gradient, 1) @ dual.T)
    return (normal * view).sum(1).abs().where(size > 0, 1.0)
