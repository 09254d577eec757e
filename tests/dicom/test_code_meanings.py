"""Coded concepts carry the code meanings of the standard: readers such as web viewers compare the words, not the codes.

pydicom's dictionaries are made of the tables of PS3.16. What they do not have is listed here with its source.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import gpukit
from gpukit.ai.model import label_codes as organs
from gpukit.dicom.sr import tid1500_write as sr

#: PS3.16 CID 7470 as the standard prints it and as DCMTK's tables have it; pydicom 3.0 has other capitals.
CID_7470 = {("103339001", "SCT"): "Long Axis", ("103340004", "SCT"): "Short Axis"}
#: What pydicom's dictionaries lack. IBSI reference manual, version 11: intensity-based statistics and local intensity.
OTHERS = {
    ("QG58", "IBSI"): "10th intensity percentile",
    ("8DWT", "IBSI"): "90th intensity percentile",
    ("KE2A", "IBSI"): "Intensity skewness",
    ("IPH6", "IBSI"): "(Excess) intensity kurtosis",
    ("N8CA", "IBSI"): "Intensity energy",
    ("5ZWQ", "IBSI"): "Root mean square intensity",
    ("VJGA", "IBSI"): "Local intensity peak",
    # SNOMED CT, preferred terms without "structure"
    ("18639004", "SCT"): "Left kidney",
    ("9846003", "SCT"): "Right kidney",
    # PS3.16 CID 85 and the names of UCUM
    ("{SUVbw}g/ml", "UCUM"): "Standardized Uptake Value body weight",
    ("{SUVlbm}g/ml", "UCUM"): "Standardized Uptake Value lean body mass",
    ("{SUVbsa}cm2/ml", "UCUM"): "Standardized Uptake Value body surface area",
    ("{SUVibw}g/ml", "UCUM"): "Standardized Uptake Value ideal body weight",
    ("ml", "UCUM"): "milliliter",
    ("g", "UCUM"): "gram",
    ("{pixels}", "UCUM"): "pixels",
}
SCHEMES = {"SCT", "DCM", "UCUM", "IBSI", "SRT", "NCIt", "FMA", "RADLEX", "LN"}


def standard_meanings() -> dict[tuple[str, str], set[str]]:
    from pydicom.sr._concepts_dict import concepts

    meanings: dict[tuple[str, str], set[str]] = {}
    for scheme, names in concepts.items():
        for codes in names.values():
            for value, (meaning, _) in codes.items():
                meanings.setdefault((value, scheme), set()).add(meaning)
    return meanings


def written_codes() -> list[tuple[str, str, str, str]]:
    """(where, value, scheme, meaning) of every triple of constants in the sources, of tables and of shipped models."""
    codes = []
    root = Path(gpukit.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            parts = node.elts if isinstance(node, ast.Tuple) else node.args if isinstance(node, ast.Call) else []
            words: list[Any] = [part.value for part in parts if isinstance(part, ast.Constant)]
            if len(words) == len(parts) == 3 and words[1] in SCHEMES:
                codes.append((f"{path.relative_to(root)}:{node.lineno}", *words))
    codes += [("units", unit, "UCUM", words) for unit, words in sr._UNIT_WORDS.items()]
    for name in (*organs._ANATOMY, *organs._ALTERED):
        codes += [(f"organ {name}", *code) for code in organs.coded(name)]
    for path in sorted(root.rglob("model.json")):
        for label in json.loads(path.read_text(encoding="utf-8"))["output"].get("labels", ()):
            codes += [
                (path.name, *(label[key][k] for k in ("value", "scheme", "meaning"))) for key in ("category", "type")
            ]
    return codes


def test_every_code_meaning_is_the_standards() -> None:
    meanings = standard_meanings()
    codes = written_codes()
    assert len({code[1:3] for code in codes}) > 70  # the search above has not gone blind
    wrong = []
    for where, value, scheme, meaning in codes:
        key = (value, scheme)
        right = (
            {CID_7470[key]} if key in CID_7470 else meanings.get(key) or {OTHERS.get(key, "not known: add its source")}
        )
        if meaning not in right:
            wrong.append(f"{where}: {value} {scheme} is {meaning!r}, the standard has {sorted(right)}")
    assert not wrong, "\n".join(wrong)


def test_exceptions_are_needed() -> None:
    meanings = standard_meanings()
    assert not [key for key in OTHERS if key in meanings]
