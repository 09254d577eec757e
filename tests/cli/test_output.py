"""Tables, JSON, CSV and progress bars."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest

from gpukit.documents.json_csv import csv_text
from gpukit.errors import OutputExistsError
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_json_has_a_schema_version_and_only_what_json_knows() -> None:
    content = {
        "a": np.float32(0.5),
        "b": np.arange(3),
        "c": math.nan,
        "d": Path("x"),
        "e": (1, None, True),
        "f": math.inf,
    }
    document = json.loads(json_text("test", content))
    assert document == {
        "schema_version": 1,
        "kind": "test",
        "a": 0.5,
        "b": [0, 1, 2],
        "c": None,
        "d": "x",
        "e": [1, None, True],
        "f": None,
    }


def test_csv_comes_back_with_commas_quotes_and_lines() -> None:
    rows = [["a,b", 'say "x"'], ["two\nlines", "µ"]]
    assert list(csv.reader(io.StringIO(csv_text(["one", "two"], rows)))) == [["one", "two"], *rows]


def test_table_lines_up() -> None:
    lines = table(["A", "LONG"], [["wide cell", 1], ["x", 22]]).splitlines()
    assert [line.index(word) for line, word in zip(lines, ("LONG", "1", "22"), strict=True)] == [11, 11, 11]
    assert all(line == line.rstrip() for line in lines)


def test_emit_writes_files_whole_and_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    emit("x\n", tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "x\n"
    with pytest.raises(OutputExistsError):
        emit("y\n", tmp_path / "a.txt")
    emit("y\n", tmp_path / "a.txt", force=True)
    assert (tmp_path / "a.txt").read_text() == "y\n"
    emit("z\n", "-")
    assert capsys.readouterr().out == "z\n"
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_bar_on_a_terminal_ends_its_line() -> None:
    stream = Terminal()
    with Progress(stream) as progress:
        for done in range(11):
            progress("decode", done, 10)
        progress("write", 1, 1)
    text = stream.getvalue()
    assert "10/10" in text
    assert text.endswith("\n")
    assert text.count("\n") == 2


def test_bar_never_runs_backwards() -> None:
    stream = Terminal()
    with Progress(stream) as progress:
        progress("decode", 10, 10)
        progress("decode", 9, 10)  # a slower thread reports late
    assert "9/10" not in stream.getvalue()


def test_no_terminal_no_bar() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress("decode", 1, 2)
    assert stream.getvalue() == ""
