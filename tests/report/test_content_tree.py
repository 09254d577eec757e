"""The generic reader: every class and value type, damage that costs one item, bounds, and bytes that were changed."""

from __future__ import annotations

import struct
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import UID_dictionary
from support import sr_files as sr

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.sr.content_tree import read_content_tree
from gpukit.errors import FormatError, GpukitError, TooLargeError

#: Structured report storage classes of PS3.4, the retired trial ones included.
CLASSES = [uid for uid in UID_dictionary if uid.startswith("1.2.840.10008.5.1.4.1.1.88.")]


@pytest.mark.parametrize("sop_class", CLASSES)
def test_every_sr_class_is_read(sop_class: str, tmp_path: Path) -> None:
    file = sr.save(sr.report(sr.text(sr.FINDING, "words"), sop_class=sop_class), tmp_path / "sr.dcm")
    tree = read_content_tree(file)
    assert [item.text for item in tree.items()] == ["", "words"]


def test_a_damaged_item_costs_that_item_only(tmp_path: Path) -> None:
    broken = sr.content("IMAGE", None)
    odd = sr.content("SCOORD", sr.FINDING)
    odd.GraphicType, odd.GraphicData = "POLYLINE", [1.0, 2.0, 3.0]
    unknown = sr.content("HOLOGRAM", sr.FINDING)
    file = sr.save(sr.report(broken, odd, unknown, sr.text(sr.FINDING, "still there")), tmp_path / "sr.dcm")
    tree = read_content_tree(file)
    assert [len(item.problems) for item in tree.root.children] == [1, 1, 1, 0]
    assert tree.root.children[-1].text == "still there"


def test_what_makers_write_is_understood(tmp_path: Path) -> None:
    person = sr.content("PERSON NAME", sr.FINDING)
    person.PersonName = "Who^Ever"
    nameless = sr.text(None, "no name")
    zero = sr.image("1.2.840.10008.5.1.4.1.1.4", "0")
    file = sr.save(
        sr.report(person, nameless, zero, sr.number(("1", "99X", "Dose"), "1.50", "Gym2")), tmp_path / "sr.dcm"
    )
    a, b, c, d = read_content_tree(file).root.children
    assert (a.value_type, a.text) == ("PNAME", "Who^Ever")
    assert (b.name, b.text) == (None, "no name")
    assert c.references[0].sop_instance_uid == "0"
    assert d.number is not None
    assert (d.number.text, d.number.unit) == ("1.50", ("Gym2", "UCUM", "Gym2"))


def test_deviations_are_listed_and_never_refused(tmp_path: Path) -> None:
    dataset = sr.report(
        sr.content("PERSON NAME", None), sr.image("1.2.840.10008.5.1.4.1.1.4", "0"),
        sr.number(("1", "99X", "Dose"), "1.50", "Gym2"), CompletionFlag=None, SOPInstanceUID=None,
    )  # fmt: skip
    found = {(d.path, d.attribute) for d in read_content_tree(sr.save(dataset, tmp_path / "sr.dcm")).deviations}
    assert found >= {
        ("", "CompletionFlag"), ("", "SOPInstanceUID"), ("1.1", "ValueType"), ("1.1", "ConceptNameCodeSequence"),
        ("1.2", "ReferencedSOPInstanceUID"), ("1.3", "MeasurementUnitsCodeSequence"),
    }  # fmt: skip
    sound = sr.save(
        sr.report(sr.text(sr.FINDING, "words"), sr.number(("1", "99X", "Size"), "1", "mm")), tmp_path / "b.dcm"
    )
    assert read_content_tree(sound).deviations == ()


def test_the_character_set_of_an_item_is_its_own(tmp_path: Path) -> None:
    german = sr.text(sr.FINDING, "x")
    german.SpecificCharacterSet = "ISO_IR 100"
    german[0x0040A160]._value = "x"
    file = sr.save(sr.report(german, SpecificCharacterSet="ISO_IR 144"), tmp_path / "sr.dcm")
    data = file.read_bytes()
    head = b"\x40\x00\x60\xa1UT\0\0" + struct.pack("<I", 2)
    assert data.count(head + b"x ") == 1
    file.write_bytes(data.replace(head + b"x ", head + b"\xe4 "))
    assert read_content_tree(file).root.children[0].text == "ä"


def test_references_between_items_may_loop(tmp_path: Path) -> None:
    def link(*path: int) -> Dataset:
        item = Dataset()
        item.RelationshipType, item.ReferencedContentItemIdentifier = "INFERRED FROM", list(path)
        return item

    file = sr.save(
        sr.report(sr.text(sr.FINDING, "a", children=[link(1, 2)]), sr.text(sr.FINDING, "b", children=[link(1, 1)])),
        tmp_path / "sr.dcm",
    )
    tree = read_content_tree(file)
    assert tree.root.children[0].children[0].target == (1, 2)
    assert any("loop" in deviation.what for deviation in tree.deviations)


def _explicit(tag: int, vr: bytes, value: bytes) -> bytes:
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF)
    value += b" " * (len(value) % 2)
    if vr in (b"SQ", b"UT"):
        return head + vr + b"\0\0" + struct.pack("<I", len(value)) + value
    return head + vr + struct.pack("<H", len(value)) + value


def _item(content: bytes) -> bytes:
    return b"\xfe\xff\x00\xe0" + struct.pack("<I", len(content)) + content


def _raw_report(path: Path, sequence: bytes) -> Path:
    body = _explicit(0x00080016, b"UI", b"1.2.840.10008.5.1.4.1.1.88.33\0") + _explicit(0x0040A040, b"CS", b"CONTAINER")
    path.write_bytes(bytes(128) + b"DICM" + _explicit(0x00020010, b"UI", b"1.2.840.10008.1.2.1\0") + body + sequence)
    return path


def test_more_than_200000_items_are_refused(tmp_path: Path) -> None:
    one = _item(_explicit(0x0040A010, b"CS", b"CONTAINS") + _explicit(0x0040A040, b"CS", b"TEXT"))
    assert (
        len(list(read_content_tree(_raw_report(tmp_path / "a.dcm", _explicit(0x0040A730, b"SQ", one * 5))).items()))
        == 6
    )
    file = _raw_report(tmp_path / "b.dcm", _explicit(0x0040A730, b"SQ", one * 200_001))
    with pytest.raises(TooLargeError, match="200000 content items") as caught:
        read_content_tree(file)
    assert (caught.value.attribute, caught.value.file) == ("ContentSequence", str(file))


def test_nesting_deeper_than_60_is_refused(tmp_path: Path) -> None:
    def nested(depth: int) -> bytes:
        inner = b""
        for _ in range(depth):
            inner = _explicit(
                0x0040A730, b"SQ",
                _item(_explicit(0x0040A010, b"CS", b"CONTAINS") + _explicit(0x0040A040, b"CS", b"CONTAINER") + inner),
            )  # fmt: skip
        return inner

    assert sum(1 for _ in read_content_tree(_raw_report(tmp_path / "a.dcm", nested(59))).items()) == 60
    for depth in (60, 61, 400, 3000):
        with pytest.raises(GpukitError, match="nested deeper"):
            read_content_tree(_raw_report(tmp_path / "b.dcm", nested(depth)))


def test_a_text_of_a_gigabyte_is_refused_before_it_is_read(tmp_path: Path) -> None:
    head = struct.pack("<HH", 0x0040, 0xA160) + b"UT\0\0" + struct.pack("<I", 1 << 30)
    file = _raw_report(tmp_path / "a.dcm", head)
    with file.open("r+b") as stream:
        stream.truncate(file.stat().st_size + (1 << 30))  # a hole: no space on the disk
    began = time.process_time()
    with pytest.raises(TooLargeError) as caught:
        read_content_tree(file)
    assert time.process_time() - began < 1
    assert caught.value.file == str(file)
    with pytest.raises(FormatError, match="truncated"):
        read_content_tree(_raw_report(tmp_path / "b.dcm", head + b"only this"))


def test_other_objects_are_named_for_what_they_are(tmp_path: Path) -> None:
    file = sr.save(sr.report(sop_class="1.2.840.10008.5.1.4.1.1.2"), tmp_path / "ct.dcm")
    with pytest.raises(FormatError, match="CT Image Storage"):
        read_content_tree(file)
    (tmp_path / "a.txt").write_text("no DICOM here " * 20)
    with pytest.raises(FormatError, match="not a DICOM file"):
        read_content_tree(tmp_path / "a.txt")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    picture = sr.image("1.2.840.10008.5.1.4.1.1.4", "1.2.3", "SELECTED FROM", frames=[1, 2])
    dataset = sr.report(
        sr.container(sr.FINDING, sr.number(("1", "99X", "Size"), "12.50"), sr.text(sr.FINDING, "größer")),
        sr.region("ELLIPSE", [1, 2, 3, 2, 2, 1, 2, 3], picture), sr.coded(sr.FINDING, ("1", "99X", "Mass")),
    )  # fmt: skip
    return sr.save(dataset, tmp_path_factory.mktemp("fuzz") / "a.dcm").read_bytes()


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(132, 1 << 16), st.integers(0, 255)), max_size=12),
    cut=st.one_of(st.none(), st.integers(0, 1 << 16)),
)
def test_changed_bytes_give_a_tree_or_an_error_of_ours(
    small: bytes, tmp_path: Path, changes: list[tuple[int, int]], cut: int | None
) -> None:
    data = bytearray(small)
    for place, value in changes:
        data[132 + place % (len(data) - 132)] = value
    file = tmp_path / "fuzz.dcm"
    file.write_bytes(data if cut is None else data[: cut % len(data)])
    try:
        tree = read_content_tree(Location(str(file)))
    except GpukitError as error:
        assert str(file) in str(error)
    else:
        from gpukit.report.document.build import build_document

        numbers = sum(1 for item in tree.items() if item.value_type == "NUM")
        assert len(build_document(tree).measurements) == numbers
