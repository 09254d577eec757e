"""Writing a DICOM SEG of many segments, beside highdicom and dcmqi, from the same label map.

    python benchmarks/seg.py             # 104 segments on 300 x 512 x 512
    python benchmarks/seg.py --quick     # small, to see that it runs

Label map objects in RLE are written with gpukit and highdicom too. The label map is ellipsoids of the sizes of organs.
Each writer runs in turn; times are medians of wall and CPU time. highdicom is called as its guide says, with the label
map and the headers of the source files, which were read before the clock starts; so was gpukit's series. The pixel data
must be the same, bit by bit, and are compared. dcmqi (a program) is given one NRRD label map, as its users give it.

highdicom lets pydicom encode RLE, by a compiled package where one is installed (pylibjpeg-rle, python-gdcm). A plain
``pip install highdicom`` brings none, and pydicom's own encoder, in Python, is used: `highdicom-rle-plain`, run once.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


def phantom(shape: tuple[int, int, int], segments: int) -> np.ndarray:
    """Label map of ellipsoids, from small ones to a fifth of the body."""
    rng = np.random.default_rng(0)
    labels = np.zeros(shape, np.uint8)
    size = np.array(shape)
    for value in range(1, segments + 1):
        centre, radius = size * rng.uniform(0.15, 0.85, 3), size * rng.uniform(0.02, 0.12, 3)
        low = np.maximum(0, np.floor(centre - radius)).astype(int)
        high = np.minimum(size, np.ceil(centre + radius) + 1).astype(int)
        axes = np.ogrid[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        inside = sum(((x - c) / r) ** 2 for x, c, r in zip(axes, centre, radius, strict=True)) <= 1
        labels[tuple(slice(a, b) for a, b in zip(low, high, strict=True))][inside] = value
    return labels


def source(folder: Path, shape: tuple[int, int, int]) -> Any:
    """A series that pydicom wrote, opened; and no pixels that matter."""
    import gpukit
    from gpukit.dicom.derived.mr_series import write_mr_series
    from gpukit.geometry import Grid
    from gpukit.volume import Volume

    grid = Grid.from_axes(shape, spacing=(0.8, 0.8, 1.5), origin=(-200, -180, 40))
    facts = {"patient_name": "A^B", "patient_id": "1", "description": "d", "body_part": "ABDOMEN"}
    write_mr_series(Volume(array=np.zeros(shape, np.uint16), grid=grid), folder, **facts)
    return gpukit.open(folder, device="cpu")


RLE = {"transfer_syntax_uid": "1.2.840.10008.1.2.5"}


def by_highdicom(segmentation: Any, headers: list[Any], kind: str, **options: Any) -> Any:
    """The object as a user of highdicom makes it."""
    import highdicom
    from pydicom.sr.codedict import codes
    from pydicom.sr.coding import Code
    from pydicom.uid import generate_uid

    made_by = highdicom.AlgorithmIdentificationSequence(
        name="benchmark", version="1", family=codes.cid7162.ArtificialIntelligence
    )
    return highdicom.seg.Segmentation(
        source_images=headers,
        pixel_array=segmentation.array,
        segmentation_type=kind,
        segment_descriptions=[
            highdicom.seg.SegmentDescription(
                segment_number=label.value,
                segment_label=label.name,
                segmented_property_category=Code(*label.category),
                segmented_property_type=Code(*label.type),
                algorithm_type="AUTOMATIC",
                algorithm_identification=made_by,
                display_color=highdicom.color.CIELabColor(50, 20, 20),
            )
            for label in segmentation.labels
        ],
        series_instance_uid=generate_uid(),
        series_number=9,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="A",
        manufacturer_model_name="A",
        software_versions="1",
        device_serial_number="1",
        **options,
    )


@contextmanager
def only_plain_encoders() -> Iterator[None]:
    """Leaves pydicom its own RLE encoder alone, as where no codec package is installed."""
    from pydicom.pixels import encoders

    encoder = encoders.RLELosslessEncoder
    kept = encoder._available
    encoder._available = {name: found for name, found in kept.items() if name == "pydicom"}
    try:
        yield
    finally:
        encoder._available = kept


def timed(function: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds, of this process and its children."""

    def busy() -> float:
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return sum(u.ru_utime + u.ru_stime for u in used)

    begin, before = time.perf_counter(), busy()
    function()
    return time.perf_counter() - begin, busy() - before


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    shape, segments = ((20, 64, 64), 12) if given.quick else ((300, 512, 512), 104)

    import nrrd
    import pydicom

    from gpukit.dicom.segmentation.seg_write import write_seg
    from gpukit.segmentation import Label, Segmentation

    code, kind = ("123037004", "SCT", "Anatomical Structure"), ("10200004", "SCT", "Liver")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        volume = source(folder / "series", shape)
        labels = tuple(Label(v, f"organ {v}", code, kind, (200, 90, 60)) for v in range(1, segments + 1))
        segmentation = Segmentation(
            array=phantom(shape, segments), grid=volume.grid, labels=labels, sources=volume.sources
        )
        nrrd.write(
            str(folder / "labels.nrrd"),
            np.ascontiguousarray(segmentation.array.transpose(2, 1, 0)),
            {
                "space": "left-posterior-superior",
                "space directions": volume.grid.affine[:3, :3].T.tolist(),
                "space origin": volume.grid.affine[:3, 3].tolist(),
            },
        )
        coded = [
            dict(zip(("CodeValue", "CodingSchemeDesignator", "CodeMeaning"), c, strict=True)) for c in (code, kind)
        ]
        attributes = [
            {
                "labelID": label.value,
                "SegmentDescription": label.name,
                "SegmentLabel": label.name,
                "SegmentAlgorithmType": "AUTOMATIC",
                "SegmentAlgorithmName": "benchmark",
                "SegmentedPropertyCategoryCodeSequence": coded[0],
                "SegmentedPropertyTypeCodeSequence": coded[1],
                "recommendedDisplayRGBValue": [200, 90, 60],
            }
            for label in labels
        ]
        facts = {"ContentCreatorName": "A", "SeriesDescription": "d", "SeriesNumber": "9", "InstanceNumber": "1"}
        (folder / "meta.json").write_text(json.dumps({**facts, "segmentAttributes": [attributes]}))
        program = Path(sysconfig.get_path("scripts")) / "itkimage2segimage"
        command = [
            str(program), "--inputImageList", str(folder / "labels.nrrd"), "--inputDICOMDirectory",
            str(folder / "series"), "--outputDICOM", str(folder / "dcmqi.dcm"), "--inputMetadata",
            str(folder / "meta.json"), "--skip",
        ]  # fmt: skip
        headers = [pydicom.dcmread(one.path, stop_before_pixels=True) for one in volume.sources]

        def highdicom_writes(name: str, kind: str, **options: Any) -> None:
            by_highdicom(segmentation, headers, kind, **options).save_as(folder / name, enforce_file_format=True)

        ways: dict[str, Callable[[], object]] = {
            "highdicom": lambda: highdicom_writes("highdicom.dcm", "BINARY"),
            "gpukit": lambda: write_seg(segmentation, folder / "gpukit.dcm"),
            "highdicom-rle": lambda: highdicom_writes("highdicom-rle.dcm", "LABELMAP", **RLE),
            "gpukit-rle": lambda: write_seg(segmentation, folder / "gpukit-rle.dcm", kind="labelmap"),
        }
        if program.exists():
            ways["dcmqi"] = lambda: subprocess.run(command, check=True, capture_output=True)
        spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(given.runs):
            for way, function in ways.items():
                spent[way].append(timed(function))
        with only_plain_encoders():
            ways["highdicom-rle-plain"] = lambda: highdicom_writes("highdicom-rle-plain.dcm", "LABELMAP", **RLE)
            spent["highdicom-rle-plain"] = [timed(ways["highdicom-rle-plain"])]
        ours, theirs = (pydicom.dcmread(folder / f"{way}.dcm") for way in ("gpukit", "highdicom"))
        count = int(ours.NumberOfFrames)
        size = (int(ours.NumberOfFrames) * ours.Rows * ours.Columns + 7) // 8
        same = ours.NumberOfFrames == theirs.NumberOfFrames and ours.PixelData[:size] == theirs.PixelData[:size]
        ours, theirs = (pydicom.dcmread(folder / f"{way}-rle.dcm") for way in ("gpukit", "highdicom"))
        same = same and bool((ours.pixel_array == theirs.pixel_array).all())
        sizes = {way: (folder / f"{way}.dcm").stat().st_size for way in ways}
        wall, cpu = ({w: statistics.median(r[n] for r in runs) for w, runs in spent.items()} for n in (0, 1))
        if given.json:
            results = {"seconds": wall, "cpu_seconds": cpu, "bytes": sizes, "frames": count, "pixels_same": same}
            print(json.dumps({"schema_version": 1, "results": results}, indent=2))
            return
        print(f"{segments} segments on {shape}, {count} frames, {os.cpu_count()} cores")
        for way in ways:
            mine = "gpukit-rle" if "-rle" in way else "gpukit"
            print(
                f"{way:19} {wall[way]:7.2f} s, CPU {cpu[way]:7.2f} s, {sizes[way] / 1e6:7.2f} MB   gpukit is "
                f"{wall[way] / wall[mine]:.1f}x as fast (CPU time {cpu[way] / cpu[mine]:.1f}x)"
            )
        print(f"label map in RLE: 1/{sizes['gpukit'] / sizes['gpukit-rle']:.0f} of binary")
        print(f"pixel data {'the same as' if same else 'DIFFERENT from'} highdicom's")
        sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()
