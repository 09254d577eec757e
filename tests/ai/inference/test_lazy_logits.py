"""The last layer is run for the voxels that are asked for, and only where that is sure to change nothing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from gpukit.ai.inference.lazy_logits import Late
from gpukit.ai.inference.out_of_memory import Frugal
from gpukit.ai.inference.sliding_window import Layout, slide
from gpukit_backends.runtimes.torch_runtime import TorchNetwork

CLASSES = 40
#: Large enough for torch to give it to oneDNN, as windows are.
SIZE = (33, 32, 31)


class Body(torch.nn.Module):
    """Two layers, of which the last makes classes; subclasses do something with its output."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = torch.nn.Conv3d(1, 16, 3, padding=1)
        self.head = torch.nn.Conv3d(16, CLASSES, 1)

    def forward(self, batch):
        return self.head(torch.relu(self.body(batch)))


class Supervised(Body):
    def forward(self, batch):
        found = super().forward(batch)
        return [found, found[:, :, ::2, ::2, ::2]]


class Written(Body):
    """The last tensor is the layer's own, but written to."""

    def forward(self, batch):
        return super().forward(batch).relu_()


class FeaturesWritten(Body):
    def forward(self, batch):
        features = torch.relu(self.body(batch))
        found = self.head(features)
        features.zero_()
        return found


class Activated(Body):
    def forward(self, batch):
        return super().forward(batch).softmax(dim=1)


class Residual(Body):
    def forward(self, batch):
        return super().forward(batch) + batch


class Changing(Body):
    """Goes another way where the image is bright."""

    def forward(self, batch):
        found = super().forward(batch)
        return found if batch.mean() < 5 else found * 2


class ChangingInPlace(Body):
    """Writes to the layer's output where the image is bright."""

    def forward(self, batch):
        found = super().forward(batch)
        return found if batch.mean() < 5 else found.mul_(2)


class InPlace(Body):
    """Changes what it is given, which a tensor of inference mode cannot bear outside of it."""

    def forward(self, batch):
        return super().forward(batch.mul_(0.5).mul_(2.0))


def network(module):
    return TorchNetwork(module.eval(), torch.device("cpu"), "float32")


def image(seed, *size):
    return torch.randn((2, 1, *size), generator=torch.Generator().manual_seed(seed))


def whole(output):
    """The logits, whatever was given for them."""
    return torch.stack([one[(slice(None),) * 4] for one in output])


@pytest.mark.parametrize("kind", [Body, Supervised, InPlace])
def test_a_last_layer_is_found(kind):
    loaded = network(kind())
    with torch.inference_mode():
        for seed in range(3):
            values = image(seed, *SIZE)
            found = loaded.late(values.clone())
            assert isinstance(found, Late)
            assert found.shape == (2, CLASSES, *SIZE)
            # every bit, so that labels do not change where two classes are equal but for rounding
            assert torch.equal(whole(found), loaded(values))
            box = (slice(None), slice(2, 5), slice(0, 8), slice(6, 7))
            assert torch.equal(list(found)[1][box], loaded(values)[1][box])


@pytest.mark.parametrize("kind", [Written, FeaturesWritten, Activated, Residual])
def test_what_is_done_after_the_layer_is_not_lost(kind):
    module = kind()
    loaded = network(module)
    with torch.inference_mode():
        for seed in range(3):
            values = image(seed, *SIZE)
            found = loaded.late(values)
            assert isinstance(found, torch.Tensor)
            torch.testing.assert_close(found, module(values), atol=0, rtol=0)


@pytest.mark.parametrize("kind", [Changing, ChangingInPlace])
def test_a_network_that_goes_another_way_later_is_run_as_it_is(kind):
    module = kind()
    loaded = network(module)
    with torch.inference_mode():
        assert isinstance(loaded.late(image(0, *SIZE)), Late)
        bright = image(1, *SIZE) + 20
        found = loaded.late(bright)
        assert isinstance(found, torch.Tensor)
        torch.testing.assert_close(found, module(bright), atol=0, rtol=0)
        torch.testing.assert_close(loaded.late(image(2, *SIZE)), module(image(2, *SIZE)), atol=0, rtol=0)


@pytest.mark.parametrize("name", ["BasicUNet", "DynUNet", "SegResNet"])
def test_windows_give_monais_labels_with_less_at_once(name):
    """Of networks as they are used; the whole output of a window is there for the first window alone."""
    from monai.inferers import sliding_window_inference
    from monai.networks.nets import BasicUNet, DynUNet, SegResNet

    torch.manual_seed(1)
    made = {
        "BasicUNet": lambda: BasicUNet(3, 1, 40, features=(16, 8, 8, 8, 8, 16)),
        "DynUNet": lambda: DynUNet(3, 1, 40, [3] * 3, [1, 2, 2], [2, 2], filters=(16, 8, 8)),
        "SegResNet": lambda: SegResNet(3, 16, 1, 40, blocks_down=(1, 1), blocks_up=(1,)),
    }[name]().eval()
    loaded = network(made)
    values = image(3, 50, 40, 33)[0]
    sizes = []

    def measured(batch):
        with torch.profiler.profile(profile_memory=True) as profile:
            found = loaded.late(batch)
        sizes.append(max(event.self_cpu_memory_usage for event in profile.events()))
        return found

    frugal = Frugal(loaded)
    frugal.late = measured
    layout = Layout.plan(values.shape[1:], (32, 32, 32), 0.25)
    labels = torch.full(layout.size, -1)
    with torch.inference_mode():
        for block in slide(values, frugal, layout, channels=40, batch=2):
            labels[block.box] = block.sums.argmax(dim=0)
        theirs = sliding_window_inference(values[None], (32, 32, 32), 2, made, overlap=0.25, mode="gaussian")[0]
    assert torch.equal(labels, theirs.argmax(dim=0))
    one = 2 * 40 * 32**3 * 4
    assert sizes[0] >= one
    assert max(sizes[1:]) < one
