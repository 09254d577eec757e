"""From the command line to the first slice: ``gpukit 3d mpr`` on a folder of uncompressed CT slices, as a process.

``python benchmarks/first_slice.py [--files 300] [--repeat 7] [--folder SERIES]``. Each round runs the command once,
from the start of the interpreter to the end of the process, and beside it an interpreter that does nothing and one
that only imports NumPy and pydicom; medians of time on the clock and of processor time. The files are in the page
cache, and the picture is one axial slice as a PNG. The budget is 1.5 s on the clock.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from loading import make_series, timed


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=300, help="slices of the synthetic series")
    parser.add_argument("--repeat", type=int, default=7, help="rounds")
    parser.add_argument("--folder", type=Path, help="a folder with one series instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made, "series")
        if arguments.folder is None:
            folder.mkdir()
            make_series(folder, arguments.files)
        picture = Path(made, "slice.png")
        mpr = ["-m", "gpukit", "3d", "mpr", str(folder), "--planes", "axial", "--output", str(picture), "--force"]
        commands = {
            "gpukit 3d mpr, to the picture": mpr,
            "Python alone": ["-c", ""],
            "Python, NumPy and pydicom": ["-c", "import numpy, pydicom"],
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(arguments.repeat + 1):  # the first round is not counted
            for name, command in commands.items():
                clock, processor, _ = timed(
                    lambda c=command: subprocess.run([sys.executable, *c], check=True, capture_output=True)
                )
                times[name].append((clock, processor))
        assert picture.stat().st_size
        print(f"{len(list(folder.iterdir()))} files")
        for name, values in times.items():
            clock, processor = (statistics.median(value[n] for value in values[1:]) for n in (0, 1))
            print(f"  {name:32s} clock {clock:6.2f} s   processor {processor:6.2f} s")


if __name__ == "__main__":
    main()
