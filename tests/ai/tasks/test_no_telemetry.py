"""No library that gpukit runs looks up or asks another machine, and none leaves a file behind."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
pytest.importorskip("monai", reason="monai is not installed")

from support.models import made_volume, save

import gpukit as gk

PROGRAM = str(Path(sys.executable).with_name("gpukit"))
#: Whoever is connected to or sent to over the internet's protocols, name servers included.
_INTERNET = re.compile(r"\b(connect|send\w*)\(.*AF_INET6?\b")


def traced(words: list[str], tmp_path: Path) -> tuple[list[str], list[str]]:
    """Lines of system calls that reach for the network, and files left in the home and the temporary folder."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("the program strace is not installed")
    home, temporary, log = tmp_path / "home", tmp_path / "tmp", tmp_path / "calls"
    home.mkdir()
    temporary.mkdir()
    kept = {key: value for key, value in os.environ.items() if "TELEMETRY" not in key and not key.startswith("XDG_")}
    environment = {**kept, "HOME": str(home), "TMPDIR": str(temporary), "MPLCONFIGDIR": str(tmp_path / "mpl")}
    done = subprocess.run(
        [strace, "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log), *words],
        capture_output=True, text=True, timeout=600, env=environment, cwd=tmp_path,
    )  # fmt: skip
    if "ptrace" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this machine lets no program trace another one")
    assert done.returncode == 0, done.stderr
    calls = [line for line in log.read_text().splitlines() if _INTERNET.search(line)]
    left = [str(f.relative_to(tmp_path)) for folder in (home, temporary) for f in folder.rglob("*") if f.is_file()]
    return calls, left


@pytest.mark.parametrize(
    ("runtime", "form", "package"),
    [("torch", "torchscript", "torch"), ("onnx", "onnx", "onnxruntime"), ("openvino", "onnx", "openvino")],
)
def test_a_runtime_asks_nobody_and_leaves_nothing(runtime: str, form: str, package: str, tmp_path: Path) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    model = save(tmp_path / "m", form)
    gk.save(made_volume(), tmp_path / "mr.nii.gz")
    words = ["ai", "segment", tmp_path / "mr.nii.gz", "--model", model, "--runtime", runtime, "-o", "labels.nii.gz"]
    calls, left = traced([PROGRAM, *map(str, words)], tmp_path)
    assert calls == []
    assert left == []


def test_the_demo_asks_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    pytest.importorskip("nilearn", reason="the demo's image comes with nilearn")
    calls, left = traced([PROGRAM, "demo", "--output", str(tmp_path / "demo"), "--device", "cpu"], tmp_path)
    assert calls == [] and left == []
