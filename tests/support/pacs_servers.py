"""A PACS that is a program of its own, for as long as a test needs it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests

__all__ = ["free_port", "served"]


def free_port() -> int:
    """A port of the loopback that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def served(command: Sequence[str | os.PathLike[str]], folder: Path, answers: Callable[[], bool]) -> Iterator[None]:
    """Run the program in the folder; `answers` asks it by HTTP, and must be true as soon as it listens."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + 60
        while True:
            try:
                assert answers()
                break
            except requests.ConnectionError:
                said = (folder / "log").read_text()[-1000:]
                assert process.poll() is None and time.monotonic() < until, said
                time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(30)
