"""The data files that a header names: one, a list, or numbered ones; beside the header unless the user allows more."""

from __future__ import annotations

import os
import re
from pathlib import Path

from gpukit.errors import FormatError, InputError, InputNotFoundError

__all__ = ["data_file", "file_names", "listed_names"]

_MOST_FILES = 100_000


def data_file(header: str | os.PathLike[str], name: str, *, external: bool, attribute: str) -> Path:
    """Return the data file that a header names, relative to the header's folder.

    Parameters
    ----------
    header : path-like
        The header file.
    name : str
        What the header says.
    external : bool
        Allow a file outside the folder of the header.
    attribute : str
        The header's field, for messages.

    Raises
    ------
    InputError
        The name is absolute or leads out of the folder, also by a symbolic link, `external` is false, and the
        environment variable GPUKIT_EXTERNAL_DATA is not 1.
    InputNotFoundError
        There is no such file.
    FormatError
        The name cannot be the name of a file.
    """
    if not name.strip() or "\0" in name:
        raise FormatError("the header names no data file", file=header, attribute=attribute)
    folder = Path(os.path.abspath(header)).parent  # noqa: PTH100 - Path.resolve would follow links
    path = folder / name
    try:
        inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
        there = path.is_file()
    except (OSError, ValueError) as error:
        raise FormatError("the name of the data file is not possible", file=header, attribute=attribute) from error
    if not inside and not external and os.environ.get("GPUKIT_EXTERNAL_DATA", "") not in ("1", "true", "yes"):
        raise InputError(
            f"the data file {name[:200]!r} is outside the folder of the header", file=header, attribute=attribute,
            fix="move it beside the header, or allow it with --external-data (external_data=True)",
        )  # fmt: skip
    if not there:
        raise InputNotFoundError(f"the data file {name[:200]!r} is not there", file=header, attribute=attribute)
    return path


def file_names(pattern: str, count: int | None, path: str | os.PathLike[str], attribute: str) -> list[str]:
    """Names of `count` files, or of all, from ``format first last step``; the format has one number, such as ``%03d``.

    NRRD and MetaImage share the form; of MetaImage the numbers may be missing (1, count, 1).

    Raises
    ------
    FormatError
        The format has anything but one whole number to fill in, or the range does not give `count` names.
    """
    words = pattern.split()
    numbers: list[int] = []
    while len(words) > 1 and len(numbers) < 3 and re.fullmatch(r"[+-]?\d{1,9}", words[-1]):
        numbers.insert(0, int(words.pop()))
    form = " ".join(words)
    if len(re.findall(r"%", form.replace("%%", ""))) != 1 or not re.search(r"(?<!%)(?:%%)*%0?\d{0,2}[diu]", form):
        raise FormatError(f"{form[:80]!r} is not a name with one number", file=path, attribute=attribute)
    first = numbers[0] if numbers else 1
    last = numbers[1] if len(numbers) > 1 else first + (count or 1) - 1
    step = numbers[2] if len(numbers) > 2 else 1
    names = range(first, last + (1 if step > 0 else -1), step) if step else range(0)
    count = len(names) if count is None else count
    if not 1 <= count <= min(len(names), _MOST_FILES):
        raise FormatError(
            f"{first} to {last} by {step} names {len(names)} files, and the sizes need {count}", file=path,
            attribute=attribute,
        )  # fmt: skip
    return [form % number for number in names[:count]]


def listed_names(path: str | os.PathLike[str], start: int, count: int | None, attribute: str) -> list[str]:
    """Return the names of data files in the lines of a header from a byte on; as many as the sizes need, or all.

    Raises
    ------
    FormatError
        There are fewer.
    """
    names: list[str] = []
    with Path(path).open("rb") as file:
        file.seek(start)
        while len(names) < min(_MOST_FILES if count is None else count, _MOST_FILES) and (line := file.readline(4096)):
            if text := line.decode("utf-8", "surrogateescape").strip():
                names.append(text)
    if len(names) < (1 if count is None else count):
        raise FormatError(
            f"{len(names)} data files are listed, and the sizes need {count}", file=path, attribute=attribute
        )
    return names
