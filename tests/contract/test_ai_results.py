"""What leaves ``gpukit ai``: valid in its form, and it says which weights made it."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file
from support.oracles.dciodvfy import errors_of
from support.paths import ROOT

from gpukit.dicom.derived.mr_series import write_mr_series
from gpukit.geometry import Grid
from gpukit.volume import Volume
from gpukit_cli.main import main

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

SCHEMA = ROOT / "docs" / "ai-results.schema.json"
ANATOMY = {"value": "91723000", "scheme": "SCT", "meaning": "Anatomical Structure"}
LIVER = {"value": "10200004", "scheme": "SCT", "meaning": "Liver"}
NODULE = {"name": "Nodule", "code": {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}}


class Thirds(torch.nn.Module):
    """Three channels of a volume: dark, middling, bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([0.6 - x, 0.2 + 0.0 * x, x - 0.3], dim=1)


class Box(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        zero = x.mean() * 0.0
        return torch.tensor([[20.0, 30.0, 60.0, 70.0]]) + zero, torch.tensor([0.9]) + zero, torch.ones(1).long()


class Mean(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean = x.mean((2, 3))
        return torch.cat([mean, 1.0 - mean], dim=1)


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


def made(folder: Path, name: str, network: torch.nn.Module, task: str, output: dict[str, Any], **seen: Any) -> str:
    """The network as NAME.ts with its description; the sha256 of the weights."""
    weights = folder / f"{name}.ts"
    torch.jit.script(network).save(str(weights))
    content = {
        "schema_version": 1, "name": name, "version": "4.2", "task": task, "format": "torchscript",
        "weights": weights.name, "input": {"channels": 1, **seen}, "output": output,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(content))
    return hashlib.sha256(weights.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """A folder with every kind of result, and the digests of the networks by the first letters of the files."""
    folder = tmp_path_factory.mktemp("results")
    shape = (6, 20, 16)
    values = np.random.default_rng(0).integers(0, 1000, shape).astype(np.uint16)
    facts = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "LIVER"}
    grid = Grid.from_axes(shape, spacing=(0.9, 1.1, 2.5), origin=(-20, 31, 7))
    write_mr_series(Volume(array=values, grid=grid), folder / "mr", **facts)
    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(folder / "ct.dcm")
    scaled = [{"_target_": "ScaleIntensityRange", "a_min": 0, "a_max": 1000, "b_min": 0, "b_max": 1}]
    labels = [{"value": v, "name": f"part {v}", "category": ANATOMY, "type": LIVER} for v in (1, 2)]
    flat: dict[str, Any] = {"dimensions": 2, "values": "rescaled"}
    digests = {
        "seg": made(
            folder, "seg-net", Thirds(), "segment", {"activation": "softmax", "labels": labels},
            orientation="LPS", intensity=scaled,
        ),
        "det": made(folder, "det-net", Box(), "detect", {"classes": [NODULE]}, **flat),
        "cls": made(folder, "cls-net", Mean(), "classify", {"activation": "softmax", "classes": [NODULE, "b"]}, **flat),
        "enh": made(folder, "enh-net", Same(), "enhance", {}, **flat),
    }  # fmt: skip

    def runs(task: str, image: str, net: str, output: str, *more: str) -> None:
        words = [task, str(folder / image), "--model", str(folder / f"{net}-net.ts"), "--output", str(folder / output)]
        assert main(["ai", *words, "--device", "cpu", *more]) == 0

    for kind in ("binary", "labelmap", "fractional"):
        runs("segment", "mr", "seg", f"seg-{kind}.dcm", "--segmentation-type", kind)
    for suffix in ("nii", "nii.gz"):
        runs("segment", "mr", "seg", f"seg.{suffix}")
    runs("segment", "mr", "seg", "seg.json", "--overlay", str(folder / "seg.png"))
    for suffix in ("json", "csv", "txt"):
        runs("classify", "ct.dcm", "cls", f"cls.{suffix}")
        runs("detect", "ct.dcm", "det", f"det.{suffix}")
    runs("detect", "ct.dcm", "det", "det-gsps.dcm", "--format", "gsps", "--create-sr", str(folder / "det-sr.dcm"))
    runs("detect", "ct.dcm", "det", "det2.json", "--render-overlay", str(folder / "det.png"))
    runs("enhance", "ct.dcm", "enh", "enh.dcm", "--nifti", str(folder / "enh.nii.gz"))
    for suffix in ("mha", "nrrd"):
        runs("enhance", "ct.dcm", "enh", f"enh.{suffix}")
    runs("report", "mr", "seg", "seg-report.json", "--create-sr", str(folder / "seg-sr.dcm"))
    both = ("--create-seg", str(folder / "seg-of-report.dcm"), "--create-sr", str(folder / "seg-referring-sr.dcm"))
    runs("report", "mr", "seg", "seg-report2.json", *both)
    for suffix in ("md", "txt"):
        runs("report", "mr", "seg", f"seg-report.{suffix}")
    return folder, digests


def test_json_is_what_the_guide_says(
    written: tuple[Path, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    kinds = set()
    assert main(["ai", "enhance", str(written[0] / "ct.dcm"), "--model", str(written[0] / "enh-net.ts"), "--output",
                 str(tmp_path / "e.nii"), "--device", "cpu", "--json"]) == 0  # fmt: skip
    (written[0] / "enh-stated.json").write_text(capsys.readouterr().out)
    for name in ("seg.json", "cls.json", "det.json", "seg-report.json", "enh-stated.json"):
        content = json.loads((written[0] / name).read_text())
        (alone,) = [one for one in schema["oneOf"] if one["properties"]["kind"]["const"] == content["kind"]]
        jsonschema.validate(content, {**alone, "$defs": schema["$defs"]})  # says more than "none of four"
        jsonschema.validate(content, schema)
        kinds.add(content["kind"])
    assert len(kinds) == len(schema["oneOf"])


def test_every_result_names_the_weights_that_made_it(written: tuple[Path, dict[str, str]]) -> None:
    folder, digests = written
    results = [p for p in folder.iterdir() if p.is_file() and not p.stem.endswith("-net") and p.name != "ct.dcm"]
    assert len(results) >= 29
    for path in results:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert digests[path.name[:3]].encode() in content, path.name
        assert f"{path.name[:3]}-net".encode() in content and b"4.2" in content, path.name


def test_a_report_measures_each_segment(written: tuple[Path, dict[str, str]]) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder, _ = written
    labels = json.loads((folder / "seg.json").read_text())["labels"]
    groups = highdicom.sr.srread(folder / "seg-sr.dcm").content.get_image_measurement_groups()
    volumes = [group.get_measurements()[0] for group in groups]
    assert [volume.unit.value for volume in volumes] == ["ml", "ml"]
    # to a ten-thousandth of a millilitre
    assert [volume.value for volume in volumes] == pytest.approx([one["volume_ml"] for one in labels], abs=6e-5)


def test_every_object_passes_the_checker(written: tuple[Path, dict[str, str]]) -> None:
    for path in sorted(written[0].glob("*-*.dcm")):
        assert errors_of(path) == [], path.name


def test_nifti_says_what_made_it_and_others_read_it(written: tuple[Path, dict[str, str]]) -> None:
    """An extension of the header, as the NIfTI-1 standard has it: nothing about the voxels moves."""
    import nibabel
    import SimpleITK

    folder, digests = written
    for name, algorithm in (("seg.nii", "seg-net"), ("seg.nii.gz", "seg-net"), ("enh.nii.gz", "enh-net")):
        path = folder / name
        raw = gzip.decompress(path.read_bytes()) if name.endswith("gz") else path.read_bytes()
        offset = struct.unpack_from("<f", raw, 108)[0]
        size, code = struct.unpack_from("<ii", raw, 352)
        # magic of one file; extensions follow; one comment (code 6) up to the voxels; multiples of 16, as required
        assert raw[344:348] == b"n+1\0" and raw[348:352] == b"\1\0\0\0" and code == 6
        assert offset == 352 + size and size % 16 == 0
        stated = json.loads(raw[360 : 352 + size].rstrip(b"\0"))["gpukit"]
        assert stated["algorithm"] == {"name": algorithm, "version": "4.2", "digest": digests[name[:3]]}
        image = nibabel.load(path)
        theirs = SimpleITK.ReadImage(str(path))
        np.testing.assert_array_equal(SimpleITK.GetArrayFromImage(theirs), np.asarray(image.dataobj).T)
        assert len(raw) - int(offset) == np.asarray(image.dataobj).nbytes
        assert bytes(image.header["descrip"].item()).decode() == f"{algorithm} 4.2"
    labels = json.loads((folder / "seg.json").read_text())["labels"]
    assert stated.get("labels") is None  # an image has none
    label_map = nibabel.load(folder / "seg.nii")
    told = json.loads(label_map.header.extensions[0].get_content().rstrip(b"\0"))["gpukit"]["labels"]
    assert told == [{"value": one["value"], "name": one["name"]} for one in labels]
    counts = np.bincount(np.asarray(label_map.dataobj).ravel(), minlength=3)
    assert [counts[one["value"]] for one in labels] == [one["voxels"] for one in labels]


def test_other_volumes_say_what_made_them(written: tuple[Path, dict[str, str]]) -> None:
    import SimpleITK

    folder, digests = written
    for name in ("enh.mha", "enh.nrrd"):
        stated = json.loads(SimpleITK.ReadImage(str(folder / name)).GetMetaData("gpukit"))
        assert stated["algorithm"] == {"name": "enh-net", "version": "4.2", "digest": digests["enh"]}, name


def test_pictures_say_what_made_them_in_standard_keywords(written: tuple[Path, dict[str, str]]) -> None:
    from PIL import Image

    folder, digests = written
    for name in ("seg", "det"):
        texts = Image.open(folder / f"{name}.png").text
        assert set(texts) == {"Software", "Description", "Source"} and texts["Software"].startswith("gpukit ")
        assert texts["Source"] == f"{name}-net 4.2, digest {digests[name]} (sha256 of the weights)"


def test_an_enhanced_image_names_the_network_as_equipment(written: tuple[Path, dict[str, str]]) -> None:
    folder, digests = written
    network = pydicom.dcmread(folder / "enh.dcm").ContributingEquipmentSequence[-1]
    assert network.PurposeOfReferenceCodeSequence[0].CodeValue == "109102"  # CID 7005: processing equipment
    assert network.ManufacturerModelName == "enh-net" and list(network.SoftwareVersions) == ["4.2", digests["enh"]]


def test_a_report_refers_to_the_segments_it_measured(written: tuple[Path, dict[str, str]]) -> None:
    """TID 1411: the segmentation by UID, and each segment by its number."""
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed")
    folder, _ = written
    seg = highdicom.seg.segread(folder / "seg-of-report.dcm")
    report = highdicom.sr.srread(folder / "seg-referring-sr.dcm")
    counted = {one["name"]: one["voxels"] for one in json.loads((folder / "seg.json").read_text())["labels"]}
    groups = report.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 2
    for group in groups:
        referred = group.referenced_segment
        assert referred.referenced_sop_instance_uid == seg.SOPInstanceUID
        assert referred.referenced_sop_class_uid == seg.SOPClassUID
        segment = seg.get_segment_description(int(np.ravel(referred.referenced_segment_numbers)[0]))
        voxels = (
            seg.get_volume(segment_numbers=[segment.segment_number], combine_segments=True).array.astype(bool).sum()
        )
        assert voxels == counted[segment.segment_label] > 0
        # 0.9 x 1.1 x 2.5 mm; numbers are given to a ten-thousandth of a millilitre
        assert group.get_measurements()[0].value == pytest.approx(voxels * 0.9 * 1.1 * 2.5 / 1000, abs=6e-5)
    (study,) = report.CurrentRequestedProcedureEvidenceSequence
    (series,) = study.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == seg.SeriesInstanceUID


def test_dcmqi_reads_the_segments_of_the_report(written: tuple[Path, dict[str, str]], tmp_path: Path) -> None:
    program = Path(sys.executable).with_name("tid1500reader")
    if not program.exists():
        pytest.skip("dcmqi's tid1500reader is not installed (PyPI package dcmqi)")
    folder, digests = written
    subprocess.run(
        [program, "--inputDICOM", folder / "seg-referring-sr.dcm", "--outputMetadata", tmp_path / "read.json"],
        check=True, capture_output=True,
    )  # fmt: skip
    read = json.loads((tmp_path / "read.json").read_text())["Measurements"]
    seg = pydicom.dcmread(folder / "seg-of-report.dcm", stop_before_pixels=True)
    assert [one["ReferencedSegment"] for one in read] == [1, 2]
    assert {one["segmentationSOPInstanceUID"] for one in read} == {seg.SOPInstanceUID}
    source = seg.ReferencedSeriesSequence[0].SeriesInstanceUID
    assert {one["SourceSeriesForImageSegmentation"] for one in read} == {source}
    assert [one["Finding"]["CodeMeaning"] for one in read] == ["Liver", "Liver"]
    assert f"weights-sha256={digests['seg']}" in read[0]["measurementAlgorithmIdentification"]["AlgorithmParameters"]


def test_no_cell_of_a_table_is_a_formula(tmp_path: Path) -> None:
    """Names come from whoever made the model, and spreadsheets run what begins with =, +, - or @."""
    import csv

    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(tmp_path / "ct.dcm")
    names = ['=HYPERLINK("http://x","y")', "@SUM(1)", 'two\n"lines", a comma', "-5 HU"]
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d((2, 2)), torch.nn.Flatten())
    output = {"activation": "softmax", "classes": names}
    made(tmp_path, "net", network, "classify", output, dimensions=2, values="window")
    words = ["ai", "classify", str(tmp_path / "ct.dcm"), "--model", str(tmp_path / "net.ts"), "--device", "cpu"]
    assert main([*words, "--output", str(tmp_path / "out.csv")]) == 0
    with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["class"] for row in rows} == {f"'{names[0]}", f"'{names[1]}", names[2], f"'{names[3]}"}
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)
