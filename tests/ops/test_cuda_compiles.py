"""The CUDA kernels compile for every architecture that is promised, on machines without a GPU.

By NVRTC (a PyPI wheel or a CUDA toolkit) as at run time, with the same options; by nvcc where there is no NVRTC.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gpukit_backends.cuda.compile import KERNELS, OPTIONS, TYPES, source

ARCHITECTURES = ("80", "90")
FILES = sorted(p.stem for p in KERNELS.glob("*.cu"))


def _nvrtc() -> ctypes.CDLL | None:
    for folder in map(Path, sys.path):
        for path in sorted(folder.glob("nvidia/**/libnvrtc.so.*")):
            try:
                return ctypes.CDLL(str(path))
            except OSError:
                continue
    try:
        return ctypes.CDLL("libnvrtc.so")
    except OSError:
        return None


def _compile(nvrtc: ctypes.CDLL, name: str, architecture: str) -> str:
    """PTX of a file; fails with the compiler's log."""
    program = ctypes.c_void_p()
    text = source(name).encode()
    assert nvrtc.nvrtcCreateProgram(ctypes.byref(program), text, f"{name}.cu".encode(), 0, None, None) == 0
    options = [*OPTIONS, f"--gpu-architecture=sm_{architecture}"]
    array = (ctypes.c_char_p * len(options))(*(o.encode() for o in options))
    code = nvrtc.nvrtcCompileProgram(program, len(options), array)
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    assert code == 0, log.value.decode()
    nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
    ptx = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetPTX(program, ptx)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx.value.decode()


def test_there_are_kernels():
    assert {"resample", "sample", "slab"} <= set(FILES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("name", FILES)
def test_compiles(name, architecture, tmp_path):
    nvrtc, nvcc = _nvrtc(), shutil.which("nvcc")
    if nvrtc is not None:
        ptx = _compile(nvrtc, name, architecture)
    elif nvcc is not None:
        target = tmp_path / "kernel.ptx"
        options = [f"-arch=sm_{architecture}", "-ptx", "-fmad=false", "-std=c++17", "-o", str(target)]
        done = subprocess.run(
            [nvcc, *options, str(KERNELS / f"{name}.cu")], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr
        ptx = target.read_text()
    else:
        pytest.skip("neither the wheel nvidia-cuda-nvrtc nor a CUDA toolkit is installed")
    entries = set(re.findall(r"\.entry (\w+)", ptx))
    assert entries, "the file has no kernel"
    for stem in {e.rpartition("_")[0] for e in entries}:
        assert {stem + suffix for suffix in TYPES.values()} <= entries  # a kernel for every voxel type
    # --fmad=false must have worked: contraction would move results away from the reference. Ray casting calls exp and
    # pow, which are made of fused operations themselves.
    assert "fma.rn.f64" not in ptx or name == "raycast"
