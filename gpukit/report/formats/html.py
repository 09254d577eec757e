"""HTML: one file, no script, nothing from outside; Jinja2 in its sandbox with everything escaped."""

from __future__ import annotations

import html
import itertools
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpukit.errors import FormatError
from gpukit.extras import missing_package
from gpukit.report.formats.limited import run_limited
from gpukit.report.view.template import is_built_in

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

__all__ = ["write_html"]

_CLASSES = {"num": "n", "empty": "e", "problem": "problem", "uid": "u"}


def write_html(view: dict[str, Any], folders: Sequence[Path], template: str = "report.html.j2") -> str:
    """The view as HTML.

    Parameters
    ----------
    view : dict
        From `present`.
    folders : sequence of Path
        Template folders, the first one that has a file counts; nothing outside them can be included.
    template : str
        Name of the template.

    Raises
    ------
    FormatError
        The template is wrong; names its file and line.
    DependencyError
        Jinja2 is missing.
    """
    if any(not is_built_in(folder) and list(folder.glob("*.j2")) for folder in folders):
        result: str = run_limited(_rendered, f"{folders[0]}/{template}", view, tuple(folders), template)
        return result
    return _rendered(view, tuple(folders), template)


def _rendered(view: dict[str, Any], folders: tuple[Path, ...], template: str) -> str:
    environment = _environment(folders)
    import jinja2

    class Counter:
        def __init__(self) -> None:
            self._numbers = itertools.count(1)

        def next(self) -> int:
            return next(self._numbers)

    try:
        return environment.get_template(template).render(report=view, counter=Counter())
    except jinja2.TemplateSyntaxError as error:
        raise FormatError(
            f"line {error.lineno}: {error.message}", file=error.filename or template, fix="correct the template"
        ) from error
    except (
        jinja2.TemplateError,
        TypeError,
        ValueError,
        AttributeError,
        KeyError,
        ArithmeticError,
        RecursionError,
    ) as error:
        file, line = _place(error, folders)
        raise FormatError(f"line {line}: {error}", file=file, fix="correct the template") from error


def _place(error: BaseException, folders: Sequence[Path]) -> tuple[str, int]:
    """File and line of a template in which an error arose."""
    file, line = "template", 0
    trace = error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if any(name.startswith(str(folder)) for folder in folders) and name.endswith(".j2"):
            file, line = name, trace.tb_lineno
        trace = trace.tb_next
    return file, line


@lru_cache(8)
def _environment(folders: tuple[Path, ...]) -> SandboxedEnvironment:
    try:
        import jinja2
        from jinja2.sandbox import ImmutableSandboxedEnvironment
    except ImportError as error:
        raise missing_package("writing HTML needs Jinja2", "report") from error
    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.FileSystemLoader([str(folder) for folder in folders], followlinks=False),
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    safe = _markup()
    environment.filters["spans"] = lambda spans: safe(spans_html(spans))
    environment.filters["words"] = lambda spans: "".join(span["t"] for span in spans)
    environment.filters["rows"] = lambda table: safe(_rows(table))
    environment.filters["heading"] = lambda spans, level: safe(
        f"<h{min(int(level), 6)}>{spans_html(spans)}</h{min(int(level), 6)}>"
    )
    environment.filters["trend"] = lambda block: safe(_trend(block))
    environment.globals.pop("lipsum", None)
    return environment


def _markup() -> Any:
    from markupsafe import Markup

    return Markup


def spans_html(spans: Sequence[dict[str, str]]) -> str:
    """Spans as HTML, everything escaped."""
    parts = []
    for span in spans:
        text = html.escape(span["t"])
        if len(span) == 1:
            parts.append(text)
            continue
        kind = span.get("k", "")
        attributes = ""
        if "lang" in span:
            attributes += f' lang="{html.escape(span["lang"])}"'
        if "dir" in span:
            attributes += f' dir="{html.escape(span["dir"])}"'
        if "id" in span:
            attributes += f' id="{html.escape(span["id"])}"'
        if kind in _CLASSES:
            attributes += f' class="{_CLASSES[kind]}"'
        if kind == "num":
            text = f'<bdi dir="ltr"{attributes}>{text}</bdi>'
        elif attributes:
            text = f"<span{attributes}>{text}</span>"
        if "href" in span:
            text = f'<a href="#{html.escape(span["href"])}">{text}</a>'
        parts.append(text)
    return "".join(parts)


def _rows(table: dict[str, Any]) -> str:
    classes = [' class="r"' if column["num"] else "" for column in table["columns"]]
    lines = []
    for row in table["rows"]:
        cells = [f'<th scope="row"{classes[0]}>{spans_html(row[0])}</th>']
        cells += [f"<td{name}>{spans_html(cell)}</td>" for name, cell in zip(classes[1:], row[1:], strict=True)]
        lines.append(f"<tr>{''.join(cells)}</tr>\n")
    return "".join(lines)


def _trend(block: dict[str, Any]) -> str:
    """A small line drawing as SVG."""
    points = " ".join(f"{x:g},{y:g}" for x, y in block["points"])
    dots = "".join(f'<circle cx="{x:g}" cy="{y:g}" r="2.5"/>' for x, y in block["points"])
    return (
        f'<svg role="img" aria-label="{html.escape(block["alt"])}" viewBox="0 0 {block["width"]} {block["height"]}" '
        f'width="{block["width"]}" height="{block["height"]}"><polyline points="{points}" fill="none" '
        f'stroke="currentColor" stroke-width="1.5"/>{dots}</svg>'
    )
