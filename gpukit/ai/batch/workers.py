"""Where cases are worked on: threads of this process, or processes of this machine, one for each GPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from typing import Any, Protocol

from gpukit.ai.batch.case import Case
from gpukit.ai.batch.job import Job
from gpukit.ai.batch.pipeline import Pipeline
from gpukit.device import DEVICE_VARIABLE, resolve
from gpukit.errors import GpukitError

__all__ = ["CannotBeginError", "Event", "Pool", "ProcessPool", "ThreadPool", "places"]

#: A worker and the row that it finished, or None where the worker is lost with all that it had.
Event = tuple[str, "dict[str, Any] | None"]


#: What a worker says first, once it takes cases.
_READY = True


class CannotBeginError(GpukitError):
    """A worker process ended before it took a case, so no case is the cause."""


class Pool(Protocol):
    """Workers by name. Which case goes where, and what becomes of a lost worker's cases, is not theirs to decide."""

    def workers(self) -> list[str]:
        """Those that take cases now."""
        ...

    def send(self, worker: str, case: Case) -> None:
        """Give a worker one more case."""
        ...

    def wait(self) -> Sequence[Event]:
        """What happened, at least one thing; blocks."""
        ...

    def renew(self, worker: str) -> str | None:
        """A worker in place of a lost one, or None where there is no room for it."""
        ...

    def close(self, *, at_once: bool = False) -> None:
        """End the workers; `at_once`, without what they are doing."""
        ...


def places(device: str | None) -> list[str]:
    """The devices that one is meant by: all of a kind, unless one is named with its number.

    Parameters
    ----------
    device : str or None
        As for `gpukit.open`. ``cuda:1`` is that one; ``cuda``, or ``auto`` where that takes an NVIDIA device, are all
        that the driver shows (``CUDA_VISIBLE_DEVICES`` limits them, and gives them their numbers).

    Raises
    ------
    DeviceError
        It cannot be used.
    """
    backend, name = resolve(device)
    kind, sign, _ = name.partition(":")
    if not sign or (device or os.environ.get(DEVICE_VARIABLE) or "").strip().lower() == name:
        return [name]
    found = [info for info in backend.devices() if info.usable and info.name.partition(":")[0] == kind]
    return [info.name for info in found if info.automatic or info.name == name]


class ThreadPool:
    """One pipeline in this process."""

    def __init__(self, job: Job, device: str | None) -> None:
        self._rows: queue.Queue[Event] = queue.Queue()
        self._pipeline = Pipeline(job, device, "worker-1")

    def workers(self) -> list[str]:
        """The one pipeline."""
        return ["worker-1"]

    def send(self, worker: str, case: Case) -> None:
        """Give it one more case."""
        self._pipeline.submit(case).add_done_callback(lambda row: self._rows.put((worker, row.result())))

    def wait(self) -> Sequence[Event]:
        """The next row."""
        return [self._rows.get()]

    def renew(self, worker: str) -> str | None:
        """Never: it is lost only with this process."""
        return None

    def close(self, *, at_once: bool = False) -> None:
        """End the threads."""
        self._pipeline.close(at_once=at_once)


class ProcessPool:
    """Processes of this machine; one that dies is replaced.

    Parameters
    ----------
    job : Job
        What is done.
    count : int
        Of processes.
    devices : sequence of str
        Each process takes the next; after the last one the first again.
    """

    def __init__(self, job: Job, count: int, devices: Sequence[str]) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._job, self._count, self._devices = job, count, list(devices)
        self._places: dict[str, int] = {}
        self._links: dict[str, Connection] = {}
        self._processes: dict[str, Any] = {}
        self._started = 0
        self._ready: set[str] = set()
        for place in range(count):
            self._start(place)

    def workers(self) -> list[str]:
        """Processes that are alive, as far as is known."""
        return list(self._links)

    def send(self, worker: str, case: Case) -> None:
        """Give a process one more case; where it is dead, `wait` tells."""
        with contextlib.suppress(OSError):
            self._links[worker].send(case)

    def wait(self) -> Sequence[Event]:
        """Rows of processes, and processes that are lost."""
        names = {id(link): name for name, link in self._links.items()}
        events: list[Event] = []
        for ready in wait(list(self._links.values())):
            name = names[id(ready)]
            try:
                row = self._links[name].recv()
            except (EOFError, OSError):
                begun = name in self._ready
                self._forget(name)
                if not begun:
                    raise CannotBeginError(
                        "a worker process ended before it began",
                        fix='call gpukit from a program that guards its main part by if __name__ == "__main__":, or '
                        "without workers",
                    ) from None
                events.append((name, None))
                continue
            if row is _READY:
                self._ready.add(name)
                continue
            if isinstance(row, str):
                raise CannotBeginError(row)
            events.append((name, row))
        return events

    def renew(self, worker: str) -> str | None:
        """Another process in the place (and on the device) of a lost one."""
        return self._start(self._places.pop(worker))

    def close(self, *, at_once: bool = False) -> None:
        """End the processes."""
        for name, link in list(self._links.items()):
            if at_once:
                self._processes[name].kill()
            else:
                with contextlib.suppress(OSError):
                    link.send(None)
        for name in list(self._links):
            self._processes[name].join(60)
            self._forget(name)

    def _start(self, place: int) -> str:
        self._started += 1
        name = f"worker-{self._started}"
        device = self._devices[place % len(self._devices)]
        ours, theirs = self._context.Pipe()
        threads = max(1, (os.cpu_count() or 1) // self._count)
        process = self._context.Process(
            target=_serve, args=(theirs, self._job, device, name, threads, os.getpid()), name=name, daemon=True
        )
        process.start()
        theirs.close()
        self._places[name], self._links[name], self._processes[name] = place, ours, process
        return name

    def _forget(self, name: str) -> None:
        self._links.pop(name).close()
        process = self._processes.pop(name)
        process.join(10)
        if process.is_alive():
            process.kill()


def _serve(link: Any, job: Job, device: str, name: str, threads: int, parent: int) -> None:
    """The life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    sending = threading.Lock()

    def tell(row: Any) -> None:
        with sending, contextlib.suppress(OSError):
            link.send(row)

    try:
        import torch

        torch.set_num_threads(threads)
        pipeline = Pipeline(job, _alone(device), name, shown=device)
        tell(_READY)
    except GpukitError as error:
        tell(str(error))
        return
    except Exception as error:  # the next one would fare no better, and no case is to blame
        tell(f"a worker cannot begin: {type(error).__name__}: {' '.join(str(error).split())[:300]}")
        return
    while True:
        try:
            case = link.recv()
        except (EOFError, OSError):
            break
        if case is None:
            break
        pipeline.submit(case).add_done_callback(lambda row: tell(row.result()))
    pipeline.close()


def _alone(device: str) -> str:
    """Let this process see its own CUDA device only, and give the name that the device has here then.

    Else each process would hold memory on all of them, and what knows no number (DALI) would use the first.
    """
    kind, sign, number = device.partition(":")
    torch = sys.modules.get("torch")
    begun = "cupy" in sys.modules or (torch is not None and torch.cuda.is_initialized())
    if not sign or kind not in ("cuda", "torch-cuda") or begun:
        return device
    shown = [entry.strip() for entry in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    if shown != [""] and len(shown) <= int(number):
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = number if shown == [""] else shown[int(number)]
    return f"{kind}:0"


def _follow(parent: int) -> None:
    """End with the parent, however it ends: nobody would write the rows of what an orphan finishes."""
    while os.getppid() == parent:
        time.sleep(0.1)
    os._exit(1)
