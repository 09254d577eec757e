"""Functional groups by the header walk: the same planes as through a pydicom data set, whatever the encoding."""

from __future__ import annotations

import copy
import io
import random
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, Sequence
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)
from support.dicom_files import new_slice
from support.dicom_items import item

import gpukit as gk
from gpukit.dicom.image.planes_of import planes_of
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import FormatError, GpukitError

ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"


def enhanced(count: int = 40, seed: int = 0) -> Dataset:
    """Frames whose values have different lengths and some of which have attributes that others lack."""
    generator = random.Random(seed)
    dataset = new_slice(np.zeros((2, 3), np.uint16), modality="MR", series="5", number=seed)
    dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_MR
    dataset.NumberOfFrames = count
    dataset.PixelData = np.arange(6 * count, dtype=np.uint16).tobytes()
    shared = item(
        PixelMeasuresSequence=[item(PixelSpacing=["1.5", "1.5"], SliceThickness="3")],
        PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
        MRTimingAndRelatedParametersSequence=[item(RepetitionTime="2000", FlipAngle="8")],
    )
    frames = []
    for n in range(count):
        k, t = n % 10, n // 10
        frame = item(
            FrameContentSequence=[
                item(
                    StackID="1",
                    TemporalPositionIndex=t + 1,
                    DimensionIndexValues=[1, k + 1, t + 1],
                    FrameComments="x" * generator.randrange(30),
                )
            ],
            PlanePositionSequence=[item(ImagePositionPatient=["-1", f"{2 / 3:.{1 + n % 9}f}", f"{3 * k}"])],
            PixelValueTransformationSequence=[
                item(RescaleIntercept="0", RescaleSlope=f"{1 + n / 7:.6f}", RescaleType="US")
            ],
            MRDiffusionSequence=[item(DiffusionBValue=float(t), DiffusionDirectionality="DIRECTIONAL")],
        )
        if n % 3:
            direction = item(DiffusionGradientOrientation=[0.0, 0.6, 0.8])
            frame.MRDiffusionSequence[0].DiffusionGradientDirectionSequence = [direction]
        if n % 4 == 0:
            frame.FrameVOILUTSequence = [
                item(WindowCenter="40", WindowWidth="400"), item(WindowCenter="300", WindowWidth="1500"),
            ]  # fmt: skip
        if n % 5 == 0:
            block = frame.private_block(0x2005, "Somebody else", create=True)
            block.add_new(0x0E, "SQ", Sequence([item(PatientComments="y" * generator.randrange(50))]))
        frames.append(frame)
    dataset.SharedFunctionalGroupsSequence = [shared]
    dataset.PerFrameFunctionalGroupsSequence = frames
    return dataset


def set_lengths(dataset: Dataset, undefined: bool, generator: random.Random | None = None) -> None:
    """Defined or undefined lengths of all sequences and items, or a mixture."""
    for element in dataset:
        if element.VR == "SQ":
            element.is_undefined_length = generator.random() < 0.5 if generator else undefined
            for one in element.value:
                one.is_undefined_length_sequence_item = generator.random() < 0.5 if generator else undefined
                set_lengths(one, undefined, generator)


def encoded(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    dataset = copy.deepcopy(dataset)
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=True)
    return out.getvalue()


def facts(header: Header) -> list[tuple]:
    return [
        (p.index, p.position, p.orientation, p.spacing, p.slope, p.intercept, p.kind, dict(p.facts))
        for p in planes_of(header)
    ]


def same_as_through_pydicom(path: Path, *, walked: bool = True) -> None:
    """Planes of the walk and of a pydicom data set, which is not looked at for the former."""
    fast = read_header(Location(str(path)))
    assert (fast.groups is not None) == walked
    ours = facts(fast)
    assert ("dataset" in fast._cache) != walked
    slow = read_header(Location(str(path)))
    object.__setattr__(slow, "groups", None)
    assert ours == facts(slow)


@pytest.mark.parametrize("lengths", ["defined", "undefined", "mixed"])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_planes_are_those_of_the_full_header(tmp_path: Path, lengths: str, syntax: str) -> None:
    dataset = enhanced()
    set_lengths(dataset, lengths == "undefined", random.Random(1) if lengths == "mixed" else None)
    (tmp_path / "a.dcm").write_bytes(encoded(dataset, syntax))
    same_as_through_pydicom(tmp_path / "a.dcm")


def test_big_endian_is_left_to_the_full_header(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(encoded(enhanced(), ExplicitVRBigEndian))
    same_as_through_pydicom(tmp_path / "a.dcm", walked=False)


def test_the_volume_is_whole(tmp_path: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(encoded(enhanced()))
    volume = gk.open(tmp_path / "a.dcm", device="cpu")
    expected = np.arange(240).reshape(40, 2, 3) * np.array([round(1 + n / 7, 6) for n in range(40)])[:, None, None]
    assert volume.shape == (4, 10, 2, 3)
    assert np.allclose(np.asarray(volume.array).reshape(40, 2, 3), expected, rtol=1e-6)  # single precision


def test_files_of_a_scan_share_layouts_and_no_values(tmp_path: Path) -> None:
    for seed in range(3):
        dataset = enhanced(10, seed)
        for n, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            frame.PlanePositionSequence[0].ImagePositionPatient = [str(100 * seed), "0", str(3 * n)]
        set_lengths(dataset, seed == 1)
        (tmp_path / f"{seed}.dcm").write_bytes(encoded(dataset))
    from gpukit.dicom.reader.discovery import discover
    from gpukit.dicom.reader.headers import scan

    for header in scan(discover(tmp_path)).headers:
        first = 100.0 * int(Path(header.location.path).stem)
        assert [plane.position for plane in planes_of(header)] == [(first, 0.0, 3.0 * n) for n in range(10)]


def test_a_member_of_a_zip_is_read_alike(tmp_path: Path) -> None:
    for undefined in (False, True):
        dataset = enhanced()
        set_lengths(dataset, undefined)
        with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("a.dcm", encoded(dataset))
        assert gk.open(tmp_path / "a.zip", device="cpu").shape == (4, 10, 2, 3)


@pytest.mark.parametrize("name", ["mr_enhanced", "enhanced_ct", "seg", "parametric_map", "compressed"])
def test_real_files_give_the_planes_of_the_full_header(data: Path, name: str) -> None:
    seen = 0
    for path in sorted((data / name).rglob("*")):
        if not path.is_file() or path.suffix in (".json", ".nii", ".gz", ".xz", ".nrrd", ".txt"):
            continue
        try:
            header = read_header(Location(str(path)))
        except GpukitError:
            continue
        if header.groups is None:
            continue
        slow = read_header(Location(str(path)))
        object.__setattr__(slow, "groups", None)
        try:
            expected = facts(slow)
        except GpukitError as error:
            with pytest.raises(type(error)):
                facts(header)
            continue
        assert facts(header) == expected, path
        seen += 1
    assert seen


def test_a_position_that_is_no_number_is_named(tmp_path: Path) -> None:
    content = encoded(enhanced()).replace(b"0.667\\", b"0.6x7\\")
    (tmp_path / "a.dcm").write_bytes(content)
    with pytest.raises(FormatError, match="ImagePositionPatient"):
        gk.open(tmp_path / "a.dcm", device="cpu")


def test_damaged_groups_never_crash_or_hang(tmp_path: Path) -> None:
    """Bytes of the groups changed at random: an error of gpukit, or the planes of the full header."""
    generator = random.Random(5)
    for undefined in (False, True):
        dataset = enhanced(12)
        set_lengths(dataset, undefined)
        whole = encoded(dataset)
        begin, end = whole.index(b"\x00\x52\x29\x92"), whole.index(b"\xe0\x7f\x10\x00")
        for _ in range(150):
            broken = bytearray(whole)
            for _ in range(generator.choice((1, 1, 3))):
                broken[generator.randrange(begin, end)] = generator.randrange(256)
            (tmp_path / "a.dcm").write_bytes(broken)
            try:
                planes = planes_of(read_header(Location(str(tmp_path / "a.dcm"))))
            except GpukitError:
                continue
            assert len(planes) == 12


def test_groups_that_end_with_the_file_are_an_error(tmp_path: Path) -> None:
    for undefined in (False, True):
        dataset = enhanced(12)
        set_lengths(dataset, undefined)
        whole = encoded(dataset)
        begin, end = whole.index(b"\x00\x52\x30\x92"), whole.index(b"\xe0\x7f\x10\x00")
        for cut in range(begin + 20, end, 997):
            (tmp_path / "a.dcm").write_bytes(whole[:cut])
            with pytest.raises(GpukitError):
                gk.open(tmp_path / "a.dcm", device="cpu")
