"""Classifying many pictures: read ahead, decoded together on the device, run in batches over files."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, SecondaryCaptureImageStorage
from support.classifiers import made, named

torch = pytest.importorskip("torch", reason="the networks of these tests need torch: pip install 'gpukit[ai]'")
imagecodecs = pytest.importorskip("imagecodecs", reason="imagecodecs is not installed")

import gpukit as gk
from gpukit.ai.model.description import Model
from gpukit.ai.tasks import classify_batches
from gpukit.ai.tasks.classify import Classification, classify, classify_each
from gpukit.dicom.pixels import decoders as decoding
from gpukit.dicom.series import read_each as reading
from gpukit.io.open import open_each
from gpukit.prefetch import Ahead
from gpukit_backends.decoders.dali import DaliDecoder

LONG = 60.0  # seconds; only ever waited for where the code is wrong


def write_picture(path: Path, n: int, *, codec: str = "j2k", size: tuple[int, int] = (48, 40)) -> Path:
    """A picture of its own, compressed."""
    rows, columns = size
    values = np.add.outer(np.arange(rows) * (n + 1), np.arange(columns) * 3) + np.random.default_rng(n).integers(0, 9)
    image = pydicom.Dataset()
    image.file_meta = pydicom.dataset.FileMetaDataset()
    image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, f"1.2.826.0.1.3680043.10.77.{n + 1}"
    image.StudyInstanceUID, image.SeriesInstanceUID = "1.2.826.0.1.3680043.10.77", f"1.2.826.0.1.3680043.10.78.{n + 1}"
    image.Modality, image.SeriesNumber, image.InstanceNumber = "OT", n + 1, 1
    image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
    image.Rows, image.Columns = size
    if codec == "jpeg":
        data = bytes(imagecodecs.jpeg8_encode((values % 251).astype(np.uint8), level=90))
        image.BitsAllocated = image.BitsStored = 8
        image.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    else:
        stored = (values * 7 % 4096).astype(np.uint16)
        data = bytes(imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, bitspersample=12))
        image.BitsAllocated, image.BitsStored = 16, 12
        image.file_meta.TransferSyntaxUID = JPEG2000Lossless
    image.HighBit = image.BitsStored - 1
    if codec == "damaged":
        data = data[: len(data) // 2]
    image.PixelData = encapsulate([data])
    image["PixelData"].is_undefined_length = True
    image.save_as(path, enforce_file_format=True)
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Seven files: JPEG 2000 and JPEG, of three sizes, the fourth cut off."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    codecs = ["j2k", "jpeg", "j2k", "damaged", "jpeg", "j2k", "j2k"]
    for n, codec in enumerate(codecs):
        write_picture(
            folder / f"{n}.dcm", n, codec=codec, size=[(48, 40), (48, 40), (64, 30), (48, 40), (30, 64)][n % 5]
        )
    return folder


def small(tmp_path: Path) -> Model:
    return made(tmp_path / "model", input={"size": [24, 24], "values": "window"})


def results_of(folder: Path, model: Model, device: str, **options: Any) -> tuple[list[Any], list[int]]:
    """Results of what could be read, and the numbers of what could not."""
    failed: list[int] = []

    def volumes() -> Iterator[gk.Volume]:
        for one in open_each(folder, device=device):
            if one.volume is None:
                failed.append(one.series.number)
            else:
                yield one.volume

    return [one for found in classify_each(volumes(), model, **options) for one in found], failed


def test_pictures_decoded_on_the_device_classify_the_same(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Identical numbers: JPEG 2000 is without loss, and for JPEG DALI's CPU codec is imagecodecs': libjpeg-turbo."""
    pytest.importorskip("nvidia.dali", reason="nvidia-dali-cuda130 is not installed: it is there for Linux on x86-64")
    model = small(tmp_path)
    wanted, failed = results_of(pictures, model, "cpu")
    assert len(wanted) == 6 and failed == [4]
    decoder = DaliDecoder("torch-cpu")
    batches: list[int] = []
    decode = decoder.decode_batch

    def counted(frames: Any, device: str) -> list[Any]:
        batches.append(len(frames))
        return decode(frames, device)

    monkeypatch.setattr(decoder, "decode_batch", counted)
    others = tuple(d for d in decoding.decoders() if d.name != "dali")
    monkeypatch.setattr(decoding, "decoders", lambda: (*others, decoder))
    with gk.count_transfers() as moved:
        found, failed = results_of(pictures, model, "torch-cpu")
    assert failed == [4]
    assert [named(one) for one in found] == [named(one) for one in wanted]
    assert [one.source.path for one in found] == [one.source.path for one in wanted]
    assert batches[0] == 6  # all that are whole, of three sizes and two codecs, at once
    assert [t.target for t in moved].count("torch-cpu") == 1  # one batch of compressed bytes


def test_batches_go_across_files_and_results_stay_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "same"
    folder.mkdir()
    for n in range(7):
        write_picture(folder / f"{n}.dcm", n)
    model = small(tmp_path)
    loads: list[str] = []
    sizes: list[int] = []
    load, ask = classify_batches.load, classify_batches.probabilities
    monkeypatch.setattr("gpukit.ai.tasks.classify.load", lambda *a: (loads.append("one"), load(*a))[1])
    monkeypatch.setattr(classify_batches, "probabilities", lambda x, *a: (sizes.append(len(x)), ask(x, *a))[1])
    scans: list[int] = []
    collect = reading.collect_source
    monkeypatch.setattr(reading, "collect_source", lambda *a, **k: (scans.append(1), collect(*a, **k))[1])
    told: list[tuple[int, int]] = []
    found, failed = results_of(folder, model, "cpu", batch=4, progress=lambda done, total: told.append((done, total)))
    assert sizes == [4, 3] and len(loads) == 1 and len(scans) == 1 and failed == []
    assert told[-1] == (7, 7)
    assert [Path(one.source.path).name for one in found] == [f"{n}.dcm" for n in range(7)]
    for n, one in enumerate(found):
        (alone,) = classify(gk.open(folder / f"{n}.dcm"), model)
        # float32 sums in another order
        np.testing.assert_allclose(named(one), named(alone), atol=1e-6)


def test_an_ensemble_over_many_files_is_the_mean(pictures: Path, tmp_path: Path) -> None:
    one = small(tmp_path)
    two = made(tmp_path / "model", name="other", input={"size": [20, 20], "values": "window"})
    both, _ = results_of(pictures, [one, two], "cpu", batch=3)  # type: ignore[arg-type]
    apart = [results_of(pictures, model, "cpu")[0] for model in (one, two)]
    for mean, a, b in zip(both, *apart, strict=True):
        np.testing.assert_allclose(named(mean), (np.array(named(a)) + named(b)) / 2, atol=1e-6)
        assert mean.source == a.source


def test_nothing_to_classify_is_nothing(tmp_path: Path) -> None:
    assert list(classify_each(iter(()), small(tmp_path))) == []


def test_pictures_are_read_while_the_network_runs(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spans, not seconds: the first run of the network ends only after the reading of a later file has begun."""
    spans: list[tuple[str, str, int]] = []
    reads = 0
    begun = threading.Semaphore(0)
    volume_of, ask = reading.volume_of, classify_batches.probabilities

    def read(*args: Any, **options: Any) -> Any:
        nonlocal reads
        number, reads = reads, reads + 1
        spans.append(("read", "begins", number))
        begun.release()
        try:
            return volume_of(*args, **options)
        finally:
            spans.append(("read", "ends", number))

    runs = 0

    def run(*args: Any) -> Any:
        nonlocal runs
        number, runs = runs, runs + 1
        spans.append(("run", "begins", number))
        if number == 0:
            for _ in range(2):  # of the file that is run, and of the next one
                assert begun.acquire(timeout=LONG), "no file was read while the network ran"
        found = ask(*args)
        spans.append(("run", "ends", number))
        return found

    monkeypatch.setattr(reading, "volume_of", read)
    monkeypatch.setattr(classify_batches, "probabilities", run)
    with Ahead(open_each(pictures, device="cpu")) as opened:
        volumes = (one.volume for one in opened if one.volume is not None)
        found = list(classify_each(volumes, small(tmp_path), batch=1))
    assert len(found) == 6
    first_end = spans.index(("run", "ends", 0))
    assert spans.index(("read", "begins", 1)) < first_end
    # every file is read before its own run, whatever the order of the rest
    assert spans.index(("read", "ends", 0)) < spans.index(("run", "begins", 0))


def test_a_damaged_file_is_a_row_and_the_others_are_done(
    pictures: Path, tmp_path: Path, run: Callable[..., subprocess.CompletedProcess[str]]
) -> None:
    model = small(tmp_path)
    done = run(
        "ai", "classify", pictures, "--model", model.file, "--json", "--profile", "--device", "cpu", "--batch-size", 4
    )
    assert done.returncode == 1, done.stderr
    content = json.loads(done.stdout)
    assert [Path(one["file"]).name for one in content["results"]] == [
        "0.dcm",
        "1.dcm",
        "2.dcm",
        "4.dcm",
        "5.dcm",
        "6.dcm",
    ]
    (failure,) = content["failures"]
    assert failure["file"].endswith("series 4") and "cut off" in failure["error"] and "3.dcm" in failure["error"]
    wanted, _ = results_of(pictures, model, "cpu", batch=4)
    for one, expected in zip(content["results"], wanted, strict=True):
        assert isinstance(expected, Classification)
        chances = {p["class"]: p["probability"] for p in one["predictions"]}
        assert chances == pytest.approx({p.name: p.probability for p in expected.predictions}, abs=1e-6)
    told = content["profile"]
    assert {"reading", "loading the network", "preprocessing", "inference"} <= set(told["seconds"])
    assert {"reading", "decoding"} <= set(told["seconds_beside"])
    assert sum(told["seconds"].values()) <= told["total_seconds"]
    assert "at the same time: decoding" in done.stderr
