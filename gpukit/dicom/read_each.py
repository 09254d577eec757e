"""Every image series of a source, one volume after the other: scanned once, pictures decoded together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from gpukit.device import resolve
from gpukit.dicom import rescale
from gpukit.dicom.arrange import arrange
from gpukit.dicom.decoders import batch_decoder_for
from gpukit.dicom.inputs import Source
from gpukit.dicom.on_device import decode_batches
from gpukit.dicom.pixels import describe
from gpukit.dicom.read import Progress, Ready, collect_source, left_aside, volume_of
from gpukit.dicom.series import Candidate, Series, select
from gpukit.errors import GpukitError
from gpukit.stages import stage
from gpukit.volume import Volume

__all__ = ["Opened", "read_each"]

#: Pictures whose frames a device decodes together, and bytes of them when decoded, at most.
_TOGETHER = 32
_BYTES = 256 << 20


@dataclass(frozen=True)
class Opened:
    """What became of one series.

    Parameters
    ----------
    series : Series
        Which.
    count : int
        How many there are.
    volume : Volume or None
        Its voxels.
    error : GpukitError or None
        Why there are none.
    """

    series: Series
    count: int
    volume: Volume | None = None
    error: GpukitError | None = None


def read_each(
    source: Source,
    *,
    device: str | None = None,
    fill_gaps: bool = False,
    skip_damaged: bool = False,
    progress: Progress | None = None,
) -> Iterator[Opened]:
    """Read every image series of a source, in the order and with the numbers of `gpukit.find_series`.

    Files are scanned once, and each volume is what `gpukit.open` with that number gives. Pictures (series of a single
    frame) that the device decodes itself are decoded several at once.

    Parameters
    ----------
    source, device, fill_gaps, skip_damaged, progress
        As for `gpukit.open`.

    Yields
    ------
    Opened
        One that cannot be read has its error, and the others go on.

    Raises
    ------
    InputNotFoundError, SelectionError, DeviceError
        There is no image at all, or the device cannot be used.
    """
    _, target = resolve(device)
    with stage("reading"):
        collection = collect_source(source, progress=progress)
    candidates = collection.candidates
    if not candidates:
        select(collection, None, str(source) if not isinstance(source, (list, tuple)) else f"{len(source)} inputs")
    notes = (f"left aside, being no images: {', '.join(collection.others)}",) if collection.others else ()
    for group in _groups(candidates, target):
        ready = _together(group, target) if len(group) > 1 else {}
        for candidate in group:
            try:
                volume = volume_of(
                    arrange(candidate.planes), device=target, fill=fill_gaps, progress=progress, ready=ready,
                    notes=(*notes, *left_aside(collection, skip_damaged)),
                )  # fmt: skip
                yield Opened(candidate.series, len(candidates), volume)
                del volume
            except GpukitError as error:
                yield Opened(candidate.series, len(candidates), error=error)


def _groups(candidates: Sequence[Candidate], device: str) -> Iterator[list[Candidate]]:
    """Neighbours that the device decodes together; anything else alone."""
    group: list[Candidate] = []
    size = 0
    for candidate in candidates:
        single = _size_on(candidate, device)
        if group and (single is None or len(group) == _TOGETHER or size + single > _BYTES):
            yield group
            group, size = [], 0
        if single is None:
            yield [candidate]
            continue
        group.append(candidate)
        size += single
    if group:
        yield group


def _size_on(candidate: Candidate, device: str) -> int | None:
    """Bytes of a picture that the device decodes itself, else None."""
    if len(candidate.planes) != 1 or candidate.planes[0].header.pixels is None:
        return None
    header = candidate.planes[0].header
    if device == "cpu" or batch_decoder_for(header.transfer_syntax, device.partition(":")[0]) is None:
        return None
    try:
        return describe(header).nbytes
    except GpukitError:
        return None  # told when it's opened


def _together(group: Sequence[Candidate], device: str) -> Ready:
    """Frames of pictures on the device; one that fails is left out, and fails again where it is told."""
    planes = [candidate.planes[0] for candidate in group]
    references = [plane.reference() for plane in planes]
    kinds = [rescale.output_types([plane])[0] for plane in planes]
    decoder = batch_decoder_for(references[0].header.transfer_syntax, device.partition(":")[0])
    assert decoder is not None  # or there were no group
    ready: dict[tuple[int, int], Any] = {}
    with stage("decoding"):
        for numbers, values in decode_batches(references, device, decoder, kinds):
            for n, one in zip(numbers, values, strict=True):
                if not isinstance(one, GpukitError):
                    ready[id(references[n].header), references[n].index] = one
    return ready
