"""Every image series of a source, one volume after the other: scanned once, pictures decoded together."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gpukit.device import resolve
from gpukit.dicom.image import pixel_value
from gpukit.dicom.image.plane import Plane
from gpukit.dicom.pixels.decoders import batch_decoder_for
from gpukit.dicom.pixels.device_decode import decode_batches
from gpukit.dicom.pixels.image_pixel import describe
from gpukit.dicom.reader.discovery import Source
from gpukit.dicom.series.candidates import Candidate, Series, select
from gpukit.dicom.series.layout import arrange, choose_phase
from gpukit.dicom.series.read import Progress, Ready, collect_source, left_aside, volume_of
from gpukit.errors import GpukitError
from gpukit.profiling import stage
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
    file : str
        The file, where it is one of a series that is read file by file, or one that belongs to no series.
    why : str
        For the first file of such a series: why that is no volume.
    """

    series: Series | None
    count: int
    volume: Volume | None = None
    error: GpukitError | None = None
    file: str = ""
    why: str = ""


def read_each(
    source: Source,
    *,
    device: str | None = None,
    fill_gaps: bool | int = False,
    phase: str | int | None = None,
    skip_damaged: bool = False,
    apart: bool = False,
    raw_scale: bool = False,
    progress: Progress | None = None,
) -> Iterator[Opened]:
    """Read every image series of a source, in the order and with the numbers of `gpukit.find_series`.

    Files are scanned once, and each volume is what `gpukit.open` with that number gives. Pictures (series of a single
    frame) that the device decodes itself are decoded several at once.

    Parameters
    ----------
    source, device, fill_gaps, phase, skip_damaged, raw_scale, progress
        As for `gpukit.open`.
    apart : bool
        Images stand on their own: a file that cannot be read is an error of itself and costs no series, and a series
        that is no volume, since a slice is missing or damaged, is read file by file.

    Yields
    ------
    Opened
        One that cannot be read has its error, and the others go on. With `apart` files that cannot be read come first.

    Raises
    ------
    InputNotFoundError, SelectionError, DeviceError
        There is no image at all, or the device cannot be used.
    """
    _, target = resolve(device)
    with stage("reading"):
        collection = collect_source(source, progress=progress)
    candidates = collection.candidates
    if raw_scale:
        candidates = [replace(one, planes=[plane.as_displayed() for plane in one.planes]) for one in candidates]
    if not candidates:
        select(collection, None, str(source) if not isinstance(source, (list, tuple)) else f"{len(source)} inputs")
    notes = (f"left aside, being no images: {', '.join(collection.others)}",) if collection.others else ()
    if apart and not skip_damaged:
        for file, problem in collection.problems:
            yield Opened(None, len(candidates), error=problem, file=file)
    for group in _groups(candidates, target):
        ready = _together(group, target) if len(group) > 1 else {}
        for candidate in group:
            try:
                aside = () if apart and not skip_damaged else left_aside(collection, skip_damaged)
                volume = volume_of(
                    choose_phase(arrange(candidate.planes), phase), device=target, fill=fill_gaps, progress=progress,
                    ready=ready, notes=(*notes, *aside),
                )  # fmt: skip
                yield Opened(candidate.series, len(candidates), volume)
                del volume
            except GpukitError as error:
                files = _by_file(candidate) if apart else []
                if len(files) < 2:
                    yield Opened(candidate.series, len(candidates), error=error)
                    continue
                why = str(error)
            else:
                continue
            for file, planes in files:
                try:
                    volume = volume_of(choose_phase(arrange(planes), phase), device=target, notes=notes)
                    yield Opened(candidate.series, len(candidates), volume, file=file, why=why)
                    del volume
                except GpukitError as error:
                    yield Opened(candidate.series, len(candidates), error=error, file=file, why=why)
                why = ""


def _by_file(candidate: Candidate) -> list[tuple[str, list[Plane]]]:
    """The images of each file of a series, by the names of the files."""
    found: dict[str, list[Plane]] = {}
    for plane in candidate.planes:
        found.setdefault(plane.file, []).append(plane)
    return sorted(found.items())


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
    kinds = [pixel_value.output_types([plane])[0] for plane in planes]
    decoder = batch_decoder_for(references[0].header.transfer_syntax, device.partition(":")[0])
    assert decoder is not None  # or there were no group
    ready: dict[tuple[int, int], Any] = {}
    with stage("decoding"):
        for numbers, values in decode_batches(references, device, decoder, kinds):
            for n, one in zip(numbers, values, strict=True):
                if not isinstance(one, GpukitError):
                    ready[id(references[n].header), references[n].index] = one
    return ready
