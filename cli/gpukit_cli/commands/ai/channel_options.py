"""The images of a command: one for most networks, one a channel for those that see several side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.params import source_of

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model
    from gpukit.volume import Volume

__all__ = ["Channels", "named_channels", "open_channels"]

Channels = Annotated[
    list[str] | None,
    typer.Option(
        "--channel",
        metavar="NAME=WHICH",
        help="For a network of several channels: the input of one, or which series of INPUT it is.",
    ),
]


def open_channels(
    inputs: Sequence[Path], named: Sequence[str] | None, series: str | None, model: Model, **options: Any
) -> list[Volume]:
    """Read what the model is to see, in the order of its channels; `options` are those of `gpukit.open`.

    Without names, inputs are as many as the channels and in their order; with them each is a file, a folder or a glob,
    or says which series of the inputs it is, as ``--series`` does.
    """
    import gpukit
    from gpukit.ai.transforms.channels import channel_number, expected
    from gpukit.errors import SelectionError

    def read(source: str | list[str], which: str | None) -> Volume:
        return gpukit.open(source, series=which, **options)

    count = model.input.channels if model.dimensions == 3 else 1
    if named:
        if series is not None:
            raise typer.BadParameter("--series chooses one series, and --channel one for each channel: use one of them")
        return _named(inputs, named, count, lambda name: channel_number(model, name), expected(model), read)
    if not inputs:
        raise typer.BadParameter("name at least one INPUT")
    if count == 1:
        return [read(source_of(inputs), series)]
    if len(inputs) == 1:
        try:
            return [read(str(inputs[0]), series)]
        except SelectionError as error:
            names = model.volume_input.channel_names or [str(n) for n in range(count)]
            fix = " ".join(f"--channel {name}={n}" for n, name in enumerate(names, start=1))
            raise SelectionError(
                f"the network wants {expected(model)}: {error.what}", file=inputs[0],
                fix=f"say which series is which channel, such as {fix}",
            ) from error  # fmt: skip
    if len(inputs) != count:
        raise typer.BadParameter(
            f"the network wants {expected(model)}, and there are {len(inputs)} inputs: name one file or folder for "
            "each, in this order, or say --channel NAME=WHICH"
        )
    if series is not None:
        raise typer.BadParameter("--series is for one input: say --channel NAME=WHICH to choose for each channel")
    return [read(str(path), None) for path in inputs]


def named_channels(named: Sequence[str]) -> dict[str, str]:
    """What ``--channel NAME=WHICH`` says, by name."""
    found: dict[str, str] = {}
    for text in named:
        name, sign, which = text.partition("=")
        if not sign or not name or not which:
            raise typer.BadParameter(f"--channel takes NAME=WHICH, not {text!r}")
        if found.setdefault(name, which) != which or name.casefold() in {o.casefold() for o in found if o != name}:
            raise typer.BadParameter(f"the channel {name} was given twice")
    return found


def _named(
    inputs: Sequence[Path],
    named: Sequence[str],
    count: int,
    number: Callable[[str], int],
    wanted: str,
    read: Callable[[str | list[str], str | None], Volume],
) -> list[Volume]:
    chosen: dict[int, str] = {}
    for name, which in named_channels(named).items():
        if chosen.setdefault(number(name), which) != which:
            raise typer.BadParameter(f"the channel {name} was given twice")
    if len(chosen) != count:
        raise typer.BadParameter(f"the network wants {wanted}, and --channel was given for {len(chosen)}")
    volumes = []
    for n in range(count):
        which = chosen[n]
        if Path(which).exists() or any(sign in which for sign in "*?["):
            volumes.append(read(which, None))
        elif inputs:
            volumes.append(read(source_of(inputs), which))
        else:
            raise typer.BadParameter(f"there is no file or folder {which}, and no INPUT of which it could be a series")
    return volumes
