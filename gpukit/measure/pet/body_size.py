"""Body size: lean mass, ideal weight and surface area, by which an uptake can be normalised instead of by weight."""

from __future__ import annotations

import math
from collections.abc import Callable

from gpukit.errors import InputError

__all__ = ["LEAN_MASS", "SEXES", "body_surface_area", "ideal_body_weight", "lean_body_mass"]

#: PatientSex. O (other) takes the mean of the formulas for M and F, as the IBSI's reference objects for SUV do.
SEXES = ("M", "F", "O")
#: Names of the formulas for lean body mass.
LEAN_MASS = ("morgan", "james-128", "janmahasatian")


def lean_body_mass(weight: float, height: float, sex: str, formula: str = "janmahasatian") -> float:
    """Lean body mass in kg.

    Parameters
    ----------
    weight : float
        In kg.
    height : float
        In cm.
    sex : {"M", "F", "O"}
        PatientSex; O takes the mean of both.
    formula : {"morgan", "james-128", "janmahasatian"}
        - ``morgan``: men 1.10 w - 120 (w/h)^2, women 1.07 w - 148 (w/h)^2. Morgan DJ, Bray KM, "Lean body mass as a
          predictor of drug dosage", Clin Pharmacokinet 1994;26:292-307. DICOM's SUVType LBM.
        - ``james-128``: men 1.10 w - 128 (w/h)^2, women 1.07 w - 148 (w/h)^2. James WPT, "Research on obesity", HMSO
          1976; Hallynck TH et al., Br J Clin Pharmacol 1981;11:523-6. DICOM's LBMJAMES128.
        - ``janmahasatian``: men 9270 w / (6680 + 216 b), women 9270 w / (8780 + 244 b), with the body-mass index
          b = w / h^2 in kg/m2. Janmahasatian S et al., "Quantification of lean bodyweight", Clin Pharmacokinet
          2005;44:1051-65. DICOM's LBMJANMA.

    Raises
    ------
    InputError
        A value is out of its domain, or a formula gives no positive mass (those of James and Morgan fail in obesity).
    """
    _check(weight, height)
    ratio = (weight / height) ** 2
    index = weight / (height / 100) ** 2
    table: dict[str, tuple[Callable[[], float], Callable[[], float]]] = {
        "morgan": (lambda: 1.10 * weight - 120 * ratio, lambda: 1.07 * weight - 148 * ratio),
        "james-128": (lambda: 1.10 * weight - 128 * ratio, lambda: 1.07 * weight - 148 * ratio),
        "janmahasatian": (
            lambda: 9270 * weight / (6680 + 216 * index),
            lambda: 9270 * weight / (8780 + 244 * index),
        ),
    }
    if formula not in table:
        raise InputError(f"unknown formula {formula!r} for lean body mass", fix=f"use one of {', '.join(table)}")
    male, female = table[formula]
    return _positive(_of_sex(male(), female(), sex), f"the formula {formula} for lean body mass")


def ideal_body_weight(height: float, sex: str) -> float:
    """Ideal body weight in kg: men 48.0 + 1.06 (h - 152), women 45.5 + 0.91 (h - 152), with the height h in cm.

    Source: Sugawara Y et al., "Reevaluation of the standardized uptake value for FDG: variations with body weight and
    methods for correction", Radiology 1999;213:521-5.

    Parameters
    ----------
    height : float
        In cm.
    sex : {"M", "F", "O"}
        PatientSex; O takes the mean of both.

    Raises
    ------
    InputError
        A value is out of its domain.
    """
    _check(1.0, height)
    male, female = 48.0 + 1.06 * (height - 152), 45.5 + 0.91 * (height - 152)
    return _positive(_of_sex(male, female, sex), "the formula for ideal body weight")


def body_surface_area(weight: float, height: float) -> float:
    """Body surface area in m2: 0.007184 w^0.425 h^0.725, with w in kg and h in cm.

    Source: Du Bois D, Du Bois EF, "A formula to estimate the approximate surface area if height and weight be known",
    Arch Intern Med 1916;17:863-71. DICOM's SUVType BSA.

    Raises
    ------
    InputError
        A value is out of its domain.
    """
    _check(weight, height)
    return 0.007184 * math.pow(weight, 0.425) * math.pow(height, 0.725)


def _of_sex(male: float, female: float, sex: str) -> float:
    if sex not in SEXES:
        raise InputError(f"the sex {sex!r} is none of {', '.join(SEXES)}", attribute="PatientSex", fix="give --sex")
    return {"M": male, "F": female, "O": (male + female) / 2}[sex]


def _check(weight: float, height: float) -> None:
    if not (math.isfinite(weight) and weight > 0):
        raise InputError(f"{weight} kg is not a body weight", attribute="PatientWeight")
    if not (math.isfinite(height) and height > 0):
        raise InputError(f"{height} cm is not a body height", attribute="PatientSize")


def _positive(value: float, what: str) -> float:
    if value <= 0:
        raise InputError(
            f"{what} gives {value:.4g} kg for this weight and height",
            attribute="PatientSize",
            fix="check both, or use another formula",
        )
    return value
