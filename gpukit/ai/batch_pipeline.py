"""Cases in flight on one device: one is read, one is run, one is written, at the same time."""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpukit.ai import batch_tasks
from gpukit.ai.batch_cases import Case
from gpukit.ai.batch_tasks import Job
from gpukit.ai.kept import keep_networks
from gpukit.errors import GpukitError
from gpukit.stages import profile

__all__ = ["DEPTH", "SCRATCH", "Pipeline", "failed_row"]

#: Cases that one pipeline works on at once: one in each of its three stages.
DEPTH = 3
#: Folder inside the output for what is fetched; emptied after each case, and when a batch begins.
SCRATCH = ".fetched"

_STAGES = ("reading", "inference", "writing")


@dataclass
class _Item:
    case: Case
    row: Future[dict[str, Any]]
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    files: tuple[str, ...] = ()
    fetched: Path | None = None
    volume: Any = None
    result: Any = None


class Pipeline:
    """Three threads, a case in each.

    Between two stages waits at most one case, so that at most three volumes (and the results of two) are in memory.

    Parameters
    ----------
    job : Job
        What is done.
    device : str or None
        Where, as for `gpukit.open`.
    worker : str
        Name for the rows.
    observe : callable, optional
        Called as ``observe(stage, case key, "begins" or "ends")`` from the stage's thread.
    """

    def __init__(
        self, job: Job, device: str | None, worker: str, observe: Callable[[str, str, str], None] | None = None
    ) -> None:
        self.job, self.device, self.worker = job, device, worker
        self.models = job.check()
        self._observe = observe or (lambda stage, key, moment: None)
        queues: list[queue.Queue[_Item | None]] = [queue.Queue(), queue.Queue(1), queue.Queue(1)]
        self._first = queues[0]
        steps = (self._read, self._run, self._write)
        self._threads = [
            threading.Thread(
                target=self._work, args=(stage, step, queues[n], queues[n + 1] if n < 2 else None),
                name=f"batch-{stage}", daemon=True,
            )
            for n, (stage, step) in enumerate(zip(_STAGES, steps, strict=True))
        ]  # fmt: skip
        for thread in self._threads:
            thread.start()

    def submit(self, case: Case) -> Future[dict[str, Any]]:
        """Put a case in; the future gives its row, of a failure too, and never an error."""
        item = _Item(case, Future())
        self._first.put(item)
        return item.row

    def close(self) -> None:
        """Finish what is in flight."""
        self._first.put(None)
        for thread in self._threads:
            thread.join()

    def _work(
        self, stage: str, step: Callable[[_Item], None], come: queue.Queue[_Item | None],
        go: queue.Queue[_Item | None] | None,
    ) -> None:  # fmt: skip
        with keep_networks() if stage == "inference" else contextlib.nullcontext():
            while (item := come.get()) is not None:
                begun = time.time()
                self._observe(stage, item.case.key, "begins")
                try:
                    with self._timed() as spent:
                        step(item)
                    item.stages.update(spent)
                except Exception as error:  # whatever a case does must not end the others
                    self._end(item, failed_row(item.case, stage, error, self.worker))
                    continue
                finally:
                    self._observe(stage, item.case.key, "ends")
                    item.times[stage] = (begun, time.time())
                if go is not None:
                    go.put(item)
                else:
                    self._end(item, self._done(item))
                del item  # a volume must not live on in a thread that waits
        if go is not None:
            go.put(None)

    @contextlib.contextmanager
    def _timed(self) -> Iterator[dict[str, float]]:
        if not self.job.profile:
            yield {}
            return
        with profile() as seconds:
            yield seconds

    def _read(self, item: _Item) -> None:
        case = item.case
        if case.error:
            raise GpukitError(case.error)
        if case.remote:
            from gpukit.ai.batch_fetch import fetch

            item.fetched = Path(self.job.output) / SCRATCH / f"{self.worker}-{case.key}"
            item.files = fetch(case, item.fetched)
        item.volume = batch_tasks.read(case, self.job, self.device, item.files)

    def _run(self, item: _Item) -> None:
        item.result = batch_tasks.run(item.volume, self.job, self.models)

    def _write(self, item: _Item) -> None:
        item.result = batch_tasks.write(item.case, item.volume, item.result, self.job, self.models)

    def _done(self, item: _Item) -> dict[str, Any]:
        from gpukit.files.documents import plain

        seconds = {stage: round(end - begun, 3) for stage, (begun, end) in item.times.items()}
        row: dict[str, Any] = plain({
            "case": item.case.key, "status": "done", "source": item.case.source, "outputs": item.result.outputs,
            "result": item.result.result, "notes": item.volume.notes, "seconds": seconds, "worker": self.worker,
            "begun": item.times["reading"][0], "ended": item.times["writing"][1],
        })  # fmt: skip
        if self.job.profile:
            row["stages"] = {name: round(value, 6) for name, value in item.stages.items()}
        return row

    def _end(self, item: _Item, row: dict[str, Any]) -> None:
        if item.fetched is not None:
            shutil.rmtree(item.fetched, ignore_errors=True)
        item.row.set_result(row)
        item.volume = item.result = None


def failed_row(case: Case, stage: str, error: BaseException | str, worker: str) -> dict[str, Any]:
    """The row of a case that could not be done."""
    if isinstance(error, (str, GpukitError)):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory"
    else:
        text = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return {
        "case": case.key, "status": "failed", "source": case.source, "outputs": [], "stage": stage, "error": text,
        "worker": worker, "ended": time.time(),
    }  # fmt: skip
