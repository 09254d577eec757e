"""The process that reads damaged files. It may crash, hang or grow: its parent, `fuzz.run`, watches.

``python -m fuzz.child SEEDS WORK KIND FIRST COUNT``: inputs are numbered, and the number alone decides the damage.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import random
import shutil
import sys
import time
import warnings
from pathlib import Path
from typing import Any

from fuzz.mutations import mutate

#: Bytes that one input may use beyond what the process had; and a bound that protects the machine.
MOST_MEMORY = 2 << 30
_WALL = 10 << 30
_LONGEST_MESSAGE = 3000


def main(seeds: Path, work: Path, kind: str, first: int, count: int) -> None:
    """Read inputs and write a line of JSON before and after each."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)  # what libraries print
    warnings.simplefilter("ignore")
    _limit()
    from fuzz.targets import run_target
    from gpukit.errors import GpukitError

    files = load(seeds / kind)
    _warm(files, kind, work)
    for number in range(first, first + count):
        folder = work / f"{kind}{number}"
        seed, file = damage(files, number, kind, folder)
        answers.write(json.dumps({"begin": number, "seed": f"{seed}/{file.name}"}) + "\n")
        before, begun = _peak(reset=True), time.process_time()
        outcome: dict[str, Any] = {"end": number, "result": "read"}
        try:
            run_target(kind, seed, folder, file)
        except GpukitError as error:
            outcome["result"] = "refused"
            if len(str(error)) > _LONGEST_MESSAGE or "\n" in str(error):
                outcome.update(result="message", error=str(error)[:200])
        except Exception as error:
            outcome.update(result="unexpected", error=f"{type(error).__name__}: {error}"[:300], place=_place(error))
        except BaseException as error:  # such as a panic in Rust
            outcome.update(result="unexpected", error=f"{type(error).__name__}: {error}"[:300], place=_place(error))
        outcome["grown"] = grown = _peak() - before
        outcome["seconds"] = time.process_time() - begun
        if grown > MOST_MEMORY:
            outcome["result"] = "memory"
        answers.write(json.dumps(outcome) + "\n")
        shutil.rmtree(folder, ignore_errors=True)


def _warm(files: list[tuple[str, Path, dict[str, bytes]]], kind: str, work: Path) -> None:
    """Read each sound seed once, so that imports are no part of the time and memory of an input."""
    from fuzz.targets import run_target
    from gpukit.errors import GpukitError

    for seed, _, contents in files:
        folder = work / f"{kind}-warm" / seed
        for name, content in contents.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        with contextlib.suppress(GpukitError):
            run_target(kind, seed, folder, folder / sorted(contents)[0])
    shutil.rmtree(work / f"{kind}-warm", ignore_errors=True)


def load(folder: Path) -> list[tuple[str, Path, dict[str, bytes]]]:
    """Each seed: name, folder, and the content of its files by relative name."""
    found = []
    for seed in sorted(folder.iterdir()):
        places = [seed] if seed.is_file() else sorted(p for p in seed.rglob("*") if p.is_file())
        root = seed.parent if seed.is_file() else seed
        found.append((seed.name, seed, {str(p.relative_to(root)): p.read_bytes() for p in places}))
    return found


def damage(files: list[tuple[str, Path, dict[str, bytes]]], number: int, kind: str, folder: Path) -> tuple[str, Path]:
    """Write damaged input `number`; returns the seed's name and the file that is damaged."""
    chance = random.Random(f"{kind}:{number}")
    seed, _, contents = chance.choice(files)
    names = sorted(contents)
    small = [name for name in names if len(contents[name]) < 20000]
    name = chance.choice(small if small and chance.random() < 0.7 else names)
    others = [content for _, _, group in files[:6] for content in list(group.values())[:2]]
    for other in names:
        target = folder / other
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(mutate(contents[other], chance, others) if other == name else contents[other])
    return seed, folder / name


def _limit() -> None:
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_DATA, (_WALL, resource.getrlimit(resource.RLIMIT_DATA)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _peak(*, reset: bool = False) -> int:
    """Highest resident memory of this process since the last reset, in bytes."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def _place(error: BaseException) -> str:
    last, trace = "", error.__traceback__
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "gpukit" in Path(name).parts or "gpukit_backends" in Path(name).parts:
            last = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return last


if __name__ == "__main__":
    faulthandler.enable()
    seeds, work, kind, first, count = sys.argv[1:]
    main(Path(seeds), Path(work), kind, int(first), int(count))
