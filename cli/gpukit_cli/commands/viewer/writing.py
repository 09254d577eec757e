"""Bytes of pictures to standard output or a file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gpukit_cli.commands.viewer.options import Output

__all__ = ["write"]


def write(data: bytes, output: Output) -> None:
    """Write bytes to standard output, or atomically to the file that was named.

    Raises
    ------
    OutputExistsError
        The file exists and overwriting was not asked for.
    """
    if output.output is None or str(output.output) == "-":
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    from gpukit.documents.atomic import atomic_path

    with atomic_path(output.output, force=output.force) as temporary:
        temporary.write_bytes(data)
