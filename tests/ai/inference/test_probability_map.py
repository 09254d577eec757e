"""Probabilities of labels on the source's grid, against the definition evaluated whole."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from support.models import label, write_model

import gpukit
from gpukit.dicom.derived.mr_series import write_mr_series
from gpukit.dicom.segmentation.seg_read import read_seg
from gpukit.errors import InputError, ModelError
from gpukit.geometry import Grid
from gpukit.segmentation import Label
from gpukit.volume import Volume

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

CODE = ("91723000", "SCT", "Anatomical Structure")
ONE = 0.5 / 255  # what rounding to a byte may take


def split(logits: np.ndarray, sides: tuple[int, int, int]) -> list:
    """Blocks, as the sliding window hands them on: weighted sums, and the weights."""
    from gpukit.ai.inference.merger import Block

    found = []
    rng = np.random.default_rng(9)
    for start in itertools.product(*(range(0, n, side) for n, side in zip(logits.shape[1:], sides, strict=True))):
        box = tuple(slice(at, at + side) for at, side in zip(start, sides, strict=True))
        part = torch.from_numpy(logits)[(slice(None), *box)]
        weights = torch.from_numpy(rng.uniform(0.5, 2.0, part.shape[1:]).astype(np.float32))
        found.append(Block(start, part * weights, weights))
    return found


def expected(logits: np.ndarray, activation: str, source: Grid, model: Grid) -> np.ndarray:
    """Activated, then interpolated by scipy at every source voxel; 0 outside of the model's grid."""
    from scipy.ndimage import map_coordinates
    from scipy.special import expit, softmax

    values = expit(logits) if activation == "sigmoid" else softmax(logits, axis=0)
    k, j, i = np.mgrid[tuple(slice(n) for n in source.shape)]
    at = model.to_index(source.to_world(np.stack([i, j, k], -1).reshape(-1, 3)))
    size = np.array(logits.shape[1:])
    inside = ((at >= -0.5) & (at <= size - 0.5)).all(axis=1)
    at = np.clip(at, 0, size - 1)
    found = [np.where(inside, map_coordinates(v, at.T, order=1), 0).reshape(source.shape) for v in values]
    return np.stack(found)


@pytest.mark.parametrize("activation", ["softmax", "sigmoid"])
@pytest.mark.parametrize("way", ["whole voxels", "beyond the source", "part of the source", "resampled"])
@pytest.mark.parametrize("sides", [(3, 99, 99), (99, 3, 99), (99, 99, 3), (3, 4, 2)])
def test_against_the_definition(activation: str, way: str, sides: tuple[int, int, int]) -> None:
    from gpukit.ai.inference.label_map import LabelMap
    from gpukit.ai.inference.probability_map import ProbabilityMap
    from gpukit.ai.model.volume_spec import OutputSpec

    source = Grid.from_axes((6, 7, 8), spacing=(1.0, 1.2, 2.0), origin=(3, -4, 5))
    if way != "resampled":  # permuted and flipped
        turned = source.reoriented("PIR")[0]
        more, start = {"whole voxels": (0, (0, 0, 0)), "beyond the source": (3, (-1, -2, 0))}.get(way, (-2, (1, 0, 2)))
        affine = turned.affine.copy()
        affine[:3, 3] = turned.to_world(start)
        model = Grid(tuple(n + more for n in turned.shape), affine)
    else:
        turn = np.array([(np.cos(0.2), -np.sin(0.2), 0), (np.sin(0.2), np.cos(0.2), 0), (0, 0, 1)])
        model = Grid.from_axes((9, 8, 7), spacing=(1.1, 1.3, 1.6), direction=turn, origin=(3.2, -4.1, 4.7))
    labels = [1, 2, 3] if activation == "softmax" else [2, 5, 9]
    output = OutputSpec(activation=activation, labels=tuple(Label(v, f"n{v}", CODE, CODE) for v in labels))
    rng = np.random.default_rng(sides[0])
    size = model.shape[::-1]
    logits = rng.normal(0, 2, (4 if activation == "softmax" else 3, *size)).astype(np.float32)
    wanted = [labels[2], labels[0]]
    collected = ProbabilityMap(source, model, output, torch.device("cpu"), wanted)
    for block in split(logits, sides):
        collected.add(block)
    with torch.profiler.profile(profile_memory=True) as profile:
        found = collected.probabilities().numpy()
    # they are turned where they are, label by label: nothing of the size of two labels is ever taken
    assert found.flags.owndata is False and found.shape == (2, *source.shape)
    voxels = max(np.prod(source.shape), np.prod(model.shape))
    assert max((event.self_cpu_memory_usage for event in profile.events()), default=0) < 1.5 * voxels
    whole = expected(logits.astype(float), activation, source, model)
    channels = [3, 1] if activation == "softmax" else [2, 0]
    # float32 weights and interpolation add less than 1e-5
    np.testing.assert_allclose(found / 255, whole[channels], atol=ONE + 1e-5)
    plain = LabelMap(source, model, output, torch.device("cpu"))
    for block in split(logits, sides):
        plain.add(block)
    np.testing.assert_array_equal(collected.finish().numpy(), plain.finish().numpy())


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """An oblique series of noise, on another grid than the model's."""
    shape = (9, 20, 18)
    turn = np.array([(1, 0, 0), (0, np.cos(0.3), -np.sin(0.3)), (0, np.sin(0.3), np.cos(0.3))])
    grid = Grid.from_axes(shape, spacing=(0.9, 1.1, 2.5), direction=turn, origin=(-20, 31, 7))
    volume = Volume(array=np.random.default_rng(0).integers(0, 999, shape).astype(np.uint16), grid=grid)
    facts = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "BRAIN"}
    write_mr_series(volume, tmp_path / "series", **facts)
    return tmp_path / "series"


def test_the_largest_probability_has_the_label(series: Path, tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", input={"channels": 1, "orientation": "RAS", "spacing": [1.0, 1.0, 1.0]})
    volume = gpukit.open(series, device="cpu")
    plain = gpukit.segment(volume, model)
    found = gpukit.segment(volume, model, probabilities=True)
    np.testing.assert_array_equal(found.array, plain.array)
    one, two = found.probabilities.astype(int)
    background = 255 - one - two
    assert len(np.unique(plain.array)) > 1
    for value, fraction in enumerate((background, one, two)):
        # rounding three numbers to bytes may swap those that are all but equal
        assert (fraction >= np.maximum(np.maximum(background, one), two) - 2)[plain.array == value].all()
    alone = gpukit.segment(volume, model, probabilities=["Liver 2"])
    np.testing.assert_array_equal(alone.probabilities, found.probabilities[1:])
    assert [label.value for label in alone.labels] == [2]
    np.testing.assert_array_equal(alone.array, np.where(plain.array == 2, 2, 0))


def test_from_the_command_line_to_other_programs(series: Path, tmp_path: Path) -> None:
    import highdicom

    from gpukit_cli.main import main

    model = write_model(tmp_path / "model", input={"channels": 1, "orientation": "RAS", "spacing": [1.0, 1.0, 1.0]})
    words = ["ai", "segment", series, "--model", model, "--device", "cpu", "--segmentation-type", "fractional"]
    assert main([*map(str, words), "--labels", "2", "--output", str(tmp_path / "seg.dcm")]) == 0
    volume = gpukit.open(series, device="cpu")
    (fraction,) = gpukit.segment(volume, model, probabilities=["2"]).probabilities
    back = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [back.SegmentationType, back.SegmentationFractionalType] == ["FRACTIONAL", "PROBABILITY"]
    read = back.get_volume(combine_segments=False, rescale_fractional=True, allow_missing_positions=True, rtol=0.05)
    np.testing.assert_allclose(read.array[..., 0].sum(), fraction.sum() / 255, rtol=1e-5)
    for threshold in (0.3, 0.5):
        mine = read_seg(tmp_path / "seg.dcm", volume, threshold=threshold).array
        np.testing.assert_array_equal(mine != 0, (fraction > 0) & (fraction >= 255 * threshold))


def test_where_there_are_no_probabilities_it_says_so(series: Path, tmp_path: Path) -> None:
    volume = gpukit.open(series, device="cpu")
    shape = {"channels": 1, "orientation": "RAS", "spacing": [1.0, 1.0, 1.0]}
    one, two = (write_model(tmp_path / name, input=shape) for name in ("one", "two"))
    with pytest.raises(InputError, match="vote"):
        gpukit.segment(volume, [one, two], ensemble="vote", probabilities=True)
    both = gpukit.segment(volume, [one, two], probabilities=True)  # the same network twice is that network
    alone = gpukit.segment(volume, one, probabilities=True)
    assert np.abs(both.probabilities.astype(int) - alone.probabilities).max() <= 1
    write_model(tmp_path / "none", input=shape, output={"activation": "none", "labels": [label(1), label(2)]})
    with pytest.raises(ModelError, match="softmax or sigmoid"):
        gpukit.segment(volume, tmp_path / "none", probabilities=True)
