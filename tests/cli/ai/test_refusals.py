"""``gpukit ai classify|detect|enhance|report``: bad input, options without effect, and what is left behind."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")

from gpukit_cli.main import main

CT, MR, COLOUR = (get_testdata_file(f"{name}.dcm") for name in ("CT_small", "MR_small", "examples_rgb_color"))
Did = Callable[..., tuple[int, str, str]]


class Means(torch.nn.Module):
    """Means of the upper and of the lower half, over 1000."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[2] // 2
        return torch.stack([x[:, :, :half].mean((1, 2, 3)), x[:, :, half:].mean((1, 2, 3))], 1) / 1000.0


class Convolved(torch.nn.Module):
    """A convolution that wants three channels."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = torch.nn.Conv2d(3, 2, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x).mean((2, 3))


class Same(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


class Box(torch.nn.Module):
    """One box, the same wherever; its score and a logit of 0.2 beside it."""

    def __init__(self, score: float) -> None:
        super().__init__()
        self.score = score

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        boxes = torch.tensor([[2.0, 3.0, 20.0, 30.0], [40.0, 40.0, 50.0, 50.0]]) + 0 * x.mean()
        return boxes, torch.tensor([self.score, 0.2]), torch.ones(2, dtype=torch.int64)


@pytest.fixture
def did(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Did:
    """Runs a line of ``gpukit ai`` in the test's folder: exit code, standard output, standard error."""
    monkeypatch.chdir(tmp_path)

    def call(*line: object) -> tuple[int, str, str]:
        code = main(["ai", *map(str, line)])
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return call


def made(name: str, module: torch.nn.Module, task: str, output: dict[str, Any], **changes: Any) -> str:
    torch.jit.script(module).save(f"{name}.ts")
    content: dict[str, Any] = {
        "schema_version": 1, "name": name, "version": "1", "task": task, "format": "torchscript",
        "weights": f"{name}.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"}, "output": output,
        **changes,
    }  # fmt: skip
    Path(f"{name}.json").write_text(json.dumps(content))
    return f"{name}.ts"


def halves(activation: str = "sigmoid", name: str = "halves", **changes: Any) -> str:
    output = {"activation": activation, "classes": ["upper", "lower"]}
    return made(name, Means(), "classify", output, **changes)


def upper(file: str) -> float:
    """What `Means` gives for the first class of a picture, by pydicom and NumPy alone."""
    image = pydicom.dcmread(file)
    values = image.pixel_array * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
    return float(1 / (1 + np.exp(-values[: values.shape[0] // 2].mean() / 1000)))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_an_unreadable_file_is_a_row_and_the_others_are_done(did: Did, tmp_path: Path) -> None:
    (tmp_path / "text.dcm").write_text("no image")
    code, out, err = did("classify", CT, MR, "text.dcm", "--model", halves(), "--format", "csv")
    assert code == 1
    rows = rows_of(out)
    stated = {row["file"]: row["probability"] for row in rows if row["class"] == "upper"}
    for file in (CT, MR):
        assert float(stated[file]) == pytest.approx(upper(file), abs=1e-5)
    assert [row["error"] for row in rows if row["error"]] == ["text.dcm: is not a DICOM file. Name DICOM files only"]
    assert err.count("text.dcm") == 1


def test_a_file_with_truncated_pixels_does_not_cost_its_series(did: Did, tmp_path: Path) -> None:
    """Nor does a missing slice: pictures that are classified on their own need no volume."""
    for n, z in enumerate((0, 5, 25)):
        image = pydicom.dcmread(CT)
        image.ImagePositionPatient, image.SOPInstanceUID = [0, 0, z], f"1.2.{n + 1}"
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
        image.save_as(tmp_path / f"{n}.dcm")
    last = tmp_path / "2.dcm"
    last.write_bytes(last.read_bytes()[:-2000])
    code, out, err = did("classify", "0.dcm", "1.dcm", "2.dcm", "--model", halves(), "--format", "json")
    content = json.loads(out)
    assert code == 1
    assert [Path(one["file"]).name for one in content["results"]] == ["0.dcm", "1.dcm"]
    (failure,) = content["failures"]
    assert failure["file"].endswith("2.dcm") and "truncated" in failure["error"]
    assert err.count("a single slice: its extent of") == 1  # what is noted of each file is said once
    code, out, err = did("classify", "0.dcm", "1.dcm", "2.dcm", "--model", halves(), "--per", "series")
    assert (code, out) == (1, "") and "uneven" in err  # the mean of a part would be another number


def test_volume_files_are_classified_side_by_side(did: Did, tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    for name, value in (("a", 100.0), ("b", 900.0)):
        nibabel.save(nibabel.Nifti1Image(np.full((6, 8, 1), value, np.float32), np.eye(4)), tmp_path / f"{name}.nii")
    code, out, _ = did("classify", "a.nii", "b.nii", "--model", halves(), "--format", "csv")
    assert code == 0
    stated = {row["file"]: float(row["probability"]) for row in rows_of(out) if row["class"] == "upper"}
    assert stated == pytest.approx({"a.nii": 1 / (1 + np.exp(-0.1)), "b.nii": 1 / (1 + np.exp(-0.9))}, abs=1e-6)


def test_a_series_of_another_modality_is_a_row(did: Did) -> None:
    model = halves(input={"dimensions": 2, "channels": 1, "values": "rescaled", "modality": ["CT"]})
    code, out, err = did("classify", MR, CT, "--model", model, "--format", "csv")
    rows = rows_of(out)
    assert code == 1 and "the image is MR" in err
    assert [row["class"] for row in rows if row["class"]] and sum(bool(row["error"]) for row in rows) == 1
    code, out, err = did("classify", MR, COLOUR, "--model", made("c", Convolved(), "classify", {
        "activation": "softmax", "classes": ["a", "b"]}))  # fmt: skip
    assert (code, out) == (1, "")  # what is wrong with the model is said once
    assert err.splitlines()[-1].startswith("Error: c.json: the network cannot run on an input of 1 x ")


CLASSIFY_REFUSED = {
    "--threshold 0.3": "a threshold is for classes on their own",
    "--ensemble max": "--ensemble is for several models",
    "--weights 1": "--weights is for several models",
    "--format csv --output r.json": "--format csv contradicts the name r.json",
    "--json --format csv": "contradict each other",
    "--output r.dcm": "has none of the suffixes",
    "--output no/r.json": "the folder of the output does not exist",
    "--runtime onnx": "does not run models of the format torchscript",
    "--series 9": "there is no series",
}


@pytest.mark.parametrize("words", CLASSIFY_REFUSED)
def test_what_has_no_effect_or_contradicts_is_refused(words: str, did: Did, tmp_path: Path) -> None:
    model = halves("softmax")
    before = sorted(tmp_path.iterdir())
    code, out, err = did("classify", CT, "--model", model, *words.split())
    assert code in (1, 2) and out == ""
    assert CLASSIFY_REFUSED[words] in err.splitlines()[-1]
    assert sorted(tmp_path.iterdir()) == before


def test_whole_volumes_have_no_answers_per_frame(did: Did) -> None:
    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean((1, 2, 3, 4))[:, None] / 1000.0

    output = {"activation": "sigmoid", "classes": ["bright"]}
    model = made("v", Mean(), "classify", output, input={"channels": 1})
    for words in (("--per", "frame"), ("--batch-size", "4")):
        code, _, err = did("classify", CT, "--model", model, *words)
        assert code == 1 and "v classifies whole volumes, so that there are no" in err
    assert did("classify", CT, "--model", model, "--per", "series")[0] == 0


def test_votes_may_have_weights(did: Did) -> None:
    names = [halves("softmax", f"m{n}") for n in range(2)]
    words = ("classify", CT, "--models", ",".join(names), "--ensemble", "vote", "--weights", "3,1", "--format", "csv")
    code, out, err = did(*words)
    assert code == 0, err
    assert sorted(float(row["probability"]) for row in rows_of(out)) == [0.0, 1.0]
    code, _, err = did(*words[:4], "--ensemble", "weighted")
    assert code == 2 and "--ensemble weighted needs --weights" in err


def test_json_is_printed_beside_a_file_of_another_format(did: Did, tmp_path: Path) -> None:
    code, out, _ = did("classify", CT, "--model", halves(), "--json", "--output", "r.csv")
    assert code == 0 and json.loads(out)["kind"] == "classification"
    assert {row["class"] for row in rows_of((tmp_path / "r.csv").read_text())} == {"upper", "lower"}
    model = made("b", Box(0.9), "detect", {"classes": ["Spot"]})
    code, out, _ = did("detect", CT, "--model", model, "--json", "--output", "s.dcm", "--format", "sr")
    assert code == 0 and len(json.loads(out)["detections"]) == 1
    assert pydicom.dcmread(tmp_path / "s.dcm").Modality == "SR"


def test_a_detectors_logits_become_scores_whatever_their_size(did: Did) -> None:
    """Logits that happen to lie between 0 and 1 are logits all the same."""
    model = made("b", Box(0.9), "detect", {"classes": ["Spot"], "activation": "sigmoid", "confidence": 0.0})
    code, out, _ = did("detect", CT, "--model", model, "--json")
    scores = [one["score"] for one in json.loads(out)["detections"]]
    assert code == 0 and scores == pytest.approx([1 / (1 + np.exp(-0.9)), 1 / (1 + np.exp(-0.2))], abs=1e-6)
    code, out, err = did("detect", CT, "--model", made("big", Box(3.2), "detect", {"classes": ["Spot"]}), "--json")
    assert (code, out) == (1, "")
    assert "big.json: the network gives scores from 0.2 to 3.2, which are no probabilities" in err


DETECT_REFUSED = {
    "--output b.json --format gsps": "--format gsps contradicts the name b.json",
    "--output b.dcm": "b.dcm may be gsps or sr: say --format",
    "--output b.dcm --format sr --create-sr b.dcm": "b.dcm is named for two results",
    "--format gsps": "needs an --output FILE",
    "--render-overlay b.jpg": "must end in .png",
    "--create-sr -": "--create-sr needs a FILE",
    "--confidence 2": "less than or equal to 1",
}


@pytest.mark.parametrize("words", DETECT_REFUSED)
def test_detect_refuses_what_contradicts(words: str, did: Did, tmp_path: Path) -> None:
    model = made("b", Box(0.9), "detect", {"classes": ["Spot"]})
    before = sorted(tmp_path.iterdir())
    code, out, err = did("detect", CT, "--model", model, *words.split())
    assert (code, out) == (2, "") and DETECT_REFUSED[words] in err
    assert sorted(tmp_path.iterdir()) == before


def test_nothing_is_left_where_one_result_cannot_be(did: Did, tmp_path: Path) -> None:
    """An SR refers to DICOM images, and a NIfTI file is none."""
    nibabel = pytest.importorskip("nibabel", reason="nibabel is not installed")
    nibabel.save(nibabel.Nifti1Image(np.zeros((64, 64, 1), np.float32), np.eye(4)), tmp_path / "a.nii")
    model = made("b", Box(0.9), "detect", {"classes": ["Spot"]})
    before = sorted(tmp_path.iterdir())
    for task in ("detect", "report"):
        line = (task, "a.nii", "--model", model, "--output", "found.json", "--create-sr", "s.dcm")
        code, _, err = did(*line, *(("--render-overlay", "b.png") if task == "detect" else ()))
        assert code == 1 and "must refer to DICOM images, and the input is none" in err
    same = made("same", Same(), "enhance", {})
    code, _, err = did("enhance", "a.nii", "--model", same, "--output", "e.dcm")
    assert code == 1 and "must refer to DICOM images" in err
    assert {p for p in tmp_path.iterdir() if p.stem != "same"} == set(before)


ENHANCE_REFUSED = {
    "--output e.nii.gz --nifti e.nii.gz": "e.nii.gz is named for two results",
    "--output e.nii.gz --format dicom": "--format dicom contradicts the name e.nii.gz",
    "--output e.nrrd --format nifti": "--format nifti contradicts the name e.nrrd",
    "--output e.dcm --format nrrd": "--format nrrd contradicts the name e.dcm",
    "--output e --format nifti": "needs a name that ends as such files do",
    "--output e.png": "has none of the suffixes",
    "--output -": "images are files",
    "--output e.dcm --nifti e.png": "must end in .nii or .nii.gz",
}


@pytest.mark.parametrize("words", ENHANCE_REFUSED)
def test_enhance_refuses_what_contradicts(words: str, did: Did, tmp_path: Path) -> None:
    model = made("same", Same(), "enhance", {})
    before = sorted(tmp_path.iterdir())
    code, out, err = did("enhance", CT, "--model", model, *words.split())
    assert (code, out) == (2, "") and ENHANCE_REFUSED[words] in err
    assert sorted(tmp_path.iterdir()) == before


def test_a_report_without_detections_has_no_confidence(did: Did) -> None:
    code, _, err = did("report", CT, "--model", halves(), "--confidence", "0.5")
    assert code == 2 and "--confidence is for models that detect" in err


def test_slices_have_no_windows(did: Did) -> None:
    label = {"value": 1, "name": "Body", "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomy"},
             "type": {"value": "38266002", "scheme": "SCT", "meaning": "Body"}}  # fmt: skip
    model = made("s", Same(), "segment", {"activation": "sigmoid", "labels": [label]})
    for words, said in ((("--window-overlap", "0.5"), "no windows overlap"), (("--flips", "z"), "x and y only")):
        code, _, err = did("segment", CT, "--model", model, "--output", "seg.json", *words)
        assert code == 1 and said in err and not Path("seg.json").exists()


@pytest.mark.parametrize(
    ("task", "dimensions", "inference"),
    [
        ("classify", 2, {"patch": [32, 32, 32]}),
        ("classify", 3, {"batch": 2}),
        ("detect", 3, {"blend": "gaussian"}),
        ("enhance", 3, {"skip_background": {"below": 0}}),
    ],
)
def test_a_description_says_nothing_without_effect(
    task: str, dimensions: int, inference: dict[str, Any], did: Did
) -> None:
    output: dict[str, Any] = {} if task == "enhance" else {"classes": ["a"]}
    output |= {"activation": "softmax"} if task == "classify" else {}
    seen = {"dimensions": dimensions, "channels": 1}
    model = made("d", Same(), task, output, input=seen, inference=inference)
    words = ("--output", "e.nii.gz") if task == "enhance" else ()
    code, _, err = did(task, CT, "--model", model, *words)
    (key,) = inference
    assert code == 1 and f"has no effect on a network that is to {task}" in err and f"[$.inference.{key}]" in err


def test_weights_that_cannot_be_read_are_one_line_without_bad_advice(did: Did, tmp_path: Path) -> None:
    network = {"_target_": "monai.networks.nets.UNet", "spatial_dims": 3, "in_channels": 1, "out_channels": 2,
               "channels": [4, 8], "strides": [2]}  # fmt: skip
    label = {"value": 1, "name": "Body", "category": {"value": "123037004", "scheme": "SCT", "meaning": "Anatomy"},
             "type": {"value": "38266002", "scheme": "SCT", "meaning": "Body"}}  # fmt: skip
    output = {"activation": "softmax", "labels": [label]}
    made("w", Same(), "segment", output, format="state-dict", weights="w.pt", network=network, input={"channels": 1})
    Path("w.pt").write_bytes(b"garbage" * 100)
    code, _, err = did("segment", CT, "--model", "w.pt", "--output", "s.nii.gz")
    assert code == 1 and not Path("s.nii.gz").exists()
    last = err.splitlines()[-1]
    assert last.startswith("Error: w.pt: the weights cannot be read: ")
    assert "weights_only" not in last and len(last) < 250
