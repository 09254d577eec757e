"""Names in the letters of the source's country: every object keeps them, and the words of a model beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.ai.results.detection_report import write_gsps
from gpukit.ai.results.segment_report import write_sr, written_seg
from gpukit.ai.tasks.detect import Detection, Detections
from gpukit.dicom.derived.write import derived_images
from gpukit.dicom.modules.source_header import short_text
from gpukit.segmentation import Label, Segmentation
from gpukit.volume import Volume

pytest.importorskip("highdicom", reason="highdicom is not installed")

ANATOMY = ("91723000", "SCT", "Anatomical Structure")
DIGEST = "0123456789abcdef" * 4
#: Declared set, and a name from the examples of PS3.5 annexes H, I, J and of its terms' countries.
SETS = {
    "Japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎=やまだ^たろう"),
    "Korean": (["", "ISO 2022 IR 149"], "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": ("GB18030", "Wang^XiaoDong=王^小东"),
    "Latin-1": ("ISO_IR 100", "Buc^Jérôme"),
    "Cyrillic": ("ISO_IR 144", "Люкceмбypг"),
    "UTF-8": ("ISO_IR 192", "Wang^XiaoDong=王^小東"),
    "none": (None, "Plain^Name"),
}


def opened(folder: Path, declared: str | list[str] | None, name: str) -> Volume:
    source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    del source.SpecificCharacterSet
    if declared is not None:
        source.SpecificCharacterSet = declared
    source.PatientName = name
    source.save_as(folder / "source.dcm")
    return gk.open(folder / "source.dcm", device="cpu")


def segmentation(volume: Volume, model: str, label: str) -> Segmentation:
    labels = (
        Label(1, label, ANATOMY, ANATOMY),
        Label(2, "plain", ANATOMY, ANATOMY),
        Label(3, "last", ANATOMY, ANATOMY),
    )
    array = np.zeros(volume.grid.shape, np.uint8)
    array[:, 10:20, 10:20] = 1
    algorithm = {"name": model, "version": "1", "digest": DIGEST}
    return Segmentation(array=array, grid=volume.grid, labels=labels, algorithm=algorithm, sources=volume.sources)


def seg(volume: Volume, path: Path, model: str, label: str) -> None:
    gk.save(segmentation(volume, model, label), path)


def sr(volume: Volume, path: Path, model: str, label: str) -> None:
    result = segmentation(volume, model, label)
    gk.save(result, path.with_name("seg.dcm"), force=True)
    write_sr(result, path, seg=written_seg(path.with_name("seg.dcm"), result))


def gsps(volume: Volume, path: Path, model: str, label: str) -> None:
    box = Detection(name=label, score=0.9, box=(1.0, 2.0, 30.0, 40.0), source=volume.sources[0], index=0)
    identity = {"name": model, "version": "1", "digest": DIGEST}
    found = Detections(
        boxes=(box,), grid=volume.grid, model=identity, confidence=0.5, iou=0.5, sources=volume.sources
    )  # fmt: skip
    write_gsps(found, path)


def derived(volume: Volume, path: Path, model: str, label: str) -> None:
    from dataclasses import replace

    facts = {**volume.metadata, "DerivationDescription": label, "SeriesDescription": model}
    identity = {"name": model, "version": "1", "digest": DIGEST}
    (image,) = derived_images(replace(volume, metadata=facts, algorithm=identity))
    image.save_as(path, enforce_file_format=True)


OBJECTS = [seg, sr, gsps, derived]
Writer = Callable[[Volume, Path, str, str], None]


@pytest.mark.parametrize("which", SETS)
@pytest.mark.parametrize("write", OBJECTS)
def test_names_and_their_character_set_are_kept(which: str, write: Writer, tmp_path: Path) -> None:
    declared, name = SETS[which]
    path = tmp_path / "out.dcm"
    write(opened(tmp_path, declared, name), path, "model", "Liver")
    found = pydicom.dcmread(path)
    assert found.PatientName == name
    term = found.get("SpecificCharacterSet")
    assert (list(term) if isinstance(declared, list) else term) == declared
    assert not errors_of(path)


@pytest.mark.parametrize("which", ["Japanese", "Latin-1", "Cyrillic", "none"])
@pytest.mark.parametrize("write", OBJECTS)
def test_words_that_the_character_set_lacks_are_not_lost(which: str, write: Writer, tmp_path: Path) -> None:
    """Thai is in none of them: the whole object becomes UTF-8, the name too."""
    declared, name = SETS[which]
    path = tmp_path / "out.dcm"
    write(opened(tmp_path, declared, name), path, "แบบจำลอง", "ตับ")
    found = pydicom.dcmread(path)
    assert found.SpecificCharacterSet == "ISO_IR 192" and found.PatientName == name
    texts = {str(element.value) for element in found.iterall() if element.VR in ("LO", "ST", "UT")}
    assert any("แบบจำลอง" in text for text in texts) and any("ตับ" in text for text in texts)
    assert not errors_of(path)


def test_letters_without_a_declared_set_are_declared(tmp_path: Path) -> None:
    """Latin-1 as many scanners wrote it, with nothing said: bytes that are valid in no undeclared object."""
    volume = opened(tmp_path, None, "Plain^Name")
    source = pydicom.dcmread(tmp_path / "source.dcm")
    source.PatientName = b"M\xfcller^J\xf6rg"
    source.save_as(tmp_path / "source.dcm")
    for write in OBJECTS:
        write(volume, tmp_path / f"{write.__name__}.dcm", "model", "Liver")
        found = pydicom.dcmread(tmp_path / f"{write.__name__}.dcm")
        assert (found.PatientName, found.SpecificCharacterSet) == ("Müller^Jörg", "ISO_IR 192")
        assert not errors_of(tmp_path / f"{write.__name__}.dcm")


@pytest.mark.parametrize("write", OBJECTS)
def test_a_name_that_no_value_can_hold_is_made_to_fit(write: Writer, tmp_path: Path) -> None:
    name = "Ein überaus langer Modellname \\ der " + "weit " * 20 + "geht"
    write(opened(tmp_path, "ISO_IR 100", "A^B"), tmp_path / "out.dcm", name, "Leber " + "ä" * 70)
    assert not errors_of(tmp_path / "out.dcm")
    # cut off, it needs no letters that the source's set lacks
    assert pydicom.dcmread(tmp_path / "out.dcm").SpecificCharacterSet == "ISO_IR 100"


def test_short_texts_have_64_bytes() -> None:
    assert short_text("a" * 64) == "a" * 64 and short_text("a" * 65) == "a" * 61 + "..."
    assert len(short_text("肝" * 40).encode()) <= 64 and short_text("肝" * 21) == "肝" * 21
    assert short_text("a\\b\nc\x07") == "a/b c"


@pytest.mark.parametrize("write", [seg, sr, gsps])
def test_what_the_source_states_wrongly_is_not_passed_on(write: Writer, tmp_path: Path) -> None:
    opened(tmp_path, "ISO_IR 100", "A^B")
    source = pydicom.dcmread(tmp_path / "source.dcm")
    with pytest.warns(UserWarning, match="Invalid value|exceeds"):
        source.PatientAge, source.StudyID, source.AccessionNumber = "45", "X" * 30, "A" * 40
        source.save_as(tmp_path / "source.dcm")
    write(gk.open(tmp_path / "source.dcm", device="cpu"), tmp_path / "out.dcm", "model", "Liver")
    assert not errors_of(tmp_path / "out.dcm")
