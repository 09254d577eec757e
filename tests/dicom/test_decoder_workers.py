"""Codecs in processes of their own: one that aborts, hangs or answers nonsense costs the frame, not the program."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import numpy as np
import pytest

from gpukit.dicom.pixels import codestream as cs
from gpukit.dicom.pixels.decoders import decode_frame, decoders, decoders_for
from gpukit.dicom.pixels.image_pixel import FrameDescription
from gpukit.errors import DecodeError
from gpukit_backends.decoders import worker_process
from gpukit_backends.decoders.worker_process import WorkerPool

imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs, which encodes the frames, is not installed")
pytest.importorskip("gdcm", reason="python-gdcm is not installed")

IMAGE = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)
FRAME = FrameDescription(64, 64, 1, 16, 12, 11, False, "MONOCHROME2", False, 1, False, cs.JPEG_EXTENDED)


def twelve_bits() -> bytes:
    return bytes(imagecodecs.jpeg8_encode(IMAGE, level=95, bitspersample=12))


def gdcm_decoder():
    return next(decoder for decoder in decoders() if decoder.name == "gdcm")


def test_damaged_12_bit_jpeg_costs_the_frame_and_not_the_process() -> None:
    """Among random changes of a frame are some at which GDCM calls abort(); the next sound frame is right again."""
    good, chance, aborted = twelve_bits(), random.Random(1), 0
    for _ in range(400):
        damaged = bytearray(good)
        for _ in range(3):
            damaged[chance.randrange(2, len(damaged))] = chance.randrange(256)
        try:
            decode_frame(bytes(damaged), FRAME, only=gdcm_decoder())
        except DecodeError as error:
            aborted += "ended its process" in str(error)
    assert aborted, "none of these frames aborts GDCM, so that this test shows nothing"
    # one level for another rounding of the inverse cosine transform
    assert np.abs(decode_frame(good, FRAME, only=gdcm_decoder()).astype(int) - IMAGE).max() <= 1


def test_gdcm_is_asked_after_every_decoder_that_cannot_abort() -> None:
    for syntax in gdcm_decoder().syntaxes:
        names = [decoder.name for decoder in decoders_for(syntax)]
        assert names[-1] == "gdcm", syntax
        assert len(names) > 1, syntax


def test_threads_have_workers_of_their_own() -> None:
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(decode_frame(twelve_bits(), FRAME, only=gdcm_decoder())))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(np.array_equal(result, results[0]) for result in results)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import time; time.sleep(600)", "took too long"),
        ("import os; os.abort()", "ended its process"),
        ("import sys; sys.stdin.buffer.readline(); print('no JSON', flush=True)", "ended its process"),
        ("import sys; sys.stdin.buffer.readline(); print('{\"length\": 99}', flush=True)", "ended its process"),
    ],
)
def test_a_worker_that_does_not_answer_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str, reason: str
) -> None:
    monkeypatch.setattr(worker_process, "_PATIENCE", 1.0)
    (tmp_path / "worker.py").write_text(program)
    pool = WorkerPool(str(tmp_path / "worker.py"))
    for _ in range(2):  # the second frame gets a new worker
        with pytest.raises(ValueError, match=reason):
            pool.ask({}, b"x" * 100_000, 10)
    pool.close()
