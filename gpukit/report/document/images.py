"""What referenced objects are called: short words for SOP classes."""

from __future__ import annotations

__all__ = ["class_words"]

_STORAGE = "1.2.840.10008.5.1.4.1.1."
#: Beginnings of class UIDs below the storage root; the longest that fits counts.
_WORDS = {
    "1": "CR", "1.1": "DX", "1.2": "MG", "1.3": "IO", "2": "CT", "2.1": "CT", "2.2": "CT", "3.1": "US", "4": "MR",
    "4.1": "MR", "4.2": "MR spectroscopy", "4.3": "MR", "6.1": "US", "6.2": "US", "7": "SC", "9": "Waveform",
    "9.1.1": "ECG", "9.1.2": "ECG", "9.1.3": "ECG", "9.2.1": "Hemodynamic waveform", "11": "Presentation state",
    "12.1": "XA", "12.2": "RF", "13.1.1": "XA", "13.1.3": "MG tomosynthesis", "20": "NM", "30": "Parametric map",
    "66": "Raw data", "66.1": "Registration", "66.2": "Fiducials", "66.3": "Registration", "66.4": "Segmentation",
    "66.5": "Surface segmentation", "66.7": "Segmentation", "67": "Real world value map", "77.1": "Photograph",
    "77.1.1": "Endoscopy", "77.1.2": "Microscopy", "77.1.3": "Microscopy", "77.1.4": "Photograph",
    "77.1.5": "Ophthalmology", "77.1.6": "Whole slide", "88": "Structured report", "104": "Encapsulated document",
    "128": "PET", "130": "PET", "481.1": "RT image", "481.2": "RT dose", "481.3": "RT structure set",
    "481.5": "RT plan",
}  # fmt: skip
_ROOTS = {
    "1.2.840.10008.3.1.2.3.3": "Procedure step", "1.2.840.10008.3.1.2.3.1": "Study component",
    "1.2.840.10008.3.1.2.1.1": "Patient", "1.2.840.10008.3.1.2.3.2": "Study",
}  # fmt: skip


def class_words(sop_class_uid: str) -> str:
    """Modality or kind of a storage class, such as ``MR``; empty for one that is not known."""
    if sop_class_uid in _ROOTS:
        return _ROOTS[sop_class_uid]
    if not sop_class_uid.startswith(_STORAGE):
        return ""
    parts = sop_class_uid[len(_STORAGE) :].split(".")
    while parts:
        if ".".join(parts) in _WORDS:
            return _WORDS[".".join(parts)]
        parts.pop()
    return ""
