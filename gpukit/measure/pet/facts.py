"""Read the facts of a PET series: classic, enhanced or legacy converted."""

from __future__ import annotations

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import InputError
from gpukit.measure.pet.acquisition import PetFacts, facts_of
from gpukit.measure.pet.enhanced import enhanced_facts
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["ENHANCED", "read_facts"]

#: Enhanced and legacy converted enhanced PET.
ENHANCED = ("1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1")


def read_facts(volume: Volume) -> PetFacts:
    """Return facts of the series that a volume was read from, one slice a source.

    Raises
    ------
    InputError
        The volume was not read from DICOM PET, its files are gone, or they contradict each other.
    """
    if not volume.sources:
        raise InputError(
            "the volume was not read from DICOM: dose, times and weight are not known",
            fix="give the DICOM series",
        )
    headers: dict[tuple[str, str | None], Header] = {}
    listed = []
    for source in volume.sources:
        key = (source.path, source.member)
        if key not in headers:
            headers[key] = read_header(Location(source.path, source.member))
        listed.append(headers[key])
    if listed[0].get("SOPClassUID") in ENHANCED:
        units = {ValueUnit.SUVBW: "GML"}.get(ValueUnit(volume.unit), str(volume.unit))
        return enhanced_facts(listed, [source.frame or 1 for source in volume.sources], units)
    return facts_of(listed)
