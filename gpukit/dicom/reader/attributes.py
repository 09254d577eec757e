"""The attributes that a header scan keeps, of files and of frames: tag, value representation, multiplicity, keyword.

The facts are those of the data dictionary, PS3.6. They stand here as a table so that a scan needs no data dictionary at
run time. ``*`` marks a keyword whose value is always a tuple (its multiplicity in the dictionary is not 1), so that the
type of a value depends on the keyword alone, never on the file.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["BY_TAG", "ESSENTIAL", "GROUPS", "LONG_VRS", "PER_FRAME", "SHARED", "SHORT_VRS", "Group", "Wanted"]

_TABLE = """
00080005 CS * SpecificCharacterSet
00080008 CS * ImageType
00080012 DA 1 InstanceCreationDate
00080013 TM 1 InstanceCreationTime
00080016 UI 1 SOPClassUID
00080018 UI 1 SOPInstanceUID
00080020 DA 1 StudyDate
00080021 DA 1 SeriesDate
00080022 DA 1 AcquisitionDate
00080023 DA 1 ContentDate
0008002a DT 1 AcquisitionDateTime
00080030 TM 1 StudyTime
00080031 TM 1 SeriesTime
00080032 TM 1 AcquisitionTime
00080033 TM 1 ContentTime
00080050 SH 1 AccessionNumber
00080060 CS 1 Modality
00080064 CS 1 ConversionType
00080070 LO 1 Manufacturer
00080080 LO 1 InstitutionName
00080090 PN 1 ReferringPhysicianName
00080201 SH 1 TimezoneOffsetFromUTC
00081010 SH 1 StationName
00081030 LO 1 StudyDescription
0008103e LO 1 SeriesDescription
00081090 LO 1 ManufacturerModelName
00082144 IS 1 RecommendedDisplayFrameRate
00089205 CS 1 PixelPresentation
00089206 CS 1 VolumetricProperties
00089207 CS 1 VolumeBasedCalculationTechnique
00089208 CS 1 ComplexImageComponent
00089209 CS 1 AcquisitionContrast
00100010 PN 1 PatientName
00100020 LO 1 PatientID
00100021 LO 1 IssuerOfPatientID
00100030 DA 1 PatientBirthDate
00100032 TM 1 PatientBirthTime
00100040 CS 1 PatientSex
00101010 AS 1 PatientAge
00101020 DS 1 PatientSize
00101030 DS 1 PatientWeight
00102160 SH 1 EthnicGroup
00120062 CS 1 PatientIdentityRemoved
00120063 LO * DeidentificationMethod
00180010 LO 1 ContrastBolusAgent
00180015 CS 1 BodyPartExamined
00180020 CS * ScanningSequence
00180021 CS * SequenceVariant
00180022 CS * ScanOptions
00180023 CS 1 MRAcquisitionType
00180024 SH 1 SequenceName
00180050 DS 1 SliceThickness
00180060 DS 1 KVP
00180080 DS 1 RepetitionTime
00180081 DS 1 EchoTime
00180082 DS 1 InversionTime
00180083 DS 1 NumberOfAverages
00180084 DS 1 ImagingFrequency
00180086 IS * EchoNumbers
00180087 DS 1 MagneticFieldStrength
00180088 DS 1 SpacingBetweenSlices
00180091 IS 1 EchoTrainLength
00181000 LO 1 DeviceSerialNumber
00181020 LO * SoftwareVersions
00181030 LO 1 ProtocolName
00181060 DS 1 TriggerTime
00181062 IS 1 NominalInterval
00181063 DS 1 FrameTime
00181090 IS 1 CardiacNumberOfImages
00181100 DS 1 ReconstructionDiameter
00181110 DS 1 DistanceSourceToDetector
00181111 DS 1 DistanceSourceToPatient
00181114 DS 1 EstimatedRadiographicMagnificationFactor
00181120 DS 1 GantryDetectorTilt
00181130 DS 1 TableHeight
00181150 IS 1 ExposureTime
00181151 IS 1 XRayTubeCurrent
00181164 DS * ImagerPixelSpacing
00181210 SH * ConvolutionKernel
00181242 IS 1 ActualFrameDuration
00181314 DS 1 FlipAngle
00182010 DS * NominalScannedPixelSpacing
00185100 CS 1 PatientPosition
00189073 FD 1 AcquisitionDuration
00189082 FD 1 EffectiveEchoTime
00189087 FD 1 DiffusionBValue
00189089 FD * DiffusionGradientOrientation
0020000d UI 1 StudyInstanceUID
0020000e UI 1 SeriesInstanceUID
00200010 SH 1 StudyID
00200011 IS 1 SeriesNumber
00200012 IS 1 AcquisitionNumber
00200013 IS 1 InstanceNumber
00200020 CS * PatientOrientation
00200032 DS * ImagePositionPatient
00200037 DS * ImageOrientationPatient
00200052 UI 1 FrameOfReferenceUID
00200060 CS 1 Laterality
00200062 CS 1 ImageLaterality
00200100 IS 1 TemporalPositionIdentifier
00200105 IS 1 NumberOfTemporalPositions
00200110 DS 1 TemporalResolution
00200200 UI 1 SynchronizationFrameOfReferenceUID
00201002 IS 1 ImagesInAcquisition
00201040 LO 1 PositionReferenceIndicator
00201041 DS 1 SliceLocation
00209056 SH 1 StackID
00209057 UL 1 InStackPositionNumber
00209128 UL 1 TemporalPositionIndex
00209311 CS 1 DimensionOrganizationType
00280002 US 1 SamplesPerPixel
00280004 CS 1 PhotometricInterpretation
00280006 US 1 PlanarConfiguration
00280008 IS 1 NumberOfFrames
00280010 US 1 Rows
00280011 US 1 Columns
00280030 DS * PixelSpacing
00280034 IS * PixelAspectRatio
00280051 CS * CorrectedImage
00280100 US 1 BitsAllocated
00280101 US 1 BitsStored
00280102 US 1 HighBit
00280103 US 1 PixelRepresentation
00280106 US 1 SmallestImagePixelValue
00280107 US 1 LargestImagePixelValue
00280120 US 1 PixelPaddingValue
00280121 US 1 PixelPaddingRangeLimit
00280122 FL 1 FloatPixelPaddingValue
00280123 FD 1 DoubleFloatPixelPaddingValue
00280300 CS 1 QualityControlImage
00280301 CS 1 BurnedInAnnotation
00280a02 CS 1 PixelSpacingCalibrationType
00281050 DS * WindowCenter
00281051 DS * WindowWidth
00281052 DS 1 RescaleIntercept
00281053 DS 1 RescaleSlope
00281054 LO 1 RescaleType
00281056 CS 1 VOILUTFunction
00282110 CS 1 LossyImageCompression
00282112 DS * LossyImageCompressionRatio
00282114 CS * LossyImageCompressionMethod
00540061 US 1 NumberOfRRIntervals
00540071 US 1 NumberOfTimeSlots
00540081 US 1 NumberOfSlices
00540100 US * TimeSliceVector
00540101 US 1 NumberOfTimeSlices
00541000 CS * SeriesType
00541001 CS 1 Units
00541002 CS 1 CountsSource
00541004 CS 1 ReprojectionMethod
00541006 CS 1 SUVType
00541100 CS 1 RandomsCorrectionMethod
00541101 LO 1 AttenuationCorrectionMethod
00541102 CS 1 DecayCorrection
00541105 LO 1 ScatterCorrectionMethod
00541300 DS 1 FrameReferenceTime
00541321 DS 1 DecayFactor
00541330 US 1 ImageIndex
00620001 CS 1 SegmentationType
00620013 CS 1 SegmentsOverlap
00700080 CS 1 ContentLabel
00700081 LO 1 ContentDescription
00700084 PN 1 ContentCreatorName
20500020 CS 1 PresentationLUTShape
"""

#: A number that is wrong here makes the file unusable; elsewhere a wrong number is left out.
ESSENTIAL = frozenset(
    {
        "BitsAllocated",
        "BitsStored",
        "Columns",
        "HighBit",
        "ImageOrientationPatient",
        "ImagePositionPatient",
        "NumberOfFrames",
        "PixelRepresentation",
        "PixelSpacing",
        "PlanarConfiguration",
        "RescaleIntercept",
        "RescaleSlope",
        "Rows",
        "SamplesPerPixel",
    }
)


@dataclass(frozen=True, slots=True)
class Wanted:
    """One attribute to keep.

    Parameters
    ----------
    keyword : str
        DICOM keyword, or our own name of a private attribute.
    vr : str
        Value representation of the dictionary, for implicit VR.
    many : bool
        Whether the value is a tuple.
    creator : str
        For a private attribute, how its private creator must begin; empty for a standard one.
    """

    keyword: str
    vr: str
    many: bool
    creator: str = ""

    @property
    def maker(self) -> str:
        """How the manufacturer's name begins whose files are believed without the creator, or empty."""
        return next((name for start, name in _MAKERS.items() if self.creator.startswith(start)), "")


#: Some de-identification drops the private creators; of these makers the tags are known well enough without them.
_MAKERS = {"SIEMENS": "SIEMENS", "GEMS": "GE", "Image Private": "UIH"}


def _read(table: str) -> dict[int, Wanted]:
    rows = (line.split() for line in table.strip().splitlines())
    return {int(tag, 16): Wanted(keyword, vr, vm == "*") for tag, vr, vm, keyword in rows}


#: Of a wanted sequence only its presence is kept, as 1.
#: Wanted attributes by tag ``group << 16 | element``. Of the private ones only those are here that say, without the
#: full header, what kind of image a file holds or which volume of a 4D series it is of: presence of the Siemens CSA
#: header is kept as 1.
BY_TAG: dict[int, Wanted] = _read(_TABLE) | {
    0x0019100A: Wanted("SiemensNumberOfImagesInMosaic", "US", False, "SIEMENS MR HEADER"),
    0x0019100C: Wanted("SiemensBValue", "IS", False, "SIEMENS MR HEADER"),
    0x00283000: Wanted("ModalityLUTSequence", "SQ", False),
    0x00283010: Wanted("VOILUTSequence", "SQ", False),
    0x00291010: Wanted("SiemensCSAImageHeaderPresent", "OB", False, "SIEMENS CSA HEADER"),
    0x0019100E: Wanted("SiemensGradient", "FD", True, "SIEMENS MR HEADER"),
    0x001910A2: Wanted("GERawVolumeNumber", "SL", False, "GEMS_ACQU"),
    0x001910BB: Wanted("GEGradientX", "DS", False, "GEMS_ACQU"),
    0x001910BC: Wanted("GEGradientY", "DS", False, "GEMS_ACQU"),
    0x001910BD: Wanted("GEGradientZ", "DS", False, "GEMS_ACQU"),
    0x0021105E: Wanted("GETimer", "DS", False, "GEMS_RELA"),
    0x00431039: Wanted("GEBValueSlots", "IS", True, "GEMS_PARM"),
    0x00651009: Wanted("UIHBValue", "FD", False, "Image Private"),
    0x00651037: Wanted("UIHGradient", "FD", True, "Image Private"),
    0x00651050: Wanted("UIHSlicesInGrid", "DS", False, "Image Private"),
    0x20011003: Wanted("PhilipsBValue", "FL", False, "Philips Imaging DD 001"),
    0x20011008: Wanted("PhilipsPhaseNumber", "IS", False, "Philips Imaging DD 001"),
    0x20051412: Wanted("PhilipsBValueNumber", "IS", False, "Philips MR Imaging DD 005"),
    0x20051413: Wanted("PhilipsGradientNumber", "IS", False, "Philips MR Imaging DD 005"),
    0x20051429: Wanted("PhilipsLabelType", "CS", False, "Philips MR Imaging DD 005"),
    0x2005100E: Wanted("PhilipsScaleSlope", "FL", False, "Philips MR Imaging DD 001"),
    0x0051100B: Wanted("SiemensAcquisitionMatrixText", "LO", False, "SIEMENS MR HEADER"),
}


#: VRs with a reserved field and a 32-bit length in explicit VR, and the others.
LONG_VRS = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"})
SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"PN", b"SH", b"SL", b"SS"}
    | {b"ST", b"TM", b"UI", b"UL", b"US"}
)
#: The sequences of functional groups (PS3.3 C.7.6.16).
SHARED, PER_FRAME = 0x52009229, 0x52009230


@dataclass(frozen=True, slots=True)
class Group:
    """An attribute of a functional group.

    Parameters
    ----------
    keyword : str
        DICOM keyword, or our own name of a private attribute.
    vr : str
        Value representation of the dictionary, for implicit VR.
    members : dict or None
        Of a sequence the wanted attributes of its first item; None for any other attribute.
    many : bool
        Whether the value is always a tuple.
    """

    keyword: str
    vr: str
    members: dict[int, Group] | None = None
    many: bool = False


def _read_groups(table: str) -> dict[int, Group]:
    """Attributes of a table: a sequence begins a line without indent, its members follow with one."""
    groups: dict[int, Group] = {}
    levels: list[dict[int, Group]] = [groups]
    for line in table.strip("\n").splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        tag, vr, many, keyword = line.split()
        members: dict[int, Group] | None = {} if vr == "SQ" else None
        levels[depth][int(tag, 16)] = Group(keyword, vr, members, many == "*")
        if members is not None:
            levels[depth + 1 :] = [members]
    return groups


#: Sequences of functional groups by tag, each with the wanted attributes of its first item.
GROUPS = _read_groups("""
00189112 SQ 1 MRTimingAndRelatedParametersSequence
  00180080 DS 1 RepetitionTime
  00181314 DS 1 FlipAngle
00189114 SQ 1 MREchoSequence
  00189082 FD 1 EffectiveEchoTime
00189115 SQ 1 MRModifierSequence
  00189079 FD 1 InversionTimes
00189117 SQ 1 MRDiffusionSequence
  00189075 CS 1 DiffusionDirectionality
  00189087 FD 1 DiffusionBValue
  00189076 SQ 1 DiffusionGradientDirectionSequence
    00189089 FD * DiffusionGradientOrientation
00189118 SQ 1 CardiacSynchronizationSequence
  00209153 FD 1 NominalCardiacTriggerDelayTime
  00209241 FL 1 NominalPercentageOfCardiacPhase
00189226 SQ 1 MRImageFrameTypeSequence
  00089007 CS * FrameType
  00089208 CS 1 ComplexImageComponent
00189329 SQ 1 CTImageFrameTypeSequence
  00089007 CS * FrameType
00189504 SQ 1 XRay3DFrameTypeSequence
  00089007 CS * FrameType
00189751 SQ 1 PETFrameTypeSequence
  00089007 CS * FrameType
00209111 SQ 1 FrameContentSequence
  00189074 DT 1 FrameAcquisitionDateTime
  00189151 DT 1 FrameReferenceDateTime
  00209056 SH 1 StackID
  00209128 UL 1 TemporalPositionIndex
  00209156 US 1 FrameAcquisitionNumber
00209113 SQ 1 PlanePositionSequence
  00200032 DS * ImagePositionPatient
00209116 SQ 1 PlaneOrientationSequence
  00200037 DS * ImageOrientationPatient
00209170 SQ 1 UnassignedSharedConvertedAttributesSequence
  00541001 CS 1 Units
  00541006 CS 1 SUVType
00209171 SQ 1 UnassignedPerFrameConvertedAttributesSequence
  00541001 CS 1 Units
  00541006 CS 1 SUVType
00209253 SQ 1 RespiratorySynchronizationSequence
  00209245 FL 1 NominalPercentageOfRespiratoryPhase
00209310 SQ 1 TemporalPositionSequence
  0020930d FD 1 TemporalPositionTimeOffset
00289110 SQ 1 PixelMeasuresSequence
  00180050 DS 1 SliceThickness
  00180088 DS 1 SpacingBetweenSlices
  00280030 DS * PixelSpacing
00289132 SQ 1 FrameVOILUTSequence
  00281050 DS 1 WindowCenter
  00281051 DS 1 WindowWidth
  00281056 CS 1 VOILUTFunction
00289145 SQ 1 PixelValueTransformationSequence
  00281052 DS 1 RescaleIntercept
  00281053 DS 1 RescaleSlope
  00281054 LO 1 RescaleType
00409092 SQ 1 ParametricMapFrameTypeSequence
  00089007 CS * FrameType
00409096 SQ 1 RealWorldValueMappingSequence
  004008ea SQ 1 MeasurementUnitsCodeSequence
    00080100 SH 1 CodeValue
  00409224 FD 1 RealWorldValueIntercept
  00409225 FD 1 RealWorldValueSlope
20050014 LO 1 PhilipsCreator
2005140f SQ 1 PhilipsFrameSequence
  20050010 LO 1 PhilipsCreator
  2005100e FL 1 PhilipsScaleSlope
""")
