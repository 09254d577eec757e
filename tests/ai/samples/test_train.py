"""The sample model's training: pairs that match, and steps that learn. A made-up anatomy stands in for the template."""

import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("monai", reason="the network is MONAI's")

from gpukit.ai.samples.brain_tissue import augment, train

SIZE = 32


def half_brain(axis: int, t1: tuple[float, float] = (220.0, 166.0), radius: float | None = None) -> augment.Template:
    """White matter beyond the middle of one axis, grey before it: everywhere, or in a ball of a radius in mm.

    Positions beyond the template's grid have the values of its border, so a small grid does for the endless one.
    """
    side = 16 if radius is None else round(2 * radius) + 24
    line = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
    grid = torch.meshgrid(line, line, line, indexing="ij")
    # Endless: 100 mm from the surface, so the picture is tissue and nothing else.
    away = torch.full((side,) * 3, -100.0) if radius is None else torch.sqrt(sum(g**2 for g in grid)) - radius
    brain = (away < 0).float()
    white = brain * (grid[axis] > 0)
    grey = brain - white
    channels = torch.stack([white * t1[0] + grey * t1[1], white, grey, away])
    return augment.Template(channels, (-(side - 1) / 2,) * 3)


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def head() -> augment.Template:
    return half_brain(0, radius=50.0)


def pair(template: augment.Template, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    return augment.synthesise(template, SIZE, torch.Generator().manual_seed(seed))


def pairs_with_both(template: augment.Template, wanted: int):
    found = []
    for seed in range(200):
        image, labels = pair(template, seed)
        if min(int((labels == 1).sum()), int((labels == 2).sum())) > SIZE**3 // 4:
            found.append((seed, image[0], labels))
        if len(found) == wanted:
            return found
    raise AssertionError("no patches with both tissues")


def gap(labels: torch.Tensor, axis: int) -> float:
    """How far white matter's centre lies beyond grey matter's along an axis, in voxels."""
    white, grey = ((labels == value).nonzero()[:, axis].double().mean() for value in (1, 2))
    return float(white - grey)


def contrast(picture: torch.Tensor, labels: torch.Tensor) -> float:
    return float(picture[labels == 1].mean() - picture[labels == 2].mean())


@pytest.mark.parametrize(("axis", "name"), [(1, "front"), (2, "top")])
def test_patches_keep_front_and_top(axis, name):
    # Rotations stay below 45 degrees: white matter, which is in front or on top, is so in every patch.
    for seed, _, labels in pairs_with_both(half_brain(axis), 2):
        assert gap(labels, axis) > 0, (seed, name)


def test_mirror_images_have_mirrored_labels():
    # Left and right are exchanged in half of the pairs. In all, the picture is brighter on the labels' white side.
    sides = set()
    for seed, picture, labels in pairs_with_both(half_brain(0), 6):
        sides.add(gap(labels, 0) > 0)
        mirrored = labels.flip(0)
        assert contrast(picture, labels) > contrast(picture, mirrored), seed
    assert sides == {True, False}


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_image_and_labels_show_the_same_place(axis):
    # Labels moved by four voxels across the boundary (blur reaches about two) fit the picture worse.
    for seed, picture, labels in pairs_with_both(half_brain(axis), 2):
        inner = (slice(4, -4),) * 3
        here = contrast(picture[inner], labels[inner])
        assert here > 0, seed
        for step in (-4, 4):
            moved = torch.roll(labels, step, dims=axis)
            assert contrast(picture[inner], moved[inner]) < here, (seed, step)


def test_labels_follow_the_geometry_only():
    plain, inverted = half_brain(1), half_brain(1, t1=(80.0, 240.0))
    differ = 0
    for seed in range(6):
        image, labels = pair(plain, seed)
        again, same = pair(inverted, seed)
        assert torch.equal(labels, same)
        differ += not torch.equal(image, again)
    assert differ  # some patches do show the template's own T1


def test_a_pair_is_what_the_network_is_given(head):
    seen = set()
    for seed in range(8):
        image, labels = pair(head, seed)
        assert image.shape == (1, SIZE, SIZE, SIZE)
        assert labels.shape == (SIZE, SIZE, SIZE)
        assert image.dtype == torch.float32
        assert torch.isfinite(image).all()
        assert 0 <= float(image.min()) <= float(image.max()) <= 1
        seen |= set(labels.unique().tolist())
    assert {0, 1, 2} <= seen <= {0, 1, 2, augment.IGNORE}


def test_the_seed_decides_everything(head):
    first, second, other = (pair(head, seed) for seed in (5, 5, 6))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[0], other[0])


def test_steps_on_a_fixed_batch_lower_the_loss():
    torch.manual_seed(0)
    _, picture, labels = pairs_with_both(half_brain(1), 1)[0]
    images, truths = picture[None, None], labels[None]
    network = train.build_network()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    losses = []
    for _ in range(8):
        optimizer.zero_grad()
        loss = train.loss_of(network(images), truths)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # Eight steps on one batch are far more than enough to leave the start behind.
    assert losses[-1] < 0.9 * losses[0]


def test_the_loss_is_zero_for_the_truth_and_leaves_out_the_ignored():
    labels = torch.zeros((1, 8, 8, 8), dtype=torch.int64)
    labels[:, 2:5], labels[:, 5:] = 1, 2
    truth = torch.nn.functional.one_hot(labels, 3).movedim(-1, 1).float() * 40
    assert train.loss_of(truth, labels).item() < 1e-3
    assert train.loss_of(truth.roll(1, dims=1), labels).item() > 1
    labels[:, :2] = augment.IGNORE
    wrong_there = truth.clone()
    wrong_there[:, :, :2] = truth[:, :, :2].roll(1, dims=1)
    assert train.loss_of(wrong_there, labels).item() < 1e-3
