"""Time `gpukit report` against the programs that people use for the same, one run each, interleaved.

    python benchmarks/report.py [FOLDER]

FOLDER (by default that of GPUKIT_TEST_DATA) holds structured reports (searched with all below it). Printed are
processor seconds of this process (CPU) and of the clock (wall): the latter says more about the machine than about the
program where other work runs.

- HTML: warm, against ``dsr2html`` of DCMTK, for each report that it accepts.
- PDF: warm, against WeasyPrint on the same document as HTML (where it is installed).
- The first PDF of a fresh process.
- A report of 4,432 numbers, made of the largest one, with the memory that it took.
- Many reports in one call with all processors against one processor.
"""

from __future__ import annotations

import copy
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpukit.dicom.reader.discovery import Location
from gpukit.errors import GpukitError
from gpukit.report.find import find_reports
from gpukit.report.run import options_of, render, write_each

NUMBERS = 4432


def timed(work: Callable[[], Any]) -> tuple[float, float]:
    """(CPU, wall) seconds of this process and its children."""
    began, usage = time.perf_counter(), os.times()
    work()
    after = os.times()
    cpu = sum(after[:4]) - sum(usage[:4])
    return cpu, time.perf_counter() - began


def show(name: str, seconds: tuple[float, float], more: str = "") -> None:
    """One line."""
    print(f"{name:<58} CPU {seconds[0]:7.3f} s   wall {seconds[1]:7.3f} s   {more}")


def numbers_of(location: Location) -> int:
    """NUM items of a report."""
    from gpukit.dicom.sr.content_tree import read_content_tree

    return sum(1 for item in read_content_tree(location).items() if item.value_type == "NUM")


def against_dsr2html(reports: list[Location]) -> None:
    """HTML of each report, one run each."""
    for location in reports:
        options = options_of("html")
        render([location], options)
        done = subprocess.run(["dsr2html", location.path, os.devnull], capture_output=True)
        if done.returncode:
            continue
        other = timed(lambda path=location.path: subprocess.run(["dsr2html", path, os.devnull], capture_output=True))
        ours = timed(lambda place=location, choices=options: render([place], choices))
        name = f"HTML {Path(location.path).stem[:34]} ({numbers_of(location)} NUM)"
        show(name, ours, f"dsr2html CPU {other[0]:.3f} wall {other[1]:.3f}")


def against_weasyprint(location: Location) -> None:
    """PDF of one report."""
    options = options_of("pdf")
    render([location], options)
    ours = timed(lambda: render([location], options))
    try:
        from weasyprint import HTML
    except (ImportError, OSError):
        show(f"PDF {Path(location.path).stem[:40]}", ours, "WeasyPrint is not installed")
        return
    page = render([location], options_of("html")).decode()
    HTML(string="<p>warm</p>").write_pdf()
    other = timed(lambda: HTML(string=page).write_pdf())
    show(f"PDF {Path(location.path).stem[:40]}", ours, f"WeasyPrint CPU {other[0]:.3f} ({other[0] / ours[0]:.0f} x)")


def enlarged(location: Location, folder: Path) -> Path:
    """A report with at least `NUMBERS` numbers: the events of one, again and again."""
    from pydicom import dcmread

    dataset = dcmread(location.path)
    per_copy = numbers_of(location)
    events = list(dataset.ContentSequence)
    while per_copy * len(dataset.ContentSequence) / len(events) < NUMBERS:
        dataset.ContentSequence.extend(copy.deepcopy(events[-max(1, len(events) // 4) :]))
    target = folder / "large.dcm"
    dataset.save_as(target)
    return target


def main(folder: str) -> int:
    """Run all."""
    reports = find_reports(folder)
    reports = sorted((place for place in reports if place.member is None), key=numbers_of)
    against_dsr2html(reports[-12:])
    largest = reports[-1]
    against_weasyprint(largest)
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        words = [sys.executable, "-m", "gpukit_cli", "report", largest.path, "-o", str(out / "first.pdf")]
        show("first PDF of a process", timed(lambda: subprocess.run(words, check=True)))
        big = enlarged(largest, out)
        code = (
            "import sys; from gpukit.report.run import render, options_of; "
            "from gpukit.dicom.reader.discovery import Location; "
            "open(sys.argv[2], 'wb').write(render([Location(sys.argv[1])], options_of('pdf')))"
        )
        seconds = timed(
            lambda: subprocess.run([sys.executable, "-c", code, str(big), str(out / "big.pdf")], check=True)
        )
        memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
        show(f"PDF of {numbers_of(Location(str(big)))} numbers, in a process", seconds, f"{memory} MiB")
        many = [place for place in reports for _ in range(max(1, 1000 // len(reports)))]
        for workers in (1, None):
            target = out / f"many-{workers}"
            target.mkdir()
            count = len(many)
            try:
                seconds = timed(lambda n=workers, to=target: write_each(many, to, options_of("html"), workers=n))
            except GpukitError as error:
                print(f"many reports: {error}")
                break
            show(f"{count} reports as HTML, {workers or os.cpu_count()} processes", seconds)
    return 0


if __name__ == "__main__":
    where = sys.argv[1] if len(sys.argv) == 2 else os.environ.get("GPUKIT_TEST_DATA", "")
    if not where:
        sys.exit("name a folder of structured reports, or set GPUKIT_TEST_DATA")
    sys.exit(main(where))
