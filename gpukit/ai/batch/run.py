"""Many cases: found, worked on side by side, each recorded when its result is in place; a run that ends goes on."""

from __future__ import annotations

import os
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gpukit.ai.batch.case import Case
from gpukit.ai.batch.channels import channels_of
from gpukit.ai.batch.find import find_cases
from gpukit.ai.batch.job import FORMATS, Job
from gpukit.ai.batch.manifest import Manifest
from gpukit.ai.batch.pipeline import DEPTH, SCRATCH, failed_row
from gpukit.ai.batch.workers import CannotBeginError, Pool, ProcessPool, ThreadPool, places
from gpukit.ai.registry.find import find_model
from gpukit.ai.tasks.label_summary import amount
from gpukit.documents.atomic import PREFIX, atomic_path
from gpukit.documents.json_csv import csv_text, json_text
from gpukit.errors import GpukitError, InputError, OutputError

__all__ = ["Batch", "batch", "drive"]

#: A case that was at work in so many workers that died is held to be the cause.
MOST_LOSSES = 3


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What became of the cases.

    Parameters
    ----------
    folder : Path
        Of the outputs, the record and the summaries.
    rows : tuple of mapping
        One a case, in the order in which the cases were found: ``case``, ``status`` (``done`` or ``failed``),
        ``source``, ``outputs`` (relative to the folder), and ``result`` or ``error``.
    before : int
        Cases that an earlier run had done.
    aside : tuple of str
        Images that no channel wanted, and that belong to no case.
    notes : tuple of str
        What the user must know of the run.
    """

    folder: Path
    rows: tuple[dict[str, Any], ...]
    before: int
    aside: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Cases whose results are there."""
        return sum(row["status"] == "done" for row in self.rows)

    @property
    def failed(self) -> tuple[dict[str, Any], ...]:
        """Rows of the other cases."""
        return tuple(row for row in self.rows if row["status"] != "done")


def batch(
    inputs: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    model: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    *,
    task: str | None = None,
    format: str | None = None,
    channels: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    overlay: bool = False,
    fill_gaps: bool | int = False,
    skip_damaged: bool = False,
    trust: bool = False,
    profile: bool = False,
    device: str | None = None,
    workers: int | None = None,
    cluster: str | None = None,
    keep_failures: bool = False,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Batch:
    """Run models over many cases.

    Parameters
    ----------
    inputs : path, address, or several of them
        See `gpukit.ai.batch.find.find_cases`.
    model : path or name, or several of them
        As for the task's own function.
    output : path
        Folder of the results, made if need be; one that an earlier run of the same job left is continued: cases with a
        row in its ``manifest.jsonl``, images as they were and their outputs in place are not done again.
    task : str, optional
        ``segment``, ``classify``, ``detect``, ``enhance`` or ``report``; by default what the model is made for, and
        ``report`` for models of several tasks.
    format : str, optional
        Of the results; see `gpukit.ai.batch.job.FORMATS`.
    channels : mapping, optional
        For networks that segment volumes: which image of a case is which channel, such as
        ``{"T1": "*_t1.nii.gz", "FLAIR": "*_flair.nii.gz"}`` or ``{"T1": "3", "FLAIR": "5"}``; see
        `gpukit.ai.batch.channels.Channels`.
    options : mapping, optional
        More arguments of the task's function, such as ``{"confidence": 0.7}``.
    overlay : bool
        Also draw segmentations or detections over the image.
    fill_gaps, skip_damaged : bool
        As for `gpukit.open`.
    trust : bool
        As for `gpukit.ai.find_model`.
    profile : bool
        Put the seconds of each stage into the rows, as ``stages``.
    device : str, optional
        As for `gpukit.open`.
    workers : int, optional
        Processes. By default one for each device where there are several of the kind that is used (several NVIDIA
        ones), else this process alone; on a cluster one for each GPU, or where there is none one for each node.
    cluster : str, optional
        ``auto`` or ``ray://HOST:PORT``: work on a Ray cluster whose nodes see the same files.
    keep_failures : bool
        Do not try again what failed in an earlier run.
    force : bool
        Write into a folder with other files, or in place of another job's results.
    progress : callable, optional
        Called as ``progress(cases done, cases in all)``.

    Returns
    -------
    Batch
        A row for each case; a case that cannot be done is a row too.

    Raises
    ------
    InputNotFoundError
        There is no case.
    ModelError, InputError
        The job cannot be done at all.
    OutputError, OutputExistsError
        The folder is at work, or holds something else.
    DeviceError
        The device cannot be used.
    DependencyError
        A cluster or a remote source was named, and its package is not installed.
    """
    if workers is not None and workers < 1:
        raise InputError(f"there must be at least one worker, not {workers}", attribute="workers")
    named = [model] if isinstance(model, (str, os.PathLike)) else list(model)
    models = tuple(str(Path(m).absolute()) if Path(m).exists() else os.fspath(m) for m in named)
    chosen = task or _task(models, trust)
    kind = format or next(iter(FORMATS.get(chosen, {"": ""})))
    folder = Path(output).absolute()
    job = Job(
        task=chosen, models=models, format=kind, output=str(folder), overlay=overlay, fill_gaps=fill_gaps,
        skip_damaged=skip_damaged, trust=trust, profile=profile, channels=dict(channels or {}),
        options=dict(options or {}),
    )  # fmt: skip
    checked = job.check()
    identity = job.identity(checked)
    seen = channels_of(checked[0] if chosen == "segment" else None, channels)
    aside: list[Case] = []
    devices = [] if cluster is not None else places(device)
    cases = find_cases(inputs, skip_damaged=skip_damaged, channels=seen, outside=folder, aside=aside)
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise OutputError(f"the folder of the outputs cannot be made: {error.strerror}", file=folder) from error
    with Manifest(folder, identity, force=force) as manifest:
        _sweep(folder)
        settled = {case.key for case in cases if _settled(manifest, case, folder, keep_failures)}
        before = sum(manifest.done(key) for key in settled)
        left = [case for case in cases if case.key not in settled]
        count = len(settled)

        def record(row: dict[str, Any]) -> None:
            nonlocal count
            manifest.add(row)
            manifest.running.end(row["case"])
            count += 1
            if progress is not None:
                progress(count, len(cases))

        if progress is not None:
            progress(count, len(cases))
        losses = manifest.running.left
        rest = [case for case in left if case.key not in losses]
        suspects = [case for case in left if case.key in losses]
        for case in [case for case in suspects if losses[case.key] >= MOST_LOSSES]:
            suspects.remove(case)
            record(failed_row(case, "worker", f"the process ended {losses[case.key]} times in the midst of it", ""))
        begin = manifest.running.begin
        if suspects and cluster is None and workers is None and len(devices) < 2:
            try:  # in a process of their own, which may die as the one before did
                _work([], suspects, ProcessPool(job, 1, devices), record, folder, begin, losses)
                suspects = []
            except CannotBeginError:  # such as in a script that does not guard its main part
                suspects = [case for case in suspects if case.key not in manifest.running.ended]
        if rest or suspects:
            pool = _pool(job, device, devices, workers, cluster, len(rest) + len(suspects))
            _work(rest, suspects, pool, record, folder, begin, losses)
        _sweep(folder)
        rows = tuple(manifest.rows[case.key] for case in cases)
        notes = (manifest.note,) if manifest.note else ()
        made = Batch(folder=folder, rows=rows, before=before, aside=tuple(case.source for case in aside), notes=notes)
        _summarize(made, identity)
    return made


def _work(
    cases: Sequence[Case], suspects: Sequence[Case], pool: Pool, record: Callable[[dict[str, Any]], None],
    folder: Path, begin: Callable[[str], None], losses: Mapping[str, int],
) -> None:  # fmt: skip
    """Drive a pool to its end; where that is sudden, nothing half-written stays."""
    try:
        drive(cases, pool, record, suspects=suspects, begin=begin, losses=losses)
    except BaseException:
        pool.close(at_once=True)
        _sweep(folder)
        raise
    pool.close()


def drive(
    cases: Sequence[Case],
    pool: Pool,
    record: Callable[[dict[str, Any]], None],
    *,
    suspects: Sequence[Case] = (),
    begin: Callable[[str], None] | None = None,
    losses: Mapping[str, int] | None = None,
) -> None:
    """Work the cases off: each gets one row, whatever happens to the workers.

    A worker holds at most `DEPTH` cases. The cases of one that died are tried again, each alone on its worker so that
    the guilty one shows; a case that was there `MOST_LOSSES` times is a failure.

    Parameters
    ----------
    cases : sequence of Case
        To be done.
    pool : Pool
        Of workers.
    record : callable
        Is given each row.
    suspects : sequence of Case
        Cases during which an earlier process died: each is tried alone.
    begin : callable, optional
        Is given the key of each case before a worker gets it.
    losses : mapping, optional
        How often each of the suspects was lost before.

    Raises
    ------
    GpukitError
        No worker is left.
    """
    waiting, doubtful = deque(cases), deque(suspects)
    lost = {case.key: (losses or {}).get(case.key, 1) for case in suspects}
    flying: dict[str, dict[str, Case]] = {worker: {} for worker in pool.workers()}

    def give(worker: str, held: dict[str, Case], case: Case) -> None:
        held[case.key] = case
        if begin is not None:
            begin(case.key)
        pool.send(worker, case)

    while waiting or doubtful or any(flying.values()):
        for worker, held in flying.items():
            if doubtful and not held:
                give(worker, held, doubtful.popleft())
        for depth in range(1, DEPTH + 1):  # all have one before any has two, else the last devices would have none
            for worker, held in flying.items():
                # beside a suspect is none; and where suspects wait, a worker runs empty, then it takes one
                alone = any(key in lost for key in held) or (doubtful and held)
                if waiting and len(held) < depth and not alone:
                    give(worker, held, waiting.popleft())
        for worker, row in pool.wait():
            if row is not None:
                del flying[worker][row["case"]]
                record(row)
                continue
            for case in flying.pop(worker).values():
                lost[case.key] = lost.get(case.key, 0) + 1
                if lost[case.key] < MOST_LOSSES:
                    doubtful.append(case)
                else:
                    record(failed_row(case, "worker", f"{MOST_LOSSES} workers died over it", worker))
            if waiting or doubtful:
                fresh = pool.renew(worker)
                if fresh is not None:
                    flying[fresh] = {}
        if not flying and (waiting or doubtful):
            raise GpukitError("no worker is left", fix="run the same command again: what is done is not done twice")


def _task(models: Sequence[str], trust: bool) -> str:
    tasks = {find_model(model, trust=trust).task for model in models}
    return tasks.pop() if len(tasks) == 1 else "report"


def _pool(
    job: Job, device: str | None, devices: list[str], workers: int | None, cluster: str | None, cases: int
) -> Pool:
    if cluster is not None:
        from gpukit.ai.batch.ray_cluster import RayPool

        return RayPool(job, cluster, workers, device)
    if workers is None and len(devices) < 2:
        return ThreadPool(job, devices[0])
    return ProcessPool(job, min(workers or len(devices), cases), devices)


def _settled(manifest: Manifest, case: Case, folder: Path, keep_failures: bool) -> bool:
    """Whether nothing is left to do for a case; one whose images changed or whose outputs are gone is done again."""
    row = manifest.rows.get(case.key)
    if row is None or row.get("stamp") != case.stamp:
        return False
    if not manifest.done(case.key):
        return keep_failures
    return all((folder / name).exists() for name in row["outputs"])


def _sweep(folder: Path) -> None:
    """Take away what a killed run was writing or had fetched; the record's lock says that nobody else is at it."""
    shutil.rmtree(folder / SCRATCH, ignore_errors=True)
    for left in folder.glob(f"{PREFIX}*"):
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink(missing_ok=True)


def _summarize(made: Batch, job: Mapping[str, Any]) -> None:
    counts = {"cases": len(made.rows), "done": made.done, "failed": len(made.failed)}
    with atomic_path(made.folder / "summary.json", force=True) as temporary:
        text = json_text("batch", {"job": job, **counts, "rows": made.rows})
        temporary.write_text(text, encoding="utf-8")
    columns = ("case", "status", "source", "outputs", "seconds", "result", "error")
    rows = []
    for row in made.rows:
        seconds = sum(row.get("seconds", {}).values()) if row["status"] == "done" else ""
        found = "; ".join(f"{key} {value}" for key, value in _flat(row.get("result", {})))
        cells = (
            row["case"], row["status"], row["source"], " ".join(row["outputs"]), seconds and f"{seconds:.3f}", found,
            row.get("error", ""),
        )  # fmt: skip
        rows.append(cells)
    with atomic_path(made.folder / "summary.csv", force=True) as temporary:
        temporary.write_text(csv_text(columns, rows), encoding="utf-8", errors="backslashreplace")


def _flat(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The result of a case in a few words."""
    words: list[tuple[str, str]] = []
    for key, value in result.items():
        if key == "labels":
            words += [(entry["name"], amount(entry, 3)) for entry in value]
        elif key == "classes" and isinstance(value, list):
            words += [(entry["name"], f"{entry['probability']:.4f}") for entry in value]
        elif isinstance(value, dict):
            words += [(str(name), str(number)) for name, number in value.items()]
        elif isinstance(value, list):
            words.append((key, ", ".join(map(str, value))))
        else:
            words.append((key, str(value)))
    return words
