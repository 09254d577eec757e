"""What happens when a device's memory is too small: smaller batches, then smaller windows, and a note that says so."""

from __future__ import annotations

from typing import Any

from gpukit.errors import DeviceError, GpukitError

__all__ = ["Frugal", "OutOfMemoryError", "smaller"]

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
    """

    def __init__(self, network: Any) -> None:
        self._network = network
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
        """
        import torch

        step = min(self._most or len(batch), len(batch))
        while True:
            try:
                if step >= len(batch):
                    return self._network(batch)
                found = [self._network(batch[n : n + step]) for n in range(0, len(batch), step)]
                return torch.cat(found)
            except (RuntimeError, MemoryError, ValueError) as error:
                if not _is_memory(error):
                    raise
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
