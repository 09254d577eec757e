"""Coded meanings for the plain names that MONAI bundles give their channels.

The codes are SNOMED CT's, as DICOM's context groups for segmentation use them (PS3.16, CID 7150 and CID 7166 onwards).
A name that is not listed gets a private code of gpukit (scheme ``99GPUKIT``) with the name as its meaning, which is
valid DICOM and claims nothing; ``model.json`` can say better.
"""

from __future__ import annotations

import hashlib

from gpukit.segmentation import ANATOMY

__all__ = ["coded"]

Code = tuple[str, str, str]

ALTERED: Code = ("49755003", "SCT", "Morphologically Abnormal Structure")

_ANATOMY = {
    "aorta": ("15825003", "Aorta"),
    "bladder": ("89837001", "Bladder"),
    "brain": ("12738006", "Brain"),
    "duodenum": ("38848004", "Duodenum"),
    "esophagus": ("32849002", "Esophagus"),
    "gallbladder": ("28231008", "Gallbladder"),
    "heart": ("80891009", "Heart"),
    "kidney": ("64033007", "Kidney"),
    "left kidney": ("18639004", "Left kidney"),
    "right kidney": ("9846003", "Right kidney"),
    "liver": ("10200004", "Liver"),
    "lung": ("39607008", "Lung"),
    "pancreas": ("15776009", "Pancreas"),
    "prostate": ("41216001", "Prostate"),
    "spleen": ("78961009", "Spleen"),
    "stomach": ("69695003", "Stomach"),
    "urinary bladder": ("89837001", "Bladder"),
}
_ALTERED = {"tumor": ("108369006", "Neoplasm"), "tumour": ("108369006", "Neoplasm"), "lesion": ("52988006", "Lesion")}


def coded(name: str) -> tuple[Code, Code]:
    """Category and type of what a plain name means."""
    plain = " ".join(name.lower().replace("_", " ").replace("-", " ").split())
    for side in ("left", "right"):  # "kidney_left", as TotalSegmentator writes it
        if plain.endswith(f" {side}") and f"{side} {plain.removesuffix(side).strip()}" in _ANATOMY:
            plain = f"{side} {plain.removesuffix(side).strip()}"
    if plain in _ANATOMY:
        value, meaning = _ANATOMY[plain]
        return ANATOMY, (value, "SCT", meaning)
    if plain in _ALTERED:
        value, meaning = _ALTERED[plain]
        return ALTERED, (value, "SCT", meaning)
    private = hashlib.sha256(plain.encode()).hexdigest()[:16].upper()
    meaning = "".join(c for c in name if c.isprintable() and c != "\\")[:64].strip() or private
    return ANATOMY, (private, "99GPUKIT", meaning)
