"""Files into the rows of an array: reference and compiled kernel fill the same rows and give back the same others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gpukit.errors import InputError
from gpukit.ops.read_rows import read_rows


@pytest.fixture(params=["as chosen", "reference"])
def read(request: pytest.FixtureRequest):
    return read_rows if request.param == "as chosen" else read_rows.reference


def test_a_compiled_kernel_is_chosen_where_there_is_one():
    from gpukit_backends.cpu.library import library

    if library().handle is None:
        pytest.skip(library().why)
    assert read_rows.explain(np.zeros((1, 4)), [], [], []).function.startswith("gpukit_backends.cpu.read_rows")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(data=st.data())
def test_rows_hold_the_bytes_of_their_files(read, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject):
    folder = tmp_path_factory.mktemp("files")
    dtype = data.draw(st.sampled_from([np.uint8, np.int16, np.float64]))
    shape = data.draw(st.sampled_from([(5, 7), (4, 2, 3), (6,)]))
    out = np.full(shape, 77, dtype)
    size = out.nbytes // len(out)
    rows = data.draw(st.lists(st.integers(0, len(out) - 1), unique=True))
    contents, paths, offsets = [], [], []
    for n, _ in enumerate(rows):
        content = data.draw(st.binary(min_size=0, max_size=3 * size))
        path = folder / f"Zürich 影像 {n}"
        path.write_bytes(content)
        contents.append(content)
        paths.append(str(path))
        offsets.append(data.draw(st.integers(0, 2 * size)))
    failed = read(out, rows, paths, offsets)
    whole = {row: c[at : at + size] for row, c, at in zip(rows, contents, offsets, strict=True)}
    assert sorted(failed) == sorted(row for row, piece in whole.items() if len(piece) < size)
    for row in range(len(out)):
        if row not in rows:
            assert (out[row] == 77).all()
        elif row not in failed:
            assert out[row].tobytes() == whole[row]


def test_what_cannot_be_read_is_given_back(read, tmp_path: Path):
    good = tmp_path / "good"
    good.write_bytes(bytes(range(16)))
    out = np.zeros((4, 8), np.uint8)
    failed = read(out, [3, 0, 2, 1], [str(good), str(tmp_path), str(tmp_path / "none"), str(good)], [8, 0, 0, 9])
    assert sorted(failed) == [0, 1, 2]
    assert out[3].tolist() == list(range(8, 16))


@pytest.mark.parametrize(
    ("out", "rows", "paths", "offsets"),
    [
        (np.zeros((2, 8))[:, ::2], [0], ["a"], [0]),
        (np.broadcast_to(np.zeros(8), (2, 8)), [0], ["a"], [0]),
        (np.zeros((2, 8)), [2], ["a"], [0]),
        (np.zeros((2, 8)), [-1], ["a"], [0]),
        (np.zeros((2, 8)), [0], ["a"], [-1]),
        (np.zeros((2, 8)), [0, 1], ["a"], [0]),
        (np.zeros((2, 8)), [0], ["a\0b"], [0]),
    ],
)
def test_nothing_is_written_outside_the_array(read, out, rows, paths, offsets):
    with pytest.raises(InputError):
        read(out, rows, paths, offsets)
