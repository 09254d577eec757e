"""What happens when a device's memory is too small: smaller batches, then smaller windows, and a note that says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from gpukit.errors import DeviceError, GpukitError, ModelError

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model

__all__ = ["Frugal", "OutOfMemoryError", "in_smaller_windows", "not_finite", "reason", "smaller"]

T = TypeVar("T")

#: Words by which libraries without an error class of their own say it.
_WORDS = ("out of memory", "bad_alloc", "failed to allocate memory", "can't allocate memory", "bad allocation")
#: Windows below this are no use: networks see too little around each voxel.
_SMALLEST = 32


class OutOfMemoryError(DeviceError):
    """One window alone does not fit into the device's memory; `fixed` where its size cannot be chosen."""

    fixed = False


class Frugal:
    """A network that runs a batch in halves where it does not fit, and goes on with batches of that size.

    Parameters
    ----------
    network : Network
        Any.
    model : Model, optional
        Whose it is, for messages.
    """

    def __init__(self, network: Any, model: Model | None = None) -> None:
        self._network, self._model = network, model
        self.batch, self.patch, self.summary = network.batch, network.patch, network.summary
        self._most: int | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, in words; empty where all fitted."""
        if self._most is None:
            return ()
        return (f"the device's memory was too small, so that no more than {self._most} windows were run together",)

    def __call__(self, batch: Any) -> Any:
        """Run the batch.

        Raises
        ------
        OutOfMemoryError
            Not even a single window fits.
        ModelError
            The network cannot run on such a batch.
        """
        return self._run(batch, self._network)

    def late(self, batch: Any) -> Any:
        """As a call; where the network can, with logits that are made when they are asked for."""
        return self._run(batch, getattr(self._network, "late", self._network))

    def _run(self, batch: Any, network: Any) -> Any:
        import torch

        step = min(self._most or len(batch), len(batch))
        while True:
            try:
                if step >= len(batch):
                    return network(batch)
                found = [self._network(batch[n : n + step]) for n in range(0, len(batch), step)]
                return _joined(found)
            except Exception as error:  # each library has its own classes for what it cannot run
                if not _is_memory(error):
                    raise self._cannot(batch, error) from error
                single = step == 1 or self.batch is not None
            # the error's traceback held the tensors of the failed run, and is gone here
            if single:
                size = " x ".join(map(str, batch.shape[2:]))
                failure = OutOfMemoryError(
                    f"a window of {size} does not fit into the memory of {batch.device}",
                    attribute="$.inference.patch", fix="declare a smaller patch, or use another device",
                )  # fmt: skip
                failure.fixed = any(side is not None for side in self.patch)
                raise failure
            if batch.device.type == "cuda":
                torch.cuda.empty_cache()
            step = self._most = max(1, step // 2)

    def _cannot(self, batch: Any, error: Exception) -> Exception:
        """What to raise for an error of the network's own: one line that names the model."""
        if isinstance(error, GpukitError):
            if self._model is not None and error.file is None:
                error.file = str(self._model.file)
            return error
        size = " x ".join(map(str, batch.shape[1:]))
        return ModelError(
            f"the network cannot run on an input of {size}: {reason(error)}",
            file=None if self._model is None else self._model.file,
            attribute="$.input",
            fix="check the channels, the size and the layout that the description declares",
        )


def not_finite(model: Model) -> ModelError:
    """What to raise where a network gives NaN or infinity."""
    return ModelError(
        f"the network {model.name} gave values that are not finite (NaN or infinity)", file=model.file,
        fix="with float16 or bfloat16 try --precision float32; else the weights, or what the description makes of the "
        "image, are at fault",
    )  # fmt: skip


def reason(error: BaseException) -> str:
    """What a library says is wrong, in one short line: of a traceback within a message, its last line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    line = lines[-1] if any("Traceback" in one for one in lines[:2]) else " ".join(lines)
    line = re.sub(r"^(RuntimeError: |\[ONNXRuntimeError\] : \d+ : \w+ : )", "", line).partition(
        "Exception raised from"
    )[0]
    return line.strip()[:200].rstrip(".")


def _joined(parts: list[Any]) -> Any:
    """One answer of the answers to the parts of a batch."""
    import torch

    if all(isinstance(part, torch.Tensor) for part in parts):
        return torch.cat(parts)
    if all(isinstance(part, list) for part in parts):  # a detector's, a dictionary a picture
        return [one for part in parts for one in part]
    return parts[0]  # boxes, scores and labels of one picture: `detect` sees that and goes on picture by picture


def _is_memory(error: BaseException) -> bool:
    if not isinstance(error, GpukitError) and (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    ):
        return True
    text = str(error.__cause__ or error).lower()
    return any(words in text for words in _WORDS)


def smaller(patch: tuple[int, int, int]) -> tuple[int, int, int] | None:
    """A window with its longest sides halved, to a multiple of 16; None where it would be too small to be of use."""
    longest = max(patch)
    if longest < 2 * _SMALLEST:
        return None
    half = max(_SMALLEST, -(-longest // 32) * 16)
    made = tuple(half if side > half else side for side in patch)
    return (made[0], made[1], made[2])


def in_smaller_windows(model: Model, size: Sequence[int], run: Callable[[Model], T]) -> tuple[T, tuple[str, ...]]:
    """Run with the model's windows; where one does not fit into the device's memory with smaller ones.

    Parameters
    ----------
    model : Model
        Of three dimensions.
    size : sequence of int
        Of the image, which is the window of a model that declares none.
    run : callable
        Is given the model, with the windows that are to be tried.

    Returns
    -------
    result
        Of `run`.
    notes : tuple of str
        What was done.

    Raises
    ------
    OutOfMemoryError
        The smallest windows do not fit, or the graph is fixed to its own.
    """
    notes: list[str] = []
    while True:
        try:
            return run(model), tuple(notes)
        except OutOfMemoryError as error:
            x, y, z = model.inference.patch or size
            less = smaller((x, y, z))
            if error.fixed or less is None:
                raise
        # here the failed run's tensors are gone, which the error held
        model = replace(model, inference=replace(model.inference, patch=less))
        sizes = [" x ".join(map(str, one)) for one in ((x, y, z), less)]
        notes.append(f"the device's memory was too small for windows of {sizes[0]}, so {sizes[1]} were run")
