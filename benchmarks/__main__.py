"""``python -m benchmarks [NAME ...]``: every benchmark, or those named, each in a process of its own."""

from __future__ import annotations

import argparse
import ast
import subprocess
import sys
from pathlib import Path


def main() -> int:
    """Run them all; words on the line choose some by name. The exit code is the highest of theirs."""
    scripts = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.py")) if not path.name.startswith("_")}
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure gpukit against its peers, side by side in one run.",
        epilog="\n".join(f"{name:<17} {_first_line(path)}" for name, path in scripts.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="which ones, as listed below [default: all]")
    chosen = parser.parse_args().names
    if unknown := [name for name in chosen if name not in scripts]:
        parser.error(f"there is no benchmark {unknown[0]}: use one of {', '.join(scripts)}")
    codes = []
    for name in chosen or scripts:
        print(f"== {name}", flush=True)
        codes.append(subprocess.run([sys.executable, scripts[name]]).returncode)
    return max(codes, default=2)


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


if __name__ == "__main__":
    sys.exit(main())
