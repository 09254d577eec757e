"""Make the pictures of the page about reports, from reports made here: no patient is in them.

    python docs/report_pictures.py

Writes ``docs/images/report-pages.png`` (a dose report, a comparison and an Arabic report as PDF pages) with pdftoppm of
poppler.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from support import sr_files as sr  # noqa: E402

GROUP = ("125007", "DCM", "Measurement Group")
TRACKING = ("112039", "DCM", "Tracking Identifier")


def dose() -> Any:
    """Accumulated dose and six events."""
    totals = sr.container(
        ("113702", "DCM", "Accumulated X-Ray Dose Data"),
        sr.number(("113722", "DCM", "Dose Area Product Total"), "0.0003152200", "Gy.m2"),
        sr.number(("113725", "DCM", "Dose (RP) Total"), "0.012722", "Gy"),
        sr.number(("113730", "DCM", "Total Fluoro Time"), "70.000", "s"),
    )
    events = [
        sr.container(
            ("113706", "DCM", "Irradiation Event X-Ray Data"),
            sr.coded(("113764", "DCM", "Acquisition Plane"), ("113622", "DCM", "Single Plane"), "HAS CONCEPT MOD"),
            sr.coded(("113721", "DCM", "Irradiation Event Type"), ("44491008", "SCT", "Fluoroscopy")),
            sr.text(("125203", "DCM", "Acquisition Protocol"), f"Protocol {'AB'[n % 2]}"),
            sr.number(("122130", "DCM", "Dose Area Product"), f"{n + 1}.07E-05", "Gy.m2"),
            sr.number(("113738", "DCM", "Dose (RP)"), None if n == 3 else f"0.00{n + 1}20", "Gy"),
            sr.number(("113733", "DCM", "KVP"), f"{70 + n}", "kV"),
        )
        for n in range(6)
    ]
    return sr.report(
        totals, *events, title=("113701", "DCM", "X-Ray Radiation Dose Report"),
        sop_class="1.2.840.10008.5.1.4.1.1.88.67", StudyDescription="Angiography",
    )  # fmt: skip


def oncology(day: int, *lesions: tuple[str, str]) -> Any:
    """Lesions with their length."""
    groups = [
        sr.container(
            GROUP, sr.text(TRACKING, name, "HAS OBS CONTEXT"), sr.coded(sr.FINDING, ("4147007", "SCT", "Mass")),
            sr.number(("410668003", "SCT", "Length"), value, "mm"),
        )
        for name, value in lesions
    ]  # fmt: skip
    return sr.report(
        sr.container(("126010", "DCM", "Imaging Measurements"), *groups),
        title=("126000", "DCM", "Imaging Measurement Report"), ContentDate=f"2026{day:02}15",
        SOPInstanceUID=f"{sr.ROOT}.77.{day}", StudyDescription="CT chest",
    )  # fmt: skip


def arabic() -> Any:
    """A text with numbers and units in it."""
    words = "عقدة بحجم 12.5 mm × 9 mm في الفص العلوي من الرئة اليسرى، دون انصباب جنبي."
    return sr.report(
        sr.container(("121070", "DCM", "النتائج"), sr.text(sr.FINDING, words)),
        title=("18748-4", "LN", "تقرير التصوير"),
        PatientName="حداد^ليلى",
    )  # fmt: skip


def main() -> int:
    """Make the pictures."""
    from PIL import Image

    import gpukit as gk

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lesions = [("L1 left upper lobe", "25"), ("L2 liver", "15.50")]
        sr.save(dose(), folder / "a.dcm")
        sr.save(oncology(3, *lesions), folder / "prior.dcm")
        sr.save(oncology(9, (lesions[0][0], "14"), ("L3 new", "8"), (lesions[1][0], "10.25")), folder / "b.dcm")
        sr.save(arabic(), folder / "c.dcm")
        choices: dict[str, dict[str, Any]] = {
            "a": {"template": "dose"}, "b": {"template": "oncology", "compare": [folder / "prior.dcm"]}, "c": {}
        }  # fmt: skip
        pages = []
        for letter, options in choices.items():
            target = gk.report.write(folder / f"{letter}.dcm", folder / f"{letter}.pdf", lang="en", **options)
            subprocess.run(["pdftoppm", "-r", "55", "-png", "-singlefile", target, folder / letter], check=True)
            pages.append(Image.open(folder / f"{letter}.png").convert("L"))
        sheet = Image.new("L", (sum(page.width + 8 for page in pages) - 8, pages[0].height), 170)
        x = 0
        for page in pages:
            sheet.paste(page, (x, 0))
            x += page.width + 8
        sheet.quantize(32).save(HERE / "images" / "report-pages.png", optimize=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
