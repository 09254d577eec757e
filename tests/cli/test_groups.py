"""Options that a dataclass groups are options like all others."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from gpukit_cli.groups import with_groups


@dataclass(frozen=True)
class Place:
    where: Annotated[str, typer.Option("--where", metavar="WORD", help="The place.")]
    depth: Annotated[float, typer.Option("--depth", min=0)] = 2.0


@with_groups
def measure(
    files: Annotated[list[str], typer.Argument()],
    *,
    place: Place,
    loud: Annotated[bool, typer.Option("--loud")] = False,
) -> None:
    """Measure something."""
    typer.echo(f"{files} {place.where} {place.depth:g} {loud}")


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(measure)


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["a", "b", "--where", "here"], "['a', 'b'] here 2 False"),
        (["--depth", "7", "--loud", "--where", "there", "a"], "['a'] there 7 True"),
    ],
)
def test_fields_are_options_and_come_as_one(words: list[str], printed: str) -> None:
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert result.output.strip() == printed


def test_a_field_keeps_what_its_annotation_demands() -> None:
    missing = CliRunner().invoke(app, ["a"])
    assert missing.exit_code == 2
    assert "--where" in missing.output
    assert CliRunner().invoke(app, ["a", "--where", "x", "--depth", "-1"]).exit_code == 2
    shown = CliRunner().invoke(app, ["--help"]).output
    assert shown.index("--where WORD") < shown.index("--depth") < shown.index("--loud")
    assert "Measure something." in shown
