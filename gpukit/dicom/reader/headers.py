"""Headers of many files, in parallel, without touching pixels."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gpukit.dicom.reader.checked_dataset import check_access
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.elements import NotDicomError, read_elements
from gpukit.dicom.reader.frame_groups import GroupReader
from gpukit.dicom.reader.frame_values import FunctionalGroups
from gpukit.dicom.reader.header_template import Repeats
from gpukit.dicom.reader.values import Memory, decode_values
from gpukit.errors import FormatError, GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Header", "PixelSpan", "ScanResult", "read_header", "scan", "times_blocked"]

#: Called with (done, total).
Progress = Callable[[int, int], None]

_BATCH = 32  # files a task: a task of its own for each would cost as much as the walk


@dataclass(frozen=True, slots=True)
class PixelSpan:
    """Where the pixels of a file lie.

    Parameters
    ----------
    offset : int
        Byte at which the value begins (for encapsulated pixels: the first item, the basic offset table).
    length : int or None
        Bytes of the value as the element claims; None for undefined length, that is encapsulated.
    keyword : str
        ``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``.
    vr : str
        As the file gives it; empty for implicit VR.
    deflated_from : int or None
        Byte at which a deflated data set begins; `offset` then counts inflated bytes.
    """

    offset: int
    length: int | None
    keyword: str = "PixelData"
    vr: str = ""
    deflated_from: int | None = None


@dataclass(frozen=True)
class Header:
    """What the scan keeps of one file.

    Parameters
    ----------
    location : Location
        The file.
    transfer_syntax : str
        UID.
    values : mapping
        DICOM keyword to str, int or float, or to a tuple of these for every keyword whose multiplicity in the data
        dictionary is not 1 (also when it holds one value). Absent and empty attributes are absent. Numbers are finite.
        Only the attributes of `gpukit.dicom.reader.attributes` are here; `dataset` has all.
    pixels : PixelSpan or None
        None where the file has no pixels.
    groups : FunctionalGroups or None
        Of a multi-frame image; None where the file has none, or none that can be read without the full data set.
    """

    location: Location
    transfer_syntax: str
    values: Mapping[str, Any]
    pixels: PixelSpan | None = None
    groups: FunctionalGroups | None = field(default=None, compare=False, repr=False)
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of a keyword, or `default` where it is absent or empty.

        Raises
        ------
        FormatError
            A count or size of pixels is not a whole number.
        """
        value = self.values.get(keyword, default)
        if keyword in _WHOLE and value is not None and type(value) is not int:
            try:
                return int(value)
            except (OverflowError, TypeError, ValueError) as error:
                raise FormatError("is not a whole number", file=str(self.location), attribute=keyword) from error
        return value

    def dataset(self) -> Dataset:
        """The full header without bulk pixels, read through pydicom on first use and kept.

        Has the file meta information as ``.file_meta``, sequences (functional groups), private attributes.

        Raises
        ------
        FormatError
            pydicom cannot read it.
        """
        if "dataset" not in self._cache:
            self._cache["dataset"] = read_dataset(self.location)
        dataset: Dataset = self._cache["dataset"]
        return dataset


#: Counts and sizes, whose values may be text or several in a damaged file.
_WHOLE = frozenset({
    "BitsAllocated", "BitsStored", "Columns", "HighBit", "NumberOfFrames", "PixelRepresentation", "PlanarConfiguration",
    "Rows", "SamplesPerPixel",
})  # fmt: skip


@dataclass(frozen=True)
class ScanResult:
    """Outcome of `scan`.

    Parameters
    ----------
    headers : list of Header
        In the order of the locations.
    problems : list of (Location, GpukitError)
        Files that are damaged, or named by the user and not DICOM.
    skipped : list of Location
        Files met in a folder, archive or glob that are not DICOM and aren't named as such.
    """

    headers: list[Header]
    problems: list[tuple[Location, GpukitError]]
    skipped: list[Location]


def scan(
    locations: Iterable[Location],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    first: Callable[[Header, int], None] | None = None,
) -> ScanResult:
    """Read the headers of many files.

    Parameters
    ----------
    locations : iterable of Location
        As `gpukit.dicom.reader.discovery.discover` gives them.
    workers : int or None
        Threads at most; None chooses. They hide the latency of disks and networks, and start only where there is any:
        the walk itself holds Python's lock.
    progress : callable or None
        Called as ``progress(done, total)`` from this thread.
    first : callable or None
        Called with one of the first headers, while the others are still to be read, and the number of all files.

    Returns
    -------
    ScanResult
        Never raises for a single bad file: that is a problem in the result.
    """
    items = list(locations)
    reader = _Reader()
    outcome = ScanResult([], [], [])
    done = 0

    def gather(results: Iterable[Header | GpukitError], batch: list[Location]) -> None:
        nonlocal done
        nonlocal first
        for location, result in zip(batch, results, strict=True):
            if isinstance(result, Header):
                outcome.headers.append(result)
            elif isinstance(result, NotDicomError) and location.walked and not is_named_dicom(location):
                outcome.skipped.append(location)
            else:
                outcome.problems.append((location, result))
        if first is not None and outcome.headers:
            first(outcome.headers[0], len(items))
            first = None
        done += len(batch)
        if progress is not None:
            progress(done, len(items))

    begin = 1 if first is not None else _BATCH  # one alone, so that it is known soon
    batches = [items[:begin], *(items[n : n + _BATCH] for n in range(begin, len(items), _BATCH))]
    threads = min(len(batches), workers or 8)
    while batches and (threads <= 1 or not reader.is_waiting):  # the files are at hand: threads would only compete
        batch = batches.pop(0)
        gather(reader.read_all(batch), batch)
    if batches:
        with ThreadPoolExecutor(threads, thread_name_prefix="gpukit-scan") as pool:
            for batch, results in zip(batches, pool.map(reader.read_all, batches), strict=True):
                gather(results, batch)
    return outcome


def is_named_dicom(location: Location) -> bool:
    """Whether the file's name says that it is DICOM: if it is none, it's a damaged slice rather than another thing."""
    return (location.member or location.path).lower().endswith((".dcm", ".dicom", ".ima"))


def times_blocked() -> int | None:
    """How often this thread has given up the processor to wait, where the system tells."""
    try:
        import resource

        return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    except (ImportError, AttributeError):
        return None


class _Reader:
    """Reads headers one after another and remembers what repeats; shared by the threads of one scan."""

    def __init__(self) -> None:
        self.memory: Memory = {}
        self.repeats = Repeats(self.memory)
        self.groups = GroupReader()
        #: Whether reading waits for a disk or network rather than for the processor.
        self.is_waiting = False

    def read_all(self, batch: list[Location]) -> list[Header | GpukitError]:
        """Header or error of each."""
        results: list[Header | GpukitError] = []
        began, blocked = time.perf_counter(), times_blocked()
        for location in batch:
            try:
                results.append(self.read(location))
            except GpukitError as error:
                results.append(error)
        if blocked is None:
            self.is_waiting = time.perf_counter() - began > 1e-3 * len(batch)
        else:
            self.is_waiting = (times_blocked() or 0) - blocked > len(batch) // 2
        return results

    def read(self, location: Location) -> Header:
        """One header, from a template where it repeats."""
        if location.member is None:
            known = self.repeats.read(location.path)
            if known is not None:
                values, syntax, (keyword, offset, length, vr) = known
                return Header(location, syntax, values, PixelSpan(offset, length, keyword, vr))
        found = read_elements(location, self.groups)
        values = decode_values(found, str(location), self.memory)
        groups = None
        if found.group_spans or found.group_items:
            explicit = bool(found.values) and found.values[0][1] != ""
            groups = FunctionalGroups(location, explicit, found.group_spans, found.group_items, self.groups)
        elif location.member is None:
            self.repeats.learn(location.path, found, values)
        if found.pixels is None:
            return Header(location, found.transfer_syntax, values, groups=groups)
        keyword, offset, length, vr = found.pixels
        span = PixelSpan(offset, length, keyword, vr, found.deflated_from)
        return Header(location, found.transfer_syntax, values, span, groups)


def read_header(location: Location) -> Header:
    """Read one header.

    Raises
    ------
    FormatError
        The file is damaged, or is not DICOM.
    InputNotFoundError
        It cannot be read.
    """
    return _Reader().read(location)


def read_dataset(location: Location) -> Dataset:
    """Full header of a file without pixels, through pydicom; see `check_access` for what access to it raises."""
    from pydicom import dcmread

    try:
        with location.open() as stream:
            return check_access(dcmread(stream, stop_before_pixels=True, force=True), str(location))
    except GpukitError:
        raise
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise FormatError(f"the header cannot be read: {error}", file=str(location)) from error
