"""``--profile``: where the time of a command went, and what crossed between devices."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from gpukit_cli.output import table

__all__ = ["Profile", "Wanted", "profiled", "show"]

Wanted = Annotated[
    bool, typer.Option("--profile", help="Tell the time of each stage on standard error, and in --json.")
]


@dataclass
class Profile:
    """Seconds by stage, of what threads did beside, and in all; and the crossings between devices."""

    seconds: dict[str, float] = field(default_factory=dict)
    beside: dict[str, float] = field(default_factory=dict)
    total: float = 0.0
    transfers: list[Any] = field(default_factory=list)

    def content(self) -> dict[str, Any]:
        """Ready for JSON."""
        moved = [{"from": one.source, "to": one.target, "bytes": one.nbytes} for one in self.transfers]
        return {
            "seconds": dict(self.seconds), "seconds_beside": dict(self.beside), "total_seconds": self.total,
            "transfers": moved,
        }  # fmt: skip


@contextmanager
def profiled(wanted: bool) -> Iterator[Profile | None]:
    """Collect while the context is open, and print the table when it ends well; None where nobody wants it."""
    if not wanted:
        yield None
        return
    from gpukit.profiling import profile
    from gpukit.transfers import count_transfers

    made = Profile()
    begun = time.perf_counter()
    with count_transfers() as made.transfers, profile(made.beside) as made.seconds:
        yield made
    made.total = time.perf_counter() - begun
    show(made.seconds, made.total, made.beside)
    for one in made.transfers:
        sys.stderr.write(f"{one.source} to {one.target}: {one.nbytes / 1e6:.1f} MB\n")


def show(seconds: Mapping[str, float], total: float, beside: Mapping[str, float] | None = None) -> None:
    """The table, in the order of the work; what belongs to no stage is the rest, and what ran beside adds nothing."""
    rest = total - sum(seconds.values())
    rows = [
        (name, f"{value:.3f}", f"{value / total:.0%}") for name, value in [*_ordered(seconds), ("rest", max(0.0, rest))]
    ]
    rows.append(("all", f"{total:.3f}", "100%"))
    rows += [(f"at the same time: {name}", f"{value:.3f}", "") for name, value in _ordered(beside or {})]
    sys.stderr.write(table(("STAGE", "SECONDS", "SHARE"), rows))


def _ordered(seconds: Mapping[str, float]) -> list[tuple[str, float]]:
    from gpukit.profiling import STAGES

    return [(name, seconds[name]) for name in STAGES if name in seconds]
