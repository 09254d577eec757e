"""The viewer beside libchafa and libsixel, and its start beside that of NumPy and Pillow.

``python benchmarks/viewer.py [--repeat 30] [--files 200] [--json]``. All run in one process on the same picture, 512 x
512 grey values with noise, round by round in turn; processor time, medians. ``chafa.py`` and libsixel are left out
where they are not installed. The start is that of whole processes, ``gpukit viewer FILE --mode ansi`` beside that of
``python -c "import numpy, PIL.Image"``.
"""

from __future__ import annotations

import argparse
import ctypes
import ctypes.util
import json
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

COLUMNS, LINES = 120, 60


def noise() -> np.ndarray:
    """A ramp with noise, as a CT of 512 x 512."""
    rng = np.random.default_rng(0)
    return (np.linspace(-1000, 1500, 512)[None, :] + rng.normal(0, 120, (512, 512))).astype(np.int16)


def chafa_cells(grey: np.ndarray) -> Callable[[], object] | None:
    """Libchafa's half blocks in true colour; None without it."""
    try:
        import chafa
    except Exception:  # also where the system lacks glib
        return None
    config = chafa.CanvasConfig()
    config.width, config.height = COLUMNS, LINES
    config.pixel_mode = chafa.PixelMode.CHAFA_PIXEL_MODE_SYMBOLS
    config.canvas_mode = chafa.CanvasMode.CHAFA_CANVAS_MODE_TRUECOLOR
    symbols = chafa.SymbolMap()
    symbols.add_by_tags(chafa.SymbolTags.CHAFA_SYMBOL_TAG_VHALF)
    config.set_symbol_map(symbols)
    rgb = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    data = rgb.tobytes()

    def run() -> object:
        canvas = chafa.Canvas(config)
        canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, data, 512, 512, 512 * 3)
        return canvas.print()

    return run


def chafa_kitty(grey: np.ndarray) -> Callable[[], object] | None:
    """Libchafa's kitty output of the same picture; None without it."""
    try:
        import chafa
    except Exception:
        return None
    config = chafa.CanvasConfig()
    config.width, config.height = 64, 32
    config.cell_width, config.cell_height = 8, 16
    config.pixel_mode = chafa.PixelMode.CHAFA_PIXEL_MODE_KITTY
    data = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2)).tobytes()

    def run() -> object:
        canvas = chafa.Canvas(config)
        canvas.draw_all_pixels(chafa.PixelType.CHAFA_PIXEL_RGB8, data, 512, 512, 512 * 3)
        return canvas.print()

    return run


def libsixel(grey: np.ndarray) -> Callable[[], object] | None:
    """Libsixel as img2sixel uses it: 256 colours, its own choice of them; None without it."""
    name = ctypes.util.find_library("sixel")
    if name is None:
        return None
    library = ctypes.CDLL(name)
    rgb = np.ascontiguousarray(np.repeat(grey[..., None], 3, axis=2))
    writer = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_char), ctypes.c_int, ctypes.c_void_p)
    written = []
    take = writer(lambda data, size, _: written.append(size) or size)

    def run() -> object:
        written.clear()
        output, dither = ctypes.c_void_p(), ctypes.c_void_p()
        library.sixel_output_new(ctypes.byref(output), take, None, None)
        library.sixel_dither_new(ctypes.byref(dither), 256, None)
        pixels = rgb.ctypes.data_as(ctypes.c_void_p)
        library.sixel_dither_initialize(dither, pixels, 512, 512, 3, 0, 0, 0)
        library.sixel_encode(pixels, 512, 512, 3, dither, output)
        library.sixel_dither_unref(dither)
        library.sixel_output_unref(output)
        return sum(written)

    return run


def measure(tasks: dict[str, Callable[[], object]], repeat: int) -> dict[str, float]:
    """Median processor milliseconds of each, in turn."""
    times: dict[str, list[float]] = {name: [] for name in tasks}
    for task in tasks.values():
        task()
    for _ in range(repeat):
        for name, task in tasks.items():
            began = time.process_time()
            task()
            times[name].append((time.process_time() - began) * 1000)
    return {name: statistics.median(values) for name, values in times.items()}


def start(command: list[str]) -> float:
    """Processor seconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeat", type=int, default=30)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    sys.path.insert(0, str(Path(__file__).parent))
    from loading import make_series

    from gpukit.display.frame_values import FrameValues, frame_values
    from gpukit.display.frames import frame_at
    from gpukit.display.presentation import grey_of, reduce_values, show_values
    from gpukit.viewer.encoding.cells import cell_grid, encode
    from gpukit.viewer.encoding.graphics import kitty
    from gpukit.viewer.encoding.sixel import sixel
    from gpukit.viewer.encoding.target import Target
    from gpukit.viewer.options import ViewOptions
    from gpukit.viewer.sheet import SheetCell, sheet
    from gpukit.volume import Voi

    stored = noise()
    values, voi = FrameValues(stored=stored), Voi(250.0, 2600.0, "LINEAR_EXACT")
    grey = show_values(values, voi=voi)
    reduced, share = reduce_values(values, (2 * LINES, COLUMNS))

    def shared_kitty() -> object:
        data = kitty(grey, shared=True)
        for path in Path("/dev/shm").glob("gpukit-*"):
            path.unlink()
        return data

    tasks: dict[str, Callable[[], object]] = {
        "cells, new frame": lambda: encode(cell_grid(show_values(values, voi=voi, size=(2 * LINES, COLUMNS)))),
        "cells, new window": lambda: encode(cell_grid(grey_of(values, reduced, share, voi=voi))),
        "sixel": lambda: sixel(grey),
        "kitty, for ssh": lambda: kitty(grey),
        "kitty": lambda: kitty(grey, compress=False),
        "kitty, shared memory": shared_kitty,
    }
    others = {
        "cells, libchafa": chafa_cells(grey), "sixel, libsixel": libsixel(grey), "kitty, libchafa": chafa_kitty(grey),
    }  # fmt: skip
    tasks |= {name: task for name, task in others.items() if task is not None}
    found = measure(tasks, asked.repeat)
    with tempfile.TemporaryDirectory() as folder:
        make_series(Path(folder), asked.files)
        files = sorted(Path(folder).iterdir())
        script = str(Path(sysconfig.get_path("scripts")) / "gpukit")
        pairs = [
            (
                start([script, "viewer", str(files[0]), "--mode", "ansi"]),
                start([sys.executable, "-c", "import numpy, PIL.Image"]),
            )
            for _ in range(7)
        ]
        found["first picture, s"] = statistics.median(a for a, _ in pairs)
        found["import numpy, PIL.Image, s"] = statistics.median(b for _, b in pairs)
        cells = [SheetCell(f.name, lambda f=f: frame_at(f)) for f in files]
        sheets, decodes = [], []
        for _ in range(3):
            began = time.process_time()
            for _piece in sheet(cells, ViewOptions(mode="ansi"), Target("ansi"), (120, 60)):
                pass
            sheets.append(time.process_time() - began)
            began = time.process_time()
            for file in files:
                frame_values(frame_at(file))
            decodes.append(time.process_time() - began)
        found["thumbnails, s"] = statistics.median(sheets)
        found["decoding them, s"] = statistics.median(decodes)
    ratios = {
        f"{ours} / {theirs}": found[ours] / found[theirs]
        for ours, theirs in (
            ("cells, new frame", "cells, libchafa"), ("cells, new window", "cells, libchafa"),
            ("sixel", "sixel, libsixel"), ("kitty", "kitty, libchafa"),
            ("kitty, shared memory", "kitty, libchafa"), ("first picture, s", "import numpy, PIL.Image, s"),
            ("thumbnails, s", "decoding them, s"),
        )
        if theirs in found
    }  # fmt: skip
    if asked.json:
        print(json.dumps({"milliseconds": found, "ratios": ratios}, indent=1))
        return
    for name, value in found.items():
        print(f"{name:30} {value:9.3f}" + ("" if name.endswith(", s") else " ms"))
    for name, value in ratios.items():
        print(f"{name:50} {value:7.3f}")


if __name__ == "__main__":
    main()
