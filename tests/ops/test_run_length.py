"""Rows of labels and packing by runs, on every backend, against plain loops and other programs' decoders."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from gpukit.errors import InputError
from gpukit.ops.label_rows import label_rows
from gpukit.ops.run_length import run_length

#: Rows shorter and longer than one code can stand for, and than the 32 bytes that are compared at once.
SHAPES = [(1, 1, 1), (3, 5, 7), (2, 4, 33), (2, 3, 129), (2, 3, 300)]


def label_maps(rng: np.random.Generator, shape: tuple[int, int, int], dtype: str) -> list[np.ndarray]:
    """Nothing, noise, runs, blocks, one label everywhere, and what packs worst: single values between pairs."""
    top = np.iinfo(dtype).max
    values = np.array([0, 1, 2, 255, top], dtype)
    noise = rng.choice(values, shape)
    runs = np.sort(noise, axis=2)
    blocks = np.zeros(shape, dtype)
    blocks[:, shape[1] // 3 :, shape[2] // 3 : -1] = top
    pairs = np.resize(np.array([1, 2, 2, 0, 255, 255], dtype), shape)
    return [np.zeros(shape, dtype), noise, runs, blocks, np.full(shape, top, dtype), pairs]


def rows_by_loops(array: np.ndarray, labels: list[int]) -> np.ndarray:
    wanted = np.zeros((len(array), len(labels) + 1, 2), int)
    for k, plane in enumerate(array):
        for n, there in enumerate([*(plane == v for v in labels), (plane != 0) & ~np.isin(plane, labels)]):
            rows = np.flatnonzero(there.any(axis=1))
            if rows.size:
                wanted[k, n] = rows[0], rows[-1] + 1
    return wanted


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_rows_are_those_of_plain_loops(lib, rng, shape, dtype):
    for array in label_maps(rng, shape, dtype):
        for labels in ([1], [2, 255], [1, 2, 255, 300]):
            found = lib(label_rows, array, labels)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, rows_by_loops(array, labels))


def unpacked(segment: bytes, count: int) -> tuple[list[int], list[int]]:
    """PS3.5 G.3.2 as it stands there: the bytes, and where each code began."""
    out, codes, at = [], [], 0
    while len(out) < count:
        code = segment[at]
        codes.append(len(out))
        if code < 128:
            out += segment[at + 1 : at + 2 + code]
            at += code + 2
        else:
            assert code > 128
            out += [segment[at + 1]] * (257 - code)
            at += 2
    assert len(segment) - at == at % 2  # nothing is left but what makes it even
    return out, codes


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_packed_unpacks_and_no_code_crosses_a_row(lib, rng, shape, dtype):
    _, height, columns = shape
    for array in label_maps(rng, shape, dtype):
        packed, starts, rows = lib(run_length, array, [1, 2, 300])
        np.testing.assert_array_equal(rows, rows_by_loops(array, [1, 2, 300]))
        assert packed.dtype == np.uint8 and starts[0] == 0 and starts[-1] == packed.size and not (starts % 2).any()
        parts = array.astype(f">u{array.itemsize}").view(np.uint8).reshape(*shape, array.itemsize)
        segments = [packed[a:b].tobytes() for a, b in pairwise(starts)]
        for n, segment in enumerate(segments):
            values, codes = unpacked(segment, height * columns)
            assert values == parts[n // array.itemsize, ..., n % array.itemsize].ravel().tolist()
            assert set(range(0, height * columns, columns)) <= set(codes)


def test_every_backend_packs_to_the_same_bytes(lib, rng):
    array = np.concatenate(label_maps(rng, (2, 3, 300), "uint8"))
    for one in (array, array[..., ::-1], array.astype("uint16") * 257):
        found, wanted = lib(run_length, one), run_length.reference(np.ascontiguousarray(one))
        np.testing.assert_array_equal(found[0], wanted[0])
        np.testing.assert_array_equal(found[1], wanted[1])


def test_packed_is_never_larger_than_a_code_for_each_128_bytes(rng):
    noise = np.resize(rng.permutation(256).astype("u1"), (1, 50, 300))  # no two neighbours alike
    assert run_length(noise)[0].size <= 50 * (300 + 3) + 1


def test_what_is_no_label_map_is_refused(lib):
    with pytest.raises(InputError, match="three axes"):
        lib(label_rows, np.zeros((2, 3), "uint8"), [1])
    with pytest.raises(InputError, match="ascend"):
        lib(label_rows, np.zeros((1, 2, 3), "uint8"), [2, 1])
    with pytest.raises(InputError, match="uint8 or uint16"):
        lib(run_length, np.zeros((1, 2, 3), "int16"))
