"""From a volume's slices to the pictures that a network of two dimensions wants to see, and back again.

Everything happens on the volume's device, as torch tensors through MONAI transforms. A picture is ``[c, y, x]``; points
are (x, y) in its pixels with (0, 0) the centre of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import PictureSpec
from gpukit.ai.transforms.checks import check_spacing
from gpukit.ai.transforms.tensors import as_tensor
from gpukit.ai.transforms.volume_input import build_transform, without_padding
from gpukit.device import array_namespace
from gpukit.dicom.modules.acquired_frames import Acquired
from gpukit.dicom.modules.source_header import source_header
from gpukit.display.grayscale import is_inverse
from gpukit.display.window import as_voi, own_voi, value_range
from gpukit.errors import InputError, ModelError
from gpukit.geometry import Grid
from gpukit.ops.windowing import apply_voi
from gpukit.profiling import stage
from gpukit.volume import SourceInstance, Voi, Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Pictures", "Placement", "check_modality", "in_plane"]

#: Plane -> directions in which columns, rows and slices grow: the radiological convention, slices as DICOM counts them.
_PLANES = {"axial": "LPS", "coronal": "LIP", "sagittal": "PIL"}
_LUMINANCE = (0.299, 0.587, 0.114)  # ITU-R BT.601, as DICOM's YBR_FULL has it (PS3.3 C.7.6.3.1.2)


@dataclass(frozen=True)
class Placement:
    """How a slice lies in the picture made of it: picture = (slice + 0.5) * scale + offset - 0.5, along x and y."""

    scale: tuple[float, float]
    offset: tuple[float, float]

    def to_slice(self, x: float, y: float) -> tuple[float, float]:
        """Point of the slice (column, row) that a point of the picture shows."""
        return (
            (x + 0.5 - self.offset[0]) / self.scale[0] - 0.5,
            (y + 0.5 - self.offset[1]) / self.scale[1] - 0.5,
        )


class Pictures:
    """The slices of a volume as a network wants to see them, made when they are asked for.

    Parameters
    ----------
    volume : Volume
        Grey or colour, 3D or 4D (the slices of all phases, one after the other).
    model : Model
        Of two dimensions.
    linear : bool
        Take windows as linear and no tables, so that values can be brought back.

    Raises
    ------
    ModelError
        The model is for other modalities, or for volumes.
    """

    def __init__(self, volume: Volume, model: Model, *, linear: bool = False) -> None:
        self.spec: PictureSpec = model.picture_input
        check_modality(volume, model)
        check_spacing(volume, model)
        self.volume = in_plane(volume, self.spec.plane)
        self._inverted = is_inverse(volume)
        self._linear = linear
        self._behind: dict[int, Acquired] = {}

    def __len__(self) -> int:
        """Number of slices, of all phases."""
        return self.volume.grid.shape[0] * self._phases

    @property
    def _phases(self) -> int:
        return self.volume.shape[0] if self.volume.axes.startswith("t") else 1

    def slice_of(self, n: int) -> tuple[int, int]:
        """Slice and phase of picture n."""
        phase, k = divmod(n, self.volume.grid.shape[0])
        return k, phase

    def source(self, n: int) -> SourceInstance | None:
        """The instance or frame that picture n is, pixel for pixel; None where it is none as it was acquired.

        That is so where the plane is not the acquired one, where slices were interpolated between others, where a
        gantry tilt was removed by moving their rows, and of the tiles of a mosaic.
        """
        k, phase = self.slice_of(n)
        acquired = self._acquired(phase)
        found = () if acquired is None else acquired.same(k)
        return found[0] if len(found) == 1 else None

    def _acquired(self, phase: int) -> Acquired | None:
        """The frames behind a phase; None where the plane is not the acquired one."""
        volume = self.volume
        if not volume.sources or volume.metadata.get(_TURNED):
            return None
        if phase not in self._behind:
            several = volume.axes.startswith("t")
            sources = tuple(s for s in volume.sources if s.phase == phase) if several else volume.sources
            self._behind[phase] = Acquired(volume.grid, sources, source_header(volume.sources[0]))
        return self._behind[phase]

    def __getitem__(self, n: int) -> torch.Tensor:
        """Picture n as a tensor ``[c, y, x]`` float32 (or ``[y, x, c]``), on the volume's device."""
        import torch

        k, phase = self.slice_of(n)
        spec = self.spec
        if spec.neighbours:
            last = self.volume.grid.shape[0] - 1
            near = [min(max(k + d, 0), last) for d in range(-spec.neighbours, spec.neighbours + 1)]
            values = torch.cat([self._slice(at, phase, shown=k) for at in near])
        else:
            values = self._slice(k, phase)
        values, _ = self._fitted(values)
        for transform in spec.intensity:
            values = torch.as_tensor(build_transform(transform)(values))
        values = values.to(torch.float32)
        if spec.layout == "channels-last":
            values = values.permute(1, 2, 0)
        return values.contiguous()

    def batch(self, numbers: list[int]) -> torch.Tensor:
        """Several pictures as one tensor; ModelError where their sizes differ."""
        import torch

        with stage("preprocessing"):
            made = [self[n] for n in numbers]
        if len({tuple(one.shape) for one in made}) > 1:
            raise ModelError(
                "pictures of different sizes make no batch", attribute="$.input.size", fix="declare a size"
            )
        return torch.stack(made)

    @property
    def inverted(self) -> bool:
        """Whether the values of pictures rise where the image's fall."""
        return self._inverted and self.spec.values == "window" and not self.volume.axes.endswith("c")

    def window_of(self, n: int) -> tuple[float, float] | None:
        """Values of picture n that became 0 and 1; None where values were kept."""
        if self.spec.values != "window" or self.volume.axes.endswith("c"):
            return None
        k, phase = self.slice_of(n)
        voi = self._voi(k, phase)
        return voi.limits if voi is not None else self._range(self._measured(self._stored(k, phase)))

    def cut(self, n: int) -> bool:
        """Whether values of picture n lie outside the window, so that a network cannot tell them apart."""
        window = self.window_of(n)
        if window is None:
            return False
        values = self._measured(self._stored(*self.slice_of(n)))
        slack = 1e-3 * (window[1] - window[0])
        return bool((values < window[0] - slack).any()) or bool((values > window[1] + slack).any())

    def plain(self, n: int) -> torch.Tensor:
        """Picture n before the intensity transforms, ``[c, y, x]``."""
        k, phase = self.slice_of(n)
        return self._fitted(self._slice(k, phase))[0].contiguous()

    @property
    def placement(self) -> Placement:
        """How slices lie in pictures; the same for all."""
        _, rows, columns = self.volume.grid.shape
        return self._placement(columns, rows)[0]

    # ---- values

    def _voi(self, k: int, phase: int) -> Voi | None:
        """What is shown of a slice: the description's window, else the image's own; None for the slice's range."""
        if self.spec.window is not None:
            return as_voi(self.spec.window)
        voi = own_voi(self.volume, k, phase)
        if voi is not None and self._linear and voi.function != "LINEAR":
            return Voi(voi.center, voi.width, "LINEAR_EXACT") if voi.function != "LUT" else None
        return voi

    def _slice(self, k: int, phase: int, shown: int | None = None) -> torch.Tensor:
        """One slice ``[c, y, x]`` in the values that the description asks for, as many channels as it wants.

        `shown` is the slice whose window it has; its own by default.
        """
        import torch

        values = self._stored(k, phase)
        spec = self.spec
        if self.volume.axes.endswith("c"):
            values = values.permute(2, 0, 1) / self._brightest
            if spec.values != "window":
                values = values * 255.0
            if spec.channels != 3:
                weights = torch.tensor(_LUMINANCE, device=values.device)[:, None, None]
                values = (values * weights).sum(0, keepdim=True)
            return values
        if spec.values == "window":
            values = self._windowed(self._plane(k, phase), self._voi(k if shown is None else shown, phase))
        else:
            values = self._measured(values)
        values = values[None]
        return values.expand(3, -1, -1) if spec.channels == 3 and not spec.neighbours else values

    @cached_property
    def _brightest(self) -> float:
        """The number that full red, green or blue has: colour of 8 bits, seldom of 16."""
        kind = str(self.volume.array.dtype).rpartition(".")[2]
        if kind == "uint8":
            return 255.0
        bits = self.volume.metadata.get("BitsStored")
        most = {"uint16": 16, "int16": 15, "uint32": 32, "int32": 31}.get(kind)
        if most is None:  # floats: as the package that made them has it
            return 255.0
        return float((1 << min(int(bits or most), most)) - 1)

    def _windowed(self, values: torch.Tensor, voi: Voi | None) -> torch.Tensor:
        """Values as the network's 0 to 1, as pictures are shown; their range where there is no window."""
        import torch

        chosen = voi or as_voi(value_range(values, self.volume.padding) or (0.0, 1.0))
        shades = apply_voi(values, chosen, padding=self.volume.padding, inverse=self._inverted)
        return as_tensor(shades).to(torch.float32)

    def _stored(self, k: int, phase: int) -> torch.Tensor:
        """One slice as it is, float32."""
        import torch

        return self._plane(k, phase).to(torch.float32)

    def _plane(self, k: int, phase: int) -> torch.Tensor:
        """One slice in the volume's type."""
        array = self.volume.array[phase] if self.volume.axes.startswith("t") else self.volume.array
        return as_tensor(array[k])

    @staticmethod
    def _range(values: torch.Tensor) -> tuple[float, float]:
        return float(values.min()), float(values.max())

    def _measured(self, values: torch.Tensor) -> torch.Tensor:
        """Padding and NaN as the lowest measured value of the slice."""
        return without_padding(values, self.volume.padding)

    # ---- size

    def _placement(self, columns: int, rows: int) -> tuple[Placement, tuple[int, int], tuple[int, int]]:
        """Placement, the size that a slice is scaled to, and the size of the picture; sizes are (x, y)."""
        spec = self.spec
        x, y = float(columns), float(rows)
        if spec.spacing is not None:
            sx, sy, _ = self.volume.grid.spacing
            x, y = x * sx / spec.spacing[0], y * sy / spec.spacing[1]
        if spec.size is None:
            scaled = (max(1, round(x)), max(1, round(y)))
            return Placement((scaled[0] / columns, scaled[1] / rows), (0.0, 0.0)), scaled, scaled
        width, height = spec.size
        if spec.fit == "stretch":
            return Placement((width / columns, height / rows), (0.0, 0.0)), (width, height), (width, height)
        choose = min if spec.fit == "pad" else max
        factor = choose(width / x, height / y)
        scaled = (max(1, round(x * factor)), max(1, round(y * factor)))
        offset = ((width - scaled[0]) // 2, (height - scaled[1]) // 2)
        place = Placement((scaled[0] / columns, scaled[1] / rows), (float(offset[0]), float(offset[1])))
        return place, scaled, (width, height)

    def _fitted(self, values: torch.Tensor) -> tuple[torch.Tensor, Placement]:
        """The slice scaled, and cut or filled around its middle."""
        import torch
        from monai.transforms import Resize

        rows, columns = int(values.shape[1]), int(values.shape[2])
        place, scaled, size = self._placement(columns, rows)
        if scaled != (columns, rows):
            shrinks = scaled[0] < columns or scaled[1] < rows
            resize = Resize(
                spatial_size=(scaled[1], scaled[0]), mode="bilinear", align_corners=False, anti_aliasing=shrinks
            )
            values = torch.as_tensor(resize(values.contiguous()))
        if scaled != size:
            canvas = torch.full(
                (values.shape[0], size[1], size[0]), self.spec.fill, dtype=values.dtype, device=values.device
            )
            left, top = int(place.offset[0]), int(place.offset[1])
            x0, x1 = max(0, left), min(size[0], left + scaled[0])
            y0, y1 = max(0, top), min(size[1], top + scaled[1])
            canvas[:, y0:y1, x0:x1] = values[:, y0 - top : y1 - top, x0 - left : x1 - left]
            values = canvas
        return values, place


_TURNED = "gpukit:turned"


def in_plane(volume: Volume, plane: str) -> Volume:
    """The volume turned so that its slices are the plane; views, no voxel is copied or interpolated."""
    if plane == "stored":
        return volume
    grid, axes, flips = volume.grid.reoriented(_PLANES[plane])
    if axes == (0, 1, 2) and not any(flips):
        return volume
    first = 1 if volume.axes.startswith("t") else 0
    order = [*range(first), *(first + a for a in axes), *range(first + 3, len(volume.shape))]
    xp = array_namespace(volume.array)
    turned = xp.permute_dims(volume.array, tuple(order))
    if any(flips):
        turned = xp.flip(turned, axis=tuple(first + n for n, flip in enumerate(flips) if flip))
    sources, metadata = volume.sources, dict(volume.metadata)
    if axes != (0, 1, 2) or flips[1] or flips[2]:
        metadata[_TURNED] = True  # rows and columns are no longer those of the instances
    elif flips[0]:
        last = grid.shape[0] - 1
        sources = tuple(replace(s, index=last - s.index) if s.index >= 0 else s for s in sources)
    return replace(volume, array=turned, grid=Grid(grid.shape, grid.affine), sources=sources, metadata=metadata)


def check_modality(volume: Volume, model: Model) -> None:
    """ModelError where the model is for other modalities than the volume's."""
    modality = str(volume.metadata.get("Modality") or "").upper()
    wanted = model.input.modality
    if modality and wanted and modality not in wanted:
        raise ModelError(
            f"the model {model.name} is for {' or '.join(wanted)}, and the image is {modality}",
            file=model.file,
            attribute="$.input.modality",
            fix=f"use a model for {modality}",
        )
    if not modality and volume.axes.endswith("c") and model.dimensions == 3:
        raise InputError("a colour volume is not for this model")
