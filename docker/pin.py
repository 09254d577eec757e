"""Print what is installed of gpukit's dependencies as a constraints file: names and versions, no index address.

Run by ``make constraints``, with the names of what is installed alone, without what it needs. gpukit itself is left
out, and so are the local parts of versions (``+cpu``), so that the file serves every index. NVIDIA's libraries are
left to torch, which names the exact ones that its CUDA build needs.
"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, distribution

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("demo", "test", "lint", "docs", "all", "nnunet")


def closure(root: str, extras: tuple[str, ...]) -> dict[str, str]:
    """Canonical name -> version of everything that `root` with `extras` needs here, itself left out."""
    found: dict[str, str] = {}
    done: set[tuple[str, str]] = set()
    waiting = [(canonicalize_name(root), extra) for extra in ("", *extras)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in done:
            continue
        done.add((name, extra))
        try:
            package = distribution(name)
        except PackageNotFoundError:
            continue  # for another platform
        if name != canonicalize_name(root) and not name.startswith("nvidia-"):
            found[name] = package.version.partition("+")[0]
        for line in package.requires or ():
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                needed = canonicalize_name(requirement.name)
                waiting += [(needed, more) for more in ("", *requirement.extras)]
    return found


if __name__ == "__main__":
    sys.path.append(f"{sys.prefix}/tensorflow")
    named = [r for r in map(Requirement, sys.argv[1:]) if r.marker is None or r.marker.evaluate()]
    alone = {canonicalize_name(r.name): distribution(r.name).version for r in named}
    for name, version in sorted((closure("gpukit", EXTRAS) | alone).items()):
        print(f"{name}=={version}")
