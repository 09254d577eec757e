"""Images that do not say how large their pixels are: refused where a model needs it, and no millilitres of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydicom
import pytest
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")

import gpukit as gk
from gpukit.ai.tasks.label_summary import summary
from gpukit.dicom.sr.tid1500_read import read_measurement_report
from gpukit.errors import GeometryError
from gpukit_cli.main import main

LIVER = {
    "value": 1, "name": "Liver", "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomical Structure"},
    "type": {"value": "10200004", "scheme": "SCT", "meaning": "Liver"},
}  # fmt: skip


class Bright(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - 100.0) / 100.0


def made(folder: Path, **seen: Any) -> Path:
    torch.jit.script(Bright()).save(str(folder / "bright.ts"))
    content = {
        "schema_version": 1, "name": "bright", "version": "1", "task": "segment", "format": "torchscript",
        "weights": "bright.ts", "input": {"channels": 1, **seen},
        "output": {"activation": "sigmoid", "labels": [LIVER]},
    }  # fmt: skip
    (folder / "bright.json").write_text(json.dumps(content))
    return folder / "bright.ts"


def series(folder: Path, *, lacking: tuple[int, ...], count: int = 3) -> Path:
    folder.mkdir()
    for n in range(count):
        image = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        image.ImagePositionPatient, image.SOPInstanceUID = [0, 0, 5 * n], f"1.2.{n + 1}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        if n in lacking:
            del image.PixelSpacing
        image.save_as(folder / f"{n}.dcm")
    return folder


def test_a_series_without_pixel_spacing_is_refused_with_useful_advice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """To leave the file out would be no advice where no file has it."""
    source, model = series(tmp_path / "all", lacking=(0, 1, 2)), made(tmp_path)
    assert main(["ai", "segment", str(source), "--model", str(model), "--output", str(tmp_path / "s.nii.gz")]) == 1
    said = capsys.readouterr().err
    assert said == (
        f"Error: {source / '0.dcm'}: none of the 3 slices says how large its pixels are [PixelSpacing]. Get the series "
        "anew, put the spacing that the scanner states into the files, or give the images one by one\n"
    )
    assert not (tmp_path / "s.nii.gz").exists()
    unplaced = series(tmp_path / "one", lacking=()) / "1.dcm"
    image = pydicom.dcmread(unplaced)
    del image.ImagePositionPatient
    image.save_as(unplaced)
    with pytest.raises(GeometryError, match=r"one of 1 slices of 3 that do not say where .* \[ImagePosition.*\]. Name"):
        gk.open(unplaced.parent)


@pytest.mark.parametrize(
    "seen",
    [{"spacing": [1.0, 1.0, 1.0]}, {"dimensions": 2, "values": "rescaled", "spacing": [0.5, 0.5]}],
    ids=["volume", "picture"],
)
def test_a_model_of_a_spacing_refuses_an_image_without(seen: dict[str, Any], tmp_path: Path) -> None:
    image = gk.open(series(tmp_path / "s", lacking=(0,), count=1) / "0.dcm")
    with pytest.raises(GeometryError, match=r"the image does not say how large its own are \[PixelSpacing\]"):
        gk.segment(image, made(tmp_path, **seen))


def test_no_millilitres_without_spacing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = series(tmp_path / "s", lacking=(0,), count=1) / "0.dcm"
    model = made(tmp_path, dimensions=2, values="rescaled")
    (label,) = summary(gk.segment(gk.open(source), model))["labels"]
    assert label["voxels"] > 100 and label["volume_ml"] is None
    words = ["ai", "report", str(source), "--model", str(model), "--json", "--create-sr", str(tmp_path / "sr.dcm")]
    assert main(words) == 0
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["value"], finding["unit"]) == (label["voxels"], "{pixels}")
    assert finding["text"] == f"Liver: {label['voxels']} pixels"
    (group,) = read_measurement_report(tmp_path / "sr.dcm")
    assert (group.numbers[0].value, group.numbers[0].unit) == (label["voxels"], "{pixels}")
    line = ["ai", "segment", str(source), "--model", str(model), "--output", str(tmp_path / "seg.dcm")]
    assert main([*line, "--overlay", str(tmp_path / "look.png")]) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ["1", "Liver", str(label["voxels"])]
