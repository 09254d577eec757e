"""What all source images of a derived series say together: each may be lossy, burnt in, or acquired at its own time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from gpukit.dicom.derived.derivation import decimals
from gpukit.dicom.derived.header import decay_factor
from gpukit.dicom.reader.headers import Header
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["SourceFacts"]

#: What belongs to one frame of PET, and is written of one source together (PS3.3 C.8.9.4).
_TIMES = ("AcquisitionDate", "AcquisitionTime", "ActualFrameDuration", "FrameReferenceTime", "DecayFactor")
_YES = {"LossyImageCompression": "01", "BurnedInAnnotation": "YES"}
_MOST_RATIOS = 8  # of LossyImageCompressionRatio, one a compression that the worst source went through


class SourceFacts:
    """Headers of all sources, read once.

    Parameters
    ----------
    sources : sequence of SourceInstance
        At least one.
    """

    def __init__(self, sources: Sequence[SourceInstance]) -> None:
        from gpukit.dicom.reader.discovery import Location
        from gpukit.dicom.reader.headers import scan

        places = {(source.path, source.member): Location(source.path, source.member) for source in sources}
        scanned = scan(places.values())
        self._headers = {(h.location.path, h.location.member): h for h in scanned.headers}

    def header(self, source: SourceInstance) -> Header | None:
        """The header of a source; None where it cannot be read any more."""
        return self._headers.get((source.path, source.member))

    def put_worst(self, top: Dataset) -> None:
        """State the worst of all sources: one lossy or annotated source makes the whole so (PS3.3 C.7.6.1.1.5)."""
        headers = list(self._headers.values())
        for keyword, bad in _YES.items():
            values = [str(header.get(keyword) or "").upper() for header in headers]
            if bad in values:
                setattr(top, keyword, bad)
            elif values and not all(values) and keyword in top:  # some sources do not say
                delattr(top, keyword)
        for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
            top.pop(keyword, None)
        lossy = [h for h in headers if str(h.get("LossyImageCompression") or "") == "01"]
        worst = max(lossy, key=_ratio, default=None)
        if worst is not None:  # the two go together, a value a compression
            for keyword in ("LossyImageCompressionRatio", "LossyImageCompressionMethod"):
                value = worst.get(keyword)
                if value:
                    setattr(top, keyword, list(value)[:_MOST_RATIOS])

    def put_times(self, image: Dataset, source: SourceInstance | None) -> None:
        """Write when a PET image was acquired, and the decay that belongs to that time, of one source.

        Parameters
        ----------
        image : Dataset
            Changed.
        source : SourceInstance or None
            The frame that the image shows; None where it shows several, of which the earliest is taken.
        """
        header = None if source is None else self.header(source)
        header = header or self._earliest()
        if header is None:
            return
        for keyword in _TIMES:  # an enhanced image has some in functional groups, and they are there already
            value = header.get(keyword)
            if value is not None:
                setattr(image, keyword, decimals((value,))[0] if isinstance(value, float) else value)
        if header.get("DecayFactor") is None and image.get("DecayCorrection") not in (None, "", "NONE"):
            image.DecayFactor = decay_factor(image)

    def _earliest(self) -> Header | None:
        timed = [h for h in self._headers.values() if h.get("AcquisitionDate") and h.get("AcquisitionTime")]
        return min(timed, key=lambda h: (str(h.get("AcquisitionDate")), str(h.get("AcquisitionTime"))), default=None)


def _ratio(header: Header) -> float:
    """How many times smaller a source is than it was, over all of its compressions."""
    product = 1.0
    for value in header.get("LossyImageCompressionRatio") or ():
        product *= float(value)
    return product
