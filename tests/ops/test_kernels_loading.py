"""Which compiled kernels run, and what happens where there are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support.oracles.resampling import oblique

from gpukit.errors import InputError
from gpukit.ops.project import project_slab
from gpukit.ops.resample import resample
from gpukit_backends.cpu import library, threads

SCRIPT = """
import sys
import numpy as np
from gpukit.device import devices
from gpukit.ops.resample import resample
data = np.arange(4 * 5 * 6, dtype=np.int16).reshape(4, 5, 6)
m = np.eye(4); m[0, 1] = 0.3; m[2, 3] = 0.4
print(next(d.kernels for d in devices() if d.name == "cpu"))
print(resample.explain(data, m, (4, 5, 6)).function)
print(resample(data, m, (4, 5, 6), dtype="float64").tobytes().hex())
"""


def _run(**environment: str) -> list[str]:
    import os

    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SCRIPT],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_every_flavour_and_the_reference_give_the_same_bits():
    """Baseline, AVX2 and NumPy: one answer, and each says what it is."""
    if library.library().handle is None:
        pytest.skip(library.library().why)
    best = _run(GPUKIT_CPU_KERNELS="")
    base = _run(GPUKIT_CPU_KERNELS="baseline")
    none = _run(GPUKIT_CPU_KERNELS="none")
    assert best[0] == str(library.library())
    assert base[0] in ("c (baseline)", "c (neon)")
    assert none[0] == "reference (NumPy), no compiled kernels: switched off by GPUKIT_CPU_KERNELS"
    assert none[1].startswith("gpukit.ops.resample") and base[1].startswith("gpukit_backends.cpu.resample")
    assert best[2] == base[2] == none[2]


def test_a_missing_library_is_a_reason_not_an_error(monkeypatch, tmp_path):
    monkeypatch.setattr(library, "KERNELS", tmp_path)
    found = library.library.__wrapped__()
    assert found.handle is None
    assert "no library was built" in str(found)


def test_a_library_that_is_no_library_is_a_reason_too(monkeypatch, tmp_path):
    for name in ("libgpukit_baseline.so", "libgpukit_neon.so", "libgpukit_baseline.dylib", "libgpukit_baseline.dll"):
        (tmp_path / name).write_bytes(b"not a library")
    monkeypatch.setattr(library, "KERNELS", tmp_path)
    assert library.library.__wrapped__().handle is None


def test_a_library_of_another_version_is_told_of(monkeypatch):
    """Old kernels beside newer sources would make everything slow without a word."""
    if library.library().handle is None:
        pytest.skip(library.library().why)
    monkeypatch.setattr(library, "ABI", library.ABI + 1)
    with pytest.warns(RuntimeWarning, match="without its compiled kernels.*install gpukit again"):
        found = library.library.__wrapped__()
    assert found.handle is None
    assert "another version" in str(found)


def test_the_number_of_threads_changes_nothing(monkeypatch, rng):
    data = rng.normal(size=(20, 21, 22))
    m = oblique(rng, data.shape, (17, 19, 23))
    results = []
    for count in ("1", "2", "7"):
        monkeypatch.setenv("GPUKIT_THREADS", count)
        assert threads.thread_count() == int(count)
        results.append((resample(data, m, (17, 19, 23)), project_slab(data, m, (17, 19, 23))))
    for a, b in results[1:]:
        np.testing.assert_array_equal(a, results[0][0])
        np.testing.assert_array_equal(b, results[0][1])
    monkeypatch.setenv("GPUKIT_THREADS", "many")
    with pytest.raises(InputError, match="threads"):
        threads.thread_count()


def test_without_a_compiler_the_build_says_so_and_goes_on(monkeypatch):
    """What the install does on a machine that has none: nothing made, a reason, no exception."""
    folder = Path(library.__file__).resolve().parents[2]
    if not (folder / "build_kernels.py").is_file():
        pytest.skip("gpukit is installed from a wheel: there is no build to try")
    import importlib.util

    spec = importlib.util.spec_from_file_location("build_kernels", folder / "build_kernels.py")
    build_kernels = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build_kernels)
    monkeypatch.setenv("CC", "there-is-no-such-compiler")
    made, trouble = build_kernels.build()
    assert made == [] and "there-is-no-such-compiler" in trouble
