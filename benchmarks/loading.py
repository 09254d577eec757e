"""Series loading, side by side in one process run: gpukit, SimpleITK, dicomsdl, pydicom, dcm2niix; and header scans.

Usage: ``python benchmarks/loading.py [--files 300] [--repeat 7] [--folder SERIES] [--quiet SECONDS]``

Each round runs every contestant once, so that a busy machine slows all alike; medians over the rounds are printed, with
the ratio to gpukit, of time on the clock and of processor time (all threads and child processes; it does not suffer
from other load). With ``--quiet`` a run during which some task of the machine had to wait for a processor (Linux tells:
pressure stall information) is repeated, for so many seconds at most. The files are read once before, so the page cache
is warm for all. Contestants must deliver the whole series as one array in host memory, slices in order, values
rescaled; ``dcm2niix`` writes a NIfTI file instead and is a process of its own.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np


def make_series(folder: Path, files: int) -> None:
    """Write `files` uncompressed CT slices of 512 x 512 int16 with a header of usual length."""
    import pydicom
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    rng = np.random.default_rng(2)
    base = rng.integers(-1024, 1500, (512, 512)).astype(np.int16)
    study, series, frame = (generate_uid(entropy_srcs=[name]) for name in ("study", "series", "frame"))
    for number in range(files):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[str(number)])
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data = FileDataset("", Dataset(), file_meta=meta, preamble=bytes(128))
        data.SpecificCharacterSet = "ISO_IR 100"
        data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyDate = data.SeriesDate = data.AcquisitionDate = data.ContentDate = "20240102"
        data.StudyTime = data.SeriesTime = "101112"
        data.AcquisitionTime = data.ContentTime = f"1011{number % 60:02d}.{number:06d}"
        data.AccessionNumber, data.Modality, data.Manufacturer = "1", "CT", "gpukit benchmark"
        data.ReferringPhysicianName = data.PatientName = "Bench^Mark"
        data.StudyDescription, data.SeriesDescription = "Benchmark", "Thin slices"
        for sequence in ("ReferencedStudySequence", "ReferencedImageSequence"):
            item = Dataset()
            item.ReferencedSOPClassUID = CTImageStorage
            item.ReferencedSOPInstanceUID = generate_uid(entropy_srcs=[sequence, str(number)])
            setattr(data, sequence, [item])
        data.PatientID, data.PatientBirthDate, data.PatientSex, data.PatientAge = "1", "19700101", "O", "054Y"
        data.BodyPartExamined, data.ScanOptions, data.SliceThickness, data.KVP = "CHEST", "HELICAL", "1.25", "120"
        data.DataCollectionDiameter, data.ReconstructionDiameter = "500", "360"
        data.DistanceSourceToDetector, data.DistanceSourceToPatient = "949.147", "541"
        data.GantryDetectorTilt, data.TableHeight, data.RotationDirection = "0", "150", "CW"
        data.ExposureTime, data.XRayTubeCurrent, data.Exposure = 500, 200 + number % 50, 100
        data.FilterType, data.GeneratorPower, data.FocalSpots = "BODY", 24000, "1.2"
        data.ConvolutionKernel, data.PatientPosition = "STANDARD", "HFS"
        data.StudyInstanceUID, data.SeriesInstanceUID, data.FrameOfReferenceUID = study, series, frame
        data.StudyID, data.SeriesNumber, data.AcquisitionNumber, data.InstanceNumber = "1", 2, 1, number + 1
        data.ImagePositionPatient = [-180, -180, round(-300 + 1.25 * number, 3)]
        data.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        data.SliceLocation = round(-300 + 1.25 * number, 3)
        data.SamplesPerPixel, data.PhotometricInterpretation, data.Rows, data.Columns = 1, "MONOCHROME2", 512, 512
        data.PixelSpacing, data.BitsAllocated, data.BitsStored, data.HighBit = [0.703125, 0.703125], 16, 16, 15
        data.PixelRepresentation, data.RescaleIntercept, data.RescaleSlope = 1, "0", "1"
        data.WindowCenter, data.WindowWidth, data.RescaleType = "40", "400", "HU"
        data.PixelData = np.roll(base, number, axis=0).tobytes()
        pydicom.dcmwrite(folder / f"{number:05d}.dcm", data, enforce_file_format=True)


def with_gpukit(folder: Path) -> np.ndarray:
    """`gpukit.open`, as users call it: a volume with its geometry, unit and sources."""
    import gpukit

    voxels: np.ndarray = gpukit.open(folder, device="cpu").array
    return voxels


def with_new_memory(folder: Path) -> np.ndarray:
    """`gpukit.open` where no earlier series left its memory behind: what a program's first series costs."""
    from gpukit import buffers

    buffers.forget()
    return with_gpukit(folder)


def with_simpleitk(folder: Path) -> object:
    """ImageSeriesReader with GDCM, as its documentation shows; the image is left as it is, not copied to NumPy."""
    import SimpleITK as sitk  # noqa: N813 - its own documentation's name

    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(folder)))
    return reader.Execute()


def with_pydicom(folder: Path) -> np.ndarray:
    """dcmread, sorted by position, stacked."""
    import pydicom

    data = [pydicom.dcmread(path) for path in folder.iterdir()]
    data.sort(key=lambda d: d.ImagePositionPatient[2])
    return np.stack([d.pixel_array for d in data])


def with_dicomsdl(folder: Path) -> np.ndarray:
    """open_file, sorted by position, stacked."""
    import dicomsdl

    data = [dicomsdl.open_file(str(path)) for path in folder.iterdir()]
    data.sort(key=lambda d: d.ImagePositionPatient[2])
    return np.stack([d.pixelData() for d in data])


def with_dcm2niix(folder: Path) -> None:
    """The command, uncompressed NIfTI into a temporary folder."""
    beside = Path(sys.executable).with_name("dcm2niix")
    command = str(beside) if beside.exists() else shutil.which("dcm2niix")
    if command is None:
        raise ImportError("dcm2niix is not installed")
    with tempfile.TemporaryDirectory() as target:
        subprocess.run([command, "-z", "n", "-b", "n", "-o", target, str(folder)], check=True, capture_output=True)


def read_bytes(folder: Path) -> list[bytes]:
    """Every file's bytes, kept: the floor for whoever ends with the data in memory."""
    return [path.read_bytes() for path in folder.iterdir()]


def read_into_array(folder: Path) -> np.ndarray:
    """Every file's bytes into one new array, in one thread."""
    paths = list(folder.iterdir())
    out = np.empty((len(paths), paths[0].stat().st_size + 4096), np.uint8)
    for row, path in zip(out, paths, strict=True):
        with path.open("rb", buffering=0) as stream:
            stream.readinto(row.data)
    return out


def scan_gpukit(folder: Path) -> int:
    """All attributes that gpukit keeps."""
    from gpukit.dicom.reader.discovery import discover
    from gpukit.dicom.reader.headers import scan

    return len(scan(discover(folder)).headers)


def scan_pydicom(folder: Path) -> int:
    """Read up to the pixels, the handful of values needed to sort looked at."""
    import pydicom

    count = 0
    for path in folder.iterdir():
        data = pydicom.dcmread(path, stop_before_pixels=True)
        count += bool(data.SeriesInstanceUID and data.ImagePositionPatient and data.ImageOrientationPatient)
    return count


LOADERS: dict[str, Callable[[Path], object]] = {
    "gpukit.open": with_gpukit,
    "gpukit.open, into new memory": with_new_memory,
    "read the bytes (kept)": read_bytes,
    "read the bytes into one array": read_into_array,
    "SimpleITK (GDCM)": with_simpleitk,
    "dicomsdl": with_dicomsdl,
    "pydicom": with_pydicom,
    "dcm2niix (process)": with_dcm2niix,
}
SCANNERS: dict[str, Callable[[Path], object]] = {"gpukit": scan_gpukit, "pydicom": scan_pydicom}


def waited() -> float | None:
    """Seconds since the start of the machine in which some task waited for a processor; None where it is not told."""
    try:
        return int(Path("/proc/pressure/cpu").read_text().split("total=", 1)[1].split()[0]) / 1e6
    except (OSError, IndexError, ValueError):
        return None


def processor_seconds() -> float:
    """Processor time of this process, its threads and its children so far."""
    try:
        import resource  # finer than os.times
    except ImportError:
        return sum(os.times()[:4])
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def timed(run: Callable[[], object]) -> tuple[float, float, bool]:
    """Seconds on the clock, seconds of processors, and whether the machine was quiet meanwhile."""
    stalled, began, spent = waited(), time.perf_counter(), processor_seconds()
    result = run()
    clock, processor = time.perf_counter() - began, processor_seconds() - spent
    ended = waited()
    del result
    return clock, processor, stalled is None or ended is None or ended - stalled < 0.02 * clock


def compare(
    title: str, contestants: dict[str, Callable[[Path], object]], folder: Path, repeat: int, quiet: float = 0.0
) -> dict[str, tuple[float, float]]:
    """Run all in turn `repeat` times; print medians and ratios to the first. A contestant not installed is left out."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
    until = time.monotonic() + quiet
    noisy = 0
    for turn in range(repeat + 1):  # the first round warms caches and imports and is not counted
        for name, run in contestants.items():
            if name not in times:
                continue
            call = partial(run, folder)
            try:
                clock, processor, calm = timed(call)
                while turn and not calm and time.monotonic() < until:
                    clock, processor, calm = timed(call)
            except ImportError as error:
                print(f"  {name}: left out ({error})")
                del times[name]
                continue
            noisy += bool(turn) and not calm
            times[name].append((clock, processor))
    medians = {
        name: (statistics.median(t[0] for t in values[1:]), statistics.median(t[1] for t in values[1:]))
        for name, values in times.items()
    }
    clock, processor = next(iter(medians.values()))
    if quiet:
        print(f"{noisy} of {repeat * len(times)} runs were disturbed by other load")
    print(f"{title:34s} {'clock':>12s} {'ratio':>10s} {'processor':>12s} {'ratio':>10s}")
    for name, (wall, used) in medians.items():
        ratios = f"{wall / clock:8.2f} x", f"{used / max(processor, 1e-9):8.2f} x"
        print(f"  {name:32s} {wall * 1e3:9.1f} ms {ratios[0]} {used * 1e3:9.1f} ms {ratios[1]}")
    return medians


def main() -> None:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=300, help="slices of the synthetic series")
    parser.add_argument("--repeat", type=int, default=7, help="rounds")
    parser.add_argument("--folder", type=Path, help="a folder with one series to load instead")
    parser.add_argument(
        "--quiet", type=float, default=0.0, metavar="SECONDS", help="repeat disturbed runs for so long at most"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder or Path(made)
        if arguments.folder is None:
            make_series(folder, arguments.files)
        import SimpleITK as sitk  # noqa: N813

        ours, theirs = with_gpukit(folder), with_simpleitk(folder)
        if not np.array_equal(ours, sitk.GetArrayViewFromImage(theirs)):
            raise SystemExit("gpukit and SimpleITK disagree on the voxels: the figures would mean nothing")
        print(f"{len(ours)} files, {os.cpu_count()} processors; gpukit's voxels equal SimpleITK's")
        del ours, theirs
        compare("loading", LOADERS, folder, arguments.repeat, arguments.quiet)
        compare("headers only", SCANNERS, folder, arguments.repeat, arguments.quiet)


if __name__ == "__main__":
    main()
