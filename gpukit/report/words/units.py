"""Units as people write them, from UCUM codes and from what makers write in place of them."""

from __future__ import annotations

import re

from gpukit.dicom.modules.codes import Code

__all__ = ["shown_unit"]

#: UCUM units that are written otherwise than their symbols say.
_UNITS = {
    "1": "",
    "{no units}": "",
    "[hnsf'U]": "HU",
    "Cel": "°C",
    "[degF]": "°F",
    "deg": "°",
    "Ohm": "Ω",
    "%": "%",
    "m[Hg]": "mHg",
    "mm[Hg]": "mmHg",
    "cm[H2O]": "cmH₂O",
    "[in_i]": "in",
    "[ft_i]": "ft",
    "[lb_av]": "lb",
    "[iU]": "IU",
    "k[iU]": "kIU",
    "[arb'U]": "arb. u.",
    "[pH]": "pH",
    "10*-3": "10⁻³",
    "[ppm]": "ppm",
    "{ratio}": "",
    "{SUVbw}g/ml": "SUVbw g/ml",
    "{SUVlbm}g/ml": "SUVlbm g/ml",
    "{SUVbsa}cm2/ml": "SUVbsa cm²/ml",
    "{SUVibw}g/ml": "SUVibw g/ml",
    "{counts}": "counts",
    "a": "years",
    "mo": "months",
    "wk": "weeks",
    "d": "days",
    "{H.B.}/min": "bpm",
    "{B}/min": "bpm",
}
_RAISED = str.maketrans("0123456789-+", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺")
_POWER = re.compile(r"(?<=[A-Za-zµΩ\]*])([+-]?\d+)(?=$|[./({])")


def shown_unit(unit: Code | None) -> str:
    """The unit for people; empty where there is none to show.

    Parameters
    ----------
    unit : Code or None
        As the file has it. A unit of another scheme than UCUM is shown by its meaning.
    """
    if unit is None:
        return ""
    code = unit.value
    if unit.scheme and unit.scheme != "UCUM":
        return code if re.fullmatch(r"[A-Za-zµ%°/.]+[23]?", code) else unit.meaning or code
    if code in _UNITS:
        return _UNITS[code]
    if not code:
        return unit.meaning
    if re.fullmatch(r"\{[^{}]*\}", code):
        return code[1:-1].replace("_", " ")
    if " " in code:
        return code
    code = re.sub(r"^\{([^{}]*)\}(?=/)", r"\1", code)
    shown = re.sub(r"\{[^{}]*\}", "", code) or code
    for symbol, words in (("mm[Hg]", "mmHg"), ("[hnsf'U]", "HU"), ("[iU]", "IU"), ("10*", "10")):
        shown = (
            shown.replace(symbol, words)
            if symbol != "10*"
            else re.sub(r"10\*([+-]?\d+)", lambda m: "10" + m[1].translate(_RAISED), shown)
        )
    shown = _POWER.sub(lambda match: match[1].translate(_RAISED), shown)
    shown = re.sub(r"(?<![A-Za-zµ])u(?=[A-Z][a-z]?|[gmlLs](?![a-z])|mol)", "µ", shown)
    return shown.replace(".", "·").replace("[", "").replace("]", "")
