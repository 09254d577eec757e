"""``gpukit ai``: networks over series."""

from __future__ import annotations

import typer

from gpukit_cli.commands.ai import batch, classify, convert, detect, enhance, models, report, segment

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def ai() -> None:
    """Run networks on series."""


for module in (segment, batch, classify, detect, enhance, report, models, convert):
    module.register(app)
