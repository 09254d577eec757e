"""Outputs appear whole or not at all, with the rights of the user's umask, and killed processes leave nothing."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gpukit.documents.atomic import PREFIX, atomic_folder, atomic_path, new_folder, working_folder
from gpukit.documents.lock import FileLock
from gpukit.errors import OutputError

#: Ends in the midst of writing, in a way of its own; what it was to write is its first argument.
KILLED = """
import os, signal, sys, time
from pathlib import Path
from gpukit.documents.atomic import {context}
with {context}(Path(sys.argv[1])) as temporary:
    place = temporary if {folder} else temporary.parent if {pair} else temporary
    (place / "x").write_text("half") if place.is_dir() and {folder} else temporary.write_text("half")
    print("writing", flush=True)
    {end}
"""
posix = pytest.mark.skipif(os.name != "posix", reason="only POSIX systems end a process by SIGKILL")


def script(context: str, end: str) -> str:
    folder, pair = context in ("new_folder", "working_folder"), context == "atomic_folder"
    return KILLED.format(context=context, end=end, folder=folder, pair=pair)


def temporary_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(PREFIX))


@posix
@pytest.mark.parametrize("context", ["atomic_path", "atomic_folder", "new_folder"])
def test_the_next_writer_removes_what_a_killed_one_left(context: str, tmp_path: Path) -> None:
    words = [sys.executable, "-c", script(context, "os.kill(os.getpid(), signal.SIGKILL)")]
    for name in ("out.nii", "other.nii"):
        assert subprocess.run([*words, str(tmp_path / name)], check=False).returncode == -signal.SIGKILL
    assert len(temporary_names(tmp_path)) == 2
    with {"atomic_path": atomic_path, "atomic_folder": atomic_folder, "new_folder": new_folder}[context](
        tmp_path / "out.nii"
    ) as temporary:
        assert [name.endswith("-other.nii") for name in temporary_names(tmp_path)].count(True) == 1
        assert len(temporary_names(tmp_path)) <= 2
        if context != "new_folder":
            temporary.write_text("whole")
    (left,) = temporary_names(tmp_path)
    assert left.endswith("-other.nii"), "another output is not this one's to clean"


@posix
def test_what_another_process_is_writing_stays(tmp_path: Path) -> None:
    words = [sys.executable, "-c", script("atomic_path", "time.sleep(60)"), str(tmp_path / "out.nii")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "writing\n"
        theirs = temporary_names(tmp_path)
        with atomic_path(tmp_path / "out.nii") as temporary:
            temporary.write_text("whole")
        assert temporary_names(tmp_path) == theirs
        other.kill()


@posix
@pytest.mark.parametrize(("mask", "rights"), [(0o077, 0o700), (0o027, 0o750), (0o022, 0o755)])
def test_folders_have_the_rights_of_the_umask(mask: int, rights: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        with new_folder(tmp_path / "series") as temporary:
            (temporary / "0001.dcm").write_bytes(b"x")
            assert stat.S_IMODE(temporary.stat().st_mode) == rights
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "series").stat().st_mode) == rights
    assert not temporary_names(tmp_path)


def test_a_failure_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "series" / "old.dcm").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "series") as temporary:
        (temporary / "new.dcm").write_bytes(b"new")
        raise KeyboardInterrupt
    assert [path.name for path in (tmp_path / "series").iterdir()] == ["old.dcm"]
    assert not temporary_names(tmp_path)
    with pytest.raises(OutputError), working_folder(tmp_path / "nowhere" / "x"):
        pass


def test_a_long_name_has_a_temporary_one(tmp_path: Path) -> None:
    """Names may have 255 bytes; letters outside of ASCII have two or three."""
    for name in ("x" * 240 + ".nii", "é" * 120 + ".nii"):
        with atomic_path(tmp_path / name) as temporary:
            temporary.write_text("whole")
            assert temporary.name.endswith(".nii")
        assert (tmp_path / name).read_text() == "whole"


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with FileLock(tmp_path / "lock") as lock:
        assert lock.note == ""
        with pytest.raises(OutputError, match="another process"), FileLock(tmp_path / "lock"):
            pass
    with FileLock(tmp_path / "lock"):
        pass


@pytest.fixture(scope="module")
def without_locks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the file system answers that it has no locks, as some network ones do."""
    folder = tmp_path_factory.mktemp("nolocks")
    (folder / "nolocks.c").write_text(
        "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n"
    )
    try:
        words = ["cc", "-shared", "-fPIC", "-o", folder / "nolocks.so", folder / "nolocks.c"]
        subprocess.run(words, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("there is no C compiler to take the locks away with")
    return {**os.environ, "LD_PRELOAD": str(folder / "nolocks.so")}


LOCKED = """
import sys
from pathlib import Path
from gpukit.documents.lock import FileLock
with FileLock(Path(sys.argv[1])) as lock:
    print(lock.note, flush=True)
    {end}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="LD_PRELOAD is Linux's")
def test_without_locks_a_file_stands_for_one(without_locks: dict[str, str], tmp_path: Path) -> None:
    def words(end: str) -> list[str]:
        return [sys.executable, "-c", LOCKED.format(end=end), str(tmp_path / "lock")]

    with subprocess.Popen(words("import time; time.sleep(60)"), stdout=subprocess.PIPE, text=True,
                          env=without_locks) as first:  # fmt: skip
        assert first.stdout is not None and "has no locks" in first.stdout.readline()
        second = subprocess.run(words(""), capture_output=True, text=True, env=without_locks, check=False)
        assert second.returncode == 1 and "another process is at work" in second.stderr
        first.kill()
    # the killed one's file does not count any more
    third = subprocess.run(words(""), capture_output=True, text=True, env=without_locks, check=False)
    assert third.returncode == 0, third.stderr
    assert not (tmp_path / "lock.holder").exists()
