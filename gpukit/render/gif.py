"""Pictures one after another as a GIF, through Pillow."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from gpukit.errors import DependencyError, InputError
from gpukit.files.atomic import atomic_path, check_output
from gpukit.volume import Volume

__all__ = ["write_gif"]


def write_gif(
    pictures: Iterable[Volume], path: str | os.PathLike[str], *, fps: float = 20.0, force: bool = False
) -> None:
    """Write pictures as they come to a GIF that repeats for ever.

    Parameters
    ----------
    pictures : iterable of Volume
        One slice in 8-bit colour each, all of one size, on any device; at least one.
    path : path-like
        ``.gif``.
    fps : float
        Pictures a second, 1 to 50. The format counts hundredths of a second.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    InputError
        There is no picture, or `fps` is out of range.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DependencyError("animations need Pillow", fix='pip install "gpukit[files]"') from error
    if not 1.0 <= fps <= 50.0:
        raise InputError(f"a GIF shows 1 to 50 pictures a second, not {fps:g}", attribute="fps")
    check_output(path, force=force)  # before the work of the first picture

    def images() -> Iterator[Any]:
        for one in pictures:
            yield Image.fromarray(np.asarray(one.to("cpu").array[0])).quantize(256)

    waiting = images()
    first = next(waiting, None)
    if first is None:
        raise InputError("an animation needs at least one picture", attribute="frames")
    with atomic_path(path, force=force) as temporary:
        first.save(
            os.fspath(temporary), format="GIF", save_all=True, append_images=waiting,
            duration=round(100.0 / fps) * 10, loop=0, disposal=1,
        )  # fmt: skip
