"""The wheel: what it holds, and that it works from another folder, with and without a C compiler."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest
from support.paths import ROOT

# Two builds compile every kernel in every flavour; on a busy machine that takes minutes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def build(folder: Path, **environment: str) -> tuple[Path, str]:
    """A wheel built from a copy of the sources, without network, and what the build said."""
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "gpukit", "backends", "cli"):
        here = ROOT / name
        if here.is_dir():
            shutil.copytree(
                here, source / name, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.dylib", "*.pyd")
            )
        else:
            shutil.copy(here, source / name)
    command = [
        sys.executable,
        "-m",
        "build",
        "--wheel",
        "--no-isolation",
        "--outdir",
        str(folder / "dist"),
        str(source),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, timeout=1000)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = (folder / "dist").glob("*.whl")
    return wheel, done.stdout + done.stderr


def installed(wheel: Path, folder: Path) -> Path:
    """Scripts folder of a fresh environment with the wheel; its dependencies are those of this environment."""
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    where = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    site = Path(where.stdout.strip())
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*pip, str(wheel)], check=True, timeout=300)
    # A path line is searched after the environment's own packages, so gpukit is the wheel's; an editable install's own
    # path lines in that folder are not followed.
    (site / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return python.parent


def environment() -> dict[str, str]:
    """Without coverage of child processes, which would import from this environment."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("COV", "PYTHON"))}


def call(scripts: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(scripts / words[0]), *words[1:]]
    return subprocess.run(command, cwd=cwd, env=environment(), capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which(os.environ.get("CC", "cc")) is None:
        pytest.skip("there is no C compiler here")
    return build(tmp_path_factory.mktemp("build"))[0]


@pytest.fixture(scope="module")
def scripts(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed(wheel, tmp_path_factory.mktemp("install"))


def cpu(scripts: Path, cwd: Path) -> dict[str, object]:
    done = call(scripts, "gpukit", "devices", "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return next(info for info in json.loads(done.stdout)["devices"] if info["name"] == "cpu")


def test_wheel_holds_the_three_packages_and_the_compiled_kernels(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {"gpukit", "gpukit_backends", "gpukit_cli"} <= tops
    assert not tops & {"backends", "cli", "tests"}
    assert [name for name in names if name.startswith("gpukit_backends/") and name.endswith((".so", ".dylib", ".dll"))]
    assert "gpukit/py.typed" in names
    assert not [name for name in names if "__pycache__" in name]


def test_wheel_with_compiled_kernels_is_not_called_pure(wheel: Path) -> None:
    assert not wheel.name.endswith("-any.whl")


def test_installed_wheel_works_from_another_folder(scripts: Path, tmp_path: Path) -> None:
    where = subprocess.run(
        [scripts / "python", "-c", "import gpukit, gpukit_cli, gpukit_backends; print(gpukit.__file__)"],
        cwd=tmp_path, env=environment(), capture_output=True, text=True,
    )  # fmt: skip
    assert Path(where.stdout.strip()).is_relative_to(scripts.parent), where.stderr
    assert call(scripts, "gpukit", "--version", cwd=tmp_path).stdout.startswith("gpukit ")
    assert "reference" not in str(cpu(scripts, tmp_path)["kernels"])


def test_installed_wheel_runs_a_contract_line(scripts: Path, data: Path, tmp_path: Path) -> None:
    done = call(scripts, "dicom-3d", "export", str(data / "ct_totalseg/dicom_j2k"), "--output", "volume", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "volume.nii.gz").stat().st_size > 100_000


@pytest.mark.parametrize("compiler", ["/bin/false", "no-such-compiler"])
def test_without_a_compiler_the_install_goes_on_and_says_so(compiler: str, tmp_path: Path) -> None:
    bare = tmp_path / "bin"
    bare.mkdir()
    wheel, said = build(tmp_path, CC=compiler, PATH=str(bare))
    assert not [name for name in zipfile.ZipFile(wheel).namelist() if name.endswith((".so", ".dylib", ".dll"))]
    assert "the install goes on" in said.lower()
    scripts = installed(wheel, tmp_path)
    assert "reference" in str(cpu(scripts, tmp_path)["kernels"])
