"""The sliding window gives what MONAI's gives, and holds less."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from made_models import unet  # noqa: E402

from gpukit.ai.window import Layout, importance, slide  # noqa: E402
from gpukit.errors import ModelError  # noqa: E402


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


def gather(image, network, layout, channels, **options):
    """Blended logits of the whole image, put together from the slabs; NaN where no slab came."""
    whole = torch.full((channels, *layout.size), float("nan"))
    for slab in slide(image, network, layout, channels=channels, **options):
        part = slab.sums if slab.weights is None else slab.sums / slab.weights
        whole.narrow(layout.axis + 1, slab.start, slab.stop - slab.start).copy_(part)
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


def test_the_ring_holds_one_window_of_planes():
    """Whatever the image's length, no storage larger than (classes + 1) x window x cross-section is allocated."""
    layout = Layout.plan((16, 128, 16), (16, 16, 16), 0.5)
    assert layout.axis == 1
    for slab in slide(torch.zeros(1, 16, 128, 16), Plain(unet(out_channels=7)), layout, channels=7):
        assert slab.sums.untyped_storage().nbytes() <= (7 + 1) * 16 * 16 * 16 * 4
        assert slab.stop - slab.start <= 16


def test_every_plane_comes_once_and_in_order():
    layout = Layout.plan((20, 21, 67), (16, 16, 16), 0.3)
    planes = []
    for slab in slide(torch.zeros(1, 20, 21, 67), Plain(unet()), layout, channels=3):
        planes += range(slab.start, slab.stop)
    assert planes == list(range(67))


def test_background_windows_are_skipped_and_nothing_else_changes():
    image = torch.zeros(1, 64, 16, 16)
    image[:, 40:60] = torch.rand((1, 20, 16, 16), generator=torch.Generator().manual_seed(2)) + 0.1
    layout = Layout.plan(image.shape[1:], (16, 16, 16), 0.25)
    seen = []
    network = Plain(unet())
    slabs = slide(
        image, network, layout, channels=3, skip_below=0.05, progress=lambda done, total: seen.append((done, total))
    )
    weights = torch.cat([slab.weights.clone() for slab in slabs], dim=layout.axis)
    # Windows start at 0, 12, 24, 36 and 48; those at 0, 12 and 24 to 40 see only zeros.
    assert network.windows == 2
    assert seen[-1] == (5, 5)
    assert not weights[:36].any()
    assert weights[36:].all()


@pytest.mark.parametrize("layout", [((16, 16, 16), (16, 16, 16)), ((24, 16, 16), (16, 16, 16))])
def test_a_network_with_other_channels_than_labels_is_named(layout):
    plan = Layout.plan(*layout, 0.25)
    with pytest.raises(ModelError, match=r"3 output channels, and its labels describe 4.*output\.labels"):
        list(slide(torch.zeros(1, *layout[0]), Plain(unet()), plan, channels=4))


def test_a_network_that_shrinks_its_input_is_named():
    plan = Layout.plan((24, 16, 16), (16, 16, 16), 0.25)
    with pytest.raises(ModelError, match=r"\(16, 16, 16\) into \(14, 14, 14\)"):
        list(slide(torch.zeros(1, 24, 16, 16), Plain(torch.nn.Conv3d(1, 3, 3)), plan, channels=3))
