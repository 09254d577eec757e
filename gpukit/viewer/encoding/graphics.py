"""Pictures by the graphics protocols of kitty and iTerm2: framing only, pixels go as they are."""

from __future__ import annotations

import io
import os
import zlib
from base64 import standard_b64encode

import numpy as np
from numpy.typing import NDArray

from gpukit.extras import missing_package

__all__ = ["iterm2", "kitty", "kitty_delete", "kitty_placeholders", "png", "through_tmux"]

#: Bytes of one escape sequence of kitty's protocol, at most.
_CHUNK = 4096
#: Rows and columns of placeholders are told by these combining characters, in this order (kitty's own table).
_PLACEHOLDER = "\U0010eeee"


def png(picture: NDArray[np.uint8]) -> bytes:
    """The picture as a PNG file.

    Raises
    ------
    DependencyError
        Pillow is missing.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("PNG needs Pillow", "viewer") from error
    out = io.BytesIO()
    Image.fromarray(picture).save(out, format="PNG", compress_level=1)
    return out.getvalue()


def iterm2(picture: NDArray[np.uint8], columns: int, lines: int) -> bytes:
    """An inline image of iTerm2, as large as so many cells.

    The picture has the proportions of its pixels, so width alone is given in cells and the height follows.
    """
    data = png(picture)
    head = f"inline=1;size={len(data)};width={picture.shape[1]}px;height={picture.shape[0]}px;preserveAspectRatio=1"
    return b"\x1b]1337;File=" + head.encode() + b":" + standard_b64encode(data) + b"\x07"


def kitty(
    picture: NDArray[np.uint8],
    *,
    number: int = 0,
    shared: bool = False,
    placeholders: tuple[int, int] | None = None,
    keep_cursor: bool = False,
    compress: bool = True,
) -> bytes:
    """A picture by kitty's protocol; no answer is asked for (q=2), so none can end at the prompt.

    Parameters
    ----------
    picture : array of uint8, ``[row, column]`` or ``[row, column, 3]``
        Shown pixel for pixel.
    number : int
        Id of the image: a picture with the same one replaces it. 0 for none.
    shared : bool
        Hand the pixels over in shared memory; for a terminal on the same machine.
    placeholders : (columns, lines), optional
        Make a virtual placement of so many cells, for `kitty_placeholders`.
    keep_cursor : bool
        Leave the cursor where it is.
    compress : bool
        Fewer bytes for more time: for a terminal that is not on this machine.
    """
    rgb = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    rows, columns = rgb.shape[:2]
    keys = [f"a=T,q=2,f=24,s={columns},v={rows}"]
    if number:
        keys.append(f"i={number},p=1")
    if placeholders is not None:
        keys.append(f"U=1,c={placeholders[0]},r={placeholders[1]}")
    if keep_cursor:
        keys.append("C=1")
    data = np.ascontiguousarray(rgb).tobytes()
    if shared:
        name = _share(data)
        return f"\x1b_G{','.join(keys)},t=s,S={len(data)};".encode() + standard_b64encode(name.encode()) + b"\x1b\\"
    if compress:
        keys.append("o=z")
        data = zlib.compress(data, 1)
    payload = standard_b64encode(data)
    chunks = [payload[at : at + _CHUNK] for at in range(0, len(payload), _CHUNK)] or [b""]
    out = []
    for n, chunk in enumerate(chunks):
        more = int(n + 1 < len(chunks))
        head = f"{','.join(keys)},m={more}" if n == 0 else f"m={more},q=2"
        out.append(b"\x1b_G" + head.encode() + b";" + chunk + b"\x1b\\")
    return b"".join(out)


def kitty_delete(number: int) -> bytes:
    """Take an image and its memory away."""
    return f"\x1b_Ga=d,d=I,i={number},q=2\x1b\\".encode()


def _share(data: bytes) -> str:
    """Name of a new POSIX shared memory object; the terminal removes it when it has read it."""
    import secrets

    name = f"/gpukit-{secrets.token_hex(8)}"
    descriptor = os.open(f"/dev/shm{name}", os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)
    return name


def kitty_placeholders(number: int, columns: int, lines: int) -> list[bytes]:
    """Lines of text that stand for a virtual placement; the colour of the characters is the image's id."""
    red, green, blue = number >> 16 & 255, number >> 8 & 255, number & 255
    start = f"\x1b[38;2;{red};{green};{blue}m".encode()
    marks = _diacritics()
    out = []
    for line in range(lines):
        first = _PLACEHOLDER + marks[line] + marks[0]
        out.append(start + (first + _PLACEHOLDER * (columns - 1)).encode() + b"\x1b[39m")
    return out


def through_tmux(data: bytes) -> bytes:
    """Wrapped so that tmux hands it on, where its option allow-passthrough is on."""
    sequences = data.split(b"\x1b_G")
    return b"".join(
        b"\x1bPtmux;" + (b"\x1b_G" + part).replace(b"\x1b", b"\x1b\x1b") + b"\x1b\\" for part in sequences if part
    )


def _diacritics() -> str:
    """The characters that number rows and columns; loaded when they are needed."""
    from gpukit.viewer.encoding.kitty_marks import MARKS

    return MARKS
