"""From the values of a PET series to standardized uptake values: one factor a slice, and everything it was made of."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

from gpukit.errors import InputError
from gpukit.findings.measurement import Detail
from gpukit.measure.pet.acquisition import PetFacts
from gpukit.measure.pet.body_size import body_surface_area, ideal_body_weight, lean_body_mass
from gpukit.measure.pet.parameters import (
    Overrides,
    Stated,
    dose_of,
    half_life_of,
    height_of,
    injection_of,
    reference_given,
    sex_of,
    weight_of,
)
from gpukit.measure.pet.times import frame_average, reference_time

__all__ = ["KINDS", "SuvScale", "kind_of", "suv_scale"]

#: Kind of SUV -> UCUM unit. ``lbm`` alone is the first lean mass.
KINDS = {
    "bw": "{SUVbw}g/ml",
    "lbm-janmahasatian": "{SUVlbm}g/ml",
    "lbm-james-128": "{SUVlbm}g/ml",
    "lbm-morgan": "{SUVlbm}g/ml",
    "bsa": "{SUVbsa}cm2/ml",
    "ibw": "{SUVibw}g/ml",
}
#: SUVType of the file -> kind (PS3.3 C.8.9.1); absent it is body weight.
_TYPES = {"": "bw", "BW": "bw", "LBM": "lbm-morgan", "LBMJAMES128": "lbm-james-128", "LBMJANMA": "lbm-janmahasatian",
          "BSA": "bsa", "IBW": "ibw"}  # fmt: skip


@dataclass(frozen=True)
class SuvScale:
    """What rescaled values must be multiplied with.

    Parameters
    ----------
    factors : tuple of float
        Of each slice, from the file's unit to the SUV's.
    kind : str
        A key of `KINDS`.
    details : tuple of Detail
        Every value used, and its origin.
    notes : tuple of str
        What a user must know.
    """

    factors: tuple[float, ...]
    kind: str
    details: tuple[Detail, ...]
    notes: tuple[str, ...]

    @property
    def unit(self) -> str:
        """UCUM unit of the result."""
        return KINDS[self.kind]


def kind_of(word: str) -> str:
    """Return the kind of SUV that a user names.

    Raises
    ------
    InputError
        There is none of that name.
    """
    name = word.strip().lower().removeprefix("suv")
    name = {"lbm": "lbm-janmahasatian", "lbm-janma": "lbm-janmahasatian", "lbm-james": "lbm-james-128"}.get(name, name)
    if name not in KINDS:
        raise InputError(f"unknown SUV {word!r}", attribute="type", fix=f"use one of {', '.join(KINDS)}")
    return name


def suv_scale(facts: PetFacts, kind: str = "bw", overrides: Overrides | None = None) -> SuvScale:
    """Factors to SUV, by the rules of the IBSI's manual for SUV computation.

    BQML: ``SUVbw = value * weight / dose``, where the dose is that at the time that the values refer to: with
    DecayCorrection ADMIN the administered one; with START decayed to `reference_time`; with NONE decayed to each
    slice's own acquisition and averaged over its duration. CNTS: the vendor's private factor, to SUVbw or to Bq/ml.
    GML and CM2ML: values are SUV already, of the kind that SUVType says.

    Raises
    ------
    InputError
        An attribute is missing or contradicts another one; its name is in the message.
    """
    work = _Work(facts, kind_of(kind), overrides or Overrides())
    return work.scale()


class _Work:
    """One computation; collects details and notes on the way."""

    def __init__(self, facts: PetFacts, kind: str, overrides: Overrides) -> None:
        self.facts, self.kind, self.given = facts, kind, overrides
        self.details: list[Detail] = []
        self.notes: list[str] = list(facts.notes)
        self.weight = weight_of(facts, overrides.weight)
        self.height = height_of(facts, overrides.height)
        self.sex = sex_of(facts, overrides.sex) if overrides.sex is not None or facts.sex in ("M", "F", "O") else None

    def scale(self) -> SuvScale:
        facts = self.facts
        self._say("units", facts.units or None, "", "Units")
        if facts.units == "BQML":
            factors = self._from_activity((1.0,) * len(facts.times))
        elif facts.units in ("CNTS", "PROPCPS"):
            factors = self._from_counts()
        elif facts.units in ("GML", "CM2ML"):
            factors = self._from_suv()
        else:
            raise InputError(
                f"no SUV can be computed from values in {facts.units or 'an unknown unit'}",
                file=facts.file, attribute="Units",
            )  # fmt: skip
        if self.kind != "bw":
            ratio = self._normaliser(self.kind, self._need_weight(), self.height, self.sex, say=True)
            factors = tuple(factor * ratio for factor in factors)
        low, high = min(factors), max(factors)
        self._say("suv_factor", low, KINDS[self.kind] + f"/{{{facts.units}}}", "computed")
        if low != high:
            self._say("suv_factor_highest", high, KINDS[self.kind] + f"/{{{facts.units}}}", "computed")
        return SuvScale(factors, self.kind, tuple(self.details), tuple(dict.fromkeys(self.notes)))

    # --- from activity concentration ---------------------------------------------------------------------------------

    def _from_activity(self, to_becquerels: tuple[float, ...]) -> tuple[float, ...]:
        facts = self.facts
        weight = self._need_weight()
        self._say("weight", weight.value, "kg", weight.source)
        injection = dose_of(facts, self.given.dose)
        if injection is None:
            raise self._missing("the administered dose", "RadionuclideTotalDose", "--dose, such as 370MBq")
        dose, note = injection
        self.notes += [note] if note else []
        self._say("dose", dose.value, "Bq", dose.source)
        self._check_corrections()
        self._say("decay_correction", facts.decay_correction, "", "DecayCorrection")
        grams = weight.value * 1000
        if facts.decay_correction == "ADMIN":
            return tuple(factor * grams / dose.value for factor in to_becquerels)
        half_life = self._half_life()
        if facts.decay_correction == "START":
            reference, source = self._reference(half_life)
            decay = self._decay(reference, source, half_life)
            return tuple(factor * grams / (dose.value * decay) for factor in to_becquerels)
        return tuple(
            factor * grams / (dose.value * decay)
            for factor, decay in zip(to_becquerels, self._decay_of_slices(half_life), strict=True)
        )

    def _check_corrections(self) -> None:
        facts = self.facts
        if facts.decay_correction not in ("START", "ADMIN", "NONE"):
            raise InputError(
                f"the decay correction is {facts.decay_correction or 'not stated'}, not START, ADMIN or NONE",
                file=facts.file, attribute="DecayCorrection",
            )  # fmt: skip
        if not facts.corrected:
            self.notes.append("the file does not say which corrections were made (CorrectedImage)")
            return
        decayed = "DECY" in facts.corrected
        if decayed != (facts.decay_correction != "NONE"):
            says = "was corrected for decay" if decayed else "was not corrected for decay"
            raise InputError(
                f"DecayCorrection is {facts.decay_correction}, but CorrectedImage says that the image {says}",
                file=facts.file, attribute="CorrectedImage",
            )  # fmt: skip
        if "ATTN" not in facts.corrected:
            raise InputError(
                "the image was not corrected for attenuation: its values are not activity concentrations",
                file=facts.file, attribute="CorrectedImage",
            )  # fmt: skip

    def _half_life(self) -> float:
        half_life = half_life_of(self.facts, self.given.half_life)
        if half_life is None:
            raise self._missing("the half-life", "RadionuclideHalfLife", "--half-life in seconds")
        self._say("half_life", half_life.value, "s", half_life.source)
        return half_life.value

    def _reference(self, half_life: float) -> tuple[datetime, str]:
        override, facts = self.given.reference_time, self.facts
        if override is not None:
            acquired = [t.acquisition for t in facts.times if t.acquisition is not None]
            return reference_given(override, None, min(acquired) if acquired else None, facts.zone), "--reference-time"
        if facts.corrected_to is not None:
            return facts.corrected_to, "DecayCorrectionDateTime"
        reference, source, notes = reference_time(facts.times, facts.private_time, half_life, facts.file)
        self.notes += notes
        if len(facts.times) == 1:
            self.notes.append("of the series only this slice was given: an earlier acquisition would not be known")
        return reference, source

    def _decay(self, reference: datetime, source: str, half_life: float) -> float:
        """Share of the dose that is left at the reference time."""
        seconds, moment, origin, notes = injection_of(self.facts, self.given.injection_time, reference, half_life)
        self.notes += notes
        self._say("injection_time", moment.isoformat(), "", origin)
        self._say("reference_time", reference.isoformat(), "", source)
        self._say("decay_time", seconds, "s", "computed")
        return math.pow(2.0, -seconds / half_life)

    def _decay_of_slices(self, half_life: float) -> list[float]:
        """Share of the dose that is left, on average, while each slice was acquired."""
        factors: dict[tuple[datetime, float], float] = {}
        listed = []
        for times in self.facts.times:
            if times.acquisition is None:
                raise self._missing("the acquisition time of a slice", "AcquisitionTime", "")
            if times.duration is None:
                raise self._missing("the duration of a slice", "ActualFrameDuration", "")
            key = (times.acquisition, times.duration)
            if key not in factors:
                seconds, moment, origin, notes = injection_of(
                    self.facts, self.given.injection_time, times.acquisition, half_life
                )
                if not factors:
                    self._say("injection_time", moment.isoformat(), "", origin)
                self.notes += notes
                factors[key] = math.pow(2.0, -seconds / half_life) * frame_average(times.duration, half_life)
            listed.append(factors[key])
        first, last = min(factors), max(factors)
        self._say("acquisition_time_first", first[0].isoformat(), "", "AcquisitionDate and AcquisitionTime")
        self._say("acquisition_time_last", last[0].isoformat(), "", "AcquisitionDate and AcquisitionTime")
        self._say("frame_duration", first[1], "s", "ActualFrameDuration")
        return listed

    # --- from what a vendor scaled already ---------------------------------------------------------------------------

    def _from_counts(self) -> tuple[float, ...]:
        facts = self.facts
        to_suv = [v for v in facts.suv_scales if v is not None]
        to_activity = [v for v in facts.activity_scales if v is not None]
        # The factor to SUV holds one decay for all slices, which is wrong where each has its own.
        if len(to_activity) == len(facts.times) and (facts.decay_correction == "NONE" or not to_suv):
            self._say("activity_factor", to_activity[0], "Bq/ml", "Philips' private factor (7053,xx09)")
            return self._from_activity(tuple(to_activity))
        if len(to_suv) == len(facts.times):
            self._say("suv_scale_factor", to_suv[0], "g/ml", "Philips' private factor (7053,xx00)")
            change = self._change("the vendor's SUV factor")
            return tuple(factor * change for factor in to_suv)
        raise InputError(
            f"values in {facts.units} need the vendor's private factor to SUV (7053,xx00) or to Bq/ml (7053,xx09), "
            "and it is missing", file=facts.file, attribute="Units",
        )  # fmt: skip

    def _from_suv(self) -> tuple[float, ...]:
        facts = self.facts
        area = facts.units == "CM2ML"
        kind = "bsa" if area and not facts.suv_type else _TYPES.get(facts.suv_type)
        if kind is None or area != (kind == "bsa"):
            raise InputError(
                f"SUVType {facts.suv_type} contradicts Units {facts.units}", file=facts.file, attribute="SUVType"
            )
        self._say("suv_type", facts.suv_type or None, "", "SUVType" if facts.suv_type else f"Units {facts.units}")
        ratio = 1.0
        if kind != "bw":
            # What the vendor divided by: the file's own values, the user's only where it states none.
            weight = weight_of(facts, None) or self.weight
            height = height_of(facts, None) or self.height
            sex = (sex_of(facts, None) if facts.sex in ("M", "F", "O") else None) or self.sex
            if weight is None:
                raise self._missing("the weight", "PatientWeight", "--weight")
            ratio = 1 / self._normaliser(kind, weight, height, sex, say=True)
        return (ratio * self._change("the file's values are SUV already, and"),) * len(facts.times)

    def _change(self, what: str) -> float:
        """Return how the user's values change an SUV that the vendor computed with the file's."""
        facts, overrides = self.facts, self.given
        change = 1.0
        if overrides.weight is not None:
            own = weight_of(facts, None)
            if own is None:
                raise InputError(
                    f"{what} was computed with a weight that the file does not state, so that --weight cannot replace "
                    "it", file=facts.file, attribute="PatientWeight",
                )  # fmt: skip
            assert self.weight is not None
            change *= self.weight.value / own.value
            self._say("weight", self.weight.value, "kg", f"--weight, instead of {own.value:g} kg")
        if overrides.dose is not None:
            theirs, mine = dose_of(facts, None), dose_of(facts, overrides.dose)
            if theirs is None or mine is None:
                raise self._missing("the dose that the vendor computed with", "RadionuclideTotalDose", "")
            change *= theirs[0].value / mine[0].value
            self._say("dose", mine[0].value, "Bq", f"--dose, instead of {theirs[0].value:g} Bq")
        if overrides.injection_time is not None and facts.decay_correction != "ADMIN":
            half_life = self._half_life()
            reference, _ = self._reference(half_life)
            old = injection_of(facts, None, reference, half_life)[0]
            new, moment, origin, notes = injection_of(facts, overrides.injection_time, reference, half_life)
            self.notes += notes
            self._say("injection_time", moment.isoformat(), "", origin)
            change *= math.pow(2.0, (new - old) / half_life)
        return change

    # --- by body size ------------------------------------------------------------------------------------------------

    def _normaliser(
        self, kind: str, weight: Stated, height: Stated | None, sex: tuple[str, str] | None, *, say: bool
    ) -> float:
        """SUV of a kind, divided by SUVbw."""
        if height is None:
            raise self._missing("the height", "PatientSize", "--height in cm")
        if kind != "bsa" and sex is None:
            attribute = f"the sex (the file says {self.facts.sex!r})" if self.facts.sex else "the sex"
            raise self._missing(attribute, "PatientSex", "--sex")
        self._say("weight", weight.value, "kg", weight.source)
        self._say("height", height.value, "cm", height.source)
        if kind == "bsa":
            area = body_surface_area(weight.value, height.value)
            self._say("body_surface_area", area, "m2", "Du Bois and Du Bois 1916")
            return area * 1e4 / (weight.value * 1000)
        assert sex is not None
        self._say("sex", sex[0], "", sex[1])
        if sex[0] == "O":
            self.notes.append("for the sex O the mean of the formulas for men and women was taken")
        if kind == "ibw":
            mass, name, source = ideal_body_weight(height.value, sex[0]), "ideal_body_weight", "Sugawara 1999"
        else:
            formula = kind.removeprefix("lbm-")
            mass, name = lean_body_mass(weight.value, height.value, sex[0], formula), "lean_body_mass"
            source = f"formula {formula}"
        self._say(name, mass, "kg", source)
        return mass / weight.value

    def _need_weight(self) -> Stated:
        if self.weight is None:
            raise self._missing("the weight", "PatientWeight", "--weight")
        return self.weight

    def _missing(self, what: str, attribute: str, option: str) -> InputError:
        return InputError(
            f"{what} is missing", file=self.facts.file, attribute=attribute, fix=f"give {option}" if option else None
        )

    def _say(self, name: str, value: str | float | None, unit: str, source: str) -> None:
        if all(detail.name != name for detail in self.details):
            self.details.append(Detail(name, value, unit, source))
