"""Build hook: compile the CPU kernels into shared libraries beside their source.

No compiler, or one that fails, is a warning and not an error: the toolkit then runs on the NumPy reference and
``gpukit devices`` says so. With the libraries the wheel is for one platform (``py3-none-<platform>``: they are loaded
through ctypes, so any Python will do); without them it is for any.

Also runs by hand: ``python backends/build_kernels.py``.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

KERNELS = Path(__file__).resolve().parent / "gpukit_backends" / "kernels"
SUFFIX = {"Windows": ".dll", "Darwin": ".dylib"}.get(platform.system(), ".so")

#: Contraction to fused multiply-add stays off in every flavour: results are then equal to the reference's to the bit.
#: Traps and errno are not looked at, which lets comparisons become vector code without changing any value.
FLAGS = (
    "-O3", "-std=c11", "-fPIC", "-shared", "-fvisibility=hidden", "-ffp-contract=off", "-fno-math-errno",
    "-fno-trapping-math", "-Wall",
)  # fmt: skip


#: Checks of ``make sanitize``. Division by zero is defined for floating numbers, and yet a fault in these kernels.
SANITIZERS = ("-fsanitize=address,undefined,float-cast-overflow,float-divide-by-zero", "-fno-omit-frame-pointer")


def flavours() -> dict[str, tuple[str, ...]]:
    """Name of each library of this processor and the flags that make it; the first one runs everywhere."""
    if platform.machine().lower() in ("x86_64", "amd64", "i686", "x86"):
        return {"baseline": (), "avx2": ("-mavx2",)}
    if platform.machine().lower() in ("arm64", "aarch64"):
        return {"neon": ()}
    return {"baseline": ()}


def compiler() -> list[str] | None:
    """The C compiler: $CC, else cc, gcc or clang; None where there is none."""
    named = os.environ.get("CC")
    if named:
        return shlex.split(named)
    found = next((path for name in ("cc", "gcc", "clang") if (path := shutil.which(name))), None)
    return [found] if found else None


def library(flavour: str) -> Path:
    """Where a flavour's library goes."""
    return KERNELS / f"libgpukit_{flavour}{SUFFIX}"


def build() -> tuple[list[Path], str]:
    """Compile every flavour; returns the libraries and, where one could not be made, why."""
    command = compiler()
    if command is None:
        return [], "there is no C compiler (looked for $CC, cc, gcc, clang)"
    sources = sorted(str(p) for p in KERNELS.glob("*.c"))
    made, trouble = [], ""
    for flavour, flags in flavours().items():
        target = library(flavour)
        with tempfile.TemporaryDirectory(dir=KERNELS) as scratch:
            # built beside its place and moved there: a library in use by another process is replaced, not overwritten
            fresh = Path(scratch) / target.name
            line = [*command, *FLAGS, *flags, *sources, "-o", str(fresh), "-lm"]
            try:
                done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
            except (OSError, subprocess.TimeoutExpired) as error:
                trouble = f"{command[0]}: {error}"
                continue
            if done.returncode:
                trouble = f"{' '.join(line[:1])} failed for the {flavour} flavour: {done.stderr.strip()[-2000:]}"
                continue
            fresh.replace(target)
            made.append(target)
    return made, trouble


def build_sanitized(folder: Path) -> str:
    """Compile this processor's best flavour with AddressSanitizer and UBSan into a folder; returns what went wrong.

    The files are compiled side by side, because the sanitizers make each of them slow to compile. Loading the library
    takes the sanitizers' own libraries in LD_PRELOAD, and `gpukit_backends.cpu.library.FOLDER_VARIABLE`.
    """
    command = compiler()
    if command is None:
        return "there is no C compiler (looked for $CC, cc, gcc, clang)"
    folder.mkdir(parents=True, exist_ok=True)
    chosen, *more = reversed(flavours().items())
    flags = [*(f for f in FLAGS if f not in ("-O3", "-shared")), "-O1", "-g1", *SANITIZERS]

    def compiled(source: Path) -> tuple[str, str]:
        target = folder / f"{source.stem}.o"
        line = [*command, *flags, *chosen[1], "-c", str(source), "-o", str(target)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=1800, check=False)
        return str(target), done.stderr[-2000:] if done.returncode else ""

    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        parts = list(pool.map(compiled, sorted(KERNELS.glob("*.c"))))
    trouble = "".join(text for _, text in parts)
    for flavour, _ in (chosen, *more):  # the first one is opened too, to ask it for the processor's abilities
        if not trouble:
            line = [*command, "-shared", *SANITIZERS, *(name for name, _ in parts), "-lm"]
            line += ["-o", str(folder / library(flavour).name)]
            done = subprocess.run(line, capture_output=True, text=True, timeout=600, check=False)
            trouble = done.stderr[-2000:] if done.returncode else ""
    return trouble


def platform_tag() -> str:
    """Wheel platform, such as ``linux_x86_64``; of this processor alone where Python itself serves two."""
    tag = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return tag.replace("universal2", platform.machine())


try:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface
except ImportError:  # run by hand, outside a build
    BuildHookInterface = object  # type: ignore[assignment,misc]


class KernelBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """What hatchling calls before it makes a wheel or an editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and put the libraries into the wheel."""
        if self.target_name != "wheel":
            return
        made, trouble = build()
        for old in set(KERNELS.glob("libgpukit_*")) - set(made):
            old.unlink()  # of an earlier build: must not pass for one of this source
        if trouble:
            self.app.display_warning(f"gpukit: compiled kernels are incomplete, {trouble}. The install goes on.")
        if not made:
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{platform_tag()}"
        if version != "editable":
            build_data["force_include"].update({str(p): f"gpukit_backends/kernels/{p.name}" for p in made})


def main() -> int:
    """Compile from the command line; with ``--sanitize FOLDER`` for `make sanitize`."""
    if sys.argv[1:2] == ["--sanitize"]:
        trouble = build_sanitized(Path(sys.argv[2]))
        sys.stderr.write(trouble)
        return 1 if trouble else 0
    made, trouble = build()
    for path in made:
        sys.stdout.write(f"{path}\n")
    if trouble:
        sys.stderr.write(f"{trouble}\n")
    return 0 if made and not trouble else 1


if __name__ == "__main__":
    sys.exit(main())
