"""Damage files by the thousand and watch the process that reads them.

``python -m fuzz.run --inputs 200000`` or ``--seconds 150``, from the folder ``tests``. Prints what was counted, as a
table; ends with 1 where an input crashed the process, hung, took too much memory or raised an error that is not
gpukit's. Such inputs are kept in ``--keep``. ``python -m fuzz.run --again KIND:NUMBER`` repeats one.
"""

from __future__ import annotations

import argparse
import json
import os
import selectors
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.child import damage, load
from fuzz.seeds import MAKERS, write_seeds

__all__ = ["Tally", "fuzz_kind", "main"]

#: Seconds of processor time that one input may take; waiting counts as a tenth, because the machine may be busy.
PATIENCE = 20.0
_STARTING = 300.0
_FAULTS = ("signal", "hang", "memory", "unexpected", "message")
#: Share of the inputs of each kind.
SHARES = {
    "dicom": 5,
    "encoded": 5,
    "objects": 4,
    "nifti": 4,
    "nrrd": 4,
    "metaimage": 4,
    "tables": 4,
    "models": 2,
    "packages": 1,
}


@dataclass
class Tally:
    """What became of the inputs of one kind."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[dict[str, object]] = field(default_factory=list)
    largest: int = 0
    slowest: float = 0.0
    seconds: float = 0.0

    @property
    def inputs(self) -> int:
        """How many were tried."""
        return sum(self.counts.values())


def fuzz_kind(
    kind: str, seeds: Path, first: int, count: int, *, deadline: float = float("inf"), patience: float = PATIENCE
) -> Tally:
    """Try inputs ``first`` to ``first + count`` of a kind, in as many processes as it takes."""
    tally, begun, number = Tally(), time.monotonic(), first
    with tempfile.TemporaryDirectory(prefix="gpukit-fuzz-") as work:
        while number < first + count and time.monotonic() < deadline:
            number = _run_child(kind, seeds, Path(work), number, first + count, tally, deadline, patience)
    tally.seconds = time.monotonic() - begun
    return tally


def _run_child(
    kind: str, seeds: Path, work: Path, first: int, end: int, tally: Tally, deadline: float, patience: float
) -> int:
    """One process, until it ends or must be ended; returns the next number."""
    words = [sys.executable, "-m", "fuzz.child", str(seeds), str(work), kind, str(first), str(min(2000, end - first))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "GPUKIT_THREADS": "1"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as child:
        assert child.stdout is not None
        current: tuple[int, str] | None = None
        number, since, waiting, used = first, time.monotonic(), b"", 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(child.stdout, selectors.EVENT_READ)
            while True:
                limit = patience if current else _STARTING
                ready = selector.select(1.0)
                if ready:
                    piece = os.read(child.stdout.fileno(), 1 << 16)
                    if not piece:
                        break
                    *lines, waiting = (waiting + piece).split(b"\n")
                    for line in lines:
                        row = json.loads(line)
                        now = time.monotonic()
                        if "begin" in row:
                            current, since, used = (row["begin"], row["seed"]), now, _processor_time(child.pid)
                        else:
                            tally.slowest = max(tally.slowest, row["seconds"])
                            tally.largest = max(tally.largest, row["grown"])
                            _count(tally, row["result"], kind, current, row)
                            current, since, number = None, now, row["end"] + 1
                elif max(_processor_time(child.pid) - used, (time.monotonic() - since) / 10) > limit:
                    child.kill()
                    _count(tally, "hang", kind, current, {})
                    number = (current[0] if current else number) + 1
                    break
                if current is None and time.monotonic() > deadline:
                    child.kill()
                    return end
        code = child.wait()
        if code and current is not None and code != -9:
            _count(tally, "signal", kind, current, {"error": f"exit code {code}"})
            return current[0] + 1
        return number if number > first or code == 0 else first + 1


def _processor_time(process: int) -> float:
    """Seconds of processor time that a process has used; 0 where the system does not tell."""
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0


def _count(tally: Tally, result: str, kind: str, current: tuple[int, str] | None, row: dict[str, object]) -> None:
    tally.counts[result] += 1
    if result in _FAULTS:
        number, seed = current or (-1, "")
        facts = {k: row[k] for k in ("error", "place", "grown") if k in row}
        tally.faults.append({"kind": kind, "number": number, "seed": seed, "result": result, **facts})


def table(tallies: dict[str, Tally]) -> str:
    """Counts by kind, as Markdown."""
    head = ("kind", "inputs", "read", "refused", *_FAULTS, "peak MB", "slowest s (processor)", "seconds")
    rows = [head, tuple("---" for _ in head)]
    for kind, tally in tallies.items():
        rows.append((
            kind, tally.inputs, tally.counts["read"], tally.counts["refused"], *(tally.counts[f] for f in _FAULTS),
            round(tally.largest / 1e6), f"{tally.slowest:.1f}", f"{tally.seconds:.0f}",
        ))  # fmt: skip
    return "".join("| " + " | ".join(map(str, row)) + " |\n" for row in rows)


def main(arguments: list[str] | None = None) -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=None)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--kinds", nargs="*", default=None)
    parser.add_argument("--seeds", type=Path, default=None, help="keep the sound files here and use them again")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"))
    parser.add_argument("--again", default=None, help="KIND:NUMBER, read in this process")
    options = parser.parse_args(arguments)
    place = options.seeds or Path(tempfile.mkdtemp(prefix="gpukit-fuzz-seeds-"))
    kinds = [k for k in (options.kinds or MAKERS) if k in MAKERS]
    if options.again:
        kinds = [options.again.partition(":")[0]]
    try:
        if not (place / kinds[-1]).is_dir():
            write_seeds(place, set(kinds))
        if options.again:
            return _again(place, *options.again.split(":"))
        return _all(place, kinds, options)
    finally:
        if options.seeds is None:
            shutil.rmtree(place, ignore_errors=True)


def _all(place: Path, kinds: list[str], options: argparse.Namespace) -> int:
    tallies: dict[str, Tally] = {}
    kinds = [kind for kind in kinds if any((place / kind).iterdir())]
    whole, begun = sum(SHARES[kind] for kind in kinds), time.monotonic()
    for kind in kinds:
        share = SHARES[kind] / whole
        deadline = float("inf") if options.seconds is None else time.monotonic() + options.seconds * share
        count = 10**9 if options.seconds is not None else round(options.inputs * share)
        tallies[kind] = fuzz_kind(kind, place, options.first, count, deadline=deadline)
        print(json.dumps({"kind": kind, **tallies[kind].counts}), file=sys.stderr, flush=True)
    faults = [fault for tally in tallies.values() for fault in tally.faults]
    print(table(tallies))
    print(f"{sum(t.inputs for t in tallies.values())} inputs in {time.monotonic() - begun:.0f} s, {len(faults)} faults")
    seen: Counter[object] = Counter()
    for fault in faults:
        key = (fault["kind"], fault["result"], fault.get("place"), str(fault.get("error"))[:40])
        seen[key] += 1
        if seen[key] <= 3:
            print(json.dumps(fault))
            damage(load(place / str(fault["kind"])), int(str(fault["number"])), str(fault["kind"]),
                   options.keep / f"{fault['kind']}{fault['number']}")  # fmt: skip
    return 1 if faults else 0


def _again(place: Path, kind: str, number: str) -> int:
    from fuzz.targets import run_target

    with tempfile.TemporaryDirectory() as work:
        seed, file = damage(load(place / kind), int(number), kind, Path(work) / "input")
        print(f"{kind} {number}: {seed}/{file.name}")
        run_target(kind, seed, Path(work) / "input", file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
