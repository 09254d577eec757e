"""Train the brain-tissue sample model: ``python -m gpukit.ai.samples.brain_tissue.train --output DIR --minutes 38``."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from gpukit.ai.samples.brain_tissue.augment import IGNORE, Template, load_template, synthesise

NETWORK: dict[str, Any] = {
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 3,
    "channels": [20, 32, 48, 64, 96],
    "strides": [2, 2, 2, 2],
    "num_res_units": 1,
}
Patch = tuple[torch.Tensor, torch.Tensor]


def build_network() -> nn.Module:
    """The network as the model's description names it."""
    from monai.networks.nets import UNet

    network: nn.Module = UNet(**NETWORK)
    return network


class Patches(IterableDataset[Patch]):
    """Endless patches; every seed is used once, whatever the number of workers."""

    def __init__(self, template: Template, size: int, seed: int, brain_share: float) -> None:
        self.template, self.size, self.seed, self.brain_share = template, size, seed, brain_share

    def __iter__(self) -> Iterator[Patch]:
        info = get_worker_info()
        step, number = (1, 0) if info is None else (info.num_workers, info.id)
        torch.set_num_threads(1)
        seed = self.seed + number
        while True:
            generator = torch.Generator().manual_seed(seed)
            yield synthesise(self.template, self.size, generator, brain_share=self.brain_share)
            seed += step


def loss_of(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Cross-entropy plus one minus the mean soft Dice of white and grey matter, over voxels not labelled `IGNORE`."""
    known = labels != IGNORE
    probabilities = logits.softmax(1)
    dice = []
    for value in (1, 2):
        found, truth = probabilities[:, value] * known, (labels == value).to(logits.dtype)
        dice.append((2 * (found * truth).sum() + 1) / (found.sum() + truth.sum() + 1))
    return functional.cross_entropy(logits, labels, ignore_index=IGNORE) + 1 - torch.stack(dice).mean()


def train(
    output: Path,
    *,
    minutes: float,
    start: Path | None = None,
    size: int = 96,
    batch: int = 1,
    rate: float = 3e-3,
    brain_share: float = 0.75,
    seed: int = 0,
) -> None:
    """Train for `minutes` on patches of `size`³ and leave the averaged weights in ``output/weights.safetensors``.

    Begins with the weights of `start` where given; `brain_share` is that of `augment.synthesise`. The learning rate
    follows a cosine over the time, so the weights at the end are the result: no checkpoint is chosen.
    """
    from safetensors.torch import load_file, save_file

    torch.manual_seed(seed)
    output.mkdir(parents=True, exist_ok=True)
    patches = Patches(load_template(), size, seed + 1_000_000, brain_share)
    loader = iter(DataLoader(patches, batch_size=batch, num_workers=1))
    network = build_network()
    if start is not None:
        network.load_state_dict({key: value.float() for key, value in load_file(start).items()})
    average = {key: value.detach().clone() for key, value in network.state_dict().items()}
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4)
    begin, step, shown = time.monotonic(), 0, 0.0
    while (done := (time.monotonic() - begin) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 50) * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)
        images, labels = next(loader)
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(network(images), labels)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        step += 1
        keep = min(0.995, 1 - 1 / (step + 1))
        with torch.no_grad():
            for key, value in network.state_dict().items():
                average[key].mul_(keep).add_(value, alpha=1 - keep)
        shown = 0.95 * shown + 0.05 * float(loss.detach()) if step > 1 else float(loss.detach())
        if step % 25 == 0:
            _say(f"step {step}  {60 * minutes * done:.0f} s  loss {shown:.4f}")
        if step % 200 == 0:
            save_file({key: value.half() for key, value in average.items()}, output / "weights.safetensors")
    save_file({key: value.half() for key, value in average.items()}, output / "weights.safetensors")
    _say(f"{step} steps; weights in {output / 'weights.safetensors'}")


def _say(line: str) -> None:
    """A line of progress, at once, so that a log can be followed."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder for weights.safetensors")
    parser.add_argument("--minutes", type=float, default=40.0, help="how long to train")
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--brain-share", type=float, default=0.75, help="share of patches centred in the brain")
    parser.add_argument("--size", type=int, default=96, help="patch edge in voxels of 1 mm")
    parser.add_argument("--batch", type=int, default=1, help="patches a step")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train(
        arguments.output,
        minutes=arguments.minutes,
        start=arguments.start,
        size=arguments.size,
        batch=arguments.batch,
        rate=arguments.rate,
        brain_share=arguments.brain_share,
        seed=arguments.seed,
    )


if __name__ == "__main__":
    main()
