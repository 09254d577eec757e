"""The typst compiler: in this process for our templates, in a limited one for those of users."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gpukit.errors import FormatError
from gpukit.report.formats.fonts import fonts_of
from gpukit.report.formats.limited import run_limited

__all__ = ["compile_here", "compile_limited"]


def compile_here(root: Path, font_dirs: tuple[Path, ...], standards: tuple[str, ...]) -> bytes:
    """Compile ``report.typ`` of a folder, with nothing outside that folder in reach."""
    import typst

    empty = root / "packages"
    empty.mkdir(exist_ok=True)
    names: Any = list(standards)
    compiler = typst.Compiler(
        str(root / "report.typ"), root=str(root), font_paths=fonts_of(font_dirs), package_path=str(empty),
        package_cache_path=str(empty),
    )  # fmt: skip
    content = compiler.compile(format="pdf", pdf_standards=names, timestamp=0)
    assert isinstance(content, bytes)
    return content


def compile_limited(root: Path, font_dirs: tuple[Path, ...], standards: tuple[str, ...]) -> bytes:
    """As `compile_here`, for a template that is not ours.

    Raises
    ------
    FormatError
        It takes too long.
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
