"""Response of target lesions by RECIST 1.1.

Source: E. A. Eisenhauer et al., New response evaluation criteria in solid tumours: revised RECIST guideline (version
1.1), European Journal of Cancer 45 (2009), 228-247, sections 3, 4.3.1 and 4.3.2.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from gpukit.errors import SelectionError, UnitError
from gpukit.findings.measurement import Measurement

__all__ = ["CATEGORIES", "Lesion", "Response", "response_of"]

CATEGORIES = {
    "CR": "complete response",
    "PR": "partial response",
    "SD": "stable disease",
    "PD": "progressive disease",
    "NE": "not evaluable",
}

#: Short axis in mm below which a lymph node is no longer pathological, and from which on it can be a target.
NODE_NORMAL, NODE_TARGET = 10.0, 15.0
#: Longest diameter in mm from which on another lesion can be a target (CT, slices of 5 mm at most).
LESION_TARGET = 10.0
DECREASE, INCREASE, LEAST_INCREASE = 0.30, 0.20, 5.0
MOST_TARGETS = 5
#: Sums that are equal but for rounding in float64 are equal.
_TINY = 1e-9
_NODE_WORDS = re.compile(r"\b(lymph|nodes?|lymphadenopathy|ln)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Lesion:
    """One lesion through time.

    Parameters
    ----------
    name : str
        For people.
    measurements : tuple of Measurement or None
        One for each time point, the baseline first.
    aliases : frozenset of str
        All names by which it may be called, case-folded.
    """

    name: str
    measurements: tuple[Measurement | None, ...]
    aliases: frozenset[str]


@dataclass(frozen=True)
class Response:
    """What RECIST 1.1 says of the target lesions.

    Parameters
    ----------
    category : str
        CR, PR, SD, PD or NE.
    sums : tuple of float or None
        Sum of diameters in mm at each time point; None where a target was not measured.
    nadir : float or None
        Smallest sum before the last time point.
    from_baseline, from_nadir : float or None
        Relative change of the last sum.
    targets, nodes, new : tuple of str
        Target lesions, those of them that are lymph nodes, and new lesions.
    reasons : tuple of str
        Why it is this category, and what a reader must know.
    """

    category: str
    sums: tuple[float | None, ...]
    nadir: float | None
    from_baseline: float | None
    from_nadir: float | None
    targets: tuple[str, ...]
    nodes: tuple[str, ...]
    new: tuple[str, ...]
    reasons: tuple[str, ...]


def response_of(
    lesions: Sequence[Lesion],
    *,
    targets: Sequence[str] = (),
    nodes: Sequence[str] = (),
    absent: Sequence[str] = (),
    new_lesion: bool | None = None,
) -> Response:
    """Judge the last time point; parameters as `gpukit.compare`.

    The diameter of a lesion is its long axis, or the length of a line; of a lymph node its short axis, or the length of
    a line, which is then taken to be drawn along it. Non-target lesions are not judged.

    Raises
    ------
    SelectionError
        A name fits no lesion.
    UnitError
        A target is not measured in mm.
    """
    by_name = {alias: lesion for lesion in lesions for alias in lesion.aliases}
    is_node = {id(_find(by_name, name)) for name in nodes}
    gone = {id(_find(by_name, name)) for name in absent}
    chosen = [_find(by_name, name) for name in targets] or [x for x in lesions if x.measurements[0] is not None]
    chosen = list({id(lesion): lesion for lesion in chosen}.values())
    since = [x for x in lesions if x.measurements[0] is None and not any(x is y for y in chosen)]
    fresh = [x for x in since if x.measurements[-1] is not None]
    if not chosen:
        raise SelectionError("the baseline has no lesion with a diameter in mm", attribute="targets")
    count = len(chosen[0].measurements)
    table = [
        [0.0 if n == count - 1 and id(x) in gone else _diameter(x, n, id(x) in is_node) for n in range(count)]
        for x in chosen
    ]
    sums = [_sum([line[n] for line in table]) for n in range(count)]
    reasons = _remarks(chosen, table, is_node)
    if went := [x.name for x in since if x.measurements[-1] is None]:
        reasons.insert(0, f"new after the baseline, but not measured at the last time point: {', '.join(went)}")
    missing = [x.name for x, line in zip(chosen, table, strict=True) if line[-1] is None]
    new_names = tuple(x.name for x in fresh)
    if new_lesion is False and new_names:
        reasons.append(f"not counted as new lesions, as told: {', '.join(new_names)}")
    # A lesion that seems new while another is missing may be that one under another name.
    is_new = new_lesion if new_lesion is not None else bool(new_names) and not missing
    earlier = [value for value in sums[:-1] if value is not None]
    nadir = min(earlier) if earlier else None
    category, why = _judge(sums, nadir, table, [id(x) in is_node for x in chosen], missing, is_new)
    if is_new:
        why = f"new lesions{': ' + ', '.join(new_names) if new_names else ', as told'}" + (f"; {why}" if why else "")
    elif new_names and missing and new_lesion is None:
        why += f"; {', '.join(new_names)} may be new lesions or these under another name: say --new-lesion if new"
    last, first = sums[-1], sums[0]
    return Response(
        category=category,
        sums=tuple(sums),
        nadir=nadir,
        from_baseline=None if last is None or not first else last / first - 1,
        from_nadir=None if last is None or not nadir else last / nadir - 1,
        targets=tuple(x.name for x in chosen),
        nodes=tuple(x.name for x in chosen if id(x) in is_node),
        new=new_names if is_new else (),
        reasons=(why, *reasons),
    )


def _judge(
    sums: Sequence[float | None],
    nadir: float | None,
    table: Sequence[Sequence[float | None]],
    nodes: Sequence[bool],
    missing: Sequence[str],
    is_new: bool,
) -> tuple[str, str]:
    """Category of the target lesions and why; progression goes before response, for it is judged against the nadir."""
    last, first = sums[-1], sums[0]
    if first is None or nadir is None:
        return ("PD" if is_new else "NE"), "the baseline is incomplete"
    if last is None:
        what = f"not measured at the last time point: {', '.join(missing)}"
        part = sum(line[-1] or 0.0 for line in table)
        if _has_grown(part, nadir):  # whatever the others are, the sum is larger still
            return "PD", f"{what}; the others alone are 20 % and 5 mm more than all were at the nadir"
        return ("PD" if is_new else "NE"), what
    shrunk = first - last
    summary = f"the sum of diameters went from {first:.1f} mm (nadir {nadir:.1f} mm) to {last:.1f} mm"
    if is_new:
        return "PD", summary
    if nadir == 0 and last > 0:
        return "PD", f"{summary}: lesions that had all disappeared are back"
    if _has_grown(last, nadir):
        return "PD", f"{summary}: at least 20 % and 5 mm more than at the nadir"
    healed = all(
        line[-1] is not None and (line[-1] < NODE_NORMAL if node else line[-1] == 0)
        for line, node in zip(table, nodes, strict=True)
    )
    if healed:
        return "CR", f"{summary}: all target lesions have disappeared and all nodes are below 10 mm"
    if shrunk >= DECREASE * first - _TINY:
        return "PR", f"{summary}: at least 30 % less than at the baseline"
    return "SD", f"{summary}: neither 30 % less than at the baseline, nor 20 % and 5 mm more than at the nadir"


def _has_grown(total: float, nadir: float) -> bool:
    grown = total - nadir
    return grown >= LEAST_INCREASE - _TINY and grown >= INCREASE * nadir - _TINY


def _remarks(lesions: Sequence[Lesion], table: Sequence[Sequence[float | None]], is_node: set[int]) -> list[str]:
    """Return remarks about the choice of targets."""
    remarks = []
    if len(lesions) > MOST_TARGETS:
        remarks.append(f"{len(lesions)} targets: RECIST 1.1 allows five, two in an organ")
    for lesion, line in zip(lesions, table, strict=True):
        node, start = id(lesion) in is_node, line[0]
        if not node and any(_NODE_WORDS.search(alias) for alias in lesion.aliases):
            remarks.append(f"{lesion.name} may be a lymph node: name it with --node, so that its short axis counts")
        if start is not None and start < (NODE_TARGET if node else LESION_TARGET):
            least = NODE_TARGET if node else LESION_TARGET
            remarks.append(f"{lesion.name}: {start:.1f} mm at the baseline are too small for a target ({least:g} mm)")
    remarks.append("non-target lesions are not judged here")
    return remarks


def _diameter(lesion: Lesion, n: int, node: bool) -> float | None:
    one = lesion.measurements[n]
    if one is None:
        return None
    axes = ("short_axis", "length") if node else ("long_axis", "length")
    name = next((name for name in axes if name in one), None)
    if name is None:
        return None
    if one.quantity(name).unit != "mm":
        raise UnitError(f"{lesion.name} is not measured in mm: RECIST needs calibrated images", attribute=name)
    return one[name]


def _sum(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) if len(there) == len(values) else None


def _find(by_name: dict[str, Lesion], name: str) -> Lesion:
    lesion = by_name.get(name.strip().casefold())
    if lesion is None:
        choices = ", ".join(sorted({one.name for one in by_name.values()}))
        raise SelectionError(f"there is no lesion {name!r}", fix=f"there are {choices}")
    return lesion
