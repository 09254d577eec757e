"""Work in processes of its own: templates that are not ours (no network, 10 s), and many reports at a time.

The child is a fresh interpreter that runs this module, so that a caller's script needs no guard and no fork.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from gpukit.errors import FormatError, GpukitError

__all__ = ["SECONDS", "run_each", "run_limited"]

#: How long a template of the user may take.
SECONDS = 10.0
_START = 10.0  # for the process to come up on a busy machine
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy")


def run_limited(function: Callable[..., Any], file: str, *arguments: Any) -> Any:
    """The result of a function of a module, ended after `SECONDS` of processor time, without network.

    Raises
    ------
    FormatError
        It was not ready in time, or its process died.
    RuntimeError
        With the message of what it raised; errors of gpukit as they are.
    """
    environment = {name: value for name, value in os.environ.items() if name not in ("NO_PROXY", "no_proxy")}
    environment |= dict.fromkeys(_PROXIES, "http://127.0.0.1:9")  # nothing listens there: no request leaves
    process = _start(function, arguments, environment, limited=True)
    try:
        output, _ = process.communicate(process.job, timeout=SECONDS + _START)  # type: ignore[attr-defined]
    except subprocess.TimeoutExpired as error:
        raise FormatError(f"the template was not ready after {SECONDS:g} s", file=file, fix="simplify it") from error
    finally:
        process.kill()
        process.wait()
    return _result(output, file)


def run_each(function: Callable[..., Any], jobs: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Results of a function for each of `jobs`, one process each, at the same time."""
    processes = [_start(function, job, dict(os.environ), limited=False) for job in jobs]
    try:
        for process in processes:
            assert process.stdin is not None
            process.stdin.write(process.job)  # type: ignore[attr-defined]
            process.stdin.close()
        outputs = []
        for process in processes:
            assert process.stdout is not None
            outputs.append(process.stdout.read())
            process.wait()
    finally:
        for process in processes:
            process.kill()
            process.wait()
    return [_result(output, "report") for output in outputs]


def _start(
    function: Callable[..., Any], arguments: tuple[Any, ...], environment: dict[str, str], *, limited: bool
) -> subprocess.Popen[bytes]:
    job = pickle.dumps((function.__module__, function.__name__, arguments, limited))
    process = subprocess.Popen(
        [sys.executable, "-c", "from gpukit.report.formats.limited import _child; _child()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if limited else None,
        env={**environment, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )  # fmt: skip
    process.job = job  # type: ignore[attr-defined]
    return process


def _result(output: bytes, file: str) -> Any:
    if not output:
        raise FormatError("the template needed more time or memory than it may", file=file, fix="simplify it")
    kind, value = pickle.loads(output)
    if kind == "error":
        raise value
    return value


def _child() -> None:
    """What the child does: read a job, run it, write its result."""
    from importlib import import_module

    module, name, arguments, limited = pickle.loads(sys.stdin.buffer.read())
    target = sys.stdout.buffer
    sys.stdout = sys.stderr
    if limited:
        _limit()
    result: tuple[str, Any]
    try:
        result = ("value", getattr(import_module(module), name)(*arguments))
    except GpukitError as error:
        result = ("error", FormatError(error.what, file=error.file, attribute=error.attribute, fix=error.fix))
    except BaseException as error:
        result = ("error", RuntimeError(f"{getattr(error, 'diagnostic', '') or error}"))
    target.write(pickle.dumps(result))
    target.flush()


def _limit() -> None:
    try:
        import resource

        seconds = int(SECONDS)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
        memory = 4 << 30
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    except (ImportError, ValueError, OSError):  # Windows: the clock of the parent is all there is
        pass
