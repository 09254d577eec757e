"""Cases of several channels: which images belong together, and which channel each is.

What is not certain is not guessed: a case that lacks a channel, or has two images for one, is a case with an error.
"""

from __future__ import annotations

import csv
import fnmatch
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from gpukit.ai.batch.case import VOLUMES, About, Case, digest, file_key, stem_of
from gpukit.ai.batch.inputs import images_of
from gpukit.ai.model.description import Model
from gpukit.ai.transforms.channels import MODALITY, called, channel_number, expected
from gpukit.errors import FormatError, GpukitError, InputError

__all__ = ["Channels", "cases_of_table", "channels_of", "grouped"]

#: nnU-Net's file names: the case, four digits that are the channel, and the suffix.
_NUMBERED = re.compile(r"(.+)_(\d{4})", re.DOTALL)
_UID = re.compile(r"[0-9.]{3,64}", re.ASCII)
#: What a table calls the only channel, and its column with the names of cases.
_IMAGE, _CASE = "image", "case"


@dataclass(frozen=True, kw_only=True)
class Channels:
    """The channels of a network, and how the image of each is told.

    Parameters
    ----------
    names : tuple of str
        In the order of the network.
    which : tuple of str
        For each, which image of a case it is: a file or (with a slash at its end) a folder, where ``*`` and ``?`` stand
        for what names the case; else a series, by its SeriesNumber, the beginning of its UID, or its description, in
        which they stand for anything. Empty where nobody said it.
    wanted : str
        The channels in words.
    """

    names: tuple[str, ...]
    which: tuple[str, ...] = ()
    wanted: str = "1 channel"

    @property
    def grouped(self) -> bool:
        """Whether images are put together or chosen; else each is a case."""
        return len(self.names) > 1 or bool(self.which)


def channels_of(model: Model | None, named: Mapping[str, str] | None = None) -> Channels:
    """How the images of a case are told for a model; of None, or a network over pictures, each image is a case.

    Raises
    ------
    ModelError
        The model has no channel of a name.
    InputError
        A channel lacks, or the ways in which images are told do not go together.
    """
    if model is None or model.dimensions != 3:
        if named:
            raise InputError("channels are of networks that segment volumes", attribute="--channel")
        return Channels(names=(_IMAGE,))
    names = called(model)
    if not named:
        return Channels(names=names, wanted=expected(model))
    which = [""] * len(names)
    for name, text in named.items():
        which[channel_number(model, name)] = text.strip()
    lacking = [name for name, text in zip(names, which, strict=True) if not text]
    if lacking:
        raise InputError(
            f"the network wants {expected(model)}, and nothing says which image is {_and(lacking)}",
            attribute="--channel",
        )
    by_place = {_is_place(text) for text in which}
    if len(by_place) > 1:
        raise InputError(
            "some channels are told by files and some by series", attribute="--channel",
            fix="write a file as *_t1.nii.gz, a folder as t1/, and a series by its number, UID or description",
        )  # fmt: skip
    if by_place == {True} and len({_stars(text) for text in which}) > 1:
        raise InputError(
            f"what names the case stands for * and ?, and {_and(which)} have not the same number of them",
            attribute="--channel",
        )
    return Channels(names=names, which=tuple(which), wanted=expected(model))


def grouped(images: Sequence[Case], channels: Channels) -> tuple[list[Case], list[Case]]:
    """Cases of several channels made of single images; and the images that belong to none.

    Raises
    ------
    InputError
        The channels are told by what the images do not have: series of DICOM, or files.
    """
    if channels.which and _is_place(channels.which[0]):
        return _by_place(images, channels)
    if channels.which:
        return _by_series(images, channels)
    return _unasked(images, channels), []


# ---- series of a study


def _by_series(images: Sequence[Case], channels: Channels) -> tuple[list[Case], list[Case]]:
    studies, files = _studies(images)
    if not studies:
        raise InputError(
            f"the channels are told by series of DICOM ({_and(channels.which)}), and there is none",
            attribute="--channel", fix="write a file as *_t1.nii.gz, and a folder as t1/",
        )  # fmt: skip
    cases = []
    aside = [image for image in files if not image.error]
    for members in studies.values():
        found = [_chosen(members, text) for text in channels.which]
        cases.append(_case_of_study(members, found, channels))
        taken = {one.key for some in found for one in some}
        aside += [one for one in members if one.key not in taken]
    return [*cases, *(image for image in files if image.error)], aside


def _studies(images: Iterable[Case]) -> tuple[dict[str, list[Case]], list[Case]]:
    """DICOM series by study, and all other images."""
    studies: dict[str, list[Case]] = defaultdict(list)
    others = []
    for image in images:
        if image.about is not None and image.about.series:
            studies[image.about.study].append(image)
        else:
            others.append(image)
    return studies, others


def _chosen(members: Sequence[Case], text: str) -> list[Case]:
    exact = [one for one in members if one.about and one.about.series == text]
    return exact or [one for one in members if _is_series(one, text)]


def _is_series(image: Case, text: str) -> bool:
    """A number is never a place in a list, which would be another series in another study."""
    about = image.about or About()
    if text.isdecimal():
        return about.number.isdecimal() and int(about.number) == int(text)
    if _UID.fullmatch(text) and "." in text:
        return about.series.startswith(text)
    return fnmatch.fnmatchcase(about.description.strip().casefold(), text.casefold())


def _case_of_study(members: Sequence[Case], found: Sequence[Sequence[Case]], channels: Channels) -> Case:
    study = members[0].about.study if members[0].about else ""
    place = _common([one.source.partition("/series/")[0] if one.remote else one.source for one in members])
    if not _UID.fullmatch(study):
        error = f"{place}: has no StudyInstanceUID, so nothing says which series belong together"
        return Case(file_key(place), place, error=error, stamp=_stamped(members))
    there = ", ".join(_series(one) for one in members[:12]) + (" ..." if len(members) > 12 else "")
    return _made(study, place, found, channels, f"there is {there}")


def _series(image: Case) -> str:
    about = image.about or About()
    return f"series {about.number or about.series} ({about.modality or 'no modality'})"


# ---- files and folders


def _by_place(images: Sequence[Case], channels: Channels) -> tuple[list[Case], list[Case]]:
    if not any(image.about and image.about.below for image in images):
        raise InputError(
            f"the channels are told by files ({_and(channels.which)}), and there are only series of a service",
            attribute="--channel", fix="say which series by its number, UID or description",
        )  # fmt: skip
    groups: dict[tuple[str, tuple[str, ...]], list[list[Case]]] = {}
    aside = []
    for image in images:
        used = False
        for n, text in enumerate(channels.which):
            place = _place(text, image)
            if place is not None:
                groups.setdefault(place, [[] for _ in channels.which])[n].append(image)
                used = True
        if not used:
            aside.append(image)
    cases = []
    for (folder, stars), found in groups.items():
        name = "-".join(stars) if stars else folder.rstrip("/").rpartition("/")[2]
        source = f"{folder}/{name}" if stars else folder
        key = file_key("\n".join((folder, *stars)), name)
        cases.append(_made(key, source, found, channels, ""))
    return [*cases, *(image for image in aside if image.error)], [image for image in aside if not image.error]


def _is_place(text: str) -> bool:
    return "/" in text or text.lower().endswith((*VOLUMES, ".dcm", ".zip"))


def _stars(text: str) -> int:
    return len(re.findall(r"[*?]", _normal(text)))


def _normal(text: str) -> str:
    """A series of many files is told by their folder."""
    return text[: text.rindex("/") + 1] if text.endswith(("/*", "/*.dcm")) else text


def _place(text: str, image: Case) -> tuple[str, tuple[str, ...]] | None:
    """The folder in which a pattern finds an image, and what its signs stand for; None where it does not."""
    about = image.about
    if about is None or not about.below:
        return None
    text = _normal(text)
    parts = [re.sub(r"\\\*|\\\?", lambda m: "([^/]*)" if m[0] == r"\*" else "([^/])", re.escape(part))
             for part in text.strip("/").split("/") if part != "."]  # fmt: skip
    pattern = re.compile(r"(?:(.*)/)?" + "/".join(parts), re.DOTALL)
    if not text.endswith("/"):
        tried = [about.below] if about.file else []
    else:  # the innermost folder of the name
        folders = about.below.split("/")[: -1 if about.file else None]
        tried = ["/".join(folders[:count]) for count in range(len(folders), 0, -1)]
    for one in tried:
        if (match := pattern.fullmatch(one)) is not None:
            before, *stars = match.groups()
            return "/".join(filter(None, (about.root.replace(os.sep, "/"), before))), tuple(stars)
    return None


# ---- where nobody said which image is which


def _unasked(images: Sequence[Case], channels: Channels) -> list[Case]:
    """nnU-Net's numbered files; series of a study, where channels are modalities; any other file is a case."""
    studies, files = _studies(images)
    cases = [_by_modality(members, channels) for members in studies.values()]
    groups: dict[tuple[str, str], dict[int, list[Case]]] = defaultdict(lambda: defaultdict(list))
    for image in files:
        match = _NUMBERED.fullmatch(stem_of(image.source.rpartition("/")[2]))
        if match is None or image.about is None or not image.source.lower().endswith(VOLUMES):
            cases.append(image)
            continue
        folder = "/".join((image.about.root, *image.about.below.split("/")[:-1]))
        groups[folder, match[1]][int(match[2])].append(image)
    for (folder, name), by_number in groups.items():
        if not set(by_number) & set(range(len(channels.names))):
            cases += [image for some in by_number.values() for image in some]  # a name that ends in a number
            continue
        found = [by_number.get(n, []) for n in range(len(channels.names))]
        more = sorted(set(by_number) - set(range(len(channels.names))))
        told = f"there is {_and(f'{name}_{n:04d}' for n in sorted(by_number))}"
        case = _made(file_key("\n".join((folder, name)), name), f"{folder}/{name}", found, channels, told)
        if more and not case.error:
            case = replace(case, error=f"{case.source}: the network wants {channels.wanted}, and {told}", channels=())
        cases.append(case)
    return cases


def _by_modality(members: Sequence[Case], channels: Channels) -> Case:
    wanted = [MODALITY.get(name.casefold(), ()) for name in channels.names]
    if all(wanted) and len(set(wanted)) == len(wanted):
        found = [[one for one in members if one.about and one.about.modality in some] for some in wanted]
        return _case_of_study(members, found, channels)
    case = _case_of_study(members, [[] for _ in channels.names], channels)
    names = " ".join(f"--channel {name}=..." for name in channels.names)
    there = _and(_series(one) for one in members[:12])
    error = f"{case.source}: the network wants {channels.wanted}, and nothing says which series is which: say {names}"
    return replace(case, error=f"{error} (there is {there})", stamp=_stamped(members))


# ---- tables


def cases_of_table(file: Path, channels: Channels | None, *, skip_damaged: bool = False) -> list[Case]:
    """Cases of a ``.csv`` or ``.tsv`` file: one a line, a column a channel, and ``case`` for its name.

    Cells are files, folders, zips or addresses that hold one image each, relative to the table. Other columns are left
    alone. One channel may also be called ``image``.

    Raises
    ------
    FormatError
        It is no table, or lacks a column.
    """
    names = (_IMAGE,) if channels is None else channels.names
    wanted = "1 channel" if channels is None else channels.wanted
    if channels is not None and channels.which:
        raise InputError("a table says itself which image is which channel", file=file, attribute="--channel")
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError("is no table in UTF-8 text", file=file) from error
    first = text.partition("\n")[0]
    sign = "\t" if file.suffix.lower() == ".tsv" else ";" if ";" in first and "," not in first else ","
    try:
        lines = [line for line in csv.reader(text.splitlines(), delimiter=sign) if any(cell.strip() for cell in line)]
    except csv.Error as error:
        raise FormatError(f"is no table: {error}", file=file) from error
    head = [cell.strip().casefold() for cell in lines[0]] if lines else []
    columns = []
    for n, name in enumerate(names):
        known = [name.casefold(), f"{n:04d}", *([_IMAGE] if len(names) == 1 else [])]
        there = [place for place, cell in enumerate(head) if cell in known]
        if len(there) != 1:
            raise FormatError(
                f"the network wants {wanted}, and the table has {'no' if not there else 'more than one'} column {name}",
                file=file, fix=f"its columns are {', '.join(head) or 'none'}",
            )  # fmt: skip
        columns.append(there[0])
    place = head.index(_CASE) if _CASE in head else None
    return [
        _line(file, n, line, columns, names, wanted, place, skip_damaged) for n, line in enumerate(lines[1:], start=2)
    ]


def _line(
    file: Path, number: int, line: Sequence[str], columns: Sequence[int], names: Sequence[str], wanted: str,
    place: int | None, skip_damaged: bool,
) -> Case:  # fmt: skip
    def cell(column: int | None) -> str:
        return line[column].strip() if column is not None and column < len(line) else ""

    sources = [cell(column) for column in columns]
    sources = [s if "://" in s or not s else os.path.normpath(file.parent.absolute() / s) for s in sources]
    first = next(filter(None, sources), "")
    name = cell(place) or stem_of(Path(first).name) or f"line-{number}"
    key = file_key("\n".join(sources), name)
    shown = cell(place) or first or f"{file} line {number}"
    found, said = [], ""
    for source, channel in zip(sources, names, strict=True):
        images: list[Case] = []
        try:
            images = list(images_of(source, skip_damaged=skip_damaged)) if source else []
        except GpukitError as error:
            said = said or f"{channel}: {error}"
        found.append(images)
    case = _made(key, shown, found, Channels(names=tuple(names), wanted=wanted), "")
    return replace(case, error=said, channels=()) if said else case


# ---- one case


def _made(key: str, source: str, found: Sequence[Sequence[Case]], channels: Channels, there: str) -> Case:
    """A case with one image for each channel; with an error where that is not so."""
    names = channels.names
    which = channels.which or ("",) * len(names)
    stamp = _stamped([one for some in found for one in some])
    error = ""
    for name, text, some in zip(names, which, found, strict=True):
        said = f" ({text})" if text else ""
        if len(some) == 0:
            error = f"lacks {name}{said}: the network wants {channels.wanted}" + (f", and {there}" if there else "")
        elif len(some) > 1:
            error = f"{len(some)} images are {name}{said}, such as {_told(some[0])} and {_told(some[1])}"
        if error:
            break
    if not error:
        seen: dict[Case, int] = {}
        for n, (one,) in enumerate(found):
            other = seen.setdefault(one, n)
            if other != n and not (which[n] and which[n] == which[other]):
                error = f"one image, {_told(one)}, is {names[other]} and {names[n]} at the same time"
        hurt = [one.error for (one,) in found if one.error]
        error = error or (hurt[0] if hurt else "")
    if error:
        return Case(key, source, error=error if error.startswith(source) else f"{source}: {error}", stamp=stamp)
    return Case(key, source, stamp=stamp, channels=tuple((n, some[0]) for n, some in zip(names, found, strict=True)))


def _told(image: Case) -> str:
    about = image.about
    if about is None or not about.series:
        return image.source
    return f"series {about.number or about.series} in {image.source}"


def _stamped(images: Sequence[Case]) -> str:
    return digest("\n".join(f"{one.key} {one.stamp}" for one in images))


def _common(sources: Sequence[str]) -> str:
    """The folder or address that all have in common; the only one itself."""
    split = [source.rstrip("/").split("/") for source in sources]
    count = 0
    while all(len(parts) > count and parts[count] == split[0][count] for parts in split):
        count += 1
    return "/".join(split[0][:count]) or "/"


def _and(words: Iterable[str]) -> str:
    several = list(words)
    return " and ".join(filter(None, (", ".join(several[:-1]), several[-1] if several else "")))
