"""Enhancing: values in the source's unit, grids, derived DICOM; and reports of several models."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK
from pydicom.data import get_testdata_file

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")

from support.oracles.dciodvfy import errors_of

import gpukit as gk
from gpukit.ai.model.description import Model, read_description
from gpukit.ai.tasks.enhance import enhance
from gpukit.dicom.derived.write import write_derived
from gpukit.errors import ModelError
from gpukit.geometry import Grid
from gpukit.volume import Volume

Run = Callable[..., subprocess.CompletedProcess[str]]
RNG = np.random.default_rng(3)


class Doubled(torch.nn.Module):
    """Each pixel twice along both axes."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


class Doubled3(torch.nn.Module):
    """Each voxel twice along the first axis."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.repeat_interleave(2, dim=2)


class Same(torch.nn.Module):
    """What it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 1.0


class Tenth(torch.nn.Module):
    """A tenth of what it is given."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * 0.1


def made(folder: Path, network: torch.nn.Module, name: str = "net", **changes: Any) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    torch.jit.script(network).save(str(folder / f"{name}.ts"))
    content: dict[str, Any] = {
        "schema_version": 1, "name": name, "version": "1", "task": "enhance", "format": "torchscript",
        "weights": f"{name}.ts", "input": {"dimensions": 2, "channels": 1}, "output": {}, **changes,
    }  # fmt: skip
    (folder / f"{name}.json").write_text(json.dumps(content))
    return folder / f"{name}.ts"


def model(folder: Path, network: torch.nn.Module, **changes: Any) -> Model:
    return read_description(made(folder, network, **changes).with_suffix(".json"))


def stack(**facts: Any) -> Volume:
    array = RNG.normal(scale=300, size=(3, 10, 12)).astype(np.float32)
    grid = Grid.from_axes((3, 10, 12), spacing=(0.8, 1.2, 3.0), origin=(5, -7, 30))
    return Volume(array=array, grid=grid, unit="HU", **facts)


NORMALIZE = {"_target_": "NormalizeIntensity"}
RANGE = {"_target_": "ScaleIntensityRange", "a_min": 0, "a_max": 1, "b_min": -1, "b_max": 1}


@pytest.mark.parametrize(
    "given",
    [
        {"values": "rescaled"},
        {"values": "window", "window": [-2000, 2000]},
        {"values": "rescaled", "intensity": [NORMALIZE]},
        {"values": "window", "window": [-2000, 2000], "intensity": [RANGE, NORMALIZE]},
    ],
)
@pytest.mark.parametrize("photometric", ["MONOCHROME2", "MONOCHROME1"])
def test_values_come_back_in_the_sources_unit(given: dict[str, Any], photometric: str, tmp_path: Path) -> None:
    volume = stack(metadata={"PhotometricInterpretation": photometric})
    same = model(tmp_path, Same(), input={"dimensions": 2, "channels": 1, **given})
    result = enhance(volume, same)
    # float32 through a handful of operations on values up to 1000
    np.testing.assert_allclose(result.array, volume.array, atol=2e-3)
    assert result.grid is volume.grid and result.unit == "HU"


def test_a_transform_that_is_not_linear_is_refused_unless_told(tmp_path: Path) -> None:
    log = {"dimensions": 2, "channels": 1, "intensity": [{"_target_": "AdjustContrast", "gamma": 2.0}]}
    with pytest.raises(ModelError, match=r"AdjustContrast is not linear.*\$\.input\.intensity\[0\]"):
        enhance(stack(), model(tmp_path, Same(), input=log))
    assert enhance(stack(), model(tmp_path, Same(), input=log, output={"restore": False})).unit == "1"


def test_a_residual_is_added(tmp_path: Path) -> None:
    volume = stack()
    rescaled = {"dimensions": 2, "channels": 1, "values": "rescaled"}
    result = enhance(volume, model(tmp_path, Tenth(), input=rescaled, output={"residual": True}))
    np.testing.assert_allclose(result.array, volume.array * 1.1, rtol=1e-5)


def test_finer_pixels_lie_where_the_coarse_ones_were(tmp_path: Path) -> None:
    volume = stack()
    rescaled = {"dimensions": 2, "channels": 1, "values": "rescaled"}
    result = enhance(volume, model(tmp_path, Doubled(), input=rescaled, output={"scale": [2, 2]}))
    assert result.shape == (3, 20, 24) and result.grid.spacing == pytest.approx((0.4, 0.6, 3.0))
    np.testing.assert_allclose(result.array[:, ::2, ::2], volume.array, rtol=1e-6)
    # the first fine pixel's centre is a quarter of a coarse pixel before the coarse one's
    assert result.grid.origin == pytest.approx((5 - 0.2, -7 - 0.3, 30))
    with pytest.raises(ModelError, match=r"\$\.output\.scale"):
        enhance(volume, model(tmp_path, Doubled(), input=rescaled, output={"scale": 1}))


@pytest.mark.parametrize("codes", ["RAS", "SPL", "AIR"])
def test_volumes_keep_their_grid_and_finer_ones_their_axes(codes: str, tmp_path: Path) -> None:
    volume = stack()
    spec = {"channels": 1, "orientation": codes, "intensity": [NORMALIZE]}
    result = enhance(volume, model(tmp_path, Same(), input=spec, inference={"patch": [8, 8, 8], "overlap": 0.5}))
    assert result.grid is volume.grid
    np.testing.assert_allclose(result.array, volume.array, atol=2e-3)
    finer = enhance(volume, model(tmp_path, Doubled3(), input=spec, output={"scale": [2, 1, 1]}))
    axis = {"R": 2, "L": 2, "A": 1, "P": 1, "S": 0, "I": 0}[codes[0]]
    wanted = list(volume.shape)
    wanted[axis] *= 2
    assert finer.shape == tuple(wanted) and finer.grid.codes == volume.grid.codes
    every = [slice(None)] * 3
    every[axis] = slice(None, None, 2)
    np.testing.assert_allclose(finer.array[tuple(every)], volume.array, atol=2e-3)


def test_padding_stays(tmp_path: Path) -> None:
    volume = stack(padding=(-5000.0, -5000.0))
    volume.array[0, 0, 0] = -5000.0
    rescaled = {"dimensions": 2, "channels": 1, "values": "rescaled"}
    result = enhance(volume, model(tmp_path, Tenth(), input=rescaled))
    assert result.array[0, 0, 0] == -5000.0 and result.array[1, 1, 1] == pytest.approx(volume.array[1, 1, 1] * 0.1)


def test_an_enhanced_image_is_a_derived_image(run: Run, tmp_path: Path) -> None:
    """``gpukit ai enhance noisy-image.dcm --model super-resolution... --output enhanced.dcm``."""
    source = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    source.save_as(tmp_path / "noisy-image.dcm")
    made(
        tmp_path, Doubled(), "super-resolution",
        input={"dimensions": 2, "channels": 1, "values": "rescaled"}, output={"scale": [2, 2]},
    )  # fmt: skip
    line = ["ai", "enhance", "noisy-image.dcm", "--model", "super-resolution.ts", "--output", "enhanced.dcm"]
    done = run(*line, "--nifti", "enhanced.nii.gz", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    image = pydicom.dcmread(tmp_path / "enhanced.dcm")
    assert not errors_of(tmp_path / "enhanced.dcm")
    assert image.ImageType[:2] == ["DERIVED", "SECONDARY"] and image.SOPClassUID == source.SOPClassUID
    assert image.SourceImageSequence[0].ReferencedSOPInstanceUID == source.SOPInstanceUID
    assert image.StudyInstanceUID == source.StudyInstanceUID and image.SeriesInstanceUID != source.SeriesInstanceUID
    assert "sha256" in image.DerivationDescription
    # Another program finds the same values at the same place in the patient.
    old, new = (
        SimpleITK.ReadImage(str(tmp_path / "noisy-image.dcm")),
        SimpleITK.ReadImage(str(tmp_path / "enhanced.dcm")),
    )
    for index in [(3, 5, 0), (100, 20, 0), (64, 127, 0)]:
        place = new.TransformPhysicalPointToIndex(old.TransformIndexToPhysicalPoint(index))
        assert new[place] == old[index]
    assert new.GetSpacing()[0] == pytest.approx(old.GetSpacing()[0] / 2)
    assert (tmp_path / "enhanced.nii.gz").exists()


def test_an_enhanced_series_is_a_derived_series(data: Path, tmp_path: Path) -> None:
    volume = gk.open(data / "ct_totalseg" / "dicom_j2k", device="cpu")
    part = {"dimensions": 2, "channels": 1, "values": "rescaled"}
    result = enhance(volume, model(tmp_path, Same(), input=part))
    files = write_derived(result, tmp_path / "series")
    assert len(files) == 20 and not errors_of(files[3])
    back = gk.open(tmp_path / "series", device="cpu")
    assert back.grid.same_as(volume.grid)
    np.testing.assert_allclose(back.array, volume.array, atol=0.5)  # whole Hounsfield units


def test_a_report_states_what_models_find(run: Run, tmp_path: Path) -> None:
    """``gpukit ai report chest-xray.dcm --model ... --output report.json --create-sr report-sr.dcm``."""

    class Means(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mean = x.mean(dim=(1, 2, 3))
            return torch.stack([mean * 0 + 2.0, mean * 0 - 2.0], dim=1)

    pydicom.dcmread(get_testdata_file("CT_small.dcm")).save_as(tmp_path / "chest-xray.dcm")
    pneumonia = {"name": "Pneumonia", "code": {"value": "233604007", "scheme": "SCT", "meaning": "Pneumonia"}}
    made(
        tmp_path, Means(), "report-generation", task="classify",
        output={"activation": "sigmoid", "classes": [pneumonia, "Effusion"]},
    )  # fmt: skip
    line = ["ai", "report", "chest-xray.dcm", "--model", "report-generation.ts", "--output", "report.json"]
    done = run(*line, "--create-sr", "report-sr.dcm", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "report.json").read_text())
    chance = 1 / (1 + np.exp(-2.0))
    stated = {f["name"]: (f["present"], f["value"]) for f in document["findings"]}
    assert stated["Pneumonia"] == (True, pytest.approx(chance, abs=1e-6))
    assert stated["Effusion"] == (False, pytest.approx(1 - chance, abs=1e-6))
    assert not errors_of(tmp_path / "report-sr.dcm")
    group, others = highdicom.sr.srread(tmp_path / "report-sr.dcm").content.get_image_measurement_groups()
    assert group.finding_type.value == "233604007"
    assert group.get_measurements()[0].value == pytest.approx(100 * chance, abs=1e-3)
    # what is not there is an answer (CID 240: Absent) to a question, and no finding
    assert others.finding_type is None and not others.get_measurements()
    (absent,) = others.get_qualitative_evaluations()
    assert (absent.name.meaning, absent.value.value) == ("Effusion", "272519000")
    shown = run(*line[:-2], cwd=tmp_path).stdout
    assert "Pneumonia: present, probability 88%" in shown and "Effusion: absent" in shown
