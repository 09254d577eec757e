"""Words of the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from gpukit_cli import params

BAD = typer.BadParameter


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (params.point, "100,200", (100, 200)),
        (params.point, "1,0.5,-3e1", (1, 0.5, -30)),
        (params.box, "150,150,50,50", (150, 150, 50, 50)),
        (params.length, "20mm", 20),
        (params.length, "2cm", 20),
        (params.numbers, "45,30", (45, 30)),
    ],
)
def test_words_that_mean_something(parse: object, text: str, value: object) -> None:
    assert parse(text) == value  # type: ignore[operator]


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (params.point, "1"),
        (params.point, "1,2,3,4"),
        (params.point, "a,b"),
        (params.point, "1,nan"),
        (params.box, "1,2,3"),
        (params.box, "1,2,0,4"),
        (params.length, "20 inch"),
        (params.length, "0mm"),
        (params.numbers, ""),
    ],
)
def test_words_that_mean_nothing_are_usage_errors(parse: object, text: str) -> None:
    with pytest.raises(BAD):
        parse(text)  # type: ignore[operator]


def test_names_are_checked_and_taken_once() -> None:
    assert params.names("Nifti, nrrd,nifti", known=["nifti", "nrrd"], what="format") == ("nifti", "nrrd")
    with pytest.raises(BAD, match="nifti, nrrd"):
        params.names("stl", known=["nifti", "nrrd"], what="format")


def list_app() -> typer.Typer:
    app = typer.Typer(add_completion=False, rich_markup_mode=None)

    @app.command(cls=params.command_with_lists(polygon=params.point))
    def area(
        inputs: list[Path],
        polygon: Annotated[list[str], typer.Option("--polygon")],
        output: Annotated[str, typer.Option("--output")] = "-",
    ) -> None:
        print("|".join([",".join(map(str, inputs)), " ".join(polygon), output]))

    return app


@pytest.mark.parametrize(
    "words",
    [
        ["ct.dcm", "--polygon", "100,100", "150,200", "200,200", "--output", "o"],
        ["--polygon", "100,100", "150,200", "200,200", "--output", "o", "ct.dcm"],
        ["--polygon", "100,100", "150,200", "200,200", "ct.dcm", "--output", "o"],
        ["--polygon=100,100", "150,200", "200,200", "ct.dcm", "--output", "o"],
        ["--output", "o", "--polygon", "100,100", "--polygon", "150,200", "200,200", "--", "ct.dcm"],
    ],
)
def test_option_followed_by_several_values(words: list[str]) -> None:
    done = CliRunner().invoke(list_app(), words)
    assert done.stdout == "ct.dcm|100,100 150,200 200,200|o\n"


def test_input_file_is_never_eaten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("7,8").touch()  # a file whose name looks like a point
    done = CliRunner().invoke(list_app(), ["--polygon", "1,2", "3,4", "7,8"])
    assert done.stdout == "7,8|1,2 3,4|-\n"


@given(st.lists(st.sampled_from(["--polygon", "1,2", "x.dcm", "--", "--output", "-5,6"]), max_size=8))
def test_spreading_loses_no_word(words: list[str]) -> None:
    spread = params.spread(words, {"--polygon": params.point})
    rest = iter(spread)
    assert all(word in rest for word in words)  # a subsequence, in order
    assert set(spread) <= {*words, "--polygon"}
