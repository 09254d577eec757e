"""The typst compiler: in this process for our templates; for others in a process of its own, without network, for 10 s."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from gpukit.errors import FormatError
from gpukit.report.formats.fonts import fonts_of

__all__ = ["SECONDS", "compile_here", "compile_limited", "run_limited"]

#: How long a template of the user may take.
SECONDS = 10.0


def compile_here(root: Path, font_dirs: tuple[Path, ...], standards: tuple[str, ...]) -> bytes:
    """Compile ``report.typ`` of a folder, with nothing outside that folder in reach."""
    import typst

    empty = root / "packages"
    empty.mkdir(exist_ok=True)
    compiler = typst.Compiler(
        str(root / "report.typ"), root=str(root), font_paths=fonts_of(font_dirs), package_path=str(empty),
        package_cache_path=str(empty),
    )  # fmt: skip
    content = compiler.compile(format="pdf", pdf_standards=list(standards), timestamp=0)
    assert isinstance(content, bytes)
    return content


def compile_limited(root: Path, font_dirs: tuple[Path, ...], standards: tuple[str, ...]) -> bytes:
    """As `compile_here`, for a template that is not ours.

    Raises
    ------
    FormatError
        It takes longer than `SECONDS`.
    RuntimeError
        The compiler's message.
    """
    for file in root.glob("*.typ"):
        text = file.read_text(encoding="utf-8", errors="replace")
        if "@preview" in text or "@local" in text:
            line = next(n for n, words in enumerate(text.splitlines(), 1) if "@preview" in words or "@local" in words)
            raise FormatError(
                f"line {line}: packages are not loaded: a template uses the files of its own folder only",
                file=file.name, fix="copy what you need into the template's folder",
            )  # fmt: skip
    return run_limited(compile_here, str(root / "report.typ"), root, font_dirs, standards)  # type: ignore[no-any-return]


def run_limited(function: Callable[..., Any], file: str, *arguments: Any) -> Any:
    """The result of a function in a process of its own that is ended after `SECONDS`.

    Raises
    ------
    FormatError
        It was not ready in time, or its process died.
    RuntimeError
        With the message of what it raised; errors of gpukit as they are.
    """
    from multiprocessing import get_context

    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(theirs, function, arguments), daemon=True)
    process.start()
    theirs.close()
    try:
        if not ours.poll(SECONDS + 5):  # 5 s for the process to start
            raise FormatError(f"the template was not ready after {SECONDS:g} s", file=Path(file).name, fix="simplify it")
        kind, value = ours.recv()
    except EOFError as error:
        raise FormatError("the template ended its process", file=Path(file).name, fix="simplify it") from error
    finally:
        process.kill()
        process.join()
        ours.close()
    if kind == "error":
        raise value
    return value


def _child(connection: Connection, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        os.environ[name] = "http://127.0.0.1:9"  # nothing listens there: no request leaves
    for name in ("NO_PROXY", "no_proxy"):
        os.environ.pop(name, None)
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (int(SECONDS) + 5, int(SECONDS) + 6))
    except (ImportError, ValueError, OSError):
        pass
    try:
        result = ("value", function(*arguments))
    except FormatError as error:
        result = ("error", FormatError(error.what, file=error.file, attribute=error.attribute, fix=error.fix))
    except BaseException as error:
        result = ("error", RuntimeError(f"{getattr(error, 'diagnostic', '') or error}"))
    connection.send(result)
    connection.close()
