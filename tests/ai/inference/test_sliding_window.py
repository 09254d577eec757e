"""The sliding window gives what MONAI's gives, and holds less."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import unet

from gpukit.ai.inference.label_map import LabelMap
from gpukit.ai.inference.merger import Block
from gpukit.ai.inference.sliding_window import Layout, importance, slide
from gpukit.ai.inference.window_order import Schedule
from gpukit.ai.model.volume_spec import OutputSpec
from gpukit.errors import ModelError
from gpukit.geometry import Grid
from gpukit.segmentation import Label


class Plain:
    """A module as a gpukit network."""

    batch = None
    patch = (None, None, None)
    summary = "test"

    def __init__(self, module):
        self.module = module
        self.windows = 0

    def __call__(self, batch):
        self.windows += len(batch)
        with torch.inference_mode():
            return self.module(batch)


class Each(torch.nn.Module):
    """Small whole numbers that depend on the class, the image's values and the place in the window."""

    def __init__(self, channels):
        super().__init__()
        self.channels = channels

    def forward(self, batch):
        classes = torch.arange(1, self.channels + 1, dtype=torch.float32).reshape(1, -1, 1, 1, 1)
        place = sum(
            torch.arange(n, dtype=torch.float32).reshape([-1 if a == axis else 1 for a in range(5)]) * (axis + 3)
            for axis, n in enumerate(batch.shape)
            if axis > 1
        )
        return (batch * 13 + place * classes**2) % 31 - 7


def whole_sums(image, module, layout, channels, weight, skip_below=None):
    """Sums of outputs and weights of the whole image, in the plainest way."""
    sides = list(zip(layout.before, layout.size, layout.padded, strict=True))
    padded = torch.nn.functional.pad(image, [n for b, s, p in sides[::-1] for n in (b, p - s - b)])
    sums = torch.zeros((channels + 1, *layout.padded), dtype=torch.float64)
    for corner in itertools.product(*layout.starts):
        box = (slice(None), *(slice(at, at + side) for at, side in zip(corner, layout.patch, strict=True)))
        if skip_below is None or (padded[box] >= skip_below).any():
            sums[:-1][box] += module(padded[box][None])[0] * weight
            sums[-1][box[1:]] += weight
    return sums[(slice(None), *(slice(b, b + s) for b, s, _ in sides))]


def gather(image, network, layout, channels, **options):
    """Blended logits of the whole image, put together from the blocks; NaN where no block came."""
    whole = torch.full((channels, *layout.size), float("nan"))
    for block in slide(image, network, layout, channels=channels, **options):
        part = block.sums if block.weights is None else block.sums / block.weights
        assert whole[(slice(None), *block.box)].isnan().all()  # each voxel once
        whole[(slice(None), *block.box)] = part
    return whole


CASES = [
    ((37, 50, 41), (16, 16, 16), 0.25, "gaussian", 3),
    ((20, 9, 33), (16, 16, 16), 0.5, "gaussian", 1),
    ((7, 9, 5), (16, 24, 16), 0.25, "constant", 2),
    ((16, 16, 16), (16, 16, 16), 0.25, "gaussian", 1),
    ((33, 16, 70), (16, 16, 32), 0.6, "constant", 4),
    ((1, 40, 40), (16, 16, 16), 0.0, "gaussian", 2),
    ((48, 40, 17), (16, 24, 32), 0.8, "gaussian", 7),
]


@pytest.mark.parametrize(("size", "patch", "overlap", "blend", "batch"), CASES)
def test_the_same_logits_and_labels_as_monai(size, patch, overlap, blend, batch):
    from monai.inferers import sliding_window_inference

    module = unet(out_channels=5)
    image = torch.randn((1, *size), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        theirs = sliding_window_inference(image[None], patch, batch, module, overlap=overlap, mode=blend)[0]
    ours = gather(image, Plain(module), Layout.plan(size, patch, overlap), 5, blend=blend, batch=batch)
    # Sums of at most some dozen float32 terms in another order: 1e-5 relative to logits of order 1. Labels may differ
    # only where two logits are that close, which does not happen for these seeds.
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
    assert torch.equal(ours.argmax(0), theirs.argmax(0))


@pytest.mark.parametrize("patch", [(16, 16, 16), (96, 8, 31), (5, 6, 7)])
def test_the_same_weights_as_monai(patch):
    from monai.data.utils import compute_importance_map

    torch.testing.assert_close(importance(patch, "gaussian", "cpu"), compute_importance_map(patch, mode="gaussian"))


@pytest.mark.parametrize("length", [128, 512])
def test_what_is_kept_does_not_grow_with_the_image(length):
    """The 8 planes that two windows share, and a block of 8 in hand; beside the classes there is one sum of weights."""
    layout = Layout.plan((16, length, 16), (16, 16, 16), 0.5)
    for block in slide(torch.zeros(1, 16, length, 16), Plain(Each(7)), layout, channels=7):
        assert block.sums.untyped_storage().nbytes() <= (7 + 1) * (8 + 8) * 16 * 16 * 4


def test_every_voxel_comes_once_and_after_those_before_it():
    """Of which those in front along any one axis must have come, so that seams can be closed."""
    layout = Layout.plan((40, 21, 67), (16, 16, 16), 0.3)
    there = np.zeros((41, 22, 68), dtype=bool)
    there[0] = there[:, 0] = there[:, :, 0] = True
    for block in slide(torch.zeros(1, 40, 21, 67), Plain(Each(3)), layout, channels=3):
        box = tuple(slice(s.start + 1, s.stop + 1) for s in block.box)
        assert not there[box].any()
        there[box] = True
        for axis in range(3):
            before = list(box)
            before[axis] = slice(box[axis].start - 1, box[axis].stop - 1)
            assert there[tuple(before)].all()
    assert there.all()


def test_background_windows_are_skipped_and_nothing_else_changes():
    image = torch.zeros(1, 64, 16, 16)
    image[:, 40:60] = torch.rand((1, 20, 16, 16), generator=torch.Generator().manual_seed(2)) + 0.1
    layout = Layout.plan(image.shape[1:], (16, 16, 16), 0.25)
    seen = []
    network = Plain(unet())
    blocks = slide(
        image, network, layout, channels=3, skip_below=0.05, progress=lambda done, total: seen.append((done, total))
    )
    weights = torch.cat([block.weights.clone() for block in blocks])
    # Windows start at 0, 12, 24, 36 and 48; those at 0, 12 and 24 to 40 see only zeros.
    assert network.windows == 2
    assert seen[-1] == (5, 5)
    assert not weights[:36].any()
    assert weights[36:].all()


def test_what_one_window_saw_is_kept_where_the_next_sees_only_air():
    image = torch.zeros(1, 24, 16, 16)
    image[:, :8] = 1.0
    layout = Layout.plan(image.shape[1:], (16, 16, 16), 0.5)
    network = Plain(Each(3))
    found = gather(image, network, layout, 3, skip_below=0.5)
    assert network.windows == 1
    torch.testing.assert_close(found[:, :16], network.module(image[None, :, :16])[0])


@pytest.mark.parametrize("layout", [((16, 16, 16), (16, 16, 16)), ((24, 16, 16), (16, 16, 16))])
def test_a_network_with_other_channels_than_labels_is_named(layout):
    plan = Layout.plan(*layout, 0.25)
    with pytest.raises(ModelError, match=r"3 output channels, and its labels describe 4.*output\.labels"):
        list(slide(torch.zeros(1, *layout[0]), Plain(unet()), plan, channels=4))


def test_a_network_that_shrinks_its_input_is_named():
    plan = Layout.plan((24, 16, 16), (16, 16, 16), 0.25)
    with pytest.raises(ModelError, match=r"\(16, 16, 16\) into \(14, 14, 14\)"):
        list(slide(torch.zeros(1, 24, 16, 16), Plain(torch.nn.Conv3d(1, 3, 3)), plan, channels=3))


@st.composite
def sweeps(draw):
    """An image, windows over it, a batch, and where there is air."""
    # from 32 on, edges that are close together make no cells of their own
    patch = tuple(draw(st.permutations([draw(st.integers(1, 70)), *(draw(st.integers(1, 9)) for _ in range(2))])))
    size = tuple(draw(st.integers(1, 3 * side + 2)) for side in patch)
    overlap = draw(st.sampled_from([0.0, 0.25, 0.3, 0.5, 0.7]))
    how = draw(st.sampled_from([Layout.plan, Layout.even]))
    values = np.random.default_rng(draw(st.integers(0, 99))).integers(1, 9, size).astype(np.float32)
    for axis, side in enumerate(size):
        air = sorted(draw(st.integers(0, side)) for _ in range(2))
        np.moveaxis(values, axis, 0)[slice(*air)] *= draw(st.sampled_from([0, 1]))
    skip = draw(st.sampled_from([None, 0.5]))
    return torch.from_numpy(values)[None], how(size, patch, overlap), draw(st.integers(1, 4)), skip


@settings(max_examples=60, deadline=None)
@given(sweeps())
def test_blocks_are_the_sums_of_all_windows(sweep):
    """Whole numbers below 2^24 are exact in float32 in whatever order they are added."""
    image, layout, batch, skip = sweep
    module = Each(4)
    sums = whole_sums(image, module, layout, 4, torch.ones(layout.patch), skip)
    found = torch.full((5, *layout.size), float("nan"))
    network = Plain(module)
    options = {"channels": 4, "blend": "constant", "batch": batch, "skip_below": skip}
    for block in slide(image, network, layout, **options):
        found[(slice(0, 4), *block.box)] = block.sums
        found[(4, *block.box)] = 1.0 if block.weights is None else block.weights
    torch.testing.assert_close(found, sums.to(torch.float32), atol=0, rtol=0)


@settings(max_examples=40, deadline=None)
@given(sweeps(), st.sampled_from(["softmax", "sigmoid"]), st.booleans(), st.booleans())
def test_labels_of_blocks_are_those_of_the_whole(sweep, activation, turned, resampled):
    """On the network's grid and on another; against all sums in one block, whose labels have tests of their own."""
    image, layout, batch, skip = sweep
    code = ("a", "b", "c")
    spec = OutputSpec(activation=activation, labels=tuple(Label(v, str(v), code, code) for v in (1, 2, 3)))
    channels = 4 if activation == "softmax" else 3
    module = Each(channels)
    # a tenth of a whole number of tenths: probabilities between voxels that are no ties
    sums = whole_sums(image, module, layout, channels, torch.ones(layout.patch), skip).to(torch.float32)
    angle = 0.4 if turned else 0.0
    turn = np.array([(np.cos(angle), -np.sin(angle), 0), (np.sin(angle), np.cos(angle), 0), (0, 0, 1)])
    model = Grid.from_axes(layout.size[::-1], spacing=(1.1, 1.3, 1.6), direction=turn, origin=(3, 2, 1))
    source = Grid.from_axes((17, 19, 23), spacing=(1.2, 1.0, 0.9)) if resampled else model
    targets = [LabelMap(source, model, spec, torch.device("cpu")) for _ in range(2)]
    targets[0].add(Block((0, 0, 0), sums[:-1], sums[-1]))
    options = {"channels": channels, "blend": "constant", "batch": batch, "skip_below": skip}
    for block in slide(image, Plain(module), layout, **options):
        targets[1].add(block)
    assert torch.equal(targets[1].finish(), targets[0].finish())


@settings(max_examples=60, deadline=None)
@given(sweeps(), st.sampled_from([1, 40, 10**6]))
def test_cells_that_are_kept_at_once_do_not_share_memory(sweep, most):
    _, layout, _, _ = sweep
    plan = Schedule.plan(layout.starts, layout.patch, most)
    assert sorted(plan.corners) == sorted(itertools.product(*layout.starts))
    owner = np.full(plan.room, -1)
    cells = {}
    for window in range(len(plan.corners)):
        seen = list(plan.cells(window))
        for number, cell in enumerate(sorted(seen, key=lambda c: c.last > window)):
            place = slice(cell.place, cell.place + int(np.prod(cell.shape)))
            name = cells.setdefault(cell.start, len(cells))
            assert place.stop <= plan.room
            if cell.first == window:
                assert (owner[place] == -1).all()
                owner[place] = name
            assert (owner[place] == name).all(), number
            if cell.last == window:
                owner[place] = -1
    assert (owner == -1).all()
    assert len(cells) == plan.first.size


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("size", [(16, 16, 16), (40, 20, 33), (10, 20, 33)])
@pytest.mark.parametrize("where", [(0, 0, 0), (9, 5, 8), (15, 15, 15)])
def test_values_that_are_not_finite_are_refused_wherever_they_are(value, size, where):
    """Also in a window's corner, where its weight is least, and where the image was padded."""

    class Spoiled(torch.nn.Module):
        calls = 0

        def forward(self, batch):
            found = Each(3)(batch)
            if self.calls == layout.count // 2:
                found[(0, 1, *where)] = value
            self.calls += 1
            return found

    layout = Layout.plan(size, (16, 16, 16), 0.5)
    image = torch.ones(1, *size)
    with pytest.raises(ModelError, match=r"values that are not finite \(NaN or infinity\)"):
        list(slide(image, Plain(Spoiled()), layout, channels=3))
