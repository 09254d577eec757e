"""Many pictures through a classifier: file by file, in batches over files, and with the next files read in a thread.

``python benchmarks/pictures.py [--pictures 48] [--size 768] [--repeat 5] [--threads 1]``. The same JPEG 2000 pictures
of two sizes and the same network, three ways:

- ``each``: every file is opened and classified for itself, the network staying loaded;
- ``batched``: `gpukit.io.open.open_each` into `gpukit.ai.tasks.classify.classify_each`;
- ``ahead``: the same through `gpukit.prefetch.Ahead`, as ``gpukit ai classify`` does it.

Rounds take turns; medians. The probabilities of all ways must agree to 1e-5. ``--threads`` are those of the network.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

WAYS = ("each", "batched", "ahead")


def make_pictures(folder: Path, count: int, size: int) -> None:
    """Secondary captures of 12 bits, JPEG 2000 lossless, two sizes in turn."""
    import imagecodecs
    import pydicom
    from pydicom.encaps import encapsulate
    from pydicom.uid import JPEG2000Lossless, SecondaryCaptureImageStorage, generate_uid

    rng = np.random.default_rng(0)
    for n in range(count):
        rows, columns = (size, size) if n % 2 else (size, size * 5 // 6)
        j, i = np.mgrid[:rows, :columns]
        values = 2000 + 1500 * np.sin(j / (20 + n)) * np.cos(i / 31) + rng.normal(0, 12, (rows, columns))
        image = pydicom.Dataset()
        image.file_meta = pydicom.dataset.FileMetaDataset()
        image.file_meta.TransferSyntaxUID = JPEG2000Lossless
        image.SOPClassUID, image.SOPInstanceUID = SecondaryCaptureImageStorage, generate_uid()
        image.StudyInstanceUID, image.SeriesInstanceUID = generate_uid(), generate_uid()
        image.Modality, image.InstanceNumber = "OT", 1
        image.SamplesPerPixel, image.PhotometricInterpretation, image.PixelRepresentation = 1, "MONOCHROME2", 0
        image.Rows, image.Columns = rows, columns
        image.BitsAllocated, image.BitsStored, image.HighBit = 16, 12, 11
        stored = values.clip(0, 4095).astype(np.uint16)
        data = imagecodecs.jpeg2k_encode(stored, codecformat="j2k", reversible=True, bitspersample=12)
        image.PixelData = encapsulate([bytes(data)])
        image["PixelData"].is_undefined_length = True
        image.save_as(folder / f"{n:04d}.dcm", enforce_file_format=True)


def make_model(folder: Path) -> Path:
    """A convolutional network of some depth on pictures of 224 x 224."""
    import torch

    torch.manual_seed(0)
    layers: list[Any] = []
    for a, b in ((1, 24), (24, 48), (48, 96), (96, 96)):
        layers += [torch.nn.Conv2d(a, b, 3, stride=2, padding=1), torch.nn.ReLU(), torch.nn.Conv2d(b, b, 3, padding=1)]
    network = torch.nn.Sequential(*layers, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(96, 4))
    torch.jit.script(network.eval()).save(str(folder / "net.ts"))
    content = {
        "schema_version": 1, "name": "net", "version": "1", "task": "classify", "format": "torchscript",
        "weights": "net.ts",
        "input": {"dimensions": 2, "channels": 1, "values": "window", "size": [224, 224], "fit": "pad"},
        "output": {"activation": "softmax", "classes": ["a", "b", "c", "d"]},
    }  # fmt: skip
    (folder / "net.json").write_text(json.dumps(content))
    return folder / "net.json"


def ways(folder: Path, model: Any) -> dict[str, Callable[[], list[Any]]]:
    """The three ways, each giving the results of all pictures in the order of their names."""
    import gpukit as gk
    from gpukit.ai.runtimes import keep_networks
    from gpukit.ai.tasks.classify import classify, classify_each
    from gpukit.io.open import open_each
    from gpukit.prefetch import Ahead

    def each() -> list[Any]:
        with keep_networks():
            return [one for file in sorted(folder.iterdir()) for one in classify(gk.open(file, device="cpu"), model)]

    def batched() -> list[Any]:
        volumes = (one.volume for one in open_each(folder, device="cpu") if one.volume is not None)
        return [one for found in classify_each(volumes, model) for one in found]

    def ahead() -> list[Any]:
        with Ahead(open_each(folder, device="cpu")) as opened:
            volumes = (one.volume for one in opened if one.volume is not None)
            return [one for found in classify_each(volumes, model) for one in found]

    return {"each": each, "batched": batched, "ahead": ahead}


def numbers(results: list[Any]) -> np.ndarray[Any, Any]:
    """Probabilities, one row a picture, by the pictures' names."""
    rows = sorted((Path(r.source.path).name, sorted((p.name, p.probability) for p in r.predictions)) for r in results)
    return np.array([[p for _, p in row] for _, row in rows])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    import torch

    from gpukit.ai import find_model

    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        make_pictures(folder, options.pictures, options.size)
        run = ways(folder, find_model(make_model(Path(name))))
        truth = numbers(run["each"]())
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(options.repeat):
            for way in WAYS:
                begun = time.perf_counter()
                found = numbers(run[way]())
                seconds[way].append(time.perf_counter() - begun)
                assert np.abs(found - truth).max() < 1e-5, way
    base = statistics.median(seconds["each"])
    print(
        f"{options.pictures} pictures of {options.size} x {options.size}, {options.threads} thread(s) for the network"
    )
    for way in WAYS:
        middle = statistics.median(seconds[way])
        print(f"{way:8} {middle:6.2f} s  {base / middle:4.2f} x")


if __name__ == "__main__":
    main()
