"""Name and UID of a finding through time: from the segment of a DICOM SEG to the comparison of two studies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from support.pet_files import write_pet

import gpukit as gk
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.dicom.segmentation.seg_write import write_seg
from gpukit.errors import SelectionError
from gpukit.findings.measurement import Measurement, Quantity, Row
from gpukit.findings.read import read_measurements
from gpukit.findings.write import FORMATS, render, write
from gpukit.io.masks import open_masks
from gpukit.segmentation import ANATOMY, TISSUE, Label, Segmentation
from gpukit.volume import Volume

pytest.importorskip("highdicom")

Run = Callable[..., subprocess.CompletedProcess[str]]
UIDS = ("1.2.826.0.1.3680043.10.1234.1", "1.2.826.0.1.3680043.10.1234.2")


def marked(volume: Volume, *, swapped: bool = False, tracked: bool = True, kind: str = "binary", out: Path) -> Path:
    """Two lesions of one name, of 4 and of 6 voxels; `swapped` changes their segment numbers."""
    array = np.zeros(volume.grid.shape, np.uint8)
    one, other = (2, 1) if swapped else (1, 2)
    array[0, 0, :4], array[1, 2, :], array[1, 3, 0] = one, other, other
    uids = {one: UIDS[0], other: UIDS[1]}
    labels = tuple(
        Label(n, "lesion", ANATOMY, TISSUE, **(
            {"tracking_id": f"target {UIDS.index(uids[n]) + 1}", "tracking_uid": uids[n]} if tracked else {}))
        for n in (1, 2)
    )  # fmt: skip
    write_seg(
        Segmentation(array=array, grid=volume.grid, labels=labels, sources=volume.sources, metadata=volume.metadata),
        out, kind=kind,
    )  # fmt: skip
    return out


@pytest.fixture
def pet(tmp_path: Path) -> Volume:
    return gk.open(write_pet(tmp_path / "pet"), device="cpu")


@pytest.mark.parametrize("kind", ["binary", "labelmap"])
def test_a_seg_holds_them_as_the_standard_says(pet: Volume, tmp_path: Path, kind: str) -> None:
    path = marked(pet, kind=kind, out=tmp_path / "seg.dcm")
    items = [item for item in pydicom.dcmread(path).SegmentSequence if item.SegmentNumber]
    assert [(i.TrackingID, i.TrackingUID) for i in items] == [("target 1", UIDS[0]), ("target 2", UIDS[1])]
    back = read_seg(path, pet)
    assert [(label.tracking_id, label.tracking_uid) for label in back.labels] == [
        ("target 1", UIDS[0]), ("target 2", UIDS[1])
    ]  # fmt: skip


def test_a_label_without_one_does_not_take_that_of_its_neighbour(pet: Volume, tmp_path: Path) -> None:
    array = np.zeros(pet.grid.shape, np.uint8)
    array[0, 0, :3] = [1, 2, 3]
    labels = (
        Label(1, "a", ANATOMY, TISSUE, tracking_id="A", tracking_uid=UIDS[0]),
        Label(2, "b", ANATOMY, TISSUE),
        Label(3, "c", ANATOMY, TISSUE),
    )
    write_seg(Segmentation(array=array, grid=pet.grid, labels=labels, sources=pet.sources), tmp_path / "seg.dcm")
    items = pydicom.dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert [item.get("TrackingUID") for item in items] == [UIDS[0], None, None]
    assert [item.get("TrackingID") for item in items] == ["A", None, None]


@pytest.mark.parametrize("measure", ["volume", "suv", "roi"])
def test_measurements_of_a_segment_keep_them(pet: Volume, tmp_path: Path, measure: str) -> None:
    path = marked(pet, out=tmp_path / "seg.dcm")
    found = getattr(gk.measure, measure)(pet, path, labels=2)
    assert (found.tracking_id, found.tracking_uid, found.label) == ("target 2", UIDS[1], "lesion")
    (told,) = json.loads(render([Row(file="x", measurement=found)], FORMATS["json"]))["measurements"]
    assert told["tracking"] == {"identifier": "target 2", "uid": UIDS[1]}
    for form in ("sr", "seg"):
        write([Row(file="x", measurement=found)], tmp_path / f"out.{form}", FORMATS[form])
    texts = [str(e.value) for e in pydicom.dcmread(tmp_path / "out.sr").iterall() if e.keyword in ("UID", "TextValue")]
    assert {"target 2", UIDS[1]} <= set(texts)
    (back,) = read_measurements(tmp_path / "out.sr")
    assert back.measurement is not None
    assert (back.measurement.tracking_id, back.measurement.tracking_uid) == ("target 2", UIDS[1])
    (item,) = pydicom.dcmread(tmp_path / "out.seg").SegmentSequence
    assert (item.TrackingID, item.TrackingUID) == ("target 2", UIDS[1])


def test_two_lesions_of_one_name_are_compared_though_their_numbers_changed(
    run: Run, pet: Volume, tmp_path: Path
) -> None:
    files = []
    for n, swapped in enumerate((False, True)):
        seg = marked(pet, swapped=swapped, out=tmp_path / f"{n}.dcm")
        files.append(tmp_path / f"{n}.json")
        done = run("measure", "volume", tmp_path / "pet", "--roi", seg, "-o", files[-1])
        assert done.returncode == 0, done.stderr
    done = run("measure", "compare", *files, "--json")
    assert done.returncode == 0, done.stderr
    findings = json.loads(done.stdout)["findings"]
    volumes = {
        f["measurements"][0]["tracking"]["uid"]: next(c["values"] for c in f["changes"] if c["name"] == "n")
        for f in findings
    }
    assert volumes == {UIDS[0]: [4, 4], UIDS[1]: [7, 7]}
    assert {f["matched_by"] for f in findings} == {"tracking_uid"}


def test_ten_lesions_of_one_name_without_identity_go_by_segment_number() -> None:
    def lesions(sizes: dict[int, float]) -> list[Measurement]:
        return [
            Measurement(kind="volume", quantities=(Quantity("volume", size, "ml"),), label="lesion",
                        extra={"segment": {"number": number, "name": "lesion"}})
            for number, size in sizes.items()
        ]  # fmt: skip

    made = gk.compare(lesions({n: n for n in range(1, 11)}), lesions({n: 2 * n for n in range(2, 12)}))
    compared = {f.name: f.changes[0].values for f in made.findings if f.status == "compared"}
    assert compared == {f"lesion (segment {n})": (n, 2 * n) for n in range(2, 11)}
    assert {f.matched_by for f in made.findings if f.status == "compared"} == {"segment"}
    assert sorted(f.status for f in made.findings if f.status != "compared") == ["missing", "new"]
    assert any("segments tell them apart" in note for note in made.notes)
    # one left of ten: still the one of that number, not the first
    (left,) = [f for f in gk.compare(lesions({1: 5, 2: 7}), lesions({2: 8})).findings if f.status == "compared"]
    assert left.changes[0].values == (7, 8)
    with pytest.raises(SelectionError, match="several measurements"):  # two of one segment stay ambiguous
        gk.compare([*lesions({1: 5}), *lesions({1: 6})], lesions({1: 8}))


def test_one_uid_is_not_given_to_several_labels(run: Run, pet: Volume, tmp_path: Path) -> None:
    seg = marked(pet, tracked=False, out=tmp_path / "seg.dcm")
    words = ("measure", "volume", tmp_path / "pet", "--roi", seg, "--tracking-uid", UIDS[0], "--json")
    refused = run(*words)
    assert refused.returncode == 2 and "--labels" in refused.stderr
    done = run(*words, "--labels", "2")
    assert json.loads(done.stdout)["measurements"][0]["tracking"]["uid"] == UIDS[0]


@pytest.mark.filterwarnings("ignore:The value length")  # of pydicom, which writes it here
def test_a_tracking_uid_that_nothing_can_repeat_is_left_out(pet: Volume, tmp_path: Path) -> None:
    path = marked(pet, out=tmp_path / "seg.dcm")
    dataset = pydicom.dcmread(path)
    dataset.SegmentSequence[0]["TrackingUID"].value = "1." * 40
    dataset.save_as(path)
    (maps,) = open_masks(path, pet)
    assert [label.tracking_uid for label in maps.labels] == ["", UIDS[1]]
