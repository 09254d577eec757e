"""``gpukit devices``: which devices there are, which can be used, and what the others lack."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from gpukit_cli.output import emit, json_text, table

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON with a schema_version.")] = False,
) -> None:
    """Show every device of every backend: whether it can be used, why not, and what to install."""
    from gpukit.device import devices as all_devices
    from gpukit.device import resolve

    infos = all_devices()
    chosen = resolve("auto")[1]
    if as_json:
        emit(json_text("devices", {"auto": chosen, "devices": [asdict(info) for info in infos]}))
        return
    rows = [
        (
            info.name,
            info.backend,
            ("yes (auto)" if info.name == chosen else "yes") if info.usable else "no",
            memory(info.memory_free, info.memory_total),
            info.library or "-",
            info.kernels or "-",
            info.description or "-",
        )
        for info in infos
    ]
    text = table(("DEVICE", "BACKEND", "USABLE", "MEMORY FREE/TOTAL", "LIBRARY", "KERNELS", "HARDWARE"), rows)
    for info in infos:
        if not info.usable:
            text += f"\n{info.name}: {info.reason}. {info.install}".rstrip()
    emit(text.rstrip() + "\n")


def memory(free: int | None, total: int | None) -> str:
    """Free and total memory in GiB, as far as known."""
    if total is None:
        return "-"
    share = "" if free is None else f"{free / 2**30:.1f}/"
    return f"{share}{total / 2**30:.1f} GiB"
