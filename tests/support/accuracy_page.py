"""The accuracy page of the guide: measured again from the reference data, number by number.

``python tests/measure/accuracy_page.py DATA > docs/measure-accuracy.md`` writes it; a test holds the page to what is
measured now.
"""

from __future__ import annotations

import json
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

import gpukit as gk
from gpukit.io.masks import open_mask
from gpukit.measure.intensity.features import Bins
from gpukit.measure.pet.body_size import body_surface_area, ideal_body_weight, lean_body_mass

HEAD = """# How right measurements are

This page is generated: every number in the column *found* is measured by the tests from public reference data, and a
test fails where the page no longer tells the truth. Reference values are other people's; each table names its data.
"""


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join("---" for _ in columns) + " |"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def suv_objects(folder: Path) -> str:
    rows = []
    what = {
        "0_0": "BQML, START", "1_0": "a slope a slice", "2_0": "GML", "2_2": "GML by ideal body weight, sex O",
        "2_3": "CM2ML, truncated in its file", "2_4": "CNTS with a private factor", "3_1": "ADMIN",
        "3_2": "START, the series made later", "4_1": "time of injection without a date", "5_0": "Ga-68",
    }  # fmt: skip
    for name, words in what.items():
        volume = gk.open(folder / f"DRO_{name}/PT", device="cpu")
        found = gk.suv(volume, folder / f"DRO_{name}/mask/DRO_mask.nii.gz", statistics=False)
        want = "0.19 / 0.98 / 3.98" if name == "2_3" else "0.20 / 1.00 / 4.00"
        rows.append((f"DRO_{name}", words, want, " / ".join(f"{found[n]:.2f}" for n in ("min", "median", "max"))))
    head = "## SUV: the IBSI's reference objects\n\nMinimum, median and maximum of SUVbw (Vácha et al., CC BY 4.0).\n\n"
    return head + table(("object", "what is special", "expected", "found"), rows)


def patient(data: Path) -> str:
    raw = gk.open(data / "pet/sts_001_raw/image", device="cpu")
    scaled, scale = gk.suv_volume(raw)
    folder = data / "pet/sts_001_cropped/PET"
    cropped = gk.open(folder / "dicom/image", device="cpu")
    tumour = gk.suv(cropped, next((folder / "dicom/mask").iterdir()))
    rows = [
        ("factor to SUVbw, g/Bq", "2.4290298e-4", f"{scale.factors[0]:.7e}".replace("e-04", "e-4")),
        ("SUVmax of the whole body", "66.5215", f"{float(scaled.array.max()):.4f}"),
        ("voxels of the tumour (RTSTRUCT)", "5095", tumour.n),
        ("its volume, ml", "366.079", f"{tumour.volume:.3f}"),
        ("its SUVmean", "2.5551", f"{tumour.mean:.4f}"),
        ("its SUVmax", "7.9107", f"{tumour.max:.4f}"),
    ]
    text = (
        "## SUV: a soft-tissue sarcoma\n\nFDG-PET of TCIA's Soft-tissue-Sarcoma, 267 slices with a slope each, raw and "
    )
    return text + "as the IBSI's validation set has it.\n\n" + table(("what", "expected", "found"), rows)


def scanners(data: Path) -> str:
    expected = json.loads((data / "pet/suv_metadata/expected_suvbw_factor.json").read_text())
    count = sum(not name.startswith("_") for name in expected)
    return (
        "## SUV: headers of scanners\n\n"
        f"{count} series of Siemens, GE and Philips scanners (missing dates, acquisition before the series, private\n"
        "factors): the factor of each equals that of the reference to 1e-6 of itself "
        "(cornerstonejs/calculate-suv, MIT).\n"
    )


def body() -> str:
    made = [
        ("lean body mass, Morgan, man", "57.80 kg", f"{lean_body_mass(70, 175, 'M', 'morgan'):.2f} kg"),
        ("lean body mass, James, man", "56.52 kg", f"{lean_body_mass(70, 175, 'M', 'james-128'):.2f} kg"),
        ("lean body mass, James, woman", "51.22 kg", f"{lean_body_mass(70, 175, 'F', 'james-128'):.2f} kg"),
        ("lean body mass, Janmahasatian, man", "55.857108 kg", f"{lean_body_mass(70, 175, 'M'):.6f} kg"),
        ("lean body mass, Janmahasatian, woman", "45.197015 kg", f"{lean_body_mass(70, 175, 'F'):.6f} kg"),
        ("ideal body weight, man", "72.38 kg", f"{ideal_body_weight(175, 'M'):.2f} kg"),
        ("ideal body weight, woman", "66.43 kg", f"{ideal_body_weight(175, 'F'):.2f} kg"),
        ("body surface area", "1.848143 m²", f"{body_surface_area(70, 175):.6f} m²"),
    ]
    return "## Body size at 70 kg and 175 cm\n\n" + table(("what", "expected", "found"), made)


def phantom(volume: gk.Volume, mask: gk.Segmentation) -> str:
    found, sizes = gk.roi(volume, mask, bins=Bins(width=1)), gk.measure.volume(mask)
    rows = [
        ("voxels", "74", found.n), ("volume by voxels, mm³", "592", f"{sizes.volume_voxels * 1000:.6g}"),
        ("volume by mesh, mm³", "556.333", f"{sizes.volume_mesh * 1000:.6g}"),
        ("surface, mm²", "388.071", f"{sizes.surface_area:.6g}"), ("mean", "2.14865", f"{found.mean:.6g}"),
        ("variance", "3.04547", f"{found.variance:.6g}"), ("skewness", "1.08382", f"{found.skewness:.6g}"),
        ("excess kurtosis", "-0.354620", f"{found.kurtosis:.6f}"), ("10th percentile", "1", f"{found.p10:g}"),
        ("90th percentile", "4", f"{found.p90:g}"), ("energy", "567", f"{found.energy:g}"),
        ("root mean square", "2.76806", f"{found.rms:.6g}"), ("entropy, bits", "1.26561", f"{found.entropy:.6g}"),
        ("uniformity", "0.512418", f"{found.uniformity:.6g}"),
    ]  # fmt: skip
    return "## The IBSI's digital phantom\n\n" + table(("what", "consensus", "found"), rows)


def lung(data: Path) -> str:
    folder = data / "ct_chest_ibsi"
    volume = gk.open(folder / "dicom/image", device="cpu")
    path = next((folder / "dicom/mask").iterdir())
    mask = open_mask(path, volume)
    plain, sizes = gk.hu(volume, path), gk.measure.volume(volume, mask)
    inside = (mask.array > 0) & (volume.array >= -500) & (volume.array <= 400)
    found = gk.roi(volume, replace(mask, array=inside.astype(np.uint8)), bins=Bins(width=25, low=-500))
    listed = (folder / "reference_values/ibsi_1_chest_config_a.csv").read_text().splitlines()[1:]
    want = {tag: (value, off) for value, off, tag in (line.split(";") for line in listed)}
    rows = [
        ("voxels of the contours", "125256", "", plain.n), ("volume, ml", "358.681", "", f"{plain.volume:.3f}"),
        ("mean, HU", "-46.883", "", f"{plain.mean:.3f}"), ("standard deviation, HU", "231.069", "", f"{plain.sd:.3f}"),
    ]  # fmt: skip
    consensus: list[tuple[str, str, float]] = [
        ("volume by mesh, mm³", "morph_volume", sizes.volume_mesh * 1000),
        ("volume by voxels, mm³", "morph_vol_approx", sizes.volume * 1000),
        ("surface, mm²", "morph_area_mesh", sizes.surface_area),
    ]
    names = (
        ("mean", "stat_mean"), ("variance", "stat_var"), ("skewness", "stat_skew"), ("kurtosis", "stat_kurt"),
        ("median", "stat_median"), ("p10", "stat_p10"), ("p90", "stat_p90"), ("energy", "stat_energy"),
        ("rms", "stat_rms"), ("entropy", "ih_entropy"), ("uniformity", "ih_uniformity"),
        ("peak_at_max", "loc_peak_loc"), ("peak", "loc_peak_glob"),
    )  # fmt: skip
    consensus += [(name, tag, found[name]) for name, tag in names]
    rows += [(f"{name} (A)", want[tag][0], f"± {want[tag][1]}", _short(value)) for name, tag, value in consensus]
    head = "## A lung tumour\n\n"
    head += "The IBSI's CT phantom (CC BY-NC 3.0), contours of its RTSTRUCT: facts of the data, and the\n"
    head += "consensus for configuration A (values of -500 to 400 HU, bins of 25 HU).\n\n"
    return head + table(("what", "expected", "tolerance", "found"), rows)


def _short(value: float) -> str:
    """Four digits, whole numbers without an exponent."""
    return f"{float(f'{value:.4g}'):.10g}"


def masks(data: Path) -> str:
    rows = []
    for words, image, mask, truth in (
        ("lung tumour, CT", "ct_chest_ibsi/dicom/image", "ct_chest_ibsi/dicom/mask", "ct_chest_ibsi/nifti/mask"),
        ("sarcoma, PET", *(f"pet/sts_001_cropped/PET/{p}" for p in ("dicom/image", "dicom/mask", "nifti/mask"))),
        ("sarcoma, CT", *(f"pet/sts_001_cropped/CT/{p}" for p in ("dicom/image", "dicom/mask", "nifti/mask"))),
    ):
        volume = gk.open(data / image, device="cpu")
        ours = open_mask(next((data / mask).iterdir()), volume).array != 0
        theirs = gk.open(next((data / truth).iterdir()), device="cpu").array != 0
        rows.append((words, int(theirs.sum()), int((ours != theirs).sum())))
    head = "## Contours as masks\n\nRTSTRUCT against the masks that other software made of the same contours.\n\n"
    return head + table(("region", "voxels", "voxels that differ"), rows)


def page(data: Path, objects: Path, made: Callable[[], tuple[gk.Volume, gk.Segmentation]]) -> str:
    """The whole page; `objects` holds the unpacked reference objects."""
    parts = [
        HEAD,
        suv_objects(objects),
        patient(data),
        scanners(data),
        body(),
        phantom(*made()),
        lung(data),
        masks(data),
    ]
    return "\n".join(parts)


if __name__ == "__main__":
    from support.ibsi_phantom import digital_phantom

    with tempfile.TemporaryDirectory() as unpacked:
        for archive in (Path(sys.argv[1]) / "pet/suv_reference_objects").glob("*.tar.xz"):
            with tarfile.open(archive) as content:
                content.extractall(unpacked, filter="data")
        sys.stdout.write(page(Path(sys.argv[1]), Path(unpacked), digital_phantom))
