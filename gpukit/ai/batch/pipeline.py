"""Cases in flight on one device: one is read, one is run, one is written, at the same time."""

from __future__ import annotations

import contextlib
import queue
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpukit.ai.batch import job
from gpukit.ai.batch.case import Case
from gpukit.ai.batch.job import Job
from gpukit.ai.model.description import Model
from gpukit.ai.runtimes import keep_networks
from gpukit.device import resolve, side_stream
from gpukit.errors import GpukitError
from gpukit.profiling import profile
from gpukit.volume import Volume

__all__ = ["DEPTH", "Pipeline", "SCRATCH", "failed_row", "fetch", "threads_left"]


#: Cases that one pipeline works on at once: one in each of its three stages.
DEPTH = 3
#: Folder inside the output for what is fetched; emptied after each case, and when a batch begins.
SCRATCH = ".fetched"

_STAGES = ("reading", "inference", "writing")
#: Seconds in which the threads are to leave what they are doing, all together: who says Ctrl-C does not want to wait.
_PATIENCE = 1.0
_NAME = "batch-"


def threads_left() -> bool:
    """Whether a thread of a pipeline is still at work within a library after `Pipeline.close`.

    Such a thread could take the process down in its own way when the interpreter ends: end with `os._exit` then.
    """
    return any(thread.name.startswith(_NAME) and thread.is_alive() for thread in threading.enumerate())


class _LeftError(Exception):
    """A case is left in the midst of its work."""


@dataclass
class _Item:
    case: Case
    row: Future[dict[str, Any]]
    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    stages: dict[str, float] = field(default_factory=dict)
    fetched: Path | None = None
    images: tuple[Volume, ...] = ()
    result: Any = None
    notes: tuple[str, ...] = ()


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
    shown : str, optional
        The device's name for the rows, where it has another one in this process.
    observe : callable, optional
        Called as ``observe(stage, case key, "begins" or "ends")`` from the stage's thread.
    """

    def __init__(
        self,
        job: Job,
        device: str | None,
        worker: str,
        observe: Callable[[str, str, str], None] | None = None,
        shown: str | None = None,
    ) -> None:
        self.job, self.worker = job, worker
        #: The one device that ``auto`` or a kind stands for here; told now if it cannot be used, not at each case.
        _, self.device = resolve(device)
        self._shown = shown or self.device
        self.models = job.check()
        self._stop = threading.Event()
        self._observe = observe or (lambda stage, key, moment: None)
        queues: list[queue.Queue[_Item | None]] = [queue.Queue(), queue.Queue(1), queue.Queue(1)]
        self._first = queues[0]
        steps = (self._read, self._run, self._write)
        self._threads = [
            threading.Thread(
                target=self._work, args=(stage, step, queues[n], queues[n + 1] if n < 2 else None),
                name=f"{_NAME}{stage}", daemon=True,
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

    def close(self, *, at_once: bool = False) -> None:
        """Finish what is in flight; `at_once`, leave it as soon as its threads come by, but do not wait for it long."""
        if at_once:
            self._stop.set()
        self._first.put(None)
        end = time.monotonic() + _PATIENCE
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()) if at_once else None)

    def _passing(self, *_: object) -> None:
        if self._stop.is_set():
            raise _LeftError

    def _work(
        self, stage: str, step: Callable[[_Item], None], come: queue.Queue[_Item | None],
        go: queue.Queue[_Item | None] | None,
    ) -> None:  # fmt: skip
        with keep_networks() if stage == "inference" else contextlib.nullcontext():
            while (item := come.get()) is not None:
                if self._stop.is_set():
                    self._sweep(item)
                    continue
                begun = time.time()
                self._observe(stage, item.case.key, "begins")
                try:
                    with self._timed() as spent:
                        step(item)
                    item.stages.update(spent)
                except Exception as error:  # whatever a case does must not end the others
                    if isinstance(error, _LeftError):
                        self._sweep(item)
                        continue
                    self._end(item, failed_row(item.case, stage, error, self.worker, self._shown))
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
        fetched: dict[str, tuple[str, ...]] = {}
        for name, part in case.channels or (("", case),):
            if part.remote:
                item.fetched = Path(self.job.output) / SCRATCH / f"{self.worker}-{case.key}"
                fetched[name] = fetch(part, item.fetched / str(len(fetched)))
        # On a stream of its own, which the network's does not wait for. The images live until the case is written: then
        # nothing reads their memory any more, and it may be given to the next ones.
        with side_stream(self.device):
            item.images = job.read(case, self.job, self.models, self.device, fetched, self._passing)

    def _run(self, item: _Item) -> None:
        item.result = job.run(item.images, self.job, self.models, self._passing)
        item.notes = _notes(item.images, item.result, self.models)

    def _write(self, item: _Item) -> None:
        item.result = job.write(item.case, item.images[0], item.result, self.job, self.models)

    def _done(self, item: _Item) -> dict[str, Any]:
        from gpukit.documents.json_csv import plain

        seconds = {stage: round(end - begun, 3) for stage, (begun, end) in item.times.items()}
        row: dict[str, Any] = plain({
            "case": item.case.key, "status": "done", "source": item.case.source, "outputs": item.result.outputs,
            "result": item.result.result, "notes": item.notes, "seconds": seconds, "worker": self.worker,
            "device": self._shown, "begun": item.times["reading"][0], "ended": item.times["writing"][1],
            **_identity(item.case),
        })  # fmt: skip
        if self.job.profile:
            row["stages"] = {name: round(value, 6) for name, value in item.stages.items()}
        return row

    def _end(self, item: _Item, row: dict[str, Any]) -> None:
        self._sweep(item)
        item.row.set_result(row)

    def _sweep(self, item: _Item) -> None:
        if item.fetched is not None:
            shutil.rmtree(item.fetched, ignore_errors=True)
        item.images, item.result = (), None


def failed_row(
    case: Case, stage: str, error: BaseException | str, worker: str, device: str | None = None
) -> dict[str, Any]:
    """The row of a case that could not be done."""
    if isinstance(error, (str, GpukitError)):
        text = str(error)
    elif isinstance(error, MemoryError):
        text = "out of memory"
    else:
        text = f"unexpected {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return {
        "case": case.key, "status": "failed", "source": case.source, "outputs": [], "stage": stage, "error": text,
        "worker": worker, "device": device, "ended": time.time(), **_identity(case),
    }  # fmt: skip


def _identity(case: Case) -> dict[str, Any]:
    """What the row was made of: another stamp is another image, and the case is done again."""
    row: dict[str, Any] = {"stamp": case.stamp}
    if case.channels:
        row["channels"] = {
            name: {"source": part.source, "series": part.about.series if part.about and part.about.series else None}
            for name, part in case.channels
        }
    return row


def _notes(images: tuple[Volume, ...], result: Any, models: Sequence[Model]) -> tuple[str, ...]:
    """What has to be said of this case; what is to be known of a model was said at the beginning."""
    known = {note for model in models for note in model.notes}
    told = [note for image in images for note in image.notes]
    told += [note for note in getattr(result, "notes", ()) if note not in known]
    return tuple(dict.fromkeys(told))


def fetch(case: Case, folder: Path) -> tuple[str, ...]:
    """The case's files, fetched into `folder`.

    Raises
    ------
    InputError
        It cannot be fetched whole.
    """
    shutil.rmtree(folder, ignore_errors=True)
    for level in (folder.parent.parent, folder.parent, folder):
        level.mkdir(exist_ok=True, mode=0o700)
    if case.members:
        from gpukit.ai.batch.object_store import fetch_objects

        return tuple(fetch_objects(case, folder))
    from gpukit.ai.batch.dicomweb import fetch_series

    return tuple(fetch_series(case, folder))
