"""Decoders in processes of their own: a codec that aborts, hangs or grows takes its process along, not this one."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from pathlib import Path
from threading import Lock, Timer
from typing import Any

__all__ = ["WorkerPool"]

#: Seconds for one frame, and bytes of pixels for which it gets a second more.
_PATIENCE = 15.0
_PACE = 4 << 20


class WorkerPool:
    """Worker processes that run one program, as many as threads ask at once; an idle one is used again.

    Parameters
    ----------
    program : str
        The program, which reads requests from standard input: a file beside this module, or an absolute path.
    """

    def __init__(self, program: str) -> None:
        self._program = Path(__file__).parent / program
        self._idle: list[subprocess.Popen[bytes]] = []
        self._owner = os.getpid()
        self._inherited: list[subprocess.Popen[bytes]] = []
        self._lock = Lock()
        atexit.register(self.close)

    def ask(self, request: dict[str, Any], data: bytes, pixels: int) -> tuple[dict[str, Any], bytes]:
        """Let a worker decode one frame.

        Parameters
        ----------
        request : dict
            What the program needs to know, besides the codestream.
        data : bytes
            The codestream.
        pixels : int
            Bytes that the frame's pixels take; they bound the worker's time and memory.

        Raises
        ------
        ValueError
            The codec refused the frame, ended its process over it, or took too long.
        """
        worker = self._take()
        late = Timer(_PATIENCE + pixels / _PACE, worker.kill)
        late.daemon = True
        late.start()
        try:
            answer, content = _exchange(worker, {**request, "length": len(data), "pixels": pixels}, data)
        except BaseException as error:
            expired = not late.is_alive()
            worker.kill()
            worker.wait()
            _close(worker)
            if not isinstance(error, (OSError, ValueError, KeyError, TypeError)):
                raise
            if expired:
                raise ValueError("the codec took too long over this frame and was stopped") from None
            raise ValueError(f"the codec ended its process over this frame (exit code {worker.returncode})") from None
        finally:
            late.cancel()
        with self._lock:
            self._idle.append(worker)
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer, content

    def close(self) -> None:
        """End the idle workers of this process."""
        with self._lock:
            workers, self._idle = (self._idle if self._owner == os.getpid() else []), []
        for worker in workers:
            _close(worker)
            try:
                worker.wait(2)
            except subprocess.TimeoutExpired:
                worker.kill()
                worker.wait()

    def _take(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._owner != os.getpid():  # a forked process must not read the answers of its parent's workers
                self._inherited += self._idle
                self._idle, self._owner = [], os.getpid()
            if self._idle:
                return self._idle.pop()
        return subprocess.Popen(
            # -P keeps the folder of the program off the path, where gdcm.py would hide the package of that name
            [sys.executable, "-P", str(self._program)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip


def _exchange(worker: subprocess.Popen[bytes], request: dict[str, Any], data: bytes) -> tuple[dict[str, Any], bytes]:
    assert worker.stdin is not None and worker.stdout is not None
    worker.stdin.write(json.dumps(request).encode() + b"\n")
    worker.stdin.write(data)
    worker.stdin.flush()
    answer = json.loads(worker.stdout.readline())
    content = worker.stdout.read(answer["length"])
    if len(content) < answer["length"]:
        raise ValueError("the answer is cut off")
    return answer, content


def _close(worker: subprocess.Popen[bytes]) -> None:
    for stream in (worker.stdin, worker.stdout):
        if stream is not None:
            try:
                stream.close()
            except OSError:  # what was written last can no longer be sent
                continue
