"""``gpukit report``: structured reports as documents, and documents of measurements as structured reports."""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperGroup

from gpukit_cli.commands.report import create, document

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


class _Report(TyperGroup):
    """Files are the first words of the main command; the name of another command before them selects that."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or args[0] not in self.commands:
            args = ["document", *(args or ["--help"])]
        rest: list[str] = super().parse_args(ctx, args)
        return rest

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return ("" if name == "document" else name), command, rest


@app.callback(cls=_Report)
def report() -> None:
    """Write structured reports as documents: pdf, html, markdown, json, text."""


document.register(app)
create.register(app)
