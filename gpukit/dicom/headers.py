"""Headers of many files, in parallel, without touching pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gpukit.dicom.inputs import Location
from gpukit.errors import FormatError, GpukitError

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["Header", "PixelSpan", "ScanResult", "scan"]

#: Called with (done, total).
Progress = Callable[[int, int], None]


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
    """

    offset: int
    length: int | None
    keyword: str = "PixelData"


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
        Only the attributes of `gpukit.dicom.keywords` are here; `dataset` has all.
    pixels : PixelSpan or None
        None where the file has no pixels.
    """

    location: Location
    transfer_syntax: str
    values: Mapping[str, Any]
    pixels: PixelSpan | None = None
    _cache: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def get(self, keyword: str, default: Any = None) -> Any:
        """Value of a keyword, or `default` where it is absent or empty."""
        return self.values.get(keyword, default)

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
        Files met in a folder, archive or glob that are not DICOM.
    """

    headers: list[Header]
    problems: list[tuple[Location, GpukitError]]
    skipped: list[Location]


def scan(
    locations: Iterable[Location], *, workers: int | None = None, progress: Progress | None = None
) -> ScanResult:
    """Read the headers of many files.

    Parameters
    ----------
    locations : iterable of Location
        As `gpukit.dicom.inputs.discover` gives them.
    workers : int or None
        Threads; None chooses.
    progress : callable or None
        Called as ``progress(done, total)`` from this thread.

    Returns
    -------
    ScanResult
        Never raises for a single bad file: that is a problem in the result.
    """
    headers, problems, skipped = [], [], []
    items = list(locations)
    for n, location in enumerate(items):
        try:
            headers.append(_through_pydicom(location))
        except GpukitError as error:
            if location.walked and "not a DICOM" in str(error):
                skipped.append(location)
            else:
                problems.append((location, error))
        if progress is not None:
            progress(n + 1, len(items))
    return ScanResult(headers, problems, skipped)


def read_dataset(location: Location) -> Dataset:
    """Full header of a file without pixels, through pydicom."""
    from pydicom import dcmread

    try:
        with location.open() as stream:
            return dcmread(stream, stop_before_pixels=True, force=True)
    except GpukitError:
        raise
    except Exception as error:  # pydicom raises many kinds on damaged files
        raise FormatError(f"the header cannot be read: {error}", file=str(location)) from error


def _through_pydicom(location: Location) -> Header:
    from pydicom import dcmread

    from gpukit.dicom.keywords import BY_TAG

    try:
        with location.open() as stream:
            dataset = dcmread(stream, defer_size=1024, force=True)
    except Exception as error:
        raise FormatError(f"the header cannot be read: {error}", file=str(location)) from error
    if not len(dataset):
        raise FormatError("not a DICOM file", file=str(location))
    values: dict[str, Any] = {}
    for tag, wanted in BY_TAG.items():
        if tag not in dataset:
            continue
        value = dataset[tag].value
        if value is None or (hasattr(value, "__len__") and not len(value)):
            continue
        parts = list(value) if dataset[tag].VM > 1 else [value]
        kind = float if wanted.vr in ("DS", "FL", "FD") else int if wanted.vr in ("IS", "US", "SS", "UL", "SL") else str
        converted = tuple(kind(part) for part in parts)
        values[wanted.keyword] = converted if wanted.many else converted[0]
    meta = dataset.file_meta
    values.setdefault("SOPClassUID", str(meta.get("MediaStorageSOPClassUID", "")))
    values.setdefault("SOPInstanceUID", str(meta.get("MediaStorageSOPInstanceUID", "")))
    pixels = None
    for tag, keyword in ((0x7FE00010, "PixelData"), (0x7FE00008, "FloatPixelData"), (0x7FE00009, "DoubleFloatPixelData")):
        raw = dataset.get_item(tag)
        if raw is not None:
            length = int(raw.length)  # type: ignore[union-attr]
            pixels = PixelSpan(int(raw.value_tell), None if length == 0xFFFFFFFF else length, keyword)  # type: ignore[union-attr]
    return Header(location, str(meta.get("TransferSyntaxUID", "1.2.840.10008.1.2")), values, pixels)
