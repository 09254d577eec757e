"""Pictures of many volumes gathered into batches, a lane for each model, and the probabilities that come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from gpukit.ai.inference.out_of_memory import Frugal, not_finite
from gpukit.ai.model.description import Model
from gpukit.ai.model.image_spec import ClassifySpec
from gpukit.ai.runtimes import Network, choose
from gpukit.ai.transforms.image_input import Pictures, check_modality
from gpukit.ai.transforms.tensors import torch_device
from gpukit.errors import ModelError
from gpukit.profiling import stage
from gpukit.volume import SourceInstance, Volume

if TYPE_CHECKING:
    import torch

__all__ = ["Answer", "Lane", "inference", "load", "probabilities", "run_lanes"]

#: Probabilities of exclusive classes may miss one by this much: float16 networks round, and so do printed softmaxes.
_SUM_TOLERANCE = 0.02


def inference() -> AbstractContextManager[object]:
    """Torch without gradients."""
    import torch

    return torch.inference_mode()


def load(model: Model, volume: Volume, runtime: str | None, precision: str) -> Network:
    """The model's network on the volume's device."""
    with stage("loading the network"):
        import_module("monai.transforms")  # takes seconds, which are not the first picture's
        network: Network = Frugal(choose(model, runtime).load(model, torch_device(volume.array), precision), model)
    return network


@dataclass
class Answer:
    """What one model says of the pictures of one volume.

    Parameters
    ----------
    where : list
        Slice, phase and source of each.
    rows : list of tensor
        Probabilities ``[classes]`` of each, None where they are not there yet.
    """

    where: list[tuple[int | None, int | None, SourceInstance | None]]
    rows: list[torch.Tensor | None]

    @property
    def complete(self) -> bool:
        """Whether all are there."""
        return all(row is not None for row in self.rows)

    def probabilities(self) -> torch.Tensor:
        """All of them, ``[answers, classes]``."""
        import torch

        return torch.stack([row for row in self.rows if row is not None])


@dataclass
class Lane:
    """The pictures that wait for one network.

    Parameters
    ----------
    model, spec, network
        Whose.
    size : int
        Pictures that run together.
    flips : bool
        Also run each mirrored, and average.
    """

    model: Model
    spec: ClassifySpec
    network: Network
    size: int
    flips: bool
    _waiting: list[tuple[Answer, int, torch.Tensor]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.network.batch is not None:
            self.size = self.network.batch

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known of how it ran."""
        return tuple(getattr(self.network, "notes", ()))

    def answer(self, volume: Volume) -> tuple[Answer, Iterator[int]]:
        """An answer to be filled, and an iterator that fills it: of each step, the pictures that were run in it."""
        if self.model.dimensions == 3:
            answer = Answer([(None, None, None)], [None])
            return answer, self._whole(volume, answer)
        pictures = Pictures(volume, self.model)
        total = len(pictures)
        many = total > 1
        where = [(*(pictures.slice_of(n) if many else (None, None)), pictures.source(n)) for n in range(total)]
        answer = Answer([(k, phase, source) for k, phase, source in where], [None] * total)
        return answer, self._pictures(pictures, answer)

    def _whole(self, volume: Volume, answer: Answer) -> Iterator[int]:
        answer.rows[0] = _volume_probabilities(volume, self.model, self.spec, self.network, self.flips)[0]
        yield 1

    def _pictures(self, pictures: Pictures, answer: Answer) -> Iterator[int]:
        for n in range(len(pictures)):
            with stage("preprocessing"):
                picture = pictures[n]
            if self._waiting and self._waiting[-1][2].shape != picture.shape:
                if self._waiting[-1][0] is answer:
                    raise ModelError(
                        "pictures of different sizes make no batch", attribute="$.input.size", fix="declare a size"
                    )
                yield self.flush()  # of another volume, and of another size
            self._waiting.append((answer, n, picture))
            if len(self._waiting) == self.size:
                yield self.flush()

    @property
    def waits(self) -> bool:
        """Whether pictures wait."""
        return bool(self._waiting)

    def flush(self) -> int:
        """Run what waits; how many that were."""
        import torch

        waiting, self._waiting = self._waiting, []
        if not waiting:
            return 0
        with stage("inference"):
            given = torch.stack([picture for _, _, picture in waiting])
            count = len(waiting)
            wide = given if count == self.size or self.network.batch is None else _filled(given, self.size)
            found = probabilities(self.network(wide), self.spec, self.model)[:count]
            if self.flips:
                across = -2 if self.model.picture_input.layout == "channels-last" else -1
                mirrored = self.network(torch.flip(wide, dims=(across,)))
                found = (found + probabilities(mirrored, self.spec, self.model)[:count]) / 2
        for (answer, n, _), row in zip(waiting, found, strict=True):
            answer.rows[n] = row
        return count


def run_lanes(
    volumes: Iterable[Volume], lanes: Sequence[Lane], progress: Callable[[int, int], None]
) -> Iterator[list[Answer]]:
    """Answers of every lane on each volume, in the order of the volumes.

    Parameters
    ----------
    volumes : iterable of Volume
        All on the device of the networks.
    lanes : sequence of Lane
    progress : callable
        Called as ``progress(done, total)``, answers of the volumes that were taken so far.

    Yields
    ------
    list of Answer
        One a lane.
    """
    # A volume is held until its answers are there, which a device that computes on streams has then been waited for
    # (`probabilities` looks at the numbers): before that its memory must not be given to another one.
    opened: deque[tuple[Volume, list[Answer]]] = deque()
    done = total = 0
    for volume in volumes:
        answers: list[Answer] = []
        opened.append((volume, answers))
        steps: list[Iterator[int]] = []
        with inference():
            for lane in lanes:
                answer, fill = lane.answer(volume)
                answers.append(answer)
                steps.append(fill)
                total += len(answer.where)
            del volume
            progress(done, total)
            for fill in steps:
                for count in fill:
                    done += count
                    progress(done, total)
        yield from _complete(opened)
    with inference():
        for lane in lanes:
            if lane.waits:
                done += lane.flush()
                progress(done, total)
    yield from _complete(opened)


def _complete(opened: deque[tuple[Volume, list[Answer]]]) -> Iterator[list[Answer]]:
    while opened and all(answer.complete for answer in opened[0][1]):
        yield opened.popleft()[1]


def _filled(given: torch.Tensor, size: int) -> torch.Tensor:
    """A last, smaller batch filled with its last picture, for graphs of one batch size."""
    import torch

    return torch.cat([given, given[-1:].expand(size - given.shape[0], *given.shape[1:])])


def _volume_probabilities(
    volume: Volume, model: Model, spec: ClassifySpec, network: Network, flips: bool
) -> torch.Tensor:
    import torch

    from gpukit.ai.tasks.segment import one_image
    from gpukit.ai.transforms.volume_input import model_grid, prepare

    check_modality(volume, model)
    with stage("preprocessing"):
        volume = one_image(volume, model, None)
        image = prepare(volume, model.volume_input, model_grid(volume.grid, model.volume_input))[None]
    with stage("inference"):
        found = probabilities(network(image), spec, model)
        if flips:
            axes = model.volume_input.orientation or volume.grid.codes
            across = 2 + next(n for n, code in enumerate(axes) if code in "LR")
            found = (found + probabilities(network(torch.flip(image, dims=(across,))), spec, model)) / 2
    return found


def probabilities(logits: torch.Tensor, spec: ClassifySpec, model: Model) -> torch.Tensor:
    """Probabilities ``[n, classes]`` from what the network gave; ModelError where that cannot be."""
    import torch

    values = logits.reshape(logits.shape[0], -1).to(torch.float32)
    if values.shape[1] != len(spec.classes):
        raise ModelError(
            f"the network gives {values.shape[1]} numbers, and the description names {len(spec.classes)} classes",
            file=model.file, attribute="$.output.classes", fix="name every class, in the order of the channels",
        )  # fmt: skip
    if not bool(torch.isfinite(values).all()):
        raise not_finite(model)
    if spec.activation == "softmax":
        return torch.softmax(values, dim=1)
    if spec.activation == "sigmoid":
        return torch.sigmoid(values)
    if float(values.min()) < -_SUM_TOLERANCE or float(values.max()) > 1 + _SUM_TOLERANCE:
        raise ModelError(
            "the network's numbers are no probabilities", file=model.file, attribute="$.output.activation",
            fix="say softmax or sigmoid",
        )  # fmt: skip
    return values.clamp(0.0, 1.0)
