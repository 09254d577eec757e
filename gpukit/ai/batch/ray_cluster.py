"""Cases worked on by a Ray cluster: an actor for each GPU or node, replaced when its node dies."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpukit.ai.batch.case import Case
from gpukit.ai.batch.job import Job
from gpukit.ai.batch.manifest import MANIFEST
from gpukit.ai.batch.pipeline import DEPTH, Pipeline
from gpukit.ai.batch.workers import Event
from gpukit.errors import GpukitError, InputError, OutputError
from gpukit.extras import missing_package

__all__ = ["RayPool"]

#: Seconds without a row after which actors are looked for that no node has room for.
_PATIENCE = 5.0


class Worker:
    """What an actor does: the same pipeline as on one machine. Its calls come from `DEPTH` threads."""

    def __init__(self, job: Job, device: str | None, name: str) -> None:
        if not (Path(job.output) / MANIFEST).is_file():
            raise OutputError(
                "a node of the cluster does not see the folder of the outputs", file=job.output,
                fix="use a folder that all nodes share",
            )  # fmt: skip
        self._pipeline = Pipeline(job, device, name)

    def ready(self) -> bool:
        """Answers when a node has taken the actor."""
        return True

    def run(self, case: Case) -> dict[str, Any]:
        """Its row, when the case is done or has failed."""
        return self._pipeline.submit(case).result()


class RayPool:
    """Actors on a Ray cluster.

    Parameters
    ----------
    job : Job
        What is done.
    address : str
        ``auto`` (the cluster that this machine is part of, or ``RAY_ADDRESS``), or ``ray://HOST:PORT``.
    count : int or None
        Of actors; None is one for each GPU, or where there is none one for each node.
    device : str or None
        As for `gpukit.open`, on the nodes.

    Raises
    ------
    DependencyError
        Ray is not installed.
    InputError
        There is no cluster at the address.
    """

    def __init__(self, job: Job, address: str, count: int | None, device: str | None) -> None:
        try:
            import ray as package
        except ImportError:
            raise missing_package("--cluster needs Ray", "cluster") from None
        if address != "auto" and not address.startswith("ray://"):
            raise InputError(
                f"{address} is no address of a cluster", attribute="--cluster", fix="use auto, or ray://HOST:PORT"
            )
        ray: Any = package
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            try:
                ray.init(address=address, log_to_driver=False, configure_logging=False)
            except (ConnectionError, ValueError, RuntimeError, ImportError, ray.exceptions.RayError) as error:
                raise InputError(
                    f"there is no Ray cluster at {address}", attribute="--cluster", fix="start one with `ray start`"
                ) from error
        self._job, self._device = job, device
        self._graphics = int(ray.cluster_resources().get("GPU", 0))
        self._actors: dict[str, Any] = {}
        self._flying: dict[Any, tuple[str, str]] = {}
        self._placed: dict[str, Any] = {}
        self._started = 0
        for _ in range(count or self._graphics or len(self._nodes())):
            self._start()

    def workers(self) -> list[str]:
        """Actors that take cases."""
        return list(self._actors)

    def send(self, worker: str, case: Case) -> None:
        """Give an actor one more case."""
        self._flying[self._actors[worker].run.remote(case)] = (worker, case.key)

    def wait(self) -> Sequence[Event]:
        """Rows of actors, and actors that died with their process or node."""
        while not self._ray.wait(list(self._flying), num_returns=1, timeout=_PATIENCE)[0]:
            homeless = self._homeless()
            if homeless:
                return [self._forget(worker) for worker in homeless]
        # All that is there: rows that a node gave before it died count.
        ready, _ = self._ray.wait(list(self._flying), num_returns=len(self._flying), timeout=0)
        events: list[Event] = []
        lost: dict[str, None] = {}
        for reference in ready:
            worker, _ = self._flying.pop(reference)
            try:
                events.append((worker, self._ray.get(reference)))
            except self._ray.exceptions.RayTaskError as error:
                if isinstance(error.cause, GpukitError):
                    raise error.cause from None
                lost.setdefault(worker)
            except self._ray.exceptions.RayError as error:
                cause = _cause(error)
                if cause is not None:
                    raise cause from None
                lost.setdefault(worker)
        events += [self._forget(worker) for worker in lost]
        return events

    def renew(self, worker: str) -> str | None:
        """Another actor, where the nodes that are left have room for it."""
        return self._start() if self._room() >= len(self._actors) + 1 else None

    def close(self, *, at_once: bool = False) -> None:
        """End the actors, and the connection that was made here."""
        for actor in self._actors.values():
            with contextlib.suppress(Exception):
                self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()

    def _nodes(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"] and node["Resources"].get("CPU")]

    def _room(self) -> int:
        """Actors that the nodes can hold. A node that died is counted until the cluster has noticed."""
        return int(sum(node["Resources"].get("GPU" if self._graphics else "CPU", 0) for node in self._nodes()))

    def _homeless(self) -> list[str]:
        """Actors that wait for a place which is no more: made before the cluster noticed that a node had died."""
        excess = len(self._actors) - self._room()
        waiting = [name for name, placed in self._placed.items() if not self._ray.wait([placed], timeout=0)[0]]
        return waiting[-excess:] if excess > 0 else []

    def _forget(self, worker: str) -> Event:
        """End an actor; its cases are no longer waited for."""
        self._flying = {ref: about for ref, about in self._flying.items() if about[0] != worker}
        with contextlib.suppress(Exception):
            self._ray.kill(self._actors[worker])
        del self._actors[worker], self._placed[worker]
        return worker, None

    def _start(self) -> str:
        self._started += 1
        name = f"actor-{self._started}"
        actor = self._ray.remote(Worker).options(
            num_cpus=1, num_gpus=1 if self._graphics else 0, max_concurrency=DEPTH, max_restarts=0, max_task_retries=0,
            scheduling_strategy="SPREAD",
        )  # fmt: skip
        self._actors[name] = actor.remote(self._job, self._device, name)
        self._placed[name] = self._actors[name].ready.remote()
        return name


def _cause(error: BaseException) -> GpukitError | None:
    """The error of ours that ended an actor before it began, if it was one."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, GpukitError):
            return seen
        inner = getattr(seen, "cause", None)
        seen = inner if isinstance(inner, BaseException) else seen.__cause__
    return None
