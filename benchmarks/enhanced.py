"""Listing enhanced multi-frame files, side by side in one run: gpukit by its header walk, pydicom, and dcm2niix.

Usage: ``python benchmarks/enhanced.py [--files 11] [--frames 520] [--repeat 7]``

gpukit and pydicom run as commands of their own, as dcm2niix does, in turn within each round; medians over the rounds of
processor time and of time on the clock are printed. gpukit lists the series, which takes the place, scale and phase of
every frame. pydicom reads the headers and the position of each frame. dcm2niix converts: it can do no less, and its
time is the mark that listing should stay below.
"""

from __future__ import annotations

import argparse
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

_BY_PYDICOM = (
    "import sys, pathlib, pydicom\n"
    "for path in pathlib.Path(sys.argv[1]).iterdir():\n"
    "    dataset = pydicom.dcmread(path, stop_before_pixels=True)\n"
    "    for item in dataset.PerFrameFunctionalGroupsSequence:\n"
    "        item.PlanePositionSequence[0].ImagePositionPatient\n"
)


def make_files(folder: Path, files: int, frames: int) -> None:
    """Write enhanced MR files of so many frames of 128 x 128, with the functional groups that scanners write."""
    from pydicom import Dataset
    from pydicom.dataset import FileMetaDataset
    from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, generate_uid

    def item(**values: object) -> Dataset:
        dataset = Dataset()
        for keyword, value in values.items():
            setattr(dataset, keyword, value)
        return dataset

    slices = 52 if frames % 52 == 0 else frames  # of a volume
    pixels = np.random.default_rng(3).integers(0, 1000, (frames, 128, 128)).astype("<u2").tobytes()
    for number in range(files):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["e", str(number)])
        data.Modality, data.Manufacturer, data.PatientName, data.PatientID = "MR", "gpukit benchmark", "Bench^Mark", "1"
        data.ImageType = ["ORIGINAL", "PRIMARY", "M", "NONE"]
        data.StudyInstanceUID = generate_uid(entropy_srcs=["study"])
        data.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
        data.FrameOfReferenceUID = generate_uid(entropy_srcs=["frame"])
        data.SeriesNumber, data.InstanceNumber, data.NumberOfFrames = number + 1, 1, frames
        data.Rows = data.Columns = 128
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 0
        data.SharedFunctionalGroupsSequence = [
            item(
                PixelMeasuresSequence=[item(PixelSpacing=["3", "3"], SliceThickness="3", SpacingBetweenSlices="3")],
                PlaneOrientationSequence=[item(ImageOrientationPatient=["1", "0", "0", "0", "1", "0"])],
                MRTimingAndRelatedParametersSequence=[item(RepetitionTime="2000", FlipAngle="80")],
            )
        ]
        groups = []
        for n in range(frames):
            k, t = n % slices, n // slices
            moment = f"20240102{10 + t // 60:02d}{t % 60:02d}{k % 60:02d}.{n % 1000:06d}"
            groups.append(
                item(
                    FrameContentSequence=[
                        item(
                            FrameAcquisitionNumber=t + 1, FrameAcquisitionDateTime=moment, StackID="1",
                            FrameReferenceDateTime=moment, FrameAcquisitionDuration=2000.0, TemporalPositionIndex=t + 1,
                            InStackPositionNumber=k + 1, DimensionIndexValues=[1, k + 1, t + 1],
                        )
                    ],
                    PlanePositionSequence=[item(ImagePositionPatient=["-96.5", "-96.5", f"{3 * k - 78.25:g}"])],
                    PixelValueTransformationSequence=[
                        item(RescaleIntercept="0", RescaleSlope="1", RescaleType="US")
                    ],
                    FrameVOILUTSequence=[item(WindowCenter=f"{400 + n}", WindowWidth=f"{800 + n}")],
                    MRImageFrameTypeSequence=[
                        item(
                            FrameType=["ORIGINAL", "PRIMARY", "M", "NONE"], PixelPresentation="MONOCHROME",
                            VolumetricProperties="VOLUME", VolumeBasedCalculationTechnique="NONE",
                            ComplexImageComponent="MAGNITUDE", AcquisitionContrast="T2_STAR",
                        )
                    ],
                    MREchoSequence=[item(EffectiveEchoTime=30.0)],
                    MRAveragesSequence=[item(NumberOfAverages="1")],
                    FrameAnatomySequence=[item(FrameLaterality="U")],
                )
            )  # fmt: skip
        data.PerFrameFunctionalGroupsSequence = groups
        data.PixelData = pixels
        data.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)


def timed(command: list[str]) -> tuple[float, float]:
    """Processor and clock seconds of a command."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    after, end = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    return (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime), end - begin


def main() -> int:
    """Print a row for each contestant."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--files", type=int, default=11)
    parser.add_argument("--frames", type=int, default=520)
    parser.add_argument("--repeat", type=int, default=7)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder, out = Path(temporary, "in"), Path(temporary, "out")
        folder.mkdir()
        out.mkdir()
        make_files(folder, chosen.files, chosen.frames)
        contestants = {
            "gpukit series": [sys.executable, "-m", "gpukit", "series", str(folder)],
            "pydicom": [sys.executable, "-c", _BY_PYDICOM, str(folder)],
        }
        program = shutil.which("dcm2niix", path=str(Path(sys.executable).parent)) or shutil.which("dcm2niix")
        if program is not None:
            contestants["dcm2niix"] = [program, "-o", str(out), "-f", "%s", "-b", "n", "-w", "1", str(folder)]
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in contestants}
        for _ in range(chosen.repeat):
            for name, command in contestants.items():
                times[name].append(timed(command))
        if program is not None:
            print(f"dcm2niix wrote {len(list(out.glob('*.nii')))} files")
    own = statistics.median(one[0] for one in times["gpukit series"])
    print(f"{chosen.files} files of {chosen.frames} frames    processor      clock    x gpukit")
    for name, rounds in times.items():
        processor, clock = (statistics.median(one[n] for one in rounds) for n in (0, 1))
        print(f"{name:<28} {processor:8.3f} s {clock:8.3f} s {processor / own:9.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
