"""What an object that is made of others takes over from them: patient, study, frame of reference."""

from __future__ import annotations

import re
import uuid
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from gpukit.errors import InputError
from gpukit.volume import SourceInstance

if TYPE_CHECKING:
    from pydicom import DataElement, Dataset

__all__ = [
    "REQUIRED",
    "fit_character_set",
    "introduce_source_classes",
    "is_valid",
    "is_writable_uid",
    "new_series_number",
    "short_text",
    "source_header",
]

#: Type 2 attributes of the patient and study modules that a source may lack and a new object must have.
REQUIRED = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "ReferringPhysicianName", "PositionReferenceIndicator"),
)

#: UIDs that a new object takes over, or refers to.
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
#: What is taken for a UID: the standard's digits and dots, and the letters that some de-identifiers write.
_UID = re.compile(r"[0-9A-Za-z.-]{1,64}")

#: Bytes of a value of type LO.
_LONG = 64
_TEXTS = frozenset({"PN", "LO", "SH", "ST", "LT", "UC", "UT"})


def source_header(source: SourceInstance) -> Dataset:
    """Header of a source instance, without pixels, with what a new object needs filled in where the source lacks it.

    UIDs are kept as the source writes them, also where they break a rule (PS3.5 9.1 forbids ``1.2.03``): another one
    would refer to nothing.

    Raises
    ------
    InputError
        A UID that a new object must repeat is longer than 64 characters, or holds characters that no UID can have.
    """
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_dataset

    header = read_dataset(Location(source.path, source.member))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom quotes unusual values: patient data has no place in a log
        _repair(header, source)
    for keyword in _IDENTITY:
        if not is_writable_uid(str(header.get(keyword))):
            raise InputError(
                "is not a UID, so that no new object can refer to it", file=source.path, attribute=keyword,
                fix="correct it in the source images, or write a format that is not DICOM",
            )  # fmt: skip
    return header


def is_writable_uid(text: str) -> bool:
    """Whether a source's UID can be repeated: at most 64 letters, digits, dots and hyphens (PS3.5 6.2, UI)."""
    return _UID.fullmatch(text) is not None


def _repair(header: Dataset, source: SourceInstance) -> None:
    for element in header:
        if element.VR in ("DA", "TM") and element.value and not is_valid(element):
            # ACR-NEMA, and writers that remember it, wrote 1994.01.31 and 11:25:01 (PS3.5 section 6.2, notes)
            element.value = str(element.value).replace("." if element.VR == "DA" else ":", "")
            if not is_valid(element):
                element.value = ""
    if "SpecificCharacterSet" in header and not header.SpecificCharacterSet:
        del header.SpecificCharacterSet  # an empty one is none
    # An anonymiser may have blanked them in the data set and left them in the file meta information.
    for keyword, value in (("SOPClassUID", source.sop_class_uid), ("SOPInstanceUID", source.sop_instance_uid)):
        if value and not header.get(keyword):
            setattr(header, keyword, value)
    for keyword in REQUIRED:
        if keyword not in header:
            setattr(header, keyword, "")
    removed = header.get("PatientIdentityRemoved") == "YES"
    if removed and not header.get("DeidentificationMethod") and not header.get("DeidentificationMethodCodeSequence"):
        header.DeidentificationMethod = "not stated in the source images"
    for keyword, seed in (
        ("StudyInstanceUID", "study"),
        ("SeriesInstanceUID", "series"),
        ("FrameOfReferenceUID", "frame"),
    ):
        if not header.get(keyword):
            # Without these the object is invalid. The name is a function of the source, so that a second object of the
            # same over-anonymised series lands in the same study.
            anchor = header.get("FrameOfReferenceUID") or header.get("SeriesInstanceUID") or source.sop_instance_uid
            setattr(header, keyword, f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, f'{seed} {anchor}').int}")


#: Retired storage classes, which old archives are full of, and those that replaced them (PS3.4 annex B).
_RETIRED = {
    "1.2.840.10008.5.1.4.1.1.3": "1.2.840.10008.5.1.4.1.1.3.1",  # ultrasound multi-frame
    "1.2.840.10008.5.1.4.1.1.5": "1.2.840.10008.5.1.4.1.1.20",  # nuclear medicine
    "1.2.840.10008.5.1.4.1.1.6": "1.2.840.10008.5.1.4.1.1.6.1",  # ultrasound
    "1.2.840.10008.5.1.4.1.1.12.3": "1.2.840.10008.5.1.4.1.1.12.1",  # biplane angiography
    "1.2.840.10008.5.1.4.1.1.77.1": "1.2.840.10008.5.1.4.1.1.77.1.1",  # visible light
}
#: Secondary Capture Image Storage.
_ANY_IMAGE = "1.2.840.10008.5.1.4.1.1.7"


def introduce_source_classes(headers: Iterable[Dataset]) -> None:
    """Let highdicom find the modules of images of retired and private classes, so that new objects can refer to them.

    Parameters
    ----------
    headers : iterable of Dataset
        Of the images. One of a class that nobody knows has the patient and study modules that all images have.
    """
    try:
        from highdicom._standard_utils import get_sop_class_iod_map
    except ImportError:  # a version that keeps its table elsewhere: it then refuses such images itself
        return
    table = get_sop_class_iod_map()
    for header in headers:
        own = str(header.get("SOPClassUID"))
        heir = _RETIRED.get(own, _ANY_IMAGE)
        if own not in table and heir in table:
            table[own] = table[heir]


def is_valid(element: DataElement) -> bool:
    """Whether a source's element may be passed on: a value, and one that its value representation allows."""
    from pydicom import config
    from pydicom.valuerep import validate_value

    if element.VR == "SQ":
        return bool(element.value)
    if element.is_empty:
        return False
    if element.VR == "UI":
        return all(is_writable_uid(str(uid)) for uid in (element.value if element.VM > 1 else [element.value]))
    try:
        for value in element.value if element.VM > 1 else [element.value]:
            # pydicom gives decimal and integer strings out as numbers, and takes only strings for valid
            validate_value(element.VR, str(value) if element.VR in ("DS", "IS") else value, config.RAISE)
    except (TypeError, ValueError):
        return False
    return True


def fit_character_set(dataset: Dataset, declared: Any, texts: Iterable[str]) -> None:
    """Declare the source's character set, or UTF-8 where that has no letters for the texts, so that none is lost.

    Names that were read keep their letters: pydicom holds them decoded and writes them in the declared set.

    Parameters
    ----------
    dataset : Dataset
        New; its patient and study are the source's.
    declared : str, sequence of str or None
        SpecificCharacterSet of the source, also with code extensions (ISO 2022), which highdicom refuses.
    texts : iterable of str
        What is written beside what the source holds.
    """
    from pydicom.charset import python_encoding

    terms = [declared or ""] if isinstance(declared, str) or not declared else [str(term) for term in declared]
    own = [str(e.value) for e in dataset if e.VR in _TEXTS and e.value and e.tag.group in (0x0008, 0x0010, 0x0020)]
    if all(term in python_encoding for term in terms) and all(_is_writable(text, terms) for text in (*texts, *own)):
        dataset.pop("SpecificCharacterSet", None)
        if any(terms):
            dataset.SpecificCharacterSet = terms[0] if len(terms) == 1 else terms
        return
    for element in dataset.iterall():  # decode under the old set before the new one is declared
        _ = element.value
    dataset.SpecificCharacterSet = "ISO_IR 192"


def _is_writable(text: str, terms: list[str]) -> bool:
    """Whether a character set has every letter: what is not known to be ASCII is written and read back."""
    from pydicom.charset import convert_encodings, decode_bytes, encode_string
    from pydicom.valuerep import TEXT_VR_DELIMS

    if text.isascii():
        return True
    if not any(terms):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it quotes what cannot be written
        try:
            encodings = convert_encodings(terms)
            # the parts of a name are encoded one by one (PS3.5 6.1.2.5.3)
            parts = [part for whole in text.split("=") for part in whole.split("^")]
            return all(
                decode_bytes(encode_string(part, encodings), encodings, TEXT_VR_DELIMS) == part for part in parts
            )
        except (LookupError, UnicodeError, ValueError):
            return False


def new_series_number(header: Dataset) -> int:
    """A number beside the source's, out of the way of the scanner's own numbering."""
    try:
        return min(int(header.get("SeriesNumber") or 0), 10**8) + 9000
    except (TypeError, ValueError):
        return 9000


def short_text(text: str) -> str:
    """Text that fits a value of 64 characters (LO): of 64 bytes in UTF-8, which is what checkers and archives count."""
    clean = " ".join(text.replace("\\", "/").split())
    clean = "".join(letter for letter in clean if letter.isprintable())
    if len(clean.encode("utf-8", "replace")) <= _LONG:
        return clean
    return clean.encode("utf-8", "replace")[: _LONG - 3].decode("utf-8", "ignore").rstrip() + "..."
