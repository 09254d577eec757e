"""Where results say that something is: never on pixels of an image that the network did not see as it was acquired."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
pytest.importorskip("monai", reason="monai is not installed")
pytest.importorskip("highdicom", reason="highdicom is not installed")

from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.ai.model.description import Model, read_description
from gpukit.ai.results.detection_report import write_gsps, write_sr
from gpukit.ai.tasks.detect import detect
from gpukit.dicom.pr.gsps_read import read_gsps
from gpukit.dicom.sr.tid1500_read import read_measurement_report
from gpukit.errors import InputError
from gpukit_cli.main import main

Box = tuple[float, ...]
LEVEL = 200.0


class Bright(torch.nn.Module):
    """The box around everything above a level in a picture."""

    def __init__(self, level: float = LEVEL) -> None:
        super().__init__()
        self.level = level

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        where = torch.nonzero(x[0, 0] > self.level)
        if where.shape[0] == 0:
            return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
        low, high = where.amin(0), where.amax(0) + 1
        box = torch.stack([low[1], low[0], high[1], high[0]]).to(torch.float32)[None]
        return box, torch.full((1,), 0.9), torch.ones(1, dtype=torch.int64)


class BrightBody(torch.nn.Module):
    """The same of a volume."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        where = torch.nonzero(x[0, 0] > 200.0)
        box = torch.cat([where.amin(0), where.amax(0) + 1]).to(torch.float32)[None]
        return box, torch.full((1,), 0.8), torch.ones(1, dtype=torch.int64)


class Nothing(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        return torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)


class Halves(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([-x, x], dim=1)


def made(folder: Path, network: torch.nn.Module, **changes: Any) -> Path:
    torch.jit.script(network).save(str(folder / "net.ts"))
    content: dict[str, Any] = {
        "schema_version": 1, "name": "net", "version": "1", "task": "detect", "format": "torchscript",
        "weights": "net.ts", "input": {"dimensions": 2, "channels": 1, "values": "rescaled"},
        "output": {"classes": ["Nodule", "Other"]}, **changes,
    }  # fmt: skip
    (folder / "net.json").write_text(json.dumps(content))
    return folder / "net.ts"


def model(folder: Path, network: torch.nn.Module, **changes: Any) -> Model:
    return read_description(made(folder, network, **changes).with_suffix(".json"))


def bright_boxes(files: Iterable[Path]) -> dict[str, Box]:
    """The box in each image by pydicom alone: x0, y0, x1, y1 between pixel edges."""
    found = {}
    for file in files:
        image = pydicom.dcmread(file)
        values = image.pixel_array * float(image.get("RescaleSlope", 1)) + float(image.get("RescaleIntercept", 0))
        where = np.argwhere(values > LEVEL)
        if len(where):
            (y0, x0), (y1, x1) = where.min(axis=0) - 0.5, where.max(axis=0) + 0.5
            found[str(image.get("SOPInstanceUID") or image.file_meta.MediaStorageSOPInstanceUID)] = (x0, y0, x1, y1)
    return found


def around(points: Iterable[tuple[float, ...]]) -> Box:
    values = np.array(list(points))
    return (*values.min(axis=0), *values.max(axis=0))


def test_boxes_on_a_tilted_uneven_series_are_where_they_were_seen(data: Path, tmp_path: Path) -> None:
    """Its volume has twice as many slices as images, shifted by the gantry's tilt: up to 85 pixels off if confused."""
    folder = data / "ct_tilt_ge"
    volume = gk.open(folder, device="cpu", fill_gaps=True)
    found = detect(volume, model(tmp_path, Bright()))
    assert len(found.boxes) == volume.grid.shape[0] == 56
    assert all(box.source is None for box in found.boxes)  # pixels of no image
    write_sr(found, tmp_path / "sr.dcm")
    truth = bright_boxes(folder.glob("*.dcm"))
    flat = spatial = 0
    for group in read_measurement_report(tmp_path / "sr.dcm"):
        for figure in group.figures:
            if len(figure.points[0]) == 3:
                spatial += 1
                continue
            # the volume was interpolated linearly within slices: a threshold moves by at most a pixel
            np.testing.assert_allclose(around(figure.points), truth[group.images[0].sop_instance_uid], atol=1.0)
            flat += 1
    assert flat > 0 and flat + spatial == 56
    assert not errors_of(tmp_path / "sr.dcm")
    with pytest.raises(InputError, match="as it was acquired"):
        write_gsps(found, tmp_path / "gsps.dcm")
    # those in the patient are corners of boxes on whole slices of the volume
    wanted = {(b.index, *np.round(b.box, 3)) for b in found.boxes}
    spaces = [
        f.points for g in read_measurement_report(tmp_path / "sr.dcm") for f in g.figures if len(f.points[0]) == 3
    ]
    for points in spaces:
        x0, y0, k0, x1, y1, k1 = around(found.grid.to_index(points))
        assert abs(k1 - k0) < 1e-3 and (round(k0), *np.round((x0, y0, x1, y1), 3)) in wanted


def test_boxes_on_tiles_of_a_mosaic_name_no_pixels_of_it(data: Path, tmp_path: Path) -> None:
    volume = gk.open(data / "mr_orientation", device="cpu", series="1")
    volume = gk.open(data / "mr_orientation", device="cpu", series="1") if volume.axes == "kji" else volume
    found = detect(volume, model(tmp_path, Bright()))
    assert found.boxes and all(box.source is None for box in found.boxes)
    with pytest.raises(InputError, match="as it was acquired"):
        write_gsps(found, tmp_path / "gsps.dcm")
    write_sr(found, tmp_path / "sr.dcm")
    figures = [f for g in read_measurement_report(tmp_path / "sr.dcm") for f in g.figures]
    assert figures and all(len(f.points[0]) == 3 for f in figures)


def test_boxes_of_a_body_are_outlines_on_its_slices(data: Path, tmp_path: Path) -> None:
    """A detector over volumes: in the SR a volumetric region (TID 1411), in the GSPS a rectangle a slice."""
    import highdicom

    folder = data / "ct_totalseg" / "dicom_j2k"  # whose data sets lack their UIDs: the file meta has them
    volume = gk.open(folder, device="cpu")
    seen = {"channels": 1, "orientation": "RAS"}
    found = detect(volume, model(tmp_path, BrightBody(), input=seen))
    write_sr(found, tmp_path / "sr.dcm")
    write_gsps(found, tmp_path / "gsps.dcm")
    truth = bright_boxes(folder.iterdir())
    boxes = np.array(list(truth.values()))
    whole = (*boxes[:, :2].min(axis=0), *boxes[:, 2:].max(axis=0))
    annotations = read_gsps(tmp_path / "gsps.dcm")
    assert {a.image.sop_instance_uid for a in annotations} == set(truth) and len(annotations) == len(truth)
    for annotation in annotations:
        np.testing.assert_allclose(around(annotation.figures[0].points), whole, atol=1e-3)  # float32
    (group,) = highdicom.sr.srread(tmp_path / "sr.dcm").content.get_volumetric_roi_measurement_groups()
    assert len(group.roi) == len(truth) and group.get_measurements()[0].value == pytest.approx(80)
    for region in group.roi:
        np.testing.assert_allclose(around(region.value - 0.5), whole, atol=1e-3)
    assert not errors_of(tmp_path / "sr.dcm") and not errors_of(tmp_path / "gsps.dcm")


def test_nothing_found_is_a_result(tmp_path: Path) -> None:
    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(tmp_path / "ct.dcm")
    made(tmp_path, Nothing())
    words = ["ai", "detect", str(tmp_path / "ct.dcm"), "--model", str(tmp_path / "net.ts"), "--device", "cpu"]
    line = ["--format", "gsps", "--output", str(tmp_path / "gsps.dcm"), "--create-sr", str(tmp_path / "sr.dcm")]
    assert main([*words, *line]) == 0
    (annotation,) = read_gsps(tmp_path / "gsps.dcm")
    assert annotation.text == "net 1: nothing found" and not annotation.figures
    (group,) = read_measurement_report(tmp_path / "sr.dcm")
    assert group.finding is None and not group.numbers and "Nodule, Other" in group.label
    assert not errors_of(tmp_path / "sr.dcm") and not errors_of(tmp_path / "gsps.dcm")


@pytest.mark.parametrize(
    ("name", "series", "level", "alike"),
    [
        ("pet/sts_001_cropped/PET/dicom/image", None, 2.0, False),
        ("mr_enhanced/philips_b0/IM_0027_fMAP.dcm", "1", 200.0, False),
        ("mr_enhanced/philips_anat/IM-0001-0170-0001.dcm", None, 200.0, True),
    ],
)
def test_images_whose_slopes_differ_are_shown_as_they_show_themselves(
    name: str, series: str | None, level: float, alike: bool, data: Path, tmp_path: Path
) -> None:
    """A presentation state has one modality transformation: PET and enhanced MR may have one a slice."""
    volume = gk.open(data / name, device="cpu", series=series)
    found = detect(volume, model(tmp_path, Bright(level)))
    assert len({box.source for box in found.boxes}) > 1
    write_gsps(found, tmp_path / "gsps.dcm")
    assert not errors_of(tmp_path / "gsps.dcm")
    state = pydicom.dcmread(tmp_path / "gsps.dcm")
    assert ("RescaleSlope" in state) == alike
    windows = {}
    for item in state.get("SoftcopyVOILUTSequence") or ():
        window = float(np.atleast_1d(item.WindowCenter)[0]), float(np.atleast_1d(item.WindowWidth)[0])
        for reference in item.ReferencedImageSequence:
            frames = np.atleast_1d(reference.get("ReferencedFrameNumber") or [0]).tolist()
            windows |= {(str(reference.ReferencedSOPInstanceUID), int(frame)): window for frame in frames}
    compared = 0
    for source in volume.sources:
        image = pydicom.dcmread(source.path)
        groups = image.get("PerFrameFunctionalGroupsSequence")
        if groups is None:
            assert "WindowCenter" not in image  # this PET says nothing, and nor does the state
            continue
        group = groups[source.frame - 1]
        scale, voi = group.PixelValueTransformationSequence[0], group.FrameVOILUTSequence[0]
        stored = np.arange(0, 4000, 37.0)
        rescaled = stored * float(scale.RescaleSlope) + float(scale.RescaleIntercept)
        own = linear(rescaled, float(voi.WindowCenter), float(voi.WindowWidth))
        given = linear(rescaled if alike else stored, *windows[source.sop_instance_uid, source.frame])
        # decimal strings of 16 characters: a part in 1e9 of the range is generous
        np.testing.assert_allclose(given, own, atol=1e-9)
        compared += 1
    assert compared == (len(volume.sources) if windows else 0)


def linear(values: np.ndarray, center: float, width: float) -> np.ndarray:
    """PS3.3 C.11.2.1.2.1, from 0 to 1."""
    return np.clip((values - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def test_a_radiograph_has_no_millilitres(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    label = {"value": 1, "name": "Lung", "category": CODE, "type": CODE}
    made(
        tmp_path, Halves(), task="segment", input={"dimensions": 2, "channels": 1},
        output={"activation": "softmax", "labels": [label]},
    )  # fmt: skip
    image = str(data / "cr_dx_mg" / "dx_image.dcm")
    words = ["--model", str(tmp_path / "net.ts"), "--device", "cpu", "--output"]
    assert main(["ai", "segment", image, *words, str(tmp_path / "seg.json")]) == 0
    (found,) = json.loads((tmp_path / "seg.json").read_text())["labels"]
    assert found["voxels"] > 0 and found["volume_ml"] is None
    sr = str(tmp_path / "sr.dcm")
    assert main(["ai", "report", image, *words, str(tmp_path / "report.md"), "--create-sr", sr]) == 0
    assert f"Lung: {found['voxels']} pixels" in (tmp_path / "report.md").read_text()
    (group,) = read_measurement_report(sr)
    assert not [number for number in group.numbers if number.unit == "ml"]
    capsys.readouterr()


CODE = {"value": "39607008", "scheme": "SCT", "meaning": "Lung"}


def test_what_a_source_states_wrongly_is_not_told(tmp_path: Path, run: Callable[..., Any]) -> None:
    """pydicom's warnings quote values: a date of birth has no place on standard error."""
    source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    with pytest.warns(UserWarning, match="Invalid value|exceeds"):
        source.PatientBirthDate, source.PatientAge, source.PatientID = "31.12.1999", "57", "I" * 70
        source.save_as(tmp_path / "ct.dcm")
    made(tmp_path, Bright())
    done = run("ai", "detect", "ct.dcm", "--model", "net.ts", "--output", "b.dcm", "--format", "sr", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert not [word for word in ("31.12", "1999", "'57'", "III", "VR") if word in done.stderr + done.stdout]
