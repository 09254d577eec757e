"""Words of the command line and what they mean: points, boxes, polygons, lengths, lists.

Each parser is for ``typer.Option(parser=...)``; it raises `typer.BadParameter`, so a wrong word is a usage error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, BadParameter, Option
from typer.core import TyperCommand

from gpukit.errors import UnitError
from gpukit.units import parse_length

__all__ = [
    "Device",
    "FillGaps",
    "Force",
    "Inputs",
    "Json",
    "KeepTilt",
    "Phase",
    "Series",
    "RawScale",
    "SkipDamaged",
    "box",
    "command_with_lists",
    "length",
    "names",
    "numbers",
    "point",
    "source_of",
    "uid",
]

# Arguments and options that several tools have, spelled and explained once.
Inputs = Annotated[
    list[Path], Argument(metavar="INPUT...", help="Files, directories, globs, a DICOMDIR or a zip.", show_default=False)
]
Device = Annotated[
    str | None,
    Option(
        "--device", metavar="NAME", help="auto, cuda, cuda:1, mps, cpu or torch-cpu [default: GPUKIT_DEVICE or auto]"
    ),
]
Series = Annotated[
    str | None,
    Option(
        "--series", metavar="WHICH", help="Which of several series: number in `gpukit series`, SeriesNumber or UID."
    ),
]
Phase = Annotated[
    str | None,
    Option(
        "--phase", metavar="WHICH", help="One volume of a 4D series: its index from 0, or words of its description."
    ),
]
FillGaps = Annotated[bool, Option("--fill-gaps", help="Interpolate missing slices instead of refusing the series.")]
MaxGap = Annotated[
    int | None,
    Option(
        "--max-gap",
        metavar="SLICES",
        min=1,
        help="Most missing slices in a gap that --fill-gaps interpolates [default: 3, and 10 % of the stack].",
        show_default=False,
    ),
]
SkipDamaged = Annotated[
    bool, Option("--skip-damaged", help="Leave files that cannot be read out instead of refusing the series.")
]
RawScale = Annotated[
    bool,
    Option(
        "--raw-scale", help="Philips MR: values as they are displayed, without the scanner's own scale (2005,100E)."
    ),
]
KeepTilt = Annotated[bool, Option("--keep-tilt", help="Keep a gantry tilt as a sheared grid instead of resampling.")]
Force = Annotated[bool, Option("--force", help="Overwrite existing files.")]
Json = Annotated[bool, Option("--json", help="Print JSON with a schema_version.")]


def gaps_of(fill_gaps: bool, max_gap: int | None) -> bool | int:
    """What `gpukit.open` takes as `fill_gaps`."""
    if max_gap is not None and not fill_gaps:
        raise BadParameter("--max-gap needs --fill-gaps")
    return fill_gaps if max_gap is None else max_gap


def source_of(inputs: Sequence[Path]) -> str | list[str]:
    """What `gpukit.open` takes: one path as it is, several as a list."""
    return str(inputs[0]) if len(inputs) == 1 else [str(path) for path in inputs]


def numbers(text: str, *, count: int | None = None) -> tuple[float, ...]:
    """Finite numbers between commas, such as ``1,0.5,0.3``."""
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        raise BadParameter(f"{text!r} is not a list of numbers such as 1,0.5,0.3") from None
    if not all(map(math.isfinite, values)):
        raise BadParameter(f"{text!r} has a number that is not finite")
    if count is not None and len(values) != count:
        raise BadParameter(f"{text!r} has {len(values)} numbers, {count} are needed")
    return values


def point(text: str) -> tuple[float, ...]:
    """A point ``x,y`` or ``x,y,z``."""
    values = numbers(text)
    if len(values) not in (2, 3):
        raise BadParameter(f"{text!r} is no point: write x,y or x,y,z")
    return values


def box(text: str) -> tuple[float, float, float, float]:
    """A rectangle ``x,y,width,height`` with a positive size."""
    x, y, width, height = numbers(text, count=4)
    if width <= 0 or height <= 0:
        raise BadParameter(f"{text!r} has no area: write x,y,width,height")
    return x, y, width, height


def length(text: str) -> float:
    """Millimetres of ``20mm``, ``2cm`` or a bare number; positive."""
    try:
        value = parse_length(text)
    except UnitError as error:
        raise BadParameter(str(error)) from None
    if value <= 0:
        raise BadParameter(f"{text!r} is not positive")
    return value


def uid(text: str) -> str:
    """A DICOM UID: numbers between full stops, at most 64 characters (PS3.5 section 9.1); nothing is none."""
    if text and not (len(text) <= 64 and re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", text, re.ASCII)):
        raise BadParameter(f"{text!r} is no UID: write numbers between full stops, such as 2.25.1234")
    return text


def names(text: str, *, known: Iterable[str], what: str) -> tuple[str, ...]:
    """Words between commas, each one of `known`, none twice."""
    allowed = list(known)
    words = tuple(word.strip().lower() for word in text.split(","))
    for word in words:
        if word not in allowed:
            raise BadParameter(f"{word!r} is no {what}: there are {', '.join(allowed)}")
    return tuple(dict.fromkeys(words))


def command_with_lists(
    **options: Callable[[str], object],
) -> type[TyperCommand]:
    """A command class whose named options take several values in a row.

    ``--polygon 100,100 150,200 180,120`` is read as if the option's name stood before each value. A word belongs to the
    option as long as its parser takes it and no file of that name exists, so that input files are never eaten.

    Parameters
    ----------
    **options
        Option name without dashes (``_`` for ``-``) to the parser of one value, such as ``polygon=point``.
    """
    parsers = {f"--{name.replace('_', '-')}": parse for name, parse in options.items()}

    class ListCommand(TyperCommand):
        """Repeats the option's name before each value."""

        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            return list(super().parse_args(ctx, spread(args, parsers)))

    return ListCommand


def spread(words: Sequence[str], parsers: dict[str, Callable[[str], object]]) -> list[str]:
    """The words with the option's name repeated before each further value of a list option."""
    out: list[str] = []
    active: str | None = None
    first = False
    for n, word in enumerate(words):
        if word == "--":
            return out + list(words[n:])
        name, equals, _ = word.partition("=")
        if name in parsers:
            active, first = name, not equals
            out.append(word)
        elif active is not None and (first or _belongs(word, parsers[active])):
            out += [word] if first else [active, word]
            first = False
        else:
            active = None
            out.append(word)
    return out


def _belongs(word: str, parse: Callable[[str], object]) -> bool:
    if Path(word).exists():
        return False
    try:
        parse(word)
    except (BadParameter, ValueError):
        return False
    return True
