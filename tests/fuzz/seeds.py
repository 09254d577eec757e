"""Sound files of every format that gpukit reads, made here: what the fuzzer damages."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from support.dicom_files import write_series
from support.rtstruct_files import write_rtstruct

import gpukit as gk
from gpukit.segmentation import Label, Segmentation

__all__ = ["write_seeds"]

SHAPE = (4, 8, 10)
CODES = (("T-D0050", "SRT", "Tissue"), ("T-62000", "SRT", "Liver"))


def write_seeds(folder: Path, kinds: set[str] | None = None) -> None:
    """Write ``folder/KIND/SEED/...``; a kind whose packages are not installed is left out."""
    for kind, maker in MAKERS.items():
        if kinds is None or kind in kinds:
            target = folder / kind
            target.mkdir(parents=True, exist_ok=True)
            try:
                maker(target)
            except ImportError as error:
                print(f"no seeds of {kind}: {error}")


def _array(dtype: str = "int16") -> np.ndarray:
    return np.random.default_rng(0).integers(0, 1000, SHAPE).astype(dtype)


def _series(folder: Path, **options: object) -> list[Path]:
    return write_series(folder, _array(), np.diag([0.7, 0.8, 2.0, 1.0]), **options)  # type: ignore[arg-type]


def _dicom(folder: Path) -> None:
    import pydicom
    from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

    files = _series(folder / "explicit")
    for name, syntax in (
        ("implicit", ImplicitVRLittleEndian),
        ("big", ExplicitVRBigEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
    ):
        (folder / name).mkdir()
        for file in files:
            dataset = pydicom.dcmread(file)
            if name == "big":
                dataset.PixelData = np.frombuffer(dataset.PixelData, "<u2").astype(">u2").tobytes()
            dataset.file_meta.TransferSyntaxUID = syntax
            for _ in dataset.iterall():  # decodes every element, so that another byte order can be written
                continue
            pydicom.dcmwrite(
                folder / name / file.name, dataset, implicit_vr=name == "implicit", little_endian=name != "big",
                force_encoding=True,
            )  # fmt: skip
    (folder / "zip").mkdir()
    with zipfile.ZipFile(folder / "zip" / "study.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"study/{file.name}")
    from pydicom.fileset import FileSet

    def with_names(dataset: pydicom.Dataset, k: int) -> None:
        dataset.StudyID, dataset.StudyDate, dataset.StudyTime, dataset.AccessionNumber = "1", "20260101", "120000", "1"

    _series(folder / "raw", change=with_names)
    files_set = FileSet()
    for file in sorted((folder / "raw").iterdir()):
        files_set.add(file)
    files_set.write(folder / "dicomdir")
    for file in (folder / "raw").iterdir():
        file.unlink()
    (folder / "raw").rmdir()


def _encoded(folder: Path) -> None:
    """One frame in each transfer syntax for which an encoder is at hand."""
    import imagecodecs
    import pydicom
    from pydicom.encaps import encapsulate

    image = np.random.default_rng(0).integers(0, 200, (32, 40)).astype(np.uint8)
    wide = (image.astype(np.uint16) * 16).astype(np.uint16)
    colour = np.stack([image, image[::-1], image[:, ::-1]], -1)
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    streams: list[tuple[str, str, np.ndarray, int, bytes]] = [
        ("rle8", "1.2.840.10008.1.2.5", image, 8, _packbits(image)),
        ("jpeg8", "1.2.840.10008.1.2.4.50", image, 8, imagecodecs.jpeg8_encode(image, level=90)),
        ("jpeg8-colour", "1.2.840.10008.1.2.4.50", colour, 8, imagecodecs.jpeg8_encode(colour, level=90)),
        ("jpeg12", "1.2.840.10008.1.2.4.51", wide, 12, imagecodecs.jpeg8_encode(wide, level=90, bitspersample=12)),
        (
            "jpeg-lossless",
            "1.2.840.10008.1.2.4.70",
            wide,
            12,
            imagecodecs.jpeg8_encode(wide, lossless=True, bitspersample=12),
        ),
        ("jpeg-ls", "1.2.840.10008.1.2.4.80", wide, 12, imagecodecs.jpegls_encode(wide)),
        (
            "j2k",
            "1.2.840.10008.1.2.4.90",
            wide,
            12,
            imagecodecs.jpeg2k_encode(wide, codecformat="j2k", reversible=True),
        ),
        (
            "j2k-colour",
            "1.2.840.10008.1.2.4.91",
            colour,
            8,
            imagecodecs.jpeg2k_encode(colour, codecformat="j2k", level=80),
        ),
        ("htj2k", "1.2.840.10008.1.2.4.201", wide, 12, imagecodecs.htj2k_encode(wide, reversible=True)),
        (
            "jpeg-xl",
            "1.2.840.10008.1.2.4.110",
            image,
            8,
            imagecodecs.jpegxl_encode(image, lossless=True, usecontainer=False),
        ),
        ("deflated-frame", "1.2.840.10008.1.2.8.1", image, 8, deflate.compress(image.tobytes()) + deflate.flush()),
    ]
    for name, syntax, pixels, bits, stream in streams:
        source = _series(folder / name)
        for file in source[1:]:
            file.unlink()
        dataset = pydicom.dcmread(source[0])
        dataset.Rows, dataset.Columns = pixels.shape[:2]
        dataset.BitsAllocated = 8 * pixels.dtype.itemsize
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = bits, bits - 1, 0
        if pixels.ndim == 3:
            dataset.SamplesPerPixel, dataset.PlanarConfiguration = 3, 0
            dataset.PhotometricInterpretation = "YBR_FULL_422" if "jpeg8" in name else "YBR_ICT"
        dataset.PixelData = encapsulate([bytes(stream)])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = stand_in = "1.2.840.10008.1.2.4.201"  # pydicom does not know JPEG XL
        dataset.save_as(source[0], enforce_file_format=True)
        written, width = source[0].read_bytes(), len(stand_in) + 1
        exact = syntax.encode().ljust(width, b"\0")
        assert len(exact) == width and written.count(stand_in.encode()) == 1
        source[0].write_bytes(written.replace(stand_in.encode() + b"\0", exact))
        gk.open(source[0])


def _packbits(image: np.ndarray) -> bytes:
    """A DICOM RLE frame of literal runs only (PS3.5 annex G)."""
    content, data = bytearray(), image.tobytes()
    for start in range(0, len(data), 128):
        piece = data[start : start + 128]
        content += bytes([len(piece) - 1]) + piece
    return np.array([1, 64, *[0] * 14], "<u4").tobytes() + bytes(content) + b"\x80" * (len(content) % 2)


def _objects(folder: Path) -> None:
    """SEG in three forms, SR, GSPS and RTSTRUCT beside the images that they refer to."""
    series = folder / "images"
    _series(series)
    volume = gk.open(series)
    mask = (np.asarray(volume.array) > 500).astype(np.uint8) + (np.asarray(volume.array) > 800)
    labels = tuple(
        Label(value=n, name=f"L{n}", color=(10 * n, 20, 30), category=("123037004", "SCT", "Anatomical Structure"),
              type=("10200004", "SCT", "Liver"))
        for n in (1, 2)
    )  # fmt: skip
    segmentation = Segmentation(array=mask.astype(np.uint8), grid=volume.grid, labels=labels, sources=volume.sources)
    for n, options in enumerate(({}, {"format": "dicom-seg-labelmap"}, {"format": "dicom-seg-fractional"})):
        try:
            gk.save(segmentation, folder / f"seg{n}.dcm", **options)
        except (TypeError, gk.GpukitError) as error:
            print("no seed of", options, error)
    ring = np.array([[1.0, 1, 0], [5, 1, 0], [5, 5, 0], [1, 5, 0]])
    write_rtstruct(folder / "rtstruct.dcm", {"one": [ring, ring + np.array([0, 0, 2])], "two": [ring]})
    _measure(series / "s1_0000.dcm", folder / "report.dcm", "sr")
    _measure(series / "s1_0000.dcm", folder / "state.dcm", "gsps")
    for file in series.iterdir():
        file.unlink()
    series.rmdir()


def _measure(image: Path, target: Path, form: str) -> None:
    """A distance on an image, in a format, by the command."""
    from gpukit_cli.main import main

    words = ["measure", "distance", str(image), "--p1", "1,1", "--p2", "5,5", "--format", form, "--output", str(target)]
    assert main(words, program="gpukit") == 0


def _nifti(folder: Path) -> None:
    import nibabel

    for name, dtype in (("a", "int16"), ("b", "float32"), ("c", "uint8")):
        (folder / name).mkdir()
        image = nibabel.Nifti1Image(_array(dtype), np.diag([1, 2, 3, 1]))
        image.header.set_xyzt_units("mm", "sec")
        nibabel.save(image, folder / name / ("image.nii" if name == "a" else "image.nii.gz"))
    (folder / "pair").mkdir()
    nibabel.save(nibabel.Nifti1Pair(_array(), np.eye(4)), folder / "pair" / "image.hdr")
    (folder / "two").mkdir()
    nibabel.save(nibabel.Nifti2Image(_array(), np.eye(4)), folder / "two" / "image.nii")


def _nrrd(folder: Path) -> None:
    data = _array("uint8").tobytes()
    head = (
        b"NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\nsizes: 10 8 4\n"
        b"space directions: (1,0,0) (0,2,0) (0,0,3)\nkinds: domain domain domain\nspace origin: (0,0,0)\n"
    )
    text = " ".join(str(value) for value in _array("uint8").ravel()).encode()
    for name, encoding, content in (
        ("raw", b"raw", data), ("gzip", b"gzip", gzip.compress(data)), ("ascii", b"ascii", text),
    ):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "image.nrrd").write_bytes(head + b"encoding: " + encoding + b"\n\n" + content)
    (folder / "detached").mkdir()
    (folder / "detached" / "image.nhdr").write_bytes(head + b"encoding: raw\ndata file: image.raw\n")
    (folder / "detached" / "image.raw").write_bytes(data)


def _metaimage(folder: Path) -> None:
    data = _array("uint8").tobytes()
    head = (
        b"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n%s"
        b"TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = 0 0 0\nCenterOfRotation = 0 0 0\nElementSpacing = 1 2 3\n"
        b"DimSize = 10 8 4\nElementType = MET_UCHAR\nElementDataFile = %s\n"
    )
    packed = zlib.compress(data)
    for name, file, content in (
        ("plain", "image.mha", head % (b"CompressedData = False\n", b"LOCAL") + data),
        ("packed", "image.mha",
         head % (b"CompressedData = True\nCompressedDataSize = %d\n" % len(packed), b"LOCAL") + packed),
        ("pair", "image.mhd", head % (b"CompressedData = False\n", b"image.raw")),
    ):  # fmt: skip
        (folder / name).mkdir()
        (folder / name / file).write_bytes(content)
    (folder / "pair" / "image.raw").write_bytes(data)


def _tables(folder: Path) -> None:
    """Measurements as JSON and CSV; centrelines; transfer functions."""
    from gpukit.rendering.scene import transfer_function

    series = folder / "measured"
    image = _series(series)[0]
    for form in ("json", "csv"):
        (folder / f"measurements-{form}").mkdir()
        _measure(image, folder / f"measurements-{form}" / f"measurements.{form}", form)
    for file in series.iterdir():
        file.unlink()
    series.rmdir()
    points = [[float(n), 2.0 * n, 3.0] for n in range(5)]
    text = io.StringIO()
    csv.writer(text).writerows(points)
    markups = {
        "markups": [{"type": "Curve", "coordinateSystem": "LPS",
                     "controlPoints": [{"id": str(n), "position": p, "orientation": [1, 0, 0, 0, 1, 0, 0, 0, 1]}
                                       for n, p in enumerate(points)]}]
    }  # fmt: skip
    rows = "".join(f"{n},{a},{b},{c}\n" for n, (a, b, c) in enumerate(points))
    for name, written in (("line.csv", text.getvalue()), ("line.json", json.dumps({"points": points})),
                          ("line.mrk.json", json.dumps(markups)),
                          ("line.fcsv", "# CoordinateSystem = LPS\n# columns = id,x,y,z\n" + rows)):  # fmt: skip
        (folder / name.replace(".", "-")).mkdir()
        (folder / name.replace(".", "-") / name).write_text(written)
    presets = Path(transfer_function.__file__).with_name("transfers")
    (folder / "transfer").mkdir()
    (folder / "transfer" / "bone.json").write_bytes((presets / "ct-bone.json").read_bytes())


def _models(folder: Path) -> None:
    from support.models import description, save, write_model
    from support.nnunet_models import configuration, write_folder

    write_model(folder / "safetensors")
    for form in ("state-dict", "torchscript", "torch-export", "onnx"):
        save(folder / form, form)
    ir = folder / "openvino"
    ir.mkdir()
    import openvino

    converted = openvino.convert_model(folder / "onnx" / "weights.onnx")
    openvino.save_model(converted, ir / "weights.xml")
    (ir / "model.json").write_text(json.dumps(description(format="openvino", weights="weights.xml", network=None)))
    write_folder(folder / "nnunet" / "Dataset001_Tiny", configuration())
    _bundle(folder / "bundle")


def _bundle(folder: Path) -> None:
    """A bundle of MONAI: metadata, an inference configuration and weights."""
    import torch
    from support.models import UNET, unet

    (folder / "configs").mkdir(parents=True)
    (folder / "models").mkdir()
    torch.save(unet().state_dict(), folder / "models" / "model.pt")
    shape = {"type": "image", "modality": "MR", "num_channels": 1, "spatial_shape": [16, 16, 16], "dtype": "float32"}
    (folder / "configs" / "metadata.json").write_text(
        json.dumps({
            "version": "0.1.0", "monai_version": "1.4.0", "task": "segmentation", "name": "tiny",
            "network_data_format": {
                "inputs": {"image": shape},
                "outputs": {
                    "pred": {"type": "image", "num_channels": 3, "channel_def": {"0": "b", "1": "x", "2": "y"}}
                },
            },
        })
    )  # fmt: skip
    (folder / "configs" / "inference.json").write_text(
        json.dumps({
            "network_def": UNET,
            "preprocessing": {"_target_": "Compose", "transforms": [
                {"_target_": "LoadImaged", "keys": "image"}, {"_target_": "EnsureChannelFirstd", "keys": "image"},
                {"_target_": "Orientationd", "keys": "image", "axcodes": "RAS"},
                {"_target_": "Spacingd", "keys": "image", "pixdim": [1.0, 1.0, 1.0], "mode": "bilinear"}]},
            "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [16, 16, 16], "overlap": 0.25},
            "postprocessing": {"_target_": "Compose", "transforms": [
                {"_target_": "Activationsd", "keys": "pred", "softmax": True},
                {"_target_": "AsDiscreted", "keys": "pred", "argmax": True}]},
        })
    )  # fmt: skip


def _packages(folder: Path) -> None:
    """What ``ai models export`` writes, and zips that ``ai models add`` takes."""
    from support.models import write_model

    from gpukit.ai.registry.packages import add, export
    from gpukit.ai.registry.store import Store

    model = write_model(folder / "model")
    store = Store(folder / "store")
    entry = add(store, str(model))
    (folder / "package").mkdir()
    export(store, entry, folder / "package" / "model.zip")
    (folder / "added").mkdir()
    with zipfile.ZipFile(folder / "added" / "added.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in model.iterdir():
            archive.write(file, file.name)
    import shutil

    shutil.rmtree(folder / "store")
    shutil.rmtree(model)


MAKERS: dict[str, Callable[[Path], None]] = {
    "dicom": _dicom,
    "encoded": _encoded,
    "objects": _objects,
    "nifti": _nifti,
    "nrrd": _nrrd,
    "metaimage": _metaimage,
    "tables": _tables,
    "models": _models,
    "packages": _packages,
}
