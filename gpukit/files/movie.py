"""Pictures one after another in one file: GIF, animated PNG, MP4."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from gpukit.documents.atomic import atomic_path, check_output
from gpukit.errors import InputError, OutputError
from gpukit.extras import missing_package
from gpukit.files.pillow import pillow
from gpukit.volume import Volume

__all__ = ["MOVIES", "find_encoder", "write_apng", "write_gif", "write_movie", "write_mp4"]

#: Suffixes of files that hold a whole animation.
MOVIES = (".gif", ".apng", ".mp4")
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FASTEST = 240.0
_MOST_16 = (1 << 16) - 1


def write_movie(
    pictures: Iterable[Volume], path: str | os.PathLike[str], *, fps: float = 20.0, force: bool = False
) -> None:
    """Write an animation; the suffix decides the format (`MOVIES`). See `write_gif`, `write_apng` and `write_mp4`.

    Raises
    ------
    OutputError
        The suffix stands for none of them.
    """
    writers = {".gif": write_gif, ".apng": write_apng, ".mp4": write_mp4}
    writer = writers.get(Path(path).suffix.lower())
    if writer is None:
        raise OutputError("the name's suffix stands for no animation", file=path, fix=f"use {', '.join(writers)}")
    writer(pictures, path, fps=fps, force=force)


def write_gif(
    pictures: Iterable[Volume], path: str | os.PathLike[str], *, fps: float = 20.0, force: bool = False
) -> None:
    """Write pictures to a GIF of 256 colours a picture that repeats for ever.

    Parameters
    ----------
    pictures : iterable of Volume
        One slice in 8-bit colour each, all of one size, on any device; at least one.
    path : path-like
        ``.gif``.
    fps : float
        Pictures a second on average, 1 to 50. The format counts hundredths of a second, so that single pictures are
        shown for less or more, by at most half a hundredth in sum: at 30 for 30, 40 and 30 ms.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    InputError
        There is no picture, or `fps` is out of range.
    """
    image, _ = pillow("animations need")
    if not 1.0 <= fps <= 50.0:
        raise InputError(f"a GIF shows 1 to 50 pictures a second, not {fps:g}", attribute="fps")
    check_output(path, force=force)  # before the work of the first picture
    waiting = _timed((image.fromarray(frame).quantize(256) for frame in _frames(pictures)), fps)
    first = next(waiting)
    with atomic_path(path, force=force) as temporary:
        first.save(
            os.fspath(temporary), format="GIF", save_all=True, append_images=waiting,
            loop=0, disposal=1,
        )  # fmt: skip


def _timed(pictures: Iterable[Any], fps: float) -> Iterator[Any]:
    """Each picture with its duration in ms, whole hundredths of a second whose sum follows `fps`."""
    before = 0
    for n, picture in enumerate(pictures, 1):
        after = round(100 * n / fps)
        picture.info["duration"] = 10 * (after - before)
        before = after
        yield picture


def write_apng(
    pictures: Iterable[Volume], path: str | os.PathLike[str], *, fps: float = 20.0, force: bool = False
) -> None:
    """Write pictures as they come to an animated PNG (PNG specification, third edition) that repeats for ever.

    Colours are kept to the bit; only one picture is held in memory. Parameters and errors as `write_gif`; `fps` may be
    0.1 to 240, and each picture is shown for that time exactly, as far as a fraction of two numbers of 16 bits can say.
    """
    image, _ = pillow("animations need")
    _check_fps(fps)
    check_output(path, force=force)
    frames = _frames(pictures)
    first = next(frames)
    with atomic_path(path, force=force) as temporary, temporary.open("w+b") as out:
        out.write(_SIGNATURE)
        height, width = first.shape[:2]
        _chunk(out, b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        counted_at = out.tell()
        _chunk(out, b"acTL", struct.pack(">II", 1, 0))
        count = sequence = 0
        for frame in chain((first,), frames):
            delay = struct.pack(">HH", *_delay(fps))
            _chunk(out, b"fcTL", struct.pack(">IIIII", sequence, width, height, 0, 0) + delay + b"\0\0")
            sequence += 1
            content = _compressed(image, frame)
            if count == 0:
                _chunk(out, b"IDAT", content)
            else:
                _chunk(out, b"fdAT", struct.pack(">I", sequence) + content)
                sequence += 1
            count += 1
        _chunk(out, b"IEND", b"")
        out.seek(counted_at)
        _chunk(out, b"acTL", struct.pack(">II", count, 0))


def _delay(fps: float) -> tuple[int, int]:
    """Return seconds that a picture is shown, as numerator and denominator of 16 bits."""
    share = Fraction(1) / Fraction(fps).limit_denominator(1000)
    while max(share.numerator, share.denominator) > _MOST_16:
        share = Fraction(1 / fps).limit_denominator(min(share.denominator // 2, _MOST_16))
    return share.numerator, share.denominator


def write_mp4(
    pictures: Iterable[Volume], path: str | os.PathLike[str], *, fps: float = 20.0, force: bool = False
) -> None:
    """Write pictures as they come to an MP4 (H.264, 4:2:0), through ffmpeg. Odd sizes get a black row or column.

    Parameters and errors as `write_gif`; `fps` may be up to 240.

    Raises
    ------
    DependencyError
        There is no ffmpeg.
    OutputError
        ffmpeg could not make the file.
    """
    _check_fps(fps)
    encoder = find_encoder()
    check_output(path, force=force)
    frames = _frames(pictures)
    first = next(frames)
    height, width = first.shape[:2]
    with atomic_path(path, force=force) as temporary, tempfile.TemporaryFile() as log:
        words = [
            encoder, "-loglevel", "error", "-nostdin", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}",
            "-r", repr(fps), "-i", "pipe:0", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2", "-c:v", "libx264", "-crf", "18",
            "-pix_fmt", "yuv420p", "-movflags", "+faststart", "-y", os.fspath(temporary),
        ]  # fmt: skip
        running = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=log)
        assert running.stdin is not None
        try:
            for frame in chain((first,), frames):
                running.stdin.write(np.ascontiguousarray(frame).data)
            running.stdin.close()
            code = running.wait()
        except BrokenPipeError:
            code = running.wait()
        except BaseException:
            running.kill()
            running.wait()
            raise
        if code:
            log.seek(0)
            lines = log.read()[-2000:].decode(errors="replace").strip().splitlines()
            raise OutputError(
                f"ffmpeg could not make the MP4 ({lines[-1] if lines else f'exit code {code}'})", file=path
            )


def find_encoder() -> str:
    """Return the program ffmpeg: that of the package imageio-ffmpeg (extra ``gpl-ffmpeg``), else the one on the path.

    Raises
    ------
    DependencyError
        There is neither.
    """
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError):
        program = shutil.which("ffmpeg")
    if program is None:
        raise missing_package(
            "MP4 needs the program ffmpeg: install it with your system's packages", "gpl-ffmpeg",
            instead="write a .gif, an .apng or a folder",
        )  # fmt: skip
    return program


def _check_fps(fps: float) -> None:
    if not 0.1 <= fps <= _FASTEST:
        raise InputError(f"an animation shows 0.1 to {_FASTEST:g} pictures a second, not {fps:g}", attribute="fps")


def _frames(pictures: Iterable[Volume]) -> Iterator[NDArray[np.uint8]]:
    """Rows, columns and colours of each picture; InputError where there is none or one has another size."""
    shape: tuple[int, ...] | None = None
    for one in pictures:
        frame = np.asarray(one.to("cpu").array[0])
        if shape is not None and frame.shape != shape:
            raise InputError("the pictures of an animation have one size", attribute="size")
        shape = frame.shape
        yield frame
    if shape is None:
        raise InputError("an animation needs at least one picture", attribute="frames")


def _compressed(image: Any, frame: NDArray[np.uint8]) -> bytes:
    """Return a picture's rows as PNG has them, filtered and deflated by Pillow: its IDAT chunks."""
    buffer = io.BytesIO()
    image.fromarray(frame).save(buffer, format="PNG")
    content, data, at = buffer.getvalue(), b"", len(_SIGNATURE)
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] == b"IDAT":
            data += content[at + 8 : at + 8 + length]
        at += length + 12
    return data


def _chunk(out: BinaryIO, kind: bytes, content: bytes) -> None:
    out.write(struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content)))
