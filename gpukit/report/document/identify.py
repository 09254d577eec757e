"""Which template a tree follows: what the file says, else what its title and containers resemble."""

from __future__ import annotations

from gpukit.dicom.sr.content_item import ContentItem, ContentTree

__all__ = ["DOSE", "TEMPLATES", "template_of"]

#: Root templates that tables and order are chosen by: identifier to English name.
TEMPLATES = {
    "300": "Measurement", "1400": "Linear Measurements", "1410": "Planar ROI Measurements",
    "1411": "Volumetric ROI Measurements", "1500": "Measurement Report", "1501": "Measurement Group",
    "2000": "Basic Diagnostic Imaging Report", "2006": "Imaging Report", "2010": "Key Object Selection",
    "3001": "Procedure Log", "3110": "Procedure Log: Impressions", "3111": "Procedure Log: Percutaneous Entry",
    "3112": "Procedure Log: Specimen Obtained", "3113": "Procedure Log: Patient Support",
    "3114": "Procedure Log: Patient Assessment", "3115": "Procedure Log", "3116": "Procedure Log",
    "3117": "Procedure Log", "3118": "Procedure Log", "3500": "Hemodynamics Report", "3700": "ECG Report",
    "4000": "Mammography CAD Report", "4100": "Chest CAD Report", "4120": "Colon CAD Report",
    "5000": "OB-GYN Ultrasound Procedure Report", "5100": "Vascular Ultrasound Procedure Report",
    "5200": "Echocardiography Procedure Report", "5300": "Simplified Echocardiography Procedure Report",
    "7000": "Implantation Plan", "8101": "Preclinical Acquisition Context",
    "10001": "Projection X-Ray Radiation Dose", "10003": "Irradiation Event X-Ray Data", "10011": "CT Radiation Dose",
    "10013": "CT Irradiation Event Data", "10021": "Radiopharmaceutical Radiation Dose",
    "10030": "Patient Radiation Dose", "10040": "Enhanced X-Ray Radiation Dose",
    "11001": "Planned Imaging Agent Administration", "11020": "Performed Imaging Agent Administration",
}  # fmt: skip
DOSE = frozenset({"10001", "10003", "10011", "10013", "10021", "10030", "10040"})

_CLASS = "1.2.840.10008.5.1.4.1.1.88."
_BY_CLASS = {
    f"{_CLASS}40": "3001", f"{_CLASS}50": "4000", f"{_CLASS}59": "2010", f"{_CLASS}65": "4100", f"{_CLASS}68": "10021",
    f"{_CLASS}69": "4120", f"{_CLASS}70": "7000", f"{_CLASS}71": "8101", f"{_CLASS}72": "5300", f"{_CLASS}73": "10030",
    f"{_CLASS}74": "11001", f"{_CLASS}75": "11020", f"{_CLASS}76": "10040",
}  # fmt: skip
_BY_TITLE = {
    ("126000", "DCM"): "1500", ("126001", "DCM"): "1500", ("111036", "DCM"): "4000", ("112000", "DCM"): "4100",
    ("112220", "DCM"): "4120", ("125000", "DCM"): "5000", ("125100", "DCM"): "5100", ("125200", "DCM"): "5200",
    ("113500", "DCM"): "10021", ("121120", "DCM"): "3001", ("122120", "DCM"): "3500", ("113030", "DCM"): "2010",
    ("113000", "DCM"): "2010",
}  # fmt: skip
_BY_CONTAINER = {
    ("113706", "DCM"): "10001", ("113702", "DCM"): "10001", ("113819", "DCM"): "10011", ("113811", "DCM"): "10011",
    ("113502", "DCM"): "10021", ("125007", "DCM"): "1500", ("126010", "DCM"): "1500", ("111034", "DCM"): "4000",
}  # fmt: skip


def template_of(tree: ContentTree) -> tuple[str, bool]:
    """Identifier of the root template, and whether the file states it.

    Empty where nothing is known that the tree resembles: it is then shown by its structure.
    """
    template = tree.root.template
    if template is not None and template[1]:
        return template[1].lstrip("0") or template[1], True
    identifier = _BY_TITLE.get(tree.root.concept)
    if identifier is None and tree.root.concept == ("113701", "DCM"):
        identifier = _by_containers(tree.root) or "10001"
    return identifier or _BY_CLASS.get(tree.header.get("SOPClassUID", "")) or _by_containers(tree.root), False


def _by_containers(root: ContentItem) -> str:
    own = [root.concept, *(child.concept for child in root.children)]
    own += [inner.concept for child in root.children for inner in child.children]
    return next((_BY_CONTAINER[concept] for concept in own if concept in _BY_CONTAINER), "")
