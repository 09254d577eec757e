"""What gpukit says where an optional package is missing: a command that a shell takes as it stands."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from gpukit import extras
from gpukit.errors import DependencyError
from gpukit.extras import install_command, missing_package

ROOT = Path(__file__).resolve().parents[2]


class Distribution:
    """A distribution whose only file is the record of PEP 610."""

    def __init__(self, record: str | None) -> None:
        self._record = record

    def read_text(self, name: str) -> str | None:
        return self._record if name == "direct_url.json" else None


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (None, ["pip", "install", "gpukit[viz,ai]"]),
        (
            '{"url": "file:///home/a%20b/gpukit", "dir_info": {"editable": true}}',
            ["pip", "install", "-e", "/home/a b/gpukit[viz,ai]"],
        ),
        ('{"url": "file:///src/gpukit", "dir_info": {}}', ["pip", "install", "/src/gpukit[viz,ai]"]),
        (
            '{"url": "file:///src/gpukit-0.1.0-py3-none-any.whl", "archive_info": {}}',
            ["pip", "install", "/src/gpukit-0.1.0-py3-none-any.whl[viz,ai]"],
        ),
        (
            '{"url": "https://git.example/gpukit", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            ["pip", "install", "gpukit[viz,ai] @ git+https://git.example/gpukit@abc"],
        ),
        ("{damaged", ["pip", "install", "gpukit[viz,ai]"]),
    ],
)
def test_the_command_names_where_gpukit_came_from(
    record: str | None, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.distribution", lambda name: Distribution(record))
    extras._source.cache_clear()
    try:
        assert shlex.split(install_command("viz", "ai")) == words
    finally:
        extras._source.cache_clear()


def test_the_sentence_ends_in_a_command_in_lower_case_that_can_be_copied() -> None:
    text = str(missing_package("pictures need Pillow", "files"))
    assert re.search(r'pip install (-e )?"[^"]+\[files\]"$', text)
    assert str(DependencyError("x", fix=install_command("files"))).startswith("x. pip install")
    assert str(missing_package("MP4 needs ffmpeg", "gpl-ffmpeg", instead="write a .gif")).endswith(", or write a .gif")


def test_every_extra_that_a_sentence_names_exists() -> None:
    """Looked up in pyproject.toml; and no sentence is written anywhere else."""
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"])
    named: set[str] = set()
    for folder in ("gpukit", "backends", "cli"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text("utf-8")
            if file != Path(extras.__file__):
                assert not re.search(r"pip install ['\"]*gpukit\[", text), file
            for call in re.findall(r"missing_package\(\s*f?\"[^\"]*\",([^)]*)\)", text):
                named.update(re.findall(r'^\s*"([a-z0-9-]+)"', call))
            for call in re.findall(r"install_command\(([^)]*)\)", text):
                named.update(re.findall(r"[\"']([a-z0-9-]+)[\"']", call))
    assert len(named) > 12
    assert named <= known
