"""Detecting: boxes at the right place, in pixels and in the patient, suppression, objects that a PACS takes."""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.ai.model.description import Model, read_description
from gpukit.ai.results.detection_report import write_gsps, write_sr
from gpukit.ai.tasks.boxes import iou, suppress
from gpukit.ai.tasks.detect import detect
from gpukit.dicom.pr.gsps_read import read_gsps
from gpukit.dicom.sr.tid1500_read import read_measurement_report
from gpukit.errors import InputError, ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

NODULE = {"value": "27925004", "scheme": "SCT", "meaning": "Nodule"}
Run = Callable[..., subprocess.CompletedProcess[str]]


class BrightBoxes(torch.nn.Module):
    """The box around everything above the threshold, in each picture, as torchvision's detectors answer."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: torch.Tensor) -> list[dict[str, torch.Tensor]]:
        out: list[dict[str, torch.Tensor]] = []
        for n in range(x.shape[0]):
            where = torch.nonzero(x[n, 0] > self.threshold)
            if where.shape[0] == 0:
                boxes = torch.zeros(0, 4)
            else:
                low, high = where.amin(0), where.amax(0) + 1
                boxes = torch.stack([low[1], low[0], high[1], high[0]]).to(torch.float32)[None]
            count = boxes.shape[0]
            out.append(
                {"boxes": boxes, "scores": torch.full((count,), 0.9), "labels": torch.ones(count, dtype=torch.int64)}
            )
        return out


class BrightBody(torch.nn.Module):
    """The box around everything above the threshold in a volume, as three tensors."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = threshold

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        where = torch.nonzero(x[0, 0] > self.threshold)
        box = torch.cat([where.amin(0), where.amax(0) + 1]).to(torch.float32)[None]
        return box, torch.tensor([0.8]), torch.tensor([1])


def made(folder: Path, network: torch.nn.Module, name: str = "bright", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    torch.jit.script(network).save(str(folder / f"{name}.ts"))
    content: dict[str, Any] = {
        "schema_version": 1, "name": name, "version": "2", "task": "detect", "format": "torchscript",
        "weights": f"{name}.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"},
        "output": {"classes": [{"name": "Nodule", "code": NODULE}]},
    }  # fmt: skip
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.ts"


def model(folder: Path, network: torch.nn.Module, **changes: Any) -> Model:
    return read_description(made(folder, network, **changes).with_suffix(".json"))


def test_a_box_lies_around_its_pixels(tmp_path: Path) -> None:
    image = np.zeros((2, 30, 40), np.float32)
    image[1, 10:15, 20:28] = 5.0
    grid = Grid.from_axes((2, 30, 40), spacing=(0.5, 2.0, 3.0), origin=(-10.0, 20.0, 7.0))
    (box,) = detect(Volume(array=image, grid=grid), model(tmp_path, BrightBoxes(1.0))).boxes
    # columns 20 to 27 and rows 10 to 14, from edge to edge; 0 is the centre of the first pixel
    assert box.box == (19.5, 9.5, 27.5, 14.5)
    assert (box.index, box.name, box.score) == (1, "Nodule", pytest.approx(0.9))
    assert box.patient == (-10 + 19.5 * 0.5, 20 + 9.5 * 2, 10.0, -10 + 27.5 * 0.5, 20 + 14.5 * 2, 10.0)


@pytest.mark.parametrize("size", [(80, 60), (20, 30), (33, 47)])
@pytest.mark.parametrize("fit", ["stretch", "pad"])
def test_boxes_come_back_from_scaled_pictures(size: tuple[int, int], fit: str, tmp_path: Path) -> None:
    image = np.zeros((1, 60, 80), np.float32)
    image[0, 20:40, 40:60] = 10.0
    small = model(tmp_path, BrightBoxes(5.0), input={"size": list(size), "fit": fit})
    (box,) = detect(Volume(array=image, grid=Grid((1, 60, 80), np.eye(4))), small).boxes
    # the network sees edges to half a pixel of its own picture
    pixel = max(80 / size[0], 60 / size[1])
    np.testing.assert_allclose(box.box, (39.5, 19.5, 59.5, 39.5), atol=pixel)


ORDERS = list(itertools.permutations(range(3)))
CODES = [
    "".join(pairs[axis][side] for axis, side in zip(order, sides, strict=True))
    for pairs in [("LR", "PA", "SI")]
    for order in ORDERS
    for sides in itertools.product((0, 1), repeat=3)
]


@pytest.mark.parametrize("tilt", [0.0, 20.0])
def test_a_body_is_found_at_its_place_in_all_48_orientations(tilt: float, tmp_path: Path) -> None:
    turn = np.deg2rad(tilt)
    rotation = np.array([[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]])
    whole = Grid.from_axes((12, 14, 16), spacing=(1.5, 1.0, 2.0), origin=(-40, 30, 5), direction=rotation)
    body = np.zeros((12, 14, 16), np.float32)
    body[2:5, 3:8, 10:14] = 1.0  # k, j, i: to the patient's left of the middle
    network = made(tmp_path, BrightBody(0.5), input={"dimensions": 3, "channels": 1, "values": None})
    content = json.loads(network.with_suffix(".json").read_text())
    content["input"] = {"channels": 1, "orientation": "RAS"}
    network.with_suffix(".json").write_text(json.dumps(content))
    found = read_description(network.with_suffix(".json"))
    corners = whole.to_world(list(itertools.product((9.5, 13.5), (2.5, 7.5), (1.5, 4.5))))
    wanted = (*corners.min(axis=0), *corners.max(axis=0))
    for codes in CODES:
        grid, axes, flips = whole.reoriented(codes)
        array = np.ascontiguousarray(np.flip(body.transpose(axes), [n for n, f in enumerate(flips) if f]))
        (box,) = detect(Volume(array=array, grid=grid), found).boxes
        np.testing.assert_allclose(box.patient, wanted, atol=1e-4, err_msg=codes)  # float32 boxes
        inside = np.zeros(array.shape, bool)
        i0, j0, k0, i1, j1, k1 = (round(v + 0.5) for v in box.box)
        inside[k0:k1, j0:j1, i0:i1] = True
        np.testing.assert_array_equal(inside, array > 0, err_msg=codes)


# ---- suppression, against its definition


def by_definition(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, limit: float) -> list[int]:
    """torchvision's documentation in plain Python: take the best box, drop what overlaps it, and so on."""

    def overlap(a: np.ndarray, b: np.ndarray) -> float:
        d = len(a) // 2
        common = np.prod(np.clip(np.minimum(a[d:], b[d:]) - np.maximum(a[:d], b[:d]), 0, None))
        return float(common / max(np.prod(a[d:] - a[:d]) + np.prod(b[d:] - b[:d]) - common, 1e-12))

    left = sorted(range(len(scores)), key=lambda n: (-scores[n], n))
    kept = []
    while left:
        best = left.pop(0)
        kept.append(best)
        left = [n for n in left if labels[n] != labels[best] or overlap(boxes[best], boxes[n]) <= limit]
    return kept


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**31), count=st.integers(0, 40), classes=st.integers(1, 3), limit=st.floats(0.05, 0.95),
    dimensions=st.sampled_from([2, 3]),
)  # fmt: skip
def test_suppression_keeps_what_its_definition_keeps(
    seed: int, count: int, classes: int, limit: float, dimensions: int
) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 10, (count, dimensions))
    boxes = np.concatenate([low, low + rng.uniform(0.5, 8, (count, dimensions))], axis=1).astype(np.float32)
    scores = rng.choice([0.1, 0.3, 0.5, 0.7, 0.9], count).astype(np.float32)  # with ties
    labels = rng.integers(0, classes, count)
    kept = suppress(torch.tensor(boxes), torch.tensor(scores), torch.tensor(labels), limit)
    assert kept.tolist() == by_definition(boxes.astype(np.float64), scores, labels, limit)


def test_overlap_is_intersection_over_union() -> None:
    a = torch.tensor([[0.0, 0.0, 2.0, 2.0]])
    b = torch.tensor([[1.0, 1.0, 3.0, 3.0], [2.0, 0.0, 4.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    np.testing.assert_allclose(iou(a, b)[0], [1 / 7, 0, 1])


class Several(torch.nn.Module):
    """Fixed boxes in one tensor: x, y, width, height as shares, then two scores."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = torch.tensor(
            [[0.1, 0.1, 0.2, 0.2, 0.9, 0.0], [0.12, 0.1, 0.2, 0.2, 0.8, 0.0], [0.1, 0.1, 0.2, 0.2, 0.0, 0.7],
             [0.6, 0.6, 0.2, 0.2, 0.3, 0.0], [0.9, 0.9, 0.3, 0.3, 0.0, 0.95], [1.5, 1.5, 0.2, 0.2, 0.99, 0.0]]
        )  # fmt: skip
        return rows[None].expand(x.shape[0], 6, 6)


def test_confidence_classes_and_borders(tmp_path: Path) -> None:
    output = {"classes": ["a", "b"], "boxes": "xywh", "normalized": True, "first_label": 0}
    several = model(tmp_path, Several(), output=output)
    image = Volume(array=np.zeros((1, 50, 100), np.float32), grid=Grid((1, 50, 100), np.eye(4)))
    found = detect(image, several).boxes
    # the second of class a is dropped by the first, class b there stays; weak and outside ones go; one is cut off
    assert [(b.name, round(b.score, 2)) for b in found] == [("b", 0.95), ("a", 0.9), ("b", 0.7)]
    np.testing.assert_allclose(found[0].box, (89.5, 44.5, 99.5, 49.5), atol=1e-4)
    np.testing.assert_allclose(found[1].box, (9.5, 4.5, 29.5, 14.5), atol=1e-4)
    assert len(detect(image, several, confidence=0.2).boxes) == 4
    assert len(detect(image, several, confidence=0.2, iou=1.0).boxes) == 5
    with pytest.raises(InputError, match="confidence"):
        detect(image, several, confidence=1.5)
    with pytest.raises(ModelError, match="4 \\+ 1 numbers a box"):
        detect(image, model(tmp_path, Several(), output={**output, "classes": ["a"]}))


def test_a_box_on_a_real_image_goes_into_objects(run: Run, tmp_path: Path) -> None:
    ct = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    ct.save_as(tmp_path / "brain-mri.dcm")
    made(tmp_path, BrightBoxes(600.0), "lesion-detection", output={"confidence": 0.5})
    line = ["ai", "detect", "brain-mri.dcm", "--model", "lesion-detection.ts", "--output", "detections.json"]
    done = run(
        *line, "--confidence", "0.7", "--render-overlay", "detections.png", "--create-sr", "sr.dcm", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    (found,) = json.loads((tmp_path / "detections.json").read_text())["detections"]
    bright = np.argwhere(ct.pixel_array * float(ct.RescaleSlope) + float(ct.RescaleIntercept) > 600)
    low, high = bright.min(axis=0)[::-1] - 0.5, bright.max(axis=0)[::-1] + 0.5
    assert found["box"] == {"low": low.tolist(), "high": high.tolist()}
    place = np.array(ct.ImagePositionPatient, float)[:2] + low * np.array(ct.PixelSpacing, float)[::-1]
    np.testing.assert_allclose(found["patient_lps_mm"]["low"][:2], place, atol=1e-6)
    assert found["sop_instance_uid"] == ct.SOPInstanceUID
    picture = np.asarray(Image.open(tmp_path / "detections.png")).astype(int)
    assert ((picture[..., 0] > 200) & (picture[..., 1] > 160) & (picture[..., 2] < 60)).sum() > 100
    (group,) = read_measurement_report(tmp_path / "sr.dcm")
    assert group.finding is not None and group.finding.meaning == "Nodule" and group.numbers[0].value == 90.0
    np.testing.assert_allclose(group.figures[0].points[0], low)
    (theirs,) = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_planar_roi_measurement_groups()
    assert theirs.get_measurements()[0].value == 90.0
    done = run(*line[:-1], "boxes.dcm", "--format", "gsps", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (annotation,) = read_gsps(tmp_path / "boxes.dcm")
    assert annotation.text == "Nodule 0.90"
    digest = json.loads((tmp_path / "detections.json").read_text())["model"]["digest"]
    assert all(digest.encode() in (tmp_path / name).read_bytes() for name in ("sr.dcm", "boxes.dcm"))
    assert [errors_of(tmp_path / name) for name in ("sr.dcm", "boxes.dcm")] == [[], []]


def test_objects_refer_to_images_whose_identity_is_in_the_file_meta_alone(data: Path, tmp_path: Path) -> None:
    """A real series whose anonymiser blanked the UIDs of instance and class in the data set."""
    file = min((data / "ct_totalseg/dicom_j2k").iterdir())
    content = pydicom.dcmread(file, stop_before_pixels=True)
    assert not content.get("SOPInstanceUID")
    found = detect(gk.open(file), model(tmp_path, BrightBoxes(-5000.0)))
    write_gsps(found, tmp_path / "gsps.dcm")
    write_sr(found, tmp_path / "sr.dcm")
    named = content.file_meta.MediaStorageSOPInstanceUID
    assert [one.image.sop_instance_uid for one in read_gsps(tmp_path / "gsps.dcm")] == [named]
    (group,) = read_measurement_report(tmp_path / "sr.dcm")
    assert group.images[0].sop_instance_uid == named
