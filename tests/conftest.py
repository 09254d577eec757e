"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
import subprocess
import sysconfig
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no fault of the code: time is bounded by pytest-timeout, not example by example.
settings.register_profile("gpukit", deadline=None)
settings.load_profile("gpukit")


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder of real scanner data and reference values that is not part of the repository."""
    folder = os.environ.get("GPUKIT_TEST_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("the real scanner data is not here: set GPUKIT_TEST_DATA to its folder")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def unpacked(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function from an archive's name below `data` to the folder it is unpacked in, once a session."""
    done: dict[str, Path] = {}

    def unpack(name: str) -> Path:
        if name not in done:
            target = tmp_path_factory.mktemp(Path(name).name.partition(".")[0])
            with tarfile.open(data / name) as archive:
                archive.extractall(target, filter="data")
            done[name] = target
        return done[name]

    return unpack


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Function that runs ``gpukit WORDS...`` as a process of its own; `program` names another console script."""
    scripts = Path(sysconfig.get_path("scripts"))

    def call(
        *words: object, program: str = "gpukit", cwd: Path | None = None, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        command = [str(scripts / program), *map(str, words)]
        return subprocess.run(
            command, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, timeout=600
        )

    return call


@pytest.fixture(scope="session")
def more(data: Path) -> Path:
    """Folder of further data (odd images, reports of many makers), beside that of `data`."""
    folder = data.parent / "data_more"
    if not folder.is_dir():
        pytest.skip("the further test data is not here: a folder data_more beside that of GPUKIT_TEST_DATA")
    return folder
