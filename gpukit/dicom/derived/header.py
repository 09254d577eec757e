"""What a derived image takes over from its source, and what its own class asks for."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.modules.source_header import REQUIRED, is_valid
from gpukit.units import ValueUnit
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["CT", "MR", "PT", "SC", "class_of", "code", "decay_factor", "derived_header"]

CT, MR, PT, SC = (f"1.2.840.10008.5.1.4.1.1.{end}" for end in ("2", "4", "128", "7"))

#: Source class -> class of what is derived: the same one image a file, whether the source is enhanced, legacy converted
#: or classic. Every other source gives secondary capture images, which have no claims on how they were acquired.
_CLASSES = {
    **dict.fromkeys((CT, f"{CT}.1", f"{CT}.2"), CT),
    **dict.fromkeys((MR, f"{MR}.1", f"{MR}.3", f"{MR}.4"), MR),
    **dict.fromkeys((PT, f"{PT}.1", "1.2.840.10008.5.1.4.1.1.130"), PT),
}
_BY_MODALITY = {"CT": CT, "MR": MR, "PT": PT}

#: What archives file an image by: an accession number of 20 letters is a better one than none.
_FILED_BY = frozenset({"AccessionNumber", "PatientID", "PatientName"})
_SAME_PATIENT = (
    *("IssuerOfPatientID", "OtherPatientIDsSequence", "PatientAge", "PatientSize", "PatientWeight", "EthnicGroup"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    *("PatientSpeciesDescription", "PatientSpeciesCodeSequence", "PatientBreedDescription", "ResponsiblePerson"),
    *("StudyDescription", "PhysiciansOfRecord", "IssuerOfAccessionNumberSequence", "ProcedureCodeSequence"),
    *("AdmissionID", "AdditionalPatientHistory", "ClinicalTrialSponsorName", "ClinicalTrialProtocolID"),
    *("ClinicalTrialProtocolName", "ClinicalTrialSiteID", "ClinicalTrialSiteName", "ClinicalTrialSubjectID"),
    *("ClinicalTrialSubjectReadingID", "LongitudinalTemporalInformationModified"),
)
_SAME_SERIES = (
    *("BodyPartExamined", "Laterality", "ImageLaterality", "PatientPosition", "ProtocolName", "AcquisitionDate"),
    *("AcquisitionTime", "ContrastBolusAgent", "ContrastBolusRoute", "BurnedInAnnotation"),
    *("RecognizableVisualFeatures", "LossyImageCompression", "LossyImageCompressionRatio"),
    "LossyImageCompressionMethod",
)
_SAME_ACQUISITION = {
    CT: ("KVP", "AcquisitionNumber", "ScanOptions", "FilterType", "ConvolutionKernel", "DataCollectionDiameter"),
    MR: (
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "RepetitionTime"),
        *("EchoTime", "EchoTrainLength", "InversionTime", "NumberOfAverages", "ImagingFrequency"),
        *("ImagedNucleus", "EchoNumbers", "MagneticFieldStrength", "FlipAngle", "AcquisitionNumber"),
    ),
    # SUV needs the dose, its times, and the time that the values are decayed to: SeriesTime (START) or AcquisitionTime.
    PT: (
        *("SeriesDate", "SeriesTime", "Units", "SUVType", "CountsSource", "SeriesType", "ReprojectionMethod"),
        *("CorrectedImage", "RandomsCorrectionMethod", "AttenuationCorrectionMethod", "ScatterCorrectionMethod"),
        *("DecayCorrection", "ReconstructionMethod", "CollimatorType", "RadiopharmaceuticalInformationSequence"),
        *("PatientOrientationCodeSequence", "PatientGantryRelationshipCodeSequence", "ActualFrameDuration"),
        *("FrameReferenceTime", "DecayFactor", "ScatterFractionFactor", "DoseCalibrationFactor"),
    ),
    SC: (),
}
#: Attributes that must be there, if only empty (type 2), and those that must have a value (type 1).
_EMPTY = {
    CT: ("KVP", "AcquisitionNumber", "PatientPosition"),
    MR: ("PatientPosition", "ScanOptions", "MRAcquisitionType", "RepetitionTime", "EchoTime", "EchoTrainLength"),
    PT: (
        *("CorrectedImage", "CollimatorType", "RadiopharmaceuticalInformationSequence", "AcquisitionDate"),
        *("AcquisitionTime", "ActualFrameDuration", "PatientOrientationCodeSequence"),
        "PatientGantryRelationshipCodeSequence",
    ),
    SC: (),
}
_MUST: dict[str, dict[str, Any]] = {
    CT: {},
    MR: {"ScanningSequence": "RM", "SequenceVariant": "NONE"},  # research mode, none: what an enhanced source lacks
    PT: {"CountsSource": "EMISSION", "SeriesType": ["STATIC", "IMAGE"], "FrameReferenceTime": 0},
    SC: {"ConversionType": "WSD"},
}
#: Enhanced images keep these in functional groups: group -> (keyword there, keyword here).
_FROM_GROUPS = {
    "MRTimingAndRelatedParametersSequence": (
        ("RepetitionTime", "RepetitionTime"), ("FlipAngle", "FlipAngle"), ("EchoTrainLength", "EchoTrainLength"),
    ),
    "MREchoSequence": (("EffectiveEchoTime", "EchoTime"),),
    "CTXRayDetailsSequence": (("KVP", "KVP"),),
    "FrameAnatomySequence": (("FrameLaterality", "ImageLaterality"),),
}  # fmt: skip
#: Private values without which a PET series has no SUV: Philips' factors, GE's time after its series time was changed.
_PET_PRIVATE = (("Philips PET Private Group", 0x7053, (0x00, 0x09)), ("GEMS_PETD_01", 0x0009, (0x0D,)))

#: Values of BodyPartExamined that there is one of (PS3.16 annex L).
_UNPAIRED = frozenset({
    "ABDOMEN", "ABDOMENPELVIS", "HEAD", "CHEST", "CHESTABDOMEN", "CHESTABDPELVIS", "PELVIS", "BRAIN", "CSPINE",
    "TSPINE", "LSPINE", "SSPINE", "CTSPINE", "TLSPINE", "LSSPINE", "SPINE", "COCCYX", "STERNUM", "NECK",
    "NECKCHEST", "NECKCHESTABDOMEN", "NECKCHESTABDPELV", "HEADNECK", "HEART", "LIVER", "SPLEEN", "PANCREAS",
    "STOMACH", "COLON", "ESOPHAGUS", "WHOLEBODY", "SKULL", "JAW", "MAXILLA", "NOSE", "MOUTH", "TONGUE",
    "LARYNX", "PHARYNX", "TRACHEA", "THYROID", "MEDIASTINUM", "AORTA", "BLADDER", "PROSTATE", "UTERUS",
    "RECTUM", "PENIS", "VAGINA", "GALLBLADDER", "DUODENUM", "FACE", "CORONARYARTERY",
})  # fmt: skip
#: PatientPosition in the codes that PET images have instead (PS3.16 CID 20 and 21).
_POSITIONS = {
    head + letters: code_
    for head in ("HF", "FF")
    for letters, code_ in {
        "S": ("40199007", "SCT", "supine"),
        "P": ("1240000", "SCT", "prone"),
        "DR": ("102535000", "SCT", "right lateral decubitus"),
        "DL": ("102536004", "SCT", "left lateral decubitus"),
    }.items()
}
_ENTRIES = {"HF": ("102540008", "SCT", "headfirst"), "FF": ("102541007", "SCT", "feet-first")}


def class_of(header: Dataset, source: SourceInstance) -> str:
    """SOP class of what is derived from a source."""
    uid = source.sop_class_uid or str(header.get("SOPClassUID") or "")
    if not uid:  # over-anonymised
        return _BY_MODALITY.get(str(header.get("Modality") or ""), SC)
    return _CLASSES.get(uid, SC)


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """One item of a code sequence."""
    from pydicom import Dataset

    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def derived_header(header: Dataset, sources: Sequence[SourceInstance], kind: str, unit: str) -> Dataset:
    """Patient, study, frame of reference, equipment and acquisition of images derived from sources.

    Parameters
    ----------
    header : Dataset
        Of the first source, by `gpukit.dicom.modules.source_header.source_header`.
    sources : sequence of SourceInstance
        All sources.
    kind : str
        SOP class, by `class_of`.
    unit : str
        Of the values.
    """
    with warnings.catch_warnings():
        # pydicom warns about unusual values and quotes them: patient data has no place in a log
        warnings.simplefilter("ignore")
        return _header(header, sources, kind, unit)


def _header(header: Dataset, sources: Sequence[SourceInstance], kind: str, unit: str) -> Dataset:
    from pydicom import DataElement, Dataset
    from pydicom.datadict import dictionary_VR, tag_for_keyword

    from gpukit.version import __version__

    now = datetime.now(UTC)
    top = Dataset()
    top.SpecificCharacterSet = header.get("SpecificCharacterSet") or "ISO_IR 192"
    top.SOPClassUID = kind
    top.InstanceCreationDate = top.SeriesDate = top.ContentDate = now.strftime("%Y%m%d")
    top.InstanceCreationTime = top.SeriesTime = top.ContentTime = now.strftime("%H%M%S")
    top.Modality = str(header.get("Modality") or "OT")
    top.StudyInstanceUID, top.FrameOfReferenceUID = header.StudyInstanceUID, header.FrameOfReferenceUID
    for keyword in REQUIRED:
        tag = tag_for_keyword(keyword)
        element = header[keyword]
        top.add(element if _is_usable(element) else DataElement(tag or 0, dictionary_VR(keyword), ""))
    _take(top, header, (*_SAME_PATIENT, *_SAME_SERIES, *_SAME_ACQUISITION[kind]))
    for group, pairs in _FROM_GROUPS.items():
        item = functional_group(header, group, sources[0].frame)
        for there, here in pairs:
            if item is not None and item is not header and here not in top and item.get(there) is not None:
                setattr(top, here, item.get(there))
    for keyword in _EMPTY[kind]:
        if keyword not in top:
            setattr(top, keyword, [] if dictionary_VR(keyword) == "SQ" else None)
    for keyword, value in _MUST[kind].items():
        if keyword not in top:
            setattr(top, keyword, value)
    if kind == PT:
        _finish_pet(top, header, unit)
    sequence = top.get("ScanningSequence") or ()
    if "IR" not in ([sequence] if isinstance(sequence, str) else sequence):
        top.pop("InversionTime", None)  # PS3.3 C.8.3.1 has it for inversion recovery only
    # required, if only empty, for what there are two of, or may be (PS3.3 C.7.3.1); forbidden for what is one
    if str(top.get("BodyPartExamined") or "").upper() in _UNPAIRED:
        top.pop("Laterality", None)
    elif not top.get("Laterality") and not top.get("ImageLaterality"):
        top.Laterality = ""
    _set_equipment(top, header, __version__)
    return top


def _is_usable(element: Any) -> bool:
    """Whether a value is passed on; of what archives file an image by also a text that is too long for its VR."""
    if is_valid(element):
        return True
    text = str(element.value or "")
    return element.keyword in _FILED_BY and text != "" and text.isprintable() and "\\" not in text


def _take(top: Dataset, header: Dataset, keywords: Iterable[str]) -> None:
    for keyword in keywords:
        if keyword in header and is_valid(header[keyword]):
            top.add(header[keyword])


def _set_equipment(top: Dataset, header: Dataset, version: str) -> None:
    """Made by this program; the scanner is named as contributing equipment (PS3.3 C.12.1)."""
    from pydicom import Dataset

    scanner = Dataset()
    _take(
        scanner, header,
        ("Manufacturer", "ManufacturerModelName", "InstitutionName", "StationName", "DeviceSerialNumber",
         "SoftwareVersions"),
    )  # fmt: skip
    top.Manufacturer, top.ManufacturerModelName, top.SoftwareVersions = "gpukit", "gpukit", version
    if scanner.get("InstitutionName"):
        top.InstitutionName = scanner.InstitutionName
    if scanner.get("Manufacturer"):
        scanner.PurposeOfReferenceCodeSequence = [code("109101", "DCM", "Acquisition Equipment")]
        top.ContributingEquipmentSequence = [scanner]


def _finish_pet(top: Dataset, header: Dataset, unit: str) -> None:
    if unit in (ValueUnit.SUVBW, ValueUnit.GML):
        top.Units = "GML"
        if unit == ValueUnit.SUVBW:
            top.SUVType = "BW"
    elif unit != ValueUnit.NONE:
        top.Units = str(unit)
    elif "Units" not in top:
        top.Units = "NONE"
    kinds = list(top.SeriesType)
    if kinds[0] in ("DYNAMIC", "GATED"):  # one phase of it
        top.SeriesType = ["STATIC", *kinds[1:]]
    position = str(top.get("PatientPosition") or "")
    if not top.PatientOrientationCodeSequence and position in _POSITIONS:
        recumbent = code("102538003", "SCT", "recumbent")
        recumbent.PatientOrientationModifierCodeSequence = [code(*_POSITIONS[position])]
        top.PatientOrientationCodeSequence = [recumbent]
    if not top.PatientGantryRelationshipCodeSequence and position[:2] in _ENTRIES:
        top.PatientGantryRelationshipCodeSequence = [code(*_ENTRIES[position[:2]])]
    top.pop("PatientPosition", None)  # excluded where the codes are there (PS3.3 C.7.3.1)
    if "DecayFactor" not in top and top.get("DecayCorrection") not in (None, "NONE"):
        top.DecayFactor = decay_factor(top)
    for creator, group, elements in _PET_PRIVATE:
        try:
            block = header.private_block(group, creator)
        except KeyError:
            continue
        new = top.private_block(group, creator, create=True)
        for element in elements:
            if element in block:
                new.add_new(element, block[element].VR, block[element].value)


def decay_factor(top: Dataset) -> str:
    """What decay correction multiplied by at the frame's reference time, as far as it is known; else 1."""
    try:
        half_life = float(top.RadiopharmaceuticalInformationSequence[0].RadionuclideHalfLife)
        factor = 2.0 ** (float(top.FrameReferenceTime) / 1000 / half_life)
    except (AttributeError, IndexError, TypeError, ValueError, ZeroDivisionError, OverflowError):
        factor = 1.0
    return f"{factor:.6g}" if 1.0 <= factor < 1e6 else "1"
