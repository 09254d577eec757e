"""Write docs/licences.md from the metadata of what every extra brings, or check it.

``python docs/make_licences.py`` writes the page; ``--check`` compares it with what is installed: every package must be
on the page with its licence, that licence must be one of docs/licences.toml, and code under the GPL may only be in
extras whose names begin with ``gpl-`` and in those of developers.
"""

from __future__ import annotations

import functools
import importlib.metadata
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HERE = Path(__file__).resolve().parent
PROJECT = tomllib.loads((HERE.parent / "pyproject.toml").read_text("utf-8"))["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
RULES: dict[str, Any] = tomllib.loads((HERE / "licences.toml").read_text("utf-8"))
DEVELOPERS = ("test", "lint", "docs")
STRONG = ("GPL-", "AGPL-")

HEAD = """# Licences

gpukit has the licence Apache-2.0. This page lists what each extra brings, with all that it depends on, and under which
licences. `docs/make_licences.py` writes it from the packages' metadata, and `make lint` fails where a package has a
licence that `docs/licences.toml` does not allow.

No extra brings code under the GPL or AGPL, except two whose names say so. Neither is part of `all`:

- `gpl-ffmpeg` brings a program ffmpeg under the GPL. gpukit starts it as a process of its own to write `.mp4`. If your
  system has ffmpeg, you do not need the extra.
- `gpl-libigl` brings libigl, with which `gpukit 3d surface --decimate` works. Its wheel also holds modules under the
  GPL; gpukit loads only those under the MPL-2.0.

JPEG and JPEG-LS are decoded by imagecodecs and GDCM. pylibjpeg-libjpeg (GPL-3.0) is not used; no transfer syntax that
gpukit reads is lost without it.

"""


@functools.cache
def installed(name: str) -> importlib.metadata.Distribution | None:
    """The distribution of that canonical name; None where it is not installed."""
    try:
        return importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return None


@functools.cache
def requirements(name: str) -> tuple[Requirement, ...]:
    """What an installed package needs."""
    package = installed(name)
    return tuple(map(Requirement, (package.requires or ()) if package else ()))


def closure(lines: Iterable[str]) -> set[str]:
    """Canonical names of all that some requirements of gpukit bring on this machine, and of what is not installed."""
    names: set[str] = set()
    waiting = [(Requirement(line), "") for line in lines]
    done = set()
    while waiting:
        requirement, extra = waiting.pop()
        name = canonicalize_name(requirement.name)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        if name == "gpukit":
            waiting += [(Requirement(line), "") for more in requirement.extras for line in EXTRAS[more]]
            continue
        names.add(name)
        for more in ("", *requirement.extras):
            if (name, more) not in done:
                done.add((name, more))
                waiting += [(needed, more) for needed in requirements(name)]
    return {name for name in names if installed(name) is not None or name in RULES["elsewhere"]}


@functools.cache
def licence_of(name: str) -> str:
    """SPDX expression of a package: by the rules, else by its metadata."""
    rule = RULES["packages"].get(name)
    if rule is not None:
        return str(rule["licence"])
    package = installed(name)
    if package is None:
        return str(RULES["elsewhere"].get(name, ""))
    facts = package.metadata
    if expression := facts.get("License-Expression"):
        return str(RULES["names"].get(expression.lower(), expression))
    short = " ".join((facts.get("License") or "").split())
    classes = [c.rpartition("::")[2].strip() for c in facts.get_all("Classifier") or () if c.startswith("License ::")]
    known = {*RULES["allowed"], *RULES["developers"]}
    for words in (short, *classes):
        if words and set(parts(words)) <= known:
            return words
        if words.lower() in RULES["names"]:
            return str(RULES["names"][words.lower()])
    if short.lower().startswith("apache license version 2.0"):
        return "Apache-2.0"
    return ""


def parts(expression: str) -> list[str]:
    """Names in an SPDX expression."""
    return [word for word in re.split(r"[\s()]+|\bAND\b|\bOR\b|\bWITH\b", expression) if word]


def faults() -> list[str]:
    """What the rules do not allow."""
    wrong = []
    for extra, lines in {"": PROJECT["dependencies"], **EXTRAS}.items():
        allowed = {*RULES["allowed"], *(RULES["developers"] if extra in DEVELOPERS else ())}
        for name in sorted(closure(lines)):
            carried = RULES["packages"].get(name, {}).get("carries", "")
            licence = licence_of(name)
            if not licence:
                wrong.append(f"{name} ({extra}): its licence is not known; name it in docs/licences.toml")
            elif not set(parts(licence)) <= allowed:
                wrong.append(f"{name} ({extra}): {licence} is not allowed")
            if carried.startswith(STRONG) and extra not in DEVELOPERS and not extra.startswith("gpl-"):
                wrong.append(f"{name} ({extra}): carries {carried}, which only an extra gpl-... may bring")
    return wrong


def page() -> str:
    """The text of docs/licences.md."""
    brought: dict[str, set[str]] = {}
    for extra, lines in {"(always)": PROJECT["dependencies"], **EXTRAS}.items():
        for name in closure(lines):
            brought.setdefault(name, set()).add(extra)
    users = [name for name in brought if not brought[name] <= set(DEVELOPERS)]
    text = HEAD + "## What users install\n\n" + _table(sorted(users), brought)
    text += "\n## What only developers of gpukit install\n\n"
    return text + _table(sorted(set(brought) - set(users)), brought)


def _table(names: list[str], brought: dict[str, set[str]]) -> str:
    rows = ["| package | licence | extras |", "| --- | --- | --- |"]
    for name in names:
        rule = RULES["packages"].get(name, {})
        licence = licence_of(name) + (f"; carries {rule['carries']}" if "carries" in rule else "")
        note = f" ({rule['note']})" if "note" in rule else ""
        extras = sorted(brought[name] - set(DEVELOPERS)) or sorted(brought[name])
        listed = "all of them" if "(always)" in extras else ", ".join(f"`{extra}`" for extra in extras)
        rows.append(f"| {name} | {licence}{note} | {listed} |")
    return "\n".join(rows) + "\n"


def missing_rows(text: str) -> list[str]:
    """Packages that are installed here and not on the page with their licence; versions and other machines' are not."""
    rows = dict(re.findall(r"^\| ([a-z0-9-]+) \| ([^|]+?)(?: \([^|]*\))? \|", text, re.MULTILINE))
    lines = [*PROJECT["dependencies"], *(line for extra in EXTRAS.values() for line in extra)]
    return [
        f"{name}: docs/licences.md says {rows.get(name, 'nothing')}, it is {licence_of(name)}"
        for name in sorted(closure(lines))
        if rows.get(name, "").partition(";")[0] != licence_of(name)
    ]


def main() -> int:
    """Write or check."""
    file = HERE / "licences.md"
    wrong = faults()
    if "--check" in sys.argv:
        wrong += missing_rows(file.read_text("utf-8"))
    elif not wrong:
        file.write_text(page(), "utf-8")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong and "--check" in sys.argv:
        print("write the page again with: python docs/make_licences.py", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
