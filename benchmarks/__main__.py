"""``python -m benchmarks``: every benchmark, one after the other, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from gpukit.device import devices


def main() -> int:
    """Run them all; words on the line choose some by name."""
    chosen = sys.argv[1:]
    print("gpukit's kernels:", next(one.kernels for one in devices() if one.name == "cpu"), flush=True)
    scripts = sorted(path for path in Path(__file__).parent.glob("*.py") if not path.name.startswith("_"))
    codes = []
    for script in scripts:
        if not chosen or script.stem in chosen:
            print(f"== {script.stem}", flush=True)
            codes.append(subprocess.run([sys.executable, script]).returncode)
    return max(codes, default=2)


if __name__ == "__main__":
    sys.exit(main())
